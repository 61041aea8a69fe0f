"""What does a command line ask for? Each argument read on its own, so that a slip gets one line that names it, and made
ready for Hydra, whose own messages fill a screen.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from attractor_jax.config import ConfigError, a_list

CONF = Path(__file__).resolve().parent.parent / "conf"
ROOT = "sweep"

# More jobs than this are a slip: the grid is computed inside a job, and jobs are for shards.
MOST_JOBS = 10_000

VALUE = "one value, a list [1, 2] or a mapping {start: 0, num: 8}, the whole argument in quotes"


def split_options(arguments: list[str]) -> tuple[list[str], argparse.Namespace]:
    """Hydra's options (`-m`, `--help`, ...) as they stand, and what Hydra makes of the line.

    Raises:
        ConfigError: an option that Hydra does not have.
    """

    def refuse(message: str) -> NoReturn:
        raise ConfigError("the command line", f"must be key=value and Hydra's options (see --help): {message}")

    parser = get_args_parser()
    parser.error = refuse
    parsed = parser.parse_intermixed_args(arguments)
    return [argument for argument in arguments if argument not in parsed.overrides], parsed


def prepare_overrides(arguments: list[str], *, several: bool = False) -> list[str]:
    """The `key=value` arguments as Hydra wants them.

    * An unknown key goes through Hydra, to be refused by our own check, which knows what the key could have been.
    * `grid.<axis>=...` replaces what the experiment says of the axis: a list does not merge with a range.
    * A system chosen without an experiment starts from its own defaults, in a run of its own name, and not from the
      default experiment's grid.

    Args:
        several: commas start several sweeps (`-m`).

    Raises:
        ConfigError: an argument that cannot be read, or a choice that does not exist.
    """
    choices = {
        folder.name: sorted(file.stem for file in folder.glob("*.yaml"))
        for folder in CONF.iterdir()
        if folder.is_dir() and folder.name != "hydra"
    }
    prepared: list[str] = []
    keys = set()
    for argument in arguments:
        override = _parse(argument)
        key, text = override.key_or_group, argument.partition("=")[2]
        keys.add(key)
        if override.is_sweep_override() and not several:
            must = a_list(choices[key]) if key in choices else VALUE
            raise ConfigError(key, f"must be {must} (several sweeps at once need -m)", text)
        if key == "hydra/launcher":
            _check_launcher(text)
        if override.is_delete() or override.package or "/" in key or key.startswith("hydra."):
            prepared.append(argument)
        elif key in choices:
            prepared.append(_choice(key, text, override, choices[key]))
        else:
            if key.startswith("grid.") and key.count(".") == 1:
                prepared.append(f"++{key}=null")
            prepared.append(f"++{key}={text}")
    if keys & {"system", "system.name"} and "experiment" not in keys:
        prepared.append("~experiment")
    return prepared


def compose(overrides: list[str]) -> DictConfig:
    """The configuration, composed outside of Hydra's own error handling.

    Raises:
        ConfigError: Hydra cannot compose it, or an axis was given beside an explicit list of cells.
    """
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            composed = hydra.compose(ROOT, overrides)
        cells = OmegaConf.select(composed, "grid.cells")
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError, TypeError) as error:
        why = f" ({one_line(error.__cause__)})" if error.__cause__ is not None else ""
        raise ConfigError("the configuration", f"cannot be composed: {one_line(error)}{why}") from error
    if cells is not None:
        for override in overrides:
            key, _, text = override.partition("=")
            if key.startswith("++grid.") and key not in ("++grid.cells", "++grid.refine") and text != "null":
                raise ConfigError(key[2:], "must be left out where grid.cells lists the cells", text)
    return composed


def combinations(overrides: list[str]) -> list[list[str]]:
    """What each of several jobs (`-m`) is told, as Hydra's own sweeper combines it; shards of one plan are one job.

    Raises:
        ConfigError: a sweep that Hydra's sweeper does not have, or more jobs than anybody can want.
    """
    parsed = [_last_shard(override) for override in OverridesParser.create().parse_overrides(overrides)]
    n = math.prod(_n_jobs(override) for override in parsed)
    if n > MOST_JOBS:
        raise ConfigError("the command line", f"must not ask for more than {MOST_JOBS:,} jobs; this one asks for {n:,}")
    try:
        (jobs,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    except (HydraException, ValueError) as error:
        raise ConfigError("the command line", f"must be {VALUE}: {one_line(error)}") from error
    return jobs


def _n_jobs(override: Override) -> int:
    """Values that an override gives to as many jobs, counted before anybody lists them.

    Raises:
        ConfigError: Hydra's sweeper cannot say, there is none, or there are too many.
    """
    if not override.is_sweep_override():
        return 1
    key, sweep, text = override.key_or_group, override.value(), (override.input_line or "").partition("=")[2]
    if isinstance(sweep, RangeSweep):
        start, stop, step = (float(value or 0) for value in (sweep.start, sweep.stop, sweep.step))
        n = math.ceil((stop - start) / step) if step and math.isfinite(stop - start) else 0
    elif isinstance(sweep, ChoiceSweep):
        n = len(sweep.list)
    else:
        raise ConfigError(key, "must be a,b,c or range(n) where several jobs are asked for", text)
    if n < 1:
        raise ConfigError(key, "must have at least one value", text)
    if n > MOST_JOBS:
        raise ConfigError(key, f"must not have more than {MOST_JOBS:,} values, one a job", text)
    return n


def _last_shard(override: Override) -> Override:
    """The same, but of several shards the last."""
    if override.key_or_group != "shard.index" or not override.is_sweep_override():
        return override
    _n_jobs(override)
    texts = list(override.sweep_string_iterator())
    last = max(texts, key=lambda text: (not text.isdigit(), int(text) if text.isdigit() else 0))
    return OverridesParser.create().parse_override(f"++shard.index={last}")


def as_typed(overrides: Iterable[str]) -> list[str]:
    """The arguments of one job as a person would give them: for all shards, and without what was made for Hydra."""
    words = [override.lstrip("+") for override in overrides]
    empty = {f"{word.partition('=')[0]}=null" for word in words if not word.endswith("=null")}
    return [word for word in words if word not in empty and not word.startswith(("shard.", "~", "hydra"))]


def as_mapping(composed: DictConfig) -> dict[str, Any]:
    """The configuration as plain containers, without Hydra's own part.

    Raises:
        ConfigError: a reference to a key that does not exist.
    """
    try:
        mapping = OmegaConf.to_container(composed, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(error.full_key or "the configuration", f"cannot be resolved: {one_line(error)}") from error
    assert isinstance(mapping, dict)
    return {str(key): value for key, value in mapping.items() if key != "hydra"}


def one_line(error: BaseException) -> str:
    """An exception in one line, without the pointers to manuals and internals that Hydra and OmegaConf add."""
    noise = ("See https:", "full_key:", "object_type=", "Config search path:", "provider=")
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(line for line in lines if line and not line.startswith(noise)) or type(error).__name__


def _parse(argument: str) -> Override:
    key, equals, text = argument.lstrip("+").partition("=")
    if not key:
        raise ConfigError("the command line", "must be key=value", argument)
    if not equals and not key.startswith("~"):
        raise ConfigError("the command line", f"must be key=value, as in {key}=...", argument)
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException as error:
        raise ConfigError(key, f"must be {VALUE}", text) from error


def _check_launcher(text: str) -> None:
    """Launchers of this project need what not everybody has installed; Hydra would speak of a file that is missing."""
    own = [file.stem for file in (CONF / "hydra" / "launcher").glob("*.yaml")]
    if text in own and importlib.util.find_spec("submitit") is None:
        raise ConfigError("hydra/launcher", "needs the extra `cluster` (pip install -e '.[cluster]')", text)


def _choice(group: str, text: str, override: Override, options: list[str]) -> str:
    """The argument that chooses a file of `conf/<group>/`."""
    if override.is_sweep_override():
        _n_jobs(override)
    values = list(override.sweep_string_iterator()) if override.is_sweep_override() else [override.value()]
    if group == "experiment" and values == [None]:
        return "~experiment"
    for value in values:
        if value not in options:
            raise ConfigError(group, f"must be {a_list(options)}", value)
    return f"{group}={text}"
