"""The table on the disk: whole or not at all, believed only as far as it can show whose it is, and read by anybody."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import duckdb
import jax
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from runs import TINY, assert_identical, cells_of, plan_of, rewrite_manifest, sweep

from attractor_jax import read_run
from attractor_jax.audit import examine
from attractor_jax.parts import REPAIR, TableError, describe_part, read_part, write_part
from attractor_jax.plan import Plan
from attractor_jax.schema import SchemaError, check_columns
from attractor_jax.store import RunDirectory, read_manifest
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


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table] = lambda table: table, **about: object) -> None:
    """The same part with other numbers or other words about itself, and a checksum that fits."""
    table, before = read_part(path)
    write_part(path, change(table), before | about)


def aside(run_: Path) -> list[str]:
    there = run_ / "_aside"
    return sorted(path.name for path in there.iterdir()) if there.exists() else []


# Who may be believed


def test_a_finished_run_is_recognised(plan: Plan, copy: Path, tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path, plan)
    assert directory.done == {0, 1, 2, 3} and directory.repairs == [] and aside(copy) == []


def flip(path: Path, share: float) -> None:
    """One bit of one byte."""
    content = bytearray(path.read_bytes())
    content[min(int(share * len(content)), len(content) - 1)] ^= 0x10
    path.write_bytes(content)


def truncate(path: Path, share: float) -> None:
    os.truncate(path, int(share * path.stat().st_size))


def overwrite(path: Path, text: str) -> None:
    path.write_text(text, "latin-1")


def of_another_writer(path: Path, writer: Callable) -> None:
    writer(pd.DataFrame({"lambda_1": [0.0]}), path)


# What can happen to part 1, and how the one line that says it goes on behind its path.
DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    **{
        f"a flipped bit at {share:.0%}": (
            lambda path, share=share: flip(path, share),
            r" (is damaged \(.*\)|was not .*)",
        )
        for share in (0.0, 0.01, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
    },
    **{
        f"truncated to {share:.0%}": (lambda path, share=share: truncate(path, share), r" is damaged \(.*\)")
        for share in (0.0, 0.1, 0.5, 0.999)
    },
    "another plan's": (
        lambda path: rewrite(path, plan="0123456789ab"),
        r" belongs to another plan .*0123456789ab, part 1",
    ),
    "another place's": (
        lambda path: shutil.copy(path.with_name("part-00000.parquet"), path),
        r" belongs to another plan or place .*part 0",
    ),
    "a missing column": (
        lambda path: pq.write_table(pq.read_table(path).drop_columns(["lambda_1"]), path),
        r" is damaged \(its checksum does not fit\)",
    ),
    "missing rows": (lambda path: rewrite(path, lambda table: table.slice(1)), r" must have 50 rows, got 49"),
    "a missing column that the checksum knows nothing of": (
        lambda path: rewrite(path, lambda table: table.drop_columns(["lambda_1"])),
        r" must have the columns of the other parts",
    ),
    "a folder": (lambda path: (path.unlink(), path.mkdir(), (path / "x").write_text("")), " is a folder, and no part"),
    "pandas'": (lambda path: of_another_writer(path, pd.DataFrame.to_parquet), " was not written by a sweep"),
    "polars'": (
        lambda path: of_another_writer(path, lambda df, where: pl.from_pandas(df).write_parquet(where)),
        " was not written by a sweep",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found_said_in_one_line_and_repaired(
    kind: str, plan: Plan, copy: Path, finished: Path, tmp_path: Path
) -> None:
    spoil, line = DAMAGE[kind]
    spoil(part(copy, 1))
    spoilt = part(copy, 1).read_bytes() if part(copy, 1).is_file() else b""
    (fault,) = examine(copy).damaged.values()
    assert re.fullmatch(rf"{copy}/cells/part-00001\.parquet{line}.*: {REPAIR}", fault), fault
    if kind == "a folder":
        with pytest.raises(TableError, match="is a folder, and no part"):
            read_run(copy)
    elif kind not in ("missing rows", "a missing column that the checksum knows nothing of"):  # only all parts tell
        with pytest.raises(TableError) as refused:
            read_run(copy)
        assert str(refused.value) == fault
    assert not spoilt or part(copy, 1).read_bytes() == spoilt, "who looks changes nothing"

    directory = RunDirectory(tmp_path, plan)
    assert directory.done == {0, 2, 3}
    assert directory.repairs == [f"{fault}; moved to {copy}/_aside/cells-part-00001.parquet"]
    aside_now = copy / "_aside" / "cells-part-00001.parquet"
    assert aside_now.is_dir() or aside_now.read_bytes() == spoilt, "nothing is lost"
    sweep(plan, tmp_path)
    assert_identical(cells_of(copy), cells_of(finished))
    assert examine(copy).complete


def test_what_was_moved_aside_twice_is_kept_twice(plan: Plan, copy: Path, tmp_path: Path) -> None:
    for _ in range(2):
        truncate(part(copy, 1), 0.5)
        sweep(plan, tmp_path)
    assert aside(copy) == ["cells-part-00001.parquet", "cells-part-00001.parquet.2"]


def test_every_flipped_byte_is_found(copy: Path) -> None:
    content = part(copy, 0).read_bytes()
    for place in np.random.default_rng(0).integers(0, len(content), 400):
        spoilt = bytearray(content)
        spoilt[place] ^= 1 << (place % 8)
        part(copy, 0).write_bytes(spoilt)
        assert examine(copy).damaged, f"byte {place} of {len(content)}"


@pytest.mark.parametrize("name", ["notes.txt", "part-00004.parquet", "part-00001.parquet.bak"])
def test_what_is_no_part_of_the_plan_is_moved_aside(name: str, plan: Plan, copy: Path, tmp_path: Path) -> None:
    (copy / "cells" / name).write_text("mine")
    assert examine(copy).strangers == (copy / "cells" / name,) and not examine(copy).complete
    (said,) = RunDirectory(tmp_path, plan).repairs
    assert said == f"{copy}/cells/{name} is no part of this plan; moved to {copy}/_aside/cells-{name}"
    assert (copy / "_aside" / f"cells-{name}").read_text() == "mine"
    assert examine(copy).complete


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"plan": "x"}', "\xff\x00", "[" * 100_000])
def test_a_damaged_manifest_is_named_and_written_again(text: str, plan: Plan, copy: Path, tmp_path: Path) -> None:
    whole = (copy / "manifest.json").read_text()
    overwrite(copy / "manifest.json", text)
    for use in (lambda: examine(copy), lambda: read_run(copy)):
        with pytest.raises(TableError, match=r"manifest\.json is damaged .*: the sweep's own command writes it again$"):
            use()
    directory = RunDirectory(tmp_path, plan)
    assert directory.done == {0, 1, 2, 3} and "manifest.json is damaged" in directory.repairs[0]
    assert (copy / "manifest.json").read_text() == whole and aside(copy) == ["manifest.json"]


@pytest.mark.parametrize("place", [0.05, 0.3, 0.6, 0.9])
def test_one_digit_of_a_manifest_is_found_and_repaired(place: float, plan: Plan, copy: Path, tmp_path: Path) -> None:
    path = copy / "manifest.json"
    whole = path.read_text()
    at = next(i for i in range(int(place * len(whole)), len(whole)) if whole[i].isdigit())
    path.write_text(whole[:at] + str((int(whole[at]) + 1) % 10) + whole[at + 1 :])
    with pytest.raises(TableError, match=r"manifest\.json is damaged|numerics version"):
        read_run(copy)
    RunDirectory(tmp_path, plan)
    assert path.read_text() == whole and examine(copy).complete


def test_a_manifest_of_another_plan_is_replaced(plan: Plan, copy: Path, tmp_path: Path) -> None:
    rewrite_manifest(copy, plan="0123456789ab")
    with pytest.raises(
        TableError, match=f"must be a plan as this version of the program makes it .{plan.hash}., got 0123"
    ):
        examine(copy)
    (said,) = RunDirectory(tmp_path, plan).repairs
    assert f"belongs to another plan (0123456789ab, not {plan.hash})" in said
    assert examine(copy).complete


def test_names_in_a_manifest_lead_nowhere(copy: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(part(copy, 0), outside / "part-00000.parquet")
    config = read_manifest(copy)["config"]
    for changes in ({"experiment": "../../outside"}, {"config": config | {"name": "../../outside"}}):
        rewrite_manifest(copy, **changes)
        df = read_run(copy)
        assert len(df) == 200, "only what lies in the directory is read"
    with pytest.raises(TableError, match="name must be usable as the name of a folder"):
        examine(copy)


@pytest.mark.parametrize("place", ["", "file", "empty"])
def test_what_is_no_run_is_refused(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TableError, match="is no run directory: it has no manifest.json$"):
        read_run(tmp_path / place)


# Whole or not at all


def test_leftovers_of_dead_processes_are_swept_and_those_of_others_left(plan: Plan, copy: Path, tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    here = socket.gethostname()
    names = {
        f"part-00002.parquet.{here}.{dead.pid}": False,
        f"part-00002.parquet.{here}.{os.getppid()}": True,
        f"part-00002.parquet.elsewhere.{dead.pid}": True,
        "part-00002.parquet.elsewhere.7": False,  # of the day before yesterday
    }
    for name in names:
        (copy / "_tmp" / name).write_bytes(b"PAR1 torn")
    os.utime(copy / "_tmp" / "part-00002.parquet.elsewhere.7", (0, time.time() - 2 * 86_400))
    RunDirectory(tmp_path, plan)
    assert {path.name for path in (copy / "_tmp").iterdir()} == {name for name, stays in names.items() if stays}
    assert len(read_run(copy)) == 200


def test_a_temporary_that_somebody_took_away_is_written_again(
    plan: Plan, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    works, taken = os.replace, []

    def taken_away(source: Path, target: Path) -> None:
        if not taken and str(target).endswith("part-00001.parquet"):
            taken.append(source)
            os.unlink(source)
        works(source, target)

    monkeypatch.setattr(os, "replace", taken_away)
    assert_identical(cells_of(sweep(plan, tmp_path)), cells_of(finished))
    assert taken


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


def test_a_repair_gets_one_line(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "cells" / "notes.txt").write_text("mine")
    assert run(plan_of(*ARGUMENTS, f"output={tmp_path}")) == 0
    out, err = capsys.readouterr()
    moved = f"moved to {copy}/_aside/cells-notes.txt"
    assert err.splitlines()[0] == f"repaired: {copy}/cells/notes.txt is no part of this plan; {moved}"
    assert out == f"{copy}\n"


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
    about = [describe_part(part(finished, i)) for i in range(4)]
    assert [one["part"] for one in about] == [0, 1, 2, 3]
    assert [one["rows"] for one in about] == [50] * 4
    for one in about:
        assert set(one) == {
            "plan",
            "part",
            "rows",
            "engine",
            "dtype",
            "jaxlib",
            "device",
            "devices",
            "commit",
            "seconds",
            "sha256",
        }
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
    rewrite(part(copy, 0), lambda table: table.take(list(reversed(range(table.num_rows)))))
    assert_identical(read_run(copy), read_run(finished))


def test_parts_with_other_columns_are_never_joined(copy: Path) -> None:
    rewrite(part(copy, 2), lambda table: table.drop_columns(["lambda_1"]))
    with pytest.raises(TableError, match=r"part-00002\.parquet must have the columns of part-00000\.parquet: "):
        read_run(copy)


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
