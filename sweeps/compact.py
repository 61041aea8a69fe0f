"""python -m sweeps.compact RUN: each table of a finished run as one file, RUN/<table>.parquet.

The same rows, part behind part, and what every part says of itself in the file's metadata (`attractor_jax`). The run
directory is left as it is. The last line printed is the file of the cells. Exit code 0: written; 1: the run is not
complete, damaged, or the file system says no; 2: the arguments are wrong.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from attractor_jax.audit import examine
from attractor_jax.parts import METADATA, TableError, encoding, read_part
from attractor_jax.plan import Plan
from attractor_jax.store import CELLS, put_beside
from sweeps.arguments import RunParser, answered

# Rows in a row group at least: readers skip and split by row groups, and small ones cost more than they hold.
ROWS_TOGETHER = 1 << 20


def main(argv: list[str] | None = None) -> int:
    return answered(lambda: _compact(argv))


def _compact(argv: list[str] | None) -> int:
    run = RunParser("python -m sweeps.compact", "Each table of a finished run as one file.").parse_args(argv).run
    found = examine(run)
    if not found.complete:
        raise TableError(f"{found.summary()}: only a complete run is made one file (python -m sweeps.status RUN)")
    for table in (*found.plan.tables, CELLS):
        print(compact(run, found.plan, table))
    return 0


def compact(run: Path, plan: Plan, table: str) -> Path:
    """All parts of a table in one file beside its folder, which appears whole or not at all."""
    paths = [run / table / part.file for part in plan.parts()]

    def write(temporary: Path) -> None:
        schema = read_part(paths[0])[0].schema.remove_metadata()
        abouts: list[dict[str, Any]] = []
        waiting: list[pa.Table] = []
        with pq.ParquetWriter(temporary, schema, **encoding(schema)) as writer:
            for path in paths:
                rows, about = read_part(path)
                waiting.append(rows.cast(schema))
                abouts.append(about)
                if sum(len(each) for each in waiting) >= ROWS_TOGETHER or path == paths[-1]:
                    writer.write_table(pa.concat_tables(waiting))
                    waiting = []
            told = {"plan": plan.hash, "table": table, "parts": abouts}
            writer.add_key_value_metadata({METADATA.decode(): json.dumps(told)})

    return put_beside(run, table, write)


if __name__ == "__main__":
    sys.exit(main())
