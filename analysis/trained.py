"""Which trained network is looked at by itself? What a run of system continuous keeps of one: its loop, and images that
it has not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from analysis.style import number
from attractor_jax.axes import table_axes
from attractor_jax.image_loops import Loop
from attractor_jax.systems.continuous import LEARNED_BY

# Axes of what is asked of a network, not of what it is.
ASKED = ("components", "at", "tolerance", "replicate")
# Axes whose values say by themselves what they are.
PLAIN = ("task", "visible")


@dataclass(frozen=True)
class Trained:
    """A network of a run.

    Attributes:
        loop: with the hidden units that are there, and none for which there was only room.
        images: held out, uncorrupted.
        holes: where each is zeroed to be completed.
    """

    loop: Loop
    images: Float[np.ndarray, "m n1"]
    holes: Bool[np.ndarray, "m n1"]

    @property
    def corrupted(self) -> Float[np.ndarray, "m n1"]:
        """The images with their holes."""
        return np.where(self.holes, 0.0, self.images)

    @property
    def side(self) -> int:
        """Pixels of an edge of an image."""
        return int(np.sqrt(self.images.shape[1]))


def check_continuous(df: pd.DataFrame) -> None:
    """Refuse a table of another system.

    Raises:
        ValueError: naming what it is of.
    """
    systems = [str(name) for name in df["system"].unique()] if "system" in df.columns else []
    if systems != ["continuous"]:
        raise ValueError(f"`run` must be a run of system continuous, got {', '.join(systems) or 'no column system'}")


def read_trained(run: Path, df: pd.DataFrame) -> dict[int, Trained]:
    """The networks of some rows of a run's table, by their cell_id.

    Raises:
        TableError: their file is missing or damaged.
    """
    from attractor_jax.reading import read_weights

    networks = {}
    for cell_id, n2 in zip(df["cell_id"].tolist(), df["n2"].tolist(), strict=True):
        kept = read_weights(run, cell_id)
        loop = Loop(
            kept["W21"][:n2], kept["b2"][:n2], kept["W12"][:, :n2], kept["b1"], float(kept["floor"]),
            float(kept["ceiling"]),
        )  # fmt: skip
        networks[cell_id] = Trained(loop, kept["images"], kept["holes"] > 0)
    return networks


def networks(df: pd.DataFrame, *further: str) -> pd.DataFrame:
    """One row for each network: cells may differ in what is asked of it alone.

    Args:
        further: axes that make rows differ all the same.
    """
    return df.drop_duplicates(["data", *(axis for axis in LEARNED_BY if axis != "hidden_places"), "T", *further])


def first_seed(df: pd.DataFrame) -> pd.DataFrame:
    """The rows with the first seed of each training."""
    return _extreme(df, "seed", "min")


def last_stage(df: pd.DataFrame) -> pd.DataFrame:
    """The rows of networks after the last stage of their training."""
    return _extreme(df, "T", "max")


def _extreme(df: pd.DataFrame, axis: str, which: Literal["min", "max"]) -> pd.DataFrame:
    others = [name for name in table_axes(df) if name != axis]
    return df[df[axis] == df.groupby(others, observed=True)[axis].transform(which)]


def titled(axes: Sequence[str], values: Sequence[Any]) -> str:
    """What a network is, as a title: completion, n2 = 64, T = 2."""
    pairs = zip(axes, values, strict=True)
    return ", ".join(str(value) if axis in PLAIN else f"{axis} = {number(value)}" for axis, value in pairs)
