"""How boundaries are made: smooth curves, fractals of known dimension, and images that have none."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from truths import CANTOR_EXPONENT, CARPET_DIMENSION, NEWTON_DIMENSION

import attractor_jax as aj
from attractor_jax.starts import in_box

ROOTS = np.array([[1, 0], [-0.5, np.sqrt(0.75)], [-0.5, -np.sqrt(0.75)]])


def image(rule: Any, side: int = 1025) -> np.ndarray:
    """Labels 1 and 2 on the unit square."""
    x = np.linspace(0, 1, side)
    return np.where(rule(x[None, :], x[:, None]), 1, 2)


def carpet(levels: int) -> np.ndarray:
    """Sierpinski's carpet of 3^levels pixels along a side."""
    whole = np.ones((1, 1), bool)
    for _ in range(levels):
        hole = np.zeros_like(whole)
        whole = np.block([[whole, whole, whole], [whole, hole, whole], [whole, whole, whole]])
    return whole


def newton(state: Any) -> Any:
    """z - (z^3 - 1) / (3 z^2) for z = x + i y."""
    x, y = state
    z = x + 1j * y
    after = z - (z**3 - 1) / (3 * z * z)
    return jnp.stack([after.real, after.imag])


def newton_labels(states: Any) -> np.ndarray:
    """1 to 3 for the root that was found, 0 for none."""
    ends = aj.end_states(newton, states, steps=40)
    away = np.hypot(*(ends.states[:, None] - ROOTS).T)
    return np.where(away.min(axis=0) < 1e-6, 1 + away.argmin(axis=0), 0)


def cantor_labels(points: Any) -> np.ndarray:
    """Through which gap the orbit of a map with three branches of slope 5 leaves [0, 1]: left 1, right 2."""
    x = points[:, 0]
    labels = np.where(x < 0, 1, np.where(x > 1, 2, 0))
    (inside,) = np.nonzero(labels == 0)
    x = x[inside]
    for _ in range(60):  # few are left after it, such as the fixed points
        branch = np.minimum(np.floor(2.5 * x), 2)  # the branches begin at 0, .4 and .8
        x = 5 * x - 2 * branch
        left = x > 1
        labels[inside[left]] = 1 + branch[left]
        inside, x = inside[~left], x[~left]
    return labels


@pytest.mark.parametrize(
    "rule",
    [
        lambda x, y: x > 0.3 + 0 * y,
        lambda x, y: y > 0.5 + 0 * x,
        lambda x, y: x > y,  # through the corners of boxes ...
        lambda x, y: x >= y,
        lambda x, y: x + y > 1,
        lambda x, y: x > y + 0.0123,  # ... and not
        lambda x, y: y > 0.3 * x + 0.2,
        lambda x, y: y > 1.7 * x - 0.3,
        lambda x, y: y > 10 * x - 3.3,
        lambda x, y: (x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.4**2,
        lambda x, y: (x - 0.47) ** 2 + (y - 0.53) ** 2 < 0.3**2,
    ],
)
def test_lines_and_circles_have_dimension_one(rule: Any) -> None:
    found = aj.boundary_dimension(image(rule))
    assert found.sizes.tolist() == [4, 8, 16, 32, 64]
    assert found.dimension == pytest.approx(1, abs=0.02)
    assert found.standard_error < 0.02
    assert found.reason == ""


def test_boxes_share_the_samples_on_their_edges() -> None:
    # Labels change between samples 4 and 5, which the box of side 4 from 4 to 8 has and that from 0 to 4 has not.
    labels = np.ones((9, 9), int)
    labels[:, 5:] = 2
    found = aj.boundary_dimension(labels, sizes=[4, 2, 1])
    assert found.counts.tolist() == [8, 4, 2]
    # Between 3 and 4, where two boxes meet: the sample is in both, the change in one.
    labels = np.ones((9, 9), int)
    labels[:, 4:] = 2
    assert aj.boundary_dimension(labels, sizes=[1, 2, 4]).counts.tolist() == [8, 4, 2]
    # A single sample of another label at the corner of four boxes is in all of them.
    labels = np.ones((9, 9), int)
    labels[4, 4] = 2
    assert aj.boundary_dimension(labels, sizes=[1, 2, 4]).counts.tolist() == [4, 4, 4]


def test_a_count_by_hand_of_any_image() -> None:
    labels = np.random.default_rng(3).integers(0, 2, (13, 25)) * (np.arange(25) > 9)
    found = aj.boundary_dimension(labels, sizes=[1, 2, 3, 4, 6, 12])
    for s, count in zip(found.sizes, found.counts, strict=True):
        boxes = [labels[i : i + s + 1, j : j + s + 1] for i in range(0, 12, s) for j in range(0, 24, s)]
        assert count == sum(len(np.unique(box)) > 1 for box in boxes)
    slopes = -np.diff(np.log(found.counts)) / np.diff(np.log(found.sizes))
    assert found.slopes == pytest.approx(slopes, abs=1e-12)
    (slope, _), covariance = np.polyfit(np.log(found.sizes), np.log(found.counts), 1, cov=True)
    assert found.dimension == pytest.approx(-slope, rel=1e-10)
    assert found.standard_error == pytest.approx(np.sqrt(covariance[0, 0]), rel=1e-10)


def test_sierpinskis_carpet() -> None:
    found = aj.box_dimension(carpet(6))
    assert found.sizes.tolist() == [1, 3, 9, 27]
    assert found.counts.tolist() == [8**6, 8**5, 8**4, 8**3]
    assert found.dimension == pytest.approx(CARPET_DIMENSION, abs=1e-12)
    assert found.dimension == pytest.approx(1.893, abs=0.005)
    # Boxes that its own do not fit into count a little too many, by the same factor at all sizes but for its wobble.
    odd = aj.box_dimension(np.pad(carpet(6), ((0, 39), (0, 39))), sizes=[2, 4, 8, 16, 32])
    assert odd.dimension == pytest.approx(CARPET_DIMENSION, abs=0.03)


def test_the_boundary_of_the_carpets_holes() -> None:
    # Boxes in a hole that touch its edge are counted as well: 8^m + c (8^m - 3^m), so that the slope is steeper by less
    # and less as boxes shrink.
    holes = np.pad(~carpet(7), ((0, 1), (0, 1)))
    found = aj.boundary_dimension(1 + holes, sizes=[3, 9, 27])
    assert found.dimension == pytest.approx(CARPET_DIMENSION, abs=0.005)


def test_newtons_method() -> None:
    along = np.linspace(-1.5, 1.5, 1025)
    plane = aj.Plane(np.zeros(2), np.eye(2)[0], np.eye(2)[1], along, along)
    labels = newton_labels(plane.states().reshape(-1, 2)).reshape(1025, 1025)
    assert (labels == 0).mean() < 1e-4
    found = aj.boundary_dimension(labels)
    assert found.dimension == pytest.approx(1.43, abs=0.02)
    assert found.dimension == pytest.approx(NEWTON_DIMENSION, abs=0.01)
    # Boxes that have all three roots go beyond two labels, few though they are.
    entropy = aj.basin_entropy(labels, box=5)
    assert 0 < entropy.entropy < entropy.boundary_entropy
    assert entropy.boundary_entropy < np.log(3)


def test_newtons_boundary_by_uncertain_starts() -> None:
    points = in_box([-1.5, -1.5], [1.5, 1.5], 40_000, seed=8)
    found = aj.uncertainty_exponent(newton_labels, points, epsilons=0.1 * 2.0 ** -np.arange(7), seed=9)
    assert 2 - found.exponent == pytest.approx(NEWTON_DIMENSION, abs=max(0.02, 3 * found.standard_error))


def test_noise_has_dimension_two() -> None:
    labels = np.random.default_rng(1).integers(1, 3, (257, 257))
    assert aj.boundary_dimension(labels).dimension == pytest.approx(2, abs=1e-3)


def test_cantor_basins() -> None:
    # Radii a factor 5 apart: whole periods of the wobble. At larger ones the ends of [0, 1] show.
    points = np.random.default_rng(5).random((500_000, 1))
    found = aj.uncertainty_exponent(cantor_labels, points, epsilons=0.1 * 5.0 ** -np.arange(2, 8), seed=6)
    assert found.exponent == pytest.approx(CANTOR_EXPONENT, abs=0.01)
    assert abs(found.exponent - CANTOR_EXPONENT) < 4 * found.standard_error
    assert found.standard_error < 0.0025
    assert ((found.low < found.uncertain) & (found.uncertain < found.high)).all()
    assert found.points == 500_000


def test_a_smooth_boundary_has_exponent_one_and_re_simulates() -> None:
    # Labels by the sign of x: a start is uncertain at eps where |x| < eps |d_x|, whatever y.
    asked = []

    def by_sign(points: np.ndarray) -> np.ndarray:
        asked.append(points.copy())
        return np.where(points[:, 0] > 0, 1, 2)

    points, epsilons = in_box([-1.0, -1], [1, 1], 100_000, seed=1), [0.32, 0.08, 0.02]
    found = aj.uncertainty_exponent(by_sign, points, [3.0, 0], epsilons=epsilons)
    assert found.uncertain == pytest.approx(epsilons, rel=0.1)
    assert found.exponent == pytest.approx(1, abs=4 * found.standard_error)
    assert 0.001 < found.standard_error < 0.02
    (states,) = asked
    states = states.reshape(7, -1, 2)
    assert states[1] == pytest.approx(points + [0.32, 0], abs=1e-15)  # directions count by where they point only
    assert states[6] == pytest.approx(points - [0.02, 0], abs=1e-15)
    # Along the boundary nothing is uncertain; obliquely, cos of the angle as much.
    along = aj.uncertainty_exponent(by_sign, points, [0, 1.0], epsilons=epsilons)
    assert np.isnan(along.exponent) and np.isnan(along.standard_error)
    assert along.reason == "0 of the radii have some points uncertain and not all, 3 are needed"
    assert along.uncertain.tolist() == [0, 0, 0]
    each = np.tile([[1.0, np.sqrt(3)]], (len(points), 1))
    oblique = aj.uncertainty_exponent(by_sign, points, each, epsilons=epsilons)
    assert oblique.uncertain == pytest.approx(np.array(epsilons) / 2, rel=0.1)


def test_the_error_of_the_exponent_is_the_scatter_of_its_repeats() -> None:
    def by_sign(points: np.ndarray) -> np.ndarray:
        return np.where(points[:, 0] > 0, 1, 2)

    found = [
        aj.uncertainty_exponent(by_sign, in_box([-1.0], [1.0], 2_000, seed=s), [1.0], epsilons=[0.3, 0.1, 0.03, 0.01])
        for s in range(100)
    ]
    scatter = np.std([one.exponent for one in found])
    assert np.mean([one.exponent for one in found]) == pytest.approx(1, abs=4 * scatter / 10)
    assert 0.8 < np.mean([one.standard_error for one in found]) / scatter < 1.4


def test_radii_that_tell_nothing_are_left_out() -> None:
    def by_sign(points: np.ndarray) -> np.ndarray:
        return np.where(points[:, 0] > 0, 1, 2)

    points, telling = in_box([-1.0], [1.0], 10_000, seed=1), [0.5, 0.2, 0.1]
    few = aj.uncertainty_exponent(by_sign, points, [1.0], epsilons=telling)
    more = aj.uncertainty_exponent(by_sign, points, [1.0], epsilons=[5.0, *telling, 1e-9])
    assert more.uncertain[[0, -1]].tolist() == [1, 0]
    assert more.exponent == few.exponent
    two = aj.uncertainty_exponent(by_sign, points, [1.0], epsilons=[5.0, 0.5, 0.2])
    assert np.isnan(two.exponent)
    assert two.reason.startswith("2 of the radii")


def binary_entropy(p: np.ndarray) -> np.ndarray:
    return -p * np.log(p) - (1 - p) * np.log(1 - p)


def test_the_entropy_of_a_straight_boundary_is_known() -> None:
    # Of the 51 places along a row, 9 put the boundary into a box of 10 pixels, at 1/10 to 9/10 of it.
    labels = np.ones((40, 60), int)
    labels[:, 30:] = 2
    found = aj.basin_entropy(labels, box=10, boxes=40_000, seed=2)
    each = binary_entropy(np.arange(1, 10) / 10)
    assert found.boundary_entropy == pytest.approx(each.mean(), abs=4 * each.std() / np.sqrt(found.mixed))
    assert found.mixed == pytest.approx(40_000 * 9 / 51, abs=4 * np.sqrt(40_000 * 9 / 51))
    assert found.entropy == pytest.approx(found.boundary_entropy * found.mixed / found.boxes, rel=1e-12)
    assert aj.basin_entropy(labels, box=10).boxes == 24
    assert found.boundary_entropy < np.log(2)


def test_the_entropy_of_a_whole_image_by_hand() -> None:
    labels = np.array([[1, 1, 2], [1, 0, -1], [1, 1, 1]])
    found = aj.basin_entropy(labels, box=3)
    by_hand = -(6 / 9 * np.log(6 / 9) + 3 * (1 / 9) * np.log(1 / 9))
    assert (found.entropy, found.boundary_entropy) == pytest.approx((by_hand, by_hand), rel=1e-12)
    assert (found.boxes, found.mixed, found.reason) == (1, 1, "")


def test_boxes_reach_every_place() -> None:
    # One odd pixel in each corner: only a box that lies in the very corner has it.
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        labels = np.ones((6, 7), int)
        labels[corner] = 5
        found = aj.basin_entropy(labels, box=4, boxes=3_000)
        assert found.mixed / found.boxes == pytest.approx(1 / 12, abs=4 * np.sqrt(1 / 12 / 3_000))


@pytest.mark.parametrize("n", [2, 3])
def test_noise_has_the_entropy_of_its_labels(n: int) -> None:
    labels = np.random.default_rng(4).integers(1, n + 1, (400, 400))
    found = aj.basin_entropy(labels, box=20)
    # As mixed as a finite sample shows: (n - 1) / (2 box^2) less.
    assert found.boundary_entropy == pytest.approx(np.log(n) - (n - 1) / 800, abs=3e-4)
    assert found.mixed == found.boxes == 400


def test_an_image_without_a_boundary_gives_nan_with_a_reason() -> None:
    single, empty = np.full((257, 257), 3), np.zeros((0, 5), int)
    for labels, reason in ((single, "the image has one label only, 3"), (empty, "the image is empty")):
        entropy, dimension = aj.basin_entropy(labels, box=5), aj.boundary_dimension(labels)
        assert np.isnan([entropy.entropy, entropy.boundary_entropy, dimension.dimension]).all()
        assert np.isnan(dimension.standard_error)
        assert (entropy.reason, dimension.reason) == (reason, reason)
        assert len(dimension.counts) == len(dimension.slopes) == 0
    for mask in (np.zeros((64, 64), bool), np.zeros((0, 0), bool)):
        found = aj.box_dimension(mask)
        assert np.isnan(found.dimension)
        assert found.reason == "the set is empty"


def test_a_boundary_that_no_box_met() -> None:
    labels = np.ones((500, 500), int)
    labels[0, 0] = 2
    found = aj.basin_entropy(labels, box=2, boxes=3)
    assert found.entropy == 0 and np.isnan(found.boundary_entropy)
    assert found.reason == "no box has more than one label"


def exponent(**other: Any) -> Any:
    given = dict(label_of=cantor_labels, points=[[0.5]], directions=None, epsilons=[0.1]) | other
    label_of, points, directions = given["label_of"], given["points"], given["directions"]
    return aj.uncertainty_exponent(label_of, points, directions, epsilons=given["epsilons"])


TWO = image(lambda x, y: x > y, 65)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: aj.basin_entropy(TWO, box=1), "`box` must be at least 2 pixels, got 1"),
        (lambda: aj.basin_entropy(TWO, box=66), r"`box` must fit into the image of \(65, 65\) pixels, got 66"),
        (lambda: aj.basin_entropy(TWO, box=5, boxes=0), "`boxes` must be at least 1, got 0"),
        (lambda: aj.basin_entropy([[1.0, 2.0]], box=2), "`labels` must be integers, got float64"),
        (lambda: aj.basin_entropy([1, 2], box=2), r"`labels` must be an image, \(rows, columns\), got shape \(2,\)"),
        (lambda: aj.boundary_dimension([1, 2]), r"`labels` must be an image, \(rows, columns\), got shape \(2,\)"),
        (lambda: aj.boundary_dimension(TWO, sizes=[1, 2, 5]), "`sizes` must divide side - 1, 64 and 64, got 5"),
        (lambda: aj.boundary_dimension(TWO, sizes=[1, 2]), r"`sizes` must be at least three .* >= 1, got \[1, 2\]"),
        (lambda: aj.boundary_dimension(TWO, sizes=[0, 1, 2]), r"`sizes` must be at least three .*, got \[0, 1, 2\]"),
        (lambda: aj.boundary_dimension(image(lambda x, y: x > y, 64)), r"`labels` must have sides .* got 64 x 64"),
        (lambda: aj.boundary_dimension([[1, 2]]), r"`labels` must have at least two samples .*, got \(1, 2\)"),
        (lambda: aj.box_dimension([[1, 0]]), r"`mask` must be an image of booleans, got int64\[1, 2\]"),
        (lambda: aj.box_dimension(np.ones((27, 27), bool), sizes=[1, 3, 4]), "`sizes` must divide the side, 27 and 2"),
        (lambda: aj.box_dimension(np.ones((26, 26), bool)), r"`mask` must have sides .*, 2\^k say, got 26 x 26"),
        (lambda: exponent(epsilons=[0.1, 0.0]), r"`epsilons` must be radii above 0, got \[0.1, 0.0\]"),
        (lambda: exponent(epsilons=[-0.1]), r"`epsilons` must be radii above 0, got \[-0.1\]"),
        (lambda: exponent(epsilons=[]), r"`epsilons` must be radii above 0, got \[\]"),
        (lambda: exponent(points=np.zeros((0, 1))), r"`points` must be at least one finite state, .* shape \(0, 1\)"),
        (lambda: exponent(points=[0.1]), r"`points` must be at least one finite state, of shape \(n, D\)"),
        (lambda: exponent(points=[[np.nan]]), "`points` must be at least one finite state"),
        (lambda: exponent(directions=[0.0]), "`directions` must be finite and longer than 0"),
        (lambda: exponent(directions=[1.0, 0]), r"`directions` must have shape \(1,\) or \(1, 1\), got \(2,\)"),
        (lambda: exponent(label_of=lambda x: 1), "`label_of` must give one integer a state, 3 of them, got int64"),
    ],
)
def test_bad_input_is_one_clear_line(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        call()
    assert "\n" not in str(refused.value)
