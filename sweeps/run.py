"""python -m sweeps.run [experiment=NAME] [key=value ...]: compute a sweep and write its table.

The last line printed is the run directory. Exit code 0: complete; 1: something failed while running, or shards are
missing; 2: the configuration is wrong; 130, 140 or 143: stopped. Whatever the code, the parts already written are safe,
and the same command goes on where it stopped.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import hydra
from omegaconf import DictConfig

from attractor_jax.config import ConfigError, SweepConfig
from attractor_jax.plan import Part, Plan, make_plan
from attractor_jax.schema import SchemaError
from sweeps.command_line import (
    CONF,
    ROOT,
    as_mapping,
    as_typed,
    combinations,
    compose,
    prepare_overrides,
    split_options,
)
from sweeps.stopping import Stopping
from sweeps.telling import counted, describe, one_line, progress_bar, say

if TYPE_CHECKING:  # a refused configuration does not wait for what writes tables
    from attractor_jax.extension import Known
    from attractor_jax.store import RunDirectory

_stopping = Stopping()


def main() -> None:
    """Refuse a wrong command line within our own handler, and leave what Hydra alone can do to it."""
    gc.set_threshold(100_000)  # what imports and traces leave lives on: looking through it again and again costs
    _stopping.listen()
    try:
        typed = list(sys.argv[1:])
        sys.argv[1:], plans, several = checked(typed)
        if several:
            code = _launch(plans, typed)
        elif not plans:
            code = 0
            _hydra_main()
        else:
            code = run(plans[0], command=as_typed(typed))  # Hydra's own main would compose the configuration twice more
        if code:
            sys.exit(code)
    except ConfigError as error:
        sys.exit(say("config error", error, 2))
    except KeyboardInterrupt as stop:
        sys.exit(say("stopped", "nothing new was computed; the same command starts again", _exit_code(stop)))
    except SystemExit:
        if _stopping.asked:
            _leave(128 + _stopping.asked)
        raise


def checked(arguments: list[str]) -> tuple[list[str], list[Plan], bool]:
    """The command line as Hydra gets it, the plans that it asks for, and whether Hydra's launcher runs them, after
    everything that can be wrong with them was looked at: nothing is imported, written or submitted for a sweep that
    cannot be.

    There are no plans where a person wants something of Hydra itself.

    Raises:
        ConfigError: the first thing that is wrong.
    """
    options, parsed = split_options(arguments)
    overrides = prepare_overrides(parsed.overrides, several=parsed.multirun)
    if parsed.multirun:
        plans = {plan.hash: plan for plan in (read(compose(each)) for each in combinations(overrides))}
        return [*overrides, *options], list(plans.values()), True
    plan = None if options else read(compose(overrides))
    of_hydra = any(override.lstrip("+~").startswith("hydra") for override in overrides)
    return [*overrides, *options], [] if of_hydra or plan is None else [plan], False


def read(composed: DictConfig) -> Plan:
    """The plan of a composed configuration."""
    config = SweepConfig.from_mapping(as_mapping(composed))
    if config.extend is not None:
        from attractor_jax.extension import extended

        config = extended(config)
    return make_plan(config, opens=True)


def _job(composed: DictConfig) -> None:
    """One of Hydra's jobs: in this process, or in one of a cluster's, which finds it here by its name."""
    from hydra.core.hydra_config import HydraConfig

    _stopping.listen()
    try:
        code = run(read(composed), command=as_typed(HydraConfig.get().overrides.task))
    except ConfigError as error:
        code = say("config error", error, 2)
    if _stopping.asked:
        try:
            _stopping.hand_on()
        except SystemExit:
            pass  # the job is back in the queue
        _leave(code or 128 + _stopping.asked)
    if code:  # a return lets Hydra go on to the next of several sweeps
        sys.exit(code)


_hydra_main = hydra.main(config_path=str(CONF), config_name=ROOT, version_base="1.3")(_job)


def _leave(code: int) -> NoReturn:
    """End now: JAX would not let the interpreter end before the batch under way."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _launch(plans: Sequence[Plan], command: Sequence[str]) -> int:
    """Several jobs through Hydra's launcher; whatever that says of them, what counts is what they wrote."""
    if not any(plan.config.dry_run for plan in plans):
        for plan in plans:  # a place that cannot be written is found before anything is submitted
            try:
                _open(plan, [], command)
            except OSError as error:
                return say("error", f"output={plan.config.output} cannot be used: {error}", 1)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # an exception, and not a screen of it
    failed = None
    _stopping.listen_no_more()  # a launcher waits without asking; a job in this process listens again
    try:
        _hydra_main()
    except KeyboardInterrupt:
        return say("stopped", "jobs that were started go on; python -m sweeps.status RUN says how far they are", 130)
    except SystemExit as exit_:
        failed = f"a job ended with exit code {exit_.code}"
    except Exception as error:
        failed = str(error).splitlines()[0] if str(error) else type(error).__name__
    if all(plan.config.dry_run for plan in plans):
        return 1 if failed else 0
    from attractor_jax.audit import examine
    from attractor_jax.parts import TableError

    code = 0
    for plan in plans:
        path = Path(plan.config.output) / plan.config.name / plan.hash
        try:
            found = examine(path)
        except TableError as error:
            code = say("error", f"{error}; {failed}" if failed else error, 1)
            continue
        if not found.complete:
            why = f" ({failed})" if failed else ""
            code = say("error", f"{found.summary()}{why}; the same command goes on from there", 1)
        print(path, flush=True)
    return code


def run(plan: Plan, *, command: Sequence[str] = ()) -> int:
    """One sweep, from its plan to its exit code.

    Args:
        command: the arguments that a person gave, kept in the manifest.
    """
    try:
        if plan.config.dry_run:
            describe(plan)
            return 0
        return _compute(plan, command)
    except ConfigError as error:
        return say("config error", error, 2)


def _compute(plan: Plan, command: Sequence[str]) -> int:
    share = plan.share(plan.config.shard.index, plan.config.shard.count)
    try:
        directory = _open(plan, share, command)
    except OSError as error:
        return say("error", f"output={plan.config.output} cannot be used: {error}", 1)
    todo = [part for part in share if part.index not in directory.done]
    if len(todo) < len(share):
        print(f"{len(directory.done)} of {_counted_parts(directory)} are there already", file=sys.stderr)
    if not todo:
        _finish(directory)
        return 0
    try:
        from attractor_jax import backend

        try:
            devices = backend.start(plan.config.backend)
        except (RuntimeError, AssertionError) as error:  # a driver that is missing, or of another version
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            return say("error", f"no device can be started ({reason}); {_kept(directory)}", 1)
        import jax

        from attractor_jax.sweep import run_sweep

        _stopping.check()
        try:
            with progress_bar(sum(part.n_cells for part in todo)) as tell, warnings.catch_warnings():
                warnings.showwarning = one_line

                def progress(cells: int, steps: float) -> None:
                    _stopping.goes_on(cells)
                    tell(cells, steps)

                def begins(part: Part) -> None:
                    _stopping.begins(part.n_cells)

                known = _known(plan, todo)
                run_sweep(plan, directory, devices=devices, progress=progress, begins=begins, known=known)
        except jax.errors.JaxRuntimeError as error:
            # Most often the devices' memory: the first line says what could not be had.
            reason = str(error).splitlines()[0]
            return say("error", f"{reason} (backend.memory or backend.batch may be too large); {_kept(directory)}", 1)
    except MemoryError as error:
        return say("error", f"the host's memory is full ({error}); {_kept(directory)}", 1)
    except (OSError, SchemaError) as error:
        return say("error", f"{error}; {_kept(directory)}", 1)
    except KeyboardInterrupt as stop:
        return say("stopped", _kept(directory), _exit_code(stop))
    _finish(directory)
    return 0


def _open(plan: Plan, parts: Sequence[Part], command: Sequence[str]) -> RunDirectory:
    """The run directory, and a line for each repair."""
    from attractor_jax.store import RunDirectory

    directory = RunDirectory(Path(plan.config.output), plan, parts=parts, command=command)
    for repair in directory.repairs:
        print(f"repaired: {repair}", file=sys.stderr)
    return directory


def _known(plan: Plan, todo: Sequence[Part]) -> Known | None:
    """What is taken over from the run that this one extends, and a line that says how much."""
    if plan.config.extend is None:
        return None
    from attractor_jax.extension import Known

    known = Known(plan, Path(plan.config.extend))
    there = sum(len(known.rest(part)[0]) for part in todo)
    of = sum(part.n_cells for part in todo)
    for fault in known.refused:
        print(f"not taken over: {fault}", file=sys.stderr)
    print(f"{there:,} of {counted(of, 'cell')} are taken over from {plan.config.extend}", file=sys.stderr, flush=True)
    return known


def _finish(directory: RunDirectory) -> None:
    """The last words: where the run is, after what a person should know of it."""
    plan = directory.plan
    if plan.config.transitions is not None and len(directory.done) == plan.n_parts:
        axis = plan.system.axes[-1].name
        table = directory.path / "transitions"
        import pyarrow.parquet as pq

        onsets = pq.read_table(table, columns=[f"{axis}_chaos"]).column(0)  # all parts are there, and believed
        if onsets.null_count == len(onsets):
            values, wanted = plan.groups[0].lanes[axis], plan.config.transitions.consecutive
            where = f"between {axis} = {values.min():g} and {values.max():g}"
            print(
                f"no transition to chaos: grid.{axis} must have {wanted} chaotic values in turn, "
                f"got none {where} in {counted(len(onsets), 'network')}",
                file=sys.stderr,
            )
    print(directory.path, flush=True)


def _kept(directory: RunDirectory) -> str:
    """What an interrupted sweep leaves, and how to go on."""
    done = f"{len(directory.done)} of {_counted_parts(directory)} are safe in {directory.path}"
    return f"{done}; the same command goes on from there"


def _exit_code(stop: KeyboardInterrupt) -> int:
    """As a shell gives it."""
    return 128 + (stop.args[0] if stop.args else signal.SIGINT)


def _counted_parts(directory: RunDirectory) -> str:
    """Of the whole plan, or of this process's share of it."""
    shard, n = directory.plan.config.shard, len(directory.parts)
    return f"{n} parts" + (f" of shard {shard.index} of {shard.count}" if shard.count > 1 else "")


if __name__ == "__main__":
    from sweeps import run as this  # jobs of a cluster import it by its name

    this.main()
