"""python -m sweeps.check RUN [--cells 96]: would the labels of a run be the same, had it been measured otherwise?

A sample of its cells, as many of each regime, is measured again three times: with four times the steps, from another
start (where the system has starts of its own), and in the other floating-point type. For each of them a matrix says
what became of the labels, and how many of the run's cells would keep theirs; the last line is the verdict. Nothing is
written into the run. Exit code 0: the labels hold; 1: they do not, or the run cannot be read; 2: the arguments are
wrong.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attractor_jax.config import MOST_STEPS, SweepConfig
from attractor_jax.plan import Plan
from attractor_jax.store import read_plan
from sweeps.again import measured_again
from sweeps.arguments import ArgumentProblem, RunParser, answered
from sweeps.telling import one_line

if TYPE_CHECKING:
    import pandas as pd

TIMES = 4  # as many steps
OTHER_START = 1_000_000  # added to the replicate where there are so many: a start that no sweep of a few has
MORE_STEPS, ANOTHER_START = f"{TIMES} times the steps", "another start"
HOLDS = 0.95  # of the cells must keep their label for a verdict without reserve
OTHER = {"float64": "float32", "float32": "float64"}


@dataclass(frozen=True)
class Outcome:
    """What became of the sample when it was measured otherwise.

    Attributes:
        how: it was.
        matrix: counts; a row for each regime of the run, a column for each that was found now.
        kept: share of the run's cells that would keep their label, and its standard error: each regime of the sample
            counts as much as it does in the run.
    """

    how: str
    matrix: pd.DataFrame
    kept: tuple[float, float]


def main(argv: list[str] | None = None) -> int:
    return answered(lambda: _check(argv))


def _check(argv: list[str] | None) -> int:
    parser = RunParser("python -m sweeps.check", "Would the labels of a run be the same, measured otherwise?")
    parser.add_argument("--cells", type=int, default=96, help="cells in the sample (default: 96)")
    arguments = parser.parse_args(argv)
    if arguments.cells < 1:
        raise ArgumentProblem(f"`--cells` must be at least 1, got {arguments.cells}")
    plan = read_plan(arguments.run)
    shares, labelled = {}, False
    for outcome in check(arguments.run, plan, arguments.cells):
        share, error = outcome.kept
        print(f"{outcome.how}: {share:.1%} +- {error:.1%} of the cells keep their regime")
        print(outcome.matrix.to_string(), end="\n\n", flush=True)
        shares[outcome.how] = share
        labelled |= set(outcome.matrix.index) != {"unsettled"}
    more, other = shares[MORE_STEPS], shares[OTHER[plan.config.backend.dtype]]
    code, verdict = judge(more, shares.get(ANOTHER_START, 1.0), other, dtype=plan.config.backend.dtype)
    print(f"verdict: {verdict}" if labelled else "verdict: no cell of the sample has a label that could hold")
    return code


def judge(steps: float, start: float, other: float, *, dtype: str) -> tuple[int, str]:
    """The exit code and the verdict, from the shares that keep their label with more steps, from another start, and in
    the other dtype. That float32 would give other labels says nothing against those of float64.
    """
    against = [
        *(["more steps would change them (measure.steps, or measure=adaptive)"] if steps < HOLDS else []),
        *(["float64 would change them (backend.dtype)"] if other < HOLDS and dtype == "float32" else []),
    ]
    notes = [
        *(["from another start some cells end elsewhere, attractors coexist"] if start < HOLDS else []),
        *(["float32 would not do here"] if other < HOLDS and dtype == "float64" else []),
    ]
    verdict = f"the labels do not hold: {', and '.join(against)}" if against else "the labels hold"
    return (1 if against else 0), "; ".join([verdict, *notes])


def check(run: Path, plan: Plan, cells: int) -> Iterator[Outcome]:
    """The outcomes for a sample of the cells of a run and its plan, each as soon as it is known.

    Raises:
        TableError: the run cannot be read.
    """
    from attractor_jax import backend
    from attractor_jax.reading import read_run

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        table = read_run(run)
    for warning in told:
        one_line(str(warning.message))
    sample = stratified(table, cells)
    axes = [axis.name for axis in plan.system.axes]
    rows = sample[axes].to_dict("records")
    devices = backend.start(replace(plan.config.backend, devices="all"))
    for how, config in _ways(plan, rows):
        found = measured_again(config, devices)
        if how == ANOTHER_START:
            found["replicate"] = _elsewhere(plan, found["replicate"], -1)
        both = sample.merge(found, on=axes, suffixes=("", "_now"))
        yield Outcome(how, _matrix(both), _kept(table, both))


def stratified(table: pd.DataFrame, cells: int) -> pd.DataFrame:
    """About as many cells of each regime, the same ones every time."""
    regimes = table["regime"].astype(str)
    each = -(-cells // regimes.nunique())
    return table.groupby(regimes, group_keys=False).sample(frac=1, random_state=0).groupby(regimes).head(each)


def _ways(plan: Plan, rows: Sequence[Mapping[Any, Any]]) -> Iterator[tuple[str, SweepConfig]]:
    config, measure = plan.config, plan.config.measure
    # Refined cells and transitions are of whole networks: the cells of the grid are what is looked at.
    base = replace(config, grid={"cells": [dict(row) for row in rows]}, transitions=None)
    longer = replace(
        measure,
        steps=min(TIMES * measure.steps, MOST_STEPS // measure.blocks * measure.blocks),
        max_steps=None if measure.max_steps is None else min(TIMES * measure.max_steps, MOST_STEPS),
    )
    other = OTHER[config.backend.dtype]
    yield MORE_STEPS, replace(base, measure=longer)
    if "replicate" in rows[0]:  # else the axes themselves say where an orbit starts
        elsewhere = [{**row, "replicate": int(_elsewhere(plan, row["replicate"], 1))} for row in rows]
        yield ANOTHER_START, replace(base, grid={"cells": elsewhere})
    yield other, replace(base, backend=replace(config.backend, dtype=other))  # pyright: ignore[reportArgumentType]


def _elsewhere(plan: Plan, replicate: Any, way: int) -> Any:
    """Another initial state for each, or back again: some systems have few."""
    there = int(plan.system.axis("replicate").high) + 1
    return (replicate + way * min(OTHER_START, there // 2)) % there


def _matrix(both: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    before, now = (both[name].cat.remove_unused_categories() for name in ("regime", "regime_now"))
    return pd.crosstab(before.rename("in the run"), now.rename("now"))


def _kept(table: pd.DataFrame, both: pd.DataFrame) -> tuple[float, float]:
    weights = table["regime"].astype(str).value_counts(normalize=True)
    same = (both["regime"].astype(str) == both["regime_now"].astype(str)).groupby(both["regime"].astype(str))
    n, share = same.size(), same.mean()
    weights = weights.reindex(n.index).fillna(0)
    variance = share * (1 - share) / n
    return float((weights * share).sum()), float((weights**2 * variance).sum() ** 0.5)


if __name__ == "__main__":
    sys.exit(main())
