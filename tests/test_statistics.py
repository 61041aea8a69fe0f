"""Is the standard error honest? The scatter over hundreds of starts, in units of the errors claimed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from runs import plan_of, sweep

import attractor_jax as aj


@pytest.mark.parametrize(
    "system", [("system=henon", "grid.a=1.4"), ("system=logistic", "grid.r=3.9")], ids=lambda s: s[0]
)
def test_400_starts_scatter_by_their_standard_error(system: tuple[str, str], tmp_path: Path) -> None:
    plan = plan_of(*system, "grid.replicate={start: 1, num: 400}", "measure.transient=2000", "measure.steps=10000")
    table = aj.read_run(sweep(plan, tmp_path))
    assert len(table) == 400
    assert (table.regime == "chaotic").all()
    scores = (table.lambda_1 - table.lambda_1.mean()) / table.lambda_1_se
    print(f"{system[0]}: lambda_1 = {table.lambda_1.mean():.6f}, standard deviation of the scores {scores.std():.3f}")
    assert 0.9 < scores.std() < 1.2


def test_networks_chaotic_from_two_starts_agree_within_their_errors(tmp_path: Path) -> None:
    plan = plan_of(
        "system=uniform",
        "grid.N=4",
        "grid.D=16",
        "grid.seed={start: 0, num: 400}",
        "grid.replicate=[0, 1]",
        "grid.s=[1.5, 2, 3]",
        "measure.transient=10000",
        "measure.steps=10000",
        "measure.k=1",
    )
    table = aj.read_run(sweep(plan, tmp_path)).sort_values(["replicate", "seed", "s"])
    first, second = (table[table.replicate == q].reset_index() for q in (0, 1))
    pairs = first.regime.isin(["chaotic"]) & second.regime.isin(["chaotic"])
    # All of them, those included whose two starts end on different attractors: the median does not mind a few.
    difference = (first.lambda_1 - second.lambda_1) / np.hypot(first.lambda_1_se, second.lambda_1_se)
    scores = difference[pairs].to_numpy()
    spread = 1.4826 * np.median(np.abs(scores - np.median(scores)))
    beyond = np.abs(scores) > 5
    print(f"{len(scores)} pairs: 1.4826 MAD {spread:.3f}, {beyond.sum()} ({beyond.mean():.1%}) beyond 5 errors")
    assert len(scores) >= 200
    assert 0.8 < spread < 1.35
