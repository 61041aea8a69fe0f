"""Which values may an axis take? The grammar of `grid`: scalars, lists and ranges per axis, or an explicit list of
cells.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from attractor_jax.config import ConfigError, a_list, integer, number
from attractor_jax.systems import Axis, System

# Above this a grid is a slip of the keyboard. Below it a plan takes seconds and a table some tens of gigabytes.
MOST_CELLS = 100_000_000
MOST_REFINED = 1000

# Spacings of an axis whose values are drawn at random, one for each draw of the weights.
RANDOM = ("uniform", "loguniform")

# Keys of a grid that are no axes.
SETTINGS = ("cells", "refine")


@dataclass(frozen=True)
class Drawn:
    """An axis that takes no part in the product: each draw of the weights has one value of its own, at random between
    two ends.

    Attributes:
        low, high: the ends.
        logarithmic: uniform in the logarithm, so that every octave has as many.
    """

    low: float
    high: float
    logarithmic: bool

    def __len__(self) -> int:
        return 1

    def values(self, axis: str, draws: Sequence[np.ndarray | float | str]) -> np.ndarray:
        """The value of each draw, (draws,): the same whatever other draws there are.

        Args:
            draws: what tells the draws apart, each (draws,), a number or a word.
        """
        mixed = np.array([zlib.crc32(axis.encode())], np.uint64)
        for each in draws:
            column = zlib.crc32(each.encode()) if isinstance(each, str) else each
            mixed = _mixed(mixed ^ _mixed(np.atleast_1d(column).astype(np.uint64)))
        share = np.asarray(mixed >> np.uint64(11), float) / 2.0**53
        if self.logarithmic:
            return self.low * (self.high / self.low) ** share
        return self.low + (self.high - self.low) * share


def _mixed(x: np.ndarray) -> np.ndarray:
    """SplitMix64: integers that follow one another become 64 bits each that have nothing in common (Steele et al.
    2014).
    """
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def read_grid(system: System, grid: Mapping[str, Any]) -> dict[str, np.ndarray | Drawn]:
    """Values of every axis of a product grid, in the system's order; axes that the grid is silent about take their
    default.

    Raises:
        ConfigError: an axis that the system does not have, values that it cannot take, an empty or oversized grid.
    """
    axes = {key: value for key, value in grid.items() if key not in SETTINGS}
    _refuse_unknown(system, axes, "grid.")
    # Before any value is made: the slip may be one of many gigabytes.
    _refuse_oversized(math.prod(_count(value) for value in axes.values()))
    values: dict[str, np.ndarray | Drawn] = {}
    for axis in system.axes:
        key, given = f"grid.{axis.name}", grid.get(axis.name)
        if given is None:
            values[axis.name] = np.array([_default(axis, key)], dtype=_dtype(axis))
        elif isinstance(given, Mapping) and given.get("spacing") in RANDOM and axis.kind is not str:
            values[axis.name] = _drawn(system, axis, key, given)
        else:
            values[axis.name] = _axis_values(axis, key, given)
    return values


def listed_values(system: System, grid: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """`read_grid` of a grid without drawn axes."""
    return {name: values for name, values in read_grid(system, grid).items() if isinstance(values, np.ndarray)}


def drawn_axes(grid: Mapping[str, Any]) -> list[str]:
    """The axes of a product grid whose values are drawn."""
    return [name for name, given in grid.items() if isinstance(given, Mapping) and given.get("spacing") in RANDOM]


def _drawn(system: System, axis: Axis, key: str, given: Mapping[str, Any]) -> Drawn:
    """`{start, stop, spacing: uniform | loguniform}`."""
    spacing = given["spacing"]
    for name in given:
        if name not in ("start", "stop", "spacing"):
            raise ConfigError(
                f"{key}.{name}", f"must be left out: {spacing} draws one value for each draw", given[name]
            )
    if axis.kind is int or axis.static:
        raise ConfigError(f"{key}.spacing", "must be linear or log for whole numbers", spacing)
    if axis.name in system.draw_axes:
        raise ConfigError(f"{key}.spacing", "must be linear or log: each value makes other networks", spacing)
    if not system.draw_axes:
        raise ConfigError(
            f"{key}.spacing", f"must be linear or log: system {system.name} draws no networks that could have one each",
            spacing,
        )  # fmt: skip
    for name in ("start", "stop"):
        if given.get(name) is None:
            raise ConfigError(f"{key}.{name}", "must be given")
    low, high = (_number(axis, f"{key}.{name}", given[name]) for name in ("start", "stop"))
    if high < low:
        raise ConfigError(f"{key}.stop", f"must not be below start = {given['start']}", given["stop"])
    if spacing == "loguniform" and low <= 0:
        raise ConfigError(f"{key}.start", "must be above 0 for loguniform spacing", given["start"])
    return Drawn(low, high, spacing == "loguniform")


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
            raise ConfigError(f"grid.cells[{i}]", "must be a mapping of axes to values", cell)
        prefix = f"grid.cells[{i}]."
        _refuse_unknown(system, cell, prefix)
        rows.append(
            tuple(
                value_of(axis, prefix + axis.name, cell[axis.name])
                if axis.name in cell
                else _default(axis, prefix + axis.name)
                for axis in system.axes
            )
        )
    unique = sorted(set(rows))
    if len(unique) < len(rows):
        twice = Counter(rows).most_common(1)[0][0]
        raise ConfigError(
            "grid.cells", "must name each cell once", dict(zip([a.name for a in system.axes], twice, strict=True))
        )
    columns = zip(*unique, strict=True)
    return {axis.name: np.array(column, _dtype(axis)) for axis, column in zip(system.axes, columns, strict=True)}


def read_refine(grid: Mapping[str, Any]) -> int:
    """How many values are added between neighbours that differ.

    Raises:
        ConfigError: not a number of them, or an explicit list of cells, in which nobody has neighbours.
    """
    refine = integer("grid.refine", grid.get("refine") or 0)
    if not 0 <= refine <= MOST_REFINED:
        raise ConfigError("grid.refine", f"must be between 0 and {MOST_REFINED}", refine)
    if refine and grid.get("cells") is not None:
        raise ConfigError("grid.refine", "must be 0 where grid.cells lists the cells", refine)
    return refine


def _refuse_unknown(system: System, names: Any, prefix: str) -> None:
    for name in names:
        if name not in [axis.name for axis in system.axes]:
            axes = a_list([axis.name for axis in system.axes], "and")
            raise ConfigError(f"{prefix}{name}", f"is no axis of system {system.name}, which has {axes}")


def _refuse_oversized(size: int) -> None:
    if size > MOST_CELLS:
        raise ConfigError("grid", f"must not have more than {MOST_CELLS:,} cells; this one has {size:,}")


def _count(given: Any) -> int:
    """How many values an axis would take; what cannot be read counts as one, and is refused when it is read."""
    if isinstance(given, Mapping) and given.get("spacing") in RANDOM:
        return 1
    if isinstance(given, Mapping):
        given = given.get("num")
        return int(given) if isinstance(given, int | float) and 1 <= given < float("inf") else 1
    return max(len(given), 1) if isinstance(given, Sequence) and not isinstance(given, str) else 1


def _dtype(axis: Axis) -> Any:
    return {int: np.int64, float: np.float64, str: np.str_}[axis.kind]


def _default(axis: Axis, key: str) -> float | str:
    if axis.default is None:
        raise ConfigError(key, f"must be given: {axis.meaning}")
    return axis.default


def value_of(axis: Axis, key: str, value: Any) -> float | str:
    """One value, of the axis's kind and within its bounds."""
    return _word(axis, key, value) if axis.kind is str else _number(axis, key, value)


def _word(axis: Axis, key: str, value: Any) -> str:
    """One of the axis's choices, or any word if it has none: YAML makes a number of some."""
    word = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(word, str) or not word or (axis.choices and word not in axis.choices):
        raise ConfigError(key, f"must be {a_list(axis.choices)}" if axis.choices else "must be a word", value)
    return word


def _number(axis: Axis, key: str, value: Any) -> float:
    converted = integer(key, value) if axis.kind is int else number(key, value)
    if not axis.low <= converted <= axis.high:
        only = axis.low == axis.high
        must = f"must be {_plain(axis.low)}" if only else f"must be between {_plain(axis.low)} and {_plain(axis.high)}"
        raise ConfigError(key, must, value)
    return converted


def _plain(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _axis_values(axis: Axis, key: str, given: Any) -> np.ndarray:
    if isinstance(given, Mapping) and axis.kind is not str:
        values = _range(axis, key, given)
    elif isinstance(given, Sequence) and not isinstance(given, str):
        values = [value_of(axis, f"{key}[{i}]", value) for i, value in enumerate(given)]
    elif isinstance(given, str) and axis.kind is not str:
        raise ConfigError(
            key, "must be a number, a list or a range {start: .., num: ..}, in quotes for the shell", given
        )
    else:
        values = [value_of(axis, key, given)]
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
            raise ConfigError(f"{key}.{name}", f"is no key of a range, which has {a_list(allowed, 'and')}")
    for name in ("start", "num"):
        if given.get(name) is None:
            raise ConfigError(f"{key}.{name}", "must be given")
    num = integer(f"{key}.num", given["num"])
    if num < 1:
        raise ConfigError(f"{key}.num", "must be at least 1", given["num"])
    start = _number(axis, f"{key}.start", given["start"])
    if given.get("stop") is None:
        if axis.kind is not int or given.get("spacing") is not None:
            raise ConfigError(f"{key}.stop", "must be given")
        _number(axis, f"{key}.start + num - 1", start + num - 1)
        return int(start) + np.arange(num)
    stop = _number(axis, f"{key}.stop", given["stop"])
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
        raise ConfigError(f"{key}.spacing", "must be linear, log, uniform or loguniform", spacing)
    return np.unique(np.rint(values).astype(np.int64)) if axis.kind is int else values
