"""How is a network drawn, and where does its orbit start? NumPy only, bit for bit as the literature's programs do
it.
"""

from __future__ import annotations

import threading

import numpy as np
from jaxtyping import Float


class _Legacy(threading.local):
    """NumPy's legacy generator, one a thread: to seed it again takes 1 us, to make another 70."""

    def __init__(self) -> None:
        self.generator = np.random.RandomState(0)

    def seeded(self, seed: int) -> np.random.RandomState:
        self.generator.seed(seed)
        return self.generator


_legacy = _Legacy()


def article_draw(seed: int, N: int, D: int) -> tuple[Float[np.ndarray, "N D"], Float[np.ndarray, "N"]]:
    """Weights in [-1, 1) and gains r in [0, 1) of the article's network (Sprott 1998).

    The article calls `np.random.seed(seed)`, `w = 2*random((N, D)) - 1`, `b = s*random(N)`, in that order; a private
    generator of the same kind gives the same bits and leaves NumPy's global state alone. `s` only scales b = s r, so
    that one draw serves every s.
    """
    generator = _legacy.seeded(seed)
    weights = 2 * generator.random_sample((N, D)) - 1
    return weights, generator.random_sample(N)


def gaussian_draw(seed: int, N: int, D: int) -> tuple[Float[np.ndarray, "N {D}+1"], Float[np.ndarray, "N"]]:
    """Weights (column 0 the bias) and gains of the ensemble of Albers, Sprott and Dechert (1998): normal weights, sum
    of r^2 = N.
    """
    generator = _legacy.seeded(seed)
    weights = generator.randn(N, D + 1)
    gains = generator.random_sample(N)
    return weights, gains * np.sqrt(N / np.sum(gains**2))


def initial_history(b: Float[np.ndarray, "N"], D: int, replicate: int, seed: int) -> Float[np.ndarray, "D"]:
    """The D outputs, newest first, from which an orbit starts.

    Replicate 0 is the article's start (all units at 0.001, all outputs 0) after its first output. Replicate q > 0 is
    uniform in the cube |y| <= sum |b|, which holds every attractor, drawn from (q, seed) alone: the same direction
    for every s.
    """
    if replicate == 0:
        history = np.zeros(D)
        history[0] = 0.001 * np.sum(b)
        return history
    return np.random.default_rng([replicate, seed]).uniform(-1, 1, D) * np.sum(np.abs(b))
