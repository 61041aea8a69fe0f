"""Which cells does a grid have, and which of them share a static shape? In the plan's canonical order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from attractor_jax.config import ConfigError
from attractor_jax.grid import Drawn
from attractor_jax.systems import System


@dataclass(frozen=True)
class Shape:
    """The cells of one static shape, before anything is decided about them: see `groups.Group`."""

    static: dict[str, Any]
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


def product(system: System, grid: dict[str, np.ndarray | Drawn]) -> Iterator[Shape]:
    """Every draw meets every lane: one draw of the weights serves all of them. What is drawn itself, each draw has one
    value of.
    """
    static, draws, lanes = _axes(system)
    drawn = {name: given for name, given in grid.items() if isinstance(given, Drawn)}
    values = {name: np.zeros(1) if isinstance(given, Drawn) else given for name, given in grid.items()}
    draw_columns = _columns({name: values[name] for name in draws})
    lane_columns = {name: column[None] for name, column in _columns({name: values[name] for name in lanes}).items()}
    n_draws = int(np.prod([len(values[name]) for name in draws], dtype=int))
    n_lanes = int(np.prod([len(values[name]) for name in lanes], dtype=int))
    for point in np.ndindex(*[len(values[name]) for name in static]):
        chosen = {name: values[name][i].item() for name, i in zip(static, point, strict=True)}
        apart = [*chosen.values(), *draw_columns.values()]
        own = {name: np.tile(each.values(name, apart)[:, None], (1, n_lanes)) for name, each in drawn.items()}
        yield Shape(chosen, draw_columns, lane_columns | own, n_draws, n_lanes, len(values[lanes[-1]]))


def _columns(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The product of the axes as one column each, the last axis fastest."""
    if not values:
        return {}
    grid = np.meshgrid(*values.values(), indexing="ij")
    return {name: column.ravel() for name, column in zip(values, grid, strict=True)}


def listed(system: System, cells: dict[str, np.ndarray]) -> Iterator[Shape]:
    """Every cell, in canonical order, is its own draw with a single lane."""
    static, draws, lanes = _axes(system)
    n_cells = len(next(iter(cells.values())))
    columns = [cells[name].tolist() for name in static]
    for point, group in groupby(range(n_cells), key=lambda i: tuple(column[i] for column in columns)):
        here = list(group)
        yield Shape(
            dict(zip(static, point, strict=True)),
            {name: cells[name][here] for name in draws},
            {name: cells[name][here][:, None] for name in lanes},
            n_draws=len(here),
            n_lanes=1,
            n_values=1,
        )
