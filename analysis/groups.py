"""Which networks belong together? Those that differ in nothing but their draw: one group for each N and D, say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import style
from attractor_jax.axes import varied_axes

DRAWN = ("seed", "replicate")


@dataclass(frozen=True)
class Group:
    """Rows of a table that share their values on some axes.

    Attributes:
        values: of those axes, in their order.
        name: the same as a title, such as "N = 4, D = 16"; empty where there is one group.
        rows: of the table.
    """

    values: tuple[Any, ...]
    name: str
    rows: pd.DataFrame


def group_axes(df: pd.DataFrame, *without: str) -> list[str]:
    """Axes that vary and tell groups of networks apart: neither the draw nor those named."""
    return [axis for axis in varied_axes(df) if axis not in (*DRAWN, *without)]


def groups(df: pd.DataFrame, axes: Sequence[str]) -> list[Group]:
    """The groups of a table, by their values in ascending order."""
    if not axes:
        return [Group((), "", df)]
    return [
        Group(values, named(axes, values), rows)
        for values, rows in df.groupby(list(axes), sort=True, observed=True)
        if isinstance(values, tuple)
    ]


def named(axes: Sequence[str], values: Sequence[Any]) -> str:
    """Values of some axes as a title."""
    return ", ".join(f"{axis} = {style.number(value)}" for axis, value in zip(axes, values, strict=True))
