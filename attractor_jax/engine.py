"""How does a list of cells become columns on these devices? The programs of one static shape, and the rounds that cells
go through.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import jax
import numpy as np

from attractor_jax.adaptive import judge
from attractor_jax.backend import runs_fused
from attractor_jax.batch import Program, blocks_at_once
from attractor_jax.blocks import BlockMeasurement, Measured
from attractor_jax.bundles import Bundle, bundles
from attractor_jax.groups import Block, Group, own_blocks
from attractor_jax.plan import Plan
from attractor_jax.systems import Draw

# Draws that are remembered from one block to the next; more where more were asked for in one go.
DRAWS_KEPT = 1024

Progress = Callable[[int, float], None]
Columns = dict[str, np.ndarray]


def no_progress(cells: int, steps: float) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True)
class Engine:
    """All that computes the cells of one group.

    Attributes:
        plan, group: what is computed.
        devices: all of one kind; how many changes no number.
        memory: bytes that one batch may take over all devices.
        batch: blocks a device runs at once, or "auto".
        progress: called with the cells and the network-steps that were finished, and with zeros while a batch is waited
            for.
    """

    plan: Plan
    group: Group
    devices: Sequence[Any]
    memory: float
    batch: int | str
    progress: Progress = no_progress

    @cached_property
    def name(self) -> str:
        """Of the program that computes, "scan" or "fused"."""
        asked = self.plan.config.backend.engine
        if asked != "auto":
            return asked
        return "fused" if self.group.fused and runs_fused(self.devices[0]) else "scan"

    def measure(self, blocks: Iterable[Block], *, shape: tuple[int, int] | None = None) -> Columns:
        """All columns of the real cells of some blocks, each (cells,) or (cells, k), in the order of their cell_id.

        Args:
            shape: draws and lanes of each block, for cells beside the plan's own; progress does not count them.
        """

        def finished(cells: int, steps: float) -> None:
            self.progress(cells if shape is None else 0, steps)

        columns, waiting = self._first_round(blocks, shape or self.group.block_shape, finished)
        repeats = 1
        while waiting is not None:
            repeats *= 2
            waiting = self._further_round(columns, waiting, repeats, finished)
        order = np.argsort(columns["cell_id"], kind="stable")
        return {name: values[order] for name, values in columns.items()}

    def program(self, function: Callable[[Any], Any], shape: tuple[int, int]) -> Program:
        """The program that runs a function of blocks of a shape, the same for the same function."""
        return self._programs(function, shape)

    @cached_property
    def _programs(self) -> Callable[..., Program]:
        return lru_cache(self._program)

    def _program(self, function: Callable[[Any], Any], shape: tuple[int, int]) -> Program:
        cells = shape[0] * shape[1]
        planned = self.group.block_shape[0] * self.group.block_shape[1]
        blocks = min(self.group.blocks_per_part, self.group.n_blocks) * planned
        at_once = blocks_at_once(
            self.batch,
            self.devices,
            memory=self.memory,
            block_bytes=self.group.block_bytes * cells // planned,
            block_cost=self.group.cost * cells,
            blocks=-(-blocks // cells),
        )
        return Program(function, self.devices, at_once)

    def problem(self, block: Block) -> tuple[Any, tuple[Any, Any]]:
        """The draws of a block in float64, and its draws and parameters in the run's dtype."""
        dtype = self.plan.config.backend.dtype
        draws = self.draws(self.draw_axes(block))
        exact = {name: np.stack([draw[name] for draw in draws]) for name in draws[0]}
        rounded = {name: values.astype(dtype) for name, values in exact.items()}
        return exact, (rounded, {name: block.lanes[name].astype(dtype) for name in self.plan.system.parameters})

    def states(self, values: np.ndarray) -> np.ndarray:
        """States (G, S, D) as blocks have them: (G, D, S), in the run's dtype."""
        return values.transpose(0, 2, 1).astype(self.plan.config.backend.dtype)

    def first_states(self, block: Block) -> np.ndarray:
        """Where the system lets the orbits of a block start, (G, S, D)."""
        axes = self.draw_axes(block)
        states = [
            self.plan.system.initial_states(draw, each, {name: values[g] for name, values in block.lanes.items()})
            for g, (draw, each) in enumerate(zip(self.draws(axes), axes, strict=True))
        ]
        return np.stack(states)

    @property
    def steps_of_first_round(self) -> int:
        measure = self.plan.config.measure
        return measure.transient + measure.align + measure.steps + measure.longest_period

    def wait(self) -> None:
        """What is done while the devices compute."""
        time.sleep(0.01)
        self.progress(0, 0.0)

    def closed_form(self, block: Block, exact: Any) -> Columns:
        """The system's columns, each (G, S) or (G, S, n), from the block's draws in float64."""
        found, shape = self.plan.system.closed_form(exact, self._parameters(block)), block.real.shape
        return {name: np.broadcast_to(values, (*shape, *values.shape[2:])) for name, values in found.items()}

    def measured(self, block: Block, exact: Any, measured: Measured, repeats: int) -> Columns:
        """What is known of a block after a round, by column: see `BlockMeasurement.columns` and `System.outcome`."""
        states = np.moveaxis(np.asarray(measured.carry.state), -1, 1)
        outcome = self.plan.system.outcome(exact, self._parameters(block), states)
        return self.block_measurement.columns(measured, repeats) | outcome

    def _parameters(self, block: Block) -> Columns:
        return {name: block.lanes[name] for name in self.plan.system.parameters}

    def cells(self, block: Block, closed: Columns, computed: Columns) -> Columns:
        """One row a real cell of a block, by column: identity, what was computed, and the system's columns."""
        shape = block.real.shape
        constants = {
            "dtype": self.plan.config.backend.dtype,
            "engine": self.name,
            "dimension": self.group.dimension,
        }
        columns = {name: np.broadcast_to(values[:, None], shape) for name, values in block.draws.items()}
        columns |= block.lanes | {"cell_id": block.cell_id} | computed | closed
        columns |= {name: np.broadcast_to(np.array(value, object), shape) for name, value in constants.items()}
        return {name: np.asarray(values)[block.real] for name, values in columns.items()}

    def draw_axes(self, block: Block) -> list[dict[str, Any]]:
        """What `System.draw` is told of each draw of a block, (G,)."""
        names = self.plan.system.draw_axes
        return [{name: block.draws[name][g].item() for name in names} for g in range(len(block.real))]

    def draws(self, axes: Sequence[Mapping[str, Any]]) -> list[Draw]:
        """The draws with these axes, those asked for in one go that were not there yet."""
        keys = [tuple(each.values()) for each in axes]
        new = {key: each for key, each in zip(keys, axes, strict=True) if key not in self._drawn}
        if new:
            made = self.plan.system.draws(list(new.values()), self.devices, self.wait)
            self._drawn.update(zip(new, made, strict=True))
        found = [self._drawn[key] for key in keys]
        if new:
            for key in list(self._drawn)[: -max(DRAWS_KEPT, len(new))]:
                del self._drawn[key]
        return found

    @cached_property
    def _drawn(self) -> dict[tuple[Any, ...], Draw]:
        """Draws by the values of their axes, the oldest first: blocks share them when the lanes are many."""
        return {}

    @cached_property
    def block_measurement(self) -> BlockMeasurement:
        return BlockMeasurement(self.plan.system, self.group, self.plan.config.measure, self._kernel)

    @property
    def _kernel(self) -> Any:
        if self.name == "scan":
            return None
        from attractor_jax.fused import Kernel  # Pallas takes a while to import

        # `backend.start` lets no sweep come here on a CPU: only tests do.
        return Kernel(self.plan.system.name, interpret=self.devices[0].platform == "cpu")

    # Rounds

    def _first_round(
        self, blocks: Iterable[Block], shape: tuple[int, int], finished: Progress
    ) -> tuple[Columns, _Waiting | None]:
        """Every cell measured once, and those that are not done yet."""
        measure = self.plan.config.measure
        under_way: deque[tuple[Bundle, Any, Columns]] = deque()

        def inputs() -> Iterator[Any]:
            for bundle in bundles(self.group, blocks, shape):
                exact, problem = self.problem(bundle.cells)
                under_way.append((bundle, exact, self.closed_form(bundle.cells, exact)))
                yield from bundle.split((*problem, self.states(self.first_states(bundle.cells))))

        pieces: list[Columns] = []
        carries: list[Any] = []
        left: list[np.ndarray] = []
        discards: list[np.ndarray] = []
        rows = 0
        outputs = self.first_program(shape).run(inputs(), self.wait)
        for output in outputs:
            bundle, exact, closed = under_way.popleft()
            block, measured = bundle.cells, bundle.join(output, outputs)
            piece = self.cells(block, closed, self.measured(block, exact, measured, 1))
            pieces.append(piece)
            done = len(piece["cell_id"])
            if measure.adaptive:
                verdict = judge(piece, measure)
                draw, lane = (at[verdict.go_on] for at in np.nonzero(block.real))
                carries.append(jax.tree.map(lambda leaf, d=draw, s=lane: leaf[d, ..., s], measured.carry))
                left.append(rows + np.flatnonzero(verdict.go_on))
                discards.append(verdict.discard[verdict.go_on])
                done -= len(draw)
            rows += len(piece["cell_id"])
            finished(done, len(piece["cell_id"]) * self.steps_of_first_round)
        columns = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
        if not measure.adaptive:
            return columns, None
        carry = jax.tree.map(lambda *leaves: np.concatenate(leaves), *carries)
        waiting = _Waiting(np.concatenate(left), np.concatenate(discards), carry)
        return columns, self._still_waiting(waiting, finished)

    def _further_round(self, columns: Columns, waiting: _Waiting, repeats: int, finished: Progress) -> _Waiting | None:
        """As many steps again for the cells that wait: `columns` have their rows replaced, and fewer are left."""
        measure, G = self.plan.config.measure, self.group.own_block()
        axes = [name for axis in self.plan.system.axes if (name := axis.name) not in self.group.static]
        chosen = {name: columns[name][waiting.rows] for name in axes}

        under_way: deque[tuple[Block, Any]] = deque()

        def inputs() -> Iterator[Any]:
            for i, block in enumerate(own_blocks(self.group, chosen, columns["cell_id"][waiting.rows])):
                exact, problem = self.problem(block)
                under_way.append((block, exact))
                at = np.minimum(i * G + np.arange(G), len(waiting.rows) - 1)
                carry = jax.tree.map(lambda leaf, at=at: leaf[at][..., None], waiting.carry)
                # What was the range after the last round is the range before this one.
                before = columns["amplitude"][waiting.rows[at], None]
                yield (*problem, carry, before, waiting.discard[at, None], np.int32(repeats))

        carries: list[Any] = []
        go_on: list[np.ndarray] = []
        discards: list[np.ndarray] = []
        steps = measure.steps * repeats // 2 + measure.longest_period
        for i, measured in enumerate(self._further_program.run(inputs(), self.wait)):
            rows = waiting.rows[i * G : (i + 1) * G]
            n = len(rows)
            for name, values in self.measured(*under_way.popleft(), measured, repeats).items():
                columns[name][rows] = values[:n, 0]
            verdict = judge({name: values[rows] for name, values in columns.items()}, measure)
            carries.append(jax.tree.map(lambda leaf, keep=verdict.go_on, n=n: leaf[:n][keep][..., 0], measured.carry))
            go_on.append(verdict.go_on)
            discards.append(verdict.discard)
            finished(int((~verdict.go_on).sum()), n * steps)
        keep = np.concatenate(go_on)
        carry = jax.tree.map(lambda *leaves: np.concatenate(leaves), *carries)
        return self._still_waiting(_Waiting(waiting.rows[keep], np.concatenate(discards)[keep], carry), finished)

    def _still_waiting(self, waiting: _Waiting, finished: Progress) -> _Waiting | None:
        """The same, unless nobody waits or the next round would go beyond `max_steps`."""
        measure = self.plan.config.measure
        assert measure.max_steps is not None
        if not len(waiting.rows):
            return None
        if 2 * int(waiting.carry.step[0]) > measure.max_steps:
            finished(len(waiting.rows), 0.0)
            return None
        return waiting

    @cached_property
    def first_program(self) -> Callable[[tuple[int, int]], Program]:
        """The program of the first round for blocks of a shape."""
        measured = self.block_measurement

        def first(inputs: Any) -> Any:
            return measured.first(*inputs)

        return lambda shape: self.program(first, shape)

    @cached_property
    def _further_program(self) -> Program:
        measured = self.block_measurement
        return self.program(lambda inputs: measured.further(*inputs), (self.group.own_block(), 1))


@dataclass(frozen=True)
class _Waiting:
    """Cells that go on.

    Attributes:
        rows: (waiting,), their rows among the columns.
        discard: (waiting,), bool, see `measurement.halve`.
        carry: a `Measurement` with the cells on the first axis of its leaves.
    """

    rows: np.ndarray
    discard: np.ndarray
    carry: Any
