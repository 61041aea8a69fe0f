"""Memory does not grow with the number of steps, and little with the number of cells. Whole processes, minutes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


def peak_gib(*arguments: str) -> float:
    """Peak resident size of a sweep in a process of its own."""
    process = subprocess.Popen([sys.executable, "-m", "sweeps.run", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss / 2**20


def test_memory_does_not_grow_with_the_steps(tmp_path: Path) -> None:
    few = ("name=few", "grid.seed=[0,1]", "grid.s=[0.5,1.4,2,4]", "measure.k=1")
    # The first run compiles, which takes memory of its own: it fills the cache for the two that are compared.
    peaks = {}
    for steps in (20_000, 2_000_000):
        for attempt in ("compile", "measure"):
            peaks[steps] = peak_gib(*few, f"measure.steps={steps}", f"output={tmp_path / attempt}")
    print(f"\npeak GiB by steps: {peaks}")
    assert peaks[2_000_000] == pytest.approx(peaks[20_000], rel=0.05)


def test_a_million_cells_fit_into_three_gibibytes(tmp_path: Path) -> None:
    peak = peak_gib(
        "name=million", "grid.seed={start: 0, num: 10000}", "grid.s={start: 0.1, stop: 8, num: 100, spacing: log}",
        "measure.transient=0", "measure.steps=100", "measure.align=0", "measure.longest_period=16", "measure.k=1",
        f"output={tmp_path}",
    )  # fmt: skip
    print(f"\npeak GiB of a million cells: {peak:.2f}")
    assert peak < 3
