"""The recurrence test: cycles by their smallest period, closed curves and chaos by none, and what "near" means."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from truths import NETWORKS

import attractor_jax as aj
from attractor_jax.iterate import iterate


@partial(jax.jit, static_argnames=("transient", "longest", "tolerance"))
def settled(map_: Any, state: Any, *, transient: int = 20_000, longest: int = 1024, tolerance: float | None = None):
    """Period and absolute tolerance on the attractor."""
    return aj.find_period(map_, iterate(map_, state, steps=transient), longest=longest, tolerance=tolerance)


def logistic_period(r: float, **options: Any) -> int:
    return int(settled(aj.LogisticMap(jnp.asarray(r)), jnp.asarray([0.3]), **options).period)


@pytest.mark.parametrize(
    ("r", "period"),
    [
        (2.5, 1),
        (3.2, 2),
        (3.5, 4),
        (3.55, 8),
        (3.84, 3),  # the window of period 3 ...
        (3.8445, 6),  # ... and its first doubling, at 3.8415
        (3.9, 0),
        (4.0, 0),
    ],
)
def test_the_cycles_of_the_logistic_map(r: float, period: int) -> None:
    assert logistic_period(r) == period


def test_a_cycle_longer_than_the_search_is_none() -> None:
    assert logistic_period(3.55, longest=8) == 8
    assert logistic_period(3.55, longest=7) == 0


@pytest.mark.parametrize("longest", [1, 5, 1024])
def test_a_rotation_by_a_rational_angle_comes_back_when_it_should(longest: int) -> None:
    angle = 2 * np.pi * 3 / 5
    turn = aj.LinearMap(jnp.asarray([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]))
    period = settled(turn, jnp.asarray([1.0, 0.5]), transient=0, longest=longest).period
    assert period == (5 if longest >= 5 else 0)


def test_a_closed_curve_does_not_come_back() -> None:
    known = NETWORKS["C"]
    net = aj.feedback_network(seed=known.seed, N=known.N, D=known.D, s=known.s)
    assert settled(net, net.initial_state()).period == 0
    delayed = aj.DelayedLogisticMap(jnp.asarray(2.1))
    assert settled(delayed, jnp.asarray([0.5, 0.5])).period == 0
    # Nearly so: with a tolerance as coarse as a step along the curve it seems to.
    assert settled(delayed, jnp.asarray([0.5, 0.5]), tolerance=0.3).period == 1


def test_the_whole_delay_state_is_compared() -> None:
    # y = 0, 0, 1, 0, 0, 1 ... shows the same newest output twice in a row; only the register tells the two apart.
    register = aj.LinearMap(jnp.asarray([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]))
    period = settled(register, jnp.asarray([0.0, 0.0, 1.0]), transient=0).period
    assert period == 3


@pytest.mark.parametrize(("start", "near"), [(0.5, 1e-3), (20.0, 20e-3)])
def test_near_is_the_tolerance_times_the_size_of_the_state_or_one(start: float, near: float) -> None:
    # x' = x + h: after one step it is h away.
    def drifting(h: float):
        return jax.tree_util.Partial(lambda h, x: x + h, jnp.asarray(h))

    found = settled(drifting(0.9 * near), jnp.asarray([start]), transient=0, tolerance=1e-3)
    period, tolerance = found.period, found.tolerance
    assert period == 1
    assert float(tolerance) == pytest.approx(near, rel=1e-12)
    assert settled(drifting(1.1 * near), jnp.asarray([start]), transient=0, tolerance=1e-3).period == 0


def test_near_is_the_largest_difference() -> None:
    away = jax.tree_util.Partial(lambda h, x: x + h, jnp.asarray([0.0, 0.0, 2e-3]))
    assert settled(away, jnp.zeros(3), transient=0, tolerance=1e-3).period == 0
    # Not the length of the difference vector: three components of 0.9 are within 1.
    within = jax.tree_util.Partial(lambda h, x: x + h, jnp.full(3, 0.9e-3))
    assert settled(within, jnp.zeros(3), transient=0, tolerance=1e-3).period == 1


@pytest.mark.parametrize(("dtype", "near"), [("float64", 1e-9), ("float32", 2e-5)])
def test_the_default_tolerance_is_far_above_rounding(dtype: str, near: float) -> None:
    r = jnp.asarray(3.5, dtype)
    found = settled(aj.LogisticMap(r), jnp.asarray([0.3], dtype))
    period, tolerance = found.period, found.tolerance
    assert period == 4
    assert float(tolerance) == pytest.approx(near, rel=1e-6)


def test_an_orbit_that_diverged_has_no_period() -> None:
    assert logistic_period(5.0) == 0


def test_the_amplitude_is_the_range_of_the_first_component() -> None:
    found = settled(aj.LogisticMap(jnp.asarray(3.2)), jnp.asarray([0.3]))
    low, high = (4.2 - np.sqrt(4.2 * 0.2)) / 6.4, (4.2 + np.sqrt(4.2 * 0.2)) / 6.4  # the 2-cycle at r = 3.2
    assert found.amplitude == pytest.approx(high - low, abs=1e-12)
    assert settled(aj.LogisticMap(jnp.asarray(2.5)), jnp.asarray([0.3])).amplitude < 1e-15
