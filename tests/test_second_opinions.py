"""Two measures of chaos that know no tangent vector, on orbits whose nature is known, and what they say to lambda_1."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from runs import plan_of, sweep
from test_regimes import cell, table
from truths import LOGISTIC_2_CYCLE, LOGISTIC_CHAOS, NETWORKS

import attractor_jax as aj
from attractor_jax.growth import advance, begin
from attractor_jax.iterate import iterate
from attractor_jax.lyapunov import results
from attractor_jax.maps import LinearMap, LogisticMap
from attractor_jax.measures import ZERO_ONE_PLACES, get
from attractor_jax.measures.zero_one import SAMPLES, frequencies, kept, place, zero_one_test
from attractor_jax.regimes import classify

MEASURES = (get("zero_one"), get("two_orbit"))
BOTH = "measure.also=[zero_one, two_orbit]"


@partial(jax.jit, static_argnames=("transient", "steps"))
def opinions(map_: Any, state: Any, *, transient: int = 500, steps: int = 10_000) -> tuple[dict[str, Any], Any]:
    """Columns of both measures on the orbit of one map, and its largest exponent from a tangent vector."""
    state = iterate(map_, state, steps=transient)
    frame: dict[str, Any] = {"renormalise_every": 1, "measures": MEASURES}
    measurement = begin(map_, state, k=1, blocks=20, align=100, **frame)
    measurement = advance(map_, measurement, blocks=20, block_steps=steps // 20, **frame)
    columns = [measure.finish(measurement.observations[measure.name], steps) for measure in MEASURES]
    return columns[0] | columns[1], results(measurement, dimension=len(measurement.state), block_steps=steps // 20)


def logistic(r: float, x: float = 0.3, dtype: str = "float64") -> tuple[LogisticMap, jax.Array]:
    return LogisticMap(jnp.asarray(r, dtype)), jnp.asarray([x], dtype)


def signal(name: str) -> np.ndarray:
    """1,500 samples."""
    t = np.arange(1500)
    rng = np.random.default_rng(0)
    if name == "logistic":
        x = [0.3]
        for _ in t[1:]:
            x.append(3.58 * x[-1] * (1 - x[-1]))
        return np.array(x)
    return {
        "closed curve": np.sin(np.sqrt(2) * t) + 0.3 * np.cos(2 * np.sqrt(2) * t),
        "noise": rng.standard_normal(t.shape),
        "walk": np.cumsum(rng.standard_normal(t.shape)),
        "decay": np.exp(-t / 300),
        "far from zero": 1e3 + np.sin(np.sqrt(2) * t),
    }[name]


# The 0-1 test


def plain_k(phi: np.ndarray) -> float:
    """The test as Gottwald and Melbourne (2009) write it down, displacement by displacement."""
    N, K = len(phi), []
    for c in frequencies():
        k = np.arange(1, N + 1)
        p, q = np.cumsum(phi * np.cos(k * c)), np.cumsum(phi * np.sin(k * c))
        n = np.arange(1, N // 10 + 1)
        stay = N - N // 10
        M = np.array([np.mean((p[m:][:stay] - p[:stay]) ** 2 + (q[m:][:stay] - q[:stay]) ** 2) for m in n])
        D = M - np.mean(phi) ** 2 * (1 - np.cos(n * c)) / (1 - np.cos(c))
        K.append(np.corrcoef(n, D)[0, 1])
    return float(np.median(K))


@pytest.mark.parametrize("name", ["logistic", "closed curve", "noise", "walk", "decay", "far from zero"])
def test_the_zero_one_test_is_that_of_its_authors(name: str) -> None:
    phi = signal(name)
    K = float(zero_one_test(jnp.asarray(phi)))
    assert K == pytest.approx(plain_k(phi - np.mean(phi)), abs=1e-7)
    if name in ("closed curve", "noise", "logistic"):  # the subtracted term does its work where the mean is moderate
        assert K == pytest.approx(plain_k(phi), abs=0.01)


def test_the_frequencies_are_spread_and_none_is_a_fraction_of_a_turn() -> None:
    c = np.sort(frequencies())
    assert len(c) == 100 and c[0] > np.pi / 5 and c[-1] < 4 * np.pi / 5
    assert np.diff(c).max() < 2 * (3 * np.pi / 5) / 100
    turns = c[:, None] * np.arange(1, 30) / (2 * np.pi)
    assert np.abs(turns - np.round(turns)).min() > 1e-4


@pytest.mark.parametrize("noise", [0.0, 1e-16, 1e-12])
def test_a_constant_signal_is_regular_whatever_its_rounding(noise: float) -> None:
    phi = 0.3 + noise * np.random.default_rng(0).standard_normal(1000)
    assert float(zero_one_test(jnp.asarray(phi))) == 0


@pytest.mark.parametrize("steps", [2000, 4096, 4097, 6000, 8193, 20_000])
def test_the_samples_thin_themselves_out_evenly(steps: int) -> None:
    measure = get("zero_one")
    states = jnp.arange(steps, dtype=float)[:, None]
    start = measure.init(None, states[0])
    carry = jax.jit(lambda c, x: jax.lax.scan(lambda c, x: (measure.step(c, None, x), None), c, x)[0])(start, states)
    stride, count = (int(value) for value in kept(jnp.int32(steps)))
    assert SAMPLES <= count <= ZERO_ONE_PLACES and (count - 1) * stride < steps <= count * stride
    times = np.arange(count) * stride
    np.testing.assert_array_equal(carry.values[place(times)], times)


@pytest.mark.parametrize("steps", [2**23 + 3, 2**24])
def test_every_sample_of_a_long_measurement_has_a_place_of_its_own(steps: int) -> None:
    stride, count = (int(value) for value in kept(jnp.int32(steps)))
    places = place(np.arange(count) * stride)
    assert len(set(places)) == count > ZERO_ONE_PLACES / 2 and 0 <= places.min() and places.max() < ZERO_ONE_PLACES


def test_too_few_samples_have_no_k() -> None:
    measure = get("zero_one")
    carry = measure.init(None, jnp.zeros(1))
    assert np.isnan(measure.finish(carry, 1999)["zero_one_k"])
    assert measure.finish(carry, 2000)["zero_one_k"] == 0


# Two orbits


@pytest.mark.parametrize("eigenvalues", [(0.9, 0.5, -0.3), (-0.97, 0.6, 0.2), (1.05, 0.9, 0.3), (1e-2, 1e-3, 1e-4)])
def test_the_exponent_of_a_linear_map(eigenvalues: tuple[float, ...]) -> None:
    """Neither contraction nor growth of the orbit itself matters, nor that the eigenvectors are far from normal."""
    basis = np.array([[1.0, 2.0, 0.5], [0.0, 1.0, 3.0], [0.2, 0.0, 1.0]])
    matrix = basis @ np.diag(eigenvalues) @ np.linalg.inv(basis)
    found, _ = opinions(LinearMap(jnp.asarray(matrix)), jnp.asarray([1.0, -0.5, 0.3]), transient=0, steps=2000)
    assert found["lambda_two_orbit"] == pytest.approx(np.log(abs(eigenvalues[0])), abs=1e-7)


def test_a_superstable_orbit_has_minus_infinity() -> None:
    found, exponents = opinions(*logistic(2.0, 0.5))
    assert found["lambda_two_orbit"] == exponents.exponents[0] == -np.inf
    assert found["zero_one_k"] == 0


def test_orbits_that_meet_by_chance_are_no_superstable_ones() -> None:
    """Where the derivative nearly vanishes, as at the top of the parabola of chaos, any distance is lost."""
    measure = get("two_orbit")
    map_, x = logistic(3.99)

    def step(carry: tuple[Any, Any], t: Any) -> tuple[tuple[Any, Any], None]:
        pair, x = carry
        # The second orbit is put where the first one is, once.
        pair = replace(pair, other=jnp.where(t == 600, x, pair.other))
        x = map_(x)
        return (measure.step(pair, map_, x), x), None

    for steps, expected in ((2500, 0.638), (900, -np.inf)):  # one step of 2,000, and one of 400
        (pair, _), _ = jax.lax.scan(step, (measure.init(map_, x), x), jnp.arange(steps))
        assert pair.lost == 1
        assert measure.finish(pair, steps)["lambda_two_orbit"] == pytest.approx(expected, abs=0.05)


def test_a_measurement_that_only_aligns_has_no_exponent() -> None:
    measure = get("two_orbit")
    carry = measure.init(None, jnp.zeros(2))
    assert np.isnan(measure.finish(carry, 500)["lambda_two_orbit"])


# Both


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_logistic_chaos_and_a_cycle(dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        chaos, exponents = opinions(*logistic(4.0 if dtype == "float64" else 3.99, dtype=dtype))
        cycle, _ = opinions(*logistic(3.2, dtype=dtype))
    assert chaos["zero_one_k"] > 0.9
    error = float(exponents.standard_error[0])
    assert abs(chaos["lambda_two_orbit"] - exponents.exponents[0]) < 4 * error
    if dtype == "float64":
        assert abs(chaos["lambda_two_orbit"] - LOGISTIC_CHAOS) < 4 * error
    assert abs(cycle["zero_one_k"]) < 0.05
    # In float32 the two are far enough apart to see the parabola curve.
    assert cycle["lambda_two_orbit"] == pytest.approx(LOGISTIC_2_CYCLE, rel=1e-6 if dtype == "float64" else 0.03)


@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
def test_networks(dtype: str, tmp_path: Path) -> None:
    curve, chaotic = NETWORKS["C"], NETWORKS["chaotic"]
    cells = [(curve.seed, curve.s), (chaotic.seed, chaotic.s), (0, 0.05), (0, 0.0)]
    listed = ", ".join(f"{{seed: {seed}, N: 4, D: 16, s: {s}}}" for seed, s in cells)
    df = aj.read_run(sweep(plan_of(f"grid.cells=[{listed}]", "measure.k=1", BOTH, f"backend.dtype={dtype}"), tmp_path))
    assert {"zero_one_k", "lambda_two_orbit", "second_opinion"} <= set(df)
    by_network = df.set_index(["seed", "s"])
    on_curve, in_chaos, at_rest, off = (by_network.loc[cell] for cell in cells)
    regimes = [row.regime for row in (on_curve, in_chaos, at_rest, off)]
    assert regimes == ["quasiperiodic", "chaotic", "fixed_point", "fixed_point"]
    assert abs(on_curve.zero_one_k) < 0.05 and in_chaos.zero_one_k > 0.9
    assert at_rest.zero_one_k == off.zero_one_k == 0
    floor = 10 / on_curve.steps
    assert abs(on_curve.lambda_two_orbit) < floor
    assert abs(in_chaos.lambda_two_orbit - in_chaos.lambda_1) < 4 * in_chaos.lambda_1_se
    assert at_rest.lambda_two_orbit == pytest.approx(at_rest.lambda_1, abs=floor)
    assert off.lambda_two_orbit == off.lambda_1 == -np.inf
    assert (df["second_opinion"] == "agrees").all()


def test_a_measurement_goes_on_to_the_same_bits() -> None:
    network = aj.feedback_network(seed=70, N=4, D=6, s=4.0)
    frame: dict[str, Any] = {"renormalise_every": 4, "measures": MEASURES}
    ahead = jax.jit(lambda net, m, blocks: advance(net, m, blocks=blocks, block_steps=700, **frame), static_argnums=2)
    start = jax.jit(lambda net, x: begin(net, x, k=1, blocks=8, align=0, **frame))(network, network.initial_state())
    once, twice = ahead(network, start, 8), ahead(network, ahead(network, start, 4), 4)
    for a, b in zip(jax.tree.leaves(once), jax.tree.leaves(twice), strict=True):
        np.testing.assert_array_equal(a, b)


# What they say to lambda_1


def opinion(lambda_1: float, **columns: float) -> str | None:
    said = classify(table(cell([lambda_1, -0.3], **columns)))["second_opinion"].iloc[0]
    return None if pd.isna(said) else said


@pytest.mark.parametrize(
    ("lambda_1", "K", "said"),
    [
        (0.2, 0.99, "agrees"),
        (0.2, 0.5, None),
        (0.2, 0.01, "disagrees"),
        (0.0, 0.99, "disagrees"),
        (0.0, 0.5, None),
        (0.0, -0.3, "agrees"),
        (-0.2, 0.8, "disagrees"),
        (-np.inf, 0.0, "agrees"),
        (0.2, np.nan, None),
        (np.nan, 0.99, None),
    ],
)
def test_what_the_zero_one_test_says(lambda_1: float, K: float, said: str | None) -> None:
    assert opinion(lambda_1, zero_one_k=K) == said


@pytest.mark.parametrize(
    ("lambda_1", "error", "other", "said"),
    [
        (0.2, 0.01, 0.239, "agrees"),
        (0.2, 0.01, 0.241, "disagrees"),
        (0.0, 1e-9, 0.9e-3, "agrees"),  # 10 / steps
        (0.0, 1e-9, -1.1e-3, "disagrees"),
        (-1.0, 1e-9, -1.015, "agrees"),
        (-1.0, 1e-9, -1.025, "disagrees"),
        (-1.5, 1e-9, -np.inf, None),
        (0.2, 1e-9, -np.inf, "disagrees"),
        (0.0, 1e-9, -np.inf, "disagrees"),
        (-np.inf, np.nan, -np.inf, "agrees"),
        (-np.inf, np.nan, -0.5, None),
        (-np.inf, np.nan, 0.0, "disagrees"),
        (0.2, 0.01, np.nan, None),
        (np.nan, np.nan, 0.2, None),
    ],
)
def test_what_two_orbits_say(lambda_1: float, error: float, other: float, said: str | None) -> None:
    assert opinion(lambda_1, lambda_1_se=error, lambda_two_orbit=other) == said


def test_one_contradiction_outweighs_a_confirmation_and_silence_outweighs_none() -> None:
    assert opinion(0.2, zero_one_k=0.01, lambda_two_orbit=0.2) == "disagrees"
    assert opinion(0.2, zero_one_k=0.5, lambda_two_orbit=0.2) == "agrees"
    assert opinion(0.2, zero_one_k=np.nan, lambda_two_orbit=np.nan) is None


def test_the_thresholds_are_arguments_and_no_opinion_adds_no_column() -> None:
    df = table(cell([0.2, -0.3], zero_one_k=0.15))
    assert classify(df)["second_opinion"].isna().all()
    assert (classify(df, regular_k=0.2)["second_opinion"] == "disagrees").all()
    assert (classify(df, chaotic_k=0.15)["second_opinion"] == "agrees").all()
    with pytest.raises(ValueError, match="`chaotic_k`"):
        classify(df, chaotic_k=np.nan)
    assert "second_opinion" not in classify(table(cell([0.2, -0.3])))
