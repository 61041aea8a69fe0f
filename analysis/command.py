"""How is a figure asked for, and how is it kept? The command line that all figures of a run share, and the file."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from analysis.style import DPI, RC, number
from attractor_jax.axes import select, table_axes, varied_axes
from attractor_jax.parts import put
from sweeps.arguments import ArgumentProblem, RunParser, as_assignments, read_assignments, refuse


class RunProblem(ValueError):
    """A run that has not got what the figure shows: exit code 1."""


class FigureParser(RunParser):
    """The command line that all figures of a run share.

    Args:
        free_x: the reader may choose the axis along the bottom.
    """

    def __init__(self, prog: str, description: str, *, free_x: bool = True) -> None:
        super().__init__(prog, description)
        if free_x:
            self.add_argument(
                "--x", metavar="AXIS", help="axis along the bottom (default: s, else the one with most values)"
            )
        self.add_argument(
            "--where", metavar="AXIS=VALUE", action="append", default=[], help="only these cells; may be repeated"
        )
        self.add_argument(
            "--out", metavar="FILE", type=Path, help="picture to write: .png, .pdf or .svg (default: in RUN/figures)"
        )


def figure_command(
    parser: FigureParser,
    argv: list[str] | None,
    name: str,
    make: Callable[[pd.DataFrame, argparse.Namespace], tuple[Figure, list[str]]],
    *,
    table: str | None = None,
) -> int:
    """Read a run, draw, save, and print the path: what every figure's `main` does.

    Args:
        make: the figure of the selected cells and the words that tell its file from the default one. Raises
            ArgumentProblem for arguments that the run cannot fill, RunProblem for a run that has nothing to show; a
            ValueError is the one or, where it names the `run`, the other.
        table: of which `make` gets the selected rows, if not of the cells.

    Returns:
        The exit code: 0, 1 for a run that cannot be read or a picture that cannot be written, 2 for bad arguments.
            Either way one line says why.
    """
    # Asking for help or making a mistake should not wait for the readers of tables.
    try:
        arguments = parser.parse_args(argv)
        where = read_assignments("--where", arguments.where)
        check_out(arguments.out)
    except ArgumentProblem as problem:
        return refuse(problem, 2)

    from attractor_jax.parts import TableError
    from attractor_jax.reading import read_run

    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            df = read_run(arguments.run) if table is None else read_run(arguments.run, table=table)
        for warning in told:
            print(f"warning: {warning.message}", file=sys.stderr)
        if df.empty:
            raise TableError(f"{arguments.run} has no finished cells yet")
        df = selected(df, where)
        with _refusals(arguments.run):
            figure, words = make(df, arguments)
        words += as_assignments(where, "")
        path = arguments.out or arguments.run / "figures" / ("_".join([name, *words]) + ".png")
        save_figure(figure, path, title=f"{name.replace('_', ' ')} of {arguments.run.name}", runs=df.attrs.get("runs"))
    except ArgumentProblem as problem:
        return refuse(problem, 2)
    except (TableError, RunProblem, OSError) as problem:
        return refuse(problem, 1)
    print(path)
    return 0


def selected(df: pd.DataFrame, where: Mapping[str, float | str]) -> pd.DataFrame:
    """The rows of a table that `--where` asks for.

    Raises:
        ArgumentProblem: an axis that the table does not have, or a value that no row has.
    """
    try:
        return select(df, where)
    except ValueError as problem:
        raise ArgumentProblem(str(problem).replace("`where`", "`--where`")) from problem


def further_table(run: Path, table: str) -> pd.DataFrame | None:
    """Another table of a run whose cells have been read, which may do without; None if it has no such table.

    Raises:
        TableError: a part of it is damaged.
    """
    from attractor_jax.reading import list_tables, read_run

    if table not in list_tables(run):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what there is to say of the run was said of its cells
        return read_run(run, table=table)


@contextmanager
def _refusals(run: Path) -> Iterator[None]:
    """What a figure says against its run or its arguments, in the words of its command line."""
    from attractor_jax.parts import TableError

    try:
        yield
    except (ArgumentProblem, RunProblem, TableError):
        raise
    except ValueError as problem:
        text = str(problem)
        if "`run`" in text:
            raise RunProblem(text.replace("`run`", str(run))) from problem
        for name in ("where", "x", "y", "by", "images"):
            text = text.replace(f"`{name}`", f"`--{name}`")
        raise ArgumentProblem(text) from problem


def written_table(run: Path, name: str) -> pd.DataFrame | None:
    """RUN/<name>.parquet, as `python -m sweeps.basins` writes it, if it is there."""
    path = run / f"{name}.parquet"
    return pd.read_parquet(path) if path.exists() else None


def check_axis(df: pd.DataFrame, option: str, axis: str | None) -> None:
    """Refuse an axis that the table does not have or does not vary.

    Raises:
        ArgumentProblem: naming the option and the axes that would do.
    """
    if axis is None or axis in (varied := varied_axes(df)):
        return
    given = f"got {axis!r}"
    if axis in table_axes(df):
        given += f", which is {number(df[axis].iloc[0])} throughout"
    can = f"an axis that varies here ({', '.join(varied)})" if varied else "left out: nothing varies here"
    raise ArgumentProblem(f"`{option}` must be {can}, {given}")


def save_figure(figure: Figure, path: Path, *, title: str, runs: Any = None, dpi: float = DPI) -> None:
    """Write a picture with its provenance inside, all of it or nothing.

    Args:
        path: .png, .pdf or .svg; its folder is made.
        runs: where the numbers come from, as `read_run` leaves it in `attrs["runs"]`, or a recipe; written as JSON into
            the picture.
        dpi: pixels an inch.

    Raises:
        OSError: the folder cannot be made or written.
    """
    told = json.dumps(runs, default=str, ensure_ascii=True) if runs is not None else ""
    kind = path.suffix[1:]
    metadata: dict[str, str | None] = {"Title": title}
    if kind == "png":
        metadata |= {"Software": "attractor_jax", "Description": told}
    elif kind == "pdf":
        metadata |= {"Creator": "attractor_jax", "Subject": told, "CreationDate": None}
    else:
        metadata |= {"Creator": "attractor_jax", "Description": told, "Date": None}
    with matplotlib.rc_context(RC):
        save(path, lambda new: figure.savefig(new, format=kind, dpi=dpi, metadata=metadata))


def save(path: Path, write: Callable[[Path], object]) -> None:
    """A file in a folder that is made for it, all of it or nothing.

    Args:
        write: writes it to the path that it is given, whatever that ends in.

    Raises:
        OSError: the folder cannot be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    put(path, write, temporary=path.with_name(f".{path.name}.{os.getpid()}"))


def check_out(path: Path | None) -> None:
    """Refuse a picture of a kind that cannot be written.

    Raises:
        ArgumentProblem: naming those that can.
    """
    if path is not None and path.suffix not in (".png", ".pdf", ".svg"):
        raise ArgumentProblem(f"`--out` must end in .png, .pdf or .svg, got {str(path)!r}")
