"""python -m sweeps.run [experiment=NAME] [key=value ...]: compute a sweep and write its table.

The last line printed is the run directory. Exit code 0: complete; 1: something failed while running; 2: the
configuration is wrong; 130 or 143: stopped. Whatever the code, the parts already written are safe, and the same
command goes on where it stopped.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from attractor_jax.config import ConfigError, SweepConfig
from attractor_jax.plan import Plan, make_plan

CONF = Path(__file__).resolve().parent.parent / "conf"


def main() -> None:
    """Compose the configuration within our own handler, then leave the rest to Hydra."""
    sys.argv[1:] = prepare_overrides(sys.argv[1:])
    try:
        _check(sys.argv[1:])
    except (ConfigError, HydraException, OmegaConfBaseException) as error:
        sys.exit(_say("config error", error, 2))
    _hydra_main()


def prepare_overrides(arguments: list[str]) -> list[str]:
    """The command line as Hydra wants it, so that the grid is open to every system's axes.

    `grid.<axis>=...` becomes `++grid.<axis>=...`: which axes exist is the system's to say, not the YAML's. A system
    chosen without an experiment starts from its own defaults, in a run of its own name, and not from the default
    experiment's grid.
    """
    prepared = [f"++{argument}" if argument.startswith("grid.") else argument for argument in arguments]
    chosen = [a.split("=", 1)[1] for a in arguments if a.startswith(("system=", "system.name=")) and a.split("=", 1)[1]]
    if chosen and not any(a.startswith("experiment=") for a in arguments):
        prepared += ["experiment=null"]
        if not any(a.lstrip("+").startswith("name=") for a in arguments):
            prepared += [f"++name={chosen[-1]}"]
    return prepared


def _check(arguments: list[str]) -> None:
    """Refuse a wrong configuration before anything is imported or written; sweeps over `-m` are checked job by job."""
    if any(a.startswith("-") for a in arguments):
        return
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        read(hydra.compose("sweep", arguments))


def read(composed: DictConfig) -> Plan:
    """The plan of a composed configuration."""
    mapping = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(mapping, dict)
    return make_plan(SweepConfig.from_mapping({str(key): value for key, value in mapping.items() if key != "hydra"}))


@hydra.main(config_path=str(CONF), config_name="sweep", version_base="1.3")
def _hydra_main(composed: DictConfig) -> None:
    sys.exit(run(composed))


def run(composed: DictConfig) -> int:
    """One sweep, from its configuration to its exit code."""
    try:
        plan = read(composed)
        if plan.config.dry_run:
            _describe(plan)
            return 0
        return _compute(plan)
    except (ConfigError, OmegaConfBaseException) as error:
        return _say("config error", error, 2)


def _compute(plan: Plan) -> int:
    from attractor_jax.store import RunDirectory, TableError

    try:
        directory = RunDirectory(Path(plan.config.output), plan)
    except TableError as error:
        return _say("error", error, 1)
    except OSError as error:
        return _say("error", f"output={plan.config.output} cannot be used: {error}", 1)

    from attractor_jax import backend
    from attractor_jax.sweep import run_sweep

    devices = backend.start(plan.config.backend)
    todo = [part for part in plan.parts() if part.index not in directory.done]
    if len(todo) < plan.n_parts:
        print(f"{len(directory.done)} of {plan.n_parts} parts are there already", file=sys.stderr)
    try:
        with _bar(sum(part.n_cells for part in todo)) as progress, _stopped_by_sigterm():
            run_sweep(plan, directory, devices=devices, progress=progress)
    except OSError as error:
        return _say("error", f"{error}; {_kept(directory, plan)}", 1)
    except KeyboardInterrupt as stop:
        code = 143 if stop.args == (signal.SIGTERM,) else 130
        return _say("stopped", _kept(directory, plan), code)
    print(directory.path)
    return 0


def _kept(directory: Any, plan: Plan) -> str:
    done = f"{len(directory.done)} of {plan.n_parts} parts are safe in {directory.path}"
    return f"{done}; the same command goes on from there"


def _say(kind: str, message: object, code: int) -> int:
    """One line to stderr, whatever the exception looked like."""
    lines = [line.strip() for line in str(message).splitlines() if line.strip()]
    print(f"{kind}: {' '.join(lines) if lines else type(message).__name__}", file=sys.stderr)
    return code


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM stops a sweep as Ctrl-C does."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


SECONDS_BETWEEN_LINES = 10


@contextmanager
def _bar(cells: int) -> Iterator[Any]:
    """Progress in cells, with network-steps per second and the time left: a bar on a terminal, now and then a plain
    line elsewhere.
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
                print(
                    tqdm.format_meter(done, cells, now - began, ncols=0, unit="cell", postfix=rate),
                    file=sys.stderr,
                    flush=True,
                )

        yield progress


def _describe(plan: Plan) -> None:
    """What the plan would cost, without jax."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    config = plan.config
    print(f"plan {plan.hash}: {plan.n_cells:,} cells in {plan.n_parts} parts, {config.backend.dtype}")
    print(f"run directory {Path(config.output) / config.name / plan.hash}")
    for group in plan.groups:
        static = ", ".join(f"{name}={value}" for name, value in group.static.items()) or f"dimension {group.dimension}"
        draws, lanes = group.block_shape
        print(
            f"  {static}: {group.n_cells:,} cells in {group.n_blocks} blocks of {draws} draws x {lanes} lanes, "
            f"{group.n_parts} parts; k={group.k}, orthonormalised every {group.renormalise_every} steps"
        )
    print(f"{len(plan.groups)} compilations, at most {config.backend.memory:g} GiB for a batch")
    print(f"about {plan.seconds(cores):,.0f} s on {cores} CPU cores (rough)")


if __name__ == "__main__":
    main()
