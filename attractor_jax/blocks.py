"""What is computed for one block of cells? From first states to columns, in as many rounds as it takes.

A block has the draws on the first axis of its arrays, then the arrays of one network, then the lanes that share a draw
on the last, where they fill the processor's vectors and turn `W @ state` into one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from attractor_jax import measures
from attractor_jax.config import MeasureConfig
from attractor_jax.defaults import ZERO_FLOOR
from attractor_jax.groups import Group
from attractor_jax.growth import advance, begin
from attractor_jax.iterate import Lift, iterate
from attractor_jax.lyapunov import results
from attractor_jax.measurement import Measurement, halve
from attractor_jax.recurrence import Recurrence, find_period, output_range
from attractor_jax.regimes import MOST_DRIFT
from attractor_jax.systems import System

# Largest draws, and most dimensions, of cells that share nothing but are lanes all the same. Measured on CPU: below,
# this is two to four times as fast as a product for each; above, XLA takes the long sums apart again.
MOST_OWN_NUMBERS, MOST_OWN_DIMENSIONS = 160, 32
# Where a whole frame is rotated, the draws matter less beside it: up to so many numbers for each of the frame's. With
# fewer than FULL_LANES side by side the rotations are not vectorised, and take as long as with all.
MOST_OWN_SHARE, FULL_LANES = 4, 64

# Blocks below which their scatter says too little about when an orbit settled.
FEWEST_TO_SETTLE = 8


def lanes_last(system: System, *, own: bool = False, squeezed: bool = False, kernel: Any = None) -> Lift:
    """The lift of a block: f(map, carry) for one network becomes f((draws, parameters), carries) for G x S of them.

    Every leaf of a carry has the draws on its first axis and the lanes on its last; a draw has no lane axis at all.

    Args:
        own: there is one draw, and it has a lane axis too. Lanes that share nothing still fill the processor's vectors.
        squeezed: the one draw has no axis inside, where `vmap` gives it one: a program is traced in two thirds of the
            time. Sums over units are vectorised otherwise then; with one exponent, float64 loses a quarter by it.
        kernel: a `fused.Kernel` where it is the engine; None for `scan`.
    """

    def one(function: Callable[..., Any]) -> Callable[..., Any]:
        def lifted(problem: Any, *carry: Any, **same: Any) -> Any:
            def network(draw: Any, parameters: Any, *carry: Any) -> Any:
                return function(system.build(draw, parameters), *carry, **same)

            lanes = jax.vmap(network, in_axes=(-1 if own else None, -1, *[-1] * len(carry)), out_axes=-1)
            return over_draws(lanes)(*problem, *carry)

        return lifted

    def wide(function: Callable[..., Any]) -> Callable[..., Any]:
        def lifted(problem: Any, *carry: Any, **same: Any) -> Any:
            def lanes(draw: Any, parameters: Any, *carry: Any) -> Any:
                return function(system.build(draw if own else _with_lanes(draw), parameters), *carry, **same)

            return over_draws(lanes)(*problem, *carry)

        return lifted

    def over_draws(lanes: Callable[..., Any]) -> Callable[..., Any]:
        return _of_one(lanes) if squeezed else jax.vmap(lanes)

    return Lift(one, wide if system.wide else one, kernel, system.stretch)


def _of_one(function: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.vmap` of a function over a first axis of one entry."""

    def lifted(*arguments: Any) -> Any:
        out = function(*jax.tree.map(lambda leaf: jnp.squeeze(leaf, 0), arguments))
        return jax.tree.map(lambda leaf: jnp.expand_dims(leaf, 0), out)

    return lifted


def _as_lanes(tree: Any) -> Any:
    """The arrays (G, ..., S) of a block with all its cells as lanes of one draw: (1, ..., G S)."""

    def flat(leaf: Array) -> Array:
        together = jnp.moveaxis(leaf, 0, -2)
        return together.reshape(1, *together.shape[:-2], -1)

    return jax.tree.map(flat, tree)


def _as_draws(tree: Any, G: int) -> Any:
    """The inverse of `_as_lanes`."""

    def apart(leaf: Array) -> Array:
        return jnp.moveaxis(leaf[0].reshape(*leaf.shape[1:-1], G, -1), -2, 0)

    return jax.tree.map(apart, tree)


def _with_lanes(draws: dict[str, Any], S: int = 1) -> dict[str, Any]:
    """Draws with the lane axis that they have where each lane has a draw of its own."""
    return {name: jnp.broadcast_to(values[..., None], (*values.shape, S)) for name, values in draws.items()}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Measured:
    """What a round leaves of a block: draws on the first axis of every array, lanes on the last.

    Attributes:
        carry: from which the block can go on.
        recurrence: of the orbit after the round.
        amplitude_before: (G, S), range of y over as long a stretch before the round.
        observed: the columns of the measures that stand beside the exponents.
        nonsingular: (G, S), bool, the derivative can vanish by underflow only.
    """

    carry: Measurement
    recurrence: Recurrence
    amplitude_before: Any
    observed: dict[str, Any]
    nonsingular: Any


@dataclass(frozen=True)
class BlockMeasurement:
    """The measurement of a block: `first` takes it from its states through a whole measurement, `further` doubles it,
    and `columns` says, on the host, what is known by then.

    Draws are arrays (G, ...) of `system.draw`, parameters (G, S), states (G, D, S).
    """

    system: System
    group: Group
    measure: MeasureConfig
    kernel: Any = None  # see `lanes_last`
    own: bool = False  # a draw has a lane axis

    def first(self, draws: Any, parameters: Any, states: Any) -> Measured:
        """Transient, alignment, and the first `measure.steps` steps."""
        if self._better_apart(draws, parameters):
            own, (G, _, S) = replace(self, own=True), states.shape
            return _as_draws(own.first(*_as_lanes((_with_lanes(draws, S), parameters, states))), G)
        problem, lift, measure = (draws, parameters), self._lift, self.measure
        watched = min(measure.longest_period, measure.transient)
        states = iterate(problem, states, steps=measure.transient - watched, lift=lift)
        states, before = output_range(problem, states, steps=watched, lift=lift)
        carry = begin(problem, states, k=self.group.k, blocks=measure.blocks, align=measure.align, **self._frame)
        carry = advance(problem, carry, blocks=measure.blocks, block_steps=self.block_steps, **self._frame)
        # Only stretches of one length can be compared.
        whole = watched == measure.longest_period
        return self._measured(problem, carry, before if whole else jnp.full_like(before, jnp.nan))

    def further(
        self, draws: Any, parameters: Any, carry: Measurement, before: Any, discard: Any, repeats: Any
    ) -> Measured:
        """As many steps again as were measured so far, in blocks of twice the length.

        Args:
            before: (G, S), the amplitude after the last round.
            discard: (G, S), bool, see `measurement.halve`.
            repeats: (), a block's length from now on, in blocks of the first round.
        """
        if self._better_apart(draws, parameters):
            own, (G, S) = replace(self, own=True), before.shape
            lanes = _as_lanes((_with_lanes(draws, S), parameters, carry, before, discard))
            return _as_draws(own.further(*lanes, repeats=repeats), G)
        problem = (draws, parameters)
        carry = self._lift(partial(halve, measures=self._observers))(problem, carry, discard)
        half = {"blocks": self.measure.blocks // 2, "block_steps": self.block_steps, "repeats": repeats}
        return self._measured(problem, advance(problem, carry, **half, **self._frame), before)

    @property
    def block_steps(self) -> int:
        """Steps of a block in the first round."""
        return self.measure.steps // self.measure.blocks

    def columns(self, measured: Measured, repeats: int) -> dict[str, np.ndarray]:
        """The columns of a block's cells, each (G, S) or (G, S, k), from what came back as NumPy arrays."""
        # Draws and lanes first, then the arrays of one network.
        m = jax.tree.map(lambda leaf: np.moveaxis(leaf, -1, 1), measured)
        block_steps = self.block_steps * repeats
        found = results(m.carry, dimension=self.group.dimension, block_steps=block_steps)
        vanished = (found.exponents == -np.inf).any(axis=-1)
        # A derivative that cannot vanish but did has underflowed: its logarithm is unknown, not -inf.
        underflow = vanished & m.nonsingular

        def known(values: Any) -> np.ndarray:
            shape = (..., *[None] * (np.ndim(values) - 2))
            return np.where(found.diverged[shape] | (underflow[shape] & ~np.isfinite(values)), np.nan, values)

        status = np.select(
            [found.diverged, underflow, vanished], ["diverged", "underflow", "superstable"], "ok"
        ).astype(object)
        before, discarded = self.measure.transient, m.carry.discarded * block_steps
        steps = m.carry.step - discarded
        drift = np.abs(found.drift[..., 0])
        agree = ~(drift > np.fmax(MOST_DRIFT * found.drift_error[..., 0], ZERO_FLOOR / steps))
        told = agree & (m.carry.step > discarded) & (self.measure.blocks - m.carry.discarded >= FEWEST_TO_SETTLE)
        settled = before + self.measure.align + found.settled_from * block_steps
        return {
            "transient": before + discarded,
            "steps": steps,
            "n_blocks": self.measure.blocks - m.carry.discarded,
            "status": status,
            "lambda_1": known(found.exponents[..., 0]),
            "lambda_1_se": known(found.standard_error[..., 0]),
            "lambda_1_drift": known(found.drift[..., 0]),
            "lambda_1_drift_se": known(found.drift_error[..., 0]),
            "settling_time": known(np.where(told, settled, np.nan)),
            "exponents": known(found.exponents),
            "exponents_se": known(found.standard_error),
            "sum_rule": known(found.sum_rule),
            "sum_rule_residual": known(found.sum_rule_residual),
            "log_det_min": known(found.log_det_min),
            **{name: np.where(found.diverged, np.nan, values) for name, values in m.observed.items()},
            "period": m.recurrence.period,
            "period_tolerance": m.recurrence.tolerance,
            "amplitude": m.recurrence.amplitude,
            "amplitude_before": m.amplitude_before,
            "state_norm": m.recurrence.norm,
        }

    def _measured(self, problem: Any, carry: Measurement, before: Any) -> Measured:
        measure = self.measure
        tolerance = None if measure.period_tolerance == "auto" else measure.period_tolerance
        recurrence = find_period(
            problem, carry.state, longest=measure.longest_period, tolerance=tolerance, lift=self._lift
        )

        def observed(_: Any, m: Measurement) -> dict[str, Any]:
            columns: dict[str, Any] = {}
            for observer in self._observers:
                columns |= observer.finish(m.observations[observer.name], m.observed)
            return columns

        def nonsingular(map_: Any, m: Measurement) -> Any:
            return jnp.asarray(getattr(map_, "nonsingular", False))

        return Measured(
            carry=carry,
            recurrence=recurrence,
            amplitude_before=before,
            observed=self._lift(observed)(problem, carry),
            nonsingular=self._lift(nonsingular)(problem, carry),
        )

    @property
    def _lift(self) -> Lift:
        squeezed = self.own and self.group.rotates
        return lanes_last(self.system, own=self.own, squeezed=squeezed, kernel=self.kernel)

    def _better_apart(self, draws: Any, parameters: Any) -> bool:
        """Had the cells better be lanes that share nothing?"""
        numbers, D = sum(leaf[0].size for leaf in draws.values()), self.group.dimension
        lanes = max((leaf.shape[1] for leaf in parameters.values()), default=1)
        if not self.system.wide or self.own:
            return False
        if self.group.rotates:
            return lanes < FULL_LANES and numbers <= MOST_OWN_SHARE * D * D
        return lanes == 1 and numbers <= MOST_OWN_NUMBERS and D <= MOST_OWN_DIMENSIONS

    @property
    def _observers(self) -> tuple[measures.Measure, ...]:
        return tuple(measures.get(name) for name in (*measures.ALWAYS, *self.measure.also))

    @property
    def _frame(self) -> dict[str, Any]:
        return {
            "renormalise_every": self.group.renormalise_every,
            "rotates": self.group.rotates,
            "measures": self._observers,
            "lift": self._lift,
        }
