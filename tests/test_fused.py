"""The engine `fused`: what its kernel says is what `scan` computes, and it is refused where it cannot be had. No GPU is
needed: JAX interprets the kernel.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from runs import TINY, cells_of, plan_of, sweep

import attractor_jax as aj
from attractor_jax import fused, fused_step, measures
from attractor_jax.activation import tanh_and_slope
from attractor_jax.backend import check_engine
from attractor_jax.blocks import lanes_last
from attractor_jax.config import BackendConfig, ConfigError
from attractor_jax.engine import Engine
from attractor_jax.fused import Kernel
from attractor_jax.growth import advance, begin
from attractor_jax.parts import describe_part
from attractor_jax.systems import get


def runs_of(root: Path, *arguments: str) -> list[Path]:
    """The same sweep by both engines, `scan` first."""
    return [sweep(plan_of(*arguments, f"backend.engine={name}"), root / name, devices=1) for name in ("scan", "fused")]


def assert_equal(scan: pd.DataFrame, kernel: pd.DataFrame) -> None:
    """Every column but the engine's name, numbers to 1e-12."""
    for name in scan.columns.drop("engine"):
        one, other = scan[name], kernel[name]
        if name in ("exponents", "exponents_se"):
            one, other = np.stack(one.to_list()), np.stack(other.to_list())
        if one.dtype.kind == "f":
            np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-12, err_msg=name)
        else:
            assert one.astype(str).tolist() == other.astype(str).tolist(), name


def test_fused_equals_scan_in_all_columns(tmp_path: Path) -> None:
    """Cells of several programs of the grid, with empty threads in the last; blocks that are no multiple of the
    interval; a derivative that vanishes.
    """
    cells = ("grid.N=2", "grid.D=3", "grid.seed.num=7", "grid.s=[0, 0.3, 1.1, 6, 20]", "measure.k=1")
    steps = ("measure.transient=24", "measure.steps=32", "measure.align=5", "measure.renormalise_every=7")
    runs = runs_of(tmp_path, *cells, *TINY, *steps)
    assert runs[0].name == runs[1].name, "the engine is in no hash"
    scan, kernel = map(cells_of, runs)
    assert set(scan["engine"]) == {"scan"} and set(kernel["engine"]) == {"fused"}
    assert describe_part(next((runs[1] / "cells").iterdir()))["engine"] == "fused"
    assert set(scan["status"]) == {"ok", "superstable"}
    assert_equal(scan, kernel)


@pytest.mark.slow
def test_fused_equals_scan_in_further_rounds(tmp_path: Path) -> None:
    cells = (
        "system=gaussian",
        "grid.N=2",
        "grid.D=3",
        "grid.seed=[0, 1, 2, 3, 4]",
        "grid.s=[0.3, 1.1, 6]",
        "measure.k=1",
    )
    rounds = ("measure=adaptive", *TINY, "measure.blocks=8", "measure.steps=8", "measure.max_steps=32")
    scan, kernel = map(cells_of, runs_of(tmp_path, *cells, *rounds, "measure.target_se=1e-14"))
    assert scan["steps"].max() == 32
    assert_equal(scan, kernel)


@pytest.mark.parametrize(
    ("family", "own"), [("gaussian", True), pytest.param("uniform", False, marks=pytest.mark.slow)]
)
def test_the_kernel_advances_a_measurement_as_the_loops_do(
    family: str, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks in several sections, blocks after others, draws with and without lanes of their own, both families."""
    monkeypatch.setattr(fused, "SECTION", 8)
    system, output = get(family), measures.get("output")
    G, S = (1, 6) if own else (3, 2)
    draws = [system.draw(N=2, D=3, seed=seed) for seed in range(6 if own else G)]
    stacked = {name: np.stack([draw[name] for draw in draws]) for name in draws[0]}
    if own:
        stacked = {name: np.moveaxis(values, 0, -1)[None] for name, values in stacked.items()}
    problem = (stacked, {"s": np.linspace(0.3, 3, G * S).reshape(G, S)})
    states = np.random.default_rng(0).normal(size=(G, 3, S))

    def measured(kernel: Kernel | None) -> Any:
        how: dict[str, Any] = {"renormalise_every": 4, "measures": (output,)}
        how["lift"] = lanes_last(system, own=own, kernel=kernel)

        @jax.jit
        def measure(problem: Any, states: Any, repeats: Any) -> Any:
            m = begin(problem, states, k=1, blocks=3, align=0, **how)
            m = advance(problem, m, blocks=1, block_steps=6, repeats=repeats, **how)
            return advance(problem, m, blocks=2, block_steps=5, repeats=repeats, **how)

        return measure(problem, states, np.int32(2))

    loops, kernel = measured(None), measured(Kernel(family, interpret=True))
    jax.tree.map(lambda one, other: np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-12), loops, kernel)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_tanh_and_its_slope_are_those_of_the_loops(dtype: str) -> None:
    u = jnp.asarray(np.concatenate([np.linspace(-400, 400, 4001), np.linspace(-2, 2, 401), [1e-30, np.nan]]), dtype)
    (x, slope), (expected, expected_slope) = fused_step.tanh_and_slope(u, fused_step.PLAIN), tanh_and_slope(u)
    eps = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(x, expected, rtol=0, atol=eps)
    np.testing.assert_allclose(slope, expected_slope, rtol=4 * eps)


@pytest.mark.slow
def test_over_many_steps_both_engines_find_the_same_regimes(tmp_path: Path) -> None:
    """Chaos makes another orbit of every rounding: regimes and exponents are what is left to compare, and both only as
    far as long transients end alike. On 384 other cells, nearer to onset, 97.7 % of the regimes agree (95 %: 95.7 to
    98.8), where `scan` agrees with itself, cells as a grid against cells as a list, in 98.7 %.
    """
    cells = ("experiment=order_to_chaos", "grid.seed.num=16", "measure.k=1", "measure.steps=20000")
    scan, kernel = (aj.read_run(run).sort_values("cell_id") for run in runs_of(tmp_path, *cells))
    same = scan["regime"].to_numpy() == kernel["regime"].to_numpy()
    assert same.mean() >= 0.98
    far = np.abs(scan["lambda_1"].to_numpy() - kernel["lambda_1"].to_numpy())
    error = np.hypot(scan["lambda_1_se"].to_numpy(), kernel["lambda_1_se"].to_numpy())
    # At rest the blocks agree to rounding, and so do the engines: there is no error to measure with.
    assert (far <= 4 * error + 1e-9).mean() >= 0.98


def test_a_cpu_has_no_fused_engine() -> None:
    def config(engine: str) -> BackendConfig:
        return BackendConfig.read("backend", {
            "dtype": "float64", "batch": "auto", "devices": "all", "memory": "auto", "engine": engine
        })  # fmt: skip

    check_engine(config("auto"), jax.devices())
    with pytest.raises(ConfigError) as refused:
        check_engine(config("fused"), jax.devices())
    assert str(refused.value) == (
        "backend.engine must be auto or scan on a CPU: fused is a kernel for NVIDIA's GPUs from Ampere on, got 'fused'"
    )


@pytest.mark.parametrize(
    ("capability", "name"), [("9.0", "fused"), ("8.0", "fused"), ("7.5", "scan"), ("gfx90a", "scan")]
)
def test_a_gpu_computes_with_the_kernel_what_the_kernel_can(capability: str, name: str) -> None:
    gpu: Any = SimpleNamespace(platform="gpu", device_kind="Tesla T4", compute_capability=capability)

    def chosen(*arguments: str) -> str:
        plan = plan_of("experiment=order_to_chaos", *arguments)
        return Engine(plan, next(plan.parts()).group, [gpu], 1e9, 1).name

    assert chosen("measure.k=1") == name
    assert chosen("measure.k=1", "backend.engine=scan") == chosen("measure.k=2") == "scan"
    assert chosen("measure.k=1", "grid.N=8", "grid.D=32") == "scan"
    config = plan_of("backend.engine=fused", "measure.k=1").config.backend
    if name == "fused":
        check_engine(config, [gpu])
    else:
        with pytest.raises(ConfigError, match="must be auto or scan on a Tesla T4: fused is a kernel"):
            check_engine(config, [gpu])
