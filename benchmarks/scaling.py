"""How does the throughput of one core depend on what is asked for? The data behind the figures of docs/performance.md.

    python -m benchmarks.scaling [--questions batch delays ...] [--rounds 5] [--write FILE.csv]

    batch      networks that are computed at once, 1 to 32,768, at (4, 16): lambda_1 of the sweep beside others
    delays     D = 4 to 128 at N = 4: one exponent, four, all
    exponents  k = 1 to 16 at (4, 16)
    columns    lambda_1 alone, with the default columns, and with each optional measure beside them

float64, one core, the competitors of a question in turn (competitors.py). Takes five minutes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.competitors import BLOCKS, Case, Turn, bare, rival, sweep, take_turns
from benchmarks.measured import Row, check_place, kept, pinned, positive, tell
from sweeps.arguments import ArgumentProblem, OneLineParser, refuse

QUESTIONS = ("batch", "delays", "exponents", "columns")
BATCHES = (1, 8, 64, 512, 4096, 32768)
DELAYS = (4, 8, 16, 32, 64, 128)
EXPONENTS = (1, 2, 4, 8, 12, 16)
SECONDS = 0.3


def main(argv: list[str] | None = None) -> int:
    parser = OneLineParser("python -m benchmarks.scaling", "Throughput against batch, D, k and columns.")
    parser.add_argument("--questions", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--write", type=Path, metavar="FILE", help="CSV file for the rates")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    try:
        arguments = parser.parse_args(argv)
        check_place(arguments.write)
    except ArgumentProblem as problem:
        return refuse(problem, 2)
    if arguments.worker:
        for row in _measure(arguments.questions, arguments.rounds):
            tell(row)
        return 0
    words = ["--worker", "--rounds", str(arguments.rounds), "--questions", *arguments.questions]
    try:
        for row in kept(pinned("benchmarks.scaling", words, 1), arguments.write):
            shape = f"{row.N} x {row.D}, k = {row.k}, {row.cells} cells"
            print(f"{row.question:10} {shape:28} {row.program:18}{row.median:10.3g}", flush=True)
    except subprocess.CalledProcessError as failed:
        return refuse(failed, 1)
    return 0


def _measure(questions: Sequence[str], rounds: int) -> Iterator[Row]:
    from attractor_jax import backend
    from attractor_jax.config import BackendConfig

    devices = backend.start(BackendConfig("float64", "auto", "all", 1.0, "auto"))
    ask = {"batch": _batch, "delays": _delays, "exponents": _exponents, "columns": _columns}
    for question in questions:
        for entries in ask[question](devices):
            turns = {name: turn for name, (_, turn) in entries.items()}
            for name, rate in take_turns(turns, rounds).items():
                program = name.split(",")[0]  # the rest only tells turns apart
                yield Row.of(question, program, entries[name][0], len(devices), rate, rounds)


Entries = dict[str, tuple[Case, Turn]]


def _batch(devices: Sequence[Any]) -> Iterator[Entries]:
    for cells in BATCHES:
        case = Case(4, 16, draws=-(-cells // 64), lanes=min(cells, 64), seconds=SECONDS)

        def steps(name: str, case: Case = case) -> int:
            # A few networks take as long as some hundreds, except one at a time.
            few = 1.0 if name == "numba_loop" else min(1.0, case.cells / 256)
            unit = 16 * BLOCKS
            return max(1, int(case.steps(name, 1) * few / unit)) * unit

        entries = {"sweep": (case, sweep(case, devices, steps=steps("sweep")))}
        for name in ("numba_loop", "lyapax", "plain_vmap"):
            entries[name] = (case, rival(case, name, 1, steps(name)))
        yield entries


def _delays(devices: Sequence[Any]) -> Iterator[Entries]:
    for k in (1, 4, None):
        cases = [Case(4, D, k or D, draws=64 if k else max(2, 256 // D), seconds=SECONDS) for D in DELAYS]
        # Four exponents of four are all of them.
        kept = [case for case in cases if k != 4 or case.D > 4]
        yield {f"sweep, {case.D}": (case, sweep(case, devices)) for case in kept}


def _exponents(devices: Sequence[Any]) -> Iterator[Entries]:
    cases = [Case(4, 16, k, seconds=SECONDS) for k in EXPONENTS]
    yield {f"sweep, {case.k}": (case, sweep(case, devices)) for case in cases}


def _columns(devices: Sequence[Any]) -> Iterator[Entries]:
    from attractor_jax.measures import OPTIONAL

    # One length for all: the 0-1 test keeps samples, and what it makes of them at the end is part of its cost.
    case, steps = Case(4, 16, draws=8, seconds=SECONDS), 3200
    entries = {"bare": (case, bare(case, devices, steps=steps)), "sweep": (case, sweep(case, devices, steps=steps))}
    for name in OPTIONAL:
        entries[name] = (case, sweep(case, devices, also=[name], steps=steps))
    yield entries


if __name__ == "__main__":
    sys.exit(main())
