"""How many network-steps per second, beside everybody else?

    python -m benchmarks.throughput [--questions rivals spectrum ...] [--shapes 4x16 8x32] [--dtypes float64 float32]
                                    [--rounds 5] [--write FILE.csv]

    rivals      lambda_1 at every shape and dtype: the bare engine and the sweep's own program beside the C++ ceiling,
                numba, lyapax and plain vmap
    spectrum    all 16 exponents at (4, 16), beside those who can
    four        k = 4 at (4, 16)
    delays      how the cost of a step grows from D = 16 to 64 and 128, beside D k
    two_cores   all cores beside one
    end_to_end  `sweeps.run` for about a minute, from its start to its table, beside the engine in the same minutes: all
                steps count there, those of the transient and of the search for a period as well

Millions of network-steps per second, tangent included, warm; medians of rounds in which the competitors take turns
within one process that is pinned to its cores, one where nothing else is said (competitors.py). Read the ratios:
machines are shared and drift. All of it takes a quarter of an hour.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import ceiling
from benchmarks.competitors import EXPECTED, Case, competitors, sweep, take_turns
from benchmarks.end_to_end import end_to_end
from benchmarks.measured import Row, check_place, kept, pinned, positive, shape, tell
from sweeps.arguments import ArgumentProblem, OneLineParser, refuse

QUESTIONS = ("rivals", "spectrum", "four", "delays", "two_cores", "end_to_end")
ON_ALL = ("two_cores", "end_to_end")
DELAYS = (16, 64, 128)


def main(argv: list[str] | None = None) -> int:
    parser = OneLineParser("python -m benchmarks.throughput", "Network-steps per second, beside the rivals.")
    parser.add_argument("--questions", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    parser.add_argument("--shapes", nargs="+", type=shape, default=["4x16", "8x32"], help="N x D, for lambda_1")
    parser.add_argument("--dtypes", nargs="+", choices=("float64", "float32"), default=["float64", "float32"])
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--write", type=Path, metavar="FILE", help="CSV file for the rates")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    try:
        arguments = parser.parse_args(argv)
        check_place(arguments.write)
    except ArgumentProblem as problem:
        return refuse(problem, 2)
    if arguments.worker:
        for row in _measure(arguments):
            tell(row)
        return 0
    if reason := ceiling.absent():
        print(f"the C++ ceiling is left out: {reason}")
    rows: list[Row] = []
    try:
        for row in kept(_all_rows(arguments), arguments.write):
            print(_line(row, rows), flush=True)
            rows.append(row)
    except subprocess.CalledProcessError as failed:
        return refuse(failed, 1)
    return 0


def _all_rows(arguments: argparse.Namespace) -> Iterator[Row]:
    """Everything that is asked for; each number of cores in a process of its own."""
    there = len(os.sched_getaffinity(0))
    for question in arguments.questions:
        if question == "end_to_end":
            yield from end_to_end(arguments.rounds)
            continue
        words = ["--worker", "--rounds", str(arguments.rounds), "--questions", question]
        words += ["--shapes", *arguments.shapes, "--dtypes", *arguments.dtypes]
        yield from pinned("benchmarks.throughput", words, there if question in ON_ALL else 1)


def _measure(arguments: argparse.Namespace) -> Iterator[Row]:
    """One question on the cores that this process may use."""
    from attractor_jax import backend
    from attractor_jax.config import BackendConfig

    devices = backend.start(BackendConfig("float64", "auto", "all", 1.0, "auto"))
    (question,), rounds, cores = arguments.questions, arguments.rounds, len(devices)
    if question == "delays":
        yield from _delays(devices, rounds)
        return
    for case in _cases(question, arguments):
        if question == "two_cores":
            # The same length of turn for both, or the comparison would be of different programs.
            steps = case.steps("sweep", cores)
            turns = {f"{n} of {cores} cores": sweep(case, devices[:n], steps=steps) for n in sorted({1, cores})}
        else:
            turns = competitors(case, list(EXPECTED), devices)
        for name, rate in take_turns(turns, rounds).items():
            yield Row.of(question, name, case, cores, rate, rounds)


def _cases(question: str, arguments: argparse.Namespace) -> Iterator[Case]:
    shapes = [tuple(int(number) for number in text.split("x")) for text in arguments.shapes]
    for dtype in arguments.dtypes:
        if question in ("rivals", "two_cores"):
            yield from (Case(N, D, 1, dtype) for N, D in shapes)
        if question in ("spectrum", "two_cores"):
            yield Case(4, 16, 16, dtype)
        if question == "four":
            yield Case(4, 16, 4, dtype)


def _delays(devices: Sequence[Any], rounds: int) -> Iterator[Row]:
    """One exponent, four and all: for each, all numbers of delays in turn."""
    for k in (1, 4, None):
        # A turn of the largest spectrum takes seconds even for two draws.
        cases = {D: Case(4, D, k or D, draws=64 if k else max(2, 256 // D)) for D in DELAYS}
        turns = {str(D): sweep(case, devices) for D, case in cases.items()}
        for D, rate in take_turns(turns, rounds).items():
            yield Row.of("delays" if k else "delays, all exponents", "sweep", cases[int(D)], 1, rate, rounds)


def _line(row: Row, before: Sequence[Row]) -> str:
    """A row of the printed table, under a heading where something new begins; the rows before it have what it is
    compared with.
    """
    which = "lambda_1" if row.k == 1 else f"{row.k} exponents"
    cores = "1 core" if row.cores == 1 else f"{row.cores} cores"
    rates = f"{row.median:10.3g}{row.low:10.3g} -{row.high:8.3g}"
    if row.question.startswith("delays"):
        all_of_them = row.k == row.D
        first = next((r for r in before if r.question == row.question and (all_of_them or r.k == row.k)), row)
        name = f"D = {row.D}, {which}"
        growth = f"cost x{first.median / row.median:6.2f}, D k x{row.D * row.k / (first.D * first.k):4.0f}"
        heading = (
            "" if before and before[-1].question.startswith("delays") else f"\nN = {row.N}, {row.dtype}, {cores}\n"
        )
        return f"{heading}  {name:24}{rates}   {growth}"
    same = [r for r in before if r.group == row.group]
    against = {r.program: r.median / row.median for r in [*same, row]}
    ratios = "".join(f"   {name} / it {against[name]:7.2f}" for name in ("bare", "sweep") if name in against)
    if row.question in ON_ALL:
        first = [*same, row][0]
        ratios = f"   it / {first.program} {row.median / first.median:6.3f}"
    heading = f"\n{which}, {row.N} x {row.D}, {row.dtype}, {cores}\n" if not same else ""
    return f"{heading}  {row.program:24}{rates}{ratios}"


if __name__ == "__main__":
    sys.exit(main())
