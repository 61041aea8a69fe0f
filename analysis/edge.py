"""Do trainings stop where the learning rate lets them? Sharpness at the end against the edge of stability.

    python -m analysis.edge RUN [--where momentum=0] [--out FILE]

At a minimum whose Hessian has an eigenvalue beyond 2 (1 + momentum) / lr no training can rest: the minimum repels.
RUN is of a learning system with one learning rate for all parameters. Nothing is simulated.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import captions, command, style
from analysis.outcomes import at_rest, check_learning, counted, diverged
from attractor_jax.axes import table_axes
from attractor_jax.minima import arrived

MOST_PANELS = 5
BINS = 60  # of the sharpness
MOST_COLUMNS = 12  # learning rates up to which each has a column of its own, with room between them
HALF = 0.36  # of such a column
# Where trainings did not arrive, the outermost 0.5 % do not set the scale, and are counted.
OUTERMOST = 0.005
ROWS = ("arrived", "did not arrive")


@style.styled
def draw(df: pd.DataFrame) -> Figure:
    """How many trainings end at which sharpness, over the learning rate, beside the edge of stability: a column for
    each momentum, a row for those that arrived at a minimum, one for those that did not, and the shares of both.

    Args:
        df: what `read_run` gives of a learning system. Empty, the figure says so.

    Raises:
        ValueError: another system, several learning rates for one training, or too many momenta.
    """
    if df.empty:
        return style.blank("no cells in this table")
    check_learning(df)
    if "lr_hidden" in table_axes(df):
        raise ValueError("`run` must have one learning rate for all parameters, got lr and lr_hidden")
    momenta = np.sort(df["momentum"].unique())
    if len(momenta) > MOST_PANELS:
        raise ValueError(f"`where` must leave at most {MOST_PANELS} values of momentum, got {len(momenta)}")
    scale = style.Scale.of(df["lr"])
    scale = style.Scale(scale.values, "even") if len(scale.values) <= MOST_COLUMNS else scale
    lost = diverged(df)
    rest = at_rest(df)
    sharpness = df["sharpness"].to_numpy(float)
    known = np.isfinite(sharpness) & ~lost
    rows = [name for name, here in zip(ROWS, (rest, known & ~rest), strict=True) if here.any()]
    edges = _edges(df, sharpness[rest & known], sharpness[known])
    figure = style.new_figure(2.1 * len(rows) + 2.6)
    ratios = [1.0] * len(rows) + [0.25]
    grid = figure.subplots(len(rows) + 1, len(momenta), squeeze=False, sharex=True, sharey="row", height_ratios=ratios)
    images = {
        (name, momentum): _counts(df, scale, edges, known & (rest == (name == ROWS[0])) & (df["momentum"] == momentum))
        for name in rows
        for momentum in momenta
    }
    most = max([2, *(int(image.max()) for image in images.values())])
    mesh = ScalarMappable(LogNorm(1, most), style.DENSITY)
    for j, momentum in enumerate(momenta):
        for i, name in enumerate(rows):
            ax = grid[i, j]
            image = images[name, momentum]
            borders = scale.edges
            if scale.kind == "even":  # columns with empty ones between them
                borders = (scale.positions[:, None] + [-HALF, HALF]).ravel()
                image = np.insert(image, np.arange(1, image.shape[1]), 0, axis=1)
            masked = np.ma.array(image, mask=image == 0)
            ax.pcolormesh(borders, edges, masked, cmap=mesh.get_cmap(), norm=mesh.norm, rasterized=True)
            _edge(ax, scale, float(momentum))
            ax.set_yscale("log" if edges[0] > 0 else "linear")
            ax.set_ylim(edges[0], edges[-1])
            if edges[0] > 0:
                style.log_ticks(ax.yaxis, edges)
            if i == 0:
                ax.set_title(f"momentum {style.number(momentum)}", fontsize=9 if len(momenta) < 5 else 8)
            if j == 0:
                ax.set_ylabel(f"{name}:\nsharpness")
        here = (df["momentum"] == momentum).to_numpy()
        _shares(grid[-1, j], df, scale, rest, lost, here)
        scale.dress(grid[-1, j], "x", "lr", cells=True)
        if scale.kind == "even" and len(momenta) > 3:
            grid[-1, j].tick_params(axis="x", rotation=90)
    grid[-1, 0].set_ylabel("share")
    if rows:
        bar = figure.colorbar(mesh, ax=grid[:-1], pad=0.015, aspect=30)
        style.log_ticks(bar.ax.yaxis, np.array([1.0, most]))
        bar.set_label("trainings in a field")
        bar.outline.set_linewidth(0.7)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    legend: list[Patch | Line2D] = [
        Line2D([], [], color=style.EDGE, linewidth=1.6, label="sharpness = 2 (1 + momentum) / lr"),
        Patch(facecolor=style.OUTCOME_COLOURS["solved"], label="arrived"),
        style.outcome_patch("unresolved", "did not arrive"),
        style.outcome_patch("diverged"),
    ]
    figure.legend(handles=legend, loc="outside upper left", ncols=4, columnspacing=1.4, handlelength=1.6)
    captions.caption(figure, df, ["lr", "momentum"], _notes(df, rest, known, edges))
    return figure


def _edges(df: pd.DataFrame, arrived_at: np.ndarray, sharpness: np.ndarray) -> np.ndarray:
    """Borders of the bins upwards: even in the logarithm unless sharpness is negative somewhere."""
    if not len(sharpness):
        return np.linspace(0.0, 1.0, 2)
    # The edge at the largest learning rate that lives belongs to the picture, for every momentum.
    alive = df[~diverged(df)]
    lowest = (2 * (1 + alive["momentum"]) / alive["lr"]).groupby(alive["momentum"]).min()
    shown = [*np.quantile(sharpness, [OUTERMOST, 1 - OUTERMOST]), *arrived_at, *lowest]
    low, high = float(min(shown)), float(max(shown))
    if low > 0:
        return np.geomspace(low / 1.25, high * 1.25, BINS + 1)
    room = 0.06 * max(high - low, 1e-3)
    return np.linspace(low - room, high + room, BINS + 1)


def _counts(df: pd.DataFrame, scale: style.Scale, edges: np.ndarray, here: Any) -> np.ndarray:
    """Trainings in each bin of sharpness at each learning rate; the outermost bins hold what lies beyond them."""
    here = np.asarray(here, bool)
    place = np.searchsorted(scale.values, df["lr"].to_numpy()[here])
    inside = np.clip(df["sharpness"].to_numpy(float)[here], edges[0], np.nextafter(edges[-1], edges[0]))
    bins = np.searchsorted(edges, inside, side="right") - 1
    image = np.zeros((len(edges) - 1, len(scale.values)), int)
    np.add.at(image, (bins, place), 1)
    return image


def _edge(ax: Axes, scale: style.Scale, momentum: float) -> None:
    """The line beyond which minima repel: a step in each cell where learning rates are names, else a curve."""
    look: dict[str, Any] = {"zorder": 4, "solid_capstyle": "butt"}
    if scale.kind == "even":
        levels = 2 * (1 + momentum) / scale.values.astype(float)
        for width, colour in ((3.0, "white"), (1.6, style.EDGE)):
            for at, level in zip(scale.positions, levels, strict=True):
                ax.plot([at - 0.46, at + 0.46], [level, level], color=colour, linewidth=width, **look)
        return
    low, high = max(scale.edges[0], 1e-3 * scale.values[0]), scale.edges[-1]
    lr = np.geomspace(low, high, 400)
    for width, colour in ((3.0, "white"), (1.6, style.EDGE)):
        ax.plot(lr, 2 * (1 + momentum) / lr, color=colour, linewidth=width, **look)


def _shares(
    ax: Axes, df: pd.DataFrame, scale: style.Scale, rest: np.ndarray, lost: np.ndarray, here: np.ndarray
) -> None:
    """Which share arrived, did not, and diverged, one on the other."""
    place = np.searchsorted(scale.values, df["lr"].to_numpy()[here])
    n = np.bincount(place, minlength=len(scale.values))
    floor = np.zeros(len(n))
    looks = [
        (rest, {**style.outcome_look("solved"), "linewidth": 0.0}),
        (~rest & ~lost, style.outcome_look("unresolved")),
        (lost, style.outcome_look("diverged")),
    ]
    for which, look in looks:
        share = np.divide(np.bincount(place[which[here]], minlength=len(n)), n, out=np.zeros(len(n)), where=n > 0)
        if not share.any():
            continue
        if scale.kind == "even":
            ax.bar(scale.positions, share, bottom=floor, width=2 * HALF, **look)
        else:
            foot, head = (np.r_[side, side[-1]] for side in (floor, floor + share))
            ax.fill_between(scale.edges, foot, head, step="post", **{**look, "linewidth": 0.0})
        floor = floor + share
    ax.set_ylim(0, 1)
    ax.set_yticks([0, 1], labels=["0", "100 %"])


def _notes(df: pd.DataFrame, rest: np.ndarray, known: np.ndarray, edges: np.ndarray) -> list[str]:
    """How many arrived, and which of them lie beyond the edge; how many are off the scale."""
    ratio = df["edge_ratio"].to_numpy(float)
    beyond = rest & (ratio > 1)
    frozen = beyond & (df["gradient_norm"].to_numpy(float) == 0) & (df["amplitude"].to_numpy(float) == 0)
    others = beyond & ~frozen
    told = (
        f"{counted(int(rest.sum()))} arrived at a minimum and stayed; {int(beyond.sum()):,} of them lie beyond the edge"
    )
    if frozen.any():
        told += f": {int(frozen.sum()):,} were put exactly onto a minimum that repels, and nothing moves them off it"
    if others.any():
        most = 100 * (ratio[others].max() - 1)
        told += f"{' and' if frozen.any() else ':'} {int(others.sum()):,} by up to {most:.2g} %, still on their way"
    told += "."
    if (passing := int((arrived(df) & ~rest).sum())) > 0:
        told += f" {passing:,} more end near a minimum but only pass by, on cycles or in chaos: not arrived."
    waiting = known & ~rest
    if waiting.any():
        share = 100 * (ratio[waiting] > 1).mean()
        told += f" Of the {int(waiting.sum()):,} that did not arrive {share:.3g} % lie beyond the edge."
    notes = [told]
    sharpness = df["sharpness"].to_numpy(float)[known]
    if off := int(((sharpness < edges[0]) | (sharpness > edges[-1])).sum()):
        notes.append(f"{counted(off)} with a sharpness beyond the scale, up to {sharpness.max():.3g}, at its ends.")
    if missing := int((~known & ~diverged(df)).sum()):
        notes.append(f"{counted(missing)} without a sharpness are not shown.")
    return notes


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.edge",
        "Draw the sharpness at the end of trainings beside the edge of stability.",
        free_x=False,
    )

    def make(df: pd.DataFrame, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        return draw(df), []

    return command.figure_command(parser, argv, "edge", make)


if __name__ == "__main__":
    raise SystemExit(main())
