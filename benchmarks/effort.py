"""What does it save to measure each cell until it is decided? The adaptive sweep of order_to_chaos beside the fixed one
that comes to the same errors.

    python -m benchmarks.effort [key=value ...]      # such as grid.seed.num=32, or measure.k=1

The fixed length is the one at which 95 % of the chaotic cells have the standard error that was asked for, as their
errors in the adaptive sweep foretell. Both sweeps are run here, one after the other, into a folder that is thrown away.
Takes a quarter of an hour on two cores with all exponents.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attractor_jax.config import ConfigError, MeasureConfig
from attractor_jax.plan import Plan
from sweeps.command_line import compose, prepare_overrides
from sweeps.run import read


def main(arguments: list[str]) -> int:
    try:
        adaptive = _plan("measure=adaptive", *arguments)
    except ConfigError as error:
        print(f"config error: {error}", file=sys.stderr)
        return 2
    from attractor_jax import backend

    devices = backend.start(adaptive.config.backend)
    with tempfile.TemporaryDirectory() as root:
        ours, our_seconds = _swept(adaptive, Path(root), devices)
        target = adaptive.config.measure.target_se
        assert target is not None
        chaotic = ours[ours["regime"].isin(["chaotic", "hyperchaotic"])]
        needed = float(np.quantile(chaotic["steps"] * (chaotic["lambda_1_se"] / target) ** 2, 0.95))
        steps = int(np.ceil(needed / 1000) * 1000)
        fixed = _plan(f"measure.steps={steps}", *arguments)
        theirs, their_seconds = _swept(fixed, Path(root), devices)

    reached = theirs.loc[theirs["regime"].isin(["chaotic", "hyperchaotic"]), "lambda_1_se"] <= target
    effort = [_steps(ours, adaptive.config.measure), _steps(theirs, fixed.config.measure)]
    same = ours["regime"].astype(str) == theirs["regime"].astype(str)
    known = (ours["regime"] != "unsettled") & (theirs["regime"] != "unsettled")
    counts = pd.crosstab(ours["regime"].astype(str).rename("adaptive"), theirs["regime"].astype(str).rename("fixed"))
    print(counts.to_string())
    print(f"fixed length: {steps:,} steps; lambda_1_se <= {target:g} in {reached.mean():.1%} of its chaotic cells")
    print(f"adaptive: {np.mean(chaotic['lambda_1_se'] <= target):.1%} of its chaotic cells")
    print(f"network-steps: {effort[0]:.3g} adaptive, {effort[1]:.3g} fixed: {effort[1] / effort[0]:.1f} times fewer")
    faster = their_seconds / our_seconds
    print(f"seconds: {our_seconds:.0f} adaptive, {their_seconds:.0f} fixed: {faster:.1f} times faster")
    print(f"regimes agree on {same.mean():.2%} of all cells, {same[known].mean():.2%} of those that both call settled")
    return 0


def _plan(*arguments: str) -> Plan:
    return read(compose(prepare_overrides(["experiment=order_to_chaos", *arguments])))


def _swept(plan: Plan, root: Path, devices: Any) -> tuple[pd.DataFrame, float]:
    """The table of a sweep in the order of its cells, and how long it took, compilation included."""
    from attractor_jax.reading import read_run
    from attractor_jax.store import RunDirectory
    from attractor_jax.sweep import run_sweep

    directory = RunDirectory(root, plan)
    began = time.perf_counter()
    run_sweep(plan, directory, devices=devices)
    return read_run(directory.path), time.perf_counter() - began


def _steps(df: pd.DataFrame, measure: MeasureConfig) -> float:
    """Steps of all cells, transients and searches for a period included."""
    taken = df["steps"] + df["transient"] - measure.transient
    rounds = np.log2(taken / measure.steps) + 1 if measure.adaptive else 1
    return float(np.sum(measure.transient + measure.align + taken + rounds * measure.longest_period))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
