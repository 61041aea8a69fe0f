"""Where the origin of a feedback network loses stability, and how: closed forms that need no orbit.

At the origin every tanh has slope one, so the network is the linear recurrence ``y_0' = s sum_j c_j y_j`` with the
feedback coefficients ``c_j = sum_i r_i w_ij``, j = 1..D. Its Jacobian is a companion matrix, and its eigenvalues solve
``1 = s h(z)`` with ``h(z) = sum_j c_j z^-j``. Everything here is a property of ``c`` and ``s`` alone.

The functions run on the host, in float64, on whole batches of networks at once. They hold only for families whose
origin is a fixed point: a network with a bias has none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from attractor_jax.crossings import INTERVALS_PER_DELAY, NONE, largest_real_response
from attractor_jax.roots import largest_modulus

__all__ = ["Criticality", "companion_matrix", "lambda_article", "origin_radius", "s_critical"]

# Bytes of scratch that one pass over part of a batch may take.
_SCRATCH_BYTES = 32 * 2**20

_KINDS = np.array([None, "pitchfork", "flip", "neimark_sacker"], dtype=object)


@dataclass(frozen=True)
class Criticality:
    """Where, and through which bifurcation, the origin first loses stability as s grows from zero.

    Attributes:
        s: the critical gain, dimensionless; infinite where the origin is stable for every s > 0 (all feedback
            coefficients zero, and then only).
        angle: argument in [0, pi] of the critical eigenvalue exp(i angle), radians per step; NaN where s is infinite.
        kind: "pitchfork" (+1), "flip" (-1) or "neimark_sacker" (a complex pair); None where s is infinite.
    """

    s: Float[np.ndarray, "*networks"]
    angle: Float[np.ndarray, "*networks"]
    kind: Shaped[np.ndarray, "*networks"]


def s_critical(weights: np.ndarray, gains: np.ndarray) -> Criticality:
    """The smallest s > 0 at which an eigenvalue of the origin reaches the unit circle.

    An eigenvalue exp(i theta) needs ``h(theta) = sum_j c_j exp(-i j theta) = 1/s``, real and positive; hence
    ``1/s_critical = max Re h(theta)`` over the theta in [0, pi] where ``Im h = 0``. theta = 0 is a pitchfork, theta =
    pi a flip, and every other theta a Neimark-Sacker bifurcation. Unless all c_j vanish the maximum is positive (h is
    an open map of the unit disk that sends its centre to 0), so the origin always loses stability in the end. It may
    well regain it at a larger s: s_critical is the first loss, not a threshold for good.

    The zeros of Im h are enclosed, not sampled: intervals of theta are bisected until a bound on the curvature proves
    that they hold no zero, exactly one, or none that could be the maximum. No zero is missed, however close to another.
    Where two zeros merge (the curve h only touches the real axis) the answer is discontinuous in the weights: a touch
    within rounding counts as a zero, for there the radius does reach one, but s has only half of its digits. Where
    several theta share the maximum to within rounding, the pitchfork goes before the flip and the flip before a complex
    pair.

    Args:
        weights: w, shape (..., N, D), dimensionless; column j - 1 weighs the output j steps ago.
        gains: r = b / s, shape (..., N), dimensionless; its leading axes broadcast against those of weights.

    Returns:
        Criticality, each array with the broadcast leading shape.

    Raises:
        ValueError: if a shape does not fit or an entry is not finite.

    Reference:
        J. C. Sprott, Artificial neural net attractors, Computers & Graphics 22 (1998) 143; Yu. A. Kuznetsov, Elements
        of Applied Bifurcation Theory, chapter 4, for the three bifurcations.
    """
    coefficients = _feedback_coefficients(weights, gains)
    networks, delays = coefficients.shape[:-1], coefficients.shape[-1]
    flat = coefficients.reshape(-1, delays)
    peak = np.zeros(len(flat))
    angle = np.full(len(flat), np.nan)
    kind = np.full(len(flat), NONE)
    for part in _parts(len(flat), bytes_each=6 * 8 * (INTERVALS_PER_DELAY * delays + 1)):
        peak[part], angle[part], kind[part] = largest_real_response(flat[part])
    s = np.full(len(flat), np.inf)
    with np.errstate(over="ignore"):
        np.divide(1.0, peak, out=s, where=kind != NONE)
    return Criticality(
        s=s.reshape(networks),
        angle=angle.reshape(networks),
        kind=np.asarray(_KINDS[kind], dtype=object).reshape(networks),
    )


def companion_matrix(
    weights: np.ndarray, gains: np.ndarray, s: np.ndarray | float
) -> Float[np.ndarray, "*networks D D"]:
    """The Jacobian of the map at the origin: first row ``s c_j``, below it the shift of the outputs by one step.

    It is dense and meant for checks and for eigenvalues; an orbit's tangent vectors never need it.

    Args:
        weights: w, shape (..., N, D), dimensionless.
        gains: r = b / s, shape (..., N), dimensionless.
        s: the gain, dimensionless, >= 0; its shape broadcasts against the leading axes of weights and gains.

    Returns:
        The matrices, shape (..., D, D), acting on the state (newest output first).

    Raises:
        ValueError: if a shape does not fit, an entry is not finite, or s is negative.
    """
    coefficients = _feedback_coefficients(weights, gains)
    s = _checked_s(s, coefficients.shape[:-1])
    return _companion(s[..., None] * coefficients)


def origin_radius(weights: np.ndarray, gains: np.ndarray, s: np.ndarray | float) -> Float[np.ndarray, "*networks"]:
    """The spectral radius of the Jacobian at the origin: below one, small disturbances die out.

    To give one draw many values of s without copying its weights, pass weights of shape (draws, 1, N, D), gains of
    shape (draws, 1, N) and s of shape (values,): the answer has shape (draws, values). Scratch memory stays at a few
    tens of MiB however large the batch is.

    Args:
        weights: w, shape (..., N, D), dimensionless.
        gains: r = b / s, shape (..., N), dimensionless.
        s: the gain, dimensionless, >= 0; its shape broadcasts against the leading axes of weights and gains.

    Returns:
        max |eigenvalue|, per step, with the broadcast leading shape; its logarithm is the rate at which a small
        disturbance of the origin grows, in nats per step.

    Raises:
        ValueError: if a shape does not fit, an entry is not finite, or s is negative.
    """
    coefficients = _feedback_coefficients(weights, gains)
    delays = coefficients.shape[-1]
    s = _checked_s(s, coefficients.shape[:-1])
    networks = np.broadcast_shapes(s.shape, coefficients.shape[:-1])
    # One integer per cell says which coefficients it uses, so that a draw shared by many s is not copied.
    draws = coefficients.reshape(-1, delays)
    draw = np.broadcast_to(np.arange(len(draws)).reshape(coefficients.shape[:-1]), networks).reshape(-1)
    gain = np.broadcast_to(s, networks).reshape(-1)
    radius = np.empty(len(gain))
    for part in _parts(len(gain), bytes_each=16 * 8 * (delays + 1)):  # the coefficients, squared again and again
        radius[part] = largest_modulus(gain[part, None] * draws[draw[part]])
    return radius.reshape(networks)


def lambda_article(weights: np.ndarray, gains: np.ndarray, s: np.ndarray | float) -> Float[np.ndarray, "*networks"]:
    """The number that the article prints as its Lyapunov exponent: ``ln(b_0 ||w_0||)``, not an exponent of any orbit.

    With b = s r, b_0 is the first neuron's output gain and w_0 the first column of the weights. It depends on the
    origin and one delay alone, and says nothing about the attractor.

    Args:
        weights: w, shape (..., N, D), dimensionless.
        gains: r = b / s, shape (..., N), dimensionless.
        s: the gain, dimensionless, >= 0; its shape broadcasts against the leading axes of weights and gains.

    Returns:
        The printed number, in the article's unit (nats per step), with the broadcast leading shape; -inf where b_0 or
        the column is zero.

    Raises:
        ValueError: if a shape does not fit, an entry is not finite, or s is negative.
    """
    weights, gains = _checked_networks(weights, gains)
    s = _checked_s(s, np.broadcast_shapes(weights.shape[:-2], gains.shape[:-1]))
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(s * gains[..., 0] * np.linalg.norm(weights[..., 0], axis=-1)))


def _checked_networks(weights: np.ndarray, gains: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    weights = np.asarray(weights, dtype=np.float64)
    gains = np.asarray(gains, dtype=np.float64)
    if weights.ndim < 2 or 0 in weights.shape[-2:]:
        raise ValueError(f"`weights` must have shape (..., N, D) with N, D >= 1, not {weights.shape}")
    neurons = weights.shape[-2]
    if gains.ndim < 1 or gains.shape[-1] != neurons:
        raise ValueError(f"`gains` must have shape (..., {neurons}), one for each neuron, not {gains.shape}")
    try:
        np.broadcast_shapes(weights.shape[:-2], gains.shape[:-1])
    except ValueError:
        raise ValueError(
            f"`gains` must have leading axes that broadcast against {weights.shape[:-2]}, not {gains.shape[:-1]}"
        ) from None
    for name, array in (("weights", weights), ("gains", gains)):
        # The extremes carry every NaN and infinity, and cost no array of truth values beside a large batch.
        if not (np.isfinite(array.min(initial=0)) and np.isfinite(array.max(initial=0))):
            raise ValueError(f"`{name}` must be finite")
    return weights, gains


def _checked_s(s: np.ndarray | float, networks: tuple[int, ...]) -> np.ndarray:
    s = np.asarray(s, dtype=np.float64)
    try:
        np.broadcast_shapes(s.shape, networks)
    except ValueError:
        raise ValueError(f"`s` must have a shape that broadcasts against {networks}, not {s.shape}") from None
    if not (np.isfinite(s) & (s >= 0)).all():
        raise ValueError("`s` must be finite and >= 0")
    return s


def _feedback_coefficients(weights: np.ndarray, gains: np.ndarray) -> Float[np.ndarray, "*networks D"]:
    """c_j = sum_i r_i w_ij."""
    weights, gains = _checked_networks(weights, gains)
    return (gains[..., None, :] @ weights)[..., 0, :]


def _companion(first_row: Float[np.ndarray, "*networks D"]) -> Float[np.ndarray, "*networks D D"]:
    delays = first_row.shape[-1]
    matrix = np.zeros((*first_row.shape, delays))
    matrix[..., 0, :] = first_row
    older = np.arange(1, delays)
    matrix[..., older, older - 1] = 1.0
    return matrix


def _parts(total: int, *, bytes_each: int) -> list[slice]:
    size = max(1, _SCRATCH_BYTES // bytes_each)
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]
