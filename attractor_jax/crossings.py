"""Where does the response of a feedback network's origin meet the real axis, and how far out?

The response to a turning disturbance is ``h(theta) = sum_j c_j exp(-i j theta)``, j = 1..D. What is wanted is its
largest real value on [0, pi], for many networks at once; stability.py says why.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Complex, Float, Int

__all__ = ["FLIP", "INTERVALS_PER_DELAY", "NEIMARK_SACKER", "NONE", "PITCHFORK", "largest_real_response"]

NONE, PITCHFORK, FLIP, NEIMARK_SACKER = range(4)

# Grid intervals per delay on [0, pi]. With 8, a smooth curve of degree D bends by at most 2 % of its own bound within
# one interval, so that nearly all intervals are settled by the grid alone.
INTERVALS_PER_DELAY = 8

_EPS = float(np.finfo(np.float64).eps)


def largest_real_response(
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
    kind = np.where(flips, FLIP, PITCHFORK)

    network, theta = _zeros_inside(response, coefficients, curvature, noise, peak)
    value = np.real(response.h_and_slope(network, theta)[0])
    # In ascending order, so that the last assignment to a network is its largest value.
    order = np.argsort(value, kind="stable")
    network, theta, value = network[order], theta[order], value[order]
    wins = value > peak[network] + noise[network]
    network, theta, value = network[wins], theta[wins], value[wins]
    peak[network], angle[network], kind[network] = value, theta, NEIMARK_SACKER

    silent = curvature == 0
    peak[silent], angle[silent], kind[silent] = 0.0, np.nan, NONE
    return peak, angle, kind


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
    intervals = INTERVALS_PER_DELAY * delays
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
