"""Is the engine as fast as it was? Its ratio to the numba loop, which the machine's mood leaves alone.

    python -m benchmarks.guard              the ratios, beside those recorded; exit code 1 if one is too low
    python -m benchmarks.guard --record     keep the ratios found in guard.json, for this processor

One core, one process, turns of a quarter of a second in alternation, float64, (4, 16): the sweep's own program over
numba_loop, for lambda_1 and for all exponents. A ratio belongs to a processor, since the two do not use its vectors
alike; on one that is not in guard.json the lowest ratio there is the measure. A ratio that is too low is measured once
more before it counts.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweeps.arguments import ArgumentProblem, OneLineParser, refuse

RECORD = Path(__file__).with_name("guard.json")
KEPT = 0.8  # of the recorded ratio
EXPONENTS = {"lambda_1": 1, "spectrum": 16}
ROUNDS = 9


def main() -> int:
    parser = OneLineParser("python -m benchmarks.guard", "Is the engine as fast as it was, beside numba?")
    parser.add_argument("--record", action="store_true", help="keep what is found in guard.json")
    try:
        arguments = parser.parse_args()
    except ArgumentProblem as problem:
        return refuse(problem, 2)
    recorded, here = json.loads(RECORD.read_text()), processor()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    compare = comparison()
    code = 0
    for what in EXPONENTS:
        ratio = compare(what)
        if arguments.record:
            recorded.setdefault(here, {})[what] = round(ratio, 2)
            print(f"{what}: {ratio:.2f} times the numba loop, recorded for {here}")
            continue
        least = KEPT * expected(recorded, here, what)
        if ratio < least:
            print(f"{what}: {ratio:.2f} times the numba loop; once more")
            ratio = max(ratio, compare(what))
        verdict = "as fast as it was" if ratio >= least else "SLOWER"
        print(f"{what}: {ratio:.2f} times the numba loop, must be at least {least:.2f}: {verdict}")
        code |= ratio < least
    if arguments.record:
        RECORD.write_text(json.dumps(recorded, indent=2, sort_keys=True) + "\n")
    return int(code)


def expected(recorded: Mapping[str, Mapping[str, float]], here: str, what: str) -> float:
    """The ratio recorded for this processor, or the lowest of all."""
    return recorded[here][what] if here in recorded else min(ratios[what] for ratios in recorded.values())


def processor() -> str:
    """Maker, family and model, as /proc/cpuinfo has them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return "unknown"
    known = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return " ".join(f"{key} {known.get(key, '?')}" for key in ("vendor_id", "cpu family", "model")).strip()


def comparison() -> Any:
    """what -> the median of the sweep's rates over that of the numba loop's, everything compiled once."""
    from attractor_jax import backend
    from attractor_jax.config import BackendConfig

    devices = backend.start(BackendConfig("float64", "auto", 1, 1.0, "auto"))
    from benchmarks.competitors import Case, rival, sweep, take_turns

    cases = {what: Case(4, 16, k, draws=32, seconds=0.25) for what, k in EXPONENTS.items()}
    turns = {
        what: {"sweep": sweep(case, devices), "numba": rival(case, "numba_loop", 1)} for what, case in cases.items()
    }

    def compare(what: str) -> float:
        rates = take_turns(turns[what], ROUNDS)
        return rates["sweep"].median / rates["numba"].median

    return compare


if __name__ == "__main__":
    sys.exit(main())
