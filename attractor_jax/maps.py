"""What is the next state? The iterated maps themselves, each written for ONE network and ONE state.

A map is any callable `state -> state` on arrays of shape (D,). More is optional:

* `tangent(state, frame) -> (state, frame, determinant)`: the next state, the frame (D, k) of tangent vectors carried
  along by the Jacobian at `state`, and the determinant of that Jacobian (NaN where it is not known). Without it the
  Jacobian is applied by `jax.jvp`.
* `entries(register, steps)`: what enters a shift register in several steps, of the state and of tangent vectors at
  once. See `networks.DelayNetwork.entries`.
* `companion(state) -> (state, row)`: next state and first row of the Jacobian, where the state is a shift register and
  all else in the Jacobian the shift. A whole frame (k = D) is then kept orthonormal by rotations (companion.py).
* `nonsingular`: true where the derivative can vanish by underflow only. It tells an underflow from a superstable orbit.
* `clocked`: the last number of the state counts the steps that were taken. It is no coordinate: D does not count it,
  tangent vectors are zero there, and whether an orbit comes back is asked of the others.
* `random(state)`: true where the next step is drawn at random, from the clock. Such an orbit cannot come back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Map = Callable[[Float[Array, "D"]], Float[Array, "D"]]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LinearMap:
    """x' = A x; its exponents are the logarithms of the moduli of the eigenvalues of A, whatever the state."""

    matrix: Float[Array, "D D"]

    nonsingular: ClassVar[bool] = False

    def __call__(self, state: Float[Array, "D"]) -> Float[Array, "D"]:
        return jnp.matmul(self.matrix, state, precision="highest")  # else a GPU multiplies float32 with ten bits

    def tangent(
        self, state: Float[Array, "D"], frame: Float[Array, "D k"]
    ) -> tuple[Float[Array, "D"], Float[Array, "D k"], Float[Array, ""]]:
        return self(state), jnp.matmul(self.matrix, frame, precision="highest"), jnp.linalg.det(self.matrix)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LogisticMap:
    """x' = r x (1 - x); at r = 4 its exponent is ln 2 (May 1976)."""

    r: Float[Array, ""]

    nonsingular: ClassVar[bool] = False

    def __call__(self, state: Float[Array, "1"]) -> Float[Array, "1"]:
        return self.r * state * (1 - state)

    def tangent(
        self, state: Float[Array, "1"], frame: Float[Array, "1 k"]
    ) -> tuple[Float[Array, "1"], Float[Array, "1 k"], Float[Array, ""]]:
        slope = self.r * (1 - 2 * state)
        return self(state), slope[:, None] * frame, slope[0]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class HenonMap:
    """(x, y)' = (1 - a x^2 + y, b x); its two exponents sum to ln|b| (Henon 1976)."""

    a: Float[Array, ""]
    b: Float[Array, ""]

    nonsingular: ClassVar[bool] = False

    def __call__(self, state: Float[Array, "2"]) -> Float[Array, "2"]:
        x, y = state
        return jnp.stack([1 - self.a * x * x + y, self.b * x])

    def tangent(
        self, state: Float[Array, "2"], frame: Float[Array, "2 k"]
    ) -> tuple[Float[Array, "2"], Float[Array, "2 k"], Float[Array, ""]]:
        pushed = jnp.stack([-2 * self.a * state[0] * frame[0] + frame[1], self.b * frame[0]])
        return self(state), pushed, -self.b


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DelayedLogisticMap:
    """x' = r x (1 - z), z' = x: its fixed point 1 - 1/r gives way to a closed curve in a Neimark-Sacker bifurcation
    at r = 2 (Aronson et al. 1982).
    """

    r: Float[Array, ""]

    nonsingular: ClassVar[bool] = False

    def __call__(self, state: Float[Array, "2"]) -> Float[Array, "2"]:
        x, z = state
        return jnp.stack([self.r * x * (1 - z), x])

    def tangent(
        self, state: Float[Array, "2"], frame: Float[Array, "2 k"]
    ) -> tuple[Float[Array, "2"], Float[Array, "2 k"], Float[Array, ""]]:
        x, z = state
        pushed = jnp.stack([self.r * (1 - z) * frame[0] - self.r * x * frame[1], frame[0]])
        return self(state), pushed, self.r * x


def coordinates(map_: Any, state: Float[Array, "n *lanes"]) -> Float[Array, "D *lanes"]:
    """The state without its clock."""
    return state[:-1] if getattr(map_, "clocked", False) else state


def fold(function: Callable[[Array, Array], Array], array: Float[Array, "n *rest"]) -> Float[Array, "*rest"]:
    """function over the first axis, in pairs: a sum or a maximum that XLA fuses with what stands before and after it,
    in an order that is always the same.
    """
    while (n := array.shape[0]) > 1:
        half = n // 2
        pairs = function(array[:half], array[half : 2 * half])
        array = jnp.concatenate([pairs, array[2 * half :]]) if n % 2 else pairs
    return array[0]


def as_pytree(map_: Any) -> Any:
    """The map as a pytree, so that `jit` sees its arrays as arguments: a plain function becomes a `Partial` without
    arguments.
    """
    if jax.tree_util.all_leaves([map_]):
        if not callable(map_):
            raise ValueError(f"`map` must be callable as map(state), got {type(map_).__name__}")
        return jax.tree_util.Partial(map_)
    return map_


def tangent(map_: Any, state: Array, frame: Array) -> tuple[Array, Array, Array]:
    """Next state, frame and determinant of any map: its own `tangent`, or one `jax.jvp` a vector with the determinant
    unknown (NaN).
    """
    if hasattr(map_, "tangent"):
        return map_.tangent(state, frame)
    new, push = jax.linearize(map_, state)
    return new, jax.vmap(push, in_axes=1, out_axes=1)(frame), jnp.full((), jnp.nan, state.dtype)


def stretch(
    map_: Any, register: Float[Array, "D columns *lanes"], steps: int
) -> tuple[list[Float[Array, "D *lanes"]], Float[Array, "D columns *lanes"], Float[Array, "steps *lanes"]]:
    """Several steps of any map, at once where it knows how: the state after each of them, the register after the last,
    and their determinants.

    Args:
        register: (D, columns), the state in its first column, tangent vectors in the others, of which there may be
            none: then the determinants mean nothing.
    """
    if hasattr(map_, "entries"):
        entries, determinants = map_.entries(register, steps)
        D = register.shape[0]
        outputs = jnp.concatenate([entries[:, 0], register[:, 0]])
        states = [outputs[steps - t : steps - t + D] for t in range(1, steps + 1)]
        return states, jnp.concatenate([entries[:D], register[: max(D - steps, 0)]]), determinants
    states, determinants = [], []
    state, frame = register[:, 0], register[:, 1:]
    for _ in range(steps):
        if frame.shape[1]:
            state, frame, determinant = tangent(map_, state, frame)
        else:
            state, determinant = map_(state), jnp.ones((), state.dtype)
        states.append(state)
        determinants.append(determinant)
    return states, jnp.concatenate([state[:, None], frame], axis=1), jnp.stack(determinants)


def check_dtype(dtype: str) -> None:
    """Refuse a dtype that JAX would quietly turn into another.

    Raises:
        ValueError: not float32 or float64, or float64 with x64 switched off.
    """
    if dtype not in ("float64", "float32"):
        raise ValueError(f"`dtype` must be float64 or float32, got {dtype!r}")
    if dtype == "float64" and not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise ValueError(
            "`dtype` float64 needs JAX's x64 mode: call jax.config.update('jax_enable_x64', True) first, "
            "or ask for float32"
        )
