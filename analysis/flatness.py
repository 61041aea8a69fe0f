"""Do deep, wide or flat ends of training generalise better? Depth, size and shape of where trainings ended against
their loss on test examples.

    python -m analysis.flatness RUN [--by lr] [--where seed=0] [--out FILE]

RUN is of a system with test examples: system=regression or digits. Where its parameters stand in the table (up to 256),
trainings that ended in one minimum, or in its images under the symmetries of the network, are one point. Sizes come
from attractors.parquet (python -m sweeps.basins RUN). Nothing is simulated.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

from analysis import captions, command, style
from attractor_jax.axes import varied_axes
from attractor_jax.minima import LANDSCAPE, label_minima
from attractor_jax.phase import LEVEL, RESAMPLES

# What is known of an end: its column, what stands along the axis, and the scale that it has there.
TRAITS = (
    ("objective", "depth: objective", "log"),
    ("r50", "size: r50", "log"),
    ("sharpness", "shape: largest eigenvalue", "log"),
    ("hessian_trace", "shape: trace of the Hessian", "log"),
    ("hessian_min", "shape: least eigenvalue", "symlog"),
)
NAMES = {
    "objective": "depth",
    "r50": "size",
    "sharpness": "sharpness",
    "hessian_trace": "trace",
    "hessian_min": "least",
}
FEWEST = 4  # points that a rank correlation needs to say anything
FEWEST_RESAMPLED = 10  # ... and a bootstrap of it
MOST_LEVELS = 8
MARKS = ("o", "s", "^", "D")
ALONE = "#2a6f9e"  # where no lever has colours
AREAS = (16.0, 90.0)  # square points of the marks of a single training, and of the minimum with most of them


@dataclass(frozen=True)
class Ends:
    """Where trainings ended.

    Attributes:
        points: a row each: the traits, `test_loss`, `n` trainings that it stands for, the axes that vary.
        loose: the same of trainings that arrived at no minimum, where minima are known.
        minima: are points minima? Else they are trainings.
        trainings, arrived, diverged, infinite: counts; `infinite` of points whose r50 lies beyond all distances.
    """

    points: pd.DataFrame
    loose: pd.DataFrame
    minima: bool
    trainings: int
    arrived: int
    diverged: int
    infinite: int


@style.styled
def draw(
    df: pd.DataFrame,
    minima: pd.DataFrame | None = None,
    *,
    by: str | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> Figure:
    """A panel a trait.

    Args:
        df: what `read_run` gives of a learning system. Empty, the figure says so.
        minima: the run's table attractors.parquet, for r50; it must be of the same run.
        by: the axis that colours tell; the one with most values if None.
        level: of the intervals.
        resamples: of what is resampled: seeds, or minima where points are minima. Fewer than about 200 make ragged
            intervals.

    Raises:
        ValueError: a table without a test loss, an axis that does not vary.
    """
    if df.empty:
        return style.blank("no cells in this table")
    if "test_loss" not in df.columns or df["test_loss"].isna().all():
        if "test_loss" in df.columns and df["status"].isin(["diverged"]).all():
            return style.blank("every training diverged")
        raise ValueError("`run` must have a loss on test examples, as regression and digits do, got none")
    levers = [axis for axis in varied_axes(df) if axis != "seed"]
    if by is not None and by not in levers:
        given = ", ".join(levers) or "none: no lever varies here"
        raise ValueError(f"`by` must be a lever that varies here ({given}), got {by!r}")
    levers.sort(key=lambda axis: (axis != by, -df[axis].nunique()))
    found = ends(df, minima)
    shown = [trait for trait in TRAITS if trait[0] in found.points.columns]
    figure = style.new_figure(2.15 * 2 + 1.7)
    grid = figure.subplots(2, 3).ravel()
    colours = _colours(df, levers)
    told, hidden = [], 0
    for ax, (name, label, scale), letter in zip(grid, shown, "abcde", strict=False):
        _scatter(ax, found, name, levers, colours)
        _dress(ax, found, name, label, scale)
        hidden = max(hidden, _limit(ax, found, name))
        rho, low, high = correlation(found, name, level=level, resamples=resamples)
        ax.set_title(f"{letter}  {_told(rho, low, high)}")
        told.append((name, _within(found, name, levers)))
    for ax in (grid[0], grid[3]):
        ax.set_ylabel("test loss")
    _legend(grid, len(shown), found, df, levers, colours)
    captions.caption(figure, df, levers[:2], _notes(found, told, levers, level, minima, hidden))
    return figure


def ends(df: pd.DataFrame, minima: pd.DataFrame | None = None) -> Ends:
    """Where the trainings of a table ended: minima up to symmetry, where the table has parameters, else each by
    itself.
    """
    diverged = df["status"].isin(["diverged"]) | df["test_loss"].isna()
    known = "theta" in df.columns and bool(df.loc[~diverged, "theta"].notna().all())
    traits = [name for name, *_ in TRAITS if name in df.columns]
    keep = [*traits, "test_loss", "train_loss", *varied_axes(df)]
    if not known:
        points = df.loc[~diverged, keep].assign(n=1)
        return Ends(points, points.iloc[:0], False, len(df), 0, int(diverged.sum()), 0)
    labelled = label_minima(df[~diverged])
    arrived = labelled["orbit"] >= 1
    landscape = [axis for axis in LANDSCAPE if axis in df.columns]
    groups = labelled[arrived].groupby([*landscape, "orbit"], sort=True)
    nearest = labelled.loc[groups["gradient_norm"].idxmin()] if arrived.any() else labelled.iloc[:0]
    points = nearest[[*keep]].assign(n=groups.size().to_numpy() if len(nearest) else [])
    infinite = 0
    if minima is not None and "r50" in minima.columns:
        # Orbits are numbered anew where fewer rows are labelled: the training that a size was measured at says which.
        sized = labelled[["cell_id", *landscape, "orbit"]].merge(minima[["cell_id", "r50"]], on="cell_id")
        sizes = sized.groupby([*landscape, "orbit"])["r50"].mean()
        r50 = sizes.reindex(groups.size().index).to_numpy(float) if len(nearest) else np.zeros(0)
        infinite = int(np.isinf(r50).sum())
        points = points.assign(r50=np.where(np.isfinite(r50), r50, np.nan))
    loose = labelled.loc[~arrived, keep].assign(n=1)
    return Ends(points, loose, True, len(df), int(arrived.sum()), int(diverged.sum()), infinite)


def correlation(found: Ends, name: str, *, level: float, resamples: int, seed: int = 0) -> tuple[float, float, float]:
    """Spearman's rank correlation of a trait with the test loss over the points, and its interval.

    Resampled are minima, where points are minima: more seeds would find the same ones again. Else seeds, with all their
    trainings: settings share them. NaN where there are too few, below ten of either.
    """
    points = found.points.dropna(subset=[name, "test_loss"])
    rho = _spearman(points, name)
    clusters = np.arange(len(points)) if found.minima or "seed" not in points.columns else points["seed"].to_numpy()
    groups = [np.flatnonzero(clusters == each) for each in np.unique(clusters)]
    if np.isnan(rho) or len(groups) < FEWEST_RESAMPLED:
        return rho, np.nan, np.nan
    rng = np.random.default_rng(seed)
    drawn = [
        _spearman(points.iloc[np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))])], name)
        for _ in range(resamples)
    ]
    drawn = np.array(drawn)[np.isfinite(drawn)]
    if not len(drawn):
        return rho, np.nan, np.nan
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return rho, float(low), float(high)


def _spearman(points: pd.DataFrame, name: str) -> float:
    """Pearson's correlation of ranks; NaN for too few points or equal ones."""
    if len(points) < FEWEST:
        return np.nan
    x, y = (points[column].rank().to_numpy(float) for column in (name, "test_loss"))
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else np.nan


def _within(found: Ends, name: str, levers: Sequence[str]) -> float:
    """The median over settings of the correlation within each: what levers do to both is left out."""
    if found.minima or not levers:
        return np.nan
    each = [_spearman(rows, name) for _, rows in found.points.groupby(list(levers), sort=True)]
    each = [rho for rho in each if np.isfinite(rho)]
    return float(np.median(each)) if each else np.nan


def given_progress(found: Ends, name: str) -> float:
    """The correlation that is left when that of both with train_loss is taken out: a training that got further is
    flatter, or sharper, and tested better, without the one having to do with the other.
    """
    if found.minima:
        return np.nan
    points = found.points
    both, one, other = (
        _spearman(points, name),
        _spearman(points.assign(test_loss=points["train_loss"]), name),
        _spearman(points, "train_loss"),
    )
    left = np.sqrt((1 - one**2) * (1 - other**2))
    return float((both - one * other) / left) if left > 0 else np.nan


def _colours(df: pd.DataFrame, levers: Sequence[str]) -> dict[float, str]:
    """The colour of each value of the first lever."""
    if not levers:
        return {}
    values = np.sort(df[levers[0]].unique())
    return dict(zip(values.tolist(), style.group_colours(len(values)), strict=True))


def _marks(levers: Sequence[str], rows: pd.DataFrame, levels: Sequence[Any]) -> np.ndarray:
    """Which mark each row has: that of its value of the second lever, as far as there are marks."""
    if len(levers) < 2 or len(levels) > len(MARKS):
        return np.zeros(len(rows), int)
    return np.searchsorted(np.asarray(levels), rows[levers[1]].to_numpy())


def _levels(points: pd.DataFrame, levers: Sequence[str]) -> list[Any]:
    return np.sort(points[levers[1]].unique()).tolist() if len(levers) > 1 else []


def _scatter(ax: Axes, found: Ends, name: str, levers: Sequence[str], colours: dict[float, str]) -> None:
    if name in found.loose.columns:
        ax.scatter(
            found.loose[name], found.loose["test_loss"], marker="x", s=9, c=style.FAINT, linewidths=0.7, zorder=2
        )  # fmt: skip
    points = found.points
    # In an order of their own: the last colour would cover the others.
    points = points.sample(frac=1, random_state=0) if len(points) else points
    inks = [colours[value] for value in points[levers[0]].tolist()] if levers else [ALONE] * len(points)
    sizes = _areas(points["n"].to_numpy(float)) if found.minima else np.full(len(points), AREAS[0])
    marks = _marks(levers, points, _levels(points, levers))
    for mark in np.unique(marks):
        at = marks == mark
        ax.scatter(
            points[name][at], points["test_loss"][at], s=sizes[at], c=np.array(inks, object)[at].tolist(),
            marker=MARKS[mark], edgecolors="white", linewidths=0.4, zorder=3,
        )  # fmt: skip


def _areas(n: np.ndarray) -> np.ndarray:
    """Of the marks of so many trainings each."""
    return AREAS[0] + (AREAS[1] - AREAS[0]) * np.sqrt((n - 1) / max(float(n.max(initial=1)) - 1, 1))


def _values(found: Ends, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Of points, and of those that arrived nowhere."""
    both = [rows[name].to_numpy(float) if name in rows.columns else np.zeros(0) for rows in (found.points, found.loose)]
    points, loose = (each[np.isfinite(each)] for each in both)
    return points, loose


def _span(found: Ends, name: str) -> tuple[float, float]:
    """The range of a trait; a twentieth at each end of the trainings that arrived nowhere does not count."""
    points, loose = _values(found, name)
    ends = np.r_[points, np.quantile(loose, [0.05, 0.95]) if len(loose) else []]
    return (float(ends.min()), float(ends.max())) if len(ends) else (0.0, 1.0)


def _usual(found: Ends, name: str) -> float:
    """The median size of a trait, of points if there are any."""
    points, loose = _values(found, name)
    return float(np.median(np.abs(points if len(points) else loose)))


def _dress(ax: Axes, found: Ends, name: str, label: str, scale: str) -> None:
    for column, axis, put, limits, kind in (
        (name, ax.xaxis, ax.set_xscale, ax.set_xlim, scale),
        ("test_loss", ax.yaxis, ax.set_yscale, ax.set_ylim, "log"),
    ):
        low, high = _span(found, column)
        if kind == "log" and low > 0 and high > low * (1 + 1e-9):
            put("log")
            room = (high / low) ** 0.1
            limits(low / room, high * room)
            style.log_ticks(axis, np.array([low, high]), crowded=40)
        elif kind == "symlog" and high > low:
            near = 10.0 ** np.floor(np.log10(max(_usual(found, column), 1e-12)))
            put("symlog", linthresh=near)
            powers = near * 10.0 ** np.arange(20)
            ends = min(1.6 * low, -0.5 * near), max(1.6 * high, 0.5 * near)
            below, above = -powers[powers <= -ends[0]], powers[powers <= ends[1]]
            limits(*ends)
            axis.set_major_locator(FixedLocator([*below[-1:], 0.0, *above[-1:]]))
            axis.set_minor_locator(FixedLocator([*below[:-1], *above[:-1]]))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "\N{MINUS SIGN}")))
            axis.set_minor_formatter(NullFormatter())
        else:
            axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    ax.set_xlabel(label)


def _limit(ax: Axes, found: Ends, name: str) -> int:
    """How many trainings lie beyond the sides of a panel."""
    if name not in found.loose.columns:
        return 0
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    inside = found.loose[name].between(left, right) & found.loose["test_loss"].between(low, high)
    return int((~inside).sum())


def _told(rho: float, low: float, high: float) -> str:
    if np.isnan(rho):
        return "ρ: too few points"
    words = f"ρ = {rho:.2f}" + (f" ({low:.2f}, {high:.2f})" if np.isfinite(low) else "")
    return words.replace("-", "\N{MINUS SIGN}")


def _legend(
    grid: np.ndarray, used: int, found: Ends, df: pd.DataFrame, levers: Sequence[str], colours: dict[float, str]
) -> None:
    """In the place of a panel that is left over."""
    handles: list[Line2D] = []
    look = {"linestyle": "none", "markersize": 5, "markeredgecolor": "white", "markeredgewidth": 0.4}
    if levers:
        few = list(colours)[:: -(-len(colours) // MOST_LEVELS)]
        handles += [
            Line2D([], [], marker="o", color=colours[value], label=f"{levers[0]} = {style.number(value)}", **look)
            for value in few
        ]
        levels = _levels(df, levers)
        if 1 < len(levels) <= len(MARKS):
            handles += [
                Line2D([], [], marker=mark, color=style.FAINT, label=f"{levers[1]} = {style.number(value)}", **look)
                for mark, value in zip(MARKS, levels, strict=False)
            ]
    if found.minima:
        ink = style.FAINT if levers else ALONE
        for n in dict.fromkeys([1, max(1, int(found.points["n"].max()))] if len(found.points) else []):
            size = np.sqrt(AREAS[n > 1])
            name = f"minimum of {n} training" + ("s" if n > 1 else "")
            handles.append(Line2D([], [], marker="o", color=ink, label=name, **{**look, "markersize": size}))
        if len(found.loose):
            cross = {"marker": "x", "markersize": 4, "linestyle": "none", "color": style.FAINT}
            handles.append(Line2D([], [], label="training that arrived\nat no minimum", **cross))
    for ax in grid[used:]:
        ax.set_axis_off()
    if handles:
        place = grid[used]
        place.legend(handles=handles, loc="center left", labelspacing=0.9, handlelength=1.6, borderpad=0)


def _notes(
    found: Ends,
    told: Sequence[tuple[str, float]],
    levers: Sequence[str],
    level: float,
    minima: pd.DataFrame | None,
    hidden: int,
) -> list[str]:
    lost = f"; {found.diverged:,} diverged and are not shown" if found.diverged else ""
    beyond = f", of which up to {hidden:,} lie beyond a panel's sides" if hidden else ""
    if found.minima:
        counts = (
            f"{found.arrived:,} of {found.trainings:,} trainings arrived at {len(found.points):,} minima, of which "
            f"images under the network's symmetries count as one; {len(found.loose):,} arrived nowhere{beyond}{lost}."
        )
        among = "minima, each counted once; trainings that arrived nowhere take no part"
    else:
        counts = (
            f"Points are {len(found.points):,} trainings where they stopped, which need be no minima: the table has no "
            f"parameters, so which of them are the same is not known{lost}."
        )
        among = "trainings"
    lines = [
        counts,
        f"ρ: Spearman's correlation with the test loss over {among}; {100 * level:g} % intervals, bootstrapped over "
        f"{'minima' if found.minima else 'seeds'}, where there are ten.",
    ]
    left = [(NAMES[name], given_progress(found, name)) for name, _ in told]
    left = [f"{name} {rho:.2f}".replace("-", "\N{MINUS SIGN}") for name, rho in left if np.isfinite(rho)]
    if left:
        lines.append(f"ρ given the loss in training, which says how far each got: {', '.join(left)}.")
    within = [f"{NAMES[name]} {rho:.2f}".replace("-", "\N{MINUS SIGN}") for name, rho in told if np.isfinite(rho)]
    if within:
        lines.append(f"Median of ρ within settings of {', '.join(levers)}: {', '.join(within)}.")
    if found.minima and (minima is None or "r50" not in minima.columns):
        lines.append("No sizes: python -m sweeps.basins RUN measures r50 of a run with one training rule.")
    elif "r50" in found.points.columns:
        unknown = int(found.points["r50"].isna().sum()) - found.infinite
        beyond = f" {found.infinite} beyond all distances measured." if found.infinite else ""
        lines.append((f"r50 of {unknown} minima not measured." if unknown else "") + beyond)
    return lines


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.flatness",
        "Draw depth, size and shape of where trainings ended against test loss.",
        free_x=False,
    )
    parser.add_argument("--by", metavar="AXIS", help="lever that colours tell (default: the one with most values)")

    def make(df: pd.DataFrame, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        words = [] if arguments.by is None else [arguments.by]
        return draw(df, command.written_table(arguments.run, "attractors"), by=arguments.by), words

    return command.figure_command(parser, argv, "flatness", make)


if __name__ == "__main__":
    raise SystemExit(main())
