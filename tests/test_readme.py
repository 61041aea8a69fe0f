"""The README tells the truth: its Python runs, its commands exist, its table of columns is complete."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from attractor_jax import measures
from attractor_jax.sweep import table_columns
from tests.runs import plan_of

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_ten_lines_run_as_they_stand() -> None:
    """In a process of their own: they say themselves what they switch on."""
    code = blocks("python")[0]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = re.match(r"lambda_1 = (0\.\d+) \+- (0\.\d+) nats per step, sum rule to \de-1\d\n", done.stdout)
    assert found, done.stdout
    value, error = map(float, found.groups())
    assert abs(value - 0.1114) < 5 * error


def test_named_experiments_and_systems_are_those_that_exist() -> None:
    for folder in ("experiment", "system"):
        for path in (ROOT / "conf" / folder).glob("*.yaml"):
            assert f"`{path.stem}`" in README, path


@pytest.mark.parametrize("also", [[], ["coverage"], ["zero_one", "two_orbit"]])
def test_every_column_is_documented(also: list[str]) -> None:
    documented = set(re.findall(r"^\| (\w+) \|", (ROOT / "docs" / "table.md").read_text(), re.MULTILINE))
    plan = plan_of(f"measure.also=[{','.join(also)}]")
    assert {column.name for column in table_columns(plan)} <= documented
    assert set(also) <= set(measures.OPTIONAL)
