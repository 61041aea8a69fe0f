"""How many attractors does a network have, and how does that change along an axis?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from attractor_jax.attractors import DIVERGED, UNRESOLVED, label_attractors, network_columns
from attractor_jax.axes import table_axes
from attractor_jax.phase import LEVEL, RESAMPLES, wilson_interval


def coexistence(
    df: pd.DataFrame,
    x: str,
    *,
    over: Sequence[str] | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
    **tolerances: Any,
) -> pd.DataFrame:
    """How many attractors a network has, along an axis: means over networks, and the share of those with several.

    What was found is a lower bound: basins smaller than 1 / starts are missed.

    Args:
        df: a classified table, with labels or without.
        x: axis; all others are pooled.
        over: see `label_attractors`.
        level: of the intervals, between 0 and 1.
        resamples: of the seeds. Below about 200 the ends of an interval are themselves noise.
        seed: of the resampling.
        tolerances: passed on to `label_attractors`, where the table has no labels yet.

    Returns:
        A row a value of `x`:
            x: under its own name.
            n_networks, n_seeds: networks, and independent seeds among them. Networks in which no cell is resolved do
                not count.
            attractors, attractors_low, attractors_high: mean number, with its interval.
            orbits, orbits_low, orbits_high: the same with mirror images counted once.
            several, several_low, several_high: share of the networks with more than one attractor.
            Intervals are percentile bootstraps over seeds, or over networks in a table without seeds; where all agree,
            a share has Wilson's and a mean has none: NaN.

    Raises:
        ValueError: see `label_attractors`; `x` tells no networks apart, a level or a number of resamples out of range.
    """
    if not 0 < level < 1:
        raise ValueError(f"`level` must lie between 0 and 1, got {level}")
    if resamples < 1:
        raise ValueError(f"`resamples` must be at least 1, got {resamples}")
    counts = attractor_counts(df, over=over, **tolerances)
    axes = [name for name in network_columns(df, over) if name in table_axes(df)]
    if x not in axes:
        raise ValueError(f"`x` must be one of {', '.join(axes) or 'none here'}, got {x!r}")
    counts = counts[counts["attractors"] > 0]
    ends = [(1 - level) / 2, (1 + level) / 2]
    rows = []
    for value, here in counts.groupby(x, sort=True):
        cluster = pd.factorize(here["seed"], sort=True)[0] if "seed" in here.columns else np.arange(len(here))
        n = int(cluster.max()) + 1
        size = np.bincount(cluster)
        numbers = {
            "attractors": here["attractors"].to_numpy(float),
            "orbits": here["orbits"].to_numpy(float),
            "several": (here["attractors"] > 1).to_numpy(float),
        }
        rng = np.random.default_rng([seed, n])  # seeds are drawn alike at all values of x that have all of them
        drawn = rng.multinomial(n, np.full(n, 1 / n), resamples)
        row: dict[str, float] = {x: value, "n_networks": len(here), "n_seeds": n}  # pyright: ignore[reportAssignmentType]
        for name, each in numbers.items():
            sums = np.bincount(cluster, each)
            low, high = np.quantile((drawn @ sums) / (drawn @ size), ends)
            if np.ptp(sums / size) == 0:
                agreed = wilson_interval(each[:1], np.array([n]), level) if name == "several" else ([np.nan], [np.nan])
                low, high = (float(end[0]) for end in agreed)
            row |= {name: each.mean(), f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    names = [f"{name}{end}" for name in ("attractors", "orbits", "several") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=[x, "n_networks", "n_seeds", *names]).astype(dict.fromkeys(names, float))


def attractor_counts(df: pd.DataFrame, *, over: Sequence[str] | None = None, **tolerances: Any) -> pd.DataFrame:
    """How many attractors each network has: one row a network.

    Columns: those of `network_columns`; attractors, orbits (mirror images counted once), n_cells, and of those
    n_unresolved and n_diverged.
    """
    if "attractor" not in df.columns or "orbit" not in df.columns:
        df = label_attractors(df, over=over, **tolerances)
    names = network_columns(df, over)
    label, orbit = df["attractor"], df["orbit"]
    work = df[names].assign(
        attractors=label.where(label >= 1),
        orbits=orbit.where(orbit >= 1),
        n_unresolved=(label == UNRESOLVED).astype(int),
        n_diverged=(label == DIVERGED).astype(int),
        n_cells=1,
    )
    if not names:
        names = ["network"]
        work["network"] = 0
    groups = work.groupby(names, sort=True, observed=True, dropna=False)
    table = groups[["attractors", "orbits"]].nunique()
    return table.join(groups[["n_cells", "n_unresolved", "n_diverged"]].sum()).reset_index()
