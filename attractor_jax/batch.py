"""How do thousands of networks run at once? `vmap` over the lanes and draws of a block, a loop over blocks, a mesh
over devices; `jit` lives here.

A block is the unit: draws on the first axis, then the arrays of one network, then the lanes that share a draw on the
last, where they fill the processor's vectors and turn `W @ state` into one matrix product. On a CPU the blocks of a
batch run one after the other in a loop whose length is a run-time number, so that the program of a block, and with it
every bit, is the same for every batch; on a GPU they run side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from attractor_jax import measures
from attractor_jax.config import MeasureConfig
from attractor_jax.iterate import iterate
from attractor_jax.lyapunov import Measurement, advance, begin, results
from attractor_jax.plan import Block, Group, Plan
from attractor_jax.recurrence import find_period
from attractor_jax.schema import STATUSES
from attractor_jax.systems import System

# Steps of the reference network in one batch of a CPU device: about a second of work, so that the progress bar moves.
CPU_BATCH_STEPS = 20e6


def lanes_last(system: System) -> Callable[[Any], Any]:
    """The `lift` of a block: f(map, carry) for one network becomes f((draws, parameters), carries) for G x S of them.

    Every leaf of a carry has the draws on its first axis and the lanes on its last; a draw has no lane axis at all.
    """

    def lift(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def one(draw: Any, parameters: Any, carry: Any) -> Any:
            return function(system.build(draw, parameters), carry)

        lanes = jax.vmap(one, in_axes=(None, -1, -1), out_axes=-1)
        draws = jax.vmap(lanes, in_axes=0)
        return lambda problem, carry: draws(problem[0], problem[1], carry)

    return lift


def measure_block(
    system: System, group: Group, measure: MeasureConfig, draws: Any, parameters: Any, states: Any
) -> dict[str, Any]:
    """All columns that come from iterating one block.

    Args:
        draws: arrays (G, ...) of `system.draw`.
        parameters: arrays (G, S).
        states: (G, D, S), where the orbits start.

    Returns:
        Columns of shape (G, S), spectra (G, k, S).
    """
    lift = lanes_last(system)
    problem = (draws, parameters)
    observers = tuple(measures.get(name) for name in (*measures.ALWAYS, *measure.also))
    block_steps = measure.steps // measure.blocks
    frame = {"renormalise_every": group.renormalise_every, "measures": observers, "lift": lift}

    states = iterate(problem, states, steps=measure.transient, lift=lift)
    measurement = begin(problem, states, k=group.k, blocks=measure.blocks, align=measure.align, **frame)
    measurement = advance(problem, measurement, blocks=measure.blocks, block_steps=block_steps, **frame)
    tolerance = None if measure.period_tolerance == "auto" else measure.period_tolerance
    recurrence = find_period(problem, measurement.state, longest=measure.longest_period, tolerance=tolerance, lift=lift)

    def finish(map_: Any, m: Measurement) -> dict[str, Any]:
        found = results(m, block_steps=block_steps)
        vanished = jnp.any(found.exponents == -jnp.inf)
        # A derivative that cannot vanish but did has underflowed: its logarithm is unknown, not -inf.
        underflow = vanished & getattr(map_, "nonsingular", False)

        def known(values: Any) -> Any:
            bad = found.diverged | (underflow & ~jnp.isfinite(values))
            return jnp.where(bad, jnp.nan, values)

        status = jnp.where(
            found.diverged,
            STATUSES.index("diverged"),
            jnp.where(
                underflow,
                STATUSES.index("underflow"),
                jnp.where(vanished, STATUSES.index("superstable"), STATUSES.index("ok")),
            ),
        )
        columns = {
            "status": status,
            "lambda_1": known(found.exponents[0]),
            "lambda_1_se": known(found.standard_error[0]),
            "lambda_1_drift": known(found.drift[0]),
            "exponents": known(found.exponents),
            "exponents_se": known(found.standard_error),
            "sum_rule": known(found.sum_rule),
            "sum_rule_residual": known(found.sum_rule_residual),
            "log_det_min": known(found.log_det_min),
        }
        for observer in observers:
            seen = observer.finish(m.observations[observer.name], measure.steps)
            columns |= {name: jnp.where(found.diverged, jnp.nan, value) for name, value in seen.items()}
        return columns

    columns = lift(finish)(problem, measurement)
    return columns | {
        "period": recurrence.period,
        "period_tolerance": recurrence.tolerance,
        "amplitude": recurrence.amplitude,
    }


@dataclass(frozen=True)
class Running:
    """Blocks under way on the devices.

    Attributes:
        blocks: which.
        draws: the float64 draws of each.
        pending: columns as they will come from the devices.
        computed: rows of `pending` that belong to `blocks`, in their order.
    """

    blocks: tuple[Block, ...]
    draws: list[Any]
    pending: dict[str, Any]
    computed: np.ndarray

    def ready(self) -> bool:
        """Are the devices done?"""
        return all(column.is_ready() for column in self.pending.values())

    def columns(self) -> dict[str, np.ndarray]:
        """The columns, (blocks, G, S) and (blocks, G, k, S), once the devices are done."""
        return {name: np.asarray(column)[self.computed] for name, column in self.pending.items()}


@dataclass(frozen=True)
class Program:
    """The compiled program of one group on a set of devices.

    Attributes:
        plan: what is computed.
        group: the shape.
        devices: all of one kind.
        memory: bytes that one batch may take over all devices.
        batch: blocks a device runs at once, or "auto".
    """

    plan: Plan
    group: Group
    devices: Sequence[Any]
    memory: float
    batch: int | str

    @cached_property
    def blocks_per_device(self) -> int:
        """The batch, decided."""
        in_part = -(-self.group.blocks_per_part // len(self.devices))
        if isinstance(self.batch, int):
            return min(self.batch, in_part)
        fits = int(self.memory // (len(self.devices) * self.group.block_bytes))
        if self.devices[0].platform == "cpu":
            G, S = self.group.block_shape
            fits = min(fits, max(1, int(CPU_BATCH_STEPS / (self.group.cost * G * S))))
        return max(1, min(fits, in_part, -(-self.group.n_blocks // len(self.devices))))

    @property
    def blocks_per_call(self) -> int:
        return self.blocks_per_device * len(self.devices)

    def start(self, blocks: Sequence[Block]) -> Running:
        """Begin to compute up to `blocks_per_call` blocks, and come back before they are done."""
        devices, each = len(self.devices), self.blocks_per_device
        counts = np.array([len(share) for share in np.array_split(np.arange(len(blocks)), devices)], np.int32)
        # Rows that no device will touch are copies of the first block.
        where, at = np.zeros(devices * each, int), 0
        for device, count in enumerate(counts):
            where[device * each : device * each + count] = np.arange(at, at + count)
            at += count
        inputs = [self._inputs(block) for block in blocks]
        stacked = jax.tree.map(lambda *leaves: np.stack([leaves[i] for i in where]), *[one[:3] for one in inputs])
        arrays = jax.device_put((counts, stacked), self._sharding)
        computed = np.concatenate([device * each + np.arange(count) for device, count in enumerate(counts)])
        return Running(tuple(blocks), [one[3] for one in inputs], self._compiled(*arrays), computed)

    def _inputs(self, block: Block) -> tuple[Any, Any, Any, Any]:
        """Draws, parameters and first states in the run's dtype, and the draws in float64."""
        system, dtype = self.plan.system, self.plan.config.backend.dtype
        names = list(system.draw_axes)
        one_by_one = [{name: int(block.draws[name][g]) for name in names} for g in range(self.group.block_shape[0])]
        draws = [self._draw(**axes) for axes in one_by_one]
        states = [
            system.initial_states(draw, axes, {name: values[g] for name, values in block.lanes.items()})
            for g, (draw, axes) in enumerate(zip(draws, one_by_one, strict=True))
        ]
        exact = {name: np.stack([draw[name] for draw in draws]) for name in draws[0]}
        rounded = {name: values.astype(dtype) for name, values in exact.items()}
        parameters = {name: block.lanes[name].astype(dtype) for name in system.parameters}
        return rounded, parameters, np.stack(states).transpose(0, 2, 1).astype(dtype), exact

    @cached_property
    def _draw(self) -> Callable[..., Any]:
        """`system.draw`, remembered from one block to the next: they share draws when the lanes are many."""
        return lru_cache(maxsize=1024)(self.plan.system.draw)

    @cached_property
    def _sharding(self) -> NamedSharding:
        mesh = jax.make_mesh((len(self.devices),), ("device",), axis_types=(AxisType.Auto,), devices=self.devices)
        return NamedSharding(mesh, P("device"))

    @cached_property
    def _compiled(self) -> Callable[..., dict[str, jax.Array]]:
        system, group, measure = self.plan.system, self.group, self.plan.config.measure

        def block(inputs: Any) -> dict[str, Any]:
            return measure_block(system, group, measure, *inputs)

        def one_after_the_other(count: Any, inputs: Any) -> dict[str, Any]:
            first = jax.tree.map(lambda x: x[0], inputs)
            room = jax.tree.map(
                lambda column: jnp.zeros((self.blocks_per_device, *column.shape), column.dtype),
                jax.eval_shape(block, first),
            )

            def step(i: Any, out: Any) -> Any:
                columns = block(jax.tree.map(lambda x: x[i], inputs))
                return jax.tree.map(lambda all_, one: all_.at[i].set(one), out, columns)

            return jax.lax.fori_loop(0, count[0], step, room)

        def side_by_side(count: Any, inputs: Any) -> dict[str, Any]:
            return jax.vmap(block)(inputs)

        on_device = one_after_the_other if self.devices[0].platform == "cpu" else side_by_side
        spec = self._sharding.spec
        return jax.jit(
            jax.shard_map(on_device, mesh=self._sharding.mesh, in_specs=spec, out_specs=spec, check_vma=False)
        )
