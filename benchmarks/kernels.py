"""Which kernels does a network-step's time go into?

    python -m benchmarks.kernels [--shape 4x16] [--k 1] [--dtype float64] [--top 12]

The sweep's own program with all default columns under JAX's profiler, on one core. Times of kernels that are part of a
loop which XLA compiled to one function are not told apart. Profiling slows what is short: read the shares.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks.competitors import Case, sweep
from benchmarks.measured import positive, shape
from sweeps.arguments import ArgumentProblem, OneLineParser, refuse

# Operations of a program among the entries of a trace; loops hold other entries.
KERNEL = re.compile(r"(?!while)[a-z][a-z0-9_-]*(\.\d+)?")


def main() -> int:
    parser = OneLineParser("python -m benchmarks.kernels", "Which kernels a network-step's time goes into.")
    parser.add_argument("--shape", type=shape, default="4x16", help="N x D of the networks")
    parser.add_argument("--k", type=positive, default=1, help="exponents")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    parser.add_argument("--top", type=positive, default=12, help="kernels shown")
    try:
        arguments = parser.parse_args()
        N, D = (int(number) for number in arguments.shape.split("x"))
        if arguments.k > D:
            raise ArgumentProblem(f"`--k` must be at most D = {D}, got {arguments.k}")
    except ArgumentProblem as problem:
        return refuse(problem, 2)
    case = Case(N, D, arguments.k, arguments.dtype, draws=64 if arguments.k < D else 16, seconds=0.5)
    times = Counter(dict(_times(case)))
    whole = sum(times.values())
    for name, each in times.most_common(arguments.top):
        print(f"{each:9.3f} ns a network-step {each / whole:7.1%}  {name}")
    print(f"{whole:9.3f} ns in {len(times)} kinds of kernels")
    return 0


def _times(case: Case) -> Iterator[tuple[str, float]]:
    """Kernels, those of one name together, and their nanoseconds in a network-step."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_enable_xprof_traceme=true".strip()
    from attractor_jax import backend
    from attractor_jax.config import BackendConfig

    turn = sweep(case, backend.start(BackendConfig("float64", "auto", 1, 1.0, "auto")))
    import jax

    turn.call()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            turn.call()
        (trace,) = Path(folder).rglob("*.trace.json.gz")
        events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    seconds: Counter[str] = Counter()
    for event in events:
        if event.get("ph") == "X" and KERNEL.fullmatch(event["name"]):
            seconds[event["name"].partition(".")[0]] += event["dur"] * 1e-6
    for name, each in seconds.items():
        yield name, 1e9 * each / turn.network_steps


if __name__ == "__main__":
    sys.exit(main())
