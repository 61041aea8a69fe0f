"""What does a trained loop do to many images at once? `RectifiedLoop` in NumPy and float64.

What is measured of a network, and drawn of it, is not worth a compilation for each shape: hundreds of networks pass
here once, and figures are drawn where no JAX is started. Tests hold both to the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from attractor_jax.rectified import RectifiedLoop

# States from which Jacobians are taken: enough for a mean, few enough for images of 256 pixels.
MOST_STATES = 16


@dataclass(frozen=True)
class Loop:
    """x1' = [b1 + W12 [b2 + W21 x1]+]+ of n1 visible and n2 hidden units, image by image.

    The map need not be bounded: what overflows is inf or NaN, without a warning.

    Attributes:
        floor, ceiling: between which units lie: visible ones between both, hidden ones above the floor. Rectified units
            have 0 and inf; a ceiling of 1 bounds the map; a floor of -inf makes it linear.
    """

    W21: Float[np.ndarray, "n2 n1"]
    b2: Float[np.ndarray, "n2"]
    W12: Float[np.ndarray, "n1 n2"]
    b1: Float[np.ndarray, "n1"]
    floor: float = 0.0
    ceiling: float = np.inf

    @classmethod
    def of(cls, loop: RectifiedLoop) -> Loop:
        """The same loop, in float64 on the host."""
        W21, b2, W12, b1 = (np.asarray(each, float) for each in (loop.W21, loop.b2, loop.W12, loop.b1))
        return cls(W21, b2, W12, b1, float(loop.floor), float(loop.ceiling))

    @property
    def linear(self) -> bool:
        """No unit has a kink."""
        return self.floor == -np.inf and self.ceiling == np.inf

    @property
    def present(self) -> Bool[np.ndarray, "n2"]:
        """Hidden units with a weight that is not zero: a mask of a smaller hidden layer leaves the others none."""
        return (self.W21 != 0).any(axis=1) | (self.W12 != 0).any(axis=0)

    def step(self, states: Float[np.ndarray, "m n1"]) -> Float[np.ndarray, "m n1"]:
        """Images after one loop."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.clip(self._returned(self.hidden(states)), self.floor, self.ceiling)

    def hidden(self, states: Float[np.ndarray, "m n1"]) -> Float[np.ndarray, "m n2"]:
        """x2, what the hidden layer makes of them."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.maximum(self._reached(states), self.floor)

    def active(self, states: Float[np.ndarray, "m n1"]) -> tuple[Bool[np.ndarray, "m n1"], Bool[np.ndarray, "m n2"]]:
        """The diagonals of D1 and D2: visible and hidden units that follow small changes of the state."""
        with np.errstate(over="ignore", invalid="ignore"):
            reached = self._reached(states)
            returned = self._returned(np.maximum(reached, self.floor))
        return (returned > self.floor) & (returned < self.ceiling), reached > self.floor

    def jacobians(self, states: Float[np.ndarray, "m n1"]) -> Float[np.ndarray, "m n1 n1"]:
        """J = D1 W12 D2 W21 at each state."""
        first, second = self.active(states)
        with np.errstate(over="ignore", invalid="ignore"):
            return first[:, :, None] * ((self.W12 * second[:, None, :]) @ self.W21)

    def visited(self, starts: Float[np.ndarray, "m n1"], times: Sequence[int]) -> Float[np.ndarray, "t m n1"]:
        """Where orbits are after each of some numbers of loops, which ascend."""
        states, now, found = starts, 0, []
        for time in times:
            for _ in range(now, time):
                states = self.step(states)
            now = time
            found.append(states)
        return np.stack(found)

    def speeds(self, states: Float[np.ndarray, "m n1"]) -> Float[np.ndarray, "m"]:
        """|F(x) - x| / |x| per loop: how far from a fixed point; inf for states that diverged."""
        after = self.step(states)
        with np.errstate(over="ignore", invalid="ignore"):
            return relative(after - states, states)

    def _reached(self, states: np.ndarray) -> np.ndarray:
        return self.b2 + states @ self.W21.T

    def _returned(self, hidden: np.ndarray) -> np.ndarray:
        return self.b1 + hidden @ self.W12.T


def relative(changes: Float[np.ndarray, "m n1"], states: Float[np.ndarray, "m n1"]) -> Float[np.ndarray, "m"]:
    """|change| / |state|, row by row: 0 where nothing changed, even of a black image; inf where numbers ran out."""
    # Scaled by the largest entry before it is squared: states may be as large as floating-point numbers get.
    scale = np.max(np.abs(states), axis=1, keepdims=True, initial=0.0)
    scale = np.where((scale > 0) & np.isfinite(scale), scale, 1.0)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        change, size = (np.linalg.norm(each / scale, axis=1) for each in (changes, states))
        ratio = change / size
    return np.where(change == 0, 0.0, np.where(np.isnan(ratio), np.inf, ratio))


def middle(values: Float[np.ndarray, "m"]) -> float:
    """The median, where what diverged counts as infinitely large; NaN of nothing."""
    return float(np.median(np.where(np.isnan(values), np.inf, values))) if len(values) else np.nan


def spread(m: int) -> Int[np.ndarray, "chosen"]:
    """Up to `MOST_STATES` of m images, evenly chosen: every fourth of those that are kept beside the weights."""
    n = min(m, MOST_STATES)
    return np.arange(n) * m // n
