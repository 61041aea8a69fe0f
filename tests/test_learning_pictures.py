"""The figures of learning: trainability, flatness and the sizes of basins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from pictures import assert_whole, texts
from runs import TINY, plan_of, sweep
from scipy.stats import spearmanr

import attractor_jax as aj
from analysis import basin_stability, flatness, trainability
from attractor_jax.minima import label_minima, minima_table
from attractor_jax.plan import Plan
from attractor_jax.trainings import trained
from sweeps.basins import write
from sweeps.boundary import first_loss

SHORT = ("measure.blocks=2", "measure.align=0", "measure.longest_period=16")


def rates_plan(lr: tuple[float, float], lr_hidden: tuple[float, float], *further: str) -> Plan:
    axes = [
        f"grid.{name}={{start: {a}, stop: {b}, num: 17, spacing: log}}"
        for name, (a, b) in (("lr", lr), ("lr_hidden", lr_hidden))
    ]
    return plan_of("experiment=trainability", *axes, *SHORT, *further)


@pytest.fixture(scope="module")
def zooms(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three images, each within the one before; trainings that end well, that grow, and that overflow."""
    root = tmp_path_factory.mktemp("rates")
    windows = (((1, 1e4), (0.1, 100)), ((5, 50), (0.5, 20)), ((10, 20), (1, 5)))
    steps = ("measure.transient=60", "measure.steps=20")
    return [sweep(rates_plan(*window, *steps), root) for window in windows]


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some dozen trainings, some of which have arrived; sizes are made up."""
    grid = ("grid.width=3", "grid.momentum=0.9", "grid.weight_decay=0.001", "grid.lr=0.2", "grid.init_scale=2")
    steps = ("measure.transient=8000", "measure.steps=40")
    seeds = "grid.seed={start: 0, num: 40}"
    run = sweep(plan_of("system=regression", *grid, seeds, *steps, *SHORT), tmp_path_factory.mktemp("regression"))
    minima = minima_table(label_minima(aj.read_run(run)))
    orbit = minima["orbit"].to_numpy(float)
    write(run, "attractors", minima.assign(r50=np.where(orbit == 1, np.inf, 1 / orbit), barrier=0.1 * orbit), {})
    write(run, "basin_stability", curves(minima), {})
    return run


def curves(minima: pd.DataFrame) -> pd.DataFrame:
    """Made-up sizes: half of the starts come back from 1 / orbit."""
    rows = []
    for width, decay, orbit in minima[["width", "weight_decay", "orbit"]].drop_duplicates().itertuples(index=False):
        for radius in np.geomspace(0.1, 10, 7):
            share = 1 / (1 + (radius * orbit) ** 4)
            about = {"width": width, "weight_decay": decay, "orbit": orbit, "radius": radius, "stability": share}
            rows.append({**about, "low": max(share - 0.1, 0), "high": min(share + 0.1, 1)})
    return pd.DataFrame(rows)


def meshes(figure: Figure, panel: int) -> list[np.ndarray]:
    found = [each for each in figure.axes[panel].collections if isinstance(each, QuadMesh)]
    return [np.ma.filled(np.ma.asarray(mesh.get_array(), float), np.nan) for mesh in found]


@pytest.mark.filterwarnings("error")
def test_every_training_has_its_number_on_one_of_two_scales(zooms: list[Path]) -> None:
    df = aj.read_run(zooms[0])
    figure = trainability.draw(df.sample(frac=1, random_state=0).pipe(_with_attrs, df))
    assert_whole(figure, room=60)
    fell, grew = meshes(figure, 0)
    before = first_loss(df)
    label = trained(df, before)
    assert set(label) == {-1, 0, 1}
    place = [df[axis].rank(method="dense").to_numpy(int) - 1 for axis in ("lr_hidden", "lr")]
    shown_fell, shown_grew = (each[place[0], place[1]] for each in (fell, grew))
    loss = df["train_loss"].to_numpy(float)
    np.testing.assert_allclose(shown_fell[label == 1], (loss / before)[label == 1])
    assert np.isnan(shown_fell[label != 1]).all() and np.isnan(shown_grew[label == 1]).all()
    np.testing.assert_allclose(
        shown_grew[label == 0], np.maximum(np.log(loss / before)[label == 0] / 80, trainability.SLOWEST)
    )
    lost = df["diverged_at"].notna().to_numpy()
    most = np.log(np.finfo(float).max) - np.log(before)
    np.testing.assert_allclose(shown_grew[lost], (most / df["diverged_at"].to_numpy(float))[lost])
    told = texts(figure)
    assert f"{100 * (label == 1).mean():.3g} % trained" in told
    assert f"{(label == 1).sum():,} are trained, {(label == -1).sum():,} overflowed" in told
    assert "proves no fractal" in told and "near 1.95 it is that of noise" in told


def _with_attrs(df: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    df.attrs = like.attrs
    return df


@pytest.mark.filterwarnings("error")
def test_zooms_stand_in_order_with_their_places_marked(zooms: list[Path]) -> None:
    tables = [aj.read_run(run) for run in zooms]
    about = {"box_dimension": (1.5, 0.04), "uncertainty_dimension": (1.7, 0.001), "basin_entropy": (0.1, np.nan)}
    boundary = pd.DataFrame(
        [{"method": m, "value": v, "standard_error": e, "reason": ""} for m, (v, e) in about.items()]
    )
    none = boundary.assign(value=np.nan)
    figure = trainability.draw([tables[i] for i in (2, 0, 1)], [none, boundary, None])
    assert_whole(figure, room=60)
    for panel, inner in ((0, tables[1]), (1, tables[2])):
        marks = [patch for patch in figure.axes[panel].patches if isinstance(patch, Rectangle)]
        for mark in marks:
            half = np.log10(inner["lr"].max() / inner["lr"].min()) / 32
            assert mark.get_x() == pytest.approx(np.log10(inner["lr"].min()) - half)
            assert mark.get_x() + mark.get_width() == pytest.approx(np.log10(inner["lr"].max()) + half)
        assert len(marks) == 2
    assert not figure.axes[2].patches
    labels = [" ".join(ax.get_xlabel().split()) for ax in figure.axes[:3]]
    assert labels[0].endswith("dimension of the boundary 1.50 ± 0.04 by boxes, 1.70 ± 0.01 by uncertainty")
    assert labels[1] == trainability.LABELS["lr"] and labels[2].endswith("none by boxes, none by uncertainty")
    with pytest.raises(ValueError, match="must be zooms, each within the one before: lr .* is not in lr"):
        trainability.draw([tables[1], tables[2].assign(lr=tables[2]["lr"] * 7)])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", ["all diverged", "all trained", "holes", "two by two", "narrow"])
def test_trainability_survives(case: str, zooms: list[Path]) -> None:
    df = aj.read_run(zooms[0])
    few = [np.sort(df[axis].unique())[:2] for axis in ("lr", "lr_hidden")]
    change: dict[str, Callable[[], pd.DataFrame]] = {
        "all diverged": lambda: df.assign(status="diverged", train_loss=np.nan, diverged_at=7.0),
        "all trained": lambda: df.assign(status="ok", train_loss=0.1, diverged_at=np.nan),
        "holes": lambda: df.iloc[::3],
        "two by two": lambda: df[df["lr"].isin(few[0]) & df["lr_hidden"].isin(few[1])],
        "narrow": lambda: df.assign(lr=12 + 3e-10 * df["lr"], lr_hidden=3 + 1e-10 * df["lr_hidden"]),
    }
    figure = trainability.draw(_with_attrs(change[case](), df))
    assert_whole(figure, room=60)
    if case == "holes":
        assert "no cell" in texts(figure)
    if case == "narrow":
        assert "lr \N{MINUS SIGN} 12.0000" in texts(figure)


def test_single_cells_and_other_tables_are_refused(zooms: list[Path], regression: Path) -> None:
    df = aj.read_run(zooms[0])
    assert "no cells in this table" in texts(trainability.draw(df.iloc[:0]))
    with pytest.raises(ValueError, match="must have at least 2 values of lr to show a plane, got 1 alone"):
        trainability.draw(df.iloc[[0]])
    with pytest.raises(ValueError, match="must leave one image, got several along seed"):
        trainability.draw(_with_attrs(pd.concat([df, df.assign(seed=1)]), df))
    with pytest.raises(ValueError, match="got one without lr_hidden"):
        trainability.draw(aj.read_run(regression))


@pytest.mark.filterwarnings("error")
def test_points_are_minima_once_each_and_correlations_are_scipys(regression: Path) -> None:
    df = aj.read_run(regression)
    minima = pd.read_parquet(regression / "attractors.parquet")
    labelled = label_minima(df)
    arrived = labelled[labelled["orbit"] >= 1]
    orbits = arrived.groupby("orbit").size()
    assert len(orbits) >= flatness.FEWEST and len(arrived) < len(df)
    found = flatness.ends(df, minima)
    assert found.points["n"].tolist() == orbits.tolist() and len(found.loose) == len(df) - len(arrived)
    np.testing.assert_allclose(found.points["objective"], arrived.groupby("orbit")["objective"].min(), rtol=1e-6)
    np.testing.assert_allclose(found.points["r50"].iloc[1:], 1 / np.arange(2, len(orbits) + 1))
    assert found.infinite == 1 and np.isnan(found.points["r50"].iloc[0])
    figure = flatness.draw(df, minima, resamples=50)
    assert_whole(figure, room=60)
    told = texts(figure)
    for name, *_ in flatness.TRAITS:
        rho, low, high = flatness.correlation(found, name, level=0.95, resamples=50)
        both = found.points[[name, "test_loss"]].dropna()
        if len(both) >= flatness.FEWEST:
            assert rho == pytest.approx(spearmanr(both[name], both["test_loss"]).statistic)
            assert f"ρ = {rho:.2f}".replace("-", "\N{MINUS SIGN}") in told
            assert (low <= rho <= high) == (len(both) >= flatness.FEWEST_RESAMPLED)
    offsets = [each.get_offsets() for each in figure.axes[0].collections if isinstance(each, PathCollection)]
    assert sorted(len(np.asarray(each)) for each in offsets) == sorted([len(orbits), len(found.loose)])
    assert f"{len(arrived)} of {len(df)} trainings arrived at {len(orbits)} minima" in told
    assert "1 beyond all distances measured" in told and "bootstrapped over minima" in told


@pytest.mark.filterwarnings("error")
def test_without_parameters_points_are_trainings_and_seeds_are_resampled(regression: Path) -> None:
    df = aj.read_run(regression)
    one = df.assign(theta=None)
    two = _with_attrs(
        pd.concat([one, one.assign(lr=0.4, test_loss=one["test_loss"] * 1.1), one.assign(batch_size=8)]), df
    )
    found = flatness.ends(two)
    assert not found.minima and len(found.points) == len(two) and not len(found.loose)
    rho, low, high = flatness.correlation(found, "sharpness", level=0.95, resamples=200)
    assert rho == pytest.approx(spearmanr(two["sharpness"], two["test_loss"]).statistic) and low < rho < high
    figure = flatness.draw(two, by="lr", resamples=20)
    assert_whole(figure, room=60)
    told = texts(figure)
    assert "lr = 0.4" in told and "batch_size = 8" in told and "r50" not in told
    assert f"Points are {len(two)} trainings" in told and "bootstrapped over seeds" in told
    x, y, z = (two[column].rank() for column in ("sharpness", "test_loss", "train_loss"))
    x, y = (each - np.polyval(np.polyfit(z, each, 1), z) for each in (x, y))
    assert flatness.given_progress(found, "sharpness") == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert "ρ given the loss in training" in told
    assert "Median of ρ within settings of lr, batch_size: depth" in told


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", ["one training", "one minimum", "some diverged", "none arrived", "no sizes", "alike"])
def test_flatness_survives(case: str, regression: Path) -> None:
    df = aj.read_run(regression)
    minima = pd.read_parquet(regression / "attractors.parquet")
    change: dict[str, Callable[[], pd.DataFrame]] = {
        "one training": lambda: df.iloc[[0]],
        "one minimum": lambda: df[label_minima(df)["orbit"] == 1],
        "some diverged": lambda: df.assign(
            status=np.where(df.index < 5, "diverged", "ok"), test_loss=df["test_loss"].where(df.index >= 5)
        ),
        "none arrived": lambda: df.assign(gradient_norm=1.0),
        "no sizes": lambda: df,
        "alike": lambda: df.assign(sharpness=1.0, hessian_min=0.0),
    }
    figure = flatness.draw(_with_attrs(change[case](), df), None if case == "no sizes" else minima, resamples=20)
    assert_whole(figure, room=60)
    told = texts(figure)
    assert ("5 diverged" in told) == (case == "some diverged")
    assert ("No sizes" in told) == (case == "no sizes")


@pytest.mark.filterwarnings("error")
def test_curves_bands_and_sizes_are_those_of_the_tables(regression: Path) -> None:
    df = aj.read_run(regression)
    stability, minima = (pd.read_parquet(regression / f"{name}.parquet") for name in ("basin_stability", "attractors"))
    figure = basin_stability.draw(df, stability, minima)
    assert_whole(figure, room=60)
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 7]
    drawn = {tuple(np.round(np.asarray(line.get_ydata(), float), 9)) for line in lines}
    assert drawn == {tuple(rows["stability"].round(9)) for _, rows in stability.groupby("orbit")}
    dots = sorted(float(line.get_xdata()[0]) for line in figure.axes[0].lines if line.get_marker() == "o")
    sizes = minima.drop_duplicates("orbit")["r50"]
    np.testing.assert_allclose(dots, np.sort(sizes[np.isfinite(sizes)]))
    told = texts(figure)
    assert "1 beyond all distances" in told and f"{minima['count'].sum()} of the trainings ended in them" in told
    both = pd.concat([stability, stability.assign(width=4)]), pd.concat([minima, minima.assign(width=4)])
    wide = basin_stability.draw(df, *both)
    assert_whole(wide, room=60)
    assert "a width = 3" in texts(wide) and "b width = 4" in texts(wide)
    two = stability[stability["orbit"] <= 2], minima[minima["orbit"] <= 2]
    small = basin_stability.draw(df, *two)
    assert "barrier" not in texts(small)
    assert_whole(small, room=60)


def test_empty_and_lost_tables_say_so(regression: Path) -> None:
    df = aj.read_run(regression)
    stability, minima = (pd.read_parquet(regression / f"{name}.parquet") for name in ("basin_stability", "attractors"))
    assert "no cells in this table" in texts(flatness.draw(df.iloc[:0]))
    lost = df.assign(status="diverged", test_loss=np.nan)
    assert "every training diverged" in texts(flatness.draw(lost))
    assert "no cells in this table" in texts(basin_stability.draw(df.iloc[:0], stability, minima))
    assert "no minimum in this table" in texts(basin_stability.draw(df, stability.iloc[:0], minima))
    with pytest.raises(ValueError, match="must have a loss on test examples"):
        flatness.draw(df.assign(test_loss=np.nan))
    with pytest.raises(ValueError, match="must have sizes of basins"):
        basin_stability.draw(df, stability, minima.drop(columns="r50"))


def test_commands_write_where_they_say(zooms: list[Path], regression: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two, _ = map(str, zooms)
    for main, words, name in (
        (trainability.main, [one], "trainability.png"),
        (trainability.main, [one, two], "trainability_zoom.png"),
        (flatness.main, [str(regression)], "flatness.png"),
        (basin_stability.main, [str(regression)], "basin_stability.png"),
    ):
        assert main(words) == 0
        path = Path(words[0]) / "figures" / name
        assert capsys.readouterr().out == f"{path}\n" and matplotlib.image.imread(path).shape[1] >= 1400


def test_bad_arguments_are_one_line(
    zooms: list[Path], regression: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = str(zooms[0])
    xor = sweep(plan_of("system=xor", *TINY), tmp_path)
    for main, words, code, message in (
        (trainability.main, [str(regression)], 1, f"{regression} must be of a system with the axes lr and lr_hidden"),
        (trainability.main, [one, str(xor)], 1, f"{xor} must be of a system with the axes lr and lr_hidden"),
        (trainability.main, [one, "--where", "lr=1"], 1, "must have at least 2 values of lr to show a plane, got 1 al"),
        (trainability.main, [one, "--where", "q=1"], 2, "`--where` must name axes of the table"),
        (trainability.main, [one, "/nowhere"], 1, "/nowhere"),
        (trainability.main, [], 2, "RUN"),
        (flatness.main, [str(xor)], 1, f"{xor} must have a loss on test examples, as regression and digits do, got no"),
        (flatness.main, [str(regression), "--by", "lr"], 2, "`--by` must be a lever that varies here (none: no lever"),
        (flatness.main, [str(regression), "--out", "a.bmp"], 2, "`--out` must end in .png, .pdf or .svg, got 'a.bmp'"),
        (flatness.main, ["/nowhere"], 1, "/nowhere"),
        (basin_stability.main, [str(xor)], 1, f"{xor} has no basin_stability.parquet: python -m sweeps.basins RUN"),
        (basin_stability.main, [str(regression), "--where", "width=9"], 2, "`--where` must give width a value that"),
    ):
        assert main(words) == code, words
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1, said
        assert message in said.err, said.err
