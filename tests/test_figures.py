"""The figures of a run: what they show, what they say, what they survive, and how their commands refuse."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis import command, lyapunov_curves, phase_diagram, style
from attractor_jax.parts import TableError
from attractor_jax.phase import phase_table, regime_shares
from attractor_jax.regimes import REGIMES, classify

S = np.geomspace(0.1, 8, 9)


def run(
    *, N: tuple[int, ...] = (4,), D: tuple[int, ...] = (3,), seeds: int = 6, s: np.ndarray = S, k: int | None = None
) -> pd.DataFrame:
    """A small run as a sweep writes it: fixed points, then closed curves, then chaos as s grows."""
    rng = np.random.default_rng(0)
    rows = []
    for n in N:
        for d in D:
            for seed in range(seeds):
                critical = rng.uniform(0.2, 0.6)
                for value in s:
                    growth = np.log(value / critical)
                    first = 0.05 * growth if growth > 1.5 else min(0.1 * growth, 0.0)
                    exponents = first - 0.3 * np.arange(d)
                    rows.append(
                        {
                            "N": n,
                            "D": d,
                            "seed": seed,
                            "replicate": 0,
                            "s": value,
                            "exponents": exponents[:k],
                            "exponents_se": np.full(len(exponents[:k]), 1e-5),
                            "lambda_1": first,
                            "period": int(growth <= 0),
                            "dimension": d,
                            "s_critical": critical,
                        }
                    )
    df = pd.DataFrame(rows)
    head = df[["N", "D", "seed", "replicate", "s"]].assign(dtype="float64", transient=1000, steps=2000, status="ok")
    head.insert(0, "cell_id", np.arange(len(df)))
    rest = df[["dimension", "lambda_1", "exponents", "exponents_se", "period", "s_critical"]]
    rest = rest.assign(lambda_1_se=1e-5, lambda_1_drift=0.0, sum_rule_residual=1e-12, log_det_min=-5.0)
    rest = rest.assign(period_tolerance=1e-9, amplitude=np.where(rest["period"] == 1, 0.0, 1.0), y_min=-0.5, y_max=0.5)
    rest = rest.assign(lambda_1_drift_se=1e-5, amplitude_before=rest["amplitude"], state_norm=1.0)
    return pd.concat([head, rest], axis=1)


def failed(df: pd.DataFrame, which: np.ndarray | pd.Series, status: str = "underflow") -> pd.DataFrame:
    df = df.copy()
    nothing = pd.Series([np.full(len(spectrum), np.nan) for spectrum in df["exponents"]], index=df.index)
    df.loc[which, "status"] = status
    df.loc[which, "lambda_1"] = np.nan
    df.loc[which, "period"] = 0
    df.loc[which, "amplitude"] = 1.0
    df["exponents"] = df["exponents"].where(~np.asarray(which, bool), nothing)
    return df


def henon() -> pd.DataFrame:
    df = run(s=np.linspace(1.0, 1.4, 5), seeds=1).drop(columns=["N", "D", "seed", "s_critical"])
    return df.rename(columns={"s": "a"})


CASES: dict[str, Callable[[], pd.DataFrame]] = {
    "an empty table": lambda: run().iloc[:0],
    "one cell": lambda: run().iloc[[7]],
    "one value of s": lambda: run(s=S[[6]]),
    "two values of s": lambda: run(s=S[[2, 6]]),
    "all cells failed": lambda: failed(run(), np.ones(54, bool), "diverged"),
    "some cells failed": lambda: failed(run(), run()["s"] > 3),
    "no column s_critical": lambda: run().drop(columns="s_critical"),
    "s_critical null": lambda: run().assign(s_critical=np.nan),
    "s_critical infinite": lambda: run().assign(s_critical=np.inf),
    "superstable": lambda: run().assign(lambda_1=-np.inf, status="superstable", period=0),
    "one exponent": lambda: run(k=1),
    "one seed": lambda: run(seeds=1),
    "two axes": lambda: run(N=(2, 4), seeds=3),
    "three axes": lambda: run(N=(2, 4), D=(2, 3, 5), seeds=2),
    "cells in a list": lambda: run(N=(2, 4, 8), s=S[[1, 4, 8]], seeds=2).iloc[[0, 7, 14]],
    "a spread s": lambda: run(s=np.sort(np.random.default_rng(0).uniform(0.1, 8, 200)), seeds=2),
    "another system": henon,
}


def texts(figure: Figure) -> str:
    return " | ".join(text.get_text() for text in figure.findobj(Text) if text.get_visible())


def caption(figure: Figure) -> str:
    return " ".join(figure.get_supxlabel().split())


def panel(figure: Figure, label: str) -> Axes:
    return next(ax for ax in figure.axes if ax.get_ylabel().startswith(label))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("case", "value"),
    [
        *((case, value) for case in CASES for value in ("chaotic", "curves")),
        *(
            (case, value)
            for case in ("two axes", "cells in a list", "superstable")
            for value in ("lambda_1", "kaplan_yorke")
        ),
        ("one exponent", "kaplan_yorke"),
        ("all cells failed", "kaplan_yorke"),
    ],
)
def test_every_figure_survives_and_nothing_is_clipped_or_too_small(case: str, value: str) -> None:
    df = classify(CASES[case]())
    figure = lyapunov_curves.draw(df) if value == "curves" else phase_diagram.draw(df, value=value, resamples=40)
    width, height = figure.get_size_inches()
    drawn = figure.get_tightbbox()
    assert 0 <= drawn.x0 and drawn.x1 <= width and 0 <= drawn.y0 and drawn.y1 <= height, drawn
    for text in figure.findobj(Text):
        if text.get_text().strip() and text.get_visible():
            assert text.get_fontsize() >= 7, text.get_text()
    for ax in figure.axes:
        box = ax.get_window_extent()
        assert box.height > 60, ax.get_ylabel()
        legend = ax.get_legend()
        if legend is not None:
            assert not legend.get_window_extent().overlaps(box.padded(-1)), "a legend covers its panel"


def test_a_table_without_cells_says_so() -> None:
    for draw in (phase_diagram.draw, lyapunov_curves.draw):
        assert "no cells in this table" in texts(draw(classify(run().iloc[:0])))


def test_areas_are_the_shares_of_the_regimes() -> None:
    df = classify(run())
    figure = phase_diagram.draw(df)
    shares = regime_shares(df, "s").pivot(index="s", columns="regime", values="value")
    areas = panel(figure, "share").collections
    floor = np.zeros(len(S))
    drawn = [regime for regime in phase_diagram.STACK if shares[regime].any()]
    assert {"chaotic", "quasiperiodic", "fixed_point"} <= set(drawn)
    for area, regime in zip(areas, drawn, strict=False):
        np.testing.assert_allclose(area.get_facecolor()[0][:3], to_rgb(style.REGIME_COLOURS[regime]))
        corners = area.get_paths()[0].vertices
        assert isinstance(corners, np.ndarray)
        for s, low, share in zip(S, floor, shares[regime], strict=True):
            heights = corners[np.isclose(corners[:, 0], s), 1]
            assert heights.min() == pytest.approx(low) and heights.max() == pytest.approx(low + share)
        floor = floor + shares[regime].to_numpy()
    np.testing.assert_allclose(floor, 1)


def test_the_panel_beneath_has_the_medians_and_their_quantiles() -> None:
    df = classify(run())
    figure = phase_diagram.draw(df)
    table = phase_table(df, "s", value="lambda_1")
    ax = panel(figure, r"$\lambda_1$ (nats per step)")
    line = next(line for line in ax.lines if line.get_marker() == "o")
    np.testing.assert_allclose(line.get_xdata(), S)
    np.testing.assert_allclose(line.get_ydata(), table["value"])
    assert any(np.all(np.asarray(line.get_ydata()) == 0) for line in ax.lines), "no line at zero"
    assert "Kaplan" in phase_diagram.draw(df, value="kaplan_yorke").axes[1].get_ylabel()


def test_mean_s_critical_counts_each_network_once_and_leaves_out_the_infinite() -> None:
    df = run()
    df.loc[df["seed"] == 0, "s_critical"] = np.inf
    df = df.drop(df.index[(df["seed"] == 1) & (df["s"] > 1)])  # fewer cells, still one network
    mean = df[df["seed"] > 0].groupby("seed")["s_critical"].first().mean()
    figure = phase_diagram.draw(classify(df))
    assert f"mean s_critical = {mean:.3g}, over 6 networks, 1 of which never lose stability" in caption(figure)
    for ax in figure.axes:
        upright = [line for line in ax.lines if line.get_linestyle() == "--"]
        np.testing.assert_allclose(np.asarray(upright[0].get_xdata(), float), mean)
    assert "s_critical" not in texts(phase_diagram.draw(classify(run().assign(s_critical=np.nan))))
    assert "s_critical" not in texts(phase_diagram.draw(classify(run().drop(columns="s_critical"))))


def test_captions_tell_what_was_held_pooled_and_counted() -> None:
    df = classify(run(N=(2, 4), D=(2, 3), seeds=3))
    told = caption(phase_diagram.draw(df, x="s", y="D"))
    for words in (
        "replicate = 0",
        "108 cells, 3 seeds (0–2)",
        "Pooled over N = 2, 4.",
        "2,000 steps measured after 1,000, float64.",
        "6 cells, 3 seeds at each point.",
    ):
        assert words in told, told
    along = caption(phase_diagram.draw(classify(run())))
    assert "N = 4, D = 3, replicate = 0. 54 cells" in along
    assert "Intervals: 95 %, bootstrapped over seeds" in along
    assert "No intervals: one seed at each point." in caption(phase_diagram.draw(classify(run(seeds=1))))


def test_failed_censored_and_flagged_cells_are_counted_not_hidden() -> None:
    df = failed(run(N=(2, 4)), run(N=(2, 4))["s"] > 5)
    df.loc[0, "sum_rule_residual"] = 1.0
    figure = phase_diagram.draw(classify(df))
    assert "Not resolved: 12 underflow (11.1 % of cells). 1 spectra with untrustworthy last exponents." in caption(
        figure
    )
    hatched = [patch for patch in figure.axes[0].patches if patch.get_hatch() == style.FAILED_HATCH]
    assert len(hatched) == 2  # the last s of both N
    cut = phase_diagram.draw(classify(run(N=(2, 4), k=1)), value="kaplan_yorke")
    assert any(patch.get_hatch() == style.CENSORED_HATCH for patch in cut.axes[0].patches)
    assert "cells have a dimension beyond their exponents" in caption(cut)
    assert "failed" in texts(lyapunov_curves.draw(classify(df)))


def test_an_incomplete_run_says_so_in_its_caption() -> None:
    df = classify(run())
    df.attrs["runs"] = [{"parts": 4, "provenance": [{}, {}, {}]}]
    assert "The run is not complete: 3 of 4 parts." in caption(phase_diagram.draw(df))


@pytest.mark.parametrize("value", ["chaotic", "lambda_1", "kaplan_yorke"])
def test_heat_maps_have_every_number_at_its_place(value: str) -> None:
    df = classify(run(N=(2, 8, 4), seeds=3).sample(frac=1, random_state=1))
    figure = phase_diagram.draw(df, value=value)
    mesh = next(item for item in figure.axes[0].collections if isinstance(item, QuadMesh))
    image = np.ma.asarray(mesh.get_array()).reshape(3, len(S)).filled(np.nan)
    table = phase_table(df, "s", "N", value).pivot(index="N", columns="s", values="value")
    assert table.index.tolist() == [2, 4, 8]
    np.testing.assert_allclose(image, table.to_numpy())
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["2", "4", "8"]
    assert figure.axes[0].get_xscale() == "log"


def test_zero_is_the_middle_of_the_diverging_map() -> None:
    for values in ([-2.0, -1.0, 0.01], [-0.1, 0.3], [0.2, 0.3], [-0.2], [np.nan], [-np.inf, 0.1], [0.0]):
        norm = style.centred_norm(np.array(values))
        assert norm(0.0) == pytest.approx(0.5)
        assert norm.vmin is not None and norm.vmax is not None and norm.vmin < 0 < norm.vmax
        ticks = style.centred_ticks(norm)
        assert 0.0 in ticks and ticks == sorted(ticks)
    red, _, blue, _ = style.DIVERGING(0.9)
    assert red > blue
    middle = np.array(style.DIVERGING(0.5)[:3])
    assert middle.min() > 0.93 and np.ptp(middle) < 0.05


def lightness(colour: Any) -> float:
    linear = _linear(colour)
    y = float(linear @ [0.2126, 0.7152, 0.0722])
    return 116 * np.cbrt(y) - 16 if y > 0.008856 else 903.3 * y


def _linear(colour: Any) -> np.ndarray:
    channel = np.array(to_rgb(colour))
    return np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)


def test_regimes_are_told_apart_in_grey_and_by_the_colour_blind() -> None:
    order = ["hyperchaotic", "chaotic", "quasiperiodic", "periodic", "fixed_point"]
    steps = np.diff([lightness(style.REGIME_COLOURS[regime]) for regime in order])
    assert (steps > 12).all(), steps
    assert set(style.REGIME_COLOURS) == set(REGIMES)
    assert {"unsettled", "diverged"} == set(style.REGIME_HATCHES)
    # Machado, Oliveira, Fernandes (2009), full protanopia, deuteranopia and tritanopia, in linear RGB.
    for matrix in (
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ):
        seen = [np.clip(np.array(matrix) @ _linear(style.REGIME_COLOURS[regime]), 0, 1) for regime in order]
        seen = [np.where(c <= 0.0031308, 12.92 * c, 1.055 * c ** (1 / 2.4) - 0.055) for c in seen]
        for i, one in enumerate(seen):
            for other in seen[i + 1 :]:
                assert np.linalg.norm(one - other) > 0.2


@pytest.mark.parametrize(
    ("values", "kind", "edges"),
    [
        ([2, 4, 8, 16], "even", [-0.5, 0.5, 1.5, 2.5, 3.5]),
        ([1.2, 1.4], "even", [-0.5, 0.5, 1.5]),
        ([0.5], "even", [-0.5, 0.5]),
        ([1.0, 10.0, 100.0], "log", [10**-0.5, 10**0.5, 10**1.5, 10**2.5]),
        ([1.0, 2.0, 3.0], "linear", [0.5, 1.5, 2.5, 3.5]),
    ],
)
def test_scales_follow_how_the_values_are_spread(values: list[float], kind: str, edges: list[float]) -> None:
    scale = style.Scale.of(pd.Series(values[::-1]))
    assert scale.kind == kind
    np.testing.assert_allclose(scale.edges, edges)


def test_default_axes() -> None:
    def axes(df: pd.DataFrame, x: str | None = None, y: str | None = None) -> tuple[str, str | None]:
        return phase_diagram.default_axes(df, x, y)

    assert axes(run()) == ("s", None)
    assert axes(run(N=(2, 4), D=(2, 3, 4), seeds=1)) == ("s", "D")
    assert axes(run(N=(2, 4), D=(2, 3, 4), seeds=1), "N") == ("N", "s")
    assert axes(run(N=(2, 4), s=S[:1])) == ("N", None)
    assert axes(run(), None, "seed") == ("s", "seed")
    assert axes(run(), None, "s") == ("seed", "s")
    assert axes(run(s=S[:1])) == ("seed", None)
    assert axes(run().iloc[[0]]) == ("s", None)
    assert axes(henon()) == ("a", None)


def test_single_networks_show_their_own_exponents() -> None:
    df = classify(run(D=(3,), seeds=6))
    figure = lyapunov_curves.draw(df, seeds=[4, 1])
    assert [ax.get_title(loc="left") for ax in figure.axes[:2]] == ["seed 4", "seed 1"]
    mine = df[df["seed"] == 4]
    lines = [np.asarray(line.get_ydata()) for line in figure.axes[0].lines]
    for i in range(3):
        expected = np.stack(mine["exponents"].to_list())[:, i]
        assert any(len(line) == len(S) and np.allclose(line, expected) for line in lines)
    strip = [patch.get_facecolor()[:3] for patch in figure.axes[0].patches]
    assert strip == [to_rgb(style.REGIME_COLOURS[regime]) for regime in mine["regime"]]


def test_exponents_are_drawn_in_descending_order_and_minus_infinity_is_marked() -> None:
    df = run(seeds=1)
    df["exponents"] = [np.array([-0.1, -np.inf, 0.2])] * len(df)
    figure = lyapunov_curves.draw(classify(df))
    first = next(line for line in figure.axes[0].lines if line.get_color() == style.INK and len(line.get_xydata()) > 2)
    np.testing.assert_allclose(np.asarray(first.get_ydata()), 0.2)
    assert "beyond the axis" in texts(figure)


def test_other_axes_of_a_single_network_are_named() -> None:
    figure = lyapunov_curves.draw(classify(run(N=(2, 4), seeds=2)))
    assert figure.axes[0].get_title(loc="left") == "seed 0, N = 4"
    assert "Pooled over N = 2, 4" in caption(figure)


def test_bad_arguments_of_drawing_are_named() -> None:
    df = classify(run())
    with pytest.raises(ValueError, match="`value` must be one of chaotic, lambda_1, kaplan_yorke, got 'entropy'"):
        phase_diagram.draw(df, value="entropy")
    with pytest.raises(ValueError, match="`x` must be one of the table's axes"):
        phase_diagram.draw(df, x="q")
    with pytest.raises(ValueError, match="`x` must be one of the table's axes"):
        lyapunov_curves.draw(df, x="q")
    with pytest.raises(ValueError, match="`seeds` must be in the table, got 99"):
        lyapunov_curves.draw(df, seeds=[99])
    with pytest.raises(ValueError, match="`seeds` must be at most 8, got 9"):
        lyapunov_curves.draw(df, seeds=[0] * 9)


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[pd.DataFrame], Path]:
    """Puts a table where the commands read runs from, and gives the run directory."""

    def store(df: pd.DataFrame) -> Path:
        def read_run(path: Path) -> pd.DataFrame:
            if path != tmp_path:
                raise TableError(f"{path} is no run directory:\nit has no manifest.json")
            return classify(df)

        module = types.ModuleType("attractor_jax.reading")
        module.__dict__.update(read_run=read_run)
        monkeypatch.setitem(sys.modules, "attractor_jax.reading", module)
        return tmp_path

    return store


Command = Callable[[list[str]], int]


@pytest.mark.parametrize(
    ("main", "arguments", "name"),
    [
        (phase_diagram.main, [], "phase_diagram.png"),
        (phase_diagram.main, ["--x", "s"], "phase_diagram.png"),
        (phase_diagram.main, ["--value", "lambda_1"], "phase_diagram_lambda_1.png"),
        (phase_diagram.main, ["--x", "s", "--y", "N"], "phase_diagram_s_N.png"),
        (phase_diagram.main, ["--where", "N=4", "--where", "D=3"], "phase_diagram_N4_D3.png"),
        (lyapunov_curves.main, [], "lyapunov_curves.png"),
        (lyapunov_curves.main, ["--seed", "2", "--seed", "0"], "lyapunov_curves_seed2-0.png"),
    ],
)
def test_commands_print_the_path_of_the_picture_they_wrote(
    main: Command,
    arguments: list[str],
    name: str,
    stored: Callable[[pd.DataFrame], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    directory = stored(run(N=(2, 4), D=(2, 3, 5), seeds=3))
    assert main([str(directory), *arguments]) == 0
    path = directory / "figures" / name
    assert capsys.readouterr().out.splitlines()[-1] == str(path)
    assert matplotlib.image.imread(path).shape[1] == round(style.WIDTH * style.DPI)
    assert [other.name for other in path.parent.iterdir()] == [name]


def test_pictures_carry_their_provenance(tmp_path: Path) -> None:
    df = classify(run())
    figure = phase_diagram.draw(df)
    command.save_figure(figure, tmp_path / "a.png", title="a title", runs=[{"plan": "abc", "path": Path("x")}])
    content = (tmp_path / "a.png").read_bytes()
    assert b"a title" in content
    assert json.dumps([{"plan": "abc", "path": "x"}]).encode() in content
    for suffix in ("pdf", "svg"):
        command.save_figure(figure, tmp_path / f"a.{suffix}", title="a title", runs=[{"plan": "abc"}])
        assert (tmp_path / f"a.{suffix}").stat().st_size > 1000
    assert len(list(tmp_path.iterdir())) == 3


def test_drawing_leaves_the_settings_of_the_caller_alone() -> None:
    before = dict(matplotlib.rcParams)
    phase_diagram.draw(classify(run()))
    assert dict(matplotlib.rcParams) == before


def test_out_and_where(stored: Callable[[pd.DataFrame], Path], capsys: pytest.CaptureFixture[str]) -> None:
    directory = stored(run(N=(2, 4)))
    out = directory / "elsewhere" / "picture.pdf"
    assert phase_diagram.main([str(directory), "--where", "N=2", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert out.exists()


@pytest.mark.parametrize(
    ("main", "arguments", "code", "message"),
    [
        (phase_diagram.main, ["--x", "q"], 2, "`--x` must be an axis that varies here (N, seed, s), got 'q'"),
        (
            phase_diagram.main,
            ["--y", "D"],
            2,
            "`--y` must be an axis that varies here (N, seed, s), got 'D', which is 3 throughout",
        ),
        (phase_diagram.main, ["--x", "s", "--y", "s"], 2, "`--y` must be another axis than `--x`"),
        (phase_diagram.main, ["--value", "entropy"], 2, "'entropy'"),
        (phase_diagram.main, ["--where", "N"], 2, "`--where` must be AXIS=VALUE, such as N=4, got 'N'"),
        (phase_diagram.main, ["--where", "N=four"], 2, "`--where` must give N a number, got 'four'"),
        (phase_diagram.main, ["--where", "q=4"], 2, "`--where` must name axes of the table"),
        (phase_diagram.main, ["--where", "N=3"], 2, "`--where` must give N a value that it has here, 2, 4, got 3"),
        (phase_diagram.main, ["--where", "N=2", "--y", "N"], 2, "got 'N', which is 2 throughout"),
        (phase_diagram.main, ["--out", "picture.bmp"], 2, "`--out` must end in .png, .pdf or .svg, got 'picture.bmp'"),
        (phase_diagram.main, ["--colour", "red"], 2, "--colour"),
        (lyapunov_curves.main, ["--x", "D"], 2, "`--x` must be an axis that varies here"),
        (lyapunov_curves.main, ["--seed", "77"], 2, "`--seed` must be a seed of this run (0 to 5), got 77"),
        (lyapunov_curves.main, ["--seed", "one"], 2, "'one'"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(
    main: Command,
    arguments: list[str],
    code: int,
    message: str,
    stored: Callable[[pd.DataFrame], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    directory = stored(run(N=(2, 4)))
    assert main([str(directory), *arguments]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ") and said.err.count("\n") == 1
    assert message in said.err
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("main", [phase_diagram.main, lyapunov_curves.main])
def test_bad_runs_are_one_line_and_exit_code_1(
    main: Command, stored: Callable[[pd.DataFrame], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    stored(run())
    assert main(["/nowhere"]) == 1
    assert capsys.readouterr().err == "error: /nowhere is no run directory: it has no manifest.json\n"
    directory = stored(run().iloc[:0])
    assert main([str(directory)]) == 1
    assert "has no finished cells yet" in capsys.readouterr().err
    directory = stored(run())
    (directory / "figures").write_text("a file where a folder should be")
    assert main([str(directory)]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_warnings_about_a_run_are_passed_on_in_one_line(
    stored: Callable[[pd.DataFrame], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = stored(run())
    read = sys.modules["attractor_jax.reading"].__dict__["read_run"]

    def incomplete(path: Path) -> pd.DataFrame:
        import warnings

        warnings.warn("3 of 4 parts are there", stacklevel=1)
        return read(path)

    monkeypatch.setitem(sys.modules["attractor_jax.reading"].__dict__, "read_run", incomplete)
    assert phase_diagram.main([str(directory)]) == 0
    assert capsys.readouterr().err == "warning: 3 of 4 parts are there\n"
