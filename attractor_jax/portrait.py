"""What does an attractor look like? Orbit -> image: how often a hundred million points of it fall into each pixel.

Many orbits run side by side on one attractor, and every device counts its own into an image of its own. No orbit is
ever stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from attractor_jax.config import a_list
from attractor_jax.iterate import STRETCH, iterate
from attractor_jax.maps import as_pytree, stretch

# Orbits side by side on a device: as many as fill the vectors of a CPU and leave their states in its cache.
ORBITS = 512
# Steps between the first states of two orbits, which lie on one orbit. No cycle of a few steps divides them.
APART = 61
# Share of a state by which orbits begin beside it: else each would walk in the footsteps of the next. On a torus they
# stay as far apart as they began, and with a hundredth of this its points lie in rows.
KICK = 1e-2
# Share of the range of y by which its ends, and its standard deviation, may differ between two stretches as short as a
# call on one attractor.
ANOTHER = 0.25, 0.12
# Steps of all orbits in one call, between two reports of progress.
CALL = 512
# Share of the range that is left free at each side.
MARGIN = 0.03


@dataclass(frozen=True)
class Portrait:
    """An attractor seen from one side.

    Attributes:
        counts: (height, width), points in each pixel, the highest row first.
        extent: left, right, bottom and top edge, in units of the coordinates.
        coordinates: names of what lies along the axes.
        points: that were counted, those outside the image included.
        outside: points that fell outside.
        orbits: that were followed.
        elsewhere: orbits whose output ended in another range than the orbit had that was asked for: chaos that ended on
            the way, or another attractor.
    """

    counts: Int[np.ndarray, "height width"]
    extent: tuple[float, float, float, float]
    coordinates: tuple[str, ...]
    points: int
    outside: int
    orbits: int = 0
    elsewhere: int = 0


def coordinate_names(map_: Any, dimension: int) -> tuple[str, ...]:
    """The coordinates that orbits of a map have: activities x1, x2, ... of hidden units, the output y and, of a shift
    register, the outputs y-1, y-2, ... so many steps before; of other maps the further components y2, y3, ... of the
    state. A clock is none.
    """
    state = jax.ShapeDtypeStruct((dimension,), float)
    units = jax.eval_shape(map_.hidden, state).shape[0] if hasattr(map_, "hidden") else 0
    clock = 1 if getattr(map_, "clocked", False) else 0
    further = (f"y-{j}" if hasattr(map_, "entries") else f"y{j + 1}" for j in range(1, dimension - clock))
    return (*(f"x{i + 1}" for i in range(units)), "y", *further)


def check_coordinates(names: Sequence[str], there: Sequence[str]) -> None:
    """Refuse coordinates that do not exist, or do not span a plane.

    Raises:
        ValueError: naming those that do.
    """
    if len(names) < 2:
        raise ValueError(f"`coordinates` must be at least two, got {', '.join(names) or 'none'}")
    for name in names:
        if name not in there:
            shown = [*there[:6], "...", there[-1]] if len(there) > 8 else list(there)
            raise ValueError(f"`coordinates` must be of {a_list(shown)}, got {name!r}")
    if len(set(names)) < len(names):
        raise ValueError(f"`coordinates` must be distinct, got {', '.join(names)}")


@dataclass(frozen=True)
class Attractor:
    """Many orbits on one attractor, ready to be looked at from any side.

    Attributes:
        map: called as map(state).
        states: (D, orbits) of each device.
        devices: that count.
        reach: (3,), lowest and highest output of the orbit that they come from, and its standard deviation.
    """

    map: Any
    states: tuple[Float[Array, "D orbits"], ...]
    devices: Sequence[Any]
    reach: Float[Array, "3"]

    @classmethod
    def of(
        cls,
        map: Any,
        state: Float[Array | np.ndarray, "D"],
        *,
        transient: int = 10_000,
        orbits: int = ORBITS,
        devices: Sequence[Any] | None = None,
    ) -> Attractor:
        """The attractor that an orbit ends on.

        Args:
            map: called as map(state), such as `feedback_network(...)`.
            state: (D,), where the orbit starts.
            transient: steps thrown away first. Too few, and the approach is part of the picture.
            orbits: that run side by side on each device, from states near `APART` steps apart on one orbit.
            devices: all that JAX has if None.

        Raises:
            ValueError: no orbits, or one that leaves the finite numbers.
        """
        if orbits < 1 or transient < 0:
            raise ValueError(f"`orbits` must be at least 1 and `transient` 0, got {orbits} and {transient}")
        devices = jax.devices() if devices is None else devices
        map_, state = as_pytree(map), jnp.asarray(state)
        states, reach = _spread(map_, state, transient=transient, orbits=orbits * len(devices))
        if not bool(jnp.isfinite(states).all()):
            raise ValueError("`state` must lead to an orbit that stays finite")
        return cls(map_, tuple(jnp.split(states, len(devices), axis=1)), devices, reach)

    def look(
        self,
        *,
        coordinates: Sequence[str] = ("x1", "x2"),
        view: Float[np.ndarray, "2 coordinates"] | None = None,
        extent: tuple[float, float, float, float] | None = None,
        points: float = 1e8,
        size: tuple[int, int] = (1024, 1024),
        progress: Callable[[int], object] = lambda points: None,
    ) -> Portrait:
        """How often the attractor visits each pixel of an image.

        Args:
            coordinates: two names, see `coordinate_names`; more with a `view`.
            view: (2, coordinates), what lies along the image's two axes, as sums of the coordinates. None: the first
                and the second.
            extent: left, right, bottom, top. None: what the attractor needs, with a little room.
            points: to count, at least. A few a pixel show grain; a hundred are smooth.
            size: width and height in pixels.
            progress: called with the number of points that were counted.

        Raises:
            ValueError: coordinates that do not exist, no points, or no pixels.
        """
        first, names, (width, height) = self.states[0], tuple(coordinates), size
        check_coordinates(names, coordinate_names(self.map, len(first)))
        view = np.eye(2, len(names)) if view is None else np.asarray(view, float)
        if view.shape != (2, len(names)):
            raise ValueError(f"`view` must have shape (2, {len(names)}), got {view.shape}")
        if points < 1 or min(size) < 1:
            raise ValueError(f"`points` and `size` must be at least 1, got {points:g} and {size}")
        seen = _Seen(self.map, jnp.asarray(view, first.dtype))
        if extent is None:
            extent = with_room(*(np.asarray(edge) for edge in _range(seen, first, names=names)))
        edges, none = jnp.asarray(extent, first.dtype), jnp.zeros(width * height + 1, jnp.int32)
        at = [jax.device_put((seen, edges), device) for device in self.devices]
        each = [jax.device_put((jnp.copy(s), none), d) for s, d in zip(self.states, self.devices, strict=True)]
        per_call = CALL * sum(states.shape[1] for states in self.states)
        calls = -(-int(points) // per_call)
        for _ in range(calls):
            each = [
                _count(seen, states, counts, edges, names=names, size=size)
                for (seen, edges), (states, counts) in zip(at, each, strict=True)
            ]
            jax.block_until_ready(each)
            progress(per_call)
        total = np.sum([np.asarray(counts, np.int64) for _, counts in each], axis=0)
        image, orbits = total[:-1].reshape(height, width), per_call // CALL
        ends = [_elsewhere(seen.map, states, self.reach) for (seen, _), (states, _) in zip(at, each, strict=True)]
        elsewhere = sum(int(each.sum()) for each in ends)
        return Portrait(image, extent, names, calls * per_call, int(total[-1]), orbits, elsewhere)


def portrait(
    map: Any, state: Float[Array | np.ndarray, "D"], *, devices: Sequence[Any] | None = None, **how: Any
) -> Portrait:
    """How often the attractor that an orbit ends on visits each pixel of an image: `Attractor.of(...).look(...)`.

    References:
        Sprott (1998), Computers & Graphics 22, 143, drew them point by point.
    """
    return Attractor.of(map, state, devices=devices).look(**how)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _Seen:
    """A map, and the side from which it is seen."""

    map: Any
    view: Float[Array, "2 coordinates"]


def _in_turn(map_: Any, states: Float[Array, "D orbits"]) -> tuple[list[Float[Array, "D orbits"]], Array]:
    """The states of many orbits after each of a few steps, and the last of them."""
    if hasattr(map_, "entries"):
        after, register, _ = stretch(_with_lanes(map_), states[:, None], STRETCH)
        return after, register[:, 0]
    after = []
    for _ in range(STRETCH):
        states = jax.vmap(map_, in_axes=-1, out_axes=-1)(states)
        after.append(states)
    return after, states


def _with_lanes(map_: Any) -> Any:
    """A network whose arrays have a lane that all orbits share."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[..., None], map_)


def read_coordinates(
    map_: Any, state: Float[Array, "D *orbits"], names: Sequence[str]
) -> list[Float[Array, "*orbits"]]:
    """The coordinates of a state, or of the states of many orbits if the map has lanes for them."""
    x = map_.hidden(state) if any(name[0] == "x" for name in names) else None

    def read(name: str) -> Array:
        if name[0] == "x" and x is not None:
            return x[int(name[1:]) - 1]
        steps_before, component = (int(name[2:]), 0) if name[1:2] == "-" else (0, int(name[1:] or 1) - 1)
        return state[steps_before + component]

    return [read(name) for name in names]


def _points(seen: _Seen, state: Float[Array, "D orbits"], names: tuple[str, ...]) -> Float[Array, "2 orbits"]:
    """Where the states lie in the image's plane."""
    if hasattr(seen.map, "entries"):  # shift registers take lanes
        found = read_coordinates(_with_lanes(seen.map), state, names)
    else:
        found = jax.vmap(lambda one: read_coordinates(seen.map, one, names), in_axes=-1)(state)
    return jnp.stack([sum(part * each for part, each in zip(row, found, strict=True)) for row in seen.view])


@partial(jax.jit, static_argnames=("transient", "orbits"))
def _spread(
    map_: Any, state: Float[Array, "D"], *, transient: int, orbits: int
) -> tuple[Float[Array, "D orbits"], Float[Array, "3"]]:
    """States of many orbits on the attractor of one, and the reach of that one. An orbit that was kicked out of the
    basin, and ends elsewhere, begins on the one instead.
    """

    def further(state: Array, _: None) -> tuple[Array, Array]:
        return iterate(map_, state, steps=APART), state

    _, states = jax.lax.scan(further, iterate(map_, state, steps=transient), None, length=orbits)
    on_it = states.T
    reach = jnp.stack([on_it[0].min(), on_it[0].max(), on_it[0].std()])
    kick = KICK * jax.random.normal(jax.random.key(0), on_it.shape, on_it.dtype)
    beside = jax.lax.fori_loop(0, -(-transient // STRETCH), lambda _, s: _in_turn(map_, s)[1], on_it * (1 + kick))
    return jnp.where(_elsewhere(map_, beside, reach), on_it, beside), reach


@jax.jit
def _elsewhere(map_: Any, states: Float[Array, "D orbits"], reach: Float[Array, "3"]) -> Bool[Array, "orbits"]:
    """Which orbits, followed for some hundred steps, have outputs in another range."""

    def further(states: Array, _: None) -> tuple[Array, Array]:
        after, states = _in_turn(map_, states)
        return states, jnp.stack([state[0] for state in after])

    outputs = jax.lax.scan(further, states, None, length=CALL // STRETCH)[1].reshape(-1, states.shape[1])
    found = jnp.stack([outputs.min(axis=0), outputs.max(axis=0), outputs.std(axis=0)])
    ends, deviation = ANOTHER
    near = (reach[1] - reach[0]) * jnp.asarray([ends, ends, deviation], reach.dtype)
    near = near + 1e-6 * jnp.maximum(1, jnp.abs(reach).max())
    return ~(jnp.abs(found - reach[:, None]) <= near[:, None]).all(axis=0)


@partial(jax.jit, static_argnames="names")
def _range(seen: _Seen, states: Float[Array, "D orbits"], *, names: tuple[str, ...]) -> tuple[Array, Array]:
    """Lowest and highest point of some thousand steps, each (2,)."""

    def further(_: Any, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        states, low, high = carry
        after, states = _in_turn(seen.map, states)
        for state in after:
            at = _points(seen, state, names)
            low, high = jnp.minimum(low, at.min(axis=1)), jnp.maximum(high, at.max(axis=1))
        return states, low, high

    at = _points(seen, states, names)
    return jax.lax.fori_loop(0, CALL // STRETCH, further, (states, at.min(axis=1), at.max(axis=1)))[1:]


def with_room(low: np.ndarray, high: np.ndarray) -> tuple[float, float, float, float]:
    """The edges of an image that has all between these corners."""
    room = np.maximum(MARGIN * (high - low), 1e-6 * np.maximum(1, np.abs(high)))
    (left, bottom), (right, top) = low - room, high + room
    return float(left), float(right), float(bottom), float(top)


@partial(jax.jit, static_argnames=("names", "size"), donate_argnames=("states", "counts"))
def _count(
    seen: _Seen,
    states: Float[Array, "D orbits"],
    counts: Int[Array, "pixels"],
    edges: Float[Array, "4"],
    *,
    names: tuple[str, ...],
    size: tuple[int, int],
) -> tuple[Array, Array]:
    """The orbits some steps on, and their points in the image; what is outside is counted last."""
    width, height = size
    left, right, bottom, top = edges

    def further(_: Any, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        states, counts = carry
        after, states = _in_turn(seen.map, states)
        for state in after:
            u, v = _points(seen, state, names)
            column = jnp.floor((u - left) * (width / (right - left))).astype(jnp.int32)
            row = jnp.floor((top - v) * (height / (top - bottom))).astype(jnp.int32)
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            place = jnp.where(inside, row * width + column, width * height)
            counts = counts.at[place].add(1, mode="promise_in_bounds")
        return states, counts

    return jax.lax.fori_loop(0, CALL // STRETCH, further, (states, counts))
