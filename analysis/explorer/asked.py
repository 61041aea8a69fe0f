"""Which network does a page show, and how? Numbers that people type, or that an address has, checked one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

import pandas as pd

from analysis.cells import Cell
from analysis.orbit_request import RANGES
from analysis.style import AXIS_LABELS, number
from attractor_jax.systems import Axis, System
from sweeps.arguments import ArgumentProblem

# Ends of the sliders, which stretch to a value beyond; and what a page still answers at once.
SLIDERS: dict[str, tuple[float, float]] = {"N": (1, 32), "D": (1, 64), "s": (0.0, 8.0)}
MOST = {"N": 256, "D": 256}
# What a page begins with: the network of the usual size that the article calls chaotic, and is a closed curve.
FIRST = {"seed": 174658140, "N": 4, "D": 16, "s": 1.4}


@dataclass(frozen=True)
class Asked:
    """All that an address says of a page.

    Attributes:
        system: name.
        axes: value of every axis of it.
        coordinates: what the portrait has along the bottom and up.
        x, y, measure: of the phase diagram; empty without a run.
        cell: the cell of the run that is shown, None if it is none.
        dtype: in which it is iterated.
    """

    system: str
    axes: Mapping[str, float]
    coordinates: tuple[str, ...]
    x: str = ""
    y: str = ""
    measure: str = ""
    cell: int | None = None
    dtype: str = "float64"

    @property
    def network(self) -> Cell:
        """The network, of which nothing is measured yet."""
        return Cell(self.system, self.axes, pd.Series(dtype=object), self.dtype)

    @property
    def address(self) -> str:
        """The part of the address behind the question mark."""
        told: dict[str, object] = {"system": self.system} if self.system != "uniform" else {}
        told |= {name: repr(value) for name, value in self.axes.items()}
        told |= dict(zip(("across", "up"), self.coordinates, strict=False))
        told |= {name: getattr(self, name) for name in ("x", "y", "measure") if getattr(self, name)}
        if self.cell is not None:
            told["cell"] = self.cell
        return urlencode(told)


@dataclass
class Words:
    """What was read, and what could not be.

    Attributes:
        values: by name, as far as they could be read.
        refused: by name, the text that was given and why it will not do.
    """

    values: dict[str, float] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)


def first_axes(system: System) -> dict[str, float]:
    """Where a page of this system begins."""
    usual = FIRST if system.name == "uniform" else {}
    found = {axis.name: usual.get(axis.name, axis.default) for axis in system.axes}
    return {name: 0 if value is None else value for name, value in found.items()}


def read_axis(axis: Axis, text: str) -> float:
    """The number that a person typed for an axis.

    Raises:
        ArgumentProblem: naming the axis, what it must be, and what was given.
    """
    high = min(MOST.get(axis.name, axis.high), axis.high) if axis.static else axis.high
    ends = " and ".join(f"{side:,.0f}" if axis.kind is int else f"{side:g}" for side in (axis.low, high))
    must = f"`{axis.name}` must be a {'whole ' if axis.kind is int else ''}number between {ends}"
    try:
        value = axis.kind(text.strip())
    except ValueError:
        raise ArgumentProblem(f"{must}, got {_short(text)}") from None
    if not (math.isfinite(value) and axis.low <= value <= high):
        raise ArgumentProblem(f"{must}, got {_short(text)}")
    return value


def read_axes(system: System, given: Mapping[str, str]) -> Words:
    """The axes of a system in what an address says, whatever else it says."""
    words = Words()
    for axis in system.axes:
        if axis.name in given:
            try:
                words.values[axis.name] = read_axis(axis, given[axis.name])
            except ArgumentProblem as problem:
                words.refused[axis.name] = (given[axis.name], str(problem))
    return words


def read_choice(name: str, text: str, there: Sequence[str]) -> str:
    """One of some words.

    Raises:
        ArgumentProblem: naming those that there are.
    """
    if text not in there:
        shown = [*there[:5], "...", there[-1]] if len(there) > 7 else there
        raise ArgumentProblem(f"`{name}` must be one of {', '.join(shown)}, got {_short(text)}")
    return text


def slider_ends(system: System, axis: Axis, value: float) -> tuple[float, float]:
    """Where the slider of an axis begins and ends: at the usual range, or farther out, so that it has the value."""
    name, *usual = RANGES.get(system.name, ("", 0.0, 0.0))
    if axis.name == name and axis.name not in SLIDERS:
        low, high = usual
    else:
        default = axis.default or 0.0
        reach = 2 * max(abs(default), 1.0)
        low, high = SLIDERS.get(axis.name, (max(axis.low, default - reach), min(axis.high, default + reach)))
    return min(low, value), max(high, value)


def swept_axis(system: System) -> Axis:
    """The axis along which the orbit diagram runs."""
    return system.axis(RANGES.get(system.name, (system.axes[-1].name,))[0])


def axis_label(axis: Axis) -> str:
    """What stands along an axis: its meaning and its letter."""
    return AXIS_LABELS.get(axis.name, f"{axis.meaning} {axis.name}")


def named(axes: Mapping[str, float]) -> str:
    """A network as the name of a file: seed70_N4_D16_s2."""
    return "_".join(f"{axis}{number(value)}" for axis, value in axes.items() if axis != "replicate" or value)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
