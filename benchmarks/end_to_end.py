"""What does a sweep cost beside its engine: start, compilation, tables?

`sweeps.run` is started as a person starts it for the first time, with no compiled program at hand, for about a minute
of lambda_1 at (4, 16). The engine's turns, the same program warm on some of the same cells, are taken before and after
each sweep, since machines drift within a minute. All steps count: transient, alignment, measurement, search for a
period.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.competitors import Case, Rate
from benchmarks.measured import Row

SCALES = 64
SEEDS = 1024  # draws for the engine's turns: more than its largest batch has
SECONDS_OF_ENGINE = 3.0


def end_to_end(rounds: int, seconds: float = 60.0) -> Iterator[Row]:
    """The engine, and whole sweeps of about `seconds`, in turn."""
    from attractor_jax import backend
    from attractor_jax.engine import Engine
    from sweeps.command_line import compose, prepare_overrides
    from sweeps.run import read

    with tempfile.TemporaryDirectory() as folder:
        plan = read(compose(prepare_overrides(_overrides(SEEDS, folder))))
        devices = backend.start(plan.config.backend)
        part = next(plan.parts())
        engine = Engine(plan, part.group, devices, backend.memory_budget(plan.config.backend, devices), "auto")
        turn = _engine_turn(engine, list(part.blocks()), SECONDS_OF_ENGINE)
        turn()
        rates = [turn()]
        steps_of_a_seed = SCALES * engine.steps_of_first_round
        seeds = round(seconds * median(rates) * 1e6 / steps_of_a_seed)
        whole = []
        for i in range(rounds):
            place = f"{folder}/{i}"
            command = [sys.executable, "-m", "sweeps.run", *_overrides(seeds, place)]
            nothing_compiled = os.environ | {"XDG_CACHE_HOME": f"{place}/cache"}
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=nothing_compiled)
            whole.append(seeds * steps_of_a_seed / (time.perf_counter() - began) / 1e6)
            rates.append(turn())
    case = Case(4, 16, draws=seeds, lanes=SCALES)
    cores = len(os.sched_getaffinity(0))
    for name, found in (("engine", rates), ("sweeps.run", whole)):
        yield Row.of("end_to_end", name, case, cores, Rate(median(found), min(found), max(found)), len(found))


def _overrides(seeds: int, folder: str) -> list[str]:
    return [
        "experiment=order_to_chaos",
        "name=end_to_end",
        f"grid.seed={{start: 0, num: {seeds}}}",
        f"grid.s={{start: 0.3, stop: 4, num: {SCALES}, spacing: log}}",
        "measure.k=1",
        f"output={Path(folder)}",
    ]


def _engine_turn(engine: Any, blocks: list[Any], seconds: float) -> Any:
    """Batches of blocks, as many as take so long, from their inputs to NumPy arrays."""
    program = engine.first_program(engine.group.block_shape)
    inputs = [(*engine.problem(block)[1], engine.states(engine.first_states(block))) for block in blocks]
    inputs = inputs[: program.blocks_per_call]
    draws, lanes = engine.group.block_shape

    def turn() -> float:
        """Millions of network-steps per second."""
        began, calls = time.perf_counter(), 0
        while time.perf_counter() - began < seconds or not calls:
            program.start(inputs).results()
            calls += 1
        steps = calls * len(inputs) * draws * lanes * engine.steps_of_first_round
        return steps / (time.perf_counter() - began) / 1e6

    return turn
