"""Whatever is typed, a sweep is planned or refused in one clear line, and nothing is loaded for one that is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from attractor_jax.config import ConfigError
from attractor_jax.plan import Plan
from sweeps.command_line import CONF
from sweeps.run import checked

AXES = ("N", "D", "seed", "replicate", "s", "a", "b", "r", "t", "refine", "cells", "foo")
MEASURE = (
    "transient steps k blocks align renormalise_every longest_period period_tolerance also target_se max_steps foo"
).split()
KEYS = (
    *(f"grid.{axis}" for axis in AXES),
    *(f"measure.{key}" for key in MEASURE),
    *(f"backend.{key}" for key in ("dtype", "batch", "devices", "memory", "engine", "foo")),
    *(f"transitions.{key}" for key in ("consecutive", "tolerance", "continuation")),
    *("shard.index", "shard.count", "plan.part_steps", "system.name", "name", "output", "dry_run"),
    *("grid", "measure", "backend", "shard", "transitions", "plan", "foo", "foo.bar"),
)
GROUPS = {
    "experiment": (
        "smoke",
        "article",
        "order_to_chaos",
        "transitions",
        "second_opinions",
        "albers_chaos",
        "foo",
        "null",
    ),
    "system": ("uniform", "gaussian", "linear", "logistic", "henon", "delayed_logistic", "foo", "../uniform"),
    "measure": ("standard", "adaptive", "foo"),
    "backend": ("auto", "foo"),
}

numbers = st.one_of(
    st.integers(-3, 64),
    st.sampled_from([10**6, 10**9, 10**12, 2**31, 2**32, 2**63, 10**400]),
    st.floats(allow_nan=True, allow_infinity=True, width=64),
).map(str)
words = st.sampled_from(
    [
        "true",
        "false",
        "null",
        "abc",
        "''",
        "auto",
        "all",
        "scan",
        "fused",
        "float32",
        "1e3",
        "${oc.env:HOME}",
        "${x}",
        "{",
    ]
)
lists = st.lists(numbers | words, max_size=4).map(lambda items: f"[{','.join(items)}]")
ranges = st.dictionaries(st.sampled_from(["start", "stop", "num", "spacing", "foo"]), numbers | words, max_size=4).map(
    lambda items: "{" + ",".join(f"{key}:{value}" for key, value in items.items()) + "}"
)
sweeps = st.sampled_from(
    [
        "1,2",
        "range(3)",
        "range(0,-5)",
        "range(1,2,0)",
        "range(1000000000)",
        "glob(*)",
        "interval(1,2)",
        "choice(1,2)",
        "a,b",
    ]
)
values = st.one_of(numbers, words, lists, ranges)
assignments = st.tuples(st.sampled_from(KEYS), values).map("=".join)
swept = st.tuples(st.sampled_from((*KEYS, *GROUPS)), sweeps).map("=".join)
choices = st.sampled_from([f"{group}={choice}" for group, choices in GROUPS.items() for choice in choices])
slips = st.sampled_from(
    ["grid.s", "=1", "--foo", "-x", "~measure.steps", "+foo=1", "hydra.foo=1", "grid.s=1,2", "a b=1"]
)
command_lines = st.one_of(
    st.lists(st.one_of(assignments, assignments, choices, slips), min_size=1, max_size=4),
    st.lists(st.one_of(assignments, choices, swept), min_size=1, max_size=3).map(lambda words: ["-m", *words]),
)


@seed(20261126)
@settings(
    max_examples=480, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow], print_blob=False
)
@given(command_lines)
def test_every_command_line_is_planned_or_refused_in_one_line(arguments: list[str]) -> None:
    try:
        _, plans, _ = checked(arguments)
    except ConfigError as refused:
        assert str(refused) and "\n" not in str(refused)
        assert len(str(refused)) < 600
    else:
        assert all(isinstance(plan, Plan) for plan in plans)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """Twenty of the same command lines."""
    found: list[list[str]] = []

    @seed(7)
    @settings(max_examples=20, deadline=None, database=None, print_blob=False)
    @given(command_lines)
    def collect(arguments: list[str]) -> None:
        found.append(arguments)

    collect()
    return found


def test_as_processes_they_end_without_a_traceback_and_without_jax(told: list[list[str]], tmp_path: Path) -> None:
    program = "import sys; from sweeps import run; run.main(); sys.exit('jax' in sys.modules and 'jax!' or 0)"
    for arguments in told:
        ended = subprocess.run(
            [sys.executable, "-c", program, *arguments, "++dry_run=true", f"++output={tmp_path}"],
            cwd=CONF.parent,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode in (0, 2), (arguments, ended)
        assert "Traceback" not in ended.stderr and "jax!" not in ended.stderr, (arguments, ended.stderr)
        if ended.returncode == 2:
            assert len(ended.stderr.splitlines()) == 1 and ended.stderr.startswith("config error: "), arguments
    assert not list(tmp_path.rglob("manifest.json")), "nothing is planned on the disk"
