"""python -m sweeps.basins RUN [--where AXIS=VALUE ...]: the further tables of a run about basins, one file each.

    attractors.parquet         which attractors there are: their exponents and the shares of their basins; of a learning
                               run its minima, with depth, shape, copies, size r50 and barrier
    basin_stability.parquet    of one minimum of each orbit, the share of trainings that come back from each distance
    basin_fractions.parquet    which share of the trainings ends in which orbit, for every setting of the levers
    escape.parquet             system=xor_escape: which share leaves the poor minimum
    boundary.parquet           an image over two axes: basin entropy, box counting, uncertainty exponent

What is written depends on the run; each file is printed, and says in its metadata what was asked for. A further call
writes them anew. Cells are simulated again for r50 and for the uncertainty exponent. Exit code 0: written; 1: the run
cannot be read, or has nothing of the kind; 2: the arguments are wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attractor_jax.parts import METADATA, TableError, encoding
from attractor_jax.plan import Plan
from attractor_jax.store import put_beside, read_plan
from sweeps.arguments import ArgumentProblem, RunParser, answered, read_assignments
from sweeps.boundary import axes_of_image, boundary_table
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
    asked = {"where": dict(where), **{key: getattr(arguments, key) for key in ("starts", "farthest", "points")}}
    for name, table in tables(arguments.run, where, arguments):
        print(write(arguments.run, name, table, asked), flush=True)
        written += 1
    if not written:
        why = "its trainings keep no parameters (beyond 256 of them), and are no image over two axes"
        raise TableError(f"{arguments.run} has no basins: {why}")
    return 0


def tables(run: Path, where: Mapping[str, float | str], how: argparse.Namespace) -> Iterator[tuple[str, pd.DataFrame]]:
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
    elif plan.system.name == "xor_escape":
        from attractor_jax.trainings import escape_table

        yield "escape", escape_table(chosen)
    elif axes_of_image(df) is None:
        kept = df["theta"].notna()
        if kept.any() and not kept.all():
            print(
                f"of {len(df):,} trainings {int((~kept).sum()):,} keep no parameters, and are left out", file=sys.stderr
            )
        if kept.any():
            yield from _of_learning(plan, df[kept], chosen[kept.loc[chosen.index]], how)
    if axes_of_image(chosen) is not None:
        yield "boundary", boundary_table(plan, chosen, devices, points=how.points)


def _of_learning(
    plan: Plan, df: pd.DataFrame, chosen: pd.DataFrame, how: argparse.Namespace
) -> Iterator[tuple[str, pd.DataFrame]]:
    from attractor_jax.basin_size import barriers, stability_table
    from attractor_jax.minima import LANDSCAPE, label_minima, minima_table
    from attractor_jax.trainings import fraction_table, levers

    labelled = label_minima(df)
    yield "basin_fractions", fraction_table(labelled)
    here = labelled.loc[chosen.index]
    here.attrs = df.attrs
    minima = minima_table(here)
    if not len(minima):
        print("no sizes of basins: no training arrived at a minimum that attracts", file=sys.stderr)
        return
    rules = [axis for axis in levers(here) if axis not in ("init_scale", *LANDSCAPE)]
    if (n := len(here[rules].drop_duplicates())) > 1:
        several = ", ".join(axis for axis in rules if here[axis].nunique() > 1)
        print(f"no sizes of basins: --where must leave one training rule ({several}), got {n}", file=sys.stderr)
        return
    orbits = minima.groupby([axis for axis in (*LANDSCAPE, "orbit") if axis in minima.columns])
    reached = orbits["count"].sum().sort_values(ascending=False, kind="stable")
    if len(reached) > MOST_ORBITS:
        print(f"sizes of the {MOST_ORBITS} orbits reached most often, of {len(reached)}", file=sys.stderr)
        minima = minima[orbits["count"].transform("sum") >= reached.iloc[MOST_ORBITS - 1]]
    radii = np.geomspace(how.farthest / 100, how.farthest, 13)
    stability, sized = stability_table(minima, here, radii=radii, starts=how.starts, align=plan.config.measure.align)
    # Sizes are those of a rule: each row says of which.
    rule = {axis: here[axis].iloc[0] for axis in rules}
    yield "attractors", barriers(sized, here).assign(**rule)
    yield "basin_stability", stability.assign(**rule)


def write(run: Path, name: str, table: pd.DataFrame, asked: Mapping[str, Any]) -> Path:
    """RUN/<name>.parquet, whole or not at all, with the plan it is of and what was asked for."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table, preserve_index=False)
    told = {"plan": run.resolve().name, "table": name, **asked}
    arrow = arrow.replace_schema_metadata({METADATA.decode(): json.dumps(told)})

    def put_down(temporary: Path) -> None:
        pq.write_table(arrow, temporary, **encoding(arrow.schema))

    return put_beside(run, name, put_down)


if __name__ == "__main__":
    sys.exit(main())
