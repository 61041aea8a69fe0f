"""What is measured of a trained loop, against loops of which it is known."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor_jax.continuity import COLUMNS, measure
from attractor_jax.endpoints import dead_units, endpoints
from attractor_jax.image_loops import Loop, relative, spread
from attractor_jax.images import load
from attractor_jax.known_manifolds import gains, share_near, subspace
from attractor_jax.near_unity import eigenvalues, finite_time_exponents, participation_ratio, spectra
from attractor_jax.pattern_errors import TIMES, completion, drift, retention, selectivity
from attractor_jax.rectified import RectifiedLoop

BOUNDS = [(0.0, np.inf), (0.0, 1.0), (-np.inf, np.inf)]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Whatever overflows does so without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def random_loop(seed: int, n1: int, n2: int, floor: float = 0.0, ceiling: float = np.inf, size: float = 1.0) -> Loop:
    draw = np.random.default_rng(seed).standard_normal
    W21, W12 = size * draw((n2, n1)) / np.sqrt(n1), size * draw((n1, n2)) / np.sqrt(n2)
    return Loop(W21, 0.3 * draw(n2), W12, 0.3 + 0.3 * draw(n1), floor, ceiling)


def linear(W: np.ndarray, floor: float = -np.inf, ceiling: float = np.inf, b1: float = 0.0) -> Loop:
    """x' = W x + b1, held between its bounds."""
    n = len(W)
    return Loop(np.eye(n), np.zeros(n), W.astype(float), np.full(n, b1), floor, ceiling)


def orthonormal(seed: int, n: int, k: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((n, k)))[0]


def images(seed: int, m: int, n1: int) -> np.ndarray:
    """Pixels between 0 and 1, a third of them black."""
    draw = np.random.default_rng(seed)
    return np.where(draw.random((m, n1)) < 1 / 3, 0.0, draw.uniform(0.1, 0.9, (m, n1)))


def given(seed: int, n1: int, m: int = 12, **other: Any) -> dict[str, Any]:
    holes = np.random.default_rng(seed + 3).random((m, n1)) < 0.3
    names = {"truth": images(seed, m, n1), "train": images(seed + 1, 30, n1), "others": images(seed + 2, 7, n1)}
    return names | {"holes": holes} | other


@pytest.mark.parametrize(("floor", "ceiling"), BOUNDS)
@pytest.mark.parametrize(("n1", "n2"), [(9, 5), (6, 13)])
def test_it_is_the_rectified_loop(floor: float, ceiling: float, n1: int, n2: int) -> None:
    loop = random_loop(3, n1, n2, floor, ceiling, size=2.0)
    arrays = (jnp.asarray(each) for each in (loop.W21, loop.b2, loop.W12, loop.b1, floor, ceiling))
    trained = RectifiedLoop(*arrays)
    states = np.random.default_rng(4).uniform(0, 1, (20, n1))
    assert Loop.of(trained).linear == (floor == -np.inf)
    close = {"rtol": 1e-15, "atol": 1e-14}
    np.testing.assert_allclose(Loop.of(trained).step(states), jax.jit(jax.vmap(trained))(states), **close)
    np.testing.assert_allclose(loop.hidden(states), jax.jit(jax.vmap(trained.hidden))(states), **close)
    jacobians = loop.jacobians(states)
    np.testing.assert_allclose(jacobians, jax.jit(jax.vmap(jax.jacfwd(trained)))(states), **close)
    np.testing.assert_allclose(jacobians, jax.jit(jax.vmap(trained.jacobian))(states), **close)
    # Some units are at rest in each, and their zeros are among the eigenvalues.
    found, expected = eigenvalues(loop, states), np.linalg.eigvals(jacobians)
    np.testing.assert_allclose(np.poly(found[0]), np.poly(expected[0]), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), np.trace(jacobians, axis1=1, axis2=2), atol=1e-12)
    moduli = np.sort(np.abs(expected), axis=1)[:, ::-1]
    np.testing.assert_allclose(np.abs(found)[moduli > 1e-6], moduli[moduli > 1e-6], atol=1e-8)


def test_orbits_at_some_times() -> None:
    loop, starts = random_loop(0, 5, 4), images(1, 3, 5)
    once = loop.step(starts)
    expected = [starts, once, loop.step(loop.step(once))]
    np.testing.assert_array_equal(loop.visited(starts, [0, 1, 3]), expected)


def test_relative_changes_of_any_size() -> None:
    states = np.array([[3.0, 4.0], [3e200, 4e200], [3e-200, 4e-200], [0.0, 0.0], [0.0, 0.0], [np.inf, 1.0]])
    changes = np.array([[0.0, 0.5], [0.0, 5e199], [0.0, 5e-201], [0.0, 0.0], [0.0, 1.0], [np.nan, 0.0]])
    np.testing.assert_allclose(relative(changes, states), [0.1, 0.1, 0.1, 0.0, np.inf, np.inf], rtol=1e-14)


def test_images_are_chosen_evenly() -> None:
    assert spread(1).tolist() == [0]
    assert spread(16).tolist() == list(range(16))
    assert (spread(200)[[0, -1]].tolist(), len(spread(200)), len(spread(17))) == ([0, 187], 16, 16)
    for m in (16, 44, 200):  # of what a system keeps, the same images are chosen
        assert (np.arange(64) * m // 64)[spread(64)].tolist() == spread(m).tolist()


def test_the_columns_are_those_promised() -> None:
    names = [column.name for column in COLUMNS]
    assert len(set(names)) == len(names)
    extra = {"tangents": np.ones((12, 2, 8)) + np.eye(8)[:2], "manifold": images(5, 9, 8)}
    for floor, ceiling in BOUNDS:
        for other in ({}, extra):
            found = measure(random_loop(0, 8, 6, floor, ceiling), **given(1, 8, **other))
            assert list(found) == names
            for column in COLUMNS:
                assert isinstance(found[column.name], np.ndarray if column.kind == "list" else float), column
                assert column.nullable or column.kind == "list" or not np.isnan(found[column.name]), column
    lengths = {name: len(value) for name, value in found.items() if isinstance(value, np.ndarray)}
    lists = ("error_in_hole", "error_outside", "retention", "drift")
    assert lengths == dict.fromkeys(lists, 6) | {"moduli": 8, "timescales": 5, "finite_time_exponents": 4}


@pytest.mark.parametrize("n2", [40, 5])
def test_the_parts_are_those_of_the_whole(n2: int) -> None:
    loop, inputs = random_loop(7, 20, n2), given(2, 20)
    found = measure(loop, **inputs, at=3)
    truth, holes = inputs["truth"], inputs["holes"]
    x, y = np.where(holes, 0, truth), truth
    cut = np.sum((x - truth) ** 2)
    assert found["hole"] == pytest.approx(cut / 12, rel=1e-14)
    for t in range(101):
        if t in TIMES:
            i = TIMES.index(t)
            assert found[f"e{t}"] == pytest.approx(np.sum((x - truth) ** 2) / cut, rel=1e-12)
            assert found["error_in_hole"][i] == pytest.approx(np.sum((x - truth)[holes] ** 2) / cut, rel=1e-12)
            assert found["error_outside"][i] == pytest.approx(np.sum((x - truth)[~holes] ** 2) / cut, abs=1e-12)
            assert found["retention"][i] == pytest.approx(np.sum((y - truth) ** 2) / np.sum(truth**2), abs=1e-12)
            speeds = np.linalg.norm(loop.step(y) - y, axis=1) / np.linalg.norm(y, axis=1)
            assert found["drift"][i] == pytest.approx(np.median(speeds), abs=1e-12)
        if t == 3:
            radii = np.abs(np.linalg.eigvals(loop.jacobians(y))).max(axis=1)
            assert found["spectral_radius"] == pytest.approx(radii.mean(), rel=1e-9)
            assert found["participation_ratio"] == pytest.approx(participation_ratio(y), rel=1e-9)
        if t == 20:
            changes = np.sum((y - truth) ** 2, axis=1) / np.sum(truth**2, axis=1)
            assert found["change_members"] == pytest.approx(np.median(changes), rel=1e-12)
            assert found["drift_20"] == found["drift"][4]
        x, y = loop.step(x), loop.step(y)
    assert found["selectivity"] == found["change_others"] / found["change_members"]
    assert found["converged"] + found["escaped"] + found["wandering"] == pytest.approx(1, abs=1e-15)


def test_an_identity_network_keeps_everything() -> None:
    inputs = given(0, 16, m=10)
    found = measure(linear(np.eye(16), floor=0.0), **inputs)
    positive = (inputs["truth"] > 0).sum(axis=1)
    assert [found[f"e{t}"] for t in TIMES] == [1.0] * 6
    assert not found["retention"].any() and not found["drift"].any()
    np.testing.assert_array_equal(found["error_in_hole"], 1.0)
    assert found["near_unity"] == positive.mean()
    assert found["near_unity_sd"] == pytest.approx(positive.std(), rel=1e-12)
    assert (found["gap"], found["spectral_radius"], found["spectrum_speed"]) == (1.0, 1.0, 0.0)
    np.testing.assert_allclose(found["finite_time_exponents"], 0, atol=1e-14)
    assert found["participation_ratio"] == found["participation_ratio_images"]
    assert (found["change_members"], found["change_others"], found["change_noise"]) == (0.0, 0.0, 0.0)
    assert np.isnan(found["selectivity"])
    assert (found["converged"], found["escaped"], found["dead_hidden"], found["dead_visible"]) == (1.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("k", [1, 4])
def test_a_projection_has_as_many_unit_eigenvalues_as_directions(k: int) -> None:
    V = orthonormal(0, 12, k)
    loop = Loop(V.T, np.zeros(k), V, np.zeros(12), -np.inf)
    inputs = given(3, 12)
    # Training images that fill the projection's space and hardly another.
    inputs["train"] = np.random.default_rng(1).standard_normal((40, k)) @ V.T + 2.0
    found = measure(loop, **inputs)
    assert (found["near_unity"], found["near_unity_sd"]) == (k, 0.0)
    assert found["gap"] == pytest.approx(1, abs=1e-14)
    np.testing.assert_allclose(found["moduli"], [1.0] * k + [0.0] * (12 - k), atol=1e-14)
    assert found["idempotence"] < 1e-15
    assert found["principal_angle"] < 1e-5
    assert found["converged"] == 1.0
    np.testing.assert_allclose(found["drift"][1:], 0, atol=1e-14)
    exponents = found["finite_time_exponents"]
    np.testing.assert_allclose(exponents[:k], 0, atol=1e-13)
    assert (exponents[k:] < -1).all()


def test_principal_angles_are_those_of_the_columns() -> None:
    train = np.random.default_rng(0).standard_normal((50, 6)) * [9, 7, 0.1, 0.1, 0.1, 0.1] + 3.0
    axes = np.linalg.svd(train - train.mean(axis=0))[2]
    turn = np.deg2rad(20)
    W12 = np.stack([axes[0], np.cos(turn) * axes[1] + np.sin(turn) * axes[2]], axis=1) @ [[2.0, 1.0], [0.0, 3.0]]

    def network(W12: np.ndarray, **bounds: float) -> Loop:
        return Loop(np.linalg.pinv(W12), np.zeros(W12.shape[1]), W12, np.zeros(6), **{"floor": -np.inf} | bounds)

    found = subspace(network(W12), train)
    assert found["principal_angle"] == pytest.approx(20, abs=1e-9)
    assert found["idempotence"] < 1e-14
    # A hidden unit that is masked away is not there; two that say the same have lost a direction.
    masked = np.concatenate([W12, np.zeros((6, 1))], axis=1)
    assert subspace(network(masked), train)["principal_angle"] == pytest.approx(20, abs=1e-9)
    assert subspace(network(W12[:, [0, 0]]), train)["principal_angle"] == 90.0
    double = Loop(2 * np.linalg.pinv(W12), np.zeros(2), W12, np.zeros(6), -np.inf)
    assert subspace(double, train)["idempotence"] == pytest.approx(1, abs=1e-12)
    for bounds in ({"floor": 0.0}, {"ceiling": 1.0}):
        assert all(np.isnan(each) for each in subspace(network(W12, **bounds), train).values())


def test_spectra_of_a_diagonal_map() -> None:
    loop = linear(np.diag([0.2, 1.5, 1.0, 0.6, 0.95]))
    states = images(0, 4, 5) + 0.1
    found = spectra(loop, states, tolerance=0.1)
    assert (found["near_unity"], found["near_unity_sd"], found["spectral_radius"]) == (2.0, 0.0, 1.5)
    assert found["gap"] == pytest.approx(0.95 - 0.6, abs=1e-14)
    np.testing.assert_allclose(found["moduli"], [1.5, 1.0, 0.95, 0.6, 0.2])
    rates = np.log([0.95, 0.6, 1.5, 0.2])
    np.testing.assert_allclose(found["timescales"], [np.inf, *1 / np.abs(rates)], rtol=1e-14)
    assert spectra(loop, states, tolerance=0.01)["gap"] == pytest.approx(1 - 0.95, abs=1e-14)
    none = spectra(linear(np.diag([0.5, -1.0])), states[:, :2], tolerance=0.1)
    assert none["near_unity"] == 0.0 and np.isnan(none["gap"])
    # Distance in the complex plane: a turn by 0.2 is not near 1, though nothing shrinks.
    turn = linear(np.array([[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]))
    assert [spectra(turn, states[:, :2], tolerance=each)["near_unity"] for each in (0.19, 0.21)] == [0.0, 2.0]
    # A state that diverged has no spectrum, and all the others have theirs.
    lost = np.concatenate([states, [[np.nan] * 5], [[np.inf] * 5]])
    again = spectra(loop, lost, tolerance=0.1)
    assert (again["near_unity"], again["spectral_radius"]) == (2.0, 1.5)
    nothing = spectra(loop, lost[4:], tolerance=0.1)
    assert np.isnan(nothing["near_unity"]) and np.isnan(nothing["moduli"]).all() and nothing["spectrum_speed"] == np.inf


def test_participation_counts_directions_filled_evenly() -> None:
    axes = np.concatenate([np.eye(7)[:3], -np.eye(7)[:3]])
    for factor in (1.0, 1e-200, 1e200):
        assert participation_ratio(factor * axes) == pytest.approx(3, rel=1e-12)
    assert participation_ratio(np.concatenate([axes, [[np.inf] * 7]])) == pytest.approx(3, rel=1e-12)
    cloud = np.random.default_rng(0).standard_normal((30, 9)) * np.arange(1, 10)
    values = np.linalg.eigvalsh(np.cov(cloud.T))
    assert participation_ratio(cloud) == pytest.approx(values.sum() ** 2 / np.sum(values**2), rel=1e-12)
    assert np.isnan(participation_ratio(np.ones((5, 3)))) and np.isnan(participation_ratio(axes[:1]))


@pytest.mark.parametrize(
    "rates",
    [
        [1.2, 1.0, 0.5, 1e-3],
        [1.0, 1e-5, 1e-20, 1e-30],  # whose 20th powers underflow
        [1e30, 1e20, 1.0, 1e-18],  # ... or overflow
        [1.0, 1.0, 0.5, 0.0],
        [0.7],
        [1.1, 1.0, 0.9, 0.8, *np.linspace(0.7, 0.3, 26)],
    ],
)
def test_exponents_of_a_diagonal_map(rates: list[float]) -> None:
    order = np.random.default_rng(0).permutation(len(rates))
    loop = linear(np.diag(rates)[order][:, order])
    found = finite_time_exponents(loop, np.zeros((3, len(rates))), align=300)
    with np.errstate(divide="ignore"):
        # What is below the rounding of the first direction cannot be told from nothing.
        told = np.where(np.array(rates) > 1e-14 * rates[0], rates, 0.0)
        np.testing.assert_allclose(found, np.log(told)[:4], rtol=1e-12, atol=1e-9)


def test_exponents_are_the_growth_of_tangent_vectors() -> None:
    for seed, bounds in enumerate(BOUNDS):
        loop = random_loop(seed, 40, 30, *bounds, size=1.3)
        states = images(seed, 6, 40)
        vector, x = np.linalg.qr(np.random.default_rng(0).standard_normal((40, 1)))[0], states
        lengths = []
        for _ in range(30):
            vector, x = loop.jacobians(x) @ vector, loop.step(x)
            lengths.append(np.linalg.norm(vector[..., 0], axis=1))
        growth = np.median(np.log(lengths[29] / lengths[9]) / 20)
        np.testing.assert_allclose(finite_time_exponents(loop, states, first=1), growth, rtol=1e-12)


def test_directions_that_are_killed_have_no_exponent() -> None:
    loop = random_loop(0, 20, 1, -np.inf, size=1.3)
    found = finite_time_exponents(loop, images(0, 3, 20))
    assert found[0] == pytest.approx(np.log(abs((loop.W21 @ loop.W12).item())), rel=1e-12)
    assert (found[1:] == -np.inf).all()


def test_all_exponents_together_are_the_determinant() -> None:
    W = np.random.default_rng(3).standard_normal((7, 7))
    found = finite_time_exponents(linear(W), np.zeros((1, 7)), first=7)
    assert found.sum() == pytest.approx(np.linalg.slogdet(W)[1], rel=1e-12)


def test_drift_of_a_rotation() -> None:
    turn = 0.3
    loop = linear(np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]))
    starts = np.random.default_rng(0).standard_normal((9, 2))
    np.testing.assert_allclose(drift(loop, loop.visited(starts, TIMES)), 2 * np.sin(turn / 2), rtol=1e-12)
    lost = np.concatenate([starts[:3], np.full((4, 2), np.nan)])
    assert drift(loop, lost[None]).tolist() == [np.inf]


def test_errors_of_a_constant_fill() -> None:
    truth, holes = np.full((2, 4), 0.5), np.array([[True, True, False, False], [False, True, False, False]])
    states = np.stack([np.where(holes, 0, truth), np.where(holes, 0.25, truth), np.full((2, 4), 0.75)] * 2)
    found = completion(truth, holes, states)
    assert [found[f"e{t}"] for t in TIMES[:3]] == pytest.approx([1.0, 0.25, 8 / 12], rel=1e-14)
    np.testing.assert_allclose(found["error_outside"][:3], [0, 0, 5 / 12], atol=1e-15)
    assert found["hole"] == 3 * 0.25 / 2
    assert retention(truth, states)[2] == pytest.approx(0.25, rel=1e-14)
    states[5, 0, 0], states[5, 0, 3] = np.nan, -np.inf
    lost = completion(truth, holes, states)
    assert (lost["e100"], lost["error_in_hole"][5], lost["error_outside"][5]) == (np.inf, np.inf, np.inf)
    assert np.isfinite(lost["e20"]) and retention(truth, states)[5] == np.inf
    # Where nothing was cut there is nothing to fill in.
    whole = completion(truth, np.zeros_like(holes), states)
    assert np.isnan([whole["e0"], whole["e100"]]).all() and whole["hole"] == 0.0


def test_selectivity_of_a_projection() -> None:
    # Members lie in the subspace, others have a third of their squared norm in it.
    V = np.eye(6)[:, :2]
    loop = Loop(V.T, np.zeros(2), V, np.zeros(6), -np.inf)
    members = np.concatenate([np.random.default_rng(0).uniform(0.2, 1, (9, 2)), np.full((9, 4), 1e-3)], axis=1)
    others = np.ones((3, 6))
    late = loop.visited(members, [20])[0]
    found = selectivity(loop, members, late, others, members)
    assert found["change_others"] == pytest.approx(4 / 6, rel=1e-12)
    assert found["change_members"] == pytest.approx(np.median(4e-6 / np.sum(members**2, axis=1)), rel=1e-9)
    assert found["selectivity"] == pytest.approx(found["change_others"] / found["change_members"], rel=1e-14)
    assert found == selectivity(loop, members, late, others, members)
    nobody = selectivity(loop, members, late, others[:0], members)
    assert np.isnan(nobody["change_others"]) and np.isnan(nobody["selectivity"])
    assert nobody["change_members"] == found["change_members"]
    black = selectivity(loop, 0 * members, 0 * late, others, members)
    assert (black["change_members"], black["selectivity"]) == (0.0, np.inf)


def test_noise_has_the_pixels_of_the_images_and_nothing_else() -> None:
    # Pixels are all on or all off together: their mean is all there is to an image, and not half of noise.
    train = np.tile(np.arange(40)[:, None] % 2, (1, 30)).astype(float)
    loop, members = linear(np.full((30, 30), 1 / 30)), train[1::2]
    found = selectivity(loop, members, loop.visited(members, [20])[0], members[:0], train)
    assert found["change_members"] == pytest.approx(0, abs=1e-20)
    assert 0.3 < found["change_noise"] < 0.7
    # What looks at every pixel by itself cannot tell them apart: those that are always on stay on.
    always = np.tile([1.0, 0.0, 1.0], (40, 10))
    assert selectivity(linear(np.diag(always[0])), always, always, always[:0], always)["change_noise"] == 0.0


def test_a_contraction_has_one_end() -> None:
    starts, train = images(0, 8, 5), np.full((3, 5), 0.2)
    found = endpoints(linear(0.5 * np.eye(5), 0.0, 1.0, b1=0.1), starts, train, train)
    assert found == {"converged": 1.0, "escaped": 0.0, "wandering": 0.0, "endpoints": 1.0, "spurious": 0.0}
    far = endpoints(linear(0.5 * np.eye(5), 0.0, 1.0, b1=0.4), starts, train, train)
    assert (far["endpoints"], far["spurious"]) == (1.0, 1.0)
    # Towards the origin too, where no change is small beside what is left.
    assert endpoints(linear(0.5 * np.eye(5), 0.0, 1.0), starts, train, train)["converged"] == 1.0
    unbounded = endpoints(linear(0.5 * np.eye(5)), starts, train, train)
    assert (unbounded["converged"], unbounded["endpoints"], unbounded["spurious"]) == (1.0, 1.0, 1.0)


def test_an_end_is_spurious_where_it_is_unlike_the_class() -> None:
    learned = load("digits", 2)
    train, truth = learned.train, learned.test
    unlike = {
        "members": truth,
        "noise": np.random.default_rng(0).permuted(train, axis=0)[:40],
        "others": learned.others,
    }
    share = {kind: endpoints(linear(np.eye(64)), starts, train, truth)["spurious"] for kind, starts in unlike.items()}
    assert share["members"] < 0.05
    assert share["noise"] > 0.2 and share["others"] > 0.5


def test_ends_are_told_apart() -> None:
    # All pixels follow the mean m, which goes to 2 m - 0.5, clipped: dark images end black, bright ones white.
    loop = linear(np.full((4, 4), 0.5), 0.0, 1.0, b1=-0.5)
    starts = np.concatenate([np.full((3, 4), 0.3), np.full((1, 4), 0.6)])
    found = endpoints(loop, starts, np.full((2, 4), 0.9), np.full((1, 4), 0.8))
    assert found == {"converged": 1.0, "escaped": 0.0, "wandering": 0.0, "endpoints": 2.0, "spurious": 0.75}
    same = np.full((2, 4), 0.5)
    # x' = 1 - x comes back every second loop; its middle stays.
    found = endpoints(linear(-np.eye(4), 0.0, 1.0, b1=1.0), np.array([[0.2] * 4, [0.5] * 4]), same, same)
    assert (found["converged"], found["wandering"], found["endpoints"]) == (0.5, 0.5, 1.0)
    found = endpoints(linear(-np.eye(4), 0.0, 1.0, b1=1.0), np.full((2, 4), 0.2), same, same)
    assert found["endpoints"] == 0.0 and np.isnan(found["spurious"])
    # An expanding map loses all but what stands at its fixed point.
    found = endpoints(linear(2 * np.eye(4)), np.concatenate([starts, np.zeros((1, 4))]), starts, starts)
    assert (found["escaped"], found["converged"], found["wandering"]) == (0.8, 0.2, 0.0)


def test_dead_units_are_counted() -> None:
    W21, W12 = np.eye(4), np.eye(4)
    W21[1] = -1  # hidden unit 1 hears nothing but inhibition
    W21[3], W12[:, 3] = 0, 0  # unit 3 is masked away
    b1 = np.array([0.0, 0.0, -2.0, 0.0])
    loop, train = Loop(W21, np.zeros(4), W12, b1), np.ones((5, 4))
    # So visible units 1 to 3 are at rest; hidden unit 2 hears its pixel in the images themselves.
    assert dead_units(loop, train) == {"dead_hidden": 1 / 3, "dead_visible": 3 / 4}
    assert dead_units(Loop(W21, np.zeros(4), W12, b1, -np.inf), train) == {"dead_hidden": 0.0, "dead_visible": 0.0}


def test_gains_along_and_across_a_plane() -> None:
    plane, rest = np.split(orthonormal(1, 7, 7), [2], axis=1)
    points = np.random.default_rng(2).standard_normal((20, 2)) @ plane.T
    tangents = np.tile(np.array([[3.0, 1.0], [0.0, 0.1]]) @ plane.T, (20, 1, 1))
    across = rest * [0.5, 0.1, 0.0, -0.6, 0.2] @ rest.T
    found = gains(linear(0.9 * plane @ plane.T + across), points, tangents)
    assert [found[name] for name in ("tangent_gain", "tangent_cosine", "normal_gain")] == pytest.approx([0.9, 1, 0.6])
    # A turn out of the plane: J q = cos q + sin n.
    turn = np.deg2rad(25)
    out = np.cos(turn) * plane @ plane.T + np.sin(turn) * rest[:, :2] @ plane.T + across
    found = gains(linear(out), points, tangents)
    assert found["tangent_gain"] == pytest.approx(np.cos(turn)) == found["tangent_cosine"]
    assert found["normal_gain"] == pytest.approx(0.6)
    found = gains(linear(across), points, tangents[:, :1])
    assert (found["tangent_gain"] < 1e-15, found["tangent_cosine"] <= 1) == (True, True)
    assert gains(linear(np.zeros((7, 7))), points, tangents)["tangent_cosine"] == 0.0


def test_the_ring_of_a_projected_circle() -> None:
    V = orthonormal(0, 10, 2)
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ V.T
    tangents = (np.stack([-np.sin(angles), np.cos(angles)], axis=1) @ V.T)[:, None]
    inputs = {"truth": ring[::10], "tangents": tangents[::10], "manifold": ring, "others": ring[:0], "train": ring}
    found = measure(Loop(V.T, np.zeros(2), V, np.zeros(10), -np.inf), holes=np.zeros((20, 10), bool), **inputs)
    gained = [found[name] for name in ("tangent_gain", "tangent_cosine", "normal_gain", "on_manifold")]
    assert gained == pytest.approx([1, 1, 1, 1], abs=1e-12)  # what stays in the plane is off the circle
    assert np.isnan(found["selectivity"])
    # A quarter of the circle's radius is lost, and all images with it.
    shrunk = Loop(V.T, np.zeros(2), 0.75 * V, np.zeros(10), -np.inf)
    assert measure(shrunk, holes=np.zeros((20, 10), bool), **inputs)["on_manifold"] == 0.0
    assert share_near(np.array([[1.05, 0.0], [1.2, 0.0], [np.nan, 0.0], [np.inf, 0.0]]), np.eye(2)) == 0.25


@pytest.mark.parametrize("size", [np.nan, np.inf, 1e200, 30.0, 0.0])
@pytest.mark.parametrize(("floor", "ceiling"), BOUNDS)
def test_loops_that_run_away_are_measured_all_the_same(size: float, floor: float, ceiling: float) -> None:
    loop = random_loop(0, 9, 6, floor, ceiling)
    with np.errstate(invalid="ignore"):
        loop = Loop(size * loop.W21, loop.b2, size * loop.W12, loop.b1, floor, ceiling)
    other = {"tangents": np.tile(np.eye(9)[:1], (12, 1, 1)), "manifold": images(0, 5, 9)}
    found = measure(loop, **given(0, 9, **other), tolerance=0.5)
    assert found["e0"] == 1.0
    assert found["converged"] + found["escaped"] + found["wandering"] == pytest.approx(1, abs=1e-15)
    if np.isnan(size):
        assert (found["escaped"], found["e1"], found["drift_20"], found["change_noise"]) == (1.0, *[np.inf] * 3)
        assert np.isnan([found["near_unity"], *found["moduli"], *found["finite_time_exponents"]]).all()
    if size == 0:
        assert (found["converged"], found["spectral_radius"], found["near_unity"]) == (1.0, 0.0, 0.0)
        assert (found["finite_time_exponents"] == -np.inf).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tolerance": 0.0}, r"`tolerance` must be > 0, got 0\.0"),
        ({"tolerance": -1}, "`tolerance` must be > 0, got -1"),
        ({"tolerance": np.nan}, "`tolerance` must be > 0, got nan"),
        ({"at": -1}, "`at` must be >= 0, got -1"),
        ({"truth": np.ones((12, 5))}, r"`truth` must have shape \(images, 6\) with at least 1 of them, got \(12, 5\)"),
        ({"truth": np.ones((0, 6))}, r"`truth` must have shape .* got \(0, 6\)"),
        ({"train": np.ones((0, 6))}, r"`train` must have shape .* got \(0, 6\)"),
        ({"others": np.ones(6)}, r"`others` must have shape \(images, 6\) with any number of them, got \(6,\)"),
        ({"holes": np.ones((11, 6), bool)}, r"`holes` must have the shape of `truth`, \(12, 6\), got \(11, 6\)"),
        ({"tangents": np.ones((12, 6))}, r"`tangents` must have shape \(12, d, 6\), got \(12, 6\)"),
        ({"tangents": np.ones((12, 0, 6))}, r"`tangents` must have shape \(12, d, 6\), got \(12, 0, 6\)"),
        ({"tangents": np.ones((11, 2, 6))}, r"`tangents` must have shape"),
        ({"manifold": np.ones((3, 7))}, r"`manifold` must have shape \(images, 6\) with at least 1"),
    ],
)
def test_bad_input_is_one_clear_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        measure(random_loop(0, 6, 4), **given(0, 6) | change)
    assert "\n" not in str(refused.value)
