"""How fast do neighbouring orbits part? Lyapunov exponents of one orbit of any map, with the errors that they deserve.

A frame of k tangent vectors travels with the orbit and is made orthonormal again every few steps; the logarithms of
the lengths that it loses there are the exponents (Benettin et al. 1980, Shimada and Nagashima 1979). State, frame,
running sums and step counter are one pytree, `Measurement`, with `begin`, `advance` and `results`: a measurement can
stop after any block and go on to the same bits. To go on for longer, `halve` joins its blocks in pairs: a measurement
that doubles keeps its number of blocks, and its memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from attractor_jax.defaults import ALIGNMENT_STEPS, BLOCKS, ZERO_FLOOR, default_renormalise_every
from attractor_jax.iterate import Lift, in_stretches, iterate, repeat, single
from attractor_jax.maps import Map, as_pytree, fold, stretch
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


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Exponents:
    """The outcome of a measurement, in nats per step.

    Attributes:
        exponents: (k,), in Gram-Schmidt order, which is descending but for noise. -inf where the derivative vanished
            on the orbit.
        standard_error: (k,), from the scatter of the block means. Blocks much shorter than the correlation time make
            it too small.
        drift: (k,), mean over the late half of the blocks minus mean over the early half.
        drift_error: (k,), standard error of the drift, from the differences of successive blocks: a single jump or a
            slow change leaves it small, so that a drift beyond a few of these errors says that the orbit was not
            settled (von Neumann 1941).
        settled_from: (), the first block from which on lambda_1 stays where it is in the late half, to within five
            times the scatter of a block there, or `ZERO_FLOOR` nats a block. Says nothing where the halves disagree.
        sum_rule: (), mean of ln|det J| along the orbit: what all D exponents must sum to. NaN where the map does not
            tell its determinant.
        sum_rule_residual: (), |sum of the exponents - sum_rule|, NaN unless k = D. Above 1e-6 the spectrum is
            rounding noise somewhere: `renormalise_every` was too large.
        log_det_min: (), the smallest ln|det J| of a single step. Below about -60 (float64) a step loses directions to
            rounding: the last exponents may be wrong although their sum is right. NaN where the determinant is unknown.
        final_state: (D,), from which the orbit can go on.
        block_means: (blocks, k), the means from which the errors were made.
        diverged: (), the orbit or its frame left the finite numbers.
    """

    exponents: Float[Array, "k"]
    standard_error: Float[Array, "k"]
    drift: Float[Array, "k"]
    drift_error: Float[Array, "k"]
    settled_from: Int[Array, ""]
    sum_rule: Float[Array, ""]
    sum_rule_residual: Float[Array, ""]
    log_det_min: Float[Array, ""]
    final_state: Float[Array, "D"]
    block_means: Float[Array, "blocks k"]
    diverged: Bool[Array, ""]


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
            mantissa, power = _split(size)
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

    def further(length: int) -> Any:
        def stretch_(map_: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
            i, states = lift.wide(partial(advance_interval, length=length))(map_, carry[0])
            return i, lift(observe)(map_, carry[1], states)

        return stretch_

    def interval(map_: Any, m: Any, *, length: int) -> Any:
        if rotates:
            return repeat(lift(rotate), map_, m, times=length, unroll=4)
        i, observations = in_stretches(
            further, map_, (lift.wide(begin_interval)(map_, m), m.observations), steps=length
        )
        return replace(lift.wide(partial(end_interval, length=length))(map_, m, i), observations=observations)

    whole, rest = divmod(steps, renormalise_every)
    measurement = repeat(partial(interval, length=renormalise_every), map_, measurement, times=whole)
    return interval(map_, measurement, length=rest) if rest else measurement


def _observed(measures: tuple[Measure, ...], map_: Any, observations: dict[str, Any], states: list[Array]) -> Any:
    """The observations after these states."""
    for state in states:
        observations = {x.name: x.step(observations[x.name], map_, state) for x in measures}
    return observations


def _split(x: Float[Array, "*lanes"]) -> tuple[Float[Array, "*lanes"], Int[Array, "*lanes"]]:
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


def results(measurement: Measurement, *, block_steps: Any) -> Exponents:
    """Exponents, errors and checks from the sums that one network carried, or many: NumPy arrays may have the networks
    on leading axes.

    Sweeps come here with NumPy arrays. Compiled together with the loops, the same sums round differently from one
    program to the next.

    Args:
        block_steps: steps of a block, a number.
    """
    xp: Any = jnp if isinstance(measurement.step, Array) else np
    with np.errstate(divide="ignore", invalid="ignore"):  # -inf and NaN are results, here and below
        return _results(xp, measurement, block_steps)


def _results(xp: Any, measurement: Measurement, block_steps: Any) -> Exponents:
    means = measurement.block_growth / block_steps
    blocks, k = means.shape[-2:]
    place = xp.arange(blocks)
    discarded = measurement.discarded[..., None]
    counts = place >= discarded
    n = blocks - measurement.discarded
    half = (n // 2)[..., None]
    late, early = place >= blocks - half, counts & (place < discarded + half)

    def mean_over(chosen: Any, values: Any) -> Any:
        return xp.sum(xp.where(chosen[..., None], values, 0), axis=-2) / xp.sum(chosen, axis=-1)[..., None]

    exponents = mean_over(counts, means)
    # -inf is a result (the derivative vanished); its scatter is not.
    scatter = xp.sqrt(mean_over(counts, (means - exponents[..., None, :]) ** 2) / (n - 1)[..., None])
    drift = mean_over(late, means) - mean_over(early, means)
    # The mean square of a jump is twice the variance of a block, the drift's variance four times that of the mean.
    jumps = xp.diff(means, axis=-2)
    drift_error = xp.sqrt(2 * mean_over(counts[..., :-1], jumps**2) / n[..., None])
    first = means[..., :1]
    final = mean_over(late, first)[..., None, :]
    spread = xp.sqrt(mean_over(late, (first - final) ** 2) * half / xp.maximum(half - 1, 1))
    near = xp.maximum(5 * spread, ZERO_FLOOR / block_steps)
    away = xp.abs(first - final)[..., 0] > near
    sum_rule = mean_over(counts, measurement.block_log_determinant[..., None] / block_steps)[..., 0]
    full = k == measurement.state.shape[-1]
    residual = xp.abs(xp.sum(exponents, axis=-1) - sum_rule) if full else xp.full_like(sum_rule, xp.nan)
    lost = ~xp.all(xp.isfinite(measurement.state), axis=-1)
    return Exponents(
        exponents=exponents,
        standard_error=scatter,
        drift=drift,
        drift_error=drift_error,
        settled_from=xp.max(xp.where(away, place + 1, 0), axis=-1),
        sum_rule=sum_rule,
        sum_rule_residual=residual,
        log_det_min=xp.log(measurement.smallest_determinant),
        final_state=measurement.state,
        block_means=means,
        diverged=lost | xp.any(xp.isnan(exponents) | (exponents == xp.inf), axis=-1),
    )


def lyapunov_exponents(
    map: Map,
    state: Float[Array | np.ndarray, "D"],
    *,
    transient: int,
    steps: int,
    k: int | None = None,
    blocks: int = BLOCKS,
    align: int = ALIGNMENT_STEPS,
    renormalise_every: int | None = None,
) -> Exponents:
    """The k leading Lyapunov exponents of the orbit of `map` through `state`, in nats per step, with standard errors.

    Args:
        map: called as map(state); a pytree such as `feedback_network(...)`, or a plain function (which compiles once
            per function object).
        state: (D,), where the orbit starts.
        transient: steps taken first and thrown away. Too few, and the exponents are those of the approach: see
            `drift`.
        steps: steps measured, a multiple of `blocks`. The error falls as its square root; a zero exponent is resolved
            to some 10/steps.
        k: how many exponents, 1..D; all D if None. Only k = D has the sum rule as a check.
        blocks: means from which the standard error is made, >= 2. Many short blocks are correlated, and make it too
            small.
        align: steps in which the frame finds its directions before anything is measured. Too few bias the exponents
            by about 1/steps.
        renormalise_every: steps between orthonormalisations; the measured default if None. Too many, and the later
            exponents are rounding noise (`sum_rule_residual` shows it).

    Raises:
        ValueError: an argument out of its range; the message names it.

    References:
        Benettin, Galgani, Giorgilli, Strelcyn (1980), Meccanica 15, 9 and 21.
        Shimada, Nagashima (1979), Prog. Theor. Phys. 61, 1605.
        von Neumann (1941), Ann. Math. Stat. 12, 367 (the error of the drift).
    """
    map_, state = as_pytree(map), jnp.asarray(state)
    if state.ndim != 1 or not jnp.issubdtype(state.dtype, jnp.floating):
        raise ValueError(f"`state` must be a vector of floating-point numbers, got {state.dtype}{list(state.shape)}")
    D = state.shape[0]
    k = D if k is None else k
    if not 1 <= k <= D:
        raise ValueError(f"`k` must be between 1 and D = {D}, got {k}")
    if blocks < 2:
        raise ValueError(f"`blocks` must be at least 2, got {blocks}")
    if steps < 1 or steps % blocks:
        raise ValueError(f"`steps` must be a positive multiple of `blocks` = {blocks}, got {steps}")
    if transient < 0 or align < 0:
        raise ValueError(f"`transient` and `align` must be >= 0, got {transient} and {align}")
    rotates = hasattr(map_, "orthonormal_tangent") and k == D
    every = default_renormalise_every(k, D, rotates) if renormalise_every is None else renormalise_every
    if every < 1:
        raise ValueError(f"`renormalise_every` must be at least 1, got {every}")
    after = jax.eval_shape(map_, state)
    if getattr(after, "shape", None) != state.shape or after.dtype != state.dtype:
        given = f"{after.dtype}{list(after.shape)}" if hasattr(after, "shape") else f"a {type(after).__name__}"
        raise ValueError(f"`map` must give back what it takes, {state.dtype}{list(state.shape)}, got {given}")
    return _exponents(
        map_,
        state,
        transient=transient,
        block_steps=steps // blocks,
        k=k,
        blocks=blocks,
        align=align,
        every=every,
        rotates=rotates,
    )


@partial(jax.jit, static_argnames=("transient", "block_steps", "k", "blocks", "align", "every", "rotates"))
def _exponents(
    map_: Any,
    state: Array,
    *,
    transient: int,
    block_steps: int,
    k: int,
    blocks: int,
    align: int,
    every: int,
    rotates: bool,
) -> Exponents:
    frame = {"renormalise_every": every, "rotates": rotates}
    state = iterate(map_, state, steps=transient)
    measurement = begin(map_, state, k=k, blocks=blocks, align=align, **frame)
    measurement = advance(map_, measurement, blocks=blocks, block_steps=block_steps, **frame)
    return results(measurement, block_steps=block_steps)
