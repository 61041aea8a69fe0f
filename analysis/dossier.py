"""What is known of one network? Time series, return map, power spectrum, portrait, exponents and how they converged,
on one sheet.

    python -m analysis.dossier RUN --cell ID [--out FILE]

It simulates the cell anew, from where its orbit starts, with all its exponents: some seconds.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis import command, style, tones
from analysis.cells import Cell, cell_of_table
from attractor_jax.config import EVERYTHING

# Steps thrown away, measured in so many blocks, and looked at one by one.
TRANSIENT, STEPS, BLOCKS, SEEN = 10_000, 100_000, 200, 2**15
SHOWN = 250  # steps of the time series
SHOWN_RETURNS = 8_000  # points of the return map
WINDOW = 2**12  # steps of each spectrum whose mean is shown
PIXELS, POINTS = 420, 1e7
MOST_EXPONENTS = 64  # of a state of more dimensions only the largest are measured
MOST_CURVES = 4  # exponents whose convergence is drawn one by one
ROUNDING = 1e-12  # share by which an output at rest still moves


@dataclass(frozen=True)
class Evidence:
    """What was computed of one cell.

    Attributes:
        y: (SEEN,), outputs after the transient; NaN from where the orbit diverged.
        portrait: None where it has no two coordinates, or diverged.
        exponents, errors: (k,), nats per step.
        blocks: (BLOCKS, k), their means over blocks.
        block_steps: length of a block.
    """

    y: np.ndarray
    portrait: Any
    exponents: np.ndarray
    errors: np.ndarray
    blocks: np.ndarray
    block_steps: int


def gathered(cell: Cell, *, devices: Any = None, steps: int = STEPS, points: float = POINTS) -> Evidence:
    """The evidence about a cell.

    Args:
        devices: where the portrait is computed.
        steps: measured; with few, the exponents have not converged, and the sheet shows it.
        points: of the portrait.
    """
    from attractor_jax.iterate import orbit
    from attractor_jax.lyapunov import lyapunov_exponents
    from attractor_jax.maps import coordinates
    from attractor_jax.portrait import coordinate_names, portrait

    k = min(len(coordinates(cell.map, cell.state)), MOST_EXPONENTS)
    found = lyapunov_exponents(cell.map, cell.state, k=k, transient=TRANSIENT, steps=steps, blocks=BLOCKS)
    states = np.asarray(orbit(cell.map, np.asarray(found.final_state), steps=SEEN))
    names = coordinate_names(cell.map, len(cell.state))[:2]
    picture = None
    if len(names) == 2 and np.isfinite(states).all():
        picture = portrait(
            cell.map, cell.state, coordinates=names, points=points, size=(PIXELS, PIXELS), devices=devices
        )
    exponents, errors, blocks = (
        np.asarray(each) for each in (found.exponents, found.standard_error, found.block_means)
    )
    return Evidence(states[:, 0], picture, exponents, errors, blocks, steps // BLOCKS)


@style.styled
def draw(cell: Cell, evidence: Evidence) -> Figure:
    """The sheet."""
    figure = style.new_figure(9.2, style.WIDTH * 1.15)
    rows = figure.add_gridspec(4, 2, height_ratios=[0.75, 1.5, 1.2, 1.2])
    _series(figure.add_subplot(rows[0, :]), evidence)
    _returns(figure.add_subplot(rows[1, 0]), evidence)
    _portrait(figure.add_subplot(rows[1, 1]), evidence)
    _power(figure.add_subplot(rows[2, 0]), evidence)
    _spectrum(figure.add_subplot(rows[2, 1]), evidence)
    _convergence(figure.add_subplot(rows[3, :]), evidence)
    figure.suptitle(f"System {cell.system}: {cell.name}\n{cell.finding}", x=0.01, ha="left", fontsize=10)
    steps = evidence.block_steps * len(evidence.blocks)
    note = (
        f"The line above is the run's, cell {cell.row['cell_id']}: {int(cell.row['steps']):,} steps, {cell.dtype}. "
        f"Below, {steps:,} steps of the same orbit after {TRANSIENT:,}, in {len(evidence.blocks)} blocks; errors are "
        "standard errors from the blocks."
    )
    figure.supxlabel(note, x=0.01, ha="left", fontsize=7, color="#333333", wrap=True)
    return figure


def _still(y: np.ndarray) -> bool:
    """Does the output move by no more than rounding?"""
    return bool(np.isfinite(y).all() and np.ptp(y) <= ROUNDING * max(1.0, float(np.abs(y).max())))


def _says(ax: Axes, words: str) -> None:
    """Words in place of a curve that there is not."""
    ax.text(0.5, 0.5, words, ha="center", va="center", transform=ax.transAxes, color=style.FAINT)


def _at_rest(ax: Axes, y: np.ndarray, sides: str) -> None:
    """Limits around a value that does not move: else its rounding would fill the panel."""
    for side in sides:
        (ax.set_xlim if side == "x" else ax.set_ylim)(float(y[0]) - 1e-3, float(y[0]) + 1e-3)


def _series(ax: Axes, evidence: Evidence) -> None:
    ax.plot(np.arange(SHOWN), evidence.y[:SHOWN], "-", color=style.FAINT, linewidth=0.6)
    ax.plot(np.arange(SHOWN), evidence.y[:SHOWN], ".", color=style.INK, markersize=2.5)
    if _still(evidence.y):
        _at_rest(ax, evidence.y, "y")
    elif not np.isfinite(evidence.y).all():
        _says(ax, "the orbit diverged")
    ax.set_xlim(0, SHOWN - 1)
    ax.set_xlabel("step t")
    ax.set_ylabel("output $y_t$")


def _returns(ax: Axes, evidence: Evidence) -> None:
    y = evidence.y[: SHOWN_RETURNS + 1]
    ax.plot(y[:-1], y[1:], ".", color=style.INK, markersize=1.2, markeredgewidth=0, rasterized=True)
    if _still(y):
        _at_rest(ax, y, "xy")
        ax.plot(y[:1], y[:1], "o", color=style.INK, markersize=4)
    elif not np.isfinite(y).all():
        _says(ax, "the orbit diverged")
    ax.set_xlabel("$y_t$")
    ax.set_ylabel("$y_{t+1}$")
    ax.set_title("return map")


def _portrait(ax: Axes, evidence: Evidence) -> None:
    seen = evidence.portrait
    if seen is None:
        ax.set_axis_off()
        one = np.isfinite(evidence.y).all()
        _says(ax, "no portrait: the state is one number" if one else "no portrait: the orbit diverged")
        return
    from analysis.article_style import label

    ax.imshow(tones.coloured(seen.counts), extent=seen.extent, aspect="auto", interpolation="antialiased")
    ax.set_xlabel(label(seen.coordinates[0]))
    ax.set_ylabel(label(seen.coordinates[1]))
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.set_title(f"portrait, {seen.points:,} points")


def power(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (cycles per step) and power of each, the mean over windows that overlap by half (Welch 1967)."""
    window = np.hanning(WINDOW)
    starts = range(0, len(y) - WINDOW + 1, WINDOW // 2)
    pieces = np.stack([y[start : start + WINDOW] for start in starts])
    pieces = pieces - pieces.mean(axis=1, keepdims=True)
    density = np.abs(np.fft.rfft(pieces * window, axis=1)) ** 2 / np.sum(window**2)
    return np.fft.rfftfreq(WINDOW), density.mean(axis=0)


def _power(ax: Axes, evidence: Evidence) -> None:
    ax.set_xlabel("frequency (cycles per step)")
    ax.set_ylabel("power of y")
    ax.set_xlim(0, 0.5)
    if not np.isfinite(evidence.y).all():
        _says(ax, "the orbit diverged")
    elif _still(evidence.y):
        _says(ax, "y does not move")
    else:
        frequency, density = power(evidence.y)
        # What lies fourteen orders below the highest line is rounding.
        floor = 1e-14 * density[1:].max()
        ax.semilogy(frequency[1:], np.maximum(density[1:], floor), color=style.INK, linewidth=0.6)


def _spectrum(ax: Axes, evidence: Evidence) -> None:
    index = np.arange(1, len(evidence.exponents) + 1)
    finite = np.isfinite(evidence.exponents)
    ax.axhline(0, color="#666666", linewidth=0.8, zorder=1)
    ax.errorbar(
        index[finite], evidence.exponents[finite], yerr=2 * evidence.errors[finite], fmt="o", color=style.INK,
        markersize=3.2, linewidth=0.9, capsize=2,
    )  # fmt: skip
    style.mark_at_floor(ax, index[np.isneginf(evidence.exponents)], "v")
    if np.isnan(evidence.exponents).all():
        _says(ax, "the orbit diverged")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("exponent i")
    ax.set_ylabel(style.LAMBDA_I)
    ax.set_title("spectrum, ± 2 standard errors")


def _convergence(ax: Axes, evidence: Evidence) -> None:
    """Means from the beginning to each time, and how far a standard error reached by then."""
    n = np.arange(1, len(evidence.blocks) + 1)
    time = n * evidence.block_steps
    curves = min(MOST_CURVES, evidence.blocks.shape[1])
    ax.axhline(0, color="#666666", linewidth=0.8, zorder=1)
    for i, colour in enumerate(style.group_colours(curves)):
        blocks = evidence.blocks[:, i]
        if not np.isfinite(blocks).all():
            continue
        mean = np.cumsum(blocks) / n
        scatter = np.sqrt(np.maximum(np.cumsum(blocks**2) / n - mean**2, 0) / np.maximum(n - 1, 1))
        ax.fill_between(time[4:], (mean - scatter)[4:], (mean + scatter)[4:], color=colour, alpha=0.25, linewidth=0)
        ax.plot(time, mean, color=colour, linewidth=1.0, label=f"$\\lambda_{{{i + 1}}}$")
    if not np.isfinite(evidence.blocks).any():
        _says(ax, "the orbit diverged" if np.isnan(evidence.blocks).any() else "superstable: minus infinity")
    ax.set_xscale("log")
    ax.set_xlim(time[0], time[-1])
    ax.set_xlabel("steps measured")
    ax.set_ylabel("mean so far (nats per step)")
    ax.set_title("running exponents, ± one standard error")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.04))


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.dossier", "Draw all that is known of one cell of a run on one sheet.", free_x=False
    )
    parser.add_argument("--cell", metavar="ID", type=int, required=True, help="cell_id of a cell of RUN")

    def make(df: Any, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        cell = cell_of_table(df, arguments.cell)
        from attractor_jax import backend

        devices = backend.start(EVERYTHING)
        return draw(cell, gathered(cell, devices=devices)), [f"cell{arguments.cell}"]

    return command.figure_command(parser, argv, "dossier", make)


if __name__ == "__main__":
    raise SystemExit(main())
