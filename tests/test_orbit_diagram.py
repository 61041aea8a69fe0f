"""Orbit diagrams: what is counted, what both ways along the axis agree on, what the figure shows and how it refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import attractor_jax as aj
from analysis import orbit_diagram, style
from attractor_jax import systems
from attractor_jax.branches import OrbitDensity, intervals
from attractor_jax.config import ConfigError
from attractor_jax.continuation import KICK, carried_on
from attractor_jax.density import orbit_density
from attractor_jax.systems.classic import _axis, _Classic

SHORT: dict[str, Any] = {"carry_steps": 300, "transient": 300, "steps": 1000, "longest_period": 64, "bins": 101}


class Cubic(_Classic):
    """x' = r x - x^3 + h: three fixed points while |h| < 2 ((r - 1) / 3)^(3/2), the middle one unstable."""

    name = "cubic"
    axes = (systems.REPLICATE, _axis("r", 0.0, 2.0, 1.3, "slope"), _axis("h", -1.0, 1.0, 0.0, "bias"))
    parameters = ("r", "h")
    start = (1e-3,)
    spread = 0.1

    def build(self, draw: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        r, h = parameters["r"], parameters["h"]
        return jax.tree_util.Partial(lambda r, h, x: r * x - x**3 + h, r, h)


@pytest.fixture(scope="module")
def cubic() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(systems.REGISTRY, "cubic", f"{__name__}:Cubic")
        yield "cubic"


@pytest.fixture(scope="module")
def biased(cubic: str) -> OrbitDensity:
    return orbit_density(cubic, "h", np.linspace(-0.1, 0.1, 81), at={"r": 1.3}, **SHORT)


@pytest.fixture(scope="module")
def pitchfork(cubic: str) -> OrbitDensity:
    return orbit_density(cubic, "r", np.linspace(0.8, 1.8, 41), at={"h": 0.0}, **SHORT)


@pytest.fixture(scope="module")
def logistic() -> OrbitDensity:
    return orbit_density("logistic", "r", np.r_[np.linspace(2.8, 3.1, 30), 3.2, 3.5, 3.7, 3.83, 4.0, 4.5, 5.0], **SHORT)


def test_every_column_counts_all_steps(logistic: OrbitDensity) -> None:
    for branch in logistic.branches.values():
        assert branch.counts.shape == (37, 101)
        assert (branch.counts.sum(axis=1)[:-2] == SHORT["steps"]).all()
    assert logistic.edges[0] < 0.01 and logistic.edges[-1] > 0.99


def test_a_cycle_is_counted_at_its_points(logistic: OrbitDensity) -> None:
    column = int(np.flatnonzero(logistic.values == 3.2)[0])
    r = 3.2
    known = (r + 1 + np.array([-1, 1]) * np.sqrt((r - 3) * (r + 1))) / (2 * r)
    for branch in logistic.branches.values():
        bins = np.flatnonzero(branch.counts[column])
        np.testing.assert_array_equal(bins, np.searchsorted(logistic.edges, known) - 1)
        np.testing.assert_array_equal(branch.counts[column, bins], SHORT["steps"] // 2)


def test_exponents_periods_and_regimes_are_the_known_ones(logistic: OrbitDensity) -> None:
    for way in ("up", "down"):
        table = logistic.table(way).set_index("r")
        assert table["regime"].astype(str).loc[[2.8, 3.2, 3.5, 3.7, 4.0]].tolist() == [
            "fixed_point", "periodic", "periodic", "chaotic", "chaotic",
        ]  # fmt: skip
        assert table["period"].loc[[2.8, 3.2, 3.5, 3.83]].tolist() == [1, 2, 4, 3]
        assert table["lambda_1"].loc[2.8] == pytest.approx(np.log(0.8), abs=1e-12)
        assert table["lambda_1"].loc[3.2] == pytest.approx(0.5 * np.log(0.16), abs=1e-9)
        assert table["lambda_1"].loc[4.0] == pytest.approx(np.log(2), abs=0.03)


def test_one_attractor_is_the_same_both_ways(logistic: OrbitDensity) -> None:
    assert not logistic.hysteresis().any() and not logistic.mirrored().any()
    calm = logistic.values < 2.95
    np.testing.assert_array_equal(logistic.branches["up"].counts[calm], logistic.branches["down"].counts[calm])


def test_a_network_has_the_exponents_of_its_own_orbit() -> None:
    found = orbit_density(
        "uniform", "s", [0.3, 0.4, 0.5], at={"N": 4, "D": 4, "seed": 24}, start="fixed", **{**SHORT, "transient": 2000}
    )
    assert list(found.branches) == ["fixed"] and not found.hysteresis().any()
    for s, lambda_1 in zip(found.values, found.branches["fixed"].columns["lambda_1"], strict=True):
        net = aj.feedback_network(seed=24, N=4, D=4, s=float(s))
        own = aj.lyapunov_exponents(net, net.initial_state(), transient=2000, steps=1000, k=2)
        assert lambda_1 == pytest.approx(float(own.exponents[0]), abs=1e-9)


def test_a_network_at_rest_is_on_one_attractor_both_ways() -> None:
    # s_critical = 1.2058: the origin attracts, and what is left of the orbits is rounding, of another size each time.
    found = orbit_density("uniform", "s", np.linspace(1.0, 1.19, 40), at={"N": 4, "D": 4, "seed": 44})
    assert set(found.table("up")["regime"]) == {"fixed_point"}
    assert not found.hysteresis(consecutive=1).any()


def test_hysteresis_is_found_where_it_is_known_to_be(biased: OrbitDensity) -> None:
    found, values = biased, biased.values
    fold = 2 * 0.1**1.5
    np.testing.assert_array_equal(found.hysteresis(), np.abs(values) < fold)
    ((low, high),) = intervals(values, found.hysteresis())
    assert -fold < low < -fold + 0.0026 and fold - 0.0026 < high < fold
    # Up on the lower branch, down on the upper one; each a fixed point of its own.
    inside = np.abs(values) < fold
    outputs = [found.branches[way].columns["y_mean"][inside] for way in ("up", "down")]
    assert (outputs[0] < 0).all() and (outputs[1] > 0).all()
    for y in outputs:
        np.testing.assert_allclose(1.3 * y - y**3 + values[inside], y, atol=1e-9)


def test_mirror_images_are_no_hysteresis(pitchfork: OrbitDensity) -> None:
    # h = 0: after the pitchfork at r = 1 both ways may take either side, and what they are on has the same numbers.
    found = pitchfork
    assert found.odd and len(found.edges) % 2 == 0 and found.edges[0] == -found.edges[-1]
    assert not found.hysteresis().any()
    up, down = (found.branches[way].columns["y_mean"] for way in ("up", "down"))
    opposite = np.sign(up) != np.sign(down)
    np.testing.assert_array_equal(found.mirrored()[found.values > 1.1], opposite[found.values > 1.1])


def test_mirror_images_are_told_by_their_densities(pitchfork: OrbitDensity) -> None:
    beyond = pitchfork.values > 1.1
    up = pitchfork.branches["up"]
    for counts, image in ((up.counts, np.zeros_like(beyond)), (up.counts[:, ::-1], beyond)):
        pair = replace(pitchfork, branches={"up": up, "down": replace(up, counts=counts)})
        np.testing.assert_array_equal(pair.mirrored()[beyond], image[beyond])
        assert not pair.hysteresis().any()


def test_a_diverged_orbit_counts_nothing_and_the_next_begins_anew(logistic: OrbitDensity) -> None:
    for way in ("up", "down"):  # the way down begins where orbits diverge
        assert not logistic.branches[way].counts[-2:].any() and logistic.branches[way].counts[-3].any()
        assert logistic.table(way)["regime"].astype(str).tolist()[-3:] == ["chaotic", "diverged", "diverged"]


@pytest.mark.parametrize("xp", [np, jax.numpy])
def test_carried_on(xp: Any) -> None:
    states, first = xp.array([[1.0, 2.0], [np.nan, 0.0]]), xp.array([[0.5, 0.0], [0.5, 0.25]])
    moved = carried_on(states, first, clocked=False)
    np.testing.assert_array_equal(moved, [[1.0 + KICK * 0.5, 2.0], [0.5, 0.25]])
    np.testing.assert_array_equal(carried_on(states.T, first.T, clocked=False, axis=0), moved.T)
    # A clock is no coordinate: it begins anew, and with it what is drawn from it.
    anew = carried_on(states, first, clocked=True)
    np.testing.assert_array_equal(anew, [[1.0 + KICK * 0.5, 0.0], [0.5, 0.25]])
    np.testing.assert_array_equal(carried_on(states.T, first.T, clocked=True, axis=0), anew.T)


def test_it_is_a_pytree(logistic: OrbitDensity) -> None:
    again = jax.tree.unflatten(jax.tree.structure(logistic), jax.tree.leaves(logistic))
    assert again.axis == "r" and again.branches["up"].counts is logistic.branches["up"].counts


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"system": "tent"}, "system.name must be one of"),
        ({"axis": "s"}, "axis must be r for system logistic, got 's'"),
        ({"at": {"q": 1}}, "grid.q is no axis of system logistic"),
        ({"values": [3.0]}, "`values` must be at least 2 numbers in ascending order"),
        ({"values": [3.0, 3.0]}, "`values` must be at least 2 numbers in ascending order"),
        ({"values": [3.0, 99.0]}, r"grid.r\[1\] must be between 0 and 10, got 99.0"),
        ({"start": "random"}, "`start` must be carried or fixed, got 'random'"),
        ({"steps": 1001}, "measure.steps must be divisible by measure.blocks = 20, got 1001"),
        ({"at": {"r": 3.0}}, "`at` must name other axes than the one that varies, got r"),
        ({"bins": 0}, "`bins` and `carry_steps` must be at least 1"),
    ],
)
def test_bad_arguments_of_the_library(changed: dict[str, Any], message: str) -> None:
    arguments = {"system": "logistic", "axis": "r", "values": [3.0, 3.1], **SHORT, **changed}
    with pytest.raises((ValueError, ConfigError), match=message):
        orbit_density(**arguments)


# The figure


def texts(figure: Figure) -> str:
    return " | ".join(text.get_text() for text in figure.findobj(Text) if text.get_visible())


def assert_nothing_is_clipped(figure: Figure) -> None:
    width, height = figure.get_size_inches()
    inches = figure.dpi_scale_trans.inverted()
    boxes = [legend.get_window_extent().transformed(inches) for legend in figure.legends]
    for box in (figure.get_tightbbox(), *boxes):
        assert box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height, box
    density, ramps = figure.axes[0].get_window_extent(), figure.axes[3].get_tightbbox()
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert not box.overlaps(density) and not box.overlaps(ramps), "a legend covers something"
    for text in figure.findobj(Text):
        if text.get_text().strip() and text.get_visible():
            assert text.get_fontsize() >= 7, text.get_text()


@pytest.mark.filterwarnings("error")
def test_the_figure_has_its_panels_labels_and_legend(biased: OrbitDensity) -> None:
    figure = orbit_diagram.draw(biased, label="bias h", notes=["A note."])
    density, exponent, strip = figure.axes[:3]
    assert [ax.get_ylabel() for ax in (density, exponent)] == ["output y", style.LAMBDA_1]
    assert strip.get_xlabel() == "bias h"
    assert [label.get_text() for label in strip.get_yticklabels()] == ["down", "up"]
    told = texts(figure)
    for words in ("share of the steps in a bin of y", "both", "fixed point", "hysteresis", "A note."):
        assert words in told, words
    assert "Up and down are on different attractors at h = -0.06" in " ".join(figure.get_supxlabel().split())
    assert "|λ₁| below 0.01 nats per step or 3 standard errors counts as zero" in " ".join(
        figure.get_supxlabel().split()
    )
    assert_nothing_is_clipped(figure)
    image = np.asarray(density.images[0].get_array())
    assert image.shape == (101, 81, 3)
    middle = image[:, 50]
    green, magenta = (middle[:, 1] - middle[:, 0]).argmax(), (middle[:, 0] - middle[:, 1]).argmax()
    assert green < 50 < magenta, "up is on the lower branch, and green"
    outside = image[:, 0]
    assert outside.sum(axis=1).min() < 0.5, "where both agree they print ink"


@pytest.mark.filterwarnings("error")
def test_one_way_is_drawn_in_ink(logistic: OrbitDensity) -> None:
    figure = orbit_diagram.draw(replace(logistic, branches={"fixed": logistic.branches["up"]}))
    assert [label.get_text() for label in figure.axes[2].get_yticklabels()] == ["regime"]
    assert "hysteresis" not in texts(figure) and "up" not in texts(figure).split(" | ")
    assert_nothing_is_clipped(figure)


def test_the_command_prints_the_path_of_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("attractor_jax.backend.start", lambda config: jax.devices())
    monkeypatch.chdir(tmp_path)
    short = ["--columns", "20", "--steps", "400", "--transient", "100", "--carry", "100", "--bins", "50"]
    assert orbit_diagram.main(["--system", "gaussian", "--seed", "3", "--N", "2", "--D", "3", *short]) == 0
    path = Path(capsys.readouterr().out.splitlines()[-1])
    assert path == Path("results/figures/orbit_diagram_gaussian_seed3_N2_D3.png")
    content = path.read_bytes()
    assert b'"at": {"seed": 3, "N": 2, "D": 3}' in content and b'"carry_steps": 100' in content


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--low", "3", "--high", "2"], "`--low` must be below `--high` = 2, got 3"),
        (["--low", "nan"], "`--low` must be a finite number, got nan"),
        (["--high", "-1"], "`--high` must be between 0 and 1e+06, got -1"),
        (["--columns", "1"], "`--columns` must be between 2 and 20,000, got 1"),
        (["--bins", "3"], "`--bins` must be between 10 and 5,000, got 3"),
        (["--system", "tent"], "`--system` must be one of"),
        (["--system", "linear"], "`--low` must be given: linear has no usual range of a22"),
        (["--axis", "q"], "`--axis` must be N, D, seed, replicate or s for system uniform, got 'q'"),
        (["--axis", "N", "--low", "1", "--high", "4"], "`--axis` must be s for system uniform, got 'N'"),
        (["--seed", "-1"], "`--seed` must be between 0 and 4294967295, got -1"),
        (["--D", "0"], "`--D` must be between 1 and 4096, got 0"),
        (["--system", "logistic", "--seed", "3"], "`--seed` must be left out: system logistic has none, got 3"),
        (["--at", "q=1"], "`--at q` is no axis of system uniform"),
        (["--at", "s=1"], "`--at` must name other axes than the one that varies, got s=1"),
        (["--at", "b"], "`--at` must be AXIS=VALUE, such as N=4, got 'b'"),
        (["--steps", "7"], "`--steps` must be divisible by the number of blocks, = 20, got 7"),
        (["--start", "random"], "`--start` must be carried or fixed, got 'random'"),
        (["--out", "picture.bmp"], "`--out` must end in .png, .pdf or .svg, got 'picture.bmp'"),
        (["--colour", "red"], "--colour"),
        (["--seed", "one"], "'one'"),
    ],
)
def test_bad_options_are_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("attractor_jax.backend.start", lambda config: jax.devices())
    monkeypatch.chdir(tmp_path)
    assert orbit_diagram.main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
    assert message in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_cannot_be_written_is_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(orbit_diagram, "_drawn", lambda asked: (Figure(), {}))
    (tmp_path / "file").write_text("")
    assert orbit_diagram.main(["--out", str(tmp_path / "file" / "a.png")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
