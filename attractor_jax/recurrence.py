"""Does the orbit come back, and after how many steps? The test that comes before every label made from exponents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attractor_jax.defaults import default_tolerance
from attractor_jax.iterate import Lift, repeat, single


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Search:
    """A search for the first return, under way: where it is, what it must come back to, how near, since when, and
    what it found.
    """

    state: Float[Array, "D"]
    target: Float[Array, "D"]
    tolerance: Float[Array, ""]
    step: Int[Array, ""]
    period: Int[Array, ""]


def find_period(
    map_: Any, state: Any, *, longest: int, tolerance: float | None = None, lift: Lift = single
) -> tuple[Any, Any]:
    """Smallest period p <= `longest` of the orbit through `state`, or 0, and the absolute tolerance used.

    The whole state is compared (for delay networks: all D past outputs), in the maximum norm, with `tolerance` times
    max(1, |state|). A fixed point has period 1. Too small a tolerance misses cycles that the orbit is still
    approaching; too large a one takes a slow walk along a closed curve for a fixed point. `longest` too small calls
    long cycles aperiodic.
    """

    def start(_: Any, x: Array) -> Search:
        relative = default_tolerance(x.dtype.name) if tolerance is None else tolerance
        near = relative * jnp.maximum(1, jnp.max(jnp.abs(x)))
        none = jnp.zeros((), jnp.int32)
        return Search(x, x, near.astype(x.dtype), none, none)

    def step(m: Any, search: Search) -> Search:
        x = m(search.state)
        now = search.step + 1
        back = jnp.max(jnp.abs(x - search.target)) <= search.tolerance
        period = jnp.where((search.period == 0) & back, now, search.period)
        return Search(x, search.target, search.tolerance, now, period)

    search = repeat(lift(step), map_, lift(start)(map_, state), times=longest)
    return search.period, search.tolerance
