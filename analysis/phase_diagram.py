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
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import captions, command, style
from analysis.phase_map import networks, over_two_axes
from attractor_jax.axes import table_axes, varied_axes
from attractor_jax.phase import LEVEL, RESAMPLES, binned, phase_quantiles, phase_table, regime_shares

VALUES = ("chaotic", "lambda_1", "kaplan_yorke")
# Chaos stands at the bottom, so that its upper edge is its share, read from zero, and the error bars there are its own.
STACK = ("hyperchaotic", "chaotic", "quasiperiodic", "periodic", "fixed_point", "unsettled", "diverged")


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
    return over_two_axes(df, x, y, value, level, resamples, notes)


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
