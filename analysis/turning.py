"""What does an attractor look like from all sides? Three coordinates, turning, as a GIF."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis import tones
from attractor_jax.portrait import Portrait

# Frames of a turn, their width, and points counted for each: four seconds that show no grain.
FRAMES, PIXELS, POINTS = 48, 480, 2e6
SECONDS = 4.0
# How far the eye stands above the plane of the first two coordinates, in radians.
ELEVATION = 0.35


def view(turn: float) -> np.ndarray:
    """(2, 3), what lies to the right and what upwards after so many radians, the third coordinate standing."""
    c, s, up = np.cos(turn), np.sin(turn), np.sin(ELEVATION)
    return np.array([[c, s, 0.0], [-s * up, c * up, np.cos(ELEVATION)]])


def frames(
    look: Callable[..., Portrait], names: Sequence[str], *, points: float = POINTS, pixels: int = PIXELS
) -> list[np.ndarray]:
    """The counts of each frame of one turn, all on one scale.

    Args:
        look: `Attractor.look`.
    """
    ranges = []
    for pair in ((names[0], names[1]), (names[2], names[0])):
        extent = look(coordinates=pair, points=1, size=(1, 1)).extent
        ranges += [extent[:2], extent[2:]]
    low, high = np.array([ranges[0], ranges[1], ranges[2]]).T
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1e-9)
    reach = float(np.sqrt(3.0))
    images = []
    for turn in np.linspace(0, 2 * np.pi, FRAMES, endpoint=False):
        # Each coordinate by its own range: a small one would be a plane's edge.
        scaled = view(turn) / half
        u, v = scaled @ middle
        extent = (u - reach, u + reach, v - reach, v + reach)
        images.append(look(coordinates=names, view=scaled, extent=extent, points=points, size=(pixels, pixels)).counts)
    return images


def save(images: Sequence[np.ndarray], path: Path, *, tone: str, colours: str, recipe: dict[str, Any]) -> None:
    """The frames as a GIF that turns for ever, with its recipe as a comment."""
    from PIL import Image

    # Toned together, so that no frame flickers.
    together = tones.coloured(np.concatenate(list(images)), tones=tone, colours=colours)
    stills = [Image.fromarray(each) for each in np.split(together, len(images))]
    path.parent.mkdir(parents=True, exist_ok=True)
    stills[0].save(
        path, save_all=True, append_images=stills[1:], duration=1000 * SECONDS / len(stills), loop=0,
        comment=json.dumps(recipe).encode(),
    )  # fmt: skip
