"""Initial states, where they end, how sure their shares are, and how far a state may be pushed."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from truths import TANH_X

import attractor_jax as aj
from attractor_jax.basins import wilson
from attractor_jax.starts import in_ball, in_box, on_sphere


def double_tanh(x: Any) -> Any:
    return jnp.tanh(2 * x)


def quadrant(states: Any) -> np.ndarray:
    """Labels 1 to 4 by the signs of the end state (x, y) of the tanh map, 0 where it is at none of the four."""
    ends = aj.end_states(double_tanh, states, steps=200).states
    there = np.all(np.abs(np.abs(ends) - TANH_X) < 1e-9, axis=1)
    return np.where(there, 1 + (ends[:, 0] < 0) + 2 * (ends[:, 1] < 0), 0)


def side(states: Any) -> np.ndarray:
    """Labels 1 and 2 by the sign of the end state of the tanh map in one dimension."""
    return np.where(aj.end_states(double_tanh, states, steps=200).states[:, 0] > 0, 1, 2)


def plane(n: int, reach: float = 1.0, **other: Any) -> aj.Plane:
    along = np.linspace(-reach, reach, n)
    given = dict(origin=np.zeros(2), first=np.eye(2)[0], second=np.eye(2)[1], u=along, v=along)
    return aj.Plane(**(given | other))


def test_four_basins_of_a_quarter_each() -> None:
    # An even grid has no start on an axis, so that the four shares are equal to the last cell.
    states = plane(64, 2.0).states().reshape(-1, 2)
    table = aj.basin_fractions(quadrant(states))
    assert table["label"].tolist() == [1, 2, 3, 4]
    assert table["fraction"].tolist() == [0.25] * 4
    assert table["count"].tolist() == [1024] * 4
    drawn = aj.basin_fractions(quadrant(in_box([-2.0, -2], [2, 2], 10_000, seed=6)), z=4)
    assert drawn["label"].tolist() == [1, 2, 3, 4]
    assert ((drawn["low"] < 0.25) & (0.25 < drawn["high"])).all()


def test_end_states_are_labelled_by_the_attractor_they_are_next_to() -> None:
    """By a catalogue in whose order the numbers are, and that may grow."""
    wells = [np.array([[a, b]]) * TANH_X for b in (1, -1) for a in (1, -1)]
    starts = in_box([-2.0, -2], [2, 2], 500, seed=3)
    ends = aj.end_states(double_tanh, starts, steps=200).states
    labels = aj.nearest_attractor(ends, wells, radius=1e-6)
    np.testing.assert_array_equal(labels, quadrant(starts))
    known = aj.nearest_attractor(ends, wells[:2], radius=1e-6)
    np.testing.assert_array_equal(known, np.where(labels <= 2, labels, 0))
    lost = np.concatenate([ends[:3], [[np.nan, 0.0], [np.inf, 1.0]]])
    assert aj.nearest_attractor(lost, wells, radius=1e-6)[3:].tolist() == [-1, -1]
    # Up to the map's symmetry y -> -y two are left, up to all of its symmetries one.
    odd = aj.nearest_attractor(ends, wells[:2], radius=1e-6, symmetries=[np.negative])
    np.testing.assert_array_equal(odd, np.where(labels == 1, 1, np.where(labels == 4, 1, 2)))
    mirrors = [np.negative, lambda y: y * [1, -1], lambda y: y * [-1, 1]]
    assert (aj.nearest_attractor(ends, wells[:1], radius=1e-6, symmetries=mirrors) == 1).all()


@pytest.mark.parametrize(
    ("attractors", "radius", "message"),
    [
        ([], 1.0, "`attractors` must be at least one"),
        ([np.zeros((0, 2))], 1.0, "`attractors` must have shapes"),
        ([np.zeros((1, 3))], 1.0, r"`attractors` must have shapes \(points, 2\), got \(1, 3\)"),
        ([np.zeros((1, 2))], 0.0, "`radius` must be above 0, got 0"),
    ],
)
def test_catalogues_that_cannot_be(attractors: Any, radius: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        aj.nearest_attractor(np.zeros((1, 2)), attractors, radius=radius)


def test_starts_on_the_boundary_are_unresolved() -> None:
    table = aj.basin_fractions(quadrant(plane(3).states().reshape(-1, 2)))
    assert table["label"].tolist() == [0, 1, 2, 3, 4]
    assert table["count"].tolist() == [5, 1, 1, 1, 1]


def test_a_plane_lies_where_it_should() -> None:
    tilted = aj.Plane([1.0, 0, 2], [0, 2, 0], [1, 1, 0], u=[0, 1, 3], v=[-1, 5])
    states = tilted.states()
    assert states.shape == (2, 3, 3)
    assert states[1, 2].tolist() == [1 + 5, 3 * 2 + 5, 2]
    assert states[0, 0].tolist() == [0, -1, 2]


@pytest.mark.parametrize("D", [1, 2, 3, 20])
def test_samples_are_uniform(D: int) -> None:
    n, centre = 20_000, np.arange(D) - 1.0
    inside = np.linalg.norm(in_ball(centre, 3.0, n, seed=1) - centre, axis=1)
    assert inside.max() <= 3
    # The share within radius r is (r/3)^D.
    at = 3 * 0.5 ** (1 / D)
    assert abs((inside < at).mean() - 0.5) < 4 * np.sqrt(0.25 / n)
    surface = on_sphere(centre, 3.0, n, seed=2) - centre
    assert np.linalg.norm(surface, axis=1) == pytest.approx(np.full(n, 3.0), rel=1e-12)
    assert np.abs(surface.mean(axis=0)).max() < 4.5 * 3 / np.sqrt(D * n)
    assert (surface**2).mean(axis=0) == pytest.approx(np.full(D, 9 / D), rel=0.05)
    box = in_box(centre, centre + np.arange(1, D + 1), n, seed=3) - centre
    assert (box >= 0).all() and (box <= np.arange(1, D + 1)).all()
    assert box.mean(axis=0) == pytest.approx(np.arange(1, D + 1) / 2, rel=0.02)


@pytest.mark.parametrize("sample", [in_ball, on_sphere])
def test_samples_are_those_of_their_seed(sample: Any) -> None:
    assert np.array_equal(sample([0.0, 1], 2.0, 5, seed=4), sample([0.0, 1], 2.0, 5, seed=4))
    assert not np.array_equal(sample([0.0, 1], 2.0, 5, seed=4), sample([0.0, 1], 2.0, 5, seed=5))
    assert sample([0.0, 1], 0.0, 3, seed=4).tolist() == [[0, 1]] * 3


def test_wilson_by_hand() -> None:
    # z = 2: (5 + 2) / 14 -+ 2 / 14 sqrt(5 * 5 / 10 + 1)
    low, high = wilson(5, 10, z=2)
    assert (low, high) == pytest.approx((0.5 - np.sqrt(3.5) / 7, 0.5 + np.sqrt(3.5) / 7), abs=1e-14)
    # None of ten: 0 and z^2 / (n + z^2). The textbook's 8 of 10: .4902 to .9433.
    low, high = wilson([0, 8, 10], 10)
    assert low == pytest.approx([0, 0.4902, 10 / (10 + 1.96**2)], abs=5e-5)
    assert high == pytest.approx([1.96**2 / (10 + 1.96**2), 0.9433, 1], abs=5e-5)
    assert np.isnan(wilson(0, 0)).all()


def test_fractions_have_a_row_for_each_label_that_occurs() -> None:
    table = aj.basin_fractions(np.array([[3, -1], [3, 1]]))
    assert list(table.columns) == ["label", "count", "fraction", "low", "high"]
    assert table["label"].tolist() == [-1, 1, 3]
    assert table["fraction"].tolist() == [0.25, 0.25, 0.5]
    low, high = wilson(2, 4)
    assert table.loc[2, ["low", "high"]].tolist() == [low, high]
    nothing = aj.basin_fractions(np.zeros(0, int))
    assert len(nothing) == 0
    assert list(nothing.columns) == list(table.columns)
    assert nothing.dtypes.tolist() == table.dtypes.tolist()


@pytest.mark.parametrize("steps", [0, 1, 7, 8, 29])
def test_end_states_are_those_of_single_orbits(steps: int) -> None:
    henon = aj.HenonMap(jnp.asarray(1.4), jnp.asarray(0.3))
    states = in_box([-0.5, -0.2], [0.5, 0.2], 20, seed=1)
    ends = aj.end_states(henon, states, steps=steps)
    for state, end in zip(states, ends.states, strict=True):
        assert end == pytest.approx(np.asarray(aj.orbit(henon, state, steps=steps + 1)[-1]), abs=1e-6)
    assert (ends.diverged_at == -1).all()
    assert ends.diverged_at.dtype == np.int64


def test_networks_end_where_their_orbits_do() -> None:
    net = aj.feedback_network(seed=3, N=4, D=8, s=0.7)
    states = in_ball(np.zeros(8), 0.1, 5, seed=1)
    ends = aj.end_states(net, states, steps=37)
    for state, end in zip(states, ends.states, strict=True):
        assert end == pytest.approx(np.asarray(aj.orbit(net, state, steps=38)[-1]), abs=1e-12)


def test_a_diverged_orbit_freezes_and_leaves_its_neighbours_alone() -> None:
    def square(x: Any) -> Any:
        return x * x

    # 10^(2^k) passes the largest float64, 1.8e308, at k = 9; 10^(2^8 / 8) = 10^32 four steps later.
    starts = np.array([[10.0], [0.5], [np.nan], [10 ** (1 / 8)], [-np.inf], [1.0]])
    ends = aj.end_states(square, starts, steps=11)
    assert ends.diverged_at.tolist() == [9, -1, 0, -1, 0, -1]
    assert ends.states[0, 0] == np.inf
    assert np.isnan(ends.states[2, 0])
    assert ends.states[4, 0] == -np.inf  # frozen: its square would be +inf
    assert ends.states[3, 0] == pytest.approx(10**256, rel=1e-10)
    alone = aj.end_states(square, starts[[1, 3, 5]], steps=11)
    assert np.array_equal(alone.states, ends.states[[1, 3, 5]])
    longer = aj.end_states(square, starts, steps=100)
    assert longer.diverged_at.tolist() == [9, -1, 0, 12, 0, -1]


def test_the_first_state_that_is_not_finite_is_kept() -> None:
    def count_down(x: Any) -> Any:
        return jnp.stack([x[0] - 1, jnp.where(x[0] <= 1, jnp.nan, x[1])])

    starts = np.array([[1.0, 5], [3, 5], [8, 5], [9, 5], [40, 5]])
    ends = aj.end_states(count_down, starts, steps=20)
    assert ends.diverged_at.tolist() == [1, 3, 8, 9, -1]
    assert ends.states[:, 0].tolist() == [0, 0, 0, 0, 20]
    assert np.isnan(ends.states[:4, 1]).all() and ends.states[4, 1] == 5


def test_steps_do_not_compile_again(compilations: Any) -> None:
    states = in_box([-1.0], [1.0], 6, seed=1)
    aj.end_states(double_tanh, states, steps=5)
    with compilations() as made:
        aj.end_states(double_tanh, states, steps=1000)
    assert made == []


def test_float32_stays_float32() -> None:
    assert aj.end_states(double_tanh, np.ones((2, 2), np.float32), steps=3).states.dtype == np.float32


def test_how_far_the_end_of_a_well_may_be_pushed() -> None:
    # In one dimension: all come home from nearer than x*, every second from farther away.
    radii = TANH_X * np.array([0.1, 0.5, 0.999, 1.001, 2.0])
    found = aj.basin_stability(side, [TANH_X], radii=radii, n=4_000, seed=2)
    assert found.home == 1
    assert found.stability[:3].tolist() == [1, 1, 1]
    assert found.stability[3:] == pytest.approx([0.5, 0.5], abs=4 * np.sqrt(0.25 / 4_000))
    low, high = wilson(4_000 * found.stability, 4_000)
    assert np.array_equal(found.low, low) and np.array_equal(found.high, high)


def arc_in_quadrant(r: np.ndarray) -> np.ndarray:
    """Share of the circle of radius r about (x*, x*) that lies in the positive quadrant."""
    # Outside are the arcs beyond either axis, of half angle acos(x*/r), which overlap from r = sqrt(2) x* on.
    half = np.arccos(np.minimum(TANH_X / r, 1))
    return 1 - (4 * half - np.maximum(0, 2 * half - np.pi / 2)) / (2 * np.pi)


def test_the_share_of_a_circle_in_its_quadrant() -> None:
    n, radii = 20_000, TANH_X * np.array([0.5, 0.95, 1.05, 1.2, 1.4, 1.6, 2.0, 3.0])
    found = aj.basin_stability(quadrant, [TANH_X, TANH_X], radii=radii, n=n, seed=3)
    true = arc_in_quadrant(radii)
    assert found.stability[:2].tolist() == [1, 1]
    assert np.all(np.abs(found.stability - true)[2:] < 4 * np.sqrt(true * (1 - true) / n)[2:])
    # 1/2 is passed where cos(pi/4) = x*/r, at sqrt(2) x*: between the radii 1.4 and 1.6.
    assert found.r50 == pytest.approx(np.sqrt(2) * TANH_X, abs=0.02)
    a, b = found.stability[4:6]
    assert found.r50 == pytest.approx(TANH_X * (1.4 + 0.2 * (a - 0.5) / (a - b)), rel=1e-12)


def test_r50_has_a_value_only_where_there_is_one() -> None:
    def always(label: int) -> Any:
        return lambda states: np.full(len(states), label)

    ball = dict(radii=[1.0, 2.0], n=10, seed=0)
    safe = aj.basin_stability(always(3), [0.0, 0], **ball)
    assert (safe.r50, safe.home) == (np.inf, 3)
    assert safe.stability.tolist() == [1, 1]
    for label in (0, -1):
        lost = aj.basin_stability(always(label), [0.0, 0], **ball)
        assert np.isnan(lost.r50) and np.isnan(lost.stability).all() and np.isnan(lost.low).all()
        assert lost.home == label
    # None comes home: a straight line from S(0) = 1 to S(1) = 0.
    assert aj.basin_stability(always(3), [0.0, 0], home=1, **ball).r50 == 0.5


def stability(**other: Any) -> Any:
    given = dict(label_of=side, centre=[1.0], radii=[0.5, 1.0], n=3, seed=0) | other
    return aj.basin_stability(given.pop("label_of"), given.pop("centre"), **given)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plane(3, second=[-2.0, 0]), "`first` and `second` must span a plane, got parallel directions"),
        (lambda: plane(3, second=[0.0, 0]), "`first` and `second` must be directions, got a vector of length 0"),
        (lambda: plane(0), r"`u` must be a vector with at least one value, got shape \(0,\)"),
        (lambda: plane(3, v=[[1.0]]), r"`v` must be a vector with at least one value, got shape \(1, 1\)"),
        (lambda: plane(3, second=[0.0, 1, 0]), r"`second` must have the shape of `origin`, \(2,\), got shape \(3,\)"),
        (lambda: plane(3, u=[0.0, np.nan]), r"`u` must be finite, got \[0.0, nan\]"),
        (lambda: in_ball([0.0], 1.0, 0, seed=0), "`n` must be at least 1, got 0"),
        (lambda: on_sphere([0.0], -1.0, 3, seed=0), "`radius` must be >= 0 and finite, got -1.0"),
        (lambda: in_ball([], 1.0, 3, seed=0), r"`centre` must be a vector with at least one value, got shape \(0,\)"),
        (lambda: in_box([0.0, 1], [1.0, 1], 3, seed=0), r"`low` must be below `high` in every component, got \[0.0,"),
        (lambda: in_box([0.0], [1.0, 1], 3, seed=0), r"`low` and `high` must have one shape, got \(1,\) and \(2,\)"),
        (lambda: in_box([0.0], [1.0], 0, seed=0), "`n` must be at least 1, got 0"),
        (lambda: wilson(3, 2), "`count` must lie between 0 and `n`"),
        (lambda: wilson(1, 2, z=-1.0), "`z` must be >= 0, got -1"),
        (lambda: aj.basin_fractions([1.0, 2.0]), "`labels` must be integers, got float64"),
        (lambda: aj.end_states(double_tanh, np.zeros((2, 1)), steps=-1), "`steps` must be >= 0, got -1"),
        (lambda: aj.end_states(lambda x: x[:1], np.zeros((2, 2)), steps=1), "`map` must give back what it takes"),
        (lambda: stability(radii=[1.0, 1.0]), r"`radii` must increase from above 0, got \[1.0, 1.0\]"),
        (lambda: stability(radii=[0.0, 1.0]), r"`radii` must increase from above 0, got \[0.0, 1.0\]"),
        (lambda: stability(radii=[]), "`radii` must be a vector with at least one value"),
        (lambda: stability(n=0), "`n` must be at least 1, got 0"),
        (lambda: stability(home=0), "`home` must be the label of an attractor, >= 1, got 0"),
        (lambda: stability(label_of=lambda x: x[:, 0]), r"`label_of` must give one integer a state, 1 of them, got fl"),
    ],
)
def test_bad_input_is_one_clear_line(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        call()
    assert "\n" not in str(refused.value)


def test_a_network_is_a_pytree_whose_numbers_do_not_compile_again(compilations: Any) -> None:
    states = in_box([-1.0], [1.0], 6, seed=1)
    aj.end_states(aj.LogisticMap(jnp.asarray(2.0)), states, steps=5)
    another = jax.block_until_ready(aj.LogisticMap(jnp.asarray(3.0)))
    with compilations() as made:
        aj.end_states(another, states, steps=5)
    assert made == []
