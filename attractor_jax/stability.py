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
from jaxtyping import Complex, Float, Int, Shaped

__all__ = ["Criticality", "companion_matrix", "lambda_article", "origin_radius", "s_critical"]

_EPS = float(np.finfo(np.float64).eps)

# Grid intervals per delay on [0, pi]. With 8, a smooth curve of degree D bends by at most 2 % of its own bound within
# one interval, so that nearly all intervals are settled by the grid alone.
_INTERVALS_PER_DELAY = 8

# Bytes of scratch that one pass over part of a batch may take.
_SCRATCH_BYTES = 32 * 2**20

_NONE, _PITCHFORK, _FLIP, _NEIMARK_SACKER = range(4)
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
    kind = np.full(len(flat), _NONE)
    for part in _parts(len(flat), bytes_each=6 * 8 * (_INTERVALS_PER_DELAY * delays + 1)):
        peak[part], angle[part], kind[part] = _largest_real_response(flat[part])
    s = np.full(len(flat), np.inf)
    with np.errstate(over="ignore"):
        np.divide(1.0, peak, out=s, where=kind != _NONE)
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
    for part in _parts(len(gain), bytes_each=8 * delays * (delays + 8)):
        jacobian = _companion(gain[part, None] * draws[draw[part]])
        radius[part] = np.abs(np.linalg.eigvals(jacobian)).max(axis=-1)
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


class _Response:
    """h on the unit circle for a batch of networks, with the trivial zeros of its imaginary part divided out.

    -Im h = sum_j c_j sin(j theta) = sin(theta) q(theta), and q = sum_m a_m cos(m theta), m = 0..D-1, keeps the zeros in
    the open interval (0, pi) while those at its ends, which every network has, are gone. Near the ends q is computed
    from the a_m rather than by division, and so loses no digits there.
    """

    def __init__(self, coefficients: Float[np.ndarray, "networks D"]) -> None:
        networks, delays = coefficients.shape
        # Delay first: every step of Horner's rule then reads one row.
        self.h_terms = np.ascontiguousarray(coefficients.T)
        # sin(j theta) / sin(theta) = 2 cos((j-1) theta) + 2 cos((j-3) theta) + ..., the constant term counted once.
        self.q_terms = np.zeros((delays, networks))
        for m in range(delays - 1, -1, -1):
            self.q_terms[m] = self.h_terms[m] + (self.q_terms[m + 2] if m + 2 < delays else 0.0)
        self.q_terms[1:] *= 2.0

    def q_and_slope(
        self, network: Int[np.ndarray, " points"], theta: Float[np.ndarray, " points"]
    ) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
        """q and dq/dtheta."""
        z = np.exp(-1j * theta)
        value, slope = _horner(self.q_terms, network, z)
        return np.real(value), np.imag(z * slope)  # d/dtheta = -i z d/dz

    def h_and_slope(
        self, network: Int[np.ndarray, " points"], theta: Float[np.ndarray, " points"]
    ) -> tuple[Complex[np.ndarray, " points"], Complex[np.ndarray, " points"]]:
        """h and dh/dtheta."""
        z = np.exp(-1j * theta)
        value, slope = _horner(self.h_terms, network, z)
        return z * value, -1j * z * (value + z * slope)


def _horner(
    terms: Float[np.ndarray, "powers networks"],
    network: Int[np.ndarray, " points"],
    z: Complex[np.ndarray, " points"],
) -> tuple[Complex[np.ndarray, " points"], Complex[np.ndarray, " points"]]:
    """sum_m terms[m] z^m and its derivative in z."""
    value = np.zeros_like(z)
    slope = np.zeros_like(z)
    for row in terms[::-1]:
        slope = slope * z + value
        value = value * z + row[network]
    return value, slope


def _largest_real_response(
    coefficients: Float[np.ndarray, "networks D"],
) -> tuple[Float[np.ndarray, " networks"], Float[np.ndarray, " networks"], Int[np.ndarray, " networks"]]:
    """The largest real value of h on the unit circle, its theta, and its kind, for each network."""
    networks, delays = coefficients.shape
    response = _Response(coefficients)
    j = np.arange(1, delays + 1)
    # |d2 Re h / dtheta2| and |d2 Im h / dtheta2| are at most sum_j j^2 |c_j|.
    curvature = np.abs(coefficients) @ (j**2.0)
    # What rounding may leave of h and of q: the terms of q add up to at most sum_j j |c_j|, the larger of the two.
    noise = 4 * _EPS * (np.abs(coefficients) @ j)

    at_zero = coefficients.sum(axis=1)
    at_pi = coefficients @ (-1.0) ** j
    # The flip, and later a complex pair, must beat what came before by more than rounding. Otherwise a network with one
    # delay only, whose eigenvalues all reach the circle together, would be named by its last bits.
    flips = at_pi > at_zero + noise
    peak = np.where(flips, at_pi, at_zero)
    angle = np.where(flips, np.pi, 0.0)
    kind = np.where(flips, _FLIP, _PITCHFORK)

    network, theta = _zeros_inside(response, coefficients, curvature, noise, peak)
    value = np.real(response.h_and_slope(network, theta)[0])
    # In ascending order, so that the last assignment to a network is its largest value.
    order = np.argsort(value, kind="stable")
    network, theta, value = network[order], theta[order], value[order]
    wins = value > peak[network] + noise[network]
    network, theta, value = network[wins], theta[wins], value[wins]
    peak[network], angle[network], kind[network] = value, theta, _NEIMARK_SACKER

    silent = curvature == 0
    peak[silent], angle[silent], kind[silent] = 0.0, np.nan, _NONE
    return peak, angle, kind


def _zeros_inside(
    response: _Response,
    coefficients: Float[np.ndarray, "networks D"],
    curvature: Float[np.ndarray, " networks"],
    noise: Float[np.ndarray, " networks"],
    floor: Float[np.ndarray, " networks"],
) -> tuple[Int[np.ndarray, " zeros"], Float[np.ndarray, " zeros"]]:
    """All zeros of Im h inside (0, pi) that can carry the largest real part, as (network, theta).

    Branch and bound. The function followed is f = q(theta) sin(max(theta, d)), mirrored at pi, with d the grid's
    spacing: it is -Im h inside, has no zeros of its own at the ends, and its second derivative is bounded by
    ``curvature`` everywhere (in the end intervals by sin(d) sum_j |c_j| j^3 / 3, which is less). On an interval of
    width w, f leaves its chord by at most curvature w^2 / 8; so does Re h.
    """
    delays = coefficients.shape[1]
    intervals = _INTERVALS_PER_DELAY * delays
    spacing = np.pi / intervals
    j = np.arange(1, delays + 1)
    # Multiples of the spacing are reduced in integers: sin(j theta) keeps all its digits for large j.
    turns = np.outer(j, np.arange(intervals + 1)) % (2 * intervals)
    sines = np.sin(turns * spacing)
    sines[:, 0] = j * np.sin(spacing)
    sines[:, -1] = -((-1.0) ** j) * j * np.sin(spacing)
    f = coefficients @ sines
    re = coefficients @ np.cos(turns * spacing)

    best = floor.copy()
    width = spacing
    slack = curvature * width**2 / 8
    changes = (f[:, :-1] >= 0) != (f[:, 1:] >= 0)
    lower = np.minimum(re[:, :-1], re[:, 1:]) - slack[:, None]
    best = np.maximum(best, np.where(changes, lower, -np.inf).max(axis=1))
    near = np.minimum(np.abs(f[:, :-1]), np.abs(f[:, 1:])) <= (slack + noise)[:, None]
    high = np.maximum(re[:, :-1], re[:, 1:]) + slack[:, None] >= best[:, None]
    network, index = np.nonzero((changes | near) & high & (curvature > 0)[:, None])
    left = index * spacing
    f_left, f_right = f[network, index], f[network, index + 1]
    re_left, re_right = re[network, index], re[network, index + 1]

    found: list[tuple[np.ndarray, np.ndarray]] = []
    while len(network):
        slack = curvature[network] * width**2 / 8
        changes = (f_left >= 0) != (f_right >= 0)
        smallest = slack <= noise[network]
        # The slope leaves the chord's by at most curvature w / 2 = 4 slack / w: beyond that f is monotone.
        single = changes & ((np.abs(f_right - f_left) > 4 * slack) | smallest)
        if single.any():
            found.append((network[single], _polish(response, network[single], left[single], width, f_left[single])))
        # Too narrow to cut and no change of sign: a double zero, to within rounding.
        touching = smallest & ~changes
        if touching.any():
            nearer = np.where(np.abs(f_left) <= np.abs(f_right), left, left + width)
            found.append((network[touching], nearer[touching]))

        rest = ~(single | smallest)
        network, left = network[rest], left[rest]
        f_left, f_right, re_left, re_right = f_left[rest], f_right[rest], re_left[rest], re_right[rest]
        width /= 2
        middle = left + width
        f_middle = response.q_and_slope(network, middle)[0]
        f_middle *= np.sin(np.clip(middle, spacing, np.pi - spacing))
        re_middle = np.real(response.h_and_slope(network, middle)[0])

        network = np.concatenate([network, network])
        left = np.concatenate([left, middle])
        f_left, f_right = np.concatenate([f_left, f_middle]), np.concatenate([f_middle, f_right])
        re_left, re_right = np.concatenate([re_left, re_middle]), np.concatenate([re_middle, re_right])
        slack = curvature[network] * width**2 / 8
        changes = (f_left >= 0) != (f_right >= 0)
        lower = np.minimum(re_left, re_right) - slack
        np.maximum.at(best, network[changes], lower[changes])
        near = np.minimum(np.abs(f_left), np.abs(f_right)) <= slack + noise[network]
        high = np.maximum(re_left, re_right) + slack >= best[network]
        keep = (changes | near) & high
        network, left = network[keep], left[keep]
        f_left, f_right, re_left, re_right = f_left[keep], f_right[keep], re_left[keep], re_right[keep]

    if not found:
        return np.zeros(0, dtype=np.intp), np.zeros(0)
    return np.concatenate([n for n, _ in found]), np.concatenate([t for _, t in found])


def _polish(
    response: _Response,
    network: Int[np.ndarray, " zeros"],
    left: Float[np.ndarray, " zeros"],
    width: float,
    f_left: Float[np.ndarray, " zeros"],
) -> Float[np.ndarray, " zeros"]:
    """The zero of q in each bracket: Newton's method, bisection wherever Newton leaves the bracket or is slow."""
    low, high = left.copy(), left + width
    rises = f_left < 0
    theta = 0.5 * (low + high)
    step = np.full_like(theta, width)
    moving = np.ones(len(theta), bool)
    # Bisection alone needs 60 halvings from the widest bracket; Newton usually needs five steps.
    for _ in range(80):
        q, slope = response.q_and_slope(network, theta)
        below = (q < 0) == rises
        low = np.where(below, theta, low)
        high = np.where(below, high, theta)
        with np.errstate(divide="ignore", invalid="ignore"):
            newton = -q / slope
        proposal = theta + newton
        bisect = ~((proposal >= low) & (proposal <= high) & (np.abs(newton) <= 0.5 * np.abs(step)))
        target = np.where(bisect, 0.5 * (low + high), proposal)
        # Each stops by itself: a step more for the sake of its neighbours would move its last bits.
        step = np.where(moving, target - theta, 0.0)
        theta = np.where(moving, target, theta)
        moving &= np.abs(step) > 2 * _EPS * theta
        if not moving.any():
            break
    return theta
