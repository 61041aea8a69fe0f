"""The engine: the same bits whatever the batch, the devices and the companions, and rows that say what became of a
cell.
"""

from __future__ import annotations

import dataclasses
import math
import re
import warnings
import weakref
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from jax.extend.core import jaxprs_in_params
from matplotlib.figure import Figure
from runs import TINY, assert_identical, cells_of, plan_of, sweep

import attractor_jax as aj
from attractor_jax import batch
from attractor_jax.batch import Program
from attractor_jax.config import ConfigError
from attractor_jax.engine import Engine
from attractor_jax.groups import Block
from attractor_jax.plan import Plan
from attractor_jax.stability import s_critical
from attractor_jax.sweep import compute_part
from sweeps.command_line import CONF

# Long enough for chaos to make a difference in the last bit visible everywhere.
SHORT = (*TINY, "measure.transient=200", "measure.steps=200")

LAYOUTS = {
    "shared W, full spectrum": ("grid.N=3", "grid.D=6", "grid.seed.num=23", "grid.s.num=21"),
    # More lanes than a block has: the blocks do not come in the order of the cells.
    "shared W, largest exponent": ("grid.N=3", "grid.D=6", "grid.seed.num=23", "grid.s.num=130", "measure.k=1"),
    "own W": (f"grid.cells=[{', '.join(f'{{N: 3, D: 6, seed: {i}, s: {1 + i % 9}}}' for i in range(150))}]",),
    "henon": (
        "system=henon",
        "grid.a={start: 0.1, stop: 1.4, num: 67}",
        "grid.replicate=[0, 1, 2]",
        "measure.also=[zero_one]",
    ),
}
# Devices and batches. The fixture `engine` is (2, "auto"), what a sweep does by itself on two cores.
OTHER_WAYS = [(1, 3), (2, 1), (1, 1), (2, 3), (1, "auto")]


@pytest.fixture(scope="module", params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def plan(layout: str) -> Plan:
    plan = plan_of(*LAYOUTS[layout], *SHORT)
    (group,) = plan.groups
    assert group.n_blocks >= 3 and group.n_blocks * math.prod(group.block_shape) > plan.n_cells, "nothing to divide"
    return plan


@pytest.fixture(scope="module")
def engine(plan: Plan) -> Engine:
    return engine_of(plan)


def engine_of(plan: Plan, *, devices: int = 2, batch: int | str = "auto", memory: float = 2.0**30) -> Engine:
    return Engine(plan, plan.groups[0], jax.devices()[:devices], memory, batch)


def table_of(plan: Plan, engine: Engine) -> pd.DataFrame:
    """The only part of a plan."""
    (part,) = plan.parts()
    return compute_part(plan, part, engine)["cells"].to_pandas()


def first_blocks(plan: Plan) -> list[Block]:
    return list(next(plan.parts()).blocks())


def compute(engine: Engine, *blocks: Block) -> dict[str, np.ndarray]:
    """Columns of blocks, (blocks, G, S); spectra (blocks, G, S, k)."""
    program = engine.first_program(engine.group.block_shape)
    inputs = [(*engine.problem(block)[1], engine.states(engine.first_states(block))) for block in blocks]
    found = [engine.block_measurement.columns(measured, 1) for measured in program.run(inputs)]
    return {name: np.stack([one[name] for one in found]) for name in found[0]}


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def rearranged(block: Block, draws: np.ndarray, lanes: np.ndarray) -> Block:
    """The block with its draws and lanes in another order."""
    return Block(
        {name: values[draws] for name, values in block.draws.items()},
        {name: values[np.ix_(draws, lanes)] for name, values in block.lanes.items()},
        block.cell_id[np.ix_(draws, lanes)],
        block.real[np.ix_(draws, lanes)],
    )


# The same bits


def test_batches_and_devices_change_no_bit(layout: str, plan: Plan, engine: Engine) -> None:
    table = table_of(plan, engine)
    assert table["cell_id"].tolist() == list(range(plan.n_cells))
    assert (table["lambda_1"] > 0.05).any(), "without chaos, every order of the sums gives the same"
    # Each way compiles a program: all of them where that is cheap, one that differs in everything elsewhere.
    for devices, blocks in OTHER_WAYS[: 5 if layout == "henon" else 1]:
        assert_identical(table_of(plan, engine_of(plan, devices=devices, batch=blocks)), table)


def test_bundles_change_no_bit_of_what_devices_compute(
    plan: Plan, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bundles of a few blocks, whose borders lie within batches; closed forms may feel them in the last bit."""
    table = table_of(plan, engine)
    monkeypatch.setattr("attractor_jax.bundles.BUNDLE_CELLS", 200)
    other = table_of(plan, engine)
    closed = [column.name for column in plan.system.columns if column.kind == "float"]
    assert_identical(other.drop(columns=closed), table.drop(columns=closed))
    for name in closed:
        np.testing.assert_allclose(other[name], table[name], rtol=1e-13)


def short_of_memory(monkeypatch: pytest.MonkeyPatch, holds: int, when: str) -> list[int]:
    """Devices that hold so many blocks; the sizes of the batches that were begun. What failed must be gone by then."""
    begun: list[int] = []
    failed: list[weakref.ref[Any]] = []
    works = getattr(batch.Program if when == "start" else batch.Running, when)

    def limited(self: Any, *args: Any) -> Any:
        size = len(args[0]) if when == "start" else len(self.computed)
        begun.append(size)
        if size > holds:
            assert not any(ref() for ref in failed)
            if when == "results":
                failed.append(weakref.ref(self))
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 12 bytes.")
        return works(self, *args)

    monkeypatch.setattr(batch.Program if when == "start" else batch.Running, when, limited)
    return begun


@pytest.mark.parametrize("when", ["start", "results"])
def test_a_batch_that_memory_does_not_hold_is_halved_and_changes_no_bit(
    when: str, plan: Plan, engine: Engine, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if layout != "henon":
        pytest.skip("compiles a program for each size: once is enough")
    table = table_of(plan, engine)
    begun = short_of_memory(monkeypatch, 1, when)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        again = table_of(plan, engine_of(plan, devices=1, batch=4))
    assert [str(warning.message).split(",")[0] for warning in told] == [
        "memory does not hold 4 blocks a device: 2 from now on",
        "memory does not hold 2 blocks a device: 1 from now on",
    ]
    assert max(begun) == 4 and begun[-1] == 1
    assert_identical(again, table)


def test_a_block_that_is_too_large_alone_is_an_error(plan: Plan, monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    if layout != "henon":
        pytest.skip("no program runs: once is enough")
    short_of_memory(monkeypatch, 0, "start")
    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED"):
        table_of(plan, engine_of(plan, devices=1, batch=1))


@pytest.mark.parametrize(
    "cells",
    [
        ("measure.k=1",),
        ("measure.k=2", "measure.also=[zero_one,two_orbit,coverage]"),
        ("measure.k=all", "grid.seed=[0]", "grid.s.num=128"),
        ("system=gaussian", "measure.k=1"),
        ("system=linear",),
    ],
)
def test_no_product_is_rounded_below_its_dtype(cells: tuple[str, ...]) -> None:
    """GPUs multiply matrices of float32 with ten bits unless they are told not to: only the program shows it here."""
    plan = plan_of(*cells, *TINY, "backend.dtype=float32")
    engine = engine_of(plan)
    block = next(iter(first_blocks(plan)))
    inputs = (*engine.problem(block)[1], engine.states(engine.first_states(block)))
    program = jax.make_jaxpr(engine.block_measurement.first)(*inputs)
    products = [equation for equation in equations(program.jaxpr) if equation.primitive is jax.lax.dot_general_p]
    precisions = [product.params["precision"] for product in products]
    highest = (jax.lax.Precision.HIGHEST, jax.lax.Precision.HIGHEST)
    assert precisions and all(precision == highest for precision in precisions)


def equations(program: Any) -> Iterator[Any]:
    """All equations of a traced program, those of its loops and functions too."""
    for equation in program.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from equations(inner)


def test_companions_change_no_bit(plan: Plan, engine: Engine) -> None:
    """A cell does not feel what stands beside it in the block, nor which blocks stand beside its own."""
    block, other, *_ = first_blocks(plan)
    expected = compute(engine, block)
    keep = np.zeros(block.real.shape, bool)
    keep[keep.shape[0] // 2, keep.shape[1] // 3] = True
    lanes, draws = dict(block.lanes), dict(block.draws)
    swept = plan.system.axes[-1].name
    lanes[swept] = np.where(keep, lanes[swept], 0.37 * lanes[swept])
    if "seed" in draws:
        draws["seed"] = np.where(keep.any(axis=1), draws["seed"], draws["seed"] + 1000)
    there = compute(engine, dataclasses.replace(block, draws=draws, lanes=lanes))
    assert_same({name: v[0][keep] for name, v in there.items()}, {name: v[0][keep] for name, v in expected.items()})
    assert not np.array_equal(there["y_max"], expected["y_max"]), "the companions are others"
    for blocks, index in (((block, other), 0), ((other, block), 1), ((other, other, block), 2)):
        there = compute(engine, *blocks)
        assert_same({name: values[index : index + 1] for name, values in there.items()}, expected)


def test_the_order_of_draws_changes_no_bit(plan: Plan, engine: Engine) -> None:
    block = first_blocks(plan)[0]
    G, S = block.real.shape
    if S == 1:
        pytest.skip("draws with a single lane each stand where lanes stand elsewhere: see the next test")
    expected = compute(engine, block)
    for draws in (np.arange(G)[::-1], np.roll(np.arange(G), 1)):
        there = compute(engine, rearranged(block, draws, np.arange(S)))
        assert_same(there, {name: values[:, draws] for name, values in expected.items()})


def test_the_order_of_lanes_changes_rounding_at_most(plan: Plan, engine: Engine) -> None:
    """The processor takes lanes several at a time and the last few alone, and may round differently there: it is the
    plan that gives every cell its place. Whatever its place, a cell must get its own numbers.
    """
    block = first_blocks(plan)[0]
    G, S = block.real.shape
    draws, lanes = (np.arange(G), np.arange(S)[::-1]) if S > 1 else (np.arange(G)[::-1], np.arange(S))
    expected = {name: v[:, draws][:, :, lanes][0] for name, v in compute(engine, block).items()}
    there = {name: v[0] for name, v in compute(engine, rearranged(block, draws, lanes)).items()}
    settled = expected["lambda_1"] < -0.01
    assert settled.sum() >= 5
    for name in ("exponents", "y_mean", "y_max"):
        np.testing.assert_allclose(there[name][settled], expected[name][settled], rtol=0, atol=1e-8, err_msg=name)
    np.testing.assert_array_equal(there["status"], expected["status"])


@pytest.mark.parametrize(("axis", "diverging", "bounded"), [("a", 3.0, 1.3), ("r", 5.0, 3.9)])
def test_a_diverging_cell_is_marked_and_leaves_its_neighbours_alone(
    axis: str, diverging: float, bounded: float
) -> None:
    name = {"a": "henon", "r": "logistic"}[axis]
    plan = plan_of(f"system={name}", f"grid.{axis}=[1.1, 1.2, {bounded}]", *SHORT)
    engine, (block,) = engine_of(plan, devices=1), first_blocks(plan)
    expected = compute(engine, block)
    values = np.where(block.lanes[axis] == bounded, diverging, block.lanes[axis])
    there = compute(engine, dataclasses.replace(block, lanes={**block.lanes, axis: values}))
    assert_same({name: v[0, 0, :2] for name, v in there.items()}, {name: v[0, 0, :2] for name, v in expected.items()})
    assert np.isfinite(expected["lambda_1"]).all()
    lost = {name: v[0, 0, 2] for name, v in there.items()}
    assert lost["status"] == "diverged" and lost["period"] == 0
    for column in ("lambda_1", "lambda_1_se", "lambda_1_drift", "exponents", "exponents_se", "sum_rule", "y_mean"):
        assert np.isnan(lost[column]).all(), column


# Rows that say what became of a cell


def test_statuses_of_classic_maps(tmp_path: Path) -> None:
    plan = plan_of("system=logistic", "grid.r=[1.5, 2, 4, 5]", *SHORT)
    table = cells_of(sweep(plan, tmp_path))
    assert table["status"].tolist() == ["ok", "superstable", "ok", "diverged"]
    assert table["lambda_1"][1] == -np.inf and np.isnan(table["lambda_1"][3])
    assert table["period"].tolist() == [1, 1, 0, 0]
    run = aj.read_run(tmp_path / "logistic" / plan.hash)
    assert run["regime"].tolist() == ["fixed_point", "fixed_point", "chaotic", "diverged"]


def test_float32_is_computed_and_recorded_and_can_underflow(tmp_path: Path) -> None:
    arguments = ("grid.N=3", "grid.D=6", "grid.seed.num=8", "grid.s=[0.5, 2, 1e4]", "measure.k=1", *SHORT)
    plan = plan_of(*arguments, "backend.dtype=float32")
    table = cells_of(sweep(plan, tmp_path))
    assert set(table["dtype"]) == {"float32"}
    computed = table[["y_min", "y_max", "amplitude"]].to_numpy()  # the sums behind mean and deviation are float64
    np.testing.assert_array_equal(computed, computed.astype(np.float32))
    # Far in saturation the derivative is a number below the smallest float32: unknown, not zero.
    huge = table["s"] == 1e4
    assert (table.loc[~huge, "status"] == "ok").all() and (table.loc[huge, "status"] == "underflow").any()
    lost = table[table["status"] == "underflow"]
    assert lost[["lambda_1", "lambda_1_se", "lambda_1_drift"]].isna().all(axis=None)
    assert lost[["y_mean", "y_max"]].notna().all(axis=None), "the orbit itself is known"
    assert np.isfinite(table.loc[~huge, "lambda_1"]).all()


def test_rows_agree_with_the_library_cell_by_cell(tmp_path: Path) -> None:
    """No table may give a network's numbers to its neighbour."""
    axes = ("grid.seed=[2, 70, 9]", "grid.replicate=[0, 3]", "grid.s=[0.2, 0.05, 0.9]")
    table = cells_of(sweep(plan_of("grid.N=3", "grid.D=5", *axes, *TINY), tmp_path))
    assert len(table) == 18
    for row in table.to_dict("records"):
        network = aj.network_from_row(row)
        state = network.initial_state(row["replicate"])
        found = aj.lyapunov_exponents(network, state, transient=40, steps=40, blocks=2, align=8)
        # 88 steps: even chaos has not yet made much of the order of the sums.
        np.testing.assert_allclose(row["exponents"], found.exponents, rtol=0, atol=1e-8)
        np.testing.assert_allclose(row["sum_rule"], found.sum_rule, rtol=0, atol=1e-8)
        weights, gains = np.asarray(network.weights), np.asarray(network.gains)
        expected = math.log(row["s"] * gains[0] * np.linalg.norm(weights[:, 0]))
        assert row["lambda_article"] == pytest.approx(expected, abs=1e-12)
        critical = s_critical(weights[None], gains[None])
        assert row["s_critical"] == pytest.approx(critical.s[0], rel=1e-12)
        assert row["first_bifurcation"] == critical.kind[0]


def test_the_gaussian_family_has_no_origin_and_keeps_the_sum_rule(tmp_path: Path) -> None:
    plan = plan_of("system=gaussian", "grid.N=3", "grid.D=6", "grid.seed=[0, 1, 2]", "grid.s=[0.1, 0.5, 2]", *SHORT)
    run = sweep(plan, tmp_path)
    table = pq.read_table(run / "cells")
    for name in ("s_critical", "first_bifurcation", "origin_radius", "lambda_article"):
        assert table[name].null_count == table.num_rows == 9, name
    df = aj.read_run(run)
    assert set(df["system"]) == {"gaussian"} and (df["sum_rule_residual"] < 1e-9).all()
    assert (df["y_mean"].abs() > 1e-3).all(), "a bias moves the fixed point away from the origin"


# Other people's systems

PACKAGE = '''
import numpy as np
from attractor_jax.systems import Axis, System


class Cubic:
    """x' = r x - x^3: a plain class, which JAX knows nothing about."""

    def __init__(self, r):
        self.r = r

    def __call__(self, state):
        return self.r * state - state**3


class CubicSystem(System):
    name = "cubic"
    axes = (Axis("r", float, 0.0, 3.0, 1.5, "growth rate"),)
    parameters = ("r",)

    def dimension(self, static):
        return 1

    def initial_states(self, draw, axes, lanes):
        return np.full((len(lanes["r"]), 1), 0.3)

    def build(self, draw, parameters):
        return Cubic(parameters["r"])


not_a_system = 3
'''
ENTRY_POINTS = """
[attractor_jax.systems]
cubic = own_systems:CubicSystem
broken = own_systems:Missing
odd = own_systems:not_a_system
"""


@pytest.fixture
def own_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package of somebody else's."""
    (tmp_path / "own_systems.py").write_text(PACKAGE)
    about = tmp_path / "own_systems-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: own-systems\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("own_package")
def test_a_system_of_another_package_sweeps(tmp_path: Path) -> None:
    run = sweep(plan_of("system.name=cubic", "grid.r=[1.2, 1.4, 1.9]", *SHORT), tmp_path)
    df = aj.read_run(run)
    assert run.parent.name == "cubic" and df["regime"].tolist() == ["fixed_point"] * 3
    # At the fixed point x^2 = r - 1 the derivative is 3 - 2 r.
    np.testing.assert_allclose(df["lambda_1"], np.log(np.abs(3 - 2 * df["r"])), atol=1e-6)
    assert df["sum_rule"].isna().all(), "a plain map does not tell its determinant"


@pytest.mark.usefixtures("own_package")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", r"^system\.name could not be loaded from own_systems:Missing \(.*Missing.*\), got 'broken'$"),
        ("odd", r"^system\.name must name a System; own_systems:not_a_system is a int, got 'odd'$"),
        ("none", r"^system\.name must be one of uniform, .*, broken, cubic or odd, got 'none'$"),
    ],
)
def test_a_system_that_cannot_be_had_gets_one_line(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_of(f"system.name={name}")


# How much at once


def first_program(plan: Plan, **how: Any) -> Program:
    return engine_of(plan, **how).first_program(plan.groups[0].block_shape)


def test_a_batch_fits_into_the_memory_and_into_the_part() -> None:
    plan = plan_of("grid.D=4", "grid.seed.num=512", "measure.k=1", "measure.align=0", "measure.longest_period=1", *TINY)
    (group,) = plan.groups
    assert group.blocks_per_part > group.n_blocks > 20
    half = -(-group.n_blocks // 2)
    assert first_program(plan).blocks_per_device == half, "no more than there are"
    room = 6.5 * group.block_bytes
    assert first_program(plan, memory=room).blocks_per_device == 3
    assert first_program(plan, memory=room, devices=1).blocks_per_device == 6
    assert first_program(plan, memory=1.0).blocks_per_device == 1, "one block at a time is the least"
    assert first_program(plan, batch=2).blocks_per_call == 4
    assert first_program(plan, batch=10**6).blocks_per_device <= half or group.blocks_per_part < 10**6


def test_a_long_batch_is_cut_so_that_an_interrupt_is_heard() -> None:
    plan = plan_of("measure.steps=10000000", "plan.part_steps=1000000000000000")
    assert plan.groups[0].n_blocks > 2 and first_program(plan).blocks_per_device == 1


def test_cells_of_one_shape_are_compiled_once(compilations: Any, tmp_path: Path) -> None:
    plan = plan_of("system=logistic", "grid.r={start: 2, stop: 4, num: 200}", "plan.part_steps=1", *TINY)
    assert plan.n_parts == 4
    with compilations() as made:
        sweep(plan, tmp_path, devices=1)
    assert len(made) == 1


# The experiments

# Each number of loops, task and shape of the images is a program of its own.
TRAINED = (
    "grid.hidden_places=16", "grid.n2=16", "grid.train_steps=20", "grid.batch_size=8", "grid.T=[1,2]",
    "grid.seed={start: 0, num: 1}",
)  # fmt: skip
SMALL = {
    "albers_chaos": ("grid.N=[4]", "grid.D=[4, 8]", "grid.seed.num=2", "grid.s.num=3"),
    "albers_dimension": ("grid.N=4", "grid.D=4", "grid.seed.num=2", "grid.s.num=3"),
    "albers_windows": ("grid.N=4", "grid.D=4", "grid.seed.num=2", "grid.s.num=3"),
    "article": (),
    "escape": ("grid.batch_size=[1, 4]", "grid.momentum=[0.9]", "grid.seed.num=2", "grid.lr=[0.05]"),
    "factorisation_basins": (
        "grid.lr=[0.2, 0.5]",
        "grid.u={start: -1.1, stop: 1.2, num: 4}",
        "grid.v={start: -1, stop: 1.1, num: 3}",
    ),
    "flatness_digits": ("grid.batch_size=[4]", "grid.width=2", "grid.seed.num=2", "grid.lr=[0.1]"),
    "flatness_generalisation": ("grid.width=2", "grid.seed.num=3"),
    "learning_rate_to_chaos": (
        "grid.momentum=[0, 0.5]",
        "grid.weight_decay=0",
        "grid.seed.num=2",
        "grid.lr={start: 0.1, stop: 0.8, num: 3}",
    ),
    "basins_feedback": ("grid.N=2", "grid.D=12", "grid.u.num=4", "grid.v.num=3"),
    "hunt": ("grid.N=4", "grid.D=8", "grid.seed.num=3"),
    "multistability": ("grid.D=4", "grid.seed.num=2", "grid.s.num=3", "grid.replicate.num=3"),
    "neurons_and_delays": ("grid.N=[2]", "grid.D=[2, 4]", "grid.seed.num=2", "grid.s.num=3"),
    "order_to_chaos": ("grid.D=4", "grid.seed.num=2", "grid.s.num=3"),
    "second_opinions": ("grid.D=4", "grid.seed.num=2", "grid.s.num=3"),
    "seung_bump": (*TRAINED, "grid.task=completion"),
    "seung_digits": TRAINED,
    "seung_pca": ("grid.n2=[2,4]", "grid.hidden_places=4", "grid.train_steps=20", "grid.components=4", "grid.label=2"),
    "seung_phase": (*TRAINED, "grid.n2=[12,16]"),
    "seung_ring": (*TRAINED, "grid.task=completion"),
    "seung_usps": (*TRAINED, "grid.components=4", "grid.label=[1,2]"),
    "smoke": ("grid.seed.num=2", "grid.s.num=3"),
    "trainability": (
        "grid.width=2",
        "grid.lr={start: 1, stop: 4, num: 3}",
        "grid.lr_hidden={start: 1, stop: 4, num: 4}",
    ),
    "trainability_large": (
        "grid.width=2",
        "grid.lr={start: 1, stop: 4, num: 3}",
        "grid.lr_hidden={start: 1, stop: 4, num: 4}",
    ),
    "transitions": ("grid.N=2", "grid.D=3", "grid.seed.num=2", "grid.s.num=4"),
    "xor_basins": (
        "grid.width=[2]",
        "grid.momentum=[0.9]",
        "grid.seed.num=2",
        "grid.init_scale=[1, 2]",
        "grid.lr=[0.1]",
    ),
}


def images_in(folder: Path) -> Path:
    """A file as that of the postal digits is: here, noise of 4 x 4 pixels in two classes."""
    draw, path = np.random.default_rng(0), folder / "usps.npz"
    halves = {"train": 24, "test": 10}
    images = {f"{half}/data": draw.random((n, 16)) for half, n in halves.items()}
    np.savez(path, **images, **{f"{half}/target": 1 + np.arange(n) % 2 for half, n in halves.items()})
    return path


@pytest.mark.parametrize("experiment", sorted(file.stem for file in (CONF / "experiment").glob("*.yaml")))
def test_an_experiment_on_a_tiny_budget_gives_its_table_and_its_figure(experiment: str, tmp_path: Path) -> None:
    small = [*SMALL[experiment], *TINY]
    if "system.data=PATH" in (CONF / "experiment" / f"{experiment}.yaml").read_text():
        small.append(f"system.data={images_in(tmp_path)}")
    plan = plan_of(f"experiment={experiment}", *small)
    run = sweep(plan, tmp_path, devices=1 if plan.system.trained else 2)  # each would compile the training anew
    df = aj.read_run(run)
    assert len(df) == plan.n_cells and (df["status"] == "ok").all() and df["regime"].notna().all()
    assert [len(row) for row in df["exponents"]] == [group.k for group in plan.groups for _ in range(group.n_cells)]
    # One length in the whole run: the files say so. Several (the article's D = 16 and 32): they cannot.
    kinds = {pq.read_schema(part).field("exponents").type for part in (run / "cells").iterdir()}
    assert len(kinds) == 1 and pa.types.is_fixed_size_list(*kinds) == (len({group.k for group in plan.groups}) == 1)
    # The figure that the experiment says it feeds.
    header = (CONF / "experiment" / f"{experiment}.yaml").read_text()
    command = re.search(r"python -m (analysis\.\w+) RUN((?: --\w+ [\w=]+)*)", header)
    assert command, "an experiment is headed by its command and the figure that it feeds"
    if plan.system.trained:  # figures take the networks from the run
        assert import_module(command[1]).main([str(run), *command[2].split()]) == 0
        assert (picture := next((run / "figures").glob("*.png"))).stat().st_size > 10_000, picture
        return
    axes = dict(re.findall(r"--(\w+) (\w+)", command[2]))
    figure = import_module(command[1]).draw(df, **axes)
    assert isinstance(figure, Figure) and figure.axes


@pytest.mark.parametrize("system", ["uniform", "gaussian"])
def test_a_network_that_is_switched_off_is_superstable_and_did_not_underflow(system: str, tmp_path: Path) -> None:
    df = cells_of(sweep(plan_of(f"system={system}", "grid.D=3", "grid.s=0", *TINY), tmp_path))
    assert list(df["status"]) == ["superstable"] and list(df["lambda_1"]) == [-np.inf]


def test_sums_in_float32_do_not_drown_in_their_length(tmp_path: Path) -> None:
    """Four million terms of 0.6: a float32 sum of them is wrong in the third digit, its float64 sum in none."""
    long = ("grid.r=3.9", "measure.transient=100", "measure.steps=4e6", "measure.k=1", "backend.dtype=float32")
    row = cells_of(sweep(plan_of("system=logistic", *long), tmp_path)).iloc[0]
    # On any invariant measure of the logistic map E[x'] = E[x]: r (E[x] - E[x^2]) = E[x].
    second = row["y_std"] ** 2 + row["y_mean"] ** 2
    assert 3.9 * (row["y_mean"] - second) == pytest.approx(row["y_mean"], rel=1e-5)
