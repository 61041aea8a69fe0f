"""Kaplan-Yorke dimension, entropy bound and counts, first on spectra whose answers are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from attractor_jax.dimension import (
    entropy_bound,
    kaplan_yorke,
    spectra_by_length,
    summarise_spectra,
    zero_tolerance,
)

INF = np.inf


@pytest.mark.parametrize(
    ("spectrum", "D", "dimension"),
    [
        ([-0.2, -0.3], 2, 0.0),  # a sink
        ([0.0, -0.1], 2, 1.0),  # a closed curve
        ([0.0, 0.0, -0.5], 3, 2.0),  # a torus
        ([0.1, -0.3], 2, 1 + 1 / 3),
        ([0.42, np.log(0.3) - 0.42], 2, 1 + 0.42 / (0.42 - np.log(0.3))),  # Henon's form
        ([0.5, 0.3, -0.2, -0.8], 4, 3 + 0.6 / 0.8),
        ([0.5, -0.5], 2, 2.0),  # area is kept
        ([0.5, 0.1], 2, 2.0),  # nothing contracts: there are no more dimensions than these
        ([np.log(2)], 1, 1.0),  # logistic, r = 4
        ([0.7, -INF], 2, 1.0),
        ([-INF], 1, 0.0),
        ([-INF, -INF], 2, 0.0),
    ],
)
def test_kaplan_yorke_in_closed_form(spectrum: list[float], D: int, dimension: float) -> None:
    estimate = kaplan_yorke(np.array(spectrum), 1e-9, D)
    assert estimate.dimension == pytest.approx(dimension, abs=1e-14)
    assert estimate.lower == pytest.approx(dimension, abs=1e-14)


def test_kaplan_yorke_sorts_what_gram_schmidt_left_unsorted() -> None:
    estimate = kaplan_yorke(np.array([[0.1, -0.4, -0.2], [-0.2, 0.1, -0.4]]), 1e-9, 3)
    np.testing.assert_array_equal(estimate.dimension, [1.5, 1.5])


def test_exponents_within_their_own_tolerance_are_zero() -> None:
    spectra = np.array([[1e-4, -0.1], [-1e-4, -0.1], [1e-4, -0.1]])
    tolerance = np.array([[1e-3, 1e-3], [1e-3, 1e-3], [1e-5, 1e-3]])
    estimate = kaplan_yorke(spectra, tolerance, 2)
    np.testing.assert_allclose(estimate.dimension, [1.0, 1.0, 1.001], rtol=1e-12)
    # The tolerance belongs to the exponent, not to its place after sorting.
    swapped = kaplan_yorke(spectra[:, ::-1], tolerance[:, ::-1], 2)
    np.testing.assert_array_equal(swapped.dimension, estimate.dimension)
    # At the tolerance itself an exponent is still zero.
    assert kaplan_yorke(np.array([-1e-3, -0.1]), 1e-3, 2).dimension == 1.0


@pytest.mark.parametrize(("spectrum", "k"), [([0.3], 1), ([0.0], 1), ([0.5, -0.5], 2), ([0.5, 0.1, -0.2], 3)])
def test_a_spectrum_cut_off_too_early_gives_a_lower_bound(spectrum: list[float], k: int) -> None:
    estimate = kaplan_yorke(np.array(spectrum), 1e-9, 16)
    assert np.isnan(estimate.dimension)
    assert estimate.lower == k


def test_a_spectrum_cut_off_late_enough_does_not_need_the_rest() -> None:
    estimate = kaplan_yorke(np.array([0.1, -0.2]), 1e-9, 16)
    assert estimate.dimension == estimate.lower == 1.5


def test_nan_exponents_give_nan() -> None:
    estimate = kaplan_yorke(np.array([[0.1, np.nan], [np.nan, -0.1], [0.1, -0.2]]), 1e-9, 2)
    np.testing.assert_array_equal(np.isnan(estimate.dimension), [True, True, False])
    np.testing.assert_array_equal(np.isnan(estimate.lower), [True, True, False])


def test_kaplan_yorke_equals_its_definition_on_random_spectra() -> None:
    rng = np.random.default_rng(3)
    spectra = rng.normal(-0.2, 0.5, (500, 7))
    estimate = kaplan_yorke(spectra, 0.0, 9)
    for spectrum, dimension, lower in zip(spectra, estimate.dimension, estimate.lower, strict=True):
        ordered = sorted(spectrum, reverse=True)
        sums = np.concatenate([[0.0], np.cumsum(ordered)])
        j = max(i for i, total in enumerate(sums) if total >= 0)
        if j == len(ordered):
            assert np.isnan(dimension) and lower == 7
        else:
            assert dimension == lower == pytest.approx(j + sums[j] / abs(ordered[j]), rel=1e-12)


def test_more_exponents_than_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="`dimension` must be at least the number of exponents, 3, got 2"):
        kaplan_yorke(np.zeros((2, 3)), 0.0, np.array([3, 2]))


def test_entropy_bound_sums_what_is_surely_positive() -> None:
    spectra = np.array([[0.4, 0.01, -1.0], [-0.1, -0.2, -0.3], [np.nan, 0.1, 0.1], [0.4, -INF, -INF]])
    np.testing.assert_allclose(entropy_bound(spectra, 0.05), [0.4, 0.0, np.nan, 0.4])
    np.testing.assert_allclose(entropy_bound(spectra[:1], 0.001), [0.41])


def test_zero_is_a_range_of_errors_or_of_steps_whichever_is_wider() -> None:
    errors = np.array([1e-6, 1e-2, np.nan])
    np.testing.assert_allclose(zero_tolerance(errors, 10_000), [1e-3, 3e-2, 1e-3])
    np.testing.assert_allclose(zero_tolerance(errors, 10_000, standard_errors=5.0, floor=2.0), [2e-4, 5e-2, 2e-4])


def test_ragged_spectra_come_back_in_their_rows() -> None:
    spectra = [np.array([1.0, 2.0]), None, [3.0], np.array([4.0, 5.0]), float("nan"), np.empty(0)]
    errors = [np.array([0.1, 0.2]), None, [0.3], np.array([0.4, 0.5]), None, np.empty(0)]
    pieces = {pair[0].shape[1]: (rows.tolist(), pair) for rows, pair in spectra_by_length(spectra, errors)}
    assert pieces[1][0] == [2] and pieces[2][0] == [0, 3]
    np.testing.assert_array_equal(pieces[2][1][0], [[1, 2], [4, 5]])
    np.testing.assert_array_equal(pieces[2][1][1], [[0.1, 0.2], [0.4, 0.5]])
    assert set(pieces) == {1, 2}


def test_spectra_and_errors_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="equal length, got 2 and 1 in row 1"):
        list(spectra_by_length([[1.0], [1.0, 2.0]], [[1.0], [1.0]]))


def test_long_tables_in_pieces_are_the_same_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    spectra = [rng.normal(0, 0.2, size) for size in rng.integers(1, 5, 100)]
    errors = [np.full(len(spectrum), 0.01) for spectrum in spectra]

    def summary() -> list[np.ndarray]:
        return list(
            vars(
                summarise_spectra(
                    spectra,
                    errors,
                    steps=np.full(100, 1000),
                    dimension=np.full(100, 4),
                    recurrent=np.zeros(100, bool),
                )
            ).values()
        )

    whole = summary()
    monkeypatch.setattr("attractor_jax.dimension._ROWS", 7)
    for once, again in zip(whole, summary(), strict=True):
        np.testing.assert_array_equal(once, again)


def test_a_recurrent_orbit_is_a_finite_set_whatever_its_exponents() -> None:
    summary = summarise_spectra(
        [[0.0, -0.1], [0.3, -0.5], None],
        [[1e-9, 1e-9], [1e-9, 1e-9], None],
        steps=np.full(3, 10_000),
        dimension=np.full(3, 2),
        recurrent=np.array([True, True, True]),
    )
    np.testing.assert_array_equal(summary.kaplan_yorke_dimension, 0)
    np.testing.assert_array_equal(summary.kaplan_yorke_lower, 0)
    np.testing.assert_array_equal(summary.entropy_bound, 0)
    np.testing.assert_array_equal(summary.n_zero, [1, 0, np.nan])
    np.testing.assert_array_equal(summary.n_positive, [0, 1, np.nan])
