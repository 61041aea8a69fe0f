"""Completion, fields and errors of Seung's networks: what they show is what the run has, and how they refuse."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from pictures import assert_whole, caption, texts

from analysis import completion, completion_error, fields
from analysis.trained import Trained, first_seed, last_stage, networks, read_trained
from attractor_jax.fills import relative_error
from attractor_jax.image_loops import Loop
from attractor_jax.pattern_errors import TIMES
from attractor_jax.pattern_learning import hidden_grid, reach
from attractor_jax.phase import median_table
from attractor_jax.reading import read_run

NAMES: dict[str, ModuleType] = {"completion": completion, "fields": fields, "completion_error": completion_error}
OF_NETWORKS = ("completion", "fields")


@pytest.fixture(scope="module")
def table(seung_run: Path) -> pd.DataFrame:
    return read_run(seung_run)


@pytest.fixture(scope="module")
def kept(seung_run: Path, table: pd.DataFrame) -> dict[int, Trained]:
    return read_trained(seung_run, table)


def drawn(name: str, df: pd.DataFrame, kept: dict[int, Trained]) -> Figure:
    return NAMES[name].draw(df, kept) if name in OF_NETWORKS else NAMES[name].draw(df)


def with_values(
    df: pd.DataFrame, kept: dict[int, Trained], axis: str, *values: int
) -> tuple[pd.DataFrame, dict[int, Trained]]:
    """The same networks as if they had been trained with several values of an axis."""
    whole = pd.concat([df.assign(**{axis: value}) for value in values], ignore_index=True)
    cell_id = np.arange(len(whole))
    again = {int(new): kept[int(old)] for new, old in zip(cell_id, whole["cell_id"], strict=True)}
    whole["cell_id"] = cell_id
    whole.attrs = df.attrs
    return whole, again


def pictures(figure: Figure) -> list[np.ndarray]:
    """What is drawn as an image, block by block, without the strips that are scales."""
    images = [np.ma.filled(image.get_array(), np.nan) for ax in figure.axes for image in ax.images]
    return [image for image in images if image.shape[0] > 1]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", ["whole", "one network", "classes"])
def test_every_figure_survives(name: str, case: str, table: pd.DataFrame, kept: dict[int, Trained]) -> None:
    if case == "classes":
        df, kept = with_values(table[table["task"] == "completion"], kept, "label", *range(6))
    else:
        df = {
            "whole": table,
            "one network": table.iloc[[0]],
        }[case]
    figure = drawn(name, df, kept)
    assert_whole(figure)
    assert "System continuous" in caption(figure) and "measured after" not in caption(figure)
    for task in df["task"].unique():
        assert str(task) in texts(figure)


@pytest.mark.parametrize("name", NAMES)
def test_empty_tables_say_so(name: str, table: pd.DataFrame) -> None:
    assert "no cells in this table" in texts(drawn(name, table.iloc[:0], {}))


def test_images_and_hidden_layers_are_those_of_the_loop(table: pd.DataFrame, kept: dict[int, Trained]) -> None:
    figure = completion.draw(table, kept, images=2)
    shown = iter(pictures(figure))
    told = texts(figure)
    first = table[table["seed"] == 0].sort_values(["task", "T"])
    assert len(first) == 4
    for cell_id, task, T in first[["cell_id", "task", "T"]].itertuples(index=False):
        assert f"{task}, T = {T}" in told
        network = kept[cell_id]
        block = [network.loop.hidden(network.corrupted[[index]]).max() for index in (0, 32)]
        for index in (0, 32):
            truth, start = network.images[index], network.corrupted[index]
            np.testing.assert_array_equal(next(shown).ravel(), truth)
            np.testing.assert_array_equal(next(shown).ravel(), start)
            state, states, hidden = start[None], {}, {}
            for time in range(1, 21):
                hidden[time], state = network.loop.hidden(state), network.loop.step(state)
                states[time] = state
            for time in (1, 2, 5, 20):
                np.testing.assert_allclose(next(shown).ravel(), np.clip(states[time][0], 0, 1))
                assert completion.told(relative_error(states[time], truth[None], start[None])) in told
            for time in (1, 2, 5, 20):
                np.testing.assert_allclose(next(shown).ravel(), np.clip(hidden[time][0], 0, max(block)))
    assert next(shown, None) is None
    assert "2 held-out images; the network is not told where the hole is" in caption(figure)


def test_each_class_has_a_row_after_its_last_stage(table: pd.DataFrame, kept: dict[int, Trained]) -> None:
    df, again = with_values(table[table["task"] == "completion"], kept, "label", *range(10))
    figure = completion.draw(df, again)
    (ax,) = figure.axes
    assert "completion, T = 2" in texts(figure) and "T = 1" not in texts(figure)
    assert [text.get_text() for text in ax.texts if len(text.get_text()) == 1 and text.get_fontsize() == 9] == list(
        "0123456789"
    )
    assert len(pictures(figure)) == 10 * 10
    assert "At the left the label" in caption(figure)
    one = completion.draw(df[df["label"] == 3].pipe(_like, df), again)
    assert "T = 1" in texts(one) and len(pictures(one)) == 2 * completion.IMAGES * 10


def _like(df: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    df.attrs = other.attrs
    return df


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", ["overflows", "linear", "no square", "black"])
def test_completion_of_strange_networks(case: str, table: pd.DataFrame, kept: dict[int, Trained]) -> None:
    row = table.iloc[[0]]
    network = kept[int(row["cell_id"].iloc[0])]
    loop, n2 = network.loop, 7 if case == "no square" else 64
    change: dict[str, Callable[[], Trained]] = {
        "overflows": lambda: replace(network, loop=replace(loop, W12=1e200 * np.abs(loop.W12))),
        "linear": lambda: replace(network, loop=replace(loop, floor=-np.inf)),
        "no square": lambda: replace(
            network, loop=Loop(loop.W21[:n2], loop.b2[:n2], loop.W12[:, :n2], loop.b1, loop.floor, loop.ceiling)
        ),
        "black": lambda: replace(network, images=np.where(network.holes, 0.0, network.images)),
    }
    figure = completion.draw(row.assign(n2=n2).pipe(_like, table), {0: change[case]()})
    assert_whole(figure)
    told = texts(figure)
    expected = {
        "overflows": ["e = ∞", "Grey: the loop overflowed"],
        "linear": ["\N{MINUS SIGN}", "lie beyond"],
        "no square": ["n2 = 7 fills no square"],
        "black": ["no e: the hole took nothing away"],
    }
    assert all(words in told for words in expected[case])
    if case == "no square":
        hidden = [image for image in pictures(figure) if image.shape == (3, 3)]
        row_of, column_of, _ = hidden_grid(7)
        assert len(hidden) == 16 and all(np.isnan(image).sum() == 2 for image in hidden)
        assert np.isfinite(hidden[0][row_of, column_of]).all()


@pytest.mark.parametrize("error", [0.0014, 0.2345, 99.4, 99.6, 12345.0, 1e300])
def test_errors_are_short_and_true(error: float) -> None:
    words = completion.told(error)
    assert len(words) <= 11 and float(words.removeprefix("e = ")) == pytest.approx(error, rel=0.25)


@pytest.mark.parametrize(
    ("n2", "side", "radius"), [(64, 8, 1), (256, 16, 2), (7, 8, 1), (9, 8, 0), (100, 8, 1), (4, 8, -1), (16, 8, 7)]
)
def test_windows_hold_the_fields_and_nothing_else(n2: int, side: int, radius: int) -> None:
    windows = fields.windows_of(n2, side, radius)
    within = reach(n2, side, radius)
    for window, field in zip(windows, within, strict=True):
        assert sorted(window[window >= 0].tolist()) == np.flatnonzero(field).tolist()
        row, column = np.nonzero(window >= 0)
        pixels = window[row, column]
        assert len(set((pixels // side - row).tolist())) == len(set((pixels % side - column).tolist())) <= 1
    if n2 == side * side:
        np.testing.assert_array_equal(windows[:, radius, radius], np.arange(n2))


def test_fields_are_rows_and_columns_of_the_weights(table: pd.DataFrame, kept: dict[int, Trained]) -> None:
    figure = fields.draw(table, kept)
    assert_whole(figure)
    panels = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    shown = last_stage(first_seed(networks(table))).sort_values("task")
    assert shown["T"].tolist() == [2, 2] and len(panels) == 4
    for pair, cell_id, task in zip((panels[:2], panels[2:]), shown["cell_id"], shown["task"], strict=True):
        loop = kept[cell_id].loop
        for ax, weights, name in zip(pair, (loop.W21, loop.W12.T), ("receptive", "projective"), strict=True):
            assert ax.get_title(loc="left") == f"{task}, T = 2: {name} fields"
            (image,) = ax.images
            drawn = np.ma.filled(image.get_array(), np.nan)
            assert (image.norm.vmin or 0) == -(image.norm.vmax or 0) < 0
            pitch = 3 * fields.FINENESS + fields.GAP
            middle = fields.GAP + fields.FINENESS + 1 + pitch * np.arange(8)
            np.testing.assert_array_equal(drawn[np.ix_(middle, middle)].ravel(), np.diag(weights))
            assert np.isfinite(drawn).sum() == fields.FINENESS**2 * reach(64, 8, 1).sum()
    assert "within its radius, cut off at the edges of the image" in caption(figure)


@pytest.mark.filterwarnings("error")
def test_fields_of_the_whole_image_and_a_grid_that_is_not_full(table: pd.DataFrame, kept: dict[int, Trained]) -> None:
    row = table.iloc[[0]].assign(n2=7, radius=-1, dead_hidden=2 / 7).pipe(_like, table)
    loop = kept[0].loop
    few = Loop(loop.W21[:7], loop.b2[:7], loop.W12[:, :7], loop.b1, loop.floor, loop.ceiling)
    figure = fields.draw(row, {0: replace(kept[0], loop=few)})
    assert_whole(figure)
    told = caption(figure)
    assert "shows the whole image" in told and "fills no square" in told
    assert "Hidden units that no training image ever activates: 2 (completion, T = 1)" in told
    first = np.ma.filled(figure.axes[0].images[0].get_array(), np.nan)[2 : 2 + 24 : 3, 2 : 2 + 24 : 3]
    np.testing.assert_array_equal(first.ravel(), loop.W21[0])
    silent = replace(kept[0], loop=replace(few, W21=np.zeros_like(few.W21)))
    assert_whole(fields.draw(row, {0: silent}))


def test_errors_are_the_medians_of_the_table(table: pd.DataFrame) -> None:
    figure = completion_error.draw(table)
    assert_whole(figure)
    above, below = figure.axes[:2], figure.axes[2:]
    for ax, parts, task in zip(above, below, ("completion", "retention"), strict=True):
        assert ax.get_title(loc="left") == task
        rows = table[table["task"] == task]
        curves = [np.asarray(line.get_ydata(), float) for line in ax.lines if len(np.atleast_1d(line.get_xdata())) == 6]
        bars = [each for each in ax.collections if isinstance(each, LineCollection)]
        lines = curves[::2]  # each with its marks
        for line, bar, T in zip(lines, bars, (1, 2), strict=True):
            here = rows[rows["T"] == T]
            expected = [here[f"e{time}"].median() for time in TIMES]
            np.testing.assert_allclose(line, np.minimum(expected, completion_error.CUT))
            for path, name in zip(bar.get_paths(), [n for n in completion_error.ERRORS if n != "e0"], strict=False):
                (point,) = median_table(here, "T", column=name).itertuples()
                np.testing.assert_allclose(path.vertices[:, 1], [point.low, point.high])
        inside, outside = (
            [line for line in parts.lines if line.get_linestyle() == dash and len(np.atleast_1d(line.get_xdata())) == 6]
            for dash in ("-", "--")
        )
        for i, T in enumerate((1, 2)):
            both = [np.asarray(each[i].get_ydata(), float) for each in (inside, outside)]
            here = rows[rows["T"] == T]
            for line, name in zip(both, ("error_in_hole", "error_outside"), strict=True):
                expected = np.median(np.stack(here[name].to_list()), axis=0)
                np.testing.assert_allclose(line[1:], expected[1:])
        levels = {float(line.get_ydata()[0]) for line in ax.lines if list(line.get_xdata()) == [0, 1]}
        assert levels == {1.0, *(rows[name].iloc[0] for name in completion_error.FILLS)}
    told = texts(figure)
    assert "Medians over 2 seeds; bars are 95 % intervals, bootstrapped over seeds." in told
    assert "Fills know where the hole is, and change nothing else; the network is not told" in told
    assert all(words in told for words in ("1: the hole as it is", "mean image", "principal components", "nearest"))


@pytest.mark.filterwarnings("error")
def test_what_is_beyond_the_panel_is_said(table: pd.DataFrame, kept: dict[int, Trained]) -> None:
    lost = table.assign(e20=1e40, e100=np.inf, fill_pca=1e-16, fill_nearest=2e-5).pipe(_like, table)
    figure = completion_error.draw(lost)
    assert_whole(figure)
    marks = [line for line in figure.axes[0].lines if line.get_marker() == "^"]
    assert len(marks) == 2 and all((np.asarray(mark.get_ydata()) == completion_error.CUT).all() for mark in marks)
    assert [len(np.atleast_1d(mark.get_xdata())) for mark in marks] == [2, 2]
    told = texts(figure)
    assert "a median beyond 10, where curves are cut off; 8 of 8 networks get there within 100 loops" in told
    assert "principal components: 1e\N{MINUS SIGN}16 ↓" in told and "2e\N{MINUS SIGN}05 ↓" in told
    one = completion_error.draw(table[table["seed"] == 1].pipe(_like, table))
    assert "One seed in each panel: no intervals" in texts(one) and not one.axes[0].collections
    sizes, _ = with_values(table, kept, "n2", 16, 25, 64)
    many = completion_error.draw(sizes)
    assert_whole(many)
    assert "completion, n2 = 25" in texts(many) and "part outside" not in texts(many)


def test_cells_that_ask_more_of_one_network_are_one(table: pd.DataFrame, kept: dict[int, Trained]) -> None:
    df, again = with_values(table, kept, "at", 1, 5)
    assert len(networks(df)) == len(table) and len(networks(df, "at")) == 2 * len(table)
    assert len(pictures(completion.draw(df, again, images=1))) == 4 * 10
    assert len(fields.looked_at(df)) == 2


def test_commands_write_where_they_say(seung_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    shutil.copytree(seung_run, run)
    for name, words, file in (
        ("completion", ["--where", "T=2", "--images", "1"], "completion_1images_T2.png"),
        ("fields", ["--where", "task=completion"], "fields_taskcompletion.png"),
        ("completion_error", [], "completion_error.png"),
    ):
        assert NAMES[name].main([str(run), *words]) == 0
        path = run / "figures" / file
        assert capsys.readouterr().out == f"{path}\n" and matplotlib.image.imread(path).shape[1] >= 1390


def test_bad_arguments_are_one_line(seung_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "run"
    shutil.copytree(seung_run, damaged)
    first, second = sorted(damaged.glob("weights/*.npz"))
    first.write_bytes(first.read_bytes()[:-9])
    second.unlink()
    cases: list[tuple[str, list[str], int, str]] = [
        *((name, [str(seung_run), "--where", "seed=7"], 2, "`--where` must give seed a value") for name in NAMES),
        *((name, [str(damaged), "--where", "task=completion"], 1, str(first)) for name in OF_NETWORKS),
        *((name, [str(damaged), "--where", "task=retention"], 1, f"{second} is missing") for name in OF_NETWORKS),
        ("completion", [str(seung_run), "--images", "0"], 2, "`--images` must be from 1 to 8 with 4 networks, got 0"),
        ("completion", [str(seung_run), "--images", "9"], 2, "`--images` must be from 1 to 8 with 4 networks, got 9"),
        ("completion", [str(seung_run), "--images", "x"], 2, "argument --images: invalid int value: 'x'"),
    ]
    for name, words, code, message in cases:
        assert NAMES[name].main(words) == code, words
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
        assert message in said.err, said.err


@pytest.mark.parametrize("name", NAMES)
def test_runs_of_other_systems_are_refused(
    name: str, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("attractor_jax.reading.read_run", lambda path: table.assign(system="feedback"))
    assert NAMES[name].main(["there"]) == 1
    assert capsys.readouterr().err == "error: there must be a run of system continuous, got feedback\n"


def test_too_many_networks_are_refused(table: pd.DataFrame, kept: dict[int, Trained]) -> None:
    df, again = with_values(table, kept, "n2", 4, 9, 16, 25, 36, 49, 64, 81, 100)
    for name, told in (
        ("completion", r"`where` must leave at most 8 networks, got 36: values of task \(2\), n2 \(9\), T \(2\)"),
        ("fields", r"`where` must leave at most 4 networks, got 18: values of task \(2\), n2 \(9\)"),
        ("completion_error", r"`where` must leave at most 16 panels, got 18: values of task \(2\), n2 \(9\)"),
    ):
        with pytest.raises(ValueError, match=told):
            drawn(name, df, again)
    stages, _ = with_values(table[table["T"] == 1], kept, "T", *range(1, 10))
    with pytest.raises(ValueError, match="`where` must leave at most 8 values of T, got 9"):
        completion_error.draw(stages)
