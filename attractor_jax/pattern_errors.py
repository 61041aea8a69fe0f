"""What do the loops do to images: complete them, keep them, tell them from others? Errors, drift and selectivity."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from attractor_jax.image_loops import Loop, middle, relative
from attractor_jax.schema import Column

# Loops after which images are looked at.
TIMES = (0, 1, 2, 5, 20, 100)
# The one of them at which a change is called a change.
LATE = 20

_AT = ", ".join(str(time) for time in TIMES)

COLUMNS = (
    *(
        Column(f"e{time}", "float", "", f"sum |x({time}) - d|^2 / sum |x(0) - d|^2 from the corrupted held-out images")
        for time in TIMES
    ),
    Column("error_in_hole", "list", "", f"share of that which lies in the hole, after {_AT} loops"),
    Column("error_outside", "list", "", "share of it outside; the two sum to e"),
    Column("hole", "float", "", "mean |x(0) - d|^2 over the images: the unit of e"),
    Column("retention", "list", "", f"sum |x(t) - d|^2 / sum |d|^2 from the whole images, after {_AT} loops"),
    Column("drift", "list", "per loop", f"median |F(x) - x| / |x| from the whole images, after {_AT} loops"),
    Column("drift_20", "float", "per loop", "drift after 20 loops"),
    Column("change_members", "float", "", "median |x(20) - x(0)|^2 / |x(0)|^2 of held-out images"),
    Column("change_others", "float", "", "the same of images of other classes; null where there are none", True),
    Column("change_noise", "float", "", "the same of training images whose pixels were shuffled between images"),
    Column("selectivity", "float", "", "change_others / change_members", True),
)


def completion(
    truth: Float[np.ndarray, "m n1"], holes: Bool[np.ndarray, "m n1"], states: Float[np.ndarray, "t m n1"]
) -> dict[str, float | np.ndarray]:
    """How much of what was cut out of images is not back after some loops: e(t), in the hole and outside.

    e = 1 is what the cut did; a fill of the hole that leaves the rest alone shows as `error_outside` = 0. One image
    that escapes makes the sum its own.

    Args:
        truth: the images d.
        holes: where they were zeroed.
        states: x(t) from the corrupted images, after `TIMES` loops. inf or NaN is an infinite error.

    Returns:
        e0 ... e100, error_in_hole and error_outside (t,), hole. NaN where the holes hold nothing but black.
    """
    squares = _squares(states - truth)
    with np.errstate(over="ignore"):
        inside = np.where(holes, squares, 0.0).sum(axis=(1, 2))
        outside = np.where(holes, 0.0, squares).sum(axis=(1, 2))
    cut = float(np.sum(truth[holes] ** 2))
    inside, outside = (each / cut if cut > 0 else np.full(len(each), np.nan) for each in (inside, outside))
    errors = {f"e{time}": float(each) for time, each in zip(TIMES, inside + outside, strict=True)}
    return errors | {"error_in_hole": inside, "error_outside": outside, "hole": cut / len(truth)}


def retention(truth: Float[np.ndarray, "m n1"], states: Float[np.ndarray, "t m n1"]) -> Float[np.ndarray, "t"]:
    """sum |x(t) - d|^2 / sum |d|^2: what is lost of whole images after some loops; inf where one diverged."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return _squares(states - truth).sum(axis=(1, 2)) / np.sum(truth**2)


def drift(loop: Loop, states: Float[np.ndarray, "t m n1"]) -> Float[np.ndarray, "t"]:
    """The median over images of |F(x) - x| / |x|, per loop, at each of some times.

    Along a continuous attractor it is slow, but not zero: trained ones fall apart into few fixed points and slow
    passages between them. Too few loops, and it is still the way towards the attractor that is measured.

    References:
        Seung (1997), Adv. Neural Inf. Process. Syst. 10, 654; Sagodi et al. (2024), Back to the continuous attractor.
    """
    return np.array([middle(loop.speeds(each)) for each in states])


def selectivity(
    loop: Loop,
    members: Float[np.ndarray, "m n1"],
    late: Float[np.ndarray, "m n1"],
    others: Float[np.ndarray, "q n1"],
    train: Float[np.ndarray, "n n1"],
) -> dict[str, float]:
    """Do the loops change images of other classes, or noise, more than those of their own? |x(20) - x(0)|^2 / |x(0)|^2.

    A loop that keeps everything has as many eigenvalues near 1 as one could wish for, and a selectivity near 1.

    Args:
        members: held-out images of the class.
        late: the same after `LATE` loops.
        others: images of other classes, or none.
        train: of which noise is made: every pixel of as many images as `members` is drawn without replacement from all
            training images, by itself. So each keeps its distribution, and nothing is left of the images.
    """
    noise = np.random.default_rng(0).permuted(train, axis=0)[: len(members)]
    changes = [_change(members, late)]
    changes += [_change(starts, loop.visited(starts, [LATE])[0]) for starts in (others, noise)]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = float(np.divide(changes[1], changes[0]))
    names = ("change_members", "change_others", "change_noise")
    return dict(zip(names, changes, strict=True)) | {"selectivity": ratio}


def _change(starts: np.ndarray, late: np.ndarray) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return middle(relative(late - starts, starts) ** 2)


def _squares(differences: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        squares = differences**2
    return np.where(np.isnan(squares), np.inf, squares)
