"""Where is there order, and where chaos? The phase diagram of a run.

    python -m analysis.phase_diagram RUN [--x s] [--y D] [--value chaotic|lambda_1|kaplan_yorke] [--where N=4]
        [--out FILE]

Over two axes it is a heat map; along one axis, the shares of all regimes with a median beneath. Nothing is simulated.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from analysis import captions, command, style
from attractor_jax.phase import (
    LEVEL,
    RESAMPLES,
    binned,
    cluster_column,
    phase_quantiles,
    phase_table,
    regime_shares,
    table_axes,
    varied_axes,
)

VALUES = ("chaotic", "lambda_1", "kaplan_yorke")
VALUE_LABELS = {
    "chaotic": "share of chaotic cells",
    "lambda_1": "median " + style.LAMBDA_1,
    "kaplan_yorke": "median " + style.DIMENSION_LABEL,
}

# Chaos stands at the bottom, so that its upper edge is its share, read from zero, and the error bars there are its own.
STACK = ("hyperchaotic", "chaotic", "quasiperiodic", "periodic", "fixed_point", "unsettled", "diverged")

# Numbers are written into the cells of a heat map that has no more than these: with more they cannot be read.
NUMBERED_UP_TO = 80


def default_axes(df: pd.DataFrame, x: str | None, y: str | None) -> tuple[str, str | None]:
    """The axes of the figure where the reader left them open.

    x: s if it varies, else the axis with most values. y: of the other axes but seed and replicate the one with most
    values, none if none varies.
    """
    varied = sorted(varied_axes(df), key=lambda axis: (axis != "s", -df[axis].nunique()))
    parameters = [axis for axis in varied if axis not in ("seed", "replicate")]
    if x is None:
        open_axes = [axis for axis in parameters if axis != y] or [axis for axis in varied if axis != y]
        axes = table_axes(df)
        x = open_axes[0] if open_axes else ("s" if "s" in axes and y != "s" else axes[-1])
    if y is None:
        others = sorted((axis for axis in parameters if axis != x), key=lambda axis: -df[axis].nunique())
        y = others[0] if others else None
    return x, y


@style.styled
def draw(
    df: pd.DataFrame,
    x: str | None = None,
    y: str | None = None,
    value: str = "chaotic",
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> Figure:
    """The phase diagram of a classified table: a heat map if two parameters vary (or `y` is given), else regimes
    along one axis.

    Args:
        df: what `read_run` gives. Empty, the figure says so.
        x, y: axes; chosen by `default_axes` where None. All others are pooled, and named in the caption.
        value: "chaotic", "lambda_1" or "kaplan_yorke": what the heat map shows. Along one axis the regimes are always
            shown, and the panel beneath shows lambda_1, or the dimension if that is asked for.
        level: of the intervals.
        resamples: of the seeds. Fewer than about 200 make ragged intervals.

    Raises:
        ValueError: an unknown axis or value.
    """
    if value not in VALUES:
        raise ValueError(f"`value` must be one of {', '.join(VALUES)}, got {value!r}")
    if df.empty:
        return style.blank("no cells in this table")
    x, y = default_axes(df, x, y)
    notes = []
    for axis in (x,) if y is None else (x, y):
        if axis in df.columns and df[axis].dtype.kind == "f" and df[axis].nunique() > style.FINE:
            notes.append(f"{df[axis].nunique():,} values of {axis} gathered into bins.")
            df = binned(df, axis, 48 if y is None else 24)
    if y is None:
        return _along_one_axis(df, x, value, level, resamples, notes)
    return _over_two_axes(df, x, y, value, level, resamples, notes)


def _along_one_axis(df: pd.DataFrame, x: str, value: str, level: float, resamples: int, notes: list[str]) -> Figure:
    figure = style.new_figure(6.2)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1.25, 1])
    scale = style.Scale.of(df[x])
    column = "kaplan_yorke" if value == "kaplan_yorke" else "lambda_1"
    table = phase_table(df, x, value=column, level=level, resamples=resamples)
    _stack(top, df, x, scale, level, resamples)
    spread = phase_quantiles(df, x, column, quantiles=(0.1, 0.9))
    style.median_panel(bottom, scale, table, bands=[(spread[0.1], spread[0.9], "10–90 % of cells")])
    bottom.set_ylabel(style.LAMBDA_1 if column == "lambda_1" else style.DIMENSION_LABEL)
    scale.dress(bottom, "x", x, cells=False)
    top.tick_params(labelbottom=False)
    if x == "s":
        notes = [*_mark_s_critical(top, bottom, df, scale), *notes]
    captions.caption(
        figure, df, [x], [captions.intervals_note(df, table, level), captions.censored_note(table), *notes]
    )
    return figure


def _stack(ax: Axes, df: pd.DataFrame, x: str, scale: style.Scale, level: float, resamples: int) -> None:
    """Shares of all regimes, one on the other, and the interval of the share of chaos at its upper edge."""
    shares = regime_shares(df, x, level=level, resamples=resamples)
    chaos = phase_table(df, x, value="chaotic", level=level, resamples=resamples)
    at = scale.positions
    floor = np.zeros(len(at))
    present: list[Patch | Line2D] = []
    for regime in STACK:
        share = shares.loc[shares["regime"] == regime, "value"].to_numpy()
        if not share.any():
            continue
        look = style.regime_look(regime)
        if scale.kind == "even":
            ax.bar(at, share, bottom=floor, width=0.8, **look)
        else:
            ax.fill_between(at, floor, floor + share, **look)
        floor = floor + share
        present.append(style.regime_patch(regime))
    known = (chaos["value"].notna() & (chaos["n_seeds"] > 1)).to_numpy()
    edge, low, high = (chaos[name].to_numpy()[known] for name in ("value", "low", "high"))
    # A pale line under each dark one, because the bars stand on dark and on light regimes.
    ax.vlines(at[known], low, high, color="white", linewidth=2.0, zorder=3, clip_on=False)
    ax.vlines(at[known], low, high, color=style.INK, linewidth=0.8, zorder=4, clip_on=False)
    if known.any():
        ax.plot(at[known], edge, "o", color=style.INK, markersize=2.2, zorder=5, clip_on=False)
        label = "share of chaos,\nwith interval"
        present.insert(0, Line2D([], [], color=style.INK, marker="o", markersize=3, linewidth=0.8, label=label))
    style.legend_outside(ax, present[::-1])
    ax.set_ylim(0, 1)
    ax.set_ylabel("share of cells")


def networks(df: pd.DataFrame) -> pd.DataFrame:
    """One row a network: s and the initial state do not make another."""
    return df.drop_duplicates([axis for axis in table_axes(df) if axis not in ("s", "replicate")])


def _mark_s_critical(top: Axes, bottom: Axes, df: pd.DataFrame, scale: style.Scale) -> list[str]:
    """Mark where the networks' origins lose stability; returns what the caption says of it.

    The mean of s_critical is a line through both panels, its 10-90 % a bar on top.
    """
    if "s_critical" not in df.columns:
        return []
    critical = networks(df)["s_critical"].to_numpy(dtype=float, na_value=np.nan)
    critical = critical[~np.isnan(critical)]
    finite = critical[np.isfinite(critical)]
    if len(finite) == 0:
        return []
    mean = float(np.mean(finite))
    never = len(critical) - len(finite)
    told = f"mean s_critical = {mean:.3g}, over {len(critical):,} {'network' if len(critical) == 1 else 'networks'}"
    told += f", {never:,} of which never lose stability and are not in the mean." if never else "."
    left, right = scale.positions[[0, -1]]
    low, high = np.quantile(critical, [0.1, 0.9], method="inverted_cdf")
    told += "" if left <= low and high <= right else " The bar ends with the axis."
    low, high = np.clip([low, high], left, right)
    if scale.kind == "even" or not left <= mean <= right:
        return ["Not drawn: " + told]
    for ax, zorder in ((top, 6), (bottom, 2)):
        ax.axvline(mean, color=style.INK, linewidth=0.9, linestyle=(0, (4, 2)), zorder=zorder)
    above = top.get_xaxis_transform()
    bar: dict[str, Any] = {"color": style.INK, "transform": above, "clip_on": False}
    top.plot([mean], [1.03], "d", markersize=4, **bar)
    top.plot([low, high], [1.03, 1.03], linewidth=1.6, solid_capstyle="butt", **bar)
    # Over the bar, and far enough from both ends of the panel to lie within it.
    along = float(np.log(mean / left) / np.log(right / left) if scale.kind == "log" else (mean - left) / (right - left))
    top.text(
        min(max(along, 0.2), 0.8), 1.05, "origin loses stability (s_critical)", ha="center", va="bottom", fontsize=7.5,
        transform=top.transAxes,
    )  # fmt: skip
    return ["Dashed line, and bar for 10–90 % of networks: " + told]


def _over_two_axes(
    df: pd.DataFrame, x: str, y: str, value: str, level: float, resamples: int, notes: list[str]
) -> Figure:
    table = phase_table(df, x, y, value, level=level, resamples=resamples)
    across, up = style.Scale.of(df[x]), style.Scale.of(df[y])
    column = np.searchsorted(across.values, table[x].to_numpy())
    row = np.searchsorted(up.values, table[y].to_numpy())
    values = table["value"].to_numpy()
    image = np.full((len(up.values), len(across.values)), np.nan)
    image[row, column] = values

    figure = style.new_figure(5.4)
    ax = figure.subplots()
    ax.spines[:].set_visible(True)
    colours, norm = _colours(value, values, df)
    mesh = ax.pcolormesh(
        across.edges,
        up.edges,
        np.ma.array(image, mask=np.isnan(image)),
        cmap=colours,
        norm=norm,
        edgecolors="white" if image.size <= 400 else "face",
        linewidth=0.3,
    )
    across.dress(ax, "x", x, cells=True)
    up.dress(ax, "y", y, cells=True)
    beyond = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[
        bool(np.any(values < norm.vmin)), bool(np.any(values > norm.vmax))
    ]
    bar = figure.colorbar(mesh, ax=ax, pad=0.015, aspect=28, extend=beyond)
    if value == "lambda_1":
        ticks = style.centred_ticks(norm)
        bar.set_ticks(ticks, labels=[f"{tick:g}".replace("-", "\N{MINUS SIGN}") for tick in ticks])
    label = VALUE_LABELS[value]
    bar.set_label(label.removeprefix("median ") if (table["n_cells"] == 1).all() else label)
    bar.outline.set_linewidth(0.7)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]

    legend = _marks(ax, table, across, up, row, column)
    numbered = image.size <= NUMBERED_UP_TO
    if numbered:
        _write_numbers(ax, across, up, image, value, mesh)
    elif (
        value == "lambda_1" and (expanding := _mark_expanding(ax, df, table, across, up, row, column, mesh)) is not None
    ):
        legend.append(expanding)
    if x == "s" and (critical := _critical_along(ax, df, y, up, across, short=numbered)) is not None:
        legend.append(critical)
    if legend:
        ax.legend(
            handles=legend,
            loc="lower left",
            bbox_to_anchor=(0, 1.005),
            ncols=min(len(legend), 4),
            borderaxespad=0,
            columnspacing=1.4,
        )
    clusters = cluster_column(df)
    per_point = _counted(table["n_cells"], "cell")
    seeds = f", {_counted(table['n_seeds'], clusters)}" if clusters and clusters not in (x, y) else ""
    if value == "lambda_1":
        notes = ["The colours below and above 0 have scales of their own.", *notes]
    captions.caption(figure, df, [x, y], [f"{per_point}{seeds} at each point.", captions.censored_note(table), *notes])
    return figure


def _colours(value: str, values: np.ndarray, df: pd.DataFrame) -> tuple[Colormap, Normalize]:
    finite = values[np.isfinite(values)]
    if value == "lambda_1":
        return style.DIVERGING, style.centred_norm(values)
    if value == "chaotic":
        return style.SHARE, Normalize(0, max(0.1, np.ceil(10 * np.max(finite, initial=0.0)) / 10))
    return style.DIMENSION, Normalize(0, max(1.0, float(np.max(finite, initial=0.0))))


def _marks(
    ax: Axes, table: pd.DataFrame, across: style.Scale, up: style.Scale, row: np.ndarray, column: np.ndarray
) -> list[Patch | Line2D]:
    """Hatch what cannot be taken at face value; the legend's entries for it."""
    nothing = np.isnan(table["value"].to_numpy())
    n_cells = table["n_cells"].to_numpy()
    failed = table["n_failed"].to_numpy() > style.HATCHED_FROM * n_cells
    censored = table["n_censored"].to_numpy() > style.HATCHED_FROM * n_cells
    legend: list[Patch | Line2D] = []
    for here, hatch, name in (
        (failed, style.FAILED_HATCH, f"over {100 * style.HATCHED_FROM:g} % failed"),
        (censored & ~failed, style.CENSORED_HATCH, f"over {100 * style.HATCHED_FROM:g} % censored"),
    ):
        if here.any():
            legend.append(Patch(facecolor="none", edgecolor="#555555", hatch=hatch, linewidth=0.4, label=name))
        _cover(ax, across, up, row[here], column[here], facecolor="none", hatch=hatch, edgecolor="#555555")
    _cover(ax, across, up, row[nothing], column[nothing], facecolor=style.NO_VALUE, zorder=0.5)
    if nothing.any():
        legend.append(Patch(facecolor=style.NO_VALUE, label="no value"))
    empty = np.ones((len(up.values), len(across.values)), bool)
    empty[row, column] = False
    if empty.any():
        lines, places = np.nonzero(empty)
        ax.plot(across.positions[places], up.positions[lines], "+", color=style.FAINT, markersize=3)
        legend.append(Line2D([], [], color=style.FAINT, marker="+", markersize=3, linestyle="none", label="no cells"))
    return legend


def _cover(ax: Axes, across: style.Scale, up: style.Scale, row: np.ndarray, column: np.ndarray, **look: Any) -> None:
    """Cover some cells of the plane, neighbours in a row together: a hatch costs more than a colour."""
    marked = np.zeros((len(up.values), len(across.values) + 2), np.int8)
    marked[row, column + 1] = 1
    steps = np.diff(marked, axis=1)
    for (line, first), (_, end) in zip(np.argwhere(steps == 1), np.argwhere(steps == -1), strict=True):
        left, right = across.edges[[first, end]]
        low, high = up.edges[[line, line + 1]]
        ax.add_patch(Rectangle((left, low), right - left, high - low, linewidth=0, **look))


def _write_numbers(
    ax: Axes, across: style.Scale, up: style.Scale, image: np.ndarray, value: str, mesh: ScalarMappable
) -> None:
    """The number in each cell, where there are few enough: colour alone cannot be read off a print."""
    digits = 3 if value == "lambda_1" else 2
    columns, rows = across.positions.tolist(), up.positions.tolist()
    for (row, column), number in np.ndenumerate(image):
        if np.isnan(number):
            continue
        ax.text(
            columns[column], rows[row], _fixed(number, digits), ha="center", va="center", fontsize=7,
            color=_ink_on(mesh, number),
        )  # fmt: skip


def _mark_expanding(
    ax: Axes, df: pd.DataFrame, table: pd.DataFrame, across: style.Scale, up: style.Scale, row: np.ndarray,
    column: np.ndarray, mesh: ScalarMappable,
) -> Line2D | None:  # fmt: skip
    """A dot where networks surely expand, since in a grey print both sides of 0 are dark; the legend's entry."""
    if (table["n_seeds"] > 1).any():
        sure, name = (table["low"] > 0).to_numpy(), "interval above 0"
    else:
        x, y = table.columns[:2]
        sure, name = (phase_table(df, x, y, "chaotic", resamples=1)["value"] == 1).to_numpy(), "chaotic"
    if not sure.any():
        return None
    inks = [_ink_on(mesh, number) for number in table["value"].to_numpy()[sure]]
    ax.scatter(across.positions[column[sure]], up.positions[row[sure]], s=1.5, c=inks, linewidths=0, zorder=3)
    return Line2D([], [], color=style.INK, marker=".", markersize=3, linestyle="none", label=name)


def _ink_on(mesh: ScalarMappable, number: float) -> str:
    """A colour that can be read on the colour of a number."""
    red, green, blue, _ = mesh.to_rgba(np.array([number]))[0]
    return "white" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5 else style.INK


def _critical_along(
    ax: Axes, df: pd.DataFrame, y: str, up: style.Scale, across: style.Scale, *, short: bool
) -> Line2D | None:
    """Mean s_critical of the networks at each value of the other axis, as a mark in its row; the legend's entry.

    Short marks leave the middle of a row to its numbers.
    """
    if "s_critical" not in df.columns or across.kind == "even":
        return None
    critical = networks(df)[[y, "s_critical"]]
    critical = critical[np.isfinite(critical["s_critical"].to_numpy(dtype=float, na_value=np.nan))]
    means = critical.groupby(y)["s_critical"].mean()
    low, high = across.edges[[0, -1]]
    means = means[(means >= low) & (means <= high)]
    if means.empty:
        return None
    rows = np.searchsorted(up.values, means.index.to_numpy())
    foot, head = up.edges[rows], up.edges[rows + 1]
    foot = head - 0.35 * (head - foot) if short else foot
    ax.vlines(means.to_numpy(), foot, head, color="white", linewidth=2.4)
    ax.vlines(means.to_numpy(), foot, head, color=style.INK, linewidth=1.2)
    name = "s_critical" if y == "seed" else "mean s_critical"
    return Line2D([], [], color=style.INK, linewidth=1.2, label=f"origin loses stability ({name})")


def _fixed(number: float, digits: int) -> str:
    """A number for a figure: a true minus sign, and none before a zero."""
    if np.isinf(number):
        return r"$-\infty$" if number < 0 else r"$\infty$"
    text = f"{abs(number):.{digits}f}"
    return text if number >= 0 or not text.strip("0.") else "\N{MINUS SIGN}" + text


def _counted(counts: pd.Series, name: str) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,}" + (f" to {high:,}" if low != high else "") + f" {name}" + ("s" if high != 1 else "")


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.phase_diagram",
        "Draw the phase diagram of a run: shares, exponents or dimensions over its axes.",
    )
    parser.add_argument(
        "--y", metavar="AXIS", help="second axis, for a heat map (default: another axis that varies, if any)"
    )
    parser.add_argument(
        "--value", choices=VALUES, default="chaotic", help="what a heat map shows (default: %(default)s)"
    )

    def make(df: pd.DataFrame, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        command.check_axis(df, "--x", arguments.x)
        command.check_axis(df, "--y", arguments.y)
        if arguments.x is not None and arguments.x == arguments.y:
            raise command.ArgumentProblem(f"`--y` must be another axis than `--x`, got {arguments.y!r} for both")
        axes = default_axes(df, arguments.x, arguments.y)
        words = [axis for axis in axes if axis is not None] if axes != default_axes(df, None, None) else []
        if arguments.value != "chaotic":
            words.append(arguments.value)
        return draw(df, *axes, arguments.value), words

    return command.figure_command(parser, argv, "phase_diagram", make)


if __name__ == "__main__":
    raise SystemExit(main())
