"""More seeds and more values of s without computing again what is there: the same bits as a sweep of the whole."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import pytest
from runs import TINY, assert_identical, cells_of, plan_of

from attractor_jax import read_run
from attractor_jax.audit import examine
from attractor_jax.config import ConfigError
from attractor_jax.extension import Known
from attractor_jax.parts import describe_part, read_part, write_part
from attractor_jax.plan import Plan, make_plan
from attractor_jax.store import RunDirectory
from attractor_jax.sweep import run_sweep
from sweeps.run import run

SHORT = ("grid.N=3", "grid.D=6", *TINY, "measure.transient=200", "measure.steps=200", "plan.part_steps=1e6")
VALUES = np.geomspace(0.5, 8, 48).tolist()
HALF = sorted(np.random.default_rng(0).permutation(VALUES)[:24].tolist())


def grid(seeds: int, scales: Sequence[float]) -> tuple[str, ...]:
    return f"grid.seed={{start: 0, num: {seeds}}}", f"grid.s={list(scales)}"


def computed(plan: Plan, root: Path, known: Known | None = None) -> Path:
    directory = RunDirectory(root, plan)
    run_sweep(plan, directory, devices=jax.devices()[:2], known=known)
    return directory.path


def whole(extended: Plan, root: Path) -> Path:
    """The extended sweep computed as if nothing was there."""
    return computed(make_plan(dataclasses.replace(extended.config, extend=None)), root)


CASES = {
    "seeds 0..63 to 0..127": (grid(64, HALF), grid(128, HALF), 64 * 24),
    "24 to 48 values of s": (grid(64, HALF), grid(64, VALUES), 64 * 24),
    "both": (grid(20, HALF), grid(33, VALUES), 20 * 24),
    "seeds beside those of the run": (grid(20, HALF), ("grid.seed={start: 20, num: 13}", f"grid.s={HALF}"), 20 * 24),
    "another shape": (grid(20, HALF), ("grid.N=[2, 3]", *grid(20, HALF)), 20 * 24),
    "nothing new": (grid(20, HALF), grid(10, HALF), 20 * 24),
}


@pytest.mark.parametrize(
    ("case", "k"),
    # All exponents take the same way; one case of them in every run will do.
    [(case, "1") for case in CASES]
    + [pytest.param(case, "all", marks=[pytest.mark.slow] if case != "both" else []) for case in CASES],
)
def test_known_cells_keep_their_bits_and_the_others_get_those_of_the_whole(case: str, k: str, tmp_path: Path) -> None:
    before, after, known_cells = CASES[case]
    old = computed(plan_of(*SHORT, *before, f"measure.k={k}"), tmp_path / "old")
    plan = plan_of(*SHORT, *after, f"measure.k={k}", f"extend={old}")
    known = Known(plan, old)
    run = computed(plan, tmp_path / "new", known)
    table = cells_of(run)
    assert table["cell_id"].tolist() == list(range(plan.n_cells))
    parts = [describe_part(path) for path in (run / "cells").iterdir()]
    assert sum(part["taken_over"] for part in parts) == known_cells
    assert {part["taken_from"]["plan"] for part in parts} == {known.old.hash}

    axes = ["N", "D", "seed", "replicate", "s"]
    both = cells_of(old).drop(columns="cell_id").merge(table[[*axes, "cell_id"]], on=axes)
    assert len(both) == known_cells
    taken = table.set_index("cell_id").loc[both["cell_id"]].reset_index()
    assert_identical(taken.drop(columns="cell_id"), both.drop(columns="cell_id")[list(taken.columns.drop("cell_id"))])
    closed = [column.name for column in plan.system.columns if column.kind == "float"]  # these feel their neighbours
    other = cells_of(whole(plan, tmp_path / "whole"))
    assert_identical(table.drop(columns=closed), other.drop(columns=closed))
    np.testing.assert_allclose(table[closed], other[closed], rtol=1e-12)
    assert examine(run).complete, "planned again from its own manifest"
    assert len(read_run(run)) == plan.n_cells


def test_an_extension_can_be_extended_and_a_run_with_holes_too(tmp_path: Path) -> None:
    fine = "plan.part_steps=1"
    old = computed(plan_of(*SHORT, *grid(20, HALF), fine), tmp_path / "old")
    holes = list((old / "cells").iterdir())[::3]
    there = 20 * 24 - sum(describe_part(path)["rows"] for path in holes)
    for path in holes:
        path.unlink()
    middle = plan_of(*SHORT, *grid(33, HALF), fine, f"extend={old}")
    second = computed(middle, tmp_path / "second", Known(middle, old))
    assert sum(describe_part(path)["taken_over"] for path in (second / "cells").iterdir()) == there
    last = plan_of(*SHORT, *grid(33, VALUES), fine, f"extend={second}")
    third = computed(last, tmp_path / "third", Known(last, second))
    assert sum(describe_part(path)["taken_over"] for path in (third / "cells").iterdir()) == 33 * 24
    closed = [column.name for column in last.system.columns if column.kind == "float"]
    other = cells_of(whole(last, tmp_path / "whole"))
    assert_identical(cells_of(third).drop(columns=closed), other.drop(columns=closed))


def test_parts_that_do_not_belong_to_the_run_are_not_taken_over(tmp_path: Path) -> None:
    fine = "plan.part_steps=1"
    old = computed(plan_of(*SHORT, *grid(20, HALF), fine), tmp_path / "old")
    foreign = computed(plan_of(*SHORT, "grid.seed={start: 100, num: 20}", f"grid.s={HALF}", fine), tmp_path / "foreign")
    shutil.copy(foreign / "cells" / "part-00000.parquet", old / "cells")
    plan = plan_of(*SHORT, *grid(33, HALF), fine, f"extend={old}")
    known = Known(plan, old)
    assert len(known.refused) == 1 and "belongs to another plan or place" in known.refused[0]
    closed = [column.name for column in plan.system.columns if column.kind == "float"]
    other = cells_of(whole(plan, tmp_path / "whole"))
    assert_identical(cells_of(computed(plan, tmp_path / "new", known)).drop(columns=closed), other.drop(columns=closed))


def test_what_made_the_cells_is_not_forgotten(tmp_path: Path) -> None:
    old = computed(plan_of(*SHORT, *grid(4, HALF)), tmp_path / "old")
    for path in (old / "cells").iterdir():
        table, about = read_part(path)
        write_part(path, table, about | {"device": "NVIDIA H100"})
    plan = plan_of(*SHORT, *grid(8, HALF), f"extend={old}")
    with pytest.warns(UserWarning, match="mixes several values of device: NVIDIA H100, "):
        read_run(computed(plan, tmp_path / "new", Known(plan, old)))


def test_a_run_of_which_nothing_is_there_is_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attractor_jax.backend.start", lambda config: jax.devices())
    plan = plan_of(*SHORT, *grid(2, HALF[:3]))
    RunDirectory(tmp_path, plan)
    old = tmp_path / plan.config.name / plan.hash
    assert run(plan_of(*SHORT, *grid(4, HALF[:3]), f"extend={old}", f"output={tmp_path}")) == 0
    out, err = capsys.readouterr()
    assert f"0 of 12 cells are taken over from {old}" in err and len(read_run(out.splitlines()[-1])) == 12


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("measure.steps=400",), "measure must be that of the run in `extend`"),
        (("backend.dtype=float32",), "backend.dtype must be that of the run in `extend`, float64, got 'float32'"),
        (("grid.refine=1",), "extend is for grids of axes, and grid lists cells, draws values or is refined"),
        (("experiment=transitions",), "extend"),
    ],
)
def test_what_would_change_numbers_is_refused(more: tuple[str, ...], message: str, tmp_path: Path) -> None:
    old = computed(plan_of(*SHORT, *grid(4, HALF)), tmp_path / "old")
    with pytest.raises(ConfigError, match="extend"):
        plan_of(*SHORT, *grid(8, HALF), f"extend={old}", *more)
    if more != ("experiment=transitions",):
        with pytest.raises(ConfigError) as refused:
            plan_of(*SHORT, *grid(8, HALF), f"extend={old}", *more)
        assert str(refused.value).startswith(message)
    shutil.rmtree(old)
    with pytest.raises(ConfigError, match=r"extend must be a run directory: .* is no run directory"):
        plan_of(*SHORT, *grid(8, HALF), f"extend={old}")
