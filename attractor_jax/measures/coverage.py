"""How much of the (x1, x2) square does the attractor visit? The article's filter for pictures worth looking at."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, UInt32

from attractor_jax.schema import Column

BOXES = 100
WORDS = -(-(BOXES**2) // 32)


class Coverage:
    """Share of the 100 x 100 boxes of [-1, 1]^2 that the activities (x1, x2) of the first two units enter.

    The article keeps networks between 0.1 and 0.9 (Sprott 1998). A box is a bit, 32 of them a word: loops copy what
    they carry, and 1.25 kB a network stay in the cache where 10 do not.
    """

    name = "coverage"
    columns = (
        Column("coverage", "float", "", "share of 100 x 100 boxes of the (x1, x2) square that the orbit visits"),
    )

    def init(self, map_: Any, state: Array) -> UInt32[Array, "words"]:
        return jnp.zeros(WORDS, jnp.uint32)

    def step(self, carry: UInt32[Array, "words"], map_: Any, state: Array) -> UInt32[Array, "words"]:
        x = map_.hidden(state)[:2]
        first, second = jnp.clip(jnp.floor((x + 1) * (BOXES / 2)).astype(jnp.int32), 0, BOXES - 1)
        box = first * BOXES + second
        word, bit = box // 32, jnp.uint32(1) << (box % 32).astype(jnp.uint32)
        return carry.at[word].set(carry[word] | bit)

    def finish(self, carry: UInt32[Array, "words"], steps: int | Array) -> dict[str, Array]:
        return {"coverage": jnp.sum(jax.lax.population_count(carry), dtype=float) / BOXES**2}
