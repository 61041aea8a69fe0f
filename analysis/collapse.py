"""Do networks of all sizes turn chaotic alike, once s is measured in units of where their origin loses stability?

    python -m analysis.collapse RUN [--width 0.1] [--where N=4] [--out FILE]

The share of chaotic networks against s, and against s / s_critical of each network. Nothing is simulated.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from analysis import captions, command, style
from analysis.groups import Group, group_axes, groups
from attractor_jax.axes import cluster_column, varied_axes
from attractor_jax.phase import LEVEL, RESAMPLES, phase_table

WIDTH = 0.1  # of a bin, decades
MOST_CURVES = 12

# A bin far from the middle of s / s_critical holds only networks whose s_critical is unusually small or large; it is
# drawn where it has at least this share of the curve's networks.
LEAST_SHARE = 0.75

# Where a curve reaches this share it is compared with the others; and where it reaches half of its own maximum, which
# asks for the place of the rise alone.
LEVEL_COMPARED = 0.25


@dataclass(frozen=True)
class Curve:
    """Share of chaos of one group of networks along an axis.

    Attributes:
        name: of the group.
        at: (bins,), middles of the bins that are drawn.
        share, low, high: (bins,), with its interval; NaN where no cell is resolved.
        n_left_out: bins with too few of the networks.
    """

    name: str
    at: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n_left_out: int

    @property
    def top(self) -> float:
        """The largest share, 0 where there is none."""
        return float(np.nanmax(self.share, initial=0.0))

    def reaches(self, level: float) -> float:
        """Where the share first comes up to a level, between bins on a logarithmic scale; NaN if it does not, or began
        there."""
        known = np.isfinite(self.share)
        at, share = self.at[known], self.share[known]
        above = np.flatnonzero((share >= level) & (share > 0))
        if not len(above) or above[0] == 0:
            return np.nan
        i = above[0]
        part = (level - share[i - 1]) / (share[i] - share[i - 1])
        return float(at[i - 1] * (at[i] / at[i - 1]) ** part)


def problem(df: pd.DataFrame) -> str | None:
    """Why the table cannot be drawn: one line, or None if it can."""
    if "s_critical" not in df.columns or "s" not in df.columns:
        return "no column s_critical: this system has no closed form for where its origin loses stability"
    if df["s_critical"].isna().all():
        return "s_critical is null throughout: these networks have no fixed point at the origin"
    if not _in_units(df).any():
        return "no cell has both s > 0 and a finite s_critical > 0: nothing can be scaled"
    return None


@style.styled
def draw(df: pd.DataFrame, *, width: float = WIDTH, level: float = LEVEL, resamples: int = RESAMPLES) -> Figure:
    """Share of chaotic networks against s (left) and against s / s_critical (right), a curve for each group (N and D,
    say).

    Args:
        df: what `read_run` gives. Empty, or without s_critical, the figure says so.
        width: of a bin, in decades; never less than the steps of the grid. Too wide a bin smears the rise, too narrow
            a one has few cells.
        level: of the intervals.
        resamples: of the seeds. Fewer than about 200 make ragged intervals.

    Raises:
        ValueError: a width of 0 or below, or more than twelve groups.
    """
    if not width > 0:
        raise ValueError(f"`width` must be above 0, got {width}")
    if df.empty:
        return style.blank("no cells in this table")
    if (why := problem(df)) is not None:
        return style.blank(why)
    axes = group_axes(df, "s")
    scaled = df[_in_units(df)]
    if (n := len(groups(scaled, axes))) > MOST_CURVES:
        raise ValueError(f"`df` must have at most {MOST_CURVES} groups of {', '.join(axes)}, got {n}")
    width = max(width, _step(df))
    scaled = scaled.assign(**{"s / s_critical": scaled["s"] / scaled["s_critical"]})
    parts = groups(scaled, axes)
    before = [_curve(part, "s", width, level, resamples) for part in parts]
    after = [_curve(part, "s / s_critical", width, level, resamples) for part in parts]

    figure = style.new_figure(4.6)
    left, right = figure.subplots(1, 2, sharey=True)
    looks = _looks(parts)
    for ax, curves, label in ((left, before, style.axis_label("s")), (right, after, "s / s_critical")):
        _panel(ax, curves, looks)
        ax.set_xlabel(label)
    top = max((float(np.nanmax(c.high)) for c in [*before, *after] if np.isfinite(c.high).any()), default=0.0)
    left.set_ylim(0, max(0.1, 1.04 * top))
    left.set_ylabel("share of networks that are chaotic")
    _mark_critical(right)
    if len(parts) > 1:
        handles = [Line2D([], [], **look, label=part.name) for part, look in zip(parts, looks, strict=True)]
        columns = min(len({part.values[-1] for part in parts}), 4)
        entries = style.by_rows(handles, columns)
        figure.legend(handles=entries, loc="outside upper left", ncols=columns, handlelength=3.2, columnspacing=2.0)
    captions.caption(figure, df, ["s", *varied_axes(df)], _notes(df, scaled, before, after, width, level))
    return figure


def _in_units(df: pd.DataFrame) -> np.ndarray:
    """Cells that have a place on the axis s / s_critical."""
    critical = df["s_critical"].to_numpy(dtype=float, na_value=np.nan)
    return np.isfinite(critical) & (critical > 0) & (df["s"].to_numpy(float) > 0)


def _step(df: pd.DataFrame) -> float:
    """Between the values of s, decades: narrower bins would be empty in turn."""
    values = np.unique(df["s"][df["s"] > 0])
    return float(np.median(np.diff(np.log10(values)))) if len(values) > 1 else 0.0


def _curve(group: Group, x: str, width: float, level: float, resamples: int) -> Curve:
    # Half a thousandth of a bin keeps a value that lies on an edge in the upper bin, whatever its last bit.
    bins = np.floor(np.log10(group.rows[x].to_numpy(float)) / width + 0.5 + 5e-4)
    table = phase_table(group.rows.assign(**{x: bins}), x, value="chaotic", level=level, resamples=resamples)
    cluster = cluster_column(group.rows)
    most = group.rows[cluster].nunique() if cluster else int(table["n_seeds"].max())
    drawn = (table["n_seeds"] >= LEAST_SHARE * most).to_numpy()
    at = 10 ** (width * table[x].to_numpy(float)[drawn])
    share, low, high = (table[name].to_numpy(float)[drawn] for name in ("value", "low", "high"))
    return Curve(group.name, at, share, low, high, int(np.sum(~drawn)))


def _looks(parts: list[Group]) -> list[dict]:
    """Colour by the last axis, line and marker by the others."""
    last = sorted({part.values[-1:] for part in parts})
    others = sorted({part.values[:-1] for part in parts})
    colours = dict(zip(last, style.group_colours(len(last)), strict=True))
    looks = []
    for part in parts:
        line, marker, filled = style.LINES[others.index(part.values[:-1]) % len(style.LINES)]
        colour = colours[part.values[-1:]]
        looks.append(
            {
                "color": colour, "linestyle": line, "marker": marker, "markersize": 3.2,
                "markerfacecolor": colour if filled else "white", "markeredgewidth": 0.9, "linewidth": 1.2,
            }
        )  # fmt: skip
    return looks


def _mark_critical(ax: Axes) -> None:
    """Where the origin loses stability, named on the side that has room."""
    low, high = ax.get_xlim()
    if not low < 1 < high:
        return
    ax.axvline(1, color=style.FAINT, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    on_the_left = np.log(1 / low) > 0.3 * np.log(high / low)
    ax.annotate(
        "origin loses\nstability", (1, 0.97), xycoords=ax.get_xaxis_transform(), textcoords="offset points",
        xytext=(-4 if on_the_left else 4, 0), ha="right" if on_the_left else "left", va="top", fontsize=7.5,
        color="#555555",
    )  # fmt: skip


def _panel(ax: Axes, curves: list[Curve], looks: list[dict]) -> None:
    ax.set_xscale("log")
    ax.axhline(LEVEL_COMPARED, color=style.FAINT, linewidth=0.7, linestyle=":", zorder=1)
    for curve, look in zip(curves, looks, strict=True):
        known = np.isfinite(curve.share)
        bars = {
            "color": look["color"],
            "linewidth": 1.8,
            "alpha": 0.22,
            "zorder": 2,
        }  # pale: those of all curves overlap
        ax.vlines(curve.at[known], curve.low[known], curve.high[known], **bars)
        ax.plot(curve.at[known], curve.share[known], **look, zorder=3)
    at = np.concatenate([curve.at for curve in curves])
    if len(at):
        ax.set_xlim(0.85 * at.min(), at.max() / 0.85)
    else:
        ax.text(0.5, 0.5, "no bin holds enough networks", ha="center", va="center", transform=ax.transAxes)
    ax.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def spread(before: list[Curve], after: list[Curve], level: float | None) -> tuple[float, float, int]:
    """How far apart the same curves reach a share, along either axis: largest place over smallest, before and after.

    Args:
        level: the share; None for half of each curve's own largest on that axis.

    Returns:
        Both factors, NaN for fewer than two curves; and how many curves reach it on both axes: only they are compared.
    """
    places = np.array(
        [
            [curve.reaches(curve.top / 2 if level is None else level) for curve in (*pair,)]
            for pair in zip(before, after, strict=True)
        ]
    )
    places = places[np.isfinite(places).all(axis=1)]
    if len(places) < 2:
        return np.nan, np.nan, len(places)
    factors = places.max(axis=0) / places.min(axis=0)
    return float(factors[0]), float(factors[1]), len(places)


def apart(curves: list[Curve]) -> float:
    """The largest difference between two curves in the same bin, NaN where no two share one."""
    heights = pd.DataFrame({i: pd.Series(curve.share, index=curve.at) for i, curve in enumerate(curves)})
    heights = heights[heights.notna().sum(axis=1) > 1]
    return float((heights.max(axis=1) - heights.min(axis=1)).max()) if len(heights) else np.nan


def _notes(
    df: pd.DataFrame, scaled: pd.DataFrame, before: list[Curve], after: list[Curve], width: float, level: float
) -> list[str]:
    notes = []
    if not any(curve.top > 0 for curve in before):
        notes.append("No cell is chaotic.")
    elif len(before) > 1:
        notes.append(_collapse_line(before, after))
    else:
        notes.append("One curve: there is nothing for it to collapse onto.")
    cluster = cluster_column(df)
    among = f", bootstrapped over {cluster}s" if cluster and df[cluster].nunique() > 1 else ""
    bins = f"Bins of {width:.2g} decades; intervals {100 * level:g} %{among}."
    if any(curve.n_left_out for curve in after):
        bins += f" Right: only bins that hold at least {100 * LEAST_SHARE:g} % of a curve's networks."
    notes.append(bins)
    if len(scaled) < len(df):
        notes.append(f"{len(df) - len(scaled):,} cells without a finite s_critical, or with s = 0, are left out.")
    return notes


def _collapse_line(before: list[Curve], after: list[Curve]) -> str:
    """What scaling does to the distance between the curves, in numbers, whichever way it goes."""
    words = []
    compared = (
        (f"a share of {LEVEL_COMPARED:g} (dotted)", LEVEL_COMPARED),
        ("half of their own largest share", None),
    )
    for name, level in compared:
        raw, scaled, n = spread(before, after, level)
        counted = f"{n} of {len(before)} curves"
        if n < 2:
            words.append(f"{counted} reach {name} on both axes")
        else:
            words.append(f"{counted} reach {name} within a factor of {raw:.2f} → {scaled:.2f}")
    tops = [curve.top for curve in after]
    return (
        f"How far the curves lie apart in s → in s / s_critical: {'; '.join(words)}; the largest difference between "
        f"two is {apart(before):.2f} → {apart(after):.2f}. Their largest shares on the right are {min(tops):.2f} to "
        f"{max(tops):.2f}."
    )


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.collapse", "Draw the share of chaotic networks against s and s / s_critical.", free_x=False
    )
    parser.add_argument("--width", type=float, default=WIDTH, help="of a bin, in decades (default: %(default)s)")

    def make(df: pd.DataFrame, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        if not arguments.width > 0:
            raise command.ArgumentProblem(f"`--width` must be above 0 (decades), got {arguments.width:g}")
        if (why := problem(df)) is not None:
            raise command.RunProblem(f"{arguments.run} cannot be scaled: {why}")
        axes = group_axes(df, "s")
        if (n := len(groups(df, axes))) > MOST_CURVES:
            must = f"leave at most {MOST_CURVES} groups of {', '.join(axes)}, one a curve"
            raise command.ArgumentProblem(f"`--where` must {must}, got {n}")
        return draw(df, width=arguments.width), [] if arguments.width == WIDTH else [f"width{arguments.width:g}"]

    return command.figure_command(parser, argv, "collapse", make)


if __name__ == "__main__":
    raise SystemExit(main())
