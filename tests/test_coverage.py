"""Coverage of the (x1, x2) square, against a plain loop over the article's rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from runs import plan_of, sweep

import attractor_jax as aj

TRANSIENT, ALIGN, STEPS = 20, 10, 400


def covered_boxes(seed: int, N: int, D: int, s: float) -> int:
    """Boxes of a 100 x 100 grid over [-1, 1]^2 that (x1, x2) enters in the measured steps."""
    generator = np.random.RandomState(seed)
    w = 2 * generator.random_sample((N, D)) - 1
    b = s * generator.random_sample(N)
    x, y, boxes = np.full(N, 0.001), np.zeros(D), set()
    for t in range(TRANSIENT + ALIGN + STEPS + 1):
        y = np.concatenate([[b @ x], y[:-1]])
        x = np.tanh(w @ y)
        if t > TRANSIENT + ALIGN:
            # Saturated units stand on the edge of the square, which belongs to the last box.
            i, j = (min(int((value + 1) / 0.02), 99) for value in x[:2])
            boxes.add((i, j))
    return len(boxes)


def coverage(tmp_path: Path, *arguments: str):
    lengths = (f"measure.transient={TRANSIENT}", f"measure.align={ALIGN}", f"measure.steps={STEPS}", "measure.k=1")
    plan = plan_of("system=uniform", "measure.also=[coverage]", *lengths, *arguments)
    return aj.read_run(sweep(plan, tmp_path))


def test_coverage_is_the_articles_count(tmp_path: Path) -> None:
    # From quiet networks to saturated ones; short enough that chaos has not yet told two orders of summation apart.
    table = coverage(tmp_path, "grid.N=4", "grid.D=16", "grid.seed={start: 0, num: 10}", "grid.s=[0.3, 1, 2]")
    expected = [covered_boxes(row.seed, row.N, row.D, row.s) for row in table.itertuples()]
    assert max(expected) > 150
    assert min(expected) < 10
    np.testing.assert_array_equal(np.rint(table.coverage * 10_000), expected)


def test_two_units_are_the_first_two(tmp_path: Path) -> None:
    table = coverage(tmp_path, "grid.N=2", "grid.D=5", "grid.seed={start: 3, num: 4}", "grid.s=[6, 60]")
    expected = [covered_boxes(row.seed, row.N, row.D, row.s) for row in table.itertuples()]
    assert table.coverage.to_numpy() == pytest.approx(np.array(expected) / 10_000, rel=1e-6)
