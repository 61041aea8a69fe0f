"""How figures look, and how they are asked for and kept: sizes, colours, scales, captions, the command line and the
file."""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, ParamSpec

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import (
    FixedFormatter,
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from attractor_jax.phase import cluster_column, select, spread_logarithmically, table_axes, varied_axes

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
SPECTRUM = LinearSegmentedColormap.from_list("spectrum", ["#1c6e5b", "#5aa88f", "#c4dfd3"])

AXIS_LABELS = {
    "s": "scale s",
    "N": "neurons N",
    "D": "delays D",
    "replicate": "initial state (replicate)",
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


def regime_patch(regime: str) -> Patch:
    """A regime's entry in a legend."""
    return Patch(label=REGIME_NAMES.get(regime, regime), **{**regime_look(regime), "edgecolor": "#555555"})


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
        kind: "even" for counts and for one or two values (a cell each, labelled), else "log" or "linear" by how the
            values are spread.
    """

    values: np.ndarray
    kind: Literal["even", "log", "linear"]

    @classmethod
    def of(cls, column: pd.Series) -> Scale:
        values = np.sort(column.unique())
        if values.dtype.kind in "iu" or len(values) < 3:
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
            axis.set_major_formatter(FixedFormatter([_number(value) for value in self.values[::every]]))
            axis.set_minor_locator(NullLocator())
        elif self.kind == "log":
            decades = np.log10(self.values[-1] / self.values[0])
            subs = (1.0, 2.0, 5.0) if decades < 3.5 else (1.0,)
            axis.set_major_locator(LogLocator(10, subs=subs))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
        else:
            axis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
        axis.set_label_text(axis_label(name))


def caption(figure: Figure, df: pd.DataFrame, shown: list[str], notes: list[str]) -> None:
    """The lines under a figure: what was held fixed, what was pooled, how many cells, how long, what failed; then
    `notes`."""
    lines = [_cells_line(df, shown), _measurement_line(df), *notes]
    wrapped = [line for text in lines if text for line in textwrap.wrap(text, 118, break_long_words=False)]
    figure.supxlabel("\n".join(wrapped), x=0.01, ha="left", fontsize=7.5, color="#333333", linespacing=1.35)


def _cells_line(df: pd.DataFrame, shown: list[str]) -> str:
    fixed, pooled = [], []
    resampled = cluster_column(df)
    for axis in table_axes(df):
        values = np.sort(df[axis].unique())
        if axis in shown or (axis == resampled and len(values) > 1):
            continue
        if len(values) == 1:
            fixed.append(f"{axis} = {_number(values[0])}")
        else:
            few = ", ".join(_number(value) for value in values)
            many = f"{len(values)} values of {axis} from {_number(values[0])} to {_number(values[-1])}"
            pooled.append(f"{axis} = {few}" if len(values) <= 8 and values.dtype.kind in "iu" else many)
    counted = f"{len(df):,} {'cell' if len(df) == 1 else 'cells'}"
    if resampled is not None and (n := df[resampled].nunique()) > 1:
        low, high = df[resampled].min(), df[resampled].max()
        counted += f", {n:,} {resampled}s ({low}–{high})"
    systems = f"System {', '.join(map(str, df['system'].unique()))}" if "system" in df.columns else ""
    parts = [systems, ", ".join(fixed), counted, f"Pooled over {'; '.join(pooled)}" if pooled else ""]
    for run in df.attrs.get("runs", ()):
        if (here := len(run.get("provenance", ()))) < run.get("parts", 0):
            parts.append(f"The run is not complete: {here} of {run['parts']} parts")
    return ". ".join(part for part in parts if part) + "."


def _measurement_line(df: pd.DataFrame) -> str:
    dtypes = ", ".join(map(str, df["dtype"].unique()))
    line = f"{_span(df['steps'])} steps measured after {_span(df['transient'])}, {dtypes}."
    failed = df["status"][~df["status"].isin(["ok", "superstable"])].astype(str)
    if len(failed):
        kinds = ", ".join(f"{count:,} {status}" for status, count in failed.value_counts().items())
        line += f" Not resolved: {kinds} ({100 * len(failed) / len(df):.3g} % of cells)."
    flagged = int(df["spectrum_flagged"].sum()) if "spectrum_flagged" in df.columns else 0
    if flagged:
        line += f" {flagged:,} spectra flagged by the sum rule."
    return line


def intervals_note(df: pd.DataFrame, table: pd.DataFrame, level: float) -> str:
    """What the caption says of the intervals in a `phase_table`."""
    among = cluster_column(df) or "cell"
    if (table["n_seeds"] == 1).all():
        return f"No intervals: one {among} at each point."
    return f"Intervals: {100 * level:g} %, bootstrapped over {among}s; Wilson's where all agree."


def censored_note(table: pd.DataFrame) -> str:
    """What the caption says of the censored cells in a `phase_table` of dimensions."""
    censored = int(table["n_censored"].sum())
    return (
        f"{censored:,} cells have a dimension beyond their exponents: the median ranks them on top." if censored else ""
    )


def _span(column: pd.Series) -> str:
    low, high = int(column.min()), int(column.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


class ArgumentProblem(ValueError):
    """Arguments that do not fit the run, or no command line at all: exit code 2."""


class FigureParser(argparse.ArgumentParser):
    """The command line that all figures of a run share."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)
        self.add_argument("run", metavar="RUN", type=Path, help="run directory, as the sweep printed it last")
        self.add_argument(
            "--x", metavar="AXIS", help="axis along the bottom (default: s, else the one with most values)"
        )
        self.add_argument(
            "--where", metavar="AXIS=VALUE", action="append", default=[], help="only these cells; may be repeated"
        )
        self.add_argument(
            "--out", metavar="FILE", type=Path, help="picture to write: .png, .pdf or .svg (default: in RUN/figures)"
        )

    def error(self, message: str) -> NoReturn:
        raise ArgumentProblem(message)


def figure_command(
    parser: FigureParser,
    argv: list[str] | None,
    name: str,
    make: Callable[[pd.DataFrame, argparse.Namespace], tuple[Figure, list[str]]],
) -> int:
    """Read a run, draw, save, and print the path: what every figure's `main` does.

    Args:
        make: the figure of the selected cells and the words that tell its file from the default one. Raises
            ArgumentProblem for arguments that the run cannot fill.

    Returns:
        The exit code: 0, 1 for a run that cannot be read or a picture that cannot be written, 2 for bad arguments.
            Either way one line says why.
    """
    # Asking for help or making a mistake should not wait for the readers of tables.
    try:
        arguments = parser.parse_args(argv)
        where = _where(arguments.where)
        if arguments.out is not None and arguments.out.suffix not in (".png", ".pdf", ".svg"):
            raise ArgumentProblem(f"`--out` must end in .png, .pdf or .svg, got {str(arguments.out)!r}")
    except ArgumentProblem as problem:
        return _refuse(problem, 2)

    from attractor_jax.store import TableError, read_run

    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            df = read_run(arguments.run)
        for warning in told:
            print(f"warning: {warning.message}", file=sys.stderr)
        if df.empty:
            raise TableError(f"{arguments.run} has no finished cells yet")
        try:
            df = select(df, where)
        except ValueError as problem:
            raise ArgumentProblem(str(problem).replace("`where`", "`--where`")) from problem
        figure, words = make(df, arguments)
        words += [f"{axis}{value:g}" for axis, value in where.items()]
        path = arguments.out or arguments.run / "figures" / ("_".join([name, *words]) + ".png")
        save_figure(figure, path, title=f"{name.replace('_', ' ')} of {arguments.run.name}", runs=df.attrs.get("runs"))
    except ArgumentProblem as problem:
        return _refuse(problem, 2)
    except (TableError, OSError) as problem:
        return _refuse(problem, 1)
    print(path)
    return 0


def check_axis(df: pd.DataFrame, option: str, axis: str | None) -> None:
    """Refuse an axis that the table does not have or does not vary.

    Raises:
        ArgumentProblem: naming the option and the axes that would do.
    """
    if axis is None or axis in (varied := varied_axes(df)):
        return
    given = f"got {axis!r}"
    if axis in table_axes(df):
        given += f", which is {_number(df[axis].iloc[0])} throughout"
    can = f"an axis that varies here ({', '.join(varied)})" if varied else "left out: nothing varies here"
    raise ArgumentProblem(f"`{option}` must be {can}, {given}")


def save_figure(figure: Figure, path: Path, *, title: str, runs: Any = None) -> None:
    """Write a picture with its provenance inside, all of it or nothing.

    Args:
        path: .png, .pdf or .svg; its folder is made.
        runs: where the numbers come from, as `read_run` leaves it in `attrs["runs"]`; written as JSON into the picture.

    Raises:
        OSError: the folder cannot be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    told = json.dumps(runs, default=str, ensure_ascii=True) if runs is not None else ""
    kind = path.suffix[1:]
    metadata: dict[str, str | None] = {"Title": title}
    if kind == "png":
        metadata |= {"Software": "attractor_jax", "Description": told}
    elif kind == "pdf":
        metadata |= {"Creator": "attractor_jax", "Subject": told, "CreationDate": None}
    else:
        metadata |= {"Creator": "attractor_jax", "Description": told, "Date": None}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with matplotlib.rc_context(RC):
            figure.savefig(temporary, format=kind, dpi=DPI, metadata=metadata)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _where(given: list[str]) -> Mapping[str, float]:
    where: dict[str, float] = {}
    for text in given:
        axis, equals, value = text.partition("=")
        try:
            if not (axis and equals):
                raise ValueError
            where[axis] = float(value)
        except ValueError:
            raise ArgumentProblem(f"`--where` must be AXIS=VALUE, such as N=4, got {text!r}") from None
    return where


def _refuse(problem: Exception, code: int) -> int:
    print("error: " + " ".join(str(problem).split()), file=sys.stderr)
    return code
