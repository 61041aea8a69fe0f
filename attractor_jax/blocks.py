"""What is computed for one block of cells? From first states to columns, in as many rounds as it takes.

A block has the draws on the first axis of its arrays, then the arrays of one network, then the lanes that share a draw
on the last, where they fill the processor's vectors and turn `W @ state` into one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from attractor_jax import measures
from attractor_jax.config import MeasureConfig
from attractor_jax.iterate import iterate
from attractor_jax.lyapunov import Measurement, advance, begin, halve, results
from attractor_jax.plan import Group
from attractor_jax.recurrence import find_period, output_range
from attractor_jax.schema import STATUSES
from attractor_jax.systems import System


def lanes_last(system: System) -> Callable[[Any], Any]:
    """The `lift` of a block: f(map, carry) for one network becomes f((draws, parameters), carries) for G x S of them.

    Every leaf of a carry has the draws on its first axis and the lanes on its last; a draw has no lane axis at all.
    """

    def lift(function: Callable[..., Any]) -> Callable[..., Any]:
        def one(draw: Any, parameters: Any, *carry: Any) -> Any:
            return function(system.build(draw, parameters), *carry)

        def lifted(problem: Any, *carry: Any) -> Any:
            lanes = jax.vmap(one, in_axes=(None, -1, *[-1] * len(carry)), out_axes=-1)
            return jax.vmap(lanes, in_axes=0)(problem[0], problem[1], *carry)

        return lifted

    return lift


@dataclass(frozen=True)
class BlockMeasurement:
    """The measurement of a block: `first` takes it from its states through a whole measurement, `further` doubles it.

    Draws are arrays (G, ...) of `system.draw`, parameters (G, S), states (G, D, S). Columns come as (G, S), spectra as
    (G, k, S). Both methods also give the `Measurement` from which the block can go on.
    """

    system: System
    group: Group
    measure: MeasureConfig

    def first(self, draws: Any, parameters: Any, states: Any) -> tuple[dict[str, Any], Measurement]:
        """Transient, alignment, and the first `measure.steps` steps."""
        problem, lift, measure = (draws, parameters), lanes_last(self.system), self.measure
        watched = min(measure.longest_period, measure.transient)
        states = iterate(problem, states, steps=measure.transient - watched, lift=lift)
        states, before = output_range(problem, states, steps=watched, lift=lift)
        measurement = begin(problem, states, k=self.group.k, blocks=measure.blocks, align=measure.align, **self._frame)
        measurement = advance(problem, measurement, blocks=measure.blocks, block_steps=self.block_steps, **self._frame)
        columns = self._columns(problem, measurement, jnp.int32(1))
        return columns | {"amplitude_before": before if watched else jnp.full_like(before, jnp.nan)}, measurement

    def further(
        self, draws: Any, parameters: Any, measurement: Measurement, discard: Any, repeats: Any
    ) -> tuple[dict[str, Any], Measurement]:
        """As many steps again as were measured so far, in blocks of twice the length.

        Args:
            discard: (G, S), bool, see `lyapunov.halve`.
            repeats: (), a block's length from now on, in blocks of the first round.
        """
        problem, lift = (draws, parameters), lanes_last(self.system)
        measurement = lift(partial(halve, measures=self._observers))(problem, measurement, discard)
        measurement = advance(
            problem,
            measurement,
            blocks=self.measure.blocks // 2,
            block_steps=self.block_steps,
            repeats=repeats,
            **self._frame,
        )
        return self._columns(problem, measurement, repeats), measurement

    @property
    def block_steps(self) -> int:
        """Steps of a block in the first round."""
        return self.measure.steps // self.measure.blocks

    @property
    def _observers(self) -> tuple[measures.Measure, ...]:
        return tuple(measures.get(name) for name in (*measures.ALWAYS, *self.measure.also))

    @property
    def _frame(self) -> dict[str, Any]:
        return {
            "renormalise_every": self.group.renormalise_every,
            "measures": self._observers,
            "lift": lanes_last(self.system),
        }

    def _columns(self, problem: Any, measurement: Measurement, repeats: Any) -> dict[str, Any]:
        """What the block's cells look like by now."""
        measure, lift = self.measure, lanes_last(self.system)
        tolerance = None if measure.period_tolerance == "auto" else measure.period_tolerance
        recurrence = find_period(
            problem, measurement.state, longest=measure.longest_period, tolerance=tolerance, lift=lift
        )
        columns = lift(partial(self._cell, repeats=repeats))(problem, measurement)
        return columns | {
            "period": recurrence.period,
            "period_tolerance": recurrence.tolerance,
            "amplitude": recurrence.amplitude,
            "state_norm": recurrence.norm,
        }

    def _cell(self, map_: Any, m: Measurement, *, repeats: Any) -> dict[str, Any]:
        """The columns of one cell that come from its sums."""
        block_steps = self.block_steps * repeats
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
        before = self.measure.transient + self.measure.align
        columns = {
            "transient": before - self.measure.align + m.discarded * block_steps,
            "steps": m.step - m.discarded * block_steps,
            "n_blocks": self.measure.blocks - m.discarded,
            "status": status,
            "lambda_1": known(found.exponents[0]),
            "lambda_1_se": known(found.standard_error[0]),
            "lambda_1_drift": known(found.drift[0]),
            "lambda_1_drift_se": known(found.drift_error[0]),
            "settling_time": known(before + found.settled_from * block_steps),
            "exponents": known(found.exponents),
            "exponents_se": known(found.standard_error),
            "sum_rule": known(found.sum_rule),
            "sum_rule_residual": known(found.sum_rule_residual),
            "log_det_min": known(found.log_det_min),
        }
        for observer in self._observers:
            seen = observer.finish(m.observations[observer.name], m.observed)
            columns |= {name: jnp.where(found.diverged, jnp.nan, value) for name, value in seen.items()}
        return columns
