"""Where, in a space of thousands of networks, does order turn into chaos?

    import attractor_jax as aj

Importing it imports no jax and changes no setting: names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attractor_jax.attractors import attractor_table, label_attractors
    from attractor_jax.backend import tune_cpu
    from attractor_jax.basins import basin_fractions, basin_stability, end_states, nearest_attractor
    from attractor_jax.boundaries import basin_entropy, boundary_dimension, box_dimension, uncertainty_exponent
    from attractor_jax.branches import OrbitDensity
    from attractor_jax.density import orbit_density
    from attractor_jax.fixed_points import loss_of_stability
    from attractor_jax.iterate import orbit
    from attractor_jax.lyapunov import Exponents, lyapunov_exponents
    from attractor_jax.maps import DelayedLogisticMap, HenonMap, LinearMap, LogisticMap
    from attractor_jax.networks import FeedbackNetwork, GaussianNetwork, feedback_network, network_from_row
    from attractor_jax.parts import TableError
    from attractor_jax.phase import phase_table
    from attractor_jax.reading import read_run, read_weights
    from attractor_jax.recurrence import find_period
    from attractor_jax.regimes import classify
    from attractor_jax.stability import origin_radius, s_critical
    from attractor_jax.starts import Plane

_HOME = {
    "attractor_table": "attractors",
    "label_attractors": "attractors",
    "Plane": "starts",
    "basin_fractions": "basins",
    "basin_stability": "basins",
    "end_states": "basins",
    "nearest_attractor": "basins",
    "basin_entropy": "boundaries",
    "boundary_dimension": "boundaries",
    "box_dimension": "boundaries",
    "uncertainty_exponent": "boundaries",
    "OrbitDensity": "branches",
    "orbit_density": "density",
    "loss_of_stability": "fixed_points",
    "orbit": "iterate",
    "Exponents": "lyapunov",
    "lyapunov_exponents": "lyapunov",
    "DelayedLogisticMap": "maps",
    "FeedbackNetwork": "networks",
    "GaussianNetwork": "networks",
    "HenonMap": "maps",
    "LinearMap": "maps",
    "LogisticMap": "maps",
    "feedback_network": "networks",
    "network_from_row": "networks",
    "phase_table": "phase",
    "find_period": "recurrence",
    "classify": "regimes",
    "origin_radius": "stability",
    "s_critical": "stability",
    "TableError": "parts",
    "read_run": "reading",
    "read_weights": "reading",
    "tune_cpu": "backend",
}

__all__ = [
    "DelayedLogisticMap",
    "Exponents",
    "FeedbackNetwork",
    "GaussianNetwork",
    "HenonMap",
    "LinearMap",
    "LogisticMap",
    "OrbitDensity",
    "Plane",
    "TableError",
    "attractor_table",
    "basin_entropy",
    "basin_fractions",
    "basin_stability",
    "boundary_dimension",
    "box_dimension",
    "classify",
    "end_states",
    "feedback_network",
    "find_period",
    "label_attractors",
    "loss_of_stability",
    "lyapunov_exponents",
    "nearest_attractor",
    "network_from_row",
    "orbit",
    "orbit_density",
    "origin_radius",
    "phase_table",
    "read_run",
    "read_weights",
    "s_critical",
    "tune_cpu",
    "uncertainty_exponent",
]

__version__ = version("attractor_jax")


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'attractor_jax' has no attribute {name!r}")
    value = getattr(import_module(f"attractor_jax.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
