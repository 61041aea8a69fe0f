"""Exponents: exact identities first, then the engine's promises: same bits however it is cut, one compilation, one
clear line for bad input.
"""

from __future__ import annotations

import inspect
import io
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from truths import HENON_SUM, LOGISTIC_2_CYCLE, LOGISTIC_CHAOS, LOGISTIC_FIXED

import attractor_jax as aj
from attractor_jax.growth import advance, begin, first_frame
from attractor_jax.interval import Product, orthonormalise, split
from attractor_jax.lyapunov import results
from attractor_jax.measures import get

SHORT: dict[str, Any] = {"transient": 1000, "steps": 2000}


def network(seed: int, *, s: float, N: int = 4, D: int = 16, family: str = "uniform", dtype: str = "float64"):
    return aj.feedback_network(seed=seed, N=N, D=D, s=s, family=family, dtype=dtype)


def measured(map_, state, **options) -> aj.Exponents:
    return aj.lyapunov_exponents(map_, jnp.asarray(state), **(SHORT | options))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WithoutRotations:
    """The same network and the same tangent map, but its frame is left to Gram-Schmidt."""

    network: Any

    def __call__(self, state):
        return self.network(state)

    def tangent(self, state, frame):
        return self.network.tangent(state, frame)


# --- exact identities


@pytest.mark.parametrize("start", [[0.0, 0.0, 0.0, 0.0], [0.3, -2.0, 0.1, 1.0]])
def test_the_exponents_of_a_linear_map_are_its_eigenvalues(start: list[float]) -> None:
    vectors = np.random.default_rng(0).standard_normal((4, 4))  # far from orthogonal: so is the matrix from symmetric
    eigenvalues = np.array([1.1, -0.8, 0.5, 0.1])
    linear = aj.LinearMap(jnp.asarray(vectors @ np.diag(eigenvalues) @ np.linalg.inv(vectors)))
    found = measured(linear, start)
    np.testing.assert_allclose(found.exponents, np.log(np.abs(eigenvalues)), rtol=0, atol=1e-12)
    # Nothing fluctuates, and nothing drifts.
    np.testing.assert_allclose(found.standard_error, 0, atol=1e-15)
    np.testing.assert_allclose(found.drift, 0, atol=1e-15)
    assert found.sum_rule_residual < 1e-12


def test_a_scaled_rotation_stretches_all_directions_alike() -> None:
    cosine, sine = 0.7 * np.cos(1.0), 0.7 * np.sin(1.0)
    found = measured(aj.LinearMap(jnp.asarray([[cosine, -sine], [sine, cosine]])), [1.0, 2.0])
    np.testing.assert_allclose(found.exponents, np.log(0.7), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("r", "expected"), [(2.5, LOGISTIC_FIXED), (3.2, LOGISTIC_2_CYCLE)])
def test_the_logistic_map_on_its_fixed_point_and_on_its_2_cycle(r: float, expected: float) -> None:
    found = measured(aj.LogisticMap(jnp.asarray(r)), [0.3])
    assert float(found.exponents[0]) == pytest.approx(expected, abs=1e-9)
    assert found.standard_error[0] < 1e-14
    assert abs(found.drift[0]) < 1e-14


@pytest.mark.parametrize("start", [0.3, 0.1, 0.77])
def test_the_chaotic_logistic_map_has_ln_2(start: float) -> None:
    T = 100_000
    found = measured(aj.LogisticMap(jnp.asarray(4.0)), [start], steps=T)
    # Its logarithms telescope, ln|f'(x)| = ln 2 + g(f(x)) - g(x): the error falls as 1/T and not as 1/sqrt(T).
    assert abs(found.exponents[0] - LOGISTIC_CHAOS) < 20 / T


def test_the_henon_map_contracts_areas_by_b() -> None:
    found = measured(aj.HenonMap(jnp.asarray(1.4), jnp.asarray(0.3)), [0.1, 0.1], steps=20_000)
    assert float(found.exponents.sum()) == pytest.approx(HENON_SUM, abs=1e-12)
    assert float(found.sum_rule) == pytest.approx(HENON_SUM, abs=1e-12)
    assert found.exponents[0] > 0.4  # and not both at half of it


def test_the_delayed_logistic_map_on_its_closed_curve() -> None:
    T = 20_000
    found = measured(aj.DelayedLogisticMap(jnp.asarray(2.1)), [0.5, 0.5], transient=5000, steps=T)
    assert found.sum_rule_residual < 1e-12
    assert abs(found.exponents[0]) < 10 / T
    assert found.exponents[1] < -0.1


def test_a_superstable_orbit_has_an_exponent_of_minus_infinity() -> None:
    found = measured(aj.LogisticMap(jnp.asarray(2.0)), [0.5], transient=0)
    assert found.exponents[0] == -np.inf
    assert found.sum_rule == -np.inf
    assert not found.diverged


@pytest.mark.parametrize("start", [[0.3], [np.nan]])
def test_an_orbit_that_leaves_the_finite_numbers_says_so(start: list[float]) -> None:
    assert measured(aj.LogisticMap(jnp.asarray(5.0)), start).diverged
    assert not measured(aj.LogisticMap(jnp.asarray(4.0)), [0.3]).diverged


# --- two engines, one answer


# Beyond some 32 steps chaos amplifies the order of summation.
BRIEF: dict[str, Any] = {"transient": 0, "steps": 32, "blocks": 2, "align": 0}


@pytest.mark.parametrize("k", [1, 3, 16])
def test_a_users_own_function_agrees_with_the_companion_form(k: int) -> None:
    net = network(1, s=1.0)
    weights, b = np.asarray(net.weights), np.asarray(net.gains)

    def by_hand(y):
        return jnp.concatenate([(b @ jnp.tanh(weights @ y))[None], y[:-1]])

    ours, theirs = (measured(map_, net.initial_state(1), k=k, **BRIEF) for map_ in (net, by_hand))
    np.testing.assert_allclose(theirs.exponents, ours.exponents, rtol=0, atol=1e-10)
    np.testing.assert_allclose(theirs.final_state, ours.final_state, rtol=0, atol=1e-10)
    assert np.isnan(theirs.sum_rule)  # nobody told it the determinant
    assert np.isnan(ours.sum_rule_residual) == (k < 16)


def test_the_two_agree_in_saturation_too() -> None:
    # jvp goes through the network's own tanh here: the derivative of jnp.tanh is 1 - tanh^2, and wrong by 6e-9 here.
    net = network(1, s=4.0)
    ours, theirs = (measured(map_, net.initial_state(1), **BRIEF) for map_ in (net, lambda y: net(y)))
    np.testing.assert_allclose(theirs.exponents, ours.exponents, rtol=0, atol=1e-10)


# --- numerical contract


@pytest.mark.parametrize("family", ["uniform", "gaussian"])
@pytest.mark.parametrize("s", [1.0, 4.0, 8.0])
def test_the_sum_rule_holds_on_feedback_networks(s: float, family: str) -> None:
    for seed in range(10):
        net = network(seed, s=s, family=family)
        found = measured(net, net.initial_state(1))
        assert found.sum_rule_residual < 1e-9


def test_rotations_keep_the_sum_rule_where_gram_schmidt_loses_it() -> None:
    # Each of these networks contracts by orders of magnitude in a single step, now and then.
    worst = {"rotations": 0.0, "every step": 0.0, "every 16": 0.0}
    for seed, s in ((19, 4.0), (11, 8.0), (15, 8.0), (16, 8.0), (17, 8.0), (19, 8.0)):
        net = network(seed, s=s)
        for how, found in {
            "rotations": measured(net, net.initial_state(1)),
            "every step": measured(WithoutRotations(net), net.initial_state(1), renormalise_every=1),
            "every 16": measured(WithoutRotations(net), net.initial_state(1), renormalise_every=16),
        }.items():
            worst[how] = max(worst[how], float(found.sum_rule_residual))
    assert worst["rotations"] < 1e-11
    assert worst["every 16"] > 1e-2
    print(worst)


def test_a_few_exponents_keep_their_digits_over_the_default_interval() -> None:
    # With k < D there is no sum rule to watch over them.
    for seed in range(20):
        net = network(seed, s=8.0, D=8)
        default, every = (
            measured(net, net.initial_state(1), k=3, **BRIEF, **o) for o in ({}, {"renormalise_every": 1})
        )
        np.testing.assert_allclose(default.exponents, every.exponents, rtol=0, atol=1e-9)


def test_lengths_are_scaled_before_they_are_squared() -> None:
    # 16 steps by 0.01 leave 1e-32: a float32, but its square is none.
    linear = aj.LinearMap(jnp.asarray([[1e-2, 0], [0, 1e-3]], jnp.float32))
    found = measured(linear, np.zeros(2, np.float32), k=1, steps=160, blocks=5, renormalise_every=16)
    np.testing.assert_allclose(found.exponents, np.log(1e-2), rtol=1e-6)


def test_one_vector_never_leaves_float32_over_the_default_interval() -> None:
    # Few delays contract at every turn of the register: 16 steps by 1e-5 would be 1e-80.
    linear = aj.LinearMap(jnp.asarray([[1e-5, 0], [0, 1e-6]], jnp.float32))
    found = measured(linear, np.zeros(2, np.float32), k=1)
    np.testing.assert_allclose(found.exponents, np.log(1e-5), rtol=1e-6)


def test_the_frame_is_aligned_before_it_is_measured() -> None:
    slow = aj.LinearMap(jnp.asarray([[1.0, 0.7], [0.0, 0.9]]))
    expected = np.log([1.0, 0.9])
    aligned = measured(slow, [0.0, 0.0])
    np.testing.assert_allclose(aligned.exponents, expected, rtol=0, atol=1e-12)
    raw = measured(slow, [0.0, 0.0], align=0)
    assert np.abs(raw.exponents - expected).max() > 1 / SHORT["steps"]


def test_the_first_frame_meets_the_leading_direction_of_a_triangular_map() -> None:
    # The unit vector e_1 is an eigenvector of it, and the wrong one: a frame that begins there never leaves.
    upper = aj.LinearMap(jnp.asarray([[0.5, 1.0], [0.0, 0.9]]))
    found = measured(upper, [0.0, 0.0])
    np.testing.assert_allclose(found.exponents, np.log([0.9, 0.5]), rtol=0, atol=1e-12)
    assert np.abs(first_frame(16, 5, "float64")).min() > 0


def test_gram_schmidt_returns_the_triangular_factor() -> None:
    frame = np.random.default_rng(3).standard_normal((9, 5)) * np.logspace(0, -6, 5)
    unit, logarithms = orthonormalise(jnp.asarray(frame))
    q, r = np.linalg.qr(frame)
    np.testing.assert_allclose(unit, q * np.sign(np.diag(r)), rtol=0, atol=1e-13)
    np.testing.assert_allclose(logarithms, np.log(np.abs(np.diag(r))), rtol=0, atol=1e-12)
    # A vector that is no more has logarithm -inf, and leaves the others alone.
    frame[:, 2] = 0
    unit, logarithms = orthonormalise(jnp.asarray(frame))
    assert logarithms[2] == -np.inf
    assert np.all(np.asarray(unit[:, 2]) == 0)
    assert np.isfinite(np.delete(np.asarray(logarithms), 2)).all()


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GrowingSlope:
    """(x, t)' = (e^t x, t + h): the exponent of x is t, which rises along the orbit."""

    h: Any

    def __call__(self, state):
        x, t = state
        return jnp.stack([jnp.exp(t) * x, t + self.h])


def test_drift_is_late_minus_early() -> None:
    steps = 1000
    found = measured(GrowingSlope(jnp.asarray(1 / steps)), [0.0, 0.5], transient=0, steps=steps, k=1)
    # 500 steps of alignment, then t runs from 1 to 2: 1.75 late, 1.25 early.
    np.testing.assert_allclose(found.drift, 0.5, rtol=1e-6)
    np.testing.assert_allclose(found.exponents, 1.5, rtol=1e-3)


def test_float32_is_a_choice_that_needs_no_float64() -> None:
    exact = network(2, s=2.0)
    fine = measured(exact, exact.initial_state(1), steps=10_000, k=1)
    with jax.enable_x64(False):
        rounded = network(2, s=2.0, dtype="float32")
        coarse = measured(rounded, rounded.initial_state(1), steps=10_000, k=1)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(coarse)} == {"float32", "int32", "bool"}
    error = np.hypot(fine.standard_error[0], coarse.standard_error[0])
    assert abs(fine.exponents[0] - coarse.exponents[0]) < 4 * error + 1e-4


# --- stop and go on


OBSERVED = (get("output"), get("coverage"))


def _advance(net, measurement, blocks: int):
    return advance(net, measurement, blocks=blocks, block_steps=12, renormalise_every=4, measures=OBSERVED)


_jitted_advance = jax.jit(_advance, static_argnames="blocks")


@pytest.mark.parametrize("k", [2, 6])
def test_a_measurement_goes_on_to_the_same_bits(k: int) -> None:
    net = network(5, s=4.0, D=6)
    frame: dict[str, Any] = {"k": k, "blocks": 8, "align": 0, "renormalise_every": 4, "measures": OBSERVED}
    start = jax.jit(lambda net, y: begin(net, y, **frame))(net, net.initial_state(1))
    once = _jitted_advance(net, start, blocks=8)
    assert once.step == 8 * 12

    # Stopped in the middle, written to a file, read again.
    half = _jitted_advance(net, start, blocks=4)
    leaves, shape = jax.tree.flatten(half)
    file = io.BytesIO()
    np.savez(file, *leaves)
    file.seek(0)
    stored = np.load(file)
    half = jax.tree.unflatten(shape, [jnp.asarray(stored[name]) for name in stored.files])
    twice = _jitted_advance(net, half, blocks=4)

    for a, b in zip(jax.tree.leaves(once), jax.tree.leaves(twice), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.isfinite(results(once, dimension=once.state.shape[-1], block_steps=12).standard_error).all()


def test_memory_does_not_grow_with_the_number_of_steps() -> None:
    net = network(5, s=4.0)

    def measure(y, block_steps: int):
        frame: dict[str, Any] = {"renormalise_every": 4, "measures": OBSERVED}
        start = begin(net, y, k=1, blocks=8, align=0, **frame)
        end = advance(net, start, blocks=8, block_steps=block_steps, **frame)
        before, after = ([(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(m)] for m in (start, end))
        assert before == after
        return end

    sizes = []
    for block_steps in (8, 80_000):
        memory = jax.jit(measure, static_argnums=1).lower(net.initial_state(1), block_steps).compile().memory_analysis()
        assert memory is not None
        sizes.append(memory.temp_size_in_bytes + memory.output_size_in_bytes)
    assert sizes[1] == pytest.approx(sizes[0], rel=0.05)


# --- compiles once


def test_a_second_network_of_the_same_shape_compiles_nothing(compilations) -> None:
    nets = [network(seed, s=s, N=3, D=5) for seed, s in ((0, 0.5), (2**32 - 1, 3.0))]
    states = [net.initial_state(1) for net in nets]
    with compilations() as made:
        first = measured(nets[0], states[0], steps=100, k=1)
    assert made
    with compilations() as made:
        second = measured(nets[1], states[1], steps=100, k=1)
    assert made == []
    assert first.exponents[0] != second.exponents[0]


def test_a_plain_function_compiles_once_per_function(compilations) -> None:
    def tent(x):
        return 1 - 1.9 * jnp.abs(x - 0.1)

    states = [jnp.asarray([x]) for x in (0.2, 0.3)]
    with compilations() as made:
        measured(tent, states[0], steps=100, k=1)
    assert made
    with compilations() as made:
        found = measured(tent, states[1], steps=100, k=1)
    assert made == []
    np.testing.assert_allclose(found.exponents, np.log(1.9), rtol=1e-14)


# --- bad input


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"k": 0}, "`k` must be between 1 and D = 2, got 0"),
        ({"k": 3}, "`k` must be between 1 and D = 2, got 3"),
        ({"blocks": 1}, "`blocks` must be at least 2, got 1"),
        ({"steps": 30}, "`steps` must be a positive multiple of `blocks` = 20, got 30"),
        ({"steps": 0}, "`steps` must be a positive multiple of `blocks` = 20, got 0"),
        ({"transient": -1}, "`transient` and `align` must be >= 0, got -1 and 500"),
        ({"align": -5}, "`transient` and `align` must be >= 0, got 1000 and -5"),
        ({"renormalise_every": 0}, "`renormalise_every` must be at least 1, got 0"),
    ],
)
def test_bad_numbers_are_named(wrong: dict[str, int], message: str) -> None:
    henon = aj.HenonMap(jnp.asarray(1.4), jnp.asarray(0.3))
    with pytest.raises(ValueError, match=message):
        measured(henon, [0.1, 0.1], **wrong)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (jnp.arange(2), r"`state` must be a vector of floating-point numbers, got int64\[2\]"),
        (jnp.zeros((2, 2)), r"`state` must be a vector of floating-point numbers, got float64\[2, 2\]"),
        (0.5, r"`state` must be a vector of floating-point numbers, got float64\[\]"),
    ],
)
def test_a_state_that_is_no_vector_of_floats_is_named(state, message: str) -> None:
    # The tests enforce annotations, which would speak first: this is what a user hears.
    lyapunov_exponents = inspect.unwrap(aj.lyapunov_exponents)
    with pytest.raises(ValueError, match=message):
        lyapunov_exponents(aj.LogisticMap(jnp.asarray(2.0)), state, **SHORT)


@pytest.mark.parametrize(
    ("map_", "message"),
    [
        (lambda x: x[:1], r"`map` must give back what it takes, float64\[2\], got float64\[1\]"),
        (lambda x: x.astype(jnp.float32), r"`map` must give back what it takes, float64\[2\], got float32\[2\]"),
    ],
)
def test_a_map_that_changes_shape_or_dtype_is_named(map_, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measured(map_, [0.1, 0.2])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_logarithm_of_a_product_is_the_sum_of_logarithms_however_far_it_goes(dtype: str) -> None:
    factors = np.geomspace(1e-30, 1e3, 3000).astype(dtype)

    def multiply(product: Product, three: jax.Array) -> tuple[Product, None]:
        return product.times(list(three)), None

    product, _ = jax.jit(lambda three: jax.lax.scan(multiply, Product.like(three[0, 0]), three))(
        jnp.asarray(factors.reshape(-1, 3))
    )
    expected = np.log(factors.astype(float)).sum()
    assert float(product.log()) == pytest.approx(expected, rel=10 * float(np.finfo(dtype).eps))
    assert float(product.times([jnp.zeros((), dtype)]).log()) == -np.inf


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_number_issplit_without_rounding(dtype: str) -> None:
    info = np.finfo(dtype)
    sizes = np.array([info.tiny * 3, info.max / 3, 1.0, 0.7, 1e-30, info.eps], dtype)
    mantissa, exponent = (np.asarray(each) for each in jax.vmap(split)(jnp.asarray(sizes)))
    assert np.all((mantissa >= 1) & (mantissa < 2))
    np.testing.assert_array_equal(np.ldexp(mantissa, exponent), sizes)
    for odd in (0.0, np.inf, np.nan):
        mantissa, exponent = split(jnp.asarray(odd, dtype))
        assert np.array_equal(mantissa, odd, equal_nan=True)
        assert int(exponent) == 0
