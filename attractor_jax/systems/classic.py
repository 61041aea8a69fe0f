"""Maps whose exponents are known in closed form: the truths that the engine is tested on, and the proof that it takes
any map.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from attractor_jax.systems import REPLICATE, Axis, Draw, System


class _Classic(System):
    """A map without random draws: replicate 0 starts at `start`, replicate q > 0 uniformly in a box of half-width
    `spread` around it.
    """

    start: tuple[float, ...]
    spread: float

    def dimension(self, static: Mapping[str, Any]) -> int:
        return len(self.start)

    def initial_states(self, draw: Draw, axes: Mapping[str, Any], lanes: Mapping[str, np.ndarray]) -> np.ndarray:
        centre = np.array(self.start)
        return np.stack(
            [
                centre + (np.random.default_rng(q).uniform(-self.spread, self.spread, centre.shape) if q else 0.0)
                for q in np.asarray(lanes["replicate"]).tolist()
            ]
        )


def _axis(name: str, low: float, high: float, default: float, meaning: str) -> Axis:
    return Axis(name, float, low, high, default, meaning)


class Linear(_Classic):
    """x' = A x with any real 2 x 2 matrix A; larger ones through the library's `LinearMap`."""

    name = "linear"
    axes = (
        REPLICATE,
        _axis("a11", -1e6, 1e6, 0.5, "first row, first column"),
        _axis("a12", -1e6, 1e6, 0.0, "first row, second column"),
        _axis("a21", -1e6, 1e6, 0.0, "second row, first column"),
        _axis("a22", -1e6, 1e6, 0.25, "second row, second column"),
    )
    parameters = ("a11", "a12", "a21", "a22")
    start = (0.0, 0.0)
    spread = 1.0

    def build(self, draw: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        import jax.numpy as jnp

        from attractor_jax.maps import LinearMap

        a = parameters
        return LinearMap(jnp.stack([jnp.stack([a["a11"], a["a12"]]), jnp.stack([a["a21"], a["a22"]])]))


class Logistic(_Classic):
    """x' = r x (1 - x)."""

    name = "logistic"
    axes = (REPLICATE, _axis("r", 0.0, 10.0, 4.0, "growth rate"))
    parameters = ("r",)
    start = (0.4,)
    spread = 0.35

    def build(self, draw: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        from attractor_jax.maps import LogisticMap

        return LogisticMap(parameters["r"])


class Henon(_Classic):
    """(x, y)' = (1 - a x^2 + y, b x)."""

    name = "henon"
    axes = (
        REPLICATE,
        _axis("b", -10.0, 10.0, 0.3, "contraction"),
        _axis("a", -10.0, 10.0, 1.4, "nonlinearity"),
    )
    parameters = ("a", "b")
    start = (0.1, 0.1)
    spread = 0.1

    def build(self, draw: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        from attractor_jax.maps import HenonMap

        return HenonMap(parameters["a"], parameters["b"])


class DelayedLogistic(_Classic):
    """x' = r x (1 - z), z' = x."""

    name = "delayed_logistic"
    axes = (REPLICATE, _axis("r", 0.0, 10.0, 2.1, "growth rate"))
    parameters = ("r",)
    start = (0.5, 0.5)
    spread = 0.1

    def build(self, draw: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        from attractor_jax.maps import DelayedLogisticMap

        return DelayedLogisticMap(parameters["r"])
