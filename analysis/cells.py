"""Which network is looked at by itself? One cell of a run, or one that a person names: its numbers, its map, and where
its orbit starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.style import number
from attractor_jax.config import ALONE, ConfigError, SweepConfig
from attractor_jax.defaults import ALIGNMENT_STEPS, BLOCKS
from attractor_jax.parts import TableError
from attractor_jax.plan import Plan, make_plan
from attractor_jax.systems import drawn, get
from sweeps.arguments import ArgumentProblem

# Steps by which a network is measured that a person names: two seconds of one core, all exponents.
TRANSIENT, STEPS = 10_000, 20_000
LONGEST_PERIOD = 1024
MOST_DIGITS = 8  # of an exponent, behind the point


@dataclass(frozen=True)
class Cell:
    """One network with one initial state.

    Attributes:
        system: name.
        axes: value of every axis.
        row: its row of a classified table.
        dtype: in which it was measured, and is iterated.
        run: directory of the run that it is of, where it is of one: a network that was trained is kept there.
    """

    system: str
    axes: Mapping[str, Any]
    row: pd.Series
    dtype: str = "float64"
    run: Path | None = None

    @cached_property
    def map(self) -> Any:
        """The map, a pytree of JAX arrays."""
        import jax.numpy as jnp

        system = get(self.system)
        draw = {name: jnp.asarray(values, self.dtype) for name, values in self._draw.items()}
        return system.build(draw, {name: jnp.asarray(self.axes[name], self.dtype) for name in system.parameters})

    @cached_property
    def state(self) -> Any:
        """(D,), where its orbit starts."""
        import jax.numpy as jnp

        lanes = {name: np.array([value]) for name, value in self.axes.items()}
        return jnp.asarray(get(self.system).initial_states(self._draw, self._kinds, lanes)[0], self.dtype)

    @cached_property
    def _draw(self) -> dict[str, np.ndarray]:
        if get(self.system).trained:
            if self.run is None:
                raise TableError(f"networks of system {self.system} are trained: they can be looked at in a run alone")
            from attractor_jax.reading import read_weights

            return read_weights(self.run, int(self.row["cell_id"]))
        return get(self.system).draw(**{name: self._kinds[name] for name in get(self.system).draw_axes})

    @property
    def _kinds(self) -> dict[str, Any]:
        """The axes, whole numbers as integers."""
        return {name: get(self.system).axis(name).kind(value) for name, value in self.axes.items()}

    @property
    def name(self) -> str:
        """Which network, in words: N = 4, D = 16, seed = 70, s = 2. Of one that is trained, what is not as usual."""
        told = {axis: value for axis, value in self.axes.items() if axis != "replicate" or value}
        if get(self.system).trained:
            usual = {axis.name: axis.default for axis in get(self.system).axes}
            told = {axis: value for axis, value in told.items() if axis in ("seed", "T") or value != usual[axis]}
        return ", ".join(f"{axis} = {number(value)}" for axis, value in told.items())

    @property
    def finding(self) -> str:
        """What it is, in words: regime, largest exponent with its error, dimension."""
        return finding(self.row)


def finding(row: pd.Series) -> str:
    """What a row of a classified table says of its network, in words."""
    words = [str(row["regime"]).replace("_", " ")]
    if row["regime"] == "periodic":
        words[0] += f" (period {row['period']})"
    if pd.notna(row["lambda_1"]):
        words.append(f"λ₁ = {with_error(float(row['lambda_1']), float(row['lambda_1_se']))} nats per step")
    dimension, lower = row.get("kaplan_yorke_dimension"), row.get("kaplan_yorke_lower")
    if pd.notna(dimension):
        words.append(f"Kaplan–Yorke dimension {float(dimension):.2f}")
    elif pd.notna(lower) and float(lower) > 0:
        words.append(f"Kaplan–Yorke dimension above {float(lower):.0f}")
    return ", ".join(words)


def with_error(value: float, error: float) -> str:
    """A number with its standard error, to two digits of the error: 0.11160 ± 0.00031."""
    digits = _digits(value, error)
    if digits is None:
        return f"{value:.4g}"
    if digits <= MOST_DIGITS:
        return f"{value:.{digits}f} ± {error:.{digits}f}"
    return f"{value:.1e} ± {error:.0e}" if abs(value) < 1e-4 else f"{value:.{MOST_DIGITS}f} ± {error:.0e}"


def concise(value: float, error: float) -> str:
    """The same where there is little room: 0.11160(31), the error in units of the last digit."""
    digits = _digits(value, error)
    if digits is None or digits > MOST_DIGITS:
        return f"{value:.4g}"
    return f"{value:.{digits}f}({error:.1f})" if digits == 0 else f"{value:.{digits}f}({round(error * 10**digits)})"


def _digits(value: float, error: float) -> int | None:
    """Digits behind the point that show two of the error; None where there is no error to show."""
    if not np.isfinite(value) or not np.isfinite(error) or error <= 0:
        return None
    return max(0, 1 - int(np.floor(np.log10(error))))


def cell_of_run(run: Path, cell_id: int) -> Cell:
    """A cell of a run.

    Raises:
        TableError: no run.
        ArgumentProblem: no such cell.
    """
    from attractor_jax.reading import read_run

    return cell_of_table(read_run(run), cell_id)


def cell_of_table(df: pd.DataFrame, cell_id: int) -> Cell:
    """A cell of what `read_run` gives.

    Raises:
        ArgumentProblem: no such cell.
    """
    here = df[df["cell_id"] == cell_id]
    if here.empty:
        low, high = df["cell_id"].min(), df["cell_id"].max()
        raise ArgumentProblem(f"`--cell` must be the cell_id of a cell of this run ({low} to {high}), got {cell_id}")
    row = here.iloc[0]
    try:
        system = get(str(row["system"]))
    except ConfigError as problem:
        raise TableError(str(problem)) from problem
    axes = {axis.name: np.asarray(row[axis.name]).item() for axis in system.axes}
    runs = df.attrs.get("runs", ())
    return Cell(system.name, axes, row, str(row["dtype"]), Path(runs[0]["path"]) if len(runs) == 1 else None)


def measured_cell(
    system: str, axes: Mapping[str, Any], *, devices: Any, steps: int = STEPS, dtype: str = "float64"
) -> Cell:
    """A cell that is in no run, measured now: all its exponents.

    Args:
        axes: as in the grid of a sweep, one value each; defaults where it is silent.
        steps: measured; a multiple of 20. Chaos is resolved to 10/steps nats per step.
        dtype: "float64" or "float32".

    Raises:
        ConfigError: an axis or a value that does not exist.
    """
    from attractor_jax.engine import Engine
    from attractor_jax.regimes import classify
    from attractor_jax.sweep import as_table, table_columns

    plan = plan_of_cell(system, axes, transient=TRANSIENT, steps=steps, dtype=dtype)
    (part,) = plan.parts()
    engine = Engine(plan, part.group, devices[:1], 2.0**30, 1)
    table = as_table(table_columns(plan), engine.measure(part.blocks()), plan.spectrum_length)
    df = classify(table.to_pandas()).assign(system=system)
    return cell_of_table(df, 0)


def plan_of_cell(system: str, axes: Mapping[str, Any], *, transient: int, steps: int, dtype: Any = "float64") -> Plan:
    """The plan of a sweep that has this one cell, and measures all its exponents.

    Raises:
        ConfigError: an axis or a value that does not exist, or a system that trains its networks.
    """
    drawn(system)
    config = SweepConfig.from_mapping({
        "name": "cell", "system": {"name": system}, "grid": dict(axes), "transitions": None,
        "measure": {"transient": transient, "steps": steps, "k": "all", "blocks": BLOCKS, "align": ALIGNMENT_STEPS,
                    "renormalise_every": "auto", "longest_period": LONGEST_PERIOD, "period_tolerance": "auto",
                    "also": [], "target_se": None, "max_steps": None},
        "backend": {"dtype": dtype, "batch": "auto", "devices": "all", "memory": 1.0, "engine": "auto"},
        "plan": {"part_steps": 10**12, "shaped_for": None}, **ALONE,
    })  # fmt: skip
    return make_plan(config)
