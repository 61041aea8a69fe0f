"""Cells measured again, beside a run and without leaving anything behind."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attractor_jax.config import SweepConfig
from attractor_jax.plan import make_plan

if TYPE_CHECKING:
    import pandas as pd


def measured_again(config: SweepConfig, devices: Sequence[Any]) -> pd.DataFrame:
    """The table of a sweep that is kept nowhere."""
    from attractor_jax.reading import read_run
    from attractor_jax.store import RunDirectory
    from attractor_jax.sweep import run_sweep

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plan = make_plan(config)
        directory = RunDirectory(Path(folder), plan)
        run_sweep(plan, directory, devices=devices)
        return read_run(directory.path)
