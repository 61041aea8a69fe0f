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


@pytest.mark.parametrize(
    ("system", "also"),
    [
        ("uniform", []),
        ("uniform", ["coverage"]),
        ("uniform", ["zero_one", "two_orbit"]),
        ("xor", []),
        ("continuous", []),
    ],
)
def test_every_column_is_documented(system: str, also: list[str]) -> None:
    first_cells = re.findall(r"^\| (\w+(?:, \w+)*) \|", (ROOT / "docs" / "table.md").read_text(), re.MULTILINE)
    documented = {name for cell in first_cells for name in cell.split(", ")}
    plan = plan_of(f"system={system}", f"measure.also=[{','.join(also)}]")
    axes = [] if system == "xor" else [axis.name for axis in plan.system.axes]  # theirs stand in a sentence
    columns = {column.name for column in table_columns(plan)} - {axis.name for axis in plan.system.axes}
    assert columns | set(axes) <= documented
    assert set(also) <= set(measures.OPTIONAL)
