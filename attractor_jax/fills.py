"""How well is a hole filled without any network? Baselines.

Each takes the pixels outside the hole as they are and the training images, and says what the hole should hold: what is
always there, what the leading components say, or what the nearest training image has. What a hole of the corrupted
images holds is never looked at. Imports no jax.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.distance import cdist

__all__ = ["mean_fill", "nearest_fill", "pca_fill", "relative_error"]


def mean_fill(
    train: Float[np.ndarray, "n pixels"], corrupted: Float[np.ndarray, "m pixels"], masks: Bool[np.ndarray, "m pixels"]
) -> Float[np.ndarray, "m pixels"]:
    """The images with the mean of the training images in their holes.

    Args:
        train: training images.
        corrupted: images with holes.
        masks: True in the hole.

    Raises:
        ValueError: shapes that do not fit, or no training images.
    """
    _check(train, corrupted, masks)
    return np.where(masks, train.mean(axis=0), corrupted)


def pca_fill(
    train: Float[np.ndarray, "n pixels"],
    corrupted: Float[np.ndarray, "m pixels"],
    masks: Bool[np.ndarray, "m pixels"],
    k: int,
    *,
    noise: float | None = None,
) -> Float[np.ndarray, "m pixels"]:
    """The images with their holes as the first k principal components of the training images have them, at least 0.

    Mean + W a, W the components times the standard deviations of the training images along them, is fitted to the
    pixels outside the hole: the a with the least |residual|^2 + noise |a|^2; of several, the smallest. By default the
    noise is the variance a pixel that the components leave over in the training images, so that the fill is the
    expectation of the hole given the rest in probabilistic PCA. It is 0, and the fill exact, where all lies in the
    span. Plain least squares, noise = 0, believes what the pixels hardly determine: for twos of 16 x 16 pixels with
    holes of 9 x 9 it does worse than `mean_fill` from k = 20 on. So does a k that leaves almost nothing over.

    Args:
        train: training images.
        corrupted: images with holes.
        masks: True in the hole.
        k: components; those beyond the rank of the training images say nothing and are left out. 0 is `mean_fill`.
        noise: variance of a pixel about mean + W a; None for what the components leave over.

    Raises:
        ValueError: a `k` below 0 or above the number of training images, a `noise` below 0, shapes that do not fit, or
            no training images.

    Reference:
        M. E. Tipping & C. M. Bishop, Probabilistic principal component analysis, J. R. Stat. Soc. B 61 (1999) 611.
    """
    _check(train, corrupted, masks)
    if not 0 <= k <= len(train):
        raise ValueError(f"`k` must be from 0 to the number of training images, {len(train)}, got {k}")
    if noise is not None and not noise >= 0:
        raise ValueError(f"`noise` must be >= 0, got {noise}")
    n, pixels = train.shape
    mean = train.mean(axis=0)
    _, sizes, components = np.linalg.svd(train - mean, full_matrices=False)
    # Measured by the images, not by the largest component, which itself is rounding where all images are the same.
    k = min(k, int((sizes > np.linalg.norm(train) * max(n, pixels) * np.finfo(float).eps).sum()))
    left_over = float((sizes[k:] ** 2).sum()) / n / max(pixels - k, 1)
    basis = components[:k].T * sizes[:k] / math.sqrt(n)
    ridge = math.sqrt(left_over if noise is None else noise) * np.eye(k)
    completed = corrupted.copy()
    for mask, where in _by_mask(masks):
        # The ridge as k more pixels, all 0, and not in normal equations, which would lose half of the digits.
        pixels_seen = np.concatenate([(corrupted[where] - mean)[:, ~mask].T, np.zeros((k, len(where)))])
        coefficients, *_ = np.linalg.lstsq(np.concatenate([basis[~mask], ridge]), pixels_seen)
        fit = mean[mask] + (basis[mask] @ coefficients).T
        completed[np.ix_(where, mask)] = np.maximum(fit, 0)
    return completed


def nearest_fill(
    train: Float[np.ndarray, "n pixels"], corrupted: Float[np.ndarray, "m pixels"], masks: Bool[np.ndarray, "m pixels"]
) -> Float[np.ndarray, "m pixels"]:
    """The images with their holes as the training image has them that is nearest outside the hole; of several, the
    first.

    Args:
        train: training images.
        corrupted: images with holes.
        masks: True in the hole.

    Raises:
        ValueError: shapes that do not fit, or no training images.
    """
    _check(train, corrupted, masks)
    completed = corrupted.copy()
    for mask, where in _by_mask(masks):
        # Differences, not products of vectors: of two images that are nearly the same the right one must be found.
        nearest = cdist(corrupted[where][:, ~mask], train[:, ~mask], "sqeuclidean").argmin(axis=1)
        completed[np.ix_(where, mask)] = train[np.ix_(nearest, mask)]
    return completed


def relative_error(
    completed: Float[np.ndarray, "m pixels"],
    truth: Float[np.ndarray, "m pixels"],
    corrupted: Float[np.ndarray, "m pixels"],
) -> float:
    """What is left of the damage: sum |completed - truth|^2 / sum |corrupted - truth|^2, sums over all images.

    Args:
        completed: images whose holes are filled.
        truth: the images as they were.
        corrupted: with their holes.

    Returns:
        0 where all is restored, 1 where nothing is gained, more than 1 where it is worse than the hole; NaN where the
        holes took nothing away.

    Raises:
        ValueError: shapes that differ.
    """
    if not completed.shape == truth.shape == corrupted.shape:
        shapes = f"{completed.shape}, {truth.shape} and {corrupted.shape}"
        raise ValueError(f"`completed`, `truth` and `corrupted` must have one shape, got {shapes}")
    damage = float(((corrupted - truth) ** 2).sum())
    return float(((completed - truth) ** 2).sum()) / damage if damage > 0 else math.nan


def _by_mask(masks: Bool[np.ndarray, "m pixels"]) -> Iterator[tuple[Bool[np.ndarray, "pixels"], np.ndarray]]:
    """Each mask, and the images that have it: a patch has few places, so that most are shared."""
    distinct, which = np.unique(masks, axis=0, return_inverse=True)
    for i, mask in enumerate(distinct):
        yield mask, np.flatnonzero(which.ravel() == i)


def _check(train: np.ndarray, corrupted: np.ndarray, masks: np.ndarray) -> None:
    if train.ndim != 2 or not len(train):
        raise ValueError(f"`train` must have shape (n, pixels) with n >= 1, got {train.shape}")
    if corrupted.ndim != 2 or corrupted.shape[1] != train.shape[1]:
        raise ValueError(f"`corrupted` must have shape (m, {train.shape[1]}), got {corrupted.shape}")
    if masks.shape != corrupted.shape or masks.dtype != bool:
        raise ValueError(f"`masks` must be booleans of shape {corrupted.shape}, got {masks.dtype} of {masks.shape}")
