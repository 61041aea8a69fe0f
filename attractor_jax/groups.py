"""How are the cells of one static shape cut into blocks, and what does each of them cost?

Blocks have one fixed shape (draws x lanes), padded by repetition. Nothing here depends on the machine, so that neither
the devices nor a restart can change a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from attractor_jax import measures
from attractor_jax.config import ConfigError, MeasureConfig, SweepConfig, a_list
from attractor_jax.defaults import default_renormalise_every
from attractor_jax.shapes import Shape
from attractor_jax.systems import System

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
# Cells in a block of cells that share nothing, in further rounds and beside the plan's own blocks. Measured on CPU: as
# fast as any (nine tenths of it with several exponents), and a last straggler is not slowed by many empty places.
OWN_BLOCK = 32

# Numbers of a network (weights, gains, bias, state, tangent vector) that a thread of the engine `fused` can keep beside
# its sums: an H100 has 255 registers a thread, and a float64 takes two. Found by compiling: in float64, (4, 16), (8, 9)
# and (2, 25) fit with 100 to 106 of them; in float32, (4, 32), (8, 20), (12, 12) with 192 to 208 do, but (2, 47) with
# 190 spills 28 bytes.
MOST_IN_REGISTERS = {"float64": 104, "float32": 176}

# Whole numbers up to this are floating-point numbers of 32 bits.
MOST_FLOAT32_STEPS = 2**24

# Rounds of an adaptive measurement that a cell is reckoned to need: it decides where parts are cut, and no number.
RECKONED_ROUNDS = 4

# Operations of one step of the reference network (N = 4, D = 16, one tangent vector): the unit of cost, and how many
# of those units a CPU core does in a second.
REFERENCE_OPERATIONS = 360.0
REFERENCE_RATE = {"float64": 60e6, "float32": 110e6}


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
        fused: the engine of that name can compute it.
        cost: of one cell, in steps of the reference network.
        draw_cost: of one draw, in the same.
        blocks_per_part: whole blocks in one file.
        block_bytes: memory that one block takes on a device, about: carry, its copy in the loop, inputs and outputs.
    """

    static: dict[str, Any]
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
    fused: bool
    cost: float
    draw_cost: float
    blocks_per_part: int
    block_bytes: int

    @property
    def n_cells(self) -> int:
        return self.n_draws * self.n_lanes

    @property
    def lane_slices(self) -> int:
        return -(-self.n_lanes // self.block_shape[1])

    @property
    def n_blocks(self) -> int:
        return -(-self.n_draws // self.block_shape[0]) * self.lane_slices

    @property
    def n_parts(self) -> int:
        return -(-self.n_blocks // self.blocks_per_part)

    def own_block(self, lanes: int = 1) -> int:
        """Draws in a block whose draws share nothing, with so many lanes each."""
        if self.rotates:
            return max(1, min(ROTATED_BLOCK // lanes, self.n_cells))
        return min(OWN_BLOCK, self.n_cells)


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
    n = len(cell_id)
    columns = {name: np.reshape(values, (n, -1)) for name, values in axes.items()}
    G = group.own_block(cell_id.size // n)
    for first in range(0, n, G):
        at = first + np.arange(G)
        real, at = at < n, np.minimum(at, n - 1)
        draws = {name: np.full(G, value) for name, value in group.static.items()}
        draws |= {name: columns[name][at, 0] for name in group.draws}
        lanes = {name: columns[name][at] for name in group.lanes}
        ids = cell_id.reshape(n, -1)[at]
        yield Block(draws, lanes, ids, np.broadcast_to(real[:, None], ids.shape))


def block_of(group: Group, index: int) -> Block:
    """A block of the plan."""
    G, S = group.block_shape
    draw_slice, lane_slice = divmod(index, group.lane_slices)
    draw, lane = draw_slice * G + np.arange(G), lane_slice * S + np.arange(S)
    return block_from(group, draw[draw < group.n_draws], lane[lane < group.n_lanes])


def block_from(group: Group, draw: np.ndarray, lane: np.ndarray) -> Block:
    """The block of these draws of a group times these lanes, at most as many as it has room for."""
    G, S = group.block_shape
    real = (np.arange(G) < len(draw))[:, None] & (np.arange(S) < len(lane))[None, :]
    draw, lane = draw[np.minimum(np.arange(G), len(draw) - 1)], lane[np.minimum(np.arange(S), len(lane) - 1)]
    lanes = {
        name: np.broadcast_to(values, (group.n_draws, group.n_lanes))[np.ix_(draw, lane)]
        for name, values in group.lanes.items()
    }
    draws = {name: np.full(G, value) for name, value in group.static.items()}
    draws |= {name: values[draw] for name, values in group.draws.items()}
    return Block(draws, lanes, group.first_cell + draw[:, None] * group.n_lanes + lane[None, :], real)


def make_group(
    system: System,
    config: SweepConfig,
    refine: int,
    shape: Shape,
    *,
    first_cell: int,
    block_shape: tuple[int, int] | None = None,
) -> Group:
    """The group of a shape, in blocks of the shape that suits it best, or of the one that is given.

    Raises:
        ConfigError: k > D, a measure that the system cannot have, values of axes that do not go together, or an engine
            that cannot compute it.
    """
    measure = config.measure
    system.check(shape.static, shape.draws | shape.lanes)
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
    _check_clock(system, config)
    lacking = _not_fused(system, config, shape.static, k)
    if lacking and config.backend.engine == "fused":
        raise ConfigError("backend.engine", f"must be auto or scan {lacking}", config.backend.engine)
    every = measure.renormalise_every
    if every == "auto":
        every = default_renormalise_every(k, D, system.rotates)
    rotates = system.rotates and k == D
    whole = bool(refine) or config.transitions is not None  # what is found along a network needs all of it in one part
    best = _rotated_block(shape) if rotates and not whole else _block_shape(shape, D * (k + 1), whole=whole)
    draw_cost = float(np.mean(system.draw_operations(shape.static, shape.draws))) / REFERENCE_OPERATIONS
    if draw_cost:  # or a single block would be longer than a part
        best = min(best[0], max(1, int(config.plan.part_steps / draw_cost))), best[1]
    draws, lanes = block_shape or best
    cost = _cost(system.operations(shape.static), D, k, every, measure, rotates=rotates)
    cost *= _times_measured(config, refine, shape.n_values)
    slices = -(-shape.n_lanes // lanes)  # of the lanes, in as many blocks
    per_part = max(1, int(config.plan.part_steps / (cost * draws * lanes + draw_cost * draws / slices)))
    if system.trained:  # every network in one part, and no other
        per_part = -(-per_part // slices) * slices
    return Group(
        **vars(shape),
        first_cell=first_cell,
        block_shape=(draws, lanes),
        dimension=D,
        k=k,
        rotates=rotates,
        renormalise_every=every,
        fused=lacking is None,
        cost=cost,
        draw_cost=draw_cost,
        blocks_per_part=per_part,
        block_bytes=draws * lanes * _bytes_per_cell(D, k, measure),
    )


def _check_clock(system: System, config: SweepConfig) -> None:
    """Refuse more steps than a clock in float32 can count: minibatches and noise would repeat themselves."""
    measure = config.measure
    steps = measure.transient + measure.align + (measure.max_steps or measure.steps) + measure.longest_period
    if system.clocked and config.backend.dtype == "float32" and steps > MOST_FLOAT32_STEPS:
        key, given = ("steps", measure.steps) if measure.max_steps is None else ("max_steps", measure.max_steps)
        most = MOST_FLOAT32_STEPS - (steps - given)
        must = f"must be at most {most} with backend.dtype=float32: system {system.name} counts its steps in it"
        raise ConfigError(f"measure.{key}", must, given)


def _block_shape(shape: Shape, numbers: int, *, whole: bool) -> tuple[int, int]:
    """Draws and lanes of the blocks for cells of so many numbers, networks kept whole if asked to."""
    in_block = min(BLOCK_NUMBERS // numbers, shape.n_draws * shape.n_lanes // FEWEST_BLOCKS)
    # Cells that share nothing are slower by a third in the largest blocks.
    in_block = int(np.clip(in_block, FEWEST_IN_BLOCK, FEWEST_IN_BLOCK if shape.n_lanes == 1 else MOST_IN_BLOCK))
    # With few draws the lanes must fill the block alone; else about 64 of them, evenly cut, do.
    most_lanes = max(MOST_LANES, in_block // shape.n_draws)
    lanes = -(-shape.n_lanes // -(-shape.n_lanes // most_lanes))
    if whole:
        lanes = -(-lanes // shape.n_values) * shape.n_values
    return min(shape.n_draws, max(1, in_block // lanes)), lanes


def _rotated_block(shape: Shape) -> tuple[int, int]:
    """Draws and lanes of the fewest blocks of ROTATED_BLOCK cells, with as many lanes to a draw as that allows."""

    def blocks(lanes: int) -> int:
        return -(-shape.n_lanes // lanes) * -(-shape.n_draws // (ROTATED_BLOCK // lanes))

    lanes = min((ROTATED_BLOCK >> i for i in range(ROTATED_BLOCK.bit_length())), key=blocks)
    return min(shape.n_draws, ROTATED_BLOCK // lanes), min(shape.n_lanes, lanes)


def _not_fused(system: System, config: SweepConfig, static: dict[str, Any], k: int) -> str | None:
    """Where, and why, the engine `fused` cannot compute; None if it can."""
    measure, dtype = config.measure, config.backend.dtype
    numbers, most = system.numbers(static), MOST_IN_REGISTERS[dtype]
    if numbers is None:
        return f"for system {system.name}: fused is for feedback networks"
    if k > 1:
        return f"where measure.k is {measure.k}: fused measures lambda_1 alone"
    if measure.also:
        return f"where measure.also has {a_list(measure.also, 'and')}: fused has no optional measures"
    if numbers > most:
        where = ", ".join(f"{name}={value}" for name, value in static.items())
        return f"for {where}: fused has registers for {most} numbers a network in {dtype}, and it has {numbers}"
    return None


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
    boxes = 2 * 1_252 if "coverage" in measure.also else 0
    # The samples, their copy in the loop, and what the test makes of them at the end.
    samples = 6 * 8 * measures.ZERO_ONE_PLACES if "zero_one" in measure.also else 0
    second_orbit = 2 * 8 * D if "two_orbit" in measure.also else 0
    return 8 * (3 * D * (k + 2) + 2 * measure.blocks * (k + 1) + 4 * k + 40) + boxes + samples + second_orbit
