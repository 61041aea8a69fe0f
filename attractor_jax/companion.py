"""How does a whole orthonormal frame follow a shift register? One step of the D exponents' QR at O(D^2) instead of
O(D^3).

The Jacobian of a delay map is a companion matrix: one row `a`, and a shift. Applied to an orthogonal frame Q it drops
the last row q of Q and puts p = a Q on top of the rest. The triangular factor of what comes out is therefore that of
I - q q' + p p', a change of rank two, and two sweeps of plane rotations over the columns bring the frame back to
orthonormal: one that takes q out (a downdate; Golub and Van Loan, Matrix Computations, 6.5.3), one that rotates p in.
Rotations only: the frame stays orthonormal to rounding without ever being repaired, where Gram-Schmidt needs D times
the work and loses the contracting directions when it is not done at every step. What no arithmetic of fixed precision
can keep are directions that a single step contracts below rounding; `regimes.classify` flags such spectra.

All arrays may have lanes behind the axes of one network. Vectors come first, so that a sweep's turn reads and writes
what lies together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attractor_jax.maps import fold


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Turning:
    """A frame on its way, and the room that its steps work in: every step overwrites all of it, and none has to clear
    it.
    """

    vectors: Float[Array, "D D *lanes"]  # one a row
    lengths: Float[Array, "D *lanes"]  # that the last step took out
    staying: Float[Array, "D rows *lanes"]  # the vectors' D - 1 rows that do not leave
    diagonal: Float[Array, "D *lanes"]
    slope: Float[Array, "D *lanes"]


def begin_turning(frame: Float[Array, "D D *lanes"]) -> Turning:
    """Room for an orthogonal frame, one tangent vector a column."""
    vectors = jnp.swapaxes(frame, 0, 1)
    nothing = jnp.zeros_like(vectors[:, 0])
    return Turning(vectors, nothing, jnp.zeros_like(vectors[:, 1:]), nothing, nothing)


@jax.jit
def turn(turning: Turning, row: Float[Array, "D *lanes"]) -> Turning:
    """The frame after one step of a companion matrix, orthonormal again, in Gram-Schmidt order.

    Args:
        row: (D,), the first row of the companion matrix.

    Returns:
        Lengths are 0, and the direction arbitrary, where the matrix is singular.
    """
    vectors = turning.vectors
    D = vectors.shape[0]
    entering, leaving = fold(jnp.add, jnp.swapaxes(vectors, 0, 1) * row[:, None]), vectors[:, -1]

    # First sweep, last column first: the orthonormal frame of the rows that stay, and its triangular factor with this
    # diagonal, and slope_i q_j to the right of it. |tail|^2 = |q_i|^2 + ... of the columns swept is a sum of squares:
    # no cancellation, where 1 - (head) would lose everything.
    def take_out(turns: Int[Array, ""], carry: tuple[Array, ...]) -> tuple[Array, ...]:
        i = D - 1 - turns
        rest, square, staying, diagonals, slopes = carry
        vector, q = _at(vectors, i)[:-1], _at(leaving, i)
        square_after, square = square, square + q * q
        tail, tail_after = jnp.sqrt(square), jnp.sqrt(square_after)
        diagonal = jnp.where(tail > 0, tail_after / jnp.where(tail > 0, tail, 1), 1)
        both = tail * tail_after
        slope = jnp.where(both > 0, -q / jnp.where(both > 0, both, 1), 0)
        return (
            rest + q * vector,
            square,
            _put(staying, i, diagonal * vector + slope * rest),
            _put(diagonals, i, diagonal),
            _put(slopes, i, slope),
        )

    nothing, none = jnp.zeros_like(turning.staying[0]), jnp.zeros_like(row[0])
    carry = (nothing, none, turning.staying, turning.diagonal, turning.slope)
    _, _, staying, diagonals, slopes = jax.lax.fori_loop(0, D, take_out, carry)

    # Second sweep, first column first: the new row is rotated into the columns. What is left of p at column j is always
    # u p_j + w q_j: two numbers instead of a triangle. The vector that brings the new row in begins as its unit vector
    # alone, and what is left of that is u as well.
    def put_in(i: Int[Array, ""], carry: tuple[Array, ...]) -> tuple[Array, ...]:
        extra, u, w, vectors, lengths = carry
        diagonal = _at(diagonals, i)
        remains = u * _at(entering, i) + w * _at(leaving, i)
        # Scaled before they are squared: saturated units leave rows of 1e-200.
        largest = jnp.maximum(diagonal, jnp.abs(remains))
        singular = largest == 0
        scale = jnp.where(singular, 1, largest)
        cosine, sine = diagonal / scale, jnp.where(singular, 1, remains / scale)
        relative = jnp.sqrt(cosine * cosine + sine * sine)
        cosine, sine, length = cosine / relative, sine / relative, largest * relative
        vector = _at(staying, i)
        # Not one write of both put together: XLA computes a concatenation in scalars.
        vectors = _put_rows(vectors, i, 0, (sine * u)[None])
        vectors = _put_rows(vectors, i, 1, cosine * vector + sine * extra)
        return (
            cosine * extra - sine * vector,
            cosine * u,
            cosine * w - sine * _at(slopes, i),
            vectors,
            _put(lengths, i, length),
        )

    one = jnp.ones_like(row[0])
    *_, vectors, lengths = jax.lax.fori_loop(0, D, put_in, (nothing, one, none, vectors, turning.lengths))
    return Turning(vectors, lengths, staying, diagonals, slopes)


def frame_of(turning: Turning) -> Float[Array, "D D *lanes"]:
    """The frame, one tangent vector a column."""
    return jnp.swapaxes(turning.vectors, 0, 1)


def _at(array: Array, i: Any) -> Array:
    return jax.lax.dynamic_index_in_dim(array, i, keepdims=False)


def _put(array: Array, i: Any, value: Array) -> Array:
    return jax.lax.dynamic_update_index_in_dim(array, value, i, 0)


def _put_rows(vectors: Array, i: Any, first: int, rows: Array) -> Array:
    """The i-th vector's rows from `first` on."""
    return jax.lax.dynamic_update_slice(vectors, rows[None], (i, first, *[0] * (rows.ndim - 1)))
