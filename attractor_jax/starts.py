"""Where do orbits start? Grids and samples of initial states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Array, Float

Numbers = Sequence[Any]  # nested lists will do where arrays are asked for

# Sine of the angle between two directions below which they do not span a plane.
PARALLEL = 1e-9


@dataclass(frozen=True)
class Plane:
    """A grid of initial states on any plane through state space: origin + u first + v second.

    Neither direction is normalised, nor need they be orthogonal: u counts in units of `first`, v in units of `second`.

    Attributes:
        origin: (D,), the state at u = v = 0.
        first: (D,), direction along the columns.
        second: (D,), direction along the rows.
        u: (columns,), coordinates along `first`.
        v: (rows,), coordinates along `second`.

    Raises:
        ValueError: parallel directions or a zero one, an empty grid, shapes that do not fit, numbers that are not
            finite.
    """

    origin: Float[np.ndarray, "D"]
    first: Float[np.ndarray, "D"]
    second: Float[np.ndarray, "D"]
    u: Float[np.ndarray, "columns"]
    v: Float[np.ndarray, "rows"]

    def __post_init__(self) -> None:
        for name in ("origin", "first", "second", "u", "v"):
            object.__setattr__(self, name, as_vector(name, getattr(self, name)))
        for name in ("first", "second"):
            if getattr(self, name).shape != self.origin.shape:
                given = f"shape {getattr(self, name).shape}"
                raise ValueError(f"`{name}` must have the shape of `origin`, {self.origin.shape}, got {given}")
        lengths = np.linalg.norm(self.first), np.linalg.norm(self.second)
        if min(lengths) == 0:
            raise ValueError("`first` and `second` must be directions, got a vector of length 0")
        one, other = self.first / lengths[0], self.second / lengths[1]
        if np.linalg.norm(other - (one @ other) * one) < PARALLEL:
            raise ValueError("`first` and `second` must span a plane, got parallel directions")

    def states(self) -> Float[np.ndarray, "rows columns D"]:
        """All states of the grid: [i, j] is origin + u[j] first + v[i] second."""
        return self.origin + self.u[None, :, None] * self.first + self.v[:, None, None] * self.second


def in_ball(
    centre: Float[Array | np.ndarray, "D"] | Numbers, radius: float, n: int, *, seed: int
) -> Float[np.ndarray, "n D"]:
    """`n` states drawn uniformly from the ball of a radius about `centre`. In many dimensions nearly all lie next to
    its surface.

    Raises:
        ValueError: `n` below 1, a negative radius, a centre that is no vector.
    """
    centre = _sphere(centre, radius, n)
    rng = np.random.default_rng(seed)
    at = radius * rng.random((n, 1)) ** (1 / len(centre))
    return centre + at * unit_vectors(rng, n, len(centre))


def on_sphere(
    centre: Float[Array | np.ndarray, "D"] | Numbers, radius: float, n: int, *, seed: int
) -> Float[np.ndarray, "n D"]:
    """`n` states drawn uniformly from the sphere of a radius about `centre`; with D = 1 from its two points.

    Raises:
        ValueError: `n` below 1, a negative radius, a centre that is no vector.
    """
    centre = _sphere(centre, radius, n)
    return centre + radius * unit_vectors(np.random.default_rng(seed), n, len(centre))


def in_box(
    low: Float[Array | np.ndarray, "D"] | Numbers, high: Float[Array | np.ndarray, "D"] | Numbers, n: int, *, seed: int
) -> Float[np.ndarray, "n D"]:
    """`n` states drawn uniformly from the box between two corners.

    Raises:
        ValueError: `n` below 1, corners of different shapes, `low` not below `high` in every component.
    """
    low, high = as_vector("low", low), as_vector("high", high)
    if low.shape != high.shape:
        raise ValueError(f"`low` and `high` must have one shape, got {low.shape} and {high.shape}")
    if not np.all(low < high):
        raise ValueError(f"`low` must be below `high` in every component, got {low.tolist()} and {high.tolist()}")
    check_number(n)
    return np.random.default_rng(seed).uniform(low, high, (n, len(low)))


def unit_vectors(rng: np.random.Generator, n: int, D: int) -> Float[np.ndarray, "n D"]:
    """Directions drawn uniformly from all of D dimensions."""
    vectors = rng.standard_normal((n, D))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def as_vector(name: str, value: Any) -> Float[np.ndarray, "values"]:
    """A value as a vector of finite numbers, or an error that names it."""
    array = np.asarray(value, float)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"`{name}` must be a vector with at least one value, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"`{name}` must be finite, got {array.tolist()}")
    return array


def _sphere(centre: Any, radius: float, n: int) -> Float[np.ndarray, "D"]:
    check_number(n)
    if not 0 <= radius < np.inf:
        raise ValueError(f"`radius` must be >= 0 and finite, got {radius}")
    return as_vector("centre", centre)


def check_number(n: int) -> None:
    """Refuse to draw nothing."""
    if n < 1:
        raise ValueError(f"`n` must be at least 1, got {n}")
