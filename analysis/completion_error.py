"""How much of what was cut out of images do the loops bring back, and for how long? The error e(t) after each stage of
the training, beside fills of the hole without a network.

    python -m analysis.completion_error RUN [--where task=completion] [--out FILE]

RUN is of system=continuous. Nothing is simulated.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator

from analysis import captions, command, style
from analysis.groups import groups
from analysis.trained import ASKED, check_continuous, networks, titled
from attractor_jax.axes import varied_axes
from attractor_jax.pattern_errors import TIMES
from attractor_jax.phase import LEVEL, RESAMPLES, median_table

# Panels beside each other, in all, and up to how many there is room for the parts of the error.
COLUMNS, MOST_PANELS, FEW_PANELS = 4, 16, 4
MOST_STAGES = 8
# Beyond this error curves are cut off: where orbits escape they have any size. Below the other none is drawn.
CUT, LEAST = 10.0, 1e-4
APART = 0.06  # along log(1 + t): one T and the next, so that intervals and marks are told apart
FILLED = "#555555"

ERRORS = tuple(f"e{time}" for time in TIMES)
FILLS: dict[str, tuple[str, Any]] = {
    "fill_mean": ("mean image in the hole", (0, (1, 1.2))),
    "fill_pca": ("principal components", (0, (5, 1.5))),
    "fill_nearest": ("nearest training image", (0, (5, 1.2, 1, 1.2))),
}
PARTS: dict[str, tuple[str, Any]] = {
    "error_in_hole": ("in the hole", "-"),
    "error_outside": ("outside", (0, (2.5, 1.2))),
}


@style.styled
def draw(df: pd.DataFrame, *, level: float = LEVEL, resamples: int = RESAMPLES) -> Figure:
    """e(t) of each T, a panel for each task (and what else varies), with what fills without a network reach; beneath,
    as far as there is room, its parts in the hole and outside.

    Args:
        df: what `read_run` gives of system `continuous`. Empty, the figure says so.
        level: of the intervals.
        resamples: of the seeds. Fewer than about 200 make ragged intervals.

    Raises:
        ValueError: another system, more panels or more values of T than one figure holds.
    """
    if df.empty:
        return style.blank("no cells in this table")
    check_continuous(df)
    df = networks(df, "components")
    axes = ["task", *(axis for axis in varied_axes(df) if axis not in ("task", "T", "seed"))]
    found = groups(df, axes)
    if len(found) > MOST_PANELS:
        many = ", ".join(f"{axis} ({df[axis].nunique()})" for axis in axes if df[axis].nunique() > 1)
        raise ValueError(f"`where` must leave at most {MOST_PANELS} panels, got {len(found)}: values of {many}")
    stages = np.sort(df["T"].unique()).tolist()
    if len(stages) > MOST_STAGES:
        raise ValueError(f"`where` must leave at most {MOST_STAGES} values of T, got {len(stages)}")
    colours = dict(zip(stages, style.group_colours(len(stages)), strict=True))
    shifts = {T: (i - (len(stages) - 1) / 2) * APART for i, T in enumerate(stages)}

    columns = min(len(found), COLUMNS)
    above = -(-len(found) // columns)
    rows = above + (len(found) <= FEW_PANELS)
    figure = style.new_figure(rows * (2.2 if columns <= 2 else 1.75) + 2.0)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey="row" if rows > above else True)
    whole: list[np.ndarray] = []
    parts: list[np.ndarray] = []
    for number, group in enumerate(found):
        ax = grid.ravel()[number]
        medians = curves(group.rows, ERRORS, level=level, resamples=resamples)
        for T, curve in medians.items():
            _line(ax, curve, colours[T], shifts[T], "-", intervals=True)
            whole.append(curve[["value", "low", "high"]].to_numpy().ravel())
        ax.set_title(titled(axes, group.values))
        if rows == above:
            continue
        ax = grid[-1, number]
        for name, (_, dash) in PARTS.items():
            spread = np.stack(group.rows[name].to_list())
            of_each = {f"{name}_{time}": spread[:, i] for i, time in enumerate(TIMES)}
            medians = curves(group.rows.assign(**of_each), list(of_each), level=level, resamples=1)
            for T, curve in medians.items():
                _line(ax, curve, colours[T], shifts[T], dash, intervals=False)
                parts.append(curve["value"].to_numpy())
    low, high = _limits(np.concatenate([*whole, df[list(FILLS)].to_numpy(float).ravel()]))
    named = [_baselines(ax, group.rows) for ax, group in zip(grid.ravel(), found, strict=False)]
    low *= (low / high) ** (0.09 * max(named))  # room for their names
    for number, ax in enumerate(grid.ravel()):
        _dress(ax, *((low, high) if number < above * columns else _limits(np.concatenate(parts))))
    for ax in grid.ravel()[len(found) : above * columns]:
        ax.set_axis_off()
    for ax in grid.ravel()[max(len(found) - columns, 0) : len(found)] if rows == above else grid[-1]:
        ax.tick_params(labelbottom=True)  # the lowest of each column
        ax.set_xlabel("loops t")
    for row, ax in enumerate(grid[:, 0]):
        ax.set_ylabel("error e(t)" if row < above else "its parts")
    figure.legend(handles=_legend(df, colours, rows > above), loc="outside upper left", ncols=4)
    df = df.drop(columns=[axis for axis in ASKED if axis != "components"])
    captions.caption(figure, df, ["T", *axes], _notes(df, high, level), orbits=False)
    return figure


def curves(rows: pd.DataFrame, columns: Sequence[str], *, level: float, resamples: int) -> dict[int, pd.DataFrame]:
    """For each T the medians over seeds, with intervals, of columns that belong to `TIMES`: a row for each time."""
    tables = [median_table(rows, "T", column=name, level=level, resamples=resamples) for name in columns]
    both = pd.concat([table.assign(time=time) for table, time in zip(tables, TIMES, strict=True)])
    return {T: both[both["T"] == T].reset_index(drop=True) for T in np.sort(rows["T"].unique()).tolist()}


def _line(ax: Axes, curve: pd.DataFrame, colour: str, shift: float, dash: Any, *, intervals: bool) -> None:
    """Medians, cut off where they are beyond the panel: a mark at its top says so."""
    at = np.log1p(curve["time"].to_numpy(float)) + shift
    value, low, high = (curve[name].to_numpy(float) for name in ("value", "low", "high"))
    beyond = value > CUT
    ax.plot(at, np.where(value > 0, np.minimum(value, CUT), np.nan), color=colour, linestyle=dash, zorder=3)
    if beyond.any():  # a line without points would still take part in the layout
        ax.plot(at[beyond], np.full(beyond.sum(), CUT), "^", color=colour, markersize=5.5, zorder=4)
    if intervals:
        ax.plot(at[~beyond], value[~beyond], "o", color=colour, markersize=3, zorder=3)
        within = (low < CUT) & (high > low)  # not of NaN
        if within.any():
            foot = np.maximum(low[within], LEAST / 10)
            ax.vlines(at[within], foot, np.minimum(high[within], CUT), color=colour, linewidth=1, zorder=2)


def _limits(values: np.ndarray) -> tuple[float, float]:
    """The range of errors that is drawn: of these, as far as they are neither cut off nor tiny."""
    high = CUT * 1.35 if (values > CUT).any() else max(float(values[values <= CUT].max(initial=1.0)) * 1.5, 1.5)
    return float(values[values >= LEAST].min(initial=0.5)) / 1.5, min(high, CUT * 1.35)


def _baselines(ax: Axes, rows: pd.DataFrame) -> int:
    """What fills reach without a network, and what the hole did; returns how many are too small to be drawn, and are
    named at the bottom."""
    ax.axhline(1, color=style.FAINT, linewidth=0.8, zorder=1)
    below = []
    for name, (words, dash) in FILLS.items():
        error = float(rows[name].median())
        if error < LEAST:
            below.append(f"{words}: {error:.0e} ↓".replace("-", "\N{MINUS SIGN}"))
        elif np.isfinite(error):
            ax.axhline(error, color=FILLED, linewidth=1, linestyle=dash, zorder=1)
    if below:
        ax.text(0.02, 0.02, "\n".join(below), transform=ax.transAxes, fontsize=7, color=FILLED, va="bottom")
    return len(below)


def _dress(ax: Axes, low: float, high: float) -> None:
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    style.log_ticks(ax.yaxis, np.array([low, high]), crowded=150)
    ax.xaxis.set_major_locator(FixedLocator(np.log1p(TIMES).tolist()))
    ax.xaxis.set_major_formatter(FixedFormatter([str(time) for time in TIMES]))
    ax.set_xlim(-0.2, float(np.log1p(TIMES[-1])) + 0.2)


def _legend(df: pd.DataFrame, colours: Mapping[int, str], parts: bool) -> list[Line2D | Patch]:
    first = [Line2D([], [], color=colour, marker="o", markersize=3, label=f"T = {T}") for T, colour in colours.items()]
    second = [Line2D([], [], color=style.FAINT, linewidth=0.8, label="1: the hole as it is")]
    for words, dash in FILLS.values():
        second.append(Line2D([], [], color=FILLED, linewidth=1, linestyle=dash, label=words))
    third = [Line2D([], [], color=style.INK, linestyle=dash, label=f"part {words}") for words, dash in PARTS.values()]
    rows = [first, second, third if parts else []]
    blank = Line2D([], [], linestyle="none", label=" ")
    return style.by_rows([each for row in rows for each in [*row, *[blank] * (-len(row) % 4)]], 4)


def _notes(df: pd.DataFrame, high: float, level: float) -> list[str]:
    counts = df.groupby([axis for axis in varied_axes(df) if axis != "seed"] or ["T"], observed=True)["seed"].nunique()
    if counts.max() == 1:
        sure = "One seed in each panel: no intervals."
    else:
        n = " to ".join(dict.fromkeys(str(each) for each in (counts.min(), counts.max())))
        sure = f"Medians over {n} seeds; bars are {100 * level:g} % intervals, bootstrapped over seeds."
    notes = [
        "e(t) = Σ|x(t) − d|² / Σ|x(0) − d|² over all held-out images d, from images with a hole: one that escapes "
        f"makes the sum its own. {sure} t is spaced as log(1 + t).",
        "Fills know where the hole is, and change nothing else; the network is not told, and changes the whole image.",
    ]
    largest = df[list(ERRORS)].max(axis=1)
    if high > CUT and (many := int((~(largest <= CUT)).sum())):
        of = f"{many:,} of {len(df):,} networks"
        notes.append(f"▲: a median beyond {CUT:g}, where curves are cut off; {of} get there within {TIMES[-1]} loops.")
    return notes


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.completion_error", "Draw how well holes are filled after some loops.", free_x=False
    )

    def make(df: pd.DataFrame, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        return draw(df), []

    return command.figure_command(parser, argv, "completion_error", make)


if __name__ == "__main__":
    raise SystemExit(main())
