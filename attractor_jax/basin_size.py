"""How large is the basin of a minimum, and how high are its walls? Trainings that begin near it, and lines between
minima.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from attractor_jax.basins import BasinStability, basin_stability, end_states
from attractor_jax.minima import LANDSCAPE, RADIUS, problem_of
from attractor_jax.systems import get
from attractor_jax.systems.learning import Learning, begun_at
from attractor_jax.systems.problems import Problem

# Points of a line between two minima at which the loss is looked at.
POINTS = 65


def descent_from_row(row: pd.Series | Mapping[str, Any]) -> Any:
    """The training rule of one row of a learning table, to be iterated again: a `Descent`.

    Raises:
        ValueError: the row is of another system.
    """
    system = get(str(row["system"]))
    if not isinstance(system, Learning):
        raise ValueError(f"`row` must be of a learning system, got {row['system']}")
    axes = {axis.name: axis.kind(row[axis.name]) for axis in system.axes if axis.name in system.draw_axes}
    draw = system.draw(**axes)
    dtype = str(row["dtype"])
    draws = {name: jnp.asarray(values, dtype) for name, values in draw.items()}
    return system.build(draws, {name: jnp.asarray(float(row[name]), dtype) for name in system.parameters})


def size_of_basin(
    row: pd.Series | Mapping[str, Any],
    *,
    radii: Float[np.ndarray, "radii"],
    starts: int,
    align: int,
    seed: int = 0,
    radius: float = RADIUS,
) -> BasinStability:
    """Which share of trainings that begin at rest at a distance from a minimum comes back to it, for each distance.

    The training rule is that of the row itself, minibatches and noise included, and so is the number of steps.

    Args:
        row: of a training that ended in the minimum, with `theta`.
        radii: distances of the starts in parameters.
        starts: at each distance. The error of a share is at most half of 1 / sqrt(starts).
        align: steps that the row's measurement took beside its `transient` and `steps`.
        radius: within which a training has come back.
    """
    rule, home = descent_from_row(row), np.asarray(row["theta"], float)
    steps = int(row["transient"] + align + row["steps"])

    def came_back(theta: np.ndarray) -> np.ndarray:
        begun = begun_at(theta, momentum=rule.momentum.shape[0] > 0).astype(str(row["dtype"]))
        ended = end_states(rule, begun, steps=steps)
        with np.errstate(over="ignore"):  # of trainings that are about to diverge
            apart = np.linalg.norm(ended.states[:, : len(home)] - home, axis=1)
        return np.where(ended.diverged_at >= 0, -1, (apart <= radius).astype(int))

    return basin_stability(came_back, home, radii=radii, n=starts, seed=seed, home=1)


def stability_table(minima: pd.DataFrame, cells: pd.DataFrame, **how: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """S(r) of one minimum of each orbit, and r50 of all of them.

    Args:
        minima: of `minima_table`.
        cells: the table it was made from.
        how: of `size_of_basin`.

    Returns:
        One row an orbit and distance (the landscape's axes, `orbit`, `radius`, `stability`, `low`, `high`); and the
        minima with a column `r50`, inf where more than half come back from every distance.
    """
    axes = [name for name in LANDSCAPE if name in minima.columns]
    rows: list[dict[str, Any]] = []
    sizes: dict[tuple[Any, ...], float] = {}
    by_id = cells.set_index("cell_id")
    for _, minimum in minima.drop_duplicates([*axes, "orbit"]).iterrows():
        found = size_of_basin(by_id.loc[minimum["cell_id"]], **how)
        name = {axis: minimum[axis] for axis in (*axes, "orbit")}
        sizes[tuple(name.values())] = found.r50
        for radius, share, low, high in zip(found.radii, found.stability, found.low, found.high, strict=True):
            rows.append({**name, "radius": radius, "stability": share, "low": low, "high": high})
    keys = zip(*(minima[axis] for axis in (*axes, "orbit")), strict=True)
    return pd.DataFrame(rows), minima.assign(r50=[sizes[key] for key in keys])


def barriers(minima: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """The minima with a column `barrier`: how far the loss must rise, at most, on the way to another minimum.

    It is the least, over all other minima of the landscape, of the largest rise along the straight line to them. A
    curved way may be lower: an upper bound. NaN where there is no other minimum.
    """
    axes = [name for name in LANDSCAPE if name in minima.columns]
    barrier = np.full(len(minima), np.nan)
    groups = minima.groupby(axes).indices.values() if axes else [np.arange(len(minima))]
    for at in groups:
        here = minima.iloc[at]
        theta = np.stack(here["theta"].to_numpy())
        first = cells.set_index("cell_id").loc[here["cell_id"].iloc[0]]
        problem = problem_of(cells[cells["width"] == first["width"]] if "width" in cells.columns else cells)
        decay = float(first["weight_decay"])
        for i, one in enumerate(theta):
            others = np.delete(theta, i, axis=0)
            if len(others):
                rise = np.asarray(_highest(problem, jnp.asarray(one), jnp.asarray(others), decay))
                barrier[at[i]] = rise.min() - here["depth"].iloc[i]
    return minima.assign(barrier=barrier)


@partial(jax.jit, static_argnames="problem")
def _highest(problem: Problem, one: Array, others: Array, decay: Any) -> Array:
    """The highest loss along the line from one point to each of the others, (others,)."""
    data = problem.train()

    def loss(theta: Array) -> Array:
        return problem.loss(theta, *data) + decay * jnp.sum(theta**2) / 2

    share = jnp.linspace(0, 1, POINTS)[:, None]
    return jax.lax.map(lambda other: jnp.max(jax.vmap(loss)(one + share * (other - one))), others)
