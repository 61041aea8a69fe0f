"""What does a visible and a hidden layer of rectified units do to an image in one loop? Seung's network (NIPS 1997):
x2 = [b2 + W21 x1]+, then x1' = [b1 + W12 x2]+.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RectifiedLoop:
    """x1' = [b1 + W12 [b2 + W21 x1]+]+ of n1 visible and n2 hidden units, as a map on the visible ones.

    Attributes:
        floor, ceiling: (), between which units lie: visible ones between both, hidden ones above the floor. Rectified
            units have 0 and inf; a ceiling of 1 bounds the map; a floor of -inf makes it linear.
    """

    W21: Float[Array, "n2 n1"]
    b2: Float[Array, "n2"]
    W12: Float[Array, "n1 n2"]
    b1: Float[Array, "n1"]
    floor: Float[Array, ""]
    ceiling: Float[Array, ""]

    nonsingular: ClassVar[bool] = False

    def __call__(self, state: Float[Array, "n1"]) -> Float[Array, "n1"]:
        return self.shown(self.hidden(state))

    def hidden(self, state: Float[Array, "n1"]) -> Float[Array, "n2"]:
        """x2, what the hidden layer makes of an image."""
        return jnp.maximum(self._reached(state), self.floor)

    def shown(self, hidden: Float[Array, "n2"]) -> Float[Array, "n1"]:
        """x1, what the visible layer makes of the hidden one."""
        return jnp.clip(self._returned(hidden), self.floor, self.ceiling)

    def active(self, state: Float[Array, "n1"]) -> tuple[Bool[Array, "n1"], Bool[Array, "n2"]]:
        """The diagonals of D1 and D2: visible and hidden units that follow small changes of the state."""
        reached = self._reached(state)
        returned = self._returned(jnp.maximum(reached, self.floor))
        return (returned > self.floor) & (returned < self.ceiling), reached > self.floor

    def tangent(
        self, state: Float[Array, "n1"], frame: Float[Array, "n1 k"]
    ) -> tuple[Float[Array, "n1"], Float[Array, "n1 k"], Float[Array, ""]]:
        """The next state, and J frame with J = D1 W12 D2 W21; no determinant: units at rest make it zero."""
        first, second = self.active(state)
        pushed = _product(self.W12, second[:, None] * _product(self.W21, frame))
        return self(state), first[:, None] * pushed, jnp.full((), jnp.nan, state.dtype)

    def jacobian(self, state: Float[Array, "n1"]) -> Float[Array, "n1 n1"]:
        """J = D1 W12 D2 W21 at a state."""
        return self.tangent(state, jnp.eye(len(state), dtype=state.dtype))[1]

    def _reached(self, state: Array) -> Array:
        return self.b2 + _product(self.W21, state)

    def _returned(self, hidden: Array) -> Array:
        return self.b1 + _product(self.W12, hidden)


def _product(matrix: Array, other: Array) -> Array:
    return jnp.matmul(matrix, other, precision="highest")  # else a GPU multiplies float32 with ten bits
