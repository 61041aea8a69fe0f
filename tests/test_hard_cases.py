"""Networks that are easily labelled wrongly: tori, coexisting attractors, long chaotic transients, hysteresis."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from truths import HARD_CASES, HYSTERESIS, Attractor, HardCase, Hysteresis, Supertransient

import attractor_jax as aj
from attractor_jax.dimension import kaplan_yorke
from attractor_jax.iterate import Lift, iterate

TORI = ("torus D=8", "torus D=16")
COEXISTENCE = ("cycle and curve", "two cycles", "origin and cycle")

run = jax.jit(iterate, static_argnames="steps")
find_period = jax.jit(aj.find_period, static_argnames="longest")


def network(known: HardCase) -> aj.DelayNetwork:
    return aj.feedback_network(seed=known.seed, N=known.N, D=known.D, s=known.s)


def assert_exponents(known: Attractor, found: aj.Exponents, steps: int) -> None:
    """Zeros within 5/T, the others within errors; 10/T more is what the alignment of a frame may cost."""
    for i, (value, error) in enumerate(known.exponents):
        measured, deviation = float(found.exponents[i]), float(found.standard_error[i])
        if value == 0:
            assert abs(measured) < 5 / steps
        else:
            assert abs(measured - value) < 5 * np.hypot(error, deviation) + 10 / steps


@pytest.mark.parametrize("steps", [100_000, 1_000_000])
@pytest.mark.parametrize("name", TORI)
def test_two_exponents_of_a_torus_vanish(name: str, steps: int) -> None:
    known = HARD_CASES[name]
    (torus,) = known.attractors
    net = network(known)
    found = aj.lyapunov_exponents(net, net.initial_state(), transient=100_000, steps=steps, k=4)
    assert_exponents(torus, found, steps)
    assert abs(found.exponents[2]) > 500 * np.abs(found.exponents[:2]).max()
    assert found.exponents[2] < -0.01
    spectrum = np.asarray(found.exponents)
    assert kaplan_yorke(spectrum, np.array([5 / steps] * 2 + [0, 0]), known.D).dimension == 2
    back = find_period(net, found.final_state, longest=100_000)
    assert back.period == 0
    assert back.amplitude == pytest.approx(torus.amplitude, rel=2e-3)


def unexplained(y: np.ndarray, frequencies: tuple[float, ...], order: int) -> float:
    """The share of the variance of y that no sum of harmonics up to this order accounts for."""
    indices = np.stack(np.meshgrid(*[np.arange(-order, order + 1)] * len(frequencies)), -1).reshape(
        -1, len(frequencies)
    )
    # One of each pair +-(i, j): the half in which the first index that is not zero is positive; and no constant.
    first = np.array([next((i for i in index if i), 0) for index in indices])
    indices = indices[(first > 0) & (np.abs(indices).sum(axis=1) <= order)]
    phase = 2 * np.pi * np.outer(np.arange(len(y)), indices @ np.array(frequencies))
    basis = np.concatenate([np.ones((len(y), 1)), np.cos(phase), np.sin(phase)], axis=1)
    rest = y - basis @ np.linalg.lstsq(basis, y, rcond=None)[0]
    return float(rest.var() / y.var())


@pytest.mark.parametrize("name", TORI)
def test_a_torus_turns_at_two_frequencies(name: str) -> None:
    known = HARD_CASES[name]
    (torus,) = known.attractors
    net = network(known)
    for replicate in (0, 1):
        state = run(net, net.initial_state(replicate), steps=100_000)
        y = np.asarray(aj.orbit(net, state, steps=2500)[:, 0])
        assert unexplained(y, torus.frequencies, 9) < 1e-4
    for frequency in torus.frequencies:
        assert unexplained(y, (frequency,), 30) > 0.1
    assert unexplained(y, (torus.frequencies[0], torus.frequencies[1] + 1e-3), 9) > 0.1


def test_a_locked_torus_is_none() -> None:
    known, steps = HARD_CASES["locked torus"], 400_000
    (curve,) = known.attractors
    net = network(known)
    found = aj.lyapunov_exponents(net, net.initial_state(), transient=200_000, steps=steps, k=3)
    assert_exponents(curve, found, steps)
    assert found.exponents[1] < -40 / steps
    y = np.asarray(aj.orbit(net, found.final_state, steps=5000)[:, 0])
    (frequency,) = curve.frequencies
    assert unexplained(y, (frequency,), 150) > 0.1
    assert unexplained(y[::2], (2 * frequency,), 150) < 1e-6
    # 10,000 steps, the usual number, cannot tell: the exponent is within the zero range of 10/T.
    short = aj.lyapunov_exponents(net, net.initial_state(), transient=100_000, steps=10_000, k=3)
    assert abs(short.exponents[1]) < 10 / 10_000


@pytest.mark.parametrize("name", COEXISTENCE)
def test_which_start_leads_to_which_attractor(name: str) -> None:
    known, steps = HARD_CASES[name], 20_000
    net = network(known)
    for attractor in known.attractors:
        for replicate in attractor.replicates[:3]:
            start = net.initial_state(replicate)
            nearby = start + 1e-6 * jnp.asarray(np.random.default_rng(replicate).uniform(-1, 1, known.D))
            found = aj.lyapunov_exponents(net, start, transient=100_000, steps=steps, k=min(3, known.D))
            assert_exponents(attractor, found, steps)
            for state in (found.final_state, run(net, nearby, steps=100_000)):
                back = find_period(net, state, longest=4096)
                assert back.period == attractor.period
                assert back.amplitude == pytest.approx(attractor.amplitude, rel=2e-3 if not attractor.period else 1e-6)


def alternation(known: HardCase | Hysteresis) -> tuple[np.ndarray, np.ndarray]:
    """What a cycle y = a, -a, ... sees: sum_j (-1)^(j+1) w_ij, and the gains."""
    net = aj.feedback_network(seed=known.seed, N=known.N, D=known.D, s=1.0)
    return np.asarray(net.delays()) @ (-1.0) ** np.arange(net.delays().shape[1]), np.asarray(net.gains)


@pytest.mark.parametrize("name", ["cycle and curve", "origin and cycle"])
def test_an_alternating_cycle_solves_its_equation(name: str) -> None:
    known = HARD_CASES[name]
    (cycle,) = (attractor for attractor in known.attractors if attractor.period == 2)
    assert cycle.amplitude is not None
    a, (seen, gains) = cycle.amplitude / 2, alternation(known)
    assert a == pytest.approx(-known.s * np.sum(gains * np.tanh(a * seen)), abs=1e-12)


def test_where_a_cycle_coexists_with_the_origin() -> None:
    known = HYSTERESIS["origin and cycle"]
    seen, gains = alternation(known)
    a = np.linspace(1e-3, 5, 100_001)
    fold = 1 / np.max(-np.tanh(np.outer(a, seen)) @ gains / a)
    assert known.interval[0] == pytest.approx(fold, abs=1e-8)
    net = aj.feedback_network(seed=known.seed, N=known.N, D=known.D, s=1.0)
    critical = aj.s_critical(np.asarray(net.delays())[None], np.asarray(net.gains)[None])
    assert critical.kind[0] == "flip"
    assert known.interval[1] == pytest.approx(critical.s[0], abs=1e-8)
    assert known.interval[1] > 1.03 * known.interval[0]


@pytest.mark.parametrize("name", HYSTERESIS)
def test_hysteresis(name: str) -> None:
    known = HYSTERESIS[name]
    scales = sorted({*np.geomspace(*known.carried_from, 60).tolist(), *(s for s, _, _ in known.points)})
    assert known.interval[1] > 1.03 * known.interval[0]
    net = aj.feedback_network(seed=known.seed, N=known.N, D=known.D, s=1.0)
    for which, path in ((0, scales), (1, scales[::-1])):
        noise = np.random.default_rng(0)
        state = 1e-3 * jnp.asarray(noise.standard_normal(known.D))
        expected = {s: (up, down)[which] for s, up, down in known.points}
        for s in path:
            here = replace(net, s=jnp.asarray(s))
            # A state that has come to rest at the origin would never leave it.
            state = run(here, state + 1e-6 * jnp.asarray(noise.standard_normal(known.D)), steps=20_000)
            if s in expected:
                period, amplitude = expected[s]
                back = find_period(here, state, longest=20_000)
                assert back.period == period
                assert back.amplitude == pytest.approx(amplitude, rel=2e-3, abs=1e-4)


@partial(jax.jit, static_argnames=("steps", "longest"))
def onwards(net: aj.DelayNetwork, states: jax.Array, *, steps: int, longest: int) -> tuple[jax.Array, jax.Array]:
    """States (D, lanes) some steps on, and the period of each."""

    def side_by_side(function):
        def lifted(net, *carry, **same):
            return jax.vmap(partial(function, net, **same), in_axes=-1, out_axes=-1)(*carry)

        return lifted

    lanes = Lift(side_by_side, side_by_side)
    states = iterate(net, states, steps=steps, lift=lanes)
    return states, aj.find_period(net, states, longest=longest, lift=lanes).period


@pytest.mark.slow
def test_a_supertransient_ends() -> None:
    known = HARD_CASES["supertransient"]
    assert isinstance(known, Supertransient)
    (cycle,) = known.attractors
    net, every = network(known), 20_000
    states = jnp.stack([net.initial_state(replicate) for replicate in cycle.replicates], axis=-1)
    settled, period = np.zeros(len(cycle.replicates), int), np.zeros(len(cycle.replicates), int)
    for step in range(every, 20_000_001, every):
        states, period = onwards(net, states, steps=every, longest=1024)
        settled[(settled == 0) & (np.asarray(period) > 0)] = step
        if settled.all():
            break
    print(f"settled after {np.sort(settled).tolist()} steps, median {np.median(settled):.0f}")
    assert settled.all()
    assert np.asarray(period).tolist() == [cycle.period] * len(settled)
    assert 200_000 < np.median(settled) < 2 * known.mean_settling_steps

    at_rest = aj.lyapunov_exponents(net, states[:, 0], transient=10_000, steps=20_000)
    assert_exponents(cycle, at_rest, 20_000)
    y = np.asarray(aj.orbit(net, states[:, 0], steps=4)[:, 0])
    assert np.ptp(y) == pytest.approx(cycle.amplitude, abs=1e-6)
    # Nothing announces the end: before it the orbit is as chaotic as any.
    last = int(np.argmax(settled))
    steps = 200_000
    before = aj.lyapunov_exponents(net, net.initial_state(last), transient=2000, steps=steps, k=2)
    for i, (value, error) in enumerate(known.while_chaotic):
        assert abs(before.exponents[i] - value) < 5 * np.hypot(error, before.standard_error[i])
        assert before.exponents[i] > 20 * before.standard_error[i]
