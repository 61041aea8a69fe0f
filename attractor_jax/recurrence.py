"""Does the orbit come back, and after how many steps? The test that comes before every label made from exponents."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attractor_jax.defaults import default_tolerance
from attractor_jax.iterate import Lift, in_stretches, single
from attractor_jax.maps import coordinates, fold, stretch


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Recurrence:
    """What a search for the first return found.

    Attributes:
        period: (), steps to the first return, 1 for a fixed point, 0 if there was none.
        tolerance: (), how near counted as back, absolute.
        amplitude: (), range of the state over the search, that of its widest component. Where it has shrunk since an
            earlier stretch of the same length, the orbit is still approaching something. NaN where the next step is
            drawn at random.
        norm: (), largest modulus of a component where the search begins.
    """

    period: Int[Array, ""]
    tolerance: Float[Array, ""]
    amplitude: Float[Array, ""]
    norm: Float[Array, ""]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Search:
    """A search for the first return, under way: where it is, what it must come back to, how near, since when, what it
    found, and between which values it has been.
    """

    state: Float[Array, "D *lanes"]
    target: Float[Array, "D *lanes"]
    tolerance: Float[Array, "*lanes"]
    step: Int[Array, "*lanes"]
    period: Int[Array, "*lanes"]
    low: Float[Array, "watched *lanes"]
    high: Float[Array, "watched *lanes"]


def watched(map_: Any, state: Float[Array, "D *lanes"]) -> Float[Array, "watched *lanes"]:
    """The components whose range is an orbit's: of a shift register the first, which the others repeat."""
    return state[:1] if hasattr(map_, "entries") else coordinates(map_, state)


def find_period(map_: Any, state: Any, *, longest: int, tolerance: float | None = None, lift: Lift = single) -> Any:
    """The `Recurrence` of the orbit through `state`: the smallest period p <= `longest`, or 0.

    The whole state is compared (for delay networks: all D past outputs), in the maximum norm, with `tolerance` times
    max(1, |state|). Too small a tolerance misses cycles that the orbit is still approaching; too large a one takes a
    slow walk along a closed curve for a fixed point, which shows in the amplitude. `longest` too small calls long
    cycles aperiodic.

    Raises:
        ValueError: `longest` below 1.
    """
    if longest < 1:
        raise ValueError(f"`longest` must be at least 1, got {longest}")

    def start(map_: Any, x: Array) -> Search:
        relative = default_tolerance(x.dtype.name) if tolerance is None else tolerance
        target = coordinates(map_, x)
        near = relative * jnp.maximum(1, jnp.max(jnp.abs(target)))
        none = jnp.zeros((), jnp.int32)
        return Search(x, target, near.astype(x.dtype), none, none, watched(map_, x), watched(map_, x))

    def further(map_: Any, search: Search, *, length: int) -> Search:
        states, register, _ = stretch(map_, search.state[:, None], length)
        period, low, high = search.period, search.low, search.high
        for n, x in enumerate(states, 1):
            back = fold(jnp.maximum, jnp.abs(coordinates(map_, x) - search.target)) <= search.tolerance
            period = jnp.where((period == 0) & back, search.step + n, period)
            low, high = jnp.minimum(low, watched(map_, x)), jnp.maximum(high, watched(map_, x))
        return replace(search, state=register[:, 0], step=search.step + length, period=period, low=low, high=high)

    def found(map_: Any, search: Search, first: Array) -> Recurrence:
        norm = jnp.max(jnp.abs(search.target))
        period, amplitude = search.period, jnp.max(search.high - search.low, axis=0)
        if hasattr(map_, "random"):
            random = map_.random(first)  # and of the whole search, where it ends later
            period, amplitude = jnp.where(random, 0, period), jnp.where(random, jnp.nan, amplitude)
        return Recurrence(period, search.tolerance, amplitude, norm)

    search = lift(start)(map_, state)
    if lift.kernel is not None:
        period, low, high = lift.kernel.first_return(map_, state, search.tolerance, steps=longest)
        search = replace(search, period=period, low=jnp.expand_dims(low, 1), high=jnp.expand_dims(high, 1))
    else:
        search = in_stretches(lift.wide(further), map_, search, steps=longest, stretch=lift.stretch)
    return lift(found)(map_, search, state)


def output_range(map_: Any, state: Any, *, steps: int, lift: Lift = single) -> tuple[Any, Any]:
    """The state `steps` steps on, and its range on the way, that of its widest component, both ends included."""
    if lift.kernel is not None:
        return lift.kernel.output_range(map_, state, steps=steps)

    def start(map_: Any, x: Array) -> tuple[Array, Array, Array]:
        return x, watched(map_, x), watched(map_, x)

    def further(map_: Any, carry: tuple[Array, Array, Array], *, length: int) -> tuple[Array, Array, Array]:
        x, low, high = carry
        states, register, _ = stretch(map_, x[:, None], length)
        for state in states:
            low, high = jnp.minimum(low, watched(map_, state)), jnp.maximum(high, watched(map_, state))
        return register[:, 0], low, high

    def end(_: Any, carry: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        x, low, high = carry
        return x, jnp.max(high - low, axis=0)

    carry = in_stretches(lift.wide(further), map_, lift(start)(map_, state), steps=steps, stretch=lift.stretch)
    return lift(end)(map_, carry)
