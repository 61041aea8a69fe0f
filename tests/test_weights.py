"""Networks that are trained: asked for in one go, kept before anything else of their part, and never made again to be
looked at.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from runs import TINY, assert_identical, cells_of, plan_of, sweep
from trained import TunedSystem

import attractor_jax as aj
from analysis.cells import Cell, cell_of_run, measured_cell
from attractor_jax.audit import examine
from attractor_jax.config import ConfigError
from attractor_jax.parts import TableError
from attractor_jax.plan import Part, Plan
from attractor_jax.reading import list_tables
from attractor_jax.store import RunDirectory
from attractor_jax.sweep import run_sweep
from attractor_jax.systems import REGISTRY, System

SEEDS = 7
ARGUMENTS = (
    "system.name=tuned", "grid.task=completion", f"grid.seed={{start: 0, num: {SEEDS}}}",
    "grid.gain={start: 0.5, stop: 1.5, num: 150}", "plan.part_steps=30000", *TINY,
)  # fmt: skip


@pytest.fixture(autouse=True)
def tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY, "tuned", "trained:TunedSystem")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(REGISTRY, "tuned", "trained:TunedSystem")
        TunedSystem.asked.clear()
        return sweep(plan_of(*ARGUMENTS), tmp_path_factory.mktemp("weights"))


def test_every_network_is_trained_once_and_with_those_of_its_part(run: Path) -> None:
    plan = plan_of(*ARGUMENTS)
    assert all(group.lane_slices > 1 for group in plan.groups)
    assert len(TunedSystem.asked) == plan.n_parts > 2
    asked = [tuple(each.values()) for together in TunedSystem.asked for each in together]
    assert len(asked) == len(set(asked)) == SEEDS


def test_a_part_keeps_the_networks_of_its_cells(run: Path) -> None:
    df = aj.read_run(run)
    assert list_tables(run) == ["cells"]
    for path in sorted((run / "weights").iterdir()):
        cells = df[df["cell_id"].isin(cells_of_part(run, path))]
        with np.load(path) as kept:
            np.testing.assert_array_equal(kept["cell_id"], cells["cell_id"])
            assert kept["weights"].shape == (len(cells["seed"].unique()), 3, 3)
            for row, network in zip(cells.itertuples(), kept["network"], strict=True):
                np.testing.assert_array_equal(kept["history"][network], row.history)
    row = df[df["seed"] == 3].iloc[40]
    found = aj.read_weights(run, int(row["cell_id"]))
    assert np.abs(np.linalg.eigvals(found["weights"])).max() == pytest.approx(0.9)
    drawn = TunedSystem().draw(task="completion", places=3, seed=3)
    np.testing.assert_array_equal(found["weights"], drawn["weights"])


def cells_of_part(run: Path, path: Path) -> np.ndarray:
    import pandas as pd

    return pd.read_parquet(run / "cells" / path.with_suffix(".parquet").name)["cell_id"].to_numpy()


def test_a_sweep_that_was_interrupted_and_then_damaged_goes_on_to_the_same_files(run: Path, tmp_path: Path) -> None:
    plan = plan_of(*ARGUMENTS)
    directory = RunDirectory(tmp_path, plan)
    begun: list[int] = []

    def stop(part: Part) -> None:
        begun.append(part.index)
        if len(begun) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(plan, directory, devices=jax.devices(), begins=stop)
    (only,) = (directory.path / "weights").iterdir()
    flip(only)
    again = sweep(plan, tmp_path, devices=1)
    assert examine(again).complete
    assert_identical(cells_of(again), cells_of(run))
    for path in (run / "weights").iterdir():
        assert_same_networks(path, again / "weights" / path.name)


def assert_same_networks(path: Path, like: Path) -> None:
    with np.load(path) as one, np.load(like) as other:
        assert one.files == other.files
        for name in one.files:
            np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.unlink(), ""),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "is damaged"),
        (lambda path: flip(path), "is damaged (its checksum does not fit)"),
        (lambda path: shutil.copy(path.with_name("part-00001.npz"), path), "belongs to another plan or place"),
    ],
)
def test_what_cannot_be_believed_is_moved_aside_and_asked_for_again(run: Path, tmp_path: Path, harm, said: str) -> None:
    plan = plan_of(*ARGUMENTS)
    path = tmp_path / plan.config.name / plan.hash
    shutil.copytree(run, path)
    harm(path / "weights" / "part-00000.npz")
    before = examine(path)
    assert not before.complete and (list(before.missing), list(before.damaged)) == (([], [0]) if said else ([0], []))
    if said:
        assert said in before.damaged[0]
        with pytest.raises(TableError, match=r"part-00000\.npz"):
            aj.read_weights(path, 0)
    directory = RunDirectory(tmp_path, plan)
    assert 0 not in directory.done and len(directory.done) == plan.n_parts - 1
    assert len(directory.repairs) == bool(said) and all(said in repair for repair in directory.repairs)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_what_lies_among_the_weights_is_moved_aside(run: Path, tmp_path: Path) -> None:
    plan = plan_of(*ARGUMENTS)
    path = tmp_path / plan.config.name / plan.hash
    shutil.copytree(run, path)
    (path / "weights" / "part-00000.parquet").write_bytes(b"")
    assert [stranger.name for stranger in examine(path).strangers] == ["part-00000.parquet"]
    assert len(RunDirectory(tmp_path, plan).repairs) == 1 and examine(path).complete


def test_a_cell_is_looked_at_as_it_was_trained(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(self: System, **axes: object) -> None:
        raise AssertionError("trained again for a picture")

    monkeypatch.setattr(TunedSystem, "draw", nobody)
    cell = cell_of_run(run, 200)
    assert cell.name == "task = completion, seed = 1, gain = 0.8356"
    weights = aj.read_weights(run, 200)["weights"]
    np.testing.assert_allclose(cell.map(cell.state), np.tanh(cell.axes["gain"] * weights @ np.full(3, 0.1)))
    with pytest.raises(TableError, match="networks of system tuned are trained: they can be looked at in a run alone"):
        _ = Cell(cell.system, cell.axes, cell.row).map
    for look in (
        lambda: measured_cell("tuned", {}, devices=jax.devices()),
        lambda: aj.orbit_density("tuned", "gain", [0.5, 1.0]),
    ):
        with pytest.raises(ConfigError, match=r"system\.name must be a system that draws its networks"):
            look()


def test_networks_that_are_not_kept_get_one_line(run: Path, tmp_path: Path) -> None:
    cells = plan_of(*ARGUMENTS).n_cells
    with pytest.raises(TableError, match=f"must have the cell {cells}: it has those from 0 to {cells - 1}"):
        aj.read_weights(run, cells)
    with pytest.raises(TableError, match="keeps no networks: system uniform draws them"):
        aj.read_weights(RunDirectory(tmp_path, plan_of()).path, 0)
    with pytest.raises(ConfigError, match="extend must be left out for system tuned: a network that was trained stays"):
        plan_of(*ARGUMENTS, f"extend={run}")


def test_parts_are_cut_by_what_their_trainings_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    def dear(each: float) -> Plan:
        monkeypatch.setattr(TunedSystem, "draw_operations", lambda *_: each)
        return plan_of("system.name=tuned", "grid.seed.num=100", "grid.gain=[0.5, 1]", "grid.seed.start=0", *TINY)

    cheap, costly = dear(0.0), dear(36e10)  # a third of a part
    assert cheap.n_parts == 1 and costly.n_parts == 34
    assert [part.cost for part in costly.parts()][0] == pytest.approx(3e9, rel=1e-3)
    assert costly.seconds(1) - cheap.seconds(1) == pytest.approx(100 * 1e9 / 60e6)


def test_a_draw_that_is_remembered_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from attractor_jax import engine

    monkeypatch.setattr(engine, "DRAWS_KEPT", 4)
    plan = plan_of("system.name=tuned", "grid.seed.num=9", "grid.seed.start=0", "grid.gain=1", *TINY)
    made = engine.Engine(plan, plan.groups[0], jax.devices(), 1e9, 1)
    (axes,) = [made.draw_axes(block) for part in plan.parts() for block in part.blocks()]
    TunedSystem.asked.clear()
    made.draws(axes[:3])
    made.draws([axes[2], axes[3], axes[3]])
    assert [len(each) for each in TunedSystem.asked] == [3, 1]
    made.draws(axes[4:9])
    assert [draw["weights"].shape for draw in made.draws(axes[4:9])] == [(3, 3)] * 5
    assert [len(each) for each in TunedSystem.asked] == [3, 1, 5], "all that were asked for together are remembered"
    made.draws(axes[:1])
    assert [len(each) for each in TunedSystem.asked][3:] == [1], "the oldest were forgotten"
