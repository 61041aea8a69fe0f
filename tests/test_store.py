"""The table on the disk: whole or not at all, believed only as far as it can show whose it is, and read by anybody."""

from __future__ import annotations

import errno
import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import duckdb
import jax
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from runs import TINY, assert_identical, cells_of, plan_of, sweep

from attractor_jax import read_run
from attractor_jax.plan import Plan
from attractor_jax.schema import SchemaError, check_columns
from attractor_jax.store import RunDirectory, TableError, read_manifest, read_part_metadata
from attractor_jax.sweep import run_sweep
from attractor_jax.systems.classic import Logistic
from sweeps.run import run

# Four parts of fifty cells: one block each.
ARGUMENTS = ("system=logistic", "grid.r={start: 2.5, stop: 4, num: 200}", "plan.part_steps=1", *TINY)


@pytest.fixture(scope="module")
def plan() -> Plan:
    plan = plan_of(*ARGUMENTS)
    assert plan.n_parts == 4
    return plan


@pytest.fixture(scope="module")
def finished(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sweep(plan, tmp_path_factory.mktemp("finished"))


@pytest.fixture
def copy(plan: Plan, finished: Path, tmp_path: Path) -> Path:
    """A run directory to be spoilt; its root is `tmp_path`."""
    copied = tmp_path / plan.config.name / plan.hash
    shutil.copytree(finished, copied)
    return copied


def part(run_: Path, index: int) -> Path:
    return run_ / "cells" / f"part-{index:05d}.parquet"


def rewrite(path: Path, **about: object) -> None:
    """The same part with other words about itself."""
    table = pq.ParquetFile(path).read()
    metadata = {**table.schema.metadata, b"attractor_jax": json.dumps(read_part_metadata(path) | about).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path)


# Who may be believed


def test_a_finished_run_is_recognised(plan: Plan, copy: Path, tmp_path: Path) -> None:
    assert RunDirectory(tmp_path, plan).done == {0, 1, 2, 3}


def test_a_manifest_of_another_plan_is_refused(plan: Plan, copy: Path, tmp_path: Path) -> None:
    manifest = copy / "manifest.json"
    manifest.write_text(manifest.read_text().replace(plan.hash, "0123456789ab"))
    with pytest.raises(TableError, match=f"belongs to another plan .0123456789ab, not {plan.hash}.*another output"):
        RunDirectory(tmp_path, plan)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"plan": "x"}', "\xff\x00"])
def test_a_damaged_manifest_is_refused(text: str, plan: Plan, copy: Path, tmp_path: Path) -> None:
    (copy / "manifest.json").write_text(text, "latin-1")
    for use in (lambda: RunDirectory(tmp_path, plan), lambda: read_run(copy)):
        with pytest.raises(TableError, match=r"manifest\.json is damaged .*: move it away and run again$"):
            use()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_truncated_part_is_refused(share: float, plan: Plan, copy: Path, tmp_path: Path) -> None:
    os.truncate(part(copy, 2), int(share * part(copy, 2).stat().st_size))
    for use in (lambda: RunDirectory(tmp_path, plan), lambda: read_run(copy)):
        with pytest.raises(
            TableError, match=r"part-00002\.parquet is damaged .*move it away and run again$"
        ) as refused:
            use()
        assert "\n" not in str(refused.value)
    part(copy, 2).unlink()
    assert RunDirectory(tmp_path, plan).done == {0, 1, 3}


@pytest.mark.parametrize("writer", [pd.DataFrame.to_parquet, lambda df, path: pl.from_pandas(df).write_parquet(path)])
def test_a_foreign_table_is_refused(writer: Callable, plan: Plan, copy: Path, tmp_path: Path) -> None:
    writer(pd.DataFrame({"lambda_1": [0.0]}), part(copy, 1))
    for use in (lambda: RunDirectory(tmp_path, plan), lambda: read_run(copy)):
        with pytest.raises(TableError, match=r"part-00001\.parquet was not written by a sweep"):
            use()


@pytest.mark.parametrize("name", ["notes.txt", "part-00004.parquet", "part-00001.parquet.bak"])
def test_what_is_no_part_of_the_plan_is_refused(name: str, plan: Plan, copy: Path, tmp_path: Path) -> None:
    (copy / "cells" / name).write_text("mine")
    with pytest.raises(TableError, match=f"{name} is no part of this plan: move it away and run again"):
        RunDirectory(tmp_path, plan)


def test_a_part_of_another_plan_or_place_is_refused(plan: Plan, copy: Path, tmp_path: Path) -> None:
    shutil.copy(part(copy, 0), part(copy, 1))
    with pytest.raises(TableError, match=r"part-00001\.parquet belongs to another"):
        RunDirectory(tmp_path, plan)
    rewrite(part(copy, 1), plan="0123456789ab", part=1)
    for use in (lambda: RunDirectory(tmp_path, plan), lambda: read_run(copy)):
        with pytest.raises(TableError, match=r"part-00001\.parquet belongs to another plan \(0123456789ab"):
            use()


@pytest.mark.parametrize("place", ["", "file", "empty"])
def test_what_is_no_run_is_refused(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TableError, match="is no run directory: it has no manifest.json$"):
        read_run(tmp_path / place)


# Whole or not at all


def test_leftovers_of_a_killed_sweep_are_swept(plan: Plan, copy: Path, tmp_path: Path) -> None:
    (copy / "_tmp" / "part-00002.parquet.12345").write_bytes(b"PAR1 torn")
    RunDirectory(tmp_path, plan)
    assert list((copy / "_tmp").iterdir()) == []


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def torn_write(table: pa.Table, path: Path, **_: object) -> None:
    path.write_bytes(b"PAR1 torn")
    full_disk()


@pytest.mark.parametrize(("module", "name", "fault"), [(pq, "write_table", torn_write), (os, "replace", full_disk)])
def test_a_failing_write_loses_nothing(
    module: object, name: str, fault: Callable, plan: Plan, finished: Path, tmp_path: Path
) -> None:
    directory = RunDirectory(tmp_path, plan)
    works, calls = getattr(module, name), []

    def until_the_third_part(*args: object, **kwargs: object) -> object:
        calls.append(args)
        return (works if len(calls) < 3 else fault)(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, until_the_third_part)
        with pytest.raises(OSError, match="No space left"):
            sweep(plan, tmp_path)
    run_ = directory.path
    assert sorted(path.name for path in (run_ / "cells").iterdir()) == ["part-00000.parquet", "part-00001.parquet"]
    assert list((run_ / "_tmp").iterdir()) == []
    written = part(run_, 1).stat().st_mtime_ns

    sweep(plan, tmp_path)
    assert part(run_, 1).stat().st_mtime_ns == written, "a part that is done is left alone"
    assert_identical(cells_of(run_), cells_of(finished))


def test_a_place_that_cannot_be_written_gets_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    assert run(plan_of(*ARGUMENTS, f"output={tmp_path}/file/results")) == 1
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert line.startswith(f"error: output={tmp_path}/file/results cannot be used: ") and out == ""


def test_a_run_of_another_plan_gets_one_line(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "cells" / "notes.txt").write_text("mine")
    assert run(plan_of(*ARGUMENTS, f"output={tmp_path}")) == 1
    assert (
        capsys.readouterr().err
        == f"error: {copy}/cells/notes.txt is no part of this plan: move it away and run again\n"
    )


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 7 GiB\n  in a fusion"), "RESOURCE_EXHAUSTED: 7 GiB (backend."),
        (SchemaError("columns do not match"), "columns do not match; "),
    ],
)
def test_what_fails_on_the_way_gets_one_line(
    error: Exception,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("attractor_jax.backend.start", lambda config: jax.devices())
    monkeypatch.setattr("attractor_jax.sweep.run_sweep", failing)
    assert run(plan_of(*ARGUMENTS, f"output={tmp_path}")) == 1
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert line.startswith(f"error: {message}") and line.endswith("the same command goes on from there") and out == ""


# What stands in it


def test_missing_and_extra_columns_are_refused() -> None:
    check_columns(["a", "b"], ["b", "a"])
    with pytest.raises(SchemaError, match=r"missing \['b'\], extra \['c'\]"):
        check_columns(["a", "b"], ["a", "c"])


def test_a_system_that_computes_an_undeclared_column_is_refused(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Logistic, "closed_form", lambda self, draws, parameters: {"r_squared": parameters["r"] ** 2})
    with pytest.raises(SchemaError, match=r"missing \[\], extra \['r_squared'\]"):
        sweep(plan, tmp_path)


def test_a_part_says_where_it_comes_from(plan: Plan, finished: Path) -> None:
    about = [read_part_metadata(part(finished, i)) for i in range(4)]
    assert [one["part"] for one in about] == [0, 1, 2, 3]
    assert [one["rows"] for one in about] == [50] * 4
    for one in about:
        assert set(one) == {"plan", "part", "rows", "engine", "dtype", "jaxlib", "device", "commit", "seconds"}
        assert one["plan"] == plan.hash and one["dtype"] == "float64" and one["commit"] and one["device"]


def test_columns_have_kinds_units_and_an_encoding(finished: Path) -> None:
    file = pq.ParquetFile(part(finished, 0))
    schema = file.schema_arrow
    assert schema.field("lambda_1").metadata == {b"unit": b"nats per step", b"meaning": b"largest Lyapunov exponent"}
    assert schema.field("steps").metadata[b"unit"] == b"steps"
    assert all(field.metadata[b"meaning"] for field in schema)
    assert schema.field("exponents").type == pa.list_(pa.float64(), 1)
    assert pa.types.is_dictionary(schema.field("status").type)
    assert {str(field.type) for field in schema if pa.types.is_floating(field.type)} == {"double"}
    chunks = file.metadata.row_group(0)
    columns = [chunks.column(i) for i in range(chunks.num_columns)]
    assert {column.compression for column in columns} == {"ZSTD"}
    split = {column.path_in_schema for column in columns if "BYTE_STREAM_SPLIT" in column.encodings}
    assert {"lambda_1", "r", "exponents.list.element"} <= split and "status" not in split


def test_pandas_polars_and_duckdb_read_it_alike(finished: Path) -> None:
    expected = pd.read_parquet(finished / "cells")["lambda_1"].mean()
    assert pl.read_parquet(finished / "cells")["lambda_1"].mean() == pytest.approx(expected, rel=1e-12)
    query = f"select avg(lambda_1), count(*) from '{finished}/cells/*.parquet'"
    assert duckdb.sql(query).fetchall() == [(pytest.approx(expected, rel=1e-12), 200)]


# Read back


def test_read_run_gives_cells_in_order_with_regimes_and_provenance(plan: Plan, finished: Path) -> None:
    df = read_run(finished)
    assert df["cell_id"].tolist() == list(range(200)) and df["r"].is_monotonic_increasing
    assert set(df["system"]) == {"logistic"} and df["regime"].notna().all()
    assert df.attrs["axes"] == ["replicate", "r"]
    (about,) = df.attrs["runs"]
    assert about["plan"] == plan.hash and [one["part"] for one in about["provenance"]] == [0, 1, 2, 3]
    assert_identical(df[cells_of(finished).columns], cells_of(finished))


def test_read_run_gives_cells_in_order_whatever_the_order_of_the_rows(finished: Path, copy: Path) -> None:
    file = pq.ParquetFile(part(copy, 0))
    table = file.read()
    pq.write_table(table.take(list(reversed(range(table.num_rows)))), part(copy, 0))
    assert_identical(read_run(copy), read_run(finished))


def test_thresholds_are_passed_on(finished: Path) -> None:
    strict, lax = read_run(finished), read_run(finished, floor=1e6)
    assert (strict["regime"] == "chaotic").any() and not (lax["regime"] == "chaotic").any()


def test_an_incomplete_run_is_read_with_a_warning(copy: Path) -> None:
    part(copy, 1).unlink()
    with pytest.warns(UserWarning, match="is not complete: 3 of 4 parts are there") as warned:
        assert len(read_run(copy)) == 150
    assert len(warned) == 1
    for path in (copy / "cells").iterdir():
        path.unlink()
    with pytest.raises(TableError, match="has no finished part yet"):
        read_run(copy)


def test_a_run_of_several_commits_warns_once(copy: Path) -> None:
    for i in (0, 1):
        rewrite(part(copy, i), commit="0123456789")
    with pytest.warns(UserWarning, match="mixes several values of commit: 0123456789, ") as warned:
        read_run(copy)
    assert len(warned) == 1


def test_a_whole_run_of_one_commit_does_not_warn(finished: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_run(finished)


def test_joined_runs_hold_each_cell_once(finished: Path, tmp_path: Path) -> None:
    one = cells_of(finished)
    shared = one["r"][150:].tolist()
    other = plan_of("system=logistic", f"grid.r={[*shared, 4.5]}", *TINY)
    low = plan_of("system=logistic", f"grid.r={shared[:10]}", "backend.dtype=float32", *TINY)
    joined = read_run([finished, sweep(other, tmp_path), sweep(low, tmp_path)])
    # The fifty that stand in both runs are one cell each; the ten of the other dtype are cells of their own.
    assert len(joined) == 200 + 1 + 10
    assert not joined.duplicated(["system", "replicate", "r", "dtype"]).any()
    assert joined["regime"].dtype == read_run(finished)["regime"].dtype
    assert [run_["plan"] for run_ in joined.attrs["runs"]] == [read_manifest(finished)["plan"], other.hash, low.hash]
    with pytest.raises(TableError, match="`path` must be a run directory or a list of at least one"):
        read_run([])


def test_runs_of_different_systems_are_joined(finished: Path, tmp_path: Path) -> None:
    henon = sweep(plan_of("system=henon", "grid.a=[1.2, 1.4]", *TINY), tmp_path)
    joined = read_run([finished, henon])
    assert joined["system"].value_counts().to_dict() == {"logistic": 200, "henon": 2}
    assert joined["r"].isna().sum() == 2 and joined["a"].isna().sum() == 200


def test_progress_counts_every_cell(plan: Plan, tmp_path: Path) -> None:
    seen: list[tuple[int, float]] = []
    directory = RunDirectory(tmp_path, plan)
    run_sweep(plan, directory, devices=jax.devices()[:1], progress=lambda *done: seen.append(done))
    assert sum(cells for cells, _ in seen) == 200
    measure = plan.config.measure
    per_cell = measure.transient + measure.align + measure.steps + measure.longest_period
    assert all(steps == cells * per_cell for cells, steps in seen)
