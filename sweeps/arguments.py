"""Command lines whose mistakes are told in one line: what all commands beside the sweep itself share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn


class ArgumentProblem(ValueError):
    """Arguments that cannot be used: exit code 2. The message names the option, what it must be and what was given."""


class OneLineParser(argparse.ArgumentParser):
    """A command line whose mistakes are told in one line."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise ArgumentProblem(message)


def stoppable(main: Callable[[], int]) -> int:
    """The exit code of a command; one line if Ctrl-C ends it."""
    try:
        return main()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def refuse(problem: object, code: int) -> int:
    """One line that says why nothing was done; gives back the exit code."""
    print("error: " + " ".join(str(problem).split()), file=sys.stderr)
    return code
