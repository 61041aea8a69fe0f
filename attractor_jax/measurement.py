"""What does a measurement carry from step to step? State, frame, running sums and step counter of a network, in one
pytree.

To go on for longer, `halve` joins its blocks in pairs: a measurement that doubles keeps its number of blocks, and its
memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from attractor_jax.measures import Measure


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Measurement:
    """All that one network carries through a measurement, or many of them with their lanes on the last axis."""

    state: Float[Array, "D *lanes"]
    frame: Float[Array, "D k *lanes"]
    growth: Float[Array, "k *lanes"]  # logarithms summed since the current block began
    block_growth: Float[Array, "blocks k *lanes"]  # the same sums of the finished blocks
    log_determinant: Float[Array, "*lanes"]  # ln|det J| summed since the current block began
    block_log_determinant: Float[Array, "blocks *lanes"]
    smallest_determinant: Float[Array, "*lanes"]  # |det J| of a single step
    observations: dict[str, Any]
    observed: Int[Array, "*lanes"]  # steps that the observations have seen
    discarded: Int[Array, "*lanes"]  # leading blocks that do not count: the orbit had not settled in them
    step: Int[Array, "*lanes"]


def halve(
    map_: Any, measurement: Measurement, discard: Bool[Array, ""], *, measures: tuple[Measure, ...] = ()
) -> Measurement:
    """A full measurement of one network with its blocks joined in pairs, so that the late half of them is free for as
    many steps again.

    Args:
        discard: (), the early half of the blocks no longer counts, and the observations begin anew: the orbit had not
            settled when it was measured. Joined blocks count only if both did.
    """
    blocks, k = measurement.block_growth.shape

    def join(sums: Array) -> Array:
        pairs = jnp.sum(sums.reshape(blocks // 2, 2, *sums.shape[1:]), axis=1)
        return jnp.concatenate([pairs, jnp.zeros_like(pairs)])

    discarded = jnp.where(discard, blocks // 2, measurement.discarded)
    fresh = {measure.name: measure.init(map_, measurement.state) for measure in measures}
    return replace(
        measurement,
        block_growth=join(measurement.block_growth),
        block_log_determinant=join(measurement.block_log_determinant),
        smallest_determinant=jnp.where(discard, jnp.inf, measurement.smallest_determinant),
        observations=jax.tree.map(lambda new, old: jnp.where(discard, new, old), fresh, measurement.observations),
        observed=jnp.where(discard, 0, measurement.observed),
        discarded=(discarded + 1) // 2,
    )
