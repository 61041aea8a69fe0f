"""Does a network whose origin loses stability early turn chaotic early? Where chaos begins against s_critical.

    python -m analysis.onset RUN [--where N=4] [--out FILE]

A point a network, from the run's table of transitions. Nothing is simulated.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from analysis import captions, command, style
from analysis.groups import group_axes, groups
from attractor_jax.axes import varied_axes

MOST_PANELS = 6
ABREAST = 3
KINDS = {"neimark_sacker": ("o", "Neimark–Sacker"), "flip": ("s", "flip"), "pitchfork": ("^", "pitchfork")}
OTHER_KIND = ("d", "not known")
GUIDES = (1, 3, 10, 30)  # s_chaos / s_critical


def problem(df: pd.DataFrame) -> str | None:
    """Why the table cannot be drawn: one line, or None if it can."""
    if "s_chaos" not in df.columns:
        return "no column s_chaos: s is not the swept axis of these transitions"
    if "s_critical" not in df.columns:
        return "no column s_critical: this system has no closed form for where its origin loses stability"
    if df["s_critical"].isna().all():
        return "s_critical is null throughout: these networks have no fixed point at the origin"
    if not _placed(df).any():
        return "no network has a finite s_critical"
    return None


@style.styled
def draw(df: pd.DataFrame) -> Figure:
    """Where chaos begins against where the origin loses stability: a point a network, its tolerance as a bar, and
    ticks at the top edge for networks that are not chaotic on the grid.

    Colours tell the last axis that varies besides the draw (D, say), panels the others (N), marks the kind of the
    first bifurcation.

    Args:
        df: what `read_run(..., table="transitions")` gives. Empty, or without s_critical, the figure says so.

    Raises:
        ValueError: more than six panels.
    """
    if df.empty:
        return style.blank("no networks in this table")
    if (why := problem(df)) is not None:
        return style.blank(why)
    networks = df[_placed(df)]
    axes = group_axes(df)
    panels = groups(networks, axes[:-1])
    if len(panels) > MOST_PANELS:
        raise ValueError(f"`df` must have at most {MOST_PANELS} groups of {', '.join(axes[:-1])}, got {len(panels)}")
    colours = _colours(df, axes)
    abreast = min(ABREAST, len(panels))
    rows = -(-len(panels) // abreast)
    figure = style.new_figure(1.9 + (3.0 if rows == 1 else 2.4) * rows)
    placed = figure.subplots(rows, abreast, squeeze=False, sharex=True, sharey=True)
    for i, ax in enumerate(placed.flat):
        if i >= len(panels):
            ax.remove()
            continue
        _panel(ax, panels[i].rows, axes[-1:], colours)
        ax.set_title(panels[i].name, pad=15)
        ax.tick_params(labelbottom=i + abreast >= len(panels))
        if i + abreast >= len(panels):
            ax.set_xlabel("s_critical: origin loses stability")
        if i % abreast == 0:
            ax.set_ylabel("s_chaos: chaos begins")
    _limits(placed[0, 0], networks)
    for i, ax in enumerate(placed.flat[: len(panels)]):
        _censored(ax, panels[i].rows, axes[-1:], colours)
        _guides(ax)
    handles, columns = _legend(networks, axes[-1:], colours)
    figure.legend(handles=handles, loc="outside upper left", ncols=columns, handlelength=1.3, columnspacing=1.6)
    captions.caption(figure, df, varied_axes(df), _notes(df, networks))
    return figure


def _placed(df: pd.DataFrame) -> np.ndarray:
    """Networks that have a place on the axis of s_critical."""
    critical = df["s_critical"].to_numpy(dtype=float, na_value=np.nan)
    return np.isfinite(critical) & (critical > 0)


def _colours(df: pd.DataFrame, axes: list[str]) -> dict[float, str]:
    if not axes:
        return {}
    values = np.sort(df[axes[-1]].unique()).tolist()
    return dict(zip(values, style.group_colours(len(values)), strict=True))


def _coloured(rows: pd.DataFrame, last: list[str], colours: dict[float, str]) -> list[str]:
    if not last:
        return [style.group_colours(3)[1]] * len(rows)
    return [colours[value] for value in rows[last[0]].tolist()]


def _kinds(rows: pd.DataFrame) -> np.ndarray:
    """The marks of networks, by the kind of their first bifurcation."""
    if "first_bifurcation" not in rows.columns:
        return np.full(len(rows), OTHER_KIND[0])
    kinds = rows["first_bifurcation"].astype(object)
    return np.array([KINDS.get(kind, OTHER_KIND)[0] for kind in kinds])


def _panel(ax: Axes, rows: pd.DataFrame, last: list[str], colours: dict[float, str]) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    there = rows[rows["s_chaos"].notna()]
    x, y = (there[name].to_numpy(float) for name in ("s_critical", "s_chaos"))
    tolerance = there["s_chaos_tolerance"].to_numpy(float)
    shades, marks = np.array(_coloured(there, last, colours), dtype=object), _kinds(there)
    bounded = np.isinf(tolerance)
    low = np.where(bounded, y, np.maximum(y - tolerance, 1e-3 * y))
    ax.vlines(x, low, y + np.where(bounded, 0.0, tolerance), colors=list(shades), linewidth=1.0, zorder=3)
    for mark in np.unique(marks):
        here = marks == mark
        ax.scatter(
            x[here], y[here], s=18, marker=str(mark), c=list(shades[here]), linewidths=0.4, edgecolors="white", zorder=4
        )
    # Chaotic on the first value already: chaos begins there or below.
    ax.scatter(x[bounded], 0.9 * y[bounded], s=14, marker="$\\downarrow$", c=list(shades[bounded]), zorder=4)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def _limits(ax: Axes, networks: pd.DataFrame) -> None:
    """Room for all points, and above them for the ticks of those that have none."""
    critical = networks["s_critical"].to_numpy(float)
    chaos = networks["s_chaos"].dropna().to_numpy(float)
    ax.set_xlim(0.85 * critical.min(), critical.max() / 0.85)
    low, high = (chaos.min(), chaos.max()) if len(chaos) else (critical.min(), critical.max())
    ax.set_ylim(0.8 * low, 1.25 * high * (high / low) ** 0.06)


def _censored(ax: Axes, rows: pd.DataFrame, last: list[str], colours: dict[float, str]) -> None:
    """Ticks at the top edge: networks that are not chaotic on the grid."""
    without = rows[rows["s_chaos"].isna()]
    ax.vlines(
        without["s_critical"].to_numpy(float), 0.965, 1.0, colors=_coloured(without, last, colours), linewidth=0.9,
        transform=ax.get_xaxis_transform(), zorder=3,
    )  # fmt: skip


def _guides(ax: Axes) -> None:
    """The diagonal, and lines on which chaos begins at some multiples of s_critical."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    for factor in GUIDES:
        # The ends of the line within the panel.
        first, last = max(left, low / factor), min(right, high / factor)
        if first >= last:
            continue
        look = {"linewidth": 1.1, "linestyle": "-"} if factor == 1 else {"linewidth": 0.6, "linestyle": (0, (4, 3))}
        ax.plot([first, last], [factor * first, factor * last], color=style.FAINT, zorder=1, **look)
        small = {"fontsize": 7.5, "color": "#555555", "zorder": 2}
        if factor == 1 and np.log(last / first) > 0.4 * np.log(right / left):
            middle = float(np.sqrt(first * last))
            ax.text(
                middle, middle, "s_chaos = s_critical", ha="center", va="top", rotation=45, rotation_mode="anchor",
                transform_rotates_text=True, **small,
            )  # fmt: skip
        elif last < right:  # it leaves through the top
            ax.text(last, 1.01, f"× {factor}", ha="center", va="bottom", transform=ax.get_xaxis_transform(), **small)
        else:
            ax.text(1.01, factor * last, f"× {factor}", va="center", transform=ax.get_yaxis_transform(), **small)
    ax.set(xlim=(left, right), ylim=(low, high))


def _legend(networks: pd.DataFrame, last: list[str], colours: dict[float, str]) -> tuple[list[Line2D | Patch], int]:
    """Entries for colours in a row, for marks in another; and the number of columns."""
    dot = {"color": style.INK, "linestyle": "none", "markersize": 4.5}
    shades: list[Line2D | Patch] = [
        Line2D([], [], **{**dot, "color": colour}, marker="o", label=f"{last[0]} = {style.number(value)}")
        for value, colour in colours.items()
    ]
    there = set(_kinds(networks))
    kinds = [(mark, name) for mark, name in (*KINDS.values(), OTHER_KIND) if mark in there]
    marks: list[Line2D | Patch] = [Line2D([], [], **dot, marker=mark, label=name) for mark, name in kinds]
    if networks["s_chaos"].isna().any():
        marks.append(Line2D([], [], **{**dot, "markersize": 7}, marker="|", label="not chaotic on the grid"))
    columns = max(len(marks), min(len(shades), 6))
    if shades:
        shades += [Line2D([], [], linestyle="none", label=" ") for _ in range(-len(shades) % columns)]
    return style.by_rows([*shades, *marks], columns), columns


def _notes(df: pd.DataFrame, networks: pd.DataFrame) -> list[str]:
    n = len(networks)
    there = networks[networks["s_chaos"].notna()]
    told = f"{len(there):,} of {n:,} networks become chaotic{_by_kind(networks)}"
    notes = [told + ("; the others are ticks at the top edge." if len(there) < n else ".")]
    if len(there):
        ratio = (there["s_chaos"] / there["s_critical"]).to_numpy(float)
        low, high = np.quantile(ratio, [0.1, 0.9], method="inverted_cdf")
        told = f"s_chaos / s_critical: median {np.median(ratio):.3g}, 10–90 % from {low:.3g} to {high:.3g}"
        below = int(np.sum(ratio < 1))
        told += f", below 1 in {below:,}" if below else ", never below 1"
        notes.append(f"{told}, among those that become chaotic.{_correlation(there)}")
        relative = (there["s_chaos_tolerance"] / there["s_chaos"]).to_numpy(float)
        finite = relative[np.isfinite(relative)]
        if len(finite):
            usual, most = 100 * np.median(finite), 100 * finite.max()
            notes.append(
                f"Bars: what bisection left of the bracket, ± {usual:.2g} % in the median, {most:.2g} % at most."
            )
        if len(finite) < len(relative):
            notes.append(f"Arrows: {len(relative) - len(finite):,} networks chaotic at their first value of s.")
    if n < len(df):
        notes.append(f"{len(df) - n:,} networks without a finite s_critical are left out.")
    return notes


def _correlation(there: pd.DataFrame) -> str:
    """Rank correlation of s_chaos and s_critical: over all networks, and within groups alike in all but their draw,
    where sizes that differ in both cannot feign one."""

    def within(rows: pd.DataFrame) -> float:
        ranks = rows[["s_critical", "s_chaos"]].rank()
        varied = len(rows) > 2 and (ranks.nunique() > 1).all()
        return float(np.corrcoef(ranks.to_numpy(float).T)[0, 1]) if varied else np.nan

    rho = within(there)
    if np.isnan(rho):
        return ""
    axes = group_axes(there)
    each = np.array([within(group.rows) for group in groups(there, axes)])
    each = each[np.isfinite(each)]
    told = f" Their rank correlation (Spearman): {rho:.2f}"
    if axes and len(each):
        told += f"; within groups of one {' and '.join(axes)} from {each.min():.2f} to {each.max():.2f}"
    return told.replace("-", "\N{MINUS SIGN}") + "."


def _by_kind(networks: pd.DataFrame) -> str:
    """How many of each kind become chaotic, for the caption."""
    if "first_bifurcation" not in networks.columns:
        return ""
    there = networks["s_chaos"].notna()
    kinds = networks["first_bifurcation"].astype(object)
    words = [
        f"{name} {int(there[kinds == kind].sum()):,} of {int((kinds == kind).sum()):,}"
        for kind, (_, name) in KINDS.items()
        if (kinds == kind).any()
    ]
    return f" ({', '.join(words)})" if words else ""


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.onset", "Draw where chaos begins against where the origin loses stability.", free_x=False
    )

    def make(df: pd.DataFrame, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        if (why := problem(df)) is not None:
            raise command.RunProblem(f"{arguments.run / 'transitions'} cannot be drawn: {why}")
        axes = group_axes(df)[:-1]
        if (n := len(groups(df, axes))) > MOST_PANELS:
            must = f"leave at most {MOST_PANELS} groups of {', '.join(axes)}, one a panel"
            raise command.ArgumentProblem(f"`--where` must {must}, got {n}")
        return draw(df), []

    return command.figure_command(parser, argv, "onset", make, table="transitions")


if __name__ == "__main__":
    raise SystemExit(main())
