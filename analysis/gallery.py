"""Which attractors of a run are worth a look? A contact sheet of portraits, each with its numbers.

    python -m analysis.gallery RUN [--by coverage|edge|dimension] [--best 64] [--where N=4] [--out FILE]

The portraits are simulated, some seconds for each new shape of networks and a quarter of a second for each picture.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import captions, command, style, tones
from analysis.cells import Cell, cell_of_table, with_error
from attractor_jax.config import EVERYTHING
from attractor_jax.regimes import CHAOTIC_REGIMES

BY = ("coverage", "edge", "dimension")
BEST, MOST = 64, 400
# The article keeps networks that visit between a tenth and nine tenths of the boxes (Sprott 1998).
KEPT = (0.1, 0.9)
# Among thousands of cells, those nearest to the edge of chaos are the false positives of it: standard errors that
# lambda_1 must be from zero.
SURE = 6.0

# A portrait of the sheet, in pixels, and the points in it: some twenty a pixel.
PIXELS, POINTS = 384, 3e6
COLUMNS = 8
TILE, CAPTION = 1.62, 0.52  # inches, of a picture and of the lines under it


def chosen(df: pd.DataFrame, by: str, best: int) -> pd.DataFrame:
    """The cells that are worth a look, the best first.

    Args:
        df: a classified table.
        by: "coverage": those that the article's filter keeps, the nearest to half of the boxes first. "edge": the
            chaotic ones whose lambda_1 is beyond `SURE` of its errors, the weakest chaos first. "dimension": the
            largest Kaplan-Yorke dimension first, those that the number of exponents censors by what is known of them,
            and of equal ones the largest lambda_1.
        best: how many at the most.

    Raises:
        ValueError: an unknown order, or a table without the column that it needs.
    """
    if by not in BY:
        raise ValueError(f"`by` must be one of {', '.join(BY)}, got {by!r}")
    if by == "coverage":
        if "coverage" not in df.columns:
            raise ValueError("`by` coverage needs a run with measure.also=[coverage]")
        kept = df[df["coverage"].between(*KEPT)]
        order = (kept["coverage"] - 0.5).abs()
    elif by == "edge":
        kept = df[df["regime"].isin(CHAOTIC_REGIMES) & (df["lambda_1"] > SURE * df["lambda_1_se"])]
        order = kept["lambda_1"]
    else:
        lower = df["kaplan_yorke_dimension"].fillna(df["kaplan_yorke_lower"]).astype(float)
        kept = df[lower > 0]
        order = -lower[kept.index]
    ranked = pd.DataFrame({"order": order, "lambda_1": -kept["lambda_1"].astype(float)})
    return kept.loc[ranked.sort_values(["order", "lambda_1"], kind="stable").index[:best]]


@style.styled
def draw(df: pd.DataFrame, by: str = "coverage", best: int = BEST, *, devices: Any = None) -> Figure:
    """The contact sheet of a classified table.

    Args:
        df, by, best: see `chosen`.
        devices: where the portraits are computed; all that JAX has if None.

    Raises:
        ValueError: see `chosen`.
    """
    if df.empty:
        return style.blank("no cells in this table")
    rows = chosen(df, by, best)
    if rows.empty:
        return style.blank(f"none of {len(df):,} cells is worth a look by {by}")
    columns = min(COLUMNS, len(rows))
    lines = -(-len(rows) // columns)
    figure = style.new_figure(lines * (TILE + CAPTION) + 0.9, max(columns * TILE + 0.3, style.WIDTH))
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    for ax, (cell, image) in zip(axes, _pictures(df, rows, devices), strict=False):
        ax.imshow(image, interpolation="antialiased")
        ax.text(0, -0.03, _caption(cell), fontsize=6, va="top", linespacing=1.3, transform=ax.transAxes)
    captions.caption(figure, df, [], [_note(df, by, len(rows))])
    return figure


def _pictures(df: pd.DataFrame, rows: pd.DataFrame, devices: Any) -> Iterator[tuple[Cell, np.ndarray]]:
    """Each cell and its portrait, seen by its first two coordinates.

    Raises:
        ValueError: there is but one.
    """
    from attractor_jax.portrait import coordinate_names, portrait

    for cell_id in rows["cell_id"]:
        cell = cell_of_table(df, cell_id)
        names = coordinate_names(cell.map, len(cell.state))[:2]
        if len(names) < 2:
            raise ValueError(f"a gallery needs states of two numbers at least, and system {cell.system} has one")
        seen = portrait(cell.map, cell.state, coordinates=names, points=POINTS, size=(PIXELS, PIXELS), devices=devices)
        yield cell, tones.coloured(seen.counts)


def _caption(cell: Cell) -> str:
    row = cell.row
    axes = "  ".join(f"{axis} {style.number(value)}" for axis, value in cell.axes.items() if axis != "replicate")
    lines = [axes, str(row["regime"]).replace("_", " ")]
    if row["regime"] == "periodic":
        lines[1] += f" {row['period']}"
    if pd.notna(row["lambda_1"]):
        lines.append(f"λ₁ {with_error(float(row['lambda_1']), float(row['lambda_1_se']))}")
    dimension, lower = row["kaplan_yorke_dimension"], row["kaplan_yorke_lower"]
    told = f"D_KY {dimension:.2f}" if pd.notna(dimension) else f"D_KY ≥ {lower:.0f}" if pd.notna(lower) else ""
    if "coverage" in row.index and pd.notna(row["coverage"]):
        told += f"  coverage {row['coverage']:.2f}"
    return "\n".join([*lines, told])


def _note(df: pd.DataFrame, by: str, shown: int) -> str:
    what = {
        "coverage": f"visiting between {KEPT[0]:g} and {KEPT[1]:g} of 100 × 100 boxes, the nearest to half first",
        "edge": f"chaotic with λ₁ > {SURE:g} standard errors, the smallest first",
        "dimension": "the largest Kaplan–Yorke dimension first; ≥ where the exponents measured do not suffice",
    }[by]
    there = len(chosen(df, by, len(df)))
    return (
        f"{shown} of {there:,} cells {what}. The first coordinate to the right and the second upwards (x₁ and "
        f"x₂ of networks), each over its own range, "
        f"{POINTS:,.0f} points; brightness by the logarithm of the count. Portraits are taken "
        "later in the orbits than the run's measurement: what was chaos there may have settled."
    )


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.gallery", "Draw a contact sheet of the attractors of a run.", free_x=False
    )
    parser.add_argument("--by", choices=BY, default="coverage", help="which are worth a look (default: %(default)s)")
    parser.add_argument("--best", metavar="COUNT", type=int, default=BEST, help=f"how many (default: {BEST})")

    def make(df: pd.DataFrame, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        if not 1 <= arguments.best <= MOST:
            raise command.ArgumentProblem(f"`--best` must be between 1 and {MOST}, got {arguments.best}")
        words = [arguments.by, *([str(arguments.best)] if arguments.best != BEST else [])]
        try:
            chosen(df, arguments.by, 1)
            from attractor_jax import backend

            devices = backend.start(EVERYTHING)
            return draw(df, arguments.by, arguments.best, devices=devices), words
        except ValueError as problem:
            raise command.ArgumentProblem(str(problem).replace("`by`", "`--by`")) from problem

    return command.figure_command(parser, argv, "gallery", make)


if __name__ == "__main__":
    raise SystemExit(main())
