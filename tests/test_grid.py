"""The grammar of `grid`: which values an axis takes, and in which order. What is refused, with its message, stands in
test_config.py.
"""

from __future__ import annotations

import re
import time
import tracemalloc

import numpy as np
import pytest
from runs import plan_of

from attractor_jax.config import ConfigError
from attractor_jax.grid import read_cells, read_grid
from attractor_jax.systems import get

UNIFORM = get("uniform")


def values(axis: str, given: object) -> list[float]:
    return read_grid(UNIFORM, {axis: given})[axis].tolist()


def test_silent_axes_take_their_defaults_in_the_order_of_the_system() -> None:
    grid = read_grid(UNIFORM, {"s": [2, 1]})
    assert list(grid) == ["N", "D", "seed", "replicate", "s"]
    assert {name: one.tolist() for name, one in grid.items()} == {
        "N": [4],
        "D": [16],
        "seed": [0],
        "replicate": [0],
        "s": [1.0, 2.0],
    }
    assert [one.dtype.kind for one in grid.values()] == ["i", "i", "i", "i", "f"]


def test_the_order_of_a_list_does_not_matter() -> None:
    assert values("seed", [5, 0, 3]) == values("seed", [3, 5, 0]) == [0, 3, 5]


def test_linear_and_log_ranges_hold_both_ends() -> None:
    assert values("s", {"start": 0, "stop": 1, "num": 5}) == [0, 0.25, 0.5, 0.75, 1]
    log = values("s", {"start": 0.05, "stop": 8, "num": 48, "spacing": "log"})
    assert (len(log), log[0], log[-1]) == (48, 0.05, 8)
    np.testing.assert_allclose(np.diff(np.log(log)), np.log(8 / 0.05) / 47, rtol=1e-12)


def test_integers_count_up_from_the_start() -> None:
    assert values("seed", {"start": 7, "num": 3}) == [7, 8, 9]
    assert values("seed", {"start": 2**32 - 3, "num": 3})[-1] == 2**32 - 1


def test_integer_ranges_are_rounded_and_hold_each_value_once() -> None:
    assert values("D", {"start": 2, "stop": 64, "num": 6, "spacing": "log"}) == [2, 4, 8, 16, 32, 64]
    assert values("D", {"start": 1, "stop": 4, "num": 9, "spacing": "log"}) == [1, 2, 3, 4]


def test_whole_floats_are_integers() -> None:
    assert values("seed", 1e6) == [1_000_000]


def test_listed_cells_come_in_the_canonical_order_with_defaults() -> None:
    cells = read_cells(UNIFORM, [{"seed": 3, "s": 0.5}, {"D": 8, "s": 2}, {"s": 0.5}, {"seed": 3, "s": 0.25}])
    rows = list(zip(*(cells[name].tolist() for name in ("N", "D", "seed", "replicate", "s")), strict=True))
    assert rows == [(4, 8, 0, 0, 2.0), (4, 16, 0, 0, 0.5), (4, 16, 3, 0, 0.25), (4, 16, 3, 0, 0.5)]


def test_many_listed_cells_of_which_two_agree_are_refused_at_once() -> None:
    cells = [{"seed": seed} for seed in range(20_000)]
    began = time.perf_counter()
    with pytest.raises(ConfigError, match=r"grid\.cells must name each cell once, got .*'seed': 19999"):
        read_cells(UNIFORM, [*cells, {"seed": 19_999}])
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("grid", "size"),
    [
        (
            {"seed": {"start": 0, "num": 10**6}, "s": {"start": 0, "stop": 1, "num": 10**6}},
            "1,000,000,000,000",
        ),
        ({"s": {"start": 0, "stop": 1, "num": 10**12}}, "1,000,000,000,000"),
        ({"seed": {"start": 0, "num": 2 * 10**8}}, "200,000,000"),
    ],
)
def test_an_oversized_grid_is_refused_before_any_value_is_made(grid: dict, size: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError, match=f"grid must not have more than 100,000,000 cells; this one has {size}"):
            read_grid(UNIFORM, grid)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


def test_drawn_values_belong_to_their_networks() -> None:
    """One value for each draw of the weights, the same whatever the grid around it, and as many in every octave."""
    plan = plan_of("grid.N=[2,3]", "grid.seed.num=4000", "grid.s={start: 0.25, stop: 8, spacing: loguniform}")
    small, large = plan.groups
    assert plan.n_cells == 8000 and small.n_lanes == 1 and small.lanes["s"].shape == (4000, 1)
    s = small.lanes["s"][:, 0]
    assert len(np.unique(s)) == 4000 and not np.isin(s, large.lanes["s"]).any()
    octaves = np.histogram(np.log2(s / 0.25), np.arange(6))[0]
    assert abs(octaves - 800).max() < 4 * np.sqrt(800 * 0.8)
    fewer = plan_of("grid.N=3", "grid.seed=[7, 9]", "grid.s={start: 0.25, stop: 8, spacing: loguniform}").groups[0]
    np.testing.assert_array_equal(fewer.lanes["s"], large.lanes["s"][[7, 9]])
    replicates = plan_of("grid.replicate=[0,1,2]", "grid.seed.num=3", "grid.s={start: 1, stop: 2, spacing: uniform}")
    (group,) = replicates.groups
    assert (group.lanes["s"] == group.lanes["s"][:, :1]).all() and len(np.unique(group.lanes["s"])) == 3
    assert (group.lanes["replicate"] == [0, 1, 2]).all()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("grid.s={start: 0, stop: 8, spacing: loguniform}", "grid.s.start must be above 0 for loguniform spacing"),
        (
            "grid.s={start: 1, stop: 8, num: 3, spacing: uniform}",
            "grid.s.num must be left out: uniform draws one",
        ),
        ("grid.s={start: 1, spacing: uniform}", "grid.s.stop must be given"),
        ("grid.s={start: 2, stop: 1, spacing: uniform}", "grid.s.stop must not be below start = 2, got 1"),
        ("grid.s={start: 1, stop: 1e9, spacing: uniform}", "grid.s.stop must be between 0 and 1e+06, got"),
        ("grid.N={start: 1, stop: 4, spacing: uniform}", "grid.N.spacing must be linear or log for whole numbers"),
        (
            "system=logistic grid.r={start: 1, stop: 4, spacing: uniform}",
            "must be linear or log: system logistic draws",
        ),
        ("grid.s={start: 1, stop: 4, spacing: uniform} grid.refine=3", "grid.s must have at least 2 values where"),
        ("grid.s={start: 1, stop: 4, num: 3, spacing: odd}", "must be linear, log, uniform or loguniform, got 'odd'"),
    ],
)
def test_values_that_cannot_be_drawn_are_refused(overrides: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        plan_of(*re.split(r" (?=\w[\w.]*=)", overrides))
