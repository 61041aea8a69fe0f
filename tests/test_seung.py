"""Seung's networks: what a training is, to the last bit, and what a sweep keeps of it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from runs import assert_identical, cells_of, plan_of, sweep

import attractor_jax as aj
from attractor_jax import pattern_learning
from attractor_jax.audit import examine
from attractor_jax.image_loops import Loop
from attractor_jax.images import load
from attractor_jax.pattern_learning import WEIGHTS, Lesson, Training, _together, first_weights, reach, train
from attractor_jax.plan import Plan
from attractor_jax.store import RunDirectory
from attractor_jax.sweep import run_sweep
from attractor_jax.systems import Draw
from attractor_jax.systems.continuous import BOUNDS, Continuous, stages

# Every number of loops, of steps, and of images in a minibatch is another program that takes seconds to compile: nearly
# all tests share these.
SHORT = ("grid.label=2", "grid.train_steps=500", "grid.batch_size=16", "grid.T=[1,2]")
AXES = {
    "data": "digits-8x8", "task": "completion", "visible": "relu", "T_schedule": "1-2-5-10", "hidden_places": 64,
    "label": 2, "radius": 1, "patch": 4, "n2": 64, "train_steps": 500, "batch_size": 16, "lr": 3e-3, "seed": 0, "T": 2,
    "components": 20, "at": 5, "tolerance": 0.1,
}  # fmt: skip


def drawn(*axes: dict[str, Any], devices: int = 1) -> list[Draw]:
    return Continuous().draws([AXES | each for each in axes], jax.devices()[:devices])


def assert_same_weights(one: Any, other: Any) -> None:
    for name in WEIGHTS:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name, strict=True)


@pytest.fixture(scope="module")
def network() -> Draw:
    """Trained through T = 1 and T = 2 on digits, alone."""
    return drawn({})[0]


# A network


def test_the_jacobian_of_a_trained_network_is_what_autodiff_says(network: Draw) -> None:
    system, states = Continuous(), load("digits", 2).test[:20]
    loop = Loop(*(network[name] for name in ("W21", "b2", "W12", "b1")))
    first, second = (np.asarray(each, float)[..., None] for each in loop.active(states))
    exact = first * (network["W12"] @ (second * network["W21"]))
    assert 0.3 < first.mean() < 1 and 0.3 < second.mean() < 1, "some units follow, some are at rest"

    def jacobians(draw: Draw, state: jax.Array) -> tuple[jax.Array, jax.Array]:
        built = system.build(draw, {})
        return built.jacobian(state), jax.jacfwd(built)(state)

    ours, autodiff = jax.jit(jax.vmap(jacobians, (None, 0)))(network, states)
    np.testing.assert_allclose(ours, autodiff, rtol=0, atol=1e-14)
    np.testing.assert_allclose(ours, exact, rtol=0, atol=1e-14)
    np.testing.assert_allclose(loop.jacobians(states), exact, rtol=0, atol=1e-14)


def test_a_masked_network_is_one_of_that_size(network: Draw) -> None:
    (masked,) = drawn({"hidden_places": 100})
    assert not any(masked[name][64:].any() for name in ("W21", "b2")) and not masked["W12"][:, 64:].any()
    small = {"W21": masked["W21"][:64], "b2": masked["b2"][:64], "W12": masked["W12"][:, :64], "b1": masked["b1"]}
    for name, values in small.items():
        np.testing.assert_allclose(values, network[name], rtol=0, atol=1e-6, err_msg=name)
    for column in Continuous().columns:
        np.testing.assert_allclose(masked[column.name], network[column.name], rtol=1e-6, err_msg=column.name)


# The same bits


def test_companions_devices_and_order_change_no_bit(network: Draw) -> None:
    other, shorter, same = drawn({"seed": 1, "T": 1}, {"T": 1}, {}, devices=2)
    assert_same_weights(same, network)
    for name, values in network.items():
        np.testing.assert_array_equal(same[name], values, err_msg=name)
    # The first stage is what it is without the second, and on another device.
    other_alone, shorter_alone = (drawn(each)[0] for each in ({"seed": 1, "T": 1}, {"T": 1}))
    assert_same_weights(other, other_alone)
    assert_same_weights(shorter, shorter_alone)
    (swapped,) = drawn({"T": 1}, {"seed": 1, "T": 1}, devices=2)[1:]
    assert_same_weights(swapped, other)
    assert np.abs(other["W21"] - shorter["W21"]).max() > 0.1


def test_a_stage_goes_on_from_the_one_before(network: Draw) -> None:
    assert [stages("1-2-5", T) for T in (1, 2, 5)] == [(1,), (1, 2), (1, 2, 5)] and stages("1-2-5") == (1, 2, 5)
    alone, both = drawn({"T_schedule": "2"}, {"T_schedule": "1-2"})
    assert_same_weights(both, network)
    assert np.abs(alone["W21"] - network["W21"]).max() > 0.1


def test_side_by_side_as_on_an_accelerator_they_are_the_same_but_for_rounding() -> None:
    system, several = Continuous(), [AXES | {"T": 1} | each for each in ({}, {"seed": 1}, {"lr": 1e-3, "patch": 3})]
    trainings = [system._training(axes) for axes in several]
    waited: list[None] = []
    together = _together(trainings, lambda: waited.append(None))
    assert waited
    for one, stages_ in zip(together, train(trainings, devices=jax.devices()[:1]), strict=True):
        assert len(one) == len(stages_) == 1
        for name in WEIGHTS:
            np.testing.assert_allclose(one[0][name], stages_[0][name], rtol=0, atol=1e-9, err_msg=name)


# What a step does


def test_a_training_is_adam_on_the_gradient_through_all_loops() -> None:
    """Written down by hand: 2 x 2 pixels, four hidden units, and three images, all of them in every step."""
    images = np.array([[0.9, 0.1, 0.4, 0.7], [0.2, 0.8, 0.6, 0.3], [0.5, 0.5, 0.9, 0.1]])
    T, steps, lr = 2, 4, 0.5
    fields = reach(4, 2, -1)
    training = Training(images, fields, (Lesson(T, steps, 0, True),), seed=5, patch=1, lr=lr, **BOUNDS["relu"])
    ((found,),) = train([training], devices=jax.devices()[:1])

    weights = first_weights(images.mean(axis=0), fields, 5)
    first = {name: np.zeros_like(values) for name, values in weights.items()}
    second = {name: np.zeros_like(values) for name, values in weights.items()}
    key = jax.random.fold_in(jax.random.key(5), T)
    clipped = []
    for step in range(steps):
        # Four places, the last of them empty: it has a hole, and counts for nothing.
        where = jax.random.split(jax.random.fold_in(key, step))[1]
        corner = np.asarray(jax.random.randint(where, (4, 2), 0, 2))[:3]
        shown = images.copy()
        shown[np.arange(3), 2 * corner[:, 0] + corner[:, 1]] = 0
        gradient = by_hand(weights, shown, images, T)
        norm = np.sqrt(sum(np.sum(each**2) for each in gradient.values()))
        clipped.append(norm > 1)
        rate = lr * T**-0.75 * (0.1 + 0.9 * (1 + np.cos(np.pi * step / steps)) / 2)
        for name, each in gradient.items():
            each = each / max(norm, 1)
            first[name] = 0.9 * first[name] + 0.1 * each
            second[name] = 0.999 * second[name] + 0.001 * each**2
            mean, square = first[name] / (1 - 0.9 ** (step + 1)), second[name] / (1 - 0.999 ** (step + 1))
            weights[name] = weights[name] - rate * mean / (np.sqrt(square) + 1e-8)
    assert 0 < sum(clipped) < steps, "both kinds of step are to be seen"
    for name in WEIGHTS:
        np.testing.assert_allclose(found[name], weights[name], rtol=0, atol=1e-9, err_msg=name)


def by_hand(weights: dict[str, np.ndarray], shown: np.ndarray, wanted: np.ndarray, T: int) -> dict[str, np.ndarray]:
    """The gradient of mean |x1(T) - d|^2, back through the loops one by one."""
    W21, W12, states, hidden = weights["W21"], weights["W12"], [shown], []
    for _ in range(T):
        hidden.append(np.maximum(weights["b2"] + states[-1] @ W21.T, 0))
        states.append(np.maximum(weights["b1"] + hidden[-1] @ W12.T, 0))
    gradient = {name: np.zeros_like(values) for name, values in weights.items()}
    back = 2 * (states[-1] - wanted) / len(wanted)
    for before, inside, after in zip(states[-2::-1], hidden[::-1], states[:0:-1], strict=True):
        back = back * (after > 0)
        gradient["W12"] += back.T @ inside
        gradient["b1"] += back.sum(axis=0)
        back = (back @ W12) * (inside > 0)
        gradient["W21"] += back.T @ before
        gradient["b2"] += back.sum(axis=0)
        back = back @ W21
    return gradient


def test_a_linear_network_learns_the_principal_components() -> None:
    """At the size of USPS it takes a minute: `experiment=seung_pca`."""
    axes = {"task": "retention", "visible": "linear", "radius": -1, "hidden_places": 4, "n2": 4, "T": 1}
    (found,) = drawn(axes | {"batch_size": 0, "train_steps": 3000})
    assert found["principal_angle"] < 1 and found["idempotence"] < 1e-3
    assert found["near_unity"] == 4 and found["near_unity_sd"] == 0


# A training that is stopped


def test_draws_that_are_stopped_end_soon_and_leave_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    stage = pattern_learning.train_stage

    def counted(*arguments: Any, lesson: Lesson) -> Any:
        begun.append(lesson.T)
        return stage(*arguments, lesson=lesson)

    monkeypatch.setattr(pattern_learning, "train_stage", counted)
    threads = threading.active_count()

    def stop() -> None:
        if begun:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Continuous().draws([AXES | {"seed": seed, "T": 1} for seed in range(40)], jax.devices(), stop)
    assert 1 <= len(begun) < 20 and threading.active_count() == threads


def resumable(*arguments: str) -> Plan:
    """A part for each seed."""
    return plan_of(
        *("system=continuous", "measure=loops", "measure.k=1", *SHORT),
        *("grid.seed={start: 0, num: 3}", "plan.part_steps=20000000", *arguments),
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sweep(resumable("grid.replicate=[0, 5]"), tmp_path_factory.mktemp("seung"), devices=1)


def test_a_sweep_that_is_stopped_in_a_training_goes_on_to_the_same_bits(run: Path, tmp_path: Path) -> None:
    plan = resumable("grid.replicate=[0, 5]")
    assert plan.n_parts == 3
    directory = RunDirectory(tmp_path, plan)
    begun: list[int] = []

    def interrupt(cells: int, steps: float) -> None:
        if len(begun) == 2 and not cells:  # while the networks of the second part are made
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(
            plan, directory, devices=jax.devices()[:1], progress=interrupt, begins=lambda part: begun.append(part.index)
        )
    assert not examine(directory.path).complete and len(list((directory.path / "weights").iterdir())) == 1
    again = sweep(plan, tmp_path, devices=1)
    assert examine(again).complete
    assert_identical(cells_of(again), cells_of(run))
    for path in (run / "weights").iterdir():
        with np.load(path) as one, np.load(again / "weights" / path.name) as other:
            assert one.files == other.files
            for name in one.files:
                np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_rows_and_weights_of_a_run(run: Path, network: Draw) -> None:
    df = aj.read_run(run)
    assert len(df) == 12 and set(df["data"]) == {"digits-8x8"} and set(df["status"]) == {"ok"}
    assert df["regime"].notna().all() and not df["dead_hidden"].isna().any()
    for row in df.itertuples():
        kept = aj.read_weights(run, int(row.cell_id))
        assert (kept["e2"], kept["fill_pca"]) == (row.e2, row.fill_pca)
        np.testing.assert_array_equal(kept["drift"], row.drift)
        # The orbit starts from the image that `replicate` names.
        loop = Loop(*(kept[name] for name in ("W21", "b2", "W12", "b1")))
        (end,) = loop.visited(kept["images"][row.replicate][None], [10 + 10 + 20])
        assert row.state_norm == pytest.approx(end.max(), rel=1e-9)
    ((first,),) = df.loc[(df["seed"] == 0) & (df["T"] == 2) & (df["replicate"] == 5), ["cell_id"]].to_numpy()
    kept = aj.read_weights(run, int(first))
    assert_same_weights(kept, network)
    assert any((kept["images"][5] == image).all() for image in load("digits", 2).test)
    np.testing.assert_array_equal(kept["holes"], network["holes"])
    assert len(np.unique(df["state_norm"])) == 12, "each network and image has an orbit of its own"


# The experiments at full length


def at(df: pd.DataFrame, task: str, T: int) -> pd.DataFrame:
    """The networks of eight seeds."""
    rows = df[(df["task"] == task) & (df["T"] == T)]
    assert len(rows) == 8
    return rows


@pytest.mark.slow
def test_digits_are_completed_better_with_more_loops(tmp_path: Path) -> None:
    df = aj.read_run(sweep(plan_of("experiment=seung_digits"), tmp_path))
    once, twice, more = (at(df, "completion", T) for T in (1, 2, 5))
    assert (once["e2"] > once["e1"]).all(), "trained for one loop, the second does harm"
    assert (twice["e2"] < twice["e1"]).all() and (twice["e2"] < 0.28).all()
    assert (twice["e2"].to_numpy() < once["e2"].to_numpy()).all()
    assert (more["e5"] < 0.30).all()
    assert (at(df, "retention", 5)["e5"] > 0.6).all(), "what keeps images fills no holes"
    assert (df.groupby(["task", "T"], observed=True)["dead_hidden"].median() < 0.05).all()


@pytest.mark.slow
def test_bars_at_all_angles_are_a_continuous_attractor(tmp_path: Path) -> None:
    ring = at(aj.read_run(sweep(plan_of("experiment=seung_ring"), tmp_path)), "completion", 5)
    assert (ring["e5"] < 0.01).all()
    assert ring["near_unity"].between(0.6, 1.6).all()
    assert ring["tangent_gain"].between(0.9, 1.1).all()
    assert (ring["drift_20"] < 0.006).all()
    assert (ring["on_manifold"] > 0.95).all()
    along, across, *_ = np.median(np.stack(ring["finite_time_exponents"].to_list()), axis=0)
    assert abs(along) < 0.05 and across < -0.05
