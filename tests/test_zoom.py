"""Zooms into an image: windows that nest, that anybody finds again, and that are runs like any other."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from runs import TINY, plan_of, sweep

import attractor_jax as aj
from attractor_jax.store import read_manifest, read_plan
from sweeps import zoom
from sweeps.boundary import Image, images
from sweeps.status import main as status
from sweeps.zoom import most_boundary, zoomed

SHORT = (*TINY[1:], "measure.transient=10", "measure.align=0")
PLANE = ("system=henon_plane", *(f"grid.{axis}={{start: -3, stop: 3, num: 17}}" for axis in ("u", "v")), *TINY)


@pytest.fixture(scope="module")
def rates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two learning rates, 17 x 17."""
    spans = {"lr": (1, 100), "lr_hidden": (0.1, 100)}
    axes = [f"grid.{name}={{start: {a}, stop: {b}, num: 17, spacing: log}}" for name, (a, b) in spans.items()]
    return sweep(plan_of("experiment=trainability", *axes, *SHORT), tmp_path_factory.mktemp("rates"))


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sweep(plan_of(*PLANE), tmp_path_factory.mktemp("plane"))


def image_of(run: Path) -> Image:
    ((_, image),) = images(aj.read_run(run))
    return image


def painted(labels: np.ndarray) -> Any:
    """An image of these labels over the unit square."""
    ends = np.array([[0.0, 1.0], [0.0, 1.0]])
    return SimpleNamespace(labels=labels, across="u", up="v", logarithmic=False, coordinates=lambda: ends)


def test_windows_nest_and_the_same_command_computes_nothing_twice(
    rates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert zoom.main([str(rates), "--times", "2", "--factor", "4"]) == 0
    runs = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert len(set(runs)) == 2 and {run.parent for run in runs} == {rates.parent}
    outer = image_of(rates)
    for run in runs:
        inner = image_of(run)
        assert inner.labels.shape == outer.labels.shape
        (a, b), (c, d) = outer.coordinates(), inner.coordinates()
        for around, within in ((a, c), (b, d)):
            assert around[0] - 1e-12 <= within[0] < within[1] <= around[1] + 1e-12
            assert np.ptp(within) == pytest.approx(np.ptp(around) / 4)
        assert len(np.unique(outer.labels)) > 1
        same = [axis for axis in aj.read_run(run).attrs["axes"] if axis not in ("lr", "lr_hidden")]
        assert all((image_of(run).cells[axis] == outer.cells[axis].iloc[0]).all() for axis in same)
        assert vars(read_plan(run).config.measure) == vars(read_plan(rates).config.measure)
        outer = inner
    assert zoom.main([str(rates), "--times", "2", "--factor", "4"]) == 0
    said = capsys.readouterr()
    assert [Path(line) for line in said.out.splitlines()] == runs
    assert said.err.count("1 of 1 parts are there already") == 2


def test_the_manifest_has_the_command_of_a_sweep_that_makes_the_same_run(
    rates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, command = zoomed(read_plan(rates), image_of(rates), ["experiment=trainability", *SHORT], factor=8)
    assert plan_of(*command).hash == plan.hash
    assert zoom.main([str(rates), "--times", "1"]) == 0
    run = Path(capsys.readouterr().out.strip())
    assert any(word.startswith("grid.lr={start: ") for word in read_manifest(run)["command"])
    assert status([str(run)]) == 0


def test_windows_go_where_small_boxes_are_mixed() -> None:
    """A straight boundary on the left, a chequered field on the right: whole windows are as mixed on either."""
    labels = np.zeros((65, 65), int)
    labels[:, 12:24] = 1
    labels[20:37, 40:57] = np.indices((17, 17)).sum(axis=0) % 2
    across, up = most_boundary(painted(labels), 4)
    assert across == pytest.approx(48 / 64, abs=0.05) and up == pytest.approx(28 / 64, abs=0.05)
    np.testing.assert_array_equal(most_boundary(painted(labels), 4), most_boundary(painted(labels + 5), 4))


def test_a_point_keeps_its_place(plane: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoom.main([str(plane), "--times", "2", "--factor", "3", "--at=-0.5,1.25"]) == 0
    for n, line in enumerate(capsys.readouterr().out.splitlines(), start=1):
        u, v = image_of(Path(line)).coordinates()
        assert u == pytest.approx([-0.5 - 3 / 3**n, -0.5 + 3 / 3**n])
        assert v == pytest.approx([1.25 - 3 / 3**n, 1.25 + 3 / 3**n])
    corner, _ = zoomed(read_plan(plane), image_of(plane), [], factor=3, at=(3.0, -3.0))
    assert [corner.config.grid[axis][end] for axis, end in (("u", "stop"), ("v", "start"))] == [3.0, -3.0]


def test_bad_arguments_are_one_line(
    rates: Path, plane: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    several = sweep(plan_of(*PLANE, "grid.a=[1.2, 1.4]"), tmp_path)
    line = sweep(plan_of("system=henon_plane", "grid.u={start: 0, num: 3, stop: 1}", *TINY), tmp_path)
    inside = (f"grid.{axis}={{start: 0, stop: 0.1, num: 17}}" for axis in ("u", "v"))
    alike = sweep(plan_of("system=henon_plane", "grid.b=0.1", "grid.a=0.1", *inside, *TINY), tmp_path)
    for words, code, message in (
        ([str(rates), "--times", "0"], 2, "`--times` must be at least 1, got 0"),
        ([str(rates), "--factor", "1"], 2, "`--factor` must be above 1, got 1"),
        ([str(rates), "--factor", "nan"], 2, "`--factor` must be above 1, got nan"),
        ([str(rates), "--at", "3"], 2, "`--at` must be two numbers, such as 12.5,3, got '3'"),
        ([str(rates), "--at", "3,x"], 2, "got '3,x'"),
        ([str(rates), "--at", "0.5,3"], 2, "`--at` must have lr within the image, 1 to 100, got 0.5"),
        ([str(rates), "--factor", "1e16"], 2, "neighbouring pixels are equal numbers in float64, 17 from lr = "),
        ([str(plane), "--factor", "1e17"], 2, "neighbouring pixels are equal numbers in float64, 17 from u = "),
        ([str(several)], 2, f"`--where` must leave one image of {several}, which has several along a"),
        ([str(several), "--where", "a=7"], 2, "`--where` must give a a value that it has here"),
        ([str(line)], 1, f"{line} must be an image: two axes, u and v or lr and lr_hidden, with 17 values or more"),
        ([str(alike)], 1, "the image of u and v has no boundary: every label is 1"),
        (["/nowhere"], 1, "/nowhere is no run directory"),
        ([], 2, "RUN"),
    ):
        assert zoom.main(words) == code, words
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1, said
        assert message in said.err, said.err
