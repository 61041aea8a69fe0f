"""Which root of a polynomial has the largest modulus? For thousands of polynomials at once, on the host.

Squaring every root of a polynomial needs its coefficients alone, and after a few squarings one root, or a pair of them,
has left all others behind. Its square roots, taken back level by level, lead to the root itself, and a few steps of
Newton's method make up for what the squarings lost.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Complex, Float, Int

__all__ = ["largest_modulus"]

# Squarings before a polynomial is left to its eigenvalues: by then a root that is smaller by three parts in a million
# has vanished beside the largest.
_SQUARINGS = 24
# What is this small beside a leading coefficient of one, at roots of modulus one or more, is nothing.
_NOTHING = 1e-18
# Beyond so many terms their squares could overflow, binomial coefficients among them.
_MOST_TERMS = 256
# How much smaller the polynomial must be at a root than at its negative for nobody to doubt which of them is meant.
_CLEARLY = 1e-3
# Newton's last step, and the way from the first guess to the last, relative to the root: beyond them the guess is
# doubted.
_NEWTON_STEPS = 5
_LAST_STEP, _WHOLE_WAY = 1e-12, 1e-5


def largest_modulus(recurrence: Float[np.ndarray, "polynomials D"]) -> Float[np.ndarray, " polynomials"]:
    """The largest modulus among the roots of ``z^D = sum_j a_j z^(D-j)``, j = 1..D, for each row of a_j.

    By Graeffe's squarings and Newton's method, in O(D^2) operations on arrays; as accurate as eigenvalues of the
    companion matrix, and several times faster for hundreds of polynomials. Where the result is in doubt (roots whose
    moduli differ by less than about 1e-6, or a double root) it is that of the eigenvalues, and so it is for D > 256.

    Args:
        recurrence: a_j, shape (polynomials, D), D >= 1, finite.

    Returns:
        The moduli, shape (polynomials,); zero where all a_j are.

    Reference:
        V. Pan, Solving a polynomial equation: some history and recent progress, SIAM Review 39 (1997) 187.
    """
    radius = np.zeros(len(recurrence))
    loud = np.flatnonzero(recurrence.any(axis=1))
    degree = recurrence.shape[1]
    terms = np.zeros((max(degree, 2) + 1, len(loud)))  # power first: every operation then runs along a row
    terms[0], terms[1 : degree + 1] = 1.0, -recurrence[loud].T
    if degree > _MOST_TERMS:
        sizes = np.abs(terms[1:]) ** (1 / np.arange(1, degree + 1)[:, None])
        radius[loud] = [_by_eigenvalues(*each) for each in zip(terms.T, sizes.max(axis=0), strict=True)]
        return radius
    exponent = _lower_bound(terms)
    terms = _in_units(terms, exponent)
    guess, parted = _dominant(terms, _SQUARINGS)
    _, more = np.frexp(np.abs(guess))
    terms, guess, exponent = _in_units(terms, more), guess * np.exp2(-more), exponent + more
    root, step = _newton(terms, guess)
    modulus = np.abs(root)
    near = (step <= _LAST_STEP) & (np.abs(root - guess) <= _WHOLE_WAY * modulus)
    for row in np.flatnonzero(~(parted & near)):
        modulus[row] = _by_eigenvalues(terms[: degree + 1, row], np.abs(guess[row]))
    radius[loud] = np.ldexp(modulus, exponent)
    return radius


def _in_units(
    terms: Float[np.ndarray, "powers polynomials"], exponent: Int[np.ndarray, " polynomials"]
) -> Float[np.ndarray, "powers polynomials"]:
    """The same polynomials in z / 2^exponent."""
    return np.ldexp(terms, -np.arange(len(terms), dtype=np.int32)[:, None] * exponent)


def _lower_bound(terms: Float[np.ndarray, "powers polynomials"]) -> Int[np.ndarray, " polynomials"]:
    """The binary exponent of a lower bound of the largest modulus, and not far below it.

    A polynomial whose roots all lie within radius R has ``|a_j| <= C(D, j) R^j``.
    """
    degree = len(terms) - 1
    power = np.arange(1, degree + 1)[:, None]
    log_binomial = np.cumsum(np.log2((degree + 1 - power) / power), axis=0)
    fraction, exponent = np.frexp(terms[1:])  # of zero, the exponent is zero
    bound = np.where(fraction == 0, -np.inf, (exponent - 1 - log_binomial) / power)
    return np.floor(bound.max(axis=0)).astype(np.int32)


def _dominant(
    terms: Float[np.ndarray, "powers polynomials"], squarings: int
) -> tuple[Complex[np.ndarray, " polynomials"], Bool[np.ndarray, " polynomials"]]:
    """About the root of largest modulus of each polynomial, and where so many squarings part it from the others;
    elsewhere the modulus is about right all the same.
    """
    exponent = _lower_bound(terms)
    terms = _in_units(terms, exponent)
    used = [2, *np.flatnonzero((np.abs(terms) > 1e-3 * _NOTHING).any(axis=1))]
    terms = terms[: max(used) + 1]
    parted = np.abs(terms[3:]).max(axis=0, initial=0.0) < _NOTHING
    root = np.ones(terms.shape[1], complex)
    root[parted] = _larger_of_two(*terms[1:3, parted])
    if squarings and not parted.all():
        together = np.flatnonzero(~parted)
        rest = terms[:, together]
        square, parted[together] = _dominant(_squared(rest), squarings - 1)
        root[together], clear = _nearer_root(rest, square)
        parted[together] &= clear
    return root * np.exp2(exponent), parted


def _larger_of_two(
    b: Float[np.ndarray, " polynomials"], c: Float[np.ndarray, " polynomials"]
) -> Complex[np.ndarray, " polynomials"]:
    """The larger root of z^2 + b z + c, or the upper one of a pair."""
    square = b**2 / 4 - c
    distance = np.sqrt(np.abs(square))
    return np.where(square >= 0, -b / 2 - np.copysign(distance, b), -b / 2 + 1j * distance)


def _squared(terms: Float[np.ndarray, "powers polynomials"]) -> Float[np.ndarray, "powers polynomials"]:
    """Polynomials whose roots are the squares: the even part of p(z) p(-z), a polynomial in z^2."""
    squared = terms * terms
    for j in range(1, (len(terms) + 1) // 2):
        squared[j:-j] += (2.0 if j % 2 == 0 else -2.0) * (terms[: -2 * j] * terms[2 * j :])
    squared[1::2] *= -1.0
    return squared


def _nearer_root(
    terms: Float[np.ndarray, "powers polynomials"], square: Complex[np.ndarray, " polynomials"]
) -> tuple[Complex[np.ndarray, " polynomials"], Bool[np.ndarray, " polynomials"]]:
    """The square root, of the two, that makes the polynomial smaller, and where it does so clearly: two roots r and -r
    of nearly one modulus had squares that were one to within rounding.
    """
    # p(z) / z^D is a polynomial in 1/z, which is not large; its odd terms change their sign with z.
    w = 1 / square
    even, odd = np.zeros_like(w), np.zeros_like(w)
    for row in terms[::2][::-1]:
        even = even * w + row
    for row in terms[1::2][::-1]:
        odd = odd * w + row
    root = np.sqrt(square)
    odd /= root
    plus, minus = np.abs(even + odd), np.abs(even - odd)
    return np.where(plus <= minus, root, -root), np.minimum(plus, minus) <= _CLEARLY * np.maximum(plus, minus)


@np.errstate(divide="ignore", invalid="ignore")  # at a double root the slope is zero, and the root doubted
def _newton(
    terms: Float[np.ndarray, "powers polynomials"], guess: Complex[np.ndarray, " polynomials"]
) -> tuple[Complex[np.ndarray, " polynomials"], Float[np.ndarray, " polynomials"]]:
    """The root after some steps of Newton's method in 1/z, and the last of them, relative. Each stops by itself."""
    v, step = 1 / guess, np.zeros(len(guess))
    moving = np.arange(len(v))
    for taken in range(1, _NEWTON_STEPS + 1):
        at = v[moving]
        value, slope = np.zeros_like(at), np.zeros_like(at)
        for row in terms[::-1, moving]:
            slope = slope * at + value
            value = value * at + row
        change = value / slope
        v[moving] = at - change
        step[moving] = np.abs(change) / np.abs(at)
        # The second step makes up for the slope of the first.
        if taken > 1:
            moving = moving[step[moving] > _LAST_STEP]  # and NaN is beyond help
        if not len(moving):
            break
    return 1 / v, step


def _by_eigenvalues(terms: Float[np.ndarray, " powers"], about: float) -> float:
    """The largest modulus of the roots of one polynomial, from its companion matrix.

    In units of about that modulus: in others the matrix is a Jordan block but for numbers that drown.
    """
    return about * float(np.abs(np.roots(terms / about ** np.arange(len(terms)))).max(initial=0.0))
