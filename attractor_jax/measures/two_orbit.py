"""How fast do two neighbouring orbits part? The largest exponent from the map alone, without its derivative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from attractor_jax.defaults import ALIGNMENT_STEPS
from attractor_jax.schema import Column

# In units of max(1, |state|). Measured in float32 over a sweep up to s = 8: 3e-4 already loses distances to rounding in
# chaos, and 1e-3 costs less in curvature than a standard error.
DISTANCE = {"float64": 1e-8, "float32": 1e-3}
# A distance below so many roundings of max(1, |state|) is not known well enough to go on with.
ROUNDINGS = 32
# Share of steps that may end in such a distance. A chaotic orbit passes points where the derivative nearly vanishes,
# seldom; a superstable cycle does so in every period, a strong contraction in every turn of a shift register.
MOST_LOST = 1e-3


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Pair:
    """The second orbit, beside the one that the measurement follows."""

    other: Float[Array, "D"]
    distance: Float[Array, ""]  # as it stands after rounding, which is not quite the one that was asked for
    growth: Float[Array, ""]  # logarithms summed
    lost: Int[Array, ""]  # steps that ended within rounding
    step: Int[Array, ""]


class TwoOrbit:
    """The largest Lyapunov exponent from the distance of two orbits, put back to 1e-8 max(1, |state|) (1e-3 in
    float32) along the same direction after every step: the mean of the logarithms of growth.

    Distances are in the maximum norm. The first 500 steps, in which the offset turns into the fastest direction, are
    not counted: they would bias the mean by about 1/steps. A measurement of no more steps than those has no result
    (NaN).

    Where the distance falls to within rounding, the offset starts afresh. -inf if it does so oftener than once in
    1,000 steps: the map is superstable there, or it contracts by more than the digits hold, e^-14 (float64) or e^-5
    (float32) in one step, or in the D steps after which a shift register has forgotten the offset. Two orbits cannot
    tell these apart. Nor can they see below their distance: in float32, an attractor smaller than about 1e-2.

    Costs two states a network and a second evaluation of the map a step.

    References:
        Benettin, Galgani, Strelcyn (1976), Phys. Rev. A 14, 2338.
    """

    name = "two_orbit"
    columns = (
        Column(
            "lambda_two_orbit",
            "float",
            "nats per step",
            "largest exponent from the distance of two orbits; -inf: contracts beyond rounding",
            nullable=True,
        ),
    )

    def init(self, map_: Any, state: Array) -> Pair:
        none = jnp.zeros((), jnp.int32)
        return Pair(*_apart(state, _direction(state)), jnp.zeros((), float), none, none)

    def step(self, carry: Pair, map_: Any, state: Array) -> Pair:
        offset = map_(carry.other) - state
        length = _largest(offset)
        rounding = jnp.finfo(state.dtype).eps * _scale(state)
        lost = length <= ROUNDINGS * rounding
        # Never less than the rounding, so that one unlucky step does not swallow all others.
        logarithm = jnp.log(jnp.maximum(length, rounding)) - jnp.log(carry.distance)
        other, distance = _apart(state, jnp.where(lost, _direction(state), offset))
        counts = carry.step >= ALIGNMENT_STEPS
        return Pair(
            other,
            distance,
            carry.growth + jnp.where(counts, logarithm, 0),
            carry.lost + (counts & lost),
            carry.step + 1,
        )

    def finish(self, carry: Pair, steps: int | Array) -> dict[str, Array]:
        counted = jnp.asarray(steps) - ALIGNMENT_STEPS
        mean = jnp.where(carry.lost > MOST_LOST * counted, -jnp.inf, carry.growth / jnp.maximum(counted, 1))
        return {"lambda_two_orbit": jnp.where(counted > 0, mean, jnp.nan)}


def _apart(state: Float[Array, "D"], offset: Float[Array, "D"]) -> tuple[Float[Array, "D"], Float[Array, ""]]:
    """A second state at the standard distance in the direction of `offset`, and the distance that rounding left."""
    wanted = DISTANCE[state.dtype.name] * _scale(state)
    other = state + offset * (wanted / _largest(offset))
    return other, _largest(other - state)


def _direction(state: Float[Array, "D"]) -> Float[Array, "D"]:
    """A fixed direction in general position: an axis can lie in an invariant subspace and never meet the fastest
    direction.
    """
    return jnp.asarray(np.random.default_rng(1).standard_normal(state.shape), state.dtype)


def _scale(state: Float[Array, "D"]) -> Float[Array, ""]:
    return jnp.maximum(1, _largest(state))


def _largest(vector: Float[Array, "D"]) -> Float[Array, ""]:
    return jnp.max(jnp.abs(vector))
