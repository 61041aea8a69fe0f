"""What is one step of a network in a GPU's instructions? Its numbers stand in Python lists of arrays, each with one
entry a thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas import triton as plgpu
from jaxtyping import Array

from attractor_jax.activation import EXP, LN2, largest_looked_at


@dataclass(frozen=True)
class Arithmetic:
    """What Triton does not do by itself: it multiplies and adds where one instruction does both, its division of
    float64 is a long subroutine, it cannot round, and it makes early what it can.
    """

    fma: Callable[[Array, Array, Array], Array]  # a b + c
    reciprocal: Callable[[Array], Array]
    nearest: Callable[[Array, Array], tuple[Array, Array]]  # integer to a b, also as one that is right in its last bits
    later: Callable[[Array, Array], Array]  # the first, not before the second is known


@dataclass(frozen=True)
class Step:
    """One step, of both families: u = c + W y, y' = sum_i b_i tanh(u_i)."""

    weights: list[list[Array]]
    gains: list[Array]
    bias: list[Array] | None
    arithmetic: Arithmetic

    @classmethod
    def of(cls, family: str, weights: list[list[Array]], gains: list[Array], s: Array, arithmetic: Arithmetic) -> Step:
        """From what the families are drawn as: see `networks`."""
        if family == "gaussian":
            scaled = [[s * weight for weight in row] for row in weights]
            return cls([row[1:] for row in scaled], gains, [row[0] for row in scaled], arithmetic)
        return cls(weights, [s * gain for gain in gains], None, arithmetic)

    def __call__(self, y: list[Array]) -> list[Array]:
        """The next state."""
        new = jnp.zeros_like(y[0])
        for i, gain in enumerate(self.gains):
            new = self.arithmetic.fma(gain, self._unit(i, y)[0], new)
        return [new, *y[:-1]]

    def tangent(self, y: list[Array], dy: list[Array]) -> tuple[list[Array], list[Array], Array]:
        """The next state, the tangent vector carried along, and the determinant of the Jacobian."""
        fma = self.arithmetic.fma
        new = pushed = determinant = jnp.zeros_like(y[0])
        for i, (row, gain) in enumerate(zip(self.weights, self.gains, strict=True)):
            x, slope = self._unit(i, y)
            pull = gain * slope
            new = fma(gain, x, new)
            pushed = fma(pull, self._product(row, dy), pushed)
            determinant = fma(pull, row[-1], determinant)
        return [new, *y[:-1]], [pushed, *dy[:-1]], determinant

    def _unit(self, i: int, y: list[Array]) -> tuple[Array, Array]:
        u = self._product(self.weights[i], y, None if self.bias is None else self.bias[i])
        return tanh_and_slope(u, self.arithmetic)

    def _product(self, row: list[Array], vector: list[Array], start: Array | None = None) -> Array:
        total = row[0] * vector[0] if start is None else self.arithmetic.fma(row[0], vector[0], start)
        for weight, entry in zip(row[1:], vector[1:], strict=True):
            total = self.arithmetic.fma(weight, entry, total)
        return total


def tanh_and_slope(u: Array, arithmetic: Arithmetic) -> tuple[Array, Array]:
    """`activation.tanh_and_slope` in the instructions of a GPU."""
    dtype, fma = u.dtype, arithmetic.fma
    info = jnp.finfo(dtype)

    def number(value: float) -> Array:
        return jnp.full_like(u, value)

    a, most = jnp.abs(u), number(largest_looked_at(dtype))
    a = jnp.where(a > most, most, a)
    n, integer = arithmetic.nearest(a, number(-2 / np.log(2)))
    high, low = LN2[dtype.name]
    f = fma(n, number(-low), fma(n, number(-high), -2 * a))
    *rest, last = EXP[dtype.name]
    p = number(last)
    for c in reversed(rest):
        p = fma(p, f, number(c))
    power = (integer + (1 - info.minexp)) << info.nmant
    e = p * jax.lax.bitcast_convert_type(power, dtype)
    t = e * arithmetic.reciprocal(1 + e)
    size = 1 - 2 * t
    return jnp.where(u < 0, -size, size), 4 * t * (1 - t)


def integer_like(dtype: Any) -> Any:
    return jnp.int64 if dtype == jnp.float64 else jnp.int32


def largest(vector: list[Array]) -> Array:
    return reduce(jnp.maximum, [jnp.abs(entry) for entry in vector])


def _ptx(instruction: str, *arguments: Array) -> Array:
    """One instruction, $0 being its result and as the first argument."""
    letters = [{"float64": "d", "float32": "f", "int32": "r"}[x.dtype.name] for x in arguments]
    return plgpu.elementwise_inline_asm(
        instruction,
        args=arguments,
        constraints=",".join([f"={letters[0]}", *letters]),
        pack=1,
        result_shape_dtypes=[jax.ShapeDtypeStruct(arguments[0].shape, arguments[0].dtype)],
    )[0]


def _fma(a: Array, b: Array, c: Array) -> Array:
    return _ptx(f"fma.rn.f{8 * a.dtype.itemsize} $0, $1, $2, $3;", a, b, c)


def _reciprocal(x: Array) -> Array:
    if x.dtype == jnp.float32:
        return 1 / x
    y = _ptx("rcp.approx.ftz.f64 $0, $1;", x)
    for _ in range(2):  # Newton's steps: 23 bits become 46, and those all
        y = _fma(_fma(-x, y, jnp.ones_like(x)), y, y)
    return y


def _nearest(a: Array, b: Array) -> tuple[Array, Array]:
    # Where so large a number was added, the last bits are the nearest integer.
    large = jnp.full_like(a, 1.5 * 2.0 ** jnp.finfo(a.dtype).nmant)
    shifted = _fma(a, b, large)
    return shifted - large, jax.lax.bitcast_convert_type(shifted, integer_like(a.dtype))


def _plain_nearest(a: Array, b: Array) -> tuple[Array, Array]:
    n = jnp.round(a * b)
    return n, n.astype(integer_like(a.dtype))


PTX = Arithmetic(_fma, _reciprocal, _nearest, partial(_ptx, "mov.b32 $0, $1;"))
PLAIN = Arithmetic(lambda a, b, c: a * b + c, lambda x: 1 / x, _plain_nearest, lambda x, after: x)
