"""Which attractor does an initial state end in? Where orbits end, and what share of them ends where.

Labels are integers everywhere: >= 1 an attractor, 0 unresolved, -1 diverged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float, Int, Integer

from attractor_jax.iterate import STRETCH
from attractor_jax.maps import Map, as_pytree, stretch
from attractor_jax.phase import wilson_interval
from attractor_jax.starts import Numbers, as_vector, check_number, unit_vectors

LabelOf = Callable[[Float[np.ndarray, "n D"]], Any]

# Half the width of an interval in standard errors: 95 %.
Z = 1.96


def wilson(count: Any, n: Any, *, z: float = Z) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """Wilson's score interval of the share `count` / `n`, low and high: `count` of `n` independent starts ended here.

    Args:
        count: 0..n, a number or an array.
        n: trials; broadcasts against `count`. NaN where it is 0.
        z: half the width in standard errors.

    Raises:
        ValueError: a count below 0 or above `n`, a negative `z`.

    References:
        Wilson (1927), J. Am. Stat. Assoc. 22, 209.
    """
    count, n = np.broadcast_arrays(np.asarray(count, float), np.asarray(n, float))
    if not np.all((count >= 0) & (count <= n)):
        raise ValueError("`count` must lie between 0 and `n`")
    if not z >= 0:
        raise ValueError(f"`z` must be >= 0, got {z}")
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = wilson_interval(np.atleast_1d(count / n), np.atleast_1d(n), z=z)
    return low.reshape(n.shape), high.reshape(n.shape)


def basin_fractions(labels: Integer[Array | np.ndarray, "..."] | Numbers, *, z: float = Z) -> pd.DataFrame:
    """What share of initial states ends in each attractor: one row a label that occurs, in ascending order.

    The intervals are those of independent starts. Few starts make them wide, and basins smaller than 1 / n of the
    region are not seen at all. On a grid the true errors are smaller, but nothing here says by how much.

    Args:
        labels: of any shape.
        z: half the width of the intervals in standard errors.

    Returns:
        Columns label, count, fraction, low, high. No labels, no rows.

    Raises:
        ValueError: labels that are not integers.

    References:
        Wilson (1927), J. Am. Stat. Assoc. 22, 209.
    """
    found, count = np.unique(as_labels(labels), return_counts=True)
    n = count.sum()
    low, high = wilson(count, n, z=z)
    fraction = count / max(n, 1)
    return pd.DataFrame(
        {
            "label": found.astype(np.int64),
            "count": count.astype(np.int64),
            "fraction": fraction,
            "low": low,
            "high": high,
        }
    )


@dataclass(frozen=True)
class EndStates:
    """Where orbits are after some steps.

    Attributes:
        states: (n, D); of an orbit that diverged, its first state that was not finite.
        diverged_at: (n,), the step after which that was, 0 for an initial state; -1 where all was finite.
    """

    states: Float[np.ndarray, "n D"]
    diverged_at: Int[np.ndarray, "n"]


def end_states(map: Map, states: Float[Array | np.ndarray, "n D"], *, steps: int) -> EndStates:
    """Where the orbits of `map` through many initial states are after `steps` steps.

    An orbit freezes at its first state that is not finite, and its neighbours go on. Divergence is seen only once
    numbers overflow: some ten steps for a quadratic map, thousands for a linear one that grows slowly.

    Args:
        map: called as map(state) with one state of shape (D,); a pytree such as `feedback_network(...)`, or a plain
            function (which compiles once per function object).
        states: (n, D), where the orbits start. All are in memory at once.
        steps: >= 0. Too few, and orbits are still on their way.

    Raises:
        ValueError: states that are no (n, D) floating-point numbers, negative `steps`, a map that does not give back
            what it takes.
    """
    map_, states = as_pytree(map), jnp.asarray(states)
    if states.ndim != 2 or not jnp.issubdtype(states.dtype, jnp.floating):
        given = f"{states.dtype}{list(states.shape)}"
        raise ValueError(f"`states` must be floating-point numbers of shape (n, D), got {given}")
    if steps < 0:
        raise ValueError(f"`steps` must be >= 0, got {steps}")
    one = jax.ShapeDtypeStruct(states.shape[1:], states.dtype)
    after = jax.eval_shape(map_, one)
    if getattr(after, "shape", None) != one.shape or after.dtype != one.dtype:
        given = f"{after.dtype}{list(after.shape)}" if hasattr(after, "shape") else f"a {type(after).__name__}"
        raise ValueError(f"`map` must give back what it takes, {one.dtype}{list(one.shape)}, got {given}")
    ended, diverged_at = _end_states(map_, states, steps)
    return EndStates(np.asarray(ended), np.asarray(diverged_at, np.int64))


@jax.jit
def _end_states(map_: Any, states: Float[Array, "n D"], steps: Any) -> tuple[Array, Array]:
    def further(state: Array, diverged_at: Array, step: Array, length: int) -> tuple[Array, Array]:
        path = jnp.stack([state, *stretch(map_, state[:, None], length)[0]])
        lost = ~jnp.isfinite(path).all(axis=1)
        first = jnp.where(lost.any(), jnp.argmax(lost), length)  # an orbit that is lost already stays at 0
        newly = lost.any() & (diverged_at < 0)
        return path[first], jnp.where(newly, step + first, diverged_at).astype(diverged_at.dtype)

    def stretches(length: int, start: Any, times: Any, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        def body(i: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
            return jax.vmap(further, in_axes=(0, 0, None, None))(*carry, start + i * length, length)

        return jax.lax.fori_loop(0, times, body, carry)

    whole, rest = steps // STRETCH, steps % STRETCH
    carry = stretches(STRETCH, 0, whole, (states, jnp.full(states.shape[0], -1)))
    return stretches(1, whole * STRETCH, rest, carry)


def nearest_attractor(
    states: Float[Array | np.ndarray, "n D"],
    attractors: Sequence[Float[np.ndarray, "points coordinates"]],
    *,
    radius: float,
    symmetries: Sequence[Callable[[Float[np.ndarray, "n D"]], Float[np.ndarray, "n D"]]] = (),
) -> Int[np.ndarray, "n"]:
    """Which of some known attractors each end state is next to: labels (n,), 1 for the first of them.

    The list is the catalogue: states that are labelled today and others tomorrow have the same numbers, and attractors
    found later are appended.

    Args:
        states: (n, D), where orbits ended; -1 is the label of those that are not finite.
        attractors: points (points, D) of each: one for a fixed point, all of a cycle, many along a curve or a chaotic
            orbit.
        radius: largest distance to the nearest point; 0 is the label of what is farther from all. For curves and chaos
            it must exceed the gaps between their points, and be well below the distance of two attractors: where two
            are within it of a state, the nearer one counts.
        symmetries: functions of states (n, D) that map attractors onto attractors, such as `lambda y: -y`. A state
            counts as next to an attractor if any of its images is: labels up to symmetry. Products of symmetries are
            symmetries of their own, and must be listed.

    Raises:
        ValueError: no attractors, one without points or of another dimension, `radius` not above 0.
    """
    from scipy.spatial import KDTree

    states = np.asarray(states, float)
    if not attractors:
        raise ValueError("`attractors` must be at least one, got none")
    if not radius > 0:
        raise ValueError(f"`radius` must be above 0, got {radius}")
    for points in attractors:
        if np.ndim(points) != 2 or not len(points) or np.shape(points)[1] != states.shape[1]:
            raise ValueError(f"`attractors` must have shapes (points, {states.shape[1]}), got {np.shape(points)}")
    finite = np.asarray(np.isfinite(states).all(axis=1))
    safe = np.where(finite[:, None], states, 0.0)
    images = [safe, *(np.asarray(image(safe)) for image in symmetries)]
    far = np.stack([np.min([KDTree(points).query(image)[0] for image in images], axis=0) for points in attractors])
    return np.where(finite, np.where(far.min(axis=0) <= radius, far.argmin(axis=0) + 1, 0), -1)


@dataclass(frozen=True)
class BasinStability:
    """How far a state may be pushed and still come home.

    Attributes:
        radii: (radii,), of the spheres.
        stability: (radii,), share of starts on the sphere that come home; NaN where the centre has no home.
        low, high: (radii,), Wilson's 95 % interval.
        r50: the first radius at which the share falls below a half, inf if it never does, NaN without a home.
        home: label of the centre's own attractor.
    """

    radii: Float[np.ndarray, "radii"]
    stability: Float[np.ndarray, "radii"]
    low: Float[np.ndarray, "radii"]
    high: Float[np.ndarray, "radii"]
    r50: float
    home: int


def basin_stability(
    label_of: LabelOf,
    centre: Float[Array | np.ndarray, "D"] | Numbers,
    *,
    radii: Float[Array | np.ndarray, "radii"] | Numbers,
    n: int,
    seed: int,
    home: int | None = None,
) -> BasinStability:
    """S(r): what share of random starts at distance r from `centre` ends where `centre` itself does.

    Menck et al. weigh a basin by its share of a volume. This is by radius: each sphere stands for itself, so that the
    curve shows how the basin thins out. r50 is interpolated linearly between radii, from S(0) = 1 on. A basin that
    returns farther out does not change it.

    Args:
        label_of: called as label_of(states) with (n, D), gives labels (n,).
        centre: (D,), a state on the attractor, as a rule.
        radii: increasing, > 0. Too coarse, and r50 is only a line between two of them.
        n: starts on each sphere. Too few, and noise carries S below a half too early; the intervals tell.
        seed: of the directions.
        home: label to come home to, >= 1; that of `centre` if None. Where `centre` has none, all is NaN.

    Raises:
        ValueError: radii that do not increase from above 0, `n` below 1, a home below 1, labels that are no n
            integers.

    References:
        Menck, Heitzig, Marwan, Kurths (2013), Nature Physics 9, 89.
    """
    centre, radii = as_vector("centre", centre), as_vector("radii", radii)
    if radii[0] <= 0 or np.any(np.diff(radii) <= 0):
        raise ValueError(f"`radii` must increase from above 0, got {radii.tolist()}")
    check_number(n)
    if home is not None and home < 1:
        raise ValueError(f"`home` must be the label of an attractor, >= 1, got {home}")
    if home is None:
        home = int(labels_at(label_of, centre[None])[0])
    if home < 1:
        unknown = np.full(len(radii), np.nan)
        return BasinStability(radii, unknown, unknown.copy(), unknown.copy(), np.nan, home)
    rng = np.random.default_rng(seed)
    count = np.array(
        [np.sum(labels_at(label_of, centre + r * unit_vectors(rng, n, len(centre))) == home) for r in radii]
    )
    stability = count / n
    return BasinStability(radii, stability, *wilson(count, n), _half(radii, stability), home)


def _half(radii: np.ndarray, stability: np.ndarray) -> float:
    """Where the share first falls below a half, on straight lines from 1 at radius 0."""
    below = np.flatnonzero(stability < 0.5)
    if not len(below):
        return np.inf
    i = below[0]
    r, share = (radii[i - 1], stability[i - 1]) if i else (0.0, 1.0)
    return float(r + (share - 0.5) / (share - stability[i]) * (radii[i] - r))


def labels_at(label_of: LabelOf, states: Float[np.ndarray, "n D"]) -> Integer[np.ndarray, "n"]:
    """The labels of some states.

    Raises:
        ValueError: `label_of` gives anything but one integer a state.
    """
    labels = np.asarray(label_of(states))
    if labels.shape != states.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        given = f"{labels.dtype}{list(labels.shape)}"
        raise ValueError(f"`label_of` must give one integer a state, {len(states)} of them, got {given}")
    return labels


def as_labels(labels: Any) -> Integer[np.ndarray, "..."]:
    """Labels as an array of integers.

    Raises:
        ValueError: they are not integers.
    """
    array = np.asarray(labels)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"`labels` must be integers, got {array.dtype}")
    return array if array.size else array.astype(np.int64)
