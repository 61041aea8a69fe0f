"""How wrong are we where the answer is known? The table in the README.

python -m benchmarks.accuracy
"""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

import attractor_jax as aj  # noqa: E402 (x64 first)
from attractor_jax.stability import companion_matrix  # noqa: E402


def checks() -> Iterator[tuple[str, str, float]]:
    """(what, known as, error) of each check."""
    spectrum = np.array([1.2, 0.9, -0.5, 0.1])
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))[0]
    linear = aj.LinearMap(jnp.asarray(turn @ (np.diag(spectrum) + np.triu(np.ones((4, 4)), 1)) @ turn.T))
    found = aj.lyapunov_exponents(linear, jnp.zeros(4), transient=0, steps=2000)
    yield (
        "linear map, 4 x 4, not normal",
        "ln of moduli of the eigenvalues",
        _worst(found.exponents, np.log(np.abs(spectrum))),
    )

    for r, known, value in (
        (2.5, "ln 1/2", np.log(0.5)),
        (3.2, "1/2 ln 0.16", 0.5 * np.log(0.16)),
        (4.0, "ln 2", np.log(2.0)),
    ):
        found = aj.lyapunov_exponents(aj.LogisticMap(jnp.asarray(r)), jnp.array([0.4]), transient=1000, steps=100_000)
        yield f"logistic map, r = {r}, T = 100,000", known, _worst(found.exponents, value)

    henon = aj.HenonMap(jnp.asarray(1.4), jnp.asarray(0.3))
    found = aj.lyapunov_exponents(henon, jnp.array([0.1, 0.1]), transient=1000, steps=100_000)
    yield "Henon map, sum of both", "ln 0.3", _worst(jnp.sum(found.exponents), np.log(0.3))

    below = aj.feedback_network(seed=0, N=4, D=16, s=0.4)  # s_critical = 0.4557: the origin attracts
    found = aj.lyapunov_exponents(below, below.initial_state(), transient=5000, steps=200_000, align=5000)
    moduli = np.abs(np.linalg.eigvals(companion_matrix(np.asarray(below.weights), np.asarray(below.gains), 0.4)))
    yield (
        "feedback network at its origin, 16 exponents, T = 200,000",
        "ln of moduli of the eigenvalues",
        _worst(found.exponents, np.sort(np.log(moduli))[::-1]),
    )

    for s in (2.0, 8.0):
        network = aj.feedback_network(seed=70, N=4, D=16, s=s)
        found = aj.lyapunov_exponents(network, network.initial_state(), transient=5000, steps=100_000)
        error = float(found.sum_rule_residual)
        yield f"chaotic feedback network, s = {s:g}, sum of 16 exponents", "mean of ln det J", error


def _worst(found: object, known: object) -> float:
    return float(np.max(np.abs(np.asarray(found) - np.asarray(known))))


def main() -> None:
    print("| check | known as | error (nats per step) |\n|---|---|---|")
    for what, known, error in checks():
        print(f"| {what} | {known} | {error:.0e} |")


if __name__ == "__main__":
    main()
