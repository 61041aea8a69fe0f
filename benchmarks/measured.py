"""How are rates measured by a process of its own, and kept? One row a competitor and case."""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from analysis.command import ArgumentProblem
from benchmarks.competitors import Case, Rate


@dataclass(frozen=True)
class Row:
    """Millions of network-steps per second of one program: median, lowest and highest over the rounds.

    Attributes:
        question: what the measurement answers.
        program: see competitors.py.
        cells: networks that are computed at once.
        cores: that the process may use.
    """

    question: str
    program: str
    N: int
    D: int
    k: int
    dtype: str
    cells: int
    cores: int
    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, question: str, program: str, case: Case, cores: int, rate: Rate, rounds: int) -> Row:
        shape = (case.N, case.D, case.k, case.dtype, case.cells)
        return cls(question, program, *shape, cores, rate.median, rate.low, rate.high, rounds)

    @property
    def group(self) -> tuple[object, ...]:
        """What rows share that can be compared."""
        return (self.question, self.N, self.D, self.k, self.dtype, self.cells, self.cores)


def pinned(module: str, arguments: Sequence[str], cores: int) -> Iterator[Row]:
    """The rows that `python -m module ARGUMENTS` prints as JSON, each as soon as it is there, from a process that may
    use so many cores. Its XLA is started for that number.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    allowed = sorted(os.sched_getaffinity(0))[:cores]

    def pin() -> None:
        os.sched_setaffinity(0, allowed)

    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=pin) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield Row(**json.loads(line))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def tell(row: Row) -> None:
    """Print a row for `pinned`."""
    print(json.dumps(asdict(row)), flush=True)


def check_place(path: Path | None) -> None:
    """Refuse a file that could not be written, before anything is measured for it.

    Raises:
        ArgumentProblem: no .csv, or no place for one.
    """
    if path is None:
        return
    if path.suffix != ".csv":
        raise ArgumentProblem(f"`--write` must end in .csv, got {str(path)!r}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArgumentProblem(
            f"`--write` must be a place where a file can be made, got {str(path)!r}: {error}"
        ) from None


def kept(found: Iterable[Row], path: Path | None) -> Iterator[Row]:
    """The rows, each as soon as it is found; the file, if any, has all of them so far."""
    rows: list[Row] = []
    for row in found:
        rows.append(row)
        if path is not None:
            write(path, rows)
        yield row


def write(path: Path, rows: Sequence[Row]) -> None:
    """A CSV file of these rows."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        table.writeheader()
        for row in rows:
            rates = {name: f"{getattr(row, name):.5g}" for name in ("median", "low", "high")}
            table.writerow(asdict(row) | rates)


def positive(text: str) -> int:
    """A number of rounds, of kernels: an argument's type."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, got {text!r}")
    return int(text)


def shape(text: str) -> str:
    """N x D of networks: an argument's type."""
    N, by, D = text.partition("x")
    if not (by and N.isdecimal() and D.isdecimal() and int(N) and int(D)):
        raise argparse.ArgumentTypeError(f"must be N x D, such as 4x16, got {text!r}")
    return text
