"""What do thousands of trainings say together? Shares of them, for every setting of the levers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from attractor_jax.axes import table_axes
from attractor_jax.basins import wilson
from attractor_jax.minima import LANDSCAPE
from attractor_jax.systems import STARTS

# Examples told right, and a loss this far below that of saying nothing: the training found what there is to find.
SOLVED = 0.1


def levers(df: pd.DataFrame) -> list[str]:
    """The axes that say how a training is done: all but the seed and where it starts, those that take one value
    included.
    """
    return [axis for axis in table_axes(df) if axis not in ("seed", *STARTS)]


def fraction_table(labelled: pd.DataFrame) -> pd.DataFrame:
    """Which share of the trainings ends where, for every setting of the levers.

    Args:
        labelled: of `label_minima`.

    Returns:
        One row for each setting and each orbit that any training of the same landscape reached: the levers, `orbit`
        (>= 1, 0 unresolved, -1 diverged), `depth` and `train_loss` there (NaN where there is no minimum), `count`, `n`
        trainings of the setting, `fraction`, and `low` and `high`, Wilson's 95 % interval.
    """
    axes = levers(labelled)
    landscape = [axis for axis in LANDSCAPE if axis in axes]
    key = [labelled[name] for name in landscape] or [pd.Series(0, index=labelled.index)]
    rows: list[dict[str, Any]] = []
    for _, here in labelled.groupby(key, sort=True, dropna=False):
        reached = np.unique(here["orbit"].to_numpy()).tolist()
        at = here[here["orbit"] >= 1].groupby("orbit")[["objective", "train_loss"]].min()
        for _, setting in here.groupby(axes, sort=True):
            levels = {axis: setting[axis].iloc[0] for axis in axes}
            counts = setting["orbit"].value_counts()
            for orbit in reached:
                depth, loss = at.loc[orbit] if orbit in at.index else (np.nan, np.nan)
                row = {"orbit": orbit, "depth": depth, "train_loss": loss, "count": counts.get(orbit, 0)}
                rows.append({**levels, **row, "n": len(setting)})
    return _with_interval(pd.DataFrame(rows), labelled)


def escape_table(df: pd.DataFrame) -> pd.DataFrame:
    """Which share of trainings that began in a poor minimum has left it for good, for every setting of the levers.

    Args:
        df: of system `xor_escape`.

    Returns:
        One row a setting: the levers, `count` of the trainings that end with all examples told right and a loss below
        0.1, `diverged` of them, `n`, `fraction` = count / n, and `low` and `high`, Wilson's 95 % interval.
    """
    axes = levers(df)
    solved = (df["accuracy"] == 1) & (df["train_loss"] < SOLVED)
    flags = df[axes].assign(count=solved, diverged=df["status"].isin(["diverged"]), n=1)
    return _with_interval(flags.groupby(axes, sort=True).sum().reset_index(), df)


def trained(df: pd.DataFrame, before: float | np.ndarray) -> np.ndarray:
    """Labels (cells,) of trainings by what came of the loss: 1 below what it was `before`, 0 not, -1 diverged.

    Close to the boundary a training that will diverge may not have done so yet: more steps move the boundary, by less
    and less.
    """
    lost = df["status"].isin(["diverged"]).to_numpy(bool) | ~np.isfinite(df["train_loss"].to_numpy(float))
    return np.where(lost, -1, (df["train_loss"].to_numpy(float) < before).astype(int))


def _with_interval(table: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    table = table.astype({axis: like[axis].dtype for axis in levers(like)})
    count, n = (table[name].to_numpy(int) for name in ("count", "n"))
    table["fraction"] = count / n
    table["low"], table["high"] = wilson(count, n)
    return table
