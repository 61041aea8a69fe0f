"""The plan: every cell once, in fixed blocks and parts, under a hash that knows all that can change a number."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from runs import TINY, plan_of

from attractor_jax.groups import Block
from attractor_jax.plan import Part, Plan
from sweeps.command_line import CONF

AXES = ("N", "D", "seed", "replicate", "s")


def blocks_of(plan: Plan) -> list[tuple[Part, Block]]:
    return [(part, block) for part in plan.parts() for block in part.blocks()]


def planned_cells(plan: Plan) -> np.ndarray:
    """One row a real cell as the blocks hold it: cell_id and the axes."""
    rows = []
    for _, block in blocks_of(plan):
        columns = {name: np.broadcast_to(values[:, None], block.real.shape) for name, values in block.draws.items()}
        columns |= block.lanes
        every = np.stack([block.cell_id, *(columns[axis.name] for axis in plan.system.axes)], axis=-1)
        rows.append(every[block.real])
    return np.concatenate(rows)


def seeds(n: int) -> str:
    return f"grid.seed={{start: 0, num: {n}}}"


def scales(n: int) -> str:
    return f"grid.s={{start: 0.5, stop: 2, num: {n}}}"


PRODUCTS = {
    "one cell": ("grid.seed=0", "grid.s=1"),
    "primes": (seeds(7), scales(13)),
    "large primes": (seeds(61), scales(101)),
    "more draws than a block": (seeds(1009), "grid.s=1"),
    "1000 lanes of one draw": ("grid.seed=5", scales(1000)),
    "a prime number of lanes of one draw": ("grid.seed=5", scales(997)),
    "two replicates": (seeds(3), "grid.replicate=[0, 2]", scales(5)),
    "several shapes": ("grid.N=[2, 3]", "grid.D=[1, 4, 5]", seeds(11), scales(3)),
    "large states": ("grid.D=512", seeds(3), scales(67)),
}


@pytest.mark.parametrize("arguments", PRODUCTS.values(), ids=PRODUCTS)
def test_blocks_hold_every_cell_of_a_product_once_and_in_canonical_order(arguments: tuple[str, ...]) -> None:
    plan = plan_of(*arguments)
    cells = planned_cells(plan)
    assert len(cells) == plan.n_cells
    cells = cells[np.argsort(cells[:, 0])]
    np.testing.assert_array_equal(cells[:, 0], np.arange(plan.n_cells))
    # N, D, seed, replicate, s: the last one fastest, each in ascending order.
    expected = list(itertools.product(*(np.unique(cells[:, i]).tolist() for i in range(1, 6))))
    np.testing.assert_array_equal(cells[:, 1:], expected)


@pytest.mark.parametrize("n", [1, 2, 64, 97, 600])
def test_blocks_hold_every_listed_cell_once_and_in_canonical_order(n: int) -> None:
    # In disorder, of three shapes, several of one seed.
    listed = [(4, 8 + i % 3, i * 7 % 50, 0, 1 + i * 31 % n / 64) for i in range(n)]
    text = ", ".join("{" + ", ".join(f"{a}: {v}" for a, v in zip(AXES, cell, strict=True)) + "}" for cell in listed)
    plan = plan_of(f"grid.cells=[{text}]")
    cells = planned_cells(plan)
    cells = cells[np.argsort(cells[:, 0])]
    np.testing.assert_array_equal(cells[:, 0], np.arange(n))
    np.testing.assert_array_equal(cells[:, 1:], sorted(listed))
    assert all(group.block_shape[1] == 1 for group in plan.groups), "a listed cell has a draw of its own"


def test_a_map_without_static_or_drawn_axes_is_planned_too() -> None:
    for arguments in (("grid.a={start: 1, stop: 1.4, num: 601}",), ("grid.cells=[{a: 1.2}, {b: 0.2, a: 1.1}]",)):
        plan = plan_of("system=henon", *arguments)
        cells = planned_cells(plan)
        np.testing.assert_array_equal(np.sort(cells[:, 0]), np.arange(plan.n_cells))
        assert len(np.unique(cells[:, 1:], axis=0)) == plan.n_cells


@pytest.mark.parametrize("arguments", PRODUCTS.values(), ids=PRODUCTS)
def test_blocks_of_a_group_have_one_shape_and_flag_their_padding(arguments: tuple[str, ...]) -> None:
    plan = plan_of(*arguments)
    padded = 0
    for part, block in blocks_of(plan):
        assert block.real.shape == block.cell_id.shape == part.group.block_shape
        assert all(values.shape == part.group.block_shape for values in block.lanes.values())
        assert all(values.shape == part.group.block_shape[:1] for values in block.draws.values())
        assert block.real.any()
        # Padding repeats cells of the block: nothing new to diverge, nothing out of range.
        assert set(block.cell_id[~block.real]) <= set(block.cell_id[block.real])
        padded += int((~block.real).sum())
    computed = sum(group.n_blocks * group.block_shape[0] * group.block_shape[1] for group in plan.groups)
    assert padded == computed - plan.n_cells


def test_awkward_sizes_are_padded() -> None:
    assert any(not block.real.all() for _, block in blocks_of(plan_of(*PRODUCTS["primes"])))


def test_one_draw_of_the_weights_serves_all_scales() -> None:
    plan = plan_of(seeds(120), scales(48), "measure.k=1")
    drawn = [seed for _, block in blocks_of(plan) for seed in block.draws["seed"].tolist()]
    assert sorted(drawn) == list(range(120))


@pytest.mark.parametrize("part_steps", [1, 10**6, 10**7, 10**12])
def test_parts_tile_the_blocks(part_steps: int) -> None:
    plan = plan_of("grid.D=[3, 4]", seeds(61), scales(101), f"plan.part_steps={part_steps}")
    parts = list(plan.parts())
    assert [part.index for part in parts] == list(range(plan.n_parts))
    assert len({part.file for part in parts}) == plan.n_parts
    for group in plan.groups:
        spans = [(part.first_block, part.first_block + part.n_blocks) for part in parts if part.group is group]
        assert spans[0][0] == 0 and spans[-1][1] == group.n_blocks
        assert all(end == start for (_, end), (start, _) in itertools.pairwise(spans))
    assert sum(part.n_cells for part in parts) == plan.n_cells
    assert all(part.n_cells == sum(int(block.real.sum()) for block in part.blocks()) for part in parts)
    if part_steps == 1:
        assert all(part.n_blocks == 1 for part in parts)
    if part_steps == 10**12:
        assert len(parts) == len(plan.groups)


BASE = (seeds(8), scales(5))
CHANGES = {
    "an axis value, in its last bit": ("grid.s=[0.5, 0.875, 1.25, 1.625, 2.0000000000000004]",),
    "one cell less": (scales(4),),
    "a seed": ("grid.seed=[0, 1, 2, 3, 4, 5, 6, 8]",),
    "a static axis": ("grid.D=17",),
    "a replicate": ("grid.replicate=1",),
    "the system": ("system=gaussian", "experiment=order_to_chaos"),
    "transient": ("measure.transient=5001",),
    "steps": ("measure.steps=10020",),
    "k": ("measure.k=1",),
    "blocks": ("measure.blocks=10",),
    "align": ("measure.align=501",),
    "renormalise_every": ("measure.renormalise_every=7",),
    "longest_period": ("measure.longest_period=1025",),
    "period_tolerance": ("measure.period_tolerance=1.0000000000000002e-9",),
    "an optional measure": ("measure.also=[coverage]",),
    "dtype": ("backend.dtype=float32",),
    "the cut into parts": ("plan.part_steps=1000000",),
}
NO_CHANGES = {
    "the order of a list": ("grid.s=[2.0, 0.5, 1.25, 0.875, 1.625]",),
    "a batch": ("backend.batch=3",),
    "devices": ("backend.devices=1",),
    "memory": ("backend.memory=0.1",),
    "the engine": ("backend.engine=scan",),
    "the place": ("output=elsewhere",),
    "the name": ("name=another",),
    "a dry run": ("dry_run=true",),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_hash_changes_with(change: tuple[str, ...]) -> None:
    assert plan_of(*BASE, *change).hash != plan_of(*BASE).hash


@pytest.mark.parametrize(("constant", "value"), [("plan.NUMERICS_VERSION", -1), ("groups.BLOCK_NUMBERS", 2**16)])
def test_the_hash_changes_with_the_program_and_its_blocks(
    constant: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = plan_of(seeds(100), scales(50), "measure.k=4").hash
    monkeypatch.setattr(f"attractor_jax.{constant}", value)
    assert plan_of(seeds(100), scales(50), "measure.k=4").hash != before


@pytest.mark.parametrize("change", NO_CHANGES.values(), ids=NO_CHANGES)
def test_the_hash_does_not_change_with(change: tuple[str, ...]) -> None:
    assert plan_of(*BASE, *change).hash == plan_of(*BASE).hash


def test_a_product_and_the_list_of_its_cells_are_two_plans() -> None:
    """Another layout of blocks changes last bits, and chaos does the rest."""
    product, listed = plan_of("grid.seed=3", "grid.s=[1, 2]"), plan_of("grid.cells=[{seed: 3, s: 1}, {seed: 3, s: 2}]")
    np.testing.assert_array_equal(planned_cells(product), planned_cells(listed))
    assert product.hash != listed.hash


def test_a_plan_imports_no_jax() -> None:
    program = """
import sys
from sweeps.command_line import compose, prepare_overrides
from sweeps.run import read
plan = read(compose(prepare_overrides(["experiment=neurons_and_delays", "measure.also=[coverage]"])))
assert plan.hash and [part.n_cells for part in plan.parts()]
sys.exit("jax was imported" if "jax" in sys.modules else 0)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=CONF.parent, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_a_plan_of_a_million_cells_is_small() -> None:
    tracemalloc.start()
    try:
        plan = plan_of(*TINY, seeds(1000), scales(1000))
        assert plan.n_cells == 10**6
        assert plan.hash and sum(part.n_cells for part in plan.parts()) == 10**6
        assert all(block.real.any() for block in next(plan.parts()).blocks())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10e6, f"{peak / 1e6:.1f} MB"


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16, 1000])
@pytest.mark.parametrize("arguments", PRODUCTS.values(), ids=PRODUCTS)
def test_shards_are_the_plan(count: int, arguments: tuple[str, ...]) -> None:
    plan = plan_of(*arguments, "plan.part_steps=1")
    shares = [plan.share(index, count) for index in range(count)]
    assert sorted(part.index for share in shares for part in share) == list(range(plan.n_parts))
    assert all(part.index < other.index for share in shares for part, other in itertools.pairwise(share))
    costs = [sum(part.cost for part in share) for share in shares]
    assert max(costs) - min(costs) <= max(part.cost for part in plan.parts()) + 1e-9 * max(costs)


def test_shards_do_not_change_the_plan() -> None:
    assert plan_of("shard.count=4", "shard.index=3").hash == plan_of().hash
