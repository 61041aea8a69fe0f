"""Which directions does a loop keep? Eigenvalues near 1 of its Jacobian, and the exponents of twenty loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Complex, Float

from attractor_jax.image_loops import Loop, middle
from attractor_jax.schema import Column

MODULI, TIMESCALES, EXPONENTS = 16, 5, 4
# Loops over which finite-time exponents are taken, and those before them in which the frame finds its directions.
LOOPS, ALIGN = 20, 10

COLUMNS = (
    Column("near_unity", "float", "", "eigenvalues of J within the tolerance of 1: mean over up to 16 states"),
    Column("near_unity_sd", "float", "", "their standard deviation over the states"),
    Column(
        "gap",
        "float",
        "",
        "smallest modulus of those near 1 minus the next one below; null if none is near 1",
        True,
    ),
    Column("spectral_radius", "float", "", "largest modulus of an eigenvalue: mean over the states"),
    Column("moduli", "list", "", "the 16 largest moduli, descending: means over the states"),
    Column(
        "timescales",
        "list",
        "loops",
        "1 / |ln|mu|| of the five eigenvalues nearest to 1, nearest first: medians over the states",
    ),
    Column("spectrum_speed", "float", "per loop", "median |F(x) - x| / |x| where the spectra were taken"),
    Column("participation_ratio", "float", "", "directions that the cloud of those states fills, of all images"),
    Column("participation_ratio_images", "float", "", "the same of the images themselves"),
    Column(
        "finite_time_exponents",
        "list",
        "nats per loop",
        "the first four Lyapunov exponents of 20 loops, after 10 that align: medians over up to 16 whole images",
    ),
)


def eigenvalues(loop: Loop, states: Float[np.ndarray, "m n1"]) -> Complex[np.ndarray, "m n1"]:
    """All eigenvalues of J = D1 W12 D2 W21 at each state, by descending modulus; NaN where numbers ran out."""
    spectra = np.full(states.shape, np.nan, complex)
    for spectrum, state, first, second in zip(spectra, states, *loop.active(states), strict=True):
        if not np.isfinite(state).all():
            continue
        # Units at rest only add zeros, and AB has the eigenvalues of BA: the smaller of the two will do.
        back, forth = loop.W12[np.ix_(first, second)], loop.W21[np.ix_(second, first)]
        with np.errstate(over="ignore", invalid="ignore"):
            product = back @ forth if first.sum() <= second.sum() else forth @ back
        if not np.isfinite(product).all():
            continue
        found = np.linalg.eigvals(product)
        spectrum[:] = 0
        spectrum[: len(found)] = found[np.argsort(-np.abs(found), kind="stable")]
    return spectra


def spectra(loop: Loop, states: Float[np.ndarray, "m n1"], *, tolerance: float) -> dict[str, float | np.ndarray]:
    """How many directions does one loop keep, and how well are they set apart? |eigenvalue - 1| < `tolerance`.

    Away from a fixed point J is no linearisation at one: `spectrum_speed` says how far away, and belongs beside every
    number here.

    Args:
        states: at which J is taken. Those that diverged are left out.
        tolerance: distance from 1 in the complex plane. Too small, and directions that are kept for a dozen loops do
            not count; too large, and what decays does.

    Returns:
        near_unity and near_unity_sd, spectral_radius, moduli, timescales, spectrum_speed; and gap: with m the
        smallest modulus among the eigenvalues near 1, m minus the largest modulus up to m among the others (0 where
        there is none), as a mean over the states with an eigenvalue near 1.

    References:
        Sussillo & Barak (2013), Neural Comput. 25, 626. Seung (1997), Adv. Neural Inf. Process. Syst. 10, 654.
    """
    found = eigenvalues(loop, states)
    found = found[np.isfinite(found).all(axis=1)]
    moduli, distance = np.abs(found), np.abs(found - 1)
    near = distance < tolerance
    counts = near.sum(axis=1).astype(float)
    lowest = np.where(near, moduli, np.inf).min(axis=1, initial=np.inf)
    below = np.where(~near & (moduli <= lowest[:, None]), moduli, 0.0).max(axis=1, initial=0.0)
    nearest = np.take_along_axis(moduli, np.argsort(distance, axis=1, kind="stable")[:, :TIMESCALES], axis=1)
    with np.errstate(divide="ignore"):
        timescales = 1 / np.abs(np.log(nearest))
    return {
        "near_unity": float(_over_states(np.mean, counts)),
        "near_unity_sd": float(_over_states(np.std, counts)),
        "gap": float(_over_states(np.mean, (lowest - below)[counts > 0])),
        "spectral_radius": float(_over_states(np.mean, moduli.max(axis=1, initial=0.0))),
        "moduli": _over_states(np.mean, moduli[:, :MODULI]),
        "timescales": _over_states(np.median, timescales),
        "spectrum_speed": middle(loop.speeds(states)),
    }


def participation_ratio(states: Float[np.ndarray, "m n1"]) -> float:
    """(sum of eigenvalues)^2 / sum of squares, of the covariance of a cloud: how many directions it fills evenly.

    At most the smaller of n1 and m - 1: too few states make it small. States that diverged are left out; NaN where
    less than two different ones are left.
    """
    states = states[np.isfinite(states).all(axis=1)]
    if len(states) < 2:
        return np.nan
    states = states / (np.abs(states).max() or 1.0)
    centred = states - states.mean(axis=0)
    centred = centred / (np.abs(centred).max() or 1.0)
    gram = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    square = float(np.sum(gram**2))
    return float(np.trace(gram)) ** 2 / square if square > 0 else np.nan


def finite_time_exponents(
    loop: Loop, states: Float[np.ndarray, "m n1"], *, align: int = ALIGN, loops: int = LOOPS, first: int = EXPONENTS
) -> Float[np.ndarray, "k"]:
    """The first Lyapunov exponents of some loops: medians over starts, each by itself.

    On a continuous attractor of d dimensions d of them are near 0, and the next is below. They are means of the
    logarithms that an orthonormal frame loses at every loop, as everywhere here, and so not those of singular values:
    these count as growth once that the last direction is oblique to the first (a factor of 4 in 20 loops on a ring that
    was learned, .07 a loop). A direction that the loops kill has
    -inf, and so has one that they shrink below the rounding of the others.

    Args:
        states: where the orbits start, (m, n1). Those that diverge are left out.
        align: loops in which the frame finds its directions before it is measured. Too few, and what is measured is
            partly where it began.
        loops: > 0, of measurement after them. Too few, and it is the way towards the attractor that is measured.
        first: how many exponents, up to n1; NaN where all diverged.
    """
    first = min(first, states.shape[1])
    states = states[np.isfinite(loop.visited(states, [align + loops])[0]).all(axis=1)]
    frame = np.linalg.qr(np.random.default_rng(0).standard_normal((states.shape[1], first)))[0]
    frame = np.tile(frame, (len(states), 1, 1))
    growth = np.zeros((len(states), first))
    rounding = states.shape[1] * np.finfo(float).eps
    for index in range(align + loops):
        visible, hidden = loop.active(states)
        with np.errstate(over="ignore", invalid="ignore"):
            frame = visible[:, :, None] * (loop.W12 @ (hidden[:, :, None] * (loop.W21 @ frame)))
        sizes = np.linalg.norm(frame, axis=(1, 2))
        frame, factor = np.linalg.qr(frame)
        states = loop.step(states)
        if index >= align:
            lengths = np.abs(np.diagonal(factor, axis1=1, axis2=2))
            # What is left of a direction that was killed is the rounding of the others.
            lengths = np.where(lengths > rounding * sizes[:, None], lengths, 0.0)
            with np.errstate(divide="ignore"):
                growth += np.log(lengths)
    return _over_states(np.median, growth) / loops


def _over_states(average: Callable[..., Any], values: np.ndarray) -> np.ndarray:
    """Over the first axis; NaN of nothing, without a warning."""
    return np.asarray(average(values, axis=0)) if len(values) else np.full(values.shape[1:], np.nan)
