"""Systems on a plane of initial states: where orbits start, what is the base's, and what is refused."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest
from runs import TINY, plan_of, sweep

import attractor_jax as aj
from analysis.cells import cell_of_table
from attractor_jax.config import ConfigError
from attractor_jax.draws import article_draw
from attractor_jax.systems import get
from attractor_jax.systems.plane import base_name, directions
from sweeps.check import main as check

PLANES = ("uniform_plane", "gaussian_plane", "henon_plane")


def test_henon_diverges_where_a_plain_loop_does_cell_by_cell(tmp_path: Path) -> None:
    """a = 1.4, b = 0.3 on [-3, 3]^2: the share that diverges, and every single cell."""
    steps, align = 500, 100
    grid = [f"grid.{name}={{start: -3, stop: 3, num: 101}}" for name in ("u", "v")]
    lengths = (f"measure.transient={steps}", f"measure.steps={steps}", f"measure.align={align}")
    plan = plan_of("system=henon_plane", "grid.a=1.4", "grid.b=0.3", *grid, *lengths, "measure.k=1")
    df = aj.read_run(sweep(plan, tmp_path))
    side = np.linspace(-3, 3, 101)
    # u runs fastest.
    assert df["u"].tolist() == np.tile(side, 101).tolist() and df["v"].tolist() == np.repeat(side, 101).tolist()
    x, y = df["u"].to_numpy(), df["v"].to_numpy()
    # As long as the run: with the search for a period after the measurement.
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(2 * steps + align):
            x, y = 1 - 1.4 * x**2 + y, 0.3 * x
    diverged = ~np.isfinite(x)
    np.testing.assert_array_equal((df["status"] == "diverged").to_numpy(), diverged)
    assert set(df["regime"]) == {"diverged", "chaotic"}
    assert 0.75 < diverged.mean() < 0.8 and (df["status"] == "diverged").mean() == diverged.mean()


@pytest.mark.parametrize("name", PLANES)
def test_axes_are_those_of_the_base_and_then_of_the_plane(name: str) -> None:
    system, base = get(name), get(base_name(name))
    names = [axis.name for axis in system.axes]
    kept = [axis.name for axis in base.axes if axis.name != "replicate"]
    assert names == [*kept, "plane", "u_coordinate", "v_coordinate", "v", "u"]
    assert system.parameters == base.parameters and system.draw_axes == base.draw_axes
    assert system.columns == base.columns and system.odd == base.odd and system.numbers({"N": 4, "D": 16}) is None
    assert system.hidden_units({"N": 4, "D": 16}) == base.hidden_units({"N": 4, "D": 16})


def test_directions_are_orthonormal_and_the_same_ones_every_time() -> None:
    np.testing.assert_array_equal(directions(5, 0, 4, 2), np.eye(5)[[3, 1]])
    for plane in (1, 2, 77):
        e = directions(16, plane)
        np.testing.assert_allclose(e @ e.T, np.eye(2), atol=1e-15)
        np.testing.assert_array_equal(e, directions(16, plane, 3, 3))
    assert not np.allclose(directions(16, 1), directions(16, 2))


def test_orbits_start_on_the_plane_and_the_map_is_the_bases(tmp_path: Path) -> None:
    """Rows against the library, cell by cell: network, initial state, exponents."""
    axes = ("grid.seed=[2, 70]", "grid.s=[0.4, 0.9]", "grid.plane=[0, 3]", "grid.u_coordinate=4", "grid.v_coordinate=2")
    plan = plan_of("system=uniform_plane", "grid.N=3", "grid.D=5", *axes, "grid.u=[-1, 0.5]", "grid.v=[0.25, 2]", *TINY)
    df = aj.read_run(sweep(plan, tmp_path))
    assert len(df) == 32
    for row in df.to_dict("records"):
        cell = cell_of_table(df, row["cell_id"])
        e = np.eye(5)[[3, 1]] if row["plane"] == 0 else directions(5, 3)
        np.testing.assert_array_equal(np.asarray(cell.state), row["u"] * e[0] + row["v"] * e[1])
        network = aj.network_from_row(row)
        weights, gains = article_draw(row["seed"], 3, 5)
        np.testing.assert_array_equal(np.asarray(network.weights), weights)
        np.testing.assert_array_equal(np.asarray(network.gains), gains)
        np.testing.assert_array_equal(np.asarray(network(cell.state)), np.asarray(cell.map(cell.state)))
        found = aj.lyapunov_exponents(network, cell.state, transient=40, steps=40, blocks=2, align=8)
        np.testing.assert_allclose(row["exponents"], found.exponents, rtol=0, atol=1e-8)


def test_the_articles_start_is_a_point_of_the_first_plane(tmp_path: Path) -> None:
    start = float(0.001 * np.sum(1.3 * article_draw(9, 4, 8)[1]))
    where = ("grid.N=4", "grid.D=8", "grid.seed=9", "grid.s=1.3", *TINY)
    own = aj.read_run(sweep(plan_of("system=uniform", *where), tmp_path)).iloc[0]
    on_plane = aj.read_run(sweep(plan_of("system=uniform_plane", f"grid.u={start!r}", *where), tmp_path)).iloc[0]
    for name in ("y_mean", "y_max", "lambda_1", "s_critical", "lambda_article"):
        assert on_plane[name] == pytest.approx(own[name], abs=1e-9), name
    np.testing.assert_allclose(on_plane["exponents"], own["exponents"], atol=1e-8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("grid.D=1",), "system.name must be a system without a plane where the state has one dimension"),
        (
            ("grid.v_coordinate=17",),
            "grid.v_coordinate must be between 1 and the dimension D = 16 of the state, got 17",
        ),
        (("grid.D=[4, 16]", "grid.u_coordinate=9"), "grid.u_coordinate must be between 1 and the dimension D = 4 of"),
        (("grid.u_coordinate=2",), "grid.v_coordinate must be another than grid.u_coordinate, or there is no plane"),
        (("grid.u_coordinate=0",), "grid.u_coordinate must be between 1 and 2147483647, got 0"),
        (("grid.plane=-1",), "grid.plane must be between 0 and 2147483647, got -1"),
        (("grid.u=[]",), "grid.u must have at least one value, got []"),
        (("grid.u=1e7",), "grid.u must be between -1e+06 and 1e+06, got 10000000.0"),
        (("grid.replicate=1",), "grid.replicate is no axis of system uniform_plane, which has N, D, seed, s, plane"),
        (("backend.engine=fused", "measure.k=1"), "backend.engine must be auto or scan for system uniform_plane"),
    ],
)
def test_what_is_no_plane_gets_one_line(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        plan_of("system=uniform_plane", *arguments)
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)


def test_a_random_plane_does_not_mind_the_coordinates() -> None:
    assert plan_of("system=uniform_plane", "grid.plane=[1, 2]", "grid.u_coordinate=99").n_cells == 2


def test_a_run_on_a_plane_is_checked_without_another_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = sweep(plan_of("system=henon_plane", "grid.u=[0, 0.5]", "grid.v=[0, 3]", *TINY), tmp_path)
    check([str(run), "--cells", "4"])
    out = capsys.readouterr().out
    assert "4 times the steps: " in out and "float32: " in out and "another start" not in out and "verdict: " in out


def test_float32_starts_where_float64_does(tmp_path: Path) -> None:
    plan = plan_of("system=henon_plane", "grid.u=[0.25, 0.5]", "backend.dtype=float32", *TINY)
    df = aj.read_run(sweep(plan, tmp_path))
    cell = cell_of_table(df, 1)
    assert cell.state.dtype == jax.numpy.float32 and cell.state.tolist() == [0.5, 0.0]
