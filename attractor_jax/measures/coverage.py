"""How much of the (x1, x2) square does the attractor visit? The article's filter for pictures worth looking at."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool

from attractor_jax.schema import Column

BOXES = 100


class Coverage:
    """Share of the 100 x 100 boxes of [-1, 1]^2 that the activities (x1, x2) of the first two units enter.

    The article keeps networks between 0.1 and 0.9 (Sprott 1998). Costs 10 kB a network and a scattered write a step.
    """

    name = "coverage"
    columns = (
        Column("coverage", "float", "", "share of 100 x 100 boxes of the (x1, x2) square that the orbit visits"),
    )

    def init(self, map_: Any, state: Array) -> Bool[Array, "boxes"]:
        return jnp.zeros(BOXES * BOXES, bool)

    def step(self, carry: Bool[Array, "boxes"], map_: Any, state: Array) -> Bool[Array, "boxes"]:
        x = map_.hidden(state)[:2]
        box = jnp.clip(jnp.floor((x + 1) * (BOXES / 2)).astype(jnp.int32), 0, BOXES - 1)
        return carry.at[box[0] * BOXES + box[1]].set(True)

    def finish(self, carry: Bool[Array, "boxes"], steps: int | Array) -> dict[str, Array]:
        return {"coverage": jnp.sum(carry) / carry.size}
