"""Feedback networks: D delays read by N tanh units, in the article's family and in that of Albers, Sprott and
Dechert.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from attractor_jax import stability
from attractor_jax.draws import article_draw, gaussian_draw, initial_history
from attractor_jax.schema import Column
from attractor_jax.systems import REPLICATE, Axis, Draw, System

N_AXIS = Axis("N", int, 1, 4096, 4, "number of tanh units", static=True)
D_AXIS = Axis("D", int, 1, 4096, 16, "number of delays, the dimension of the state", static=True)
SEED_AXIS = Axis("seed", int, 0, 2**32 - 1, 0, "seed of the legacy NumPy generator that draws the network")


class _Feedback(System):
    """What the two families share."""

    axes = (N_AXIS, D_AXIS, SEED_AXIS, REPLICATE, Axis("s", float, 0.0, 1e6, 1.0, "scale"))
    draw_axes = ("N", "D", "seed")
    parameters = ("s",)
    rotates = True
    biases: ClassVar[int]  # of a unit
    wide = True
    columns = (
        Column("s_critical", "float", "", "s at which the origin first loses stability; inf if it never does", True),
        Column("first_bifurcation", "category", "", "how it does: pitchfork | flip | neimark_sacker", True),
        Column(
            "origin_radius", "float", "", "spectral radius of the Jacobian at the origin, at the cell's own s", True
        ),
        Column("lambda_article", "float", "nats per step", "what the article printed, ln(b[0] ||w[:, 0]||)", True),
    )

    def dimension(self, static: Mapping[str, Any]) -> int:
        return static["D"]

    def hidden_units(self, static: Mapping[str, Any]) -> int:
        return static["N"]

    def operations(self, static: Mapping[str, Any]) -> float:
        return 2.0 * static["N"] * static["D"] + 25.0 * static["N"]

    def numbers(self, static: Mapping[str, Any]) -> int:
        N, D = static["N"], static["D"]
        return N * (D + self.biases) + N + 2 * D

    def initial_states(self, draw: Draw, axes: Mapping[str, Any], lanes: Mapping[str, np.ndarray]) -> np.ndarray:
        scales = self._scale(np.asarray(lanes["s"]))
        states = np.empty((len(scales), axes["D"]))
        for replicate in np.unique(lanes["replicate"]):
            here = lanes["replicate"] == replicate
            one = initial_history(draw["gains"], axes["D"], int(replicate), axes["seed"])
            states[here] = scales[here, None] * one
        return states

    def _scale(self, s: np.ndarray) -> np.ndarray:
        """What multiplies the gains in the output."""
        raise NotImplementedError


class Uniform(_Feedback):
    """The article's family: weights uniform in [-1, 1), b = s r with r uniform in [0, 1) (Sprott 1998)."""

    name = "uniform"
    biases = 0
    odd = True

    def draw(self, **axes: Any) -> Draw:
        weights, gains = article_draw(axes["seed"], axes["N"], axes["D"])
        return {"weights": weights, "gains": gains}

    def build(self, draw: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        from attractor_jax.networks import FeedbackNetwork

        return FeedbackNetwork(draw["weights"], draw["gains"], parameters["s"])

    def closed_form(self, draws: Draw, parameters: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        weights, gains, s = draws["weights"], draws["gains"], parameters["s"]
        critical = stability.s_critical(weights, gains)
        return {
            "s_critical": np.broadcast_to(critical.s[:, None], s.shape),
            "first_bifurcation": np.broadcast_to(critical.kind[:, None], s.shape),
            "origin_radius": stability.origin_radius(weights[:, None], gains[:, None], s),
            "lambda_article": stability.lambda_article(weights[:, None], gains[:, None], s),
        }

    def _scale(self, s: np.ndarray) -> np.ndarray:
        return s


class Gaussian(_Feedback):
    """Normal weights and biases scaled by s, gains with sum r^2 = N (Albers, Sprott and Dechert 1998). The origin is
    no fixed point.
    """

    name = "gaussian"
    biases = 1

    def draw(self, **axes: Any) -> Draw:
        weights, gains = gaussian_draw(axes["seed"], axes["N"], axes["D"])
        return {"weights": weights, "gains": gains}

    def build(self, draw: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        from attractor_jax.networks import GaussianNetwork

        return GaussianNetwork(draw["weights"], draw["gains"], parameters["s"])

    def closed_form(self, draws: Draw, parameters: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        # Null, all of it: these columns are about a fixed point at the origin.
        shape = parameters["s"].shape
        nothing = np.full(shape, np.nan)
        return {
            "s_critical": nothing,
            "first_bifurcation": np.full(shape, None, object),
            "origin_radius": nothing,
            "lambda_article": nothing,
        }

    def _scale(self, s: np.ndarray) -> np.ndarray:
        return np.ones_like(s)
