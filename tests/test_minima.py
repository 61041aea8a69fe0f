"""Which minimum did a training end in? The minima of XOR, all of them, and labels that do not depend on what else is in
the table.
"""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from runs import TINY, plan_of, sweep
from truths import XOR_MINIMA

import attractor_jax as aj
from attractor_jax.minima import arrived, attracted, label_minima, minima_table, problem_of
from attractor_jax.systems.problems import Digits, DoubleWell, Factorisation, MeanField, Problem, Regression, Xor

XOR = ("system=xor", "measure=training", "grid.momentum=0.9", "grid.weight_decay=0.01", "grid.lr=0.1",
       "grid.seed={start: 0, num: 1024}", "grid.init_scale=[0.1, 1]")  # fmt: skip


@pytest.fixture(scope="module")
def xor(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Trainings of the 2-2-1 network from two scales of first weights."""
    return aj.read_run(sweep(plan_of(*XOR), tmp_path_factory.mktemp("xor")))


@pytest.fixture(scope="module")
def labelled(xor: pd.DataFrame) -> pd.DataFrame:
    return label_minima(xor)


# The minima of XOR


def assert_all_of_xor(minima: pd.DataFrame) -> None:
    assert minima["attractor"].tolist() == list(range(1, 50))
    depths = [depth for depth, n in XOR_MINIMA.values() for _ in range(n)]
    np.testing.assert_allclose(minima["depth"], depths, rtol=0, atol=1e-5)
    orbits = minima.groupby("orbit")["attractor"].agg(["size", "min"])
    assert orbits["size"].tolist() == [8, 8, 8, 8, 8, 8, 1]
    assert (minima["copies"] == minima.groupby("orbit")["attractor"].transform("size")).all()


def test_xor_has_16_global_minima_32_poor_ones_and_a_collapsed_one(labelled: pd.DataFrame) -> None:
    minima = minima_table(labelled)
    assert_all_of_xor(minima)
    assert (labelled["attractor"] >= 1).all() and minima["count"].sum() == len(labelled)
    assert (minima["accuracy"][:16] == 1).all() and (minima["accuracy"][16:48] == 0.5).all()
    assert (minima["hessian_min"] > 0).all()
    collapsed = labelled[labelled["attractor"] == 49]
    assert set(collapsed["init_scale"]) == {0.1} and len(collapsed) > 300
    np.testing.assert_allclose(np.stack(collapsed["theta"]), 0, atol=1e-3)


def test_two_hidden_units_learn_xor_three_times_in_four(labelled: pd.DataFrame) -> None:
    here = labelled[labelled["init_scale"] == 1]
    share = (here["attractor"] <= 16).mean()
    assert 0.73 <= share <= 0.80
    assert ((here["accuracy"] == 1) == (here["attractor"] <= 16)).all()


def test_float32_finds_the_same_minima(labelled: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> None:
    run = sweep(plan_of(*XOR, "backend.dtype=float32"), tmp_path_factory.mktemp("float32"))
    coarse = label_minima(aj.read_run(run))
    assert_all_of_xor(minima_table(coarse))
    assert set(coarse["dtype"]) == {"float32"}
    assert (coarse["attractor"].to_numpy() == labelled["attractor"].to_numpy()).mean() > 0.99
    apart = np.stack(minima_table(coarse)["theta"]) - np.stack(minima_table(labelled)["theta"])
    assert 0 < np.abs(apart).max() < 1e-3


# Labels


def test_the_order_of_rows_changes_no_label(xor: pd.DataFrame, labelled: pd.DataFrame) -> None:
    shuffled = xor.sample(frac=1, random_state=0)
    again = label_minima(shuffled)
    assert again.index.tolist() == shuffled.index.tolist()
    for name in ("attractor", "orbit"):
        assert (again[name].sort_index() == labelled[name]).all(), name
    pd.testing.assert_frame_equal(
        minima_table(again.reset_index(drop=True)).drop(columns="theta"), minima_table(labelled).drop(columns="theta")
    )


def test_a_catalogue_keeps_the_numbers_of_what_is_left(xor: pd.DataFrame, labelled: pd.DataFrame) -> None:
    catalogue = minima_table(labelled)
    few = xor.iloc[[*range(40, 60), *range(1500, 1530)]]
    there = labelled.loc[few.index]
    alone = label_minima(few)
    assert (alone["attractor"] != there["attractor"]).any(), "without one they are numbered anew"
    known = label_minima(few, catalogue=catalogue)
    assert (known["attractor"] == there["attractor"]).all() and (known["orbit"] == there["orbit"]).all()
    # Whatever order the catalogue is in, and wherever it has gaps.
    for part in (catalogue.iloc[::-1], catalogue[catalogue["attractor"].isin(there["attractor"])]):
        known = label_minima(few, catalogue=part)
        assert (known["attractor"] == there["attractor"]).all() and (known["orbit"] == there["orbit"]).all()


def test_what_a_catalogue_has_not_follows_it(xor: pd.DataFrame, labelled: pd.DataFrame) -> None:
    catalogue = minima_table(labelled)
    part = catalogue[catalogue["attractor"].isin([2, 5, 30])]
    known = label_minima(xor, catalogue=part)
    table = pd.DataFrame({"was": labelled["attractor"], "is": known["attractor"]}).drop_duplicates()
    assert len(table) == 49, "one for one"
    kept = table[table["was"].isin([2, 5, 30])]
    assert (kept["was"] == kept["is"]).all()
    others = table[~table["was"].isin([2, 5, 30])].sort_values("was")
    assert others["is"].tolist() == list(range(31, 77))
    # Orbits: those of the catalogue keep theirs, with all their images.
    orbit = pd.DataFrame({"was": labelled["orbit"], "is": known["orbit"]}).drop_duplicates()
    assert len(orbit) == 7
    mine = orbit[orbit["was"].isin(part["orbit"])]
    assert (mine["was"] == mine["is"]).all()


def test_a_catalogue_of_another_landscape_says_nothing(xor: pd.DataFrame, labelled: pd.DataFrame) -> None:
    catalogue = minima_table(labelled).assign(weight_decay=0.02)
    known = label_minima(xor, catalogue=catalogue)
    assert (known["attractor"] == labelled["attractor"]).all()
    empty = minima_table(labelled[:0])
    assert (label_minima(xor, catalogue=empty)["attractor"] == labelled["attractor"]).all()


def test_widths_and_decays_have_minima_of_their_own(xor: pd.DataFrame) -> None:
    narrow = xor[:40].assign(width=1, theta=[np.full(5, x) for x in np.tile([0.5, -0.5], 20)], objective=1.0)
    df = pd.concat([xor[:300], xor[300:600].assign(weight_decay=0.05), narrow], ignore_index=True)
    df = df.sample(frac=1, random_state=1)
    minima = minima_table(labelled := label_minima(df))
    groups = minima.groupby(["width", "weight_decay"])
    assert [key for key, _ in groups] == [(1, 0.01), (2, 0.01), (2, 0.05)]
    for (width, decay), rows in groups:
        assert rows["attractor"].tolist() == list(range(1, len(rows) + 1))
        here = labelled[(labelled["width"] == width) & (labelled["weight_decay"] == decay)]
        alone = label_minima(here)
        assert (alone["attractor"] == here["attractor"]).all() and rows["count"].sum() == len(here)
    assert minima["orbit"][minima["width"] == 1].tolist() == [1, 2], "five equal numbers and their negatives: no images"


def test_tables_without_any_minimum(xor: pd.DataFrame) -> None:
    empty = label_minima(xor[:0])
    assert len(empty) == 0 and {"attractor", "orbit"} <= set(empty.columns) and len(minima_table(empty)) == 0
    lost = xor[:3].assign(status="diverged", theta=[np.full(9, np.nan)] * 3, gradient_norm=np.nan, hessian_min=np.nan)
    labels = label_minima(lost)
    assert labels["attractor"].tolist() == labels["orbit"].tolist() == [-1] * 3 and len(minima_table(labels)) == 0
    driven = label_minima(xor[:3].assign(amplitude=np.nan))
    assert driven["attractor"].tolist() == [0] * 3


def test_rows_that_diverged_or_have_not_arrived_stand_beside_the_others(xor: pd.DataFrame, labelled) -> None:
    some = xor.iloc[:6].copy()
    some["status"] = ["ok", "diverged", "ok", "ok", "ok", "ok"]
    some["gradient_norm"] = [0.0, 0.0, 2e-3, 0.0, np.nan, 0.0]
    labels = label_minima(some)["attractor"]
    assert labels.tolist()[1:3] == [-1, 0] and labels.iloc[4] == 0 and (labels.iloc[[0, 3, 5]] >= 1).all()
    # Newton's step of a third of a smallest curvature: too long for the radius, not for one of 0.7.
    some["gradient_norm"] = some["hessian_min"] / 3
    assert not arrived(some).any() and (arrived(some, radius=0.7).tolist() == [True, False, True, True, True, True])


def test_a_minimum_that_repels_keeps_what_began_on_it_and_attracts_nothing(tmp_path: Path) -> None:
    """(1, 1) and (4, 1/4) are minima of the factorisation, of sharpness 2 and 16.06; at lr 0.5 the second repels."""
    arguments = ("system=factorisation_plane", "measure=training", *TINY[:1], "grid.u=[1, 4]", "grid.v=[0.25, 1]")
    df = aj.read_run(sweep(plan_of(*arguments, "grid.lr=0.5", "measure.transient=200"), tmp_path))
    there = df[df["gradient_norm"] == 0].set_index("u")
    assert there.index.tolist() == [4.0, 1.0] and there["sharpness"].tolist() == pytest.approx([16.0625, 2.0])
    assert arrived(there).tolist() == [True, True] and attracted(there).tolist() == [False, True]
    assert there["edge_ratio"].tolist() == pytest.approx([16.0625 / 4, 0.5])


def test_a_saddle_is_no_minimum(tmp_path_factory: pytest.TempPathFactory) -> None:
    arguments = ("system=double_well", "measure=training", "grid.init_scale=[0, 1]", "grid.seed=[0, 1, 2]")
    df = label_minima(aj.read_run(sweep(plan_of(*arguments, *TINY[:1], "grid.lr=0.9"), tmp_path_factory.mktemp("0"))))
    at_0 = df["init_scale"] == 0
    assert (df["gradient_norm"] < 1e-3).all() and (df["hessian_min"][at_0] == -1).all()
    assert (df["attractor"][at_0] == 0).all() and (df["attractor"][~at_0] >= 1).all()
    assert (df["orbit"][~at_0] == 1).all(), "the two minima are images of one another"


def test_chains_of_ends_are_one_minimum_and_the_radius_decides() -> None:
    """A valley: ends along the hyperbola of the factorisation, each near to its neighbours alone."""
    u = np.linspace(0.8, 1.3, 40)
    rows = {"system": "factorisation", "status": "ok", "edge_ratio": 0.5}
    rows |= dict.fromkeys(("gradient_norm", "hessian_min", "amplitude"), 0.0)
    df = pd.DataFrame({**rows, "weight_decay": 0.0, "objective": 0.0, "theta": [np.array([x, 1 / x]) for x in u]})
    assert set(label_minima(df)["attractor"]) == {1}
    assert label_minima(df, radius=1e-3)["attractor"].nunique() == 40


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"radius": 0}, "`radius` must be above 0, got 0"),
        ({"radius": -0.1}, "`radius` must be above 0, got -0.1"),
        ({"radius": np.nan}, "`radius` must be above 0, got nan"),
        ({"flat": 0}, "`flat` must be above 0, got 0"),
        ({"flat": -1e-3}, "`flat` must be above 0, got -0.001"),
    ],
)
def test_thresholds_that_say_nothing_are_refused(xor: pd.DataFrame, wrong: dict, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        label_minima(xor, **wrong)
    assert str(refused.value) == message


def test_other_tables_are_refused(xor: pd.DataFrame) -> None:
    for df, got in (
        (xor.assign(system="henon"), "henon"),
        (xor.drop(columns="system"), "no column system"),
        (pd.concat([xor, xor.assign(system="regression")]), "xor, regression"),
    ):
        with pytest.raises(ValueError) as refused:
            label_minima(df)
        assert str(refused.value) == f"`df` must be of one learning system, got {got}"
    with pytest.raises(ValueError, match=r"^`df` must have the parameters of every row in the column theta"):
        label_minima(xor.drop(columns="theta"))
    with pytest.raises(ValueError, match=r"^`df` must have the parameters of every row in the column theta"):
        label_minima(xor[:2].assign(theta=None))
    with pytest.raises(ValueError, match=r"^`df` must have one width, got 2$"):
        problem_of(pd.concat([xor, xor.assign(width=3)]))


# Distances up to symmetry


def images(problem: Problem, theta: np.ndarray) -> list[np.ndarray]:
    """A network with its hidden units in every order and with every sign."""
    H, d, m = problem.width, problem.inputs, problem.outputs
    W1, rest = theta[: H * d].reshape(H, d), theta[H * d :]
    b1, rest = (rest[:H], rest[H:]) if problem.biased else (np.zeros(0), rest)
    W2, b2 = rest[: m * H].reshape(m, H), rest[m * H :]
    found = []
    for order in map(list, permutations(range(H))):
        for signs in product((1, -1), repeat=H):
            s = np.array(signs)
            biases = (s * b1[order]) if problem.biased else b1
            found.append(np.concatenate([(s[:, None] * W1[order]).ravel(), biases, (W2[:, order] * s).ravel(), b2]))
    return found


NETWORKS = [Xor(3), Regression(3), Digits(3), MeanField(3)]


@pytest.mark.parametrize("problem", NETWORKS, ids=lambda problem: type(problem).__name__)
def test_hidden_units_that_change_places_or_signs_are_no_distance_apart(problem: Problem) -> None:
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, problem.parameters))
    tied = images(problem, one)[0].copy()
    H, d = problem.width, problem.inputs
    tied[: H * d] = np.tile(one[:d], H)  # all first weights alike: sorting them says nothing
    zero = tied.copy()
    zero[: H * d] = 0
    X, Y = problem.train()
    for theta in (one, tied, zero):
        for image in images(problem, theta):
            assert problem.apart(theta, image) < 1e-12
    expected = float(problem.loss(jnp.asarray(one), X, Y))
    for image in images(problem, one)[::7]:  # they are symmetries
        assert float(problem.loss(jnp.asarray(image), X, Y)) == pytest.approx(expected, rel=1e-9)
    # What is apart stays so, by the smallest distance of any images.
    for theta in (other, one + 0.01 * other, 2 * one):
        least = min(np.linalg.norm(one - image) for image in images(problem, theta))
        assert problem.apart(one, theta) == pytest.approx(least, rel=1e-12) and least > 1e-3
        assert problem.apart(theta, one) == pytest.approx(least, rel=1e-12)


def test_landscapes_know_their_symmetries() -> None:
    assert DoubleWell().apart(np.array([1.0]), np.array([-1.0])) == 0
    assert DoubleWell().apart(np.array([1.0]), np.array([-0.5])) == 0.5
    u, v = np.array([2.0, 0.5]), np.array([-0.5, -2.0])
    assert Factorisation().apart(u, v) == 0
    assert Factorisation().apart(u, np.array([2.0, -0.5])) == 1
