"""Where the manifold of images is known, does a loop keep what lies along it and nothing else? Gains at its tangents;
and for linear networks, whose manifold is a subspace, the angle to it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from attractor_jax.image_loops import Loop, spread
from attractor_jax.schema import Column

# Relative distance from its nearest sample at which an image lies on a manifold.
ON = 0.1

UNKNOWN: dict[str, float] = dict.fromkeys(("tangent_gain", "tangent_cosine", "normal_gain"), np.nan)

COLUMNS = (
    Column(
        "tangent_gain", "float", "", "mean singular value of Q' J Q, Q the tangents: median over held-out images", True
    ),
    Column("tangent_cosine", "float", "", "|Q' J Q| / |J Q|: how much of J Q stays tangent; median over images", True),
    Column("normal_gain", "float", "", "largest singular value of J across the manifold: median over up to 16", True),
    Column("on_manifold", "float", "", "share of corrupted images within 10 % of the manifold after 20 loops", True),
    Column("principal_angle", "float", "degrees", "largest angle from W12's columns to the leading components", True),
    Column("idempotence", "float", "", "|W W - W| / |W| of W = W12 W21: 0 for a projection", True),
)


def gains(loop: Loop, images: Float[np.ndarray, "m n1"], tangents: Float[np.ndarray, "m d n1"]) -> dict[str, float]:
    """Does one loop keep moves along the manifold, as moves along it, and shrink those off it?

    A continuous attractor has a tangent gain of 1, a tangent cosine of 1 and a normal gain below 1. (A normal gain
    above 1 in one loop need not grow in many: J need not be normal.)

    Args:
        images: on the manifold.
        tangents: d directions along it at each, independent of one another, of any length.

    Returns:
        With Q an orthonormal basis of the tangents, and medians over images: tangent_gain, the mean singular value of
        Q' J Q; tangent_cosine, |Q' J Q|_F / |J Q|_F, which depends on no choice of the basis (0 where J Q = 0);
        normal_gain, the largest singular value of (1 - Q Q') J (1 - Q Q'), over up to 16 images. NaN where the weights
        are not finite.

    References:
        Sagodi et al. (2024), Back to the continuous attractor.
    """
    Q = np.linalg.qr(np.swapaxes(tangents, 1, 2))[0]
    first, second = (each[:, :, None] for each in loop.active(images))
    chosen = spread(len(images))
    J = loop.jacobians(images[chosen])
    with np.errstate(over="ignore", invalid="ignore"):
        pushed = first * (loop.W12 @ (second * (loop.W21 @ Q)))
        kept = np.swapaxes(Q, 1, 2) @ pushed
    if not (np.isfinite(J).all() and np.isfinite(kept).all()):
        return UNKNOWN.copy()
    whole, along = np.linalg.norm(pushed, axis=(1, 2)), np.linalg.norm(kept, axis=(1, 2))
    cosine = np.divide(along, whole, out=np.zeros_like(whole), where=whole > 0)
    Q = Q[chosen]
    J = J - Q @ (np.swapaxes(Q, 1, 2) @ J)
    J = J - (J @ Q) @ np.swapaxes(Q, 1, 2)
    return {
        "tangent_gain": float(np.median(np.linalg.svd(kept, compute_uv=False).mean(axis=1))),
        "tangent_cosine": float(np.median(cosine)),
        "normal_gain": float(np.median(np.linalg.norm(J, ord=2, axis=(1, 2)))),
    }


def share_near(states: Float[np.ndarray, "m n1"], manifold: Float[np.ndarray, "p n1"]) -> float:
    """What share of states has |x - m| < 0.1 |m| for a sample m of the manifold?

    Samples farther from one another than that make holes in it, and the share too small.
    """
    from scipy.spatial.distance import cdist

    return float(np.mean((cdist(states, manifold) < ON * np.linalg.norm(manifold, axis=1)).any(axis=1)))


def subspace(loop: Loop, train: Float[np.ndarray, "n n1"]) -> dict[str, float]:
    """Is a linear network the projection on the principal subspace of its training images? NaN for any other.

    Only the column space of W12 is compared: what W21 reads is not identified, since images hardly leave the
    subspace. The idempotence says whether a second loop would change anything: it depends on both.

    Args:
        train: centred here. The subspace has as many dimensions as there are hidden units with weights, up to
            the smaller of n1 and n - 1.

    Returns:
        principal_angle, the largest one in degrees (90 where W12 has lost a direction), and idempotence, both in
        Frobenius norms; NaN where a weight is not finite.

    References:
        Baldi & Hornik (1989), Neural Networks 2, 53; Seung (1997), Adv. Neural Inf. Process. Syst. 10, 654.
    """
    from scipy.linalg import subspace_angles

    W12, W21 = loop.W12[:, loop.present], loop.W21[loop.present]
    rank = min(W12.shape[1], train.shape[1], len(train) - 1)
    if not loop.linear or rank < 1 or not (np.isfinite(W12).all() and np.isfinite(W21).all()):
        return {"principal_angle": np.nan, "idempotence": np.nan}
    components = np.linalg.svd(train - train.mean(axis=0), full_matrices=False)[2][:rank]
    # SciPy drops the columns that depend on others, and would compare what is left with a part of the subspace.
    lost = np.linalg.matrix_rank(W12) < rank
    angle = 90.0 if lost else float(np.rad2deg(subspace_angles(W12, components.T).max()))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        W = W12 @ W21
        idempotence = np.linalg.norm(W @ W - W) / np.linalg.norm(W)
    return {"principal_angle": angle, "idempotence": float(idempotence)}
