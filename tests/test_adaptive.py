"""Rounds of measurement: nothing is restarted, what is decided retires, and the table depends on the plan alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import assert_identical, cells_of, plan_of, sweep
from test_sweep import engine_of, table_of

import attractor_jax as aj
from attractor_jax.adaptive import judge
from attractor_jax.config import MeasureConfig
from attractor_jax.growth import advance, begin
from attractor_jax.lyapunov import results
from attractor_jax.measurement import halve
from attractor_jax.measures.output import OutputStatistics
from attractor_jax.systems import REGISTRY, Axis, System

ADAPTIVE = ("measure=adaptive", "measure.transient=500", "measure.steps=1000", "measure.align=100")
MIXED = ("grid.N=4", "grid.D=8", "grid.seed={start: 0, num: 12}", "grid.s={start: 0.3, stop: 6, num: 8, spacing: log}")


# Doubling


@pytest.fixture(scope="module")
def doubled() -> tuple[Any, Any]:
    """A chaotic network measured for 8 blocks of 200 steps, halved and doubled, and for 8 blocks of 400 at once."""
    net = aj.feedback_network(seed=70, N=4, D=16, s=2.0)
    how = {"renormalise_every": 10, "measures": (OutputStatistics(),)}

    @partial(jax.jit, static_argnames=("twice", "discard"))
    def measured(net: Any, repeats: Any, *, twice: bool, discard: bool = False) -> Any:
        m = begin(net, net.weights[0] * 0.1, k=3, blocks=8, align=50, **how)
        if not twice:
            return advance(net, m, blocks=8, block_steps=400, **how)
        m = advance(net, m, blocks=8, block_steps=200, **how)
        m = halve(net, m, jnp.asarray(discard), measures=how["measures"])
        return advance(net, m, blocks=4, block_steps=200, repeats=repeats, **how)

    two = jnp.int32(2)
    at_once, again = measured(net, two, twice=False), measured(net, two, twice=True)
    return at_once, (again, measured(net, two, twice=True, discard=True))


def test_doubling_is_measuring_for_longer(doubled: tuple[Any, Any]) -> None:
    at_once, (again, _) = doubled
    for name in ("state", "frame", "step", "observed", "smallest_determinant"):
        np.testing.assert_array_equal(getattr(again, name), getattr(at_once, name), err_msg=name)
    for one, other in zip(jax.tree.leaves(again.observations), jax.tree.leaves(at_once.observations), strict=True):
        np.testing.assert_array_equal(one, other)
    # Only the sums are added up in another order.
    np.testing.assert_allclose(again.block_growth, at_once.block_growth, rtol=1e-13)
    np.testing.assert_allclose(again.block_log_determinant, at_once.block_log_determinant, rtol=1e-13)


def test_what_is_discarded_counts_no_more(doubled: tuple[Any, Any]) -> None:
    at_once, (kept, discarded) = doubled
    found, whole = (results(each, dimension=discarded.state.shape[-1], block_steps=400) for each in (discarded, kept))
    np.testing.assert_array_equal(found.block_means, whole.block_means)
    assert discarded.discarded == 2 and kept.discarded == 0
    means = np.asarray(whole.block_means)[2:]
    np.testing.assert_allclose(found.exponents, means.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.standard_error, means.std(axis=0, ddof=1) / np.sqrt(6), rtol=1e-9)
    np.testing.assert_allclose(found.drift, means[3:].mean(axis=0) - means[:3].mean(axis=0), rtol=1e-9)
    assert discarded.observed == 1600, "the observations began anew"
    np.testing.assert_array_equal(discarded.state, kept.state)


def test_joined_blocks_count_only_if_both_did() -> None:
    """20 blocks: 10 discarded are 5 of the next round, 3 of the one after, 2, and 1 for good."""
    net = aj.HenonMap(jnp.asarray(1.4), jnp.asarray(0.3))
    m = begin(net, jnp.array([0.1, 0.1]), k=1, blocks=20, align=10, renormalise_every=4)
    seen = []
    for discard in (True, False, False, False, False):
        m = halve(net, m, jnp.asarray(discard))
        seen.append(int(m.discarded))
    assert seen == [5, 3, 2, 1, 1]


# Who retires


def verdict(measure: MeasureConfig | None = None, **columns: Any) -> tuple[bool, bool]:
    """Does a cell go on, and is its early half discarded?"""
    row: dict[str, Any] = {
        "status": "ok", "steps": 10_000, "dimension": 4, "dtype": "float64",
        "lambda_1": 0.1, "lambda_1_se": 1e-4, "lambda_1_drift": 0.0, "lambda_1_drift_se": 2e-4,
        "exponents": [0.1, -0.2], "exponents_se": [1e-4, 1e-4], "sum_rule_residual": 0.0, "log_det_min": -1.0,
        "period": 0, "period_tolerance": 1e-9, "amplitude": 1.0, "amplitude_before": 1.0, "state_norm": 1.0,
    }  # fmt: skip
    row |= columns
    if "lambda_1" in columns:
        row["exponents"] = [columns["lambda_1"], -0.2]
    if "lambda_1_se" in columns:
        row["exponents_se"] = [columns["lambda_1_se"], 1e-4]
    config = measure or plan_of("measure=adaptive").config.measure
    found = judge(
        {name: np.array([value], object if name == "status" else None) for name, value in row.items()}, config
    )
    return bool(found.go_on[0]), bool(found.discard[0])


@pytest.mark.parametrize(
    ("columns", "go_on", "discard"),
    [
        ({}, False, False),  # chaos, known to 1e-4
        ({"lambda_1_se": 2e-3, "lambda_1": 0.1}, True, False),  # not to the error that was asked for
        ({"lambda_1_drift": -0.01}, True, True),  # halves disagree
        ({"period": 7, "lambda_1": -0.1}, False, False),
        ({"period": 7, "lambda_1": -0.1, "lambda_1_drift": -0.1}, True, True),  # a cycle since lately
        ({"amplitude": 1e-12, "lambda_1": -0.1, "steps": 100}, False, False),  # a fixed point needs few steps
        ({"lambda_1": 1e-6, "lambda_1_se": 1e-6}, False, False),  # a closed curve
        ({"lambda_1": 1e-6, "lambda_1_se": 1e-6, "steps": 1000}, True, False),  # ... whose zero is too wide yet
        ({"lambda_1": 5e-4, "lambda_1_se": 1e-6}, True, False),  # ... or weak chaos: lambda_1 T = 5
        ({"lambda_1": 1e-6, "lambda_1_se": 1e-6, "amplitude": 0.9}, True, False),  # a slow approach
        ({"lambda_1": -0.1}, True, False),  # no recurrence yet
        ({"status": "diverged", "lambda_1": np.nan}, False, True),
        ({"status": "underflow", "lambda_1": np.nan}, False, True),  # more steps would not mend it
        ({"status": "underflow", "lambda_1_se": 2e-3}, True, False),  # it was a later exponent that underflowed
        ({"amplitude": 1e-6, "lambda_1": 0.1}, True, True),  # next to an unstable point
        ({"period": 7, "lambda_1": 0.1}, True, True),  # chaos that became a cycle late
        ({"lambda_1": 3e-4, "lambda_1_se": 2e-4}, True, False),  # within its error, but a curve's is smaller
        ({"status": "superstable", "lambda_1": -np.inf, "lambda_1_se": np.nan, "period": 2}, False, False),
    ],
)  # fmt: skip
def test_who_goes_on(columns: dict[str, Any], go_on: bool, discard: bool) -> None:
    assert verdict(**columns) == (go_on, discard)


def test_the_error_asked_for_is_the_error_given() -> None:
    measure = plan_of("measure=adaptive").config.measure
    assert verdict(dataclasses.replace(measure, target_se=5e-5))[0]
    assert not verdict(dataclasses.replace(measure, target_se=2e-4))[0]


# The table


def test_batches_and_devices_change_no_bit_of_any_round() -> None:
    plan = plan_of(*MIXED, *ADAPTIVE, "measure.k=2", "measure.max_steps=16000", "measure.target_se=3e-3")
    table = table_of(plan, engine_of(plan))
    assert len(set(table["steps"] + table["transient"])) >= 4, "several rounds"
    assert (table["transient"] > 500).any(), "and some that discarded"
    assert_identical(table_of(plan, engine_of(plan, devices=1, batch=1)), table)


def test_cells_are_done_when_they_are_known_and_stop_at_max_steps(tmp_path: Path) -> None:
    plan = plan_of(*MIXED, *ADAPTIVE, "measure.k=1", "measure.max_steps=32000", "measure.target_se=2e-3")
    df = aj.read_run(sweep(plan, tmp_path))
    took = df["steps"] + df["transient"] - 500
    assert took.max() == 32_000 and took.min() == 1000
    early = took < 32_000
    assert early.mean() > 0.8
    assert (df.loc[early, "regime"] != "unsettled").all() and df.loc[early, "settled"].all()
    assert (df.loc[early, "lambda_1_se"] <= 2e-3).all()
    assert (df["settling_time"] <= df["steps"] + df["transient"] + 100).all()
    # What is measured adaptively is what is measured at length.
    fixed = aj.read_run(sweep(plan_of(*MIXED, "measure.k=1", "measure.steps=32000"), tmp_path))
    both = early & (fixed["regime"] != "unsettled")
    agree = df.loc[both, "regime"].astype(str) == fixed.loc[both, "regime"].astype(str)
    assert agree.mean() > 0.95 and both.mean() > 0.8


def test_parts_cut_the_rounds_and_a_resume_changes_no_bit(tmp_path: Path) -> None:
    arguments = (
        *MIXED,
        *ADAPTIVE,
        "measure.k=1",
        "grid.seed.num=30",
        "measure.max_steps=8000",
        "plan.part_steps=200000",
    )
    plan = plan_of(*arguments)
    assert plan.n_parts >= 3
    run = sweep(plan, tmp_path / "a")
    table = cells_of(run)
    (run / "cells" / "part-00001.parquet").unlink()
    sweep(plan, tmp_path / "a")
    assert_identical(cells_of(run), table)


# Transients


class Ending:
    """Chaos that ends: the logistic map at 3.9 while a clock runs, at 2.5 after that. The clock fades by e every 1000
    steps, and chaos ends when it falls below `until`.
    """

    def __init__(self, until: Any) -> None:
        self.until = until

    def __call__(self, state: Any) -> Any:
        x, clock = state
        return jnp.stack([jnp.where(clock > self.until, 3.9, 2.5) * x * (1 - x), clock * np.exp(-1e-3)])


class EndingSystem(System):
    name = "ending"
    axes = (Axis("until", float, 0.0, 1.0, 0.5, "of the clock"),)
    parameters = ("until",)

    def dimension(self, static: Mapping[str, int]) -> int:
        return 2

    def initial_states(self, draw: Any, axes: Any, lanes: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.tile([0.3, 1.0], (len(lanes["until"]), 1))

    def build(self, draw: Any, parameters: Mapping[str, Any]) -> Any:
        return Ending(parameters["until"])


def test_a_chaotic_transient_is_followed_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY, "ending", f"{__name__}:EndingSystem")
    ends = np.array([1500, 4000, 9000, 20_000])
    untils = [float(value) for value in np.exp(-ends / 1000)]
    plan = plan_of(
        "system.name=ending", f"grid.until={sorted(untils)}", *ADAPTIVE, "measure.k=1", "measure.target_se=1e-3",
        "measure.max_steps=64000",
    )  # fmt: skip
    df = aj.read_run(sweep(plan, tmp_path)).sort_values("until", ascending=False)
    assert (df["regime"] == "fixed_point").all() and df["settled"].all()
    # What counts was measured after the chaos, but for so little that the halves do not show it.
    assert (df["transient"] + 100 + 0.3 * df["steps"] >= ends).all()
    block = (df["steps"] / df["n_blocks"]).to_numpy()
    late = df["settling_time"].to_numpy() - ends
    assert (late > -block).all() and (late < 2 * block).all()
