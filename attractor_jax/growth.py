"""How much does a frame of tangent vectors grow along an orbit? The sums from which Lyapunov exponents are made.

A frame of k tangent vectors travels with the orbit and is made orthonormal again every few steps; the logarithms of
the lengths that it loses there are summed by block (Benettin et al. 1980, Shimada and Nagashima 1979). With `begin` and
`advance` a `Measurement` can stop after any block and go on to the same bits.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor_jax.interval import gram_schmidt_interval, rotated_interval
from attractor_jax.iterate import Lift, repeat, single
from attractor_jax.maps import coordinates
from attractor_jax.measurement import Measurement
from attractor_jax.measures import Measure


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

    def start(map_: Any, x: Array) -> Measurement:
        D = coordinates(map_, x).shape[0]
        frame = first_frame(D, k, x.dtype)
        # Sums are float64 wherever JAX has it, whatever the state is: in float32, millions of terms drown.
        return Measurement(
            state=x,
            frame=jnp.asarray(np.pad(frame, ((0, x.shape[0] - D), (0, 0)))),
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
        rotates: the frame is whole, and the map knows its `companion` matrix.
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
    one = partial(rotated_interval if rotates else gram_schmidt_interval, measures=measures, lift=lift)
    whole, rest = divmod(steps, renormalise_every)
    measurement = repeat(partial(one, length=renormalise_every), map_, measurement, times=whole)
    return one(map_, measurement, length=rest) if rest else measurement
