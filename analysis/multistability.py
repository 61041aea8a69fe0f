"""How many attractors coexist? Their number in each network of a run, and along an axis.

    python -m analysis.multistability RUN [--x s] [--y seed] [--where N=4] [--out FILE]

A run has several initial states of each network (axis replicate, or u and v). Nothing is simulated.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import captions, command, style
from attractor_jax.attractors import label_attractors, network_columns
from attractor_jax.axes import table_axes
from attractor_jax.coexistence import attractor_counts, coexistence
from attractor_jax.phase import LEVEL, RESAMPLES, binned

# Colours of the numbers of attractors: one is paper, more are ever darker; the last stands for itself and all above.
MOST = 8
MANY = ("o", "s")  # marks of attractors and of orbits


def default_axes(df: pd.DataFrame, x: str | None, y: str | None) -> tuple[str, str | None]:
    """The axes of the figure where the reader left them open, of those that tell networks apart: along the bottom s if
    it varies, else the one with most values; upwards seed, else the one with most values.
    """
    axes = [name for name in network_columns(df) if name in table_axes(df)]
    varied = sorted((name for name in axes if df[name].nunique() > 1), key=lambda name: -df[name].nunique())
    if x is None:
        open_axes = [name for name in varied if name not in ("seed", y)] or [name for name in varied if name != y]
        fixed = "s" if "s" in axes and y != "s" else axes[-1]
        x = "s" if "s" in open_axes else (open_axes or [fixed])[0]
    if y is None:
        others = [name for name in varied if name != x]
        y = "seed" if "seed" in others else (others or [None])[0]
    return x, y


@style.styled
def draw(
    df: pd.DataFrame, x: str | None = None, y: str | None = None, *, level: float = LEVEL, resamples: int = RESAMPLES
) -> Figure:
    """Attractors of each network over two axes, and below along one: their mean number, and the share of networks that
    have several.

    Args:
        df: what `read_run` gives. Empty, the figure says so.
        x, y: axes; chosen by `default_axes` where None.
        level: of the intervals.
        resamples: of the seeds. Fewer than about 200 make ragged intervals.

    Raises:
        ValueError: an axis that tells no networks apart, or one initial state of each network.
    """
    if df.empty:
        return style.blank("no cells in this table")
    axes = [name for name in network_columns(df) if name in table_axes(df)]
    if not axes or len(df) == len(df.drop_duplicates(network_columns(df))):
        raise ValueError("`run` must have several initial states of each network, got one: see the axis replicate")
    x, y = default_axes(df, x, y)
    for name, axis in (("x", x), ("y", y)):
        if axis is not None and axis not in axes:
            raise ValueError(f"`{name}` must be one of {', '.join(axes)}, got {axis!r}")
    df = label_attractors(df)
    notes = []
    if df[x].dtype.kind == "f" and df[x].nunique() > style.FINE:
        counted = binned(attractor_counts(df).merge(df.drop_duplicates(network_columns(df))), x)
        notes.append(f"{x} gathered into bins.")
        df = df.merge(counted)
    table = coexistence(df, x, level=level, resamples=resamples)
    figure = style.new_figure(6.6 if y is not None else 4.4)
    ratios = [1.5, 1, 0.8] if y is not None else [1, 0.8]
    panels = figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios)
    if y is not None:
        _map(panels[0], df, x, y)
    _means(panels[-2], style.Scale.of(df[x]), table)
    _share(panels[-1], style.Scale.of(df[x]), table, x)
    shown = [axis for axis in (x, y) if axis is not None]
    captions.caption(figure, df, shown, [_note(df, table, level), *notes])
    return figure


def _map(ax: Axes, df: pd.DataFrame, x: str, y: str) -> None:
    """The number of attractors of each network, or its mean where several networks are at one point."""
    counts = attractor_counts(df)
    points = counts.groupby([y, x], sort=True).agg(
        number=("attractors", "mean"), cells=("n_cells", "sum"), lost=("n_unresolved", "sum"), out=("n_diverged", "sum")
    )
    points = points.reset_index()
    across, up = style.Scale.of(df[x]), style.Scale.of(df[y])
    image = np.full((len(up.values), len(across.values)), np.nan)
    column = np.searchsorted(across.values, points[x].to_numpy())
    line = np.searchsorted(up.values, points[y].to_numpy())
    image[line, column] = points["number"].to_numpy()
    most = int(np.clip(np.nanmax(image), 2, MOST))
    colours = ListedColormap(
        ["#f7f4ee", *[to_hex(style.SHARE(0.2 + 0.8 * i / max(most - 2, 1))) for i in range(most - 1)]]
    )
    ax.set_facecolor(style.NO_VALUE)
    ax.pcolormesh(
        across.edges,
        up.edges,
        np.ma.array(image, mask=~(image > 0)),
        cmap=colours,
        norm=BoundaryNorm(np.arange(0.5, most + 1), most),
        edgecolors="white" if image.size <= 900 else "face",
        linewidth=0.3,
    )
    across.dress(ax, "x", x, cells=True)
    up.dress(ax, "y", y, cells=True)
    ax.set_xlabel("")
    ax.spines[:].set_visible(True)
    names = [str(n) for n in range(1, most + 1)]
    names[0] += " attractor"
    names[-1] += " or more" if np.nanmax(image) > MOST else ""
    shades = [colours(n) for n in range(most)]
    legend: list[Patch | Line2D] = [
        Patch(facecolor=shade, edgecolor="#555555", linewidth=0.4, label=name)
        for shade, name in zip(shades, names, strict=True)
    ]
    lost = ((points["lost"] + points["out"]) > style.HATCHED_FROM * points["cells"]).to_numpy()
    for place, row in zip(column[lost], line[lost], strict=True):
        corners = across.edges[[place, place + 1]], up.edges[[row, row + 1]]
        look = {"facecolor": "none", "edgecolor": "#555555", "hatch": style.FAILED_HATCH, "linewidth": 0}
        ax.fill_between(corners[0], *corners[1], **look)
    if lost.any():
        name = f"over {100 * style.HATCHED_FROM:g} % of\ncells unresolved"
        legend.append(Patch(facecolor="none", edgecolor="#555555", hatch=style.FAILED_HATCH, linewidth=0.4, label=name))
    style.legend_outside(ax, legend[::-1])


def _means(ax: Axes, scale: style.Scale, table: pd.DataFrame) -> None:
    """Mean numbers of attractors, and of orbits."""
    legend: list[Patch | Line2D] = []
    for name, marker, colour, told in (
        ("attractors", MANY[0], style.INK, "attractors"),
        ("orbits", MANY[1], style.FAINT, "mirror images\ncounted once"),
    ):
        if name == "orbits" and np.allclose(table["orbits"], table["attractors"]):
            continue
        _curve(ax, scale, table, name, marker, colour)
        legend.append(Line2D([], [], color=colour, marker=marker, markersize=3, label=told))
    ax.set_ylim(min(1.0, ax.get_ylim()[0]), None)
    ax.set_ylabel("mean number")
    style.legend_outside(ax, legend)


def _share(ax: Axes, scale: style.Scale, table: pd.DataFrame, x: str) -> None:
    """Networks with more than one attractor."""
    _curve(ax, scale, table, "several", "o", style.INK)
    ax.set_ylim(0, 1)
    ax.set_ylabel("share with\nseveral")
    scale.dress(ax, "x", x, cells=True)


def _curve(ax: Axes, scale: style.Scale, table: pd.DataFrame, name: str, marker: str, colour: str) -> None:
    at = scale.place(table[table.columns[0]].to_numpy())
    line = "none" if scale.kind == "even" else "-"
    ax.vlines(at, table[f"{name}_low"], table[f"{name}_high"], color=colour, linewidth=0.8)
    ax.plot(at, table[name], marker, linestyle=line, color=colour, markersize=2.6)


def _note(df: pd.DataFrame, table: pd.DataFrame, level: float) -> str:
    counts = attractor_counts(df)
    low, high = int(counts["n_cells"].min()), int(counts["n_cells"].max())
    starts = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    lost = int(counts["n_unresolved"].sum())
    told = f"{starts} initial states of each network: what none of them found is not counted. "
    told += f"{lost:,} cells unresolved ({100 * lost / len(df):.2g} %). " if lost else ""
    among = "seeds" if "seed" in df.columns else "networks"
    if (table["n_seeds"] > 1).any():
        told += f"Intervals: {100 * level:g} %, bootstrapped over {among}; Wilson's where all agree."
    return told


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.multistability", "Draw how many attractors coexist in the networks of a run."
    )
    parser.add_argument("--y", metavar="AXIS", help="axis upwards in the map (default: seed, if it varies)")

    def make(df: pd.DataFrame, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        command.check_axis(df, "--x", arguments.x)
        command.check_axis(df, "--y", arguments.y)
        if arguments.x is not None and arguments.x == arguments.y:
            raise command.ArgumentProblem(f"`--y` must be another axis than `--x`, got {arguments.y!r} for both")
        words = [axis for axis in (arguments.x, arguments.y) if axis is not None]
        return draw(df, arguments.x, arguments.y), words

    return command.figure_command(parser, argv, "multistability", make)


if __name__ == "__main__":
    raise SystemExit(main())
