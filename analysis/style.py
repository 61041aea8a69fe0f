"""How do figures look? Sizes, colours, hatches and scales, once for all of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, Normalize, TwoSlopeNorm, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import (
    FixedFormatter,
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullLocator,
)

from attractor_jax.axes import spread_logarithmically

# Two columns of a journal page, in inches; everything below is sized to be read at that width.
WIDTH = 7.0
DPI = 200
RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.3,
    "hatch.linewidth": 0.6,
    "savefig.dpi": DPI,
    "figure.dpi": 100,
}

# Lightness falls steadily from order to chaos, so that the order of regimes survives a grey print; hues are apart for
# the three kinds of colour-blindness. What is no regime of its own is hatched.
REGIME_COLOURS = {
    "fixed_point": "#eaf1f6",
    "periodic": "#93bfdc",
    "quasiperiodic": "#e0731d",
    "chaotic": "#a81f38",
    "hyperchaotic": "#3b0f30",
    "unsettled": "#c9c9c9",
    "diverged": "#ffffff",
}
REGIME_HATCHES = {"unsettled": "////", "diverged": "xxxx"}
REGIME_NAMES = {"fixed_point": "fixed point"}

# What came of a training. Lightness rises from what is wanted to what is lost; hues are apart for the colour-blind.
OUTCOME_COLOURS = {
    "solved": "#17457c",
    "solved_moving": "#6f9fd0",
    "poor": "#f0a83c",
    "collapsed": "#b04a4a",
    "unresolved": "#d0d0d0",
    "diverged": "#ffffff",
}
OUTCOME_HATCHES = {"unresolved": "////", "diverged": "xxxx"}
OUTCOME_NAMES = {"solved": "solved, at rest", "solved_moving": "solved, not at rest"}
EDGE = "#d9541e"  # of stability
# Closed forms are drawn broad and pale, and what was measured on them.
CLOSED_FORMS = ("#8fbbe3", "#f4b77a", "#9fd0bd")

INK = "#1a1a1a"
FAINT = "#8a8a8a"
BANDS = ("#d3dae1", "#a9b6c3")
NO_VALUE = "#d9d9d9"
FAILED_HATCH = "xxxx"
CENSORED_HATCH = "////"

# A point of a figure is hatched when more than this share of its cells failed or are censored. Captions count them all.
HATCHED_FROM = 0.1

# Blue contracts, red expands, and white is exactly lambda = 0 under `centred_norm`.
DIVERGING = LinearSegmentedColormap.from_list(
    "lambda", ["#12305c", "#3f78b5", "#a9cbe3", "#f7f7f5", "#f3b48f", "#c8483f", "#6b0f24"]
)
SHARE = LinearSegmentedColormap.from_list("share", ["#f7f4ee", "#f5c98f", "#e0731d", "#a81f38", "#3b0f30"])
DIMENSION = LinearSegmentedColormap.from_list("dimension", ["#f6f6f0", "#b9d9c6", "#5fa8a0", "#2b6a88", "#1c2a52"])
DENSITY = LinearSegmentedColormap.from_list("density", ["#a9c4dc", "#7099c2", "#3a6ea5", "#132c52"])
SPECTRUM = LinearSegmentedColormap.from_list("spectrum", ["#1c6e5b", "#5aa88f", "#c4dfd3"])
# Curves and points of groups that have an order, such as D = 4, 16, 32: ever darker, and apart from the regimes.
GROUPS = LinearSegmentedColormap.from_list("groups", ["#d39a1e", "#3f9c86", "#2a6f9e", "#1d2a5e"])
LINES = (("-", "o", True), ("--", "s", False), (":", "^", True), ("-.", "D", False))  # line, marker, is it filled

AXIS_LABELS = {
    "s": "scale s",
    "N": "neurons N",
    "D": "delays D",
    "replicate": "initial state (replicate)",
    "lr": "learning rate lr",
    "batch_size": "batch size",
    "weight_decay": "weight decay",
    "init_scale": "initial scale (init_scale)",
    "width": "hidden units (width)",
}
LAMBDA_1 = r"$\lambda_1$ (nats per step)"
LAMBDA_I = r"$\lambda_i$ (nats per step)"
DIMENSION_LABEL = r"Kaplan–Yorke dimension"

FINE = 160  # distinct values beyond which an axis is no grid but a spread, and is binned

Parameters = ParamSpec("Parameters")


def styled(draw: Callable[Parameters, Figure]) -> Callable[Parameters, Figure]:
    """Draw in this style, and leave the caller's settings alone.

    Ticks are made as late as when a figure is shown, and read their sizes then: they are told theirs for good.
    """

    @functools.wraps(draw)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Figure:
        with matplotlib.rc_context(RC):
            figure = draw(*args, **kwargs)
            for ax in figure.axes:
                ax.tick_params(axis="x", labelsize=RC["xtick.labelsize"])
                ax.tick_params(axis="y", labelsize=RC["ytick.labelsize"])
            figure.draw_without_rendering()
            return figure

    return wrapped


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure of this size in inches, on the Agg canvas: no display is needed, and pyplot keeps no list of
    it."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def blank(message: str) -> Figure:
    """A figure that says why there is nothing to see."""
    figure = new_figure(1.2)
    figure.text(0.5, 0.5, message, ha="center", va="center", color=INK)
    return figure


def axis_label(axis: str) -> str:
    """What stands along an axis: its meaning and its letter, or its name."""
    return AXIS_LABELS.get(axis, axis)


def regime_look(regime: str) -> dict[str, Any]:
    """Colour, hatch and edge of an area that stands for a regime."""
    hatch = REGIME_HATCHES.get(regime)
    edge = "white" if hatch is None else "#555555"  # a hatch is drawn in the edge's colour
    return {"facecolor": REGIME_COLOURS[regime], "edgecolor": edge, "linewidth": 0.4, "hatch": hatch}


def outcome_look(outcome: str) -> dict[str, Any]:
    """Colour, hatch and edge of an area that stands for what came of some trainings."""
    hatch = OUTCOME_HATCHES.get(outcome)
    edge = "white" if hatch is None else "#777777"
    return {"facecolor": OUTCOME_COLOURS[outcome], "edgecolor": edge, "linewidth": 0.4, "hatch": hatch}


def outcome_patch(outcome: str, name: str | None = None) -> Patch:
    """An outcome's entry in a legend."""
    name = OUTCOME_NAMES.get(outcome, outcome) if name is None else name
    return Patch(label=name, **{**outcome_look(outcome), "edgecolor": "#777777"})


def regime_patch(regime: str) -> Patch:
    """A regime's entry in a legend."""
    return Patch(label=REGIME_NAMES.get(regime, regime), **{**regime_look(regime), "edgecolor": "#555555"})


def group_colours(count: int) -> list[str]:
    """Colours of so many groups, in their order."""
    return [to_hex(GROUPS(i / max(count - 1, 1))) for i in range(count)]


def legend_outside(ax: Axes, handles: Sequence[Patch | Line2D]) -> None:
    """A legend to the right of a panel, where it covers nothing."""
    ax.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.02),
        borderaxespad=0,
        handlelength=1.6,
        labelspacing=0.6,
    )


def by_rows(handles: Sequence[Line2D | Patch], columns: int) -> list[Line2D | Patch]:
    """Entries in such an order that a legend, which fills its columns first, reads along its rows."""
    rows = -(-len(handles) // columns)
    blank: list[Line2D | Patch] = [
        Line2D([], [], linestyle="none", label=" ") for _ in range(rows * columns - len(handles))
    ]
    padded = [*handles, *blank]
    return [padded[row * columns + column] for column in range(columns) for row in range(rows)]


def mark_at_floor(ax: Axes, at: np.ndarray, marker: str) -> None:
    """Marks along the floor of a panel, where something has no place on its scale."""
    if len(at):  # a line without points still takes part in the layout, at the corner of the figure
        floor = np.full(len(at), 0.03)
        ax.plot(at, floor, marker, color=INK, markersize=4, zorder=5, transform=ax.get_xaxis_transform(), clip_on=False)


def median_panel(
    ax: Axes, scale: Scale, table: pd.DataFrame, bands: Sequence[tuple[pd.Series, pd.Series, str]]
) -> None:
    """Medians with their intervals along an axis, bands of how the cells spread behind them, a line at zero, and
    marks where there is none.

    Args:
        table: a `phase_table` of a median along the axis.
        bands: (low, high, name) of each band, the widest first.
    """
    at = scale.positions
    value, low, high = (table[name].to_numpy() for name in ("value", "low", "high"))
    kept = np.isfinite(value)
    edges = [np.asarray(side, float) for band in bands for side in band[:2]]
    finite = np.concatenate([column[np.isfinite(column)] for column in [*edges, value]])
    finite = np.append(finite, 0.0) if len(finite) else np.array([-1.0, 1.0])
    room = 0.06 * max(float(np.ptp(finite)), 1e-3)
    floor, roof = float(finite.min()) - room, float(finite.max()) + room
    ax.set_ylim(floor, roof)
    legend: list[Patch | Line2D] = []
    spread = bool((table["n_cells"] > 1).any())
    for (lower, upper, name), colour in zip(bands if spread else [], BANDS, strict=False):
        # Superstable cells reach down to the floor, censored ones up to the roof.
        foot, head = np.maximum(np.asarray(lower, float), floor), np.minimum(np.asarray(upper, float), roof)
        if scale.kind == "even":
            ax.vlines(at, foot, head, color=colour, linewidth=8, zorder=0)
        else:
            ax.fill_between(at, foot, head, color=colour, linewidth=0, zorder=0)
        legend.append(Patch(facecolor=colour, label=name))
    many = (table["n_censored"] > HATCHED_FROM * table["n_cells"]).to_numpy()
    if many.any():
        look: dict[str, Any] = {"facecolor": "none", "edgecolor": FAINT, "hatch": CENSORED_HATCH, "linewidth": 0}
        for left, right in zip(scale.edges[:-1][many], scale.edges[1:][many], strict=True):
            ax.axvspan(left, right, zorder=0.5, **look)
        legend.append(Patch(label=f"over {100 * HATCHED_FROM:g} % censored", **{**look, "linewidth": 0.4}))
    ax.axhline(0, color="#666666", linewidth=0.8, zorder=1)
    line = "none" if scale.kind == "even" else "-"
    ax.vlines(at, np.maximum(low, floor), np.minimum(high, roof), color=INK, linewidth=0.8, zorder=3)
    ax.plot(at, np.where(kept, value, np.nan), "o", linestyle=line, color=INK, markersize=2.2, zorder=4)
    name = "median" if (table["n_seeds"] == 1).all() else "median,\nwith interval"
    legend.append(Line2D([], [], color=INK, marker="o", markersize=3, linestyle=line, label=name))
    superstable = np.isneginf(value)
    censored = ~kept & ~superstable & (table["n_censored"] > 0).to_numpy()
    failed = ~kept & ~superstable & ~censored
    for here, marker, name in (
        (superstable, "v", r"median $-\infty$"),
        (censored, "^", "median censored"),
        (failed, "x", "no cell resolved"),
    ):
        if here.any():
            mark_at_floor(ax, at[here], marker)
            legend.append(Line2D([], [], color=INK, marker=marker, markersize=4, linestyle="none", label=name))
    legend_outside(ax, legend)


def centred_norm(values: np.ndarray) -> TwoSlopeNorm:
    """Colours of a diverging map with 0 exactly in its middle.

    The two sides have scales of their own, since networks contract far faster than they expand; neither is so short
    that noise about 0 looks like a colour. A few deeply contracting values do not set the scale: it ends at the 5th
    and the 99th percentile, and the colour bar points on.
    """
    finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, [0.05, 0.99], method="inverted_cdf") if len(finite) else (0.0, 0.0)
    reach = max(abs(low), abs(high), 1e-3)
    return TwoSlopeNorm(0.0, min(low, -0.02 * reach), max(high, 0.02 * reach))


def centred_ticks(norm: Normalize) -> list[float]:
    """Ticks on both sides of 0 of a norm whose sides have scales of their own."""
    below = np.asarray(MaxNLocator(4).tick_values(float(norm.vmin or 0.0), 0.0))
    above = np.asarray(MaxNLocator(4).tick_values(0.0, float(norm.vmax or 0.0)))
    ticks = [*below[below < 0], 0.0, *above[above > 0]]
    return [float(tick) for tick in ticks if (norm.vmin or 0.0) <= tick <= (norm.vmax or 0.0)]


@dataclass(frozen=True)
class Scale:
    """How the values of an axis are laid out.

    Attributes:
        values: (n,), distinct and ascending.
        kind: "even" for counts, words, and one or two values (a cell each, labelled), else "log" or "linear" by how
            the values are spread.
    """

    values: np.ndarray
    kind: Literal["even", "log", "linear"]

    @classmethod
    def of(cls, column: pd.Series) -> Scale:
        values = np.sort(column.unique())
        if values.dtype.kind != "f" or len(values) < 3:
            return cls(values, "even")
        return cls(values.astype(float), "log" if spread_logarithmically(values) else "linear")

    @property
    def positions(self) -> np.ndarray:
        """(n,), where the values stand along the axis."""
        return np.arange(len(self.values), dtype=float) if self.kind == "even" else self.values

    @property
    def edges(self) -> np.ndarray:
        """(n + 1,), the borders of a cell around each value: halfway to the next, on the axis' own scale."""
        at = np.log(self.positions) if self.kind == "log" else self.positions
        if len(at) == 1:
            edges = at[0] + np.array([-0.5, 0.5])
        else:
            inner = (at[:-1] + at[1:]) / 2
            edges = np.r_[2 * at[0] - inner[0], inner, 2 * at[-1] - inner[-1]]
        return np.exp(edges) if self.kind == "log" else edges

    def place(self, values: np.ndarray) -> np.ndarray:
        """Where some of the axis' values stand along it."""
        return self.positions[np.searchsorted(self.values, values)]

    def dress(self, ax: Axes, which: Literal["x", "y"], name: str, *, cells: bool) -> None:
        """Scale, limits, ticks and label of one side of a plot, with room for whole cells or just for the values."""
        axis = ax.xaxis if which == "x" else ax.yaxis
        limits = ax.set_xlim if which == "x" else ax.set_ylim
        (ax.set_xscale if which == "x" else ax.set_yscale)("log" if self.kind == "log" else "linear")
        whole = cells or self.kind == "even"
        limits(*(self.edges[[0, -1]] if whole else self.positions[[0, -1]]))
        if self.kind == "even":
            every = -(-len(self.values) // 16)
            axis.set_major_locator(FixedLocator(list(self.positions[::every])))
            axis.set_major_formatter(FixedFormatter([number(value) for value in self.values[::every]]))
            axis.set_minor_locator(NullLocator())
        elif self.kind == "log":
            log_ticks(ax.xaxis if which == "x" else ax.yaxis, self.values)
        else:
            axis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
        axis.set_label_text(axis_label(name))


def log_ticks(axis: Axis, values: np.ndarray, *, crowded: float = 3000) -> None:
    """Round numbers along a logarithmic side on which these values stand, so few that their names keep apart.

    Args:
        crowded: ratio of largest to smallest beyond which only powers of ten are named; less in small panels.
    """
    values = values[np.isfinite(values) & (values > 0)]
    ratio = float(values.max() / values.min()) if len(values) else 10.0
    if ratio > crowded:
        subs: tuple[float, ...] = (1.0,)
    elif ratio > 4:
        subs = (1.0, 2.0, 5.0)
    else:
        subs = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0) if ratio > 1.6 else tuple(range(1, 10))
    axis.set_major_locator(LogLocator(10, subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def number(value: Any) -> str:
    """A value as text, short."""
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)
