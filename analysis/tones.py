"""How do counts become a picture? From nothing to the brightest pixel, on a scale that shows both."""

from __future__ import annotations

import matplotlib
import numpy as np

TONES = ("log", "equalised")
# Tone of what was visited least: apart from what was never visited.
FAINTEST = 0.1
# A picture of which less than this share was visited is drawn with a brush, one pixel wide for so many of the picture:
# a curve of single pixels is lost in print.
THIN, BRUSH = 0.02, 450
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
    return _brushed(result, round(counts.shape[1] / BRUSH)) if filled.mean() < THIN else result


def _brushed(image: np.ndarray, width: int) -> np.ndarray:
    """The brightest of each pixel's neighbourhood, so many pixels wide."""
    for axis in (0, 1):
        image = np.max([np.roll(image, shift, axis) for shift in range(-(width // 2), (width + 1) // 2 or 1)], axis=0)
    return image


def coloured(counts: np.ndarray, *, tones: str = "log", colours: str = "inferno") -> np.ndarray:
    """An RGB image (height, width, 3) of bytes. Reversed maps (`inferno_r`) have paper where nothing was counted."""
    table = (matplotlib.colormaps[colours](np.linspace(0, 1, 256))[:, :3] * 255).round().astype(np.uint8)
    return table[(toned(counts, tones) * 255).round().astype(np.uint8)]
