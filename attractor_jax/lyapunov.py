"""How fast do neighbouring orbits part? Lyapunov exponents of one orbit of any map, with the errors that they deserve.

What a frame of tangent vectors grew by in each block (growth.py) becomes exponents, standard errors and checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from attractor_jax.defaults import ALIGNMENT_STEPS, BLOCKS, ZERO_FLOOR, default_renormalise_every
from attractor_jax.growth import advance, begin
from attractor_jax.iterate import iterate
from attractor_jax.maps import Map, as_pytree, coordinates
from attractor_jax.measurement import Measurement


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


def results(measurement: Measurement, *, dimension: int, block_steps: Any) -> Exponents:
    """Exponents, errors and checks from the sums that one network carried, or many: NumPy arrays may have the networks
    on leading axes.

    Sweeps come here with NumPy arrays. Compiled together with the loops, the same sums round differently from one
    program to the next.

    Args:
        dimension: D, without a clock.
        block_steps: steps of a block, a number.
    """
    xp: Any = jnp if isinstance(measurement.step, Array) else np
    with np.errstate(divide="ignore", invalid="ignore"):  # -inf and NaN are results, here and below
        return _results(xp, measurement, dimension, block_steps)


def _results(xp: Any, measurement: Measurement, dimension: int, block_steps: Any) -> Exponents:
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
    whole = k == dimension
    residual = xp.abs(xp.sum(exponents, axis=-1) - sum_rule) if whole else xp.full_like(sum_rule, xp.nan)
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
    D = coordinates(map_, state).shape[0]
    k = D if k is None else k
    if not 1 <= k <= D:
        raise ValueError(f"`k` must be between 1 and D = {D}, got {k}")
    if blocks < 2:
        raise ValueError(f"`blocks` must be at least 2, got {blocks}")
    if steps < 1 or steps % blocks:
        raise ValueError(f"`steps` must be a positive multiple of `blocks` = {blocks}, got {steps}")
    if transient < 0 or align < 0:
        raise ValueError(f"`transient` and `align` must be >= 0, got {transient} and {align}")
    rotates = hasattr(map_, "companion") and k == D
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
    return results(measurement, dimension=coordinates(map_, state).shape[0], block_steps=block_steps)
