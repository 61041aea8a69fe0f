"""In which attractor does each point of a plane end? Any system, begun on a grid of initial states.

The plane goes through the origin of state space. It is spanned by two coordinates of the state (of a feedback network,
two of its delays), or by two random directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from attractor_jax.config import ConfigError
from attractor_jax.systems import Axis, Draw, System
from attractor_jax.systems.classic import Henon
from attractor_jax.systems.feedback import Gaussian, Uniform

SUFFIX = "_plane"

# Axes of a base in whose place a plane stands.
REPLACED = ("replicate", "init_scale")

PLANE_AXES = (
    Axis("plane", int, 0, 2**31 - 1, 0, "which plane: 0 two coordinates, q > 0 two random directions drawn from q"),
    Axis("u_coordinate", int, 1, 2**31 - 1, 1, "coordinate of the state that u is, where plane is 0: 1 the first"),
    Axis("v_coordinate", int, 1, 2**31 - 1, 2, "coordinate of the state that v is, where plane is 0"),
    Axis("v", float, -1e6, 1e6, 0.0, "second coordinate on the plane of the initial state"),
    Axis("u", float, -1e6, 1e6, 0.0, "first coordinate on the plane of the initial state"),
)


class OnPlane(System):
    """A base system whose orbits start at u e_1 + v e_2, with e_1 and e_2 orthonormal; all other coordinates are zero.

    A subclass names its base: `class HenonPlane(OnPlane, base=Henon)`. Axes are those of the base that do not say
    where an orbit starts, then those of the plane, u last and fastest. Everything but the initial state is the base's.
    u and v are numbers of the state as it stands: for feedback networks outputs y, which s does not multiply.
    """

    base: ClassVar[System]

    def __init_subclass__(cls, *, base: type[System]) -> None:
        cls.base = base()
        cls.name = base.name + SUFFIX
        cls.axes = (*(axis for axis in base.axes if axis.name not in REPLACED), *PLANE_AXES)
        cls.draw_axes, cls.parameters = base.draw_axes, base.parameters
        cls.columns, cls.outcomes = base.columns, base.outcomes
        cls.rotates, cls.wide, cls.odd = base.rotates, base.wide, base.odd
        cls.clocked, cls.stretch = base.clocked, base.stretch

    def dimension(self, static: Mapping[str, Any]) -> int:
        return self.base.dimension(static)

    def hidden_units(self, static: Mapping[str, Any]) -> int:
        return self.base.hidden_units(static)

    def operations(self, static: Mapping[str, Any]) -> float:
        return self.base.operations(static)

    def draw(self, **axes: Any) -> Draw:
        return self.base.draw(**axes)

    def build(self, draw: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        return self.base.build(draw, parameters)

    def closed_form(self, draws: Draw, parameters: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self.base.closed_form(draws, parameters)

    def outcome(self, draws: Draw, parameters: Mapping[str, np.ndarray], states: np.ndarray) -> dict[str, np.ndarray]:
        return self.base.outcome(draws, parameters, states)

    def coordinates(self, static: Mapping[str, Any]) -> int:
        """Leading coordinates of the state in which planes lie."""
        return self.dimension(static)

    def check(self, static: Mapping[str, Any], lanes: Mapping[str, np.ndarray]) -> None:
        for plane, i, j in np.unique(_planes(lanes), axis=0).tolist():
            directions(self.coordinates(static), plane, i, j)

    def initial_states(self, draw: Draw, axes: Mapping[str, Any], lanes: Mapping[str, np.ndarray]) -> np.ndarray:
        D = self.coordinates({axis.name: axes[axis.name] for axis in self.axes if axis.static})
        u, v = (np.asarray(lanes[name], float)[:, None] for name in ("u", "v"))
        planes, which = np.unique(_planes(lanes), axis=0, return_inverse=True)
        states = np.empty((len(u), D))
        for n, (plane, i, j) in enumerate(planes.tolist()):
            here, (along_u, along_v) = which.ravel() == n, directions(D, plane, i, j)
            states[here] = u[here] * along_u + v[here] * along_v
        return states


def _planes(lanes: Mapping[str, np.ndarray]) -> np.ndarray:
    """What says which plane each cell is on, (cells, 3)."""
    columns = [np.ravel(lanes[name]) for name in ("plane", "u_coordinate", "v_coordinate")]
    return np.stack(np.broadcast_arrays(*columns), axis=1)


def directions(D: int, plane: int, i: int = 1, j: int = 2) -> np.ndarray:
    """The orthonormal directions of u and v, (2, D).

    Args:
        D: dimension of the state.
        plane: 0 for the coordinates i and j, counted from 1; q > 0 for two random directions that q draws, uniform on
            the sphere, and to which i and j are nothing.

    Raises:
        ConfigError: no plane in one dimension, a coordinate that the state has not, or two that are the same.
    """
    if D < 2:
        raise ConfigError("system.name", "must be a system without a plane where the state has one dimension")
    if plane == 0:
        for key, coordinate in (("grid.u_coordinate", i), ("grid.v_coordinate", j)):
            if not 1 <= coordinate <= D:
                raise ConfigError(key, f"must be between 1 and the dimension D = {D} of the state", coordinate)
        if i == j:
            raise ConfigError("grid.v_coordinate", "must be another than grid.u_coordinate, or there is no plane", j)
        return np.eye(D)[[i - 1, j - 1]]
    u, v = np.random.default_rng(plane).standard_normal((2, D))
    u /= np.linalg.norm(u)
    v -= (v @ u) * u
    return np.stack([u, v / np.linalg.norm(v)])


def base_name(system: str) -> str:
    """The name of the system that moves the states, whether or not they start on a plane."""
    return system.removesuffix(SUFFIX)


class UniformPlane(OnPlane, base=Uniform):
    """Sprott's feedback networks from histories on a plane."""


class GaussianPlane(OnPlane, base=Gaussian):
    """The ensemble of Albers, Sprott and Dechert from histories on a plane."""


class HenonPlane(OnPlane, base=Henon):
    """The Henon map from states on its plane."""
