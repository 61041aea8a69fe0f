"""How do counts become a picture? From nothing to the brightest pixel, on a scale that shows both."""

from __future__ import annotations

import matplotlib
import numpy as np

TONES = ("log", "equalised")
# Maps whose lightness rises steadily: they survive a grey print and all kinds of colour-blindness.
COLOURS = ("inferno", "magma", "viridis", "cividis", "bone", "gray")


def toned(counts: np.ndarray, tones: str = "log") -> np.ndarray:
    """Tones from 0, where nothing was counted, to 1.

    Args:
        counts: (height, width), of any integer type.
        tones: "log": by the logarithm of the count, up to all but the densest thousandth, so that one cycle's pixel
            does not darken the rest. "equalised": by rank, so that every tone covers as much of the picture.
    """
    filled = counts > 0
    found = counts[filled]
    result = np.zeros(counts.shape, np.float32)
    if not len(found):
        return result
    if tones == "equalised":
        values, rank, how_many = np.unique(found, return_inverse=True, return_counts=True)
        result[filled] = (np.cumsum(how_many) / len(found))[rank] if len(values) > 1 else 1.0
        return result
    most = np.log1p(max(float(np.quantile(found, 0.999)), 1.0))
    result[filled] = np.minimum(np.log1p(found) / most, 1.0)
    return result


def coloured(counts: np.ndarray, *, tones: str = "log", colours: str = "inferno") -> np.ndarray:
    """An RGB image (height, width, 3) of bytes. Reversed maps (`inferno_r`) have paper where nothing was counted."""
    table = (matplotlib.colormaps[colours](np.linspace(0, 1, 256))[:, :3] * 255).round().astype(np.uint8)
    return table[(toned(counts, tones) * 255).round().astype(np.uint8)]
