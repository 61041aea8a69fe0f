"""Which cells, in which blocks, in which files? The plan of a sweep: a pure function of its configuration, made
before jax is imported.

Axes become cells, cells of one static shape a group, groups are cut into blocks of one fixed shape (draws x lanes),
blocks into parts. Nothing here depends on the machine, so that neither the devices nor a restart can change a number.
Cells are computed on demand: a plan of a million cells is small.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from attractor_jax.config import ConfigError, SweepConfig
from attractor_jax.grid import MOST_CELLS, Drawn, read_cells, read_grid, read_refine
from attractor_jax.groups import REFERENCE_RATE, Block, Group, block_of, make_group
from attractor_jax.shapes import listed, product
from attractor_jax.systems import System, get

# Raised whenever CHANGELOG.md says that a number of the tables changes, or a column. The default thresholds of
# `regimes.classify` are among what changes numbers: adaptive rounds and transitions are decided by them.
NUMERICS_VERSION = 7

COMPILE_SECONDS = 3.0


@dataclass(frozen=True)
class Networks:
    """Whole networks: all cells that differ in nothing but the last axis.

    Attributes:
        axes: every axis that is not static; those of the draw (networks,), the others (networks, values).
        cell_id: (networks, values).
    """

    axes: dict[str, np.ndarray]
    cell_id: np.ndarray

    @property
    def n_values(self) -> int:
        return self.cell_id.shape[1]


@dataclass(frozen=True)
class Part:
    """A fixed list of whole blocks of one group, and one file."""

    index: int
    group: Group
    first_block: int
    n_blocks: int

    @property
    def file(self) -> str:
        return f"part-{self.index:05d}.parquet"

    @property
    def cost(self) -> float:
        """Of its blocks and draws, in steps of the reference network."""
        G, S = self.group.block_shape
        slices = self.group.lane_slices
        draws = G * ((self.first_block + self.n_blocks - 1) // slices - self.first_block // slices + 1)
        return self.group.cost * G * S * self.n_blocks + self.group.draw_cost * draws

    def blocks(self) -> Iterator[Block]:
        """The part's blocks, each made when it is asked for."""
        for index in range(self.first_block, self.first_block + self.n_blocks):
            yield block_of(self.group, index)

    def networks(self) -> Networks:
        """The part's cells, network by network in the order of cell_id, in a plan that keeps networks whole."""
        n = self.group.n_values
        ids: list[np.ndarray] = []
        axes: dict[str, list[np.ndarray]] = {name: [] for name in (*self.group.draws, *self.group.lanes)}
        for block in self.blocks():
            here = block.real.reshape(len(block.real), -1, n)[..., 0]
            ids.append(block.cell_id.reshape(*here.shape, n)[here])
            for name in self.group.draws:
                axes[name].append(np.broadcast_to(block.draws[name][:, None], here.shape)[here])
            for name in self.group.lanes:
                axes[name].append(block.lanes[name].reshape(*here.shape, n)[here])
        cell_id = np.concatenate(ids)
        order = np.argsort(cell_id[:, 0])
        return Networks({name: np.concatenate(each)[order] for name, each in axes.items()}, cell_id[order])

    def cell_id(self) -> np.ndarray:
        """Of its cells, (cells,), ascending."""
        return np.sort(np.concatenate([block.cell_id[block.real] for block in self.blocks()]))

    @cached_property
    def n_cells(self) -> int:
        # Without making the blocks: a sweep asks all of its parts before it begins.
        G, S = self.group.block_shape
        index = np.arange(self.first_block, self.first_block + self.n_blocks)
        draw_slice, lane_slice = np.divmod(index, self.group.lane_slices)
        draws = np.minimum(G, self.group.n_draws - draw_slice * G)
        return int(draws @ np.minimum(S, self.group.n_lanes - lane_slice * S))


@dataclass(frozen=True)
class Plan:
    """All that a sweep will compute."""

    config: SweepConfig
    system: System
    groups: tuple[Group, ...]
    refine: int = 0

    @property
    def n_cells(self) -> int:
        return sum(group.n_cells for group in self.groups)

    @property
    def n_parts(self) -> int:
        return sum(group.n_parts for group in self.groups)

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that a part has beside its cells."""
        transitions = self.config.transitions
        both_ways = ("forward", "backward") if transitions is not None and transitions.continuation else ()
        return (
            *(("refined",) if self.refine else ()),
            *both_ways,
            *(("transitions",) if transitions is not None else ()),
        )

    @property
    def programs(self) -> int:
        """Compilations of each group: rounds, refined cells, both ways, bisection, small orbits."""
        rounds = 2 if self.config.measure.adaptive else 1
        return rounds + len(self.tables) + ("transitions" in self.tables)

    @property
    def spectrum_length(self) -> int | None:
        """Exponents per cell where all cells have as many, else None."""
        lengths = {group.k for group in self.groups}
        return lengths.pop() if len(lengths) == 1 else None

    def parts(self) -> Iterator[Part]:
        """All parts, in the order of their index."""
        index = 0
        for group in self.groups:
            for first in range(0, group.n_blocks, group.blocks_per_part):
                yield Part(index, group, first, min(group.blocks_per_part, group.n_blocks - first))
                index += 1

    def part_of(self, cell_id: int) -> Part | None:
        """The part that has a cell; None if no part does."""
        for part in self.parts():
            group, (G, S) = part.group, part.group.block_shape
            draw, lane = divmod(cell_id - group.first_cell, group.n_lanes)
            block = draw // G * group.lane_slices + lane // S
            if 0 <= draw < group.n_draws and 0 <= block - part.first_block < part.n_blocks:
                return part
        return None

    def share(self, index: int, count: int) -> list[Part]:
        """The parts of one of `count` processes, in the order of their index: the dearest are dealt out first, so that
        all have about as much to do. Every part belongs to exactly one of them.
        """
        dearest_first = sorted(self.parts(), key=lambda part: (-part.cost, part.index))
        return sorted(dearest_first[index::count], key=lambda part: part.index)

    @cached_property
    def hash(self) -> str:
        """Twelve hexadecimal digits of all that can change a number of the table, at full precision."""
        digest = hashlib.sha256()
        digest.update(json.dumps(self.description(), sort_keys=True).encode())
        for group in self.groups:
            for name, values in sorted((group.draws | group.lanes).items()):
                digest.update(f"{name}{values.shape}{values.dtype.str}".encode())
                digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()[:12]

    def description(self) -> dict[str, Any]:
        """The hashed facts that are not arrays."""
        return {
            "numerics_version": NUMERICS_VERSION,
            "system": self.system.name,
            "axes": [axis.name for axis in self.system.axes],
            "measure": asdict(self.config.measure),
            "transitions": None if self.config.transitions is None else asdict(self.config.transitions),
            "refine": self.refine,
            "dtype": self.config.backend.dtype,
            "groups": [
                {
                    "static": group.static,
                    "block_shape": group.block_shape,
                    "blocks_per_part": group.blocks_per_part,
                    "k": group.k,
                    "renormalise_every": group.renormalise_every,
                }
                for group in self.groups
            ],
        }

    def seconds(self, cores: int) -> float:
        """A rough estimate of the time on CPU cores, compilations included."""
        steps = sum(group.n_cells * group.cost + group.n_draws * group.draw_cost for group in self.groups)
        rate = REFERENCE_RATE[self.config.backend.dtype]
        return steps / rate / max(cores, 1) + COMPILE_SECONDS * self.programs * len(self.groups)


def make_plan(config: SweepConfig, *, opens: bool = False) -> Plan:
    """The plan of a sweep.

    Args:
        opens: see `with_data`.

    Raises:
        ConfigError: a system, an axis or a value that does not exist, or k > D for a shape of the grid.
    """
    config, system = with_data(config, opens=opens)
    refine = read_refine(config.grid)
    if config.grid.get("cells") is not None:
        if config.transitions is not None:
            raise ConfigError(
                "transitions", "must be null where grid.cells lists the cells", asdict(config.transitions)
            )
        shapes = listed(system, read_cells(system, config.grid["cells"]))
    else:
        values = read_grid(system, config.grid)
        _check_swept(system, config, refine, values)
        shapes = product(system, values)
    block_shapes = _block_shapes(system, config)
    groups: list[Group] = []
    for shape in shapes:
        first, given = sum(group.n_cells for group in groups), block_shapes.get(tuple(shape.static.values()))
        groups.append(make_group(system, config, refine, shape, first_cell=first, block_shape=given))
    return Plan(config, system, tuple(groups), refine)


def with_data(config: SweepConfig, *, opens: bool = False) -> tuple[SweepConfig, System]:
    """A sweep whose grid has the mark of its data, so that it can be planned again where the data are not, and its
    system.

    Args:
        opens: the data are looked at even where the grid has a mark already: a person may have made it up.

    Raises:
        ConfigError: a system that does not exist, or data that it cannot read.
    """
    system = get(config.system.name)
    if config.system.data is None:
        return config, system
    cells = config.grid.get("cells")
    grids = [config.grid, *cells] if isinstance(cells, Sequence) else [config.grid]
    marks = [grid.get("data") for grid in grids if isinstance(grid, Mapping)]
    given = next((mark for mark in marks if mark is not None), None)
    system = system.over(config.system.data, given if isinstance(given, str) and not opens else None)
    if given is not None:  # what is no mark of these data is refused when the grid is read
        return config, system
    return replace(config, grid={**config.grid, "data": system.axis("data").choices[0]}), system


def _block_shapes(system: System, config: SweepConfig) -> dict[tuple[Any, ...], tuple[int, int]]:
    """By the values of the static axes, the block shapes of the grid in `plan.shaped_for`, if there is one."""
    if config.plan.shaped_for is None:
        return {}
    shapes = product(system, read_grid(system, config.plan.shaped_for))
    groups = [make_group(system, config, 0, shape, first_cell=0) for shape in shapes]
    return {tuple(group.static.values()): group.block_shape for group in groups}


def _check_swept(system: System, config: SweepConfig, refine: int, grid: dict[str, np.ndarray | Drawn]) -> None:
    """Refuse a last axis on which nothing can change, and more refinement than a run can hold."""
    values = grid[system.axes[-1].name]
    axis, n = f"grid.{system.axes[-1].name}", len(values)
    if (refine or config.transitions is not None) and system.axes[-1].kind is not float:
        key, off = ("grid.refine", "0") if refine else ("transitions", "null")
        raise ConfigError(key, f"must be {off} for system {system.name}: {axis} has nothing between its values")
    n_cells = math.prod(len(each) for each in grid.values())
    if (refine or config.transitions is not None) and n < 2:
        key = "grid.refine" if refine else "transitions"
        given = "drawn ones" if isinstance(values, Drawn) else values.item()
        raise ConfigError(axis, f"must have at least 2 values where {key} looks between them", given)
    if n_cells * refine > MOST_CELLS:
        most = MOST_CELLS // n_cells
        raise ConfigError("grid.refine", f"must be at most {most} for a grid of {n_cells:,} cells", refine)
    if config.transitions is not None and config.transitions.consecutive >= n:
        must = f"must be less than the number of values of {axis}, {n}"
        raise ConfigError("transitions.consecutive", must, config.transitions.consecutive)
