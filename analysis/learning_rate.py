"""Where along the learning rate does order turn into chaos? lambda_1 of trainings, beside its closed forms.

    python -m analysis.learning_rate RUN [--where momentum=0 --where weight_decay=0] [--out FILE]

RUN is of a learning system. Where one setting of all other levers is left, the figure has an orbit diagram beneath, and
the share that diverged; otherwise it has a small panel for each setting of one or two levers. Nothing is simulated.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import captions, command, style
from analysis.double_well import DoubleWell
from analysis.groups import Group, groups
from analysis.outcomes import check_learning, counted, diverged, varied_levers
from attractor_jax.basins import wilson

MOST_ROWS, MOST_COLUMNS = 5, 4
# Trainings at one learning rate up to which each is a point; more are bands of quantiles.
MOST_POINTS = 32
MOST_BARS = 12  # learning rates up to which each has a bar of its own
POINT = "#9aa5b1"
# Learning rates beyond the last at which any training lives are not shown, but for this share of the axis.
BEYOND = 0.08


@style.styled
def draw(df: pd.DataFrame) -> Figure:
    """lambda_1 along the learning rate, for one setting of the other levers with its orbit diagram, or for many.

    Args:
        df: what `read_run` gives of a learning system. Empty, the figure says so.

    Raises:
        ValueError: another system, more than two levers beside lr, or too many of their values.
    """
    if df.empty:
        return style.blank("no cells in this table")
    check_learning(df)
    axes = varied_levers(df, "lr")
    if len(axes) > 2:
        told = ", ".join(f"{axis} ({df[axis].nunique()})" for axis in axes)
        raise ValueError(f"`where` must leave at most 2 levers beside lr, got values of {told}")
    axes = sorted(axes, key=lambda axis: -df[axis].nunique())
    numbers = [df[axis].nunique() for axis in axes]
    if len(axes) == 1:
        columns = min(3, numbers[0])
        rows = -(-numbers[0] // columns)
    else:
        rows, columns = numbers or (1, 1)
    if rows > MOST_ROWS or columns > MOST_COLUMNS:
        told = " x ".join(f"{number} values of {axis}" for number, axis in zip(numbers, axes, strict=True))
        raise ValueError(f"`where` must leave at most {MOST_ROWS} x {MOST_COLUMNS} panels, got {told}")
    return _one(df) if not axes else _many(df, axes, rows, columns)


# One setting


def _one(df: pd.DataFrame) -> Figure:
    figure = style.new_figure(6.9)
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=[1.5, 1.25, 0.45])
    scale = style.Scale.of(df["lr"])
    known = DoubleWell.of(df)
    floor = _floor([df])
    legend = _exponents(top, df, scale, known, floor)
    top.set_ylabel(style.LAMBDA_1)
    style.legend_outside(top, legend)
    _orbits(middle, df, scale, known)
    told = _lost(bottom, df, scale, known)
    bottom.set_ylabel("share")
    scale.dress(bottom, "x", "lr", cells=True)
    _limits([bottom], scale, [df])
    _marks([top, middle, bottom], scale, known, named=True)
    captions.caption(figure, df, ["lr"], [_points_note(df, scale), _known_note(df, known), *told, _beyond(scale, [df])])
    return figure


def _orbits(ax: Axes, df: pd.DataFrame, scale: style.Scale, known: DoubleWell | None) -> None:
    """Where trainings end, and between which values they were: an orbit diagram of the first parameter."""
    alive = df[~diverged(df)]
    at = scale.place(alive["lr"].to_numpy())
    low, high = (alive[name].to_numpy(float) for name in ("y_min", "y_max"))
    legend: list[Patch | Line2D] = []
    name = "x" if known is not None else "first parameter"
    if _counts(df) <= MOST_POINTS:
        ax.vlines(at, low, high, color=style.BANDS[0], linewidth=1.2, zorder=1)
        legend.append(Patch(facecolor=style.BANDS[0], label="from its lowest\nto its highest value"))
        if "theta" in alive.columns and alive["theta"].notna().all():
            ends = np.array([theta[0] for theta in alive["theta"]], float)
            ax.plot(at, ends, ".", color=style.INK, markersize=_dot(scale), markeredgewidth=0, zorder=3)
            legend.append(Line2D([], [], color=style.INK, marker=".", linestyle="none", label=f"{name} at the end"))
    elif len(alive):
        middle = (low + high) / 2
        spread = pd.DataFrame({"at": at, "low": low, "high": high, "middle": middle}).groupby("at")
        _band(ax, scale, spread["low"].quantile(0.05), spread["high"].quantile(0.95), style.BANDS[0])
        _band(ax, scale, spread["middle"].quantile(0.25), spread["middle"].quantile(0.75), style.BANDS[1])
        legend.append(Patch(facecolor=style.BANDS[0], label="lowest and highest:\n5–95 % of trainings"))
        legend.append(Patch(facecolor=style.BANDS[1], label="middle:\n25–75 % of trainings"))
    if legend:
        style.legend_outside(ax, legend)
    ax.set_ylabel(name)


def _lost(ax: Axes, df: pd.DataFrame, scale: style.Scale, known: DoubleWell | None) -> list[str]:
    """Which share diverged; returns what the caption says of it."""
    at, share, low, high = _lost_shares(df, scale)
    _area(ax, scale, at, share)
    legend: list[Patch | Line2D] = [style.outcome_patch("diverged")]
    if len(scale.values) <= MOST_BARS:
        ax.vlines(at, low, high, color=style.INK, linewidth=0.8, zorder=2)
    else:  # hundreds of bars would be a field: their ends alone are drawn
        for side in (low, high):
            ax.step(at, side, where="mid", color=style.INK, linewidth=0.8, zorder=2)
    legend.append(Line2D([], [], color=style.INK, linewidth=0.8, label="its interval"))
    told = f"Intervals of the share that diverged: Wilson's 95 %, {_each(df)}."
    deviation = np.unique(df["init_scale"]) if "init_scale" in df.columns else np.ones(1)
    if known is not None and known.divergence is not None and len(deviation) == 1 and deviation[0] > 0:
        lr = np.linspace(scale.values[0], min(known.divergence, scale.values[-1]), 400)
        lr = lr[(lr <= known.divergence) & (lr > 0)]
        ax.plot(lr, known.lost(lr, float(deviation[0])), color=style.CLOSED_FORMS[2], linewidth=2.4, zorder=3)
        legend.append(Line2D([], [], color=style.CLOSED_FORMS[2], linewidth=2.4, label="closed form"))
        told += " Closed form: the share of starts beyond x² = 1 − weight_decay + 2/lr."
    ax.set_ylim(0, 1)
    ax.set_yticks([0, 1], labels=["0", "100 %"])
    style.legend_outside(ax, legend)
    return [told]


# Many settings


def _many(df: pd.DataFrame, axes: Sequence[str], rows: int, columns: int) -> Figure:
    figure = style.new_figure(rows * (1.45 if rows > 1 else 2.2) + 1.9)
    panels = groups(df, axes)
    ratios = [ratio for _ in range(rows) for ratio in (1.0, 0.13)]
    grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=ratios)
    scale = style.Scale.of(df["lr"])
    legend: dict[str, Patch | Line2D] = {}
    for i, panel in enumerate(panels):
        row, column = divmod(i, columns)
        ax, strip = grid[2 * row, column], grid[2 * row + 1, column]
        line = panels[row * columns : (row + 1) * columns]  # one momentum, say: its panels share their scale upwards
        beside = [each for j, each in enumerate(panels) if j % columns == column] if len(axes) == 2 else [panel]
        known = DoubleWell.of(panel.rows)
        floor = _floor([each.rows for each in line])
        entries = _exponents(ax, panel.rows, scale, known, floor)
        legend |= {str(entry.get_label()): entry for entry in entries}
        if len(axes) == 1 or row == 0:
            ax.set_title(f"{axes[-1]} = {style.number(panel.values[-1])}", fontsize=8.5)
        at, share, *_ = _lost_shares(panel.rows, scale)
        _area(strip, scale, at, share)
        strip.set_ylim(0, 1)
        strip.set_yticks([])
        for each in (ax, strip):
            scale.dress(each, "x", "lr" if each is strip and i + columns >= len(panels) else "", cells=True)
            _limits([each], scale, [other.rows for other in beside])
        _marks([ax], scale, known, named=False)
        if columns > 3 and scale.kind != "linear":
            strip.tick_params(axis="x", rotation=90)
        ax.tick_params(labelbottom=False)
        strip.tick_params(labelbottom=len(axes) == 1 or i + columns >= len(panels))
        if column == 0:
            ax.set_ylabel(
                r"$\lambda_1$" if len(axes) == 1 else f"{axes[0]} = {style.number(panel.values[0])}\n$\\lambda_1$"
            )
    for i in range(len(panels), rows * columns):
        for ax in grid[2 * (i // columns) :, i % columns]:
            ax.set_axis_off()
    if any((known := DoubleWell.of(panel.rows)) is not None for panel in panels):
        legend["doubling"] = Line2D([], [], color=style.FAINT, linestyle="--", linewidth=0.9, label="doubling")
        if any(known is not None and known.divergence for known in map(DoubleWell.of, (p.rows for p in panels))):
            legend["divergence"] = Line2D([], [], color=style.FAINT, linestyle=":", linewidth=1.1, label="divergence")
    legend["lost"] = style.outcome_patch("diverged", "strip: share that diverged")
    handles = list(legend.values())
    number = min(4, len(handles))
    figure.legend(handles=style.by_rows(handles, number), loc="outside upper left", ncols=number, columnspacing=1.6)
    notes = [
        "λ₁ in nats per step; strips from 0 to 100 %. " + _points_note(df, scale),
        _known_note(df, DoubleWell.of(panels[0].rows)),
        _beyond(scale, [panel.rows for panel in panels]),
    ]
    captions.caption(figure, df, ["lr", *axes], notes)
    return figure


# What both share


def _last(df: pd.DataFrame) -> float:
    """The largest learning rate at which any training lives."""
    alive = df["lr"].to_numpy(float)[~diverged(df)]
    return float(alive.max()) if len(alive) else float(df["lr"].max())


def _limits(panels: Sequence[Axes], scale: style.Scale, tables: Sequence[pd.DataFrame]) -> None:
    """Leave out what lies far beyond the last training that lives."""
    if scale.kind != "linear":
        return
    right = max(map(_last, tables))
    right += BEYOND * (right - scale.values[0])
    for ax in panels:
        ax.set_xlim(scale.edges[0], min(right, scale.edges[-1]))


def _beyond(scale: style.Scale, tables: Sequence[pd.DataFrame]) -> str:
    cut = scale.kind == "linear" and max(map(_last, tables)) * (1 + BEYOND) < scale.values[-1]
    return (
        f"Learning rates up to {style.number(scale.values[-1])} were run: at those not shown all diverged."
        if cut
        else ""
    )


def _dot(scale: style.Scale) -> float:
    """Size of a point: hundreds of columns of them need small ones."""
    return 5.0 if len(scale.values) <= MOST_BARS else 2.2


def _counts(df: pd.DataFrame) -> int:
    """Most trainings at one learning rate."""
    return int(df.groupby("lr").size().max())


def _each(df: pd.DataFrame) -> str:
    sizes = df.groupby([*varied_levers(df, "lr"), "lr"]).size()
    low, high = int(sizes.min()), int(sizes.max())
    return f"{counted(high)} at each learning rate" if low == high else f"{low:,} to {counted(high)} at each one"


def _floor(tables: Sequence[pd.DataFrame]) -> tuple[float, float]:
    """Limits upwards. Of points the deepest 2 % do not set them, and are marked at the floor; bands are shown whole."""
    values = pd.concat([table[["lr", "lambda_1"]] for table in tables])
    values = values[np.isfinite(values["lambda_1"].to_numpy(float))]
    if values.empty:
        return -1.0, 1.0
    low, high = float(values["lambda_1"].quantile(0.02)), float(values["lambda_1"].max())
    if max(map(_counts, tables)) > MOST_POINTS:
        spread = [table.groupby("lr")["lambda_1"].quantile(np.array([0.05, 0.95])).to_numpy() for table in tables]
        low, high = np.nanmin(np.concatenate(spread)), np.nanmax(np.concatenate(spread))
        low = low if np.isfinite(low) else float(values["lambda_1"].min())
    low, high = min(low, 0.0), max(high, 0.0)
    room = 0.07 * max(high - low, 1e-3)
    return low - room, high + room


def _exponents(
    ax: Axes, df: pd.DataFrame, scale: style.Scale, known: DoubleWell | None, limits: tuple[float, float]
) -> list[Patch | Line2D]:
    """lambda_1 of all trainings with its median, on the closed forms; the legend's entries."""
    legend: list[Patch | Line2D] = []
    ax.axhline(0, color="#666666", linewidth=0.8, zorder=1)
    if known is not None and scale.kind != "even":
        legend += _closed_forms(ax, scale, known)
    values = df["lambda_1"].to_numpy(float)
    measured = ~np.isnan(values)
    at, values = scale.place(df["lr"].to_numpy())[measured], values[measured]
    ordered = pd.Series(values).groupby(at)
    floor = limits[0]
    if _counts(df) <= MOST_POINTS:
        if _counts(df) > 1:
            ax.plot(at, np.maximum(values, floor), "o", color=POINT, markersize=2.0, markeredgewidth=0, zorder=2.5)
            legend.append(Line2D([], [], color=POINT, marker="o", markersize=3, linestyle="none", label="a training"))
    elif len(values):
        _band(ax, scale, ordered.quantile(0.05), ordered.quantile(0.95), style.BANDS[0])
        _band(ax, scale, ordered.quantile(0.25), ordered.quantile(0.75), style.BANDS[1])
        legend += [
            Patch(facecolor=colour, label=f"{name} of trainings")
            for colour, name in zip(style.BANDS, ("5–95 %", "25–75 %"), strict=True)
        ]
    median = ordered.median().replace(np.nan, -np.inf)  # between two superstable trainings
    deep = median.to_numpy() < floor
    line = "none" if len(scale.values) <= MOST_BARS else "-"
    places, medians = median.index.to_numpy(float), np.where(deep, np.nan, median.to_numpy())
    ax.plot(
        places, medians, ".", linestyle=line, color=style.INK, linewidth=0.6, markersize=_dot(scale) + 0.4, zorder=4
    )
    name = "median" if _counts(df) > 1 else "a training"
    legend.append(Line2D([], [], color=style.INK, marker=".", linestyle=line, linewidth=0.8, label=name))
    style.mark_at_floor(ax, places[deep], "v")
    if deep.any():
        legend.append(
            Line2D([], [], color=style.INK, marker="v", markersize=4, linestyle="none", label="median below the panel")
        )
    lost = np.setdiff1d(scale.place(df["lr"].unique()), places)
    if len(lost) and len(scale.values) <= MOST_BARS:
        style.mark_at_floor(ax, lost, "x")
        legend.append(Line2D([], [], color=style.INK, marker="x", markersize=4, linestyle="none", label="all diverged"))
    ax.set_ylim(*limits)
    return legend


def _closed_forms(ax: Axes, scale: style.Scale, known: DoubleWell) -> list[Patch | Line2D]:
    """Lines where what they are of is stable."""
    legend: list[Patch | Line2D] = []
    left, right = scale.values[[0, -1]]
    ends = [(known.fixed_point, left, known.doubling, "closed form: minimum")]
    if known.second_doubling is not None:
        ends.append((known.two_cycle, known.doubling, known.second_doubling, "closed form: 2-cycle"))
    for (form, first, last, name), colour in zip(ends, style.CLOSED_FORMS, strict=False):
        lr = np.linspace(max(first, left), min(last, right), 1001)[1:-1]
        if lr[0] < lr[-1]:
            ax.plot(lr, form(lr), color=colour, linewidth=3.2, solid_capstyle="butt", zorder=2)
            legend.append(Line2D([], [], color=colour, linewidth=3.2, label=name))
    return legend


def _marks(panels: Sequence[Axes], scale: style.Scale, known: DoubleWell | None, *, named: bool) -> None:
    """Upright lines where minima lose stability, and where all diverges."""
    if known is None or scale.kind == "even":
        return
    look: dict[str, Any] = {"color": style.FAINT, "zorder": 1.5}
    for at, line, width, name in (
        (known.doubling, "--", 0.9, "doubling"),
        (known.divergence, ":", 1.1, "divergence"),
    ):
        if at is None or not panels[0].get_xlim()[0] <= at <= panels[0].get_xlim()[1]:
            continue
        for ax in panels:
            ax.axvline(at, linestyle=line, linewidth=width, **look)
        if named:
            panels[0].text(
                at, 1.01, f"{name} {style.number(at)}", ha="center", va="bottom", fontsize=7.5,
                transform=panels[0].get_xaxis_transform(),
            )  # fmt: skip


def _band(ax: Axes, scale: style.Scale, low: pd.Series, high: pd.Series, colour: str) -> None:
    """Between two quantiles along the axis."""
    at = low.index.to_numpy(float)
    foot, head = (np.where(np.isfinite(side), side, np.nan) for side in (low.to_numpy(float), high.to_numpy(float)))
    if len(scale.values) <= MOST_BARS:
        ax.vlines(at, foot, head, color=colour, linewidth=8, zorder=0)
    else:
        ax.fill_between(at, foot, head, color=colour, linewidth=0, zorder=0)


def _lost_shares(df: pd.DataFrame, scale: style.Scale) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Where, and which share of the trainings there diverged, with its interval."""
    of_lr = pd.Series(diverged(df)).groupby(df["lr"].to_numpy())
    count, n = of_lr.sum().to_numpy(int), of_lr.size().to_numpy(int)
    return scale.place(of_lr.size().index.to_numpy()), count / n, *wilson(count, n)


def _area(ax: Axes, scale: style.Scale, at: np.ndarray, share: np.ndarray) -> None:
    look = style.outcome_look("diverged")
    if len(scale.values) <= MOST_BARS:
        place = np.searchsorted(scale.positions, at)
        left, right = scale.edges[place], scale.edges[place + 1]
        ax.bar(left[share > 0], share[share > 0], width=(right - left)[share > 0], align="edge", **look)
    elif share.any():
        ax.fill_between(at, 0, share, step="mid", **look)


def _points_note(df: pd.DataFrame, scale: style.Scale) -> str:
    told = f"{len(scale.values):,} learning rates, {_each(df)}."
    superstable = int(np.isneginf(df["lambda_1"].to_numpy(float)).sum())
    if superstable:
        told += f" λ₁ = −∞ of {counted(superstable)} (superstable)."
    return told


def _known_note(df: pd.DataFrame, known: DoubleWell | None) -> str:
    """What the closed forms are, and how far what was measured is from them."""
    if known is None:
        return ""
    rest = df[(df["regime"] == "fixed_point") & np.isfinite(df["lambda_1"].to_numpy(float))]
    pairs = df[(df["regime"] == "periodic") & (df["period"] == 2) & (df["momentum"] == 0)]
    told = (
        "Closed forms: the larger multiplier at the minima, where curvature is h = 2 (1 − weight_decay), and, without "
    )
    told += "momentum, ½ ln|9 − 2(1 + lr h/2)²| on the 2-cycle; doubling at 2 (1 + momentum)/h, divergence at 4/h."
    worst = []
    for table, name, form in ((rest, "fixed points", "fixed_point"), (pairs, "2-cycles", "two_cycle")):
        gaps = [
            np.abs(each.rows["lambda_1"].to_numpy(float) - getattr(here, form)(each.rows["lr"].to_numpy(float)))
            for each in _settings(table)
            if (here := DoubleWell.of(each.rows)) is not None
        ]
        if gaps and len(together := np.concatenate(gaps)):
            worst.append(
                f"median {np.median(together):.0e} and at most {together.max():.0e} on {len(together):,} {name}"
            )
    return told + (f" λ₁ is off them by {'; '.join(worst)}." if worst else "")


def _settings(table: pd.DataFrame) -> list[Group]:
    return groups(table, varied_levers(table, "lr")) if len(table) else []


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.learning_rate", "Draw lambda_1 of trainings along the learning rate.", free_x=False
    )

    def make(df: pd.DataFrame, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        return draw(df), []

    return command.figure_command(parser, argv, "learning_rate", make)


if __name__ == "__main__":
    raise SystemExit(main())
