"""The grammar of `grid`: which values an axis takes, and in which order. What is refused, with its message, stands in
test_config.py.
"""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest

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
