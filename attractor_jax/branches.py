"""What do the attractors of one network along an axis say, carried up and carried down? Their densities beside each
other: where they differ, and where they are mirror images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import jax
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from attractor_jax.continuation import Continuation, disagree
from attractor_jax.engine import Columns
from attractor_jax.regimes import DECIDED, ORDERED, classify_columns

UP, DOWN, FIXED = "up", "down", "fixed"

# Values in turn that an interval of hysteresis has at least.
CONSECUTIVE = 3

# Share of the range of y in a column by which two densities are apart when they are not the same; and how much nearer
# the mirror image of one must be to be called one.
APART, NEARER = 0.05, 4.0


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Branch:
    """The attractors that one way along the axis meets.

    Attributes:
        counts: (values, bins), steps whose y lay in a bin; they sum to the steps, or to 0 where the orbit diverged.
        columns: of a table of cells, each (values,) or (values, k): see docs/table.md.
    """

    counts: Int[np.ndarray, "values bins"]
    columns: Columns


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OrbitDensity:
    """The numbers of an orbit diagram.

    Attributes:
        values: (values,), of the axis, ascending.
        edges: (bins + 1,), of the bins of y, which hold all that any branch visits; symmetric about 0 where the map is.
        branches: "up" and "down", or "fixed".
        odd: (), F(-x) = -F(x): what is an attractor for y is one for -y.
        system, axis: names of what was iterated, and of what varies.
        axes: all of the system's.
    """

    values: Float[np.ndarray, "values"]
    edges: Float[np.ndarray, "bins+1"]
    branches: dict[str, Branch]
    odd: Bool[np.ndarray, ""]
    system: str = field(metadata={"static": True})
    axis: str = field(metadata={"static": True})
    axes: tuple[str, ...] = field(metadata={"static": True})

    def table(self, way: str) -> pd.DataFrame:
        """The cells of a branch with what `classify` makes of them, one row a value."""
        table = classify_columns(self.branches[way].columns)
        table.attrs["axes"] = list(self.axes)
        return table

    def hysteresis(self, *, consecutive: int = CONSECUTIVE) -> Bool[np.ndarray, "values"]:
        """Where the two ways are on different attractors: of another kind, another period, or with another lambda_1, as
        `continuation.disagree` has it; or ordered ones with the same numbers at other places, unless they are mirror
        images. Values at which that cannot be told belong to an interval if they lie inside it.

        Args:
            consecutive: values in turn that an interval must have, and a gap between two. In a narrow window of order a
                chaotic transient can outlast every measurement on one of the two ways: with 1, such columns pass for
                hysteresis.
        """
        if not self._both:
            return np.zeros(len(self.values), bool)
        tables = [self.table(way) for way in (UP, DOWN)]
        differ = disagree(Continuation(self.branches[UP].columns, self.branches[DOWN].columns))
        # Chaos visits its attractor by chance, and two of its densities are never quite the same.
        ordered, known = (np.all([_in(table, regimes) for table in tables], axis=0) for regimes in (ORDERED, DECIDED))
        known &= np.all([table["settled"] for table in tables], axis=0)
        apart, image = self._distances()
        differ |= ordered & (apart > APART) & (image > APART)
        sure = np.flatnonzero(known)
        if len(sure):
            at = np.arange(len(differ))
            before = sure[np.maximum(np.searchsorted(sure, at, side="right") - 1, 0)]
            after = sure[np.minimum(np.searchsorted(sure, at), len(sure) - 1)]
            differ = differ[before] & differ[after]
        return _lasting(differ, consecutive)

    def mirrored(self, *, consecutive: int = CONSECUTIVE) -> Bool[np.ndarray, "values"]:
        """Where the two ways are on mirror images (y for -y) of one attractor: with the same numbers, but with
        densities that agree only when one of them is turned over.

        Args:
            consecutive: see `hysteresis`.
        """
        if not self._both:
            return np.zeros(len(self.values), bool)
        apart, image = self._distances()
        return _lasting((apart > APART) & (apart > NEARER * image), consecutive) & ~self.hysteresis(
            consecutive=consecutive
        )

    @property
    def _both(self) -> bool:
        return UP in self.branches and DOWN in self.branches

    def _distances(self) -> tuple[np.ndarray, np.ndarray]:
        """How far y is to be moved in the mean to make one density of the other, and of the other's mirror image, in
        shares of the range that both visit; infinitely far where the map has no mirror images.
        """
        up, down = (self.branches[way].counts for way in (UP, DOWN))

        def distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
            seen = (one + other) > 0
            width = seen.shape[1] - seen.argmax(axis=1) - seen[:, ::-1].argmax(axis=1)
            cumulated = [np.cumsum(c / np.maximum(c.sum(axis=1, keepdims=True), 1), axis=1) for c in (one, other)]
            # What is narrower than some bins is apart by their width.
            return np.abs(np.subtract(*cumulated)).sum(axis=1) / np.maximum(width, 20)

        return distance(up, down), distance(up, down[:, ::-1]) if self.odd else np.full(len(up), np.inf)


def _in(table: pd.DataFrame, regimes: Sequence[str]) -> np.ndarray:
    return table["regime"].isin(list(regimes)).to_numpy(bool)


def _lasting(flags: np.ndarray, consecutive: int) -> np.ndarray:
    """The same without the runs of fewer flags than that, and then without the gaps that are as short."""
    lasting = np.array(flags, bool)
    for kind in (True, False):
        edges = np.diff(np.pad((lasting == kind).astype(int), 1))
        for first, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
            inside = kind or 0 < first < end < len(flags)
            if inside and end - first < consecutive:
                lasting[first:end] = not kind
    return lasting


def intervals(values: np.ndarray, flags: np.ndarray) -> list[tuple[float, float]]:
    """The runs of ascending values (values,) on which flags (values,) hold, as their first and last value."""
    edges = np.diff(np.pad(flags.astype(int), 1))
    ends = zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1, strict=True)
    return [(float(values[first]), float(values[last])) for first, last in ends]
