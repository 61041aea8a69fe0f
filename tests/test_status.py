"""What of a run is there: for a person, for a program, as one file, and after whatever happened to it."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import jax
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from runs import TINY, assert_identical, cells_of, plan_of

from attractor_jax.parts import METADATA, describe_part
from attractor_jax.plan import Plan
from attractor_jax.store import RunDirectory
from attractor_jax.sweep import run_sweep
from sweeps import compact, status
from sweeps.command_line import CONF, as_typed, combinations, prepare_overrides
from sweeps.run import checked

# Four parts of fifty cells: one block each.
ARGUMENTS = ("system=logistic", "grid.r={start: 2.5, stop: 4, num: 200}", "plan.part_steps=1", *TINY)
WITHOUT_JAX = (
    "import sys; from sweeps import {0} as command; code = command.main(sys.argv[1:]); "
    "sys.exit('jax' in sys.modules and 'jax!' or code)"
)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(*ARGUMENTS)


@pytest.fixture(scope="module")
def finished(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("finished")
    directory = RunDirectory(root, plan, command=["system=logistic", "grid.r={start: 2.5, stop: 4, num: 200}"])
    run_sweep(plan, directory, devices=jax.devices()[:2])
    return directory.path


@pytest.fixture
def copy(plan: Plan, finished: Path, tmp_path: Path) -> Path:
    copied = tmp_path / plan.config.name / plan.hash
    shutil.copytree(finished, copied)
    return copied


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = status.main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def program(*arguments: object, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=CONF.parent,
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options,
    )


# Status


def test_a_complete_run_is_said_to_be(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, finished) == (0, f"{finished}: 4 of 4 parts are there\ncells: 200 of 200\n", "")
    code, out, _ = told(capsys, finished, "--json")
    about = json.loads(out)
    assert code == 0 and about["complete"] and about["seconds_left"] == 0
    assert about["parts"] == {"planned": 4, "done": 4, "missing": [], "damaged": {}, "strangers": []}


def test_status_and_compact_need_no_jax(finished: Path, copy: Path) -> None:
    for name, run in (("status", finished), ("compact", copy)):
        process = program("-c", WITHOUT_JAX.format(name), run)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, ""), err


def test_what_is_wrong_is_said_with_the_command_that_goes_on(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "cells" / "part-00000.parquet").unlink()
    os.truncate(copy / "cells" / "part-00002.parquet", 100)
    (copy / "cells" / "notes.txt").write_text("mine")
    code, out, err = told(capsys, copy)
    first, cells, damaged, strange, left, command = out.splitlines()
    assert (code, err) == (1, "")
    assert first == f"{copy}: 2 of 4 parts are there, 1 missing, 1 damaged, 1 strange" and cells == "cells: 100 of 200"
    assert damaged.startswith(f"damaged: {copy}/cells/part-00002.parquet is damaged (its end is missing)")
    assert strange == f"strange: {copy}/cells/notes.txt is no part of this plan"
    assert left.startswith("time left: about ")
    words = shlex.split(command.removeprefix("go on with: python -m sweeps.run "))
    # It was put elsewhere: what goes on has to go on here.
    assert words == ["system=logistic", "grid.r={start: 2.5, stop: 4, num: 200}", f"output={copy.parent.parent}"]
    about = json.loads(told(capsys, copy, "--json")[1])
    assert about["parts"]["missing"] == [0] and list(about["parts"]["damaged"]) == ["2"]
    seconds = sum(describe_part(copy / "cells" / f"part-0000{i}.parquet")["seconds"] for i in (1, 3))
    assert about["seconds_left"] == pytest.approx(seconds)


def test_nothing_is_written_by_looking(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.truncate(copy / "cells" / "part-00002.parquet", 100)
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    told(capsys, copy)
    assert before == {path: path.stat().st_mtime_ns for path in copy.rglob("*")}


@pytest.mark.parametrize(("arguments", "code"), [(["nowhere"], 1), ([], 2), (["a", "b"], 2), (["a", "--jsn"], 2)])
def test_wrong_arguments_get_one_line(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    for main in (status.main, compact.main):
        assert main(arguments) == code
        out, err = capsys.readouterr()
        assert out == "" and len(err.splitlines()) == 1 and err.startswith("error: ")


def test_the_command_is_the_one_that_was_typed() -> None:
    typed = ["experiment=smoke", "grid.s=[1,2]", "shard.count=4", "shard.index=2", "output=x y"]
    assert as_typed(prepare_overrides(typed)) == ["experiment=smoke", "grid.s=[1,2]", "output=x y"]
    assert as_typed(typed) == ["experiment=smoke", "grid.s=[1,2]", "output=x y"]


def test_the_command_of_a_run_that_lies_where_it_was_put_is_left_alone(tmp_path: Path) -> None:
    run = tmp_path / "there" / "name" / "hash"
    assert status.that_goes_on_here([f"output={tmp_path}/there", "a=1"], run) == [f"output={tmp_path}/there", "a=1"]
    assert status.that_goes_on_here(["a=1"], run) == ["a=1", f"output={tmp_path}/there"]
    assert status.that_goes_on_here([], Path("results/name/hash")) == []


# One file


def test_one_file_has_the_rows_of_all_parts_and_what_they_say(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in (copy / "cells").iterdir()}
    assert compact.main([str(copy)]) == 0
    path = copy / "cells.parquet"
    assert capsys.readouterr().out == f"{path}\n"
    assert before == {path: path.read_bytes() for path in (copy / "cells").iterdir()}
    assert_identical(pd.read_parquet(path), cells_of(copy))
    mean = pd.read_parquet(path)["lambda_1"].mean()
    assert pl.read_parquet(path)["lambda_1"].mean() == pytest.approx(mean, rel=1e-12)
    assert duckdb.sql(f"select avg(lambda_1) from '{path}'").fetchall()[0][0] == pytest.approx(mean, rel=1e-12)
    metadata = pq.read_metadata(path)
    about = json.loads(metadata.metadata[METADATA])
    assert [one["part"] for one in about["parts"]] == [0, 1, 2, 3] and about["parts"][0]["commit"]
    assert metadata.num_row_groups == 1
    schema = pq.read_schema(path)
    assert schema.field("lambda_1").metadata[b"unit"] == b"nats per step"


def test_a_run_that_is_not_complete_is_not_made_one_file(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "cells" / "part-00001.parquet").unlink()
    assert compact.main([str(copy)]) == 1
    assert "3 of 4 parts are there, 1 missing: only a complete run" in capsys.readouterr().err
    assert not (copy / "cells.parquet").exists()


# Shards


def test_shards_make_the_table_of_one_process(plan: Plan, finished: Path, tmp_path: Path) -> None:
    for index in (2, 0, 1):
        shard = plan_of(*ARGUMENTS, "shard.count=3", f"shard.index={index}")
        directory = RunDirectory(tmp_path, shard, parts=shard.share(index, 3))
        run_sweep(shard, directory, devices=jax.devices()[:1])
    assert_identical(cells_of(directory.path), cells_of(finished))


def test_two_processes_at_the_same_parts_do_no_harm(plan: Plan, finished: Path, tmp_path: Path) -> None:
    """The second finds what the first has written in the meantime, and leaves it alone."""
    one, other = (RunDirectory(tmp_path, plan) for _ in range(2))
    run_sweep(plan, one, devices=jax.devices()[:1])
    written = {path: path.stat().st_mtime_ns for path in (one.path / "cells").iterdir()}
    seen: list[int] = []
    run_sweep(plan, other, devices=jax.devices()[:1], progress=lambda cells, steps: seen.append(cells))
    assert other.done == {0, 1, 2, 3} and seen == [50] * 4
    assert written == {path: path.stat().st_mtime_ns for path in (one.path / "cells").iterdir()}
    assert_identical(cells_of(one.path), cells_of(finished))


def test_two_runs_started_at_once_in_one_folder(tmp_path: Path, finished: Path) -> None:
    arguments = (*ARGUMENTS, f"output={tmp_path}")
    processes = [program("-m", "sweeps.run", *arguments) for _ in range(3)]
    ended = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, ended
    (run,) = {Path(out.splitlines()[-1]) for out, _ in ended}
    assert_identical(cells_of(run), cells_of(finished))
    assert list((run / "_tmp").iterdir()) == [] and not (run / "_aside").exists()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("shard.index=2", "shard.index must be below shard.count = 1: shards are counted from 0, got 2"),
        ("shard.count=0", "shard.count must be at least 1, got 0"),
        ("-m shard.count=2 shard.index=range(2) measure.k=0", "measure.k must be at least 1, got 0"),
        ("-m shard.count=2 shard.index=range(3)", "shard.index must be below shard.count = 2"),
        ("-m experiment=smoke,nothing", "experiment must be "),
        (
            "-m shard.index=range(1) hydra/launcher=slurm hydra.launcher.timeout_min=soon",
            "the configuration cannot be composed: Error merging override hydra.launcher.timeout_min=soon (Value ",
        ),
    ],
)
def test_wrong_shards_are_refused_before_anything_is_submitted(typed: str, message: str) -> None:
    from attractor_jax.config import ConfigError

    with pytest.raises(ConfigError) as refused:
        checked(shlex.split(typed))
    assert str(refused.value).startswith(message)


def test_a_launcher_that_is_not_installed_is_named_with_the_extra_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from attractor_jax.config import ConfigError

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"hydra/launcher needs the extra `cluster` .*, got 'slurm'$"):
        prepare_overrides(["hydra/launcher=slurm", "shard.index=range(2)"], several=True)


def test_jobs_of_one_plan_are_one_plan() -> None:
    _, plans, several = checked(shlex.split("-m experiment=smoke,article shard.count=3 shard.index=range(3)"))
    assert several and [plan.config.name for plan in plans] == ["smoke", "article"]
    assert len(combinations(prepare_overrides(["grid.s=1,2", "measure.k=1,2,3"], several=True))) == 6


def test_jobs_of_the_local_launcher_make_the_table(tmp_path: Path, finished: Path) -> None:
    shards = ("shard.count=2", "shard.index=range(2)", "hydra/launcher=local", "backend.devices=1")
    process = program("-m", "sweeps.run", "-m", *ARGUMENTS, *shards, f"output={tmp_path}")
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert_identical(cells_of(Path(out.splitlines()[-1])), cells_of(finished))


# Disks and folders


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for two parts or so."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=80k", "tmpfs", place], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("a small file system needs root")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_fills_up_loses_nothing(small_disk: Path, finished: Path, tmp_path: Path) -> None:
    arguments = ("-m", "sweeps.run", *ARGUMENTS, f"output={small_disk}")
    process = program(*arguments)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, "")
    assert "No space left" in err.splitlines()[-1] and "the same command goes on from there" in err.splitlines()[-1]
    assert "Traceback" not in err
    (run,) = small_disk.glob("logistic/*")
    there = sorted(path.name for path in (run / "cells").iterdir())
    assert 0 < len(there) < 4 and list((run / "_tmp").iterdir()) == []
    assert status.main([str(run)]) == 1

    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    process = program(*arguments)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert_identical(cells_of(run), cells_of(finished))


def test_a_folder_that_cannot_be_written_gets_one_line(small_disk: Path, finished: Path, plan: Plan) -> None:
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    run = small_disk / plan.config.name / plan.hash
    shutil.copytree(finished, run)
    (run / "cells" / "part-00001.parquet").unlink()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    process = program("-m", "sweeps.run", *ARGUMENTS, f"output={small_disk}")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, ""), err
    (line,) = (line for line in err.splitlines() if line.startswith("error: "))
    assert "Read-only file system" in line and "Traceback" not in err
    process = program("-m", "sweeps.status", run)
    assert "3 of 4 parts are there, 1 missing" in process.communicate(timeout=60)[0]


# Devices


@pytest.mark.parametrize("devices", [2, 4])
def test_devices_change_no_bit_even_if_there_are_more_than_blocks(devices: int, tmp_path: Path) -> None:
    ten = ("experiment=smoke", "name=ten", "grid.seed=[1,2]", "grid.s={start: 1, stop: 4, num: 5}", *TINY)
    tables = []
    for n in (1, devices):
        process = program("-m", "sweeps.run", *ten, f"backend.devices={n}", f"output={tmp_path / str(n)}")
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        tables.append(cells_of(Path(out.splitlines()[-1])))
    assert len(tables[0]) == 10
    assert_identical(tables[1], tables[0])


# Signals


def test_whoever_waits_for_jobs_can_be_stopped_and_they_go_on(tmp_path: Path) -> None:
    long = ("experiment=smoke", "name=long", "grid.D=12", "grid.seed.num=8192", "measure.k=1", "measure.steps=1e6")
    process = program(
        "-m", "sweeps.run", "-m", *long, "shard.index=range(1)", "hydra/launcher=local", f"output={tmp_path}"
    )

    def jobs() -> list[int]:
        """Processes of the launcher's jobs."""
        return [
            int(folder.name)
            for folder in Path("/proc").glob("[0-9]*")
            if f"{tmp_path}/_jobs/".encode() in _command_line(folder)
        ]

    try:
        until = time.monotonic() + 60
        while not any("_submit" in str(_command_line(Path("/proc", str(job)))) for job in jobs()):
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr is not None
        assert process.stderr.readline().startswith("stopped: jobs that were started go on; ")
        assert jobs()
    finally:
        for job in jobs():
            with contextlib.suppress(ProcessLookupError):
                os.kill(job, signal.SIGKILL)


def _command_line(folder: Path) -> bytes:
    try:
        return (folder / "cmdline").read_bytes()
    except OSError:
        return b""


# The same program, which says more often how far it is.
SAYS_MORE = "from sweeps import run, telling; telling.SECONDS_BETWEEN_LINES = 0; run.main()"


@pytest.mark.parametrize(("number", "percent", "code"), [(signal.SIGUSR2, 50, 0), (signal.SIGINT, 1, 130)])
def test_a_part_is_finished_first_if_time_allows(
    number: signal.Signals, percent: int, code: int, tmp_path: Path
) -> None:
    """Slurm's warning leaves a minute and a half for a part of some twenty seconds, a person at the keyboard five."""
    one_part = ("experiment=smoke", "name=one", "grid.D=12", "grid.seed.num=2048", "measure.k=1", "measure.steps=1e5")
    process = program("-c", SAYS_MORE, *one_part, "backend.devices=1", f"output={tmp_path}")
    assert process.stderr is not None
    while (line := process.stderr.readline()) and int(line.split("%")[0]) < percent:
        pass
    assert "cell/s" in line, "so much is done: it is known how long the rest will take"
    process.send_signal(number)
    out, err = process.communicate(timeout=180)
    assert process.returncode == code and "Traceback" not in err
    finished = list(tmp_path.rglob("part-*"))
    if code:
        assert err.splitlines()[-1].startswith("stopped: 0 of 1 parts are safe in ") and not finished
    else:
        assert "stopping: the part under way is finished first, " in err
        assert len(finished) == 1 and out.splitlines()[-1].startswith(str(tmp_path))
