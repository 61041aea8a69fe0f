"""Which values may an axis take? The grammar of `grid`: scalars, lists and ranges per axis, or an explicit list of
cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from attractor_jax.config import ConfigError, a_list, integer, number
from attractor_jax.systems import Axis, System

# Above this a grid is a slip of the keyboard. Below it a plan takes seconds and a table some tens of gigabytes.
MOST_CELLS = 100_000_000


def read_grid(system: System, grid: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Values of every axis of a product grid, in the system's order; axes that the grid is silent about take their
    default.

    Raises:
        ConfigError: an axis that the system does not have, values that it cannot take, an empty or oversized grid.
    """
    _refuse_unknown(system, [key for key in grid if key != "cells"], "grid.")
    values = {
        axis.name: _axis_values(axis, f"grid.{axis.name}", grid[axis.name])
        if grid.get(axis.name) is not None
        else np.array([_default(axis, f"grid.{axis.name}")], dtype=_dtype(axis))
        for axis in system.axes
    }
    size = 1
    for one in values.values():
        size *= len(one)
    _refuse_oversized(size)
    return values


def read_cells(system: System, cells: Any) -> dict[str, np.ndarray]:
    """Values of every axis of an explicit list of cells, sorted into the canonical order: one array of shape (cells,)
    an axis.

    Raises:
        ConfigError: not a list of mappings, an unknown axis, a value out of range, the same cell twice.
    """
    if not isinstance(cells, Sequence) or isinstance(cells, str) or not cells:
        raise ConfigError("grid.cells", "must be a list of at least one cell such as {seed: 0, s: 1.4}", cells)
    rows = []
    for i, cell in enumerate(cells):
        if not isinstance(cell, Mapping):
            raise ConfigError(f"grid.cells[{i}]", "must be a mapping of axes to numbers", cell)
        prefix = f"grid.cells[{i}]."
        _refuse_unknown(system, cell, prefix)
        rows.append(
            tuple(
                _value(axis, prefix + axis.name, cell[axis.name])
                if axis.name in cell
                else _default(axis, prefix + axis.name)
                for axis in system.axes
            )
        )
    unique = sorted(set(rows))
    if len(unique) < len(rows):
        twice = next(row for row in unique if rows.count(row) > 1)
        raise ConfigError(
            "grid.cells", "must name each cell once", dict(zip([a.name for a in system.axes], twice, strict=True))
        )
    columns = zip(*unique, strict=True)
    return {axis.name: np.array(column, _dtype(axis)) for axis, column in zip(system.axes, columns, strict=True)}


def _refuse_unknown(system: System, names: Any, prefix: str) -> None:
    for name in names:
        if name not in [axis.name for axis in system.axes]:
            axes = a_list(axis.name for axis in system.axes)
            raise ConfigError(f"{prefix}{name}", f"is no axis of system {system.name}, which has {axes}", "it")


def _refuse_oversized(size: int) -> None:
    if size > MOST_CELLS:
        raise ConfigError("grid", f"must not have more than {MOST_CELLS:,} cells", f"{size:,}")


def _dtype(axis: Axis) -> Any:
    return np.int64 if axis.kind is int else np.float64


def _default(axis: Axis, key: str) -> float:
    if axis.default is None:
        raise ConfigError(key, f"must be given: {axis.meaning}", "nothing")
    return axis.default


def _value(axis: Axis, key: str, value: Any) -> float:
    """One value, of the axis's kind and within its bounds."""
    converted = integer(key, value) if axis.kind is int else number(key, value)
    if not axis.low <= converted <= axis.high:
        raise ConfigError(key, f"must be between {_plain(axis.low)} and {_plain(axis.high)}", value)
    return converted


def _plain(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _axis_values(axis: Axis, key: str, given: Any) -> np.ndarray:
    if isinstance(given, Mapping):
        values = _range(axis, key, given)
    elif isinstance(given, Sequence) and not isinstance(given, str):
        values = [_value(axis, f"{key}[{i}]", value) for i, value in enumerate(given)]
    else:
        values = [_value(axis, key, given)]
    if len(values) == 0:
        raise ConfigError(key, "must have at least one value", given)
    array = np.array(values, _dtype(axis))
    unique, counts = np.unique(array, return_counts=True)
    if len(unique) < len(array):
        raise ConfigError(key, "must name each value once", unique[counts > 1][0].item())
    return unique


def _range(axis: Axis, key: str, given: Mapping[str, Any]) -> np.ndarray:
    """`{start, stop, num, spacing}`, both ends included, or `{start, num}` for consecutive integers."""
    allowed = ("start", "stop", "num", "spacing")
    for name in given:
        if name not in allowed:
            raise ConfigError(f"{key}.{name}", f"is no key of a range; there are {a_list(allowed)}", given[name])
    for name in ("start", "num"):
        if given.get(name) is None:
            raise ConfigError(f"{key}.{name}", "must be given", "nothing")
    num = integer(f"{key}.num", given["num"])
    if num < 1:
        raise ConfigError(f"{key}.num", "must be at least 1", given["num"])
    _refuse_oversized(num)
    start = _value(axis, f"{key}.start", given["start"])
    if given.get("stop") is None:
        if axis.kind is not int:
            raise ConfigError(f"{key}.stop", "must be given", "nothing")
        _value(axis, f"{key}.start + num - 1", start + num - 1)
        return int(start) + np.arange(num)
    stop = _value(axis, f"{key}.stop", given["stop"])
    if stop < start:
        raise ConfigError(f"{key}.stop", f"must not be below start = {given['start']}", given["stop"])
    spacing = given.get("spacing") or "linear"
    if spacing == "log":
        if start <= 0:
            raise ConfigError(f"{key}.start", "must be above 0 for log spacing", given["start"])
        values = np.geomspace(start, stop, num)
    elif spacing == "linear":
        values = np.linspace(start, stop, num)
    else:
        raise ConfigError(f"{key}.spacing", "must be linear or log", spacing)
    return np.unique(np.rint(values).astype(np.int64)) if axis.kind is int else values
