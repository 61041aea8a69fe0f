"""python -m sweeps.basins RUN [--where AXIS=VALUE ...]: the further tables of a run about basins, one file each.

    attractors.parquet         which attractors there are: their exponents and the shares of their basins; of a learning
                               run its minima, with depth, shape, copies, size r50 and barrier
    basin_stability.parquet    of one minimum of each orbit, the share of trainings that come back from each distance
    basin_fractions.parquet    which share of the trainings ends in which orbit, for every setting of the levers
    escape.parquet             system=xor_escape: which share leaves the poor minimum
    boundary.parquet           an image over two axes: basin entropy, box counting, uncertainty exponent

What is written depends on the run; each file is printed. Cells are simulated again for r50 and for the uncertainty
exponent. Exit code 0: written; 1: the run cannot be read, or has nothing of the kind; 2: the arguments are wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attractor_jax.parts import METADATA, TableError, encoding, put
from attractor_jax.store import read_plan, temporary_of
from sweeps.arguments import ArgumentProblem, RunParser, answered, read_assignments
from sweeps.telling import one_line

if TYPE_CHECKING:
    import pandas as pd

# Orbits of minima whose size is measured, those reached most often first.
MOST_ORBITS = 32


def main(argv: list[str] | None = None) -> int:
    return answered(lambda: _basins(argv))


def _basins(argv: list[str] | None) -> int:
    parser = RunParser("python -m sweeps.basins", "Tables about the basins of a run.")
    parser.add_argument(
        "--where", metavar="AXIS=VALUE", action="append", default=[],
        help="minima, sizes and boundaries of these cells only; may be repeated",
    )  # fmt: skip
    parser.add_argument("--starts", type=int, default=128, help="trainings at each distance (default: 128)")
    parser.add_argument("--farthest", type=float, default=10.0, help="largest distance from a minimum (default: 10)")
    parser.add_argument("--points", type=int, default=4096, help="random points for uncertainty (default: 4096)")
    arguments = parser.parse_args(argv)
    for name in ("starts", "points"):
        if getattr(arguments, name) < 1:
            raise ArgumentProblem(f"`--{name}` must be at least 1, got {getattr(arguments, name)}")
    if not 0 < arguments.farthest < np.inf:
        raise ArgumentProblem(f"`--farthest` must be a distance above 0, got {arguments.farthest:g}")
    where = read_assignments("--where", arguments.where)
    written = 0
    for name, table in tables(arguments.run, where, arguments):
        print(write(arguments.run, name, table), flush=True)
        written += 1
    if not written:
        why = "its trainings keep no parameters (beyond 256 of them), and are no image over two axes"
        raise TableError(f"{arguments.run} has no basins: {why}")
    return 0


def tables(run: Path, where: Any, how: argparse.Namespace) -> Any:
    """The tables that a run can have, each with its name, as they are made."""
    from attractor_jax import backend
    from attractor_jax.axes import select
    from attractor_jax.reading import read_run

    plan = read_plan(run)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        df = read_run(run)
    for warning in told:
        one_line(str(warning.message))
    devices = backend.start(plan.config.backend)
    try:
        chosen = select(df, where)
    except ValueError as problem:
        raise ArgumentProblem(str(problem).replace("`where`", "`--where`")) from None
    chosen.attrs = df.attrs
    if "train_loss" not in df.columns:
        from attractor_jax.attractors import attractor_table

        yield "attractors", attractor_table(chosen)
    elif df["theta"].notna().all():
        yield from _of_learning(plan, df, chosen, how)
    from sweeps.boundary import axes_of_image, boundary_table

    if axes_of_image(chosen) is not None:
        yield "boundary", boundary_table(plan, chosen, devices, points=how.points)


def _of_learning(plan: Any, df: pd.DataFrame, chosen: pd.DataFrame, how: argparse.Namespace) -> Any:
    from attractor_jax.basin_size import barriers, stability_table, steps_of
    from attractor_jax.minima import label_minima, minima_table
    from attractor_jax.trainings import escape_table, fraction_table, levers

    if plan.system.name == "xor_escape":
        yield "escape", escape_table(df)
        return
    if "u" in df.columns or "lr_hidden" in df.columns:
        return  # an image: one training a pixel
    labelled = label_minima(df)
    yield "basin_fractions", fraction_table(labelled)
    here = labelled.loc[chosen.index]
    here.attrs = df.attrs
    minima = minima_table(here)
    if not len(minima):
        return
    rules = [axis for axis in levers(here) if axis not in ("init_scale", "width", "weight_decay")]
    if (n := len(here[rules].drop_duplicates())) > 1:
        several = ", ".join(axis for axis in rules if here[axis].nunique() > 1)
        print(f"no sizes of basins: --where must leave one training rule ({several}), got {n}", file=sys.stderr)
        yield "attractors", barriers(minima, here)
        return
    orbits = minima.groupby([axis for axis in ("width", "weight_decay", "orbit") if axis in minima.columns])
    reached = orbits["count"].sum().sort_values(ascending=False, kind="stable")
    if len(reached) > MOST_ORBITS:
        print(f"sizes of the {MOST_ORBITS} orbits reached most often, of {len(reached)}", file=sys.stderr)
        enough = reached.iloc[MOST_ORBITS - 1]
        minima = minima[orbits["count"].transform("sum") >= enough]
    radii = np.geomspace(how.farthest / 100, how.farthest, 13)
    steps = steps_of(vars(plan.config.measure))
    stability, sized = stability_table(minima, here, radii=radii, starts=how.starts, steps=steps)
    yield "attractors", barriers(sized, here)
    yield "basin_stability", stability


def write(run: Path, name: str, table: pd.DataFrame) -> Path:
    """RUN/<name>.parquet, whole or not at all, with the plan it is of."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table, preserve_index=False)
    told = {"plan": run.name, "table": name}
    arrow = arrow.replace_schema_metadata({METADATA.decode(): json.dumps(told)})

    def put_down(temporary: Path) -> None:
        pq.write_table(arrow, temporary, **encoding(arrow.schema))

    path = run / f"{name}.parquet"
    (run / "_tmp").mkdir(exist_ok=True)
    put(path, put_down, temporary=temporary_of(run, path))
    return path


if __name__ == "__main__":
    sys.exit(main())
