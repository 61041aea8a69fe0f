"""python -m sweeps.status RUN [--json]: what of a run is there, and what is wrong with it.

Every part is read to its last byte, and nothing is written. Exit code 0: complete and whole; 1: not; 2: the arguments
are wrong.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from attractor_jax.audit import Condition, examine
from attractor_jax.store import read_manifest
from sweeps.arguments import RunParser, answered


def main(argv: list[str] | None = None) -> int:
    return answered(lambda: _status(argv))


def _status(argv: list[str] | None) -> int:
    parser = RunParser("python -m sweeps.status", "What of a run is there, and what is wrong with it.")
    parser.add_argument("--json", action="store_true", help="the same for programs")
    arguments = parser.parse_args(argv)
    found = examine(arguments.run)
    about = as_mapping(found, read_manifest(arguments.run)["command"])
    print(json.dumps(about, indent=1) if arguments.json else "\n".join(_lines(found, about)))
    return 0 if found.complete else 1


def as_mapping(found: Condition, command: list[str]) -> dict[str, Any]:
    """What `--json` prints."""
    words = that_goes_on_here(command, found.run)
    return {
        "run": str(found.run),
        "plan": found.plan.hash,
        "complete": found.complete,
        "parts": {
            "planned": found.plan.n_parts,
            "done": len(found.done),
            "missing": list(found.missing),
            "damaged": {str(index): fault for index, fault in found.damaged.items()},
            "strangers": [str(path) for path in found.strangers],
        },
        "cells": {"planned": found.plan.n_cells, "done": found.cells_done},
        "seconds_left": found.seconds_left,
        "command": shlex.join(["python", "-m", "sweeps.run", *words]),
    }


def _lines(found: Condition, about: dict[str, Any]) -> list[str]:
    cells = about["cells"]
    lines = [found.summary(), f"cells: {cells['done']:,} of {cells['planned']:,}"]
    lines += [f"damaged: {fault}" for fault in found.damaged.values()]
    lines += [f"strange: {path} is no part of this plan" for path in found.strangers]
    if found.complete:
        return lines
    if found.seconds_left is not None:
        left = duration(found.seconds_left)
        lines.append(f"time left: about {left}, if one process does it, on devices like those before")
    return [*lines, f"go on with: {about['command']}"]


def that_goes_on_here(command: list[str], run: Path) -> list[str]:
    """The arguments that the sweep was started with, if the run still lies where they put it; else with the place where
    it lies now.
    """
    put = next((word.partition("=")[2] for word in command if word.startswith("output=")), "results")
    here = run.resolve().parent.parent
    if Path(put).resolve() == here:
        return command
    return [*(word for word in command if not word.startswith("output=")), f"output={here}"]


def duration(seconds: float) -> str:
    """In the unit that a person would choose."""
    for unit, length in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
