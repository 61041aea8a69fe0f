"""How large are the basins of minima? The share of trainings that comes back from each distance, and size beside depth
and walls.

    python -m analysis.basin_stability RUN [--where width=2] [--out FILE]

RUN is of a learning system, and has basin_stability.parquet and attractors.parquet (python -m sweeps.basins RUN).
Nothing is simulated.
"""

from __future__ import annotations

import argparse
import string
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis import captions, command, style
from analysis.groups import groups
from attractor_jax.minima import LANDSCAPE
from attractor_jax.trainings import levers

MOST_PANELS = 6
FEWEST = 3  # orbits from which on sizes are set against depths and barriers
MARKS = ("o", "s", "^", "D", "v", "P")


@style.styled
def draw(df: pd.DataFrame, stability: pd.DataFrame, minima: pd.DataFrame) -> Figure:
    """A panel of curves for each landscape, and below them r50 against depth and barrier.

    Args:
        df: what `read_run` gives, for the caption. Empty, the figure says so.
        stability: the run's table basin_stability.parquet.
        minima: its attractors.parquet.

    Raises:
        ValueError: tables without a size, more landscapes than one figure holds.
    """
    if df.empty or stability.empty:
        return style.blank("no cells in this table" if df.empty else "no minimum in this table")
    if "r50" not in minima.columns:
        raise ValueError(
            "`run` must have sizes of basins: python -m sweeps.basins RUN measures those of one training rule"
        )
    axes = [axis for axis in LANDSCAPE if axis in stability.columns]
    orbits = orbit_table(minima)
    varied = [axis for axis in axes if stability[axis].nunique() > 1]
    panels = groups(stability, varied)
    if len(panels) > MOST_PANELS:
        raise ValueError(f"`where` must leave at most {MOST_PANELS} landscapes to one figure, got {len(panels)}")
    depths = stability[[*axes, "orbit"]].drop_duplicates().merge(orbits, on=[*axes, "orbit"])
    low, high = float(depths["depth"].min()), float(depths["depth"].max())
    norm = Normalize(low, high if high > low else low + 1)
    several = len(depths) >= FEWEST
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = style.new_figure(2.5 * rows + 2.5 * several + 1.5)
    top: Any = figure
    bottom: Any = None
    if several:
        halves: Any = figure.subfigures(2, 1, height_ratios=[2.5 * rows, 2.5])
        top, bottom = halves
    grid = top.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    letters = iter(string.ascii_lowercase)
    for ax, panel in zip(grid.ravel(), panels, strict=False):
        mine = panel.rows.merge(orbits, on=[*axes, "orbit"])
        _curves(ax, mine, norm)
        ax.set_title(f"{next(letters)}  " + (panel.name or f"{mine['orbit'].nunique()} orbits"))
    for ax in grid.ravel()[len(panels) :]:
        ax.set_axis_off()
    for ax in grid[:, 0]:
        ax.set_ylabel("share that comes back, S(r)")
    for i, ax in enumerate(grid.ravel()[: len(panels)]):
        if i + columns >= len(panels):
            ax.set_xlabel("distance of the start, r")
            ax.tick_params(labelbottom=True)
    bar = top.colorbar(ScalarMappable(norm, style.GROUPS), ax=list(grid.ravel()), pad=0.02, aspect=18)
    bar.set_label("depth: objective")
    bar.outline.set_linewidth(0.7)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    if bottom is not None:
        _sizes(bottom, depths, varied, norm, letters)
    captions.caption(figure, of_the_rule(df, minima), [], _notes(minima, depths, axes))
    return figure


def of_the_rule(df: pd.DataFrame, minima: pd.DataFrame) -> pd.DataFrame:
    """The trainings with the training rule of those that minima were found by."""
    rule = [axis for axis in levers(df) if axis not in ("init_scale", *LANDSCAPE)]
    found = df.loc[df["cell_id"].isin(minima["cell_id"]), rule].drop_duplicates()
    kept = df[df[rule].apply(tuple, axis=1).isin(list(found.itertuples(index=False, name=None)))] if rule else df
    return kept if len(kept) else df


def orbit_table(minima: pd.DataFrame) -> pd.DataFrame:
    """One row an orbit of minima: the landscape's axes, `orbit`, `depth`, `r50`, `barrier` (the least of its copies),
    `copies` and `count`, trainings that ended in any of them.
    """
    axes = [axis for axis in LANDSCAPE if axis in minima.columns]
    how = {"depth": "min", "r50": "first", "barrier": "min", "copies": "first", "count": "sum"}
    return minima.groupby([*axes, "orbit"], sort=True).agg(how).reset_index()  # pyright: ignore[reportArgumentType, reportCallIssue]


def _curves(ax: Axes, rows: pd.DataFrame, norm: Normalize) -> None:
    """S(r) of each orbit, its interval, and its r50."""
    ax.axhline(0.5, color=style.FAINT, linewidth=0.6, linestyle=":", zorder=1)
    for _, curve in rows.sort_values("depth", ascending=False, kind="stable").groupby("orbit", sort=False):
        curve = curve.sort_values("radius")
        colour = style.GROUPS(norm(float(curve["depth"].iloc[0])))
        at = curve["radius"].to_numpy(float)
        ax.fill_between(at, curve["low"], curve["high"], color=colour, alpha=0.18, linewidth=0)
        ax.plot(at, curve["stability"], "-", color=colour, zorder=3)
        r50 = float(curve["r50"].iloc[0])
        if np.isfinite(r50):
            ax.plot(r50, 0.5, "o", color=colour, markersize=5, markeredgecolor="white", markeredgewidth=0.6, zorder=4)
    ax.set_xscale("log")
    style.log_ticks(ax.xaxis, rows["radius"].to_numpy(float), crowded=40)
    ax.set_ylim(-0.03, 1.03)


def _sizes(figure: Any, orbits: pd.DataFrame, varied: list[str], norm: Normalize, letters: Iterator[str]) -> None:
    """r50 against depth, and against the barrier."""
    left, right = figure.subplots(1, 2, sharey=True)
    finite = orbits[np.isfinite(orbits["r50"].to_numpy(float))]
    shown = groups(finite, varied)
    for ax, name, label in (
        (left, "depth", "depth: objective"),
        (right, "barrier", "barrier on a straight way: rise of the loss"),
    ):
        for panel, mark in zip(shown, MARKS, strict=False):
            inks = style.GROUPS(norm(panel.rows["depth"].to_numpy(float)))
            ax.scatter(
                panel.rows[name],
                panel.rows["r50"],
                s=30,
                c=inks,
                marker=mark,
                edgecolors="white",
                linewidths=0.5,
                zorder=3,
            )
        ax.set_xlabel(label)
        ax.set_title(next(letters))
    left.set_ylabel("size: r50")
    left.set_yscale("log")
    style.log_ticks(left.yaxis, finite["r50"].to_numpy(float), crowded=40)
    left.xaxis.set_major_locator(MaxNLocator(5))
    if (finite["barrier"] > 0).any():
        right.set_xscale("log")
        style.log_ticks(right.xaxis, finite["barrier"].to_numpy(float), crowded=40)
    if len(shown) > 1:
        style.legend_outside(
            right,
            [
                Line2D([], [], color=style.FAINT, marker=mark, linestyle="none", markersize=5, label=panel.name)
                for panel, mark in zip(shown, MARKS, strict=False)
            ],
        )


def _notes(minima: pd.DataFrame, orbits: pd.DataFrame, axes: list[str]) -> list[str]:
    beyond = int(np.isinf(orbits["r50"].to_numpy(float)).sum())
    ended = int(minima.merge(orbits[[*axes, "orbit"]], on=[*axes, "orbit"])["count"].sum())
    return [
        f"{len(orbits):,} orbits of minima, images under the network's symmetries counted as one; {ended:,} of the "
        "trainings ended in them. Each curve: trainings that begin at rest at a distance from one minimum of an orbit, "
        "with Wilson's 95 % intervals. Dot: r50, where half come back"
        + (f"; {beyond} beyond all distances." if beyond else ".")
        + " Orbits of equal depth may lie on one another.",
        "The barrier is the least rise of the loss on straight lines to other minima found, images of the same orbit "
        "included: an upper bound."
        if len(orbits) >= FEWEST
        else "",
    ]


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.basin_stability", "Draw how large the basins of a run's minima are.", free_x=False
    )

    def make(df: pd.DataFrame, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        stability, minima = (command.written_table(arguments.run, name) for name in ("basin_stability", "attractors"))
        if stability is None or minima is None:
            name = "basin_stability" if stability is None else "attractors"
            raise command.RunProblem(f"{arguments.run} has no {name}.parquet: python -m sweeps.basins RUN makes it")
        axes = [axis for axis in LANDSCAPE if axis in df.columns]
        there = df[axes].drop_duplicates()
        stability, minima = (table.merge(there, on=axes) if axes else table for table in (stability, minima))
        return draw(df, stability, minima), []

    return command.figure_command(parser, argv, "basin_stability", make)


if __name__ == "__main__":
    raise SystemExit(main())
