"""The figures of learning: what they show and say, what they survive, how they refuse. No training is run."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgb
from pictures import assert_whole, caption, texts
from test_figures import _linear, lightness  # what eyes see of a colour

from analysis import edge, escape, fractions, learning_rate, outcomes, style
from analysis.double_well import DoubleWell
from attractor_jax.basins import wilson
from attractor_jax.parts import TableError
from attractor_jax.trainings import escape_table

RATES = np.linspace(0.1, 2.2, 22)
FIGURES = {"learning_rate": learning_rate, "fractions": fractions, "escape": escape, "edge": edge}


def table(system: str, axes: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """A learning table as `read_run` gives it, of trainings at rest where nothing else is said."""
    head = axes.reset_index(drop=True)
    head.insert(0, "cell_id", np.arange(len(head)))
    rest: dict[str, Any] = {
        "dtype": "float64", "transient": 1000, "steps": 500, "status": "ok", "lambda_1": -0.1, "lambda_1_se": 0.0,
        "y_min": 1.0, "y_max": 1.0, "period": 1, "amplitude": 0.0, "train_loss": 0.0, "test_loss": np.nan,
        "accuracy": np.nan, "test_accuracy": np.nan, "objective": 0.0, "gradient_norm": 0.0, "sharpness": 2.0,
        "hessian_min": 2.0, "hessian_trace": 2.0, "saturated": np.nan, "regime": "fixed_point", "system": system,
    }  # fmt: skip
    rest |= columns
    theta = rest.pop("theta", np.ones((len(head), 1)))
    df = head.assign(**rest)
    df["theta"] = pd.Series(list(theta), index=df.index, dtype=object)
    df["edge_ratio"] = df["sharpness"] * df["lr"] / (2 * (1 + df["momentum"]))
    lost = df["status"] == "diverged"
    df.loc[lost, ["lambda_1", "y_min", "y_max", "amplitude", "train_loss", "objective", "accuracy"]] = np.nan
    df.loc[lost, ["gradient_norm", "sharpness", "hessian_min", "edge_ratio"]] = np.nan
    df.loc[lost, "regime"] = "diverged"
    df.attrs["axes"] = list(axes.columns)
    return df


def grid(**axes: Any) -> pd.DataFrame:
    columns = {name: np.atleast_1d(values) for name, values in axes.items()}
    return pd.MultiIndex.from_product(columns.values(), names=list(columns)).to_frame(index=False)


def well(
    momentum: Any = 0.0, weight_decay: Any = 0.0, lr: np.ndarray = RATES, seeds: int = 4, noise: Any = 0.0
) -> pd.DataFrame:
    """Trainings in the double well, iterated here with their tangents: x, v and two numbers for lambda_1."""
    starts = np.linspace(0.3, 2.6, seeds)
    axes = grid(momentum=momentum, noise=noise, seed=np.arange(seeds), weight_decay=weight_decay, init_scale=1.0, lr=lr)
    beta, decay, rate = (axes[name].to_numpy(float) for name in ("momentum", "weight_decay", "lr"))
    x = starts[axes["seed"].to_numpy()]
    v, dx, dv, growth = np.zeros((4, len(x)))
    dx += 1
    seen = []
    with np.errstate(all="ignore"):
        for step in range(900):
            dv = beta * dv + (3 * x**2 - 1 + decay) * dx
            v = beta * v + x**3 - x + decay * x
            dx, x = dx - rate * dv, x - rate * v
            size = np.hypot(dx, np.where(beta > 0, dv, 0))
            dx, dv = dx / np.where(size == 0, 1, size), dv / np.where(size == 0, 1, size)
            if step >= 600:
                growth += np.log(size) / 300
                seen.append(x)
    path = np.array(seen)
    finite = np.isfinite(path).all(axis=0) & np.isfinite(growth)
    path = np.where(finite, path, 0.0)
    period = np.select([np.ptp(path[-9:], axis=0) < 1e-9, np.abs(path[-1] - path[-3]) < 1e-9], [1, 2], 0)
    regime = np.select([period == 1, period == 2, growth > 0.01], ["fixed_point", "periodic", "chaotic"], "unsettled")
    curvature = 3 * path[-1] ** 2 - 1 + decay
    return table(
        "double_well", axes, status=np.where(finite, "ok", "diverged"), lambda_1=np.where(finite, growth, np.nan),
        y_min=path.min(axis=0), y_max=path.max(axis=0), period=period, amplitude=np.ptp(path[-64:], axis=0),
        gradient_norm=np.abs(path[-1] ** 3 - path[-1] + decay * path[-1]), sharpness=curvature, hessian_min=curvature,
        regime=regime, theta=path[-1][:, None], objective=(path[-1] ** 2 - 1) ** 2 / 4 + decay * path[-1] ** 2 / 2,
    )  # fmt: skip


# What came of a training: its status, accuracy, loss, length of theta, gradient and regime.
ENDS = {
    "solved": ("ok", 1.0, 0.01, 3.0, 0.0, "fixed_point"),
    "solved_moving": ("ok", 1.0, 0.01, 3.0, 0.5, "unsettled"),
    "poor": ("ok", 0.5, 0.5, 2.0, 0.0, "fixed_point"),
    "collapsed": ("ok", 0.5, 1.0, 0.0, 0.0, "fixed_point"),
    "unresolved": ("ok", 0.5, 0.5, 2.0, 0.5, "unsettled"),
    "diverged": ("diverged", np.nan, np.nan, 1.0, 0.0, "diverged"),
}


def xor(
    chance: dict[str, float] | None = None, seeds: int = 20, system: str = "xor", **axes: Any
) -> tuple[pd.DataFrame, np.ndarray]:
    """Trainings with outcomes drawn by chance, and which they are."""
    axes = {"width": 2, "batch_size": 4, "momentum": 0.0, "noise": 0.0, "seed": np.arange(seeds)} | (
        {"noisy_steps": 200} if system == "xor_escape" else {}
    ) | {"weight_decay": 0.01, "init_scale": [0.1, 1.0, 4.0], "lr": 0.1} | axes  # fmt: skip
    cells = grid(**axes)
    chance = chance or dict.fromkeys(ENDS, 1 / len(ENDS))
    ends = np.random.default_rng(0).choice(list(chance), len(cells), p=list(chance.values()))
    status, accuracy, loss, length, gradient, regime = zip(*(ENDS[end] for end in ends), strict=True)
    df = table(
        system, cells, status=status, accuracy=accuracy, train_loss=loss, objective=loss, gradient_norm=gradient,
        regime=regime, theta=np.array(length)[:, None] * np.eye(9)[0], sharpness=4.0, hessian_min=0.5,
    )  # fmt: skip
    return df, ends


def escaping(**axes: Any) -> pd.DataFrame:
    chance = {"solved": 0.3, "poor": 0.4, "unresolved": 0.2, "diverged": 0.1}
    levels = {"batch_size": [1, 2, 4], "momentum": [0.0, 0.5, 0.9], "lr": [0.01, 0.1], "init_scale": 1.0} | axes
    return xor(chance, system="xor_escape", **levels)[0]


def lost(df: pd.DataFrame) -> pd.DataFrame:
    return table(str(df["system"].iloc[0]), df[df.attrs["axes"]], status="diverged", theta=list(df["theta"]))


def run_of(name: str) -> pd.DataFrame:
    return {"escape": escaping, "fractions": lambda: xor(width=[2, 3])[0]}.get(name, well)()


CASES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "as it is": lambda df: df,
    "a single cell": lambda df: df.iloc[[0]],
    "all diverged": lost,
    "one diverged cell": lambda df: lost(df).iloc[[0]],
    "one learning rate": lambda df: df[df["lr"] == df["lr"].max()],
    "one seed": lambda df: df[df["seed"] == 0],
    "holes": lambda df: df.sample(frac=0.4, random_state=0),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("case", CASES)
def test_every_figure_survives(name: str, case: str) -> None:
    whole = run_of(name)
    df = CASES[case](whole)
    df.attrs = whole.attrs
    figure = FIGURES[name].draw(df)
    assert_whole(figure, smallest=6.9)
    labels = {ax.get_xlabel() for ax in figure.axes}
    assert style.axis_label("init_scale" if name == "fractions" and df["init_scale"].nunique() > 1 else "lr") in labels
    if "all diverged" in case:
        assert f"{len(df)} diverged (100 % of cells)" in caption(figure)


@pytest.mark.parametrize("name", FIGURES)
def test_empty_tables_say_so(name: str) -> None:
    assert "no cells in this table" in texts(FIGURES[name].draw(run_of(name).iloc[:0]))


def test_closed_forms_of_the_double_well() -> None:
    lr = np.linspace(0.05, 4, 40)
    for momentum, decay in ((0.0, 0.0), (0.0, 0.3), (0.5, 0.0), (0.9, 0.6)):
        known = DoubleWell(momentum, decay)
        h = 2 * (1 - decay)
        for rate, value in zip(lr, known.fixed_point(lr), strict=True):
            jacobian = [[1 - rate * h, -rate * momentum], [h, momentum]]
            assert np.exp(value) == pytest.approx(np.abs(np.linalg.eigvals(jacobian)).max(), abs=1e-12)
        assert known.fixed_point(np.array([known.doubling]))[0] == pytest.approx(0, abs=1e-12)
    for decay in (0.0, 0.3, 0.6):
        known = DoubleWell(0.0, decay)
        assert known.second_doubling is not None
        np.testing.assert_allclose(known.two_cycle(np.array([known.doubling, known.second_doubling])), 0, atol=1e-12)
        df = well(weight_decay=decay, lr=np.linspace(0.2, 2.2, 21) / (1 - decay))
        pairs, rest = (df[(df["period"] == period) & np.isfinite(df["lambda_1"])] for period in (2, 1))
        assert len(pairs) >= 2 and len(rest) >= 8
        np.testing.assert_allclose(pairs["lambda_1"], known.two_cycle(pairs["lr"].to_numpy()), atol=1e-6)
        rest = rest[rest["lambda_1"] > -5]  # all but the superstable
        np.testing.assert_allclose(rest["lambda_1"], known.fixed_point(rest["lr"].to_numpy()), atol=1e-6)
        alive = df["status"] == "ok"
        assert known.divergence is not None
        assert df["lr"][alive].max() <= known.divergence * (1 + 1e-9) and not alive[df["lr"] > known.divergence].any()
        # Starts in even steps of probability: the share beyond the boundary is that of the closed form.
        from statistics import NormalDist

        chance = (np.arange(2000) + 0.5) / 2000
        x = np.array([NormalDist(0, 1.5).inv_cdf(p) for p in chance])
        rate = 1.5 / (1 - decay)
        with np.errstate(all="ignore"):
            for _ in range(300):
                x = x - rate * (x**3 - x + decay * x)
        assert np.mean(~np.isfinite(x)) == pytest.approx(known.lost(np.array([rate]), 1.5)[0], abs=2e-3)


def test_closed_forms_are_the_double_wells_alone() -> None:
    known = DoubleWell.of
    assert known(well(lr=RATES[:2])) == DoubleWell(0.0, 0.0)
    assert known(well(weight_decay=1.5, lr=RATES[:2])) is None
    assert known(well(noise=0.1, lr=RATES[:2])) is None
    assert known(xor()[0]) is None
    assert "closed form" not in texts(learning_rate.draw(xor(init_scale=1.0, lr=[0.1, 0.2, 0.3])[0])).lower()


def test_along_the_learning_rate_are_the_numbers_of_the_table() -> None:
    df = well()
    figure = learning_rate.draw(df)
    top, middle, bottom = figure.axes
    alive = df[df["status"] == "ok"]
    medians = alive.groupby("lr")["lambda_1"].median()
    line = next(line for line in top.lines if line.get_label() != "" and len(line.get_xdata()) == len(medians))
    np.testing.assert_allclose(line.get_xdata(), medians.index)
    shown = np.asarray(line.get_ydata(), float)
    np.testing.assert_allclose(shown[np.isfinite(shown)], medians.to_numpy()[np.isfinite(shown)])
    points = next(line for line in top.lines if len(line.get_xdata()) == len(alive))
    np.testing.assert_allclose(np.sort(points.get_ydata())[-5:], np.sort(alive["lambda_1"])[-5:])
    ends = middle.lines[0]
    np.testing.assert_allclose(ends.get_xdata(), alive["lr"])
    np.testing.assert_allclose(ends.get_ydata(), [theta[0] for theta in alive["theta"]])
    share = (df["status"] == "diverged").groupby(df["lr"]).mean()
    (area,) = [each for each in bottom.collections if each.get_hatch()]
    corners = area.get_paths()[0].vertices
    assert corners is not None
    for lr, value in share.items():
        near = np.asarray(corners)[np.abs(np.asarray(corners)[:, 0] - lr) < 0.051, 1]
        assert near.max() == pytest.approx(value) or value in near
    told = texts(figure)
    assert "doubling 1" in told and "divergence 2" in told and "closed form: 2-cycle" in told
    assert r"$\lambda_1$ (nats per step)" in told and "22 learning rates, 4 trainings at each" in told
    upright = {float(line.get_xdata()[0]) for line in top.lines if line.get_linestyle() in ("--", ":")}
    assert upright == {1.0, 2.0}


def test_many_settings_are_small_panels() -> None:
    df = well(momentum=[0.0, 0.5], weight_decay=[0.0, 0.3, 0.6])
    figure = learning_rate.draw(df)
    assert_whole(figure, smallest=6.9)
    assert len(figure.axes) == 12
    told = texts(figure)
    for words in ("momentum = 0", "momentum = 0.5", "weight_decay = 0.6", "strip: share that diverged"):
        assert words in told
    panel = figure.axes[1]  # momentum (rows go by the lever with most values)
    assert panel.get_title(loc="left") in ("weight_decay = 0.3", "momentum = 0.5")
    one = learning_rate.draw(df[df["weight_decay"] == 0])
    assert_whole(one, smallest=6.9)
    assert [ax.get_title(loc="left") for ax in one.axes[:2]] == ["momentum = 0", "momentum = 0.5"]


def test_many_trainings_are_bands() -> None:
    df, _ = xor(seeds=60, init_scale=1.0, lr=[0.1, 0.2, 0.4])
    df["lambda_1"] = np.where(df["status"] == "ok", -np.random.default_rng(0).uniform(0.1, 0.2, len(df)), np.nan)
    figure = learning_rate.draw(df)
    assert_whole(figure, smallest=6.9)
    assert "25–75 % of trainings" in texts(figure)
    assert max(len(line.get_xdata()) for line in figure.axes[0].lines) <= 3


def test_outcomes_are_what_they_are_called() -> None:
    df, ends = xor()
    assert list(outcomes.classified(df)) == list(ends)
    chaos = well(lr=np.array([1.5]))
    near = chaos.assign(gradient_norm=0.0)
    assert not outcomes.at_rest(near)[(near["regime"] == "chaotic").to_numpy()].any()
    large = df.assign(theta=None)  # beyond 256 parameters
    assert "collapsed" not in outcomes.classified(large)


def test_bars_are_the_shares_and_points_have_wilsons_intervals() -> None:
    df, ends = xor(width=[2, 3], lr=[0.1, 0.3])
    figure = fractions.draw(df)
    assert [ax.get_title(loc="left") for ax in figure.axes[:2]] == ["lr = 0.1", "lr = 0.3"]
    for ax, (width, lr) in zip(figure.axes, [(2, 0.1), (2, 0.3), (3, 0.1), (3, 0.3)], strict=True):
        here = ((df["width"] == width) & (df["lr"] == lr)).to_numpy()
        scales = sorted(df["init_scale"].unique())
        for i, value in enumerate(scales):
            at = here & (df["init_scale"] == value).to_numpy()
            for name in outcomes.OUTCOMES:
                drawn = sum(
                    bar.get_height() for bar in ax.patches
                    if abs(bar.get_x() + 0.41 - i) < 0.01
                    and bar.get_facecolor()[:3] == pytest.approx(to_rgb(style.OUTCOME_COLOURS[name]))
                )  # fmt: skip
                assert drawn == pytest.approx(np.mean(ends[at] == name)), (name, value)
            count = int(np.isin(ends[at], ["solved", "solved_moving"]).sum())
            (points,) = [line for line in ax.lines if line.get_marker() == "o"]
            assert points.get_ydata()[i] == pytest.approx(count / at.sum())
            low, high = wilson(count, int(at.sum()), z=1.959963984540054)
            (bars,) = ax.collections
            np.testing.assert_allclose(bars.get_segments()[i][:, 1], [low, high])
    told = texts(figure)
    for words in ("solved, at rest", "solved, not at rest", "poor", "collapsed", "unresolved", "diverged", "width = 3"):
        assert words in told
    assert "20 trainings at each bar" in caption(figure)


def test_elsewhere_the_classes_are_minima_by_depth() -> None:
    df = well(weight_decay=[0.0, 0.3], lr=np.linspace(0.1, 2.2, 22))
    figure = fractions.draw(df)
    assert_whole(figure, smallest=6.9)
    told = texts(figure)
    assert "deepest minimum" in told and "minimum 2" not in told and "interval of the share in the deepest" in told
    few = fractions.draw(df[df["lr"] < 0.5], "weight_decay")
    assert "share in the deepest, with interval, beside" in texts(few)
    assert [label.get_text() for label in few.axes[-1].get_xticklabels()] == ["0", "0.3"]


def test_escapes_are_those_of_the_table() -> None:
    df = escaping()
    figure = escape.draw(df)
    assert_whole(figure, smallest=6.9)
    result = escape_table(df)
    for ax, size in zip(figure.axes, (1, 2, 4), strict=False):
        assert ax.get_title(loc="left").startswith(f"batch size {size}")
        (mesh,) = [each for each in ax.collections if isinstance(each, QuadMesh)]
        here = result[result["batch_size"] == size]
        expected = here.pivot(index="momentum", columns="lr", values="fraction").to_numpy()
        np.testing.assert_allclose(np.ma.filled(mesh.get_array(), np.nan).reshape(expected.shape), expected)
        written = [text.get_text() for text in ax.texts]
        for row in here.itertuples():
            assert escape.percent(int(row.count), int(row.n)) in written
            assert not row.diverged or escape.percent(int(row.diverged), int(row.n)) in written
        hatched = [patch for patch in ax.patches if patch.get_hatch() == style.FAILED_HATCH]
        assert len(hatched) == (here["diverged"] > 0).sum()
    assert "batch size 4 (full batch: no noise)" in texts(figure)
    widest = 100 * float((result["high"] - result["low"]).max())
    told = caption(figure)
    assert f"at most {widest:.0f} points wide" in told and "20 trainings in each field" in told
    assert "200 steps with minibatches, then the full batch up to step 1,500" in told


def test_percentages_of_none_and_of_all_are_exact() -> None:
    cases = [(0, 1000), (1, 1000), (500, 1000), (999, 1000), (1000, 1000)]
    assert [escape.percent(*case) for case in cases] == ["0 %", "<1 %", "50 %", ">99 %", "100 %"]


def test_nothing_that_arrived_lies_beyond_the_edge() -> None:
    df = well(momentum=[0.0, 0.5], weight_decay=[0.0, 0.3])
    figure = edge.draw(df)
    assert_whole(figure, smallest=6.9)
    rest = outcomes.at_rest(df)
    known = np.isfinite(df["sharpness"])
    for j, momentum in enumerate((0.0, 0.5)):
        for i, which in enumerate((rest, known & ~rest)):
            ax = figure.axes[2 * i + j]
            (mesh,) = [each for each in ax.collections if isinstance(each, QuadMesh)]
            assert mesh.get_array().sum() == (which & (df["momentum"] == momentum)).sum()
            line = ax.lines[-1]
            np.testing.assert_allclose(line.get_ydata(), 2 * (1 + momentum) / np.asarray(line.get_xdata()))
    told = caption(figure)
    beyond = int((rest & (df["edge_ratio"] > 1)).sum())
    assert f"{rest.sum()} trainings arrived at a minimum and stayed; {beyond} of them lie beyond the edge" in told
    assert beyond <= 0.02 * rest.sum()


def test_what_stands_on_a_minimum_that_repels_is_counted() -> None:
    df = well(lr=np.array([0.5, 0.9]))
    put = df.assign(sharpness=df["sharpness"] * 4, gradient_norm=0.0, amplitude=0.0)
    put["edge_ratio"] = put["sharpness"] * put["lr"] / 2
    put.attrs = df.attrs
    told = caption(edge.draw(put))
    number = int((outcomes.at_rest(put) & (put["edge_ratio"] > 1)).sum())
    assert number and f"{number} of them lie beyond the edge: {number} were put exactly onto a minimum" in told


def test_outcomes_are_told_apart_in_grey_and_by_the_colour_blind() -> None:
    order = ["solved", "collapsed", "solved_moving", "poor"]
    assert (np.diff([lightness(style.OUTCOME_COLOURS[name]) for name in order]) > 10).all()
    assert set(style.OUTCOME_COLOURS) == set(outcomes.OUTCOMES)
    assert {"unresolved", "diverged"} == set(style.OUTCOME_HATCHES)
    for matrix in (
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ):
        seen = [np.clip(np.array(matrix) @ _linear(style.OUTCOME_COLOURS[name]), 0, 1) for name in order]
        seen = [np.where(c <= 0.0031308, 12.92 * c, 1.055 * c ** (1 / 2.4) - 0.055) for c in seen]
        for i, one in enumerate(seen):
            for other in seen[i + 1 :]:
                assert np.linalg.norm(one - other) > 0.2


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[pd.DataFrame], Path]:
    """Puts a table where the commands read runs from, and gives the run directory."""

    def store(df: pd.DataFrame) -> Path:
        def read_run(path: Path) -> pd.DataFrame:
            if path != tmp_path:
                raise TableError(f"{path} is no run directory: it has no manifest.json")
            return df

        module = types.ModuleType("attractor_jax.reading")
        module.__dict__.update(read_run=read_run)
        monkeypatch.setitem(sys.modules, "attractor_jax.reading", module)
        return tmp_path

    return store


@pytest.mark.parametrize(
    ("name", "words", "file"),
    [
        ("learning_rate", [], "learning_rate.png"),
        ("learning_rate", ["--where", "seed=1"], "learning_rate_seed1.png"),
        ("fractions", ["--x", "width"], "fractions_width.png"),
        ("escape", ["--where", "batch_size=1"], "escape_batch_size1.png"),
        ("edge", [], "edge.png"),
    ],
)
def test_commands_write_where_they_say(
    name: str, words: list[str], file: str, stored: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    run = stored(run_of(name))
    assert FIGURES[name].main([str(run), *words]) == 0
    assert capsys.readouterr().out == f"{run / 'figures' / file}\n"
    assert matplotlib.image.imread(run / "figures" / file).shape[1] >= 1000


def feedback() -> pd.DataFrame:
    return pd.DataFrame({"cell_id": [0], "N": 4, "s": 1.0, "dtype": "float64", "status": "ok", "system": "uniform"})


def layers() -> pd.DataFrame:
    df = well(lr=RATES[:2])
    df.insert(1, "lr_hidden", 0.1)
    df.attrs["axes"] = ["lr_hidden", *df.attrs["axes"]]
    return df


MANY = {"width": [2, 3, 4], "momentum": [0.0, 0.9], "init_scale": [0.1, 1.0], "lr": [0.1, 0.3], "seeds": 1}


@pytest.mark.parametrize(
    ("name", "make", "words", "code", "message"),
    [
        *((name, feedback, [], 1, "must be of a learning system, with an axis lr, got one with N") for name in FIGURES),
        *((name, well, ["--where", "q=1"], 2, "`--where` must name axes of the table") for name in FIGURES),
        *((name, well, ["--where", "lr=9"], 2, "`--where` must give lr a value that it has") for name in FIGURES),
        *((name, well, ["--out", "a.bmp"], 2, "`--out` must end in .png, .pdf or .svg") for name in FIGURES),
        *((name, well, ["--colour", "red"], 2, "--colour") for name in FIGURES),
        ("learning_rate", lambda: xor(**MANY)[0], [], 2, "`--where` must leave at most 2 levers beside lr, got values"),
        ("learning_rate", lambda: well(weight_decay=np.linspace(0, 0.9, 16), lr=RATES[:2], seeds=1), [], 2,
         "`--where` must leave at most 5 x 4 panels, got 16 values of weight_decay"),
        ("fractions", lambda: xor()[0], ["--x", "seed"], 2, "`--x` must be a lever (width, batch_size, momentum, noi"),
        ("fractions", lambda: xor()[0], ["--x", "lr"], 2, "got 'lr', which is 0.1 throughout"),
        ("fractions", lambda: xor(**MANY | {"noise": [0.0, 0.1, 0.2]})[0], [], 2,
         "`--where` must leave at most 8 x 4 panels beside `--x`, got values of"),
        ("escape", well, [], 1, "must be of system xor_escape, got double_well"),
        ("escape", lambda: escaping(noise=[0.0, 0.1]), [], 2, "`--where` must leave one value of noise, got 2"),
        ("edge", layers, [], 1, "must have one learning rate for all parameters, got lr and lr_hidden"),
        ("edge", lambda: well(momentum=np.linspace(0, 0.9, 7), lr=RATES[:2], seeds=1), [], 2,
         "`--where` must leave at most 5 values of momentum, got 7"),
    ],
)  # fmt: skip
def test_bad_arguments_and_bad_runs_are_one_line(
    name: str, make: Callable, words: list[str], code: int, message: str, stored: Callable,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = stored(make())
    assert FIGURES[name].main([str(run), *words]) == code
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
    assert message in said.err, said.err
    assert list(run.iterdir()) == []
