"""What came of each training of a run, and which axes are levers: what the figures of learning share."""

from __future__ import annotations

import numpy as np
import pandas as pd

from attractor_jax.axes import table_axes
from attractor_jax.minima import RADIUS, arrived
from attractor_jax.trainings import SOLVED, levers

MOVING = ("periodic", "quasiperiodic", "chaotic", "hyperchaotic")

OUTCOMES = ("solved", "solved_moving", "poor", "collapsed", "unresolved", "diverged")


def check_learning(df: pd.DataFrame) -> None:
    """Refuse a table that is of no trainings, or whose trainings have several learning rates each.

    Raises:
        ValueError: naming what it has instead.
    """
    axes = table_axes(df)
    if "lr" not in axes or "train_loss" not in df.columns:
        raise ValueError(f"`run` must be of a learning system, with an axis lr, got one with {', '.join(axes)}")


def varied_levers(df: pd.DataFrame, *without: str) -> list[str]:
    """The levers that vary, but those named."""
    return [axis for axis in levers(df) if axis not in without and df[axis].nunique() > 1]


def diverged(df: pd.DataFrame) -> np.ndarray:
    """(cells,), bool."""
    return df["status"].isin(["diverged"]).to_numpy(bool)


def at_rest(df: pd.DataFrame) -> np.ndarray:
    """Which trainings have arrived at a minimum and stay there, (cells,): cycles and chaos that end a moment's walk
    from a minimum have not.
    """
    return arrived(df) & ~df["regime"].isin(MOVING).to_numpy(bool)


def classified(df: pd.DataFrame) -> np.ndarray:
    """The outcome of each training of a problem in which something is told right or wrong, (cells,).

    solved: all examples told right, and a loss below 0.1, at rest in a minimum; solved_moving: the same, but not at
    rest (a slow valley, a cycle, noise); collapsed: at rest where all parameters are zero; poor: at rest in any other
    minimum; unresolved: neither solved nor at rest; diverged.
    """
    solved = ((df["accuracy"] == 1) & (df["train_loss"] < SOLVED)).to_numpy(bool)
    rest = at_rest(df)
    nothing = np.zeros(len(df), bool)
    nothing[rest] = [theta is not None and np.linalg.norm(theta) <= RADIUS for theta in df["theta"][rest]]
    return np.select(
        [diverged(df), solved & rest, solved, rest & nothing, rest],
        ["diverged", "solved", "solved_moving", "collapsed", "poor"],
        "unresolved",
    )


def counted(number: int, name: str = "training") -> str:
    """So many trainings."""
    return f"{number:,} {name}" + ("" if number == 1 else "s")
