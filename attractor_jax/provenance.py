"""Which source computed this? The commit that a part is stamped with."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path


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
