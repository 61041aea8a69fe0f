"""What is known of one network after a tenth of a second, and after two? Its portrait, its exponents and its outputs
along an axis, each in steps that end soon, so that a person who asks for something else does not wait.

All of these are generators, or take milliseconds: whoever has been asked for another network goes on to that one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array

from analysis.cells import LONGEST_PERIOD, Cell, plan_of_cell
from attractor_jax.blocks import BlockMeasurement, Measured
from attractor_jax.defaults import ALIGNMENT_STEPS, BLOCKS
from attractor_jax.growth import advance, begin
from attractor_jax.iterate import iterate, orbit
from attractor_jax.measurement import Measurement
from attractor_jax.portrait import MARGIN, Attractor, Portrait, check_coordinates, coordinate_names, read_coordinates
from attractor_jax.recurrence import find_period, output_range
from attractor_jax.regimes import classify
from attractor_jax.systems import get

# Steps thrown away; and of the orbit from which the first picture is made: a program that compiles in a fifth of a
# second, where that of the finer ones takes three.
TRANSIENT = 5000
GLANCE = 40_000
# Points of the finer pictures, and their width and height. What the eye takes for still is as wide as ALIKE.
POINTS = (1e6, 1e7)
PIXELS = 480
ALIKE = 1e-3

# A measurement: blocks of so many steps, and after how many of them it is told. Errors are made from BLOCKS means.
BLOCK_STEPS = 500
TOLD = tuple(BLOCKS * many for many in (1, 2, 4, 8, 16, 32))

# Values of the axis of an orbit diagram, outputs shown at each, and steps thrown away before.
VALUES, OUTPUTS, BEFORE = 400, 500, 1500


class Superseded(Exception):
    """Somebody asked for something else meanwhile."""


@dataclass(frozen=True)
class Glance:
    """The first thing that is seen of a network.

    Attributes:
        picture: from a single orbit; None where there are not two coordinates to lay out.
        outputs: (n,), y step by step, behind the transient.
        still: the orbit stays within what the eye takes for one point.
    """

    picture: Portrait | None
    outputs: np.ndarray
    still: bool


def glance(cell: Cell, coordinates: Sequence[str], *, steps: int = GLANCE, pixels: int = PIXELS) -> Glance:
    """A picture from one orbit, at once.

    Raises:
        ValueError: a coordinate that does not exist, or an orbit that leaves the finite numbers.
    """
    if len(coordinates) > 1:
        check_coordinates(coordinates, coordinate_names(cell.map, len(cell.state)))
    states = orbit(cell.map, cell.state, steps=TRANSIENT + steps)[TRANSIENT:]
    outputs = np.asarray(states[:, 0])
    if not np.isfinite(outputs).all():
        raise ValueError("the orbit leaves the finite numbers")
    if len(coordinates) < 2:
        return Glance(None, outputs, True)
    at = np.asarray(_coordinates(cell.map, states, tuple(coordinates)))
    low, high = at.min(axis=1), at.max(axis=1)
    room = np.maximum(MARGIN * (high - low), ALIKE / 2)
    (left, bottom), (right, top) = low - room, high + room
    counts = np.histogram2d(*at, bins=pixels, range=[[left, right], [bottom, top]])[0]
    extent = float(left), float(right), float(bottom), float(top)
    picture = Portrait(counts.T[::-1].astype(np.int64), extent, tuple(coordinates), steps, 0)
    return Glance(picture, outputs, bool((high - low < ALIKE).any()))


def portraits(
    cell: Cell,
    seen: Glance,
    wanted: Callable[[], bool] = lambda: True,
    *,
    points: Sequence[float] = POINTS,
    devices: Sequence[Any] | None = None,
) -> Iterator[Portrait]:
    """The same picture from ever more points.

    Args:
        wanted: asked every few hundred thousand points; where it says no, nothing more comes.
    """

    def go_on(_: int) -> None:
        if not wanted():
            raise Superseded

    if seen.picture is None:
        return
    extent = seen.picture.extent if seen.still else None
    attractor = Attractor.of(cell.map, cell.state, transient=TRANSIENT, devices=devices)
    how: dict[str, Any] = {"coordinates": seen.picture.coordinates, "size": seen.picture.counts.shape[::-1]}
    for many in points:
        try:
            picture = attractor.look(points=many, extent=extent, progress=go_on, **how)
        except Superseded:
            return
        extent = picture.extent
        yield picture


@dataclass(frozen=True)
class Known:
    """What a measurement says so far.

    Attributes:
        steps: (n,), after which the means were taken.
        running: (n, k), mean of each exponent over all steps until then, nats per step.
        errors: (told, 3): steps, lambda_1 and its standard error, each time that it was told.
        row: of a classified table.
        finished: nothing more comes.
    """

    steps: np.ndarray
    running: np.ndarray
    errors: np.ndarray
    row: pd.Series
    finished: bool


def exponents(cell: Cell, *, told: Sequence[int] = TOLD) -> Iterator[Known]:
    """All exponents with errors, and the regime, from ever more steps of one measurement.

    Args:
        told: blocks of BLOCK_STEPS steps after which the next answer comes, multiples of BLOCKS.
    """
    plan = plan_of_cell(cell.system, cell.axes, transient=TRANSIENT, steps=BLOCKS * BLOCK_STEPS, dtype=cell.dtype)
    block = BlockMeasurement(plan.system, plan.groups[0], plan.config.measure)
    frame = {"every": block.group.renormalise_every, "rotates": block.group.rotates}
    carry, before = _begin(cell.map, cell.state, k=block.group.k, blocks=max(told), **frame)
    errors: list[tuple[float, float, float]] = []
    done = 0
    for blocks in told:
        for _ in range((blocks - done) // BLOCKS):
            carry = _advance(cell.map, carry, **frame)
        done = blocks
        growth = np.asarray(carry.block_growth)[:done]
        recurrence = _first_return(cell.map, carry.state)
        repeats = done // BLOCKS
        measured = Measured(_in_blocks(carry, repeats), recurrence, before, {}, getattr(cell.map, "nonsingular", False))
        alone = jax.tree.map(lambda leaf: np.asarray(leaf)[None, ..., None], measured)
        columns = {name: np.asarray(values)[0] for name, values in block.columns(alone, repeats).items()}
        row = _classified(cell, columns, len(cell.state))
        steps = BLOCK_STEPS * np.arange(1, done + 1)
        errors.append((float(steps[-1]), float(row["lambda_1"]), float(row["lambda_1_se"])))
        with np.errstate(invalid="ignore"):
            running = np.cumsum(growth, axis=0) / steps[:, None]
        yield Known(steps, running, np.array(errors), row, blocks == told[-1])


@dataclass(frozen=True)
class Along:
    """Outputs of a network along an axis.

    Attributes:
        axis: name.
        values: (values,), ascending.
        outputs: (outputs, values), step by step.
        critical: value at which the origin loses stability; NaN where that is unknown, inf if it never does.
    """

    axis: str
    values: np.ndarray
    outputs: np.ndarray
    critical: float = np.nan

    def richest(self, share: float = 0.15, bins: int = 200) -> np.ndarray:
        """The values at which the outputs fill more than a share of their range: closed curves and chaos."""
        outputs = self.outputs[:, np.isfinite(self.outputs).all(axis=0)]
        values = self.values[np.isfinite(self.outputs).all(axis=0)]
        low, high = outputs.min(axis=0), outputs.max(axis=0)
        place = np.floor((outputs - low) / np.maximum(high - low, 1e-9) * (bins - 1)).astype(int)
        filled = np.array([len(np.unique(column)) for column in place.T]) / bins
        return values[(filled > share) & (high - low > ALIKE)]


def along(cell: Cell, axis: str, low: float, high: float, *, values: int = VALUES) -> Along:
    """The outputs of a network at each value of an axis, every orbit from the system's own first state: coexisting
    attractors do not show (`analysis.orbit_diagram` carries orbits up and down for that).
    """
    system = get(cell.system)
    grid = np.linspace(low, high, values)
    draw = system.draw(**{name: int(cell.axes[name]) for name in system.draw_axes})
    lanes = {name: np.full(values, value) for name, value in cell.axes.items()} | {axis: grid}
    whole = {each.name: int(cell.axes[each.name]) for each in system.axes if each.kind is int}
    states = system.initial_states(draw, whole, lanes).astype(cell.dtype)
    parameters = {name: lanes[name].astype(cell.dtype) for name in system.parameters}
    closed = system.closed_form(
        {name: array[None] for name, array in draw.items()},
        {name: np.array([[float(cell.axes[name])]]) for name in system.parameters},
    )
    critical = float(closed["s_critical"][0, 0]) if axis == "s" and "s_critical" in closed else np.nan
    draw = {name: array.astype(cell.dtype) for name, array in draw.items()}
    return Along(axis, grid, np.asarray(_outputs(draw, parameters, states, system=cell.system)), critical)


def surprise(
    cell: Cell, axis: str, low: float, high: float, wanted: Callable[[], bool] = lambda: True
) -> dict[str, float]:
    """Axes of a network of the same size that is drawn at random, and is neither still nor a short cycle there."""
    rng, axes, rich = np.random.default_rng(), dict(cell.axes), np.array([])
    for _ in range(20):  # a draw that is dull at every value is rare
        if "seed" in axes:
            axes["seed"] = int(rng.integers(0, 2**32))
        rich = along(Cell(cell.system, axes, cell.row, cell.dtype), axis, low, high).richest()
        if len(rich) or not wanted():
            break
    return {**axes, axis: float(f"{rng.choice(rich) if len(rich) else axes[axis]:.4g}")}


@partial(jax.jit, static_argnames="names")
def _coordinates(map_: Any, states: Array, names: tuple[str, ...]) -> Array:
    """(names, steps), of an orbit (steps, D)."""
    return jax.vmap(lambda state: jnp.stack(read_coordinates(map_, state, names)), out_axes=1)(states)


@partial(jax.jit, static_argnames=("k", "blocks", "every", "rotates"))
def _begin(map_: Any, state: Array, *, k: int, blocks: int, every: int, rotates: bool) -> tuple[Measurement, Array]:
    """A measurement after its transient, and the range of y over the end of that."""
    state = iterate(map_, state, steps=TRANSIENT - LONGEST_PERIOD)
    state, before = output_range(map_, state, steps=LONGEST_PERIOD)
    frame = {"renormalise_every": every, "rotates": rotates}
    return begin(map_, state, k=k, blocks=blocks, align=ALIGNMENT_STEPS, **frame), before


@partial(jax.jit, static_argnames=("every", "rotates"))
def _advance(map_: Any, carry: Measurement, *, every: int, rotates: bool) -> Measurement:
    frame = {"renormalise_every": every, "rotates": rotates}
    return advance(map_, carry, blocks=BLOCKS, block_steps=BLOCK_STEPS, **frame)


@jax.jit
def _first_return(map_: Any, state: Array) -> Any:
    return find_period(map_, state, longest=LONGEST_PERIOD)


@partial(jax.jit, static_argnames="system")
def _outputs(draw: Any, parameters: Any, states: Array, *, system: str) -> Array:
    """(OUTPUTS, values)"""

    def step(states: Array, _: None) -> tuple[Array, Array]:
        after = jax.vmap(lambda parameters, state: get(system).build(draw, parameters)(state))(parameters, states)
        return after, after[:, 0]

    states = jax.lax.fori_loop(0, BEFORE, lambda _, states: step(states, None)[0], states)
    return jax.lax.scan(step, states, None, length=OUTPUTS)[1]


def _in_blocks(carry: Measurement, repeats: int) -> Measurement:
    """The same measurement with its finished blocks joined to BLOCKS longer ones."""

    def join(sums: Array) -> np.ndarray:
        return np.asarray(sums)[: BLOCKS * repeats].reshape(BLOCKS, repeats, *sums.shape[1:]).sum(axis=1)

    return replace(
        carry, block_growth=join(carry.block_growth), block_log_determinant=join(carry.block_log_determinant)
    )


def _classified(cell: Cell, columns: dict[str, np.ndarray], dimension: int) -> pd.Series:
    """The cell's row, with its regime."""
    table = pd.DataFrame({name: list(values) for name, values in columns.items()})
    table = table.assign(dimension=dimension, dtype=cell.dtype, **dict(cell.axes))
    return classify(table).iloc[0]
