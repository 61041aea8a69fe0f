"""The figures of transitions: what they show and count, what they survive, and how their commands refuse."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection, QuadMesh
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from test_figures import S, caption, failed, texts
from test_figures import run as plain_run

from analysis import collapse, onset, routes, style
from attractor_jax.parts import TableError
from attractor_jax.regimes import REGIMES, classify

KINDS = ("neimark_sacker", "flip", "pitchfork")


def run(**axes: Any) -> pd.DataFrame:
    """A small labelled run: fixed points, closed curves, then chaos from e^1.5 s_critical on."""
    df = plain_run(**axes)
    steady = df.assign(amplitude_before=df["amplitude"], lambda_1_drift_se=1e-6, state_norm=df["amplitude"])
    kinds = pd.Categorical([KINDS[seed % 3] for seed in df["seed"]])
    return classify(steady.assign(first_bifurcation=kinds))


def transitions_of(df: pd.DataFrame) -> pd.DataFrame:
    """What a sweep finds in such a run: chaos where its cells say so, the last network of each group without."""
    axes = ["N", "D", "seed", "replicate"]
    table = df.drop_duplicates(axes)[["cell_id", *axes, "s_critical", "first_bifurcation"]].reset_index(drop=True)
    table.insert(5, "n_values", df["s"].nunique())
    chaos = table["s_critical"] * np.exp(1.5)
    table["s_chaos"] = chaos.where(table["seed"] < table["seed"].max())
    table["s_chaos_tolerance"] = 1e-3 * table["s_chaos"]
    table["n_windows"] = (table["seed"] == 0).astype(int)
    table.attrs["axes"] = axes
    return table


def image_of(figure: Figure, panel: int = 0) -> np.ndarray:
    (mesh,) = (artist for artist in figure.axes[panel].collections if isinstance(artist, QuadMesh))
    return np.ma.filled(mesh.get_array(), -1)


# Routes


def test_every_row_of_a_route_has_the_regimes_of_its_network() -> None:
    df = run(N=(2, 4), D=(3, 5))
    transitions = transitions_of(df)
    figure = routes.draw(df.sample(frac=1, random_state=0), transitions, sort="critical")
    assert [ax.get_title() or ax.get_title(loc="left") for ax in figure.axes] == [
        "N = 2, D = 3", "N = 2, D = 5", "N = 4, D = 3", "N = 4, D = 5",
    ]  # fmt: skip
    mine = df[(df["N"] == 4) & (df["D"] == 3)]
    order = mine.drop_duplicates("seed").sort_values("s_critical")
    expected = [mine[mine["seed"] == seed].sort_values("s")["regime"].cat.codes.to_list() for seed in order["seed"]]
    np.testing.assert_array_equal(image_of(figure, 2), expected)
    colours = figure.axes[2].collections[0].get_cmap()
    assert [to_hex(colours(code)) for code in range(len(REGIMES))] == [style.REGIME_COLOURS[r] for r in REGIMES]
    # A tick at each s_critical in its own row, and a circle at each onset of chaos.
    ticks = [c for c in figure.axes[2].collections if isinstance(c, LineCollection)][-1]
    drawn = np.array([segment[0] for segment in ticks.get_segments()])
    np.testing.assert_allclose(drawn, np.column_stack([order["s_critical"], np.arange(6)]))
    found = transitions[(transitions["N"] == 4) & (transitions["D"] == 3)].set_index("seed")["s_chaos"][order["seed"]]
    (circles,) = figure.axes[2].lines
    np.testing.assert_allclose(circles.get_xdata(), found.dropna())
    np.testing.assert_allclose(circles.get_ydata(), np.flatnonzero(found.notna()) + 0.5)
    assert "chaos: 5 of 6" in texts(figure) and "networks, by s_critical" in texts(figure)
    assert "20 of 24 networks reach chaos (circles); beyond its onset 4 of them have windows of order, 4 in all" in (
        caption(figure)
    )


def test_rows_are_sorted_by_the_onset_of_chaos_those_without_on_top() -> None:
    df = run()
    transitions = transitions_of(df)
    figure = routes.draw(df, transitions)
    (circles,) = figure.axes[0].lines
    np.testing.assert_allclose(circles.get_xdata(), np.sort(transitions["s_chaos"].dropna()))
    np.testing.assert_allclose(circles.get_ydata(), np.arange(5) + 0.5)
    assert "by onset of chaos" in texts(figure)


def test_cells_alone_make_routes_and_the_legend_has_what_is_there() -> None:
    df = run()
    figure = routes.draw(df)
    assert "onset of chaos is not marked: there is no table of transitions" in caption(figure)
    assert "chaos begins" not in texts(figure) and "by s_critical" in texts(figure)
    shown = {text.get_text() for text in figure.legends[0].get_texts()}
    assert shown == {"fixed point", "quasiperiodic", "chaotic", "s_critical"}
    unsettled = df.copy()
    unsettled.loc[unsettled["seed"] == 0, "regime"] = "unsettled"
    figure = routes.draw(unsettled)
    (patch,) = (
        handle
        for handle, text in zip(figure.legends[0].legend_handles, figure.legends[0].get_texts(), strict=True)
        if text.get_text() == "unsettled"
    )
    assert to_hex(patch.get_facecolor()) == style.REGIME_COLOURS["unsettled"]


def test_missing_cells_and_values_of_ones_own() -> None:
    df = run()
    figure = routes.draw(df.drop(df.index[[3, 17]]))
    assert (image_of(figure) < 0).sum() == 2 and "2 of 54 cells are not in the table" in caption(figure)
    assert "no cell" in texts(figure)
    rng = np.random.default_rng(0)
    own = pd.concat([run(s=np.sort(rng.uniform(0.1, 8, 120)), seeds=i + 1).query(f"seed == {i}") for i in range(3)])
    image = image_of(routes.draw(own))
    assert image.shape == (3, routes.FINE) and (image >= 0).all()


def test_too_many_panels_are_refused() -> None:
    df = run(N=(2, 3, 4, 5), D=(2, 3), seeds=1)
    with pytest.raises(ValueError, match="`df` must have at most 6 groups of N, D, got 8"):
        routes.draw(df)
    with pytest.raises(ValueError, match="`sort` must be one of chaos, critical, got 'size'"):
        routes.draw(df, sort="size")


# Collapse


def exact(*, seeds: int = 24) -> pd.DataFrame:
    """Networks whose s_critical depends on D alone and whose chaos begins at a multiple of it that depends on the
    seed alone: their curves must fall onto each other."""
    s = np.geomspace(0.1, 10, 41)
    df = run(D=(2, 3), seeds=seeds, s=s)
    critical = df["D"].map({2: 0.2, 3: 0.2 * 10**0.6}).to_numpy(float)
    chaotic = (df["s"] / critical > 10 ** (0.05 * (df["seed"] + 0.5))) & (df["seed"] % 4 > 0)
    regime = pd.Categorical(np.where(chaotic, "chaotic", "fixed_point"), categories=list(REGIMES), ordered=True)
    return df.assign(s_critical=critical, regime=regime)


def test_curves_that_collapse_exactly_are_told_so() -> None:
    figure = collapse.draw(exact(), resamples=40)
    left, right = figure.axes
    assert (left.get_xlabel(), right.get_xlabel()) == ("scale s", "s / s_critical")
    curves = [line for line in right.lines if line.get_marker() == "o"]
    assert len(curves) == 2
    one, other = (dict(zip(np.round(c.get_xdata(), 6), c.get_ydata(), strict=True)) for c in curves)
    shared = sorted(set(one) & set(other))
    assert len(shared) > 8
    np.testing.assert_allclose([one[at] for at in shared], [other[at] for at in shared], atol=0.09)
    raw, scaled = re.findall(r"0.25 \(dotted\) within a factor of ([\d.]+) → ([\d.]+)", caption(figure))[0]
    assert float(raw) == pytest.approx(4, rel=0.1) and float(scaled) == pytest.approx(1, abs=0.1)
    apart, together = re.findall(r"difference between two is (\d.\d+) → (\d.\d+)", caption(figure))[0]
    assert float(apart) > 0.3 and float(together) < 0.1
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"D = 2", "D = 3"}
    assert "bootstrapped over seeds" in caption(figure)


def test_only_bins_with_most_of_the_networks_are_drawn() -> None:
    df = exact()
    df.loc[df["seed"] < 8, "s_critical"] *= 100  # they lie far to the left of the others
    figure = collapse.draw(df[df["D"] == 3], resamples=40)
    (curve,) = (line for line in figure.axes[1].lines if line.get_marker() == "o")
    assert len(np.asarray(curve.get_xdata())) == 0 or np.ptp(np.asarray(curve.get_xdata())) < 10
    assert "only bins that hold at least 75 % of a curve's networks" in caption(figure)


def test_the_spread_of_known_curves() -> None:
    def curve(at: list[float], share: list[float]) -> collapse.Curve:
        a, b = np.array(at), np.array(share)
        return collapse.Curve("", a, b, b, b, 0)

    one, other = curve([1, 10, 100], [0, 0.5, 0.5]), curve([1, 10, 100], [0, 0, 0.5])
    never, always = curve([1, 10, 100], [0, 0, 0.1]), curve([1, 10, 100], [0.5, 0.5, 0.5])
    assert one.reaches(0.25) == pytest.approx(np.sqrt(10)) and other.reaches(0.25) == pytest.approx(np.sqrt(1000))
    assert np.isnan(never.reaches(0.25)) and np.isnan(always.reaches(0.25))
    before, after = [one, other, never], [one, one, one]
    assert collapse.spread(before, after, 0.25) == (pytest.approx(10), pytest.approx(1), 2)
    assert collapse.spread(before, after, None)[2] == 3
    assert np.isnan(collapse.spread([never], [never], 0.25)[0])
    assert collapse.apart(before) == 0.5 and collapse.apart([one, curve([2.0], [1.0])]) != 0.5


def test_networks_without_s_critical_are_left_out_and_counted() -> None:
    df = run(N=(2, 4))
    df.loc[df["seed"] == 0, "s_critical"] = np.inf
    assert "18 cells without a finite s_critical, or with s = 0, are left out" in caption(collapse.draw(df))


# Onset


def test_points_bars_and_ticks_are_those_of_the_networks() -> None:
    df = run(N=(2, 4), D=(3, 5))
    table = transitions_of(df)
    figure = onset.draw(table)
    assert [ax.get_title() or ax.get_title(loc="left") for ax in figure.axes] == ["N = 2", "N = 4"]
    mine = table[table["N"] == 4]
    there = mine.dropna(subset="s_chaos")
    dots = [c for c in figure.axes[1].collections if isinstance(c, PathCollection)]
    points = np.concatenate([np.asarray(c.get_offsets()) for c in dots])
    expected = there[["s_critical", "s_chaos"]].to_numpy()
    np.testing.assert_allclose(points[np.argsort(points[:, 0])], expected[np.argsort(expected[:, 0])])
    bars, ticks = (c for c in figure.axes[1].collections if isinstance(c, LineCollection))
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    np.testing.assert_allclose(np.ptp(ends, axis=1) / 2, there["s_chaos_tolerance"])
    without = mine[mine["s_chaos"].isna()]["s_critical"]
    np.testing.assert_allclose([segment[0, 0] for segment in ticks.get_segments()], without)
    shown = {text.get_text().strip() for text in figure.legends[0].get_texts()} - {""}
    assert shown == {"D = 3", "D = 5", "Neimark–Sacker", "flip", "pitchfork", "not chaotic on the grid"}
    assert "s_chaos = s_critical" in texts(onset.draw(table.assign(s_chaos=1.2 * table["s_critical"])))
    told = caption(figure)
    assert "20 of 24 networks become chaotic (Neimark–Sacker 8 of 8, flip 8 of 8, pitchfork 4 of 8)" in told
    assert "s_chaos / s_critical: median 4.48, 10–90 % from 4.48 to 4.48, never below 1" in told
    assert (
        "rank correlation (Spearman): 1.00; within groups of one N and D from 1.00 to 1.00." in told
        and "± 0.1 % in the median" in told
    )


def test_a_correlation_that_only_the_sizes_make_is_not_hidden() -> None:
    table = transitions_of(run(D=(3, 5), seeds=8))
    large = (table["D"] == 5).to_numpy()
    table["s_critical"] = np.where(large, 0.1, 1.0) * (1 + 0.01 * table["seed"])
    table["s_chaos"] = np.where(large, 1.0, 10.0) * (1 - 0.01 * table["seed"])
    told = caption(onset.draw(table)).replace("\N{MINUS SIGN}", "-")
    rho = re.findall(r"\(Spearman\): ([\d.-]+); within groups of one D from ([\d.-]+) to ([\d.-]+)\.", told)[0]
    assert float(rho[0]) > 0.4 and rho[1:] == ("-1.00", "-1.00")


def test_chaos_from_the_first_value_on_is_an_arrow() -> None:
    table = transitions_of(run())
    table.loc[0, "s_chaos_tolerance"] = np.inf
    assert "Arrows: 1 networks chaotic at their first value of s" in caption(onset.draw(table))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda table: table.rename(columns={"s_chaos": "a_chaos"}), "s is not the swept axis of these transitions"),
        (lambda table: table.drop(columns="s_critical"), "no column s_critical"),
        (lambda table: table.assign(s_critical=np.nan), "s_critical is null throughout"),
        (lambda table: table.assign(s_critical=np.inf), "no network has a finite s_critical"),
        (lambda table: table.iloc[:0], "no networks in this table"),
    ],
)
def test_transitions_that_cannot_be_drawn_say_why(spoil: Callable, message: str) -> None:
    assert message in texts(onset.draw(spoil(transitions_of(run()))))


# All of them


CASES: dict[str, Callable[[], pd.DataFrame]] = {
    "an empty table": lambda: run().iloc[:0],
    "one cell": lambda: run().iloc[[7]],
    "one network": lambda: run(seeds=1),
    "one value of s": lambda: run(s=S[[6]]),
    "two values of s": lambda: run(s=S[[2, 6]]),
    "six groups": lambda: run(N=(2, 4), D=(2, 3, 5), seeds=4),
    "five groups": lambda: run(N=(2, 4, 8, 16, 32), seeds=2),
    "all cells failed": lambda: classify(failed(run(), np.ones(54, bool), "diverged")),
    "no chaos": lambda: run(s=S[:2]),
    "s_critical null": lambda: run().assign(s_critical=np.nan),
    "s_critical far away": lambda: run().assign(s_critical=300.0),
    "no column s_critical": lambda: run().drop(columns="s_critical"),
    "another system": lambda: run(s=np.linspace(1, 1.4, 5)).rename(columns={"s": "a"}),
}


def onset_of(df: pd.DataFrame) -> Figure:
    if df.empty or "s_critical" not in df.columns or "s" not in df.columns:
        return onset.draw(pd.DataFrame() if df.empty else df.drop(columns=["regime"]))
    table = transitions_of(df)
    return onset.draw(table if "seed" in df and df["s"].nunique() > 2 else table.assign(s_chaos=np.nan))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("draw", [routes.draw, lambda df: collapse.draw(df, resamples=40), onset_of])
def test_every_figure_survives_and_nothing_is_clipped(draw: Callable[[pd.DataFrame], Figure], case: str) -> None:
    figure = draw(CASES[case]())
    width, height = figure.get_size_inches()
    drawn = figure.get_tightbbox()
    assert 0 <= drawn.x0 and drawn.x1 <= width and 0 <= drawn.y0 and drawn.y1 <= height, drawn
    for text in figure.findobj(Text):
        if text.get_text().strip() and text.get_visible():
            assert text.get_fontsize() >= 7, text.get_text()
    for ax in figure.axes:
        assert ax.get_window_extent().height > 60


Stored = Callable[..., Path]


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stored:
    """Puts tables where the commands read runs from, and gives the run directory."""

    def store(**tables: pd.DataFrame) -> Path:
        def read_run(path: Path, *, table: str = "cells") -> pd.DataFrame:
            if table not in tables:
                raise TableError(f"{path} has no table {table}, only {', '.join(tables)}")
            return tables[table]

        module = types.ModuleType("attractor_jax.reading")
        module.__dict__.update(read_run=read_run, list_tables=lambda path: list(tables))
        monkeypatch.setitem(sys.modules, "attractor_jax.reading", module)
        return tmp_path

    return store


Command = Callable[[list[str]], int]


@pytest.mark.parametrize(
    ("main", "arguments", "name"),
    [
        (routes.main, [], "routes.png"),
        (routes.main, ["--sort", "critical", "--where", "N=4"], "routes_critical_N4.png"),
        (collapse.main, ["--where", "D=3"], "collapse_D3.png"),
        (collapse.main, ["--width", "0.2"], "collapse_width0.2.png"),
        (onset.main, [], "onset.png"),
        (onset.main, ["--where", "N=2"], "onset_N2.png"),
    ],
)
def test_commands_print_the_path_of_the_picture_they_wrote(
    main: Command, arguments: list[str], name: str, stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    df = run(N=(2, 4), D=(2, 3), seeds=3)
    directory = stored(cells=df, transitions=transitions_of(df))
    assert main([str(directory), *arguments]) == 0
    path = directory / "figures" / name
    assert capsys.readouterr().out == f"{path}\n"
    assert matplotlib.image.imread(path).shape[1] == round(style.WIDTH * style.DPI)


def test_routes_need_no_transitions_and_take_them_where_they_are(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    df = run(seeds=3)
    given: list[pd.DataFrame | None] = []
    draw = routes.draw
    monkeypatch.setattr(routes, "draw", lambda df, found, **how: given.append(found) or draw(df, found, **how))
    assert (
        routes.main([str(stored(cells=df))]) == 0
        and routes.main([str(stored(cells=df, transitions=transitions_of(df)))]) == 0
    )
    assert given[0] is None and given[1] is not None


@pytest.mark.parametrize(
    ("main", "arguments", "code", "message"),
    [
        (routes.main, ["--sort", "size"], 2, "'size'"),
        (routes.main, [], 2, "`--where` must leave at most 6 groups of N, D, one a panel, got 14"),
        (routes.main, ["--x", "s"], 2, "--x"),
        (collapse.main, [], 2, "`--where` must leave at most 12 groups of N, D, one a curve, got 14"),
        (collapse.main, ["--width", "0"], 2, "`--width` must be above 0 (decades), got 0"),
        (collapse.main, ["--width", "wide"], 2, "'wide'"),
        (onset.main, [], 2, "`--where` must leave at most 6 groups of N, one a panel, got 7"),
        (onset.main, ["--where", "s=1"], 2, "`--where` must name axes of the table, N, D, seed, replicate, got 's'"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(
    main: Command,
    arguments: list[str],
    code: int,
    message: str,
    stored: Stored,
    capsys: pytest.CaptureFixture[str],
) -> None:
    df = run(N=(2, 3, 4, 5, 6, 7, 8), D=(2, 3), seeds=2)
    directory = stored(cells=df, transitions=transitions_of(df))
    assert main([str(directory), *arguments]) == code
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
    assert message in said.err
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(
    ("main", "tables", "message"),
    [
        (collapse.main, lambda df: {"cells": df.assign(s_critical=np.nan)}, "s_critical is null throughout"),
        (collapse.main, lambda df: {"cells": df.drop(columns="s_critical")}, "no column s_critical"),
        (collapse.main, lambda df: {"cells": df.assign(s=0.0)}, "no cell has both s > 0 and a finite s_critical > 0"),
        (onset.main, lambda df: {"cells": df}, "has no table transitions, only cells"),
        (
            onset.main,
            lambda df: {"transitions": transitions_of(df).drop(columns=["s_critical", "s_chaos"])},
            "no column s_chaos: s is not the swept axis of these transitions",
        ),
        (onset.main, lambda df: {"transitions": transitions_of(df).assign(s_critical=np.nan)}, "null throughout"),
        (routes.main, lambda df: {"cells": df.iloc[:0]}, "has no finished cells yet"),
    ],
)
def test_runs_without_what_is_shown_are_one_line_and_exit_code_1(
    main: Command,
    tables: Callable[[pd.DataFrame], dict[str, pd.DataFrame]],
    message: str,
    stored: Stored,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([str(stored(**tables(run())))]) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
    assert message in said.err
