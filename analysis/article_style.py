"""What did the article draw? Its picture of an attractor, line for line, and beside it the set of points that the orbit
really visits.

The article joins every 16th vertex of a path on which each step of the orbit was divided into three by straight lines,
and colours the lines by |sin(1.6 y + 0.4 x)|: the sheets of its pictures are chords.
"""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.path import Path as Line

from analysis import style, tones
from attractor_jax.portrait import Portrait

# Of the article's program: steps, those that it throws away first, and its lines.
STEPS, TRANSIENT = 100_000, 1_000
DIVIDED, EVERY = 3, 16
LINE_WIDTH, ALPHA, COLOURS = 0.1, 0.1, "Spectral"
INCHES = 12.0  # of its picture; a line of 0.1 point means nothing without


def article_orbit(map_: Any, state: Any, coordinates: tuple[str, ...]) -> np.ndarray:
    """(steps, 2), the points that the article joins."""
    import jax
    import jax.numpy as jnp

    from attractor_jax.iterate import orbit
    from attractor_jax.portrait import read_coordinates

    states = orbit(map_, state, steps=STEPS)[TRANSIENT:]
    return np.asarray(jax.vmap(lambda at: jnp.stack(read_coordinates(map_, at, coordinates)))(states))


def extent_of(points: np.ndarray) -> tuple[float, float, float, float]:
    """Edges of a picture that has all of the points, with a little room."""
    from attractor_jax.portrait import with_room

    return with_room(points.min(axis=0), points.max(axis=0))


def chords(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The segments (n, 2, 2) that the article draws, and the numbers (n + 1,) that colour them."""
    vertices = np.asarray(Line(points).interpolated(DIVIDED).vertices)[::EVERY]
    x, y = vertices.T
    return np.stack([vertices[:-1], vertices[1:]], axis=1), np.abs(np.sin(1.6 * y + 0.4 * x))


def draw(points: np.ndarray, seen: Portrait, *, title: str, colours: str, tone: str) -> Figure:
    """The article's picture, and the attractor beside it on the same axes.

    Args:
        points: of `article_orbit`.
        seen: the same coordinates, counted within the extent of `points`.
        title: names the network, and says what it is.
    """
    with matplotlib.rc_context(style.RC):
        figure = style.new_figure(INCHES + 1.5, 2 * INCHES + 1)
        left, right = figure.subplots(1, 2)
        segments, colour = chords(points)
        lines = LineCollection(list(segments), cmap=COLOURS, linewidth=LINE_WIDTH, alpha=ALPHA)
        lines.set_array(colour)
        lines.set_clim(0, 1)
        left.add_collection(lines)
        image = tones.coloured(seen.counts, tones=tone, colours=colours)
        right.imshow(image, extent=seen.extent, aspect="auto", interpolation="antialiased")
        for ax, what in (
            (left, f"as in the article: every {EVERY}th vertex joined, each step divided into {DIVIDED}"),
            (right, f"the attractor: {seen.points:,} points, none of them joined"),
        ):
            dress(ax, seen, size=22)
            ax.set_title(what, fontsize=24, pad=14)
        figure.suptitle(title, x=0.01, ha="left", fontsize=26)
        figure.draw_without_rendering()
    return figure


def dress(ax: Axes, seen: Portrait, *, size: float) -> None:
    """Limits and labels of a picture of the attractor."""
    ax.set_xlim(*seen.extent[:2])
    ax.set_ylim(*seen.extent[2:])
    ax.set_xlabel(label(seen.coordinates[0]), fontsize=size)
    ax.set_ylabel(label(seen.coordinates[1]), fontsize=size)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_tick_params(labelsize=0.85 * size)


def label(coordinate: str) -> str:
    """What stands along an axis; activities and outputs have no unit."""
    if coordinate[0] == "x":
        return f"activity $x_{{{coordinate[1:]}}}$"
    if coordinate == "y":
        return "output $y_t$"
    return f"output $y_{{t-{coordinate[2:]}}}$" if "-" in coordinate else f"component {coordinate[1:]} of the state"
