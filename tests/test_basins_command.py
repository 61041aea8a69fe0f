"""python -m sweeps.basins: which tables it writes, what stands in them, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from runs import TINY, plan_of, sweep

import attractor_jax as aj
from analysis.cells import cell_of_table
from attractor_jax.basin_size import descent_from_row, size_of_basin
from attractor_jax.minima import label_minima, minima_table
from sweeps import basins

XOR = ("system=xor", "measure=training", "grid.momentum=[0, 0.9]", "grid.weight_decay=0.01", "grid.lr=0.3",
       "grid.seed={start: 0, num: 24}", "grid.init_scale=[0.1, 1]")  # fmt: skip


@pytest.fixture(autouse=True)
def _started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attractor_jax.backend.start", lambda config: jax.devices())


@pytest.fixture(scope="module")
def xor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sweep(plan_of(*XOR), tmp_path_factory.mktemp("xor"))


def test_the_tables_of_a_learning_run(xor: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(xor), "--where", "momentum=0.9", "--starts", "24", "--farthest", "20"]
    assert basins.main(arguments) == 0
    names = [Path(line).name for line in capsys.readouterr().out.split()]
    assert names == ["basin_fractions.parquet", "attractors.parquet", "basin_stability.parquet"]
    df = aj.read_run(xor)
    fractions = pd.read_parquet(xor / names[0])
    settings = fractions.groupby(["momentum", "init_scale"])
    assert settings["count"].sum().eq(24).all() and settings["fraction"].sum().to_numpy() == pytest.approx(1)
    assert ((fractions["low"] <= fractions["fraction"]) & (fractions["fraction"] <= fractions["high"])).all()
    # Numbers are those of the whole run, whatever is left of it.
    minima = minima_table(label_minima(df)[df["momentum"] == 0.9])
    written = pd.read_parquet(xor / names[1])
    assert written["attractor"].tolist() == minima["attractor"].tolist()
    assert written["momentum"].eq(0.9).all() and written["lr"].eq(0.3).all(), "sizes are those of a training rule"
    told = json.loads(pq.read_schema(xor / names[1]).metadata[b"attractor_jax"])
    assert told["plan"] == xor.name and told["where"] == {"momentum": 0.9} and told["starts"] == 24
    # Deep, poor and collapsed: the deeper, the larger, and none without a wall.
    size = written.groupby(written["depth"].round(3))["r50"].mean()
    assert size.index.tolist() == [0.062, 0.570, 1.0] and size.is_monotonic_decreasing and size.iloc[-1] < 0.5
    assert (written["barrier"] > 0).all()
    curves = pd.read_parquet(xor / names[2])
    assert curves.groupby("orbit").size().eq(13).all() and curves["radius"].max() == pytest.approx(20)
    first = curves[curves["radius"] == curves["radius"].min()].set_index("orbit")["stability"]
    assert (first[written["orbit"][written["depth"] < 0.6].unique()] == 1).all(), "pushed by 0.2"


def test_without_one_training_rule_there_are_no_sizes(xor: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert basins.main([str(xor)]) == 0
    told = capsys.readouterr()
    assert [Path(line).stem for line in told.out.split()] == ["basin_fractions"]
    assert told.err == "no sizes of basins: --where must leave one training rule (momentum), got 2\n"


def test_a_training_comes_back_by_its_own_rule(xor: Path) -> None:
    """From next to its minimum always; from nowhere once the learning rate is beyond the edge."""
    df = aj.read_run(xor)
    row = df[df["momentum"] == 0.9].iloc[30]
    near = size_of_basin(row, radii=np.array([0.01, 0.02]), starts=8, align=500)
    assert near.stability.tolist() == [1.0, 1.0] and near.r50 == np.inf
    beyond = row.copy()
    beyond["lr"] = 3.0
    assert size_of_basin(beyond, radii=np.array([0.01, 0.02]), starts=8, align=500).stability.tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="`row` must be of a learning system, got henon"):
        descent_from_row({"system": "henon"})


def test_a_cell_of_a_training_is_that_training(xor: Path) -> None:
    """Figures that iterate a cell begin where the sweep did, with its momentum."""
    df = aj.read_run(xor)
    cell = cell_of_table(df, 30 + len(df) // 2)
    assert cell.axes["momentum"] == 0.9 and len(cell.state) == 19
    end = aj.orbit(cell.map, cell.state, steps=3501)[-1]
    np.testing.assert_allclose(end[:9], df["theta"].iloc[30 + len(df) // 2], atol=1e-9)


def test_trainings_are_labelled_by_their_parameters_alone(xor: Path) -> None:
    with pytest.raises(ValueError, match="`df` must be of no learning system"):
        aj.label_attractors(aj.read_run(xor))


def test_an_image_has_a_boundary_and_attractors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    along = "{start: -3, stop: 3, num: 65}"
    plan = plan_of("system=henon_plane", "measure.k=1", f"grid.u={along}", f"grid.v={along}", *TINY)
    run = sweep(plan, tmp_path)
    assert basins.main([str(run), "--points", "256"]) == 0
    assert [Path(line).stem for line in capsys.readouterr().out.split()] == ["attractors", "boundary"]
    boundary = pd.read_parquet(run / "boundary.parquet").set_index("method")
    assert boundary["value"]["uncertainty_dimension"] == 2 - boundary["value"]["uncertainty_exponent"]
    assert 1 < boundary["value"]["uncertainty_dimension"] < 1.9
    assert boundary.index[boundary["reason"] != ""].tolist() == ["box_dimension"], "65 pixels have boxes of one size"
    shares = pd.read_parquet(run / "attractors.parquet").set_index("attractor")
    diverged = (aj.read_run(run)["status"] == "diverged").mean()
    assert shares["fraction"][-1] == pytest.approx(diverged) and shares["low"][-1] < diverged < shares["high"][-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--starts", "0"], "`--starts` must be at least 1, got 0"),
        (["--points", "-1"], "`--points` must be at least 1, got -1"),
        (["--farthest", "0"], "`--farthest` must be a distance above 0, got 0"),
        (["--where", "s=3"], "`--where` must name axes of the table, width, batch_size, momentum, noise, seed, "),
        (["--where", "lr"], "`--where` must be AXIS=VALUE, such as N=4, got 'lr'"),
        (["--radii", "3"], "unrecognized arguments: --radii 3"),
    ],
)
def test_bad_arguments_are_one_line(
    xor: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert basins.main([str(xor), *arguments]) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"error: {message}") and told.err.count("\n") == 1 and not told.out


def test_a_run_that_keeps_no_parameters_has_no_basins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = sweep(plan_of("system=digits", "measure=training", "grid.width=4", *TINY), tmp_path)
    assert basins.main([str(run)]) == 1
    assert capsys.readouterr().err.endswith("are no image over two axes\n")
