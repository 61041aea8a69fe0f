"""Would labels be the same, measured otherwise? Yes where orbits have settled, no where transients are cut short."""

from __future__ import annotations

import os
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from runs import plan_of, sweep

from attractor_jax import read_run
from attractor_jax.store import read_plan
from sweeps import check as command
from sweeps.check import OTHER_START, _kept, check, judge, stratified


@pytest.fixture(autouse=True)
def devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the tests have, however many cores there are."""
    monkeypatch.setattr("attractor_jax.backend.start", lambda config: jax.devices())


@pytest.fixture(scope="module")
def logistic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    arguments = ("system=logistic", "grid.r={start: 2.5, stop: 4, num: 120}", "grid.replicate=[0, 1]")
    return sweep(plan_of(*arguments, "measure.transient=1000", "measure.steps=4000"), tmp_path_factory.mktemp("run"))


def test_the_sample_has_as_many_of_each_regime_and_is_the_same_every_time(logistic: Path) -> None:
    table = read_run(logistic)
    sample = stratified(table, 12)
    counts = sample["regime"].astype(str).value_counts()
    regimes = table["regime"].astype(str).nunique()
    assert counts.max() == -(-12 // regimes) and len(counts) == regimes
    pd.testing.assert_frame_equal(sample, stratified(table, 12))
    assert len(stratified(table, 10_000)) == len(table)


def test_labels_of_the_logistic_map_hold(logistic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in logistic.rglob("*")}
    assert command.main([str(logistic), "--cells", "40"]) == 0
    out = capsys.readouterr().out
    assert out.count("of the cells keep their regime") == 3 and out.splitlines()[-1].startswith(
        "verdict: the labels hold"
    )
    assert "4 times the steps: " in out and "another start: " in out and "float32: " in out
    assert before == {path: path.stat().st_mtime_ns for path in logistic.rglob("*")}, "nothing is written into the run"


def test_each_way_measures_what_it_says(logistic: Path) -> None:
    longer, elsewhere, single = check(logistic, read_plan(logistic), 20)
    assert longer.matrix.to_numpy().sum() == elsewhere.matrix.to_numpy().sum() == single.matrix.to_numpy().sum() >= 20
    assert (np.diag(longer.matrix.reindex(columns=longer.matrix.index, fill_value=0)) > 0).any()
    assert OTHER_START < 2**31 - 1


def test_labels_that_come_from_a_transient_do_not_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A hundred steps after none: hardly any orbit has settled."""
    arguments = ("grid.seed={start: 0, num: 24}", "grid.s=[2, 4]", "measure.k=1", "measure.blocks=10")
    short = plan_of(
        *arguments, "measure.transient=0", "measure.align=8", "measure.steps=100", "measure.longest_period=64"
    )
    assert command.main([str(sweep(short, tmp_path))]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("verdict: the labels do not hold: more steps would change them")


@pytest.mark.parametrize(
    ("shares", "dtype", "code", "verdict"),
    [
        ((0.99, 0.99, 0.99), "float64", 0, "the labels hold"),
        (
            (0.99, 0.90, 0.99),
            "float64",
            0,
            "the labels hold; from another start some cells end elsewhere, attractors coexist",
        ),
        ((0.99, 0.99, 0.90), "float64", 0, "the labels hold; float32 would not do here"),
        ((0.99, 0.99, 0.90), "float32", 1, "the labels do not hold: float64 would change them (backend.dtype)"),
        (
            (0.90, 0.99, 0.90),
            "float32",
            1,
            "the labels do not hold: more steps would change them (measure.steps, or measure=adaptive), "
            "and float64 would change them (backend.dtype)",
        ),
    ],
)
def test_the_verdict(shares: tuple[float, float, float], dtype: str, code: int, verdict: str) -> None:
    assert judge(*shares, dtype=dtype) == (code, verdict)


def test_each_regime_counts_as_it_does_in_the_run() -> None:
    regimes = pd.Categorical(["periodic"] * 90 + ["chaotic"] * 10)
    table = pd.DataFrame({"regime": regimes})
    both = pd.DataFrame(
        {"regime": ["periodic"] * 4 + ["chaotic"] * 4, "regime_now": ["periodic"] * 4 + ["chaotic", "periodic"] * 2}
    )
    share, error = _kept(table, both)
    assert share == pytest.approx(0.9 * 1 + 0.1 * 0.5)
    assert error == pytest.approx(0.1 * 0.5 / 2)


@pytest.mark.parametrize(
    ("arguments", "code"), [(["nowhere"], 1), ([], 2), (["x", "--cells", "0"], 2), (["x", "--cells", "many"], 2)]
)
def test_wrong_arguments_get_one_line(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(arguments) == code
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and err.startswith("error: "), os.fspath(err)
