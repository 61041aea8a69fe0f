"""How many blocks does the host take at once? It draws, computes closed forms and makes columns for thousands of cells,
where devices take a block at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import jax
import numpy as np

from attractor_jax.groups import Block, Group

# The host takes so many cells at once, or as many as compute for about a second: with fewer, the overhead of NumPy's
# calls is most of its time.
BUNDLE_CELLS, BUNDLE_STEPS = 4096, 60e6


@dataclass(frozen=True)
class Bundle:
    """Blocks of one shape that the host takes at once.

    Attributes:
        n_blocks: how many.
        cells: their draws, lanes and cells one behind the other, as if they were one block.
    """

    n_blocks: int
    cells: Block

    def split(self, arrays: Any) -> Iterator[Any]:
        """What the draws of all have on their first axis (a pytree), block by block."""
        G = len(self.cells.real) // self.n_blocks
        for first in range(0, G * self.n_blocks, G):
            yield jax.tree.map(lambda leaf, first=first: leaf[first : first + G], arrays)

    def join(self, first: Any, others: Iterator[Any]) -> Any:
        """The outputs of its blocks as if they were of one: the first, and as many others as it has blocks."""
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), first, *islice(others, self.n_blocks - 1))


def bundles(group: Group, blocks: Iterable[Block], shape: tuple[int, int]) -> Iterator[Bundle]:
    """Blocks of a shape in bundles: a fixed number for a plan, since closed forms may feel in a last bit how many cells
    are computed with them.
    """
    most = min(BUNDLE_CELLS, BUNDLE_STEPS / group.cost)
    rest, several = iter(blocks), max(1, int(most / (shape[0] * shape[1])))
    while some := list(islice(rest, several)):
        draws, lanes = (
            {name: np.concatenate([each[name] for each in axes]) for name in axes[0]}
            for axes in ([block.draws for block in some], [block.lanes for block in some])
        )
        cell_id, real = (np.concatenate([getattr(block, name) for block in some]) for name in ("cell_id", "real"))
        yield Bundle(len(some), Block(draws, lanes, cell_id, real))
