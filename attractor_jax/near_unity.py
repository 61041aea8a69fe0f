"""Which directions does a loop keep? Eigenvalues near 1 of its Jacobian, and the exponents of twenty loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Complex, Float

from attractor_jax.image_loops import Loop, middle
from attractor_jax.schema import Column

MODULI, TIMESCALES, EXPONENTS = 16, 5, 4
# Loops over which finite-time exponents are taken.
LOOPS = 20
# Directions that are followed for them, and how often they go through the loops and back: what lies beyond the frame
# must have died out against the exponents wanted.
FRAME, ROUNDS = 12, 3
# Singular values below this share of the largest are lost in the rounding of a product.
RESOLVED = 1e-9

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
        "ln(singular value) / 20 of the Jacobian of 20 loops, the first four: medians over up to 16 whole images",
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
    loop: Loop, states: Float[np.ndarray, "m n1"], *, loops: int = LOOPS, first: int = EXPONENTS
) -> Float[np.ndarray, "k"]:
    """ln(sigma) / loops of the first singular values sigma of the product of the Jacobians along some loops: the
    median over starts, each by itself.

    On a continuous attractor of d dimensions d of them are near 0, and the next is below. A direction that the loops
    kill has -inf.

    A frame of directions is pushed through the loops and, by the transposed Jacobians, back again, and is made
    orthonormal at every step: simultaneous iteration, which neither overflows nor underflows, and leaves the product
    as a small triangular matrix. Singular values within nine decades of the largest are that matrix's own; the others
    are sums of logarithms along its diagonal, exact once the frame has settled.

    Args:
        states: where the orbits start, (m, n1). Those that diverge are left out.
        loops: > 0. Too few, and it is the way towards the attractor that is measured.
        first: how many exponents, up to n1; NaN where all diverged.

    References:
        Geist, Parlitz & Lauterborn (1990), Prog. Theor. Phys. 83, 875.
    """
    first = min(first, states.shape[1])
    states = states[np.isfinite(loop.visited(states, [loops])[0]).all(axis=1)]
    masks = []
    for _ in range(loops):
        masks.append(tuple(each[:, :, None] for each in loop.active(states)))
        states = loop.step(states)

    def push(frame: np.ndarray, masks: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            return masks[0] * (loop.W12 @ (masks[1] * (loop.W21 @ frame)))

    def pull(frame: np.ndarray, masks: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            return loop.W21.T @ (masks[1] * (loop.W12.T @ (masks[0] * frame)))

    n1 = states.shape[1]
    frame = np.linalg.qr(np.random.default_rng(0).standard_normal((n1, min(n1, FRAME))))[0]
    frame = np.tile(frame, (len(states), 1, 1))
    for _ in range(ROUNDS):
        for through, along in ((push, masks), (pull, masks[::-1])):
            for each in along:
                frame = np.linalg.qr(through(frame, each))[0]
    factors = []
    for each in masks:
        frame, factor = np.linalg.qr(push(frame, each))
        factors.append(factor)
    found = np.stack(factors)
    logarithms = _log_singular_values(found[:, np.isfinite(found).all(axis=(0, 2, 3))])
    return _over_states(np.median, logarithms[:, :first]) / loops


def _log_singular_values(factors: np.ndarray) -> np.ndarray:
    """Of the products of triangular matrices (loops, m, k, k), the last one leftmost: (m, k), descending."""
    product, log_scale = np.eye(factors.shape[-1]), np.zeros((factors.shape[1], 1))
    with np.errstate(divide="ignore"):
        diagonal = np.log(np.abs(np.diagonal(factors, axis1=2, axis2=3))).sum(axis=0)
        for factor in factors:
            product = factor @ product
            scale = np.abs(product).max(axis=(1, 2), keepdims=True)
            log_scale = log_scale + np.log(scale[:, :, 0])
            product = product / np.where(scale > 0, scale, 1.0)
        values = np.linalg.svd(product, compute_uv=False)
        logarithms = np.log(values) + log_scale
    resolved = values > RESOLVED * values[:, :1]
    return np.where(resolved, logarithms, -np.sort(-diagonal, axis=1))


def _over_states(average: Callable[..., Any], values: np.ndarray) -> np.ndarray:
    """Over the first axis; NaN of nothing, without a warning."""
    return np.asarray(average(values, axis=0)) if len(values) else np.full(values.shape[1:], np.nan)
