"""The numbers of docs/reproductions.md, where they can be counted by hand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from runs import TINY, plan_of, sweep

from benchmarks import reproductions
from sweeps.command_line import CONF

DOC = (CONF.parent / "docs" / "reproductions.md").read_text()


@pytest.mark.parametrize(
    ("regimes", "expected"),
    [
        ("....", (0, 0, 0, 0, 0)),  # never chaotic: no onset
        (".ppcc", (1, 0, 0, 0, 0)),  # what comes before the onset does not count
        ("cqpc.c", (5, 2, 1, 1, 1)),  # a window of a closed curve and a cycle; what could not be told is none
        ("cppcpp", (5, 4, 4, 2, 2)),  # the last one cut off by the end of the grid
        ("pc", (0, 0, 0, 0, 0)),
    ],
)
def test_windows_are_counted_beyond_the_onset_of_chaos(regimes: str, expected: tuple[int, ...]) -> None:
    letters = np.array(list(regimes))
    assert reproductions.window_counts(letters == "c", np.isin(letters, ["p", "q"]), letters == "p") == expected


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (7.1134, 0.28, "7.1(3)"),
        (7.1134, 0.12, "7.11(12)"),
        (0.2219, 0.0096, "0.222(10)"),
        (50.4, 6.2, "50(6)"),
        (52.0, 12.3, "52(12)"),
        (100.0, 0.0, "100"),
    ],
)
def test_a_number_with_its_error(value: float, error: float, text: str) -> None:
    assert reproductions.shown(value, error) == text


def test_the_error_of_a_mean_is_that_of_its_seeds() -> None:
    numbers = (
        np.random.default_rng(1).normal(size=(400, 1)).repeat(10, axis=1)
    )  # ten cells a seed know no more than one
    value, error = reproductions.with_error(numbers, np.mean)
    assert value == numbers.mean() and error == pytest.approx(0.05, rel=0.12)


@pytest.mark.filterwarnings("ignore:Mean of empty slice")  # a resample of nothing but the unknown one
def test_where_exponents_and_dimension_are_most() -> None:
    counts = pd.DataFrame({"seed": [0, 0, 1, 1], "s": [1.0, 2.0, 1.0, 2.0], "n_positive": [2, 3, 4, 1]}).assign(D=8)
    counts["n_positive"] = counts["n_positive"].astype("Int64")
    counts["kaplan_yorke_dimension"] = [2.0, 6.0, 2.0, np.nan]
    _, exponents, dimension = reproductions.dimension(counts)
    assert exponents[2] == "1.00" and exponents[3].startswith("3.0") and exponents[5].startswith("3.5")
    assert dimension[2] == "2.00" and dimension[3].startswith("6") and dimension[5].startswith("4")


def test_the_command_prints_the_table_of_each_claim(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = ("system=gaussian", "grid.N=4", "grid.D=4", "grid.seed={start: 0, num: 3}", "grid.s=[0.25, 1, 4, 8, 16]")
    run = sweep(plan_of(*grid, *TINY), tmp_path)
    for claim, rows in (("chaos", 1), ("dimension", 2), ("windows", 1)):
        assert reproductions.main([claim, str(run)]) == 0
        printed = capsys.readouterr().out.splitlines()
        assert len(printed) == rows + 2 and len({line.count("|") for line in printed}) == 1
        assert printed[0] in DOC, "the document has this table"
    assert reproductions.main(["chaos", str(tmp_path)]) == 1
    assert "manifest.json" in capsys.readouterr().err


def test_the_document_has_the_bifurcations_as_they_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert reproductions.main(["bifurcations"]) == 0
    assert capsys.readouterr().out in DOC
    assert len(re.findall(r"python -m sweeps\.run experiment=albers_\w+", DOC)) == 3
