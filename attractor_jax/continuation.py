"""What does a network do when its parameter is moved slowly, up and then down? Attractors carried from one value of the
swept axis to the next.

A cell of the grid starts where the system says; a cell of a continuation starts where its neighbour ended. Where the
two directions disagree there is hysteresis: attractors coexist.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attractor_jax.blocks import lanes_last
from attractor_jax.defaults import ZERO_FLOOR
from attractor_jax.engine import Columns, Engine
from attractor_jax.groups import own_blocks
from attractor_jax.iterate import iterate
from attractor_jax.plan import Networks
from attractor_jax.regimes import CHAOTIC_REGIMES, DECIDED, classify_columns, of_regimes
from attractor_jax.systems import System

# Of the system's own first state, added to the state that is carried on: an orbit that has fallen onto an unstable
# point to the last bit would stay there for ever.
KICK = 1e-3
# Of the larger: root mean squares of y on one ordered attractor agree far better after some thousand steps.
OTHER_SIZE = 0.05


@dataclass(frozen=True)
class Continuation:
    """Both ways along the swept axis.

    Attributes:
        forward, backward: columns of a table of cells, (networks * values,), in the order of cell_id in both.
    """

    forward: Columns
    backward: Columns


def follow(engine: Engine, networks: Networks, cells: Columns) -> Continuation:
    """Every network's attractor followed from the smallest value of the last axis to the largest, and back from there.

    At each value the cell gets the measurement's transient and its first round, whether or not it is adaptive: the two
    ways compare with each other, not with cells that were measured for longer. An orbit that diverged begins anew at
    the next value. Too coarse an axis jumps from one attractor to another without reason;
    too short a transient smears the jumps.

    Args:
        networks: all cells of some networks.
        cells: the columns of the same cells from the grid, (networks * values,), in the order of cell_id: identity and
            closed forms are taken from them.
    """
    program = engine.first_program((engine.group.own_block(2), 2))
    n, clocked = networks.n_values, engine.plan.system.clocked
    found = [{name: values.copy() for name, values in cells.items()} for _ in range(2)]
    states: list[np.ndarray] | None = None
    for i in range(n):
        both = [i, n - 1 - i]
        axes = {name: values[:, both] if values.ndim == 2 else values for name, values in networks.axes.items()}
        blocks = list(own_blocks(engine.group, axes, networks.cell_id[:, both]))

        def inputs(blocks: Any = blocks, states: Any = states) -> Iterator[Any]:
            for b, block in enumerate(blocks):
                first = engine.first_states(block)
                start = first if states is None else carried_on(states[b], first, clocked=clocked)
                yield (*engine.problem(block)[1], engine.states(start))

        outputs = list(program.run(inputs(), engine.wait))
        states = [np.moveaxis(output.carry.state, -1, 1) for output in outputs]
        for block, output in zip(blocks, outputs, strict=True):
            computed = engine.measured(block, engine.problem(block)[0], output, 1)
            for lane, columns in enumerate(found):
                here = block.real[:, lane]
                rows = np.searchsorted(cells["cell_id"], block.cell_id[here, lane])
                for name, values in computed.items():
                    columns[name][rows] = values[here, lane]
        engine.progress(0, 2.0 * len(networks.cell_id) * engine.steps_of_first_round)
    return Continuation(*found)


def carried_on(states: Any, first: Any, *, clocked: bool, kick: float = KICK, axis: int = -1) -> Any:
    """Where the cells at the next value start, from where those at this one ended: both of one shape, with the
    components of a state along `axis`, as arrays of NumPy or of JAX. A clock begins anew.
    """
    xp = states.__array_namespace__()
    alive = xp.all(xp.isfinite(states), axis=axis, keepdims=True)
    moved = xp.where(alive, xp.where(alive, states, 0.0) + kick * first, first)
    if not clocked:
        return moved
    place = xp.arange(states.shape[axis]).reshape([-1 if i == axis % states.ndim else 1 for i in range(states.ndim)])
    return xp.where(place == states.shape[axis] - 1, first, moved)


def carry(system: System, draws: Any, parameters: Any, first: Any, *, steps: int, kick: float = KICK) -> Any:
    """The states of a block at one value of its parameters after the other, each begun where the one before ended, in
    one program: for thousands of values of few networks, where `follow` would wait for every single one.

    Nothing is measured on the way: from the states that it gives, all values can be measured side by side.

    Args:
        draws: (G, ...).
        parameters: (values, G, S), in the order in which each lane takes them.
        first: (values, G, D, S), where the system lets the orbits start.
        steps: taken at each value. Too few, and the jumps between attractors are late.
        kick: of `first`, added at each value. Too small, and what has become unstable is left late; too large, and it
            kicks the orbit out of a small basin.

    Returns:
        (values, G, D, S).
    """

    def one_value(states: Any, here: Any) -> tuple[Any, Any]:
        values, start = here
        states = carried_on(states, start, clocked=system.clocked, kick=kick, axis=1)
        states = iterate((draws, values), states, steps=steps, lift=lanes_last(system))
        return states, states

    nothing = jnp.full_like(first[0], jnp.nan)
    return jax.lax.scan(one_value, nothing, (parameters, first))[1]


def disagree(both_ways: Continuation) -> np.ndarray:
    """Cells, (cells,), that are on another attractor when they are reached from the other side.

    Both must be settled, and of another kind, another period, or with a lambda_1 that differs by more than four
    standard errors and the zero floor; ordered ones also with another size, the root mean square of y, by more than
    `OTHER_SIZE` and by more than the recurrence test can see: at rest at the origin, y is rounding. A mirror image (y
    for -y) is not another attractor here: it has the same numbers.
    """
    both = [classify_columns(columns) for columns in (both_ways.forward, both_ways.backward)]
    known = np.logical_and.reduce([of_regimes(table, DECIDED) & table["settled"].to_numpy(bool) for table in both])
    kinds = [np.where(of_regimes(table, CHAOTIC_REGIMES), "chaotic", table["regime"].astype(str)) for table in both]
    names = ("period", "lambda_1", "lambda_1_se", "y_mean", "y_std")
    one, other = ({name: table[name].to_numpy(float) for name in names} for table in both)
    other_kind = kinds[0] != kinds[1]
    other_period = (kinds[0] == "periodic") & (one["period"] != other["period"])
    sizes = [np.hypot(numbers["y_mean"], numbers["y_std"]) for numbers in (one, other)]
    ordered = ~np.logical_or(*[kind == "chaotic" for kind in kinds])
    seen = np.maximum(OTHER_SIZE * np.maximum(*sizes), both[0]["period_tolerance"].to_numpy(float))
    other_size = ordered & (np.abs(sizes[0] - sizes[1]) > seen)
    # Superstable cells have -inf and no error.
    with np.errstate(invalid="ignore"):
        apart = np.abs(one["lambda_1"] - other["lambda_1"])
    steps = both[0]["steps"].to_numpy(float)
    tolerance = np.fmax(4 * np.hypot(one["lambda_1_se"], other["lambda_1_se"]), ZERO_FLOOR / steps)
    return known & (other_kind | other_period | other_size | (apart > tolerance))
