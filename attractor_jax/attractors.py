"""Which cells of a table ended on the same attractor? Labels on reading, from what the table says of each cell.

Two cells of a network share an attractor when nothing that was measured of them tells it apart: the same kind of orbit,
and a mean, a spread, a range and an exponent that agree to within what each cell knows of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from attractor_jax.axes import table_axes
from attractor_jax.config import ConfigError
from attractor_jax.dimension import STANDARD_ERRORS, ZERO_FLOOR, zero_tolerance
from attractor_jax.gaps import parted_by_gaps
from attractor_jax.phase import LEVEL, wilson_interval
from attractor_jax.systems import STARTS, get

UNRESOLVED, DIVERGED = 0, -1

# Measured on 384 networks (16 seeds, s from 0.2 to 8) from 32 starts each, at 10,000 steps, as shares of the range of
# y: mean and spread of a closed curve scatter by less than 3e-4 between neighbouring cells, those of two curves differ
# by more than 1e-3. In chaos neighbours differ by up to 8e-3, two attractors by more than 1.5e-2 in one or the other.
CURVES = 10.0
CHAOS = 1.0
EXTREMES = 3.0  # times as much for the ends of the range in chaos, which few steps decide
# Share of the range below which no longer measurement makes cells differ.
LEAST = 1e-5
# Share of the range by which it may have changed during the measurement of a cycle. Beyond it the orbit was not there
# yet, and what was measured of it may be anything between two attractors.
MOST_CHANGE = 0.05

_NEEDED = (
    "cell_id", "regime", "settled", "steps", "n_blocks", "period", "period_tolerance", "amplitude", "state_norm",
    "y_mean", "y_std", "y_min", "y_max", "lambda_1", "lambda_1_se",
)  # fmt: skip


def label_attractors(
    df: pd.DataFrame,
    *,
    over: Sequence[str] | None = None,
    odd: bool | None = None,
    curves: float = CURVES,
    chaos: float = CHAOS,
) -> pd.DataFrame:
    """A copy of a classified table with the attractor that each cell ended on, network by network.

    Cells of a network are compared that are of the same kind: fixed points, cycles of one period, everything else that
    is settled (closed curves, tori and chaos together: at the edge of chaos cells of one attractor have both labels).
    Each knows a number of its orbit to within a tolerance: of points and cycles what they changed by while they were
    measured, of curves `curves` / steps of the range of y, since their means converge as fast as that, of chaos `chaos`
    / sqrt(steps), of lambda_1 what counts as zero. Cells are parted wherever one of these numbers leaves a gap between
    them that no cell's tolerance reaches into, and again within what is left, until there is no gap. That is single
    linkage, number by number: the outcome depends neither on the order of rows nor on that of the numbers.

    Labels count from 1 in each network: fixed points first, then cycles by their period, then the others; among these
    by the first of y_mean, y_std, y_min, y_max, lambda_1 that tells them apart. So they do not depend on how many cells
    ended where: cells that are added, or a part that is missing, change no label unless they bring an attractor or
    take one away (later ones then move up) or fill a gap (two become one).

    Where the map is odd the mirror image of an attractor is one as well. Mirror images of all cells then take part in
    the comparison, and attractors that are each other's share a number, `orbit`; one that is its own has it alone.

    Attractors that differ in none of these numbers get one label; so may two cycles that lie interleaved on one locked
    curve. A transient that is longer than the measurement counts as an attractor: see `regimes.classify`.

    Args:
        df: what `read_run` gives, or `classify` made. Left unchanged.
        over: axes that say where an orbit starts and make no other network; those of `STARTS` that the table has if
            None.
        odd: is the map odd, f(-y) = -f(y)? What the table's systems say if None.
        curves: range of y times steps. Below about 3, one closed curve is called several; above about 30, neighbouring
            curves are called one.
        chaos: range of y times the square root of steps. Below about 0.8, one chaotic attractor is called several, the
            more so the shorter the measurement; above about 2, two that differ little, such as mirror images of one
            another, are called one.

    Returns:
        The table with these columns added, or made anew:
            attractor: Int64, >= 1; 0 unresolved: unsettled, or a cycle that the orbit only came to while it was
                measured, so that little but its period is known (its range changed by more than 5 %, or it is not
                `settled`); -1 diverged.
            orbit: Int64, the same for attractors that are mirror images of one another; elsewhere an attractor has it
                alone. 0 and -1 as above.

    Raises:
        ValueError: a table of trainings, whose minima y does not tell apart (see `minima.label_minima`), a column is
            missing, `over` names what is no axis of the table, or a tolerance is not positive.
    """
    if "train_loss" in df.columns:
        raise ValueError("`df` must be of no learning system: attractor_jax.minima.label_minima labels trainings")
    _check(df, {"curves": curves, "chaos": chaos})
    table = df.copy()
    network = _networks(df, over)
    attractor = np.where(df["regime"].isin(["diverged"]), DIVERGED, UNRESOLVED).astype(np.int64)
    orbit = attractor.copy()
    kind = _kinds(df)
    rows = np.flatnonzero(kind >= 0)
    if len(rows):
        found = _known(df.iloc[rows], curves, chaos)
        mirrored = np.broadcast_to(_is_odd(df) if odd is None else odd, len(df))[rows]
        groups = _ranked(np.stack([network[rows], kind[rows]], axis=1))
        values, within, groups = (
            np.concatenate([own, image[..., mirrored]], axis=-1)
            for own, image in ((found.values, found.mirror), (found.within, found.within), (groups, groups))
        )
        both = parted_by_gaps(groups, values - within, values + within)
        label, image = both[: len(rows)], both[: len(rows)].copy()
        image[mirrored] = both[len(rows) :]
        attractor[rows] = _counted(network[rows], label)
        orbit[rows] = _counted(network[rows], np.minimum(label, image))
    table["attractor"] = pd.array(attractor, "Int64")
    table["orbit"] = pd.array(orbit, "Int64")
    return table


def attractor_table(
    df: pd.DataFrame, *, over: Sequence[str] | None = None, level: float = LEVEL, **tolerances: Any
) -> pd.DataFrame:
    """One row an attractor of each network, with its basin's share of the network's cells.

    Args:
        df: a classified table, with labels or without.
        over: see `label_attractors`.
        level: of Wilson's interval, between 0 and 1. It takes cells for independent draws of an initial state: on a
            grid, neighbours are not, and the interval says how fine the grid is.
        tolerances: passed on to `label_attractors`, where the table has no labels yet.

    Returns:
        A row an attractor, and one for the unresolved (0) and the diverged cells (-1) of a network that has any, sorted
        by network and label:
            system, the axes that tell networks apart, dtype: as in the table.
            attractor, orbit: its labels.
            regime, period: of most of its cells.
            count, n_cells: cells that ended on it, and cells of the network.
            fraction, low, high: share of the network's cells, with its interval.
            lambda_1, lambda_1_se: mean over its cells, and the error of that mean from theirs (nats per step).
            y_mean: mean over its cells. y_min, y_max: smallest and largest y of any.
            cell_id: of the first of its cells, to be iterated again.

    Raises:
        ValueError: see `label_attractors`, or a level out of range.
    """
    if not 0 < level < 1:
        raise ValueError(f"`level` must lie between 0 and 1, got {level}")
    if "attractor" not in df.columns or "orbit" not in df.columns:
        df = label_attractors(df, over=over, **tolerances)
    names = network_columns(df, over)
    keys = [*names, "attractor"]
    work = df.assign(_square=df["lambda_1_se"] ** 2).sort_values("cell_id", kind="stable")
    groups = work.groupby(keys, sort=True, observed=True, dropna=False)
    table = groups.agg(
        orbit=("orbit", "first"),
        count=("cell_id", "size"),
        lambda_1=("lambda_1", "mean"),
        lambda_1_se=("_square", "mean"),
        y_mean=("y_mean", "mean"),
        y_min=("y_min", "min"),
        y_max=("y_max", "max"),
        cell_id=("cell_id", "first"),
    ).reset_index()
    most = work.groupby([*keys, "regime", "period"], sort=False, observed=True, dropna=False).size()
    most = most.rename("most").reset_index().sort_values("most", ascending=False, kind="stable").drop_duplicates(keys)
    table = table.merge(most[[*keys, "regime", "period"]], on=keys, how="left")
    table["n_cells"] = table.groupby(names, observed=True, dropna=False)["count"].transform("sum") if names else len(df)
    n = table["n_cells"].to_numpy(float)
    table["fraction"] = table["count"] / n
    table["low"], table["high"] = wilson_interval(table["fraction"].to_numpy(float), n, level)
    table["lambda_1_se"] = np.sqrt(table["lambda_1_se"].astype(float) / table["count"])
    order = [
        *keys, "orbit", "regime", "period", "count", "n_cells", "fraction", "low", "high", "lambda_1", "lambda_1_se",
        "y_mean", "y_min", "y_max", "cell_id",
    ]  # fmt: skip
    table = table[order]
    table.attrs = {"axes": [name for name in names if name in table_axes(df)], "runs": df.attrs.get("runs", [])}
    return table


def network_columns(df: pd.DataFrame, over: Sequence[str] | None = None) -> list[str]:
    """The columns in which cells of one network agree: system and dtype where the table has them, and all axes but
    those of `over`.

    Raises:
        ValueError: `over` names something that is no axis of the table.
    """
    axes = table_axes(df)
    for name in over or ():
        if name not in axes:
            raise ValueError(f"`over` must name axes of the table, {', '.join(axes)}, got {name!r}")
    left = STARTS if over is None else over
    named = [*(["system"] if "system" in df.columns else []), *axes, *(["dtype"] if "dtype" in df.columns else [])]
    return [name for name in named if name not in left]


def _check(df: pd.DataFrame, tolerances: Mapping[str, float]) -> None:
    missing = [name for name in _NEEDED if name not in df.columns]
    if missing:
        raise ValueError(f"`df` must have the columns of a classified table, got one without {', '.join(missing)}")
    for name, tolerance in tolerances.items():
        if not tolerance > 0:
            raise ValueError(f"`{name}` must be a number > 0, got {tolerance}")


def _networks(df: pd.DataFrame, over: Sequence[str] | None) -> np.ndarray:
    """Which network each row is of, (rows,)."""
    names = network_columns(df, over)
    if not names:
        return np.zeros(len(df), np.int64)
    return df.groupby(names, sort=True, observed=True, dropna=False).ngroup().to_numpy(np.int64)


def _is_odd(df: pd.DataFrame) -> np.ndarray:
    """Which rows are of an odd map, (rows,)."""
    if "system" not in df.columns:
        return np.zeros(len(df), bool)

    def odd(name: str) -> bool:
        try:
            return get(name).odd
        except ConfigError:  # a package that made the run and is not installed here
            return False

    systems = df["system"].astype(str)
    return systems.map({name: odd(name) for name in systems.unique()}).to_numpy(bool)


def _kinds(df: pd.DataFrame) -> np.ndarray:
    """What may share an attractor: 1 fixed points, p > 1 cycles of this period, infinity all other settled orbits; -1
    where nothing is settled.
    """
    regime, period = df["regime"].astype(str).to_numpy(), _floats(df, "period")
    late = ~df["settled"].to_numpy(bool) | (_change(df) > MOST_CHANGE * _floats(df, "amplitude"))
    return np.select(
        [
            regime == "fixed_point",
            (regime == "periodic") & ~late,
            np.isin(regime, ["quasiperiodic", "chaotic", "hyperchaotic"]),
        ],
        [1, np.maximum(np.nan_to_num(period), 2), np.inf],
        -1,
    )


def _change(df: pd.DataFrame) -> np.ndarray:
    """How much wider, or narrower, the range of y was over the measurement than after it."""
    return np.abs(_floats(df, "y_max") - _floats(df, "y_min") - _floats(df, "amplitude"))


@dataclass(frozen=True)
class _Known:
    """What the cells know of their attractors.

    Attributes:
        values: (numbers, cells).
        within: (numbers, cells), how far from them those of its attractor may lie.
        mirror: (numbers, cells), the values of the mirror images, which are known as well.
    """

    values: np.ndarray
    within: np.ndarray
    mirror: np.ndarray


def _known(df: pd.DataFrame, curves: float, chaos: float) -> _Known:
    """Mean, spread, both ends of the range, size after the measurement, and exponent."""
    mean, spread, low, high = (_floats(df, name) for name in ("y_mean", "y_std", "y_min", "y_max"))
    steps, period, amplitude = (_floats(df, name) for name in ("steps", "period", "amplitude"))
    regime = df["regime"].astype(str).to_numpy()
    wide = high - low
    point, curve = regime == "fixed_point", regime == "quasiperiodic"
    recurrent = point | (regime == "periodic")
    rounding = np.sqrt(_floats(df, "period_tolerance"))
    change = _change(df) + rounding
    # A measurement may end anywhere in the last turn of a cycle.
    turn = np.where(recurrent, amplitude * period / steps, 0.0)
    # Both sides of a gap reach into it.
    aperiodic = wide * np.maximum(np.where(curve, curves / steps, chaos / np.sqrt(steps)), LEAST) / 2
    # What came before it for less than a block of the measurement shows in no exponent.
    before = np.where(change > 2 * rounding, amplitude / _floats(df, "n_blocks"), 0.0)
    moments = np.where(recurrent, change + turn + before, aperiodic)
    ends = np.where(recurrent, change, aperiodic * np.where(curve, 1.0, EXTREMES))
    # Of points and cycles all that is left of the transient at last is rounding; elsewhere the range says as much.
    size = np.where(point, _floats(df, "state_norm") * np.where(mean < 0, -1, 1), np.where(recurrent, amplitude, 0.0))
    # Exponents of points and cycles say nothing that their places do not.
    exponent = np.where(recurrent, 0.0, _floats(df, "lambda_1"))
    error = zero_tolerance(
        _floats(df, "lambda_1_se"), steps.astype(np.int64), standard_errors=STANDARD_ERRORS, floor=ZERO_FLOOR
    )
    values = np.stack([mean, spread, low, high, size, exponent])
    within = np.stack([moments, moments, ends, ends, rounding, np.where(recurrent, 0.0, error / 2)])
    mirror = np.stack([-mean, spread, -high, -low, np.where(point, -size, size), exponent])
    return _Known(values, within, mirror)


def _ranked(keys: np.ndarray) -> np.ndarray:
    """Ranks of rows of keys, 0 and upwards."""
    return np.unique(keys, axis=0, return_inverse=True)[1].ravel()


def _counted(network: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Labels counted anew in each network, from 1, in their order."""
    found, place = np.unique(label, return_inverse=True)
    of_label = np.empty(len(found), np.int64)
    of_label[place] = network  # ascending, since networks came before all else when labels were made
    return place - np.searchsorted(of_label, network) + 1


def _floats(df: pd.DataFrame, name: str) -> np.ndarray:
    """A column as float64, nulls as NaN."""
    return df[name].to_numpy(dtype=float, na_value=np.nan)
