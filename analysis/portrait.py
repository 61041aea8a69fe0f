"""What does the attractor of one network look like? Density of a hundred million points.

    python -m analysis.portrait --seed 70 --N 4 --D 16 --s 2.0 [--coordinates x1 x2] [--style density|article|bare]
    python -m analysis.portrait RUN --cell ID
    python -m analysis.portrait --like PICTURE.png [--colours viridis] ...

It simulates. The picture carries its recipe: `--like` makes it again, with whatever else is asked for. Three
coordinates become a turning GIF.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from analysis import command, style, tones
from analysis.cells import Cell, cell_of_run, checked_axes, measured_cell
from analysis.orbit_request import of_options
from attractor_jax.config import BackendConfig, ConfigError, a_list
from attractor_jax.systems import REGISTRY, get
from sweeps.arguments import ArgumentProblem, OneLineParser, answered

if TYPE_CHECKING:  # a slip on the command line does not wait for jax
    from attractor_jax.portrait import Attractor, Portrait

STYLES = ("density", "article", "bare")
# What a recipe has, and its defaults: everything that decides the picture.
DEFAULTS: dict[str, Any] = {
    "system": "uniform", "axes": {}, "coordinates": ["x1", "x2"], "points": 1e8, "pixels": 4096, "tones": "log",
    "colours": "inferno", "style": "density",
}  # fmt: skip
MOST_POINTS, MOST_PIXELS = 1e12, 16_384
# Below, no letter beside the picture can be read.
FEWEST_WITH_WORDS = 300


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
    note = f"{seen.points:,} points; brightness: {scale} in a pixel."
    if seen.outside:
        note += f" {seen.outside:,} points lie outside."
    figure.supxlabel(note, x=0.01, ha="left", fontsize=7.5, color="#333333")
    figure.set_dpi(pixels / style.WIDTH)
    return figure


def parser() -> OneLineParser:
    """All options of the command. What is not given comes from the picture to be made again, or from DEFAULTS."""
    options = OneLineParser("python -m analysis.portrait", "Draw the attractor of one network.")
    add = options.add_argument
    add("run", metavar="RUN", type=Path, nargs="?", help="run directory, with --cell")
    add("--cell", metavar="ID", type=int, help="cell_id of a cell of RUN")
    add("--like", metavar="PICTURE", type=Path, help="a portrait to make again; other options change it")
    add("--system", metavar="NAME", help=f"one of {', '.join(REGISTRY)} (default: uniform)")
    for axis, kind, meaning in (
        ("seed", int, "network"), ("N", int, "tanh units (default: 4)"), ("D", int, "delays (default: 16)"),
        ("s", float, "scale"),
    ):  # fmt: skip
        add(f"--{axis}", metavar=axis.upper(), type=kind, help=meaning)
    add("--at", metavar="AXIS=VALUE", action="append", default=[], help="another axis, such as replicate=3 or r=3.7")
    add("--coordinates", metavar="NAME", nargs="+", help="two, or three for a GIF: x1, x2, ..., y, y-1, ...")
    add("--points", metavar="COUNT", type=float, help="(default: 1e8; 2e6 for each frame of a GIF)")
    add("--pixels", metavar="COUNT", type=int, help="width (default: 4096; 480 for a GIF)")
    add("--tones", choices=tones.TONES, help="(default: log)")
    add("--colours", metavar="MAP", help=f"{', '.join(tones.COLOURS)}, or with _r for paper (default: inferno)")
    add("--style", choices=STYLES, help="density, article: its lines beside it, bare: nothing but the picture")
    add("--out", metavar="FILE", type=Path, help="picture to write (default: in RUN/figures or results/figures)")
    return options


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a run or file that cannot be used, 2 for bad arguments)."""
    return answered(lambda: _portrait(parser().parse_args(argv)))


def _portrait(arguments: argparse.Namespace) -> int:
    try:
        recipe = _recipe(arguments)
        path = _place(arguments, recipe)
        _make(arguments, recipe, path)
    except ConfigError as problem:
        raise of_options(problem) from problem
    print(path)
    return 0


def _recipe(arguments: argparse.Namespace) -> dict[str, Any]:
    """What decides the picture, from the options, the picture that it shall be like, and the defaults.

    Raises:
        ArgumentProblem: naming the option, what it must be, and what was given.
    """
    named = {name: getattr(arguments, name) for name in ("seed", "N", "D", "s")}
    at = command.read_assignments("--at", arguments.at)
    if (arguments.run is None) != (arguments.cell is None):
        raise ArgumentProblem("`--cell` must come with a RUN, and a RUN with `--cell`")
    if arguments.run is not None:
        others = [f"--{name}" for name, given in {**named, "at": at, "like": arguments.like}.items() if given]
        if others or arguments.system:
            raise ArgumentProblem(f"`{(others or ['--system'])[0]}` must be left out where RUN and `--cell` say it all")
    before = read_recipe(arguments.like) if arguments.like is not None else {}
    given = {name: getattr(arguments, name) for name in DEFAULTS if name != "axes"}
    recipe = DEFAULTS | before | {name: value for name, value in given.items() if value is not None}
    system = get(recipe["system"])
    kept = before.get("axes", {}) if recipe["system"] == before.get("system") else {}
    recipe["axes"] = {**kept, **checked_axes(system, {**named, **at})}
    names = recipe["coordinates"]
    if len(names) not in (2, 3):
        raise ArgumentProblem(f"`--coordinates` must be two, or three for a GIF, got {len(names)}")
    if len(names) == 3:
        given_points, given_pixels = (getattr(arguments, name) is not None for name in ("points", "pixels"))
        same = len(before.get("coordinates", ())) == 3
        from analysis.turning import PIXELS, POINTS

        recipe["points"] = recipe["points"] if given_points or same else POINTS
        recipe["pixels"] = recipe["pixels"] if given_pixels or same else PIXELS
        if recipe["style"] == "article":
            raise ArgumentProblem("`--style` must be density or bare for three coordinates, got 'article'")
    if not (math.isfinite(recipe["points"]) and 1 <= recipe["points"] <= MOST_POINTS):
        raise ArgumentProblem(f"`--points` must be between 1 and {MOST_POINTS:g}, got {recipe['points']:g}")
    fewest = 16 if recipe["style"] == "bare" or len(names) == 3 else FEWEST_WITH_WORDS
    if not fewest <= recipe["pixels"] <= MOST_PIXELS:
        raise ArgumentProblem(f"`--pixels` must be between {fewest} and {MOST_PIXELS:,}, got {recipe['pixels']}")
    if recipe["colours"] not in matplotlib.colormaps:
        raise ArgumentProblem(f"`--colours` must be {a_list(tones.COLOURS)}, got {recipe['colours']!r}")
    return recipe


def read_recipe(path: Path) -> dict[str, Any]:
    """The recipe that a portrait carries.

    Raises:
        ArgumentProblem: it is no portrait.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            told = picture.info.get("Description") or picture.info.get("comment", b"").decode()
        recipe = json.loads(told)["portrait"]
        if not set(recipe) >= set(DEFAULTS):
            raise KeyError(next(iter(set(DEFAULTS) - set(recipe))))
    except (OSError, UnidentifiedImageError, ValueError, KeyError, TypeError) as problem:
        raise ArgumentProblem(f"`--like` must be a picture that this command made, got {str(path)!r}") from problem
    return {name: recipe[name] for name in DEFAULTS}


def _place(arguments: argparse.Namespace, recipe: Mapping[str, Any]) -> Path:
    """Where the picture goes."""
    kind = ".gif" if len(recipe["coordinates"]) == 3 else ".png"
    if arguments.out is not None:
        if arguments.out.suffix != kind:
            raise ArgumentProblem(f"`--out` must end in {kind}, got {str(arguments.out)!r}")
        return arguments.out
    told = [*recipe["coordinates"]] if recipe["coordinates"] != DEFAULTS["coordinates"] else []
    told += [recipe["style"]] if recipe["style"] != DEFAULTS["style"] else []
    if arguments.run is not None:
        return arguments.run / "figures" / ("_".join(["portrait", f"cell{arguments.cell}", *told]) + kind)
    axes = [f"{name}{value:.12g}" for name, value in recipe["axes"].items()]
    return Path("results/figures") / ("_".join(["portrait", recipe["system"], *axes, *told]) + kind)


def _make(arguments: argparse.Namespace, recipe: dict[str, Any], path: Path) -> None:
    """Compute the picture, and write it."""
    from tqdm import tqdm

    from attractor_jax import backend

    devices = backend.start(BackendConfig("float64", "auto", "all", "auto", "auto"))
    if arguments.run is not None:
        cell = cell_of_run(arguments.run, arguments.cell)
        recipe |= {"system": cell.system, "axes": dict(cell.axes)}
    else:
        cell = measured_cell(recipe["system"], recipe["axes"], devices=devices)
    with tqdm(unit=" points", unit_scale=True, dynamic_ncols=True) as bar:
        try:
            _save(cell, partial(attractor_of(cell, devices).look, progress=bar.update), recipe, path)
        except ValueError as problem:
            raise ArgumentProblem(str(problem).replace("`coordinates`", "`--coordinates`")) from problem


def attractor_of(cell: Cell, devices: Sequence[Any]) -> Attractor:
    """The attractor of a cell, to be looked at."""
    from attractor_jax.portrait import Attractor

    return Attractor.of(cell.map, cell.state, devices=devices)


def _save(cell: Cell, look: Any, recipe: Mapping[str, Any], path: Path) -> None:
    names, pixels = tuple(recipe["coordinates"]), recipe["pixels"]
    tone = {"tone": recipe["tones"], "colours": recipe["colours"]}
    told = {"portrait": dict(recipe), "finding": cell.finding, "attractor_jax": version("attractor_jax")}
    title = f"{cell.name}\n{cell.finding}"
    if len(names) == 3:
        from analysis import turning

        images = turning.frames(look, names, points=recipe["points"], pixels=pixels)
        turning.save(images, path, recipe=told, **tone)
        return
    if recipe["style"] == "article":
        from analysis import article_style

        points = article_style.article_orbit(cell.map, cell.state, names)
        (left, bottom), (right, top) = points.min(axis=0), points.max(axis=0)
        seen = look(
            coordinates=names, extent=(left, right, bottom, top), points=recipe["points"], size=(pixels // 2,) * 2
        )
        figure = article_style.draw(points, seen, title=f"{cell.name}: {cell.finding}", **tone)
        figure.set_dpi(pixels / figure.get_figwidth())
    else:
        seen = look(coordinates=names, points=recipe["points"], size=(pixels, pixels))
        if recipe["style"] == "bare":
            _save_bare(tones.coloured(seen.counts, tones=tone["tone"], colours=tone["colours"]), path, told)
            return
        figure = draw(seen, title=title, pixels=pixels, **tone)
    command.save_figure(figure, path, title=f"portrait of {cell.name}", runs=told, dpi=figure.get_dpi())


def _save_bare(image: np.ndarray, path: Path, told: Mapping[str, Any]) -> None:
    """Nothing but the pixels, and their recipe."""
    from PIL import Image, PngImagePlugin

    about = PngImagePlugin.PngInfo()
    about.add_text("Description", json.dumps(told))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        Image.fromarray(image).save(temporary, format="png", pnginfo=about)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


if __name__ == "__main__":
    raise SystemExit(main())
