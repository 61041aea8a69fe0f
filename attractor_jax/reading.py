"""How is a table of a run read? One run or several, every part checked, cells with their regimes; and what else is kept
of a cell.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from attractor_jax.parts import REPAIR, TableError, read_part
from attractor_jax.provenance import MADE_BY, makers
from attractor_jax.regimes import classify
from attractor_jax.store import CELL_TABLES, CELLS, WEIGHTS, path_of, read_manifest, read_plan
from attractor_jax.weights import load_weights


def list_tables(run: str | os.PathLike[str]) -> list[str]:
    """The tables that a run directory has parts of, the cells first."""
    names = {path.parent.name for path in Path(run).glob("*/part-*.parquet") if not path.parent.name.startswith("_")}
    return sorted(names, key=lambda name: (name != CELLS, name))


def read_run(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], *, table: str = CELLS, **thresholds: Any
) -> pd.DataFrame:
    """A table of one run, or of several joined; cells with their regimes.

    Args:
        path: a run directory, or a list of them. Cells that stand in several runs (same system, axis values and
            dtype) are kept once.
        table: "cells", or another that the run has: "refined", "forward" and "backward" have the columns of cells and
            are labelled as they are; "transitions" has one row a network and no regimes. Networks that stand in
            several runs (same system and axis values) are kept once, as the first of the runs has them: runs with
            other grids or dtypes may find other transitions, and are better read one by one.
        thresholds: passed on to `classify`.

    Returns:
        One row a cell (a network), in the order of cell_id, with the columns of `classify` and `system`.
        `attrs["axes"]` has the names of the table's axes, `attrs["runs"]` the manifests and the provenance of the
        parts.

    Raises:
        TableError: a directory that is no run, a table that it does not have, a damaged part, a part of another plan,
            thresholds for a table that has no regimes.

    Warns:
        UserWarning: parts are missing, or a run mixes programs, libraries, devices or commits.
    """
    if isinstance(path, str | os.PathLike):
        return _read_one(Path(path), table, thresholds)
    if not path:
        raise TableError("`path` must be a run directory or a list of at least one, got an empty list")
    frames = [_read_one(Path(one), table, thresholds) for one in path]
    axes = list(dict.fromkeys(axis for frame in frames for axis in frame.attrs["axes"]))
    runs = [run for frame in frames for run in frame.attrs["runs"]]
    for frame in frames:
        frame.attrs = {}  # pandas compares attributes when it joins, and these hold lists
    joined = pd.concat(frames, ignore_index=True)
    identity = [name for name in ("system", *axes, "dtype") if name in joined.columns]
    joined = joined.drop_duplicates(identity, ignore_index=True)
    joined.attrs = {"axes": axes, "runs": runs}
    return joined


def read_weights(run: str | os.PathLike[str], cell_id: int) -> dict[str, np.ndarray]:
    """The arrays of the network of one cell, as it was trained.

    Raises:
        TableError: a directory that is no run, a run that keeps no networks, a cell that it does not have (yet), a
            damaged file.
    """
    run = Path(run)
    plan = read_plan(run)
    if not plan.system.trained:
        raise TableError(f"{run} keeps no networks: system {plan.system.name} draws them")
    part = plan.part_of(cell_id)
    if part is None:
        raise TableError(f"{run} must have the cell {cell_id}: it has those from 0 to {plan.n_cells - 1}")
    path = path_of(run, part, WEIGHTS)
    try:
        weights = load_weights(path, plan=plan.hash, index=part.index, cell_id=part.cell_id())
    except FileNotFoundError:
        raise TableError(f"{path} is missing: {REPAIR}") from None
    return weights.of(cell_id)


def _read_one(run: Path, table: str, thresholds: Mapping[str, Any]) -> pd.DataFrame:
    about = read_manifest(run)
    finished = sorted((run / CELLS).glob("part-*.parquet"))
    if not finished:
        raise TableError(f"{run} has no finished part yet")
    if table not in (there := list_tables(run)):
        raise TableError(f"{run} has no table {table}, only {', '.join(there)}")
    if thresholds and table not in CELL_TABLES:
        raise TableError(f"{run / table} has no regimes: thresholds ({', '.join(thresholds)}) must be left out")
    tables, parts = [], []
    # The cells of a part are written last: what stands in another table without them was cut off on the way.
    for path in (run / table / cells.name for cells in finished):
        try:
            found, part = read_part(path)
        except FileNotFoundError:
            raise TableError(f"{path} is missing: {REPAIR}") from None
        if (part["plan"], f"part-{part['part']:05d}.parquet") != (about["plan"], path.name):
            raise TableError(f"{path} belongs to another plan or place ({part['plan']}, part {part['part']}): {REPAIR}")
        if tables and not found.schema.equals(tables[0].schema):
            raise TableError(f"{path} must have the columns of {finished[0].name}: {REPAIR}")
        parts.append(part)
        tables.append(found)
    if len(parts) < about["parts"]:
        warnings.warn(f"{run} is not complete: {len(parts)} of {about['parts']} parts are there", stacklevel=3)
    for key in MADE_BY:
        if len(values := makers(parts, key)) > 1:
            warnings.warn(f"{run} mixes several values of {key}: {', '.join(values)}", stacklevel=3)
    frame = pa.concat_tables(tables).unify_dictionaries().combine_chunks().to_pandas()
    frame = frame.sort_values("cell_id", ignore_index=True)
    if table in CELL_TABLES:
        frame = classify(frame, **thresholds)
    frame["system"] = pd.Categorical([about["system"]] * len(frame))
    axes = [axis for axis in about["axes"] if axis in frame.columns]
    frame.attrs = {"axes": axes, "runs": [{**about, "path": str(run), "provenance": parts}]}
    return frame
