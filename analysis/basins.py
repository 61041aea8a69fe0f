"""Which attractor does each initial state end on? The basins of a run over a plane, with the attractors drawn in.

    python -m analysis.basins RUN [--where s=0.55] [--out FILE]

RUN is of a system on a plane: system=uniform_plane, gaussian_plane, henon_plane or another with axes u and v. Of each
attractor one orbit is iterated; all else stands in the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import captions, command, style
from analysis.cells import Cell, cell_of_table
from analysis.groups import Group, groups
from attractor_jax.attractors import DIVERGED, UNRESOLVED, attractor_table, label_attractors, network_columns
from attractor_jax.axes import table_axes
from attractor_jax.config import EVERYTHING
from attractor_jax.minima import label_minima

ACROSS, UP = "u", "v"
PLANES = ("plane", "u_coordinate", "v_coordinate")
MOST_ROWS, MOST_COLUMNS = 3, 3
LEGEND = 2.0  # inches

# A hue an orbit, those with the largest basins first: dark and light for mirror images, the middle for an attractor
# that is its own. Hues are apart for the colour-blind; what has no hue left is brown.
HUES = (
    ("#1f4e8c", "#5b8fc7", "#a9cbe8"),
    ("#b4520b", "#e68a3c", "#f7c595"),
    ("#146b55", "#46a58a", "#a3d6c4"),
    ("#5b2a78", "#9463b3", "#cdb2df"),
    ("#8a7400", "#c9b12f", "#ece08e"),
    ("#8c1d40", "#cc5b80", "#efb0c5"),
)
OTHERS = ("#4d3b30", "#806b5f", "#b8a89e")
DARK, MIDDLE, LIGHT = range(3)
# An attractor is drawn on its own basin: a shade darker than it.
DARKER = {hue[shade]: hue[max(shade - 1, DARK)] for hue in (*HUES, OTHERS) for shade in range(3)}
LOOKS = {DIVERGED: ("#ffffff", "diverged"), UNRESOLVED: ("#8f8f8f", "unresolved")}

# States of an attractor that are drawn, and steps before them beyond those of the run.
DRAWN = 3000
POINTS = 30  # states up to which each is a mark of its own


@style.styled
def draw(df: pd.DataFrame, *, level: float = 0.95, attractors: bool = True) -> Figure:
    """The basins of each network, a row each, on each of its planes, a panel each.

    Args:
        df: what `read_run` gives of a system on a plane. Empty, the figure says so.
        level: of the intervals of the shares.
        attractors: iterate a cell of each attractor, and draw it in. Needs JAX in the table's dtype.

    Raises:
        ValueError: a table without a plane, or with more planes or networks than one figure holds.
    """
    if df.empty:
        return style.blank("no cells in this table")
    _check(df)
    df = label_minima(df) if "train_loss" in df.columns else label_attractors(df)
    names = [name for name in network_columns(df) if df[name].nunique() > 1]
    rows = groups(df, names)
    planes = [name for name in PLANES if name in df.columns and df[name].nunique() > 1]
    columns = max(len(groups(row.rows, planes)) for row in rows)
    if len(rows) > MOST_ROWS or columns > MOST_COLUMNS:
        many = f"{len(rows)} networks" if len(rows) > MOST_ROWS else f"{columns} planes"
        most = f"{MOST_ROWS} networks on {MOST_COLUMNS} planes each"
        raise ValueError(f"`where` must leave at most {most} to one figure, got {many}")
    width = style.WIDTH + (0.6 if columns > 1 else 0.0)
    side = min(4.0, (width - LEGEND) / columns - 0.6)
    # A legend has a line for the name of each label, one for each panel, and half a line between labels.
    most = max(row.rows["attractor"].nunique() for row in rows)
    height = max(side + 0.75, 0.135 * most * (columns + 1.6) + 0.2)
    figure = style.new_figure(len(rows) * height + 0.8, width)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for line, row in zip(grid, rows, strict=True):
        _row(line, row, planes, level=level, attractors=attractors)
    captions.caption(figure, df, [*names, *PLANES, ACROSS, UP], _notes(df, level, attractors))
    figure.draw_without_rendering()  # labels beside squares find their room at the second attempt
    return figure


def _check(df: pd.DataFrame) -> None:
    """Refuse a table that is no picture."""
    axes = table_axes(df)
    for axis in (ACROSS, UP):
        if axis not in axes:
            there = ", ".join(axes)
            raise ValueError(f"`run` must be of a system on a plane, with axes u and v, got one with {there}")
        if df[axis].nunique() < 2:
            value = style.number(df[axis].iloc[0])
            raise ValueError(f"`run` must have at least 2 values of {axis} to show a plane, got {value} alone")


def _row(line: Sequence[Axes], row: Group, planes: Sequence[str], *, level: float, attractors: bool) -> None:
    """All planes of one network, and the legend that they share."""
    table = attractor_table(row.rows, level=level)
    colours = _colours(table)
    panels = groups(row.rows, planes)
    letters = "abc"[: len(panels)] if len(panels) > 1 else [""]
    orbits = _orbits(row.rows, table) if attractors and "system" in row.rows.columns else {}
    delays = any(hasattr(cell.map, "entries") for cell, _ in orbits.values())
    shares: list[pd.DataFrame] = []
    for ax, panel, letter in zip(line, panels, letters, strict=False):
        _image(ax, panel.rows, colours)
        if orbits:
            _draw_in(ax, panel.rows, orbits, colours)
        plane = _dress(ax, panel.rows, delays=delays)
        words = (letter, plane if len(panels) > 1 else "", row.name if ax is line[0] else "")
        ax.set_title("  ".join(word for word in words if word))
        shares.append(_shares(panel.rows, level))
    for ax in line[len(panels) :]:
        ax.set_axis_off()
    style.legend_outside(line[len(panels) - 1], _legend(table, colours, shares, letters))


def _colours(table: pd.DataFrame) -> dict[int, str]:
    """The colour of every label of a network."""
    real = table[table["attractor"] >= 1]
    sizes = real.groupby("orbit")["count"].sum().sort_values(ascending=False, kind="stable")
    found = {label: colour for label, (colour, _) in LOOKS.items()}
    for place, orbit in enumerate(sizes.index):
        hue = HUES[place] if place < len(HUES) else OTHERS
        members = real.loc[real["orbit"] == orbit, "attractor"].tolist()
        shades = (DARK, LIGHT) if len(members) > 1 else (MIDDLE,)
        found |= {int(label): hue[shade] for label, shade in zip(members, shades, strict=False)}
    return found


def _image(ax: Axes, rows: pd.DataFrame, colours: dict[int, str]) -> None:
    """The label of every cell at its place."""
    across, up = style.Scale.of(rows[ACROSS]), style.Scale.of(rows[UP])
    labels = sorted(colours)
    image = np.full((len(up.values), len(across.values)), np.nan)
    column = np.searchsorted(across.values, rows[ACROSS].to_numpy())
    line = np.searchsorted(up.values, rows[UP].to_numpy())
    image[line, column] = np.searchsorted(labels, rows["attractor"].to_numpy(np.int64))
    ax.set_facecolor(style.NO_VALUE)
    ax.pcolormesh(
        across.edges,
        up.edges,
        np.ma.array(image, mask=np.isnan(image)),
        cmap=ListedColormap([colours[label] for label in labels]),
        norm=Normalize(-0.5, len(labels) - 0.5),
        rasterized=True,
    )
    across.dress(ax, "x", ACROSS, cells=True)
    up.dress(ax, "y", UP, cells=True)
    ax.spines[:].set_visible(True)
    if across.kind == up.kind == "linear" and 0.5 < np.ptp(across.edges) / np.ptp(up.edges) < 2:
        ax.set_aspect("equal", anchor="N")


def _orbits(rows: pd.DataFrame, table: pd.DataFrame) -> dict[int, tuple[Cell, np.ndarray]]:
    """States on each attractor, (states, D), by its label: where the run's measurement of one cell ended, and on."""
    from attractor_jax.iterate import orbit

    found = {}
    for label, cell_id in table.loc[table["attractor"] >= 1, ["attractor", "cell_id"]].itertuples(index=False):
        cell = cell_of_table(rows, cell_id)
        before = int(cell.row["transient"] + cell.row["steps"])
        found[int(label)] = cell, np.asarray(orbit(cell.map, cell.state, steps=before + DRAWN))[before:]
    return found


def _draw_in(ax: Axes, rows: pd.DataFrame, found: dict[int, tuple[Cell, np.ndarray]], colours: dict[int, str]) -> None:
    """The attractors as they are seen along the plane, each in its hue with a border that shows on any basin."""
    from attractor_jax.systems.plane import directions

    plane = [int(rows[name].iloc[0]) for name in PLANES]
    for label, (_, states) in found.items():
        seen = np.unique((states @ directions(states.shape[1], *plane).T).round(9), axis=0)
        thick = 5.0 if len(seen) <= POINTS else 0.0
        for size, colour in ((7.0, "white"), (1.8, DARKER[colours[label]])):
            ax.scatter(*seen.T, s=size + thick * size / 2, c=colour, linewidths=0, zorder=3, rasterized=True)


def _dress(ax: Axes, rows: pd.DataFrame, *, delays: bool) -> str:
    """Names along the axes; in words, which plane it is."""
    if not set(PLANES) <= set(rows.columns):
        return ""
    plane, i, j = (int(rows[name].iloc[0]) for name in PLANES)
    if plane:
        ax.set_xlabel(f"{ACROSS}, first direction")
        ax.set_ylabel(f"{UP}, second direction")
        return f"random plane {plane}"
    for coordinate, name, put in ((i, ACROSS, ax.set_xlabel), (j, UP, ax.set_ylabel)):
        output = "$y_t$" if coordinate == 1 else f"$y_{{t-{coordinate - 1}}}$"
        put(f"{name} = initial {output}" if delays else f"{name} = coordinate {coordinate} of the state")
    return "two delays" if delays else "two coordinates"


def _shares(rows: pd.DataFrame, level: float) -> pd.DataFrame:
    """Of one panel, by label."""
    from statistics import NormalDist

    from attractor_jax.basins import basin_fractions

    z = NormalDist().inv_cdf(0.5 + level / 2)
    return basin_fractions(rows["attractor"].to_numpy(np.int64), z=z).set_index("label")


def _legend(
    table: pd.DataFrame, colours: dict[int, str], shares: Sequence[pd.DataFrame], letters: Sequence[str]
) -> list[Patch | Line2D]:
    """A patch a label: what it is, and its share of each panel; orbits by the size of their basins."""
    sizes = table.groupby("orbit")["count"].sum()
    order = table.assign(size=table["orbit"].map(sizes)).sort_values(
        ["size", "orbit", "attractor"], ascending=[False, True, True], kind="stable"
    )
    entries: list[Patch | Line2D] = []
    rows: list[Any] = [*order[order["attractor"] >= 1].itertuples(), *order[order["attractor"] < 1].itertuples()]
    for row in rows:
        label = int(row.attractor)
        partners = [int(other) for other in table.loc[table["orbit"] == row.orbit, "attractor"] if other != label]
        words = [_told(row, partners)]
        for letter, share in zip(letters, shares, strict=True):
            words.append(" ".join(word for word in (letter, _share(share, label)) if word))
        entries.append(Patch(facecolor=colours[label], edgecolor="#555555", linewidth=0.5, label="\n".join(words)))
    return entries


def _told(row: Any, partners: Sequence[int]) -> str:
    """What a label stands for."""
    if row.attractor in LOOKS:
        return LOOKS[row.attractor][1]
    kind = f"cycle of {row.period}" if row.regime == "periodic" else str(row.regime).replace("_", " ")
    return f"{row.attractor}  {kind}" + "".join(f", mirror of {partner}" for partner in partners)


def _share(share: pd.DataFrame, label: int) -> str:
    if label not in share.index:
        return "none"
    fraction, low, high = (100 * float(share[name][label]) for name in ("fraction", "low", "high"))
    digits = 1 if fraction >= 1 else 3
    return f"{fraction:.{digits}f} % ({low:.{digits}f}–{high:.{digits}f})"


def _notes(df: pd.DataFrame, level: float, attractors: bool) -> list[str]:
    notes = [
        f"Shares of the cells shown, with Wilson's {100 * level:g} % intervals as of so many independent states.",
        "Two shades of one hue: mirror images of each other." if (df["attractor"] != df["orbit"]).any() else "",
        f"Drawn in: {DRAWN:,} states of one orbit on each attractor, seen along the plane." if attractors else "",
    ]
    return [" ".join(note for note in notes if note)]


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.basins", "Draw the basins of attraction of a run over a plane.", free_x=False
    )

    def make(df: pd.DataFrame, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        _check(df)
        from attractor_jax import backend

        backend.start(EVERYTHING)
        return draw(df), []

    return command.figure_command(parser, argv, "basins", make)


if __name__ == "__main__":
    raise SystemExit(main())
