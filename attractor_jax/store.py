"""Where do the tables of a sweep live, and which of their parts are there? Run directories, written part by part.

    <root>/<experiment>/<plan hash>/
        manifest.json            what was planned, and the configuration that it can be planned from again
        cells/part-*.parquet     one file a part: a part that exists, and can be believed, is done
        <table>/part-*.parquet   further tables, where the plan has them, written before the part's cells
        weights/part-*.npz       the networks of a system that trains them, written before anything else of the part
        figures/, _tmp/
        _aside/                  what did not belong where it lay: damaged parts, parts of other plans, strangers

A part is written to `_tmp/`, flushed to the disk, and renamed into place: a reader sees all of it or nothing. There
is no other checkpoint. What cannot be believed is moved aside, never deleted, and computed again. Several processes
may work in one directory at once, on the same parts or on others: the same numbers are put into the same places.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from attractor_jax.config import ALONE, ConfigError, SweepConfig
from attractor_jax.parts import Belief, TableError, believed, odd_ones, put, write_part
from attractor_jax.plan import NUMERICS_VERSION, Part, Plan, make_plan
from attractor_jax.weights import Weights, load_weights, write_weights

CELLS = "cells"
WEIGHTS = "weights"
CELL_TABLES = (CELLS, "refined", "forward", "backward")  # one row a cell in each of them, with the same columns

# Nobody writes one file for so long: a temporary of another machine that is older was left by a process that died.
SECONDS_TO_WRITE = 86_400


class RunDirectory:
    """The directory of one plan: opened or made, never overwritten.

    Attributes:
        done: indices of this process's parts that are there and can be believed.
        repairs: one line for each file that had to be moved aside.

    Args:
        root: where the run directories of all experiments stand.
        parts: those that this process computes; all if left out.
        command: that a person gave, kept for whoever wants to go on.

    Raises:
        OSError: the file system says no.
    """

    def __init__(
        self, root: Path, plan: Plan, *, parts: Sequence[Part] | None = None, command: Sequence[str] = ()
    ) -> None:
        self.plan = plan
        self.path = root / plan.config.name / plan.hash
        self.parts = list(plan.parts()) if parts is None else list(parts)
        self.repairs: list[str] = []
        self._beliefs: dict[str, dict[Path, Belief]] = {}
        self._command = command
        self._tmp = self.path / "_tmp"
        for folder in (self._tmp, *(self.path / table for table in folders(plan))):
            folder.mkdir(parents=True, exist_ok=True)
        self._sweep_leftovers()
        self._agree_on_manifest()
        for stranger in strangers(self.path, plan):
            self._move_aside(stranger, f"{stranger} is no part of this plan")
        self.done: set[int] = set()
        for part in self.parts:
            self.has(part)
        self._refuse_odd_ones()

    def write(
        self,
        part: Part,
        tables: Mapping[str, pa.Table],
        provenance: Mapping[str, Any],
        weights: Weights | None = None,
    ) -> None:
        """Put the tables of one finished part in their places, its networks first and the cells last."""
        about = {**provenance, "plan": self.plan.hash, "part": part.index}
        if weights is not None:
            self._put(path_of(self.path, part, WEIGHTS), lambda path: write_weights(path, weights, about))
        for name, table in sorted(tables.items(), key=lambda item: item[0] == CELLS):
            self._put(self.path / name / part.file, lambda path, table=table: write_part(path, table, about))
        self.done.add(part.index)

    def has(self, part: Part) -> bool:
        """Is the part there, and can it be believed?"""
        there = True
        for table in folders(self.plan):
            path = path_of(self.path, part, table)
            try:
                self._beliefs.setdefault(table, {})[path] = believe(self.path, self.plan, part, table)
            except FileNotFoundError:
                there = False
            except TableError as fault:
                moved = self._move_aside(path, str(fault))
                if moved is None or not self._was_mended(moved, path, part, table):
                    there = False
        if there:
            self.done.add(part.index)
        return there

    def _refuse_odd_ones(self) -> None:
        for there in self._beliefs.values():
            for path, fault in odd_ones(there).items():
                self._move_aside(path, fault)
                self.done.discard(there.pop(path).about["part"])

    def _was_mended(self, moved: Path, path: Path, part: Part, table: str) -> bool:
        """Did another process put a whole part in the place of the one that was just moved? Then it goes back."""
        try:
            _believe(moved, self.plan, part, table)
        except TableError:
            return False
        os.replace(moved, path)
        self.repairs.pop()
        return True

    def _agree_on_manifest(self) -> None:
        path = self.path / "manifest.json"
        ours = manifest(self.plan, self._command)
        if path.exists():
            try:
                if (there := read_manifest(self.path))["plan"] == self.plan.hash:
                    return
                self._move_aside(path, f"{path} belongs to another plan ({there['plan']}, not {self.plan.hash})")
            except TableError as fault:
                self._move_aside(path, str(fault))
        text = json.dumps(ours, indent=1) + "\n"
        self._put(path, lambda temporary: temporary.write_text(text))

    def _move_aside(self, path: Path, fault: str) -> Path | None:
        """Where it is now; None if another process was faster."""
        aside = self.path / "_aside"
        aside.mkdir(exist_ok=True)
        name = f"{path.parent.name}-{path.name}" if path.parent != self.path else path.name
        target, n = aside / name, 1
        while target.exists():
            n += 1
            target = aside / f"{name}.{n}"
        try:
            os.rename(path, target)
        except FileNotFoundError:
            return None
        self.repairs.append(f"{fault}; moved to {target}")
        return target

    def _put(self, path: Path, write: Any) -> None:
        temporary = temporary_of(self.path, path)
        try:
            put(path, write, temporary=temporary)
        except FileNotFoundError:  # somebody tidied up in the wrong moment, or took the folder away
            for folder in (self._tmp, path.parent):
                folder.mkdir(parents=True, exist_ok=True)
            put(path, write, temporary=temporary)

    def _sweep_leftovers(self) -> None:
        """Remove the temporary files of processes that are no more; others are at work with theirs."""
        here = socket.gethostname()
        for leftover in self._tmp.iterdir():
            rest, _, pid = leftover.name.rpartition(".")
            try:
                ours = rest.endswith(f".{here}") and pid.isdigit()
                old = time.time() - leftover.stat().st_mtime > SECONDS_TO_WRITE
                if old or (ours and not _is_alive(int(pid))):
                    leftover.unlink()
            except FileNotFoundError:
                continue


def temporary_of(run: Path, path: Path) -> Path:
    """Where this process writes a file of a run before it is whole."""
    return run / "_tmp" / f"{path.name}.{socket.gethostname()}.{os.getpid()}"


def put_beside(run: Path, table: str, write: Callable[[Path], object]) -> Path:
    """RUN/<table>.parquet, which is written beside the tables' folders: whole or not at all."""
    path = run / f"{table}.parquet"
    (run / "_tmp").mkdir(exist_ok=True)
    put(path, write, temporary=temporary_of(run, path))
    return path


def _is_alive(pid: int) -> bool:
    if pid == os.getpid():
        return False  # of an earlier process of this number
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def rows_of(part: Part, table: str) -> int | None:
    """The rows that a table has for a part; None where only the cells tell."""
    if table in ("refined", "transitions"):
        return None
    return part.n_cells


def believe(run: Path, plan: Plan, part: Part, table: str) -> Belief:
    """The file that a folder of a run has of a part; raises as `parts.believed` does."""
    return _believe(path_of(run, part, table), plan, part, table)


def _believe(path: Path, plan: Plan, part: Part, table: str) -> Belief:
    if table == WEIGHTS:
        weights = load_weights(path, plan=plan.hash, index=part.index, cell_id=part.cell_id())
        return Belief({"plan": plan.hash, "part": part.index}, tuple(weights.arrays))
    return believed(path, plan=plan.hash, index=part.index, rows=rows_of(part, table))


def strangers(run: Path, plan: Plan) -> list[Path]:
    """What lies in the folder of a table or of the weights without being a part of this plan."""
    known = {path_of(run, part, table) for part in plan.parts() for table in folders(plan)}
    return sorted(
        path
        for table in folders(plan)
        if (run / table).is_dir()
        for path in (run / table).iterdir()
        if path not in known
    )


def folders(plan: Plan) -> tuple[str, ...]:
    """The folders of a run in which every part has a file."""
    return (CELLS, *plan.tables, *((WEIGHTS,) if plan.system.trained else ()))


def path_of(run: Path, part: Part, table: str) -> Path:
    """Where the file lies that a folder of a run has of a part."""
    path = run / table / part.file
    return path.with_suffix(".npz") if table == WEIGHTS else path


def manifest(plan: Plan, command: Sequence[str] = ()) -> dict[str, Any]:
    """What a run directory says of its plan."""
    config = {key: value for key, value in asdict(plan.config).items() if key not in ALONE}
    about = {
        "plan": plan.hash,
        "experiment": plan.config.name,
        "cells": plan.n_cells,
        "parts": plan.n_parts,
        "command": list(command),
        **plan.description(),
        "config": config,
    }
    return {**about, "sha256": checksum(about)}


def checksum(about: Mapping[str, Any]) -> str:
    """Of all that a manifest says but its checksum."""
    told = {key: value for key, value in about.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def read_manifest(run: Path) -> dict[str, Any]:
    """The manifest of a run directory.

    Raises:
        TableError: there is none, or it is not one.
    """
    path = run / "manifest.json"
    try:
        content = json.loads(path.read_text())
        version = content.get("numerics_version")
        if isinstance(version, int) and version != NUMERICS_VERSION:
            raise TableError(
                f"{run} must be of numerics version {NUMERICS_VERSION}, got {version} (see CHANGELOG.md): run it again"
            )
        if not {"plan", "parts", "system", "axes", "config", "numerics_version", "sha256"} <= content.keys():
            raise ValueError("keys are missing")
        if content["sha256"] != checksum(content):
            raise ValueError("its checksum does not fit")
    except (FileNotFoundError, NotADirectoryError):
        raise TableError(f"{run} is no run directory: it has no manifest.json") from None
    except TableError:
        raise
    except (ValueError, AttributeError, RecursionError, IsADirectoryError) as error:
        raise _damaged(path, error) from None
    return content


def read_plan(run: Path) -> Plan:
    """The plan of a run directory, planned again from the configuration that its manifest holds.

    Raises:
        TableError: there is no manifest, it is damaged, or this version plans it otherwise.
    """
    about = read_manifest(run)
    try:
        plan = make_plan(SweepConfig.from_mapping({**about["config"], **ALONE, "output": str(run.parent.parent)}))
    except (ConfigError, TypeError, AttributeError) as error:
        raise _damaged(run / "manifest.json", error) from None
    if plan.hash != about["plan"]:
        raise TableError(
            f"{run} must be a plan as this version of the program makes it ({plan.hash}), got {about['plan']} "
            "(see CHANGELOG.md): run it again"
        )
    return plan


def _damaged(path: Path, error: Exception) -> TableError:
    return TableError(f"{path} is damaged ({' '.join(str(error).split())}): the sweep's own command writes it again")
