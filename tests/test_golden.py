"""The article's three networks and a chaotic one, against an independent program's outputs and exponents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from runs import plan_of, sweep
from truths import NETWORKS, Network

import attractor_jax as aj
from attractor_jax.draws import article_draw

ARTICLE = ("A", "B", "C")  # called there limit cycle, torus and chaos; all three are closed curves


def standard_scores(known: Network, exponents: np.ndarray, standard_error: np.ndarray) -> np.ndarray:
    """Differences from the truth in combined standard errors."""
    truth, error = np.array(known.exponents).T
    return (exponents - truth) / np.hypot(error, standard_error)


@pytest.mark.parametrize("name", ARTICLE)
def test_outputs_as_far_as_they_are_known(name: str) -> None:
    known = NETWORKS[name]
    net = aj.feedback_network(seed=known.seed, N=known.N, D=known.D, s=known.s)
    y = np.asarray(aj.orbit(net, net.initial_state(), steps=1001)[:, 0])
    np.testing.assert_allclose(y[:20], known.y, rtol=0, atol=1e-12)
    # On a closed curve rounding grows in proportion to time; while the orbit leaves the origin it grows with y itself.
    times, later = np.array(known.later).T
    np.testing.assert_allclose(y[times.astype(int)], later, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", NETWORKS)
def test_spectra(name: str) -> None:
    known, T = NETWORKS[name], 100_000
    net = aj.feedback_network(seed=known.seed, N=known.N, D=known.D, s=known.s)
    found = aj.lyapunov_exponents(net, net.initial_state(), transient=20_000, steps=T)
    exponents, standard_error = np.asarray(found.exponents), np.asarray(found.standard_error)
    assert found.sum_rule_residual < 1e-9
    if name in ARTICLE:
        assert abs(exponents[0]) < 5 / T
        assert exponents[1] < -1e-3
    if known.exponents:
        assert np.abs(standard_scores(known, exponents, standard_error)).max() < 5
        # The errors are no excuse: they are small themselves.
        assert standard_error.max() < (3e-3 if known.regime == "hyperchaotic" else 5e-5)


@pytest.mark.slow
def test_the_article_at_full_length(tmp_path: Path) -> None:
    table = aj.read_run(sweep(plan_of("experiment=article"), tmp_path))
    assert set(table.transient) == {100_000}
    assert set(table.steps) == {1_000_000}
    rows = {(row.seed, row.D): row for row in table.itertuples()}
    assert len(rows) == len(table) == len(NETWORKS)
    for name, known in NETWORKS.items():
        row = rows[known.seed, known.D]
        print(
            f"{name}: lambda_1 = {row.lambda_1:.2e} +- {row.lambda_1_se:.1e}, {row.regime}, {row.lambda_article:.10f}"
        )
        assert row.s == known.s
        assert row.regime == known.regime
        assert row.sum_rule_residual < 1e-9
        if name in ARTICLE:
            assert abs(row.lambda_1) < 1e-5
            assert row.lambda_article == pytest.approx(known.lambda_article, abs=1e-9)
            assert row.s_critical == pytest.approx(known.s_critical, abs=1e-8)
        if known.exponents:
            scores = standard_scores(known, row.exponents, row.exponents_se)
            print(f"   largest difference from the truth: {np.abs(scores).max():.1f} combined standard errors")
            assert np.abs(scores).max() < 5


def test_spectra_with_a_drowned_tail_are_flagged(tmp_path: Path) -> None:
    """Cycles at s = 8 whose last exponents are known to come out wrong (from the exact multipliers of the cycles, in
    multiple precision): the sum rule does not see it, the flag must. Chaos at s = 2 must not be flagged.
    """
    deep = "[{seed: 75, s: 8, replicate: 1}, {seed: 89, s: 8}, {seed: 69, s: 8}, {seed: 50, s: 8}, {seed: 70, s: 2}]"
    short = ("measure.transient=2000", "measure.steps=2000")
    df = aj.read_run(sweep(plan_of("system=uniform", f"grid.cells={deep}", *short), tmp_path))
    assert (df["sum_rule_residual"] < 1e-9).all()
    assert df.set_index("seed")["spectrum_flagged"].to_dict() == {50: True, 69: True, 70: False, 75: True, 89: True}


def test_slow_spirals_below_s_critical_are_no_closed_curves(tmp_path: Path) -> None:
    """The origin attracts all of them, and at these distances so slowly that lambda_1 is within the zero range."""
    seeds = list(range(12))
    critical = aj.s_critical(*map(np.stack, zip(*[article_draw(seed, 4, 8) for seed in seeds], strict=True)))
    for below, settled in (
        (1e-2, {"fixed_point"}),
        (3e-3, {"fixed_point", "unsettled"}),
        (1e-3, {"fixed_point", "unsettled"}),
    ):
        cells = ", ".join(
            f"{{seed: {seed}, N: 4, D: 8, s: {s * (1 - below)}}}" for seed, s in zip(seeds, critical.s, strict=True)
        )
        df = aj.read_run(sweep(plan_of("system=uniform", f"grid.cells=[{cells}]", "measure.k=1"), tmp_path))
        assert (df["origin_radius"] < 1).all()
        assert set(df["regime"]) <= settled
