"""What is kept of the networks that a sweep trained? One file a part: the arrays of its draws, and which of them each
cell has.

A file is one of NumPy's archives (`np.load` reads it), sealed in the archive's comment as the parts of tables are.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attractor_jax.parts import REPAIR, TableError, check_place, read_sealed, seal, told


@dataclass(frozen=True)
class Weights:
    """The networks of some cells.

    Attributes:
        cell_id: (cells,), ascending.
        network: (cells,), the row of the arrays that each cell has.
        arrays: (networks, ...) each, under the names that the draws give them.
    """

    cell_id: np.ndarray
    network: np.ndarray
    arrays: dict[str, np.ndarray]

    def of(self, cell_id: int) -> dict[str, np.ndarray]:
        """The draw of one of the cells."""
        row = self.network[np.searchsorted(self.cell_id, cell_id)]
        return {name: values[row] for name, values in self.arrays.items()}


def write_weights(path: Path, weights: Weights, about: Mapping[str, Any]) -> None:
    """A new file with the networks of a part and what there is to say of it, not yet flushed to the disk."""
    with open(path, "wb") as file:
        np.savez(file, allow_pickle=False, cell_id=weights.cell_id, network=weights.network, **weights.arrays)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = told(about).encode()
    seal(path)


def load_weights(path: Path, *, plan: str, index: int, cell_id: np.ndarray) -> Weights:
    """The networks of a part, if they are those that belong here and all bytes are as they were written.

    Args:
        plan, index: hash of the plan, and the part's index in it.
        cell_id: of the part's cells, ascending.

    Raises:
        TableError: they are not.
        FileNotFoundError: there are none.
    """
    with np.load(io.BytesIO(read_sealed(path))) as archive:
        check_place(path, json.loads(archive.zip.comment), plan=plan, index=index)
        arrays = dict(archive)
    weights = Weights(arrays.pop("cell_id"), arrays.pop("network"), arrays)
    if not np.array_equal(weights.cell_id, cell_id):
        raise TableError(f"{path} must have the networks of the {len(cell_id)} cells of its part: {REPAIR}")
    return weights
