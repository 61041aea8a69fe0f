"""How much faster are thousands of small trainings at once than one after the other? Ratios, measured in turn.

    python -m benchmarks.trainings [--rounds 5] [--trainings 4096]

Four programs take the same steps of gradient descent, in float64 on one core: the engine's blocks (`engine`), one
training in a compiled loop (`loop`), and one in a Python loop over a compiled step (`python`) and over a step in NumPy
(`numpy`). Printed are millions of training steps a second, medians over the rounds, and the engine's ratio to each.
"""

from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

# Problems, with the levers that differ from the system's defaults.
CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("xor", {"momentum": 0.9, "weight_decay": 0.01}),
    ("xor", {"momentum": 0.9, "weight_decay": 0.01, "batch_size": 1}),
    ("regression", {"momentum": 0.9, "weight_decay": 0.001, "lr": 0.2}),
    ("trainability", {"lr": 3.0, "lr_hidden": 3.0}),
)
# Steps of each training that a program takes in a round: about a second's worth for the slow ones.
STEPS = {"engine": 200, "loop": 20_000, "python": 2_000, "numpy": 2_000}
LANES = 64


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trainings", type=int, default=4096)
    asked = parser.parse_args(arguments)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    import jax

    jax.config.update("jax_enable_x64", True)
    print(f"{'problem':<30}" + "".join(f"{name:>10}" for name in STEPS) + "   engine over loop, python, numpy")
    for name, levers in CASES:
        programs = _programs(name, levers, asked.trainings)
        for run in programs.values():
            run()
        rates: dict[str, list[float]] = {program: [] for program in programs}
        for _ in range(asked.rounds):
            for program, run in programs.items():
                began = time.perf_counter()
                taken = run()
                rates[program].append(taken / (time.perf_counter() - began) / 1e6)
        median = {program: statistics.median(each) for program, each in rates.items()}
        words = " ".join([name, *(f"{key}={value}" for key, value in levers.items() if key == "batch_size")])
        ratios = [median["engine"] / median[program] if program in median else np.nan for program in list(STEPS)[1:]]
        columns = "".join(f"{median.get(program, np.nan):>10.3g}" for program in STEPS)
        print(f"{words:<30}{columns}   " + ", ".join(f"{ratio:.3g}" for ratio in ratios), flush=True)
    return 0


def _programs(name: str, levers: dict[str, Any], trainings: int) -> dict[str, Callable[[], int]]:
    """Each takes its steps, and says how many training steps that were."""
    import jax
    import jax.numpy as jnp

    from attractor_jax.blocks import lanes_last
    from attractor_jax.iterate import iterate
    from attractor_jax.systems import get

    system = get(name)
    axes: dict[str, Any] = {axis.name: axis.default for axis in system.axes} | levers
    draws = [
        system.draw(**{each: axes[each] for each in system.draw_axes if each != "seed"}, seed=seed)
        for seed in range(max(1, trainings // LANES))
    ]
    stacked = {key: np.stack([draw[key] for draw in draws]) for key in draws[0]}
    lanes = {key: np.full(LANES, value) for key, value in axes.items()}
    lanes["init_scale"] = np.geomspace(0.5, 2, LANES)
    states = np.stack([system.initial_states(draw, axes, lanes) for draw in draws]).transpose(0, 2, 1)
    swept = {key: np.full((len(draws), LANES), float(axes[key])) for key in system.parameters}
    blocks = jax.jit(lambda problem, x: iterate(problem, x, steps=STEPS["engine"], lift=lanes_last(system)))
    one = system.build(
        {key: jnp.asarray(value) for key, value in draws[0].items()},
        {key: jnp.asarray(float(axes[key])) for key in system.parameters},
    )
    first = jnp.asarray(states[0, :, 0])
    step = jax.jit(lambda rule, x: rule(x))
    loop = jax.jit(lambda rule, x: jax.lax.fori_loop(0, STEPS["loop"], lambda _, x: rule(x), x))

    def engine() -> int:
        # A block of 512 at a time, as sweeps do.
        G = 512 // LANES
        for at in range(0, len(draws), G):
            here = (
                {key: value[at : at + G] for key, value in stacked.items()},
                {k: v[at : at + G] for k, v in swept.items()},
            )
            jax.block_until_ready(blocks(here, states[at : at + G]))
        return len(draws) * LANES * STEPS["engine"]

    def compiled() -> int:
        jax.block_until_ready(loop(one, first))
        return STEPS["loop"]

    def python() -> int:
        x = first
        for _ in range(STEPS["python"]):
            x = step(one, x)
        jax.block_until_ready(x)
        return STEPS["python"]

    programs: dict[str, Callable[[], int]] = {"engine": engine, "loop": compiled, "python": python}
    if name == "xor" and "batch_size" not in levers:
        programs["numpy"] = lambda: _numpy_xor(np.asarray(first), axes)
    return programs


def _numpy_xor(state: np.ndarray, axes: dict[str, Any]) -> int:
    """The same steps of the 2-2-1 network on XOR, its gradient written out."""
    inputs = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    targets = -inputs[:, 0] * inputs[:, 1]
    theta, velocity = state[:9].copy(), state[9:18].copy()
    for _ in range(STEPS["numpy"]):
        W1, b1, W2 = theta[:4].reshape(2, 2), theta[4:6], theta[6:8]
        hidden = np.tanh(inputs @ W1.T + b1)
        error = 2 * (hidden @ W2 + theta[8] - targets) / 4
        back = error[:, None] * W2 * (1 - hidden**2)
        gradient = np.concatenate([(back.T @ inputs).ravel(), back.sum(0), error @ hidden, [error.sum()]])
        velocity = axes["momentum"] * velocity + gradient + axes["weight_decay"] * theta
        theta = theta - axes["lr"] * velocity
    return STEPS["numpy"]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
