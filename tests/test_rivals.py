"""Do the competitors of the engine compute what they are timed for?

At a stable fixed point at the origin the tangent map is one matrix, the companion matrix C. After the transient a
tangent vector lies in the plane of the leading eigenvectors, Re z and Im z, where its length after t steps is rho^t
times the length of a point on the ellipse that they span: |lambda_1 - ln rho| <= ln(sigma_1 / sigma_2) / steps, with
sigma the singular values of [Re z, Im z] (and no error at all where the leading eigenvalue is real).
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.rivals import RIVALS, Rival

TRANSIENT, STEPS = 1000, 4000

EVERY = [pytest.param(rival, id=name) for name, rival in RIVALS.items()]
SAME_START = [rival for name, rival in RIVALS.items() if name != "article_loop" and not rival.own_frame]
OWN_FRAME = [pytest.param(rival, id=name) for name, rival in RIVALS.items() if rival.own_frame]


def companion(w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The Jacobian at the origin, (D, D), newest output first."""
    D = w.shape[1]
    return np.vstack([b @ w, np.eye(D - 1, D)])


def spectral_radius(w: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(np.linalg.eigvals(companion(w, b))).max())


def half_critical(w: np.ndarray, r: np.ndarray) -> float:
    """Half of an s at which the spectral radius crosses one, by bisection."""
    low, high = 0.0, 1.0
    while spectral_radius(w, high * r) < 1:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if spectral_radius(w, middle * r) < 1 else (low, middle)
    return low / 2


def leading_pair(w: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """ln rho, ln(sigma_1 / sigma_2) of the leading plane (0 if real), and how fast all else dies out beside it."""
    values, vectors = np.linalg.eig(companion(w, b))
    order = np.argsort(-np.abs(values))
    lead, z = values[order[0]], vectors[:, order[0]]
    if abs(lead.imag) < 1e-12:
        return math.log(abs(lead)), 0.0, float(abs(values[order[1]] / lead))
    sigma = np.linalg.svd(np.stack([z.real, z.imag]), compute_uv=False)
    return math.log(abs(lead)), math.log(sigma[0] / sigma[1]), float(abs(values[order[2]] / lead))


def draw(seeds: list[int], N: int, D: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (B, N, D) and gains (B, N) of the article's ensemble."""
    weights, gains = [], []
    for seed in seeds:
        generator = np.random.RandomState(seed)
        weights.append(2 * generator.random_sample((N, D)) - 1)
        gains.append(generator.random_sample(N))
    return np.array(weights), np.array(gains)


@pytest.fixture(scope="module")
def ordered() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Networks (4, 16) with s = s_critical / 2 and 0.45 s_critical: weights, gains, s (B, 2), ln rho, ln(sigma ratio).

    Only those whose other eigenvalues are at least 2 % smaller: 0.98^1000 = 2e-9 is left of them after the transient.
    """
    weights, gains = draw(list(range(40)), 4, 16)
    half = np.array([half_critical(w, r) for w, r in zip(weights, gains, strict=True)])
    s = half[:, None] * np.array([1.0, 0.9])
    exact = np.array([[leading_pair(weights[g], q * gains[g]) for q in s[g]] for g in range(len(s))])
    clear = np.flatnonzero((exact[..., 0] < 0).all(axis=1) & (exact[..., 2] < 0.98).all(axis=1))
    real = [g for g in clear if not exact[g, :, 1].any()][:3]
    turning = [g for g in clear if exact[g, :, 1].all()][:3]
    assert len(real) == len(turning) == 3
    kept = real + turning
    return weights[kept], gains[kept], s[kept], exact[kept, :, 0], exact[kept, :, 1]


@pytest.mark.parametrize("rival", EVERY)
def test_largest_exponent_at_a_fixed_point_is_the_spectral_radius(rival: Rival, ordered) -> None:
    weights, gains, s, log_radius, log_ratio = ordered
    found = rival.exponents(weights, gains, s, transient=TRANSIENT, steps=STEPS)
    assert found.shape == (*s.shape, 1) and found.dtype == np.float64
    assert np.all(np.abs(found[..., 0] - log_radius) <= log_ratio / STEPS + 1e-9)
    assert np.all(log_ratio / STEPS < 1e-3)


@pytest.mark.parametrize("rival", EVERY)
def test_float32_is_within_its_rounding_of_the_spectral_radius(rival: Rival, ordered) -> None:
    weights, gains, s, log_radius, log_ratio = ordered
    found = rival.exponents(weights, gains, s, transient=TRANSIENT, steps=STEPS, dtype="float32")
    # One rounding for each of the N + D terms that a step adds up, all to the same side, in nats per step.
    assert np.all(np.abs(found[..., 0] - log_radius) <= log_ratio / STEPS + 20 * 2.0**-23)


def test_rivals_agree_on_the_largest_exponent(ordered) -> None:
    weights, gains, s, _, _ = ordered
    article = RIVALS["article_loop"].exponents(weights, gains, s, transient=TRANSIENT, steps=STEPS)
    for rival in SAME_START:
        found = rival.exponents(weights, gains, s, transient=TRANSIENT, steps=STEPS)
        assert np.abs(found - article).max() < 1e-9, rival.name


@pytest.mark.parametrize("rival", OWN_FRAME)
def test_others_agree_to_their_first_frame(rival: Rival, ordered) -> None:
    weights, gains, s, _, log_ratio = ordered
    numba = RIVALS["numba_loop"].exponents(weights, gains, s, transient=TRANSIENT, steps=STEPS)
    found = rival.exponents(weights, gains, s, transient=TRANSIENT, steps=STEPS)
    assert np.all(np.abs(found - numba)[..., 0] <= log_ratio / STEPS + 1e-6)


@pytest.mark.parametrize("s", [0.3, 4.0])
@pytest.mark.parametrize(("N", "D", "k", "steps"), [(4, 16, 1, 32), (3, 7, 1, 21), (3, 7, 7, 21), (3, 7, 2, 20)])
def test_rivals_agree_over_a_few_steps_of_any_regime(N: int, D: int, k: int, steps: int, s: float) -> None:
    """Before chaos amplifies roundings; counts that no interval divides, and a column of s that no lane fills."""
    weights, gains = draw([1, 2], N, D)
    values = np.full((2, 5), s)
    run = {"k": k, "transient": 5, "steps": steps}
    article = RIVALS["article_loop"].exponents(weights, gains, values, **run)
    for rival in SAME_START:
        if k == 1 or not rival.largest_only:
            found = rival.exponents(weights, gains, values, **run)
            # At k = D the sum rule ties the smallest exponents to sums that cancel; 1e-7 is far below any difference.
            assert np.abs(found - article).max() < (1e-9 if k == 1 else 1e-7), rival.name


@pytest.mark.parametrize("rival", [case for case in EVERY if not case.values[0].largest_only])
def test_full_spectrum_adds_up_to_the_determinant(rival: Rival) -> None:
    """At the origin |det C| = |sum_i b_i w_iD|, whatever the frame; the exponents come in order."""
    weights, gains = draw([1, 2, 3], 3, 7)
    s = np.array([[half_critical(w, r)] for w, r in zip(weights, gains, strict=True)])
    found = rival.exponents(weights, gains, s, k=7, transient=TRANSIENT, steps=STEPS)
    determinant = np.abs(np.einsum("bi,bi->b", s * gains, weights[:, :, -1]))
    assert np.abs(found.sum(axis=-1)[:, 0] - np.log(determinant)).max() < 1e-9
    # 1e-2 leaves room for the swing of complex pairs over 4000 steps, 40 nats in all.
    moduli = np.array(
        [np.sort(np.abs(np.linalg.eigvals(companion(weights[g], s[g] * gains[g]))))[::-1] for g in range(3)]
    )
    assert np.abs(found[:, 0] - np.log(moduli)).max() < 1e-2


@pytest.mark.parametrize("name", [name for name, rival in RIVALS.items() if rival.threaded])
def test_two_threads_compute_what_one_does(name: str) -> None:
    weights, gains = draw([1, 2, 3], 3, 7)
    s = np.tile([0.3, 4.0], (3, 1))
    one, two = (RIVALS[name].exponents(weights, gains, s, transient=0, steps=32, threads=n) for n in (1, 2))
    assert np.abs(one - two).max() < 1e-9


def test_bad_arguments_are_refused() -> None:
    weights, gains = draw([1], 3, 7)
    s = np.ones((1, 2))
    run = {"transient": 0, "steps": 16}
    with pytest.raises(ValueError, match="`k` must be in 1..7, got 8"):
        RIVALS["numba_loop"].exponents(weights, gains, s, k=8, **run)
    with pytest.raises(ValueError, match="`k` must be 1 for numba_lanes, got 2"):
        RIVALS["numba_lanes"].exponents(weights, gains, s, k=2, **run)
    with pytest.raises(ValueError, match="`dtype` must be float64 or float32, got float16"):
        RIVALS["article_loop"].exponents(weights, gains, s, dtype="float16", **run)
    with pytest.raises(ValueError, match="`weights`, `gains`, `s` must have shapes"):
        RIVALS["article_loop"].exponents(weights, gains[:, :2], s, **run)
