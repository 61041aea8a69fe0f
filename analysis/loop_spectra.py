"""Which directions does a trained loop keep? The eigenvalues of its Jacobian in the complex plane, and their moduli.

    python -m analysis.loop_spectra RUN [--where seed=3] [--out FILE]

RUN is of system=continuous. Nothing is trained: the loops are those that the run keeps.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Complex, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch

from analysis import captions, command, style
from analysis.groups import DRAWN
from analysis.trained import Trained, check_continuous, read_trained
from attractor_jax.axes import varied_axes
from attractor_jax.image_loops import spread
from attractor_jax.near_unity import eigenvalues

SHOWN = ("task", "T")
MOST_COLUMNS = 5
# How far from 0 the complex plane is shown: a loop that escapes may have eigenvalues that would dwarf the unit circle.
FARTHEST = 2.0
FAINT_CIRCLE = "#777777"
NEAR, OTHER, DISC = "#c8483f", "#2a6f9e", "#f3b48f"


@dataclass(frozen=True)
class Spectra:
    """Eigenvalues of one network.

    Attributes:
        values: at each state that did not diverge, by descending modulus.
        near: how many lie within the tolerance of 1, on average over the states.
    """

    values: Complex[np.ndarray, "m n1"]
    near: float


def spectra_of(network: Trained, at: int, tolerance: float) -> Spectra:
    """The eigenvalues at the states at which the table's are counted: they start from images that the run keeps.

    Args:
        at: loops from the whole images to the states.
        tolerance: distance from 1 up to which an eigenvalue is near 1.
    """
    images = distinct(network.images)
    found = eigenvalues(network.loop, network.loop.visited(images, [at])[0][spread(len(images))])
    found = found[np.isfinite(found).all(axis=1)]
    near = float((np.abs(found - 1) < tolerance).sum(axis=1).mean()) if len(found) else np.nan
    return Spectra(found, near)


def distinct(images: Float[np.ndarray, "m n1"]) -> Float[np.ndarray, "k n1"]:
    """Images without those that repeat the one before: where few were held out, some are kept twice."""
    return images[are_new(images)]


def are_new(images: Float[np.ndarray, "m n1"]) -> Bool[np.ndarray, "m"]:
    """Which images are not the one before."""
    return np.r_[True, (np.diff(images, axis=0) != 0).any(axis=1)]


@style.styled
def draw(df: pd.DataFrame, networks: Mapping[int, Trained]) -> Figure:
    """The eigenvalues of one network after each stage of its training, and how their moduli fall off, beside those of
    all seeds.

    Args:
        df: what `read_run` gives of system `continuous`, with one value of every axis but task, T, seed, replicate.
            Empty, the figure says so.
        networks: those of `shown(df)`, by their cell_id.

    Raises:
        ValueError: another system, another axis that varies, too many values of T.
    """
    if df.empty:
        return style.blank("no cells in this table")
    rows = shown(df)
    tasks, stages = (np.sort(np.asarray(df[axis].unique())) for axis in ("task", "T"))
    found = {
        (str(row["task"]), int(row["T"])): (
            row,
            spectra_of(networks[int(row["cell_id"])], int(row["at"]), float(row["tolerance"])),
        )
        for _, row in rows.iterrows()
    }
    side = 6.3 / max(len(stages), 3)
    figure = style.new_figure((side + 1.75) * len(tasks) + 1.5)
    grid = figure.subplots(
        2 * len(tasks), len(stages), squeeze=False, sharey="row", height_ratios=[side, 1.0] * len(tasks)
    )
    limits = _limits([spectra for _, spectra in found.values()], float(df["tolerance"].max()))
    outside = 0
    for line, task in enumerate(tasks):
        for column, T in enumerate(stages):
            plane, fall = grid[2 * line : 2 * line + 2, column]
            if (here := found.get((str(task), int(T)))) is None:
                for ax in (plane, fall):
                    ax.text(0.5, 0.5, "no network", ha="center", va="center", transform=ax.transAxes)
                continue
            row, spectra = here
            outside += _plane(plane, row, spectra, limits)
            _title(plane, row, str(task), narrow=len(stages) > 4)
            same = df[(df["task"] == task) & (df["T"] == T) & (df["replicate"] == row["replicate"])]
            _fall(fall, same, row)
            plane.set_xlabel("Re μ")
            fall.set_xlabel("rank")
        grid[2 * line, 0].set_ylabel("Im μ")
        grid[2 * line + 1, 0].set_ylabel("mean |μ|")
        grid[2 * line + 1, 0].set_ylim(0, 1.08 * _highest(df, rows, str(task)))
    tolerance = ", ".join(f"{each:g}" for each in np.sort(df["tolerance"].unique()))
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=NEAR, marker="o", markersize=3.5, linestyle="none", label=f"|μ − 1| < {tolerance}"),
        Line2D([], [], color=OTHER, marker="o", markersize=3.5, linestyle="none", label="other eigenvalues"),
        Line2D([], [], color=FAINT_CIRCLE, linewidth=0.9, label="unit circle"),
        Line2D([], [], color=style.INK, marker="o", markersize=2.5, linewidth=1.2, label="this network"),
    ]
    if df["seed"].nunique() > 1:
        handles.append(Line2D([], [], color=style.FAINT, linewidth=0.6, label="other seeds"))
    handles.append(Line2D([], [], color=NEAR, linewidth=0.9, linestyle="--", label="as many as are near 1"))
    figure.legend(handles=style.by_rows(handles, 3), loc="outside upper left", ncols=3)
    captions.caption(figure, df, list(SHOWN), _notes(df, found, outside), orbits=False)
    return figure


def shown(df: pd.DataFrame) -> pd.DataFrame:
    """The rows whose networks are drawn: of the first seed and replicate, a row for each task and T.

    Raises:
        ValueError: another system, another axis that varies, too many values of T.
    """
    check_continuous(df)
    for axis in varied_axes(df):
        if axis not in (*SHOWN, *DRAWN):
            raise ValueError(f"`where` must leave one value of {axis}, got {df[axis].nunique()}")
    if (many := df["T"].nunique()) > MOST_COLUMNS:
        raise ValueError(f"`where` must leave at most {MOST_COLUMNS} values of T, got {many}")
    for axis in DRAWN:
        df = df[df[axis] == df[axis].min()]
    return df


def _limits(every: list[Spectra], tolerance: float) -> tuple[float, float, float]:
    """Left, right and top of all complex planes: around the unit circle and the disc, and what is not too far away."""
    values = np.concatenate([spectra.values.ravel() for spectra in every])
    real, height = np.real(values), np.abs(np.imag(values))
    near = np.maximum(np.abs(real), height) <= FARTHEST
    left, right = float(np.min(real[near], initial=-1.0)), float(np.max(real[near], initial=1.0 + tolerance))
    return left - 0.08, right + 0.08, float(np.max(height[near], initial=1.0)) + 0.08


def _plane(ax: Axes, row: pd.Series, spectra: Spectra, limits: tuple[float, float, float]) -> int:
    """The eigenvalues, with the unit circle and the disc around 1; returns how many lie outside the panel."""
    left, right, top = limits
    tolerance = float(row["tolerance"])
    ax.add_patch(Circle((1, 0), tolerance, facecolor=DISC, edgecolor=NEAR, linewidth=0.5, alpha=0.5, zorder=1))
    ax.add_patch(Circle((0, 0), 1, facecolor="none", edgecolor=FAINT_CIRCLE, linewidth=0.9, zorder=1))
    ax.axhline(0, color="#cccccc", linewidth=0.5, zorder=0)
    values = spectra.values.ravel()
    real, imaginary = np.real(values), np.imag(values)
    near = np.abs(values - 1) < tolerance
    for here, colour, order in ((~near, OTHER, 2), (near, NEAR, 3)):
        ax.plot(
            real[here], imaginary[here], "o", color=colour, markersize=1.8, markeredgewidth=0, alpha=0.45,
            zorder=order,
        )  # fmt: skip
    ax.set(xlim=(left, right), ylim=(-top, top), aspect="equal")
    ax.set_xticks([-1, 0, 1])
    ax.set_yticks([-1, 0, 1])
    return int(np.sum((real < left) | (real > right) | (np.abs(imaginary) > top)))


def _title(ax: Axes, row: pd.Series, task: str, *, narrow: bool) -> None:
    """What the table says of the network."""
    gap = "none" if pd.isna(row["gap"]) else f"{row['gap']:.3f}"
    near, radius, speed = (float(row[name]) for name in ("near_unity", "spectral_radius", "spectrum_speed"))
    parts = [f"near 1: {near:.4g}", f"gap {gap}", f"radius {radius:#.3g}", f"speed {speed:#.2g}"]
    told = parts if narrow else [", ".join(parts[:2]), ", ".join(parts[2:])]
    ax.set_title(f"{task}, T = {row['T']}\n" + "\n".join(told), fontsize=7.5, linespacing=1.3)


def _fall(ax: Axes, same: pd.DataFrame, row: pd.Series) -> None:
    """The mean moduli in their order, of all seeds and of the one network."""
    for cell_id, moduli in zip(same["cell_id"], same["moduli"], strict=True):
        if cell_id != row["cell_id"]:
            ax.plot(np.arange(1, len(moduli) + 1), moduli, color=style.FAINT, linewidth=0.5, alpha=0.8, zorder=2)
    moduli = np.asarray(row["moduli"], float)
    ax.plot(np.arange(1, len(moduli) + 1), moduli, color=style.INK, marker="o", markersize=2.2, linewidth=1.1, zorder=4)
    ax.axhline(1, color="#bbbbbb", linewidth=0.7, zorder=1)
    if row["near_unity"] < len(moduli):
        ax.axvline(float(row["near_unity"]) + 0.5, color=NEAR, linewidth=0.9, linestyle="--", zorder=3)
    ax.set_xlim(0.3, len(moduli) + 0.7)
    ax.set_xticks([1, 4, 8, 12, 16][: max(1, 1 + len(moduli) // 4)])


def _highest(df: pd.DataFrame, rows: pd.DataFrame, task: str) -> float:
    """The top of the moduli of a task that is shown: one seed that escapes does not set it alone."""
    tops = np.array([moduli[0] for moduli in df.loc[df["task"] == task, "moduli"]], float)
    own = np.array([moduli[0] for moduli in rows.loc[rows["task"] == task, "moduli"]], float)
    tops, own = tops[np.isfinite(tops)], own[np.isfinite(own)]
    most = float(np.quantile(tops, 0.9)) if len(tops) else 1.0
    return min(max(most, float(np.max(own, initial=1.0))), FARTHEST * 2)


def _notes(df: pd.DataFrame, found: Mapping[tuple[str, int], tuple[pd.Series, Spectra]], outside: int) -> list[str]:
    first = next(iter(found.values()))[0]
    counts = [len(spectra.values) for _, spectra in found.values()]
    low, high = min(counts), max(counts)
    number = f"{low}" if low == high else f"{low} to {high}"
    n = df["seed"].nunique()
    others = f"{n - 1} other {'seed' if n == 2 else 'seeds'}"
    seeds = f" Lower panels: the largest mean moduli, of this network and {others}." if n > 1 else ""
    lines = [
        f"Eigenvalues μ of J at {number} states x({first['at']}) of the network with seed {first['seed']}, whole "
        f"held-out images after {first['at']} loops.{seeds}",
        "Near 1: their number, mean over the states; gap: modulus down to the next below; radius: largest |μ|; speed: "
        "median |F(x) − x|/|x| there. Away from a fixed point J is not a linearisation at one.",
    ]
    if any(row["near_unity"] >= len(row["moduli"]) for row, _ in found.values()):
        lines.append("Where more eigenvalues are near 1 than there are moduli in the table, their gap lies beyond.")
    if outside:
        lines.append(f"Eigenvalues outside the panels: {outside}.")
    return lines


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.loop_spectra", "Draw the eigenvalues of trained loops.", free_x=False
    )

    def make(df: pd.DataFrame, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        return draw(df, read_trained(arguments.run, shown(df))), []

    return command.figure_command(parser, argv, "loop_spectra", make)


if __name__ == "__main__":
    raise SystemExit(main())
