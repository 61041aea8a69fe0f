"""Which minimum did a training end in? Labels for the rows of a learning system, made when a table is read."""

from __future__ import annotations

import numpy as np
import pandas as pd

from attractor_jax.systems import get
from attractor_jax.systems.learning import Learning
from attractor_jax.systems.plane import OnPlane
from attractor_jax.systems.problems import Problem

# Distance in parameters within which two ends are one minimum. XOR's minima lie 1.4 apart and more, and trainings of
# 3,000 steps end within 1e-5 of them in float32.
RADIUS = 0.05
# Curvature below which a direction is flat: minima are valleys along it, and it bounds no distance.
FLAT = 1e-4

# The loss depends on these axes alone: with others the same minima are reached by other ways.
LANDSCAPE = ("width", "weight_decay")

DESCRIBED = (
    "train_loss", "test_loss", "accuracy", "test_accuracy", "sharpness", "hessian_min", "hessian_trace", "saturated",
)  # fmt: skip


def problem_of(df: pd.DataFrame) -> Problem:
    """The problem of a learning table whose cells have one width.

    Raises:
        ValueError: another system's table, several widths.
    """
    names = [str(name) for name in df["system"].unique()] if "system" in df.columns else []
    system = get(names[0]) if len(names) == 1 else None
    system = system.base if isinstance(system, OnPlane) else system
    if not isinstance(system, Learning):
        raise ValueError(f"`df` must be of one learning system, got {', '.join(names) or 'no column system'}")
    widths = df["width"].unique() if "width" in df.columns else np.zeros(1)
    if len(widths) != 1:
        raise ValueError(f"`df` must have one width, got {len(widths)}")
    return system.problem(int(widths[0]))


def label_minima(
    df: pd.DataFrame, *, radius: float = RADIUS, flat: float = FLAT, catalogue: pd.DataFrame | None = None
) -> pd.DataFrame:
    """A copy of a learning table with the minimum that each training ended in.

    Ends within `radius` of one another are one minimum, and so are chains of such: a valley of minima is one. They are
    numbered from the deepest up, ties in the order of their parameters, for each width and weight_decay by
    themselves: the order does not depend on that of the rows. A table with fewer rows may have fewer minima, and other
    numbers for the same ones, unless it is given a `catalogue`.

    Args:
        df: of `read_run`, with the column `theta`. Left unchanged.
        radius: Euclidean distance of parameters. Too small, and what has not quite arrived is split; too large, and
            minima are joined.
        flat: see `arrived`.
        catalogue: of an earlier `minima_table`: its minima keep their numbers, and new ones follow.

    Returns:
        The table with two columns more: `attractor`, >= 1 a minimum, 0 unresolved (it has not arrived, or noise drives
        it), -1 diverged; `orbit`, the same for minima that the problem's symmetries (hidden units that change places
        or signs) carry into one another.

    Raises:
        ValueError: no learning table, no parameters in it, `radius` or `flat` not above 0.
    """
    for name, value in (("radius", radius), ("flat", flat)):
        if not value > 0:
            raise ValueError(f"`{name}` must be above 0, got {value}")
    table = df.copy()
    table["attractor"] = np.where(df["status"].isin(["diverged"]), -1, 0)
    table["orbit"] = table["attractor"]
    if len(df) == 0:
        return table
    if "theta" not in df.columns or df["theta"].isna().any():
        raise ValueError("`df` must have the parameters of every row in the column theta (up to 256 parameters)")
    rows = pd.Series(np.arange(len(df)))
    attractor, orbit = (table[name].to_numpy(copy=True) for name in ("attractor", "orbit"))
    for values, at in _landscapes(df, rows):
        here = df.iloc[at]
        ends = np.stack(here["theta"].to_numpy())
        there = attracted(here, radius=radius, flat=flat)
        known = np.empty((0, ends.shape[1])), np.empty(0, int), np.empty(0, int)
        if catalogue is not None:
            same = np.logical_and.reduce([np.isclose(catalogue[name].to_numpy(float), v) for name, v in values.items()])
            chosen = catalogue[np.broadcast_to(same, len(catalogue))].sort_values("attractor")
            if len(chosen):
                numbers, orbits = (chosen[name].to_numpy(int) for name in ("attractor", "orbit"))
                known = np.stack(chosen["theta"].to_numpy()), numbers, orbits
        found = _minima(problem_of(here), ends[there], here["objective"].to_numpy(float)[there], known, radius)
        attractor[at[there]], orbit[at[there]] = found
    table["attractor"], table["orbit"] = attractor, orbit
    return table


def arrived(df: pd.DataFrame, *, radius: float = RADIUS, flat: float = FLAT) -> np.ndarray:
    """Which trainings of a learning table have arrived at a minimum, (cells,): near it, and it is no saddle.

    Newton's step to the minimum is no longer than |gradient| / smallest curvature, which must be within half of
    `radius`. Curvatures below `flat` count as that much: along a valley nothing is to be waited for. Too large, and
    slow trainings count as ends; too small, and trainings in a valley never do. What swings by more than `radius`, or
    is driven by noise, arrives nowhere.
    """
    low = df["hessian_min"].to_numpy(float)
    near = df["gradient_norm"].to_numpy(float) <= radius / 2 * np.maximum(low, flat)
    still = df["amplitude"].to_numpy(float, na_value=np.nan) <= radius  # NaN where noise drives it
    return near & still & (low >= -flat) & ~df["status"].isin(["diverged"]).to_numpy()


def attracted(df: pd.DataFrame, *, radius: float = RADIUS, flat: float = FLAT) -> np.ndarray:
    """Which trainings have arrived at a minimum that attracts, (cells,). One that repels (edge_ratio above 1) keeps
    what began exactly on it.
    """
    return arrived(df, radius=radius, flat=flat) & (df["edge_ratio"].to_numpy(float) <= 1)


def minima_table(labelled: pd.DataFrame) -> pd.DataFrame:
    """The minima of a labelled table, one row each, the deepest first.

    Returns:
        Width and weight_decay, where the table has them, `attractor`, `orbit`, `copies` (minima of the orbit that were
        found), `count` (trainings that ended there), `cell_id` (of the one that came nearest),
        `depth` (objective there), the outcomes of that row, and `theta`.
    """
    found = labelled[labelled["attractor"] >= 1]
    axes = [name for name in LANDSCAPE if name in labelled.columns]
    if not len(found):
        return pd.DataFrame(columns=[*axes, "attractor", "orbit", "copies", "count", "cell_id", "depth", *DESCRIBED])
    group = found.groupby([*axes, "attractor"], sort=True)
    nearest = found.loc[group["gradient_norm"].idxmin()]
    table = nearest[[*axes, "attractor", "orbit", "cell_id", "objective", *DESCRIBED, "theta"]].reset_index(drop=True)
    table = table.rename(columns={"objective": "depth"})
    table.insert(len(axes) + 2, "copies", table.groupby([*axes, "orbit"])["attractor"].transform("size"))
    table.insert(len(axes) + 3, "count", group.size().to_numpy())
    return table


def _landscapes(df: pd.DataFrame, rows: pd.Series) -> list[tuple[dict[str, float], np.ndarray]]:
    """Values of the landscape's axes, and the rows that have them."""
    axes = [name for name in LANDSCAPE if name in df.columns]
    if not axes:
        return [({}, rows.to_numpy())]
    groups = rows.groupby([df[name].to_numpy() for name in axes])
    return [({name: float(df[name].iloc[at.iloc[0]]) for name in axes}, at.to_numpy()) for _, at in groups]


def _minima(
    problem: Problem,
    ends: np.ndarray,
    objective: np.ndarray,
    known: tuple[np.ndarray, np.ndarray, np.ndarray],
    radius: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The attractor and the orbit of each of some ends (n, P), counted on from those that are known: parameters,
    attractors and orbits.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    old, old_number, old_orbit = known
    # Thousands of trainings end on the same few points: a grid far finer than the radius leaves few of them.
    cell = np.round(np.concatenate([old, ends]) / (radius / 8 / np.sqrt(max(ends.shape[1], 1))))
    corners, of_row = np.unique(cell, axis=0, return_inverse=True)
    of_row = of_row.ravel()
    at = np.empty(len(corners), int)
    at[of_row[::-1]] = np.arange(len(of_row))[::-1]
    points = np.concatenate([old, ends])[at]
    pairs = KDTree(points).query_pairs(radius, output_type="ndarray") if len(points) else np.empty((0, 2), int)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(points), len(points)))
    cluster = connected_components(graph, directed=False)[1][of_row] if len(points) else np.empty(0, int)
    number: dict[int, int] = {}
    for i, each in enumerate(cluster[: len(old)]):
        number.setdefault(each, i)
    mine = cluster[len(old) :]
    new = [each for each in np.unique(mine) if each not in number]
    lowest = {each: _nearest(ends, objective, mine == each) for each in new}
    new.sort(key=lambda each: (round(lowest[each][0], 6), *np.round(lowest[each][1], 3)))
    number |= {each: len(old) + i for i, each in enumerate(new)}
    representatives = [*old, *(lowest[each][1] for each in new)]
    orbits = list(old_orbit)
    for i in range(len(old), len(representatives)):
        near = (j for j in range(i) if problem.apart(representatives[i], representatives[j]) <= radius)
        orbits.append(orbits[j] if (j := next(near, None)) is not None else max(orbits, default=0) + 1)
    numbers = [*old_number, *(max(old_number, default=0) + 1 + np.arange(len(new)))]
    at = np.array([number[each] for each in mine], int)
    return np.array(numbers, int)[at], np.array(orbits, int)[at]


def _nearest(ends: np.ndarray, objective: np.ndarray, chosen: np.ndarray) -> tuple[float, np.ndarray]:
    """The deepest of some ends, and where it is."""
    at = np.flatnonzero(chosen)[np.argmin(objective[chosen])]
    return float(objective[at]), ends[at]
