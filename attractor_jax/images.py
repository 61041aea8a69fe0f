"""What is learned: images of one class of a data set, or of a manifold whose tangents are known.

A network that completes images learns where they lie. Of `bars` and `bump` that is known: curves and surfaces in closed
form, with their tangents. Of `digits`, and of what stands in a file, only samples are.

Runs on the host, in float64. Imports no jax.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from attractor_jax.config import ConfigError, a_list
from attractor_jax.image_files import DATA_KEY, Labelled, read_images

LABEL_KEY = "grid.label"

# Pixels along an edge of scikit-learn's digits.
DIGITS_SIDE = 8
# Of a bar, in pixels: an edge of the image, the standard deviation of its profile, and the radius of the round window
# that ends it. With these both the profile and the ends are soft enough for the grid of pixels not to show.
BAR_SIDE, BAR_WIDTH, BAR_LENGTH = 8, 1.0, 3.2
# Of a bump, in pixels: an edge of the image, its standard deviation, and how far from the middle of the image its
# centre may be along either axis. At the farthest the outermost pixels still see the bump fall to 7 % of its peak.
BUMP_SIDE, BUMP_WIDTH, BUMP_REACH = 16, 1.5, 4.0

# Of 4 images of a class in `digits`, in the order in which they are mixed, the first 3 are trained on.
TRAINED_ON = 3 / 4


@dataclass(frozen=True)
class Images:
    """Images to learn and images to be judged by, one a row, row after row of pixels.

    Attributes:
        side: pixels of an edge.
        train: what is learned, in [0, 1].
        test: the same kind, held out.
        others: held-out images of the other classes; (0, pixels) where there are none.
        tangents: derivatives of the test images along the d parameters of the manifold (radians for `bars`, pixels for
            `bump`), exact; None where the manifold is not known.
        manifold: the manifold itself, finely sampled, none of the samples a test image; None likewise.
    """

    side: int
    train: Float[np.ndarray, "n pixels"]
    test: Float[np.ndarray, "m pixels"]
    others: Float[np.ndarray, "q pixels"]
    tangents: Float[np.ndarray, "m d pixels"] | None = None
    manifold: Float[np.ndarray, "p pixels"] | None = None


@cache
def load(data: str, label: int = -1) -> Images:
    """The images of one class of a data set, or of all of it.

    They are made or read once a process; the arrays are read-only.

    Args:
        data: `digits` (scikit-learn's, 8 x 8, extra `data`), `bars` (a soft bar through the centre of the image, at all
            angles: a ring), `bump` (a Gaussian bump at all places of an inner square: a surface), or the path of an
            HDF5 or .npz file with train/data (n x pixels, or n x side x side, in [0, 1]), train/target (n integers),
            test/data and test/target.
        label: the class; -1 for all of them together.

    Raises:
        ConfigError: of `system.data` or `grid.label`, one line: no such data set, or none that can be used; no such
            class, or too few images of it.
    """
    if data in _DRAWN:
        if label != -1:
            raise ConfigError(LABEL_KEY, f"must be -1 for {data}, which has no classes", label)
        images = _DRAWN[data]()
    else:
        images = _labelled_images(data, label)
    for array in vars(images).values():
        if isinstance(array, np.ndarray):
            array.flags.writeable = False  # everyone who asks gets the same arrays
    return images


@cache
def mark(data: str) -> str:
    """The name under which a data set stands in tables: its size, and of a file a fingerprint of what is in it.

    Returns:
        `digits-8x8` and the like; of a file file-16x16-0123abcd, with the first eight hexadecimal digits of the sha256
        of its bytes: what it is called is no part of what is learned.

    Raises:
        ConfigError: of `system.data`: no such data set, or none that can be used.
    """
    if data == "digits" or data in _DRAWN:
        side = {"digits": DIGITS_SIDE, "bars": BAR_SIDE, "bump": BUMP_SIDE}[data]
        return f"{data}-{side}x{side}"
    fingerprint, ((learned, _), _) = read_images(data)
    side = math.isqrt(learned.shape[1])
    return f"file-{side}x{side}-{fingerprint}"


def side_of(mark: str) -> int:
    """Pixels of an edge of the images of a data set, as its mark tells.

    Raises:
        ConfigError: of `grid.data`: that is no mark.
    """
    sizes = re.findall(r"-(\d+)x\1(?:-[0-9a-f]{8})?$", mark)
    if not sizes:
        raise ConfigError("grid.data", "must be left out: system.data says what it is", mark)
    return int(sizes[0])


def hole(corner: tuple[int, int], side: int, patch: int) -> Bool[np.ndarray, "pixels"]:
    """Which pixels of an image lie in a square hole.

    Args:
        corner: row and column of its first pixel.
        side: pixels of an edge of the image.
        patch: pixels of an edge of the hole.

    Returns:
        True in the hole, (side * side,).

    Raises:
        ValueError: a hole that does not lie wholly inside the image.
    """
    _check_patch(side, patch)
    if not all(0 <= first <= side - patch for first in corner):
        raise ValueError(f"`corner` must be two numbers from 0 to {side - patch}, got {tuple(corner)}")
    row, column = corner
    mask = np.zeros((side, side), bool)
    mask[row : row + patch, column : column + patch] = True
    return mask.ravel()


def holes(n: int, side: int, patch: int, seed: int = 0) -> Bool[np.ndarray, "n pixels"]:
    """Square holes at random places, each place wholly inside the image as likely as any other.

    Args:
        n: how many.
        side: pixels of an edge of the image.
        patch: pixels of an edge of a hole.
        seed: of NumPy's default generator.

    Returns:
        True in the hole, (n, side * side).

    Raises:
        ValueError: a patch that does not fit into the image, negative `n`.
    """
    _check_patch(side, patch)
    if n < 0:
        raise ValueError(f"`n` must be >= 0, got {n}")
    corners = np.random.default_rng(seed).integers(side - patch + 1, size=(n, 2)).tolist()
    return np.array([hole((row, column), side, patch) for row, column in corners], bool).reshape(n, side * side)


def _check_patch(side: int, patch: int) -> None:
    if not 1 <= patch <= side:
        raise ValueError(f"`patch` must be from 1 to the side of the image, {side}, got {patch}")


def _bars() -> Images:
    """A ring: a bar turned by pi is itself."""
    random = np.pi * np.random.default_rng(0).random(512)
    # Half a step off zero keeps every test image an eighth of a step of the manifold's away from its samples.
    test, tangents = _bar(np.pi * (np.arange(64) + 0.5) / 64)
    manifold, _ = _bar(np.pi * np.arange(720) / 720)
    return Images(BAR_SIDE, _bar(random)[0], test, test[:0], tangents, manifold)


def _bar(phi: Float[np.ndarray, "n"]) -> tuple[Float[np.ndarray, "n pixels"], Float[np.ndarray, "n 1 pixels"]]:
    """Bars at the angles phi to the rows, and their derivatives. The peak, 1, lies at the centre, between pixels.

    I = exp(-t^2 / 2 w^2) window(r), t = y cos(phi) - x sin(phi) the distance from the line through the centre, which
    changes by minus the distance along it.
    """
    y, x = _pixels(BAR_SIDE)
    cos, sin = np.cos(phi)[:, None], np.sin(phi)[:, None]
    across, along = y * cos - x * sin, x * cos + y * sin
    window = np.exp(-((np.hypot(x, y) / BAR_LENGTH) ** 6))
    images = np.exp(-(across**2) / (2 * BAR_WIDTH**2)) * window
    return images, (images * across * along / BAR_WIDTH**2)[:, None]


def _bump() -> Images:
    """A surface with a border: the bump stays in the image."""
    random = BUMP_REACH * np.random.default_rng(0).uniform(-1, 1, (1024, 2))
    test, tangents = _bump_at(_grid(BUMP_REACH * (2 * np.arange(8) - 7) / 8))
    manifold, _ = _bump_at(_grid(np.linspace(-BUMP_REACH, BUMP_REACH, 40)))
    return Images(BUMP_SIDE, _bump_at(random)[0], test, test[:0], tangents, manifold)


def _bump_at(
    centres: Float[np.ndarray, "n 2"],
) -> tuple[Float[np.ndarray, "n pixels"], Float[np.ndarray, "n 2 pixels"]]:
    """Bumps at the centres (down, right; pixels from the middle of the image), and their derivatives along both."""
    offsets = np.stack(_pixels(BUMP_SIDE)) - centres[:, :, None]
    images = np.exp(-(offsets**2).sum(axis=1) / (2 * BUMP_WIDTH**2))
    return images, images[:, None] * offsets / BUMP_WIDTH**2


def _pixels(side: int) -> tuple[Float[np.ndarray, "pixels"], Float[np.ndarray, "pixels"]]:
    """Where each pixel is, down and right of the middle of the image."""
    steps = np.arange(side) - (side - 1) / 2
    down, right = np.meshgrid(steps, steps, indexing="ij")
    return down.ravel(), right.ravel()


def _grid(values: Float[np.ndarray, "n"]) -> Float[np.ndarray, "points 2"]:
    return np.stack(np.meshgrid(values, values, indexing="ij"), axis=-1).reshape(-1, 2)


_DRAWN: dict[str, Callable[[], Images]] = {"bars": _bars, "bump": _bump}


@cache
def digits(key: str) -> Labelled:
    """All 1,797 handwritten digits that come with scikit-learn, mixed, pixels from 0 to 1, and the class of each.

    Raises:
        ConfigError: of `key`: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ConfigError(key, "needs scikit-learn for digits: pip install 'attractor_jax[data]'") from None
    inputs, classes = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(inputs))
    return np.asarray(inputs)[order] / 16, np.asarray(classes)[order]


def _halves(images: np.ndarray, classes: np.ndarray) -> tuple[Labelled, Labelled]:
    """What is trained on and what is held out, cut class by class, so that no class is short of either."""
    learned = np.zeros(len(images), bool)
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        learned[members[: round(TRAINED_ON * len(members))]] = True
    return (images[learned], classes[learned]), (images[~learned], classes[~learned])


def _labelled_images(data: str, label: int) -> Images:
    """Those of a data set with classes."""
    train, test = _halves(*digits(DATA_KEY)) if data == "digits" else read_images(data)[1]
    (learned, held_out), others = (train[0], test[0]), test[0][:0]
    _check_enough(DATA_KEY, "must have", learned, held_out, data)
    if label != -1:
        there = np.union1d(train[1], test[1]).tolist()
        if label not in there:
            raise ConfigError(LABEL_KEY, f"must be -1 for all classes or one of them, {a_list(there)}", label)
        learned, held_out = (images[classes == label] for images, classes in (train, test))
        others = test[0][test[1] != label]
        _check_enough(LABEL_KEY, "must be a class with", learned, held_out, label)
    side = math.isqrt(learned.shape[1])
    return Images(side, *(np.array(images, float) for images in (learned, held_out, others)))


def _check_enough(key: str, must: str, learned: np.ndarray, held_out: np.ndarray, given: Any) -> None:
    if len(learned) < 2 or not len(held_out):
        must = f"{must} at least 2 images to train on and 1 held out (it has {len(learned)} and {len(held_out)})"
        raise ConfigError(key, must, given)
    if not learned.any():
        raise ConfigError(key, f"{must} training images that are not all black", given)
