"""How does a frame of tangent vectors come from one orthonormalisation to the next, and what does it leave there?

Two ways: any map carries its frame for some steps and Gram-Schmidt makes it orthonormal again; the whole frame of a
shift register is kept orthonormal by rotations in every step, and only its logarithms are taken now and then.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from attractor_jax.companion import Turning, begin_turning, frame_of, turn
from attractor_jax.iterate import Lift, in_stretches, repeat
from attractor_jax.maps import fold, stretch
from attractor_jax.measurement import Measurement
from attractor_jax.measures import Measure


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Product:
    """A product of many numbers >= 0, of which one logarithm is taken at the end: its exponent is kept apart, lest it
    leave the floating-point numbers.
    """

    mantissa: Float[Array, "*lanes"]
    exponent: Int[Array, "*lanes"]

    @staticmethod
    def like(factor: Float[Array, "*lanes"]) -> Product:
        """The empty product."""
        return Product(jnp.ones_like(factor), jnp.zeros_like(factor, jnp.int32))

    def times(self, factors: list[Float[Array, "*lanes"]]) -> Product:
        mantissa, exponent = self.mantissa, self.exponent
        *first, last = factors
        for factor in first:
            small, power = split(factor)
            mantissa, exponent = mantissa * small, exponent + power
        mantissa, power = split(mantissa * last)
        return Product(mantissa, exponent + power)

    def log(self) -> Float[Array, "*lanes"]:
        return jnp.log(self.mantissa) + self.exponent * np.log(2)


def gram_schmidt_interval(
    map_: Any, measurement: Any, *, length: int, measures: tuple[Measure, ...], lift: Lift
) -> Any:
    """`length` steps, then Gram-Schmidt."""

    def begin(_: Any, m: Measurement) -> _Carried:
        register = jnp.concatenate([m.state[:, None], m.frame], axis=1)
        return _Carried(register, Product.like(m.smallest_determinant), m.smallest_determinant)

    def carry(map_: Any, c: _Carried, *, length: int) -> tuple[_Carried, list[Array]]:
        states, register, determinants = stretch(map_, c.register, length)
        sizes = [jnp.abs(determinants[t]) for t in range(length)]
        smallest = c.smallest
        for size in sizes:
            smallest = jnp.minimum(smallest, size)
        return _Carried(register, c.determinants.times(sizes), smallest), states

    def further(map_: Any, carried: tuple[Any, Any], *, length: int) -> tuple[Any, Any]:
        c, states = lift.wide(carry)(map_, carried[0], length=length)
        return c, lift(observe)(map_, carried[1], states)

    def observe(map_: Any, observations: dict[str, Any], states: list[Array]) -> dict[str, Any]:
        for state in states:
            observations = _observed(measures, map_, observations, state)
        return observations

    def end(_: Any, m: Measurement, c: _Carried) -> Measurement:
        frame, logarithms = orthonormalise(c.register[:, 1:])
        m = replace(m, state=c.register[:, 0], frame=frame, smallest_determinant=c.smallest)
        return _grown(m, logarithms, c.determinants, length)

    carried = (lift.wide(begin)(map_, measurement), measurement.observations)
    carried, observations = in_stretches(further, map_, carried, steps=length, stretch=lift.stretch)
    return replace(lift.wide(end)(map_, measurement, carried), observations=observations)


def rotated_interval(map_: Any, measurement: Any, *, length: int, measures: tuple[Measure, ...], lift: Lift) -> Any:
    """`length` steps of a shift register with a whole frame, orthonormal after each of them."""

    def begin(_: Any, m: Measurement) -> _Turned:
        turning, smallest = begin_turning(m.frame), m.smallest_determinant
        return _Turned(m.state, turning, Product.like(turning.lengths), Product.like(smallest), smallest)

    def rotate(map_: Any, t: _Turned) -> _Turned:
        state, row = map_.companion(t.state)
        turning = turn(t.turning, row)
        size = jnp.abs(row[-1])
        lengths, determinants = t.lengths.times([turning.lengths]), t.determinants.times([size])
        return _Turned(state, turning, lengths, determinants, jnp.minimum(t.smallest, size))

    def observe(map_: Any, observations: dict[str, Any], state: Array) -> dict[str, Any]:
        return _observed(measures, map_, observations, state)

    def step(map_: Any, carried: tuple[Any, Any]) -> tuple[Any, Any]:
        turned = lift.wide(rotate)(map_, carried[0])
        return turned, lift(observe)(map_, carried[1], turned.state)

    def end(_: Any, m: Measurement, t: _Turned) -> Measurement:
        m = replace(m, state=t.state, frame=frame_of(t.turning), smallest_determinant=t.smallest)
        return _grown(m, t.lengths.log(), t.determinants, length)

    carried = (lift.wide(begin)(map_, measurement), measurement.observations)
    carried, observations = repeat(step, map_, carried, times=length)
    return replace(lift.wide(end)(map_, measurement, carried), observations=observations)


def orthonormalise(frame: Float[Array, "D k *lanes"]) -> tuple[Float[Array, "D k *lanes"], Float[Array, "k *lanes"]]:
    """Modified Gram-Schmidt: an orthonormal frame with the same flag, and the logarithms of the lengths that were
    taken out.

    Lengths are scaled by the largest entry before they are squared: in float32, 16 contracting steps are enough to
    underflow a square. A vector of length zero stays zero, with logarithm -inf. The result depends on the one frame
    alone, not on those beside it in a batch.
    """
    vectors = jnp.swapaxes(frame, 0, 1)

    # Loops, not Python's: XLA compiles small ones to one function, where it would repeat sums of what is written out.
    def take_out_earlier(i: Int[Array, ""], carry: tuple[Array, Array]) -> tuple[Array, Array]:
        vectors, lengths = carry

        def take_out(j: Int[Array, ""], vector: Array) -> Array:
            unit = jax.lax.dynamic_index_in_dim(vectors, j, keepdims=False)
            return vector - unit * fold(jnp.add, unit * vector)

        vector = jax.lax.fori_loop(0, i, take_out, jax.lax.dynamic_index_in_dim(vectors, i, keepdims=False))
        largest = fold(jnp.maximum, jnp.abs(vector))
        scaled = vector * jnp.where(largest > 0, 1 / largest, 0)
        length = jnp.sqrt(fold(jnp.add, scaled * scaled))
        unit = scaled * jnp.where(length > 0, 1 / length, 0)
        return (
            jax.lax.dynamic_update_index_in_dim(vectors, unit, i, 0),
            jax.lax.dynamic_update_index_in_dim(lengths, largest * length, i, 0),
        )

    carry = (vectors, jnp.zeros_like(vectors[:, 0]))
    vectors, lengths = jax.lax.fori_loop(0, vectors.shape[0], take_out_earlier, carry)
    return jnp.swapaxes(vectors, 0, 1), jnp.log(lengths)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _Carried:
    """What changes from one Gram-Schmidt to the next."""

    register: Float[Array, "D k+1 *lanes"]  # state and frame side by side
    determinants: Product
    smallest: Float[Array, "*lanes"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _Turned:
    """What changes from one rotation to the next."""

    state: Float[Array, "D *lanes"]
    turning: Turning
    lengths: Product
    determinants: Product
    smallest: Float[Array, "*lanes"]


def _grown(m: Measurement, logarithms: Float[Array, "k *lanes"], determinants: Product, steps: int) -> Measurement:
    """The measurement with what an interval of so many steps adds to its sums."""
    return replace(
        m,
        growth=m.growth + logarithms,
        log_determinant=m.log_determinant + determinants.log(),
        observed=m.observed + steps,
        step=m.step + steps,
    )


def _observed(measures: tuple[Measure, ...], map_: Any, observations: dict[str, Any], state: Array) -> dict[str, Any]:
    """The observations after one more state."""
    return {measure.name: measure.step(observations[measure.name], map_, state) for measure in measures}


@jax.jit  # so that a program traces it once
def split(x: Float[Array, "*lanes"]) -> tuple[Float[Array, "*lanes"], Int[Array, "*lanes"]]:
    """A number >= 0 as (mantissa, exponent), x = mantissa 2^exponent with 1 <= mantissa < 2; zero, infinity and NaN as
    (x, 0).
    """
    info = jnp.finfo(x.dtype)
    integer = jnp.int64 if x.dtype == jnp.float64 else jnp.int32
    bits = jax.lax.bitcast_convert_type(x, integer)
    power = bits >> info.nmant
    one = (1 - info.minexp) << info.nmant
    mantissa = jax.lax.bitcast_convert_type((bits & ((1 << info.nmant) - 1)) | one, x.dtype)
    regular = (power > 0) & (power < 2 * (1 - info.minexp) + 1)
    exponent = jnp.where(regular, power - (1 - info.minexp), 0).astype(jnp.int32)
    return jnp.where(regular, mantissa, x), exponent
