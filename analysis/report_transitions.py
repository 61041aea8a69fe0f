"""What of a report says where networks change: the first loss of stability, the onset of chaos, and their routes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import collapse, html, onset, routes
from analysis.groups import group_axes, groups
from analysis.html import Html, joined, paragraph
from analysis.report_findings import NO_CELLS, TOO_FEW, percent, png_of
from analysis.report_run import Run
from attractor_jax.axes import table_axes
from sweeps.telling import counted


def transitions(run: Run) -> Html:
    df, table = run.cells, run.transitions
    if df.empty:
        return paragraph(NO_CELLS)
    *network_axes, swept = table_axes(df)
    pieces: list[Html] = []
    networks = df.drop_duplicates(network_axes) if network_axes else df.iloc[:1]
    source = networks if table is None else table
    located = [
        (column, meaning)
        for column, meaning in (
            ("s_critical", "the origin loses stability"),
            (f"{swept}_leaves_point", "no fixed point any more"),
            (f"{swept}_leaves_curve", "neither fixed point nor closed curve"),
            (f"{swept}_chaos", "chaos begins"),
        )
        if column in source.columns and not (source[column].isna().all() and column == "s_critical")
    ]
    if table is None:
        told = (
            "The run has no table of transitions (experiment=transitions makes one): the onset of chaos was not located"
        )
        pieces.append(
            paragraph(told + ("; where the origin loses stability is known in closed form." if located else "."))
        )
    if located:
        rows = [(column, meaning, *_spread(source[column])) for column, meaning in located]
        pieces.append(html.table(["where", "from there on", "networks", "of", "10 %", "median", "90 %"], rows, words=2))
    if "first_bifurcation" in source.columns and source["first_bifurcation"].notna().any():
        pieces.append(_kinds(source, swept))
    if table is not None:
        pieces.append(_windows(table, swept))
    pieces += _drawn(run)
    return joined(*pieces)


def _drawn(run: Run) -> list[Html]:
    """The figures of routes and onsets that suit the run."""
    df, table, pictures = run.cells, run.transitions, []
    *network_axes, swept = table_axes(df)
    n_groups = len(groups(df, group_axes(df, swept)))
    if len(df) >= TOO_FEW and df[swept].nunique() > 2:
        if n_groups <= routes.MOST_PANELS:
            alt = f"Regimes of every network along {swept}, a thin row a network, sorted by where chaos begins."
            pictures.append(html.picture(png_of(routes.draw(df, table)), alt, "The route of every network to chaos."))
        else:
            told = (
                f"The routes of single networks are not drawn: {n_groups} groups of networks, {routes.MOST_PANELS} fit."
            )
            pictures.append(paragraph(told))
        if collapse.problem(df) is None and len(groups(df, group_axes(df, "s"))) <= collapse.MOST_CURVES:
            alt = "Share of chaotic networks against s, and against s divided by s_critical of each network."
            pictures.append(html.picture(png_of(collapse.draw(df)), alt, "Chaos in units of s_critical."))
    if table is not None and not table.empty and onset.problem(table) is None:
        if len(groups(table, group_axes(table)[:-1])) <= onset.MOST_PANELS:
            alt = "Where chaos begins against where the origin loses stability, a point a network."
            pictures.append(html.picture(png_of(onset.draw(table)), alt, "Onset of chaos against loss of stability."))
    return pictures


def _kinds(source: pd.DataFrame, swept: str) -> Html:
    """The kinds of the first bifurcation, and how many networks of each become chaotic where that was looked for."""
    kinds = source["first_bifurcation"].astype(object).fillna("none")
    chaos = source.get(f"{swept}_chaos")
    rows = [
        (str(kind).replace("_", "–").replace("neimark–sacker", "Neimark–Sacker"), f"{n:,}", percent(n / len(source)),
         *([] if chaos is None else [f"{int(chaos[kinds == kind].notna().sum()):,}"]))
        for kind, n in kinds.value_counts().items()
    ]  # fmt: skip
    head = ["first bifurcation", "networks", "share", *([] if chaos is None else ["that become chaotic"])]
    return html.table(head, rows)


def _windows(table: pd.DataFrame, swept: str) -> Html:
    n = len(table)
    chaotic = table[f"{swept}_chaos"].notna()
    before = np.isinf(table[f"{swept}_chaos_tolerance"].to_numpy(float, na_value=np.nan)) & chaotic.to_numpy()
    windows = table.loc[chaotic, "n_windows"]
    told = (
        f"{int(chaotic.sum()):,} of {counted(n, 'network')} become chaotic on the grid; {int(before.sum()):,} of them "
        f"are so at its first value already. {int((windows > 0).sum()):,} have windows of order beyond, "
        f"{int(windows.sum()):,} in all."
    )
    if "n_hysteresis" in table.columns:
        both = table["n_hysteresis"]
        told += f" {int((both > 0).sum()):,} have hysteresis: carried up and down, they are on different attractors."
    return paragraph(told)


def _spread(column: pd.Series) -> tuple[str, ...]:
    """How many networks have it, of how many, and its quantiles over those that do."""
    values = column.to_numpy(dtype=float, na_value=np.nan)
    there = values[np.isfinite(values)]
    ends = np.quantile(there, [0.1, 0.5, 0.9], method="inverted_cdf") if len(there) else []
    return f"{len(there):,}", f"{len(values):,}", *([f"{end:.3g}" for end in ends] or ["–"] * 3)
