"""How much does a frame of tangent vectors grow along an orbit? The sums from which Lyapunov exponents are made.

A frame of k tangent vectors travels with the orbit and is made orthonormal again every few steps; the logarithms of
the lengths that it loses there are summed by block (Benettin et al. 1980, Shimada and Nagashima 1979). State, frame,
running sums and step counter are one pytree, `Measurement`, with `begin` and `advance`: it can stop after any block and
go on to the same bits. To go on for longer, `halve` joins its blocks in pairs: a measurement that doubles keeps its
number of blocks, and its memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from attractor_jax.iterate import Lift, in_stretches, repeat, single
from attractor_jax.maps import fold, stretch
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


def orthonormalise(frame: Float[Array, "D k *lanes"]) -> tuple[Float[Array, "D k *lanes"], Float[Array, "k *lanes"]]:
    """Modified Gram-Schmidt: an orthonormal frame with the same flag, and the logarithms of the lengths that were
    taken out.

    Lengths are scaled by the largest entry before they are squared: in float32, 16 contracting steps are enough to
    underflow a square. A vector of length zero stays zero, with logarithm -inf. The result depends on the one frame
    alone, not on those beside it in a batch.
    """
    units, logarithms = [], []
    for _ in range(frame.shape[1]):
        vector, frame = frame[:, 0], frame[:, 1:]
        largest = fold(jnp.maximum, jnp.abs(vector))
        scaled = vector * jnp.where(largest > 0, 1 / largest, 0)
        length = jnp.sqrt(fold(jnp.add, scaled * scaled))
        unit = scaled * jnp.where(length > 0, 1 / length, 0)
        frame = frame - unit[:, None] * fold(jnp.add, unit[:, None] * frame)
        units.append(unit)
        logarithms.append(jnp.log(largest * length))
    return jnp.stack(units, axis=1), jnp.stack(logarithms)


def first_frame(D: int, k: int, dtype: Any) -> Float[np.ndarray, "D k"]:
    """A fixed frame in general position: unit vectors can lie in an invariant subspace and never meet the leading
    direction.
    """
    return np.linalg.qr(np.random.default_rng(0).standard_normal((D, k)))[0].astype(dtype)


def begin(
    map_: Any,
    state: Array,
    *,
    k: int,
    blocks: int,
    align: int,
    renormalise_every: int,
    measures: tuple[Measure, ...] = (),
    rotates: bool = False,
    lift: Lift = single,
) -> Any:
    """A measurement at its start: the frame aligned by `align` steps of its own, which are thrown away, and all sums
    at zero.
    """

    def start(_: Any, x: Array) -> Measurement:
        # Sums are float64 wherever JAX has it, whatever the state is: in float32, millions of terms drown.
        return Measurement(
            state=x,
            frame=jnp.asarray(first_frame(x.shape[0], k, x.dtype)),
            growth=jnp.zeros(k, float),
            block_growth=jnp.zeros((blocks, k), float),
            log_determinant=jnp.zeros((), float),
            block_log_determinant=jnp.zeros(blocks, float),
            smallest_determinant=jnp.full((), jnp.inf, x.dtype),
            observations={},
            observed=jnp.zeros((), jnp.int32),
            discarded=jnp.zeros((), jnp.int32),
            step=jnp.zeros((), jnp.int32),
        )

    def reset(map_: Any, m: Measurement) -> Measurement:
        return replace(
            m,
            growth=jnp.zeros_like(m.growth),
            log_determinant=jnp.zeros_like(m.log_determinant),
            smallest_determinant=jnp.full_like(m.smallest_determinant, jnp.inf),
            observations={measure.name: measure.init(map_, m.state) for measure in measures},
            observed=jnp.zeros_like(m.observed),
            step=jnp.zeros_like(m.step),
        )

    measurement = lift(start)(map_, state)
    if lift.kernel is not None:  # it knows whole blocks only: of this one, state and frame are kept
        whole = {"blocks": 1, "block_steps": align, "renormalise_every": renormalise_every, "repeats": None}
        aligned = lift.kernel.advance(map_, lift(reset)(map_, measurement), **whole) if align else measurement
        measurement = replace(measurement, state=aligned.state, frame=aligned.frame)
    else:
        measurement = _steps(
            map_,
            measurement,
            steps=align,
            renormalise_every=renormalise_every,
            measures=(),
            rotates=rotates,
            lift=lift,
        )
    return lift(reset)(map_, measurement)


def advance(
    map_: Any,
    measurement: Any,
    *,
    blocks: int,
    block_steps: int,
    renormalise_every: int,
    repeats: Array | None = None,
    measures: tuple[Measure, ...] = (),
    rotates: bool = False,
    lift: Lift = single,
) -> Any:
    """The measurement `blocks` blocks of `block_steps` steps further on. Calling it twice with n is calling it once
    with 2 n, to the last bit.

    Args:
        repeats: (), an integer that may be unknown when the program is compiled: each block is that many times
            `block_steps` long. Once if None.
        rotates: the frame is whole, and the map's `orthonormal_tangent` keeps it orthonormal.
    """
    if lift.kernel is not None:
        whole = {"blocks": blocks, "block_steps": block_steps, "renormalise_every": renormalise_every}
        return lift.kernel.advance(map_, measurement, **whole, repeats=repeats)

    def close(_: Any, m: Measurement) -> Measurement:
        length = block_steps if repeats is None else block_steps * repeats
        here = jnp.arange(m.block_growth.shape[0]) == m.step // length - 1
        return replace(
            m,
            growth=jnp.zeros_like(m.growth),
            block_growth=jnp.where(here[:, None], m.growth, m.block_growth),
            log_determinant=jnp.zeros_like(m.log_determinant),
            block_log_determinant=jnp.where(here, m.log_determinant, m.block_log_determinant),
        )

    def one_block(map_: Any, m: Any) -> Any:
        def stretch(m: Any) -> Any:
            return _steps(
                map_,
                m,
                steps=block_steps,
                renormalise_every=renormalise_every,
                measures=measures,
                rotates=rotates,
                lift=lift,
            )

        m = stretch(m) if repeats is None else jax.lax.fori_loop(0, repeats, lambda _, m: stretch(m), m)
        return lift(close)(map_, m)

    return repeat(one_block, map_, measurement, times=blocks)


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


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _Interval:
    """What changes from one orthonormalisation to the next.

    The determinants are multiplied, and one logarithm taken of the product: its exponent is kept apart, lest it leave
    the floating-point numbers.
    """

    register: Float[Array, "D k+1 *lanes"]  # state and frame side by side
    product: Float[Array, "*lanes"]
    exponent: Int[Array, "*lanes"]
    smallest: Float[Array, "*lanes"]


def _steps(
    map_: Any,
    measurement: Any,
    *,
    steps: int,
    renormalise_every: int,
    measures: tuple[Measure, ...],
    rotates: bool,
    lift: Lift,
) -> Any:
    """`steps` steps, the frame made orthonormal after every `renormalise_every` of them and after the last."""

    def rotate(map_: Any, m: Measurement) -> Measurement:
        state, frame, logarithms, determinant = map_.orthonormal_tangent(m.state, m.frame)
        size = jnp.abs(determinant)
        return replace(
            m,
            state=state,
            frame=frame,
            growth=m.growth + logarithms,
            log_determinant=m.log_determinant + jnp.log(size),
            smallest_determinant=jnp.minimum(m.smallest_determinant, size),
            observations=_observed(measures, map_, m.observations, [state]),
            observed=m.observed + 1,
            step=m.step + 1,
        )

    def begin_interval(_: Any, m: Measurement) -> _Interval:
        one = jnp.ones_like(m.smallest_determinant)
        register = jnp.concatenate([m.state[:, None], m.frame], axis=1)
        return _Interval(register, one, jnp.zeros_like(one, jnp.int32), m.smallest_determinant)

    def advance_interval(map_: Any, i: _Interval, *, length: int) -> tuple[_Interval, list[Array]]:
        states, register, determinants = stretch(map_, i.register, length)
        product, exponent, smallest = i.product, i.exponent, i.smallest
        for t in range(length):
            size = jnp.abs(determinants[t])
            smallest = jnp.minimum(smallest, size)
            mantissa, power = split(size)
            product, exponent = product * mantissa, exponent + power
        return _Interval(register, product, exponent, smallest), states

    def end_interval(_: Any, m: Measurement, i: _Interval, *, length: int) -> Measurement:
        frame, logarithms = orthonormalise(i.register[:, 1:])
        return replace(
            m,
            state=i.register[:, 0],
            frame=frame,
            growth=m.growth + logarithms,
            log_determinant=m.log_determinant + (jnp.log(i.product) + i.exponent * np.log(2)),
            smallest_determinant=i.smallest,
            observed=m.observed + length,
            step=m.step + length,
        )

    def observe(map_: Any, observations: dict[str, Any], states: list[Array]) -> Any:
        return _observed(measures, map_, observations, states)

    def further(map_: Any, carry: tuple[Any, Any], *, length: int) -> tuple[Any, Any]:
        i, states = lift.wide(advance_interval)(map_, carry[0], length=length)
        return i, lift(observe)(map_, carry[1], states)

    def interval(map_: Any, m: Any, *, length: int) -> Any:
        if rotates:
            return repeat(lift(rotate), map_, m, times=length, unroll=4)
        i, observations = in_stretches(
            further, map_, (lift.wide(begin_interval)(map_, m), m.observations), steps=length
        )
        return replace(lift.wide(end_interval)(map_, m, i, length=length), observations=observations)

    whole, rest = divmod(steps, renormalise_every)
    measurement = repeat(partial(interval, length=renormalise_every), map_, measurement, times=whole)
    return interval(map_, measurement, length=rest) if rest else measurement


def _observed(measures: tuple[Measure, ...], map_: Any, observations: dict[str, Any], states: list[Array]) -> Any:
    """The observations after these states."""
    for state in states:
        observations = {x.name: x.step(observations[x.name], map_, state) for x in measures}
    return observations


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
