"""Which points belong together, when each of their numbers is known to within a tolerance of its own? Those between
which no number leaves a gap.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def parted_by_gaps(
    groups: Int[np.ndarray, "points"],
    low: Float[np.ndarray, "numbers points"],
    high: Float[np.ndarray, "numbers points"],
) -> Int[np.ndarray, "points"]:
    """Labels, 0 and upwards, of points that are parted wherever one of their numbers leaves a gap between their
    intervals, and again within what is left, until there is no gap: single linkage, number by number.

    A gap within a set of points is one within each of its subsets too, so the outcome depends neither on the order of
    the points nor on that of the numbers, and points that are taken away join nothing that was parted. It costs a
    sort for each number and pass, whatever the sizes of the sets.

    Args:
        groups: points of different groups are parted in any case.
        low, high: ends of the interval in which each number of a point may lie, none of them NaN. Too wide, and what is
            different is called the same; too narrow, and sets fall apart where they are thinly sampled.

    Returns:
        Labels that ascend with the groups, and within a group with the first number that tells two sets apart.
    """
    labels = np.unique(groups, return_inverse=True)[1].ravel()
    parts = 0
    while (now := int(labels.max(initial=-1)) + 1) > parts:
        parts = now
        for one_low, one_high in zip(low, high, strict=True):
            labels = _parted(labels, one_low, one_high)
    return labels


def _parted(labels: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Labels, 0 and upwards, of points parted by the gaps between their intervals; in the order of the old labels, then
    upwards.
    """
    order = np.lexsort((low, labels))
    group, bottom = labels[order], low[order]
    # How far up the intervals before a point reach within its group: ranks, so that one pass does for all groups.
    sorted_tops, rank = np.unique(high[order], return_inverse=True)
    reach = np.maximum.accumulate(group * len(sorted_tops) + rank.ravel())
    top = sorted_tops[reach % len(sorted_tops)]
    new = np.ones(len(order), bool)
    new[1:] = (group[1:] != group[:-1]) | (bottom[1:] > top[:-1])
    parted = np.empty_like(labels)
    parted[order] = np.cumsum(new) - 1
    return parted
