"""Where does a grid need more values? Between neighbours whose regimes differ, network by network."""

from __future__ import annotations

import numpy as np

from attractor_jax.axes import spread_logarithmically
from attractor_jax.engine import Columns, Engine
from attractor_jax.groups import own_blocks
from attractor_jax.plan import Networks
from attractor_jax.regimes import classify_columns


def refine(engine: Engine, networks: Networks, cells: Columns) -> Columns:
    """The cells that `grid.refine` adds to some networks: so many values of the last axis, spaced as the grid is, in
    every interval at whose ends the regimes differ.

    They say more of where regimes change; `transitions` does not look at them. Their cell_id stand behind those of the
    whole grid, as if every interval had been refined: they depend on the grid alone.

    Args:
        cells: the columns of the networks' own cells, (networks * values,), in the order of cell_id.
    """
    plan, axis = engine.plan, engine.plan.system.axes[-1].name
    n, n_values = networks.cell_id.shape
    regimes = classify_columns(cells)["regime"].cat.codes.to_numpy().reshape(n, n_values)
    network, interval = np.nonzero(regimes[:, 1:] != regimes[:, :-1])
    if not len(network):
        return {name: values[:0] for name, values in cells.items()}
    values = networks.axes[axis]
    low, high = values[network, interval][:, None], values[network, interval + 1][:, None]
    share = np.arange(1, plan.refine + 1) / (plan.refine + 1)
    between = low * (high / low) ** share if spread_logarithmically(values[0]) else low + (high - low) * share
    in_run = networks.cell_id[network, 0] // n_values
    ids = plan.n_cells + ((in_run * (n_values - 1) + interval) * plan.refine)[:, None] + np.arange(plan.refine)
    axes = {
        name: np.repeat(each[network] if each.ndim == 1 else each[network, 0], plan.refine)
        for name, each in networks.axes.items()
    }
    blocks = own_blocks(engine.group, axes | {axis: between.ravel()}, ids.ravel())
    return engine.measure(blocks, shape=(engine.group.own_block(), 1))
