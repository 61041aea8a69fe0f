"""Do noise and momentum lead out of a poor minimum? Shares of trainings that left it, over learning rate and momentum.

    python -m analysis.escape RUN [--where batch_size=1] [--out FILE]

RUN is of system=xor_escape. Nothing is simulated.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Polygon, Rectangle

from analysis import captions, command, style
from analysis.outcomes import check_learning, classified, counted, varied_levers
from attractor_jax.trainings import escape_table

SHOWN = ("lr", "momentum", "batch_size")
MOST_PANELS = 8
COLUMNS = 2
# Rows and columns of a panel beyond which numbers do not fit into its cells.
MOST_NUMBERS = 8


@style.styled
def draw(df: pd.DataFrame) -> Figure:
    """The share of trainings that have left the poor minimum for good, a panel for each batch size.

    Args:
        df: what `read_run` gives of system `xor_escape`. Empty, the figure says so.

    Raises:
        ValueError: another system, another lever that varies, too many batch sizes.
    """
    if df.empty:
        return style.blank("no cells in this table")
    check_learning(df)
    systems = [str(name) for name in df["system"].unique()] if "system" in df.columns else []
    if systems != ["xor_escape"]:
        raise ValueError(f"`run` must be of system xor_escape, got {', '.join(systems) or 'no column system'}")
    for axis in varied_levers(df, *SHOWN):
        raise ValueError(f"`where` must leave one value of {axis}, got {df[axis].nunique()}")
    sizes = np.sort(df["batch_size"].unique())
    if len(sizes) > MOST_PANELS:
        raise ValueError(f"`where` must leave at most {MOST_PANELS} values of batch_size, got {len(sizes)}")
    table = escape_table(df).merge(lost_table(df))
    across, up = style.Scale.of(df["lr"]), style.Scale.of(df["momentum"])
    across, up = (style.Scale(scale.values, "even") for scale in (across, up))
    columns = min(COLUMNS, len(sizes))
    rows = -(-len(sizes) // columns)
    height = float(np.clip(0.34 * len(up.values), 0.9, 2.4))
    figure = style.new_figure(rows * (height + 0.4) + 1.8)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    mesh: ScalarMappable = ScalarMappable(Normalize(0, 1), style.SHARE)
    for ax, size in zip(grid.ravel(), sizes, strict=False):
        _panel(ax, table[table["batch_size"] == size], across, up, mesh)
        ax.set_title(f"batch size {size}" + (" (full batch: no noise)" if size == _examples() else ""))
    for ax in grid.ravel()[len(sizes) :]:
        ax.set_axis_off()
        grid[-2, -1].tick_params(labelbottom=True)
        grid[-2, -1].set_xlabel(style.axis_label("lr"))
    for ax in grid[-1]:
        ax.set_xlabel(style.axis_label("lr"))
    for ax in grid[:, 0]:
        ax.set_ylabel("momentum")
    bar = figure.colorbar(mesh, ax=grid, pad=0.02, aspect=30)
    bar.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0 %", "25 %", "50 %", "75 %", "100 %"])
    bar.set_label("share that left the poor minimum")
    bar.outline.set_linewidth(0.7)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    captions.caption(figure, df, list(SHOWN), [_note(df, table)])
    legend = []
    look: dict[str, Any] = {"facecolor": "white", "edgecolor": "#777777", "linewidth": 0.4}
    if (table["diverged"] > 0).any():
        legend.append(Patch(label="beneath: share that diverged", hatch=style.FAILED_HATCH, **look))
    if _many(table).any():
        name = f"corner: over {100 * style.HATCHED_FROM:g} % neither left nor came to rest"
        legend.append(Patch(label=name, hatch=style.CENSORED_HATCH, **look))
    if legend:
        figure.legend(handles=legend, loc="outside upper left", ncols=2)
    return figure


def lost_table(df: pd.DataFrame) -> pd.DataFrame:
    """How many trainings of each setting ended neither beyond the poor minimum nor at rest anywhere: learning rate,
    momentum, batch size, `unresolved`."""
    lost = df[list(SHOWN)].assign(unresolved=classified(df) == "unresolved")
    return lost.groupby(list(SHOWN), sort=True)["unresolved"].sum().reset_index()


def _many(table: pd.DataFrame) -> pd.Series:
    return table["unresolved"] > style.HATCHED_FROM * table["n"]


def _examples() -> int:
    from attractor_jax.systems.problems import Xor

    return Xor().examples


def _panel(ax: Axes, table: pd.DataFrame, across: style.Scale, up: style.Scale, mesh: ScalarMappable) -> None:
    """Colour and number of each setting, and a hatched band beneath where trainings diverged."""
    image = np.full((len(up.values), len(across.values)), np.nan)
    row = np.searchsorted(up.values, table["momentum"].to_numpy())
    column = np.searchsorted(across.values, table["lr"].to_numpy())
    image[row, column] = table["fraction"].to_numpy()
    ax.set_facecolor(style.NO_VALUE)
    masked = np.ma.array(image, mask=np.isnan(image))
    ax.pcolormesh(
        across.edges, up.edges, masked, cmap=mesh.get_cmap(), norm=Normalize(0, 1), edgecolors="white", linewidth=0.6
    )
    numbered = max(image.shape) <= MOST_NUMBERS
    counts = table[["count", "diverged", "n"]].to_numpy(int).tolist()
    for x, y, many, (count, out, n) in zip(column.tolist(), row.tolist(), _many(table), counts, strict=True):
        lost = out > 0
        if many:
            corner = [(x + 0.22, y + 0.5), (x + 0.5, y + 0.5), (x + 0.5, y + 0.05)]
            mark = Polygon(corner, facecolor="white", edgecolor="#777777", hatch=2 * style.CENSORED_HATCH, linewidth=0)
            ax.add_patch(mark)
        if lost:
            height = 0.32 if numbered else 1.0
            band = Rectangle((x - 0.5, y - 0.5), 1, height, hatch=style.FAILED_HATCH, linewidth=0)
            band.set(facecolor="white", edgecolor="#aaaaaa")
            ax.add_patch(band)
        if not numbered:
            continue
        red, green, blue, _ = mesh.to_rgba(np.array([count / n]))[0]
        ink = "white" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5 else style.INK
        high = y + 0.16 * lost
        ax.text(x - 0.06 * many, high, percent(count, n), ha="center", va="center", fontsize=8, color=ink)
        if lost:
            told = percent(out, n)
            box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
            ax.text(x, y - 0.34, told, ha="center", va="center", fontsize=7, color=style.INK, bbox=box)
    across.dress(ax, "x", "lr", cells=True)
    up.dress(ax, "y", "momentum", cells=True)
    ax.set(xlabel="", ylabel="")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(True)


def percent(count: int, n: int) -> str:
    """A share in whole percents; 0 and 100 are said of none and of all alone."""
    whole = round(100 * count / n)
    if count and not whole:
        return "<1 %"
    return ">99 %" if whole == 100 and count < n else f"{whole} %"


def _note(df: pd.DataFrame, table: pd.DataFrame) -> str:
    """Where they start, for how long, how many, how sure."""
    noisy = int(df["noisy_steps"].iloc[0])
    aligned = max((run.get("measure", {}).get("align", 0) for run in df.attrs.get("runs", ())), default=0)
    total = int((df["transient"] + df["steps"]).max()) + aligned
    low, high = int(table["n"].min()), int(table["n"].max())
    n = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    width = 100 * float((table["high"] - table["low"]).max())
    told = (
        f"All trainings begin at one poor minimum (loss 0.515, half of the examples told right): {noisy:,} steps with "
        f"minibatches, then the full batch up to step {total:,}. Left: all examples told right and a loss below 0.1 at "
        f"the end. {n} {'training' if high == 1 else 'trainings'} in each field; Wilson's 95 % intervals are at most "
        f"{width:.0f} points wide."
    )
    if lost := int(table["unresolved"].sum()):
        told += f" {counted(lost)} of {len(df):,} neither left nor came to rest."
    return told


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.escape", "Draw which trainings left a poor minimum.", free_x=False
    )

    def make(df: pd.DataFrame, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        return draw(df), []

    return command.figure_command(parser, argv, "escape", make)


if __name__ == "__main__":
    raise SystemExit(main())
