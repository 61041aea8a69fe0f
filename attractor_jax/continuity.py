"""How like a continuous attractor is a trained loop? No single number says so; these together do."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from threadpoolctl import threadpool_limits

from attractor_jax import endpoints, known_manifolds, near_unity, pattern_errors
from attractor_jax.image_loops import Loop, spread
from attractor_jax.pattern_errors import LATE, TIMES

COLUMNS = (*pattern_errors.COLUMNS, *near_unity.COLUMNS, *endpoints.COLUMNS, *known_manifolds.COLUMNS)


# Threads of a BLAS wait for one another by spinning: beside other work it takes ten times as long, and more. And with
# one thread the sums are the same whatever the number of cores.
@threadpool_limits.wrap(limits=1, user_api="blas")
def measure(
    loop: Loop,
    *,
    truth: Float[np.ndarray, "..."],
    holes: Bool[np.ndarray, "..."],
    train: Float[np.ndarray, "..."],
    others: Float[np.ndarray, "..."],
    tangents: Float[np.ndarray, "..."] | None = None,
    manifold: Float[np.ndarray, "..."] | None = None,
    tolerance: float = 0.1,
    at: int = 5,
) -> dict[str, float | np.ndarray]:
    """Errors, spectra, drift, exponents, selectivity, endpoints and gains of one trained loop: all `COLUMNS`.

    A loop that changes nothing has all its eigenvalues at 1 and never drifts; one that completes images may drift
    away along them. So a continuous attractor shows in the errors of completion, the count and the gap of
    eigenvalues near 1, the drift and the selectivity together.

    It all runs on the host, in float64: on a CPU, two of XLA's LAPACK calls at a time can wait for one another's
    threads for ever. States that escape are results, inf or NaN, and nothing warns.

    Args:
        loop: `Loop.of(trained)`.
        truth: (m, n1), m >= 1, held-out images. Few of them make the medians noisy.
        holes: (m, n1), where each is zeroed to be completed.
        train: (n, n1), n >= 1, training images.
        others: (q, n1), images of other classes, or (0, n1).
        tangents: (m, d, n1), directions along the manifold at `truth`, where known.
        manifold: (p, n1), samples of the manifold, where known: denser than 10 % of their norm.
        tolerance: > 0, distance from 1 up to which an eigenvalue is near 1.
        at: >= 0, loops after which spectra are taken. Few, and the states are not yet at rest (see `spectrum_speed`);
            many, and they have drifted away.

    Raises:
        ValueError: naming the argument.

    References:
        Seung (1997), Learning continuous attractors in recurrent networks, Adv. Neural Inf. Process. Syst. 10, 654.
        Sussillo & Barak (2013), Opening the black box, Neural Comput. 25, 626.
        Sagodi et al. (2024), Back to the continuous attractor.
    """
    if not tolerance > 0:
        raise ValueError(f"`tolerance` must be > 0, got {tolerance}")
    if not at >= 0:
        raise ValueError(f"`at` must be >= 0, got {at}")
    n1 = len(loop.b1)
    _check_rows("truth", truth, n1, least=1)
    _check_rows("train", train, n1, least=1)
    _check_rows("others", others, n1, least=0)
    if holes.shape != truth.shape:
        raise ValueError(f"`holes` must have the shape of `truth`, {truth.shape}, got {holes.shape}")
    m = len(truth)
    if tangents is not None and (tangents.ndim != 3 or tangents.shape[::2] != truth.shape or not tangents.shape[1]):
        raise ValueError(f"`tangents` must have shape ({m}, d, {n1}), got {tangents.shape}")
    if manifold is not None:
        _check_rows("manifold", manifold, n1, least=1)

    truth, train, others = (each.astype(float) for each in (truth, train, others))
    corrupted = np.where(holes, 0.0, truth)
    completing = loop.visited(corrupted, TIMES)
    times = sorted({*TIMES, at})
    whole = dict(zip(times, loop.visited(truth, times), strict=True))
    keeping = np.stack([whole[time] for time in TIMES])
    chosen = spread(m)

    results = pattern_errors.completion(truth, holes, completing)
    results["retention"] = pattern_errors.retention(truth, keeping)
    results["drift"] = drift = pattern_errors.drift(loop, keeping)
    results["drift_20"] = float(drift[TIMES.index(LATE)])
    results |= pattern_errors.selectivity(loop, truth, whole[LATE], others, train)

    results |= near_unity.spectra(loop, whole[at][chosen], tolerance=tolerance)
    results["participation_ratio"] = near_unity.participation_ratio(whole[at])
    results["participation_ratio_images"] = near_unity.participation_ratio(truth)
    results["finite_time_exponents"] = near_unity.finite_time_exponents(loop, truth[chosen])

    results |= endpoints.endpoints(loop, corrupted, train, truth)
    results |= endpoints.dead_units(loop, train)

    given = None if tangents is None else tangents.astype(float)
    results |= known_manifolds.UNKNOWN if given is None else known_manifolds.gains(loop, truth, given)
    late = completing[TIMES.index(LATE)]
    results["on_manifold"] = np.nan if manifold is None else known_manifolds.share_near(late, manifold.astype(float))
    results |= known_manifolds.subspace(loop, train)
    return {column.name: results[column.name] for column in COLUMNS}


def _check_rows(name: str, images: np.ndarray, n1: int, *, least: int) -> None:
    if images.ndim != 2 or images.shape[1] != n1 or len(images) < least:
        rows = f"at least {least}" if least else "any number"
        raise ValueError(f"`{name}` must have shape (images, {n1}) with {rows} of them, got {images.shape}")
