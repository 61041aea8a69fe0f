"""Who computed this? The commit that a part is stamped with, and what parts say of their makers."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

MADE_BY = ("engine", "jaxlib", "device", "commit")  # what all parts of a run should have in common


def makers(parts: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    """The engines, say, that computed some parts, each once; those of cells that were taken over from another run are
    among them.
    """
    return sorted({str(value) for part in parts for value in (part.get(key), *part.get("taken_from", {}).get(key, []))})


@cache
def commit() -> str:
    """Short hash of the checkout that this package runs from, with `-dirty` for local changes; outside a checkout,
    the package's version.
    """
    here = Path(__file__).resolve().parent
    try:
        described = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        # A package installed inside somebody else's repository must not borrow its commit.
        tracked = subprocess.run(
            ["git", "-C", str(here), "ls-files", "--error-unmatch", "provenance.py"],
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return f"attractor_jax {version('attractor_jax')}"
    return described.stdout.strip() if tracked.returncode == 0 else f"attractor_jax {version('attractor_jax')}"
