"""How many directions does a trained loop keep? Eigenvalues near 1 over hidden units and loops of training, and
retention against completion.

    python -m analysis.near_unity RUN [--value e5] [--where visible=relu] [--out FILE]

RUN is of system=continuous. Nothing is simulated.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from analysis import captions, command, style
from analysis.trained import check_continuous, networks
from attractor_jax.axes import table_axes
from attractor_jax.continuity import COLUMNS
from attractor_jax.phase import LEVEL, RESAMPLES, median_table
from attractor_jax.systems.continuous import FILLS

VALUE = "near_unity"
# What retention is compared with completion in, beside what a person asks for.
COMPARED = ("e5", "near_unity", "drift_20", "selectivity")
LABELS = {
    "near_unity": "eigenvalues near 1",
    "e5": "completion error e(5)",
    "drift_20": "drift after 20 loops",
    "selectivity": "selectivity",
    "gap": "gap below those near 1",
    "spectral_radius": "spectral radius",
}
TASK_COLOURS = {"completion": "#2a6f9e", "retention": "#d9541e"}
# Beyond these ratios of largest to smallest a scale is logarithmic: of colours, and of lines.
WIDE_COLOURS, WIDE_LINES = 100, 30
BEYOND = 4  # how far, as a ratio, a logarithmic scale reaches beyond the medians
MOST_COLUMNS, MOST_ROWS = 8, 24
LETTER = 0.0083  # inches of width of a letter, for each point of its size
SMALL = 6.2  # points, of an interval in a cell


@style.styled
def draw(df: pd.DataFrame, value: str = VALUE, *, level: float = LEVEL, resamples: int = RESAMPLES) -> Figure:
    """The median of a column over hidden units and loops of training, a panel for each task; beneath, both tasks along
    the hidden units (along T where they do not vary).

    Args:
        df: what `read_run` gives of system `continuous`. Empty, the figure says so.
        value: any column of floats that is no axis.
        level: of the intervals.
        resamples: of the seeds. Fewer than about 200 make ragged intervals.

    Raises:
        ValueError: another system, no such column, too many values of T or n2.
    """
    if df.empty:
        return style.blank("no cells in this table")
    check_continuous(df)
    check_value(df, value)
    df = networks(df, "components", "at", "tolerance")
    for axis, most in (("T", MOST_COLUMNS), ("n2", MOST_ROWS)):
        if (many := df[axis].nunique()) > most:
            raise ValueError(f"`where` must leave at most {most} values of {axis}, got {many}")
    tasks = sorted(str(task) for task in df["task"].unique())
    of = {task: df[df["task"] == task] for task in tasks}
    found = {
        name: {
            task: median_table(rows, "T", "n2", column=name, level=level, resamples=resamples)
            for task, rows in of.items()
        }
        for name in dict.fromkeys((value, *COMPARED))
    }
    medians = found[value]
    across, up = (style.Scale(np.sort(df[axis].unique()), "even") for axis in ("T", "n2"))
    bottom = "n2" if len(up.values) > 1 else "T"
    every = across.values.tolist() if bottom == "n2" else [None]
    shown = [name for name in found if any(np.isfinite(table["value"]).any() for table in found[name].values())]
    silent = [name for name in found if name not in shown]

    map_height = max(0.33 * len(up.values), 0.5) + 0.75
    rows, columns = (len(shown), len(every)) if bottom == "n2" else (-(-len(shown) // 2), 2)
    lines_height = 1.0 * rows + 0.5
    figure = style.new_figure(map_height + lines_height + 1.35)
    above, below = np.asarray(figure.subfigures(2, 1, height_ratios=[map_height + 0.2, lines_height]))
    grid = above.subplots(1, len(tasks), squeeze=False, sharey=True)[0]
    colours, norm = colours_of(np.concatenate([table["value"].to_numpy() for table in medians.values()]))
    mesh = ScalarMappable(norm, colours)
    told = True
    for ax, task in zip(grid, tasks, strict=True):
        told &= _panel(ax, medians[task], across, up, colours, norm, width=5.4 / len(tasks) / len(across.values))
        ax.set_title(task)
        ax.set_xlabel("loops of training T")
    grid[0].set_ylabel("hidden units n2")
    bar = above.colorbar(mesh, ax=list(grid), pad=0.02, aspect=26)
    several = (df.groupby(["task", "T", "n2"], observed=True).size() > 1).any()
    above.suptitle(("median of " if several else "") + name_of(value), x=0.01, ha="left", fontsize=9)
    bar.outline.set_linewidth(0.7)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]

    lower = below.subplots(rows, columns, squeeze=False, sharex=True, sharey="row" if bottom == "n2" else False)
    looks, cut = _looks(tasks), False
    panels = [(name, T) for name in shown for T in every]
    for ax, (name, T) in zip(lower.ravel(), panels, strict=False):
        together = pd.concat(found[name].values())
        for look in looks:
            table = found[name][look.task]
            _lines(ax, table if T is None else table[table["T"] == T], bottom, look)
        _dress(ax, together, np.sort(df[bottom].unique()).astype(float))
        if bottom == "T":
            ax.set_title(name_of(name))
        elif name == shown[0]:
            ax.set_title(f"T = {T}")
        low, high = ax.get_ylim()
        cut |= bool((together["low"] < low).any() or (together["high"] > high).any())
    for ax in lower.ravel()[len(panels) :]:
        ax.set_axis_off()
    for ax in lower.ravel()[max(len(panels) - columns, 0) : len(panels)]:  # the lowest of each column
        ax.tick_params(labelbottom=True)
        ax.set_xlabel("hidden units n2" if bottom == "n2" else "loops of training T")
    if bottom == "n2":
        for ax, name in zip(lower[:, 0], shown, strict=True):
            ax.set_ylabel(_broken(name_of(name)))
    handles: list[Line2D | Patch] = [look.line for look in looks]
    below.legend(handles=handles, loc="outside upper right", ncols=len(handles))
    of_orbits = value not in {column.name for column in (*FILLS, *COLUMNS)}
    captions.caption(figure, df, ["task", "T", "n2"], _notes(df, level, told, silent, cut=cut), orbits=of_orbits)
    return figure


def check_value(df: pd.DataFrame, value: str) -> None:
    """Refuse what is no column of floats, or an axis.

    Raises:
        ValueError: naming some that would do.
    """
    if value not in df.columns or df[value].dtype.kind != "f" or value in table_axes(df):
        some = ", ".join(name for name in LABELS if name in df.columns)
        raise ValueError(f"`value` must be a column of floats, such as {some}, got {value!r}")


def name_of(column: str) -> str:
    """What a column is called in figures."""
    return LABELS.get(column, column)


def colours_of(values: np.ndarray) -> tuple[Colormap, Normalize]:
    """The colours of all panels: on a logarithmic scale where it is wide, and white at 0 where both signs are there."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if low < 0 < high:
        return style.DIVERGING, style.centred_norm(values)
    if low > 0 and high > WIDE_COLOURS * low:
        return style.DIMENSION, LogNorm(low, high)
    foot, head = (min(low, 0.0), max(high, 0.0)) if low >= 0 or high <= 0 else (low, high)
    return style.DIMENSION, Normalize(foot, head if head > foot else foot + 1)


def _panel(
    ax: Axes,
    table: pd.DataFrame,
    across: style.Scale,
    up: style.Scale,
    colours: Colormap,
    norm: Normalize,
    *,
    width: float,
) -> bool:
    """The colour of each point with its number; returns whether there was room for the intervals.

    Args:
        width: of a cell, about, in inches.
    """
    column = np.searchsorted(across.values, table["T"].to_numpy())
    row = np.searchsorted(up.values, table["n2"].to_numpy())
    image = np.full((len(up.values), len(across.values)), np.nan)
    image[row, column] = table["value"].to_numpy()
    ax.set_facecolor(style.NO_VALUE)
    ax.pcolormesh(
        across.edges, up.edges, np.ma.masked_invalid(image), cmap=colours, norm=norm, edgecolors="white",
        linewidth=0.6,
    )  # fmt: skip
    numbers = table[["value", "low", "high"]].to_numpy(float).tolist()
    intervals = [f"[{short(low)}, {short(high)}]" if not np.isnan(low) else "" for _, low, high in numbers]
    room = max(map(len, intervals), default=0) * LETTER * SMALL <= width
    for x, y, (value, *_), interval in zip(column.tolist(), row.tolist(), numbers, intervals, strict=True):
        shown = np.isfinite(value)
        ink = style.INK
        if shown:
            red, green, blue, _ = colours(norm(value))
            ink = "white" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5 else style.INK
        text = "none" if np.isnan(value) else short(value)
        both = bool(interval) and room
        ax.text(x, y + 0.17 * both, text, ha="center", va="center", fontsize=8, color=ink)
        if both:
            ax.text(x, y - 0.25, interval, ha="center", va="center", fontsize=SMALL, color=ink)
    across.dress(ax, "x", "T", cells=True)
    up.dress(ax, "y", "n2", cells=True)
    ax.set(xlabel="", ylabel="")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(True)
    return room


def short(number: float) -> str:
    """A number in few letters, with a true minus sign."""
    if np.isinf(number):
        return "∞" if number > 0 else "\N{MINUS SIGN}∞"
    if number == 0 or abs(number) >= 1000:
        text = f"{number:.2g}"
    else:
        text = f"{number:#.3g}".removesuffix(".") if abs(number) >= 1 else f"{number:#.2g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        text = f"{float(mantissa):.2g}e{int(exponent)}"
    return text.replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True)
class _Look:
    """How the line of a task is drawn."""

    task: str
    colour: str
    style: Any
    marker: str
    filled: bool

    @property
    def line(self) -> Line2D:
        face = self.colour if self.filled else "white"
        return Line2D(
            [], [], color=self.colour, linestyle=self.style, marker=self.marker, markerfacecolor=face, markersize=3.5,
            label=self.task,
        )  # fmt: skip


def _looks(tasks: Sequence[str]) -> list[_Look]:
    return [_Look(task, TASK_COLOURS[task], *style.LINES[int(task == "retention")]) for task in tasks]


def _lines(ax: Axes, table: pd.DataFrame, bottom: str, look: _Look) -> None:
    """Medians with their intervals along the bottom."""
    at, value, low, high = (table[name].to_numpy(float) for name in (bottom, "value", "low", "high"))
    here = np.isfinite(value)
    if not here.any():
        return
    sure = here & np.isfinite(low) & np.isfinite(high)
    ax.vlines(at[sure], low[sure], high[sure], color=look.colour, linewidth=1.0, zorder=3)
    face = look.colour if look.filled else "white"
    ax.plot(
        at[here], value[here], color=look.colour, linestyle=look.style, marker=look.marker, markerfacecolor=face,
        markersize=3.2, linewidth=1.0, zorder=4,
    )  # fmt: skip


def _dress(ax: Axes, medians: pd.DataFrame, at: np.ndarray) -> None:
    """Scales of a small panel: logarithmic where it would be wide, else from 0."""
    middle = medians["value"].to_numpy(float)
    middle = middle[np.isfinite(middle)]
    ends = medians[["low", "high"]].to_numpy(float)
    ends = np.r_[ends[np.isfinite(ends)], middle]
    low, high = float(ends.min()), float(ends.max())
    if low > 0 and high > WIDE_LINES * low:
        # The interval of one point that is hardly known does not set the scale.
        low, high = max(low, float(middle.min()) / BEYOND), min(high, float(middle.max()) * BEYOND)
        ax.set_yscale("log")
        ax.set_ylim(low / 1.3, high * 1.3)
        style.log_ticks(ax.yaxis, np.array([low, high]), crowded=20)
    else:
        room = 0.08 * max(high - min(low, 0.0), 1e-12)
        ax.set_ylim(min(low, 0.0) - (room if low < 0 else 0.0), max(high, 0.0) + room)
        ax.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 2.5, 5, 10]))
    ax.set_xscale("log" if len(at) > 1 else "linear")
    if len(at) > 1:
        ax.set_xlim(at[0] / 1.15, at[-1] * 1.15)
    _few_ticks(ax.xaxis, at)


def _few_ticks(axis: Axis, values: np.ndarray) -> None:
    """Ticks at values that stand there, so few that their names keep apart on a logarithmic axis."""
    kept: list[float] = []
    apart = (values[-1] / values[0]) ** (1 / 5.5) if values[0] > 0 else 1.0
    for value in values[::-1]:
        if not kept or kept[-1] / value >= apart * 0.999:
            kept.append(float(value))
    kept.reverse()
    axis.set_major_locator(FixedLocator(kept))
    axis.set_major_formatter(FixedFormatter([f"{value:g}" for value in kept]))
    axis.set_minor_locator(NullLocator())


def _broken(name: str) -> str:
    """A name on two lines, if it is long."""
    return "\n".join(textwrap.wrap(name, 12))


def _notes(df: pd.DataFrame, level: float, told: bool, silent: Sequence[str], *, cut: bool) -> list[str]:
    at, tolerance = (", ".join(f"{each:g}" for each in np.sort(df[name].unique())) for name in ("at", "tolerance"))
    sizes = df.groupby(["task", "T", "n2"], observed=True).size()
    low, high = int(sizes.min()), int(sizes.max())
    count = f"{low}" if low == high else f"{low} to {high}"
    each = f"{count} {'network' if high == 1 else 'networks'} at each point"
    if df["seed"].nunique() > 1:
        where = "" if told else " (too long for the cells; the lines have them)"
        said = f"Medians over {each}, {100 * level:g} % intervals bootstrapped over seeds{where}."
    else:
        said = f"{each}, one seed: no intervals."
    lines = [
        said,
        f"Near 1: |μ − 1| < {tolerance}, eigenvalues μ of J at up to 16 states after {at} loops from held-out images.",
    ]
    if cut:
        lines.append("Intervals that leave their panel are cut off.")
    if silent:
        lines.append(f"No value here: {', '.join(silent)}.")
    return lines


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.near_unity", "Draw how many directions trained loops keep.", free_x=False
    )
    parser.add_argument("--value", metavar="COLUMN", default=VALUE, help="what is drawn (default: %(default)s)")

    def make(df: pd.DataFrame, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        try:
            figure = draw(df, arguments.value)
        except ValueError as problem:
            raise type(problem)(str(problem).replace("`value`", "`--value`")) from problem
        return figure, [arguments.value] if arguments.value != VALUE else []

    return command.figure_command(parser, argv, "near_unity", make)


if __name__ == "__main__":
    raise SystemExit(main())
