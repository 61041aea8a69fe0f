"""How does a whole orthonormal frame follow a shift register? One step of the D exponents' QR at O(D^2) instead of
O(D^3).

The Jacobian of a delay map is a companion matrix: one row `a`, and a shift. Applied to an orthogonal frame Q it drops
the last row q of Q and puts p = a Q on top of the rest. The triangular factor of what comes out is therefore that of
I - q q' + p p', a change of rank two, and two sweeps of plane rotations over the columns bring the frame back to
orthonormal: one that takes q out (a downdate; Golub and Van Loan, Matrix Computations, 6.5.3), one that rotates p in.
Rotations only: the frame stays orthonormal to rounding without ever being repaired, where Gram-Schmidt needs D times
the work and loses the contracting directions when it is not done at every step. What no arithmetic of fixed precision
can keep are directions that a single step contracts below rounding; `regimes.classify` flags such spectra.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def rotate_frame(frame: Float[Array, "D D"], row: Float[Array, "D"]) -> tuple[Float[Array, "D D"], Float[Array, "D"]]:
    """The frame after one step of a companion matrix, orthonormal again, and the logarithms of the lengths that were
    taken out.

    Args:
        frame: (D, D), orthogonal, one tangent vector a column.
        row: (D,), the first row of the companion matrix.

    Returns:
        The new frame in Gram-Schmidt order, and (D,) logarithms; -inf, and an arbitrary direction, where the matrix is
        singular.
    """
    leaving, entering = frame[-1], row @ frame
    shifted = jnp.concatenate([jnp.zeros_like(frame[:1]), frame[:-1]]).T  # vectors as rows: the sweeps run over them
    D = leaving.shape[0]

    # tail_i = |q_i|^2 + ... of the columns not yet swept. They are sums of squares: no cancellation, where 1 - (head)
    # would lose everything.
    after = jnp.asarray(np.triu(np.ones((D, D)), 1), frame.dtype) @ leaving**2
    tail, tail_after = jnp.sqrt(after + leaving**2), jnp.sqrt(after)
    diagonal = jnp.where(tail > 0, tail_after / jnp.where(tail > 0, tail, 1), 1)
    both = tail * tail_after
    slope = jnp.where(both > 0, -leaving / jnp.where(both > 0, both, 1), 0)

    # First sweep, last column first: the orthonormal frame of the rows that stay, and its triangular factor with this
    # diagonal, and slope_i q_j to the right of it.
    def take_out(rest: Array, column: tuple[Array, ...]) -> tuple[Array, Array]:
        vector, diagonal, slope, leaving = column
        return rest + leaving * vector, diagonal * vector + slope * rest

    _, staying = jax.lax.scan(take_out, jnp.zeros_like(row), (shifted, diagonal, slope, leaving), reverse=True)

    # The rotations of the second sweep. What is left of p at column j is always u p_j + w q_j: two numbers instead of
    # a triangle.
    def angle(left: tuple[Array, Array], column: tuple[Array, ...]) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
        u, w = left
        diagonal, slope, entering, leaving = column
        remains = u * entering + w * leaving
        # Scaled before they are squared: saturated units leave rows of 1e-200.
        largest = jnp.maximum(diagonal, jnp.abs(remains))
        singular = largest == 0
        scale = jnp.where(singular, 1, largest)
        cosine, sine = diagonal / scale, jnp.where(singular, 1, remains / scale)
        relative = jnp.sqrt(cosine * cosine + sine * sine)
        cosine, sine, length = cosine / relative, sine / relative, largest * relative
        return (cosine * u, cosine * w - sine * slope), (cosine, sine, length)

    one = jnp.ones_like(row[0])
    _, (cosine, sine, length) = jax.lax.scan(angle, (one, one - one), (diagonal, slope, entering, leaving))

    # Second sweep, first column first: the new row, which so far is a frame vector of its own, is rotated into the
    # columns.
    def put_in(extra: Array, column: tuple[Array, ...]) -> tuple[Array, Array]:
        vector, cosine, sine = column
        return cosine * extra - sine * vector, cosine * vector + sine * extra

    newest = jnp.zeros_like(row).at[0].set(1)
    _, rotated = jax.lax.scan(put_in, newest, (staying, cosine, sine))
    return rotated.T, jnp.log(length)
