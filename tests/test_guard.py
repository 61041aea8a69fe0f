"""Is the engine still as fast, beside the numba loop, as the ratio in benchmarks/guard.json says?"""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.guard import KEPT, RECORD, expected


def test_engine_keeps_its_ratio_to_the_numba_loop() -> None:
    """In a process of its own: this one checks every annotation, and has other flags than a sweep."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.guard"], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def test_ratios_are_those_of_the_processor_or_the_lowest() -> None:
    recorded = {"one": {"spectrum": 1.2}, "other": {"spectrum": 0.7}}
    assert expected(recorded, "one", "spectrum") == 1.2
    assert expected(recorded, "a third", "spectrum") == 0.7


def test_recorded_ratios_are_whole() -> None:
    assert 0 < KEPT < 1
    for ratios in json.loads(RECORD.read_text()).values():
        assert set(ratios) == {"lambda_1", "spectrum"} and min(ratios.values()) > 0
