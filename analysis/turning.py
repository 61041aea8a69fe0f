"""What does an attractor look like from all sides? Three coordinates, turning, as a GIF."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis import command, tones
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
    # No point of a cube is further from its middle; attractors fill little of its corners.
    reach = 0.85 * float(np.sqrt(3.0))
    images = []
    for turn in np.linspace(0, 2 * np.pi, FRAMES, endpoint=False):
        # Each coordinate by its own range: a small one would be a plane's edge.
        scaled = view(turn) / half
        u, v = scaled @ middle
        extent = (u - reach, u + reach, v - reach, v + reach)
        images.append(look(coordinates=names, view=scaled, extent=extent, points=points, size=(pixels, pixels)).counts)
    return images


def save(
    images: Sequence[np.ndarray], path: Path, *, names: Sequence[str], title: str, tone: str, colours: str,
    told: dict[str, Any],
) -> None:  # fmt: skip
    """The frames as a GIF that turns for ever, over a line that says what it is, with its recipe as a comment."""
    from matplotlib.font_manager import findfont
    from PIL import Image, ImageDraw, ImageFont

    # Toned together, so that no frame flickers.
    together = tones.coloured(np.concatenate(list(images)), tones=tone, colours=colours)
    size = together.shape[1]
    font = ImageFont.truetype(findfont("DejaVu Sans"), max(8, size // 42))
    words = f"{title}\n{names[2]} stands upright, {names[0]} and {names[1]} turn; each over its own range"
    wrapped = "\n".join(line for text in words.split("\n") for line in textwrap.wrap(text, 78))
    strip = int(1.45 * font.size * (wrapped.count("\n") + 1)) + 8
    stills = []
    for each in np.split(together, len(images)):
        still = Image.new("RGB", (size, size + strip), "white")
        still.paste(Image.fromarray(each), (0, 0))
        ImageDraw.Draw(still).multiline_text((4, size + 4), wrapped, fill="black", font=font)
        stills.append(still)
    how = {"save_all": True, "append_images": stills[1:], "duration": 1000 * SECONDS / len(stills), "loop": 0}
    command.save(path, lambda new: stills[0].save(new, format="gif", comment=json.dumps(told).encode(), **how))
