"""Numerical choices that were measured once, and that a plan needs before jax is imported.

What a sweep uses stands in conf/measure/standard.yaml; BLOCKS and ALIGNMENT_STEPS are what the library's functions do
when a person calls them without saying.
"""

from __future__ import annotations

BLOCKS = 20
ALIGNMENT_STEPS = 500

# Nats over all steps of a measurement: what the exponent of a closed curve, which is zero, stays well within
# (|lambda_1| T is about 0.07, and below 1.4 in 95 % of cases).
ZERO_FLOOR = 10.0
# What the zero exponents of a torus hardly ever exceed (of second exponents with |lambda_2| T between these two, nearly
# all belong to closed curves and cycles that attract slowly): where it matters, a zero must be as small as this.
TORUS_FLOOR = 2.0


def default_renormalise_every(k: int, D: int, rotates: bool) -> int:
    """Steps between orthonormalisations of k tangent vectors in D dimensions that were measured to be safe.

    The largest exponent needs one only before the vector leaves the floating-point numbers; more of them need it
    before the frame becomes singular to rounding. Where rotations keep a whole frame orthonormal at every step
    (`rotates`), it says how often a logarithm is taken of the lengths that they took out.
    """
    if k == 1:
        return min(16, 2 * D)  # a shift register of D delays contracts at most once a turn: few delays, fewer steps
    if k == D:
        return 50 if rotates else 1
    return 4


def default_tolerance(dtype: str) -> float:
    """How near counts as back in the recurrence test, relative to max(1, |state|): far above rounding, far below a
    step along a closed curve.
    """
    return 1e-9 if dtype == "float64" else 2e-5
