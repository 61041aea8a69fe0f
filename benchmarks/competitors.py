"""Who takes part in a comparison of speed, and what is a turn?

    bare     the engine's loop with lambda_1 and nothing else
    sweep    the sweep's own program with all default columns: mean, spread and range of y, sum rule, block means
    ...      the rivals (rivals.py), which compute exponents and nothing else

Competitors take turns within one process, round after round, since machines are shared and drift: the ratio of two
medians says more than either. Every turn is compiled before the first round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

BLOCKS = 20

# Rough network-steps per second and core at N = 4, D = 16, from which the length of a turn follows: the largest
# exponent, and all.
EXPECTED = {
    "bare": (60e6, 0),
    "sweep": (60e6, 4e6),
    "article_loop": (4e4, 1e4),
    "numba_plain": (8e6, 8e5),
    "numba_loop": (15e6, 4e6),
    "numba_lanes": (70e6, 0),
    "cpp_ceiling": (120e6, 0),
    "cpp_256": (80e6, 0),
    "lyapax": (15e6, 8e5),
    "plain_vmap": (10e6, 5e5),
}


@dataclass(frozen=True)
class Case:
    """Feedback networks of one shape: draws of the weights times values of s from 0.3 to 4.

    Attributes:
        seconds: that a turn should take.
    """

    N: int
    D: int
    k: int = 1
    dtype: str = "float64"
    draws: int = 64
    lanes: int = 64
    seconds: float = 0.6

    @property
    def cells(self) -> int:
        return self.draws * self.lanes

    def networks(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights (B, N, D), gains (B, N) and s (B, S), as the sweep draws them."""
        from attractor_jax.systems.feedback import Uniform

        draws = [Uniform().draw(N=self.N, D=self.D, seed=seed) for seed in range(self.draws)]
        weights, gains = (np.stack([draw[name] for draw in draws]) for name in ("weights", "gains"))
        return weights, gains, np.tile(np.geomspace(0.3, 4.0, self.lanes), (self.draws, 1))

    def steps(self, program: str, cores: int) -> int:
        """How long a turn is, in steps of each network: whole intervals in each of the blocks."""
        largest, spectrum = EXPECTED[program]
        # Work grows as N D for the largest exponent and as D k for several.
        rate = largest * 64 / (self.N * self.D) if self.k == 1 else spectrum * 256 / (self.D * self.k)
        unit = BLOCKS * (50 if program == "sweep" and self.k == self.D else 16)
        return max(1, round(self.seconds * cores * rate / self.cells / unit)) * unit


@dataclass(frozen=True)
class Turn:
    """A call that computes so many network-steps."""

    call: Callable[[], Any]
    network_steps: float


@dataclass(frozen=True)
class Rate:
    """Millions of network-steps per second: median, lowest and highest over the rounds."""

    median: float
    low: float
    high: float


def take_turns(turns: Mapping[str, Turn], rounds: int) -> dict[str, Rate]:
    """The rate of each competitor."""
    for turn in turns.values():
        turn.call()
    rates: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            began = time.perf_counter()
            turn.call()
            rates[name].append(turn.network_steps / (time.perf_counter() - began) / 1e6)
    return {name: Rate(median(found), min(found), max(found)) for name, found in rates.items()}


def competitors(case: Case, names: Sequence[str], devices: Sequence[Any]) -> dict[str, Turn]:
    """The turns of those of `names` that are on this machine and can compute the case, on as many cores as devices."""
    from benchmarks.rivals import RIVALS

    turns: dict[str, Turn] = {}
    for name in names:
        if name == "sweep":
            turns[name] = sweep(case, devices)
        elif name == "bare" and case.k == 1:
            turns[name] = bare(case, devices)
        elif name in RIVALS and not (RIVALS[name].largest_only and case.k > 1):
            turns[name] = rival(case, name, len(devices))
    return turns


def rival(case: Case, name: str, cores: int, steps: int | None = None) -> Turn:
    """A rival on these networks; on two of them if it is the article's loop."""
    from benchmarks.rivals import RIVALS

    few = Case(case.N, case.D, case.k, case.dtype, draws=1, lanes=2) if name == "article_loop" else case
    weights, gains, s = few.networks()
    steps = steps or few.steps(name, cores)
    run = {"k": case.k, "transient": 0, "steps": steps, "dtype": case.dtype, "threads": cores}
    return Turn(lambda: RIVALS[name].exponents(weights, gains, s, **run), float(few.cells * steps))


def sweep(case: Case, devices: Sequence[Any], *, also: Sequence[str] = (), steps: int | None = None) -> Turn:
    """The sweep's own program on these networks.

    Args:
        also: optional measures.
    """
    steps = steps or case.steps("sweep", len(devices))
    engine, blocks = _engine(case, devices, steps, also)
    program = engine.first_program(engine.group.block_shape)
    return _turn(case, engine, program, blocks, steps)


def bare(case: Case, devices: Sequence[Any], *, steps: int | None = None) -> Turn:
    """The engine's own loop on the blocks of the sweep, with the largest exponent as its only result: the compiler
    drops what nobody asked for.
    """
    from attractor_jax.blocks import lanes_last
    from attractor_jax.growth import advance, begin

    steps = steps or case.steps("bare", len(devices))
    engine, blocks = _engine(case, devices, steps, ())
    lift, every = lanes_last(engine.plan.system), engine.group.renormalise_every

    def largest(inputs: Any) -> Any:
        *problem, states = inputs
        loop = {"blocks": BLOCKS, "renormalise_every": every, "lift": lift}
        measurement = begin(tuple(problem), states, k=1, align=0, **loop)
        return advance(tuple(problem), measurement, block_steps=steps // BLOCKS, **loop).block_growth

    return _turn(case, engine, engine.program(largest, engine.group.block_shape), blocks, steps)


def on_device(case: Case, devices: Sequence[Any], *, steps: int, engine: str) -> Turn:
    """The sweep's own program on arrays that lie on the devices already, by one engine or the other."""
    import jax

    made, blocks = _engine(case, devices, steps, (), engine)
    program = made.first_program(made.group.block_shape)
    arrays, _ = program.placed(_inputs(made, blocks))
    return Turn(lambda: jax.block_until_ready(program.compiled(*arrays)), float(case.cells * steps))


def _turn(case: Case, engine: Any, program: Any, blocks: Sequence[Any], steps: int) -> Turn:
    inputs = _inputs(engine, blocks)
    return Turn(lambda: program.start(inputs).results(), float(case.cells * steps))


def _inputs(engine: Any, blocks: Sequence[Any]) -> list[Any]:
    return [(*engine.problem(block)[1], engine.states(engine.first_states(block))) for block in blocks]


def _engine(
    case: Case, devices: Sequence[Any], steps: int, also: Sequence[str], engine: str = "auto"
) -> tuple[Any, Sequence[Any]]:
    """The engine of a sweep over these networks, and its blocks, which all go to the devices in one call."""
    from attractor_jax.config import ALONE, SweepConfig
    from attractor_jax.engine import Engine
    from attractor_jax.plan import make_plan

    config = SweepConfig.from_mapping({
        "name": "throughput",
        "system": {"name": "uniform"},
        "grid": {"N": case.N, "D": case.D, "seed": {"start": 0, "num": case.draws},
                 "s": {"start": 0.3, "stop": 4.0, "num": case.lanes, "spacing": "log"} if case.lanes > 1 else 0.3},
        "measure": {"transient": 0, "steps": steps, "k": case.k, "blocks": BLOCKS, "align": 0,
                    "renormalise_every": "auto", "longest_period": 1, "period_tolerance": "auto", "also": list(also),
                    "target_se": None, "max_steps": None},
        "transitions": None,
        "backend": {"dtype": case.dtype, "batch": "auto", "devices": "all", "memory": 1.0, "engine": engine},
        "plan": {"part_steps": 10**15, "shaped_for": None},
        **ALONE,
    })  # fmt: skip
    plan = make_plan(config)
    (part,) = plan.parts()
    made = Engine(plan, part.group, devices, 2.0**30, -(-part.n_blocks // len(devices)))
    return made, list(part.blocks())
