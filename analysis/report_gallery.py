"""What of a report is there to look at: portraits of the few most interesting networks of a run, computed now."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib.image
import numpy as np
import pandas as pd

from analysis import html
from analysis.cells import Cell, cell_of_table
from analysis.html import Html, element, joined, paragraph
from analysis.report_run import Run
from analysis.tones import coloured, toned
from attractor_jax.axes import table_axes
from attractor_jax.config import EVERYTHING
from sweeps.telling import counted

if TYPE_CHECKING:
    from attractor_jax.portrait import Portrait

DEFAULT = 12
SIZE = 360  # pixels
POINTS = 2e6
CANDIDATES = 3  # times as many are looked at as are shown
MOST_SHAPES = 6  # of networks (N and D): each compiles anew
TURNS = ("chaotic", "hyperchaotic", "quasiperiodic", "periodic")


@dataclass(frozen=True)
class Seen:
    """A network that was looked at.

    Attributes:
        spread: mean brightness of its picture: little for an attractor in the corners, or on a thin curve.
    """

    cell: Cell
    portrait: Portrait
    image: np.ndarray
    spread: float


def candidates(df: pd.DataFrame, count: int) -> pd.DataFrame:
    """The cells whose portraits promise most, each network at most once; regimes take turns, cycles come last.

    Of chaos those come first that visit most of the plane, where the run measured that, else those with a dimension
    next to 2, which neither lie on a curve nor fill the plane; where no dimension is known, weak chaos. Of tori those
    of the highest dimension, then those with the largest s; of cycles the longest.
    """
    networks = [axis for axis in ("N", "D", "seed") if axis in df.columns] or table_axes(df)
    ranked = df.assign(
        of_coverage=-df["coverage"].astype(float) if "coverage" in df.columns else 0.0,
        of_dimension=(df["kaplan_yorke_dimension"].astype(float) - 2).abs(),
        of_curves=-df["torus_dimension"].astype(float),
        of_period=-df["period"].astype(float),
        of_axis=-df[table_axes(df)[-1]].astype(float),
    )
    chaos = ["of_coverage", "of_dimension", "lambda_1", "cell_id"]
    orders = {"quasiperiodic": ["of_coverage", "of_curves", "of_axis"], "periodic": ["of_period", "cell_id"]}
    queues = [
        ranked[ranked["regime"] == regime].sort_values(orders.get(regime, chaos)).drop_duplicates(networks)
        for regime in TURNS
    ]
    chosen = in_turn(pd.concat(queues)).drop_duplicates(networks)
    if shape := [axis for axis in ("N", "D") if axis in df.columns]:
        kinds = chosen.groupby(shape, sort=False).ngroup()  # in the order in which they come
        chosen = chosen[kinds < MOST_SHAPES]
    return df.loc[chosen.index[:count]]


def in_turn(df: pd.DataFrame) -> pd.DataFrame:
    """Rows whose regimes take turns, each in the order of the table; cycles behind all others."""
    regime = df["regime"].astype(str)
    turn = df.groupby(regime, sort=False).cumcount() + len(df) * (regime == "periodic")
    order = np.lexsort((regime.map(TURNS.index).to_numpy(int), turn.to_numpy()))
    return df.iloc[order]


def gallery(run: Run, count: int) -> Html:
    """Portraits with their captions. Compiles once for each shape of network; each takes a fraction of a second."""
    if count == 0:
        return paragraph("No portraits were asked for (--gallery 0).")
    promising = run.cells if run.cells.empty else candidates(run.cells, CANDIDATES * count)
    if promising.empty:
        return paragraph("No network of this run moves on an attractor that could be drawn.")
    from attractor_jax import backend

    backend.start(EVERYTHING)
    looked_at = {index: seen for index, row in promising.iterrows() if (seen := look(promising, row)) is not None}
    if not looked_at:
        return paragraph("None of these orbits has a plane to be drawn in.")
    spread = promising.loc[list(looked_at)].assign(spread=[seen.spread for seen in looked_at.values()])
    shown = in_turn(spread.sort_values("spread", ascending=False, kind="stable")).head(count)
    return joined(
        paragraph(
            f"{counted(len(shown), 'network')}, computed now from their rows in the table. Chaotic, hyperchaotic and "
            "quasiperiodic ones take turns, cycles come where there are too few of these. Candidates are those with a "
            "dimension next to 2, or with most coverage where the run measured it; shown are those whose points are "
            f"spread most over the picture. Brightness: logarithm of how many of {POINTS:,.0f} points lie in a pixel."
        ),
        element("div", *(_hung(looked_at[index]) for index in shown.index), class_="gallery"),
    )


def look(df: pd.DataFrame, row: pd.Series) -> Seen | None:
    """The portrait of one row's network; None where the state has but one coordinate, or the orbit leaves the finite
    numbers from beside the one that was measured.
    """
    from attractor_jax.portrait import coordinate_names, portrait

    cell = cell_of_table(df, int(row["cell_id"]))
    names = coordinate_names(cell.map, len(cell.state))
    if len(names) < 2:
        return None
    try:
        found = portrait(cell.map, cell.state, coordinates=names[:2], points=POINTS, size=(SIZE, SIZE))
    except ValueError:
        return None
    return Seen(cell, found, coloured(found.counts), float(toned(found.counts).mean()))


def _hung(seen: Seen) -> Html:
    """A portrait in its place on the page."""
    content = io.BytesIO()
    matplotlib.image.imsave(content, seen.image, format="png")
    (across, up), (left, right, bottom, top) = seen.portrait.coordinates, seen.portrait.extent
    name, finding = seen.cell.name, seen.cell.finding
    return html.picture(
        content.getvalue(),
        f"Portrait of {name}: {finding}.",
        element("b", name.replace(" = ", "\u00a0=\u00a0")),
        element("br"),
        f"cell {seen.cell.row['cell_id']}: {finding}. ",
        f"Across {across}, {left:.2g} to {right:.2g}; up {up}, {bottom:.2g} to {top:.2g}.".replace("-", "−"),
    )
