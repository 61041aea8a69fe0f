"""Spectra, drift and the phase diagram of Seung's networks: what they show is what the run has, and how they refuse."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver
from pictures import assert_whole, caption, texts

from analysis import drift_field, loop_spectra, near_unity
from analysis.trained import Trained, read_trained
from attractor_jax import images
from attractor_jax.image_loops import Loop, spread
from attractor_jax.phase import median_table
from attractor_jax.reading import read_run
from attractor_jax.systems.continuous import KEPT

NAMES: dict[str, ModuleType] = {"near_unity": near_unity, "loop_spectra": loop_spectra, "drift_field": drift_field}
OF_NETWORKS = ("loop_spectra", "drift_field")


@pytest.fixture(scope="module")
def table(seung_run: Path) -> pd.DataFrame:
    return read_run(seung_run)


@pytest.fixture(scope="module")
def networks(seung_run: Path, table: pd.DataFrame) -> dict[int, Trained]:
    return read_trained(seung_run, table)


def with_sizes(df: pd.DataFrame, *sizes: int) -> pd.DataFrame:
    """The same networks as if they had been trained at several hidden sizes, with other numbers at each."""
    parts = [
        df.assign(n2=n2, near_unity=df["near_unity"] + n2 / 10, e5=df["e5"] / n2, drift_20=df["drift_20"] / n2)
        for n2 in sizes
    ]
    whole = pd.concat(parts, ignore_index=True).assign(cell_id=np.arange(len(sizes) * len(df)))
    whole.attrs = df.attrs
    return whole


def drawn(name: str, df: pd.DataFrame, networks: dict[int, Trained]) -> Figure:
    return NAMES[name].draw(df, networks) if name in OF_NETWORKS else NAMES[name].draw(df)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", ["whole", "one network", "a hole"])
def test_every_figure_survives(name: str, case: str, table: pd.DataFrame, networks: dict[int, Trained]) -> None:
    df = {
        "whole": table,
        "one network": table.iloc[[0]],
        "a hole": table[(table["task"] == "retention") | (table["T"] == 1)],
    }[case]
    figure = drawn(name, df, networks)
    assert_whole(figure)
    assert "System continuous" in caption(figure)
    told = texts(figure)
    for task in df["task"].unique():
        assert str(task) in told


@pytest.mark.parametrize("name", NAMES)
def test_empty_tables_say_so(name: str, table: pd.DataFrame) -> None:
    assert "no cells in this table" in texts(drawn(name, table.iloc[:0], {}))


def test_each_point_has_its_median_and_interval_over_seeds(table: pd.DataFrame) -> None:
    df = with_sizes(table, 9, 64)
    for value in ("near_unity", "e5"):
        figure = near_unity.draw(df, value)
        assert_whole(figure)
        maps = [ax for ax in figure.axes if any(isinstance(each, QuadMesh) for each in ax.collections)]
        maps = [ax for ax in maps if ax.get_label() != "<colorbar>"]
        assert [ax.get_title(loc="left") for ax in maps] == ["completion", "retention"]
        for ax in maps:
            rows = df[df["task"] == ax.get_title(loc="left")]
            (mesh,) = [each for each in ax.collections if isinstance(each, QuadMesh)]
            expected = rows.groupby(["n2", "T"])[value].median().unstack().to_numpy()
            np.testing.assert_allclose(np.asarray(mesh.get_array()).reshape(expected.shape), expected)
            written = [text.get_text() for text in ax.texts]
            for point in median_table(rows, "T", "n2", column=value).itertuples():
                assert near_unity.short(float(point.value)) in written
                assert f"[{near_unity.short(point.low)}, {near_unity.short(point.high)}]" in written
        told = caption(figure)
        assert "Medians over 2 networks at each point, 95 % intervals bootstrapped over seeds." in told
        assert "at up to 16 states after 5 loops" in told and "|μ − 1| < 0.1" in told


def test_retention_beside_completion(table: pd.DataFrame) -> None:
    df = with_sizes(table, 9, 16, 64)
    figure = near_unity.draw(df)
    panels = [ax for ax in figure.axes if len(ax.lines) == 2]
    assert len(panels) == 2 * 4  # columns are T, rows the measures
    for ax, (name, T) in zip(
        panels, [(name, T) for name in ["near_unity", "e5", "drift_20"] for T in (1, 2)], strict=False
    ):
        for line, task in zip(ax.lines, ("completion", "retention"), strict=True):
            medians = df[(df["task"] == task) & (df["T"] == T)].groupby("n2")[name].median()
            np.testing.assert_allclose(line.get_xdata(), medians.index)
            np.testing.assert_allclose(line.get_ydata(), medians)
    along = texts(near_unity.draw(table, resamples=1))
    assert "loops of training T" in along and "selectivity" in along


@pytest.mark.filterwarnings("error")
def test_what_has_no_number_is_said(table: pd.DataFrame) -> None:
    df = with_sizes(table, 9, 64).assign(selectivity=np.nan)
    lost = (df["n2"] == 9) & (df["T"] == 1)
    df.loc[lost, "e5"] = np.inf
    df.loc[lost, "gap"] = np.nan
    df.attrs = table.attrs
    figure = near_unity.draw(df, "e5")
    assert_whole(figure)
    assert "∞" in texts(figure) and "No value here: selectivity." in caption(figure)
    assert "none" in texts(near_unity.draw(df, "gap", resamples=1))
    wide = near_unity.draw(df.assign(gap=10.0 ** df["cell_id"]), "gap", resamples=50)
    assert_whole(wide)


def test_numbers_in_few_letters() -> None:
    numbers = [0.0, 1.0, 12.25, 144.0, 0.0625, 0.003, -2.5, 5275.0, np.inf]
    assert [near_unity.short(number) for number in numbers] == [
        "0", "1.00", "12.2", "144", "0.062", "0.0030", "\N{MINUS SIGN}2.50", "5.3e3", "∞",
    ]  # fmt: skip


def test_spectra_are_counted_as_in_the_table(table: pd.DataFrame, networks: dict[int, Trained]) -> None:
    for row in table.itertuples():
        spectra = loop_spectra.spectra_of(networks[int(row.cell_id)], int(row.at), float(row.tolerance))
        assert spectra.values.shape == (16, 64)
        assert spectra.near == pytest.approx(row.near_unity, abs=1e-12)
        assert np.abs(spectra.values).max(axis=1).mean() == pytest.approx(row.spectral_radius)


def test_panels_show_the_spectra_of_one_network_and_the_moduli_of_all(
    table: pd.DataFrame, networks: dict[int, Trained]
) -> None:
    figure = loop_spectra.draw(table, networks)
    planes = [ax for ax in figure.axes if "near 1" in ax.get_title(loc="left")]
    falls = [ax for ax in figure.axes if ax.get_xlabel() == "rank"]
    rows = table[table["seed"] == 0]
    assert len(planes) == len(falls) == len(rows) == 4
    for plane, fall, (_, row) in zip(planes, falls, rows.sort_values(["task", "T"]).iterrows(), strict=True):
        title = plane.get_title(loc="left")
        assert title.startswith(f"{row['task']}, T = {row['T']}\nnear 1: {row['near_unity']:.4g}, gap ")
        assert f"speed {row['spectrum_speed']:#.2g}" in title
        others, near = (line for line in plane.lines if line.get_marker() == "o")
        assert len(near.get_xdata()) == 16 * row["near_unity"]
        assert len(near.get_xdata()) + len(others.get_xdata()) == 16 * 64
        distance = np.hypot(np.asarray(near.get_xdata(), float) - 1, np.asarray(near.get_ydata(), float))
        assert (distance < row["tolerance"]).all()
        (own,) = [line for line in fall.lines if line.get_marker() == "o"]
        np.testing.assert_array_equal(own.get_ydata(), row["moduli"])
        (other,) = [line for line in fall.lines if line.get_linewidth() == 0.5]
        (same,) = table[(table["task"] == row["task"]) & (table["T"] == row["T"]) & (table["seed"] == 1)]["moduli"]
        np.testing.assert_array_equal(other.get_ydata(), same)
    told = caption(figure)
    assert "at 16 states x(5) of the network with seed 0" in told and "this network and 1 other seed." in told
    assert "Away from a fixed point J is not a linearisation at one." in told


@pytest.mark.parametrize("m", [1, 5, 16, 17, 44, 63, 64, 65, 198, 1000])
def test_states_of_the_spectra_are_found_among_what_is_kept(m: int) -> None:
    kept = (np.arange(KEPT) * m // KEPT)[:, None].astype(float)
    seen = loop_spectra.distinct(kept)
    np.testing.assert_array_equal(seen[spread(len(seen))][:, 0], spread(m))


def test_orbits_and_drift_of_images(table: pd.DataFrame, networks: dict[int, Trained]) -> None:
    figure = drift_field.draw(table, networks)
    assert_whole(figure)
    panels = [ax for ax in figure.axes if ", T = " in ax.get_title(loc="left")]
    rows = table[table["seed"] == 0].sort_values(["task", "T"])
    seen = loop_spectra.distinct(networks[0].images)
    plane = drift_field.Plane.of(seen)
    for ax, (_, row) in zip(panels, rows.iterrows(), strict=True):
        network = networks[int(row["cell_id"])]
        corrupted = network.corrupted[loop_spectra.are_new(network.images)]
        (ends,) = [each for each in ax.collections if isinstance(each, PathCollection)]
        late = network.loop.visited(corrupted, [20])[0]
        np.testing.assert_allclose(np.asarray(ends.get_offsets()), plane(late))
        np.testing.assert_allclose(ends.get_array(), network.loop.speeds(late))
        (arrows,) = [each for each in ax.collections if isinstance(each, Quiver)]
        np.testing.assert_allclose(np.asarray(arrows.get_offsets()), plane(seen))
        step = plane(network.loop.step(seen)) - plane(seen)
        ratio = np.c_[arrows.U, arrows.V] / step
        np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-6)
    told = caption(figure)
    assert "A projection" in told and f"{100 * plane.share:.0f} % of their variance" in told
    assert f"orbits of {len(seen)} images" in told and "at the images themselves" in told


def ring(df: pd.DataFrame, gain: float) -> tuple[pd.DataFrame, dict[int, Trained]]:
    """A loop that multiplies each image with a number, and bars."""
    loop = Loop(np.eye(64), np.zeros(64), gain * np.eye(64), np.zeros(64))
    bars = images.load("bars")
    network = Trained(loop, bars.test, images.holes(64, 8, 4))
    one = df.iloc[[0]].assign(data="bars-8x8", label=-1)
    one.attrs = df.attrs
    return one, {int(one["cell_id"].iloc[0]): network}


@pytest.mark.filterwarnings("error")
def test_a_ring_is_a_closed_curve_with_a_field_around_it(table: pd.DataFrame) -> None:
    df, networks = ring(table, 0.9)
    figure = drift_field.draw(df, networks)
    assert_whole(figure)
    (ax,) = [ax for ax in figure.axes if ", T = " in ax.get_title(loc="left")]
    (arrows,) = [each for each in ax.collections if isinstance(each, Quiver)]
    assert len(arrows.get_offsets()) == drift_field.GRID**2
    coloured = [each for each in ax.collections if isinstance(each, LineCollection) and each.get_array() is not None]
    speeds = np.asarray(coloured[0].get_array())
    segments = np.asarray(coloured[0].get_segments())
    np.testing.assert_allclose(speeds, 0.1)
    np.testing.assert_allclose(segments[0, 0], segments[-1, 1])  # closed
    assert len(speeds) == 720
    told = caption(figure)
    assert "90 % of its variance" in told and "at points of the plane" in told
    assert "the same after 20 loops" in texts(figure)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("gain", [1.0, 1e30])
def test_loops_at_rest_and_loops_that_escape(gain: float, table: pd.DataFrame) -> None:
    df, networks = ring(table, gain)
    for name in OF_NETWORKS:
        figure = drawn(name, df, networks)
        assert_whole(figure)
    gone = "Outside the panels, of 64 orbits: 64 after 20 loops and 64 after 100 loops." in caption(figure)
    assert gone == (gain > 1)


@pytest.mark.parametrize("name", NAMES)
def test_commands_write_where_they_say(
    name: str, seung_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--value", "e5"] if name == "near_unity" else []
    run = tmp_path / "run"
    shutil.copytree(seung_run, run)
    assert NAMES[name].main([str(run), *words, "--where", "seed=1"]) == 0
    file = f"{name}{'_e5' if words else ''}_seed1.png"
    assert capsys.readouterr().out == f"{run / 'figures' / file}\n"
    assert matplotlib.image.imread(run / "figures" / file).shape[1] >= 1000


def feedback(df: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"cell_id": [0], "N": 4, "s": 1.0, "dtype": "float64", "status": "ok", "system": "uniform"})


def stages(df: pd.DataFrame) -> pd.DataFrame:
    whole = pd.concat([df.assign(T=T) for T in range(1, 11)])
    whole.attrs = df.attrs
    return whole


@pytest.mark.parametrize(
    ("name", "change", "words", "code", "message"),
    [
        *((name, feedback, [], 1, "of system continuous, got uniform") for name in NAMES),
        *((name, None, ["--where", "q=1"], 2, "`--where` must name axes of the table") for name in NAMES),
        *((name, None, ["--where", "T=9"], 2, "`--where` must give T a value that it has") for name in NAMES),
        *((name, None, ["--where", "task=nothing"], 2, "`--where` must give task a value") for name in NAMES),
        *((name, None, ["--out", "a.bmp"], 2, "`--out` must end in .png, .pdf or .svg") for name in NAMES),
        *((name, stages, [], 2, "`--where` must leave at most") for name in NAMES),
        *((name, lambda df: with_sizes(df, 9, 16), [], 2, "`--where` must leave one value of n2, got 2")
          for name in OF_NETWORKS),
        *(("near_unity", None, ["--value", value], 2, f"`--value` must be a column of floats, such as near_unity, e5, "
           f"drift_20, selectivity, gap, spectral_radius, got '{value}'") for value in ("nothing", "moduli", "lr")),
    ],
)  # fmt: skip
def test_bad_arguments_and_bad_runs_are_one_line(
    name: str, change: Callable[[pd.DataFrame], pd.DataFrame] | None, words: list[str], code: int, message: str,
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    df = table if change is None else change(table)
    monkeypatch.setattr("attractor_jax.reading.read_run", lambda path: df)
    assert NAMES[name].main([str(tmp_path), *words]) == code
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
    assert message in said.err, said.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", OF_NETWORKS)
@pytest.mark.parametrize("lost", [True, False])
def test_networks_that_are_missing_or_damaged_are_one_line(
    name: str, lost: bool, seung_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(seung_run, run)
    for path in (run / "weights").iterdir():
        if lost:
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:-1000])
    assert NAMES[name].main([str(run)]) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
    assert "weights" in said.err and ("is missing: " if lost else "is damaged") in said.err
