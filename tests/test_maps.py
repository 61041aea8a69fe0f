"""Networks drawn bit for bit, slopes that survive saturation, and tangent maps against automatic differentiation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from truths import NETWORKS

import attractor_jax as aj
from attractor_jax.activation import tanh_and_slope
from attractor_jax.draws import article_draw, gaussian_draw
from attractor_jax.maps import fold, stretch, tangent
from attractor_jax.networks import DelayNetwork, FeedbackNetwork

LAST_SEED = 2**32 - 1
SEEDS = [0, 1, 174658140, LAST_SEED]
SHAPES = [(1, 1), (4, 16), (3, 5)]


@pytest.fixture(autouse=True)
def global_state_untouched() -> Iterator[None]:
    """NumPy's global generator belongs to the user: nothing here may seed it or draw from it."""
    np.random.seed(12345)
    before = np.random.get_state()
    yield
    np.testing.assert_equal(np.random.get_state(), before)


@contextmanager
def legacy(seed: int) -> Iterator[None]:
    """The literature's own calls on NumPy's global generator, which is put back afterwards."""
    before = np.random.get_state()
    np.random.seed(seed)
    yield
    np.random.set_state(before)


@pytest.mark.parametrize(("N", "D"), SHAPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_uniform_draw_is_the_articles_bit_for_bit(seed: int, N: int, D: int) -> None:
    s = 1.4
    with legacy(seed):
        w = 2 * np.random.random((N, D)) - 1
        b = s * np.random.random(N)
    weights, gains = article_draw(seed, N, D)
    np.testing.assert_array_equal(weights, w)
    np.testing.assert_array_equal(s * gains, b)
    network = aj.feedback_network(seed=seed, N=N, D=D, s=s)
    np.testing.assert_array_equal(network.weights, w)
    np.testing.assert_array_equal(network.s * network.gains, b)


@pytest.mark.parametrize(("N", "D"), SHAPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_gaussian_draw_has_its_bias_in_column_0_and_gains_of_norm_N(seed: int, N: int, D: int) -> None:
    with legacy(seed):
        w = np.random.randn(N, D + 1)
        r = np.random.random(N)
    weights, gains = gaussian_draw(seed, N, D)
    np.testing.assert_array_equal(weights, w)
    np.testing.assert_allclose(gains, r * np.sqrt(N / np.sum(r * r)), rtol=1e-15)
    assert np.sum(gains**2) == pytest.approx(N, rel=1e-14)
    # One step by hand: y = sum r_i tanh(s w_i0 + s sum_j w_ij y_j).
    network = aj.feedback_network(seed=seed, N=N, D=D, s=0.7, family="gaussian")
    state = jnp.linspace(-1, 1, D)
    y = gains @ np.tanh(0.7 * w[:, 0] + 0.7 * w[:, 1:] @ np.asarray(state))
    np.testing.assert_allclose(network(state), [y, *state[:-1]], rtol=1e-13, atol=1e-14)


def test_the_articles_start_and_the_replicates() -> None:
    N, D, s, seed = 4, 16, 1.4, LAST_SEED
    network = aj.feedback_network(seed=seed, N=N, D=D, s=s)
    b = s * article_draw(seed, N, D)[1]
    np.testing.assert_allclose(network.initial_state(), [0.001 * b.sum(), *np.zeros(D - 1)], rtol=1e-15)
    for q in (1, 7):
        expected = np.random.default_rng([q, seed]).uniform(-1, 1, D) * np.sum(np.abs(b))
        np.testing.assert_allclose(network.initial_state(q), expected, rtol=1e-14)
    # In the gaussian family s scales the input and not the output: the cube that holds the attractors has no s.
    network = aj.feedback_network(seed=seed, N=N, D=D, s=s, family="gaussian")
    r = gaussian_draw(seed, N, D)[1]
    np.testing.assert_allclose(network.initial_state()[0], 0.001 * r.sum(), rtol=1e-14)
    expected = np.random.default_rng([2, seed]).uniform(-1, 1, D) * r.sum()
    np.testing.assert_allclose(network.initial_state(2), expected, rtol=1e-14)


@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_the_first_outputs_are_the_articles(name: str) -> None:
    known = NETWORKS[name]
    network = aj.feedback_network(seed=known.seed, N=known.N, D=known.D, s=known.s)
    y = aj.orbit(network, network.initial_state(), steps=20)[:, 0]
    np.testing.assert_allclose(y, known.y, rtol=0, atol=1e-12)


def exact_slope(u: np.ndarray) -> np.ndarray:
    """1 / cosh^2 in extended precision."""
    wide = np.longdouble(u)
    return 4 / (np.exp(wide) + np.exp(-wide)) ** 2


@pytest.mark.parametrize(("dtype", "largest", "naive_dies"), [("float64", 300, 19), ("float32", 43, 10)])
def test_the_slope_of_tanh_is_good_to_a_few_ulp_in_deep_saturation(
    dtype: str, largest: float, naive_dies: float
) -> None:
    positive = np.linspace(0, largest, 20_001, dtype=dtype)
    u = np.concatenate([-positive[::-1], positive])
    x, slope = (np.asarray(value) for value in jax.jit(tanh_and_slope)(u))
    assert slope.dtype == x.dtype == dtype
    ulps = np.abs(slope - exact_slope(u)) / np.spacing(exact_slope(u).astype(dtype))
    assert ulps.max() < 6
    np.testing.assert_allclose(x, np.tanh(u), rtol=0, atol=2 * np.finfo(dtype).eps)
    # What a reader would write first is exactly zero over nearly all of this range.
    naive = 1 - np.tanh(u) ** 2
    assert np.all(naive[np.abs(u) > naive_dies] == 0)
    assert np.all(slope > 0)


@pytest.mark.parametrize(("dtype", "alive", "dead"), [("float64", 354, 373), ("float32", 43.5, 52.5)])
def test_where_the_slope_of_tanh_underflows(dtype: str, alive: float, dead: float) -> None:
    # Between the two it depends on whether the processor keeps subnormal numbers.
    slope = tanh_and_slope(jnp.asarray([alive, dead], dtype))[1]
    assert slope[0] > 0
    assert slope[1] == 0


CASES = [(family, *shape) for family in ("uniform", "gaussian") for shape in ((4, 16, 0.3), (4, 16, 6.0), (1, 1, 2.0))]


@cache
def network_and_state(family: str, N: int, D: int, s: float) -> tuple[DelayNetwork, jax.Array]:
    network = aj.feedback_network(seed=11, N=N, D=D, s=s, family=family)
    return network, network.initial_state(1)


@jax.jit
def by_automatic_differentiation(network, state):
    return network(state), jax.jacfwd(network)(state)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("k", [1, 4])
def test_tangent_and_determinant_are_those_of_automatic_differentiation(case: tuple, k: int) -> None:
    network, state = network_and_state(*case)
    D = state.shape[0]
    frame = np.random.default_rng(k).standard_normal((D, min(k, D)))
    expected, jacobian = by_automatic_differentiation(network, state)
    new, pushed, determinant = jax.jit(lambda network, *of: network.tangent(*of))(network, state, frame)
    np.testing.assert_allclose(new, expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(pushed, jacobian @ frame, rtol=1e-13, atol=1e-13)
    # The sign, which is the parity of the shift, is left out: only ln|det J| is used.
    assert abs(float(determinant)) == pytest.approx(abs(float(np.linalg.det(jacobian))), rel=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_a_network_knows_its_companion_matrix(case: tuple) -> None:
    network, state = network_and_state(*case)
    D = state.shape[0]
    expected, jacobian = by_automatic_differentiation(network, state)
    new, row = jax.jit(lambda network, state: network.companion(state))(network, state)
    np.testing.assert_allclose(new, expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(np.vstack([row, np.eye(D)[:-1]]), jacobian, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    "classic",
    [
        aj.LinearMap(jnp.asarray([[0.5, 2.0], [0.1, -0.3]])),
        aj.HenonMap(jnp.asarray(1.4), jnp.asarray(0.3)),
        aj.DelayedLogisticMap(jnp.asarray(2.1)),
        aj.LogisticMap(jnp.asarray(3.9)),
    ],
    ids=lambda classic: type(classic).__name__,
)
def test_the_classic_maps_know_their_jacobians(classic) -> None:
    D = 1 if isinstance(classic, aj.LogisticMap) else 2
    state = jnp.asarray([0.3, -0.7])[:D]
    jacobian = jax.jacfwd(classic)(state)
    new, pushed, determinant = classic.tangent(state, jnp.eye(D))
    np.testing.assert_array_equal(new, classic(state))
    np.testing.assert_allclose(pushed, jacobian, rtol=1e-14, atol=1e-15)
    assert float(determinant) == pytest.approx(float(np.linalg.det(jacobian)), rel=1e-13)


def test_a_plain_function_gets_its_tangent_by_jvp() -> None:
    network, state = network_and_state(*CASES[0])
    frame = np.random.default_rng(0).standard_normal((16, 3))
    expected, jacobian = by_automatic_differentiation(network, state)
    new, pushed, determinant = jax.jit(lambda *of: tangent(lambda y: network(y), *of))(state, frame)
    np.testing.assert_allclose(new, expected, rtol=0, atol=1e-15)
    np.testing.assert_allclose(pushed, jacobian @ frame, rtol=1e-13, atol=1e-13)
    assert np.isnan(determinant)


def test_a_network_is_a_pytree_that_compiles_once_for_all_seeds(compilations) -> None:
    step = jax.jit(lambda network, state: network(state))
    first, second = (aj.feedback_network(seed=seed, N=4, D=16, s=s) for seed, s in ((1, 0.5), (LAST_SEED, 2.0)))
    states = first.initial_state(), second.initial_state()
    with compilations() as made:
        step(first, states[0])
    assert len(made) == 1
    with compilations() as made:
        out = step(second, states[1])
    assert made == []
    np.testing.assert_allclose(out, second(states[1]), rtol=1e-14, atol=1e-16)


def test_a_row_of_a_table_names_its_network() -> None:
    network = aj.feedback_network(seed=3, N=2, D=5, s=0.9, family="gaussian", dtype="float32")
    row = {"seed": 3, "N": 2, "D": 5, "s": 0.9, "system": "gaussian", "dtype": "float32"}
    for mine, its in zip(jax.tree.leaves(network), jax.tree.leaves(aj.network_from_row(row)), strict=True):
        np.testing.assert_array_equal(mine, its)
        assert mine.dtype == its.dtype
    with pytest.raises(ValueError, match=r"`row` must be of a feedback network.*got system 'henon', missing \['s'\]"):
        aj.network_from_row({"seed": 3, "N": 2, "D": 5, "system": "henon"})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": -1}, r"`seed` must be between 0 and 2\*\*32 - 1, got -1"),
        ({"seed": 2**32}, r"`seed` .* got 4294967296"),
        ({"N": 0}, r"`N` and `D` must be at least 1, got N=0, D=16"),
        ({"D": 0}, r"`N` and `D` must be at least 1, got N=4, D=0"),
        ({"s": -0.1}, r"`s` must be a finite number >= 0, got -0.1"),
        ({"s": np.nan}, r"`s` .* got nan"),
        ({"s": np.inf}, r"`s` .* got inf"),
        ({"family": "cauchy"}, r"`family` must be one of \['gaussian', 'uniform'\], got 'cauchy'"),
        ({"dtype": "float16"}, r"`dtype` must be float64 or float32, got 'float16'"),
    ],
)
def test_bad_input_is_named(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        aj.feedback_network(**({"seed": 0, "N": 4, "D": 16, "s": 1.0} | wrong))


def test_float64_is_refused_while_jax_has_it_switched_off() -> None:
    with jax.enable_x64(False), pytest.raises(ValueError, match="`dtype` float64 needs JAX's x64 mode"):
        aj.feedback_network(seed=0, N=4, D=16, s=1.0)


def test_a_network_made_by_hand_has_no_replicates() -> None:
    network = aj.FeedbackNetwork(jnp.ones((2, 3)), jnp.ones(2), jnp.asarray(1.0))
    np.testing.assert_array_equal(network.initial_state(), [0.002, 0, 0])
    with pytest.raises(ValueError, match="`replicate` > 0 needs a network that knows its seed"):
        network.initial_state(1)


@pytest.mark.parametrize("family", ["uniform", "gaussian"])
@pytest.mark.parametrize(("N", "D"), [(4, 16), (3, 5), (1, 1), (2, 8)])
@pytest.mark.parametrize("k", [0, 1, 3])
def test_steps_taken_at_once_are_steps_taken_one_by_one(family: str, N: int, D: int, k: int) -> None:
    network = aj.feedback_network(seed=3, N=N, D=D, s=1.5, family=family)
    register = jnp.concatenate(
        [network.initial_state(1)[:, None], jnp.asarray(np.random.default_rng(k).standard_normal((D, k)))], axis=1
    )
    states, at_once, determinants = jax.jit(stretch, static_argnums=2)(network, register, 8)
    state, frame = register[:, 0], register[:, 1:]
    for t in range(8):
        state, frame, determinant = network.tangent(state, frame)
        np.testing.assert_allclose(states[t], state, rtol=0, atol=1e-12)
        assert float(determinants[t]) == pytest.approx(float(determinant), rel=1e-9)
    np.testing.assert_allclose(at_once, np.column_stack([state, frame]), rtol=1e-10, atol=1e-12)


def test_lanes_behind_the_arrays_are_networks_side_by_side() -> None:
    networks = [aj.feedback_network(seed=seed, N=4, D=16, s=s) for seed, s in ((1, 0.5), (2, 2.0), (3, 4.0))]
    registers = [jnp.stack([network.initial_state(1), jnp.ones(16)], axis=1) for network in networks]
    own = jax.tree.map(lambda *each: jnp.stack(each, axis=-1), *(replace(n, seed=None) for n in networks))
    shared = FeedbackNetwork(networks[0].weights[..., None], networks[0].gains[..., None], own.s)
    for lanes, alone in ((own, networks), (shared, [replace(networks[0], s=n.s) for n in networks])):
        states, register, determinants = stretch(lanes, jnp.stack(registers, axis=-1), 8)
        for lane, (network, first) in enumerate(zip(alone, registers, strict=True)):
            expected = stretch(network, first, 8)
            np.testing.assert_allclose(states[-1][:, lane], expected[0][-1], rtol=0, atol=1e-12)
            np.testing.assert_allclose(register[..., lane], expected[1], rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(determinants[:, lane], expected[2], rtol=1e-9)


def test_the_derivative_of_tanh_is_its_slope_everywhere() -> None:
    # At 0 an absolute value stands in its way, in saturation the naive form.
    for u in (0.0, -0.3, 30.0, -300.0):
        (_, slope), (by_jvp, _) = jax.jvp(tanh_and_slope, (jnp.asarray(u),), (jnp.ones(()),))
        assert float(by_jvp) == float(slope) > 0


@pytest.mark.parametrize("n", [1, 2, 3, 7, 16])
def test_fold_is_a_sum_and_a_maximum(n: int) -> None:
    values = np.random.default_rng(n).standard_normal((n, 3))
    np.testing.assert_allclose(fold(jnp.add, jnp.asarray(values)), values.sum(axis=0), rtol=1e-14)
    np.testing.assert_array_equal(fold(jnp.maximum, jnp.asarray(values)), values.max(axis=0))


def test_a_state_of_another_length_is_refused_by_name() -> None:
    network = aj.feedback_network(seed=1, N=2, D=3, s=1.0)
    for call in (network, lambda y: aj.orbit(network, y, steps=3), lambda y: aj.find_period(network, y, longest=5)):
        with pytest.raises(ValueError, match=r"`state` must have D = 3 numbers.*got 4"):
            call(jnp.zeros(4))
    with pytest.raises(ValueError, match="`longest` must be at least 1, got 0"):
        aj.find_period(network, jnp.zeros(3), longest=0)
