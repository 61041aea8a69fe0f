"""Training as a map: closed forms of the double well, gradients and tangents that are exact, minibatches that are fair,
and rows that say where a training ended.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from itertools import combinations
from math import prod
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from runs import TINY, assert_identical, cells_of, plan_of, sweep
from scipy.stats import chi2
from truths import (
    DOUBLE_WELL_CYCLE_DOUBLES,
    DOUBLE_WELL_LAST,
    DOUBLE_WELL_ONSET,
    XOR_MINIMA,
    double_well_diverges,
    double_well_doubles,
    double_well_exponent,
)

import attractor_jax as aj
from attractor_jax import landscape
from attractor_jax.basins import end_states
from attractor_jax.descent import Descent, some_of
from attractor_jax.landscape import describe
from attractor_jax.systems import get
from attractor_jax.systems.learning import POOR_MINIMUM
from attractor_jax.systems.problems import Digits, DoubleWell, Factorisation, Problem, Regression, Xor

Table = Callable[..., pd.DataFrame]
GLOBAL = XOR_MINIMA["global"][0]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """The table of a sweep of trainings, from its command line; each is run once."""

    @cache
    def run(*arguments: str) -> pd.DataFrame:
        return aj.read_run(sweep(plan_of("measure=training", *arguments), tmp_path_factory.mktemp("run")))

    return run


def training(name: str, **axes: float) -> tuple[Descent, np.ndarray]:
    """The map of one cell of a system, and its first state."""
    system = get(name)
    values = {axis.name: axis.default for axis in system.axes} | axes
    draw = system.draw(**{axis: values[axis] for axis in system.draw_axes})
    lanes = {axis: np.array([value]) for axis, value in values.items()}
    state = system.initial_states(draw, values, lanes)[0]
    parameters = {axis: jnp.asarray(float(values[axis])) for axis in system.parameters}
    return system.build({key: jnp.asarray(value) for key, value in draw.items()}, parameters), state


# The double well

WELL = ("system=double_well",)
SEEDS_8 = "grid.seed={start: 0, num: 8}"


def next_to_the_minimum() -> str:
    """The scale that lets seed 0 start at 1.001."""
    return f"grid.init_scale={float(1.001 / DoubleWell().start(0)[0])!r}"


def test_exponents_at_the_minimum_and_on_the_2_cycle_are_the_closed_forms(table: Table) -> None:
    df = table(*WELL, SEEDS_8, "grid.lr={start: 0.01, stop: 1.29, num: 129}")
    eta = df["lr"].to_numpy()
    fixed, cycle = eta < 0.995, (eta > 1.005) & (eta < DOUBLE_WELL_CYCLE_DOUBLES - 0.005)
    ok = (df["status"] == "ok").to_numpy()
    assert (ok & fixed).sum() > 700 and (ok & cycle).sum() > 150
    assert (df["regime"][fixed & ok] == "fixed_point").all() and (df["period"][cycle & ok] == 2).all()
    chosen = ok & (fixed | cycle)
    chosen &= ~np.isclose(eta, 0.5)  # superstable
    np.testing.assert_allclose(df["lambda_1"][chosen], double_well_exponent(eta[chosen]), rtol=0, atol=1e-10)


def test_chaos_begins_where_the_doublings_accumulate(table: Table) -> None:
    step = 0.001
    df = table(*WELL, SEEDS_8, "grid.init_scale=0.3", "measure.transient=20000", "measure.longest_period=512",
               "grid.lr={start: 1.2805, stop: 1.3205, num: 41}")  # fmt: skip
    chaotic = df[df["regime"] == "chaotic"]
    assert 0 < chaotic["lr"].min() - DOUBLE_WELL_ONSET < step
    assert (df[df["lr"] < DOUBLE_WELL_ONSET]["lambda_1"] < 0).all()
    assert {4, 8, 16} <= set(df[df["lr"] < DOUBLE_WELL_ONSET]["period"])


def test_at_the_last_learning_rate_the_exponent_is_ln_3(table: Table) -> None:
    df = table(*WELL, "grid.seed={start: 0, num: 512}", "grid.init_scale=0.3", "grid.lr=1.9999999",
               "measure.steps=20000")  # fmt: skip
    assert (df["regime"] == "chaotic").all()
    assert df["lambda_1"].mean() == pytest.approx(DOUBLE_WELL_LAST, abs=0.005)
    away = np.abs(df["lambda_1"] - DOUBLE_WELL_LAST)
    assert (away < 5 * df["lambda_1_se"]).all() and (away < 0.005).all()


STEP = 0.01  # of the grids below, whose points lie half a step beside the closed forms


def adjacent(last: float, first: float, between: float) -> bool:
    """Are these neighbours on the grid, with the closed form between them?"""
    return first - last == pytest.approx(STEP) and last < between < first


def test_the_minimum_doubles_and_all_diverges_where_decay_says(table: Table) -> None:
    """Decay moves both; beyond the second not even the starts next to 0 stay."""
    df = table(*WELL, "grid.weight_decay=[0, 0.3, 0.6]", "grid.seed={start: 0, num: 16}", "grid.init_scale=0.3",
               "measure.transient=20000", "grid.lr={start: 0.505, stop: 5.495, num: 500}")  # fmt: skip
    for decay, rows in df.groupby("weight_decay"):
        group = rows.groupby("lr")
        still = group["period"].apply(lambda period: (period == 1).all())
        doubled = group["period"].apply(lambda period: (period == 2).any())
        share = group["status"].apply(lambda status: (status == "diverged").mean())
        doubles = double_well_doubles(0, decay)
        assert adjacent(still[still].index.max(), doubled[doubled].index.min(), doubles), decay
        assert adjacent(share[share == 0].index.max(), share[share == 1].index.min(), 2 * doubles), decay
        assert (share[share.index < 2 * doubles] == 0).all() and (share[share.index > 2 * doubles] == 1).all()


def test_the_minimum_doubles_where_momentum_says(table: Table) -> None:
    """From next to it: elsewhere other attractors stand beside it, the more of them the more momentum."""
    df = table(*WELL, "grid.momentum=[0.3, 0.5, 0.9]", next_to_the_minimum(), "measure.transient=4000",
               "grid.lr={start: 0.505, stop: 1.995, num: 150}")  # fmt: skip
    for momentum, rows in df.groupby("momentum"):
        doubles = double_well_doubles(momentum, 0)
        assert adjacent(rows["lr"][rows["period"] == 1].max(), rows["lr"][rows["period"] == 2].min(), doubles), momentum
        assert (rows["period"][rows["lr"] < doubles] == 1).all()


@pytest.mark.parametrize("sigma", [0.7, 2.0])
@pytest.mark.parametrize("eta", [0.5, 1.2, 2.0])
def test_the_share_of_starts_that_diverge(eta: float, sigma: float) -> None:
    n = 100_000
    map_, _ = training("double_well", lr=eta)
    starts = sigma * np.random.default_rng(1).standard_normal(n)
    ended = end_states(map_, np.column_stack([starts, np.zeros(n)]), steps=100)
    expected = double_well_diverges(eta, sigma)
    assert 1e-3 < expected < 0.9
    z = ((ended.diverged_at >= 0).mean() - expected) / np.sqrt(expected * (1 - expected) / n)
    assert abs(z) < 4


# Factorisation


def test_gradient_descent_on_the_factorisation_ends_below_the_edge(table: Table) -> None:
    df = table("system=factorisation", "grid.seed={start: 0, num: 500}", "grid.lr=[0.2, 0.5, 0.9, 0.99, 1.05]",
               "measure.transient=20000")  # fmt: skip
    squares = np.array([np.sum(np.square(np.clip(theta, -1e9, 1e9))) for theta in df["theta"]])
    arrived = (df["gradient_norm"] < 1e-6).to_numpy()
    assert (df["train_loss"][arrived] < 1e-12).all(), (
        "the saddle at the origin holds nobody who starts beside its lines"
    )
    for lr, rows in df[arrived].groupby("lr"):
        mine = squares[rows.index]
        assert len(rows) > 350 and mine.max() < 2 / lr + 1e-6
        np.testing.assert_allclose(rows["sharpness"], mine, rtol=1e-8)
        assert (rows["edge_ratio"] < 1 + 1e-6).all() and mine.max() > 0.7 * 2 / lr, "some end next to it"
    assert set(df["lr"][arrived]) == {0.2, 0.5, 0.9, 0.99}, "at 1.05 no minimum is flat enough: u^2 + v^2 >= 2 u v = 2"
    beyond = df[df["lr"] == 1.05]
    assert set(beyond["regime"]) == {"periodic", "diverged"} and (beyond["period"] == 2).sum() > 300


def test_the_antidiagonal_of_the_factorisation_leads_into_its_saddle(table: Table) -> None:
    df = table("system=factorisation_plane", "grid.u=0.75", "grid.v=[-0.75, 0.5]", "grid.lr=0.2")
    assert df["hessian_min"][0] == pytest.approx(-1) and df["train_loss"][0] == pytest.approx(0.5)
    assert df["regime"].tolist() == ["unsettled", "fixed_point"], "it has not left the unstable point"
    assert df["lambda_1"][0] == pytest.approx(np.log(1.2)) and df["train_loss"][1] < 1e-12


# Momentum contracts by itself

SPECTRA = {
    "double_well": {"lr": 1.6, "momentum": 0.3, "seed": 2},  # chaos
    "factorisation": {"lr": 0.05, "momentum": 0.9, "seed": 1, "noise": 0.05},
    "regression": {"width": 2, "lr": 0.05, "momentum": 0.5, "batch_size": 3},
    "trainability": {"width": 2, "lr": 3.0, "lr_hidden": 1.0, "momentum": 0.8},
}


@pytest.mark.parametrize("name", SPECTRA)
def test_all_exponents_sum_to_P_ln_momentum(name: str) -> None:
    map_, state = training(name, **({"init_scale": 0.3} if name == "double_well" else {}), **SPECTRA[name])
    found = aj.lyapunov_exponents(map_, state, transient=200, steps=400, align=40)
    P = map_.problem.parameters
    assert found.exponents.shape == (2 * P,) and not found.diverged
    assert float(jnp.sum(found.exponents)) == pytest.approx(P * np.log(SPECTRA[name]["momentum"]), abs=1e-9)
    assert float(found.sum_rule_residual) < 1e-9
    if name == "double_well":
        assert found.exponents[0] > 0.1


def test_a_sweep_of_spectra_sums_to_P_ln_momentum(table: Table) -> None:
    df = table("system=xor", "measure.k=all", "grid.momentum=0.9", "grid.seed=[0, 1, 2]", "grid.lr=[0.03, 0.1]",
               "grid.weight_decay=0.01", *TINY)  # fmt: skip
    total = df["exponents"].map(np.sum)
    assert (df["status"] == "ok").all() and (df["sum_rule_residual"] < 1e-9).all()
    np.testing.assert_allclose(total, 9 * np.log(df["momentum"]), rtol=0, atol=1e-9)
    assert df["exponents"].map(len).unique().tolist() == [18]


def test_without_momentum_the_determinant_is_not_told_but_for_one_parameter() -> None:
    found = aj.lyapunov_exponents(*training("factorisation", lr=0.2), transient=40, steps=40, align=8)
    assert np.isnan(found.sum_rule) and np.isnan(found.sum_rule_residual) and np.isfinite(found.exponents).all()
    found = aj.lyapunov_exponents(*training("double_well", lr=1.95, init_scale=0.3), transient=40, steps=400, align=8)
    assert found.exponents[0] > 0.1 and found.sum_rule_residual < 1e-12


# Losses and paths against NumPy


def numpy_loss(name: str, theta: np.ndarray, X: np.ndarray, Y: np.ndarray, H: int) -> float:
    """The losses once more."""
    if name == "double_well":
        return (theta[0] ** 2 - 1) ** 2 / 4
    if name == "factorisation":
        return (theta[0] * theta[1] - 1) ** 2 / 2
    outputs = numpy_network(name, theta, X, H)[1]
    if name == "digits":
        told = outputs - outputs.max(axis=1, keepdims=True)
        told -= np.log(np.exp(told).sum(axis=1, keepdims=True))
        return -(Y * told).sum(axis=1).mean()
    return float(((outputs - Y) ** 2).mean())


def numpy_network(name: str, theta: np.ndarray, X: np.ndarray, H: int) -> tuple[np.ndarray, np.ndarray]:
    """Hidden activities and outputs, unit by unit."""
    d, m = X.shape[1], 10 if name == "digits" else 1
    cut = iter(np.split(theta, np.cumsum([d] * H)))
    W1 = [next(cut) for _ in range(H)]
    rest = next(cut)
    if name == "trainability":
        hidden = np.stack([np.tanh(X @ w / np.sqrt(d)) for w in W1], axis=1)
        return hidden, hidden @ rest[:, None] / H
    b1, W2, b2 = rest[:H], rest[H : H + m * H].reshape(m, H), rest[H + m * H :]
    hidden = np.stack([np.tanh(X @ w + b) for w, b in zip(W1, b1, strict=True)], axis=1)
    return hidden, np.stack([hidden @ w + b for w, b in zip(W2, b2, strict=True)], axis=1)


def numpy_gradient(theta: np.ndarray, X: np.ndarray, Y: np.ndarray, H: int, decay: float) -> np.ndarray:
    """Of the mean squared error of one output, and half the decay times |theta|^2, by back-propagation."""
    hidden, outputs = numpy_network("xor", theta, X, H)
    W2 = theta[-1 - H : -1]
    error = 2 * (outputs[:, 0] - Y[:, 0]) / len(X)
    back = error[:, None] * W2 * (1 - hidden**2)
    found = [(back.T @ X).ravel(), back.sum(axis=0), error @ hidden, [error.sum()]]
    return np.concatenate(found) + decay * theta


def differences(function: Callable[[np.ndarray], Any], x: np.ndarray, h: float) -> np.ndarray:
    """Central ones, one row a component of x."""
    steps = h * np.eye(len(x))
    return np.array([(np.asarray(function(x + e)) - np.asarray(function(x - e))) / (2 * h) for e in steps])


PROBLEMS = {
    "double_well": {},
    "factorisation": {},
    "xor": {"width": 3},
    "regression": {"width": 3},
    "trainability": {"width": 3},
    "digits": {"width": 1},
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_gradient_is_that_of_a_loss_in_numpy(name: str) -> None:
    map_, state = training(name, seed=5, weight_decay=0.02, **PROBLEMS[name])
    problem, theta = map_.problem, state[:-1]
    X, Y = problem.train()
    objective = lambda theta: numpy_loss(name, theta, X, Y, problem.width) + 0.01 * np.sum(theta**2)  # noqa: E731
    assert float(problem.loss(jnp.asarray(theta), X, Y)) == pytest.approx(objective(theta) - 0.01 * np.sum(theta**2))
    found = jax.jit(lambda map_, state: map_.gradient(state))(map_, state)
    np.testing.assert_allclose(found, differences(objective, theta, 1e-5), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("name", ["double_well", "factorisation", "xor"])
def test_a_hundred_steps_are_those_of_a_few_lines_of_numpy(name: str, momentum: float) -> None:
    lr, decay = 0.05, 0.01
    map_, state = training(name, lr=lr, weight_decay=decay, momentum=momentum, seed=2)
    X, Y = Xor().train()
    gradient = {
        "double_well": lambda x: x**3 - x + decay * x,
        "factorisation": lambda x: (x[0] * x[1] - 1) * x[::-1] + decay * x,
        "xor": lambda x: numpy_gradient(x, X, Y, 2, decay),
    }[name]
    P = map_.problem.parameters
    theta, velocity = state[:P].copy(), np.zeros(P)
    for path in np.asarray(aj.orbit(map_, state, steps=101)):
        np.testing.assert_allclose(path[:P], theta, rtol=0, atol=1e-12)
        if momentum:
            np.testing.assert_allclose(path[P:-1], velocity, rtol=0, atol=1e-12)
        velocity = momentum * velocity + gradient(theta)
        theta = theta - lr * velocity
    assert path[-1] == 100 and len(path) == P * (2 if momentum else 1) + 1
    assert np.linalg.norm(path[:P] - state[:P]) > 0.1, "it went somewhere"


def test_layers_have_learning_rates_of_their_own() -> None:
    map_, state = training("trainability", width=3, lr=0.5, lr_hidden=0.25, seed=1)
    X, Y = map_.problem.train()
    gradient = differences(lambda theta: numpy_loss("trainability", theta, X, Y, 3), state[:-1], 1e-5)
    rates = np.array([0.25] * 9 + [0.5] * 3)
    np.testing.assert_allclose(map_(jnp.asarray(state))[:-1], state[:-1] - rates * gradient, rtol=0, atol=1e-9)


# Tangents

TANGENTS = {
    "double_well": {"lr": 1.3},
    "double_well with all": {"lr": 1.3, "momentum": 0.4, "weight_decay": 0.3, "noise": 0.2},
    "factorisation": {"lr": 0.4, "momentum": 0.7, "noise": 0.1},
    "xor": {"width": 3, "lr": 0.5, "momentum": 0.9, "weight_decay": 0.01, "noise": 0.1, "batch_size": 2},
    "xor without momentum": {"lr": 0.5, "batch_size": 1},
    "xor_escape": {"lr": 0.5, "momentum": 0.5, "batch_size": 1, "noisy_steps": 20},
    "regression": {"width": 3, "lr": 0.2, "momentum": 0.8, "weight_decay": 0.1, "batch_size": 5},
    "trainability": {"width": 3, "lr": 2.0, "lr_hidden": 0.5, "momentum": 0.3, "weight_decay": 0.1},
    "digits": {"width": 1, "lr": 0.2, "momentum": 0.9, "batch_size": 7},
}


@pytest.mark.parametrize("case", TANGENTS)
def test_the_tangent_is_the_jacobian_of_the_map_with_the_same_noise(case: str) -> None:
    map_, state = training(case.split()[0], seed=7, **TANGENTS[case])
    P, D, clock = map_.problem.parameters, len(state) - 1, 11
    rng = np.random.default_rng(0)
    state = np.append(state[:-1] + 0.3 * rng.standard_normal(D), clock)
    frame = np.vstack([rng.standard_normal((D, 3)), np.zeros(3)])
    step = jax.jit(lambda map_, state: map_(state))
    expected, jacobian = jax.jit(lambda map_, state: (map_(state), jax.jacfwd(map_)(state)))(map_, state)
    new, pushed, determinant = jax.jit(lambda map_, *of: map_.tangent(*of))(map_, state, frame)
    np.testing.assert_allclose(new, expected, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(pushed, jacobian @ frame, rtol=1e-11, atol=1e-12)
    np.testing.assert_array_equal(pushed[-1], 0)
    assert new[-1] == clock + 1
    h = 1e-6
    for direction, along in zip(frame.T, np.asarray(pushed).T, strict=True):
        slope = (step(map_, state + h * direction) - step(map_, state - h * direction)) / (2 * h)
        np.testing.assert_allclose(along, slope, rtol=1e-5, atol=1e-7)
    if map_.momentum.shape[0]:
        assert float(determinant) == pytest.approx(float(map_.momentum[0]) ** P, rel=1e-12)
    if map_.momentum.shape[0] or P == 1:
        sign, log = np.linalg.slogdet(np.asarray(jacobian)[:-1, :-1])
        assert sign * np.exp(log) == pytest.approx(float(determinant), rel=1e-7)
    else:
        assert np.isnan(determinant)


# What is drawn


@pytest.mark.parametrize(("n", "size"), [(4, 1), (4, 2), (4, 3), (5, 5), (16, 3)])
def test_every_subset_is_as_likely_and_has_no_member_twice(n: int, size: int) -> None:
    subsets = {subset: i for i, subset in enumerate(combinations(range(n), size))}
    draws = 40 * len(subsets) + 4000
    keys = jax.vmap(jax.random.key)(jnp.arange(draws))
    found = np.sort(jax.jit(jax.vmap(lambda key: some_of(key, n, size)))(keys), axis=1)
    count = np.bincount([subsets[tuple(row)] for row in found.tolist()], minlength=len(subsets))
    expected = draws / len(subsets)
    statistic = ((count - expected) ** 2 / expected).sum()
    if len(subsets) > 1:
        # As far from fair as one seed in 10^4 at most, and not fairer than chance either.
        assert chi2.ppf(1e-4, len(subsets) - 1) < statistic < chi2.ppf(1 - 1e-4, len(subsets) - 1)


def test_steps_draw_minibatches_that_share_the_gradient_equally() -> None:
    """At one theta and many clocks: the gradients of the six pairs, each as often, and nothing else."""
    map_, state = training("xor", batch_size=2, seed=9, weight_decay=0.01)
    X, Y = Xor().train()
    theta, n = state[:-1], 6000
    pairs = [numpy_gradient(theta, X[list(pair)], Y[list(pair)], 2, 0.01) for pair in combinations(range(4), 2)]
    states = np.column_stack([np.tile(theta, (n, 1)), np.arange(n)])
    found = np.asarray(jax.jit(jax.vmap(map_.gradient))(states))
    away = np.abs(found[:, None] - np.array(pairs)).max(axis=2)
    assert away.min(axis=1).max() < 1e-12
    count = np.bincount(away.argmin(axis=1), minlength=6)
    assert ((count - n / 6) ** 2 / (n / 6)).sum() < chi2.ppf(1 - 1e-4, 5)
    # Each step draws for itself: how often the next pair is the same.
    same = (np.diff(away.argmin(axis=1)) == 0).mean()
    assert abs(same - 1 / 6) < 4 * np.sqrt(5 / 36 / n)


def test_noise_is_isotropic_and_new_in_each_step_and_seed() -> None:
    n = 20_000
    drawn = []
    for seed in (0, 1, 2**16):  # the last: the other half of the key
        map_, state = training("factorisation", noise=0.3, seed=seed)
        theta = state[:-1]
        states = np.column_stack([np.tile(theta, (n, 1)), np.arange(n)])
        gradient = (theta[0] * theta[1] - 1) * theta[::-1]
        drawn.append((np.asarray(jax.jit(jax.vmap(map_.gradient))(states)) - gradient) / 0.3)
    numbers = np.concatenate(drawn, axis=1)
    assert np.abs(numbers.mean(axis=0)).max() < 4.5 / np.sqrt(n)
    np.testing.assert_allclose(numbers.var(axis=0), 1, atol=4.5 * np.sqrt(2 / n))
    # Components and seeds know nothing of one another, nor does a step of the next.
    together = np.corrcoef(numbers.T) - np.eye(6)
    later = np.corrcoef(numbers[1:].T, numbers[:-1].T)[:6, 6:]
    assert np.abs(together).max() < 5 / np.sqrt(n) and np.abs(later).max() < 5 / np.sqrt(n)


def test_a_minibatch_of_all_is_the_full_batch_bit_for_bit() -> None:
    full, state = training("xor", momentum=0.9, seed=4, weight_decay=0.01)
    assert not full.draws and not bool(full.random(jnp.asarray(state)))
    other, _ = training("xor", momentum=0.9, seed=5, weight_decay=0.01)
    np.testing.assert_array_equal(aj.orbit(full, state, steps=200), aj.orbit(other, state, steps=200))
    noisy, _ = training("xor", momentum=0.9, seed=4, weight_decay=0.01, batch_size=3)
    assert noisy.draws and bool(noisy.random(jnp.asarray(state)))
    assert not np.array_equal(aj.orbit(noisy, state, steps=20), aj.orbit(full, state, steps=20))


# Trainings that leave the finite numbers


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_a_training_that_diverges_freezes_at_its_first_number_that_is_not_finite(table: Table, momentum: float) -> None:
    df = table(*WELL, f"grid.momentum={momentum}", "grid.lr=[0.1, 5, 9]", "grid.seed={start: 0, num: 20}", *TINY)
    lost = df[df["status"] == "diverged"]
    assert 10 < len(lost) < 50
    for row in lost.to_dict("records"):
        with np.errstate(over="ignore", invalid="ignore"):
            x, v, step = DoubleWell().start(row["seed"])[0], 0.0, 0
            while np.isfinite(x) and np.isfinite(v):
                v = momentum * v + (x * x - 1) * x
                x, step = x - row["lr"] * v, step + 1
        assert row["diverged_at"] == step
        assert not np.isfinite(row["theta"]).all() or not np.isfinite(v)
    assert df["diverged_at"][df["status"] != "diverged"].isna().all()
    assert lost[["lambda_1", "train_loss", "sharpness", "gradient_norm", "edge_ratio"]].isna().all(axis=None)
    assert (lost["regime"] == "diverged").all()


def test_a_diverging_training_leaves_its_neighbours_alone(table: Table) -> None:
    def rows(last: float) -> pd.DataFrame:
        return table(*WELL, SEEDS_8, f"grid.lr=[0.1, 1.7, {last}]", "grid.init_scale=0.3", *TINY)

    expected, there = rows(1.8), rows(1e6)
    neighbours = expected["lr"].isin([1.7, 0.1])
    assert (expected["status"] == "ok").all() and (there["status"][~neighbours] == "diverged").all()
    assert_identical(there[neighbours], expected[neighbours])
    assert not there["lambda_1"][~neighbours].notna().any()


# Where a training ended


def test_the_outcomes_of_the_double_well_are_its_formulas(table: Table) -> None:
    df = table(*WELL, "grid.momentum=0.5", "grid.weight_decay=[0, 0.3]", "grid.lr=[0.001, 0.002, 0.1, 1.2]", *TINY)
    x, decay = np.stack(df["theta"])[:, 0], df["weight_decay"]
    assert (np.abs(x - np.sqrt(1 - decay)) > 0.01).sum() == 4, "not all at the minimum"
    known = {
        "train_loss": (x**2 - 1) ** 2 / 4,
        "objective": (x**2 - 1) ** 2 / 4 + decay * x**2 / 2,
        "gradient_norm": np.abs(x**3 - x + decay * x),
        "sharpness": 3 * x**2 - 1 + decay,
        "hessian_min": 3 * x**2 - 1 + decay,
        "hessian_trace": 3 * x**2 - 1 + decay,
        "edge_ratio": (3 * x**2 - 1 + decay) * df["lr"] / (2 * (1 + df["momentum"])),
    }
    for name, values in known.items():
        np.testing.assert_allclose(df[name], values, rtol=1e-12, atol=1e-14, err_msg=name)
    for name in ("test_loss", "accuracy", "test_accuracy", "saturated", "diverged_at"):
        assert df[name].isna().all(), name


@pytest.mark.parametrize("name", ["xor", "regression", "trainability", "digits"])
def test_the_outcomes_of_networks_are_those_of_numpy(name: str) -> None:
    problem: Problem = {"xor": Xor(3), "regression": Regression(3), "digits": Digits(1)}.get(name) or get(name).problem(
        3
    )
    theta = np.stack([2.5 * problem.start(seed) for seed in (0, 1)])
    decay, momentum = np.array([0.0, 0.2]), 0.5
    P, H = problem.parameters, problem.width
    lr = np.full(P, 0.3)
    if name == "trainability":
        lr[: H * H] = 0.7
    rates = np.tile(lr if name == "trainability" else lr[:1], (1, 2, 1)).squeeze(-1 if name != "trainability" else ())
    states = np.concatenate([theta, np.zeros((2, P + 1))], axis=1)[None]
    found = describe(problem, states, momentum=np.array([momentum]), lr=rates, weight_decay=decay[None])
    found = {key: values[0] for key, values in found.items()}
    X, Y = problem.train()
    for i in range(2):
        hidden, outputs = numpy_network(name, theta[i], X, H)
        objective = lambda at, d=decay[i]: numpy_loss(name, at, X, Y, H) + d * np.sum(at**2) / 2  # noqa: E731
        assert found["train_loss"][i] == pytest.approx(numpy_loss(name, theta[i], X, Y, H), rel=1e-12)
        assert found["objective"][i] == pytest.approx(objective(theta[i]), rel=1e-12)
        gradient = differences(objective, theta[i], 1e-5)
        assert found["gradient_norm"][i] == pytest.approx(np.linalg.norm(gradient), rel=1e-6)
        assert found["saturated"][i] == pytest.approx((np.abs(hidden) > 0.99).mean(), rel=1e-12)
        if name == "digits":
            test_X, test_Y = problem.test()
            told = numpy_network(name, theta[i], test_X, H)[1]
            assert found["test_loss"][i] == pytest.approx(numpy_loss(name, theta[i], test_X, test_Y, H), rel=1e-12)
            assert found["test_accuracy"][i] == pytest.approx((told.argmax(1) == test_Y.argmax(1)).mean(), rel=1e-12)
            assert found["accuracy"][i] == pytest.approx((outputs.argmax(1) == Y.argmax(1)).mean(), rel=1e-12)
            continue  # differences of 84 x 84 are no second opinion on so small curvatures
        if name == "xor":
            assert found["accuracy"][i] == (np.sign(outputs) == Y).mean()
            hessian = differences(lambda at, d=decay[i]: numpy_gradient(at, X, Y, H, d), theta[i], 1e-6)
        else:
            hessian = differences(lambda at, f=objective: differences(f, at, 1e-4), theta[i], 1e-4)
            assert np.isnan(found["accuracy"][i])
        if name == "regression":
            x = np.linspace(-1, 1, 201)
            told = numpy_network(name, theta[i], x[:, None], H)[1][:, 0]
            assert found["test_loss"][i] == pytest.approx(np.mean((told - np.sin(4 * np.pi * x)) ** 2), rel=1e-12)
        eigenvalues = np.linalg.eigvalsh((hessian + hessian.T) / 2)
        near = 1e-6 * np.abs(eigenvalues).max() if name == "xor" else 1e-4 * np.abs(eigenvalues).max()
        assert found["sharpness"][i] == pytest.approx(eigenvalues[-1], abs=near)
        assert found["hessian_min"][i] == pytest.approx(eigenvalues[0], abs=near)
        assert found["hessian_trace"][i] == pytest.approx(eigenvalues.sum(), abs=5 * near)
        expected = np.linalg.eigvals(lr[:, None] * hessian).real.max() / (2 * (1 + momentum))
        assert found["edge_ratio"][i] == pytest.approx(expected, abs=5 * near)


def at_one_state(problem: Problem, theta: np.ndarray, *, lr: float = 0.1, momentum: float = 0.0, decay: float = 0.0):
    found = describe(
        problem,
        np.append(theta, 0.0)[None, None],
        momentum=np.array([momentum]),
        lr=np.array([[lr]]),
        weight_decay=np.array([[decay]]),
    )
    return {name: values[0, 0] for name, values in found.items()}


def test_lanczos_and_hutchinson_agree_with_the_whole_hessian(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Regression(90)
    theta = problem.start(3)
    assert problem.parameters > 256
    large = at_one_state(problem, theta, decay=0.1)
    monkeypatch.setattr(landscape, "MOST_EXACT", 10**6)
    exact = at_one_state(problem, theta, decay=0.1)
    assert large["theta"] is None and exact["theta"].shape == (271,)
    for name in ("sharpness", "hessian_min", "edge_ratio"):
        assert large[name] == pytest.approx(exact[name], rel=1e-3), name
    hessian = np.asarray(landscape._hessians(problem, theta[None], np.array([0.1])))[0]
    # Variance of Hutchinson's estimate: twice the squares off the diagonal, over the probes.
    error = np.sqrt(2 * np.sum((hessian - np.diag(np.diag(hessian))) ** 2) / landscape.PROBES)
    assert abs(large["hessian_trace"] - exact["hessian_trace"]) < 4 * error < 10 * abs(exact["hessian_trace"])
    assert large["hessian_trace"] != exact["hessian_trace"]


@pytest.mark.parametrize("width", [3, 90])
def test_a_training_that_is_about_to_diverge_has_no_curvature_and_stops_nobody(width: int) -> None:
    """Its parameters are still finite; LAPACK and ARPACK would raise."""
    problem = Regression(width)
    found = at_one_state(problem, 1e200 * problem.start(0))
    assert np.isnan([found["sharpness"], found["hessian_min"], found["hessian_trace"], found["edge_ratio"]]).all()


def poor_minimum() -> np.ndarray:
    """To the last digit."""
    theta, (X, Y) = np.array(POOR_MINIMUM), Xor().train()
    for _ in range(3):
        hessian = differences(lambda at: numpy_gradient(at, X, Y, 2, 0.01), theta, 1e-5)
        theta = theta - np.linalg.solve(hessian, numpy_gradient(theta, X, Y, 2, 0.01))
    return theta


def test_the_poor_minimum_is_one() -> None:
    np.testing.assert_allclose(poor_minimum(), POOR_MINIMUM, rtol=0, atol=1e-12)
    found = at_one_state(Xor(2), np.array(POOR_MINIMUM), decay=0.01)
    assert found["objective"] == pytest.approx(0.5704929991, abs=1e-10)
    assert found["gradient_norm"] < 1e-12 and found["hessian_min"] > 1e-3


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("name", ["double_well", "factorisation", "xor"])
def test_beyond_the_edge_a_minimum_repels_and_not_before(name: str, momentum: float) -> None:
    problem, theta, decay = {
        "double_well": (DoubleWell(), np.array([-1.0]), 0.0),
        "factorisation": (Factorisation(), np.array([2.0, 0.5]), 0.0),
        "xor": (Xor(2), poor_minimum(), 0.01),
    }[name]
    edge = 2 * (1 + momentum) / at_one_state(problem, theta, decay=decay)["sharpness"]
    step = jax.jit(lambda map_, state: jax.jacfwd(map_)(state)[:-1, :-1])
    for lr in (0.5 * edge, edge * (1 - 1e-3), edge * (1 + 1e-3), 1.5 * edge):
        ratio = at_one_state(problem, theta, lr=lr, momentum=momentum, decay=decay)["edge_ratio"]
        assert ratio == pytest.approx(lr / edge, rel=1e-9)
        map_, _ = training(name, lr=lr, momentum=momentum, weight_decay=decay)
        state = np.concatenate([theta, np.zeros(len(theta) * (momentum > 0) + 1)])
        largest = np.abs(np.linalg.eigvals(step(map_, state))).max()
        assert (largest > 1 + 1e-5) == (ratio > 1)
        if name != "factorisation":  # along its valley nothing moves
            assert (largest < 1 - 1e-5) == (ratio < 1)


# XOR


def solved(df: pd.DataFrame) -> pd.Series:
    return df["accuracy"] == 1


def test_three_hidden_units_nearly_always_learn_it(table: Table) -> None:
    df = table("system=xor", "grid.width=3", "grid.momentum=0.9", "grid.weight_decay=0.01",
               "grid.seed={start: 0, num: 256}", "grid.lr=0.1")  # fmt: skip
    assert solved(df).mean() >= 0.99


@pytest.mark.slow
def test_hidden_units_and_xor_in_float32(table: Table) -> None:
    df = table("system=xor", "grid.width=[2, 3, 4, 6]", "grid.momentum=0.9", "grid.weight_decay=0.01",
               "grid.seed={start: 0, num: 4096}", "grid.lr=0.1", "backend.dtype=float32")  # fmt: skip
    share = solved(df).groupby(df["width"]).mean()
    assert 0.73 <= share[2] <= 0.80 and (share[3:] >= 0.99).all()


ESCAPE = ("system=xor_escape", "measure.transient=2400", "grid.weight_decay=0.01", "grid.lr=0.05")
# The steps before the search for a period, which takes 64: noise ends well before, within and after it.
BEFORE = 2400 + 100 + 1000
ENDING = (*ESCAPE, "grid.batch_size=[1, 4]", "grid.momentum=0.9", "grid.seed={start: 0, num: 32}",
          f"grid.noisy_steps=[2000, {BEFORE + 8}, {BEFORE + 99}]")  # fmt: skip


def reached(df: pd.DataFrame) -> pd.Series:
    """Share of trainings that ended in a global minimum, by batch size and momentum."""
    return ((df["objective"] - GLOBAL).abs() < 1e-4).groupby([df["batch_size"], df["momentum"]]).mean()


def test_single_examples_with_momentum_leave_the_poor_minimum_and_the_full_batch_does_not(table: Table) -> None:
    df = table(*ENDING)
    share = reached(df[df["noisy_steps"] == 2000])
    assert share[1, 0.9] >= 0.8 and share[4, 0.9] == 0
    np.testing.assert_allclose(df["objective"][df["batch_size"] == 4], XOR_MINIMA["poor"][0], atol=1e-6)


def test_orbits_are_random_as_long_as_any_step_of_the_search_is(table: Table) -> None:
    df = table(*ENDING)
    random = (df["noisy_steps"] > BEFORE) & (df["batch_size"] == 1)
    assert random.sum() == 64
    assert df["amplitude"][random].isna().all() and (df["period"][random] == 0).all()
    assert set(df["regime"][random]) <= {"unsettled", "chaotic", "hyperchaotic"}
    assert df["amplitude"][~random].notna().all() and (df["regime"][df["batch_size"] == 4] == "fixed_point").all()


def test_a_seed_draws_the_minibatches(table: Table) -> None:
    """All begin at the same place; the same seed draws the same steps, whatever comes later."""
    noisy = table(*ENDING).query(f"noisy_steps > {BEFORE} and batch_size == 1")
    for _, rows in noisy.groupby("seed"):
        one, other = rows["theta"]
        np.testing.assert_array_equal(one, other)
    assert len(np.unique(np.stack(noisy["theta"]), axis=0)) == 32


@pytest.mark.slow
def test_escape_from_the_poor_minimum(table: Table) -> None:
    share = reached(
        table(
            *ESCAPE,
            "grid.noisy_steps=2000",
            "grid.batch_size=[1, 4]",
            "grid.momentum=[0, 0.9]",
            "grid.seed={start: 0, num: 128}",
        )
    )
    assert share[4, 0.0] == share[4, 0.9] == 0
    assert share[1, 0.9] >= 0.8 and share[1, 0.0] <= 0.05


# Sweeps of trainings are sweeps


def test_a_sweep_of_trainings_goes_on_to_the_same_rows_on_any_devices(tmp_path: Path) -> None:
    plan = plan_of(*WELL, "measure=training", "grid.noise=0.01", "grid.seed={start: 0, num: 90}",
                   "grid.lr=[0.05, 1.8, 1e3]", "plan.part_steps=1", *TINY)  # fmt: skip
    assert plan.n_parts >= 3 and plan.n_cells > prod(plan.groups[0].block_shape)
    run = sweep(plan, tmp_path / "whole", devices=2)
    whole = cells_of(run)
    torn = tmp_path / "torn" / plan.config.name / plan.hash
    shutil.copytree(run, torn)
    for part in sorted((torn / "cells").glob("part-*.parquet"))[1:]:
        part.unlink()
    assert len(cells_of(torn)) < len(whole)
    assert sweep(plan, tmp_path / "torn", devices=1) == torn
    assert_identical(cells_of(torn), whole)
    # What noise drives does not come back, and each seed has its own.
    df = aj.read_run(run)
    there = df[df["status"] == "ok"]
    assert len(there) > 90 and (df["status"] == "diverged").sum() > 80
    assert (there["period"] == 0).all() and there["amplitude"].isna().all() and not there["at_origin"].any()
    assert set(there["regime"]) <= {"unsettled", "chaotic"} and (there["regime"] == "unsettled").any()
    assert len(np.unique(np.stack(there["theta"]), axis=0)) == len(there)
