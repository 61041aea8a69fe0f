"""The figures of docs/performance.md, from the rates that were kept; nothing is measured here.

python -m benchmarks.figures [THROUGHPUT.csv SCALING.csv]    -> docs/throughput.png, docs/scaling.png
"""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from analysis.command import save_figure
from analysis.style import FAINT, INK, LINES, RC, WIDTH, group_colours, new_figure, styled
from benchmarks.measured import Row
from sweeps.arguments import ArgumentProblem, OneLineParser, refuse

RESULTS, DOCS = Path("benchmarks/results"), Path("docs")
RATE = "million network-steps per second"
NAMES = {
    "cpp_ceiling": "C++, widest vectors",
    "cpp_256": "C++, 256 bits",
    "bare": r"engine, $\lambda_1$ alone",
    "sweep": "sweep, all default columns",
    "numba_lanes": "numba, s in the lanes",
    "numba_loop": "numba, one at a time",
    "numba_plain": "numba, as usually written",
    "lyapax": "lyapax",
    "plain_vmap": "jit(vmap(...))",
}
COLUMNS = {
    "bare": r"$\lambda_1$ alone",
    "sweep": "default columns",
    "two_orbit": "and two_orbit",
    "zero_one": "and zero_one",
    "coverage": "and coverage",
}


def main(argv: list[str] | None = None) -> int:
    parser = OneLineParser("python -m benchmarks.figures", "The figures of docs/performance.md.")
    parser.add_argument("throughput", type=Path, nargs="?", default=RESULTS / "throughput.csv")
    parser.add_argument("scaling", type=Path, nargs="?", default=RESULTS / "scaling.csv")
    parser.add_argument("--out", type=Path, default=DOCS, metavar="FOLDER")
    try:
        arguments = parser.parse_args(argv)
    except ArgumentProblem as problem:
        return refuse(problem, 2)
    try:
        for name, draw in (("throughput", draw_throughput), ("scaling", draw_scaling)):
            source = getattr(arguments, name)
            path = arguments.out / f"{name}.png"
            save_figure(draw(_read(source)), path, title=name, runs=[str(source)])
            print(path)
    except (OSError, ArgumentProblem) as problem:
        return refuse(problem, 1)
    return 0


def _read(source: Path) -> pd.DataFrame:
    """The rates in a file.

    Raises:
        ArgumentProblem: it is no table of rates.
    """
    try:
        rates = pd.read_csv(source)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError):
        rates = pd.DataFrame()
    if missing := [field.name for field in fields(Row) if field.name not in rates]:
        raise ArgumentProblem(f"`{source}` must be a table of rates, got one without {', '.join(missing)}")
    return rates


@styled
def draw_throughput(df: pd.DataFrame) -> Figure:
    """Everybody's rate of lambda_1 on one core, a panel each shape, and of all exponents."""
    one = df[df["cores"] == 1]
    largest = one[one["question"] == "rivals"]
    panels: list[tuple[str, pd.DataFrame]] = []
    for N, D in largest[["N", "D"]].drop_duplicates().to_numpy():
        panels.append((f"$\\lambda_1$, ({N}, {D})", largest[(largest["N"] == N) & (largest["D"] == D)]))
    spectrum = one[one["question"] == "spectrum"]
    if len(spectrum):
        N, D = spectrum[["N", "D"]].iloc[0]
        panels.append((f"all exponents, ({N}, {D})", spectrum))
    programs = [name for name in NAMES if (one["program"] == name).any()]
    figure = new_figure(0.24 * len(programs) + 1.0)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (title, rows) in zip(axes, panels, strict=True):
        for dtype, marker, filled in (("float64", "o", True), ("float32", "s", False)):
            here = rows[(rows["dtype"] == dtype) & rows["program"].isin(programs)]
            at = [programs.index(name) for name in here["program"]]
            ax.hlines(at, here["low"], here["high"], color=FAINT, linewidth=1)
            face = INK if filled else "white"
            ax.plot(here["median"], at, marker, color=INK, markerfacecolor=face, markersize=4, label=dtype)
        ax.set_title(title)
        _logarithmic(ax, "x", (0.1, 0.3, 1, 3, 10, 30, 100, 300))
        ax.grid(axis="y", color="#e6e6e6", linewidth=0.6)
        ax.set_axisbelow(True)
    axes[0].set_yticks(range(len(programs)), [NAMES[name] for name in programs])
    axes[0].set_ylim(len(programs) - 0.5, -0.5)
    figure.supxlabel(f"{RATE}, one core", fontsize=RC["axes.labelsize"])
    axes[-1].legend(loc="upper left", handletextpad=0.2)
    return figure


@styled
def draw_scaling(df: pd.DataFrame) -> Figure:
    """Throughput against batch, D and k, and what the columns cost."""
    figure = new_figure(5.2, WIDTH)
    (batch, delays), (exponents, columns) = figure.subplots(2, 2)
    rows = df[df["question"] == "batch"]
    programs = [name for name in NAMES if (rows["program"] == name).any()]
    _lines(batch, [(NAMES[name], rows[rows["program"] == name]) for name in programs], "cells")
    batch.set_title("a  networks at once: $\\lambda_1$, N = 4, D = 16")
    batch.set_xlabel("networks at once")

    rows = df[df["question"] == "delays"]
    whole = rows["k"] == rows["D"]
    groups = [("k = 1", rows[rows["k"] == 1]), ("k = 4", rows[(rows["k"] == 4) & ~whole]), ("k = D", rows[whole])]
    _lines(delays, groups, "D")
    delays.set_title("b  delays: sweep, N = 4")
    delays.set_xlabel("delays D")

    rows = df[df["question"] == "exponents"]
    _lines(exponents, [("sweep", rows)], "k", legend=False)
    exponents.set_title("c  exponents: sweep, N = 4, D = 16")
    exponents.set_xlabel("exponents k")

    rows = df[df["question"] == "columns"].set_index("program")
    shown = [name for name in COLUMNS if name in rows.index]
    cost = (1e3 / rows[["high", "median", "low"]]).reindex(shown).to_numpy()
    columns.hlines(range(len(shown)), cost[:, 0], cost[:, 2], color=FAINT, linewidth=1)
    columns.plot(cost[:, 1], range(len(shown)), "o", color=INK, markersize=4)
    for at, value in enumerate(cost[:, 1]):
        columns.annotate(f"{value:,.0f}", (value, at), (0, 5), textcoords="offset points", ha="center")
    columns.set_yticks(range(len(shown)), [COLUMNS[name] for name in shown])
    columns.set_ylim(len(shown) - 0.5, -0.7)
    _logarithmic(columns, "x", [digit * 10.0**power for power in range(5) for digit in (1, 3)])
    columns.set_xlim(cost.min() / 1.4, cost.max() * 1.4)
    columns.grid(axis="y", color="#e6e6e6", linewidth=0.6)
    columns.set_axisbelow(True)
    columns.set_title("d  columns: $\\lambda_1$, N = 4, D = 16")
    columns.set_xlabel("nanoseconds per network-step")
    return figure


def _lines(ax: Axes, groups: list[tuple[str, pd.DataFrame]], x: str, *, legend: bool = True) -> None:
    """Medians with their ranges against a column, a line each group, both axes logarithmic."""
    colours = group_colours(len(groups)) if len(groups) > 1 else [INK]
    for (name, rows), colour, (line, marker, filled) in zip(groups, colours, LINES, strict=False):
        rows = rows.sort_values(x)
        face = colour if filled else "white"
        ax.vlines(rows[x], rows["low"], rows["high"], color=colour, linewidth=0.8)
        ax.plot(
            rows[x], rows["median"], line, marker=marker, color=colour, markerfacecolor=face, markersize=4, label=name
        )
    every = pd.concat([rows for _, rows in groups])
    _logarithmic(ax, "x", sorted(every[x].unique()))
    low, high = every["low"].min(), every["high"].max()
    ticks = [digit * 10.0**power for power in range(-4, 4) for digit in (1, 3)]
    _logarithmic(ax, "y", ticks)
    ax.set_ylim(low / (8 if legend else 1.4), high * 1.4)  # the legend stands below
    ax.set_ylabel("M network-steps / s")
    if legend:
        ax.legend(loc="lower left", labelspacing=0.3)


def _logarithmic(ax: Axes, which: str, ticks: list[float] | tuple[float, ...]) -> None:
    """A logarithmic side with these ticks and no others."""
    (ax.set_xscale if which == "x" else ax.set_yscale)("log")
    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


if __name__ == "__main__":
    sys.exit(main())
