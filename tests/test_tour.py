"""The tour runs from its first cell to its last, wherever it is started, and is kept without outputs.

Its code is executed as it stands, in one namespace of a process of its own. A Jupyter kernel would show the same, and
asks for twenty further packages.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest

NOTEBOOK = Path(__file__).resolve().parent.parent / "analysis" / "tour.ipynb"
CELLS = json.loads(NOTEBOOK.read_text())["cells"]
AFTERWARDS = """
import json
told = {
    "run": str(run), "cells": len(df), "counted": int(pd.crosstab(df["D"], df["regime"]).to_numpy().sum()),
    "shares": [float(table["value"].max()) for table in chaos.values()], "apart": float(apart),
    "axes": [ax.get_xlabel() for ax in figure.axes], "pixels": int((seen.counts > 0).sum()),
}
print(json.dumps(told))
"""


def test_it_has_twelve_cells_and_keeps_no_outputs() -> None:
    assert len(CELLS) == 12
    assert len({cell["id"] for cell in CELLS}) == 12
    for cell in CELLS:
        assert cell["cell_type"] == "markdown" or (cell["outputs"], cell["execution_count"]) == ([], None)


def test_it_runs_from_the_first_cell_to_the_last(tmp_path: Path) -> None:
    code = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]
    script = tmp_path / "tour.py"
    script.write_text("\n\n".join([*code, AFTERWARDS]))
    path = os.pathsep.join([str(NOTEBOOK.parent.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", str(script)],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert Path(told["run"]).parent == tmp_path / "results" / "tour"
    assert told["cells"] == told["counted"] == 480
    assert all(0.05 < share < 1 for share in told["shares"])
    assert told["axes"] == ["scale s", "scale s", "x1"]
    assert told["pixels"] > 1000
    assert told["apart"] == pytest.approx(0, abs=5), "the chaos of the sweep was a transient"
    assert matplotlib.image.imread(tmp_path / "tour.png").shape[:2] == (600, 1950)
