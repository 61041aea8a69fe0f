"""Command lines whose mistakes are told in one line: what all commands beside the sweep itself share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from attractor_jax.config import ConfigError
from attractor_jax.parts import TableError


class ArgumentProblem(ValueError):
    """Arguments that cannot be used: exit code 2. The message names the option, what it must be and what was given."""


class OneLineParser(argparse.ArgumentParser):
    """A command line whose mistakes are told in one line."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise ArgumentProblem(message)


class RunParser(OneLineParser):
    """Of a command that looks at one run."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog, description)
        self.add_argument("run", metavar="RUN", type=Path, help="run directory, as the sweep printed it last")


def read_assignments(option: str, given: list[str]) -> Mapping[str, float | str]:
    """The values of an option that is given as AXIS=VALUE, again and again: numbers, and what reads as none as it is.

    Raises:
        ArgumentProblem: one that cannot be read.
    """
    read: dict[str, float | str] = {}
    for text in given:
        axis, equals, value = text.partition("=")
        if not (axis and equals and value):
            raise ArgumentProblem(f"`{option}` must be AXIS=VALUE, such as N=4, got {text!r}")
        try:
            read[axis] = float(value)
        except ValueError:
            read[axis] = value
    return read


def as_assignments(values: Mapping[str, float | str], equals: str = "=") -> list[str]:
    """The values again as words of a command line, or with nothing between as parts of a file's name."""
    return [f"{axis}{equals}{value if isinstance(value, str) else f'{value:g}'}" for axis, value in values.items()]


def answered(command: Callable[[], int]) -> int:
    """The exit code of a command that looks at a run, and one line for all that can go wrong with it: 2 if the
    arguments are wrong, 1 if the run or the file system says no, 130 for Ctrl-C.
    """
    try:
        return command()
    except ArgumentProblem as problem:
        return refuse(problem, 2)
    except (TableError, ConfigError, OSError) as problem:
        return refuse(problem, 1)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def refuse(problem: object, code: int) -> int:
    """One line that says why nothing was done; gives back the exit code."""
    print("error: " + " ".join(str(problem).split()), file=sys.stderr)
    return code
