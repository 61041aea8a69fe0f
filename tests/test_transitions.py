"""Where networks change along the swept axis, against changes that are known: period doubling, folds, bifurcations in
closed form.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from runs import TINY, assert_identical, plan_of, sweep
from truths import LOGISTIC_ONSET, LOGISTIC_PERIOD_3, TANH_FOLD

import attractor_jax as aj
from attractor_jax.config import ConfigError
from attractor_jax.continuation import Continuation, disagree
from attractor_jax.draws import article_draw
from attractor_jax.stability import origin_radius
from attractor_jax.systems import REGISTRY, Axis, System
from attractor_jax.transitions import _intervals, first_lasting

ROOT = Path(__file__).resolve().parent.parent
TRANSITIONS = ("+transitions={consecutive: 1, tolerance: 1e-6, continuation: false}", "measure.k=1")


def tables(plan: Any, root: Path, *names: str) -> list[pd.DataFrame]:
    run = sweep(plan, root)
    return [pd.read_parquet(run / name).sort_values("cell_id", ignore_index=True) for name in names]


# Known changes of classic maps


def test_the_onset_of_chaos_in_the_logistic_map(tmp_path: Path) -> None:
    plan = plan_of("system=logistic", "grid.r=[3.5, 3.6]", *TRANSITIONS, "measure.steps=100000")
    (row,) = tables(plan, tmp_path, "transitions")[0].to_dict("records")
    assert row["r_chaos"] == pytest.approx(LOGISTIC_ONSET, abs=1e-4)
    assert row["r_chaos_tolerance"] < 1e-4
    # Both ends are cycles or chaos: the fixed point was left before.
    assert row["r_leaves_point"] == 3.5 and row["r_leaves_point_tolerance"] == np.inf


def test_the_period_3_window_of_the_logistic_map(tmp_path: Path) -> None:
    step = 0.002
    grid = "grid.r={start: 3.6, stop: 3.9, num: 151}"
    plan = plan_of("system=logistic", grid, *TRANSITIONS, "transitions.consecutive=3", "transitions.tolerance=0.01")
    transitions, cells = tables(plan, tmp_path, "transitions", "cells")
    (row,) = transitions.to_dict("records")
    low, high = np.array(row["r_windows_low"]), np.array(row["r_windows_high"])
    (window,) = np.flatnonzero((low < 3.84) & (high > 3.84))
    begins, doubles, ends = LOGISTIC_PERIOD_3
    assert begins <= low[window] <= begins + step and ends - step <= high[window] <= ends
    three = cells.loc[cells["period"] == 3, "r"]
    assert begins <= three.min() <= begins + step and doubles - step <= three.max() <= doubles + 1e-4
    assert row["n_windows"] == len(low) == len(high)


def test_the_fixed_point_of_the_delayed_logistic_map_becomes_a_curve(tmp_path: Path) -> None:
    found = aj.loss_of_stability(lambda r: aj.DelayedLogisticMap(r), (1.5, 2.6), np.array([0.4, 0.4]))
    assert found.s == pytest.approx(2, abs=1e-8)
    assert found.kind == "neimark_sacker" and found.angle == pytest.approx(np.pi / 3, abs=1e-8)
    # By amplitude, in T steps all told.
    T = 100_000
    length = (f"measure.transient={T // 2}", f"measure.steps={T // 2}")
    plan = plan_of("system=delayed_logistic", "grid.r=[1.91, 2.1]", *TRANSITIONS, *length, "measure.k=2")
    (row,) = tables(plan, tmp_path, "transitions")[0].to_dict("records")
    print(f"r = {row['r_leaves_point']} +- {row['r_leaves_point_tolerance']}")
    assert row["r_leaves_point"] == pytest.approx(2, abs=40 / T)
    assert row["r_leaves_point_tolerance"] < 40 / T
    assert np.isnan(row["r_leaves_curve"]) and np.isnan(row["r_chaos"])


@pytest.mark.parametrize(
    ("bracket", "state", "message"),
    [
        ((2.0, 2.4), 0.5, "`bracket` must have a change of stability in it; the spectral radius is 0 at 2 and 0.4 at"),
        ((3.4, 2.0), 0.5, "`bracket` must have its low end below its high end, got 3.4 and 2"),
        ((2.0, np.nan), 0.5, "`bracket` must have its low end below its high end, got 2 and nan"),
    ],
)
def test_a_bracket_without_a_change_gets_one_line(bracket: Any, state: float, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        aj.loss_of_stability(lambda r: aj.LogisticMap(r), bracket, np.array([state]))
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("map_at", "bracket", "critical"),
    [
        (
            lambda r: aj.LogisticMap(r),
            (0.5, 1.5),
            1.0,
        ),  # transcritical: the middle of the bracket is the critical value
        (lambda a: lambda x: a * x - x**3, (0.5, 1.5), 1.0),  # pitchfork
        (lambda a: lambda x: a * x - x**3, (0.5, 1.7), 1.0),
        (lambda a: lambda x: a * x - x**3, (-1.5, 0.0), -1.0),  # flip, and stable at the high end
    ],
)
def test_a_point_that_goes_on_through_its_bifurcation(map_at: Any, bracket: Any, critical: float) -> None:
    found = aj.loss_of_stability(map_at, bracket, np.array([0.0]))
    assert found.s == pytest.approx(critical, abs=1e-11)
    assert found.kind == ("flip" if critical < 0 else "pitchfork")


def test_a_map_without_a_fixed_point_gets_one_line() -> None:
    with pytest.raises(ValueError, match="^`state` must be near a fixed point; Newton's method found none at 1$"):
        aj.loss_of_stability(lambda c: lambda x: x + c + x**2, (1.0, 2.0), np.array([0.5]))


# Networks


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    axes = ("grid.N=4", "grid.D=4", "grid.seed.num=12", "grid.s={start: 0.2, stop: 6, num: 12, spacing: log}")
    plan = plan_of("experiment=transitions", *axes, "grid.refine=3", "measure.transient=3000", "measure.steps=4000")
    return sweep(plan, tmp_path_factory.mktemp("networks"))


def test_the_origin_loses_stability_where_the_closed_form_says(networks: Path) -> None:
    table = pd.read_parquet(networks / "transitions")
    assert len(table) == 12 and table["critical_verified"].mean() > 0.9
    ratios = []
    for row in table.itertuples():
        weights, gains = article_draw(row.seed, 4, 4)
        for side, growth in ((-1, row.growth_below), (1, row.growth_above)):
            radius = origin_radius(weights, gains, np.array(row.s_critical * (1 + side * 1e-3)))
            ratios.append(growth / np.log(radius))
        kinds = {"pitchfork": 0.0, "flip": np.pi}
        if row.first_bifurcation in kinds:
            assert row.critical_angle == pytest.approx(kinds[row.first_bifurcation], abs=1e-12)
    # As fast as the critical eigenvalue says, where no other is about to follow it.
    assert min(ratios) > 0
    np.testing.assert_allclose(np.quantile(ratios, [0.2, 0.5, 0.8]), 1, atol=0.02)


def test_what_is_found_agrees_with_the_grid(networks: Path) -> None:
    table, cells = pd.read_parquet(networks / "transitions"), aj.read_run(networks)
    for row in table.to_dict("records"):
        own = cells[cells["seed"] == row["seed"]]
        assert row["cell_id"] == own["cell_id"].min() and row["n_values"] == len(own)
        chaotic = own["regime"].isin(["chaotic", "hyperchaotic"]).to_numpy()
        assert row["n_chaotic"] == chaotic.sum()
        fixed = (own["regime"] == "fixed_point").to_numpy()
        left = row["s_leaves_point"]
        if np.isnan(left):
            assert (fixed | (own["regime"] == "unsettled").to_numpy()).all()
        else:
            s, tolerance = own["s"].to_numpy(), row["s_leaves_point_tolerance"]
            first = np.flatnonzero(~fixed & (own["regime"] != "unsettled").to_numpy())[0]
            assert left - tolerance <= s[first] * (1 + 1e-12)
            assert first == 0 or left + tolerance >= s[:first][fixed[:first]].max()
            # Unless the first bifurcation is abrupt, or to another fixed point, it is where the origin gives way.
            if row["first_bifurcation"] != "pitchfork":
                assert left <= row["s_critical"] * 1.05


def test_refined_values_lie_between_neighbours_that_differ(networks: Path) -> None:
    cells, refined = aj.read_run(networks), pd.read_parquet(networks / "refined")
    assert len(refined) and len(refined) % 3 == 0 and refined["cell_id"].is_unique
    assert refined["cell_id"].min() >= len(cells)
    expected = 0
    for seed, own in cells.groupby("seed"):
        regime = own["regime"].astype(str).to_numpy()
        s = own["s"].to_numpy()
        between = refined.loc[refined["seed"] == seed, "s"].to_numpy()
        for i in np.flatnonzero(regime[1:] != regime[:-1]):
            inside = between[(between > s[i]) & (between < s[i + 1])]
            np.testing.assert_allclose(inside, s[i] * (s[i + 1] / s[i]) ** (np.arange(1, 4) / 4))
            expected += 3
    assert expected == len(refined)


def test_devices_change_no_bit_of_any_table(tmp_path: Path) -> None:
    axes = ("grid.a={start: 1, stop: 1.4, num: 9}", "grid.replicate=[0, 1, 2]", "grid.refine=1")
    more = ("transitions.continuation=true", "transitions.tolerance=0.01")
    short = ("measure.transient=300", "measure.steps=1000", "measure.k=2")
    plan = plan_of("system=henon", *axes, TRANSITIONS[0], *more, *short)
    one, other = (sweep(plan, tmp_path / str(devices), devices=devices) for devices in (1, 2))
    for name in ("transitions", "refined", "forward", "backward", "cells"):
        assert_identical(*(pd.read_parquet(run / name) for run in (one, other)))


# Two ways along an axis


class Bistable:
    """x' = tanh(2 x + h): two attractors between the folds at h = +-0.5328, one beyond."""

    def __init__(self, h: Any) -> None:
        self.h = h

    def __call__(self, state: Any) -> Any:
        return jnp.tanh(2 * state + self.h)


class BistableSystem(System):
    name = "bistable"
    axes = (Axis("h", float, -2.0, 2.0, 0.0, "field"),)
    parameters = ("h",)

    def dimension(self, static: Mapping[str, int]) -> int:
        return 1

    def initial_states(self, draw: Any, axes: Any, lanes: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.full((len(lanes["h"]), 1), 0.1)

    def build(self, draw: Any, parameters: Mapping[str, Any]) -> Any:
        return Bistable(parameters["h"])


def test_hysteresis_lies_between_the_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY, "bistable", f"{__name__}:BistableSystem")
    grid = "grid.h={start: -1, stop: 1, num: 41}"
    plan = plan_of("system.name=bistable", grid, *TRANSITIONS, "transitions.continuation=true")
    run = sweep(plan, tmp_path)
    (row,) = pd.read_parquet(run / "transitions").to_dict("records")
    assert row["n_hysteresis"] >= 1
    low, high = min(row["h_hysteresis_low"]), max(row["h_hysteresis_high"])
    assert -TANH_FOLD < low < -TANH_FOLD + 0.05 and TANH_FOLD - 0.05 < high < TANH_FOLD
    up, down = pd.read_parquet(run / "forward"), pd.read_parquet(run / "backward")
    np.testing.assert_array_equal(up["cell_id"], down["cell_id"])
    np.testing.assert_array_equal(up["h"], down["h"])
    inside = up["h"].abs() < TANH_FOLD
    assert (up.loc[inside, "y_mean"] < -0.5).all() and (down.loc[inside, "y_mean"] > 0.5).all()
    np.testing.assert_allclose(up.loc[~inside, "y_mean"], down.loc[~inside, "y_mean"], atol=1e-9)


def test_an_orbit_that_diverged_begins_anew(tmp_path: Path) -> None:
    grid = "grid.r=[3.9, 4.5, 4.6, 3.2]"
    plan = plan_of("system=logistic", grid, *TRANSITIONS, "transitions.continuation=true", "transitions.tolerance=0.1")
    forward, backward = tables(plan, tmp_path, "forward", "backward")
    for table in (forward, backward):
        assert table["status"].tolist() == ["ok", "ok", "diverged", "diverged"]
    assert backward["period"].tolist()[0] == 2


def cell(**columns: Any) -> dict[str, np.ndarray]:
    """The columns of one cell, as a measurement leaves them: a closed curve, but for what is given."""
    row: dict[str, Any] = {
        "status": "ok", "steps": 10_000, "dimension": 4, "dtype": "float64",
        "lambda_1": 0.0, "lambda_1_se": 1e-5, "lambda_1_drift": 0.0, "lambda_1_drift_se": 2e-5,
        "exponents": [0.0, -0.2], "exponents_se": [1e-5, 1e-5], "sum_rule_residual": 0.0, "log_det_min": -1.0,
        "period": 0, "period_tolerance": 1e-9, "amplitude": 1.0, "amplitude_before": 1.0, "state_norm": 1.0,
        "y_mean": 0.1, "y_std": 0.5,
    }  # fmt: skip
    row |= columns
    row["exponents"] = [row["lambda_1"], -0.2]
    return {name: np.array([value], object if name == "status" else None) for name, value in row.items()}


AT_REST = {"period": 1, "lambda_1": -0.1, "amplitude": 0.0, "amplitude_before": 0.0, "y_mean": 0.0, "y_std": 0.0}


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ({}, {}, False),
        ({}, {"y_mean": -0.1}, False),  # a mirror image
        ({}, {"y_std": 0.51}, False),
        (AT_REST | {"y_std": 1e-16}, AT_REST | {"y_std": 3e-16}, False),  # rounding about the origin
        (AT_REST, AT_REST | {"y_mean": 1e-3}, True),
        ({}, {"y_std": 0.6}, True),  # another closed curve: lambda_1 is 0 on both
        ({}, {"period": 7, "lambda_1": -0.1}, True),
        ({"period": 7, "lambda_1": -0.1}, {"period": 14, "lambda_1": -0.1}, True),
        ({"period": 7, "lambda_1": -0.1}, {"period": 7, "lambda_1": -0.11}, True),
        ({"lambda_1": 0.1, "lambda_1_se": 1e-3}, {"lambda_1": 0.103, "lambda_1_se": 1e-3, "y_std": 0.6}, False),
        ({"lambda_1": 0.1, "lambda_1_se": 1e-3}, {"lambda_1": 0.12, "lambda_1_se": 1e-3}, True),
        ({}, {"y_std": 0.6, "amplitude": 0.5}, False),  # one of them is not settled
        (
            {"period": 2, "lambda_1": -np.inf, "lambda_1_se": np.nan, "status": "superstable"},
            {"period": 2, "lambda_1": -0.7},
            True,
        ),
        ({"period": 2, "lambda_1": -np.inf, "lambda_1_se": np.nan}, {"period": 2, "lambda_1": -np.inf}, False),
    ],
)
def test_which_attractors_are_others(one: dict[str, Any], other: dict[str, Any], apart: bool) -> None:
    assert disagree(Continuation(cell(**one), cell(**other))).tolist() == [apart]


# What a run says


def test_a_run_without_a_transition_says_so_and_its_tables_can_be_had_again(tmp_path: Path) -> None:
    words = ["system=logistic", "grid.r=[2.5,2.9]", *TRANSITIONS, *TINY, "measure.k=1", f"output={tmp_path}"]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "sweeps.run", *words], capture_output=True, text=True, cwd=ROOT)

    first = run()
    assert first.returncode == 0
    told = "no transition to chaos: grid.r must have 1 chaotic values in turn, "
    told += "got none between r = 2.5 and 2.9 in 1 network"
    assert told in first.stderr.splitlines()
    folder = Path(first.stdout.splitlines()[-1]) / "transitions"
    shutil.rmtree(folder)
    again = run()
    assert again.returncode == 0 and list(folder.iterdir())


def test_the_finest_tolerance_ends(tmp_path: Path) -> None:
    short = ("measure.transient=1100", "measure.steps=1000")
    for dtype in ("float64", "float32"):
        more = (*TRANSITIONS, "transitions.tolerance=1e-14", *short, f"backend.dtype={dtype}")
        (row,) = tables(plan_of("system=logistic", "grid.r=[3.5, 3.6]", *more), tmp_path, "transitions")[0].to_dict(
            "records"
        )
        assert row["r_chaos"] == pytest.approx(LOGISTIC_ONSET, abs=5e-3)


# The pieces


def test_what_lasts_is_found_where_it_begins() -> None:
    flags = np.array([[0, 1, 0, 1, 1, 1], [1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0]], bool)
    assert first_lasting(flags, 1).tolist() == [1, 0, 4, -1]
    assert first_lasting(flags, 2).tolist() == [3, 0, 4, -1]
    assert first_lasting(flags, 3).tolist() == [3, -1, -1, -1]


def test_intervals_have_their_ends_on_the_grid() -> None:
    values = np.array([[1.0, 2, 3, 4, 5]] * 3)
    found = _intervals("s", "windows", values, np.array([[1, 1, 0, 0, 1], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]], bool))
    assert found["n_windows"].tolist() == [2, 1, 0]
    assert [row.tolist() for row in found["s_windows_low"]] == [[1, 5], [3], []]
    assert [row.tolist() for row in found["s_windows_high"]] == [[2, 5], [3], []]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("grid.s=1",), "grid.s must have at least 2 values where transitions looks between them, got 1.0"),
        (("grid.s=[1, 2]",), "transitions.consecutive must be less than the number of values of grid.s, 2, got 3"),
        (("transitions.tolerance=0",), "transitions.tolerance must be at least 1e-14 and below 1, got 0.0"),
        (("transitions.consecutive=0",), "transitions.consecutive must be at least 1, got 0"),
        (("transitions.widow=0",), "transitions.widow is no key of transitions, which has consecutive, tolerance and"),
        (("grid.refine=-1",), "grid.refine must be between 0 and 1000, got -1"),
        (("grid.refine=1.5",), "grid.refine must be an integer, got 1.5"),
    ],
)
def test_a_transition_that_cannot_be_looked_for_gets_one_line(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        plan_of("experiment=transitions", *arguments)
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)


def test_refinement_needs_a_grid() -> None:
    with pytest.raises(ConfigError, match=r"^grid\.s must have at least 2 values where grid\.refine looks between"):
        plan_of("grid.refine=2", "grid.s=1", *TINY)
    with pytest.raises(ConfigError, match=r"^grid\.refine must be 0 where grid\.cells lists the cells, got 2$"):
        plan_of("experiment=article", "grid.refine=2")
    with pytest.raises(ConfigError, match=r"^transitions must be null where grid\.cells lists the cells, got"):
        plan_of("experiment=article", TRANSITIONS[0])
