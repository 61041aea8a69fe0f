"""Where does a table live, and who may be believed about it? Run directories, atomic parts, and reading them back.

    <root>/<experiment>/<plan hash>/
        manifest.json            what was planned
        cells/part-*.parquet     one file a part: a part that exists is done
        <table>/part-*.parquet   further tables, where the plan has them, written before the part's cells
        figures/, _tmp/

A part is written to `_tmp/`, flushed to the disk, and renamed into place: a reader sees all of it or nothing. There
is no other checkpoint.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from attractor_jax.plan import NUMERICS_VERSION, Part, Plan
from attractor_jax.regimes import classify

CELLS = "cells"
CELL_TABLES = (CELLS, "refined", "forward", "backward")  # one row a cell in each of them, with the same columns
METADATA = b"attractor_jax"


class TableError(ValueError):
    """A run directory or a part of a table that cannot be used."""


class RunDirectory:
    """The directory of one plan: opened or made, never overwritten.

    Raises:
        TableError: it belongs to another plan, or something that is no part of this plan lies among the parts.
        OSError: the file system says no.
    """

    def __init__(self, root: Path, plan: Plan) -> None:
        self.plan = plan
        self.path = root / plan.config.name / plan.hash
        self._tmp = self.path / "_tmp"
        (self.path / CELLS).mkdir(parents=True, exist_ok=True)
        self._tmp.mkdir(exist_ok=True)
        for leftover in self._tmp.iterdir():
            leftover.unlink()
        self._agree_on_manifest()
        self.done = self._check_parts()

    def _agree_on_manifest(self) -> None:
        path = self.path / "manifest.json"
        if not path.exists():
            text = json.dumps(manifest(self.plan), indent=1) + "\n"
            self._put(path, lambda temporary: temporary.write_text(text))
        there = read_manifest(self.path)["plan"]
        if there != self.plan.hash:
            raise TableError(
                f"{self.path} belongs to another plan ({there}, not {self.plan.hash}): give another output"
            )

    def _check_parts(self) -> set[int]:
        """Indices of the parts that are there, each of them read as far as its metadata."""
        expected = {part.file: part for part in self.plan.parts()}
        done = set()
        for path in sorted((self.path / CELLS).iterdir()):
            if path.name not in expected:
                raise TableError(f"{path} is no part of this plan: move it away and run again")
            about = read_part_metadata(path)
            part = expected[path.name]
            if (about["plan"], about["part"]) != (self.plan.hash, part.index):
                raise TableError(f"{path} belongs to another plan ({about['plan']}): move it away and run again")
            if about.get("rows") != part.n_cells:
                raise TableError(
                    f"{path} must have {part.n_cells} rows, got {about.get('rows')}: move it away and run again"
                )
            # The cells are written last; whoever took another table away since wants it again.
            if all((self.path / table / path.name).exists() for table in self.plan.tables):
                done.add(about["part"])
        return done

    def write(self, part: Part, tables: Mapping[str, pa.Table], provenance: Mapping[str, Any]) -> None:
        """Put the tables of one finished part in their places, the cells last."""
        for name, table in sorted(tables.items(), key=lambda item: item[0] == CELLS):
            self._write_table(part, name, table, provenance)
        self.done.add(part.index)

    def _write_table(self, part: Part, name: str, table: pa.Table, provenance: Mapping[str, Any]) -> None:
        about = {**provenance, "plan": self.plan.hash, "part": part.index, "rows": table.num_rows}
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), METADATA: json.dumps(about).encode()})
        floats, categories = [], []
        for field in table.schema:
            if pa.types.is_floating(field.type):
                floats.append(field.name)
            elif pa.types.is_list(field.type) or pa.types.is_fixed_size_list(field.type):
                floats.append(f"{field.name}.list.element")
            elif pa.types.is_dictionary(field.type):
                categories.append(field.name)

        def write(temporary: Path) -> None:
            pq.write_table(
                table,
                temporary,
                compression="zstd",
                use_dictionary=categories,  # pyright: ignore[reportArgumentType]
                use_byte_stream_split=floats,  # pyright: ignore[reportArgumentType]
                row_group_size=1 << 20,
            )

        folder = self.path / name
        folder.mkdir(exist_ok=True)
        self._put(folder / part.file, write)

    def _put(self, path: Path, write: Any) -> None:
        """write(temporary), flushed, and renamed to `path`: whole or not at all, whatever happens in between."""
        temporary = self._tmp / f"{path.name}.{os.getpid()}"
        try:
            write(temporary)
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def manifest(plan: Plan) -> dict[str, Any]:
    """What a run directory says of its plan."""
    return {
        "plan": plan.hash,
        "experiment": plan.config.name,
        "cells": plan.n_cells,
        "parts": plan.n_parts,
        "grid": plan.config.grid,
        **plan.description(),
    }


def read_manifest(run: Path) -> dict[str, Any]:
    """The manifest of a run directory.

    Raises:
        TableError: there is none, or it is not one.
    """
    path = run / "manifest.json"
    try:
        content = json.loads(path.read_text())
        if not {"plan", "parts", "system", "axes"} <= content.keys():
            raise ValueError("keys are missing")
    except (FileNotFoundError, NotADirectoryError):
        raise TableError(f"{run} is no run directory: it has no manifest.json") from None
    except (ValueError, AttributeError) as error:
        raise TableError(f"{path} is damaged ({error}): move it away and run again") from None
    return content


def read_part_metadata(path: Path) -> dict[str, Any]:
    """What a part says of itself.

    Raises:
        TableError: it is truncated, or was not written by a sweep.
    """
    try:
        metadata = pq.read_metadata(path).metadata or {}
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise TableError(f"{path} is damaged ({reason}): move it away and run again") from None
    try:
        about = json.loads(metadata[METADATA])
        if not {"plan", "part"} <= about.keys():
            raise ValueError("keys are missing")
    except (KeyError, ValueError, AttributeError):
        raise TableError(f"{path} was not written by a sweep: move it away and run again") from None
    return about


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


def _read_one(run: Path, table: str, thresholds: Mapping[str, Any]) -> pd.DataFrame:
    about = read_manifest(run)
    if (written := about.get("numerics_version", 0)) < NUMERICS_VERSION:
        raise TableError(
            f"{run} must be of numerics version {NUMERICS_VERSION}, got {written} (see CHANGELOG.md): run it again"
        )
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
        if not path.exists():
            raise TableError(f"{path} is missing: move {run / CELLS / path.name} away as well and run the sweep again")
        part = read_part_metadata(path)
        if part["plan"] != about["plan"]:
            raise TableError(f"{path} belongs to another plan ({part['plan']}, not {about['plan']})")
        parts.append(part)
        try:
            tables.append(pq.ParquetFile(path).read())
        except (OSError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0]
            raise TableError(f"{path} is damaged ({reason}): move it away and run the sweep again") from None
    if len(parts) < about["parts"]:
        warnings.warn(f"{run} is not complete: {len(parts)} of {about['parts']} parts are there", stacklevel=3)
    for key in ("engine", "jaxlib", "device", "commit"):
        values = sorted({str(part.get(key)) for part in parts})
        if len(values) > 1:
            warnings.warn(f"{run} mixes several values of {key}: {', '.join(values)}", stacklevel=3)
    frame = pa.concat_tables(tables).unify_dictionaries().combine_chunks().to_pandas()
    frame = frame.sort_values("cell_id", ignore_index=True)
    if table in CELL_TABLES:
        frame = classify(frame, **thresholds)
    frame["system"] = pd.Categorical([about["system"]] * len(frame))
    axes = [axis for axis in about["axes"] if axis in frame.columns]
    frame.attrs = {"axes": axes, "runs": [{**about, "path": str(run), "provenance": parts}]}
    return frame
