"""Where in the plane of parameters is there chaos, and how sure is that? Shares and medians over networks, with
intervals over seeds.

Cells along an axis share their seeds, and cells of one seed share a network, so rows of a table are not independent.
Intervals are therefore bootstrapped by seed: all cells of a seed are drawn, or left out, together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

from attractor_jax.axes import cluster_column, spread_logarithmically, table_axes
from attractor_jax.regimes import CHAOTIC_REGIMES, REGIMES

MEDIANS = {"lambda_1": "lambda_1", "kaplan_yorke": "kaplan_yorke_dimension"}
VALUES = (*dict.fromkeys(("chaotic", *MEDIANS, *REGIMES)),)

LEVEL = 0.95
RESAMPLES = 400

# Numbers drawn at a time in a bootstrap: some tens of megabytes, whatever the size of the table.
_AT_A_TIME = 4_000_000


def binned(df: pd.DataFrame, x: str, bins: int = 48) -> pd.DataFrame:
    """The table with a finely spread axis (a random s, say) gathered into even bins, each at its middle.

    Too few bins smear a transition, too many leave each with a handful of seeds and wide intervals. The bins are even
    in log x where the values are spread that way.

    Raises:
        ValueError: an empty table, an unknown axis, fewer than one bin.
    """
    _check_columns(df, {"x": x})
    if bins < 1:
        raise ValueError(f"`bins` must be at least 1, got {bins}")
    values = df[x].to_numpy(float)
    logarithmic = spread_logarithmically(values)
    scaled = np.log(values) if logarithmic else values
    edges = np.linspace(scaled.min(), scaled.max(), bins + 1)
    middle = (edges[:-1] + edges[1:]) / 2
    nearest = middle[np.clip(np.searchsorted(edges, scaled, side="right") - 1, 0, bins - 1)]
    return df.assign(**{x: np.exp(nearest) if logarithmic else nearest})


def phase_table(
    df: pd.DataFrame,
    x: str,
    y: str | None = None,
    value: str = "chaotic",
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """One number for every point of a plane (or line) of parameters, over all cells there, with an interval.

    Args:
        df: a table of cells that `classify` has labelled.
        x, y: columns that span the plane; every other axis is pooled.
        value: "chaotic" (share of chaotic and hyperchaotic cells), another regime (its share alone), "lambda_1"
            (median, nats per step), or "kaplan_yorke" (median dimension).
        level: of the intervals, between 0 and 1.
        resamples: of the seeds. Below about 200 the ends of an interval are themselves noise.
        seed: of the resampling. Same seed, same intervals.

    Returns:
        A row a point, sorted by x and y:
            x (and y): under their own names.
            n_cells, n_seeds: cells and independent seeds (or replicates) there.
            n_failed: cells without an answer. For shares: no regime could be told (diverged, or no exponent and no
                recurrence). For medians: the value is NaN.
            n_censored: cells whose dimension is beyond their k exponents (kaplan_yorke only).
            value: share of all cells, NaN where every cell failed (but for the regimes unsettled and diverged, which
                are what failed cells are); or median over the cells that did not fail. Censored cells have no number
                but do have a place, above all that are known (exactly so where all have one k): leaving them out
                would drag the median down. Where they are more than half, it is NaN.
            low, high: percentile bootstrap over seeds; high is inf where it lies among the censored. Where all seeds
                have the same share there is nothing to resample, and the interval is Wilson's for that number of seeds.
                A median over one seed has none: NaN.

    Raises:
        ValueError: an empty or unlabelled table, an unknown column or value, a level or a number of resamples out of
            range.

    References:
        Davison, Hinkley (1997), Bootstrap Methods and their Application, section 3.8. Wilson (1927), J. Am. Stat.
        Assoc. 22, 209.
    """
    if value not in VALUES:
        raise ValueError(f"`value` must be one of {', '.join(VALUES)}, got {value!r}")
    points = _points(df, x, y, level=level, resamples=resamples)
    if value in MEDIANS:
        numbers = _measured(df, value)
        failed, censored = np.isnan(numbers), np.isposinf(numbers)
    else:
        wanted = CHAOTIC_REGIMES if value == "chaotic" else (value,)
        numbers = df["regime"].isin(wanted).to_numpy(float)
        failed, censored = _unanswered(df), np.zeros(len(df), bool)

    table = points.table.copy()
    table["n_failed"] = points.count(failed)
    table["n_censored"] = points.count(censored)
    if value in MEDIANS:
        middle, low, high = _medians(points, numbers, level, resamples, seed)
        nothing = np.isposinf(middle)
    else:
        middle, low, high = _shares(points, numbers, level, resamples, seed)
        nothing = (table["n_failed"] == table["n_cells"]).to_numpy() & (value not in ("unsettled", "diverged"))
    table["value"], table["low"], table["high"] = (np.where(nothing, np.nan, column) for column in (middle, low, high))
    return table


def median_table(
    df: pd.DataFrame,
    x: str,
    y: str | None = None,
    *,
    column: str,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """The median of any column of numbers at every point of a plane (or line) of parameters, with an interval.

    Args:
        column: of numbers, such as `near_unity`. NaN is a cell that failed, and left out; infinity is a number.

    Others as in `phase_table`.

    Returns:
        A row a point, sorted by x and y: x (and y) under their own names, n_cells, n_seeds, n_failed, value, low, high.
        A median over one seed has no interval: NaN.

    Raises:
        ValueError: as `phase_table`, and a column that the table does not have or that holds no numbers.
    """
    if column not in df.columns or not pd.api.types.is_numeric_dtype(df[column]):
        raise ValueError(f"`column` must be a column of numbers of the table, got {column!r}")
    points = _points(df, x, y, level=level, resamples=resamples)
    numbers = df[column].to_numpy(dtype=float, na_value=np.nan)
    table = points.table.copy()
    table["n_failed"] = points.count(np.isnan(numbers))
    table["value"], table["low"], table["high"] = _medians(points, numbers, level, resamples, seed)
    return table


def regime_shares(
    df: pd.DataFrame, x: str, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> pd.DataFrame:
    """The shares of all regimes along an axis, which sum to 1 at every value of it, with intervals.

    Args and errors as in `phase_table`. Failed cells are regimes like others (unsettled, diverged), so that nothing
    is left out of the sum.

    Returns:
        A row a value of `x` and regime, in the order of `REGIMES`, absent ones with share 0: x, regime (ordered
            categorical), n_cells, n_seeds, value, low, high.
    """
    points = _points(df, x, None, level=level, resamples=resamples)
    tables = []
    for regime in REGIMES:
        table = points.table.copy()
        table.insert(1, "regime", regime)
        share = df["regime"].isin([regime]).to_numpy(float)
        table["value"], table["low"], table["high"] = _shares(points, share, level, resamples, seed)
        tables.append(table)
    together = pd.concat(tables, ignore_index=True)
    together["regime"] = pd.Categorical(together["regime"], categories=list(REGIMES), ordered=True)
    return together.sort_values([x, "regime"], ignore_index=True)


def phase_quantiles(
    df: pd.DataFrame, x: str, value: str = "lambda_1", *, quantiles: Sequence[float] = (0.1, 0.25, 0.5, 0.75, 0.9)
) -> pd.DataFrame:
    """Quantiles of "lambda_1" or "kaplan_yorke" over the cells at each value of an axis.

    A row a value of `x`, a column a quantile.
    Quantiles are values of the data, not interpolated, so that -inf (superstable) is a value like others. Failed cells
    are left out, censored ones are inf. A value of `x` where every cell failed has NaN.

    Raises:
        ValueError: an empty table, an unknown column or value, or a quantile outside 0..1.
    """
    _check_columns(df, {"x": x})
    if value not in MEDIANS:
        raise ValueError(f"`value` must be one of {', '.join(MEDIANS)}, got {value!r}")
    if any(not 0 <= q <= 1 for q in quantiles):
        raise ValueError(f"`quantiles` must lie between 0 and 1, got {list(quantiles)}")
    places, rows = [], []
    for place, group in pd.Series(_measured(df, value)).groupby(df[x].to_numpy(), sort=True):
        sample = group.to_numpy()
        sample = sample[~np.isnan(sample)]
        places.append(place)
        rows.append(_order_statistics(sample, quantiles) if len(sample) else np.full(len(quantiles), np.nan))
    return pd.DataFrame(np.array(rows), index=pd.Index(places, name=x), columns=pd.Index(list(quantiles)))


def wilson_interval(
    share: np.ndarray, n: np.ndarray, level: float = LEVEL, *, z: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval of a share among n independent trials: it has a width even at 0 of n and n of n.

    Args:
        z: half the width in standard errors, in place of the one that belongs to `level`.

    References:
        Wilson (1927), J. Am. Stat. Assoc. 22, 209.
    """
    z2 = (NormalDist().inv_cdf(0.5 + level / 2) if z is None else z) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    # At 0 of n and n of n one end is the share itself, up to rounding.
    return np.clip(np.minimum(centre - half, share), 0, 1), np.clip(np.maximum(centre + half, share), 0, 1)


@dataclass(frozen=True)
class _Points:
    """Which rows of a table lie at which point of the plane, and in which cluster there.

    Attributes:
        table: a row a point: its axes, n_cells, n_seeds.
        point: (rows,), the point of each row of the table.
        cluster: (rows,), which cluster of its point a row is in, 0..n_seeds - 1 in the order of the seeds.
    """

    table: pd.DataFrame
    point: np.ndarray
    cluster: np.ndarray

    def count(self, rows: np.ndarray) -> np.ndarray:
        return np.bincount(self.point[rows], minlength=len(self.table))


def _points(df: pd.DataFrame, x: str, y: str | None, *, level: float, resamples: int) -> _Points:
    """The plane's points, after every check that all tables share."""
    _check_columns(df, {"x": x} if y is None else {"x": x, "y": y})
    if x == y:
        raise ValueError(f"`y` must be another axis than `x`, got {y!r} for both")
    if "regime" not in df.columns:
        raise ValueError("`df` must be labelled, with a column regime, got a table without: call classify(df) first")
    if not 0 < level < 1:
        raise ValueError(f"`level` must lie between 0 and 1, got {level}")
    if resamples < 1:
        raise ValueError(f"`resamples` must be at least 1, got {resamples}")
    axes = [x] if y is None else [x, y]
    groups = df.groupby(axes, sort=True, observed=True, dropna=False)
    point = groups.ngroup().to_numpy()
    table = df[axes].iloc[np.unique(point, return_index=True)[1]].reset_index(drop=True)
    name = cluster_column(df)
    label = np.arange(len(df)) if name is None else pd.factorize(df[name], sort=True)[0]
    # Rank of each cluster within its point: the same seed has the same rank at every point that has all seeds, so
    # that points are resampled alike.
    order = np.lexsort((label, point))
    new_point = np.r_[True, np.diff(point[order]) != 0]
    new_cluster = new_point | np.r_[True, np.diff(label[order]) != 0]
    running = np.cumsum(new_cluster) - 1
    cluster = np.empty(len(df), np.int64)
    cluster[order] = running - running[new_point][np.cumsum(new_point) - 1]
    table["n_cells"] = np.bincount(point, minlength=len(table))
    table["n_seeds"] = np.bincount(point[order][new_cluster], minlength=len(table))
    return _Points(table, point, cluster)


def _check_columns(df: pd.DataFrame, named: dict[str, str]) -> None:
    """Refuse an empty table, and columns that it does not have."""
    if df.empty:
        raise ValueError("`df` must have at least one cell, got an empty table")
    for argument, column in named.items():
        if column not in df.columns:
            axes = ", ".join(table_axes(df))
            raise ValueError(f"`{argument}` must be one of the table's axes, {axes}, got {column!r}")


def _measured(df: pd.DataFrame, value: str) -> np.ndarray:
    """The numbers that a median is taken of: NaN where a cell failed, inf where it is censored."""
    numbers = df[MEDIANS[value]].to_numpy(dtype=float, na_value=np.nan)
    if value == "kaplan_yorke":
        bounded = ~np.isnan(df["kaplan_yorke_lower"].to_numpy(dtype=float, na_value=np.nan))
        numbers = np.where(np.isnan(numbers) & bounded, np.inf, numbers)
    return numbers


def _unanswered(df: pd.DataFrame) -> np.ndarray:
    """Cells of which no regime could be told: they diverged, or have neither an exponent nor a recurrence."""
    nothing = df["lambda_1"].isna().to_numpy(bool) & df["regime"].isin(["unsettled"]).to_numpy(bool)
    return nothing | df["regime"].isin(["diverged"]).to_numpy(bool)


def _resampled(rng: np.random.Generator, n: int, resamples: int) -> np.ndarray:
    """How often each of n clusters is drawn in each resample: (resamples, n)."""
    drawn = rng.integers(0, n, (resamples, n)) + n * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * n).reshape(resamples, n).astype(float)


def _order_statistics(sample: np.ndarray, quantiles: Sequence[float]) -> np.ndarray:
    """Quantiles that are values of the sample: interpolating between -inf and -inf would give NaN."""
    return np.quantile(sample, quantiles, axis=0, method="inverted_cdf")


def _ends(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2


def _shares(
    points: _Points, indicator: np.ndarray, level: float, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share of the marked cells at each point, with its interval."""
    n_points = len(points.table)
    n_cells, n_seeds = points.table["n_cells"].to_numpy(float), points.table["n_seeds"].to_numpy()
    share = np.bincount(points.point, indicator, n_points) / n_cells
    low, high = wilson_interval(share, n_seeds, level)
    # Marked cells and all cells of each cluster, clusters of one point side by side.
    offset = np.r_[0, np.cumsum(n_seeds)[:-1]]
    flat = offset[points.point] + points.cluster
    marked = np.bincount(flat, indicator, int(np.sum(n_seeds)))
    size = np.bincount(flat, minlength=int(np.sum(n_seeds)))
    own = marked / size
    uneven = np.maximum.reduceat(own, offset) > np.minimum.reduceat(own, offset)
    for n in np.unique(n_seeds[uneven]):
        here = np.flatnonzero(uneven & (n_seeds == n))
        clusters = offset[here][:, None] + np.arange(n)
        means = np.empty((resamples, len(here)))
        rng = np.random.default_rng([seed, int(n)])  # alike at all points with n seeds, and for shares and medians
        step = max(1, _AT_A_TIME // int(n))
        for start in range(0, resamples, step):
            taken = min(step, resamples - start)
            weight = _resampled(rng, int(n), taken)
            means[start : start + taken] = (weight @ marked[clusters].T) / (weight @ size[clusters].T)
        low[here], high[here] = _order_statistics(means, _ends(level))
    return share, low, high


def _medians(
    points: _Points, numbers: np.ndarray, level: float, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median of the cells that did not fail at each point, with its interval."""
    n_points = len(points.table)
    middle, low, high = (np.full(n_points, np.nan) for _ in range(3))
    rows = np.flatnonzero(~np.isnan(numbers))
    rows = rows[np.lexsort((numbers[rows], points.point[rows]))]
    starts = np.searchsorted(points.point[rows], np.arange(n_points + 1))
    for i in range(n_points):
        mine = rows[starts[i] : starts[i + 1]]
        if len(mine) == 0:
            continue
        ascending = numbers[mine]
        middle[i] = _weighted_median(ascending, np.ones((1, len(mine))))[0]
        present, cluster = np.unique(points.cluster[mine], return_inverse=True)
        n = len(present)
        if n < 2:
            continue
        medians = np.empty(resamples)
        rng = np.random.default_rng([seed, n])
        step = max(1, _AT_A_TIME // max(n, len(mine)))
        for start in range(0, resamples, step):
            taken = min(step, resamples - start)
            weight = _resampled(rng, n, taken)
            medians[start : start + taken] = _weighted_median(ascending, weight[:, cluster])
        low[i], high[i] = _order_statistics(medians, _ends(level))
    return middle, low, high


def _weighted_median(ascending: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Medians of sorted values (values,) taken `weight` (resamples, values) times each, (resamples,)."""
    running = np.cumsum(weight, axis=1)
    total = running[:, -1:]
    below = ascending[np.argmax(running > (total - 1) // 2, axis=1)]
    above = ascending[np.argmax(running > total // 2, axis=1)]
    # With half of the values censored the upper one is inf, and the lower one is what is known.
    return np.where((below == above) | np.isposinf(above), below, (below + above) / 2)
