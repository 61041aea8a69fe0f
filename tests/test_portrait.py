"""Portraits: every point is counted where it lies, whoever counts it; the filter of the article; one cell by itself."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image, PngImagePlugin
from runs import TINY, cells_of, plan_of, sweep

import attractor_jax as aj
from analysis import article_style, dossier, gallery, tones, turning
from analysis import portrait as command
from analysis.cells import cell_of_table, concise, finding, measured_cell, with_error
from analysis.portrait_recipe import Recipe, read_recipe
from attractor_jax.portrait import CALL, portrait
from sweeps.arguments import ArgumentProblem

QUASIPERIODIC = {"seed": 174658140, "N": 4, "D": 16, "s": 1.4}


def article_loop(seed: int, N: int, D: int, s: float, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Activities (steps, N) and outputs (steps,), one step at a time as the article's program has them."""
    rng = np.random.RandomState(seed)
    w, b = 2 * rng.random_sample((N, D)) - 1, s * rng.random_sample(N)
    y = np.zeros(D)
    x = np.full(N, 0.001)
    activities, outputs = [], []
    for _ in range(steps):
        y = np.concatenate([[b @ x], y[:-1]])
        x = np.tanh(w @ y)
        activities.append(x)
        outputs.append(y[0])
    return np.array(activities), np.array(outputs)


def test_a_portrait_is_the_histogram_of_the_orbit() -> None:
    """Of a closed curve, on which the points of any long orbit are spread alike: NumPy's own loop and histogram."""
    net = aj.feedback_network(**QUASIPERIODIC)
    x, _ = article_loop(**QUASIPERIODIC, steps=60_000)
    extent = (-1.0, 1.0, -1.0, 1.0)
    seen = portrait(net, net.initial_state(), points=2e6, size=(8, 6), extent=extent, devices=jax.devices())
    assert seen.counts.sum() + seen.outside == seen.points >= 2e6 and seen.outside == 0
    expected = np.histogram2d(x[20_000:, 0], x[20_000:, 1], bins=(8, 6), range=((-1, 1), (-1, 1)))[0].T[::-1]
    np.testing.assert_allclose(seen.counts / seen.counts.sum(), expected / expected.sum(), atol=3e-3)


def test_outputs_and_delays_are_coordinates_too() -> None:
    net = aj.feedback_network(**QUASIPERIODIC)
    _, y = article_loop(**QUASIPERIODIC, steps=30_000)
    look = partial(portrait, net, net.initial_state(), coordinates=("y", "y-3"))
    left, right, bottom, top = look(points=1, size=(4, 4)).extent
    room = 1 + 2 * 0.03
    assert (right - left) / room == pytest.approx(np.ptp(y[20_000:]), rel=2e-3) == (top - bottom) / room
    seen = look(points=1e5, size=(5, 5))
    expected = np.histogram2d(y[20_003:], y[20_000:-3], bins=5, range=((left, right), (bottom, top)))[0].T[::-1]
    np.testing.assert_allclose(seen.counts / seen.counts.sum(), expected / expected.sum(), atol=1e-2)


def test_what_lies_outside_is_counted_and_said() -> None:
    map_ = aj.HenonMap(jnp.asarray(1.4), jnp.asarray(0.3))
    whole = portrait(map_, np.zeros(2), coordinates=("y", "y2"), points=1e5, size=(32, 32))
    assert whole.outside == 0 and whole.counts.sum() == whole.points and whole.points % CALL == 0
    half = portrait(map_, np.zeros(2), coordinates=("y", "y2"), points=1e5, size=(32, 32), extent=(0, 2, -1, 1))
    assert 0.1 < half.outside / half.points < 0.9 and half.counts.sum() + half.outside == half.points


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coordinates": ("x1", "x9")}, "`coordinates` must be of x1, x2, x3, x4, y, y-1, ... or y-15, got 'x9'"),
        ({"coordinates": ("x1", "x1")}, "`coordinates` must be distinct"),
        ({"coordinates": ("x1",)}, "`coordinates` must be at least two, got x1"),
        ({"view": np.ones((2, 3))}, r"`view` must have shape \(2, 2\)"),
        ({"points": 0}, "`points` and `size` must be at least 1, got 0"),
        ({"state": np.full(16, np.nan)}, "`state` must lead to an orbit that stays finite"),
    ],
)
def test_what_cannot_be_seen_is_refused(changes: dict, message: str) -> None:
    net = aj.feedback_network(**QUASIPERIODIC)
    with pytest.raises(ValueError, match=message):
        portrait(net, changes.pop("state", net.initial_state()), **{"points": 10, "size": (4, 4)} | changes)


def test_tones_rise_with_the_counts_and_leave_the_unvisited_dark() -> None:
    counts = np.array([[0, 1, 2], [10, 100, 10_000]])
    for how in tones.TONES:
        toned = tones.toned(counts, how)
        assert toned[0, 0] == 0 and (np.diff(toned.ravel()[1:]) >= 0).all() and toned.max() == 1
        assert toned[0, 1] >= tones.FAINTEST
    assert tones.coloured(np.zeros((4, 4), int)).shape == (4, 4, 3)
    thin = np.zeros((900, 900), int)
    thin[450] = 1
    assert 1 < (tones.toned(thin) > 0).any(axis=1).sum() < 5, "a curve of one pixel is drawn with a brush"
    edge = np.zeros((900, 900), int)
    edge[:, 0] = 1
    assert not tones.toned(edge)[:, 450:].any(), "which does not reach around the picture"
    point = np.zeros((384, 384), int)
    point[100, 200] = 1
    assert (tones.toned(point) > 0).sum() == 16


def test_the_article_joins_every_sixteenth_vertex_of_a_path_in_thirds() -> None:
    points = np.random.default_rng(0).uniform(-1, 1, (40, 2))
    t = np.arange(0, 3 * 39 + 1, 16) / 3
    x, y = (np.interp(t, np.arange(40), column) for column in points.T)
    segments, colour = article_style.chords(points)
    np.testing.assert_allclose(segments[:, 0], np.stack([x, y], axis=1)[:-1], atol=1e-12)
    np.testing.assert_allclose(segments[:, 1], np.stack([x, y], axis=1)[1:], atol=1e-12)
    np.testing.assert_allclose(colour, np.abs(np.sin(1.6 * y + 0.4 * x)), atol=1e-12)


def test_a_turn_comes_back_to_where_it_began() -> None:
    np.testing.assert_allclose(turning.view(0), turning.view(2 * np.pi), atol=1e-12)
    np.testing.assert_allclose(turning.view(0.3) @ turning.view(0.3).T, np.eye(2), atol=1e-12)


@pytest.fixture
def on_two_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attractor_jax.backend.start", lambda config: jax.devices())


SMALL = ("--points", "1e5", "--pixels", "64")


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def made(capsys: pytest.CaptureFixture[str], *words: str) -> Path:
    assert command.main([*map(str, words)]) == 0
    return Path(capsys.readouterr().out.splitlines()[-1])


def test_a_picture_is_made_again_from_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, on_two_devices: None
) -> None:
    network = ("--seed", "70", "--N", "2", "--D", "4", "--s", "3")
    one = made(capsys, *network, *SMALL, "--style", "bare", "--out", str(tmp_path / "one.png"))
    again = made(capsys, "--like", str(one), "--out", str(tmp_path / "again.png"))
    other = made(capsys, "--like", str(one), "--colours", "viridis", "--s", "1", "--out", str(tmp_path / "other.png"))
    first, second = map(pixels_of, (one, again))
    assert first.shape == (64, 64, 3)
    np.testing.assert_array_equal(first, second)
    recipe, before = (read_recipe(path) for path in (other, one))
    assert recipe.axes == {"N": 2, "D": 4, "seed": 70, "replicate": 0, "s": 1.0} and recipe.colours == "viridis"
    assert before.finding and recipe.finding != before.finding
    monkeypatch.setattr(turning, "FRAMES", 3)
    turned = made(
        capsys, "--like", str(one), "--coordinates", "x1", "x2", "y", "--points", "1e3", "--pixels", "32",
        "--out", str(tmp_path / "t.gif"),
    )  # fmt: skip
    with Image.open(turned) as film:
        assert film.n_frames == 3 and film.size[0] == 32 < film.size[1]
    for style in ("density", "article"):
        words = ("--style", style, "--pixels", "400", "--out", str(tmp_path / f"{style}.png"))
        assert abs(pixels_of(made(capsys, "--like", str(one), *words)).shape[1] - 400) <= 1


@pytest.mark.parametrize(
    "changes",
    [
        {"pixels": "abc"}, {"pixels": 400.5}, {"points": "1e5"}, {"coordinates": 3}, {"coordinates": ["x1"]},
        {"axes": [1]}, {"axes": {"seed": "../x"}}, {"system": ["a"]}, {"tones": "foo"}, {"style": "foo"},
        {"colours": 7}, {"dtype": "f"},
        {"more": 1},
    ],
)  # fmt: skip
def test_a_recipe_that_somebody_changed_is_refused(changes: dict, tmp_path: Path) -> None:
    told = PngImagePlugin.PngInfo()
    whole = asdict(Recipe("uniform", {"seed": 1}).checked())
    told.add_text("Description", json.dumps({"portrait": whole | changes}))
    Image.new("RGB", (4, 4)).save(tmp_path / "one.png", pnginfo=told)
    with pytest.raises(ArgumentProblem, match="`--like` must be a picture that this command made"):
        read_recipe(tmp_path / "one.png")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--points", "0"], "`--points` must be between 1 and 1e+12, got 0"),
        (["--pixels", "3"], "`--pixels` must be between 300 and 16,384, got 3"),
        (["--coordinates", "x1"], "`--coordinates` must be two, or three for a GIF, got 1"),
        (
            ["--coordinates", "x1", "x7", *SMALL, "--style", "bare"],
            "`--coordinates` must be of x1, x2, x3, x4, y, y-1, ... or y-15",
        ),
        (["--colours", "brown"], "`--colours` must be inferno, magma"),
        (["--like", "nothing.png"], "`--like` must be a picture that this command made, got 'nothing.png'"),
        (["--system", "henon"], "`--seed` is no axis of system henon, which has replicate, b, a"),
        (["--at", "seed=3"], "`--at seed` must be left out where `--seed` is given, got 3"),
        (["--at", "q=3"], "`--at q` is no axis of system uniform"),
        (["--N", "0"], "`--N` must be between 1 and"),
        (["--system", "hennon"], "`--system` must be one of uniform"),
        (["--s", "-1"], "`--s` must be between 0 and 1e+06, got -1"),
        (["--cell", "3"], "`--cell` must come with a RUN"),
        (["RUN", "--cell", "0"], "`--seed` must be left out where RUN and `--cell` say it all"),
        (["--out", "picture.jpg"], "`--out` must end in .png, got 'picture.jpg'"),
        (["--coordinates", "x1", "x2", "y", "--style", "article"], "`--style` must be density or bare for three"),
    ],
)
def test_a_slip_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], on_two_devices: None
) -> None:
    assert command.main(["--seed", "70", *words]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line and "points/s" not in line]
    assert len(error) == 1 and message in error[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = plan_of(
        "grid.N=4", "grid.D=[4, 6]", "grid.seed.num=3", "grid.s=[0.1, 3, 6]", "measure.also=[coverage]", *TINY,
        "measure.steps=4000", "measure.transient=200",
    )  # fmt: skip
    return sweep(plan, tmp_path_factory.mktemp("gallery"))


def test_a_cell_of_a_run_is_the_network_that_was_measured(run: Path) -> None:
    df = aj.read_run(run)
    cell = cell_of_table(df, 7)
    network = aj.network_from_row(df.iloc[7].to_dict())
    np.testing.assert_allclose(cell.map(cell.state), network(network.initial_state()), rtol=1e-14)
    alone = measured_cell("uniform", cell.axes, devices=jax.devices())
    assert alone.row["regime"] == cell.row["regime"] and alone.name == cell.name
    assert finding(cell.row).startswith(str(cell.row["regime"]).replace("_", " "))


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.11163, 0.00031, "0.11163 ± 0.00031"),
        (-2.5, 0.2, "-2.50 ± 0.20"),
        (-0.15, 6e-9, "-0.15000000 ± 6e-09"),
        (-3.2e-8, 7e-9, "-3.2e-08 ± 7e-09"),
        (-np.inf, np.nan, "-inf"),
        (1.0, 0.0, "1"),
    ],
)
def test_numbers_carry_two_digits_of_their_error(value: float, error: float, text: str) -> None:
    assert with_error(value, error) == text


def test_concise_numbers_count_their_error_in_the_last_digit() -> None:
    assert concise(0.11163, 0.00031) == "0.11163(31)" and concise(-2.5, 0.2) == "-2.50(20)"
    assert concise(120.0, 30.0) == "120(30.0)" and concise(0.5, 0.0) == "0.5" and concise(-3.2e-8, 7e-9) == "-3.2e-08"


def test_the_gallery_shows_what_it_says(run: Path) -> None:
    df = aj.read_run(run)
    for by in gallery.BY:
        rows = gallery.chosen(df, by, 5)
        assert len(rows) <= 5
        if by == "coverage":
            assert rows["coverage"].between(0.1, 0.9).all()
            assert (rows["coverage"] - 0.5).abs().is_monotonic_increasing
        if by == "edge":
            assert rows["regime"].isin(["chaotic", "hyperchaotic"]).all() and rows["lambda_1"].is_monotonic_increasing
    with pytest.raises(ValueError, match="`by` coverage needs a run with measure.also"):
        gallery.chosen(df.drop(columns="coverage"), "coverage", 5)


def altered(df: pd.DataFrame, **columns: object) -> pd.DataFrame:
    changed = df.assign(**columns)
    changed.attrs = df.attrs
    return changed


def test_galleries_of_odd_tables(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "POINTS", 1e4)
    df = aj.read_run(run)
    failed = altered(df, coverage=np.nan, kaplan_yorke_lower=0.0, kaplan_yorke_dimension=np.nan)
    best = df.sort_values("coverage").iloc[-1:]
    for table, by in ((df, "dimension"), (df.iloc[:0], "coverage"), (best, "dimension"), (failed, "coverage")):
        figure = gallery.draw(table, by, 4, devices=jax.devices())
        assert isinstance(figure, Figure)
    shown = [ax.texts[0].get_text() for ax in gallery.draw(df, "dimension", 2, devices=jax.devices()).axes]
    assert len(shown) == 2 and all("D_KY" in text and "λ₁" in text for text in shown)


def test_a_dossier_of_every_kind_of_orbit(run: Path) -> None:
    df = aj.read_run(run)
    for cell_id in (0, 8):  # at rest, and far from it
        cell = cell_of_table(df, cell_id)
        evidence = dossier.gathered(cell, devices=jax.devices(), steps=2000, points=1e4)
        assert evidence.blocks.shape == (dossier.BLOCKS, cell.row["D"])
        np.testing.assert_allclose(evidence.blocks.mean(axis=0), evidence.exponents, atol=1e-10)
        figure = dossier.draw(cell, evidence)
        assert len(figure.axes) == 6 and cell.name in figure.get_suptitle()


@pytest.mark.parametrize(
    ("system", "axes", "says"),
    [
        ("henon", {"a": 1.4, "b": 0.3}, ""),
        ("henon", {"a": 10.0, "b": 0.3}, "the orbit diverged"),
        ("logistic", {"r": 4.0}, "no portrait: the state is one number"),
        ("uniform", {"seed": 0, "N": 2, "D": 3, "s": 0.1}, "y does not move"),
    ],
)
def test_a_dossier_of_any_map_says_what_there_is_not(system: str, axes: dict, says: str) -> None:
    cell = measured_cell(system, axes, devices=jax.devices(), steps=2000)
    figure = dossier.draw(cell, dossier.gathered(cell, devices=jax.devices(), steps=2000, points=1e4))
    told = {text.get_text() for ax in figure.axes for text in ax.texts}
    assert says in told if says else not told


def test_orbits_that_are_kicked_out_of_the_basin_begin_on_the_attractor() -> None:
    """Henon's attractor lies so near the border of its basin that a kick of a hundredth throws orbits to infinity."""
    map_ = aj.HenonMap(jnp.asarray(1.4), jnp.asarray(0.3))
    seen = portrait(map_, np.array([0.1, 0.1]), coordinates=("y", "y2"), points=3e5, size=(64, 64))
    assert seen.elsewhere == 0 and 0.02 < (seen.counts > 0).mean() < 0.2
    np.testing.assert_allclose(seen.extent, (-1.37, 1.36, -0.41, 0.41), atol=0.03)


def test_power_is_that_of_a_sine() -> None:
    y = np.sin(2 * np.pi * 0.125 * np.arange(2**14))
    frequency, density = dossier.power(y)
    assert frequency[density.argmax()] == pytest.approx(0.125)
    assert 2 * density.sum() / dossier.WINDOW == pytest.approx(np.mean(y**2), rel=0.01)


def boxes_visited(df: pd.DataFrame, transient: int, steps: int) -> np.ndarray:
    """Share of the boxes that each cell's own loop visits, all cells of one shape a step at a time."""
    draws = [np.random.RandomState(seed) for seed in df["seed"]]
    N, D = int(df["N"].iloc[0]), int(df["D"].iloc[0])
    w = np.stack([2 * rng.random_sample((N, D)) - 1 for rng in draws])
    b = np.stack([s * rng.random_sample(N) for s, rng in zip(df["s"], draws, strict=True)])
    x, y = np.full((len(df), N), 0.001), np.zeros((len(df), D))
    seen = np.zeros((len(df), 10_000), bool)
    for t in range(transient + steps + 1):
        y = np.concatenate([np.einsum("cn,cn->c", b, x)[:, None], y[:, :-1]], axis=1)
        x = np.tanh(np.einsum("cnd,cd->cn", w, y))
        if t > transient:
            first, second = np.clip((x[:, :2].T + 1) * 50, 0, 99).astype(int)
            seen[np.arange(len(df)), 100 * first + second] = True
    return seen.mean(axis=1)


def test_coverage_is_the_articles_filter(tmp_path: Path) -> None:
    """Beside an independent loop in NumPy: every box while rounding has not grown, and the verdict on 200 cells after
    10,000 steps.
    """
    cells = (
        "grid.N=4", "grid.D=16", "grid.seed.num=200", "grid.s={start: 0.3, stop: 8, spacing: loguniform}",
        "measure.k=1", "measure.also=[coverage]", *TINY, "measure.align=0", "measure.transient=0", "measure.blocks=20",
    )  # fmt: skip
    few = cells_of(sweep(plan_of(*cells, "measure.steps=40"), tmp_path))
    np.testing.assert_allclose(few["coverage"], boxes_visited(few, 0, 40), atol=1e-12)
    many = cells_of(sweep(plan_of(*cells, "measure.steps=10000"), tmp_path))
    expected = boxes_visited(many, 0, 10_000)
    kept, verdict = (share.between(*gallery.KEPT) for share in (many["coverage"], pd.Series(expected)))
    borderline = np.abs(expected[:, None] - gallery.KEPT).min(axis=1) < 0.01
    assert (kept == verdict)[~borderline].all() and 10 < verdict.sum() < 190 and borderline.sum() < 10
    np.testing.assert_allclose(many["coverage"], expected, atol=0.05)
