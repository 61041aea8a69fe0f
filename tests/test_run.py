"""The program as a person runs it: what it prints, how it ends, and what is left when it is stopped."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import assert_identical, cells_of

from attractor_jax import read_run
from sweeps.command_line import CONF

# Six parts of a few tenths of a second each, chaotic, so that a single other bit shows.
SIX_PARTS = (
    "experiment=smoke",
    "name=six",
    "grid.D=12",
    "grid.seed.num=48",
    "measure.k=1",
    "measure.steps=20000",
    "plan.part_steps=1",
    "backend.devices=1",
)

# The same program, but it fails if jax was imported, which takes longer than all the rest.
WITHOUT_JAX = ("-c", "import sys; from sweeps import run; run.main(); sys.exit('jax' in sys.modules and 'jax!' or 0)")

Start = Callable[..., subprocess.Popen]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """`start(argument, ...)`: the program under way, with a home of its own in which compiled programs are kept."""
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}

    def start_(*arguments: str, program: tuple[str, ...] = ("-m", "sweeps.run"), **options: object) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, *program, *arguments],
            cwd=CONF.parent,
            env=environment,
            text=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options,
        )

    return start_


def finish(process: subprocess.Popen) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err
    return process.returncode, out, err


def wait_for(pattern: str, root: Path, process: subprocess.Popen) -> None:
    """Until a file is there."""
    until = time.monotonic() + 60
    while not list(root.rglob(pattern)):
        assert process.poll() is None and time.monotonic() < until, f"ended, or hangs, without {pattern}"
        time.sleep(0.01)


def parts(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("part-*"))


@pytest.fixture(scope="module")
def uninterrupted(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("uninterrupted")
    code, out, err = finish(start(*SIX_PARTS, f"output={root}"))
    assert code == 0, err
    return Path(out.splitlines()[-1])


def test_a_finished_run_is_left_alone_at_once(uninterrupted: Path, start: Start) -> None:
    written = {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*") if path.is_file()}
    code, out, err = finish(start(*SIX_PARTS, f"output={uninterrupted.parent.parent}", program=WITHOUT_JAX))
    assert (code, out, err) == (0, f"{uninterrupted}\n", "6 of 6 parts are there already\n")
    assert written == {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*") if path.is_file()}


def test_progress_in_a_pipe_is_plain_lines(start: Start, tmp_path: Path) -> None:
    code, out, err = finish(start("system=henon", "grid.a=[1.2,1.4]", "measure.steps=1000", f"output={tmp_path}"))
    assert code == 0, err
    *_, run = out.splitlines()
    assert Path(run).parent == tmp_path / "henon"
    assert "\r" not in err and "\x1b" not in err
    (line,) = err.splitlines()
    assert "2/2" in line and "network-steps/s" in line
    df = read_run(run)
    assert df["a"].tolist() == [1.2, 1.4] and (df["status"] == "ok").all()
    assert (df["lambda_1"] > 0.2).all()


def test_progress_on_a_terminal_is_a_bar(start: Start, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = start("system=logistic", "measure.steps=1000", f"output={tmp_path}", stderr=theirs)
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # the other end hangs up
        while chunk := os.read(ours, 4096):
            seen += chunk
    os.close(ours)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and Path(out.splitlines()[-1]).is_dir()
    assert b"\r100%|" in seen and b"1/1" in seen and b"network-steps/s" in seen


@pytest.mark.parametrize("waits_for", ["part-00002.parquet", "manifest.json"])
def test_a_killed_sweep_goes_on_to_the_same_bits(
    waits_for: str, uninterrupted: Path, start: Start, tmp_path: Path
) -> None:
    process = start(*SIX_PARTS, f"output={tmp_path}")
    wait_for(waits_for, tmp_path, process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    there = parts(tmp_path)
    assert len(there) < 6
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("part-*.parquet")}

    code, out, err = finish(start(*SIX_PARTS, f"output={tmp_path}"))
    assert code == 0, err
    assert ("parts are there already" in err) == bool(before)
    run = Path(out.splitlines()[-1])
    assert run.name == uninterrupted.name
    assert all(path.stat().st_mtime_ns == when for path, when in before.items()), "what is done is left alone"
    assert list((run / "_tmp").iterdir()) == []
    assert_identical(cells_of(run), cells_of(uninterrupted))
    assert (cells_of(run)["lambda_1"] > 0.05).any(), "without chaos the test is too easy"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_sweep_leaves_a_readable_run_and_says_how_to_go_on(
    number: signal.Signals, code: int, start: Start, tmp_path: Path
) -> None:
    process = start(*SIX_PARTS, f"output={tmp_path}")
    wait_for("part-00001.parquet", tmp_path, process)
    process.send_signal(number)
    ended, out, err = finish(process)
    (manifest,) = tmp_path.rglob("manifest.json")
    run, there = manifest.parent, parts(tmp_path)
    assert (ended, out) == (code, "")
    last = err.splitlines()[-1]
    assert last == f"stopped: {len(there)} of 6 parts are safe in {run}; the same command goes on from there"
    assert 2 <= len(there) < 6 and there == [f"part-{i:05d}.parquet" for i in range(len(there))]
    assert list((run / "_tmp").iterdir()) == []
    with pytest.warns(UserWarning, match="is not complete"):
        assert len(read_run(run)) == 64 * len(there)


def test_a_sweep_that_is_stopped_before_it_began_says_so_too(start: Start, tmp_path: Path) -> None:
    process = start(*SIX_PARTS, f"output={tmp_path}")
    wait_for("manifest.json", tmp_path, process)
    process.send_signal(signal.SIGTERM)
    ended, _, err = finish(process)
    assert ended == 143 and err.splitlines()[-1].startswith("stopped: ")


def test_a_batch_of_minutes_does_not_keep_a_sweep_that_is_stopped(start: Start, tmp_path: Path) -> None:
    process = start("name=long", "grid.seed=0", "grid.s=2", "measure.steps=2e8", "measure.k=1", f"output={tmp_path}")
    wait_for("manifest.json", tmp_path, process)
    time.sleep(6)  # compiled, and in the middle of it
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    ended, _, err = finish(process)
    assert ended == 143 and err.splitlines()[-1].startswith("stopped: 0 of 1 parts are safe")
    assert time.monotonic() - began < 5


def test_a_full_disk_gets_one_line(start: Start, tmp_path: Path, uninterrupted: Path) -> None:
    """`uninterrupted` has filled the cache: nothing but the part is left to be written."""
    smallest = min(path.stat().st_size for path in uninterrupted.rglob("part-*"))
    manifest = (uninterrupted / "manifest.json").stat().st_size
    assert manifest < smallest - 1
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({smallest - 1},) * 2)"
    program = ("-c", f"{limit}; from sweeps import run; run.main()")
    code, out, err = finish(start(*SIX_PARTS, f"output={tmp_path}", program=program))
    assert (code, out) == (1, "")
    last = err.splitlines()[-1]
    assert last.startswith("error: ") and "File too large" in last
    assert last.endswith("; the same command goes on from there") and "0 of 6 parts are safe in" in last
    assert parts(tmp_path) == []


def test_a_dry_run_says_what_would_be_done_and_does_nothing(start: Start, tmp_path: Path) -> None:
    arguments = ("experiment=neurons_and_delays", "dry_run=true", "backend.memory=0.5", f"output={tmp_path}/results")
    code, out, err = finish(start(*arguments, program=WITHOUT_JAX))
    assert (code, err) == (0, "")
    assert "9,216 cells in 24 parts, float64" in out
    assert f"run directory {tmp_path}/results/neurons_and_delays/" in out
    assert out.count("draws x") == 24 and "N=16, D=64: 384 cells in" in out
    assert "compilations: 24\n" in out and "as many at once as fit into backend.memory=0.5 GiB" in out
    assert "time: about" in out and " s on " in out
    assert list(tmp_path.iterdir()) == []


def test_several_sweeps_at_once(start: Start, tmp_path: Path) -> None:
    code, out, err = finish(start("-m", "experiment=smoke,article", "dry_run=true", f"output={tmp_path}"))
    assert code == 0, err
    assert f"{tmp_path}/smoke/" in out and f"{tmp_path}/article/" in out
