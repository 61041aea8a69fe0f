"""docs/cluster.md: every command that needs no cluster, in turn."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from sweeps.command_line import CONF

PAGE = CONF.parent / "docs" / "cluster.md"


def commands() -> list[str]:
    """The page's commands for one machine, in their order."""
    found: list[str] = []
    for before, block in re.findall(r"([^`]*)```bash\n(.*?)```", PAGE.read_text(), re.DOTALL):
        if "*on the cluster*" in before.lower()[-100:]:
            continue
        found += [line.split("#")[0].strip() for line in block.splitlines() if line.startswith("python -m ")]
    return found


def test_the_page_has_commands_for_one_machine_and_for_a_cluster() -> None:
    assert len(commands()) == 9
    assert PAGE.read_text().count("hydra/launcher=slurm") >= 2
    assert not any("hydra/launcher=slurm" in command for command in commands())


def test_every_command_does_what_the_page_says(tmp_path: Path) -> None:
    run = ""
    for command in commands():
        if "sweeps.run" in command:
            command += f" output={tmp_path}"
        ended = subprocess.run(
            ["bash", "-c", command.replace("python", sys.executable, 1).replace("RUN", run)],
            cwd=CONF.parent,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert ended.returncode == 0, (command, ended.stderr)
        if "sweeps.run" in command and "dry_run" not in command:  # the page's RUN is the last one
            run = ended.stdout.splitlines()[-1]
            assert Path(run).is_dir()
    assert (Path(run) / "cells.parquet").is_file() and list((Path(run) / "figures").glob("*.png"))
