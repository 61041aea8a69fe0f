"""Where along the swept axis does each network change? From the first loss of stability to chaos, and the windows of
order beyond.

The grid says between which two of its values a change lies; bisection, of all networks at once, finds it more closely.
A value at which the regime cannot be told belongs to neither side: the bracket that is left has such values inside, and
its width says how much is not known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from attractor_jax.config import TransitionsConfig
from attractor_jax.continuation import Continuation, disagree
from attractor_jax.critical import CRITICAL_COLUMNS, knows_origin, verified_critical
from attractor_jax.engine import Columns, Engine
from attractor_jax.groups import own_blocks
from attractor_jax.plan import Networks, Plan
from attractor_jax.regimes import CHAOTIC_REGIMES, DECIDED, ORDERED, classify_columns, of_regimes
from attractor_jax.schema import Column


@dataclass(frozen=True)
class Event:
    """A change that is looked for along the axis.

    Attributes:
        name: of its columns.
        meaning: what has happened from there on.
        before, after: which labelled cells are on either side; what is neither is not known.
        lasting: it must hold on `transitions.consecutive` values of the grid.
    """

    name: str
    meaning: str
    before: Callable[[pd.DataFrame], np.ndarray]
    after: Callable[[pd.DataFrame], np.ndarray]
    lasting: bool = False


def _on_point_or_curve(table: pd.DataFrame) -> np.ndarray:
    # With too few exponents to tell, a torus counts as a curve.
    return of_regimes(table, ("fixed_point",)) | (
        of_regimes(table, ("quasiperiodic",)) & (table["torus_dimension"].fillna(1) == 1).to_numpy(bool)
    )


EVENTS = (
    Event(
        "leaves_point",
        "the attractor is no fixed point",
        lambda table: of_regimes(table, ("fixed_point",)),
        lambda table: of_regimes(table, DECIDED) & ~of_regimes(table, ("fixed_point",)),
    ),
    Event(
        "leaves_curve",
        "it is neither a fixed point nor a closed curve",
        _on_point_or_curve,
        lambda table: of_regimes(table, DECIDED) & ~_on_point_or_curve(table),
    ),
    Event(
        "chaos",
        "it is chaotic, on as many values in turn as were asked for",
        lambda table: of_regimes(table, ORDERED),
        lambda table: of_regimes(table, CHAOTIC_REGIMES),
        lasting=True,
    ),
)


def transition_columns(plan: Plan) -> tuple[Column, ...]:
    """The columns of a table of transitions: one row a network."""
    *others, swept = plan.system.axes
    axis = swept.name
    config = plan.config.transitions
    assert config is not None
    located = []
    for event in EVENTS:
        located += [
            Column(f"{axis}_{event.name}", "float", "", f"{axis} from which on {event.meaning}", True),
            Column(f"{axis}_{event.name}_tolerance", "float", "", f"{axis} lies within this of it", True),
        ]
    two_ways = (
        Column("n_hysteresis", "int", "", "intervals on which forward and backward continuation disagree"),
        Column(f"{axis}_hysteresis_low", "list", "", "where each of them begins on the grid"),
        Column(f"{axis}_hysteresis_high", "list", "", "where it ends"),
    )
    return (
        Column("cell_id", "int", "", "of the network's first cell; the others follow"),
        *(other.column() for other in others),
        Column("n_values", "int", "", f"values of {axis} on the grid"),
        Column("n_chaotic", "int", "", "of these, chaotic"),
        Column("n_unsettled", "int", "", "of these, with a regime that could not be told"),
        *(CRITICAL_COLUMNS if knows_origin(plan) else ()),
        *located,
        Column("n_windows", "int", "", f"windows of order beyond {axis}_chaos"),
        Column(f"{axis}_windows_low", "list", "", "where each of them begins on the grid"),
        Column(f"{axis}_windows_high", "list", "", "where it ends"),
        *(two_ways if config.continuation else ()),
    )


def find_transitions(engine: Engine, networks: Networks, cells: Columns, both_ways: Continuation | None) -> Columns:
    """The row of every network of a part.

    Args:
        cells: the columns of all their cells, (networks * values,), in the order of cell_id.
        both_ways: the same cells by continuation, or None.
    """
    plan = engine.plan
    config = plan.config.transitions
    assert config is not None
    axis = plan.system.axes[-1].name
    values = networks.axes[axis]
    n, n_values = values.shape
    table = classify_columns(cells)
    chaotic = of_regimes(table, CHAOTIC_REGIMES).reshape(n, n_values)
    ordered = of_regimes(table, ORDERED).reshape(n, n_values)
    columns: Columns = {
        "cell_id": networks.cell_id[:, 0],
        **{name: np.full(n, value) for name, value in engine.group.static.items()},
        **{name: each if each.ndim == 1 else each[:, 0] for name, each in networks.axes.items() if name != axis},
        "n_values": np.full(n, n_values),
        "n_chaotic": chaotic.sum(axis=1),
        "n_unsettled": (table["regime"] == "unsettled").to_numpy().reshape(n, n_values).sum(axis=1),
    }
    if knows_origin(plan):
        columns |= verified_critical(engine, networks, cells)
    first, brackets = grid_brackets(table, values, config)
    columns |= bisect(engine, networks, first, brackets, config)
    onset = first[:, -1]
    beyond = np.arange(n_values) >= np.where(onset < 0, n_values, onset)[:, None]
    columns |= _intervals(axis, "windows", values, ordered & beyond)
    if both_ways is not None:
        columns |= _intervals(axis, "hysteresis", values, disagree(both_ways).reshape(n, n_values))
    return columns


def first_lasting(flags: np.ndarray, consecutive: int) -> np.ndarray:
    """Where `flags` (networks, values) first hold so many times in turn: an index a network, -1 where they never do."""
    windows = np.asarray(np.lib.stride_tricks.sliding_window_view(flags, consecutive, axis=1).all(axis=-1))
    return np.where(windows.any(axis=-1), windows.argmax(axis=-1), -1)


def grid_brackets(table: pd.DataFrame, values: np.ndarray, config: TransitionsConfig) -> tuple[np.ndarray, np.ndarray]:
    """Between which values of the grid each event lies.

    Args:
        table: all cells of the networks, labelled.
        values: (networks, values), of the swept axis.

    Returns:
        (networks, events), the index of the first value after the event, -1 where it does not happen; and (networks,
        events, 2), that value and the last one before it that is known to be before. Where the event has happened at
        the first value already, nothing is below: -inf. NaN where it does not happen.
    """
    n, n_values = values.shape
    first = np.full((n, len(EVENTS)), -1)
    brackets = np.full((n, len(EVENTS), 2), np.nan)
    for e, event in enumerate(EVENTS):
        before, after = event.before(table).reshape(n, n_values), event.after(table).reshape(n, n_values)
        at = first_lasting(after, config.consecutive if event.lasting else 1)
        known = before & (np.arange(n_values) < at[:, None])
        last = np.where(known.any(axis=1), n_values - 1 - known[:, ::-1].argmax(axis=1), -1)
        rows = np.arange(n)
        first[:, e] = at
        brackets[:, e, 1] = np.where(at >= 0, values[rows, at], np.nan)
        brackets[:, e, 0] = np.where(at < 0, np.nan, np.where(last >= 0, values[rows, last], -np.inf))
    return first, brackets


def bisect(
    engine: Engine, networks: Networks, first: np.ndarray, brackets: np.ndarray, config: TransitionsConfig
) -> Columns:
    """Where each event of each network lies, and to within what.

    Two edges are bisected: the last value known to be before, and the first known to be after. Where everything can be
    told they are one; otherwise what lies between them cannot. Chaos is not monotone in the axis: what is found is one
    change inside the bracket, not necessarily the only one, and "lasting" was asked of the grid alone. Too small a
    tolerance only finds how narrow the band is in which regimes cannot be told in so many steps.
    """
    plan, axis = engine.plan, engine.plan.system.axes[-1].name
    can = np.asarray(np.isfinite(brackets).all(axis=-1))
    # The lower edge (last before) and the upper one (first after), each with its own low and high end.
    ends = np.repeat(np.where(can[..., None], brackets, 1.0)[:, :, None], 2, axis=2)
    lanes = 2 * len(EVENTS)
    dtype = plan.config.backend.dtype
    while True:
        # In the run's own arithmetic: there is nothing to measure between neighbouring numbers.
        between = ends.mean(axis=-1).astype(dtype).astype(float)
        wide = np.ptp(ends, axis=-1) > config.tolerance * np.abs(ends[..., 1])
        wide &= (ends[..., 0] < between) & (between < ends[..., 1])
        rows = np.flatnonzero((can[..., None] & wide).any(axis=(1, 2)))
        if not len(rows):
            break
        middle = between[rows]
        axes = {
            name: each[rows] if each.ndim == 1 else np.repeat(each[rows, :1], lanes, axis=1)
            for name, each in networks.axes.items()
        }
        axes[axis] = middle.reshape(len(rows), -1)
        ids = np.arange(len(rows) * lanes).reshape(len(rows), -1)
        table = classify_columns(
            engine.measure(own_blocks(engine.group, axes, ids), shape=(engine.group.own_block(lanes), lanes))
        )
        for e, event in enumerate(EVENTS):
            before, after = (side(table).reshape(middle.shape)[:, e] for side in (event.before, event.after))
            low, high = ends[rows, e, :, 0], ends[rows, e, :, 1]
            up = np.stack([before[:, 0], ~after[:, 1]], axis=1)
            ends[rows, e, :, 0] = np.where(up, middle[:, e], low)
            ends[rows, e, :, 1] = np.where(up, high, middle[:, e])
    columns: Columns = {}
    for e, event in enumerate(EVENTS):
        low, high = ends[:, e, 0, 0], ends[:, e, 1, 1]
        happened = first[:, e] >= 0
        place = np.where(can[:, e], (low + high) / 2, brackets[:, e, 1])
        columns[f"{axis}_{event.name}"] = np.where(happened, place, np.nan)
        columns[f"{axis}_{event.name}_tolerance"] = np.where(
            can[:, e], (high - low) / 2, np.where(happened, np.inf, np.nan)
        )
    return columns


def _intervals(axis: str, name: str, values: np.ndarray, flags: np.ndarray) -> Columns:
    """Runs of values (networks, values) on which `flags` hold: how many, and the ends of each."""
    edges = np.diff(np.pad(flags, ((0, 0), (1, 1))).astype(int), axis=1)
    low, high = np.empty(len(values), object), np.empty(len(values), object)
    for i, edge in enumerate(edges):
        low[i] = values[i, np.flatnonzero(edge == 1)]
        high[i] = values[i, np.flatnonzero(edge == -1) - 1]
    return {
        f"n_{name}": (edges == 1).sum(axis=1),
        f"{axis}_{name}_low": low,
        f"{axis}_{name}_high": high,
    }
