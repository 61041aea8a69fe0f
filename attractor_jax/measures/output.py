"""Mean, spread and range of the output y, the first component of the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attractor_jax.schema import Column


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sums:
    reference: Float[Array, ""]
    first: Float[Array, ""]
    second: Float[Array, ""]
    low: Float[Array, ""]
    high: Float[Array, ""]


def seen(sums: Sums, y: Array) -> Sums:
    """The sums after one more output, of one network or of many."""
    off = y - sums.reference
    return Sums(
        sums.reference,
        sums.first + off,
        sums.second + off * off,
        jnp.minimum(sums.low, y),
        jnp.maximum(sums.high, y),
    )


class OutputStatistics:
    """Moments are taken about the first value, so that a fixed point has a standard deviation of zero and not of
    rounding.
    """

    name = "output"
    columns = (
        Column("y_mean", "float", "", "mean of the output y over the measured steps"),
        Column("y_std", "float", "", "standard deviation of y over the measured steps"),
        Column("y_min", "float", "", "smallest y in the measured steps"),
        Column("y_max", "float", "", "largest y in the measured steps"),
    )

    def init(self, map_: Any, state: Array) -> Sums:
        y = state[0]
        zero = jnp.zeros((), float)  # float64 where JAX has it: in float32, millions of terms drown
        return Sums(y, zero, zero, jnp.full_like(y, jnp.inf), jnp.full_like(y, -jnp.inf))

    def step(self, carry: Sums, map_: Any, state: Array) -> Sums:
        return seen(carry, state[0])

    def finish(self, carry: Sums, steps: int | Array) -> dict[str, Array]:
        mean = carry.first / steps
        variance = jnp.maximum(carry.second / steps - mean * mean, 0)
        return {
            "y_mean": carry.reference + mean,
            "y_std": jnp.sqrt(variance),
            "y_min": carry.low,
            "y_max": carry.high,
        }
