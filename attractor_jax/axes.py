"""Which axes has a table of cells, and which cells lie where on them?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd


def table_axes(df: pd.DataFrame) -> list[str]:
    """The axes of a table: `df.attrs["axes"]` if it is there, else the columns between `cell_id` and `dtype` (in a
    table of networks, `n_values`).

    Raises:
        ValueError: the table has neither.
    """
    declared = df.attrs.get("axes")
    if declared:
        return [str(axis) for axis in declared if axis in df.columns]
    columns = [str(column) for column in df.columns]
    behind = next((name for name in ("dtype", "n_values") if name in columns), None)
    if behind is None:
        raise ValueError(f"`df` must have its axes before a column dtype, got the columns {', '.join(columns)}")
    return [column for column in columns[: columns.index(behind)] if column != "cell_id"]


def varied_axes(df: pd.DataFrame) -> list[str]:
    """Those axes of a table that take more than one value, in the table's order."""
    return [axis for axis in table_axes(df) if df[axis].nunique() > 1]


def cluster_column(df: pd.DataFrame) -> str | None:
    """The column whose values are resampled together: `seed`, else `replicate`, else none (every row by itself)."""
    return next((name for name in ("seed", "replicate") if name in df.columns), None)


def select(df: pd.DataFrame, where: Mapping[str, float | str]) -> pd.DataFrame:
    """The cells that have the given values on some axes, such as {"N": 4, "D": 16}.

    On an axis of floats a value need only be given to three digits or so: the nearest one is taken if it is within
    0.1 %. Seeds and other integers are meant exactly, and words too.

    Raises:
        ValueError: an axis that the table does not have, or a value that no cell has.
    """
    axes = table_axes(df)
    for axis, wanted in where.items():
        if axis not in axes:
            raise ValueError(f"`where` must name axes of the table, {', '.join(axes)}, got {axis!r}")
        if are_words(df[axis]):
            df = df[_the_word(df[axis], wanted)]
            continue
        if isinstance(wanted, str):
            raise ValueError(f"`where` must give {axis} a number, got {wanted!r}")
        held = np.sort(df[axis].unique().astype(float))
        nearest = held[np.argmin(np.abs(held - wanted))] if len(held) else np.nan
        slack = 1e-3 * abs(wanted) if df[axis].dtype.kind == "f" else 0.0
        if not abs(nearest - wanted) <= slack:
            raise ValueError(f"`where` must give {axis} a value that it has here, {_listed(held)}, got {wanted:g}")
        df = df[df[axis].to_numpy(float) == nearest]
    return df


def are_words(column: pd.Series) -> bool:
    """Is this axis one of words?"""
    return not pd.api.types.is_numeric_dtype(column)


def _the_word(column: pd.Series, wanted: float | str) -> np.ndarray:
    """Where an axis of words has this one; one that reads as a number may have been read as one."""
    word = wanted if isinstance(wanted, str) else f"{wanted:.15g}"
    here = (column == word).to_numpy(bool)
    if not here.any():
        held = ", ".join(sorted(column.unique()))
        raise ValueError(f"`where` must give {column.name} a value that it has here, {held}, got {word}")
    return here


def spread_logarithmically(values: np.ndarray) -> bool:
    """Are these values of an axis more even in their logarithm than by themselves? At least three positive ones can
    be.
    """
    distinct = np.unique(values)
    if len(distinct) < 3 or distinct[0] <= 0:
        return False
    gaps, log_gaps = np.diff(distinct), np.diff(np.log(distinct))
    return bool(np.std(log_gaps) / np.mean(log_gaps) < np.std(gaps) / np.mean(gaps))


def _listed(values: np.ndarray) -> str:
    """Some values for a message, the middle left out where there are many."""
    shown = [f"{value:.4g}" for value in values]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:4], "...", *shown[-2:]])
