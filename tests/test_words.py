"""Axes of words, and the data that a system reads: in every row, in every hash, and nowhere a path."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import jax
import pandas as pd
import pyarrow.parquet as pq
import pytest
from runs import TINY, assert_identical, cells_of, plan_of, sweep

import attractor_jax as aj
from analysis import phase_diagram
from attractor_jax.audit import examine
from attractor_jax.axes import select, varied_axes
from attractor_jax.config import ConfigError
from attractor_jax.extension import Known
from attractor_jax.plan import Plan, make_plan
from attractor_jax.store import RunDirectory, read_manifest, read_plan
from attractor_jax.sweep import run_sweep
from attractor_jax.systems import REGISTRY, Axis

SHORT = ("system.name=untrained", "grid.gain=[0.5, 1.5]", *TINY)
WORDS = ("grid.task=[retention, completion]", "grid.schedule=[5, 1-2-5]")


@pytest.fixture(autouse=True)
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY, "untrained", "trained:UntrainedSystem")
    monkeypatch.setitem(REGISTRY, "tuned", "trained:TunedSystem")


def statics(plan: Plan) -> list[tuple[str, str]]:
    return [(group.static["task"], group.static["schedule"]) for group in plan.groups]


def test_words_stand_in_the_order_of_the_alphabet_and_yaml_makes_no_numbers_of_them() -> None:
    plan = plan_of(*SHORT, *WORDS)
    assert statics(plan) == [(a, b) for a in ("completion", "retention") for b in ("1-2-5", "5")]
    assert statics(plan_of(*SHORT, "grid.task=completion", "grid.schedule=5")) == [("completion", "5")]
    cells = [f"{{task: {a}, schedule: {b}, gain: {g}}}" for g in (0.5, 1.5) for a, b in reversed(statics(plan))]
    listed = plan_of("system.name=untrained", *TINY, f"grid.cells=[{', '.join(cells)}]")
    assert statics(listed) == statics(plan) and [group.n_cells for group in listed.groups] == [2] * 4
    assert len({plan_of(*SHORT, f"grid.task={word}").hash for word in ("retention", "completion")}) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("grid.task=x", "grid.task must be retention or completion, got 'x'"),
        ("grid.task=3", "grid.task must be retention or completion, got 3"),
        ("grid.task=[retention,x]", "grid.task[1] must be retention or completion, got 'x'"),
        ("grid.task={start:0,num:2}", "grid.task must be retention or completion, got {'start': 0, 'num': 2}"),
        ("grid.task={spacing:uniform}", "grid.task must be retention or completion, got {'spacing': 'uniform'}"),
        ("grid.task=[completion,completion]", "grid.task must name each value once, got 'completion'"),
        ("grid.schedule=1.5", "grid.schedule must be a word, got 1.5"),
        ("grid.schedule=true", "grid.schedule must be a word, got True"),
        ("grid.schedule=late", "grid.schedule must be steps such as 1-2-5, got 'late'"),
        ("grid.places=many", "grid.places must be a number, a list or a range"),
        ("system.data=nowhere.npz", "system.data must be a file that can be read (No such file or directory), got"),
        ("system.data=3", "system.data must be a word or null, got 3"),
    ],
)
def test_other_values_get_one_line(arguments: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        plan_of(*SHORT, arguments)


def test_only_static_axes_can_be_words() -> None:
    with pytest.raises(ValueError, match="axis task must be static: maps are built from numbers"):
        Axis("task", str, 0, 0, "retention", "what is trained")


def test_values_are_drawn_for_networks_that_words_tell_apart() -> None:
    plan = plan_of("system.name=untrained", *WORDS, "grid.gain={start: 0, stop: 1, spacing: uniform}")
    assert len({group.lanes["gain"].item() for group in plan.groups}) == 4


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(REGISTRY, "untrained", "trained:UntrainedSystem")
        return sweep(plan_of(*SHORT, WORDS[0], "grid.schedule=5", "grid.seed=[0,1]"), tmp_path_factory.mktemp("words"))


def test_tables_have_words_as_categories(run: Path, tmp_path: Path) -> None:
    df = aj.read_run(run)
    assert isinstance(df["task"].dtype, pd.CategoricalDtype) and varied_axes(df) == ["task", "seed", "gain"]
    assert df.groupby(["task", "schedule"]).size().tolist() == [4] * 2
    assert (df["history"].map(len) == 3).all() and (df["loss"].isna() == (df["seed"] == 1)).all()
    assert pq.read_table(run / "cells", columns=["loss"]).column(0).null_count == 4
    chosen = select(df, {"task": "completion", "schedule": 5.0, "gain": 0.5})
    assert len(chosen) == 2 and set(chosen["schedule"]) == {"5"}
    with pytest.raises(ValueError, match="`where` must give task a value that it has here, completion, retention, got"):
        select(df, {"task": "x"})
    with pytest.raises(ValueError, match="`where` must give gain a number, got 'x'"):
        select(df, {"gain": "x"})
    other = sweep(plan_of(*SHORT, "grid.task=completion", "grid.schedule=5", "grid.seed=[1,2]"), tmp_path)
    both = aj.read_run([run, other])
    assert len(both) == 8 + 2, "those with seed 1 are in the first run"
    assert len(select(both, {"task": "completion"})) == 6
    assert examine(run).complete and read_plan(run).hash == run.name


def test_figures_select_by_words_and_show_them(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert phase_diagram.main([str(run), "--where", "task=completion", "--where", "schedule=5"]) == 0
    assert capsys.readouterr().out.endswith("phase_diagram_taskcompletion_schedule5.png\n")
    assert phase_diagram.main([str(run), "--x", "gain", "--y", "task"]) == 0
    assert phase_diagram.main([str(run), "--where", "task=x"]) == 2
    assert "`--where` must give task a value that it has here, completion, retention, got x" in capsys.readouterr().err


def test_a_grid_of_words_can_be_extended(run: Path, tmp_path: Path) -> None:
    more = (*SHORT, "grid.seed=[2]", "grid.task=retention", "grid.schedule=5")
    plan = plan_of(*more, f"extend={run}")
    known = Known(plan, run)
    directory = RunDirectory(tmp_path, plan)
    run_sweep(plan, directory, devices=jax.devices(), known=known)
    table = cells_of(directory.path)
    assert len(table) == 2 * 3 * 2 and examine(directory.path).complete
    both = cells_of(run).drop(columns="cell_id").merge(table[["cell_id", *read_manifest(run)["axes"]]])
    taken = table.set_index("cell_id").loc[both.pop("cell_id")].reset_index(drop=True)
    assert len(taken) == 8
    assert_identical(taken, both[list(taken.columns)])


def test_data_are_known_by_their_mark_and_not_by_their_path(tmp_path: Path) -> None:
    here, there, other = (tmp_path / name / "digits.npz" for name in ("here", "there", "other"))
    for path in (here, there, other):
        path.parent.mkdir()
        path.write_bytes(b"digits" if path != other else b"digit5")
    plan, moved, changed = (plan_of(*SHORT, f"system.data={path}") for path in (here, there, other))
    assert plan.hash == moved.hash != changed.hash
    mark = plan.groups[0].static["data"]
    assert mark.startswith("digits-") and plan.config.grid["data"] == mark
    run = sweep(plan, tmp_path)
    here.unlink()
    assert (cells_of(run)["data"] == mark).all()
    assert read_plan(run).hash == plan.hash and examine(run).complete
    rows = cells_of(run)[read_manifest(run)["axes"]].to_dict("records")
    assert make_plan(replace(plan.config, grid={"cells": rows})).n_cells == 2
    cells = plan_of("system.name=untrained", *TINY, f"system.data={there}", "grid.cells=[{gain: 1}, {gain: 2}]")
    assert cells.groups[0].static["data"] == mark and cells.config.grid["data"] == mark
    with pytest.raises(ConfigError, match=f"system.data must be that of the run in `extend`, {mark}, got 'digits-"):
        plan_of(*SHORT, f"system.data={other}", f"extend={run}")
    wider = plan_of(*SHORT, "grid.seed=[0,1]", f"system.data={there}", f"extend={run}")
    assert wider.n_cells == 4 and wider.config.grid["data"] == mark
    with pytest.raises(ConfigError, match=rf"grid.data\[1\] must be {mark}, got 'x'"):
        plan_of(*SHORT, f"system.data={there}", f"grid.data=[{mark}, x]")


def test_a_system_without_data_says_so_and_old_manifests_are_silent() -> None:
    with pytest.raises(ConfigError, match=r"system\.data must be left out: system uniform takes none, got 'x\.npz'"):
        plan_of("system.data=x.npz")
    config = plan_of().config
    assert config.system.data is None
    assert type(config.system).read("system", {"name": "uniform"}) == config.system
