"""What do all pages of a server share? The run's table, and where computing is done."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis.explorer import live
from analysis.explorer.asked import Asked, first_axes, slider_ends, swept_axis
from attractor_jax.portrait import coordinate_names
from attractor_jax.systems import get


@dataclass(frozen=True)
class Workplace:
    """What all pages of a server share.

    Attributes:
        df: the run's classified table, None without a run.
        run: its name, for the heading.
        pool: where computing is done.
        devices: that count portraits.
        compiled: shapes of networks whose programs there are.
    """

    df: pd.DataFrame | None
    run: str
    pool: Executor
    devices: Sequence[Any]
    compiled: set[Any] = field(default_factory=set)


def warm(place: Workplace) -> None:
    """Compile what the first click will need, before it comes."""
    if place.df is None or place.df.empty:
        asked = Asked("uniform", first_axes(get("uniform")), ("x1", "x2"))
    else:
        row = place.df.iloc[0]
        system = get(str(row["system"]))
        asked = Asked(
            system.name, {axis.name: axis.kind(row[axis.name]) for axis in system.axes}, (), dtype=str(row["dtype"])
        )
    cell, axis = asked.network, swept_axis(get(asked.system))
    names = coordinate_names(cell.map, len(cell.state))[:2]
    seen = live.glance(cell, names)
    for _ in live.exponents(cell, told=live.TOLD[:1]):
        pass
    live.along(cell, axis.name, *slider_ends(get(asked.system), axis, asked.axes[axis.name]))
    for _ in live.portraits(cell, seen, points=(1,), devices=place.devices):
        pass
