"""The tables beside the cells: which a run has, how they are read, and what is believed of them."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path

import pandas as pd
import pytest
from runs import TINY, assert_identical, plan_of, rewrite_manifest, sweep

from attractor_jax import read_run
from attractor_jax.axes import select, table_axes
from attractor_jax.parts import REPAIR, TableError, read_part, write_part
from attractor_jax.plan import NUMERICS_VERSION, Plan
from attractor_jax.reading import list_tables
from attractor_jax.store import RunDirectory, read_plan

ARGUMENTS = (
    "system=logistic",
    "grid.r={start: 3.4, stop: 4, num: 50}",
    "grid.replicate={start: 0, num: 4}",
    "grid.refine=1",
    "transitions={consecutive: 2, tolerance: 0.5, continuation: true}",
    *TINY,
)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(*ARGUMENTS)


@pytest.fixture(scope="module")
def finished(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every table."""
    return sweep(plan, tmp_path_factory.mktemp("finished"))


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def test_tables_are_listed_the_cells_first(finished: Path, tmp_path: Path) -> None:
    assert list_tables(finished) == ["cells", "backward", "forward", "refined", "transitions"]
    assert list_tables(tmp_path) == [] == list_tables(tmp_path / "nowhere")


@pytest.mark.parametrize("table", ["refined", "forward", "backward"])
def test_tables_of_cells_are_labelled_as_cells_are(table: str, plan: Plan, finished: Path) -> None:
    cells, df = read_run(finished), read_run(finished, table=table)
    assert list(df.columns) == list(cells.columns) and df["regime"].dtype == cells["regime"].dtype
    assert df.attrs["axes"] == ["replicate", "r"] == table_axes(df)
    assert [run["plan"] for run in df.attrs["runs"]] == [plan.hash]
    assert df["cell_id"].is_monotonic_increasing
    if table == "refined":
        assert 0 < len(df) < len(cells) and df["cell_id"].min() >= plan.n_cells
    else:
        identity = ["cell_id", "replicate", "r"]
        assert_identical(df[identity], cells[identity])
    lax = read_run(finished, table=table, floor=1e6)
    assert (df["regime"] == "chaotic").any() and not (lax["regime"] == "chaotic").any()


def test_transitions_are_a_row_a_network_without_regimes(plan: Plan, finished: Path) -> None:
    df = read_run(finished, table="transitions")
    stored = pd.read_parquet(finished / "transitions").sort_values("cell_id", ignore_index=True)
    assert_identical(df[stored.columns], stored)
    assert df["replicate"].tolist() == [0, 1, 2, 3] and set(df["system"]) == {"logistic"} and "regime" not in df.columns
    assert df.attrs["axes"] == ["replicate"] == table_axes(df) == table_axes(stored)
    assert [run["plan"] for run in df.attrs["runs"]] == [plan.hash]
    assert len(select(df, {"replicate": 2})) == 1
    with pytest.raises(ValueError, match="`where` must name axes of the table, replicate, got 'r'"):
        select(df, {"r": 3.5})
    with pytest.raises(TableError, match=r"transitions has no regimes: thresholds \(floor\) must be left out$"):
        read_run(finished, table="transitions", floor=1.0)


@pytest.mark.parametrize("table", ["attractors", "figures", "_tmp", "", "..", "../copy/cells", "manifest.json"])
def test_a_table_that_is_not_there_gets_one_line(table: str, copy: Path) -> None:
    (copy / "figures").mkdir()
    with pytest.raises(TableError) as refused:
        read_run(copy, table=table)
    assert str(refused.value) == f"{copy} has no table {table}, only cells, backward, forward, refined, transitions"


def test_the_table_is_named_by_its_keyword_alone(finished: Path) -> None:
    with pytest.raises(TypeError):
        read_run(finished, "transitions")  # pyright: ignore[reportCallIssue]


def test_what_was_cut_off_before_its_cells_is_not_read(copy: Path) -> None:
    (copy / "cells" / "part-00000.parquet").unlink()
    for table in ("cells", "transitions"):
        with pytest.raises(TableError, match="has no finished part yet$"):
            read_run(copy, table=table)


def test_a_part_that_is_missing_beside_its_cells_is_named(copy: Path) -> None:
    cells = copy / "cells" / "part-00000.parquet"
    shutil.copy(cells, cells.with_name("part-00001.parquet"))
    with pytest.raises(TableError) as refused:
        read_run(copy, table="refined")
    missing = copy / "refined" / "part-00001.parquet"
    assert str(refused.value) == f"{missing} is missing: {REPAIR}"


def test_damage_and_strangers_are_found_in_every_table(copy: Path) -> None:
    part = copy / "transitions" / "part-00000.parquet"
    table, about = read_part(part)
    write_part(part, table, about | {"plan": "0123456789ab"})
    with pytest.raises(TableError, match=r"transitions/part-00000\.parquet belongs to another plan .*\(0123456789ab"):
        read_run(copy, table="transitions")
    os.truncate(part, part.stat().st_size // 2)
    with pytest.raises(TableError, match=r"transitions/part-00000\.parquet is damaged"):
        read_run(copy, table="transitions")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_run(copy)


def test_a_part_without_its_cells_is_not_there_whatever_became_of_its_other_tables(
    finished: Path, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copy / "cells" / "part-00000.parquet").unlink()
    root = tmp_path / "runs"
    plan = read_plan(copy)
    place = root / plan.config.name / plan.hash
    shutil.copytree(copy, place)
    os.truncate(place / "transitions" / "part-00000.parquet", 100)
    monkeypatch.setattr(RunDirectory, "_was_mended", lambda *_: True)  # by another process
    assert RunDirectory(root, plan).done == set()


def test_an_incomplete_run_is_read_with_one_warning(copy: Path) -> None:
    rewrite_manifest(copy, parts=3)
    with pytest.warns(UserWarning, match="is not complete: 1 of 3 parts are there") as warned:
        read_run(copy, table="transitions")
    assert len(warned) == 1


def test_joined_runs_hold_each_network_once(finished: Path, copy: Path) -> None:
    joined = read_run([finished, copy], table="transitions")
    one = read_run(finished, table="transitions")
    assert_identical(joined, one)
    assert joined.attrs["axes"] == ["replicate"] and len(joined.attrs["runs"]) == 2
    refined = read_run([finished, copy], table="refined")
    assert len(refined) == len(read_run(finished, table="refined"))
    with pytest.raises(TableError, match="`path` must be a run directory or a list of at least one"):
        read_run([], table="transitions")


def test_a_run_of_older_numerics_is_refused(copy: Path) -> None:
    rewrite_manifest(copy, numerics_version=1)
    with pytest.raises(TableError, match=rf"must be of numerics version {NUMERICS_VERSION}, got 1 \(see CHANGELOG"):
        read_run(copy)
