"""Memory does not grow with the number of steps, and little with the number of cells. Whole processes, minutes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


# A process inherits the peak of the one that started it: the sweep is started by one that is small, and not by pytest.
MEASURE = (
    "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode; "
)
MEASURE += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"


def peak_gib(*arguments: str) -> float:
    """Peak resident size of a sweep in a process of its own."""
    command = [sys.executable, "-c", MEASURE, sys.executable, "-m", "sweeps.run", *arguments]
    return int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout) / 2**20


def test_memory_does_not_grow_with_the_steps(tmp_path: Path) -> None:
    few = ("name=few", "grid.seed=[0,1]", "grid.s=[0.5,1.4,2,4]", "measure.k=1")
    # The first run compiles, which takes memory of its own: it fills the cache for the two that are compared.
    peaks = {}
    for steps in (20_000, 2_000_000):
        for attempt in ("compile", "measure"):
            peaks[steps] = peak_gib(*few, f"measure.steps={steps}", f"output={tmp_path / attempt}")
    print(f"\npeak GiB by steps: {peaks}")
    assert peaks[2_000_000] < 1.05 * peaks[20_000]


def test_a_million_cells_fit_into_three_gibibytes(tmp_path: Path) -> None:
    peak = peak_gib(
        "name=million", "grid.seed={start: 0, num: 10000}", "grid.s={start: 0.1, stop: 8, num: 100, spacing: log}",
        "measure.transient=0", "measure.steps=100", "measure.align=0", "measure.longest_period=16", "measure.k=1",
        f"output={tmp_path}",
    )  # fmt: skip
    print(f"\npeak GiB of a million cells: {peak:.2f}")
    assert peak < 3
