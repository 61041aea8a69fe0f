"""Shares, medians and their intervals over the plane of parameters, first where they can be counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from attractor_jax.axes import select, spread_logarithmically, table_axes, varied_axes
from attractor_jax.phase import binned, phase_quantiles, phase_table, regime_shares, wilson_interval
from attractor_jax.regimes import REGIMES


def labelled(regimes: list[str], **columns: Any) -> pd.DataFrame:
    """A table as `classify` leaves it, with these regimes; exponents and dimensions that go with them unless given."""
    exponents = {"chaotic": 0.1, "hyperchaotic": 0.2, "quasiperiodic": 0.0, "diverged": np.nan}
    df = pd.DataFrame({"cell_id": np.arange(len(regimes))})
    for name in ("N", "seed", "s", "replicate", "a", "b"):
        if name in columns:
            df[name] = columns.pop(name)
    df["dtype"] = "float64"
    df["lambda_1"] = [exponents.get(regime, -0.1) for regime in regimes]
    df["kaplan_yorke_dimension"] = [float(exponents.get(regime, -0.1) > 0) for regime in regimes]
    df["kaplan_yorke_lower"] = df["kaplan_yorke_dimension"]
    df["regime"] = pd.Categorical(regimes, categories=list(REGIMES), ordered=True)
    return df.assign(**columns)


def sweep(s: int = 5, seeds: int = 12, replicates: int = 1) -> pd.DataFrame:
    """A run in which chaos grows with s, in canonical order."""
    rng = np.random.default_rng(1)
    index = pd.MultiIndex.from_product([range(seeds), range(replicates), range(1, s + 1)])
    onset = rng.uniform(0, s + 1, seeds)[index.get_level_values(0)]
    place = index.get_level_values(2).to_numpy()
    regimes = np.where(place > onset, "chaotic", "periodic").tolist()
    return labelled(
        regimes,
        seed=index.get_level_values(0),
        replicate=index.get_level_values(1),
        s=place.astype(float),
        lambda_1=place - onset + rng.normal(0, 0.1, len(place)),
    )


def test_shares_and_counts_by_hand() -> None:
    df = labelled(
        ["chaotic", "hyperchaotic", "periodic", "diverged", "periodic", "periodic"],
        seed=[0, 1, 2, 3, 0, 1],
        s=[2.0, 2.0, 2.0, 2.0, 1.0, 1.0],
    )
    table = phase_table(df, "s")
    assert list(table.columns) == ["s", "n_cells", "n_seeds", "n_failed", "n_censored", "value", "low", "high"]
    assert table["s"].tolist() == [1.0, 2.0]
    assert table["n_cells"].tolist() == [2, 4]
    assert table["n_seeds"].tolist() == [2, 4]
    assert table["n_failed"].tolist() == [0, 1]
    assert table["value"].tolist() == [0.0, 0.5]  # hyperchaos is chaos
    assert phase_table(df, "s", value="hyperchaotic")["value"].tolist() == [0.0, 0.25]
    assert phase_table(df, "s", value="diverged")["value"].tolist() == [0.0, 0.25]


def test_two_axes_pool_the_rest() -> None:
    df = labelled(
        ["chaotic", "periodic", "chaotic", "chaotic", "periodic"],
        N=[2, 2, 4, 4, 4],
        seed=[0, 0, 0, 1, 1],
        s=[1.0, 2.0, 1.0, 1.0, 2.0],
    )
    table = phase_table(df, "s", "N")
    assert list(table.columns[:2]) == ["s", "N"]
    assert table[["s", "N"]].to_numpy().tolist() == [[1, 2], [1, 4], [2, 2], [2, 4]]
    assert table["value"].tolist() == [1.0, 1.0, 0.0, 0.0]
    assert phase_table(df, "N")["value"].tolist() == [0.5, pytest.approx(2 / 3)]


def test_medians_by_hand() -> None:
    df = labelled(["periodic"] * 7, seed=range(7), s=[1.0] * 4 + [2.0] * 3, lambda_1=[4, 1, 3, 2, 5, np.nan, 7])
    table = phase_table(df, "s", value="lambda_1")
    assert table["value"].tolist() == [2.5, 6.0]
    assert table["n_failed"].tolist() == [0, 1]
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()


def test_minus_infinity_is_a_value() -> None:
    lambda_1 = [-np.inf, -np.inf, -np.inf, 0.1, 0.2]
    table = phase_table(labelled(["unsettled"] * 5, seed=range(5), s=1.0, lambda_1=lambda_1), "s", value="lambda_1")
    assert table["value"].item() == -np.inf
    assert table["low"].item() == -np.inf
    assert table["n_failed"].item() == 0
    quantiles = phase_quantiles(labelled(["unsettled"] * 5, s=1.0, lambda_1=lambda_1), "s", quantiles=(0.1, 0.9))
    assert quantiles.loc[1.0].tolist() == [-np.inf, 0.2]


def test_censored_cells_rank_on_top_of_the_median() -> None:
    def dimension(values: list[float], lower: list[float]) -> pd.Series:
        df = labelled(
            ["chaotic"] * len(values),
            seed=range(len(values)),
            s=1.0,
            kaplan_yorke_dimension=values,
            kaplan_yorke_lower=lower,
        )
        return phase_table(df, "s", value="kaplan_yorke").iloc[0]

    nan = np.nan
    one = dimension([1.0, 1.5, 2.0, nan, nan], [1.0, 1.5, 2.0, 3, 3])
    assert (one["n_censored"], one["n_failed"], one["value"]) == (2, 0, 2.0)
    assert one["high"] == np.inf
    half = dimension([1.0, 1.5, nan, nan], [1.0, 1.5, 3, 3])
    assert half["value"] == 1.5
    most = dimension([1.0, nan, nan], [1.0, 3, 3])
    assert np.isnan(most["value"]) and np.isnan(most["low"]) and most["n_censored"] == 2
    failed = dimension([1.0, 1.5, nan, nan, nan], [1.0, 1.5, 3, nan, nan])
    assert (failed["n_censored"], failed["n_failed"], failed["value"]) == (1, 2, 1.5)


def test_where_all_cells_failed_there_is_no_share_of_chaos() -> None:
    df = labelled(["diverged", "diverged", "unsettled", "periodic"], seed=[0, 1, 0, 1], s=[1.0, 1.0, 2.0, 2.0])
    df.loc[2, "lambda_1"] = np.nan
    table = phase_table(df, "s")
    assert table["n_failed"].tolist() == [2, 1]
    assert table["value"].isna().tolist() == [True, False]
    assert table["low"].isna().tolist() == [True, False]
    assert phase_table(df, "s", value="diverged")["value"].tolist() == [1.0, 0.0]
    assert phase_table(df, "s", value="lambda_1")["value"].isna().tolist() == [True, False]


def test_unanimous_seeds_have_wilsons_interval() -> None:
    # Wilson at 0 of n and 95 %: the upper end is z^2 / (n + z^2), z^2 = 3.8415.
    df = labelled(["periodic"] * 10 + ["chaotic"] * 10, seed=[*range(10)] * 2, s=[1.0] * 10 + [2.0] * 10)
    table = phase_table(df, "s")
    assert table["low"].tolist() == [0.0, pytest.approx(1 - 0.27753, abs=1e-5)]
    assert table["high"].tolist() == [pytest.approx(0.27753, abs=1e-5), 1.0]
    # Every seed with the same share between 0 and 1 has nothing to resample either.
    mixed = labelled(["periodic", "chaotic"] * 10, seed=np.repeat(range(10), 2), s=1.0)
    one = phase_table(mixed, "s").iloc[0]
    low, high = wilson_interval(np.array([0.5]), np.array([10]))
    assert (one["low"], one["high"]) == (low[0], high[0])
    assert one["high"] - one["low"] > 0.4


def test_one_seed_gives_no_interval_of_a_median_and_a_wide_one_of_a_share() -> None:
    df = labelled(["chaotic"] * 3, seed=[7, 7, 7], s=1.0, lambda_1=[0.1, 0.2, 0.3])
    median = phase_table(df, "s", value="lambda_1").iloc[0]
    assert median["value"] == 0.2 and np.isnan(median["low"]) and np.isnan(median["high"])
    share = phase_table(df, "s").iloc[0]
    assert share["low"] == pytest.approx(0.2065, abs=1e-4) and share["high"] == 1.0


def test_cells_of_a_seed_are_resampled_together() -> None:
    # 20 copies of each of 12 seeds say no more than 12 cells do.
    one, many = sweep(), sweep(replicates=20)
    many["lambda_1"] = np.repeat(one["lambda_1"].to_numpy().reshape(12, 5), 20, axis=0).ravel()
    for value in ("chaotic", "lambda_1"):
        few, copied = phase_table(one, "s", value=value), phase_table(many, "s", value=value)
        pd.testing.assert_frame_equal(few[["value", "low", "high"]], copied[["value", "low", "high"]])
        assert copied["n_seeds"].tolist() == [12] * 5
        alone = phase_table(many.drop(columns=["seed", "replicate"]), "s", value=value)
        assert ((alone["high"] - alone["low"]) < 0.6 * (copied["high"] - copied["low"])).all()


def test_without_seeds_replicates_are_the_clusters() -> None:
    df = sweep().rename(columns={"seed": "replicate", "replicate": "other"})
    pd.testing.assert_frame_equal(phase_table(df, "s"), phase_table(sweep(), "s"))


@pytest.mark.parametrize("value", ["chaotic", "lambda_1"])
def test_intervals_cover_the_truth_about_as_often_as_they_say(value: str) -> None:
    rng = np.random.default_rng(5)
    covered = 0
    # Each seed has a level of its own, shared by its 4 cells; the truth is 0.3 for the share and 0 for the median.
    runs, seeds = 200, 60
    for _ in range(runs):
        level = np.repeat(rng.normal(size=seeds), 4)
        df = labelled(
            np.where(level > 0.5244, "chaotic", "periodic").tolist(),
            seed=np.repeat(range(seeds), 4),
            s=1.0,
            lambda_1=level + 0.1 * rng.normal(size=4 * seeds),
        )
        one = phase_table(df, "s", value=value, resamples=200).iloc[0]
        covered += one["low"] <= (0.3 if value == "chaotic" else 0.0) <= one["high"]
    assert 0.88 <= covered / runs <= 0.99


def test_the_level_widens_the_interval() -> None:
    narrow, wide = (phase_table(sweep(), "s", value="lambda_1", level=level) for level in (0.5, 0.99))
    assert (wide["low"] <= narrow["low"]).all() and (wide["high"] >= narrow["high"]).all()
    assert (wide["high"] - wide["low"]).sum() > 1.5 * (narrow["high"] - narrow["low"]).sum()


@pytest.mark.parametrize("value", ["chaotic", "lambda_1", "kaplan_yorke"])
def test_neither_the_order_of_rows_nor_pieces_of_a_bootstrap_change_a_number(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    df = sweep(replicates=2)
    table = phase_table(df, "s", value=value)
    pd.testing.assert_frame_equal(phase_table(df.sample(frac=1, random_state=0), "s", value=value), table)
    monkeypatch.setattr("attractor_jax.phase._AT_A_TIME", 100)
    pd.testing.assert_frame_equal(phase_table(df, "s", value=value), table)
    other = phase_table(df, "s", value=value, seed=1)
    assert not other["low"].equals(table["low"]) or value == "kaplan_yorke"


def test_shares_of_all_regimes_sum_to_one() -> None:
    df = labelled(
        ["chaotic", "hyperchaotic", "periodic", "diverged", "fixed_point", "unsettled"],
        seed=range(6),
        s=[2.0, 2.0, 2.0, 2.0, 1.0, 1.0],
    )
    shares = regime_shares(df, "s")
    assert list(shares.columns) == ["s", "regime", "n_cells", "n_seeds", "value", "low", "high"]
    assert shares["regime"].tolist() == [*REGIMES] * 2
    assert shares.groupby("s")["value"].sum().tolist() == [1.0, 1.0]
    at_two = shares[shares["s"] == 2.0].set_index("regime")["value"]
    assert at_two["chaotic"] == at_two["hyperchaotic"] == at_two["diverged"] == 0.25
    assert at_two["quasiperiodic"] == 0.0
    assert ((shares["low"] <= shares["value"]) & (shares["value"] <= shares["high"])).all()


def test_quantiles_are_values_of_the_data() -> None:
    df = labelled(["periodic"] * 12, s=[1.0] * 10 + [2.0] * 2, lambda_1=[*range(10), np.nan, np.nan])
    quantiles = phase_quantiles(df, "s", quantiles=(0.1, 0.5, 0.9))
    assert quantiles.loc[1.0].tolist() == [0.0, 4.0, 8.0]
    assert quantiles.loc[2.0].isna().all()


def test_axes_are_declared_or_stand_before_dtype() -> None:
    df = sweep()
    assert table_axes(df) == ["seed", "s", "replicate"]
    assert varied_axes(df) == ["seed", "s"]
    df.attrs["axes"] = ["s", "seed"]
    assert table_axes(df) == ["s", "seed"]
    with pytest.raises(ValueError, match="`df` must have its axes before a column dtype"):
        table_axes(pd.DataFrame({"s": [1.0]}))


def test_select_takes_the_nearest_value() -> None:
    df = labelled(["periodic"] * 4, N=[2, 2, 4, 4], s=[0.123456, 1.0, 0.123456, 1.0])
    assert select(df, {"N": 4, "s": 0.1235}).index.tolist() == [2]
    assert len(select(df, {})) == 4
    with pytest.raises(ValueError, match="`where` must give s a value that it has here, 0.1235, 1, got 0.13"):
        select(df, {"s": 0.13})
    far = labelled(["periodic"] * 2, seed=[174658140, 174658141], s=[1.0, 1.0])
    with pytest.raises(ValueError, match="`where` must give seed a value that it has here"):
        select(far, {"seed": 174658142})
    with pytest.raises(ValueError, match="`where` must name axes of the table, N, s, got 'lambda_1'"):
        select(df, {"lambda_1": 0.0})


def test_axes_know_how_they_are_spread() -> None:
    assert spread_logarithmically(np.geomspace(0.05, 8, 20))
    assert not spread_logarithmically(np.linspace(0.05, 8, 20))
    assert not spread_logarithmically(np.linspace(-1, 1, 20))
    assert not spread_logarithmically(np.array([1.0, 10.0]))


def test_bins_keep_every_cell_near_where_it_was() -> None:
    s = np.exp(np.random.default_rng(0).uniform(np.log(0.05), np.log(8), 1000))
    df = binned(labelled(["periodic"] * 1000, s=s), "s", 20)
    assert df["s"].nunique() == 20
    assert np.abs(np.log(df["s"].to_numpy() / s)).max() <= np.log(8 / 0.05) / 40 + 1e-9
    assert binned(labelled(["periodic"] * 3, s=[1.0] * 3), "s", 4)["s"].nunique() == 1


def test_one_cell_is_a_table() -> None:
    table = phase_table(labelled(["chaotic"], seed=[3], s=[1.0]), "s")
    assert len(table) == 1 and table["value"].item() == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": "D"}, "`x` must be one of the table's axes, seed, s, replicate, got 'D'"),
        ({"x": "s", "y": "D"}, "`y` must be one of the table's axes, seed, s, replicate, got 'D'"),
        ({"x": "s", "y": "s"}, "`y` must be another axis than `x`, got 's' for both"),
        ({"x": "s", "value": "chaos"}, "`value` must be one of chaotic, lambda_1, kaplan_yorke, .*, got 'chaos'"),
        ({"x": "s", "level": 95.0}, "`level` must lie between 0 and 1, got 95.0"),
        ({"x": "s", "resamples": 0}, "`resamples` must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        phase_table(sweep(), **arguments)
    assert "\n" not in str(error.value)


def test_bad_tables_are_named() -> None:
    with pytest.raises(ValueError, match="`df` must have at least one cell, got an empty table"):
        phase_table(sweep().iloc[:0], "s")
    with pytest.raises(ValueError, match=r"`df` must be labelled, .* call classify\(df\) first"):
        phase_table(sweep().drop(columns="regime"), "s")
    with pytest.raises(ValueError, match="`quantiles` must lie between 0 and 1"):
        phase_quantiles(sweep(), "s", quantiles=(10.0,))
    with pytest.raises(ValueError, match="`value` must be one of lambda_1, kaplan_yorke, got 'y_mean'"):
        phase_quantiles(sweep(), "s", "y_mean")
    with pytest.raises(ValueError, match="`bins` must be at least 1, got 0"):
        binned(sweep(), "s", 0)
