"""Where do a thousand loops end? Whether images settle, wander or escape, at how many points, and which units never
fire on the way.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from attractor_jax.image_loops import Loop
from attractor_jax.schema import Column

LOOPS = 1000
# In units of the largest norm of a training image: a change per loop that is none, a distance between two endpoints
# that is none, and a norm that no image has.
STILL, SAME, GONE = 1e-6, 1e-3, 1e3
# Share of the held-out images that are as near to a training image as an end that is like one.
USUAL = 0.99
# Labels of ends: of an image that escaped, that still moves, and that settled.
ESCAPED, WANDERING, CONVERGED = -1, 0, 1

COLUMNS = (
    Column("converged", "float", "", "share of corrupted images at rest in 1,000 loops, to 1e-6 of an image's norm"),
    Column("escaped", "float", "", "share that went beyond 1,000 times an image's norm"),
    Column("wandering", "float", "", "the rest"),
    Column("endpoints", "float", "", "different endpoints of the converged ones"),
    Column(
        "spurious",
        "float",
        "",
        "share of the converged ones farther from all training images than 99 % of held-out images; null if none is",
        True,
    ),
    Column("dead_hidden", "float", "", "share of hidden units at 0 for all training images over three loops"),
    Column("dead_visible", "float", "", "the same of visible units; pixels that are black in all images count"),
)


def settle(
    loop: Loop, starts: Float[np.ndarray, "m n1"], *, scale: float, loops: int = LOOPS
) -> tuple[Float[np.ndarray, "m n1"], Int[np.ndarray, "m"]]:
    """Where orbits are when they come to rest, leave or run out of time, and a label: 1 at rest, 0 not yet, -1 gone.

    Args:
        scale: norm of an image, in which rest (a change below 1e-6 in one loop) and escape (a norm above 1e3) are told.
            In units of the state's own norm an orbit that shrinks to nothing would never come to rest.
        loops: at most. Too few, and slow orbits along a continuous attractor count as wandering; where it is nearly
            perfect they count as converged wherever they are.
    """
    ends, labels = starts.copy(), np.full(len(starts), WANDERING)
    left, states = np.arange(len(starts)), starts
    for _ in range(loops):
        after = loop.step(states)
        with np.errstate(over="ignore", invalid="ignore"):
            moved, size = (np.einsum("ij,ij->i", each, each) for each in (after - states, after))
        gone = ~(size <= (GONE * scale) ** 2)  # NaN is gone too
        over = gone | (moved <= (STILL * scale) ** 2)
        states = after
        if over.any():
            ends[left[over]] = after[over]
            labels[left[over]] = np.where(gone[over], ESCAPED, CONVERGED)
            left, states = left[~over], after[~over]
            if not len(left):
                break
    ends[left] = states
    return ends, labels


def endpoints(
    loop: Loop,
    corrupted: Float[np.ndarray, "m n1"],
    train: Float[np.ndarray, "n n1"],
    truth: Float[np.ndarray, "h n1"],
) -> dict[str, float]:
    """What share of corrupted images settles, at how many points, and how many of those are like no image?

    Where images escape, what is counted is what stayed: see `escaped`.

    Args:
        truth: held-out images, which say how far from training images an image of their kind may lie.

    Returns:
        converged, escaped and wandering, which sum to 1; endpoints, sets of ends within 1e-3 of an image's norm of
        one another (single linkage); spurious, the share of the converged ones whose distance from the nearest
        training image is above the 99th percentile of that of held-out ones (NaN if none converged).
    """
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial.distance import cdist

    scale = float(np.linalg.norm(train, axis=1).max()) or 1.0
    ends, labels = settle(loop, corrupted, scale=scale)
    shares = {
        name: float(np.mean(labels == label))
        for name, label in (("converged", CONVERGED), ("escaped", ESCAPED), ("wandering", WANDERING))
    }
    ends = ends[labels == CONVERGED]
    if not len(ends):
        return shares | {"endpoints": 0.0, "spurious": np.nan}
    count = connected_components(cdist(ends, ends) <= SAME * scale, directed=False, return_labels=False)
    # Not a share of their norms: an image of noise is nearer than that to many a digit.
    usual = np.quantile(cdist(truth, train).min(axis=1), USUAL)
    far = cdist(ends, train).min(axis=1) > usual + STILL * scale
    return shares | {"endpoints": float(count), "spurious": float(np.mean(far))}


def dead_units(loop: Loop, train: Float[np.ndarray, "n n1"], *, loops: int = 3) -> dict[str, float]:
    """The share of units that are at the floor for all training images, loop after loop: no gradient ever moves them.

    Hidden units that have no weights at all are not there (a mask took them) and do not count. 0 for linear maps.

    Args:
        loops: >= 1; more of them, and fewer units are dead.
    """
    hidden, visible = np.ones(len(loop.b2), bool), np.ones(len(loop.b1), bool)
    states = train
    for _ in range(loops):
        hidden &= (loop.hidden(states) == loop.floor).all(axis=0)
        states = loop.step(states)
        visible &= (states == loop.floor).all(axis=0)
    there = hidden[loop.present]
    return {"dead_hidden": float(np.mean(there)) if len(there) else 0.0, "dead_visible": float(np.mean(visible))}
