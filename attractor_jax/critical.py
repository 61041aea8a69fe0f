"""Does the origin of a network really lose its stability where the closed form says, and in that way?

Small orbits just below s_critical must fall, those just above must grow, and on the way they must turn at the angle of
the critical eigenvalue: 0 at a pitchfork, pi at a flip.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attractor_jax.blocks import lanes_last
from attractor_jax.engine import Columns, Engine
from attractor_jax.groups import own_blocks
from attractor_jax.iterate import repeat
from attractor_jax.plan import Networks, Plan
from attractor_jax.schema import Column
from attractor_jax.stability import s_critical
from attractor_jax.systems import System

# Relative distance from s_critical at which small orbits are looked at, the steps in which the critical eigenvalue
# comes to rule, and those in which they are watched.
BESIDE = 1e-3
SETTLE, WATCH = 4096, 8192
# The size to which a small orbit is put back after every step. Smaller still, and tanh, whose rounding is that of 1,
# holds it on a grid; larger, and it feels more than its linear part.
SMALL = 1e-4
ANGLE_TOLERANCE = 0.01  # radians per step

CRITICAL_COLUMNS = (
    Column("s_critical", "float", "", "s at which the origin first loses stability, in closed form", True),
    Column("first_bifurcation", "category", "", "how it does: pitchfork | flip | neimark_sacker", True),
    Column("critical_angle", "float", "radians per step", "argument of the critical eigenvalue", True),
    Column("growth_below", "float", "nats per step", "of a small orbit at s_critical (1 - 0.001)", True),
    Column("growth_above", "float", "nats per step", "of a small orbit at s_critical (1 + 0.001)", True),
    Column("angle_seen", "float", "radians per step", "how fast that orbit turns: pi times its changes of sign", True),
    Column("critical_verified", "bool", "", "it falls below, grows above, and turns at critical_angle", True),
)


def knows_origin(plan: Plan) -> bool:
    """Does the system know in closed form where its origin loses stability?"""
    axis = plan.system.axes[-1].name
    return axis == "s" and any(column.name == "s_critical" for column in plan.system.columns)


def verified_critical(engine: Engine, networks: Networks, cells: Columns) -> Columns:
    """s_critical and its kind in closed form, and what small orbits do just below and above it."""
    n, n_values = networks.cell_id.shape
    closed = cells["s_critical"].reshape(n, n_values)[:, 0].astype(float)
    kind = cells["first_bifurcation"].reshape(n, n_values)[:, 0]
    there = np.isfinite(closed)
    nothing = np.full(n, np.nan)
    columns: Columns = {
        "s_critical": closed,
        "first_bifurcation": kind,
        **{name: nothing.copy() for name in ("critical_angle", "growth_below", "growth_above", "angle_seen")},
        "critical_verified": np.full(n, None, object),
    }
    if not there.any():
        return columns
    s = np.where(there, closed, 1.0)[:, None] * (1 + BESIDE * np.array([-1, 1]))
    axes = {name: v if v.ndim == 1 else v[:, :2] for name, v in networks.axes.items()}
    axes |= {"s": s, "replicate": np.zeros_like(s, int)}
    blocks = list(own_blocks(engine.group, axes, np.arange(2 * n).reshape(n, 2)))
    system = engine.plan.system

    def inputs() -> Iterator[Any]:
        # In float64 whatever the run is in, and from the standard start whatever the replicate: it is about the origin.
        for block in blocks:
            states = engine.first_states(block).transpose(0, 2, 1)
            yield engine.problem(block)[0], {"s": block.lanes["s"]}, states

    program = engine.program(_of(system), (engine.group.own_block(2), 2))
    growth, angle = (np.empty((n, 2)) for _ in range(2))
    for block, found in zip(blocks, program.run(inputs(), engine.wait), strict=True):
        for into, values in zip((growth, angle), found, strict=True):
            into.ravel()[block.cell_id[block.real]] = values[block.real]
    exact = [engine.problem(block)[0] for block in blocks]
    real = np.concatenate([block.real[:, 0] for block in blocks])
    weights, gains = (np.concatenate([draws[name] for draws in exact])[real] for name in ("weights", "gains"))
    columns["critical_angle"] = np.where(there, s_critical(weights, gains).angle, np.nan)
    columns["growth_below"], columns["growth_above"] = (np.where(there, growth[:, i], np.nan) for i in range(2))
    columns["angle_seen"] = np.where(there, angle[:, 1], np.nan)
    turns = np.abs(columns["angle_seen"] - columns["critical_angle"]) < ANGLE_TOLERANCE
    verified = (growth[:, 0] < 0) & (growth[:, 1] > 0) & turns
    columns["critical_verified"] = np.where(there, verified.astype(object), np.array(None, object))
    return columns


@cache
def _of(system: System) -> Any:
    """One function a system: its program is compiled once."""
    return lambda inputs: _small_orbit(lanes_last(system), *inputs)


def _small_orbit(lift: Any, draws: Any, parameters: Any, states: Any) -> tuple[Any, Any]:
    """Growth rate of small orbits, nats per step, and how fast their output turns, radians per step."""
    problem = (draws, parameters)

    def start(_: Any, x: jax.Array) -> tuple[jax.Array, ...]:
        return x * SMALL / jnp.max(jnp.abs(x)), jnp.zeros((), x.dtype), jnp.zeros((), jnp.int32)

    def step(map_: Any, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        x, growth, turns = carry
        new = map_(x)
        factor = jnp.max(jnp.abs(new)) / SMALL
        return new / factor, growth + jnp.log(factor), turns + (new[0] * x[0] < 0)

    def watch(states: Any, times: int) -> tuple[Any, Any, Any]:
        return repeat(lift(step), problem, lift(start)(problem, states), times=times)

    states, _, _ = watch(states, SETTLE)
    _, growth, turns = watch(states, WATCH)
    return growth / WATCH, jnp.pi * turns / WATCH
