"""How does a rectified loop learn to retain images, or to complete them? By backpropagation through T loops, for one T
after the other (Seung, NIPS 1997).

A training is a pure function of the images, the first weights and the seed. Nothing in it depends on how many others
are trained beside it, except on a GPU, where they share one program.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as some_left
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from attractor_jax.maps import check_dtype
from attractor_jax.rectified import RectifiedLoop

WEIGHTS = ("W21", "b2", "W12", "b1")

LONGEST_GRADIENT = 1.0  # longer ones are scaled down to this: an unbounded loop can blow up
LAST_RATE = 0.1  # share of the learning rate that is left at the end of a stage: it falls as a cosine
RATE_EXPONENT = 0.75  # loops that are unrolled T times want smaller steps: measured, about as T to the minus this

# The first weights. Measured on digits, naive ones leave units dead for good, and retention a hundred times worse: so
# the hidden units start in their linear range around the mean image, and what they add to it starts small.
OUTWARD_SHARE = 0.2
HIDDEN_START = 0.1


def hidden_grid(n2: int) -> tuple[Int[np.ndarray, "n2"], Int[np.ndarray, "n2"], int]:
    """Row and column of each hidden unit on the square grid on which they stand, and the edge of that grid.

    Where their number is no square, the places that stay empty are spread evenly.
    """
    edge = int(np.ceil(np.sqrt(n2)))
    row, column = np.divmod(np.arange(n2) * edge**2 // n2, edge)
    return row, column, edge


def reach(n2: int, side: int, radius: int) -> Bool[np.ndarray, "n2 pixels"]:
    """Which pixels lie in the receptive field of each hidden unit, and so in its projective field: those at most
    `radius` rows and columns away from the unit's own, cut off at the edges.

    Hidden units stand evenly on a square grid over the image: with as many of them as pixels, each on its pixel.

    Args:
        n2: number of hidden units.
        side: pixels of an edge of the image.
        radius: 2 for fields of 5 x 5; -1 for the whole image.
    """
    if radius < 0:
        return np.ones((n2, side * side), bool)
    row, column, edge = hidden_grid(n2)
    centre = (np.arange(edge) + 0.5) * side / edge - 0.5
    pixel_row, pixel_column = np.divmod(np.arange(side * side), side)
    # Half a pixel more: between pixels a field is as wide, and few units with small fields still see every pixel.
    near_row = np.abs(centre[row][:, None] - pixel_row) <= radius + 0.5
    return near_row & (np.abs(centre[column][:, None] - pixel_column) <= radius + 0.5)


def first_weights(
    mean: Float[np.ndarray, "pixels"], fields: Bool[np.ndarray, "n2 pixels"], seed: int
) -> dict[str, np.ndarray]:
    """Where a training begins: the weights of a network whose visible layer shows the mean image.

    Weights are normal with variance 2 over the number of inputs (He et al. 2015); b2 puts every hidden unit at 0.1
    where the image is the mean; W12 is small. Of several schemes this one leaves fewest units dead.

    Args:
        mean: of the images.
        fields: see `reach`. A unit without a field stays at zero. The weights of a unit do not depend on how many
            others there are.
        seed: draws the weights.
    """
    inward, outward = (np.random.default_rng([seed, layer]).standard_normal(fields.shape) for layer in (0, 1))
    W21 = np.where(fields, inward, 0) * np.sqrt(2 / np.maximum(fields.sum(axis=1, keepdims=True), 1))
    W12 = np.where(fields, outward, 0) * np.sqrt(2 / np.maximum(fields.sum(axis=0, keepdims=True), 1))
    b2 = np.where(fields.any(axis=1), HIDDEN_START - W21 @ mean, 0)
    return {"W21": W21, "b2": b2, "W12": OUTWARD_SHARE * W12.T, "b1": mean.copy()}


def learning_rate(lr: float, T: int) -> float:
    """The learning rate with which a stage of T loops begins, where that of one loop is `lr`."""
    return lr * T**-RATE_EXPONENT


@dataclass(frozen=True)
class Lesson:
    """What one stage of a training does, and for how long: all that makes another program.

    Attributes:
        T: loops; the gradient goes through all of them.
        steps: of Adam, each with a new minibatch.
        batch: images in a minibatch; 0 for all images in every step.
        completes: images are shown with a square hole at a random place, which is neither marked nor held; else they
            are shown whole.
    """

    T: int
    steps: int
    batch: int
    completes: bool


@partial(jax.jit, static_argnames="lesson")
def train_stage(problem: Mapping[str, Array], weights: dict[str, Array], *, lesson: Lesson) -> dict[str, Array]:
    """The weights after one more stage, by Adam on the mean of |x1(T) - d|^2 over the images d of a minibatch.

    Args:
        problem: of one network: `images` (places, n1) of which the first `count` are there, `fields` (n2, n1), `key`
            (a JAX key), `lr` (of this stage), `patch` (pixels of an edge of a hole), `floor` and `ceiling`.
        weights: W21, b2, W12, b1 of the stage before.
    """
    import optax

    images, count = problem["images"], problem["count"]
    places, pixels = images.shape
    side, batch = math.isqrt(pixels), lesson.batch or places
    fields = problem["fields"]
    rate = optax.cosine_decay_schedule(1.0, lesson.steps, alpha=LAST_RATE)
    optimiser = optax.chain(
        optax.clip_by_global_norm(LONGEST_GRADIENT), optax.scale_by_adam(), optax.scale_by_schedule(rate)
    )

    def loss(weights: dict[str, Array], shown: Array, wanted: Array, counted: Array) -> Array:
        local = weights | {"W21": weights["W21"] * fields, "W12": weights["W12"] * fields.T}
        loop = jax.vmap(RectifiedLoop(**local, floor=problem["floor"], ceiling=problem["ceiling"]))
        state, _ = jax.lax.scan(lambda state, _: (loop(state), None), shown, length=lesson.T)
        return jnp.sum(counted * jnp.sum((state - wanted) ** 2, axis=1)) / jnp.sum(counted)

    def step(carry: tuple[dict[str, Array], Any], index: Array) -> tuple[tuple[dict[str, Array], Any], None]:
        weights, memory = carry
        which, where = jax.random.split(jax.random.fold_in(problem["key"], index))
        if lesson.batch:
            chosen, counted = jax.random.randint(which, (batch,), 0, count), jnp.ones(batch)
        else:
            chosen, counted = jnp.arange(places), (jnp.arange(places) < count).astype(images.dtype)
        shown = wanted = images[chosen]
        if lesson.completes:
            corner = jax.random.randint(where, (batch, 2), 0, side - problem["patch"] + 1)
            shown = jnp.where(_holes(corner, problem["patch"], side), 0, wanted)
        change, memory = optimiser.update(jax.grad(loss)(weights, shown, wanted, counted), memory)
        return ({name: weights[name] - problem["lr"] * by for name, by in change.items()}, memory), None  # pyright: ignore

    (weights, _), _ = jax.lax.scan(step, (weights, optimiser.init(weights)), jnp.arange(lesson.steps))
    return weights


def _holes(corner: Int[Array, "batch 2"], patch: Array, side: int) -> Bool[Array, "batch pixels"]:
    """Which pixels lie in the holes whose upper left corners are given."""
    row, column = jnp.divmod(jnp.arange(side * side), side)
    inside_rows = (row >= corner[:, :1]) & (row < corner[:, :1] + patch)
    return inside_rows & (column >= corner[:, 1:]) & (column < corner[:, 1:] + patch)


@dataclass(frozen=True)
class Training:
    """A training of one network: what it is given, where it begins, and its stages in turn.

    Attributes:
        images: (n, n1), what is learned.
        fields: (n2, n1), see `reach`; units without a field are not there.
        lessons: of its stages.
        seed: draws first weights, minibatches and holes.
        patch: pixels of an edge of a hole.
        lr: learning rate of a stage with one loop.
        floor, ceiling: see `RectifiedLoop`.
    """

    images: Float[np.ndarray, "n pixels"]
    fields: Bool[np.ndarray, "n2 pixels"]
    lessons: tuple[Lesson, ...]
    seed: int
    patch: int
    lr: float
    floor: float
    ceiling: float

    def begin(self) -> dict[str, np.ndarray]:
        """The weights before the first stage."""
        return first_weights(self.images.mean(axis=0), self.fields, self.seed)

    def problem(self, lesson: Lesson) -> dict[str, Any]:
        """What `train_stage` is told. Images are padded to a power of two, so that data sets share their programs."""
        n, pixels = self.images.shape
        padded = np.zeros((1 << (n - 1).bit_length(), pixels))
        padded[:n] = self.images
        return {
            "images": padded,
            "count": np.int64(n),
            "fields": self.fields.astype(float),
            "key": jax.random.fold_in(jax.random.key(self.seed), lesson.T),
            "lr": np.float64(learning_rate(self.lr, lesson.T)),
            "patch": np.int64(self.patch),
            "floor": np.float64(self.floor),
            "ceiling": np.float64(self.ceiling),
        }


Stages = list[dict[str, np.ndarray]]


def train(
    trainings: Sequence[Training], *, devices: Sequence[Any], wait: Callable[[], None] = lambda: None
) -> list[Stages]:
    """The weights after each stage of some trainings, in float64.

    On CPUs each device takes one training after the other, for one at a time is as fast as many together, and the
    numbers of one do not depend on the others. On an accelerator those that share their programs run side by side.

    Args:
        devices: all of one kind.
        wait: called again and again meanwhile; what it raises ends the trainings with the stages under way.

    Raises:
        ValueError: x64 is off.
    """
    check_dtype("float64")
    if devices[0].platform == "cpu":
        return _one_by_one(trainings, devices, wait)
    return _together(trainings, wait)


def _one_by_one(trainings: Sequence[Training], devices: Sequence[Any], wait: Callable[[], None]) -> list[Stages]:
    stopped = Event()

    def on(device: Any, mine: Sequence[Training]) -> list[Stages]:
        done: list[Stages] = []
        with jax.default_device(device):
            for training in mine:
                stages: Stages = []
                weights: Any = training.begin()
                for lesson in training.lessons:
                    if stopped.is_set():
                        return done
                    weights = jax.block_until_ready(train_stage(training.problem(lesson), weights, lesson=lesson))
                    stages.append({name: np.asarray(values) for name, values in weights.items()})
                done.append(stages)
        return done

    n = len(devices)
    with ThreadPoolExecutor(n) as pool:
        under_way = [pool.submit(on, device, trainings[i::n]) for i, device in enumerate(devices)]
        try:
            while some_left(under_way, timeout=0.01).not_done:  # asleep: a thread that spins would slow down theirs
                wait()
        finally:
            stopped.set()
    shares = [share.result() for share in under_way]
    return [shares[i % n][i // n] for i in range(len(trainings))]


def _together(trainings: Sequence[Training], wait: Callable[[], None]) -> list[Stages]:
    """Those of one shape side by side, shape after shape."""
    results: list[Stages] = [[] for _ in trainings]
    shapes = defaultdict(list)
    for i, training in enumerate(trainings):
        places = len(training.problem(training.lessons[0])["images"])
        shapes[training.lessons, training.fields.shape, places].append(i)
    for (lessons, *_), rows in shapes.items():
        weights = _stacked([trainings[i].begin() for i in rows])
        for lesson in lessons:
            problems = _stacked([trainings[i].problem(lesson) for i in rows])
            weights = _train_stages(problems, weights, lesson=lesson)
            wait()
            found = {name: np.asarray(values) for name, values in weights.items()}
            for place, i in enumerate(rows):
                results[i].append({name: values[place] for name, values in found.items()})
    return results


def _stacked(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@partial(jax.jit, static_argnames="lesson")
def _train_stages(problems: Any, weights: Any, *, lesson: Lesson) -> Any:
    return jax.vmap(partial(train_stage, lesson=lesson))(problems, weights)
