"""The explorer without a browser: what it computes of one network, what its page does, how its command refuses."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from concurrent.futures import Executor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jax
import numpy as np
import pandas as pd
import pytest
from bokeh.document import Document
from bokeh.models import DataTable
from runs import TINY, plan_of, sweep
from test_figures import failed, run

from analysis import explore
from analysis.explorer import keep, live
from analysis.explorer.asked import FIRST, Asked, first_axes, read_axes, read_axis, slider_ends, swept_axis
from analysis.explorer.page import Page
from analysis.explorer.panels import shown
from analysis.explorer.plane import MEASURES, POOLED, Plane, usual_axes
from analysis.explorer.workplace import Workplace
from attractor_jax.lyapunov import lyapunov_exponents
from attractor_jax.regimes import REGIMES, classify
from attractor_jax.systems import get
from sweeps import command_line
from sweeps.arguments import ArgumentProblem

SMALL = {"N": 2, "D": 3, "seed": 5, "replicate": 0, "s": 1.0}
HENON = {"replicate": 0, "b": 0.3, "a": 1.4}


def asked(system: str = "uniform", coordinates: tuple[str, ...] = ("x1", "x2"), **axes: float) -> Asked:
    return Asked(system, {**(HENON if system == "henon" else SMALL), **axes}, coordinates)


def table(**shape: Any) -> pd.DataFrame:
    """A run as the command reads it."""
    df = classify(run(**shape)).assign(system="uniform")
    df.attrs["axes"] = ["N", "D", "seed", "replicate", "s"]
    return df


# What is computed


def test_a_portrait_grows_from_a_glance() -> None:
    cell = asked(s=3.0).network
    seen = live.glance(cell, ("y", "y-1"), steps=3000, pixels=64)
    assert seen.picture is not None and seen.picture.counts.sum() == 3000
    np.testing.assert_allclose(seen.picture.extent[:2], seen.picture.extent[2:], atol=0.2)
    (finer,) = live.portraits(cell, seen, points=(1e5,), devices=jax.devices()[:1])
    assert finer.points >= 1e5 and finer.counts.shape == (64, 64)
    np.testing.assert_allclose(finer.extent, seen.picture.extent, atol=0.2)
    assert list(live.portraits(cell, seen, lambda: False, points=(1e5,), devices=jax.devices()[:1])) == []


def test_a_still_orbit_is_seen_as_one_point() -> None:
    seen = live.glance(asked(s=0.1).network, ("x1", "x2"), steps=500, pixels=32)
    assert seen.still and seen.picture is not None
    assert np.count_nonzero(seen.picture.counts) == 1 and np.count_nonzero(shown(seen.picture.counts)) == 21


@pytest.mark.parametrize(
    ("cell", "coordinates", "said"),
    [
        (asked("henon", a=10.0), ("y", "y2"), "leaves the finite numbers"),
        (asked(), ("x1", "x9"), "`coordinates` must be of"),
    ],
)
def test_what_cannot_be_seen(cell: Asked, coordinates: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        live.glance(cell.network, coordinates, steps=500)


def test_exponents_converge_to_those_of_the_library() -> None:
    cell = asked(s=0.2).network
    first, last = live.exponents(cell, told=(20, 40))
    assert not first.finished and last.finished and last.row["regime"] == "fixed_point"
    truth = lyapunov_exponents(cell.map, cell.state, transient=5000, steps=20_000, blocks=40)
    np.testing.assert_allclose(
        last.running, np.cumsum(truth.block_means, axis=0) / np.arange(1, 41)[:, None], atol=1e-9
    )
    np.testing.assert_allclose(last.row["exponents"], truth.exponents, atol=1e-9)
    np.testing.assert_array_equal(last.errors[:, 0], [10_000, 20_000])


def test_chaos_is_told_with_its_error() -> None:
    (known,) = live.exponents(asked("henon").network, told=(20,))
    assert known.row["regime"] == "chaotic" and known.row["lambda_1"] == pytest.approx(0.419, abs=0.02)
    assert np.sum(known.row["exponents"]) == pytest.approx(np.log(0.3), abs=1e-9)


def test_a_surprise_moves() -> None:
    found = live.surprise(asked("henon").network, "a", 0.9, 1.4)
    assert found["b"] == 0.3 and 0.9 < found["a"] <= 1.4
    found = live.surprise(asked().network, "s", 0.0, 8.0)
    assert (found["N"], found["D"]) == (2, 3) and found["s"] > 0


def test_outputs_along_an_axis() -> None:
    found = live.along(asked("henon").network, "a", 0.2, 1.4, values=13)
    assert found.outputs.shape == (live.OUTPUTS, 13) and np.ptp(found.outputs[:, 0]) < 1e-9
    assert 1.4 in found.richest() and 0.2 not in found.richest()
    network = live.along(asked(s=2.0).network, "s", 0.0, 8.0, values=13)
    draws = {name: values[None] for name, values in get("uniform").draw(N=2, D=3, seed=5).items()}
    truth = get("uniform").closed_form(draws, {"s": np.ones((1, 1))})["s_critical"]
    assert network.critical == truth[0, 0]


# What is asked


@pytest.mark.parametrize(
    ("axis", "text", "must"),
    [
        ("seed", "x", "a whole number between 0 and 4,294,967,295, got 'x'"),
        ("seed", "-1", "a whole number between 0 and 4,294,967,295, got '-1'"),
        ("N", "4.5", "a whole number between 1 and 256, got '4.5'"),
        ("D", "1000", "a whole number between 1 and 256, got '1000'"),
        ("s", "nan", "a number between 0 and 1e+06, got 'nan'"),
        ("s", "9" * 99, f"a number between 0 and 1e+06, got '{'9' * 37}...'"),
    ],
)
def test_a_bad_number_is_named(axis: str, text: str, must: str) -> None:
    with pytest.raises(ArgumentProblem, match=re.escape(f"`{axis}` must be {must}")):
        read_axis(get("uniform").axis(axis), text)


def test_an_address_says_everything() -> None:
    there = Asked("uniform", {**SMALL, "s": 0.1 + 0.2}, ("y", "y-2"), "s", "seed", "lambda_1", 7)
    given = {name: values[0] for name, values in parse_qs(there.address).items()}
    assert read_axes(get("uniform"), given).values == there.axes
    assert (given["across"], given["up"], given["cell"]) == ("y", "y-2", "7")


@pytest.mark.parametrize("system", ["uniform", "gaussian", "henon", "logistic", "linear"])
def test_every_system_has_controls(system: str) -> None:
    for axis in get(system).axes:
        value = first_axes(get(system))[axis.name]
        low, high = slider_ends(get(system), axis, value)
        assert axis.low <= low <= value <= high <= axis.high and low < high
    assert swept_axis(get(system)) in get(system).axes


# What is kept


@pytest.mark.parametrize("there", [asked(s=0.5), asked("gaussian", replicate=2), asked("henon", a=-0.5)])
def test_what_is_saved_runs(there: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(command_line.CONF, tmp_path / "conf")
    text = keep.experiment(there)
    name = re.search(r"^name: (\w+)$", text, re.M)
    assert name is not None
    (tmp_path / "conf" / "experiment" / f"{name[1]}.yaml").write_text(text)
    monkeypatch.setattr(command_line, "CONF", tmp_path / "conf")
    plan = plan_of(f"experiment={name[1]}")
    assert plan.system.name == there.system and plan.n_cells == 1
    lines = keep.python(there).replace(f"transient={keep.TRANSIENT}, steps={keep.STEPS}", "transient=10, steps=20")
    assert lines.count("\n") == 3
    exec(lines, {})


# The diagram


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    "df",
    [
        table(),
        table(seeds=1, s=np.array([1.0])),
        classify(failed(run(), np.ones(54, bool))),
        table(k=1),
        table(N=(2, 4)),
    ],
    ids=["small", "one cell", "all failed", "one exponent", "two sizes"],
)
def test_a_diagram_of_any_run(df: pd.DataFrame, measure: str) -> None:
    for y in {usual_axes(df)[1], POOLED}:
        plane = Plane(df, usual_axes(df)[0], y, measure)
        assert plane.image.shape == (len(plane.up), len(plane.across)) and plane.image.dtype == np.uint32
        assert plane.legend
        for number in (0, len(df) - 1):
            row = df.iloc[number]
            assert row["cell_id"] in plane.under(*plane.place(row))["cell_id"].to_numpy()
        assert plane.under(-1, 0).empty and plane.under(0, 99).empty


def test_the_most_frequent_regime() -> None:
    df = table()
    plane = Plane(df, "s", POOLED, "regime")
    for column, value in enumerate(plane.across):
        counts = df[df["s"] == value]["regime"].value_counts()
        assert counts[REGIMES[int(plane.values[0, column])]] == counts.max()


# The page


class Later(Executor):
    """Does nothing until it is told to, and then everything in its order."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.waiting.append(lambda: fn(*args, **kwargs))

    def work(self, document: Document) -> None:
        while self.waiting:
            self.waiting.pop(0)()
            for callback in document.session_callbacks:
                document.remove_next_tick_callback(callback)  # type: ignore[arg-type]
                callback.callback()


def page(df: pd.DataFrame | None, **given: str) -> tuple[Page, Later]:
    pool = Later()
    return Page(Document(), Workplace(df, "run", pool, jax.devices()[:1]), given), pool


def test_a_click_shows_its_network(monkeypatch: pytest.MonkeyPatch) -> None:
    # One network of three delays compiles quickly; the real lengths are the browser's to test.
    short = {"glance": {"steps": 500}, "portraits": {"points": (1e4,)}, "exponents": {"told": (20,)}}
    for name, lengths in short.items():
        whole = getattr(live, name)
        monkeypatch.setattr(live, name, lambda *a, whole=whole, lengths=lengths, **k: whole(*a, **{**k, **lengths}))
    seen, pool = page(table(N=(2,)))
    panel = seen.run
    assert panel is not None
    pool.waiting.clear()  # the network that a page begins with has another shape
    column, line = 4, 2
    panel._tapped(type("Tap", (), {"x": column + 0.3, "y": line - 0.4}))
    assert seen.asked.axes["seed"] == 2 and seen.asked.axes["s"] == panel.plane.across[column]
    assert seen.asked.cell == 9 * line + column and f"cell={seen.asked.cell}" in seen.address.text
    pool.work(seen.document)
    assert seen.picture is not None and "λ₁" in seen.words.text and "in the run" in seen.words.text
    assert len(seen.spectrum.source.data["i"]) == 3
    seen._keep_picture()
    assert "image/png" in seen.file.text


def test_the_newest_request_wins() -> None:
    seen, pool = page(None)
    seen.controls["seed"].field.value = "1"
    seen.controls["seed"].field.value = "2"
    done: list[int] = []
    seen._look = lambda asked, wanted: done.append(int(asked.axes["seed"]))  # type: ignore[method-assign]
    seen.controls["seed"].field.value = "3"
    pool.work(seen.document)
    assert done == [3]
    assert seen.asked.axes["seed"] == 3


def test_bad_numbers_leave_the_page_as_it_is() -> None:
    seen, _ = page(table(), s="fast", cell="3", across="x9", measure="beauty")
    control = seen.controls["s"]
    assert control.complaint.line.visible and "got &#x27;fast&#x27;" in control.complaint.line.text
    assert control.field.value == "fast" and seen.asked.cell == 3
    assert "`measure` must be one of" in seen.note.text and "`across` must be one of" in seen.note.text
    control.field.value = "2.5"
    assert not control.complaint.line.visible and seen.asked.axes["s"] == 2.5 and seen.asked.cell is None
    seen.controls["N"].field.value = "1e3"
    assert seen.controls["N"].complaint.line.visible and seen.asked.axes["N"] == 4
    assert seen.run is not None
    seen.run.field.value = "four"
    assert seen.run.complaint.line.visible


def test_a_bad_cell_in_an_address_stays_in_sight() -> None:
    seen, _ = page(table(), cell="54")
    assert seen.run is not None and seen.run.complaint.line.visible
    assert (seen.run.field.value, seen.asked.cell, seen.asked.axes["seed"]) == ("54", None, FIRST["seed"])
    seen.run.measure.value = "lambda_1"
    assert seen.run.field.value == "54"
    seen.run.field.value = "53"
    seen.run.y.value = POOLED
    assert seen.run.rows.data["cell_id"].tolist() == [8, 17, 26, 35, 44, 53] and "cell 53" in seen.run.heading.text
    assert not seen.run.complaint.line.visible and seen.asked.cell == 53


def test_what_fails_is_said() -> None:
    seen, pool = page(None, system="henon", a="10")
    assert seen.asked.coordinates == ("y", "y2")
    pool.work(seen.document)
    assert "Cannot be shown" in seen.words.text or "diverged" in seen.words.text
    assert seen.picture is None


@pytest.mark.parametrize(
    "df",
    [
        table().iloc[:0],
        table(seeds=1, s=np.array([1.0])),
        table(seeds=2).pipe(failed, np.ones(18, bool)).pipe(classify),
    ],
    ids=["empty", "one cell", "all failed"],
)
def test_a_page_of_any_run(df: pd.DataFrame) -> None:
    if len(df):
        df = df.assign(system="uniform")
    seen, _ = page(df)
    assert seen.document.roots and seen.document.get_model_by_name("diagram") is not None
    listed = seen.document.get_model_by_name("list")
    assert isinstance(listed, DataTable)
    assert seen.run is not None
    seen.run._tapped(type("Tap", (), {"x": 0.0, "y": 0.0}))
    assert len(listed.source.data["cell_id"]) == min(len(df), 1)
    for name in MEASURES:
        seen.run.measure.value = name


def test_one_dimension_has_no_portrait() -> None:
    seen, _ = page(None, system="logistic")
    assert seen.asked.coordinates == ("y",)
    assert live.glance(seen.asked.network, ("y",), steps=100).picture is None


# The command


def test_slips_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with socket.socket() as taken:
        taken.bind((explore.HOST, 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for arguments, code, said in (
            (["--port", "x"], 2, "`--port` must be a number from 1024 to 65535, or 0"),
            (["--port", "80"], 2, "got '80'"),
            (["--pot", "1"], 2, "unrecognized arguments"),
            (["--port", port], 1, "which is taken"),
            ([str(tmp_path / "nowhere"), "--port", "0"], 1, "nowhere"),
            ([str(empty), "--port", "0"], 1, "empty"),
        ):
            assert explore.main(arguments) == code
            told = capsys.readouterr().err
            assert told.startswith("error: ") and said in told and told.count("\n") == 1


def test_a_slip_does_not_wait() -> None:
    program = (
        "import sys; from analysis.explore import main; code = main(['--port', 'x']);"
        "sys.exit(code + 10 * any(name in sys.modules for name in ('jax', 'bokeh', 'pandas')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parent.parent
    )
    assert done.returncode == 2, done.stderr


def test_a_run_is_read(tmp_path: Path) -> None:
    plan = plan_of("experiment=smoke", "grid.seed.num=1", "grid.s.num=2", *TINY)
    df = explore.read_table(sweep(plan, tmp_path))
    assert len(df) == 2 and usual_axes(df) == ("s", POOLED)
