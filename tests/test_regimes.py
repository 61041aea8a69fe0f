"""The decision table of regimes, line by line, and what must not change when a table is labelled."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attractor_jax.regimes import REGIMES, classify

STEPS = 10_000  # the floor of zero is then 1e-3
FLOOR = 10 / STEPS


def cell(exponents: list[float] | None, *, error: float = 1e-6, **columns: Any) -> dict[str, Any]:
    """One row of a table: what a regime depends on, and little else."""
    known = exponents or [np.nan]
    row: dict[str, Any] = {
        "seed": 0,
        "s": 1.0,
        "dtype": "float64",
        "steps": STEPS,
        "dimension": 4,
        "status": "ok",
        "lambda_1": known[0],
        "lambda_1_se": error,
        "exponents": None if exponents is None else np.array(exponents),
        "exponents_se": None if exponents is None else np.full(len(exponents), error),
        "sum_rule_residual": 1e-12,
        "log_det_min": -5.0,
        "lambda_1_drift": 0.0,
        "lambda_1_drift_se": error,
        "period": 0,
        "period_tolerance": 1e-9,
        "amplitude": 0.0 if columns.get("period") == 1 else 1.0,
        "amplitude_before": 1.0,
        "state_norm": 1.0,
    }
    return row | columns


def table(*rows: dict[str, Any]) -> pd.DataFrame:
    df = pd.DataFrame(list(rows))
    df["status"] = pd.Categorical(df["status"])
    df.insert(0, "cell_id", np.arange(len(df)))
    return df


def only(row: dict[str, Any], **thresholds: float) -> pd.Series:
    return classify(table(row), **thresholds).iloc[0]


@pytest.mark.parametrize(
    ("row", "regime"),
    [
        (cell([-0.2, -0.3, -0.4, -0.5], period=1), "fixed_point"),
        (cell([-0.2, -0.3, -0.4, -0.5], period=7), "periodic"),
        # Recurrence comes first: at a bifurcation a cycle has zero exponents, and it is no torus.
        (cell([0.0, -0.3, -0.4, -0.5], period=1), "fixed_point"),
        (cell([0.0, 0.0, -0.4, -0.5], period=2), "periodic"),
        (cell([0.2, -0.3, -0.4, -0.5], period=1), "unsettled"),  # not a point that attracts: being left
        (cell([0.2, -0.3, -0.4, -0.5], period=1, lambda_1_drift=-0.4), "fixed_point"),  # chaos that ended there
        (cell(None, period=3), "periodic"),
        (cell([1.4e-4, -0.3, -0.4, -0.5]), "quasiperiodic"),
        (cell([-1.4e-4, -0.3, -0.4, -0.5]), "quasiperiodic"),
        (cell([FLOOR, -0.3, -0.4, -0.5]), "quasiperiodic"),
        (cell([-FLOOR, -0.3, -0.4, -0.5]), "quasiperiodic"),
        (cell([1.01 * FLOOR, -0.3, -0.4, -0.5]), "chaotic"),
        (cell([-1.01 * FLOOR, -0.3, -0.4, -0.5]), "unsettled"),
        # The standard error rules where it is wider than the floor.
        (cell([0.02, -0.3, -0.4, -0.5], error=0.01), "quasiperiodic"),
        (cell([0.04, -0.3, -0.4, -0.5], error=0.01), "chaotic"),
        (cell([0.2, 0.9e-3, -0.4, -0.5]), "chaotic"),
        (cell([0.2, 1.1e-3, -0.4, -0.5]), "hyperchaotic"),
        (cell([0.2, -0.4, 0.1, -0.5]), "hyperchaotic"),
        (cell([0.2]), "chaotic"),  # k = 1
        (cell(None), "unsettled"),
        (cell(None, status="underflow"), "unsettled"),
        (cell([-np.inf], status="superstable"), "unsettled"),
        (cell([-np.inf], status="superstable", period=2), "periodic"),
        (cell(None, status="diverged"), "diverged"),
        (cell([0.3, -0.3, -0.4, -0.5], status="diverged", period=1), "diverged"),
    ],
)
def test_decision_table(row: dict[str, Any], regime: str) -> None:
    assert only(row)["regime"] == regime


def test_each_exponent_is_held_to_its_own_error() -> None:
    row = cell([0.2, 0.02, -0.4, -0.5])
    row["exponents_se"] = np.array([1e-6, 0.01, 1e-6, 1e-6])
    labelled = only(row)
    assert labelled["regime"] == "chaotic"
    assert (labelled["n_positive"], labelled["n_zero"]) == (1, 1)


def test_zero_exponents_of_a_cycle_are_neutral_and_those_of_a_torus_are_not() -> None:
    torus = only(cell([1e-4, -1e-4, -0.4, -0.5]))
    assert (torus["n_zero"], torus["neutral_dimension"], torus["n_positive"]) == (2, 0, 0)
    assert torus["kaplan_yorke_dimension"] == torus["kaplan_yorke_lower"] == 2.0
    cycle = only(cell([1e-4, -1e-4, -0.4, -0.5], period=5))
    assert (cycle["n_zero"], cycle["neutral_dimension"], cycle["n_positive"]) == (0, 2, 0)
    assert cycle["kaplan_yorke_dimension"] == cycle["kaplan_yorke_lower"] == cycle["entropy_bound"] == 0.0


def test_numbers_of_a_chaotic_cell() -> None:
    chaos = only(cell([0.3, 0.1, 1e-5, -0.8]))
    assert chaos["regime"] == "hyperchaotic"
    assert (chaos["n_positive"], chaos["n_zero"]) == (2, 1)
    assert chaos["entropy_bound"] == pytest.approx(0.4)
    assert chaos["kaplan_yorke_dimension"] == pytest.approx(3.5)


def test_few_exponents_censor_the_dimension() -> None:
    cut = only(cell([0.3, 0.1]))
    assert np.isnan(cut["kaplan_yorke_dimension"]) and cut["kaplan_yorke_lower"] == 2
    assert cut["n_positive"] == 2


def test_where_nothing_is_known_counts_are_null() -> None:
    labelled = classify(table(cell(None), cell([0.3, 0.1, 0.1, 0.1], status="diverged"), cell([0.1, np.nan])))
    for name in ("n_positive", "n_zero"):
        assert labelled[name].dtype == "Int64"
        assert labelled[name].isna().all()
    for name in ("kaplan_yorke_dimension", "kaplan_yorke_lower", "entropy_bound"):
        assert labelled[name].isna().all()


def test_spectra_that_break_the_sum_rule_are_flagged() -> None:
    rows = [cell([0.1], sum_rule_residual=residual) for residual in (1e-9, 1e-6, 1.1e-6, np.nan)]
    labelled = classify(table(*rows))
    assert labelled["spectrum_flagged"].tolist() == [False, False, True, False]
    assert classify(table(*rows), sum_rule_limit=1e-10)["spectrum_flagged"].tolist() == [True, True, True, False]


def test_thresholds_are_arguments() -> None:
    assert only(cell([5e-3, -0.1]), floor=100.0)["regime"] == "quasiperiodic"
    assert only(cell([1e-4, -0.1]), floor=0.1)["regime"] == "chaotic"
    assert only(cell([0.02, -0.1], error=0.01), standard_errors=1.0)["regime"] == "chaotic"


def test_tables_with_several_dimensions_are_labelled_row_by_row() -> None:
    rows = [
        cell([0.2, 0.1, -0.5, -0.6]),
        cell([0.2], dimension=1),
        cell(None, dimension=8),
        cell([-0.2, -0.3], dimension=2, period=1),
        cell([0.0, -0.3], dimension=2),
    ]
    together = classify(table(*rows))
    for i, row in enumerate(rows):
        alone = only(row)
        for name in ("regime", "n_positive", "n_zero", "kaplan_yorke_dimension", "entropy_bound"):
            one, other = alone[name], together.iloc[i][name]
            assert (pd.isna(one) and pd.isna(other)) or one == other, (i, name)


def test_the_table_given_is_left_alone() -> None:
    df = table(cell([0.2, -0.3]), cell([-0.2, -0.3], period=1))
    df.attrs["axes"] = ["seed", "s"]
    before = df.copy(deep=True)
    labelled = classify(df)
    pd.testing.assert_frame_equal(df, before)
    assert labelled.attrs == {"axes": ["seed", "s"]}
    assert list(labelled.columns[: len(df.columns)]) == list(df.columns)


def test_labelling_twice_is_labelling_once() -> None:
    once = classify(table(cell([0.2, -0.3]), cell([-0.2, -0.3], period=1), cell(None)))
    pd.testing.assert_frame_equal(classify(once), once)


def test_all_regimes_are_always_there_and_ordered() -> None:
    labelled = classify(table(cell([0.2, -0.3])))
    assert tuple(labelled["regime"].cat.categories) == REGIMES
    assert labelled["regime"].cat.ordered
    assert (labelled["regime"] > "quasiperiodic").all()


def test_an_empty_table_stays_empty() -> None:
    labelled = classify(table(cell([0.2])).iloc[:0])
    assert len(labelled) == 0
    assert tuple(labelled["regime"].cat.categories) == REGIMES


def test_bad_input_is_named() -> None:
    df = table(cell([0.2]))
    with pytest.raises(
        ValueError, match="`df` must have the columns of a table of cells, got one without status, period$"
    ):
        classify(df.drop(columns=["status", "period"]))
    for name in ("standard_errors", "floor", "sum_rule_limit"):
        with pytest.raises(ValueError, match=f"`{name}` must be a number >= 0, got -1"):
            classify(df, **{name: -1.0})
        with pytest.raises(ValueError, match=f"`{name}` must be .* got nan"):
            classify(df, **{name: float("nan")})


def test_a_step_that_contracts_below_rounding_flags_several_exponents() -> None:
    deep = table(
        cell([0.1, -9.0], log_det_min=-61.0),
        cell([0.1, -9.0], log_det_min=-59.0),
        cell([0.1, -9.0], log_det_min=-30.0, dtype="float32"),
        cell([0.1, -9.0], log_det_min=-61.0, sum_rule_residual=np.nan),  # k < D has no sum rule, but a tail
        cell([0.1], log_det_min=-61.0, sum_rule_residual=np.nan),  # lambda_1 alone: no tail to distrust
        cell([0.1, -9.0], log_det_min=np.nan),  # a map that does not tell its determinant
    )
    assert classify(deep)["spectrum_flagged"].tolist() == [True, False, True, True, False, False]


def test_a_large_table_is_labelled_without_a_loop_over_its_rows() -> None:
    cells = 200_000
    rng = np.random.default_rng(0)
    spectra = list(rng.normal(-0.1, 0.2, (cells, 8)))
    errors = list(np.full((cells, 8), 1e-3))
    df = pd.DataFrame(
        {
            "steps": STEPS,
            "dimension": 8,
            "status": pd.Categorical(["ok"] * cells),
            "lambda_1": [spectrum[0] for spectrum in spectra],
            "lambda_1_se": 1e-3,
            "exponents": spectra,
            "exponents_se": errors,
            "dtype": "float64",
            "sum_rule_residual": 1e-9,
            "log_det_min": -5.0,
            "lambda_1_drift": 0.0,
            "period": 0,
            "period_tolerance": 1e-9,
            "lambda_1_drift_se": 1e-3,
            "amplitude": 1.0,
            "amplitude_before": 1.0,
            "state_norm": 1.0,
        }
    )
    start = time.process_time()
    labelled = classify(df)
    # Some 0.5 s on one core; a loop over rows with a few NumPy calls each takes 5 s and more.
    assert time.process_time() - start < 4
    assert labelled["n_positive"].sum() == np.sum(np.array(spectra) > 3e-3)


@pytest.mark.parametrize(
    ("columns", "regime"),
    [
        ({"amplitude": 0.99}, "quasiperiodic"),
        ({"amplitude": 0.97}, "unsettled"),  # still shrinking: a slow spiral, not a closed curve
        ({"amplitude": 1.03}, "unsettled"),  # still growing: on its way out of a point that lost its stability
        ({"amplitude_before": np.nan}, "quasiperiodic"),  # no stretch before the measurement
        ({"amplitude": 1e-5}, "fixed_point"),  # there, to within what the tolerance resolves
        ({"amplitude": 1e-5, "period": 47}, "fixed_point"),  # a spiral that re-enters the tolerance is no cycle
        ({"amplitude": 1e-3, "period": 47}, "periodic"),
        ({"amplitude": 0.99, "period": 1}, "quasiperiodic"),  # a step within the tolerance, on a walk that goes on
        ({"dimension": 1}, "unsettled"),  # nothing contracts: no attractor
    ],
)
def test_a_slow_approach_is_told_from_what_it_approaches(columns: dict[str, Any], regime: str) -> None:
    exponents = [1e-7] if columns.get("dimension") == 1 else [1e-7, -0.1]
    assert only(cell(exponents, error=1e-8) | columns)["regime"] == regime


@pytest.mark.parametrize("exponents", [[0.05, -0.1], [1e-4, -0.1], [-0.05, -0.1]])
def test_halves_that_disagree_are_unsettled(exponents: list[float]) -> None:
    def regime(drift: float, **thresholds: float) -> str:
        return only(cell(exponents, lambda_1_drift=drift, lambda_1_drift_se=0.01), **thresholds)["regime"]

    agreed = regime(0.04)
    assert regime(-0.06) == regime(0.06) == "unsettled"
    assert agreed == {0.05: "chaotic", 1e-4: "quasiperiodic", -0.05: "unsettled"}[exponents[0]]
    assert regime(0.04, most_drift=3.0) == "unsettled"


def test_a_cycle_is_a_cycle_before_its_exponents_are_clean() -> None:
    cycle = only(cell([0.05, -0.1], period=7, lambda_1_drift=-0.3, lambda_1_drift_se=0.01))
    assert cycle["regime"] == "periodic" and not cycle["settled"]
    assert only(cell([-0.05, -0.1], period=7))["settled"]
    assert not only(cell(None))["settled"], "nothing is known"
    assert only(cell([-np.inf], status="superstable", period=2, lambda_1_drift=np.nan))["settled"]


def test_a_point_that_is_being_left_is_no_attractor() -> None:
    leaving = cell([0.01, -0.2], amplitude=1e-6, amplitude_before=1e-8, state_norm=1e-6, period=1)
    assert only(leaving)["regime"] == "unsettled" and not only(leaving)["at_origin"]
    # Chaos that ended at a fixed point has a positive mean as well, but its halves disagree.
    ended = only(leaving | {"lambda_1_drift": -0.2, "lambda_1_drift_se": 0.01})
    assert ended["regime"] == "fixed_point" and not ended["settled"]


def test_the_origin_is_told_from_other_fixed_points() -> None:
    still = {"period": 1, "amplitude": 1e-12}
    assert only(cell([-0.1, -0.2], state_norm=1e-6, **still))["at_origin"]
    assert not only(cell([-0.1, -0.2], state_norm=1e-3, **still))["at_origin"]
    assert not only(cell([-0.1, -0.2], state_norm=1e-6, period=7))["at_origin"]


def test_tori_have_as_many_dimensions_as_zero_exponents() -> None:
    assert only(cell([1e-4, -0.1, -0.2, -0.3]))["torus_dimension"] == 1
    assert only(cell([1e-4, -1e-4, -0.2, -0.3]))["torus_dimension"] == 2
    assert pd.isna(only(cell([1e-4]))["torus_dimension"]), "there may be more zeros than exponents"
    assert pd.isna(only(cell([0.1, 1e-4, -0.2, -0.3]))["torus_dimension"]), "chaos"
    assert pd.isna(only(cell([1e-4, -0.1], period=7))["torus_dimension"])
    everything = only(cell([1e-4, -1e-4], dimension=2))
    assert everything["regime"] == "unsettled", "a rotation: no attractor"
