"""Where does the orbit of one network spend its time, at each of thousands of values of an axis? Orbit -> density
image: the numbers of an orbit (bifurcation) diagram.

The attractor is carried along the axis, up and down, in one program that measures nothing. From where it was at each
value all of them are measured side by side, as the cells of a sweep are, and then their outputs are counted into bins
that are the same for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor_jax.backend import memory_budget
from attractor_jax.blocks import lanes_last
from attractor_jax.branches import DOWN, FIXED, UP, Branch, OrbitDensity
from attractor_jax.config import ALONE, ConfigError, SweepConfig, a_list
from attractor_jax.continuation import carry
from attractor_jax.defaults import ALIGNMENT_STEPS, BLOCKS
from attractor_jax.engine import Columns, Engine, Progress, no_progress
from attractor_jax.grid import listed_values
from attractor_jax.groups import Block
from attractor_jax.iterate import in_stretches
from attractor_jax.maps import check_dtype, stretch
from attractor_jax.plan import Plan, make_plan
from attractor_jax.systems import drawn

START = ("carried", "fixed")

# Of the first state, added at each value. A hundred times that of a sweep: the values are so many, and so near each
# other, that an orbit would stay for many of them on a point that has just become unstable.
KICK = 1e-4


def orbit_density(
    system: str,
    axis: str,
    values: Float[np.ndarray, "values"] | Sequence[float],
    *,
    at: Mapping[str, float | str] | None = None,
    start: str = "carried",
    carry_steps: int = 3000,
    transient: int = 2000,
    steps: int = 10_000,
    k: int = 2,
    longest_period: int = 1024,
    bins: int = 401,
    dtype: str = "float64",
    devices: Sequence[Any] | None = None,
    progress: Progress = no_progress,
) -> OrbitDensity:
    """The density of the output y of one network at each value of an axis, with exponents, periods and regimes.

    Args:
        system: name of a system, such as "uniform" or "logistic".
        axis: the system's axis that varies; not one that decides the shape of arrays.
        values: (values,), ascending and distinct. Too coarse, and a carried orbit jumps between attractors without
            reason.
        at: what the other axes are; their defaults where it is silent.
        start: "carried": from each value to the next, once up and once down, so that hysteresis shows; "fixed": every
            value begins where the system says.
        carry_steps: at each value before the next; only where orbits are carried. Too few, and jumps come late.
        transient: steps thrown away before a value is measured. Too few, and the approach is seen.
        steps: measured, and as many counted into the bins; a multiple of 20. What is chaotic is resolved to 10/steps
            nats per step: with some thousand steps, weak chaos passes for quasiperiodic.
        k: exponents, at most the dimension D, to which it is reduced. With one, chaos is never told from hyperchaos.
        longest_period: longer cycles count as unsettled.
        bins: of y. Many more than about steps / 20 show noise.
        dtype: "float64" or "float32".
        devices: where to compute; all that JAX has if None.
        progress: called with the cells and the network-steps that were finished.

    Raises:
        ConfigError: a system, axis or value that does not exist, or a measurement out of its range; a ValueError whose
            message names the key, as in the configuration of a sweep.
        ValueError: `start`, `bins`, `carry_steps`, `at` or `values` cannot be used, or float64 is asked for while JAX
            has it switched off.
    """
    check_dtype(dtype)
    if start not in START:
        raise ValueError(f"`start` must be carried or fixed, got {start!r}")
    if bins < 1 or carry_steps < 1:
        raise ValueError(f"`bins` and `carry_steps` must be at least 1, got {bins} and {carry_steps}")
    values = np.asarray(values, float)
    if values.ndim != 1 or len(values) < 2 or not (np.diff(values) > 0).all():
        raise ValueError("`values` must be at least 2 numbers in ascending order")
    if axis in (at or {}):
        raise ValueError(f"`at` must name other axes than the one that varies, got {axis}")
    grid = {**(at or {}), axis: values.tolist()}
    plan = _plan(
        system, grid, transient=transient, steps=steps, k=k, longest_period=longest_period, dtype=dtype, axis=axis
    )
    devices = jax.devices() if devices is None else devices
    engine = Engine(plan, plan.groups[0], devices, memory_budget(plan.config.backend, devices), "auto", progress)
    blocks = [block for part in plan.parts() for block in part.blocks()]
    first = [engine.states(engine.first_states(block)) for block in blocks]
    ways = {FIXED: first}
    if start == "carried":
        ways = _carried(engine, blocks, first, carry_steps)
    ends, columns = {}, {}
    for way, states in ways.items():
        ends[way], columns[way] = _measured(engine, blocks, states)
    odd = _odd(engine, blocks[0], first[0])
    edges = _edges(list(columns.values()), bins, odd)
    counts = {way: _counted(engine, blocks, states, steps, edges) for way, states in ends.items()}
    branches = {way: Branch(counts[way], columns[way]) for way in ways}
    axes = tuple(each.name for each in plan.system.axes)
    return OrbitDensity(values, edges, branches, np.asarray(odd), system, axis, axes)


def _plan(
    name: str, grid: dict[str, Any], *, axis: str, transient: int, steps: int, k: int, longest_period: int, dtype: Any
) -> Plan:
    """The plan of the sweep that has these values and nothing else."""
    system = drawn(name)
    can = [each.name for each in system.axes if each.kind is float and each.name in system.parameters]
    if axis not in can:
        raise ConfigError("axis", f"must be {a_list(can)} for system {name}", axis)
    static = {}
    for each in system.axes:
        given = grid.get(each.name)
        if each.name != axis and isinstance(given, Sequence | Mapping | np.ndarray):
            raise ConfigError(f"grid.{each.name}", "must be one number", given)
        if each.static:
            static[each.name] = listed_values(system, {each.name: given})[each.name][0].item()
    measure = {
        "transient": transient, "steps": steps, "k": min(k, system.dimension(static)), "blocks": BLOCKS,
        "align": ALIGNMENT_STEPS, "renormalise_every": "auto", "longest_period": longest_period,
        "period_tolerance": "auto", "also": [], "target_se": None, "max_steps": None,
    }  # fmt: skip
    config = {
        "name": "orbit", "system": {"name": name}, "grid": grid, "measure": measure, "transitions": None,
        "backend": {"dtype": dtype, "batch": "auto", "devices": "all", "memory": "auto", "engine": "auto"},
        "plan": {"part_steps": 1_000_000_000, "shaped_for": None}, **ALONE,
    }  # fmt: skip
    return make_plan(SweepConfig.from_mapping(config))


def _carried(
    engine: Engine, blocks: Sequence[Block], first: Sequence[np.ndarray], steps: int
) -> dict[str, list[np.ndarray]]:
    """States (G, D, S) of every block, from which it is measured, for both ways along its values."""
    system = engine.plan.system
    lanes = [np.flatnonzero(block.real[0]) for block in blocks]

    def both_ways(each: Sequence[np.ndarray]) -> np.ndarray:
        """(values, 1, ..., 2), from arrays (1, ..., S) of the blocks."""
        there = np.concatenate([np.moveaxis(one, -1, 0)[real] for one, real in zip(each, lanes, strict=True)])
        return np.stack([there, there[::-1]], axis=-1)

    problems = [engine.problem(block)[1] for block in blocks]
    draws = problems[0][0]
    parameters = {name: both_ways([swept[name] for _, swept in problems]) for name in system.parameters}
    program = engine.program(lambda inputs: carry(system, *inputs, steps=steps, kick=KICK), (1, 2))
    (states,) = program.run([(draws, parameters, both_ways(first))], engine.wait)
    engine.progress(0, 2.0 * len(states) * steps)
    ways: dict[str, list[np.ndarray]] = {}
    for lane, way in enumerate((UP, DOWN)):
        along = np.moveaxis(states[..., lane] if way == UP else states[::-1, ..., lane], 0, -1)
        ways[way], done = [], 0
        for block, real in zip(blocks, lanes, strict=True):
            at = np.minimum(done + np.arange(block.real.shape[1]), done + len(real) - 1)
            ways[way].append(along[..., at])
            done += len(real)
    return ways


def _measured(
    engine: Engine, blocks: Sequence[Block], states: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], Columns]:
    """Where the blocks are after their measurement, and the columns of their cells."""
    problems = [engine.problem(block) for block in blocks]
    inputs = ((*problem, state) for (_, problem), state in zip(problems, states, strict=True))
    ends: list[np.ndarray] = []
    pieces: list[Columns] = []
    outputs = engine.first_program(engine.group.block_shape).run(inputs, engine.wait)
    for block, (exact, _), measured in zip(blocks, problems, outputs, strict=True):
        ends.append(measured.carry.state)
        pieces.append(engine.cells(block, engine.closed_form(block, exact), engine.measured(block, exact, measured, 1)))
        engine.progress(len(pieces[-1]["cell_id"]), len(pieces[-1]["cell_id"]) * engine.steps_of_first_round)
    return ends, {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _edges(columns: Sequence[Columns], bins: int, odd: bool) -> np.ndarray:
    """Bins that hold all that was measured; an even number gets one more where the map is odd, so that y = 0 lies in
    the middle of one, and not on an edge."""
    low = np.concatenate([table["y_min"] for table in columns])
    high = np.concatenate([table["y_max"] for table in columns])
    low, high = (side[np.isfinite(low) & np.isfinite(high)] for side in (low, high))
    bottom, top = (low.min(), high.max()) if len(low) else (-1.0, 1.0)
    if odd:
        bottom, top, bins = -max(-bottom, top), max(-bottom, top), bins + 1 - bins % 2
    room = 0.01 * max(top - bottom, 1e-9 * max(1.0, abs(top)))
    return np.linspace(bottom - room, top + room, bins + 1)


def _counted(
    engine: Engine, blocks: Sequence[Block], states: Sequence[np.ndarray], steps: int, edges: np.ndarray
) -> np.ndarray:
    """(values, bins), the next `steps` outputs counted."""
    system, bins = engine.plan.system, len(edges) - 1
    low, per_bin = edges[0], bins / (edges[-1] - edges[0])

    def start(_: Any, state: Array) -> tuple[Array, Array]:
        return state, jnp.zeros(bins, jnp.int32)

    def go_on(map_: Any, state: Array, *, length: int) -> tuple[Array, Array]:
        states, register, _ = stretch(map_, state[:, None], length)
        return register[:, 0], jnp.stack([x[0] for x in states])

    def count_outputs(_: Any, counts: Array, outputs: Array) -> Array:
        # The range was measured on the steps before: a new extreme, however rare, belongs to the outermost bin.
        places = jnp.clip(jnp.floor((outputs - low) * per_bin), 0, bins - 1).astype(jnp.int32)
        return counts.at[places].add(1)

    def end(_: Any, carried: tuple[Array, Array]) -> Array:
        state, counts = carried
        return jnp.where(jnp.all(jnp.isfinite(state)), counts, 0)

    def count(inputs: Any) -> Any:
        draws, parameters, state = inputs
        problem, lift = (draws, parameters), lanes_last(system)

        def further(problem: Any, carried: tuple[Any, Any], *, length: int) -> tuple[Any, Any]:
            state, outputs = lift.wide(go_on)(problem, carried[0], length=length)
            return state, lift(count_outputs)(problem, carried[1], outputs)

        return lift(end)(
            problem, in_stretches(further, problem, lift(start)(problem, state), steps=steps, stretch=lift.stretch)
        )

    inputs = ((*engine.problem(block)[1], state) for block, state in zip(blocks, states, strict=True))
    found = []
    for block, counts in zip(
        blocks, engine.program(count, engine.group.block_shape).run(inputs, engine.wait), strict=True
    ):
        found.append(counts[0].T[block.real[0]])
        engine.progress(0, float(len(found[-1]) * steps))
    return np.concatenate(found)


def _odd(engine: Engine, block: Block, states: np.ndarray) -> bool:
    """Is F(-x) = -F(x), at a random point of the state space?"""
    draws, parameters = engine.problem(block)[1]
    map_ = engine.plan.system.build(
        {name: jnp.asarray(each[0]) for name, each in draws.items()},
        {name: jnp.asarray(each[0, -1]) for name, each in parameters.items()},
    )
    state = jnp.asarray(np.random.default_rng(0).uniform(0.1, 1, states.shape[1]), states.dtype)
    return bool(jnp.allclose(map_(-state), -map_(state), rtol=1e-6, atol=0))
