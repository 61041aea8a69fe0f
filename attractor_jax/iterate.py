"""Running a map: the loop that every measurement uses, and the orbit itself.

All loops of the library take `lift`, which turns a function of one network into a function of many. For a single
orbit it is the identity; for a sweep it is a nested `vmap` (blocks.py). The vectorisation stands inside the loop, not
around it: `vmap` of a scan would move the batch axis of every carry to the front, and the fast layout has the
networks that share their weights on the last.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor_jax.maps import Map, as_pytree

Lift = Callable[[Callable[[Any, Any], Any]], Callable[[Any, Any], Any]]

# Steps of the innermost loop that XLA sees at once. Four is the measured optimum on CPU: it saves the copies of the
# shift register, and more spills.
UNROLL = 4


def single(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The `lift` of one orbit: nothing to lift."""
    return function


def repeat(function: Callable[[Any, Any], Any], map_: Any, carry: Any, *, times: int, unroll: int = 1) -> Any:
    """carry -> function(map, carry), `times` times, in one compiled loop whose memory does not grow with `times`."""
    if times == 0:
        return carry
    return jax.lax.scan(lambda c, _: (function(map_, c), None), carry, None, length=times, unroll=min(unroll, times))[0]


def iterate(map_: Any, state: Any, *, steps: int, lift: Lift = single) -> Any:
    """The state `steps` steps on."""
    return repeat(lift(lambda m, x: m(x)), map_, state, times=steps, unroll=UNROLL)


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
