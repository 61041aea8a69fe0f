"""A small system as large ones are: words among its axes, data in a file, and networks that it trains."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from attractor_jax.config import ConfigError
from attractor_jax.schema import Column
from attractor_jax.systems import REPLICATE, Axis, Draw, System


class Tuned:
    """x' = tanh(gain W x)."""

    def __init__(self, weights: Any, gain: Any) -> None:
        self.weights, self.gain = weights, gain

    def __call__(self, state: Any) -> Any:
        return jnp.tanh(self.gain * self.weights @ state)


class TunedSystem(System):
    """Its weights are drawn, and scaled to a spectral radius that is told by the task: that is its training.

    Attributes:
        asked: axes of the draws that were asked for in one go, for each time.
    """

    name = "tuned"
    axes = (
        Axis.of_words("data", "none", "mark of the data", choices=("none",)),
        Axis.of_words("task", "retention", "what is trained", choices=("retention", "completion")),
        Axis.of_words("schedule", "1", "steps between examples"),
        Axis("places", int, 2, 64, 3, "hidden places", static=True),
        Axis("seed", int, 0, 2**31 - 1, 0, "draws the first weights"),
        REPLICATE,
        Axis("gain", float, 0.0, 10.0, 1.0, "multiplies the weights"),
    )
    draw_axes = ("data", "task", "schedule", "places", "seed")
    parameters = ("gain",)
    trained = True
    columns = (
        Column("loss", "float", "", "at the end of the training; null where it failed", True),
        Column("history", "list", "", "the loss after each epoch"),
    )
    asked: ClassVar[list[list[Mapping[str, Any]]]] = []

    def over(self, data: str, mark: str | None) -> System:
        if mark is None:
            try:
                mark = f"{Path(data).stem}-{zlib.crc32(Path(data).read_bytes()):08x}"
            except OSError as error:
                raise ConfigError("system.data", f"must be a file that can be read ({error.strerror})", data) from error
        here = Axis.of_words("data", mark, "mark of the data", choices=(mark,))
        return type(type(self).__name__, (type(self),), {"axes": (here, *self.axes[1:])})()

    def check(self, static: Mapping[str, Any], lanes: Mapping[str, np.ndarray]) -> None:
        if not static["schedule"].replace("-", "").isdigit():
            raise ConfigError("grid.schedule", "must be steps such as 1-2-5", static["schedule"])

    def dimension(self, static: Mapping[str, Any]) -> int:
        return static["places"]

    def draw_operations(self, static: Mapping[str, Any], draws: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.full(len(draws["seed"]), 1e6)

    def draws(
        self, axes: Sequence[Mapping[str, Any]], devices: Sequence[Any], wait: Callable[[], None] = lambda: None
    ) -> list[Draw]:
        assert len(devices) > 0
        self.asked.append(list(axes))
        wait()
        return super().draws(axes, devices)

    def draw(self, **axes: Any) -> Draw:
        weights = np.random.default_rng(axes["seed"]).normal(size=(axes["places"],) * 2)
        radius = {"retention": 0.5, "completion": 0.9}[axes["task"]]
        loss = np.nan if axes["seed"] == 1 else radius**2
        return {
            "weights": weights * radius / np.abs(np.linalg.eigvals(weights)).max(),
            "loss": np.array(loss),
            "history": np.array([1.0, radius, loss]),
        }

    def initial_states(self, draw: Draw, axes: Mapping[str, Any], lanes: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.full((len(lanes["gain"]), axes["places"]), 0.1)

    def build(self, draw: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        return Tuned(draw["weights"], parameters["gain"])

    def closed_form(self, draws: Draw, parameters: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        shape = parameters["gain"].shape
        return {
            "loss": np.broadcast_to(draws["loss"][:, None], shape),
            "history": np.broadcast_to(draws["history"][:, None], (*shape, 3)),
        }


class UntrainedSystem(TunedSystem):
    """The same, as if nothing was to be kept."""

    name = "untrained"
    trained = False
