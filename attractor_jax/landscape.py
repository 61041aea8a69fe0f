"""What does the loss look like where a training ended? Losses, gradient and Hessian there: the outcome of each row."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor_jax.systems.learning import MOST_EXACT
from attractor_jax.systems.problems import SATURATED, Problem

# Random directions from which the trace of a large Hessian is estimated (Hutchinson 1990).
PROBES = 32
# Entries of a Hessian beyond which nothing is asked of it: LAPACK squares them.
HUGE = 1e100


def describe(
    problem: Problem,
    states: Float[np.ndarray, "G S n"],
    *,
    momentum: Float[np.ndarray, "G"],
    lr: Float[np.ndarray, "G S *P"],
    weight_decay: Float[np.ndarray, "G S"],
) -> dict[str, np.ndarray]:
    """The outcomes of `systems.learning` of some trainings, each (G, S), in the highest precision that JAX has on.

    Up to 256 parameters the Hessian's eigenvalues are exact; beyond, the extreme ones come from ARPACK's Lanczos
    iteration and the trace from Hutchinson's estimate.
    """
    P, shape = problem.parameters, states.shape[:2]
    flat = states.reshape(-1, states.shape[-1]).astype(float)
    finite = np.asarray(np.isfinite(flat).all(axis=1))
    theta = np.where(finite[:, None], flat[:, :P], 0.0)
    decay, kept = weight_decay.ravel(), np.repeat(momentum, shape[1])
    rates = lr.reshape(len(theta), -1)
    columns = {name: np.asarray(each) for name, each in _losses(problem, theta, decay).items()}
    if P <= MOST_EXACT:
        spectra, scaled = _spectra(problem, theta, decay, rates)
        low, high, trace = spectra[:, 0], spectra[:, -1], spectra.sum(axis=1)
    else:
        known = np.array(
            [_extremes(problem, *each) if ok else (np.nan,) * 3
             for each, ok in zip(zip(theta, decay, strict=True), finite, strict=True)]
        )  # fmt: skip
        low, high, trace = known.T
        scaled = high * rates[:, 0] if rates.shape[1] == 1 else np.full(len(theta), np.nan)
    columns |= {"sharpness": high, "hessian_min": low, "hessian_trace": trace}
    columns["edge_ratio"] = scaled / (2 * (1 + kept))
    columns = {name: np.where(finite, values, np.nan).reshape(shape) for name, values in columns.items()}
    columns["diverged_at"] = np.where(finite, np.nan, flat[:, -1]).reshape(shape)
    columns["theta"] = states[..., :P].astype(float) if P <= MOST_EXACT else np.full(shape, None)
    return columns


@partial(jax.jit, static_argnames="problem")
def _losses(problem: Problem, theta: Array, decay: Array) -> dict[str, Array]:
    """By column, each (n,)."""
    train, test = problem.train(), problem.test()
    nothing = jnp.full((), jnp.nan)

    def one(theta: Array, decay: Array) -> dict[str, Array]:
        objective = _objective(problem, decay)
        hidden = problem.hidden(theta, train[0])
        right = [problem.accuracy(theta, *data) if data is not None else None for data in (train, test)]
        return {
            "train_loss": problem.loss(theta, *train),
            "test_loss": nothing if test is None else problem.loss(theta, *test),
            "accuracy": nothing if right[0] is None else right[0],
            "test_accuracy": nothing if right[1] is None else right[1],
            "objective": objective(theta),
            "gradient_norm": jnp.linalg.norm(jax.grad(objective)(theta)),
            "saturated": nothing if hidden is None else jnp.mean(jnp.abs(hidden) > SATURATED, dtype=theta.dtype),
        }

    return jax.vmap(one)(theta, decay)


def _objective(problem: Problem, decay: Any) -> Callable[[Array], Array]:
    train = problem.train()
    return lambda theta: problem.loss(theta, *train) + decay * jnp.sum(theta**2) / 2


@partial(jax.jit, static_argnames="problem")
def _hessians(problem: Problem, theta: Array, decay: Array) -> Array:
    """(n, P, P)."""
    return jax.vmap(lambda theta, decay: jax.hessian(_objective(problem, decay))(theta))(theta, decay)


def _spectra(
    problem: Problem, theta: np.ndarray, decay: np.ndarray, rates: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (n, P) of the Hessians, ascending, and the largest (n,) of each with its learning rates: what decides
    about stability.
    """
    # NumPy's: on a CPU, two of XLA's LAPACK calls at a time can wait for one another's threads for ever.
    hessians = np.asarray(_hessians(problem, theta, decay))
    spectra = _eigenvalues(hessians)
    if rates.shape[1] == 1:
        return spectra, spectra[:, -1] * rates[:, 0]
    root = np.sqrt(rates)
    return spectra, _eigenvalues(root[:, :, None] * hessians * root[:, None, :])[:, -1]


def _eigenvalues(matrices: np.ndarray) -> np.ndarray:
    """Of symmetric matrices (n, P, P), ascending; NaN where a training is about to leave the finite numbers."""
    known = np.asarray((np.abs(matrices) < HUGE).all(axis=(1, 2)))
    return np.where(known[:, None], np.linalg.eigvalsh(np.where(known[:, None, None], matrices, 0.0)), np.nan)


@partial(jax.jit, static_argnames="problem")
def _hessian_product(problem: Problem, theta: Array, decay: Array, vectors: Array) -> Array:
    """The Hessian times each of some vectors (n, P)."""
    _, product = jax.linearize(jax.grad(_objective(problem, decay)), theta)
    return jax.vmap(product)(vectors)


def _extremes(problem: Problem, theta: np.ndarray, decay: float) -> tuple[float, float, float]:
    """Smallest and largest eigenvalue of a large Hessian, and an estimate of its trace; NaN where a training is about
    to leave the finite numbers.
    """
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    P = len(theta)

    def product(vector: np.ndarray) -> np.ndarray:
        return np.asarray(_hessian_product(problem, theta, decay, vector.reshape(1, P)))[0]

    probes = np.random.default_rng(0).choice([-1.0, 1.0], (PROBES, P))
    products = np.asarray(_hessian_product(problem, theta, decay, probes))
    if not (np.abs(products) < HUGE).all():
        return np.nan, np.nan, np.nan
    operator = LinearOperator((P, P), matvec=product, dtype=float)  # pyright: ignore[reportCallIssue]
    start = np.random.default_rng(0).standard_normal(P)
    try:
        low, high = eigsh(operator, k=2, which="BE", tol=1e-4, v0=start, return_eigenvectors=False)  # pyright: ignore[reportArgumentType]
    except ArpackError:  # no convergence, or a Hessian that is zero to rounding
        low = high = np.nan
    return float(low), float(high), float(np.mean(np.sum(probes * products, axis=1)))
