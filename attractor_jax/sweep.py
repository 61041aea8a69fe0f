"""A plan becomes tables: part after part, each computed, put into columns and written before the next begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa

from attractor_jax import measures
from attractor_jax.backend import memory_budget
from attractor_jax.continuation import follow
from attractor_jax.engine import Engine, Progress, no_progress
from attractor_jax.extension import Known
from attractor_jax.plan import Part, Plan
from attractor_jax.provenance import commit
from attractor_jax.refinement import refine
from attractor_jax.schema import RECURRENCE, RESULTS, Column, arrow_schema, check_columns, common_before
from attractor_jax.store import CELLS, RunDirectory
from attractor_jax.transitions import find_transitions, transition_columns
from attractor_jax.weights import Weights


def run_sweep(
    plan: Plan,
    directory: RunDirectory,
    *,
    devices: Sequence[Any],
    progress: Progress = no_progress,
    begins: Callable[[Part], None] = lambda part: None,
    known: Known | None = None,
) -> None:
    """Compute and write every part of the directory's that is not there yet.

    Args:
        plan: what to compute.
        directory: the plan's run directory; `directory.done` says which parts exist.
        devices: where; how many there are changes no number.
        progress: called after each batch with the cells and the network-steps that it finished, and with zeros while
            one is waited for.
        begins: called before each part.
        known: cells that are taken over from another run.

    Raises:
        OSError: a part cannot be written. Those before it are safe.
    """
    backend = plan.config.backend
    engine: Engine | None = None
    provenance = {
        "dtype": backend.dtype,
        "jaxlib": version("jaxlib"),
        "device": devices[0].device_kind,
        "devices": len(devices),
        "commit": commit(),
    }
    for part in directory.parts:
        if part.index in directory.done:
            continue
        begins(part)
        if directory.has(part):  # another process was here in the meantime
            progress(part.n_cells, 0.0)
            continue
        if engine is None or engine.group is not part.group:
            engine = Engine(plan, part.group, devices, memory_budget(backend, devices), backend.batch, progress)
        began = time.perf_counter()
        weights = trained(part, engine) if plan.system.trained else None
        taken: dict[str, Any] = {}
        if known is None:
            tables = compute_part(plan, part, engine)
        else:
            there, tables = _with_known(plan, part, engine, known)
            taken = {"taken_over": there, "taken_from": known.provenance}
        directory.write(
            part,
            tables,
            {"engine": engine.name, **provenance, **taken, "seconds": round(time.perf_counter() - began, 3)},
            weights,
        )


def trained(part: Part, engine: Engine) -> Weights:
    """The networks of a part, trained all at once: the blocks find them with the engine."""
    rows: dict[tuple[Any, ...], int] = {}
    axes: list[dict[str, Any]] = []
    ids, networks = [], []
    for block in part.blocks():
        of_block = engine.draw_axes(block)
        for each in of_block:
            if rows.setdefault(tuple(each.values()), len(axes)) == len(axes):
                axes.append(each)
        of_draw = np.array([rows[tuple(each.values())] for each in of_block])
        ids.append(block.cell_id[block.real])
        networks.append(np.broadcast_to(of_draw[:, None], block.real.shape)[block.real])
    draws = engine.draws(axes)
    cell_id = np.concatenate(ids)
    order = np.argsort(cell_id)
    arrays = {name: np.stack([draw[name] for draw in draws]) for name in draws[0]}
    return Weights(cell_id[order], np.concatenate(networks)[order], arrays)


def compute_part(plan: Plan, part: Part, engine: Engine) -> dict[str, pa.Table]:
    """The tables of one part, by name: its real cells in the order of cell_id, and what was asked for beside them."""
    cells = engine.measure(part.blocks())
    found = {CELLS: cells}
    tables: dict[str, pa.Table] = {}
    if plan.refine:
        found["refined"] = refine(engine, part.networks(), cells)
    if plan.config.transitions is not None:
        networks, both_ways = part.networks(), None
        if plan.config.transitions.continuation:
            both_ways = follow(engine, networks, cells)
            found |= {"forward": both_ways.forward, "backward": both_ways.backward}
        transitions = find_transitions(engine, networks, cells, both_ways)
        tables["transitions"] = as_table(transition_columns(plan), transitions, None)
    columns = table_columns(plan)
    return tables | {name: as_table(columns, values, plan.spectrum_length) for name, values in found.items()}


def _with_known(plan: Plan, part: Part, engine: Engine, known: Known) -> tuple[int, dict[str, pa.Table]]:
    """How many cells of a part were known, and its table: those, and the others computed."""
    there, blocks = known.rest(part)
    engine.progress(len(there), 0.0)
    columns = table_columns(plan)
    pieces = [known.take(there).cast(arrow_schema(columns, plan.spectrum_length))] if len(there) else []
    if blocks:
        pieces.append(as_table(columns, engine.measure(blocks), plan.spectrum_length))
    table = pa.concat_tables(pieces).unify_dictionaries().combine_chunks().sort_by("cell_id")
    return len(there), {CELLS: table}


def as_table(columns: Sequence[Column], values: Mapping[str, np.ndarray], spectrum_length: int | None) -> pa.Table:
    """Exactly these columns as an Arrow table.

    Raises:
        SchemaError: some are missing, or there are more.
    """
    check_columns([column.name for column in columns], values)
    arrays = [_arrow(column, values[column.name], spectrum_length) for column in columns]
    return pa.Table.from_arrays(arrays, schema=arrow_schema(columns, spectrum_length))


def table_columns(plan: Plan) -> tuple[Column, ...]:
    """The columns of the plan's table of cells, in their order."""
    names = (*measures.ALWAYS, *plan.config.measure.also)
    observed = {name: measures.get(name).columns for name in names}
    return (
        *common_before([axis.column() for axis in plan.system.axes]),
        *RESULTS,
        *(column for name in measures.ALWAYS for column in observed[name]),
        *RECURRENCE,
        *plan.system.columns,
        *plan.system.outcomes,
        *(column for name in plan.config.measure.also for column in observed[name]),
    )


def _arrow(column: Column, values: np.ndarray, spectrum_length: int | None) -> pa.Array:
    kind = arrow_schema([column], spectrum_length).field(0).type
    if column.kind == "spectrum":
        flat = pa.array(np.ascontiguousarray(values, np.float64).ravel())
        if spectrum_length is not None:
            return pa.FixedSizeListArray.from_arrays(flat, type=kind)
        offsets = pa.array(np.arange(len(values) + 1, dtype=np.int32) * values.shape[1])
        return pa.ListArray.from_arrays(offsets, flat, type=kind)
    if column.kind == "list":
        return pa.array(values.tolist(), kind)
    if column.kind == "bool":
        return pa.array(values.tolist(), kind)
    if column.kind == "category":
        return pa.array(values.tolist(), pa.string()).dictionary_encode().cast(kind)
    if column.kind == "float":
        return pa.array(np.asarray(values, np.float64), kind, from_pandas=column.nullable)
    return pa.array(np.asarray(values, np.int64), kind)
