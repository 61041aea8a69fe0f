"""What would an H100 run? Every engine compiled for one, on a machine that has none.

    make gpu-program    # in an environment of its own; writes docs/gpu_program.md

Each row is the sweep's own program of a first round, with nothing before and hardly anything after the measured steps:
what is launched is counted in XLA's optimised program, each loop as often as it turns, and divided by the steps. Bytes
are those of all operands and results of what is launched: an upper bound, since what stays in a cache is counted, and a
kernel need not read all of an operand. Registers and spills are what ptxas says of the same PTX.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.launches import instructions, launches, ptxas
from sweeps.arguments import ArgumentProblem, OneLineParser, refuse

OUTPUT = Path(__file__).resolve().parent.parent / "docs" / "gpu_program.md"
BLOCKS, STEPS = 20, 20_000
DRAWS, LANES, AT_ONCE = 64, 64, 8  # networks of the plan, blocks side by side

# The kernels of the engine `fused`, by what they run.
RUNS = ("iterate", "output_range", "first_return", "advance")

# What XLA asks of a device that it cannot see (NVIDIA H100 SXM data sheet; compute capability 9.0).
H100 = {
    "gpu_device_info": {
        "threads_per_block_limit": 1024,
        "threads_per_warp": 32,
        "shared_memory_per_block": 49152,
        "shared_memory_per_core": 233472,
        "shared_memory_per_block_optin": 232448,
        "threads_per_core_limit": 2048,
        "core_count": 132,
        "fpus_per_core": 128,
        "block_dim_limit_x": 2**31 - 1,
        "block_dim_limit_y": 65535,
        "block_dim_limit_z": 65535,
        "memory_bandwidth": 3_352_320_000_000,
        "l2_cache_size": 52_428_800,
        "clock_rate_ghz": 1.98,
        "device_memory_size": 84_978_434_048,
        "registers_per_core_limit": 65536,
        "registers_per_block_limit": 65536,
        "cuda_compute_capability": {"major": 9, "minor": 0},
    },
    "platform_name": "CUDA",
    "dnn_version_info": {"major": 9, "minor": 10, "patch": 0},
    "runtime_version": {"major": 12, "minor": 9, "patch": 0},
    "device_description_str": "NVIDIA H100 80GB HBM3",
}


@dataclass(frozen=True)
class Row:
    """One program: whose, of which networks, and whether the cells share their draws."""

    engine: str
    dtype: str
    shape: tuple[int, int] = (4, 16)
    k: int = 1
    shared: bool = True

    @property
    def name(self) -> str:
        what = "lambda_1" if self.k == 1 else f"all {self.k} exponents"
        return f"{self.engine}, {what}, {'shared W' if self.shared else 'own W'}"


ROWS = (
    Row("scan", "float64"),
    Row("scan", "float32"),
    Row("scan", "float64", shared=False),
    Row("scan", "float64", k=16),
    Row("fused", "float64"),
    Row("fused", "float32"),
    Row("fused", "float64", shared=False),
    Row("fused", "float32", shape=(8, 32)),
)


def main() -> int:
    parser = OneLineParser("python -m benchmarks.gpu_program", "Every engine compiled for an H100, without one.")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    try:
        arguments = parser.parse_args()
        if shutil.which("ptxas") is None:
            raise ArgumentProblem("ptxas must be on the PATH (make gpu-program puts NVIDIA's there), got none")
        if not arguments.output.parent.is_dir():
            raise ArgumentProblem(f"`--output` must be a file in a folder that is there, got {str(arguments.output)!r}")
    except ArgumentProblem as problem:
        return refuse(problem, 2)
    if arguments.worker is not None:
        print(json.dumps(_compiled(ROWS[arguments.worker], Path(os.environ["ATTRACTOR_JAX_DUMP"]))))
        return 0
    lines = [HEAD]
    print(HEAD, flush=True)
    for i, row in enumerate(ROWS):
        try:
            with tempfile.TemporaryDirectory() as dump:
                line = _line(row, _worked(i, dump))
        except subprocess.CalledProcessError as failed:
            return refuse(failed, 1)
        lines.append(line)
        print(line, flush=True)
    arguments.output.write_text(PAGE.format(table="\n".join(lines)))
    return 0


HEAD = """\
| program | N x D | dtype | kernels + copies a step | bytes a network-step | registers | spilled bytes | fma, mul, add | compiled in (s) |
|---|---|---|---|---|---|---|---|---|"""  # noqa: E501


def _worked(i: int, dump: str) -> dict[str, Any]:
    """The numbers of a row, made by a process of its own: XLA reads its flags once."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_dump_to={dump}".strip()
    environment = os.environ | {
        "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1", "ATTRACTOR_JAX_DUMP": dump
    }  # fmt: skip
    command = [sys.executable, "-m", "benchmarks.gpu_program", "--worker", str(i)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _line(row: Row, found: Mapping[str, Any]) -> str:
    """A row of the table."""
    kernels, copies, size = (f"{float(f'{found[name]:.2g}'):g}" for name in ("kernels", "copies", "size"))
    arithmetic = ", ".join(str(found[name]) for name in ("fma", "mul", "add")) if row.engine == "fused" else ""
    name = row.name + (" (refused by sweeps)" if found["refused"] else "")
    return (
        f"| {name} | {row.shape[0]} x {row.shape[1]} | {row.dtype} | {kernels} + {copies} | {size} | "
        f"{found['registers']} | {found['spills']} | {arithmetic} | {found['seconds']:.0f} |"
    )


def _compiled(row: Row, dump: Path) -> dict[str, Any]:
    """Compile the program of a row, and count."""
    import jax
    import numpy as np
    from jax.experimental import topologies

    from attractor_jax import groups
    from attractor_jax.config import ConfigError, SweepConfig
    from attractor_jax.engine import Engine
    from attractor_jax.plan import make_plan

    jax.config.update("jax_enable_x64", True)
    config = SweepConfig.from_mapping(_configuration(row))
    refused = False
    try:
        plan = make_plan(config)
    except ConfigError:
        refused = True
        groups.MOST_IN_REGISTERS = dict.fromkeys(groups.MOST_IN_REGISTERS, 10**6)  # what would become of it?
        plan = make_plan(config)
    topology = topologies.get_topology_desc("1x1x1", "cuda", target_config=as_text_proto(H100), topology="1x1x1")
    (part, *_) = plan.parts()
    engine = Engine(plan, part.group, topology.devices[:1], 2.0**40, AT_ONCE)
    program = engine.first_program(part.group.block_shape)
    (block, *_) = part.blocks()
    inputs = (*engine.problem(block)[1], engine.states(engine.first_states(block)))
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((program.blocks_per_device, *np.shape(x)), x.dtype, sharding=program.sharding),
        inputs,
    )
    counts = jax.ShapeDtypeStruct((1,), np.int32, sharding=program.sharding)
    began = time.perf_counter()
    text = program.compiled.lower(counts, shapes).compile().as_text()
    seconds = time.perf_counter() - began
    networks = program.blocks_per_device * math.prod(part.group.block_shape)
    launched = launches(text)
    kernels = [path.read_text() for path in sorted(dump.glob("*.ptx"))]
    runs = [kernel for kernel in kernels if any(f"fused_{run}" in kernel for run in RUNS)]
    fused = [kernel for kernel in runs if "fused_advance" in kernel]
    told = [ptxas(kernel) for kernel in runs or kernels if ".entry" in kernel]
    return {
        "kernels": launched.kernels / STEPS,
        "copies": launched.copies / STEPS,
        "size": launched.size / STEPS / networks,
        "registers": max(registers for registers, _ in told),
        "spills": max(spills for _, spills in told),
        **{name: sum(instructions(kernel, name) for kernel in fused) for name in ("fma", "mul", "add")},
        "seconds": seconds,
        "refused": refused,
    }


def _configuration(row: Row) -> dict[str, Any]:
    from attractor_jax.config import ALONE

    N, D = row.shape
    s = {"start": 0.3, "stop": 4.0, "num": LANES, "spacing": "log"}
    grid: dict[str, Any] = {"N": N, "D": D, "seed": {"start": 0, "num": DRAWS}, "s": s}
    if not row.shared:
        grid = {"cells": [{"N": N, "D": D, "seed": seed, "s": 1.5} for seed in range(DRAWS * LANES)]}
    return {
        "name": "gpu_program", "system": {"name": "uniform"}, "grid": grid,
        "measure": {"transient": 0, "steps": STEPS, "k": row.k, "blocks": BLOCKS, "align": 0,
                    "renormalise_every": "auto", "longest_period": 1, "period_tolerance": "auto", "also": [],
                    "target_se": None, "max_steps": None},
        "transitions": None,
        "backend": {"dtype": row.dtype, "batch": "auto", "devices": "all", "memory": 1.0, "engine": row.engine},
        "plan": {"part_steps": 10**15, "shaped_for": None}, **ALONE,
    }  # fmt: skip


def as_text_proto(values: Mapping[str, Any]) -> str:
    """A nested mapping as a protocol buffer's text."""
    fields: list[str] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            fields.append(f"{name} {{ {as_text_proto(value)} }}")
        else:
            fields.append(f"{name}: {json.dumps(value)}")
    return " ".join(fields)


PAGE = """\
# What a GPU would run

`make gpu-program` makes this table: every engine compiled for an H100, on a machine that has none. Below it is what an
H100 did.

Each row is the sweep's own program of a first round, 20,000 measured steps in 20 blocks, 4,096 networks at a
time (1,024 or so with all exponents); transient, alignment and search for periods are left out. Launches and bytes are
those of the whole program over the steps. The bytes are an upper bound: what a cache holds is counted, and so is all
of an operand.

{table}

`fused` launches one kernel for all measured steps, `fused_advance`; what else is counted above begins and ends the
program. Transient, alignment, the stretch on which the range of y is compared and the search for a period take a launch
each; registers and spills are those of the largest. Larger networks are refused before anything compiles: a thread
keeps N (D + 1) + 2 D numbers (N more in the gaussian family), at most 104 in float64 and 176 in float32.

## What an H100 did

`python -m benchmarks.on_gpu` on an H100 80GB HBM3 (driver 580, jax 0.11.2), million network-steps per second, medians
of five, arrays on the device ([gpu.csv](../benchmarks/results/gpu.csv)):

| networks at once | scan, float64 | fused, float64 | scan, float32 | fused, float32 |
|---|---|---|---|---|
| 512 | 95 | 945 | 119 | 1,940 |
| 8,192 | 1,410 | 15,100 | 1,690 | 31,000 |
| 131,072 | 4,000 | 40,800 | 7,320 | 72,900 |

Before it was run, 40,000 and 70,000 had been reckoned for `fused`, and 2,000 for `scan` in float64. `scan` with 65,536
networks: 490 with four exponents and 47 with all 16 in float64 (620 and not measured in float32), 1,900 at (8, 32).

What bounds `fused`, by Nsight Compute: in float64 a step is 469 instructions, 276 of them of float64, whose units are
busy for 70 % of the time: 254 registers leave two warps a scheduler, too few to hide all latencies. In float32 it is
341 instructions at three warps, and 75 % of the cycles start one. Memory is idle (0.5 %). Two steps a pass of the loop
are 8 % faster in float32 and 2 % slower in float64, and compile for twice as long; two or four warps a program change
nothing.

A whole `sweeps.run` is bound by its host. 262,144 cells of 100,000 steps took 29 s with `fused` and 35 s with `scan`
where nothing was compiled yet: 970 and 790 million a second. Of 20 s with the programs in the cache, under a profiler,
10 are start, tracing and the first part; of the 1.25 s of every further part of 29,000 cells the device computes for
0.1 s, and most of the rest are closed forms. It is cells that cost the host time: measure longer, and the device works.

The engines agree as far as engines can. After 32 steps from one state, `scan` on the CPU and on the GPU are at most
2e-11 apart in float64, and `fused` 2e-10 from it, both in logarithms of determinants and amplitudes that chaos has
stretched. After 20,000 steps, of 12,288 cells of order_to_chaos:

| | float64: regimes equal, lambda_1 within 4 standard errors | float32 |
|---|---|---|
| scan on the GPU, beside scan on the CPU | 99.11 %, 99.09 % | 98.85 %, 98.47 % |
| fused, beside scan on the GPU | 98.96 %, 98.97 % | 98.91 %, 98.72 % |

In float32 the first run found 95 and 79 %: matrix products were rounded to ten bits, which GPUs do unless they are told
not to. A test holds all products to their dtype now.

## Why `scan` launches more than one kernel a step

Eight steps are taken at once: some ten launches for them together (the product with the weights, the shift, the copies
of what the loop carries), and two for each: the units, and from their sum the next entry, which XLA does not fuse.
The goal of 1.5 launches a step is missed. Tried for (4, 16) in float64, kernels + copies a step: sixteen steps at once
2.8 + 0.001 (with 2,400 bytes for 1,500), XLA's own tanh 2.9 + 0.19, a tanh without a division 3.4 + 0.19.
"""


if __name__ == "__main__":
    raise SystemExit(main())
