"""Plans, runs and tables that the tests of the sweep start from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from attractor_jax.plan import Plan
from attractor_jax.store import RunDirectory, checksum
from attractor_jax.sweep import run_sweep
from sweeps.command_line import compose, prepare_overrides
from sweeps.run import read

# Seconds of compiling, and hardly any computing.
TINY = (
    "measure.transient=40",
    "measure.steps=40",
    "measure.blocks=2",
    "measure.align=8",
    "measure.longest_period=16",
)


def plan_of(*arguments: str) -> Plan:
    """The plan of a command line, through the repository's own configuration files."""
    return read(compose(prepare_overrides(list(arguments))))


def sweep(plan: Plan, root: Path, *, devices: int = 2) -> Path:
    """The directory of a run that was computed here, as far as it was missing."""
    directory = RunDirectory(root, plan)
    run_sweep(plan, directory, devices=jax.devices()[:devices])
    return directory.path


def rewrite_manifest(run: Path, **changes: Any) -> None:
    """Other words in a manifest, and a checksum that fits."""
    path = run / "manifest.json"
    about = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(about | {"sha256": checksum(about)}))


def cells_of(run: Path) -> pd.DataFrame:
    """The table as it is stored, without anything that is made when it is read."""
    return pd.read_parquet(run / "cells").sort_values("cell_id", ignore_index=True)


def numbers_of(column: pd.Series) -> np.ndarray:
    """A column as an array: a spectrum as one row a cell, padded with NaN where cells differ in their number."""
    if all(isinstance(value, np.ndarray) for value in column):
        width = max(map(len, column))
        return np.stack([np.pad(row, (0, width - len(row)), constant_values=np.nan) for row in column])
    return column.astype(object).to_numpy() if column.dtype == "category" else column.to_numpy()


def assert_identical(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Every column of both tables, to the last bit; NaN is NaN."""
    assert list(one.columns) == list(other.columns)
    for name in one.columns:
        np.testing.assert_array_equal(numbers_of(one[name]), numbers_of(other[name]), err_msg=name, strict=True)
