"""Are rates of programs what they are called, and do they become tables and figures?"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import jax
import numpy as np
import pandas as pd
import pytest
import runs

from benchmarks import figures, on_gpu, scaling, throughput
from benchmarks.competitors import Case, Rate, Turn, bare, competitors, sweep, take_turns
from benchmarks.measured import Row, kept


def test_a_rate_is_steps_over_seconds() -> None:
    calls: list[str] = []
    turns = {name: Turn(lambda name=name: calls.append(name), 5e6) for name in ("one", "other")}
    rates = take_turns(turns, 3)
    assert calls == ["one", "other"] * 4  # once to compile, then in turn
    assert all(rate.low <= rate.median <= rate.high for rate in rates.values())


def test_only_those_who_can_take_part() -> None:
    several = competitors(Case(3, 4, 2, draws=1, lanes=2), ["bare", "sweep", "numba_lanes", "lyapax"], jax.devices())
    assert set(several) == {"sweep", "lyapax"}


def test_the_bare_engine_computes_the_exponents_of_the_sweep() -> None:
    case = Case(3, 5, draws=2, lanes=64)
    alone, whole = (make(case, jax.devices()[:1], steps=320).call() for make in (bare, sweep))
    for growth, measured in zip(alone, whole, strict=True):
        # The programs round apart, and chaos does the rest: the first block is 16 steps.
        assert np.abs(growth[:, 0] - measured.carry.block_growth[:, 0]).max() < 1e-9


def test_rows_become_figures(tmp_path: Path) -> None:
    def row(question: str, program: str, case: Case) -> Row:
        return Row.of(question, program, case, 1, Rate(2.0, 1.0, 3.0), 5)

    cases = [Case(4, 16), Case(8, 32, dtype="float32"), Case(4, 16, 16)]
    rivals = [row(q, "sweep", case) for q, case in zip(("rivals", "rivals", "spectrum"), cases, strict=True)]
    further = [row(question, "sweep", cases[0]) for question in ("batch", "delays", "exponents", "columns")]
    for name, rows in (("throughput", rivals), ("scaling", further)):
        assert list(kept(iter(rows), tmp_path / f"{name}.csv")) == rows
    assert pd.read_csv(tmp_path / "throughput.csv")["median"].tolist() == [2.0] * 3
    files = [str(tmp_path / f"{name}.csv") for name in ("throughput", "scaling")]
    assert figures.main([*files, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "throughput.png").is_file() and (tmp_path / "scaling.png").is_file()


def test_what_engines_differ_in_is_told(tmp_path: Path) -> None:
    cells = ("grid.N=2", "grid.D=3", "grid.seed=[0]", "measure.k=1", *runs.TINY)
    one, other, third = (
        runs.sweep(runs.plan_of(*cells, f"grid.s={s}", f"backend.dtype={dtype}"), tmp_path)
        for s, dtype in (("[0.3, 2]", "float64"), ("[0.3, 2]", "float32"), ("[0.3, 2.5]", "float64"))
    )
    assert on_gpu.furthest(one, one) == "at most 0 apart (in cell_id)"
    assert on_gpu.alike(one, one) == "100.00% of 2 regimes equal, lambda_1 within 4 standard errors in 100.00%"
    assert 0 < float(on_gpu.furthest(one, other).split()[2]) < 1e-2
    assert float(on_gpu.furthest(one, third).split()[2]) > 1e-2


@pytest.mark.parametrize(
    ("module", "words", "told"),
    [
        (throughput, ["--shapes", "4"], "must be N x D"),
        (throughput, ["--shapes", "²x4"], "must be N x D"),
        (throughput, ["--write", "/proc/x/rates.csv"], "must be a place where a file can be made"),
        (throughput, ["--write", "rates.txt"], "`--write` must end in .csv"),
        (scaling, ["--rounds", "0"], "must be a whole number from 1 on"),
        (on_gpu, ["--questions", "speed"], "invalid choice: 'speed'"),
    ],
)
def test_slips_on_the_command_line_are_one_line(
    module: ModuleType, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert module.main(words) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
