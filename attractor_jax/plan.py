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
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np

from attractor_jax import measures
from attractor_jax.config import ConfigError, MeasureConfig, SweepConfig, a_list
from attractor_jax.defaults import default_renormalise_every
from attractor_jax.grid import MOST_CELLS, read_cells, read_grid, read_refine
from attractor_jax.systems import System, get

# Raised whenever CHANGELOG.md says that a number of the tables changes, or a column. The default thresholds of
# `regimes.classify` are among what changes numbers: adaptive rounds and transitions are decided by them.
NUMERICS_VERSION = 4

# Numbers in the states and tangent vectors of a block. Measured on CPU: twice as many halve the throughput, since XLA
# cuts such large loops up for threads that are not there.
BLOCK_NUMBERS = 2**14
FEWEST_IN_BLOCK, MOST_IN_BLOCK = 64, 512
# A shape with few cells is still cut into so many blocks, if they do not become too small: devices share whole blocks.
FEWEST_BLOCKS = 8
MOST_LANES = 64
# Cells in a block where a whole frame is rotated. Measured on CPU: with fewer its loops are not vectorised and take as
# long as with 64; with more the frames leave the caches.
ROTATED_BLOCK = 64
# Cells in a block of cells that share nothing. Measured on CPU: 90 % (80 % with several exponents) of the throughput of
# the largest blocks, and a last straggler is not slowed by many empty places beside it.
OWN_BLOCK_OF_ONE, OWN_BLOCK_OF_SEVERAL = 32, 16

# Numbers of a network (weights, gains, bias, state, tangent vector) that a thread of the engine `fused` can keep beside
# its sums: an H100 has 255 registers a thread, and a float64 takes two. Found by compiling: in
# float64, (4, 16), (8, 9), (2, 25) and (2, 24) fit with 100 to 106 of them; in float32, (4, 32), (8, 20), (12, 12) with
# 192 to 208 do, but (2, 47) with 190 spills 28 bytes.
MOST_IN_REGISTERS = {"float64": 104, "float32": 176}

# Rounds of an adaptive measurement that a cell is reckoned to need: it decides where parts are cut, and no number.
RECKONED_ROUNDS = 4

# Operations of one step of the reference network (N = 4, D = 16, one tangent vector): the unit of cost, and how many
# of those units a CPU core does in a second.
REFERENCE_OPERATIONS = 360.0
REFERENCE_RATE = {"float64": 60e6, "float32": 110e6}
COMPILE_SECONDS = 3.0


@dataclass(frozen=True)
class Group:
    """The cells of one static shape: every draw with every one of its lanes.

    Attributes:
        static: values of the static axes.
        first_cell: cell_id of the first cell; ids run over lanes first.
        draws: non-static draw axes, each (draws,).
        lanes: all other axes, each (1, lanes) where all draws have the same ones, else (draws, lanes).
        n_values: values of the last axis, which run fastest among the lanes: the cells of one network.
        block_shape: draws and lanes in a block.
        k: exponents measured.
        rotates: a whole frame of a shift register, kept orthonormal by rotations.
        renormalise_every: steps between orthonormalisations.
        cost: of one cell, in steps of the reference network.
        blocks_per_part: whole blocks in one file.
        block_bytes: memory that one block takes on a device, about: carry, its copy in the loop, inputs and outputs.
    """

    static: dict[str, int]
    first_cell: int
    draws: dict[str, np.ndarray]
    lanes: dict[str, np.ndarray]
    n_draws: int
    n_lanes: int
    n_values: int
    block_shape: tuple[int, int]
    dimension: int
    k: int
    rotates: bool
    renormalise_every: int
    cost: float
    blocks_per_part: int
    block_bytes: int

    @property
    def n_cells(self) -> int:
        return self.n_draws * self.n_lanes

    @property
    def lane_chunks(self) -> int:
        return -(-self.n_lanes // self.block_shape[1])

    @property
    def n_blocks(self) -> int:
        return -(-self.n_draws // self.block_shape[0]) * self.lane_chunks

    @property
    def n_parts(self) -> int:
        return -(-self.n_blocks // self.blocks_per_part)

    @property
    def own_block(self) -> int:
        """Cells in a block of cells that share nothing."""
        block = ROTATED_BLOCK if self.rotates else OWN_BLOCK_OF_ONE if self.k == 1 else OWN_BLOCK_OF_SEVERAL
        return min(block, self.n_cells)


@dataclass(frozen=True)
class Block:
    """One unit of compute: G draws times S lanes, padded by repetition to the group's block shape.

    Attributes:
        draws: draw axes, each (G,), static ones included.
        lanes: other axes, each (G, S).
        cell_id: (G, S).
        real: (G, S), False where the cell is padding.
    """

    draws: dict[str, np.ndarray]
    lanes: dict[str, np.ndarray]
    cell_id: np.ndarray
    real: np.ndarray


def own_blocks(group: Group, axes: dict[str, np.ndarray], cell_id: np.ndarray) -> Iterator[Block]:
    """Any cells of a group's shape as blocks of one draw a cell, padded by repetition.

    Args:
        axes: every axis that is not static, (cells,) or (cells, S): S lanes of one draw side by side.
        cell_id: (cells,) or (cells, S).
    """
    G, n = group.own_block, len(cell_id)
    columns = {name: np.reshape(values, (n, -1)) for name, values in axes.items()}
    for first in range(0, n, G):
        at = first + np.arange(G)
        real, at = at < n, np.minimum(at, n - 1)
        draws = {name: np.full(G, value) for name, value in group.static.items()}
        draws |= {name: columns[name][at, 0] for name in group.draws}
        lanes = {name: columns[name][at] for name in group.lanes}
        ids = cell_id.reshape(n, -1)[at]
        yield Block(draws, lanes, ids, np.broadcast_to(real[:, None], ids.shape))


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

    def blocks(self) -> Iterator[Block]:
        """The part's blocks, each made when it is asked for."""
        for index in range(self.first_block, self.first_block + self.n_blocks):
            yield _block(self.group, index)

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

    @cached_property
    def n_cells(self) -> int:
        # Without making the blocks: a sweep asks all of its parts before it begins.
        G, S = self.group.block_shape
        index = np.arange(self.first_block, self.first_block + self.n_blocks)
        draw_chunk, lane_chunk = np.divmod(index, self.group.lane_chunks)
        draws = np.minimum(G, self.group.n_draws - draw_chunk * G)
        return int(draws @ np.minimum(S, self.group.n_lanes - lane_chunk * S))


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
        steps = sum(group.n_cells * group.cost for group in self.groups)
        rate = REFERENCE_RATE[self.config.backend.dtype]
        return steps / rate / max(cores, 1) + COMPILE_SECONDS * self.programs * len(self.groups)


def make_plan(config: SweepConfig) -> Plan:
    """The plan of a sweep.

    Raises:
        ConfigError: a system, an axis or a value that does not exist, or k > D for a shape of the grid.
    """
    system = get(config.system.name)
    refine = read_refine(config.grid)
    if config.grid.get("cells") is not None:
        if config.transitions is not None:
            raise ConfigError(
                "transitions", "must be null where grid.cells lists the cells", asdict(config.transitions)
            )
        shapes = _listed(system, read_cells(system, config.grid["cells"]))
    else:
        values = read_grid(system, config.grid)
        _check_swept(system, config, refine, values)
        shapes = _product(system, values)
    groups: list[Group] = []
    for shape in shapes:
        groups.append(_group(system, config, refine, shape, first_cell=sum(group.n_cells for group in groups)))
    return Plan(config, system, tuple(groups), refine)


def _check_swept(system: System, config: SweepConfig, refine: int, grid: dict[str, np.ndarray]) -> None:
    """Refuse a last axis on which nothing can change, and more refinement than a run can hold."""
    values = grid[system.axes[-1].name]
    axis, n = f"grid.{system.axes[-1].name}", len(values)
    n_cells = math.prod(len(each) for each in grid.values())
    if (refine or config.transitions is not None) and n < 2:
        key = "grid.refine" if refine else "transitions"
        raise ConfigError(axis, f"must have at least 2 values where {key} looks between them", values.item())
    if n_cells * refine > MOST_CELLS:
        most = MOST_CELLS // n_cells
        raise ConfigError("grid.refine", f"must be at most {most} for a grid of {n_cells:,} cells", refine)
    if config.transitions is not None and config.transitions.consecutive >= n:
        must = f"must be less than the number of values of {axis}, {n}"
        raise ConfigError("transitions.consecutive", must, config.transitions.consecutive)


@dataclass(frozen=True)
class _Shape:
    """The cells of one static shape, before anything is decided about them: see `Group`."""

    static: dict[str, int]
    draws: dict[str, np.ndarray]
    lanes: dict[str, np.ndarray]
    n_draws: int
    n_lanes: int
    n_values: int


def _axes(system: System) -> tuple[list[str], list[str], list[str]]:
    """Names of the static axes, of the other axes that a draw reads, and of the rest."""
    static = [axis.name for axis in system.axes if axis.static]
    draws = [axis.name for axis in system.axes if not axis.static and axis.name in system.draw_axes]
    lanes = [axis.name for axis in system.axes if not axis.static and axis.name not in system.draw_axes]
    if [axis.name for axis in system.axes] != [*static, *draws, *lanes]:
        raise ConfigError("system.name", "must declare its axes in the order static, drawn, others", system.name)
    return static, draws, lanes


def _product(system: System, values: dict[str, np.ndarray]) -> Iterator[_Shape]:
    """Every draw meets every lane: one draw of the weights serves all of them."""
    static, draws, lanes = _axes(system)
    draw_columns = _columns({name: values[name] for name in draws})
    lane_columns = {name: column[None] for name, column in _columns({name: values[name] for name in lanes}).items()}
    n_draws = int(np.prod([len(values[name]) for name in draws], dtype=int))
    n_lanes = int(np.prod([len(values[name]) for name in lanes], dtype=int))
    for point in np.ndindex(*[len(values[name]) for name in static]):
        chosen = {name: int(values[name][i]) for name, i in zip(static, point, strict=True)}
        yield _Shape(chosen, draw_columns, lane_columns, n_draws, n_lanes, len(values[lanes[-1]]))


def _columns(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The product of the axes as one column each, the last axis fastest."""
    if not values:
        return {}
    grid = np.meshgrid(*values.values(), indexing="ij")
    return {name: column.ravel() for name, column in zip(values, grid, strict=True)}


def _listed(system: System, cells: dict[str, np.ndarray]) -> Iterator[_Shape]:
    """Every cell is its own draw with a single lane."""
    static, draws, lanes = _axes(system)
    n_cells = len(next(iter(cells.values())))
    shapes = np.stack([cells[name] for name in static], axis=1) if static else np.zeros((n_cells, 0), int)
    for shape in np.unique(shapes, axis=0):
        here = np.all(shapes == shape, axis=1)
        yield _Shape(
            {name: int(value) for name, value in zip(static, shape, strict=True)},
            {name: cells[name][here] for name in draws},
            {name: cells[name][here][:, None] for name in lanes},
            n_draws=int(here.sum()),
            n_lanes=1,
            n_values=1,
        )


def _group(system: System, config: SweepConfig, refine: int, shape: _Shape, *, first_cell: int) -> Group:
    measure = config.measure
    D = system.dimension(shape.static)
    k = D if measure.k == "all" else measure.k
    if k > D:
        raise ConfigError("measure.k", f"must be at most the dimension D = {D} of the smallest state in the grid", k)
    for name in measure.also:
        needed, there = measures.HIDDEN_UNITS.get(name, 0), system.hidden_units(shape.static)
        if there < needed:
            raise ConfigError(
                "measure.also", f"cannot have {name} here: it looks at {needed} hidden units of {there}", name
            )
    _check_engine(system, config, shape.static, k)
    every = measure.renormalise_every
    if every == "auto":
        every = default_renormalise_every(k, D, system.rotates)
    rotates = system.rotates and k == D
    whole = bool(refine) or config.transitions is not None  # what is found along a network needs all of it in one part
    draws, lanes = _rotated_block(shape) if rotates and not whole else _block_shape(shape, D * (k + 1), whole=whole)
    cost = _cost(system.operations(shape.static), D, k, every, measure, rotates=rotates)
    cost *= _times_measured(config, refine, shape.n_values)
    return Group(
        **vars(shape),
        first_cell=first_cell,
        block_shape=(draws, lanes),
        dimension=D,
        k=k,
        rotates=rotates,
        renormalise_every=every,
        cost=cost,
        blocks_per_part=max(1, int(config.plan.part_steps / (cost * draws * lanes))),
        block_bytes=draws * lanes * _bytes_per_cell(D, k, measure),
    )


def _block_shape(shape: _Shape, numbers: int, *, whole: bool) -> tuple[int, int]:
    """Draws and lanes of the blocks for cells of so many numbers, networks kept whole if asked to."""
    in_block = min(BLOCK_NUMBERS // numbers, shape.n_draws * shape.n_lanes // FEWEST_BLOCKS)
    in_block = int(np.clip(in_block, FEWEST_IN_BLOCK, MOST_IN_BLOCK))
    # With few draws the lanes must fill the block alone; else about 64 of them, evenly cut, do.
    most_lanes = max(MOST_LANES, in_block // shape.n_draws)
    chunks = -(-shape.n_lanes // most_lanes)
    lanes = -(-shape.n_lanes // chunks)
    if whole:
        lanes = -(-lanes // shape.n_values) * shape.n_values
    return min(shape.n_draws, max(1, in_block // lanes)), lanes


def _rotated_block(shape: _Shape) -> tuple[int, int]:
    """Draws and lanes of the fewest blocks of ROTATED_BLOCK cells, with as many lanes to a draw as that allows."""

    def blocks(lanes: int) -> int:
        return -(-shape.n_lanes // lanes) * -(-shape.n_draws // (ROTATED_BLOCK // lanes))

    lanes = min((ROTATED_BLOCK >> i for i in range(ROTATED_BLOCK.bit_length())), key=blocks)
    return min(shape.n_draws, ROTATED_BLOCK // lanes), min(shape.n_lanes, lanes)


def _check_engine(system: System, config: SweepConfig, static: dict[str, int], k: int) -> None:
    """Refuse the engine `fused` for what it cannot do."""
    backend, measure = config.backend, config.measure
    if backend.program != "fused":
        return

    def refuse(why: str) -> NoReturn:
        raise ConfigError("backend.engine", f"must be auto or scan {why}", backend.engine)

    numbers, most = system.numbers(static), MOST_IN_REGISTERS[backend.dtype]
    if numbers is None:
        refuse(f"for system {system.name}: fused is for feedback networks")
    if k > 1:
        refuse(f"where measure.k is {measure.k}: fused measures lambda_1 alone")
    if measure.also:
        refuse(f"where measure.also has {a_list(measure.also, 'and')}: fused has no optional measures")
    if numbers > most:
        where = ", ".join(f"{name}={value}" for name, value in static.items())
        refuse(
            f"for {where}: fused has registers for {most} numbers a network in {backend.dtype}, and it has {numbers}"
        )


def _cost(operations: float, D: int, k: int, every: int, measure: MeasureConfig, *, rotates: bool) -> float:
    """Cost of one cell in steps of the reference network, tangent vector included."""
    # Measured on CPU, in units of the operations of a matrix product, which is faster than loops over vectors.
    gram_schmidt = (6.0 * D * k * k + 100.0 * k) / every
    tangents = 2.0 * D * k + (20.0 * D * k if rotates else gram_schmidt if k > 1 else 0.0)
    plain = measure.transient + measure.longest_period
    measured = measure.align + measure.steps
    if measure.max_steps is not None:
        measured = measure.align + min(measure.max_steps, RECKONED_ROUNDS * measure.steps)
    return (plain * operations + measured * (operations + tangents + 60.0)) / REFERENCE_OPERATIONS


def _times_measured(config: SweepConfig, refine: int, n_values: int) -> float:
    """How often the cells of the grid are measured, all told: refined in three intervals of a network, both ways along
    the axis, and bisected, six cells a time.
    """
    times = 1 + 3 * refine / n_values
    if config.transitions is not None:
        halvings = max(1.0, math.log2(1 / (config.transitions.tolerance * n_values)))
        times += 2 * config.transitions.continuation + 6 * halvings / n_values
    return times


def _bytes_per_cell(D: int, k: int, measure: MeasureConfig) -> int:
    boxes = 2 * 10_000 if "coverage" in measure.also else 0
    # The samples, their copy in the loop, and what the test makes of them at the end.
    samples = 6 * 8 * measures.ZERO_ONE_PLACES if "zero_one" in measure.also else 0
    second_orbit = 2 * 8 * D if "two_orbit" in measure.also else 0
    return 8 * (3 * D * (k + 2) + 2 * measure.blocks * (k + 1) + 4 * k + 40) + boxes + samples + second_orbit


def _block(group: Group, index: int) -> Block:
    G, S = group.block_shape
    draw_chunk, lane_chunk = divmod(index, group.lane_chunks)
    draw, lane = draw_chunk * G + np.arange(G), lane_chunk * S + np.arange(S)
    real = (draw < group.n_draws)[:, None] & (lane < group.n_lanes)[None, :]
    draw, lane = np.minimum(draw, group.n_draws - 1), np.minimum(lane, group.n_lanes - 1)
    lanes = {
        name: np.broadcast_to(values, (group.n_draws, group.n_lanes))[np.ix_(draw, lane)]
        for name, values in group.lanes.items()
    }
    draws = {name: np.full(G, value) for name, value in group.static.items()}
    draws |= {name: values[draw] for name, values in group.draws.items()}
    return Block(draws, lanes, group.first_cell + draw[:, None] * group.n_lanes + lane[None, :], real)
