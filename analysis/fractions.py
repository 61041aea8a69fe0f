"""Which minimum does a training end in? Shares of the outcomes against a lever, with the other levers as rows and
columns.

    python -m analysis.fractions RUN [--x init_scale] [--where width=2] [--out FILE]

RUN is of a learning system. Where examples are told right or wrong the outcomes are solved, poor, collapsed; elsewhere
they are the minima, the deepest first. Nothing is simulated.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import captions, command, style
from analysis.outcomes import OUTCOMES, at_rest, check_learning, classified, counted, varied_levers
from attractor_jax.basins import wilson
from attractor_jax.minima import label_minima
from attractor_jax.trainings import levers

MOST_ROWS, MOST_COLUMNS = 8, 4
MOST_BARS = 12  # values of the lever up to which each has a bar
MOST_MINIMA = 5  # orbits that have a colour of their own
WANTED = ("solved", "solved_moving")


@dataclass(frozen=True)
class Stack:
    """What shares are of: classes of trainings, from the bottom of a stack to its top.

    Attributes:
        of_row: (cells,), the class of each.
        looks: of each class, in their order: how it is filled.
        names: of each class, for the legend.
        wanted: those whose share, together, has its interval drawn.
        told: what that share is.
    """

    of_row: np.ndarray
    looks: dict[str, dict[str, Any]]
    names: dict[str, str]
    wanted: tuple[str, ...]
    told: str


def default_x(df: pd.DataFrame) -> str:
    """The lever with most values, the first of them in the table's order; lr where none varies."""
    return max(varied_levers(df), key=lambda axis: df[axis].nunique(), default="lr")


@style.styled
def draw(df: pd.DataFrame, x: str | None = None, *, level: float = 0.95) -> Figure:
    """Stacked shares of what came of the trainings, against a lever.

    Args:
        df: what `read_run` gives of a learning system. Empty, the figure says so.
        x: the lever along the bottom; `default_x` where None. Of the others that vary, that with most values makes
            columns, and the rest make rows: none is pooled.
        level: of the intervals.

    Raises:
        ValueError: another system, an axis that is no lever, or more panels than one figure holds.
    """
    if df.empty:
        return style.blank("no cells in this table")
    check_learning(df)
    x = default_x(df) if x is None else x
    known = levers(df)
    if x not in known:
        raise ValueError(f"`x` must be a lever ({', '.join(known)}), got {x!r}")
    across, rows, columns = _arranged(df, x)
    stack = _stack(df)
    scale = style.Scale.of(df[x])
    scale = style.Scale(scale.values, "even") if len(scale.values) <= MOST_BARS else scale
    height = 1.15 if len(rows) > 3 else 1.7
    figure = style.new_figure(len(rows) * height + 1.9)
    grid = figure.subplots(len(rows), len(columns), squeeze=False, sharex=True, sharey=True)
    z = _deviations(level)
    counts: list[int] = []
    widest = 0.0
    for (i, row), (j, column) in itertools.product(enumerate(rows), enumerate(columns)):
        ax = grid[i, j]
        here = np.logical_and.reduce([df[name] == value for name, value in {**row, **column}.items()], axis=0)
        here = np.broadcast_to(here, len(df))
        of_each, width = _panel(ax, scale, df[x].to_numpy()[here], stack, stack.of_row[here], z)
        counts += of_each
        widest = max(widest, width)
        if i == len(rows) - 1:
            ax.set_xlabel(style.axis_label(x) if len(columns) <= 3 else x)
        if i == 0:
            ax.set_title(_named(column))
    for ax, row in zip(grid[:, 0], rows, strict=True):
        ax.set_yticks([0, 0.5, 1], labels=["0", "50 %", "100 %"])
        ax.set_ylabel("\n".join(f"{name} = {style.number(value)}" for name, value in row.items()) or "share")
    bars = scale.kind == "even"
    _legend(figure, stack, bars=bars)
    note = _note(stack, counts, level, widest, bars=bars)
    captions.caption(figure, df, [x, *rows[0], *columns[0]], [note])
    return figure


def _arranged(df: pd.DataFrame, x: str) -> tuple[list[str], list[dict[str, Any]], list[dict[str, Any]]]:
    """The levers other than `x`, and the values of theirs that make rows and columns."""
    others = sorted(varied_levers(df, x), key=lambda axis: -df[axis].nunique())
    across = next((axis for axis in ("lr", *others) if axis in others and df[axis].nunique() <= MOST_COLUMNS), None)
    upwards = [axis for axis in varied_levers(df, x) if axis != across]
    values = {axis: np.sort(df[axis].unique()).tolist() for axis in others}
    rows = [dict(zip(upwards, each, strict=True)) for each in itertools.product(*(values[axis] for axis in upwards))]
    columns = [{across: value} for value in values[across]] if across is not None else [{}]
    if len(rows) > MOST_ROWS:
        told = ", ".join(f"{axis} ({len(values[axis])})" for axis in others)
        most = f"{MOST_ROWS} x {MOST_COLUMNS}"
        raise ValueError(f"`where` must leave at most {most} panels beside `x`, got values of {told}")
    return others, rows, columns


def _stack(df: pd.DataFrame) -> Stack:
    """The classes that occur in a table."""
    if df["accuracy"].notna().any():
        of_row = classified(df)
        present = [name for name in OUTCOMES if (of_row == name).any()]
        looks = {name: style.outcome_look(name) for name in present}
        names = {name: style.OUTCOME_NAMES.get(name, name) for name in present}
        return Stack(of_row, looks, names, WANTED, "share solved")
    try:
        orbit = label_minima(df)["orbit"].to_numpy(int)
    except ValueError as problem:
        raise ValueError(str(problem).replace("`df`", "`run`")) from problem
    orbit = np.where(at_rest(df) | (orbit < 1), orbit, 0)
    shallow = int(min(orbit.max(initial=0), MOST_MINIMA))
    of_row = np.array([_of_orbit(int(each), shallow) for each in orbit], object)
    colours = style.group_colours(max(shallow, 2))[::-1]
    looks, names = {}, {}
    for i in range(1, shallow + 1):
        if not (of_row == f"minimum {i}").any():
            continue
        looks[f"minimum {i}"] = {"facecolor": colours[i - 1], "edgecolor": "white", "linewidth": 0.4}
        names[f"minimum {i}"] = "deepest minimum" if i == 1 else f"minimum {i}"
    if (of_row == "others").any():
        looks["others"] = {"facecolor": style.BANDS[1], "edgecolor": "white", "linewidth": 0.4}
        names["others"] = counted(int(orbit.max()) - shallow, "shallower one")
    for name in ("unresolved", "diverged"):
        if (of_row == name).any():
            looks[name], names[name] = style.outcome_look(name), name
    return Stack(of_row, looks, names, ("minimum 1",), "share in the deepest")


def _of_orbit(orbit: int, shallow: int) -> str:
    if orbit < 1:
        return "unresolved" if orbit == 0 else "diverged"
    return f"minimum {orbit}" if orbit <= shallow else "others"


def _panel(
    ax: Axes, scale: style.Scale, values: np.ndarray, stack: Stack, of_row: np.ndarray, z: float
) -> tuple[list[int], float]:
    """Stacks of shares, and the interval of what is wanted; returns the trainings at each value, and the widest
    interval."""
    place = np.searchsorted(scale.values, values)
    n = np.bincount(place, minlength=len(scale.values))
    there = n > 0
    at = scale.positions
    floor = np.zeros(len(at))
    bars = scale.kind == "even"
    ax.set_facecolor("#ffffff")
    for name, look in stack.looks.items():
        count = np.bincount(place[of_row == name], minlength=len(at))
        share = np.divide(count, n, out=np.zeros(len(at)), where=there)
        if bars:
            ax.bar(at[share > 0] - 0.1, share[share > 0], bottom=floor[share > 0], width=0.62, **look)
        else:
            ax.fill_between(at, floor, floor + share, step="mid", **{**look, "linewidth": 0.0})
        floor = floor + share
    count = np.bincount(place[np.isin(of_row, stack.wanted)], minlength=len(at))[there]
    low, high = wilson(count, n[there], z=z)
    beside = at[there] + 0.36 * bars
    if bars:
        ax.vlines(beside, low, high, color=style.INK, linewidth=1.0, zorder=4, clip_on=False)
        ax.plot(beside, count / n[there], "o", color=style.INK, markersize=2.6, zorder=5, clip_on=False)
    else:  # bars at hundreds of values would be one black field: their ends alone are drawn
        for side in (low, high):
            ax.step(beside, side, where="mid", color="white", linewidth=2.0, zorder=3)
            ax.step(beside, side, where="mid", color=style.INK, linewidth=0.8, zorder=4)
    scale.dress(ax, "x", "", cells=True)
    if len(at) == 1:
        ax.set_xlim(-1.5, 1.5)
    ax.tick_params(axis="x", length=0 if bars else 3)
    ax.set_ylim(0, 1)
    return n[there].tolist(), float(np.max(high - low, initial=0.0))


def _named(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {style.number(value)}" for name, value in values.items())


def _legend(figure: Figure, stack: Stack, *, bars: bool) -> None:
    label = f"{stack.told}, with interval, beside" if bars else f"interval of the {stack.told}"
    point = Line2D([], [], color=style.INK, marker="o" if bars else "", markersize=3, linewidth=1.0, label=label)
    patches = [Patch(label=stack.names[name], **{**look, "edgecolor": "#777777"}) for name, look in stack.looks.items()]
    handles: Sequence[Line2D | Patch] = [*patches, point]
    columns = min(4, len(handles))
    figure.legend(
        handles=style.by_rows(handles, columns), loc="outside upper left", ncols=columns, columnspacing=1.6,
        handlelength=1.6,
    )  # fmt: skip


def _deviations(level: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf((1 + level) / 2)


def _note(stack: Stack, counts: list[int], level: float, widest: float, *, bars: bool) -> str:
    low, high = min(counts), max(counts)
    n = counted(low) if low == high else f"{low:,} to {counted(high)}"
    told = (
        f"{n} at each {'bar' if bars else 'value'}. {'Points' if bars else 'Lines'}: {stack.told}, with Wilson's "
        f"{100 * level:g} % intervals, at most {100 * widest:.2g} points wide. "
    )
    if "minimum 1" in stack.wanted:
        return told + (
            "Minima up to the problem's symmetries, numbered from the deepest for each width and weight_decay. "
            "Unresolved: not at rest in a minimum; cycles and chaos are among them."
        )
    return told + (
        "Solved: all examples told right and a loss below 0.1. At rest: Newton's step to a minimum is short. "
        "Collapsed: at rest where all parameters are 0; poor: at rest in another minimum; unresolved: neither solved "
        "nor at rest."
    )


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.fractions", "Draw which share of trainings ends in which minimum.", free_x=False
    )
    parser.add_argument("--x", metavar="LEVER", help="lever along the bottom (default: the one with most values)")

    def make(df: pd.DataFrame, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        check_learning(df)
        command.check_axis(df, "--x", arguments.x)
        return draw(df, arguments.x), [] if arguments.x is None else [arguments.x]

    return command.figure_command(parser, argv, "fractions", make)


if __name__ == "__main__":
    raise SystemExit(main())
