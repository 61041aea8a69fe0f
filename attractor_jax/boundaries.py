"""How is the boundary between basins made? Smooth or fractal, and how much does it blur what can be foretold.

Images of labels are integers (rows, columns), as from a `starts.Plane`. Every label counts as one, 0 (unresolved) and
-1 (diverged) too: what is still on its way makes boundaries that are not there. Where an image has none, or too little
to measure, numbers are NaN and `reason` says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Integer

from attractor_jax.basins import LabelOf, as_labels, labels_at, wilson
from attractor_jax.starts import Numbers, unit_vectors

# A line through fewer points has no error worth the name.
FEWEST = 3
# Boxes along the shorter side at the coarsest default size: below some eight, where the set lies decides the count.
COARSEST = 16
# Cells along a side of the finest box by default: the samples of smaller ones miss so much of a fractal that the slope
# comes out low, of Newton's method for z^3 - 1 by .05 between one cell and two and by .03 between two and four.
FINEST = 4


@dataclass(frozen=True)
class BasinEntropy:
    """How uncertain the end is for a start that is known to a box.

    Attributes:
        entropy: mean over all boxes of -sum p ln p, nats.
        boundary_entropy: mean over the boxes with more than one label. Above ln 2, the boundary is fractal; below,
            nothing follows.
        boxes: how many were laid.
        mixed: how many of them have more than one label.
        reason: why a number is NaN, else "".
    """

    entropy: float
    boundary_entropy: float
    boxes: int
    mixed: int
    reason: str


def basin_entropy(
    labels: Integer[Array | np.ndarray, "rows columns"] | Numbers, *, box: int, boxes: int | None = None, seed: int = 0
) -> BasinEntropy:
    """Basin entropy and boundary basin entropy: how mixed the labels are within boxes of box x box pixels.

    The boxes lie at random, not side by side, or the answer would depend on where the image begins. That a boundary
    entropy above ln 2 = .693 proves a fractal holds for small boxes: two labels alone give no more than that.

    Args:
        labels: (rows, columns).
        box: pixels along a side, >= 2. Too small, and few pixels cannot show how mixed a box is: by noise alone the
            entropy comes out low by about (labels - 1) / (2 box^2).
        boxes: as many as fill the image once if None. Too few make a noisy mean.
        seed: of the places.

    Raises:
        ValueError: a box that does not fit into the image, no boxes, labels that are no image of integers.

    References:
        Daza, Wagemakers, Georgeot, Guery-Odelin, Sanjuan (2016), Scientific Reports 6, 31416.
    """
    image = _image(labels)
    if box < 2:
        raise ValueError(f"`box` must be at least 2 pixels, got {box}")
    if boxes is not None and boxes < 1:
        raise ValueError(f"`boxes` must be at least 1, got {boxes}")
    found = np.unique(image)
    if len(found) < 2:
        return BasinEntropy(np.nan, np.nan, 0, 0, _too_few(found))
    if box > min(image.shape):
        raise ValueError(f"`box` must fit into the image of {image.shape} pixels, got {box}")
    boxes = max(1, image.size // box**2) if boxes is None else boxes
    rng = np.random.default_rng(seed)
    top, left = (rng.integers(0, side - box + 1, boxes) for side in image.shape)
    bottom, right = top + box, left + box
    entropy, most = np.zeros(boxes), np.zeros(boxes)
    sums = np.zeros((image.shape[0] + 1, image.shape[1] + 1), np.int64)
    for label in found:
        # How often it occurs above and left of each pixel: four of these make the count of a box.
        sums[1:, 1:] = np.cumsum(np.cumsum(image == label, axis=0, dtype=np.int64), axis=1)
        p = (sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]) / box**2
        entropy -= p * np.log(np.where(p > 0, p, 1))
        most = np.maximum(most, p)
    mixed = most < 1
    if not mixed.any():
        return BasinEntropy(0.0, np.nan, boxes, 0, "no box has more than one label")
    return BasinEntropy(float(entropy.mean()), float(entropy[mixed].mean()), boxes, int(mixed.sum()), "")


@dataclass(frozen=True)
class BoundaryDimension:
    """How the number of boxes that a set needs grows as they shrink.

    Attributes:
        dimension: minus the slope of ln counts against ln sizes.
        standard_error: of the slope, from the scatter about the line. Counts of one image are not independent, so
            that it is too small where the line bends: see `slopes`.
        sizes: (sizes,), cells along the side of a box, ascending.
        counts: (sizes,), boxes that hold some of the set.
        slopes: (sizes - 1,), dimension between each size and the next. Only where they agree is there one dimension.
        reason: why a number is NaN, else "".
    """

    dimension: float
    standard_error: float
    sizes: Int[np.ndarray, "sizes"]
    counts: Int[np.ndarray, "sizes"]
    slopes: Float[np.ndarray, "slopes"]
    reason: str


def boundary_dimension(
    labels: Integer[Array | np.ndarray, "rows columns"] | Numbers, *, sizes: Sequence[int] | None = None
) -> BoundaryDimension:
    """Box-counting dimension of the boundary between the basins in an image: boxes with more than one label are
    counted.

    The labels are samples at the corners of (rows - 1) x (columns - 1) cells. A box of s cells along its side has (s +
    1) x (s + 1) samples and shares those on its edges with its neighbours: else boundaries that run between boxes are
    missed.

    A single image that was not zoomed into proves no fractal: over two decades of sizes many a curve has a straight
    line of slopes. Where the boundary is so dense that nearly every box has it, the count is that of all boxes, and a
    dimension near 1.95 and above is the noise floor; white noise gives 2.

    Args:
        labels: (rows, columns), with sides of 2^k + 1 (or 3^k + 1, ...) samples.
        sizes: of boxes, in cells; each must divide rows - 1 and columns - 1. If None, all that do from 4 cells to a
            sixteenth of the shorter side. Small boxes see few samples and miss much of a fractal; with few boxes along
            a side, where the boundary lies decides the count.

    Raises:
        ValueError: a size that does not divide the sides, fewer than three sizes, labels that are no image of
            integers.

    References:
        McDonald, Grebogi, Ott, Yorke (1985), Physica D 17, 125.
    """
    image = _image(labels)
    found = np.unique(image)
    if len(found) < 2:
        return _no_dimension(_too_few(found))
    if min(image.shape) < 2:
        raise ValueError(f"`labels` must have at least two samples along each side, got {image.shape}")
    # A box is mixed if any of its cells is: mixed cells tile it, and their corners are the samples that it shares.
    first = image[:-1, :-1]
    cells = (first != image[1:, :-1]) | (first != image[:-1, 1:]) | (first != image[1:, 1:])
    return _count_boxes(cells, _sizes(sizes, cells.shape, name="labels", finest=FINEST, more=1))


def box_dimension(
    mask: Bool[Array | np.ndarray, "rows columns"] | Numbers, *, sizes: Sequence[int] | None = None
) -> BoundaryDimension:
    """Box-counting dimension of a set of pixels: boxes that hold any of it are counted.

    Here pixels are the cells themselves, and boxes tile them. Of boundaries use `boundary_dimension`; what it says of
    single images holds here too.

    Args:
        mask: (rows, columns), true on the set.
        sizes: of boxes, in pixels; each must divide rows and columns. If None, all that do from 1 pixel to a sixteenth
            of the shorter side.

    Raises:
        ValueError: a size that does not divide the sides, fewer than three sizes, a mask that is no image of booleans.
    """
    cells = np.asarray(mask)
    if cells.ndim != 2 or (cells.size and cells.dtype != bool):
        raise ValueError(f"`mask` must be an image of booleans, got {cells.dtype}{list(cells.shape)}")
    if not cells.any():
        return _no_dimension("the set is empty")
    return _count_boxes(cells, _sizes(sizes, cells.shape, name="mask", finest=1, more=0))


def _sizes(sizes: Sequence[int] | None, cells: tuple[int, int], *, name: str, finest: int, more: int) -> np.ndarray:
    """The sizes of boxes, ascending. `more` samples than cells lie along a side."""
    if sizes is None:
        common = int(np.gcd(*cells))
        fitting = np.array([s for s in range(finest, min(cells) // COARSEST + 1) if common % s == 0], np.int64)
        if len(fitting) < FEWEST:
            wanted = "2^k + 1" if more else "2^k"
            given = f"{cells[0] + more} x {cells[1] + more}"
            raise ValueError(f"`{name}` must have sides that boxes of three sizes divide, {wanted} say, got {given}")
        return fitting
    chosen = np.unique(np.asarray(sizes))
    if len(chosen) < FEWEST or not np.issubdtype(chosen.dtype, np.integer) or chosen[0] < 1:
        raise ValueError(f"`sizes` must be at least three different whole numbers >= 1, got {list(sizes)}")
    wrong = [int(s) for s in chosen if cells[0] % s or cells[1] % s]
    if wrong:
        sides = "side - 1" if more else "the side"
        raise ValueError(f"`sizes` must divide {sides}, {cells[0]} and {cells[1]}, got {wrong[0]}")
    return chosen.astype(np.int64)


def _count_boxes(cells: Bool[np.ndarray, "rows columns"], sizes: Int[np.ndarray, "sizes"]) -> BoundaryDimension:
    rows, columns = cells.shape
    counts = np.array(
        [cells.reshape(rows // s, s, columns // s, s).any(axis=(1, 3)).sum() for s in sizes.tolist()], np.int64
    )
    x, y = np.log(sizes), np.log(counts)
    away = x - x.mean()
    slope = away @ y / (away @ away)
    left = y - y.mean() - slope * away
    error = np.sqrt(left @ left / (len(x) - 2) / (away @ away))
    return BoundaryDimension(float(-slope), float(error), sizes, counts, -np.diff(y) / np.diff(x), "")


@dataclass(frozen=True)
class UncertaintyExponent:
    """How slowly the share of uncertain starts falls as starts are known better.

    Attributes:
        exponent: alpha in f(eps) ~ eps^alpha. The boundary's dimension is D - alpha.
        standard_error: of the exponent: what other points would change, which all radii share, or the misfit to the
            line, whichever is larger.
        epsilons: (epsilons,), as given.
        uncertain: (epsilons,), f(eps), share of the points that are uncertain.
        low, high: (epsilons,), Wilson's 95 % interval.
        points: how many.
        reason: why a number is NaN, else "".
    """

    exponent: float
    standard_error: float
    epsilons: Float[np.ndarray, "epsilons"]
    uncertain: Float[np.ndarray, "epsilons"]
    low: Float[np.ndarray, "epsilons"]
    high: Float[np.ndarray, "epsilons"]
    points: int
    reason: str


def uncertainty_exponent(
    label_of: LabelOf,
    points: Float[Array | np.ndarray, "n D"] | Numbers,
    directions: Float[Array | np.ndarray, "..."] | Numbers | None = None,
    *,
    epsilons: Float[Array | np.ndarray, "epsilons"] | Numbers,
    seed: int = 0,
) -> UncertaintyExponent:
    """The exponent alpha with which the share of uncertain starts falls, f(eps) ~ eps^alpha.

    A start x is uncertain at eps if x + eps d or x - eps d ends elsewhere than x does. All three are simulated: the
    labels of an image, shifted, would only tell of its pixels. alpha = 1 for smooth boundaries; with alpha = .1, ten
    times fewer uncertain ends need starts known 10^10 times better. The boundary has dimension D - alpha in state
    space; if points and directions lie in a plane, 2 - alpha in that plane.

    ln f is fitted against ln eps with binomial weights. Radii at which no point is uncertain, or every one, are left
    out.

    Args:
        label_of: called once, as label_of(states) with all n (1 + 2 epsilons) states (states, D); gives their labels
            (states,). Too few steps in it, and slow orbits next to a boundary count as a basin.
        points: (n, D), random starts. At the smallest eps only n f(eps) of them say anything.
        directions: (n, D), or (D,) for all of them; only where they point matters. Random ones if None.
        epsilons: (epsilons,), radii > 0, over decades. The largest weigh most: those not far below the size of the
            region bend the line. On boundaries that repeat on ever smaller scales f wobbles about its power law: a
            range of whole periods averages that.
        seed: of the random directions.

    Raises:
        ValueError: radii not above 0, no points, directions of length 0 or of another shape, labels that are no n
            integers.

    References:
        Grebogi, McDonald, Ott, Yorke (1983), Physics Letters A 99, 415.
        McDonald, Grebogi, Ott, Yorke (1985), Physica D 17, 125.
    """
    points = np.asarray(points, float)
    if points.ndim != 2 or not points.size or not np.isfinite(points).all():
        raise ValueError(f"`points` must be at least one finite state, of shape (n, D), got shape {points.shape}")
    radii = np.asarray(epsilons, float)
    if radii.ndim != 1 or not radii.size or not np.all((radii > 0) & (radii < np.inf)):
        raise ValueError(f"`epsilons` must be radii above 0, got {radii.tolist()}")
    n, D = points.shape
    ways = _directions(directions, n, D, seed)
    # All at once: a function that simulates may have to be compiled for each number of states.
    beside = np.concatenate([points[None], points + radii[:, None, None] * ways, points - radii[:, None, None] * ways])
    here, *moved = labels_at(label_of, beside.reshape(-1, D)).reshape(-1, n)
    uncertain = np.any(np.array(moved).reshape(2, len(radii), n) != here, axis=0)
    count = uncertain.sum(axis=1)
    share = count / n
    low, high = wilson(count, n)
    telling = (count > 0) & (count < n)
    different = len(np.unique(radii[telling]))
    if different < FEWEST:
        reason = f"{different} of the radii have some points uncertain and not all, {FEWEST} are needed"
        return UncertaintyExponent(np.nan, np.nan, radii, share, low, high, n, reason)
    exponent, error = _power_law(radii[telling], uncertain[telling])
    return UncertaintyExponent(exponent, error, radii, share, low, high, n, "")


def _power_law(radii: Float[np.ndarray, "radii"], uncertain: Bool[np.ndarray, "radii n"]) -> tuple[float, float]:
    """Slope of ln f against ln eps, and its standard error."""
    n = uncertain.shape[1]
    f = uncertain.mean(axis=1)
    x, y = np.log(radii), np.log(f)
    weight = n * f / (1 - f)  # one over the variance of ln f
    away = x - np.average(x, weights=weight)
    each = weight * away / (weight @ away**2)
    slope = each @ y
    left = y - np.average(y, weights=weight) - slope * away
    misfit = np.sqrt(weight @ left**2 / (len(x) - 2) / (weight @ away**2))
    # Each point moves the slope by what it adds to every f: the radii share their points, so they do not err apart.
    sampling = np.sqrt(np.var((each / f) @ uncertain) / n)
    return float(slope), float(max(misfit, sampling))


def _directions(directions: Any, n: int, D: int, seed: int) -> Float[np.ndarray, "n D"]:
    if directions is None:
        return unit_vectors(np.random.default_rng(seed), n, D)
    ways = np.asarray(directions, float)
    if ways.shape not in ((D,), (n, D)):
        raise ValueError(f"`directions` must have shape ({D},) or ({n}, {D}), got {ways.shape}")
    length = np.linalg.norm(ways, axis=-1, keepdims=True)
    if not np.all((length > 0) & (length < np.inf)):
        raise ValueError("`directions` must be finite and longer than 0")
    return np.broadcast_to(ways / length, (n, D))


def _image(labels: Any) -> Integer[np.ndarray, "rows columns"]:
    image = as_labels(labels)
    if image.ndim != 2:
        raise ValueError(f"`labels` must be an image, (rows, columns), got shape {image.shape}")
    return image


def _too_few(found: np.ndarray) -> str:
    return f"the image has one label only, {found[0]}" if len(found) else "the image is empty"


def _no_dimension(reason: str) -> BoundaryDimension:
    none = np.zeros(0, np.int64)
    return BoundaryDimension(np.nan, np.nan, none, none.copy(), np.zeros(0), reason)
