"""What does each hidden unit look at, and what does it draw? Receptive fields, the rows of W21, and projective fields,
the columns of W12, each at the place of its unit on the hidden grid.

    python -m analysis.fields RUN [--where task=completion] [--out FILE]

RUN is of system=continuous; shown is the last T, and of several seeds and classes the first. Nothing is simulated.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from analysis import captions, command, style
from analysis.groups import groups
from analysis.trained import ASKED, Trained, check_continuous, first_seed, last_stage, networks, read_trained, titled
from attractor_jax.axes import varied_axes
from attractor_jax.pattern_learning import hidden_grid, reach

MOST_BLOCKS = 4
# The scale of colours ends where this share of the weights lies below; what is beyond has the last colour.
SCALED_TO = 0.995
# Of a mosaic: points of a weight along an edge, and between windows.
FINENESS, GAP = 3, 2
BETWEEN = "#c9c9c9"


def looked_at(df: pd.DataFrame) -> pd.DataFrame:
    """The rows of the networks that are shown: the first class, the last stage and the first seed."""
    df = networks(df)
    return last_stage(first_seed(df[df["label"] == df["label"].min()]))


@style.styled
def draw(df: pd.DataFrame, kept: Mapping[int, Trained]) -> Figure:
    """All receptive fields in one panel and all projective fields in another, a row of panels for each network.

    Args:
        df: what `read_run` gives of system `continuous`. Empty, the figure says so.
        kept: networks by cell_id, those `looked_at` at least.

    Raises:
        ValueError: another system, too many networks.
    """
    if df.empty:
        return style.blank("no cells in this table")
    check_continuous(df)
    classes = df["label"].nunique()
    df = looked_at(df)
    axes = ["task", *(axis for axis in varied_axes(df) if axis not in ("task", "T", *ASKED)), "T"]
    found = groups(df, axes)
    if len(found) > MOST_BLOCKS:
        many = ", ".join(f"{axis} ({df[axis].nunique()})" for axis in axes if df[axis].nunique() > 1)
        raise ValueError(f"`where` must leave at most {MOST_BLOCKS} networks, got {len(found)}: values of {many}")
    figure = style.new_figure(3.85 * len(found) + 1.35)
    grid = figure.subplots(len(found), 2, squeeze=False)
    for pair, group in zip(grid, found, strict=True):
        row = group.rows.iloc[0]
        network, title = kept[int(row["cell_id"])], titled(axes, group.values)
        windows = windows_of(int(row["n2"]), network.side, int(row["radius"]))
        fields = {"receptive fields": network.loop.W21, "projective fields": network.loop.W12.T}
        for ax, (name, weights) in zip(pair, fields.items(), strict=True):
            mesh = _panel(ax, weights, windows)
            ax.set_title(f"{title}: {name}", fontsize=8.5)
            bar = figure.colorbar(mesh, ax=ax, extend="both", location="bottom", pad=0.015, aspect=30, shrink=0.8)
            bar.locator = MaxNLocator(4, steps=[1, 2, 5, 10])
            bar.outline.set_linewidth(0.7)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    df = df.drop(columns=list(ASKED))
    titles = [titled(axes, group.values) for group in found]
    rows = pd.concat([group.rows for group in found])
    captions.caption(figure, df, ["task", "T", *varied_axes(df)], _notes(rows, titles, classes), orbits=False)
    return figure


def windows_of(n2: int, side: int, radius: int) -> np.ndarray:
    """Which pixel stands where in the window of each hidden unit, (n2, edge, edge); -1 where its field has none.

    A window is the square that holds the field of a unit: the whole image, where fields are that large.
    """
    fields = reach(n2, side, radius).reshape(n2, side, side)
    spans = [np.asarray(fields.any(axis=axis)) for axis in (2, 1)]
    edge = int(max(span.sum(axis=1).max() for span in spans))
    rows, columns = (_start(span, edge)[:, None] + np.arange(edge) for span in spans)
    rows, columns = rows[:, :, None], columns[:, None, :]
    near_row, near_column = (np.clip(each, 0, side - 1) for each in (rows, columns))
    there = (rows == near_row) & (columns == near_column)
    there &= fields[np.arange(n2)[:, None, None], near_row, near_column]
    return np.where(there, near_row * side + near_column, -1)


def _start(span: np.ndarray, edge: int) -> np.ndarray:
    """Where the window of each field begins along one side: before the image, if the field is cut off there."""
    first, length = span.argmax(axis=1), span.sum(axis=1)
    return np.where(first > 0, first, length - edge)


def mosaic(weights: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """The windows of all units on the hidden grid, with gaps between: NaN there, and where there is no weight.

    Args:
        weights: (n2, n1), the fields.
        windows: see `windows_of`.
    """
    n2, edge, _ = windows.shape
    row, column, places = hidden_grid(n2)
    shown = np.where(windows >= 0, weights[np.arange(n2)[:, None, None], np.maximum(windows, 0)], np.nan)
    pitch = edge * FINENESS + GAP
    image = np.full((places * pitch + GAP,) * 2, np.nan)
    for i, j, window in zip(row.tolist(), column.tolist(), shown, strict=True):
        top, left = GAP + i * pitch, GAP + j * pitch
        image[top : top + edge * FINENESS, left : left + edge * FINENESS] = window.repeat(FINENESS, 0).repeat(
            FINENESS, 1
        )
    return image


def _panel(ax: Axes, weights: np.ndarray, windows: np.ndarray) -> AxesImage:
    image = mosaic(weights, windows)
    sizes = np.abs(image[np.isfinite(image)])
    reach = float(np.quantile(sizes, SCALED_TO)) or float(sizes.max()) or 1.0
    mesh = ax.imshow(
        image, cmap=style.DIVERGING.with_extremes(bad=BETWEEN), norm=Normalize(-reach, reach), interpolation="nearest"
    )
    ax.set_axis_off()
    return mesh


def _notes(df: pd.DataFrame, titles: list[str], classes: int) -> list[str]:
    shows = "the whole image"
    if df["radius"].iloc[0] >= 0:
        shows = "the pixels within its radius, cut off at the edges of the image"
    notes = [
        f"Each square is a hidden unit at its place on the hidden grid, and shows {shows}. Receptive fields are the "
        "weights from these pixels to the unit, W21; projective fields those from the unit to them, W12. White is 0; "
        f"each panel has a scale of its own, which ends where {100 * SCALED_TO:g} % of the weights are smaller.",
    ]
    dead = (df["dead_hidden"] * df["n2"]).round().astype(int).tolist()
    if any(dead):
        found = ", ".join(f"{n} ({title})" for n, title in zip(dead, titles, strict=True) if n)
        notes.append(f"Hidden units that no training image ever activates: {found}.")
    if classes > 1:
        notes.append(f"The first of {classes} classes.")
    if len(rest := [n for n in sorted(df["n2"].unique()) if int(np.sqrt(n)) ** 2 != n]):
        notes.append(f"n2 = {', '.join(map(str, rest))} fills no square: some places have no unit.")
    return notes


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.fields", "Draw receptive and projective fields on the hidden grid.", free_x=False
    )

    def make(df: pd.DataFrame, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        check_continuous(df)
        return draw(df, read_trained(arguments.run, looked_at(df))), []

    return command.figure_command(parser, argv, "fields", make)


if __name__ == "__main__":
    raise SystemExit(main())
