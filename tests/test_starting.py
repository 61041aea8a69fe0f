"""What does a sweep pay before its first step? Compilations: one a static shape, and none beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runs import TINY, plan_of, sweep


def test_a_sweep_compiles_one_program_a_shape(tmp_path: Path, compilations: Callable) -> None:
    plan = plan_of("experiment=neurons_and_delays", "grid.N=[2, 3]", "grid.D=[2, 5]", "grid.seed.num=2", *TINY)
    with compilations() as made:
        sweep(plan, tmp_path)
    assert len(made) == len(plan.groups) == 4
