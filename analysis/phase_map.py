"""The heat map of a phase diagram: a value over two axes, with what cannot be taken at face value hatched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from analysis import captions, style
from attractor_jax.axes import cluster_column, table_axes
from attractor_jax.phase import phase_table

VALUE_LABELS = {
    "chaotic": "share of chaotic cells",
    "lambda_1": "median " + style.LAMBDA_1,
    "kaplan_yorke": "median " + style.DIMENSION_LABEL,
}

# Numbers are written into the cells of a heat map that has no more than these: with more they cannot be read.
NUMBERED_UP_TO = 80
MOST_COLUMNS_OF_NUMBERS = 12  # of lambda_1, whose numbers are the longest


def networks(df: pd.DataFrame) -> pd.DataFrame:
    """One row a network: s and the initial state do not make another."""
    return df.drop_duplicates([axis for axis in table_axes(df) if axis not in ("s", "replicate")])


def over_two_axes(
    df: pd.DataFrame, x: str, y: str, value: str, level: float, resamples: int, notes: list[str]
) -> Figure:
    """The heat map; for the arguments see `phase_diagram.draw`."""
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
    colours, norm = colours_of(value, values)
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


def colours_of(value: str, values: np.ndarray) -> tuple[Colormap, Normalize]:
    """The colours of a heat map of a value, and which of them a number gets."""
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
    if len(across.values) > (MOST_COLUMNS_OF_NUMBERS if value == "lambda_1" else 2 * MOST_COLUMNS_OF_NUMBERS):
        return  # they would run into one another
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
