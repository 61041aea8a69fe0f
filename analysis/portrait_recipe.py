"""What decides a portrait? Its recipe: from options, from a cell of a run, or from a picture to be made again."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from analysis import turning
from analysis.style import number
from analysis.tones import COLOURS, TONES
from attractor_jax.config import ConfigError, a_list
from attractor_jax.grid import value_of
from attractor_jax.systems import REGISTRY, System, get
from sweeps.arguments import ArgumentProblem, OneLineParser, read_assignments

STYLES = ("density", "article", "bare")
DTYPES = ("float64", "float32")
POINTS, PIXELS = 1e8, 4096
MOST_POINTS, MOST_PIXELS = 1e12, 16_384
# Below, no letter beside the picture can be read.
FEWEST_WITH_WORDS, FEWEST = 300, 16


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a portrait.

    Attributes:
        system, axes, dtype: the network: a value of every axis.
        coordinates: two, or three for a GIF; none where the network's first two shall be taken.
        points, pixels, tones, colours, style: as in the options.
        finding: what was found of the network, in words; empty if it has not been measured yet.
    """

    system: str
    axes: dict[str, Any]
    dtype: str = "float64"
    coordinates: tuple[str, ...] = ()
    points: float = POINTS
    pixels: int = PIXELS
    tones: str = TONES[0]
    colours: str = COLOURS[0]
    style: str = STYLES[0]
    finding: str = ""

    @property
    def turns(self) -> bool:
        """Is it a GIF?"""
        return len(self.coordinates) == 3

    def checked(self) -> Recipe:
        """The same, with its numbers as numbers.

        Raises:
            ArgumentProblem: naming the option, what it must be, and what was given.
        """
        for option, given, can in (
            ("--tones", self.tones, TONES), ("--style", self.style, STYLES), ("--dtype", self.dtype, DTYPES),
        ):  # fmt: skip
            if given not in can:
                raise ArgumentProblem(f"`{option}` must be {a_list(can)}, got {given!r}")
        if len(self.coordinates) not in (0, 2, 3):
            raise ArgumentProblem(f"`--coordinates` must be two, or three for a GIF, got {len(self.coordinates)}")
        if self.turns and self.style == "article":
            raise ArgumentProblem("`--style` must be density or bare for three coordinates, got 'article'")
        if not isinstance(self.points, int | float) or not 1 <= self.points <= MOST_POINTS:
            raise ArgumentProblem(f"`--points` must be between 1 and {MOST_POINTS:g}, got {self.points}")
        fewest = FEWEST if self.style == "bare" or self.turns else FEWEST_WITH_WORDS
        if not isinstance(self.pixels, int) or not fewest <= self.pixels <= MOST_PIXELS:
            raise ArgumentProblem(f"`--pixels` must be between {fewest} and {MOST_PIXELS:,}, got {self.pixels}")
        if self.colours not in matplotlib.colormaps:
            raise ArgumentProblem(f"`--colours` must be {a_list(COLOURS)}, got {self.colours!r}")
        return replace(self, axes=checked_axes(get(self.system), self.axes))

    @property
    def words(self) -> list[str]:
        """What tells its file from the default one of the same network."""
        usual = Recipe(self.system, self.axes)
        names = ("points", "pixels") if self.turns else ()
        usual = replace(usual, **{name: getattr(turning, name.upper()) for name in names})
        told = [*self.coordinates] if self.coordinates else []
        for name in ("dtype", "points", "pixels", "tones", "colours", "style"):
            if (value := getattr(self, name)) != getattr(usual, name):
                told.append(f"{name}{value:g}" if isinstance(value, int | float) else str(value))
        return told


def checked_axes(system: System, axes: Mapping[str, Any]) -> dict[str, Any]:
    """A value of every axis of a system, each within its bounds.

    Raises:
        ArgumentProblem: an axis that it has not, one without a value, or a value out of bounds.
    """
    names = [axis.name for axis in system.axes]
    for name in axes:
        if name not in names:
            raise ArgumentProblem(f"{_option(name)} is no axis of system {system.name}, which has {', '.join(names)}")
    found = {}
    for axis in system.axes:
        value = axes.get(axis.name, axis.default)
        if value is None:
            raise ArgumentProblem(f"{_option(axis.name)} must be given: {axis.meaning}")
        try:
            found[axis.name] = value_of(axis, axis.name, value)
        except ConfigError as problem:
            raise ArgumentProblem(str(problem).replace(axis.name, _option(axis.name), 1)) from problem
    return found


def _option(axis: str) -> str:
    return f"`--{axis}`" if axis in NAMED else f"`--at {axis}`"


# Axes that have an option of their own.
NAMED = {"seed": int, "N": int, "D": int, "s": float}


def parser() -> OneLineParser:
    """All options of the command. What is not given comes from the picture to be made again, or is the default."""
    options = OneLineParser("python -m analysis.portrait", "Draw the attractor of one network.")
    add = options.add_argument
    add("run", metavar="RUN", type=Path, nargs="?", help="run directory, with --cell")
    add("--cell", metavar="ID", type=int, help="cell_id of a cell of RUN")
    add("--like", metavar="PICTURE", type=Path, help="a portrait to make again; other options change it")
    add("--system", metavar="NAME", help=f"one of {', '.join(REGISTRY)} (default: uniform)")
    for axis, kind in NAMED.items():
        add(f"--{axis}", metavar=axis.upper(), type=kind, help=get("uniform").axis(axis).meaning)
    add("--at", metavar="AXIS=VALUE", action="append", default=[], help="another axis, such as replicate=3 or r=3.7")
    add("--dtype", choices=DTYPES, help="(default: float64)")
    add("--coordinates", metavar="NAME", nargs="+", help="two, or three for a GIF: x1, x2, ..., y, y-1, ...")
    add("--points", metavar="COUNT", type=float, help=f"(default: {POINTS:g}; {turning.POINTS:g} a frame of a GIF)")
    add("--pixels", metavar="COUNT", type=int, help=f"width (default: {PIXELS}; {turning.PIXELS} for a GIF)")
    add("--tones", choices=TONES, help="(default: log)")
    add("--colours", metavar="MAP", help=f"{', '.join(COLOURS)}, or with _r for paper (default: inferno)")
    add("--style", choices=STYLES, help="density, article: its lines beside it, bare: nothing but the picture")
    add("--out", metavar="FILE", type=Path, help="picture to write (default: in RUN/figures or results/figures)")
    return options


def recipe_of(arguments: argparse.Namespace) -> Recipe:
    """The recipe that a person asks for. Of a cell of a run, the network is still open.

    Raises:
        ArgumentProblem: naming the option, what it must be, and what was given.
        ConfigError: an unknown system.
    """
    axes = {name: value for name in NAMED if (value := getattr(arguments, name)) is not None}
    for name, value in read_assignments("--at", arguments.at).items():
        if name in axes:
            given = number(value)
            raise ArgumentProblem(f"`--at {name}` must be left out where `--{name}` is given, got {given}")
        axes[name] = value
    if (arguments.run is None) != (arguments.cell is None):
        raise ArgumentProblem("`--cell` must come with a RUN, and a RUN with `--cell`")
    if arguments.run is not None:
        given = {"system": arguments.system, "like": arguments.like, "dtype": arguments.dtype}
        others = [name for name, value in given.items() if value is not None]
        if others or axes:
            option = f"`--{others[0]}`" if others else _option(next(iter(axes)))
            raise ArgumentProblem(f"{option} must be left out where RUN and `--cell` say it all")
    recipe = read_recipe(arguments.like) if arguments.like is not None else Recipe(arguments.system or "uniform", {})
    system = get(arguments.system or recipe.system)
    other = system.name != recipe.system  # with other axes, and other coordinates
    kept = {} if other else recipe.axes
    network = {"system": system.name, "axes": {**kept, **axes}, "dtype": arguments.dtype or recipe.dtype}
    if any(getattr(recipe, name) != value for name, value in network.items()):
        recipe = replace(recipe, **network, finding="")
    if other:
        recipe = replace(recipe, coordinates=())
    if arguments.coordinates is not None:
        dimensions = len(recipe.coordinates) or 2
        recipe = replace(recipe, coordinates=tuple(arguments.coordinates))
        if len(recipe.coordinates) != dimensions:
            points, pixels = (turning.POINTS, turning.PIXELS) if recipe.turns else (POINTS, PIXELS)
            recipe = replace(recipe, points=points, pixels=pixels)
    looks = {name: getattr(arguments, name) for name in ("points", "pixels", "tones", "colours", "style")}
    recipe = replace(recipe, **{name: value for name, value in looks.items() if value is not None})
    return recipe.checked()


def read_recipe(path: Path) -> Recipe:
    """The recipe that a portrait carries.

    Raises:
        ArgumentProblem: it is no portrait, or its recipe cannot be followed.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            told = picture.info.get("Description") or picture.info.get("comment", b"").decode()
        values = json.loads(told)["portrait"]
        known = {field.name for field in fields(Recipe)}
        if set(values) != known or not all(isinstance(values[name], str) for name in ("system", "finding", "colours")):
            raise ValueError("other keys")
        coordinates = tuple(map(str, values["coordinates"]))
        return Recipe(**{**values, "coordinates": coordinates, "axes": dict(values["axes"])}).checked()
    except (OSError, UnidentifiedImageError, ValueError, KeyError, TypeError, ConfigError) as problem:
        said = f": {problem}" if isinstance(problem, ArgumentProblem | ConfigError) else ""
        must = "`--like` must be a picture that this command made"
        raise ArgumentProblem(f"{must}, got {str(path)!r}{said}") from problem


def as_metadata(recipe: Recipe) -> dict[str, Any]:
    """What a picture carries, so that it can be made again."""
    return {"portrait": asdict(recipe)}


def place(arguments: argparse.Namespace, recipe: Recipe) -> Path:
    """Where the picture goes.

    Raises:
        ArgumentProblem: a name of another kind.
        OSError: no folder can be made there.
    """
    kind = ".gif" if recipe.turns else ".png"
    if arguments.out is not None and arguments.out.suffix != kind:
        raise ArgumentProblem(f"`--out` must end in {kind}, got {str(arguments.out)!r}")
    if arguments.out is not None:
        path = arguments.out
    elif arguments.run is not None:
        path = arguments.run / "figures" / ("_".join(["portrait", f"cell{arguments.cell}", *recipe.words]) + kind)
    else:
        axes = [
            f"{name}{value if isinstance(value, str) else np.format_float_positional(value, trim='-')}"
            for name, value in recipe.axes.items()
        ]
        path = Path("results/figures") / ("_".join(["portrait", recipe.system, *axes, *recipe.words]) + kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
