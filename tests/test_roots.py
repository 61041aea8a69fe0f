"""The largest modulus of a polynomial's roots, against roots that are known and against eigenvalues."""

from __future__ import annotations

import numpy as np
import pytest

from attractor_jax import roots
from attractor_jax.roots import largest_modulus


def recurrence_of(*, zeros: list[complex]) -> np.ndarray:
    """a_j of the polynomial with these zeros, which come with their conjugates."""
    return -np.real(np.poly(zeros))[None, 1:]


def eigenvalues(recurrence: np.ndarray) -> np.ndarray:
    rows, D = recurrence.shape
    matrix = np.zeros((rows, D, D))
    matrix[:, 0] = recurrence
    older = np.arange(1, D)
    matrix[:, older, older - 1] = 1.0
    return np.abs(np.linalg.eigvals(matrix)).max(axis=1)


@pytest.mark.parametrize("D", [1, 2, 3, 5, 16, 33, 128])
@pytest.mark.parametrize("density", [1.0, 0.2])
def test_random_polynomials_have_the_modulus_of_their_largest_eigenvalue(D: int, density: float) -> None:
    generator = np.random.default_rng(D)
    rows = 100 if D == 128 else 2000
    recurrence = generator.normal(size=(rows, D)) * (generator.random((rows, D)) < density)
    expected = eigenvalues(recurrence)
    np.testing.assert_allclose(largest_modulus(recurrence), expected, rtol=1e-12)
    # Roots half or twice as large, where eigenvalues drown: those of a Jordan block perturbed by 2^-128.
    for factor in (0.5, 2.0):
        stretched = recurrence * factor ** np.arange(1, D + 1)
        np.testing.assert_allclose(largest_modulus(stretched), factor * expected, rtol=1e-12)


def test_networks_of_the_article_are_never_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.RandomState(0)
    weights, gains = 2 * generator.random_sample((5000, 4, 16)) - 1, generator.random_sample((5000, 4))
    recurrence = np.exp(generator.uniform(-1, 2, (5000, 1))) * np.einsum("ni,nij->nj", gains, weights)
    expected = eigenvalues(recurrence)

    def refuse(*_: object) -> None:
        raise AssertionError("left to the eigenvalues")

    monkeypatch.setattr(roots.np, "roots", refuse)
    np.testing.assert_allclose(largest_modulus(recurrence), expected, rtol=1e-13)


@pytest.mark.parametrize(
    ("zeros", "modulus"),
    [
        ([1.25], 1.25),
        ([-0.5, 0.25], 0.5),
        ([1.0, -1.0, 0.3], 1.0),  # one modulus, two signs
        ([1.0, -1.0, 1j, -1j], 1.0),  # and two pairs
        ([0.6 + 0.8j, 0.6 - 0.8j, 0.5], 1.0),
        ([1.0, 1.0 - 1e-3, 0.2], 1.0),  # hardly apart
        ([0.8, 0.6 + 0.5j, 0.6 - 0.5j, 0.1], 0.8),  # the pair is smaller by 2 %
        ([3e4, 1e-9, -1e-9], 3e4),
    ],
)
def test_zeros_that_are_known(zeros: list[complex], modulus: float) -> None:
    assert largest_modulus(recurrence_of(zeros=zeros))[0] == pytest.approx(modulus, rel=1e-12)


@pytest.mark.parametrize("gap", [1e-13, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5])
def test_the_larger_of_two_opposite_roots_is_found_however_near_their_moduli(gap: float) -> None:
    generator = np.random.default_rng(7)
    for _ in range(200):
        r, *others = generator.uniform(0.2, 2), *(0.9 * generator.uniform(-0.2, 0.2, 4))
        for larger, smaller in ((r, -r * (1 - gap)), (-r, r * (1 - gap))):
            found = largest_modulus(recurrence_of(zeros=[larger, smaller, *others]))[0]
            assert found == pytest.approx(r, rel=2e-14)


@pytest.mark.parametrize("D", [3, 12, 36, 51])
def test_nearly_roots_of_unity(D: int) -> None:
    generator = np.random.default_rng(D)
    recurrence = generator.normal(size=(100, D)) * 10.0 ** generator.uniform(-12, -3, (100, 1))
    recurrence[:, -1] = 1.0
    np.testing.assert_allclose(largest_modulus(recurrence), eigenvalues(recurrence), rtol=1e-13)


def test_many_terms_are_left_to_eigenvalues_of_their_own_scale() -> None:
    recurrence = np.random.default_rng(1).normal(size=(2, 257))
    expected = eigenvalues(recurrence)
    for factor in (0.5, 1.0, 2.0):
        stretched = recurrence * factor ** np.arange(1, 258)
        np.testing.assert_allclose(largest_modulus(stretched), factor * expected, rtol=1e-12)


@pytest.mark.parametrize("zeros", [[1.0, 1.0], [0.5, 0.5, 0.1], [1j, 1j, -1j, -1j], [1.0, 1 - 1e-7]])
def test_a_double_zero_has_half_the_digits(zeros: list[complex]) -> None:
    assert largest_modulus(recurrence_of(zeros=zeros))[0] == pytest.approx(abs(zeros[0]), rel=1e-7)


@pytest.mark.parametrize("D", [2, 3, 16, 100])
def test_all_roots_on_one_circle(D: int) -> None:
    recurrence = np.zeros((3, D))
    recurrence[:, -1] = 0.7, -0.7, 1e-290
    np.testing.assert_allclose(largest_modulus(recurrence), np.array([0.7, 0.7, 1e-290]) ** (1 / D), rtol=1e-13)


def test_the_scale_of_the_coefficients_is_no_matter() -> None:
    recurrence = np.array([[1e308, 0.0], [1e-307, 0.0], [0.0, 1e-300], [0.0, -1e300], [0.0, 0.0]])
    expected = [1e308, 1e-307, 1e-150, 1e150, 0.0]
    np.testing.assert_allclose(largest_modulus(recurrence), expected, rtol=1e-13)


def test_neighbours_do_not_matter() -> None:
    recurrence = np.random.default_rng(4).normal(size=(200, 16))
    recurrence[50:100] = 0.0
    recurrence[50:100, -1] = 1.0  # these are left to the eigenvalues
    together = largest_modulus(recurrence)
    alone = np.concatenate([largest_modulus(row[None]) for row in recurrence])
    np.testing.assert_allclose(together, alone, rtol=1e-14)
    assert largest_modulus(recurrence[:0]).shape == (0,)
