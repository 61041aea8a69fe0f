"""What of a report is there to look at: portraits of the few most interesting networks of a run, computed now."""

from __future__ import annotations

import io

import matplotlib.image
import pandas as pd

from analysis import html
from analysis.cells import cell_of_table
from analysis.html import Html, element, joined, paragraph
from analysis.report_run import Run
from analysis.tones import coloured
from attractor_jax.axes import table_axes
from attractor_jax.config import BackendConfig
from sweeps.telling import counted

DEFAULT = 12
SIZE = 360  # pixels
POINTS = 2e6
TURNS = ("chaotic", "hyperchaotic", "quasiperiodic")


def most_interesting(df: pd.DataFrame, count: int) -> pd.DataFrame:
    """The cells whose portraits say most, each network at most once.

    Chaotic, hyperchaotic and quasiperiodic ones take turns. Of chaos those come first that visit most of the plane,
    where the run measured that, else those with a dimension next to 2, which neither lie on a curve nor fill the plane;
    where no dimension is known, weak chaos. Of tori those of the highest dimension, then those with the largest s.
    Where the run has too few of these, cycles follow, the longest first.
    """
    networks = [axis for axis in ("N", "D", "seed") if axis in df.columns] or table_axes(df)
    ranked = df.assign(
        rank_dimension=(df["kaplan_yorke_dimension"].astype(float) - 2).abs(),
        rank_coverage=-df["coverage"].astype(float) if "coverage" in df.columns else 0.0,
        rank_curves=-df["torus_dimension"].astype(float),
        rank_axis=-df[table_axes(df)[-1]].astype(float),
    )
    chaos = ["rank_coverage", "rank_dimension", "lambda_1", "cell_id"]
    orders = {"quasiperiodic": ["rank_coverage", "rank_curves", "rank_axis", "cell_id"]}
    queues = []
    for regime in TURNS:
        queue = ranked[ranked["regime"] == regime].sort_values(orders.get(regime, chaos))
        queues.append(queue.drop_duplicates(networks))
    turns = pd.concat([queue.assign(turn=range(len(queue)), kind=i) for i, queue in enumerate(queues)])
    first = turns.sort_values(["turn", "kind"]).drop_duplicates(networks)
    cycles = ranked[ranked["regime"] == "periodic"].sort_values(["period", "cell_id"], ascending=[False, True])
    chosen = pd.concat([first, cycles]).drop_duplicates(networks).head(count)
    return df.loc[chosen.index]


def gallery(run: Run, count: int) -> Html:
    """Portraits with their captions. Compiles once for each shape of network, then takes a second each."""
    if count == 0:
        return paragraph("No portraits were asked for (--gallery 0).")
    chosen = most_interesting(run.cells, count) if len(run.cells) else run.cells
    if chosen.empty:
        return paragraph("No network of this run moves on an attractor that could be drawn.")
    from attractor_jax import backend

    backend.start(BackendConfig("float64", "auto", "all", "auto", "auto"))
    portraits = [_portrait(chosen, int(cell_id)) for cell_id in chosen["cell_id"]]
    drawn = [one for one in portraits if one is not None]
    if not drawn:
        return paragraph("The states of this system have one coordinate: there is no plane to draw them in.")
    return joined(
        paragraph(
            f"{counted(len(drawn), 'network')}, computed now from their rows in the table: chaotic, hyperchaotic and "
            "quasiperiodic ones in turn, by dimension (next to 2 first), or by coverage where the run measured it; "
            "cycles where there are too few of these. Brightness is the logarithm of how many of "
            f"{POINTS:,.0f} points fall into a pixel."
        ),
        element("div", *drawn, class_="gallery"),
    )


def _portrait(df: pd.DataFrame, cell_id: int) -> Html | None:
    """One of them; None where the state has but one coordinate."""
    from attractor_jax.portrait import coordinate_names, portrait

    cell = cell_of_table(df, cell_id)
    names = coordinate_names(cell.map, len(cell.state))
    if len(names) < 2:
        return None
    coordinates = names[:2]
    try:
        seen = portrait(cell.map, cell.state, coordinates=coordinates, points=POINTS, size=(SIZE, SIZE))
    except ValueError as problem:  # an orbit that the run measured, and that leaves the finite numbers from beside it
        return element("figure", element("figcaption", element("b", cell.name), f": no portrait, {problem}"))
    content = io.BytesIO()
    matplotlib.image.imsave(content, coloured(seen.counts), format="png")
    plane = f"{coordinates[0]} from {seen.extent[0]:.2g} to {seen.extent[1]:.2g} to the right, "
    plane += f"{coordinates[1]} from {seen.extent[2]:.2g} to {seen.extent[3]:.2g} upwards"
    return html.picture(
        content.getvalue(), f"Portrait of {cell.name}: {cell.finding}.",
        element("b", cell.name), element("br"), f"cell {cell_id}: {cell.finding}. ", element("span", f"{plane}."),
    )  # fmt: skip
