"""How many network-steps per second, beside everybody else?

    python -m benchmarks.throughput [--shapes 4x16 8x32] [--dtypes float64 float32] [--cores 1 all] [--rounds 5]

Feedback networks, 64 draws of the weights times 64 values of s from 0.3 to 4, tangent included, everything compiled
before it is timed. Competitors take turns within one process, round after round, since machines are shared and drift:
read the ratios. Ours is the sweep's own program with all default columns (mean, spread and range of y, sum rule, block
means); the rivals compute exponents and nothing else. Each number of cores is a process of its own, pinned to them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from analysis.command import ArgumentProblem, OneLineParser, refuse

DRAWS = LANES = 64
SECONDS = 0.7  # that one turn should take
BLOCKS = 20

# Rough network-steps per second and core of each competitor at N = 4, D = 16, to choose how long a turn is.
EXPECTED = {
    "attractor_jax": 25e6,
    "article_loop": 4e4,
    "numba_plain": 8e6,
    "numba_loop": 15e6,
    "numba_lanes": 40e6,
    "lyapax": 15e6,
}
EXPECTED_SPECTRUM = {"attractor_jax": 1e6, "article_loop": 1e4, "numba_plain": 8e5, "numba_loop": 4e6, "lyapax": 8e5}


def main() -> int:
    parser = OneLineParser("python -m benchmarks.throughput", "Network-steps per second, beside the rivals.")
    parser.add_argument("--shapes", nargs="+", type=_shape, default=["4x16", "8x32"], help="N x D of the networks")
    parser.add_argument("--dtypes", nargs="+", choices=("float64", "float32"), default=["float64", "float32"])
    parser.add_argument("--cores", nargs="+", type=_cores, default=["1", "all"], help="how many, or all")
    parser.add_argument("--rounds", type=_positive, default=5)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    try:
        arguments = parser.parse_args()
    except ArgumentProblem as problem:
        return refuse(problem, 2)
    if arguments.worker:
        for row in _work(arguments):
            print(json.dumps(row), flush=True)
        return 0
    print("exponents    N x D    dtype cores  program        M steps/s           range ours / it")
    for cores in arguments.cores:
        allowed = sorted(os.sched_getaffinity(0))
        pinned = allowed if cores == "all" else allowed[: int(cores)]
        command = [
            sys.executable, "-m", "benchmarks.throughput", "--worker", "--rounds", str(arguments.rounds),
            "--shapes", *arguments.shapes, "--dtypes", *arguments.dtypes,
        ]  # fmt: skip

        def pin(cores: list[int] = pinned) -> None:
            os.sched_setaffinity(0, cores)

        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=pin) as worker:
            assert worker.stdout is not None
            for line in worker.stdout:
                row = json.loads(line)
                print(
                    f"{row['what']:10}{row['shape']:>8}{row['dtype']:>9}{len(pinned):>6}  {row['name']:14}"
                    f"{row['rate']:10.2f}{row['low']:8.2f}-{row['high']:<7.2f}{row['ratio']:10.2f}",
                    flush=True,
                )
        if worker.returncode:
            return worker.returncode
    return 0


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, got {text!r}")
    return int(text)


def _shape(text: str) -> str:
    N, by, D = text.partition("x")
    if not (by and N.isdigit() and D.isdigit() and int(N) and int(D)):
        raise argparse.ArgumentTypeError(f"must be N x D, such as 4x16, got {text!r}")
    return text


def _cores(text: str) -> str:
    there = len(os.sched_getaffinity(0))
    if text != "all" and not (text.isdigit() and 1 <= int(text) <= there):
        raise argparse.ArgumentTypeError(f"must be 1 to {there}, or all, got {text!r}")
    return text


def _work(arguments: argparse.Namespace) -> Any:
    """All measurements on the cores that this process may use."""
    from attractor_jax import backend
    from attractor_jax.config import BackendConfig

    cores = len(os.sched_getaffinity(0))
    devices = backend.start(BackendConfig("float64", "auto", "all", 1.0, "auto"))
    for shape in arguments.shapes:
        N, D = (int(number) for number in shape.split("x"))
        for dtype in arguments.dtypes:
            for what in ("lambda_1", "spectrum"):
                turns = _competitors(N, D, 1 if what == "lambda_1" else D, dtype, cores, devices)
                for turn, _ in turns.values():
                    turn()
                rates: dict[str, list[float]] = {name: [] for name in turns}
                for _ in range(arguments.rounds):
                    for name, (turn, steps) in turns.items():
                        began = time.perf_counter()
                        turn()
                        rates[name].append(steps / (time.perf_counter() - began) / 1e6)
                ours = median(rates["attractor_jax"])
                for name, found in rates.items():
                    yield {
                        "what": what, "shape": shape, "dtype": dtype, "name": name, "rate": median(found),
                        "low": min(found), "high": max(found), "ratio": ours / median(found),
                    }  # fmt: skip


def _competitors(
    N: int, D: int, k: int, dtype: str, cores: int, devices: Any
) -> dict[str, tuple[Callable[[], Any], float]]:
    """A call that takes about SECONDS, and its network-steps, for everyone who can do it."""
    from attractor_jax.systems.feedback import Uniform
    from benchmarks.rivals import RIVALS

    expected = EXPECTED if k == 1 else EXPECTED_SPECTRUM
    # Work grows as N D, and for a spectrum as D k too: what was guessed at 4 x 16 shrinks accordingly.
    heavier = (N * D / 64 if k == 1 else (D / 16) ** 2) / cores
    draws = [Uniform().draw(N=N, D=D, seed=seed) for seed in range(DRAWS)]
    weights, gains = (np.stack([draw[name] for draw in draws]) for name in ("weights", "gains"))
    s = np.tile(np.geomspace(0.3, 4.0, LANES), (DRAWS, 1))

    def length(name: str, networks: int) -> int:
        return max(1, round(SECONDS * expected[name] / heavier / networks / 160)) * 160

    steps = length("attractor_jax", DRAWS * LANES)
    turns = {"attractor_jax": (_ours(N, D, k, dtype, steps, devices), float(steps * DRAWS * LANES))}
    for name, rival in RIVALS.items():
        if k > 1 and rival.largest_only:
            continue
        few = name == "article_loop"
        B, S = (1, 2) if few else (DRAWS, LANES)
        steps = length(name, B * S)

        def turn(rival: Any = rival, B: int = B, S: int = S, steps: int = steps) -> Any:
            return rival.exponents(
                weights[:B], gains[:B], s[:B, :S], k=k, transient=0, steps=steps, dtype=dtype, threads=cores
            )

        turns[name] = (turn, float(B * S * steps))
    return turns


def _ours(N: int, D: int, k: int, dtype: str, steps: int, devices: Any) -> Callable[[], Any]:
    """The sweep's own program on these networks."""
    from attractor_jax.config import SweepConfig
    from attractor_jax.engine import Engine
    from attractor_jax.plan import make_plan

    config = SweepConfig.from_mapping({
        "name": "throughput",
        "system": {"name": "uniform"},
        "grid": {"N": N, "D": D, "seed": {"start": 0, "num": DRAWS},
                 "s": {"start": 0.3, "stop": 4.0, "num": LANES, "spacing": "log"}},
        "measure": {"transient": 0, "steps": steps, "k": k, "blocks": BLOCKS, "align": 0, "renormalise_every": "auto",
                    "longest_period": 1, "period_tolerance": "auto", "also": [],
                    "target_se": None, "max_steps": None},
        "transitions": None,
        "backend": {"dtype": dtype, "batch": "auto", "devices": "all", "memory": 1.0, "engine": "auto"},
        "plan": {"part_steps": 10**15},
        "output": "results",
        "dry_run": False,
    })  # fmt: skip
    plan = make_plan(config)
    (part,) = plan.parts()
    engine = Engine(plan, part.group, devices, 2.0**30, -(-part.n_blocks // len(devices)))
    program = engine.first_program(part.group.block_shape)
    inputs = [(*engine.problem(block)[1], engine.states(engine.first_states(block))) for block in part.blocks()]
    return lambda: program.start(inputs).results()


if __name__ == "__main__":
    raise SystemExit(main())
