"""A sweep of two hundred parts, killed again and again at random moments: no row missing, none twice, all bits the
same, and no reader that failed in between.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from runs import assert_identical, cells_of

from attractor_jax.audit import examine
from sweeps.command_line import CONF

PARTS = 200
SWEEP = (
    "experiment=smoke",
    "name=killed",
    "grid.D=12",
    f"grid.seed.num={8 * PARTS}",
    "measure.steps=2000",
    "plan.part_steps=1",
    "backend.devices=1",
)


def begin(out: Path, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sweeps.run", *SWEEP, f"output={out}"],
        cwd=CONF.parent,
        env=os.environ | {"XDG_CACHE_HOME": str(home)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(out: Path, home: Path) -> Path:
    told, err = (process := begin(out, home)).communicate(timeout=300)
    assert process.returncode == 0, err
    return Path(told.splitlines()[-1])


def read_by_everybody(out: Path) -> int:
    """Rows that pandas, polars and DuckDB see, in whatever state the run is."""
    if not (there := sorted(out.glob("killed/*/cells/part-*.parquet"))):
        return 0
    cells = there[0].parent
    rows = [
        len(pd.read_parquet(cells)),
        pl.scan_parquet(cells).select(pl.len()).collect().item(),
        duckdb.sql(f"select count(*) from '{cells}/*.parquet'").fetchall()[0][0],
    ]
    assert rows == sorted(rows), "a part that was there stays there"
    return rows[-1]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def uninterrupted(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish(tmp_path_factory.mktemp("uninterrupted"), home)


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.kill)])
def test_kills_at_random_moments_lose_nothing(kills: int, uninterrupted: Path, home: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(kills)
    began = time.monotonic()
    finish(tmp_path / "timed", home)
    whole = time.monotonic() - began

    out, left = tmp_path / "0", kills
    while left:
        process = begin(out, home)
        moment = time.monotonic() + generator.uniform(0, whole)
        seen = 0
        while process.poll() is None and time.monotonic() < moment:
            assert (now := read_by_everybody(out)) >= seen
            seen = now
            time.sleep(0.02)
        process.kill()
        process.communicate()
        assert read_by_everybody(out) >= seen
        if process.returncode == -9:
            left -= 1
        else:  # it was done before: begin another
            assert process.returncode == 0
            check(finish(out, home), uninterrupted)
            out = tmp_path / str(left)
    check(finish(out, home), uninterrupted)


def check(run: Path, uninterrupted: Path) -> None:
    found = examine(run)
    assert found.complete and found.plan.n_parts == PARTS
    assert list((run / "_tmp").iterdir()) == [] and not (run / "_aside").exists()
    cells = cells_of(run)
    assert cells["cell_id"].tolist() == list(range(found.plan.n_cells))
    assert_identical(cells, cells_of(uninterrupted))
    assert (cells["lambda_1"] > 0.05).any(), "without chaos the test is too easy"
