"""The origin's loss of stability, against eigenvalues, closed forms, an independent root finder and golden values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from attractor_jax.stability import companion_matrix, lambda_article, origin_radius, s_critical

# The golden values of feedback networks, computed with an independent program; the last column is what the article's
# own code prints. (N, D, seed, s, s_critical, lambda_article)
GOLDEN = {
    "A": (4, 32, 174658140, 0.22, 0.173144683, -3.6457290555242734),
    "B": (4, 32, 3160697950, 0.55, 0.191207844, -0.19543683608893547),
    "C": (4, 16, 174658140, 1.4, 0.368573254, 0.31672036748824434),
}

SHAPES = [(1, 1), (2, 2), (1, 3), (16, 5), (4, 8), (4, 16), (3, 23), (8, 32), (5, 47), (16, 64)]


def uniform_draws(seeds: range | list[int], N: int, D: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (seeds, N, D) and gains (seeds, N) in the article's order of draws."""
    weights, gains = np.empty((len(seeds), N, D)), np.empty((len(seeds), N))
    for row, seed in enumerate(seeds):
        generator = np.random.RandomState(seed)
        weights[row] = 2 * generator.random_sample((N, D)) - 1
        gains[row] = generator.random_sample(N)
    return weights, gains


def one_neuron(coefficients) -> tuple[np.ndarray, np.ndarray]:
    """A network whose feedback coefficients c_j are these numbers."""
    return np.asarray(coefficients, dtype=float)[..., None, :], np.ones((*np.shape(coefficients)[:-1], 1))


def kind_of(eigenvalue: complex) -> str:
    if abs(eigenvalue.imag) > 1e-9:
        return "neimark_sacker"
    return "pitchfork" if eigenvalue.real > 0 else "flip"


def first_loss_by_colleague_matrix(c: np.ndarray) -> tuple[float, str | None]:
    """The same answer by another road: zeros of Im h as eigenvalues of the Chebyshev-U colleague matrix."""
    c = np.trim_zeros(c, "b")
    if len(c) == 0:
        return math.inf, None
    j = np.arange(1, len(c) + 1)
    found = [(float(c.sum()), "pitchfork"), (float(c @ (-1.0) ** j), "flip")]
    degree = len(c) - 1
    if degree > 0:
        colleague = 0.5 * (np.eye(degree, k=1) + np.eye(degree, k=-1))
        colleague[-1] -= 0.5 * c[:-1] / c[-1]
        x = np.linalg.eigvals(colleague)
        theta = np.arccos(x[(np.abs(x.imag) < 1e-6) & (np.abs(x.real) < 1)].real)
        for _ in range(5):
            theta = theta - (np.sin(np.outer(theta, j)) @ c) / (np.cos(np.outer(theta, j)) @ (j * c))
        real = (np.abs(np.sin(np.outer(theta, j)) @ c) < 1e-10) & (theta > 1e-9) & (theta < math.pi - 1e-9)
        found += [(float(np.cos(j * t) @ c), "neimark_sacker") for t in theta[real]]
    value, kind = max(found)
    return 1 / value, kind


@pytest.mark.parametrize(("N", "D"), SHAPES)
def test_the_spectral_radius_is_one_at_s_critical_and_less_below(N: int, D: int) -> None:
    weights, gains = uniform_draws(range(100 * D, 100 * D + 20), N, D)
    first = s_critical(weights, gains)
    eigenvalues = np.linalg.eigvals(companion_matrix(weights, gains, first.s))
    critical = eigenvalues[np.arange(20), np.abs(eigenvalues).argmax(axis=1)]
    assert np.abs(np.abs(critical) - 1).max() < 1e-9
    assert list(first.kind) == [kind_of(eigenvalue) for eigenvalue in critical]
    np.testing.assert_allclose(first.angle, np.abs(np.angle(critical)), atol=1e-9)
    fractions = np.array([0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1 - 1e-6])
    assert (origin_radius(weights[:, None], gains[:, None], first.s[:, None] * fractions) < 1).all()


@pytest.mark.parametrize("D", [2, 3, 7, 16, 40, 128])
def test_s_critical_agrees_with_the_colleague_matrix(D: int) -> None:
    generator = np.random.default_rng(D)
    dense = generator.normal(size=(60, D))
    # Few delays put many zeros of Im h near one another; growth and decay make the last coefficient large or tiny.
    sparse = dense * (generator.random((60, D)) < 0.2)
    families = np.concatenate([dense, sparse, dense * 0.8 ** np.arange(D), dense * 1.3 ** np.arange(-D, 0)])
    first = s_critical(*one_neuron(families))
    for c, s, kind in zip(families, first.s, first.kind, strict=True):
        expected, expected_kind = first_loss_by_colleague_matrix(c)
        assert s == pytest.approx(expected, rel=1e-11)
        # Delays with a common divisor m: m eigenvalues reach the circle together. See the test of ties.
        if np.gcd.reduce(np.flatnonzero(c) + 1) == 1:
            assert kind == expected_kind


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_values_of_the_articles_networks(name: str) -> None:
    N, D, seed, s, expected, printed = GOLDEN[name]
    weights, gains = uniform_draws([seed], N, D)
    first = s_critical(weights[0], gains[0])
    assert float(first.s) == pytest.approx(expected, abs=1e-9)
    assert first.kind.item() == "neimark_sacker"
    assert float(lambda_article(weights[0], gains[0], s)) == pytest.approx(printed, abs=1e-9)


@pytest.mark.parametrize(("D", "expected"), [(1, 0), (2, 721), (4, 1095), (8, 1404), (16, 1612), (32, 1758)])
def test_how_many_networks_of_the_article_lose_stability_to_a_closed_curve(D: int, expected: int) -> None:
    first = s_critical(*uniform_draws(range(2000), 4, D))
    assert np.count_nonzero(first.kind == "neimark_sacker") == expected


def test_one_delay_is_a_pitchfork_or_a_flip() -> None:
    weights, gains = uniform_draws(range(50), 3, 1)
    c = (gains[:, None, :] @ weights)[:, 0, 0]
    first = s_critical(weights, gains)
    np.testing.assert_allclose(first.s, 1 / np.abs(c), rtol=1e-15)
    np.testing.assert_array_equal(first.kind, np.where(c > 0, "pitchfork", "flip"))
    np.testing.assert_array_equal(first.angle, np.where(c > 0, 0.0, np.pi))


def test_two_delays_by_hand() -> None:
    # Im h = 0 at 0, pi and cos(theta) = -c1 / (2 c2), where h is c1 + c2, c2 - c1 and -c2.
    c = np.random.default_rng(2).uniform(-1, 1, (400, 2))
    c1, c2 = c.T
    first = s_critical(*one_neuron(c))
    pair = (np.abs(c1) < -2 * c2) & (-c2 > np.abs(c1) + c2)
    np.testing.assert_allclose(1 / first.s, np.where(pair, -c2, np.abs(c1) + c2), rtol=1e-14)
    np.testing.assert_array_equal(first.kind, np.where(pair, "neimark_sacker", np.where(c1 > 0, "pitchfork", "flip")))
    np.testing.assert_allclose(first.angle[pair], np.arccos(-c1[pair] / (2 * c2[pair])), atol=1e-13)


@pytest.mark.parametrize("D", [1, 2, 16])
def test_a_silent_network_never_loses_stability(D: int) -> None:
    first = s_critical(np.zeros((3, 4, D)), np.ones((3, 4)))
    assert np.isinf(first.s).all() and np.isnan(first.angle).all()
    assert first.kind.tolist() == [None, None, None]
    np.testing.assert_array_equal(origin_radius(np.zeros((4, D)), np.ones(4), np.array([0.0, 1.0, 8.0])), 0)
    assert lambda_article(np.zeros((4, D)), np.ones(4), 1.0) == -math.inf


def test_silent_networks_leave_their_neighbours_alone() -> None:
    weights, gains = uniform_draws(range(3), 4, 16)
    expected = s_critical(weights, gains)
    gains[1] = 0
    first = s_critical(weights, gains)
    assert first.s.tolist() == [expected.s[0], math.inf, expected.s[2]]
    assert first.kind.tolist() == [expected.kind[0], None, expected.kind[2]]


def test_leading_and_trailing_zeros_are_delays_that_do_not_feed_back() -> None:
    c = np.random.default_rng(3).normal(size=(50, 6))
    alone = s_critical(*one_neuron(c))
    padded = s_critical(*one_neuron(np.pad(c, ((0, 0), (0, 10)))))
    np.testing.assert_allclose(padded.s, alone.s, rtol=1e-13)
    np.testing.assert_array_equal(padded.kind, alone.kind)
    # No short delay: c = (0, 0, 0, c4, ..., c9).
    weights, gains = one_neuron(np.pad(c, ((0, 0), (3, 0))))
    late = s_critical(weights, gains)
    np.testing.assert_allclose(origin_radius(weights, gains, late.s), 1, atol=1e-12)
    for row, s, kind in zip(weights[:, 0], late.s, late.kind, strict=True):
        assert (pytest.approx(s, rel=1e-11), kind) == first_loss_by_colleague_matrix(row)


@pytest.mark.parametrize("D", [2, 3, 7, 12, 33, 128])
def test_ties_go_to_the_pitchfork_then_to_the_flip(D: int) -> None:
    # One delay D alone: lambda^D = s c_D, so that all D eigenvalues reach the circle at s = 1 / |c_D|.
    c = np.zeros((2, D))
    c[:, -1] = 0.7, -0.7
    first = s_critical(*one_neuron(c))
    np.testing.assert_allclose(first.s, 1 / 0.7, rtol=1e-13)
    assert first.kind.tolist() == ["pitchfork", "flip" if D % 2 else "neimark_sacker"]


def test_a_double_zero_is_neither_missed_nor_invented() -> None:
    # Im h = -sin(theta) q(theta) with q a square in cos(theta): the curve h touches the real axis at theta = 1 and no
    # more. Raised by `gap`, q has no zero; lowered, it has two. All three must give a radius of exactly one.
    j = np.arange(1, 4)
    x = math.cos(1.0)
    # (cos(theta) - x)^2 = U_2 / 4 - x U_1 + (x^2 + 1/4) U_0, and Im h = -sin(theta) sum_j c_j U_{j-1}.
    for sign in (1.0, -1.0):
        touching = sign * np.array([x * x + 0.25, -x, 0.25])
        for gap in (0.0, 1e-16, -1e-16, 1e-12, -1e-12, 1e-6, -1e-6):
            c = touching + sign * np.array([gap, 0.0, 0.0])
            first = s_critical(*one_neuron(c))
            assert float(origin_radius(*one_neuron(c), first.s)) == pytest.approx(1, abs=1e-9)
            below = origin_radius(*one_neuron(c), np.linspace(0.05, 0.99, 40) * first.s)
            assert (below < 1).all()
            zeros = [0.0, math.pi]
            if gap < 0:
                zeros += [math.acos(x - math.sqrt(-gap)), math.acos(x + math.sqrt(-gap))]
            largest = max(float(np.cos(j * theta) @ c) for theta in zeros)
            # Rounding the coefficients moves the two zeros by eps / sqrt(gap).
            if abs(gap) > 1e-15:
                assert float(first.s) == pytest.approx(1 / largest, rel=1e-14 / math.sqrt(abs(gap)))


def test_a_curve_that_only_touches_the_real_axis_counts() -> None:
    # Im h = -sin(theta) (2 cos(theta) - 1)^2 (1 - cos(theta)), exact in binary: the largest real value of h is 3/2, at
    # theta = pi/3, where the radius reaches one and turns back.
    weights, gains = one_neuron([3.0, -3.5, 2.0, -0.5])
    first = s_critical(weights, gains)
    assert float(first.s) == pytest.approx(2 / 3, rel=1e-6)
    assert float(first.angle) == pytest.approx(math.pi / 3, abs=1e-6)
    assert first.kind.item() == "neimark_sacker"
    assert float(origin_radius(weights, gains, first.s)) == pytest.approx(1, abs=1e-9)
    assert (origin_radius(weights, gains, np.array([0.6, 0.66, 0.67, 0.75])) < 1).all()


def test_batches_broadcast_and_answer_as_single_networks_do() -> None:
    weights, gains = uniform_draws(range(12), 4, 16)
    s = np.array([0.2, 1.0, 5.0])
    many = origin_radius(weights[:, None], gains[:, None], s)
    first = s_critical(weights.reshape(3, 4, 4, 16), gains.reshape(3, 4, 4))
    printed = lambda_article(weights[:, None], gains[:, None], s)
    assert many.shape == printed.shape == (12, 3)
    assert first.s.shape == first.angle.shape == first.kind.shape == (3, 4)
    for row in range(12):
        alone = s_critical(weights[row], gains[row])
        assert alone.s.shape == alone.kind.shape == ()
        assert first.kind.reshape(-1)[row] == alone.kind.item()
        np.testing.assert_allclose(first.s.reshape(-1)[row], alone.s, rtol=1e-14)
        for column, value in enumerate(s):
            eigenvalues = np.linalg.eigvals(companion_matrix(weights[row], gains[row], float(value)))
            assert many[row, column] == pytest.approx(np.abs(eigenvalues).max(), rel=1e-12)
    assert s_critical(weights[:0], gains[:0]).kind.shape == (0,)
    assert origin_radius(weights[:0], gains[:0], 1.0).shape == (0,)


def test_a_batch_cut_into_parts_gives_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, gains = uniform_draws(range(30), 2, 8)
    radius, first = origin_radius(weights, gains, 1.5), s_critical(weights, gains)
    monkeypatch.setattr("attractor_jax.stability._SCRATCH_BYTES", 16_000)
    np.testing.assert_allclose(origin_radius(weights, gains, 1.5), radius, rtol=1e-13)
    in_parts = s_critical(weights, gains)
    np.testing.assert_allclose(in_parts.s, first.s, rtol=1e-14)
    np.testing.assert_array_equal(in_parts.kind, first.kind)


def test_the_companion_matrix_is_the_jacobian_of_the_map_at_the_origin() -> None:
    (weights,), (gains,) = uniform_draws([7], 4, 6)
    matrix = companion_matrix(weights, gains, 1.3)
    step = 1e-4
    for k, past in enumerate(step * np.eye(6)):
        newest = 1.3 * gains @ np.tanh(weights @ past)
        np.testing.assert_allclose(matrix[:, k] * step, [newest, *past[:-1]], atol=1e-11)


@pytest.mark.parametrize(
    ("weights", "gains", "s", "argument"),
    [
        (np.ones(4), np.ones(4), 1.0, "weights"),
        (np.ones((4, 0)), np.ones(4), 1.0, "weights"),
        (np.full((4, 2), np.nan), np.ones(4), 1.0, "weights"),
        (np.ones((4, 2)), np.ones(3), 1.0, "gains"),
        (np.ones((4, 2)), np.array(1.0), 1.0, "gains"),
        (np.ones((5, 4, 2)), np.ones((3, 4)), 1.0, "gains"),
        (np.ones((4, 2)), np.full(4, np.inf), 1.0, "gains"),
        (np.ones((5, 4, 2)), np.ones((5, 4)), np.ones(3), "s"),
        (np.ones((4, 2)), np.ones(4), -0.1, "s"),
        (np.ones((4, 2)), np.ones(4), np.nan, "s"),
    ],
)
def test_bad_arguments_are_named(weights, gains, s, argument: str) -> None:
    if argument != "s":
        with pytest.raises(ValueError, match=f"`{argument}`"):
            s_critical(weights, gains)
    for function in (companion_matrix, origin_radius, lambda_article):
        with pytest.raises(ValueError, match=f"`{argument}`"):
            function(weights, gains, s)
