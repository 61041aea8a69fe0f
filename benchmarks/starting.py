"""What does a sweep cost before its first step?

    python -m benchmarks.starting [--turns 5]

`python -m sweeps.run experiment=smoke` with no compiled program at hand (cold) and with all of them (warm), beside the
least that any program with JAX costs: its import and one compiled operation. The three take turns, since machines are
shared and drift: read the ratios. Then how many programs `experiment=neurons_and_delays`, on a tiny budget, compiles.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.measured import positive
from sweeps.arguments import ArgumentProblem, OneLineParser, refuse

LEAST = "import jax; jax.jit(lambda x: x + 1)(1.0).block_until_ready()"
MOST = {"cold": 5.0, "warm": 2.5}  # times the least

# Compilations are events of JAX's own.
COUNT = """
import jax
made = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, _, **more: made.append(event) if event == "/jax/core/compile/backend_compile_duration" else None
)
from sweeps import run
run.main()
print(len(made))
"""
TINY = (
    "grid.seed.num=1",
    "grid.s.num=2",
    "measure.transient=40",
    "measure.steps=40",
    "measure.blocks=2",
    "measure.align=8",
    "measure.longest_period=16",
)


def main() -> int:
    parser = OneLineParser(
        "python -m benchmarks.starting", "Seconds until a sweep computes, beside those of JAX alone."
    )
    parser.add_argument("--turns", type=positive, default=5)
    try:
        turns = parser.parse_args().turns
    except ArgumentProblem as problem:
        return refuse(problem, 2)
    try:
        return _compare(turns)
    except subprocess.CalledProcessError as failed:
        sys.stderr.write(failed.stderr if isinstance(failed.stderr, str) else (failed.stderr or b"").decode())
        return refuse(failed, 1)


def _compare(turns: int) -> int:
    taken: dict[str, list[float]] = {"cold": [], "warm": [], "least": []}
    for _ in range(turns):
        with tempfile.TemporaryDirectory() as folder:
            cache = {"XDG_CACHE_HOME": folder}
            for name in ("cold", "warm"):
                sweep = ["-m", "sweeps.run", "experiment=smoke", f"output={Path(folder) / name}"]
                taken[name].append(_seconds(sweep, cache))
            taken["least"].append(_seconds(["-c", LEAST], cache))
    least = median(taken["least"])
    print(f"{'':6}{'seconds':>9}{'times the least':>17}{'at most':>9}")
    for name, each in taken.items():
        ratio = f"{median(each) / least:17.2f}{MOST[name]:9.1f}" if name in MOST else ""
        print(f"{name:6}{median(each):9.2f}{ratio}")
    compiled, shapes = _compilations()
    print(f"neurons_and_delays: {compiled} compilations of {shapes} shapes")
    return 0


def _seconds(arguments: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=os.environ | environment, check=True, capture_output=True)
    return time.perf_counter() - began


def _compilations() -> tuple[int, int]:
    """Programs that were compiled, and static shapes that the plan has."""
    from attractor_jax import read_run

    with tempfile.TemporaryDirectory() as folder:
        asked = ["experiment=neurons_and_delays", f"output={folder}", *TINY]
        said = subprocess.run(
            [sys.executable, "-c", COUNT, *asked],
            env=os.environ | {"XDG_CACHE_HOME": folder},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        run = Path(said[-2])
        return int(said[-1]), len(read_run(run).groupby(["N", "D"]))


if __name__ == "__main__":
    sys.exit(main())
