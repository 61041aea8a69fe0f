"""A plan becomes tables: part after part, each computed, put into columns and written before the next begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from attractor_jax import measures
from attractor_jax.backend import memory_budget
from attractor_jax.batch import Program, Running
from attractor_jax.plan import Block, Group, Part, Plan
from attractor_jax.provenance import commit
from attractor_jax.schema import RECURRENCE, RESULTS, STATUSES, Column, arrow_schema, check_columns, common_before
from attractor_jax.store import RunDirectory

ENGINE = "scan"

Progress = Callable[[int, float], None]


def run_sweep(
    plan: Plan,
    directory: RunDirectory,
    *,
    devices: Sequence[Any],
    progress: Progress = lambda cells, steps: None,
) -> None:
    """Compute and write every part that is not there yet.

    Args:
        plan: what to compute.
        directory: the plan's run directory; `directory.done` says which parts exist.
        devices: where; how many there are changes no number.
        progress: called after each batch with the cells and the network-steps that it finished, and with zeros while
            one is waited for.

    Raises:
        OSError: a part cannot be written. Those before it are safe.
    """
    backend = plan.config.backend
    program: Program | None = None
    provenance = {
        "engine": ENGINE,
        "dtype": backend.dtype,
        "jaxlib": version("jaxlib"),
        "device": devices[0].device_kind,
        "commit": commit(),
    }
    for part in plan.parts():
        if part.index in directory.done:
            continue
        if program is None or program.group is not part.group:
            program = Program(plan, part.group, devices, memory_budget(backend, devices), backend.batch)
        began = time.perf_counter()
        table = compute_part(plan, part, program, progress)
        directory.write(part, table, {**provenance, "seconds": round(time.perf_counter() - began, 3)})


def compute_part(plan: Plan, part: Part, program: Program, progress: Progress = lambda cells, steps: None) -> pa.Table:
    """The table of one part: its real cells in the order of cell_id."""
    columns = table_columns(plan)
    measure = plan.config.measure
    steps_per_cell = measure.transient + measure.align + measure.steps + measure.longest_period
    pieces: list[dict[str, np.ndarray]] = []

    def collect(running: Running) -> None:
        # The closed forms are computed here, while the devices are busy with the next batch.
        closed = [_closed_form(plan, block, draws) for block, draws in zip(running.blocks, running.draws, strict=True)]
        while not running.ready():  # in Python and not in JAX, where a signal would not be heard
            time.sleep(0.01)
            progress(0, 0.0)
        computed = running.columns()
        for i, block in enumerate(running.blocks):
            one = {name: values[i] for name, values in computed.items()}
            pieces.append(_cells(plan, part.group, block, {**one, **closed[i]}))
        cells = sum(int(block.real.sum()) for block in running.blocks)
        progress(cells, cells * steps_per_cell)

    before: Running | None = None
    for blocks in _batches(part.blocks(), program.blocks_per_call):
        running = program.start(blocks)
        if before is not None:
            collect(before)
        before = running
    if before is not None:
        collect(before)

    order = np.argsort(np.concatenate([piece["cell_id"] for piece in pieces]))
    check_columns([column.name for column in columns], pieces[0])
    arrays = [
        _arrow(column, np.concatenate([piece[column.name] for piece in pieces])[order], plan.spectrum_length)
        for column in columns
    ]
    return pa.Table.from_arrays(arrays, schema=arrow_schema(columns, plan.spectrum_length))


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
        *(column for name in plan.config.measure.also for column in observed[name]),
    )


def _batches(blocks: Iterator[Block], size: int) -> Iterator[list[Block]]:
    while batch := list(islice(blocks, size)):
        yield batch


def _closed_form(plan: Plan, block: Block, draws: Any) -> dict[str, np.ndarray]:
    parameters = {name: block.lanes[name] for name in plan.system.parameters}
    return plan.system.closed_form(draws, parameters)


def _cells(plan: Plan, group: Group, block: Block, computed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One row a real cell of the block, by column."""
    measure, dtype = plan.config.measure, plan.config.backend.dtype
    shape = block.real.shape
    constants = {
        "dtype": dtype,
        "engine": ENGINE,
        "transient": measure.transient,
        "steps": measure.steps,
        "n_blocks": measure.blocks,
        "dimension": group.dimension,
    }
    columns = {name: np.broadcast_to(values[:, None], shape) for name, values in block.draws.items()}
    columns |= block.lanes | {"cell_id": block.cell_id} | computed
    columns |= {name: np.broadcast_to(np.array(value, object), shape) for name, value in constants.items()}
    columns["status"] = np.array(STATUSES, object)[computed["status"]]
    # Spectra come as (G, k, S); a row wants its k numbers together.
    for name in ("exponents", "exponents_se"):
        columns[name] = np.moveaxis(computed[name], 1, -1)
    return {name: values[block.real] for name, values in columns.items()}


def _arrow(column: Column, values: np.ndarray, spectrum_length: int | None) -> pa.Array:
    kind = arrow_schema([column], spectrum_length).field(0).type
    if column.kind == "spectrum":
        flat = pa.array(np.ascontiguousarray(values, np.float64).ravel())
        if spectrum_length is not None:
            return pa.FixedSizeListArray.from_arrays(flat, type=kind)
        offsets = pa.array(np.arange(len(values) + 1, dtype=np.int32) * values.shape[1])
        return pa.ListArray.from_arrays(offsets, flat, type=kind)
    if column.kind == "category":
        return pa.array(values.tolist(), pa.string()).dictionary_encode().cast(kind)
    if column.kind == "float":
        return pa.array(np.asarray(values, np.float64), kind, from_pandas=column.nullable)
    return pa.array(np.asarray(values, np.int64), kind)
