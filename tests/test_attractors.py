"""Labels of attractors: what belongs together, what is each other's mirror image, and what may not change them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from runs import plan_of, sweep

import attractor_jax as aj
from attractor_jax.attractors import attractor_table, label_attractors, network_columns
from attractor_jax.basins import basin_fractions
from attractor_jax.coexistence import attractor_counts, coexistence
from attractor_jax.draws import article_draw, initial_history
from attractor_jax.gaps import parted_by_gaps

SHORT = ("measure.transient=2000", "measure.steps=2000", "measure.align=100", "measure.k=1")

# The article's second network, "torus" there (Sprott 1998; conf/experiment/article.yaml).
SET_B = {"N": 4, "D": 32, "seed": 3160697950, "s": 0.55}
# Its attractors by the standard deviation of y, from 200 random histories iterated by the loop below for 40,000 steps
# each: three closed curves. y_max and the second exponent with an independent QR iteration (the slow test).
CURVES_OF_B = (0.5428, 0.5752, 0.6000)
SECOND_OF_B = (-0.0222, -0.0233, -0.0127)


def run_of(root: Path, *arguments: str) -> pd.DataFrame:
    return aj.read_run(sweep(plan_of(*arguments), root))


def on_b(*arguments: str) -> tuple[str, ...]:
    return ("system=uniform", *(f"grid.{name}={value}" for name, value in SET_B.items()), *arguments)


@pytest.fixture(scope="module")
def set_b(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Set B from 200 random starts."""
    lengths = ("measure.transient=4000", "measure.steps=5000", "measure.k=1")
    return run_of(tmp_path_factory.mktemp("b"), *on_b("grid.replicate={start: 1, num: 200}", *lengths))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """A network whose attractors come in mirrored pairs, on a grid that is its own mirror image."""
    grid = [f"grid.{name}={{start: -3, stop: 3, num: 12}}" for name in ("u", "v")]
    network = ("system=uniform_plane", "grid.N=4", "grid.D=16", "grid.seed=6", "grid.s=[0.5, 0.6]")
    return run_of(tmp_path_factory.mktemp("pairs"), *network, *grid, *SHORT)


def numpy_outputs(starts: np.ndarray, *, skip: int, steps: int) -> np.ndarray:
    """Outputs of set B, (steps, starts), by a plain loop."""
    weights, gains = article_draw(SET_B["seed"], SET_B["N"], SET_B["D"])
    state, b, y = starts.T.copy(), SET_B["s"] * gains, np.empty((steps, len(starts)))
    for t in range(-skip, steps):
        state = np.concatenate([(b @ np.tanh(weights @ state))[None], state[:-1]])
        if t >= 0:
            y[t] = state[0]
    return y


def starts_of_b(count: int) -> np.ndarray:
    gains = article_draw(SET_B["seed"], SET_B["N"], SET_B["D"])[1]
    return np.stack([initial_history(SET_B["s"] * gains, SET_B["D"], q, SET_B["seed"]) for q in range(1, count + 1)])


# What belongs together


def test_set_b_has_three_closed_curves_as_a_plain_loop_finds(set_b: pd.DataFrame) -> None:
    df = label_attractors(set_b)
    table = attractor_table(df)
    assert table["attractor"].tolist() == [1, 2, 3] == table["orbit"].tolist()  # each is its own mirror image
    assert set(table["regime"]) == {"quasiperiodic"} and table["count"].sum() == 200
    assert (table["lambda_1"].abs() < 10 / 5000).all() and (table["y_mean"].abs() < 1e-3).all()
    spread = numpy_outputs(starts_of_b(200), skip=4500, steps=4000).std(axis=0)
    nearest = np.argmin(np.abs(spread[:, None] - np.array(CURVES_OF_B)), axis=1)
    assert np.abs(spread - np.array(CURVES_OF_B)[nearest]).max() < 2e-3
    # The same starts in the same sets, whatever they are called.
    assert len(set(zip(df["attractor"], nearest, strict=True))) == 3


@pytest.mark.slow
def test_set_b_at_full_length_has_the_exponents_of_an_independent_program(tmp_path: Path) -> None:
    lengths = ("measure.transient=20000", "measure.steps=20000")
    df = run_of(tmp_path, *on_b("grid.replicate={start: 1, num: 200}", *lengths))
    labelled = label_attractors(df)
    table = attractor_table(labelled)
    assert len(table) == 3
    weights, gains = article_draw(SET_B["seed"], SET_B["N"], SET_B["D"])
    starts, D = starts_of_b(200), SET_B["D"]
    for row in table.itertuples():
        mine = labelled[labelled["attractor"] == row.attractor]
        measured = np.stack(mine["exponents"].to_list())[:, :3].mean(axis=0)
        assert (mine["sum_rule_residual"] < 1e-6).all() and mine["y_std"].std() < 1e-4
        state = starts[row.cell_id]
        frame, sums = np.eye(D)[:, :3], np.zeros(3)
        for t in range(26_000):
            u = weights @ state
            pull = (SET_B["s"] * gains / np.cosh(u) ** 2) @ weights
            frame = np.concatenate([(pull @ frame)[None], frame[:-1]])
            state = np.concatenate([[SET_B["s"] * gains @ np.tanh(u)], state[:-1]])
            frame, r = np.linalg.qr(frame)
            sums += np.log(np.abs(np.diag(r))) if t >= 6000 else 0
        np.testing.assert_allclose(measured, sums / 20_000, atol=5e-4)
        spread = mine["y_std"].mean()
        which = int(np.argmin(np.abs(spread - np.array(CURVES_OF_B))))
        assert spread == pytest.approx(CURVES_OF_B[which], abs=1e-4)
        assert measured[1] == pytest.approx(SECOND_OF_B[which], abs=5e-4)


def test_one_chaotic_attractor_is_one_on_short_tails(tmp_path: Path) -> None:
    """64 starts of a network whose means scatter more than most (seed 4, s = 0.85), at 2,000 steps."""
    network = ("grid.D=16", "grid.seed=4", "grid.s=0.85", "grid.replicate={start: 1, num: 64}")
    df = label_attractors(run_of(tmp_path, *network, *SHORT, "measure.steps=2000"))
    assert (df["regime"] == "chaotic").sum() >= 60
    assert set(df.loc[df["regime"] == "chaotic", "attractor"]) == {1}
    assert set(df.loc[df["regime"] == "unsettled", "attractor"]) <= {0}
    # Far below what they scatter by, it falls apart.
    assert label_attractors(df, chaos=0.01)["attractor"].nunique() > 5


def test_the_cycles_of_a_doubling_map_are_one_each(tmp_path: Path) -> None:
    df = label_attractors(
        run_of(tmp_path, "system=logistic", "grid.r=[2.5, 3.2, 3.5, 3.9]", "grid.replicate={start: 0, num: 16}", *SHORT)
    )
    table = attractor_table(df)
    assert table["r"].tolist() == [2.5, 3.2, 3.5, 3.9] and (table["count"] == 16).all()
    assert table["period"].tolist() == [1, 2, 4, 0] and table["attractor"].tolist() == [1] * 4
    assert table["lambda_1"][0] == pytest.approx(np.log(0.5), abs=1e-9)
    assert table["y_mean"][0] == pytest.approx(1 - 1 / 2.5, abs=1e-9)


# Mirror images


def test_mirrored_attractors_share_an_orbit_and_mirrored_states_end_on_partners(pairs: pd.DataFrame) -> None:
    df = label_attractors(pairs)
    table = attractor_table(df)
    for s, here in table.groupby("s"):
        assert here["attractor"].tolist() == list(range(1, len(here) + 1)) and len(here) >= 4, s
        assert here["orbit"].value_counts().tolist() == [2] * (len(here) // 2)
        for _, pair in here.groupby("orbit"):
            one, other = pair.to_dict("records")
            assert one["regime"] == other["regime"] and one["period"] == other["period"]
            assert one["count"] == other["count"], "the grid is its own mirror image"
            assert one["y_mean"] == pytest.approx(-other["y_mean"], abs=1e-3)
            assert one["y_min"] == pytest.approx(-other["y_max"], abs=1e-3)
    # f(-y) = -f(y): -(u, v) ends on the partner of where (u, v) does.
    image = df.groupby("s")[["attractor", "orbit"]].transform(lambda column: column.to_numpy()[::-1])
    assert (image["orbit"] == df["orbit"]).all() and (image["attractor"] != df["attractor"]).all()


def test_elsewhere_an_orbit_is_an_attractor(pairs: pd.DataFrame) -> None:
    df = label_attractors(pairs, odd=False)
    assert (df["orbit"] == df["attractor"]).all()
    assert (df["attractor"] == label_attractors(pairs)["attractor"]).all()
    assert (label_attractors(pairs.assign(system="gaussian"))["orbit"] == df["attractor"]).all()
    assert (label_attractors(pairs.assign(system="not installed"))["orbit"] == df["attractor"]).all()


# What may not change labels


def test_labels_do_not_depend_on_the_order_of_rows(pairs: pd.DataFrame, set_b: pd.DataFrame) -> None:
    rng = np.random.default_rng(0)
    for table in (pairs, set_b):
        names = ["attractor", "orbit"]
        expected = label_attractors(table)[names]
        for _ in range(3):
            mixed = table.iloc[rng.permutation(len(table))]
            pd.testing.assert_frame_equal(label_attractors(mixed).sort_index()[names], expected)


def test_labels_do_not_depend_on_which_parts_are_there(pairs: pd.DataFrame, set_b: pd.DataFrame) -> None:
    """Any half of the cells, as long as it has a cell of each attractor; and other networks say nothing."""
    rng = np.random.default_rng(1)
    for table in (pairs, set_b):
        whole = label_attractors(table)
        for _ in range(5):
            some = whole.iloc[np.sort(rng.permutation(len(table))[: len(table) // 2])]
            if some.groupby("s")["attractor"].nunique().tolist() != whole.groupby("s")["attractor"].nunique().tolist():
                continue
            again = label_attractors(some.drop(columns=["attractor", "orbit"]))
            assert (again["attractor"] == some["attractor"]).all() and (again["orbit"] == some["orbit"]).all()
    whole = label_attractors(pairs)
    alone = pairs[pairs["s"] == 0.6]
    assert (label_attractors(alone)["attractor"] == whole.loc[alone.index, "attractor"]).all()


def test_gaps_are_single_linkage_number_by_number_in_any_order() -> None:
    rng = np.random.default_rng(2)
    for _ in range(30):
        n = 40
        groups, values = rng.integers(0, 3, n), rng.integers(0, 12, (3, n)) / 4
        within = rng.uniform(0, 0.14, (3, n))
        labels = parted_by_gaps(groups, values - within, values + within)
        assert sorted(set(labels)) == list(range(labels.max() + 1))
        assert (np.diff(groups[np.argsort(labels, kind="stable")]) >= 0).all()
        other = parted_by_gaps(groups, (values - within)[::-1], (values + within)[::-1])
        assert len(set(zip(labels, other, strict=True))) == len(set(labels)) == len(set(other))
        for label in set(labels):
            here = labels == label
            for value, reach in zip(values[:, here], within[:, here], strict=True):
                order = np.argsort(value - reach)
                top = np.maximum.accumulate((value + reach)[order])
                assert ((value - reach)[order][1:] <= top[:-1]).all()
    assert parted_by_gaps(np.zeros(0, int), np.zeros((2, 0)), np.zeros((2, 0))).shape == (0,)


# Dull tables, and bad ones


def test_all_at_the_origin_is_one_attractor(tmp_path: Path) -> None:
    df = label_attractors(run_of(tmp_path, "grid.D=4", "grid.s=0.05", "grid.replicate={start: 0, num: 9}", *SHORT))
    assert df["at_origin"].all() and set(df["attractor"]) == {1} == set(df["orbit"])


def test_all_diverged_is_no_attractor(tmp_path: Path) -> None:
    df = label_attractors(run_of(tmp_path, "system=henon_plane", "grid.u=[5, 6]", "grid.v=[5, 6]", *SHORT))
    assert set(df["attractor"]) == {-1} == set(df["orbit"])
    (row,) = attractor_table(df).to_dict("records")
    assert row["regime"] == "diverged" and row["fraction"] == 1 and row["count"] == 4 and np.isnan(row["lambda_1"])
    assert attractor_counts(df)["attractors"].tolist() == [0]


def test_an_empty_table_has_no_attractors(set_b: pd.DataFrame) -> None:
    df = label_attractors(set_b.iloc[:0])
    assert df.empty and str(df["attractor"].dtype) == "Int64" and list(df.columns[-2:]) == ["attractor", "orbit"]
    table = attractor_table(set_b.iloc[:0])
    assert table.empty and "fraction" in table.columns


def test_the_unsettled_have_no_attractor_and_count_as_cells(set_b: pd.DataFrame) -> None:
    df = set_b.assign(regime=set_b["regime"].where(set_b["replicate"] > 50, "unsettled"))
    table = attractor_table(df)
    assert table["attractor"].tolist()[0] == 0 and table["count"].tolist()[0] == 50 and (table["n_cells"] == 200).all()
    assert table["fraction"].sum() == pytest.approx(1)


def test_bad_arguments_are_named(set_b: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="`df` must have the columns of a classified table, got one without regime"):
        label_attractors(set_b.drop(columns="regime"))
    with pytest.raises(ValueError, match=r"`over` must name axes of the table, N, D, seed, replicate, s, got 'u'"):
        label_attractors(set_b, over=["u"])
    for name in ("curves", "chaos"):
        with pytest.raises(ValueError, match=f"`{name}` must be a number > 0, got 0"):
            label_attractors(set_b, **{name: 0.0})
    with pytest.raises(ValueError, match="`level` must lie between 0 and 1, got 1"):
        attractor_table(set_b, level=1.0)
    with pytest.raises(ValueError, match="`x` must be one of N, D, seed, s, got 'replicate'"):
        coexistence(set_b, "replicate")


# Tables of attractors


def test_fractions_are_those_of_the_basins(set_b: pd.DataFrame) -> None:
    df = label_attractors(set_b)
    table, fractions = attractor_table(df), basin_fractions(df["attractor"].to_numpy(np.int64), z=1.959963984540054)
    for name in ("count", "fraction", "low", "high"):
        np.testing.assert_allclose(table[name], fractions[name], rtol=1e-12, err_msg=name)
    for row in table.itertuples():
        mine = df[df["attractor"] == row.attractor]
        assert row.cell_id == mine["cell_id"].min() and row.lambda_1 == pytest.approx(mine["lambda_1"].mean())
        assert row.lambda_1_se == pytest.approx(np.sqrt((mine["lambda_1_se"] ** 2).sum()) / len(mine))
    assert table.attrs["axes"] == ["N", "D", "seed", "s"]


def test_over_says_what_makes_no_other_network(pairs: pd.DataFrame) -> None:
    assert network_columns(pairs) == ["system", "N", "D", "seed", "s", "dtype"]
    pooled = label_attractors(pairs, over=["s", "u", "v", "plane", "u_coordinate", "v_coordinate"])
    assert pooled["attractor"].max() > label_attractors(pairs)["attractor"].max()


def test_coexistence_counts_each_network_once_and_resamples_seeds() -> None:
    """Seed 0 has one attractor at both s, seed 1 has one and then three, two of them mirror images."""
    rows = [
        (0, 1.0, (1, 1, 1), (1, 1, 1)), (1, 1.0, (1, 1, 0), (1, 1, 0)),
        (0, 2.0, (1, 1, 1), (1, 1, 1)), (1, 2.0, (1, 2, 3), (1, 2, 1)),
    ]  # fmt: skip
    df = pd.DataFrame(
        [
            {
                "cell_id": 10 * i + q,
                "seed": seed,
                "replicate": q,
                "s": s,
                "dtype": "float64",
                "attractor": a,
                "orbit": o,
            }
            for i, (seed, s, labels, orbits) in enumerate(rows)
            for q, (a, o) in enumerate(zip(labels, orbits, strict=True))
        ]
    )
    counts = attractor_counts(df)
    assert counts["attractors"].tolist() == [1, 1, 1, 3] and counts["n_unresolved"].tolist() == [0, 0, 1, 0]
    table = coexistence(df, "s", resamples=200)
    assert table["attractors"].tolist() == [1, 2] and table["orbits"].tolist() == [1, 1.5]
    assert table["several"].tolist() == [0, 0.5] and table["n_seeds"].tolist() == [2, 2]
    assert np.isnan(table["attractors_low"][0]) and table["several_high"][0] > 0.5  # Wilson's, of two seeds
    assert (table["attractors_low"][1], table["attractors_high"][1]) == (1, 3)
