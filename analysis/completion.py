"""What do the loops make of images with a hole? Held-out images, loop after loop, and the hidden layer beside them.

    python -m analysis.completion RUN [--where label=2] [--images 4] [--out FILE]

RUN is of system=continuous; of several seeds the first is shown. Where several classes were learned there is one row
for each of them, after the last stage of its training. Some loops of the networks that the run has kept are done anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis import captions, command, style
from analysis.groups import groups
from analysis.trained import ASKED, Trained, check_continuous, first_seed, last_stage, networks, read_trained, titled
from attractor_jax.axes import varied_axes
from attractor_jax.fills import relative_error
from attractor_jax.pattern_learning import hidden_grid

# Loops after which images are shown.
LOOPS = (1, 2, 5, 20)
# Images of each network, fewer where there are many networks.
IMAGES, FEWER, FEW_BLOCKS = 4, 2, 4
MOST_BLOCKS, MOST_ROWS = 8, 32

VISIBLE = LinearSegmentedColormap.from_list("visible", ["#ffffff", "#000000"])
HIDDEN = LinearSegmentedColormap.from_list("hidden", ["#ffffff", "#9fc3d6", "#2a6f9e", "#12244a"])
FRAME = "#b5b5b5"

# Of a block: the distances of columns, rows, halves and titles, in edges of an image.
PITCH, ROW, GAP, HEAD = 1.09, 1.25, 0.3, 0.62
COLUMNS = 2 + len(LOOPS)
BREADTH = PITCH * (COLUMNS + len(LOOPS)) + GAP - (PITCH - 1)
NAMES = 0.3  # room for the names of rows, where they have some
FINE = {"fontsize": 6.8, "color": style.INK}


@dataclass(frozen=True)
class Sequence:
    """What loops make of one image.

    Attributes:
        network: whose loops they are.
        index: of the image among those that are kept with it.
        states: (loops, n1), x(t).
        hidden: (loops, n2), x2 in each of those loops.
        errors: (loops,), e(t) of this image alone. NaN where the hole holds nothing but black.
    """

    network: Trained
    index: int
    states: np.ndarray
    hidden: np.ndarray
    errors: np.ndarray

    @classmethod
    def of(cls, network: Trained, index: int) -> Sequence:
        start, truth = network.corrupted[[index]], network.images[[index]]
        before, after = (network.loop.visited(start, [time - back for time in LOOPS])[:, 0] for back in (1, 0))
        with np.errstate(over="ignore", invalid="ignore"):
            errors = np.array([relative_error(state[None], truth, start) for state in after])
        if network.images[index][network.holes[index]].any():
            errors = np.where(np.isnan(errors), np.inf, errors)
        return cls(network, index, after, network.loop.hidden(before), errors)


@dataclass(frozen=True)
class Block:
    """Rows that stand together under one title, each with its name at the left."""

    title: str
    rows: list[tuple[str, Sequence]]

    @property
    def reach(self) -> float:
        """The largest activity of a hidden unit in the first loop: where the scale of the hidden layers ends."""
        first = np.abs([sequence.hidden[0] for _, sequence in self.rows])
        return float(first[np.isfinite(first)].max(initial=0)) or 1.0


def looked_at(df: pd.DataFrame) -> pd.DataFrame:
    """The rows of the networks that are shown: the first seed, and where there are several classes the last stage."""
    df = first_seed(networks(df))
    return last_stage(df) if df["label"].nunique() > 1 else df


@style.styled
def draw(df: pd.DataFrame, kept: Mapping[int, Trained], *, images: int | None = None) -> Figure:
    """Images, the same with a hole, and visible and hidden layer after some loops: a block for each network, or where
    there are several classes a row.

    Args:
        df: what `read_run` gives of system `continuous`. Empty, the figure says so.
        kept: networks by cell_id, those `looked_at` at least.
        images: held-out images of each network; some few where None.

    Raises:
        ValueError: another system, too many networks, no images or more than there are.
    """
    if df.empty:
        return style.blank("no cells in this table")
    check_continuous(df)
    df = looked_at(df)
    blocks = _blocks(df, kept, images)
    named = NAMES if any(name for block in blocks for name, _ in block.rows) else 0.0
    unit = (style.WIDTH - 0.1) / (BREADTH + named)
    heights = [HEAD + ROW * len(block.rows) for block in blocks]
    figure = style.new_figure(unit * sum(heights) + 0.12 * len(blocks) + 1.2)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02)  # pyright: ignore[reportOptionalMemberAccess, reportCallIssue]
    grid = figure.subplots(len(blocks), 1, squeeze=False, height_ratios=heights)
    for ax, block, height in zip(grid[:, 0], blocks, heights, strict=True):
        ax.set(xlim=(-named, BREADTH), ylim=(height - HEAD, -HEAD), aspect="equal")
        ax.set_axis_off()
        _head(ax, block)
        for row, (name, sequence) in enumerate(block.rows):
            _row(ax, ROW * row, name, sequence, block.reach)
    shown = ["task", "T", *([] if df["label"].nunique() == 1 else ["label"])]
    captions.caption(figure, df.drop(columns=list(ASKED)), shown, _notes(df, blocks), orbits=False)
    return figure


def _blocks(df: pd.DataFrame, kept: Mapping[int, Trained], images: int | None) -> list[Block]:
    classes = df["label"].nunique() > 1
    others = [axis for axis in varied_axes(df) if axis not in ("task", "T", "label", "seed", *ASKED)]
    axes = ["task", *others, *([] if classes else ["T"])]
    found = groups(df, axes)
    if len(found) > MOST_BLOCKS:
        many = ", ".join(f"{axis} ({df[axis].nunique()})" for axis in axes if df[axis].nunique() > 1)
        raise ValueError(f"`where` must leave at most {MOST_BLOCKS} networks, got {len(found)}: values of {many}")
    if images is None:
        images = 1 if classes else IMAGES if len(found) <= FEW_BLOCKS else FEWER
    there = min(len(network.images) for network in kept.values())
    most = min(there, MOST_ROWS // max(len(group.rows) for group in found) // len(found))
    if not 1 <= images <= max(most, 1):
        raise ValueError(f"`images` must be from 1 to {max(most, 1)} with {len(df)} networks, got {images}")
    blocks = []
    for group in found:
        title = titled(axes, group.values)
        if classes and group.rows["T"].nunique() == 1:
            title += f", T = {group.rows['T'].iloc[0]}"
        rows = []
        for cell_id, label in group.rows.sort_values("label")[["cell_id", "label"]].to_numpy(int).tolist():
            network = kept[cell_id]
            for index in (np.arange(images) * len(network.images) // images).tolist():
                rows.append((str(label) if classes else "", Sequence.of(network, index)))
        blocks.append(Block(title, rows))
    return blocks


def _place(column: int) -> float:
    """Where a column begins: first the visible ones, then the hidden ones."""
    return PITCH * column + (GAP if column >= COLUMNS else 0)


def _head(ax: Axes, block: Block) -> None:
    """The title of a block, and what its columns are."""
    top = -HEAD + 0.17
    ax.text(0, top, block.title, fontsize=9, va="center", color=style.INK)
    loops = ["1 loop", *(f"{time} loops" for time in LOOPS[1:])]
    for column, name in enumerate(["truth", "corrupted", *loops, *(f"in loop {time}" for time in LOOPS)]):
        ax.text(_place(column) + 0.5, -0.06, name, ha="center", va="bottom", **FINE)
    linear = block.rows[0][1].network.loop.linear
    for column, name, low, high, colours in (
        (COLUMNS - 1, "visible", 0.0, 1.0, VISIBLE),
        (COLUMNS + len(LOOPS) - 1, "hidden layer", -block.reach if linear else 0.0, block.reach, _colours(linear)),
    ):
        strip = np.linspace(low, high, 64)[None]
        left = _place(column) + 0.1
        extent = (left, left + 0.6, top + 0.07, top - 0.07)
        ax.imshow(strip, cmap=colours, norm=Normalize(low, high), extent=extent, interpolation="nearest")
        ax.add_patch(Rectangle((left, top - 0.07), 0.6, 0.14, fill=False, edgecolor=FRAME, linewidth=0.5))
        ax.text(left - 0.06, top, f"{name}  {low:.2g}".replace("-", "\N{MINUS SIGN}"), ha="right", va="center", **FINE)
        ax.text(left + 0.66, top, f"{high:.2g}", ha="left", va="center", **FINE)


def _row(ax: Axes, top: float, name: str, sequence: Sequence, reach: float) -> None:
    network, index = sequence.network, sequence.index
    if name:
        ax.text(-0.12, top + 0.5, name, ha="right", va="center", fontsize=9, color=style.INK)
    side = network.side
    visible = [network.images[index], network.corrupted[index], *sequence.states]
    for column, pixels in enumerate(visible):
        _picture(ax, column, top, pixels.reshape(side, side), VISIBLE, Normalize(0, 1))
    rows, columns = np.divmod(np.flatnonzero(network.holes[index]), side)
    corner = (_place(1) + columns.min() / side, top + rows.min() / side)
    size = (np.ptp(columns) + 1) / side, (np.ptp(rows) + 1) / side
    ax.add_patch(Rectangle(corner, *size, fill=False, edgecolor=style.EDGE, linewidth=1.1))
    for column, error in enumerate([1.0, *sequence.errors.tolist()], 1):
        ax.text(_place(column) + 0.5, top + 1.03, told(error), ha="center", va="top", **FINE)
    row, column, edge = hidden_grid(len(network.loop.b2))
    linear = network.loop.linear
    for number, activity in enumerate(sequence.hidden):
        layer = np.full((edge, edge), np.nan)
        layer[row, column] = activity
        norm = Normalize(-reach if linear else 0, reach)
        _picture(ax, COLUMNS + number, top, layer, _colours(linear), norm)


def _picture(ax: Axes, column: int, top: float, values: np.ndarray, colours: Colormap, norm: Normalize) -> None:
    left = _place(column)
    values = np.ma.masked_invalid(np.where(np.isinf(values), np.sign(values) * np.finfo(float).max, values))
    extent = (left, left + 1, top + 1, top)
    ax.imshow(np.clip(values, norm.vmin, norm.vmax), cmap=colours, norm=norm, extent=extent, interpolation="nearest")
    ax.add_patch(Rectangle((left, top), 1, 1, fill=False, edgecolor=FRAME, linewidth=0.5))


def _colours(linear: bool) -> Colormap:
    """Of a hidden layer: of a linear one both signs are seen."""
    return (style.DIVERGING if linear else HIDDEN).with_extremes(bad=style.NO_VALUE)


def told(error: float) -> str:
    """An error under an image."""
    if np.isnan(error):
        return "no e"
    if np.isinf(error):
        return "e = ∞"
    return f"e = {error:.2g}" if error < 99.5 else f"e = {error:.0f}" if error < 9999.5 else f"e = {error:.0e}"


def _notes(df: pd.DataFrame, blocks: list[Block]) -> list[str]:
    sequences = [sequence for block in blocks for _, sequence in block.rows]
    images = len({(sequence.index, sequence.network.images[sequence.index].tobytes()) for sequence in sequences})
    notes = [
        f"{images} held-out {'image' if images == 1 else 'images'}; the network is not told where the hole is (frame). "
        "e = |x(t) − d|² / |x(0) − d|² of each image d by itself: 1 is what the hole did. "
        "At the right x2, the hidden units on their grid, in the loop that led to the image at the left; their scale "
        "is that of the block, up to the most active unit in loop 1.",
    ]
    states = np.concatenate([sequence.states for sequence in sequences])
    with np.errstate(invalid="ignore"):
        beyond = int(((states > 1.005) | (states < -0.005)).any(axis=1).sum())
    if beyond:
        high = float(np.nanmax(states))
        words = f"Pixels above 1 are drawn as 1, below 0 as 0, in {beyond} of {len(states)} states"
        notes.append(f"{words}: the largest is {high:.3g}.")
    if np.isnan(states).any():
        notes.append("Grey: the loop overflowed.")
    if len(rest := [n for n in sorted(df["n2"].unique()) if int(np.sqrt(n)) ** 2 != n]):
        notes.append(f"n2 = {', '.join(map(str, rest))} fills no square: grey places have no unit.")
    if any(np.isnan(sequence.errors).any() for sequence in sequences):
        notes.append("no e: the hole took nothing away.")
    return notes


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.completion", "Draw images with a hole, and what loops make of them.", free_x=False
    )
    parser.add_argument(
        "--images", metavar="COUNT", type=int, help=f"held-out images of each network (default: {IMAGES}, less of many)"
    )

    def make(df: pd.DataFrame, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        check_continuous(df)
        words = [] if arguments.images is None else [f"{arguments.images}images"]
        return draw(df, read_trained(arguments.run, looked_at(df)), images=arguments.images), words

    return command.figure_command(parser, argv, "completion", make)


if __name__ == "__main__":
    raise SystemExit(main())
