"""How do counts become a picture? From nothing to the brightest pixel, on a scale that shows both."""

from __future__ import annotations

import matplotlib
import numpy as np

TONES = ("log", "equalised")
# Tone of what was visited least: apart from what was never visited.
FAINTEST = 0.1
# A picture of which less than this share was visited is drawn with a brush, one pixel wide for so many of the picture,
# and two at the least: a curve of single pixels is lost in print. So is a cycle, which gets a wider one.
THIN, BRUSH = 0.02, 450
FEW, WIDE_BRUSH = 0.0005, 90
# Maps whose lightness rises steadily: they survive a grey print and all kinds of colour-blindness.
COLOURS = ("inferno", "magma", "viridis", "cividis", "bone", "gray")


def toned(counts: np.ndarray, tones: str = "log") -> np.ndarray:
    """Tones from 0, where nothing was counted, to 1.

    Args:
        counts: (height, width), of any integer type.
        tones: "log": by the logarithm of the count, from the emptiest hundredth to the densest thousandth of what was
            visited, so that neither a cycle's pixel nor a stray point sets the scale. "equalised": by rank, so that
            every tone covers as much of the picture.
    """
    filled = counts > 0
    found = counts[filled]
    result = np.zeros(counts.shape, np.float32)
    if not len(found):
        return result
    if tones == "equalised":
        values, rank, how_many = np.unique(found, return_inverse=True, return_counts=True)
        share = (np.cumsum(how_many) / len(found))[rank]
    else:
        low, high = np.log(np.quantile(found, [0.01, 0.999]))
        share = (np.log(found) - low) / (high - low) if high > low else np.ones(len(found))
    result[filled] = FAINTEST + (1 - FAINTEST) * np.clip(share, 0, 1)
    share = filled.mean()
    if share >= THIN:
        return result
    return _brushed(result, max(2, round(counts.shape[1] / (WIDE_BRUSH if share < FEW else BRUSH))))


def _brushed(image: np.ndarray, width: int) -> np.ndarray:
    """The brightest of each pixel's neighbourhood, so many pixels wide and high."""
    before = width // 2
    for axis, n in enumerate(image.shape):
        room = [(0, 0), (0, 0)]
        room[axis] = (before, width - 1 - before)
        padded = np.pad(image, room)
        image = np.max([np.take(padded, range(i, i + n), axis) for i in range(width)], axis=0)
    return image


def coloured(counts: np.ndarray, *, tones: str = "log", colours: str = "inferno") -> np.ndarray:
    """An RGB image (height, width, 3) of bytes. Reversed maps (`inferno_r`) have paper where nothing was counted."""
    table = (matplotlib.colormaps[colours](np.linspace(0, 1, 256))[:, :3] * 255).round().astype(np.uint8)
    return table[(toned(counts, tones) * 255).round().astype(np.uint8)]
