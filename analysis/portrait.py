"""What does the attractor of one network look like? Density of a hundred million points.

    python -m analysis.portrait --seed 70 --N 4 --D 16 --s 2.0 [--coordinates x1 x2] [--style density|article|bare]
    python -m analysis.portrait RUN --cell ID
    python -m analysis.portrait --like PICTURE.png [--colours viridis] ...

It simulates. The picture carries its recipe: `--like` makes it again, with whatever else is asked for. Three
coordinates become a turning GIF.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import command, style, tones
from analysis.cells import Cell, cell_of_run, measured_cell
from analysis.orbit_request import of_options
from analysis.portrait_recipe import Recipe, as_metadata, parser, place, recipe_of
from attractor_jax.config import EVERYTHING, ConfigError
from sweeps.arguments import ArgumentProblem, answered

if TYPE_CHECKING:  # a slip on the command line does not wait for jax
    from attractor_jax.portrait import Portrait


@style.styled
def draw(seen: Portrait, *, title: str, pixels: int, tone: str, colours: str) -> Figure:
    """The density with its axes, as wide as so many pixels.

    Args:
        title: two lines that name the network and say what it is.
    """
    from analysis.article_style import dress

    figure = style.new_figure(style.WIDTH * 1.06)
    ax = figure.subplots()
    image = tones.coloured(seen.counts, tones=tone, colours=colours)
    ax.imshow(image, extent=seen.extent, aspect="auto", interpolation="antialiased")
    dress(ax, seen, size=style.RC["axes.labelsize"])
    ax.set_title(title, fontsize=style.RC["axes.titlesize"], linespacing=1.4)
    scale = "logarithm of the count" if tone == "log" else "rank of the count"
    note = f"{counted(seen)}; brightness: {scale} in a pixel."
    figure.supxlabel(note, x=0.01, ha="left", fontsize=7.5, color="#333333")
    figure.set_dpi(pixels / style.WIDTH)
    return figure


def counted(seen: Portrait) -> str:
    """How much of what was counted, in words."""
    words = f"{seen.points:,} points of {seen.orbits:,} orbits"
    if seen.outside:
        words += f", {seen.outside:,} of them outside"
    if seen.elsewhere:
        words += f"; {seen.elsewhere:,} orbits ended on another set"
    return words


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a run or file that cannot be used, 2 for bad arguments)."""
    return answered(lambda: _portrait(parser().parse_args(argv)))


def _portrait(arguments: argparse.Namespace) -> int:
    try:
        recipe = recipe_of(arguments)
        path = place(arguments, recipe)
        _make(arguments, recipe, path)
    except ConfigError as problem:
        raise of_options(problem) from problem
    print(path)
    return 0


def _make(arguments: argparse.Namespace, recipe: Recipe, path: Path) -> None:
    """Compute the picture, and write it."""
    from tqdm import tqdm

    from attractor_jax import backend

    devices = backend.start(EVERYTHING)
    if arguments.run is not None:
        cell = cell_of_run(arguments.run, arguments.cell)
        recipe = replace(recipe, system=cell.system, axes=dict(cell.axes), dtype=cell.dtype, finding=cell.finding)
    elif recipe.finding:  # a picture made again says what it said
        cell = Cell(recipe.system, recipe.axes, pd.Series(dtype=object), recipe.dtype)
    else:
        cell = measured_cell(recipe.system, recipe.axes, devices=devices, dtype=recipe.dtype)
        recipe = replace(recipe, finding=cell.finding)
    from attractor_jax.portrait import Attractor, coordinate_names

    names = recipe.coordinates or coordinate_names(cell.map, len(cell.state))[:2]
    recipe = replace(recipe, coordinates=names)
    with tqdm(unit=" points", unit_scale=True, dynamic_ncols=True) as bar:
        try:
            look = partial(Attractor.of(cell.map, cell.state, devices=devices).look, progress=bar.update)
            _save(cell, look, recipe, path)
        except ValueError as problem:
            raise ArgumentProblem(str(problem).replace("`coordinates`", "`--coordinates`")) from problem


def _save(cell: Cell, look: Callable[..., Portrait], recipe: Recipe, path: Path) -> None:
    names, pixels = recipe.coordinates, recipe.pixels
    tone = {"tone": recipe.tones, "colours": recipe.colours}
    told = as_metadata(recipe)
    if recipe.turns:
        from analysis import turning

        images = turning.frames(look, names, points=recipe.points, pixels=pixels)
        turning.save(images, path, names=names, title=f"{cell.name}: {recipe.finding}", told=told, **tone)
        return
    if recipe.style == "article":
        from analysis import article_style

        points = article_style.article_orbit(cell.map, cell.state, names)
        extent = article_style.extent_of(points)
        seen = look(coordinates=names, extent=extent, points=recipe.points, size=(pixels // 2,) * 2)
        figure = article_style.draw(points, seen, title=f"{cell.name}: {recipe.finding}", **tone)
        figure.set_dpi(pixels / figure.get_figwidth())
    else:
        seen = look(coordinates=names, points=recipe.points, size=(pixels, pixels))
        if recipe.style == "bare":
            _save_bare(tones.coloured(seen.counts, tones=recipe.tones, colours=recipe.colours), path, told)
            return
        figure = draw(seen, title=f"{cell.name}\n{recipe.finding}", pixels=pixels, **tone)
    command.save_figure(figure, path, title=f"portrait of {cell.name}", runs=told, dpi=figure.get_dpi())


def _save_bare(image: np.ndarray, path: Path, told: dict[str, Any]) -> None:
    """Nothing but the pixels, and their recipe."""
    import json

    from PIL import Image, PngImagePlugin

    about = PngImagePlugin.PngInfo()
    about.add_text("Description", json.dumps(told))
    command.save(path, lambda new: Image.fromarray(image).save(new, format="png", pnginfo=about))


if __name__ == "__main__":
    raise SystemExit(main())
