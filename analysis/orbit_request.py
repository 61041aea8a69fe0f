"""Which orbit diagram does a person ask for? The options of its command, checked before jax is loaded."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis import command, style
from attractor_jax.config import ConfigError, a_list
from attractor_jax.systems import REGISTRY, System, drawn
from sweeps.arguments import OneLineParser, read_assignments

# Where the classic pictures are, and a network becomes interesting.
RANGES = {
    "uniform": ("s", 0.2, 4.0),
    "gaussian": ("s", 0.05, 2.0),
    "logistic": ("r", 2.8, 4.0),
    "henon": ("a", 0.9, 1.4),
    "delayed_logistic": ("r", 1.9, 2.27),
}
COLUMNS = 1500
MOST_COLUMNS = 20_000


@dataclass(frozen=True)
class Asked:
    """A picture that was asked for, after everything that can be wrong with it was looked at, but for the numbers."""

    system: System
    axis: str
    values: np.ndarray
    at: dict[str, float | str]
    start: str
    lengths: dict[str, Any]
    out: Path

    @property
    def label(self) -> str:
        """What stands along the axis."""
        if self.axis in style.AXIS_LABELS:
            return style.axis_label(self.axis)
        return f"{self.system.axis(self.axis).meaning} {self.axis}"


def parser() -> OneLineParser:
    """All options of the command."""
    options = OneLineParser(
        "python -m analysis.orbit_diagram",
        "Draw the orbit (bifurcation) diagram of one network or map: density of y, largest exponent and regimes.",
    )
    add = options.add_argument
    add("--system", metavar="NAME", default="uniform", help=f"one of {', '.join(REGISTRY)} (default: uniform)")
    add("--seed", metavar="SEED", type=int, help="network, where the system draws one")
    add("--N", metavar="N", type=int, help="number of tanh units (default: 4)")
    add("--D", metavar="D", type=int, help="number of delays (default: 16)")
    add(
        "--at", metavar="AXIS=VALUE", action="append", default=[],
        help="what another axis is, such as b=0.2 or replicate=3; may be repeated",
    )  # fmt: skip
    add("--axis", metavar="AXIS", help="what varies (default: s, r or a)")
    add("--low", metavar="VALUE", type=float, help="where the axis begins (default: the classic picture's)")
    add("--high", metavar="VALUE", type=float, help="where it ends")
    add("--columns", metavar="COUNT", type=int, default=COLUMNS, help=f"values of the axis (default: {COLUMNS})")
    add(
        "--start", metavar="HOW", default="carried",
        help="carried: from each value to the next, up and down (default); fixed: every value from the standard start",
    )  # fmt: skip
    add("--steps", metavar="COUNT", type=int, default=10_000, help="measured and counted (default: 10000)")
    add("--transient", metavar="COUNT", type=int, default=2000, help="thrown away before (default: 2000)")
    add("--carry", metavar="COUNT", type=int, default=3000, help="steps at a value before the next (default: 3000)")
    add("--bins", metavar="COUNT", type=int, default=401, help="of y (default: 401)")
    add("--out", metavar="FILE", type=Path, help="picture to write: .png, .pdf or .svg (default: in results/figures)")
    return options


def read(arguments: argparse.Namespace) -> Asked:
    """The arguments, as far as they can be checked without computing.

    Raises:
        ArgumentProblem: naming the option, what it must be, and what was given.
    """
    command.check_out(arguments.out)
    try:
        system = drawn(arguments.system)
    except ConfigError as problem:
        raise of_options(problem) from problem
    names = [axis.name for axis in system.axes]
    at = dict(read_assignments("--at", arguments.at))
    for name in ("seed", "N", "D"):
        if (given := getattr(arguments, name)) is not None:
            if name not in names:
                raise command.ArgumentProblem(
                    f"`--{name}` must be left out: system {system.name} has none, got {given}"
                )
            at[name] = given
    usual = RANGES.get(system.name, (names[-1],))[0]
    axis = arguments.axis or usual
    if axis not in names:
        raise command.ArgumentProblem(f"`--axis` must be {a_list(names)} for system {system.name}, got {axis!r}")
    if axis in at:
        given = f"{axis}={style.number(at[axis])}"
        raise command.ArgumentProblem(f"`--at` must name other axes than the one that varies, got {given}")
    low, high = _ends(system, axis, arguments)
    for option, bottom, top in (("columns", 2, MOST_COLUMNS), ("bins", 10, 5000), ("carry", 1, 10**9)):
        if not bottom <= (given := getattr(arguments, option)) <= top:
            raise command.ArgumentProblem(f"`--{option}` must be between {bottom:,} and {top:,}, got {given:,}")
    if arguments.start not in ("carried", "fixed"):
        raise command.ArgumentProblem(f"`--start` must be carried or fixed, got {arguments.start!r}")
    words = [f"{name}{value if isinstance(value, str) else f'{value:.12g}'}" for name, value in at.items()]
    words += [axis] if axis != usual else []
    words += ["fixed"] if arguments.start == "fixed" else []
    return Asked(
        system=system,
        axis=axis,
        values=np.linspace(low, high, arguments.columns),
        at=at,
        start=arguments.start,
        lengths={
            "steps": arguments.steps,
            "transient": arguments.transient,
            "carry_steps": arguments.carry,
            "bins": arguments.bins,
        },
        out=arguments.out or Path("results/figures") / ("_".join(["orbit_diagram", system.name, *words]) + ".png"),
    )


def _ends(system: System, axis: str, arguments: argparse.Namespace) -> tuple[float, float]:
    """Where the axis begins and ends: as asked, else as usual.

    Raises:
        ArgumentProblem: neither, or an impossible range.
    """
    usual, *ends = RANGES.get(system.name, ("",))
    ends = ends if axis == usual else [None, None]
    found: list[float] = []
    for option, given, default in zip(("--low", "--high"), (arguments.low, arguments.high), ends, strict=True):
        if (side := default if given is None else given) is None:
            raise command.ArgumentProblem(f"`{option}` must be given: {system.name} has no usual range of {axis}")
        if not math.isfinite(side):
            raise command.ArgumentProblem(f"`{option}` must be a finite number, got {side}")
        if not system.axis(axis).low <= side <= system.axis(axis).high:
            bounds = f"{system.axis(axis).low:g} and {system.axis(axis).high:g}"
            raise command.ArgumentProblem(f"`{option}` must be between {bounds}, got {side:g}")
        found.append(side)
    low, high = found
    if low >= high:
        raise command.ArgumentProblem(f"`--low` must be below `--high` = {high:g}, got {low:g}")
    return low, high


def of_options(problem: ConfigError) -> command.ArgumentProblem:
    """What the library says of a key, said of the option that it came from."""
    group, _, key = problem.key.partition(".")
    option = {"system": "--system", "axis": "--axis"}.get(group, f"--{key}")
    if group == "grid" and key not in ("seed", "N", "D"):
        option = f"--at {key}"
    said = str(problem).removeprefix(problem.key).replace("measure.blocks", "the number of blocks,")
    return command.ArgumentProblem(f"`{option}`{said}")
