"""The figures of basins and of multistability: what they show and say, what they survive, how they refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.colors import to_hex
from pictures import assert_whole, texts
from runs import TINY, plan_of, sweep

import attractor_jax as aj
from analysis import basins, multistability
from attractor_jax.attractors import label_attractors
from attractor_jax.basins import basin_fractions
from attractor_jax.coexistence import attractor_counts

SHORT = ("measure.transient=1500", "measure.steps=2000", "measure.align=100", "measure.k=1")
PAIRS = ("system=uniform_plane", "grid.N=4", "grid.D=16", "grid.seed=6", "grid.s=0.6")


def square(number: int, reach: float) -> tuple[str, ...]:
    return tuple(f"grid.{name}={{start: {-reach}, stop: {reach}, num: {number}}}" for name in ("u", "v"))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two planes of a network with mirrored attractors."""
    return sweep(plan_of(*PAIRS, "grid.plane=[0, 1]", *square(10, 3), *SHORT), tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def henon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sweep(plan_of("system=henon_plane", *square(12, 3), *SHORT), tmp_path_factory.mktemp("henon"))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six networks, six starts each."""
    axes = ("grid.D=6", "grid.seed={start: 0, num: 2}", "grid.replicate={start: 1, num: 6}", "grid.s=[0.3, 1, 3]")
    return sweep(plan_of(*axes, *SHORT), tmp_path_factory.mktemp("many"))


def test_every_cell_has_the_colour_of_its_attractor_and_partners_two_shades(pairs: Path) -> None:
    df = aj.read_run(pairs)
    figure = basins.draw(df)
    assert_whole(figure)
    labelled = label_attractors(df)
    colours: dict[int, str] = {}
    for plane, ax in zip((0, 1), figure.axes, strict=True):
        (mesh,) = [each for each in ax.collections if isinstance(each, QuadMesh)]
        here = labelled[labelled["plane"] == plane]
        expected = here.pivot(index="v", columns="u", values="attractor").to_numpy(int)
        shown = np.array([to_hex(colour) for colour in mesh.to_rgba(mesh.get_array().ravel())]).reshape(expected.shape)
        for label in np.unique(expected):
            (colour,) = set(shown[expected == label])
            assert colours.setdefault(int(label), colour) == colour
        told = texts(figure)
        for row in basin_fractions(expected, z=1.959963984540054).itertuples():
            assert f"{100 * row.fraction:.1f} % ({100 * row.low:.1f}–{100 * row.high:.1f})" in told
    orbits = labelled.groupby("attractor")["orbit"].first()
    hue = {colour: i for i, hues in enumerate([*basins.HUES, basins.OTHERS]) for colour in hues}
    real = [label for label in orbits.index if label >= 1]
    for one in real:
        for other in real:
            assert (hue[colours[one]] == hue[colours[other]]) == (orbits[one] == orbits[other])
    assert len(set(colours.values())) == len(colours) >= 4
    assert "a two delays" in told and "b random plane 1" in told and "mirror of" in told
    assert "u = initial $y_t$" in told and "v = initial $y_{t-1}$" in told


def test_attractors_are_drawn_where_they_are(pairs: Path) -> None:
    """The cycle of 3 of seed 6 at s = 0.6, and its mirror image: states that map onto each other."""
    df = label_attractors(aj.read_run(pairs))
    figure = basins.draw(df)
    marks = [each for each in figure.axes[0].collections if isinstance(each, PathCollection)]
    points = [np.asarray(each.get_offsets()) for each in marks]
    cycles = {tuple(map(tuple, each)) for each in points if len(each) == 3}
    assert len(cycles) == 2
    one, other = (np.array(cycle) for cycle in cycles)
    np.testing.assert_allclose(one, -other[::-1], atol=1e-6)
    for cycle in (one, other):  # y_t, y_(t-1): the second of one state is the first of another
        np.testing.assert_allclose(np.sort(cycle[:, 0]), np.sort(cycle[:, 1]), atol=1e-6)
    bare = basins.draw(df, attractors=False)
    assert not [each for each in bare.axes[0].collections if isinstance(each, PathCollection)]


def test_the_diverged_are_seen_and_counted(henon: Path) -> None:
    df = aj.read_run(henon)
    told = texts(basins.draw(df))
    share = 100 * (df["status"] == "diverged").mean()
    assert f"diverged {share:.1f} %" in told and "1 chaotic" in told and "u = coordinate 1 of the state" in told


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", ["diverged", "unsettled", "holes", "two networks", "many attractors"])
def test_basins_survive(case: str, pairs: Path) -> None:
    df = aj.read_run(pairs)
    cycles = df.assign(
        period=2 + df["cell_id"] % 9, regime="periodic", settled=True, amplitude=df["y_max"] - df["y_min"]
    )
    change: dict[str, Callable[[], pd.DataFrame]] = {
        "diverged": lambda: df.assign(regime="diverged"),
        "unsettled": lambda: df.assign(regime="unsettled"),
        "holes": lambda: df.iloc[::3],
        "two networks": lambda: pd.concat([df, df.assign(s=0.7)], ignore_index=True),
        "many attractors": lambda: cycles,
    }
    table = change[case]()
    table.attrs = df.attrs
    figure = basins.draw(table, attractors=case == "holes")
    if case != "many attractors":  # a legend of nine pairs is longer than any panel
        assert_whole(figure)
    assert len([ax for ax in figure.axes if ax.collections]) == (4 if case == "two networks" else 2)


def test_counts_shares_and_means_are_those_of_the_tables(many: Path) -> None:
    df = aj.read_run(many)
    figure = multistability.draw(df, resamples=50)
    assert_whole(figure)
    top, middle, bottom = figure.axes
    counts = attractor_counts(label_attractors(df))
    (mesh,) = [each for each in top.collections if isinstance(each, QuadMesh)]
    expected = counts.pivot(index="seed", columns="s", values="attractors").to_numpy(float)
    np.testing.assert_array_equal(np.ma.filled(mesh.get_array(), 0), expected)
    means = middle.lines[0]
    real = counts[counts["attractors"] > 0]
    np.testing.assert_allclose(means.get_ydata(), real.groupby("s")["attractors"].mean())
    np.testing.assert_allclose(bottom.lines[0].get_ydata(), (real["attractors"] > 1).groupby(real["s"]).mean())
    assert "6 initial states of each network" in texts(figure)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", ["one seed", "one s", "nothing resolved", "a plane"])
def test_multistability_survives(case: str, many: Path, pairs: Path) -> None:
    df = aj.read_run(pairs if case == "a plane" else many)
    attrs = df.attrs
    change: dict[str, Callable[[], pd.DataFrame]] = {
        "one seed": lambda: df[df["seed"] == 0],
        "one s": lambda: df[df["s"] == 1],
        "nothing resolved": lambda: df.assign(regime="unsettled"),
        "a plane": lambda: df,
    }
    table = change[case]()
    table.attrs = attrs
    assert_whole(multistability.draw(table, resamples=20))


def test_empty_tables_say_so(many: Path, pairs: Path) -> None:
    assert "no cells in this table" in texts(basins.draw(aj.read_run(pairs).iloc[:0]))
    assert "no cells in this table" in texts(multistability.draw(aj.read_run(many).iloc[:0]))


def test_commands_write_where_they_say(pairs: Path, many: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for main, run, words, name in (
        (basins.main, pairs, ["--where", "plane=1"], "basins_plane1.png"),
        (multistability.main, many, [], "multistability.png"),
        (multistability.main, many, ["--x", "seed", "--y", "s"], "multistability_seed_s.png"),
    ):
        assert main([str(run), *words]) == 0
        path = run / "figures" / name
        assert capsys.readouterr().out == f"{path}\n" and matplotlib.image.imread(path).shape[1] >= 1400


def test_bad_arguments_are_one_line(
    pairs: Path, many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crowd = sweep(plan_of("system=henon_plane", "grid.a=[1, 1.1, 1.2, 1.3]", *square(3, 1), *TINY), tmp_path)
    line = sweep(plan_of("system=henon_plane", "grid.u={start: 0, num: 3, stop: 1}", *TINY), tmp_path)
    for main, words, code, message in (
        (basins.main, [str(many)], 1, f"{many} must be of a system on a plane, with axes u and v, got one with N, D"),
        (basins.main, [str(line)], 1, f"{line} must have at least 2 values of v to show a plane, got 0 alone"),
        (basins.main, [str(crowd)], 2, "`--where` must leave at most 3 networks on 3 planes each to one figure, got 4"),
        (basins.main, [str(pairs), "--where", "plane=7"], 2, "`--where` must give plane a value that it has here"),
        (basins.main, [str(pairs), "--out", "a.bmp"], 2, "`--out` must end in .png, .pdf or .svg, got 'a.bmp'"),
        (basins.main, ["/nowhere"], 1, "/nowhere"),
        (multistability.main, [str(many), "--x", "u"], 2, "`--x` must be an axis that varies here (seed, replicate"),
        (multistability.main, [str(many), "--x", "replicate"], 2, "`--x` must be one of N, D, seed, s, got 'replica"),
        (multistability.main, [str(many), "--x", "s", "--y", "s"], 2, "`--y` must be another axis than `--x`"),
        (multistability.main, [str(many), "--where", "replicate=1"], 1, "must have several initial states of each"),
    ):  # fmt: skip
        assert main(words) == code, words
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
        assert message in said.err, said.err
