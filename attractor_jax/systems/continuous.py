"""Seung's networks (NIPS 1997), which learn a continuous attractor: trained to retain images, or to complete them, by
backpropagation through T loops. What a trained loop does is then asked with the tools of all maps.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields as fields_of
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from attractor_jax import images
from attractor_jax.config import ConfigError
from attractor_jax.fills import mean_fill, nearest_fill, pca_fill, relative_error
from attractor_jax.schema import Column
from attractor_jax.systems import Axis, Draw, System

if TYPE_CHECKING:  # a sweep is planned without jax
    from attractor_jax.pattern_learning import Training

# Held-out images that are kept with the weights: orbits start from them, and figures show them.
KEPT = 64

# Seung's patch of 9 x 9 in images of 16 x 16, and his fields of 5 x 5; smaller images have smaller fields.
PATCH_SHARE = 9 / 16
SMALL_SIDE = 12

# Axes that make another training.
LEARNED_BY = (
    *("task", "visible", "T_schedule", "hidden_places", "label", "radius", "patch", "n2", "train_steps", "batch_size"),
    *("lr", "seed"),
)

TASKS = ("completion", "retention")

# Between which units lie, see `RectifiedLoop`.
BOUNDS = {
    "clip01": {"floor": 0.0, "ceiling": 1.0},
    "linear": {"floor": -math.inf, "ceiling": math.inf},
    "relu": {"floor": 0.0, "ceiling": math.inf},
}

FILLS = (
    Column("fill_mean", "float", "", "error e where the holes are filled with the mean of the training images", True),
    Column("fill_pca", "float", "", "the same with what their leading components expect there", True),
    Column("fill_nearest", "float", "", "the same with the training image that is nearest elsewhere", True),
)


def stages(T_schedule: str, T: float = math.inf) -> tuple[int, ...]:
    """The loops of each stage of a training in turn, up to that with T.

    Args:
        T_schedule: rising numbers of loops, as in 1-2-5.

    Raises:
        ConfigError: it is something else.
    """
    key, must = "grid.T_schedule", "must be rising numbers of loops, 1 at least, such as 1-2-5-10"
    # One way to write each: another would be another network with the same numbers.
    if not re.fullmatch(r"[1-9][0-9]*(-[1-9][0-9]*)*", T_schedule):
        raise ConfigError(key, must, T_schedule)
    loops = [int(each) for each in T_schedule.split("-")]
    if any(after <= before for before, after in zip(loops, loops[1:], strict=False)):
        raise ConfigError(key, must, T_schedule)
    return tuple(each for each in loops if each <= T)


class Continuous(System):
    """A visible and a hidden layer of rectified units; the state is the visible one.

    A row is one network after one stage of its training. Networks that differ in T alone are one network on its way.

    Attributes:
        data: what is learned, see `images.load`.
    """

    name = "continuous"
    draw_axes = ("data", *LEARNED_BY, "T", "components", "at", "tolerance")
    parameters = ()
    trained = True
    stretch = 1

    def __init__(self, data: str = "digits", mark: str | None = None) -> None:
        """Networks that learn some data.

        Args:
            mark: of the data, where they are not to be opened: of a run that was made from them.
        """
        self.data, self.mark, self.opened = data, mark or images.mark(data), mark is None
        self.side = side = images.side_of(self.mark)
        pixels = side * side
        if side < 2:
            raise ConfigError(
                "system.data", "must have images of 2 x 2 pixels at least: a hole, and what is beside it", data
            )
        self.axes = (
            Axis.of_words("data", self.mark, "what is learned: set, size, fingerprint of a file", choices=(self.mark,)),
            Axis.of_words("task", "completion", "of holes, or retention of whole images", choices=TASKS),
            Axis.of_words("visible", "relu", "relu, clip01 (at most 1) or linear (hidden too)", choices=tuple(BOUNDS)),
            Axis.of_words("T_schedule", "1-2-5-10", "loops of the stages of a training, of which T is one"),
            Axis("hidden_places", int, 1, 65536, pixels, "room for hidden units in the arrays", static=True),
            Axis("label", int, -1, 2**31 - 1, -1, "class of the images; -1 all of them"),
            Axis("radius", int, -1, side, 1 if side < SMALL_SIDE else 2, "of a field, in pixels; -1 the whole image"),
            Axis("patch", int, 1, side - 1, int(PATCH_SHARE * side), "edge of the square hole, in pixels"),
            Axis("n2", int, 1, 65536, pixels, "hidden units"),
            Axis("train_steps", int, 1, 10**7, 2000, "steps of Adam in each stage"),
            Axis("batch_size", int, 0, 65536, 64, "images in a minibatch; 0 all of them in each step"),
            Axis("lr", float, 1e-12, 1e3, 3e-3, "learning rate of a stage of one loop; T^(-3/4) of it with T"),
            Axis("seed", int, 0, 2**32 - 1, 0, "draws the first weights, minibatches and holes"),
            Axis("T", int, 1, 1000, 2, "loops through which the last stage was trained"),
            Axis("components", int, 1, pixels, min(20, pixels), "principal components of the baseline fill_pca"),
            Axis("at", int, 0, 10**6, 5, "loops after which spectra are taken"),
            Axis("tolerance", float, 1e-12, 1.0, 0.1, "how near to 1 an eigenvalue counts as near unity"),
            Axis("replicate", int, 0, KEPT - 1, 0, f"which of {KEPT} held-out images the orbit starts from"),
        )  # fmt: skip

    @property
    def columns(self) -> tuple[Column, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        from attractor_jax.continuity import COLUMNS

        return (*FILLS, *COLUMNS)

    def over(self, data: str, mark: str | None) -> System:
        return Continuous(data, mark)

    def check(self, static: Mapping[str, Any], lanes: Mapping[str, np.ndarray]) -> None:
        loops = stages(static["T_schedule"])
        for T in np.unique(lanes["T"]).tolist():
            if T not in loops:
                schedule = f"grid.T_schedule = {static['T_schedule']} (several are one word: 1-2-5)"
                raise ConfigError("grid.T", f"must be among the stages of {schedule}", T)
        if (most := lanes["n2"].max().item()) > static["hidden_places"]:
            raise ConfigError("grid.n2", f"must be at most grid.hidden_places = {static['hidden_places']}", most)
        if not self.opened:
            return
        if find_spec("optax") is None:
            raise ConfigError("system.name", "needs optax for continuous: pip install 'attractor_jax[train]'")
        components = lanes["components"].max().item()
        for label in np.unique(lanes["label"]).tolist():
            if components > (n := len(self.images(label).train)):
                of_them = "training images" if label == -1 else f"training images of class {label}"
                raise ConfigError("grid.components", f"must be at most the number of {of_them}, {n}", components)

    def images(self, label: int) -> images.Images:
        """What is learned of a class.

        Raises:
            ConfigError: there is no such class, or the file is another than the plan was made with.
        """
        if (there := images.mark(self.data)) != self.mark:
            raise ConfigError("system.data", f"must be the data of the plan, {self.mark}; it is {there} now", self.data)
        return images.load(self.data, label)

    def dimension(self, static: Mapping[str, Any]) -> int:
        return self.side**2

    def hidden_units(self, static: Mapping[str, Any]) -> int:
        return static["hidden_places"]

    def operations(self, static: Mapping[str, Any]) -> float:
        return 4.0 * self.dimension(static) * static["hidden_places"]

    def draw_operations(self, static: Mapping[str, Any], draws: Mapping[str, np.ndarray]) -> np.ndarray:
        loops = [sum(stages(static["T_schedule"], T)) for T in draws["T"].tolist()]
        # Forth, and back for both the state and the weights. Measuring takes eigenvalues, mostly.
        training = 3 * draws["train_steps"] * np.maximum(draws["batch_size"], 64) * loops * self.operations(static)
        return training + 1000.0 * self.dimension(static) ** 3

    def draw(self, **axes: Any) -> Draw:
        import jax

        return self.draws([axes], jax.devices()[:1])[0]

    def draws(
        self, axes: Sequence[Mapping[str, Any]], devices: Sequence[Any], wait: Callable[[], None] = lambda: None
    ) -> list[Draw]:
        from attractor_jax.pattern_learning import train

        asked = [(tuple(each[name] for name in LEARNED_BY), stages(each["T_schedule"], each["T"])) for each in axes]
        # Networks that differ in T alone are one network on its way: the longest way passes through the others' ends.
        passes: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        for learner, loops in sorted(asked, key=lambda each: len(each[1])):
            passes |= {(learner, loops[: n + 1]): (learner, loops) for n in range(len(loops))}
        needed = {
            passes[each]: self._training(of) for each, of in zip(asked, axes, strict=True) if passes[each] == each
        }
        done = dict(zip(needed, train(list(needed.values()), devices=devices, wait=wait), strict=True))
        draws: list[Draw] = []
        for each, of in zip(asked, axes, strict=True):
            draws.append(self._measured(of, done[passes[each]][len(each[1]) - 1]))
            wait()
        return draws

    def _training(self, axes: Mapping[str, Any]) -> Training:
        """The training with these axes, from its first stage on."""
        from attractor_jax.pattern_learning import Lesson, Training, reach

        completes, steps, batch = axes["task"] == "completion", axes["train_steps"], axes["batch_size"]
        fields = np.zeros((axes["hidden_places"], self.side**2), bool)
        fields[: axes["n2"]] = reach(axes["n2"], self.side, axes["radius"])
        return Training(
            images=self.images(axes["label"]).train,
            fields=fields,
            lessons=tuple(Lesson(T, steps, batch, completes) for T in stages(axes["T_schedule"], axes["T"])),
            seed=axes["seed"],
            patch=axes["patch"],
            lr=axes["lr"],
            **BOUNDS[axes["visible"]],
        )

    def _measured(self, axes: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> Draw:
        """A trained network, some images that it has not seen, and what is measured of it."""
        from attractor_jax.continuity import measure
        from attractor_jax.image_loops import Loop

        learned, bounds = self.images(axes["label"]), BOUNDS[axes["visible"]]
        truth, train = learned.test, learned.train
        holes = images.holes(len(truth), self.side, axes["patch"])
        corrupted = np.where(holes, 0, truth)
        found = measure(
            Loop(weights["W21"], weights["b2"], weights["W12"], weights["b1"], **bounds),
            truth=truth,
            holes=holes,
            train=train,
            others=learned.others,
            tangents=learned.tangents,
            manifold=learned.manifold,
            tolerance=axes["tolerance"],
            at=axes["at"],
        )
        filled = {
            "fill_mean": mean_fill(train, corrupted, holes),
            "fill_pca": pca_fill(train, corrupted, holes, axes["components"]),
            "fill_nearest": nearest_fill(train, corrupted, holes),
        }
        found |= {name: relative_error(fill, truth, corrupted) for name, fill in filled.items()}
        # Every so many-th, some twice where there are fewer; the states of the spectra start from every fourth of them.
        kept = np.arange(KEPT) * len(truth) // KEPT
        values = {**weights, **bounds, "images": truth[kept], "holes": holes[kept], **found}
        return {name: np.asarray(value, float) for name, value in values.items()}

    def initial_states(self, draw: Draw, axes: Mapping[str, Any], lanes: Mapping[str, np.ndarray]) -> np.ndarray:
        return draw["images"][np.asarray(lanes["replicate"], int)]

    def build(self, draw: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        from attractor_jax.rectified import RectifiedLoop

        return RectifiedLoop(**{field.name: draw[field.name] for field in fields_of(RectifiedLoop)})

    def closed_form(self, draws: Draw, parameters: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {column.name: draws[column.name][:, None] for column in self.columns}
