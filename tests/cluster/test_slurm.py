"""A sweep on a real Slurm: shared among the jobs of an array, killed, cancelled, stopped and timed out, and made whole
by the same line.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from runs import assert_identical, cells_of

pytestmark = pytest.mark.slurm

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SHARDS = 16

# 96 parts of one block each, a second or so of one core.
SWEEP = ("experiment=order_to_chaos", "plan.part_steps=1")
ON_SLURM = (
    "-m",
    f"shard.count={SHARDS}",
    f"shard.index=range({SHARDS})",
    "hydra/launcher=slurm",
    "hydra.launcher.cpus_per_task=1",
    "hydra.launcher.mem_gb=1",
    "backend.devices=1",
)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", *arguments]


def told(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of all commands: one place for compiled programs, as a cluster's home folder is."""
    return os.environ | {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="module")
def single(home: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sweep in one process."""
    out = tmp_path_factory.mktemp("single")
    done = subprocess.run(
        command("sweeps.run", *SWEEP, f"output={out}"), cwd=ROOT, env=home, check=True, capture_output=True, text=True
    )
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def slurm(single: Path) -> Iterator[None]:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("a Slurm out of nothing needs root and apt-get")
    with tempfile.TemporaryDirectory(prefix="slurm") as folder:  # where other users can go: the database is one
        try:
            up = subprocess.run([HERE / "slurm.sh", "up", folder], timeout=240, env=os.environ | {"SLOTS": "4"})
            if up.returncode == 77 or (up.returncode and "SLURM_OR_SKIP" in os.environ):
                pytest.skip("a Slurm cannot be installed or started here")
            assert up.returncode == 0
            yield
        finally:
            subprocess.run([HERE / "slurm.sh", "down", folder], check=True, timeout=120)


def launch(home: dict[str, str], out: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("sweeps.run", *SWEEP, *ON_SLURM, f"output={out}", *more),
        cwd=ROOT,
        env=home,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def processes(out: Path) -> dict[str, int]:
    """Process of each running job of this output, by its name in the queue, as `12_3`."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
            job = (folder / "environ").read_bytes().decode(errors="replace")
        except (OSError, ProcessLookupError):
            continue
        if "submitit.core._submit" in words and "python" in Path(words[0]).name and str(out) in " ".join(words):
            about = dict(word.partition("=")[::2] for word in job.split("\0"))
            if "SLURM_ARRAY_JOB_ID" not in about:  # it is ending
                continue
            found[f"{about['SLURM_ARRAY_JOB_ID']}_{about['SLURM_ARRAY_TASK_ID']}"] = int(folder.name)
    return found


def status(out: Path, home: dict[str, str]) -> tuple[int, str]:
    (run,) = (path.parent for path in out.glob("*/*/manifest.json"))
    done = subprocess.run(command("sweeps.status", str(run)), cwd=ROOT, env=home, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def until(what: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


def test_sixteen_shards_on_four_slots_make_the_table_of_one_process(
    slurm: None, single: Path, home: dict[str, str], tmp_path: Path
) -> None:
    out, err = (process := launch(home, tmp_path)).communicate(timeout=200)
    assert process.returncode == 0, err
    run = Path(out.splitlines()[-1])
    assert run.name == single.name
    assert_identical(cells_of(run), cells_of(single))
    assert status(tmp_path, home) == (0, f"{run}: 96 of 96 parts are there\ncells: 6,144 of 6,144\n")


def test_what_befell_the_jobs_is_made_good_by_the_same_line(
    slurm: None, single: Path, home: dict[str, str], tmp_path: Path
) -> None:
    process = launch(home, tmp_path, "hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=20")
    struck: set[str] = set()

    def strike(number: signal.Signals) -> str:
        """Send a signal to a job that is in the middle of its work, and give its name."""
        fresh: dict[str, int] = {}

        def there() -> bool:
            loaded = {path.parent.name for path in tmp_path.glob("_jobs/*/*_log.out") if "Loading" in path.read_text()}
            running = processes(tmp_path)
            fresh.update({job: running[job] for job in running.keys() & loaded - struck})
            return bool(fresh)

        while True:
            fresh.clear()
            until(there, 60)
            job = max(fresh, key=lambda job: fresh[job])  # the youngest
            struck.add(job)
            time.sleep(0.7)
            with contextlib.suppress(ProcessLookupError):
                os.kill(fresh[job], number)
                return job

    for _ in range(3):
        strike(signal.SIGKILL)
    hung = strike(signal.SIGSTOP)  # and so it will meet its time limit
    told("scancel", strike(signal.SIGCONT))
    warned = strike(signal.SIGUSR2)  # as Slurm does before the time limit, or where a more urgent job comes

    _, err = process.communicate(timeout=150)
    assert process.returncode == 1
    assert "Traceback" not in err
    until(lambda: not told("squeue", "-h").strip(), 150)
    for job in (hung, warned):  # both go back into the queue: Slurm wakes whom it warns
        log = "".join(path.read_text() for path in tmp_path.glob(f"_jobs/{job}/*_log.*"))
        assert "stopped: " in log and "the same command goes on from there" in log, log
        assert "DUE TO JOB REQUEUE" in log and log.count("Starting with") == 2, log
    states = told("sacct", "-n", "-X", "-P", "-o", "JobID,State").splitlines()
    assert sum(state.endswith("|FAILED") for state in states) == 3, states
    assert sum("|CANCELLED" in state for state in states) == 1, states
    code, said = status(tmp_path, home)
    assert code == 1 and " missing" in said and "damaged" not in said
    assert "go on with: python -m sweeps.run " in said and "shard.index=range(16)" in said

    out, err = (again := launch(home, tmp_path)).communicate(timeout=150)
    assert again.returncode == 0, err
    run = Path(out.splitlines()[-1])
    assert_identical(cells_of(run), cells_of(single))
    assert status(tmp_path, home)[0] == 0
    assert list((run / "_aside").glob("*")) == []
