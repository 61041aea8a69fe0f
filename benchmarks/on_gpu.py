"""What do the engines do on a GPU? To be run on a machine that has one.

    python -m benchmarks.on_gpu [--questions agreement rates ...] [--rounds 5] [--write FILE.csv]

    agreement   the same sweeps by `scan` on the CPU, `scan` on the GPU and `fused`: all columns after 32 steps, where
                nothing has grown apart yet; regimes and lambda_1 after 20,000
    rates       millions of network-steps per second against the number of networks, on arrays that lie on the device
    end_to_end  `sweeps.run` on 262,144 cells with 100,000 steps each (20,000 on the CPU), from its start to its table

Engines take turns within one process; medians, with the range over the rounds. Everything takes five minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.competitors import Case, on_device, take_turns
from benchmarks.measured import Row, check_place, kept, positive
from sweeps.arguments import ArgumentProblem, OneLineParser, refuse

QUESTIONS = ("agreement", "rates", "end_to_end")

# Engines, exponents, shape and numbers of networks whose rates are measured, and network-steps per second that are
# expected at the most, from which the length of a turn follows.
RATES = (
    (("scan", "fused"), 1, (4, 16), (512, 8_192, 131_072)),
    (("scan",), 4, (4, 16), (65_536,)),
    (("scan",), 16, (4, 16), (65_536,)),
    (("scan",), 1, (8, 32), (65_536,)),
)
LANES = 64
SECONDS = 0.3  # of a turn
BLOCKS = 20
INTERVAL = 16

SHORT = (
    "measure.transient=0", "measure.steps=32", "measure.blocks=2", "measure.align=0", "measure.renormalise_every=7",
    "measure.longest_period=1",
)  # fmt: skip
LONG = ("measure.steps=20000", "grid.seed.num=256")


def main(argv: list[str] | None = None) -> int:
    parser = OneLineParser("python -m benchmarks.on_gpu", "The engines on a GPU.")
    parser.add_argument("--questions", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--write", type=Path, metavar="FILE", help="CSV file for the rates")
    try:
        arguments = parser.parse_args(argv)
        check_place(arguments.write)
    except ArgumentProblem as problem:
        return refuse(problem, 2)
    try:
        # Sweeps in processes of their own come first: this one takes most of the GPU's memory as soon as it computes.
        if "agreement" in arguments.questions:
            agreement()
        if "end_to_end" in arguments.questions:
            end_to_end()
    except subprocess.CalledProcessError as failed:
        return refuse(failed, 1)
    if "rates" in arguments.questions:
        for row in kept(rates(arguments.rounds), arguments.write):
            print(
                f"{row.program:8}{row.N:3} x {row.D:2}  k = {row.k:2}  {row.dtype}{row.cells:9,} networks"
                f"{row.median:12,.0f}{row.low:12,.0f} -{row.high:10,.0f}",
                flush=True,
            )
    return 0


def agreement() -> None:
    """Sweeps by both engines, beside the CPU's."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(6) as side_by_side:
        runs = {
            (dtype, lengths, engine, platform): side_by_side.submit(swept, folder, dtype, engine, platform, *lengths)
            for dtype, lengths in product(("float64", "float32"), (SHORT, LONG))
            for engine, platform in (("scan", "cpu"), ("scan", "gpu"), ("fused", "gpu"))
        }
        for dtype, (title, lengths, compare) in product(
            ("float64", "float32"), (("32 steps", SHORT, furthest), ("20,000 steps", LONG, alike))
        ):
            for one, other in ((("scan", "cpu"), ("scan", "gpu")), (("scan", "gpu"), ("fused", "gpu"))):
                both = [runs[dtype, lengths, *which].result() for which in (one, other)]
                names = " beside ".join(" on ".join(which) for which in (other, one))
                print(f"{dtype}, {title}: {names}: {compare(*both)}", flush=True)


def swept(folder: str, dtype: str, engine: str, platform: str, *overrides: str) -> Path:
    """The directory of a sweep that was run as a person runs it."""
    command = [
        sys.executable, "-m", "sweeps.run", "experiment=order_to_chaos", "measure.k=1", f"backend.dtype={dtype}",
        f"backend.engine={engine}", f"output={folder}/{engine}-{platform}", *overrides,
    ]  # fmt: skip
    # Several of them share a GPU.
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    environment |= {"JAX_PLATFORMS": "cpu"} if platform == "cpu" else {}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        done.check_returncode()
    return Path(done.stdout.split()[-1])


def furthest(*runs: Path) -> str:
    """The largest difference in any column of numbers, relative to the larger of 1 and the number."""
    one, other = (pd.read_parquet(run / "cells").sort_values("cell_id", ignore_index=True) for run in runs)
    apart = {}
    for name in one.select_dtypes("number"):
        a, b = one[name].to_numpy(float, na_value=np.nan), other[name].to_numpy(float, na_value=np.nan)
        with np.errstate(invalid="ignore"):  # infinite in both
            difference = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, abs(a - b) / np.maximum(1, abs(a)))
        apart[name] = np.nan_to_num(difference, nan=np.inf).max()
    worst = max(apart, key=lambda name: apart[name])
    return f"at most {apart[worst]:.2g} apart (in {worst})"


def alike(*runs: Path) -> str:
    """How many regimes are equal, and exponents within their errors."""
    from attractor_jax import read_run

    one, other = (read_run(run).sort_values("cell_id", ignore_index=True) for run in runs)
    regimes = (one["regime"].astype(str) == other["regime"].astype(str)).mean()
    far = np.abs(one["lambda_1"].to_numpy(float) - other["lambda_1"].to_numpy(float))
    error = np.hypot(one["lambda_1_se"].to_numpy(float), other["lambda_1_se"].to_numpy(float))
    # At rest blocks agree to rounding: there is no error to measure with.
    rounding = 1e-9 if one["dtype"].iat[0] == "float64" else 1e-5
    within = (~(far > 4 * error + rounding)).mean()  # what has no exponent in both is no disagreement
    return f"{regimes:.2%} of {len(one):,} regimes equal, lambda_1 within 4 standard errors in {within:.2%}"


def rates(rounds: int) -> Iterator[Row]:
    """Every engine at every number of networks."""
    from attractor_jax import backend
    from attractor_jax.config import BackendConfig

    devices = backend.start(BackendConfig("float64", "auto", "all", 1.0, "auto"))[:1]
    print(f"\n{devices[0].device_kind}, million network-steps per second:")
    for dtype in ("float64", "float32"):
        for engines, k, (N, D), numbers in RATES:
            for networks in numbers:
                case = Case(N, D, k, dtype, draws=networks // LANES, lanes=LANES)
                turns = {
                    name: on_device(case, devices, steps=_steps(name, k, networks), engine=name) for name in engines
                }
                for name, rate in take_turns(turns, rounds).items():
                    yield Row.of("gpu", name, case, 1, rate, rounds)


def _steps(engine: str, k: int, networks: int) -> int:
    """Steps of a turn, in whole intervals of each block."""
    most, launched = {"fused": (4e10, 1e6), "scan": (3e9 / k, 1e5 / (1 if k == 1 else 10))}[engine]
    unit = BLOCKS * (50 if k == 16 else INTERVAL)
    return max(1, round(SECONDS * min(most / networks, launched) / unit)) * unit


def end_to_end() -> None:
    """How long a whole sweep takes."""
    for engine, platform in (("fused", "gpu"), ("scan", "gpu"), ("scan", "cpu")):
        with tempfile.TemporaryDirectory() as folder:
            steps = 100_000 if engine == "fused" or platform == "gpu" else 20_000
            began = time.perf_counter()
            swept(
                folder, "float64", engine, platform, "grid.seed={start: 0, num: 4096}",
                "grid.s={start: 0.3, stop: 4, num: 64, spacing: log}", f"measure.steps={steps}",
            )  # fmt: skip
            seconds = time.perf_counter() - began
        all_steps = 4096 * 64 * (steps + 5000 + 500 + 1024)
        print(
            f"sweeps.run, {engine} on {platform}: {all_steps / 1e9:.1f} billion network-steps in {seconds:.1f} s, "
            f"{all_steps / seconds / 1e6:,.0f} million/s",
            flush=True,
        )


if __name__ == "__main__":
    raise SystemExit(main())
