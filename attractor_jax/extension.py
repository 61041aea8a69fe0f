"""More seeds, or more values of s, without computing again what is there: the union of a run's grid and another, of
which the run's own cells are taken over and the others computed.

The bits of a cell depend on the shape of its block and not on what stands beside it. So the union is cut into blocks of
the run's shapes (`plan.shaped_for`), and the cells that are not known are computed in blocks of those shapes that hold
nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from attractor_jax.audit import Condition, examine
from attractor_jax.config import ConfigError, MeasureConfig, SweepConfig
from attractor_jax.grid import drawn_axes, listed_values
from attractor_jax.groups import Block, block_from
from attractor_jax.parts import TableError, read_part
from attractor_jax.plan import Part, Plan, with_data
from attractor_jax.provenance import MADE_BY, makers
from attractor_jax.store import CELLS, read_plan


def extended(config: SweepConfig) -> SweepConfig:
    """The sweep of the union of a configuration's grid and that of the run that it extends.

    Raises:
        ConfigError: there is no such run, or its numbers would be others: another system, measurement or dtype.
    """
    assert config.extend is not None
    try:
        old = read_plan(Path(config.extend)).config
    except TableError as error:
        raise ConfigError("extend", f"must be a run directory: {error}") from error
    _agree("system.name", config.system.name, old.system.name)
    (config, system), (old, _) = with_data(config), with_data(old)
    if system.trained:
        must = f"must be left out for system {system.name}: a network that was trained stays with its own run"
        raise ConfigError("extend", must, config.extend)
    if config.system.data is not None or old.system.data is not None:
        _agree("system.data", config.grid.get("data"), old.grid.get("data"))
    _agree("measure", config.measure, old.measure)
    _agree("backend.dtype", config.backend.dtype, old.backend.dtype)
    for grid, where in ((config.grid, "grid"), (old.grid, f"the grid of {config.extend}")):
        if grid.get("cells") is not None or grid.get("refine") or drawn_axes(grid):
            raise ConfigError("extend", f"is for grids of axes, and {where} lists cells, draws values or is refined")
    if config.transitions is not None or old.transitions is not None:
        raise ConfigError("extend", "must be left out where transitions are looked for: they need whole networks")
    ours, theirs = listed_values(system, config.grid), listed_values(system, old.grid)
    grid = {name: _union(theirs[name], ours[name]) for name in theirs}
    return replace(config, grid=grid, plan=replace(config.plan, shaped_for=old.plan.shaped_for or dict(old.grid)))


def _agree(key: str, ours: Any, theirs: Any) -> None:
    """Refuse what would make other numbers than the run's."""
    if ours != theirs:
        raise ConfigError(key, f"must be that of the run in `extend`, {_shown(theirs)}", _shown(ours))


def _union(one: np.ndarray, other: np.ndarray) -> Any:
    """The values of both as a grid has them: one, a list, or a range where they follow one another."""
    values = np.union1d(one, other).tolist()
    if len(values) == 1:
        return values[0]
    if isinstance(values[0], int) and values[-1] - values[0] == len(values) - 1:
        return {"start": values[0], "num": len(values)}
    return values


def _shown(value: Any) -> Any:
    return vars(value) if isinstance(value, MeasureConfig) else value


class Known:
    """The cells of a run that another plan has as well.

    Args:
        plan: the union, from `extended`.
        run: what it extends.
    """

    def __init__(self, plan: Plan, run: Path) -> None:
        self.plan, self.run, self.old = plan, run, read_plan(run)
        axes, old_axes = _axes(plan), _axes(self.old)
        self._sizes, self._old_sizes = (tuple(map(len, each)) for each in (axes, old_axes))
        # Of each axis, where its values stand in the run; -1 for those that it does not have.
        self._places = [
            np.where(np.isin(values, old), np.searchsorted(old, values), -1)
            for values, old in zip(axes, old_axes, strict=True)
        ]

    def rows(self, cell_id: np.ndarray) -> np.ndarray:
        """Where in the run's table cells of the union stand; -1 for those that it does not have."""
        at = np.unravel_index(cell_id, self._sizes)
        places = [place[index] for place, index in zip(self._places, at, strict=True)]
        there = np.logical_and.reduce([place >= 0 for place in places])
        old = np.ravel_multi_index([np.where(there, place, 0) for place in places], self._old_sizes)
        if not len(self._ids):
            return np.full(len(cell_id), -1)
        row = np.minimum(np.searchsorted(self._ids, old), len(self._ids) - 1)
        return np.where(there & (self._ids[row] == old), row, -1)

    def take(self, cell_id: np.ndarray) -> pa.Table:
        """The rows of cells that are known, under the cell_id of the union."""
        table = self._table.take(pa.array(self.rows(cell_id)))
        place = table.schema.get_field_index("cell_id")
        return table.set_column(place, table.schema.field(place), pa.array(cell_id))

    def rest(self, part: Part) -> tuple[np.ndarray, list[Block]]:
        """The cells of a part that are known, and blocks of those that are not."""
        cells = np.concatenate([block.cell_id[block.real] for block in part.blocks()])
        unknown = self.rows(cells) < 0
        group = part.group
        draws, lanes = np.divmod(cells[unknown] - group.first_cell, group.n_lanes)
        alike: dict[bytes, tuple[np.ndarray, list[int]]] = {}  # draws that lack the same lanes
        order = np.lexsort((lanes, draws))
        draws, lanes = draws[order], lanes[order]
        each, begins = np.unique(draws, return_index=True)
        for draw, lacking in zip(each.tolist(), np.split(lanes, begins[1:]), strict=False):
            alike.setdefault(lacking.tobytes(), (lacking, []))[1].append(draw)
        G, S = group.block_shape
        blocks = [
            block_from(group, np.array(which[g : g + G]), lacking[s : s + S])
            for lacking, which in alike.values()
            for g in range(0, len(which), G)
            for s in range(0, len(lacking), S)
        ]
        return np.sort(cells[~unknown]), blocks

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Whose numbers these are: the run's plan, and what made its parts."""
        abouts = [about for _, about in self._parts]
        return {"plan": self.old.hash} | {key: makers(abouts, key) for key in MADE_BY}

    @cached_property
    def _condition(self) -> Condition:
        return examine(self.run)

    @property
    def refused(self) -> list[str]:
        """A line for each part of the run that is damaged, or belongs to another plan or place."""
        return list(self._condition.damaged.values())

    @cached_property
    def _parts(self) -> list[tuple[pa.Table, dict[str, Any]]]:
        """The run's parts that are whole, and what they say of themselves."""
        done = set(self._condition.done)
        return [read_part(self.run / CELLS / part.file) for part in self.old.parts() if part.index in done]

    @cached_property
    def _table(self) -> pa.Table:
        """What of the run is there and can be believed, in the order of its cells."""
        if not self._parts:
            return pa.table({"cell_id": pa.array([], pa.int64())})
        tables = [table for table, _ in self._parts]
        return pa.concat_tables(tables).unify_dictionaries().combine_chunks().sort_by("cell_id")

    @cached_property
    def _ids(self) -> np.ndarray:
        return self._table.column("cell_id").to_numpy()


def _axes(plan: Plan) -> list[np.ndarray]:
    """The values of each axis, in canonical order."""
    grid = listed_values(plan.system, plan.config.grid)
    return [grid[axis.name] for axis in plan.system.axes]
