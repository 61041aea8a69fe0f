"""Running a map: the loop that every measurement uses, and the orbit itself.

All loops of the library take a `Lift`, which turns a function of one network into a function of many. For a single
orbit it is the identity; for a sweep it is a nested `vmap`, or less where a function is written for lanes (blocks.py).
The vectorisation stands inside the loop, not around it: `vmap` of a scan would move the batch axis of every carry to
the front, and the fast layout has the networks on the last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor_jax.maps import Map, as_pytree, stretch

# Steps of the innermost loops that are taken at once. Measured on CPU: four or eight save copies of shift registers;
# with more of them the additions between steps cost more than the larger product gains (benchmarks/LOG.md).
STRETCH = 8


@dataclass(frozen=True)
class Lift:
    """How a function of one network, called as function(map, *carries), becomes one of many.

    Keywords are the same for all networks, and stay as they are.

    Attributes:
        one: lifts any function.
        wide: lifts a function that is written for arrays with any number of axes behind those of one network, and so
            for many networks at once where the map is as well. What stands inside the innermost loops is: `vmap`
            would move axes there.
        kernel: takes the steps of whole runs in place of these loops, where it is given: a `fused.Kernel`.
        stretch: steps of the innermost loops that are taken at once.
    """

    one: Callable[[Callable[..., Any]], Callable[..., Any]]
    wide: Callable[[Callable[..., Any]], Callable[..., Any]]
    kernel: Any = None
    stretch: int = STRETCH

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return self.one(function)


def _nothing(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


# The lift of one orbit.
single = Lift(_nothing, _nothing)


def repeat(function: Callable[[Any, Any], Any], map_: Any, carry: Any, *, times: int) -> Any:
    """carry -> function(map, carry), `times` times, in one compiled loop whose memory does not grow with `times`."""
    if times == 0:
        return carry
    return jax.lax.scan(lambda c, _: (function(map_, c), None), carry, None, length=times)[0]


def in_stretches(function: Callable[..., Any], map_: Any, carry: Any, *, steps: int, stretch: int) -> Any:
    """carry -> function(map, carry, length=...), over and over until the lengths are `steps` together; `stretch` of
    them at once.
    """
    whole, rest = divmod(steps, stretch)
    carry = repeat(partial(function, length=stretch), map_, carry, times=whole)
    return function(map_, carry, length=rest) if rest else carry


def iterate(map_: Any, state: Any, *, steps: int, lift: Lift = single) -> Any:
    """The state `steps` steps on."""
    if lift.kernel is not None:
        return lift.kernel.iterate(map_, state, steps=steps)

    def further(map_: Any, state: Array, *, length: int) -> Array:
        return stretch(map_, state[:, None], length)[1][:, 0]

    return in_stretches(lift.wide(further), map_, state, steps=steps, stretch=lift.stretch)


def orbit(map: Map, state: Float[Array | np.ndarray, "D"], *, steps: int) -> Float[Array, "steps D"]:
    """The first `steps` states of an orbit, the given one first.

    Args:
        map: called as map(state); a pytree such as `feedback_network(...)`, or a plain function.
        state: (D,), where the orbit starts: row 0 of the result.
        steps: number of states, >= 1. The whole orbit is kept in memory: steps * D numbers.

    Raises:
        ValueError: `steps` below 1, or a state that is not a vector.
    """
    state = jnp.asarray(state)
    if steps < 1:
        raise ValueError(f"`steps` must be at least 1, got {steps}")
    if state.ndim != 1:
        raise ValueError(f"`state` must be a vector of shape (D,), got shape {state.shape}")
    return _orbit(as_pytree(map), state, steps=steps)


@partial(jax.jit, static_argnames="steps")
def _orbit(map_: Any, state: Array, *, steps: int) -> Array:
    return jax.lax.scan(lambda x, _: (map_(x), x), state, None, length=steps)[1]
