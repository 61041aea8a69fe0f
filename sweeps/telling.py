"""What does a sweep tell whoever runs it? What it would cost, how far it is, and anything else in one line each."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from attractor_jax.plan import Plan

SECONDS_BETWEEN_LINES = 10


def say(kind: str, message: object, code: int) -> int:
    """One line to stderr, whatever the exception looked like; gives back the exit code."""
    print(f"{kind}: {first_words(message)}", file=sys.stderr)
    return code


def first_words(message: object) -> str:
    """All of it in one line, or what it is if it says nothing."""
    return " ".join(str(message).split()) or type(message).__name__


def counted(n: int, noun: str) -> str:
    """`1 cell`, `2,000 cells`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def one_line(message: Warning | str, *_: object) -> None:
    """A warning, in place of `warnings.showwarning`."""
    print(f"warning: {message}", file=sys.stderr, flush=True)


@contextmanager
def progress_bar(cells: int) -> Iterator[Callable[[int, float], None]]:
    """Progress in cells, with network-steps per second and the time left: a bar on a terminal, now and then a plain
    line elsewhere. It is told the cells and the network-steps that were finished.
    """
    from tqdm import tqdm

    terminal = sys.stderr.isatty()
    with tqdm(total=cells, unit="cell", mininterval=0.2, miniters=1, disable=None, file=sys.stderr) as bar:
        began = spoken = time.perf_counter()
        done, all_steps = 0, 0.0

        def progress(finished: int, steps: float) -> None:
            nonlocal spoken, done, all_steps
            now = time.perf_counter()
            done, all_steps = done + finished, all_steps + steps
            rate = f"{all_steps / (now - began) / 1e6:.2f} M network-steps/s"
            if terminal:
                bar.set_postfix_str(rate, refresh=False)
                bar.update(finished)
            elif done == cells or now - spoken > SECONDS_BETWEEN_LINES:
                spoken = now
                line = tqdm.format_meter(done, cells, now - began, ncols=0, unit="cell", postfix=rate)
                print(line, file=sys.stderr, flush=True)

        yield progress


def describe(plan: Plan) -> None:
    """What the plan would cost, without jax."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    config = plan.config
    print(f"plan {plan.hash}")
    print(f"{counted(plan.n_cells, 'cell')} in {counted(plan.n_parts, 'part')}, {config.backend.dtype}")
    print(f"run directory {Path(config.output) / config.name / plan.hash}")
    for group in plan.groups:
        static = ", ".join(f"{name}={value}" for name, value in group.static.items()) or f"dimension {group.dimension}"
        draws, lanes = group.block_shape
        print(
            f"  {static}: {counted(group.n_cells, 'cell')} in {counted(group.n_blocks, 'block')} of "
            f"{counted(draws, 'draw')} x {counted(lanes, 'lane')}, {counted(group.n_parts, 'part')}; "
            f"k={group.k}, orthonormalised every {counted(group.renormalise_every, 'step')}"
        )
    used = cores if config.backend.devices == "all" else min(cores, config.backend.devices)
    budget = config.backend.memory if isinstance(config.backend.memory, str) else f"{config.backend.memory:g} GiB"
    largest = max(group.block_bytes for group in plan.groups) / 2**20
    print(f"compilations: {plan.programs * len(plan.groups)}")
    print(f"memory: about {largest:.3g} MiB a block at the most, as many at once as fit into backend.memory={budget}")
    print(f"time: about {plan.seconds(used):,.0f} s on {used} CPU cores (rough)")
