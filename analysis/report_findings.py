"""What of a report was found in the cells: phase diagrams, shares of regimes, and exponents."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import combinations
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import html, lyapunov_curves, phase_diagram, style
from analysis.cells import with_error
from analysis.groups import DRAWN
from analysis.html import Html, element, joined, paragraph
from analysis.report_run import Run
from attractor_jax.axes import table_axes, varied_axes
from attractor_jax.phase import LEVEL, binned, phase_quantiles, phase_table, regime_shares
from attractor_jax.regimes import CHAOTIC_REGIMES, REGIMES
from sweeps.telling import counted

MOST_ROWS = 12  # of a table along an axis
MOST_DIAGRAMS = 3  # planes of two axes
FEW = 40  # cells that are listed one by one
TOO_FEW = 8  # cells that make no diagram

NO_CELLS = "There is no cell in the table."
WHOLE = "all cells"  # an axis on which they lie in one place
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


def png_of(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    content = io.BytesIO()
    with matplotlib.rc_context(style.RC):
        figure.savefig(content, format="png", dpi=style.DPI)
    return content.getvalue()


def shares_of_all(df: pd.DataFrame) -> pd.DataFrame:
    """The share of each regime among all cells, with its interval over seeds: a row a regime."""
    return regime_shares(df.assign(**{WHOLE: 0}), WHOLE)


def in_rows(df: pd.DataFrame, x: str) -> pd.DataFrame:
    """The table with an axis that has no grid gathered into as many values as a table has room for."""
    fine = df[x].dtype.kind == "f" and df[x].nunique() > style.FINE
    return binned(df, x, MOST_ROWS) if fine else df


def thinned(values: np.ndarray) -> np.ndarray:
    """Some of the values of an axis, evenly, as many as a table has room for."""
    at = np.unique(np.round(np.linspace(0, len(values) - 1, min(len(values), MOST_ROWS))).astype(int))
    return values[at]


def phase_diagrams(run: Run) -> Html:
    df = run.cells
    if df.empty:
        return paragraph(NO_CELLS)
    if len(df) < TOO_FEW:
        cells = counted(len(df), "cell")
        return paragraph(f"{cells} are too few for a diagram." if len(df) > 1 else "One cell makes no diagram.")
    x, y = phase_diagram.default_axes(df, None, None)
    cells = counted(len(df), "cell")
    if y is None:
        alt = f"Shares of the regimes along {x} for {cells}, one on the other, and the median largest exponent beneath."
        return html.picture(png_of(phase_diagram.draw(df, x)), alt, f"Regimes and largest exponent along {x}.")
    axes = [x, y, *(axis for axis in varied_axes(df) if axis not in (x, y, *DRAWN))]
    planes = [(x, y, "chaotic"), *((one, other, "chaotic") for one, other in combinations(axes, 2) if one != x)]
    planes[1:1] = [(x, other, "chaotic") for other in axes[2:]]
    shown = [*planes[:MOST_DIAGRAMS], (x, y, "lambda_1")]
    if run.has_spectra and df["kaplan_yorke_dimension"].notna().any():
        shown.append((x, y, "kaplan_yorke"))
    named = {"chaotic": "Share of chaos", "lambda_1": "Median largest exponent", "kaplan_yorke": "Median dimension"}
    left = f"{len(planes) - MOST_DIAGRAMS} further planes are left out: " if len(planes) > MOST_DIAGRAMS else ""
    return joined(
        *(
            html.picture(
                png_of(phase_diagram.draw(df, across, up, value)),
                f"Heat map: {named[value].lower()} over {across} and {up}, {cells}.",
                f"{named[value]} over {across} and {up}.",
            )
            for across, up, value in shown
        ),
        *(
            [paragraph(left, element("code", "python -m analysis.phase_diagram RUN --x ... --y ..."), ".")]
            if left
            else []
        ),
    )


def regimes(run: Run) -> Html:
    df = run.cells
    if df.empty:
        return paragraph(NO_CELLS)
    overall = shares_of_all(df)
    count = df["regime"].value_counts()
    rows = [
        (named(row["regime"]), f"{count[row['regime']]:,}", percent(row["value"]), interval(row))
        for _, row in overall.iterrows()
    ]
    among = "Wilson's" if overall["n_seeds"].iloc[0] == 1 else "bootstrapped by seed, Wilson's where all seeds agree"
    pieces = [
        regime_bar(overall),
        html.table(["regime", "cells", "share", f"{100 * LEVEL:g} % interval"], rows),
        paragraph(f"Intervals are {among}.", class_="soft"),
    ]
    x, _ = phase_diagram.default_axes(df, None, None)
    if len(df) > FEW and df[x].nunique() > 1:
        pieces.append(_shares_along(df, x))
    if len(df) <= FEW:
        pieces.append(_one_by_one(df))
    return joined(*pieces)


def regime_bar(overall: pd.DataFrame) -> Html:
    """The shares as one bar, chaos at its left as at the bottom of a phase diagram, and what its colours mean."""
    share = overall.set_index("regime")["value"]
    present = [regime for regime in phase_diagram.STACK if share[regime] > 0]
    told = ", ".join(f"{named(regime)} {percent(share[regime])}" for regime in present)
    colours = {regime: f"background: {style.REGIME_COLOURS[regime]}" for regime in present}
    bar = (element("span", style=f"width: {100 * share[regime]:.4f}%; {colours[regime]}") for regime in present)
    key = (
        joined(element("i", style=colours[regime]), f"{named(regime)} {percent(share[regime])}") for regime in present
    )
    return joined(
        element("div", *bar, class_="bar", role="img", aria_label=f"Shares of the regimes: {told}"),
        html.items(key, class_="key"),
    )


def exponents(run: Run) -> Html:
    df = run.cells
    if df.empty:
        return paragraph(NO_CELLS)
    if df["lambda_1"].isna().all():
        return paragraph("No cell has an exponent: all of them failed.")
    x, _ = phase_diagram.default_axes(df, None, None)
    tables = [_quantiles(df, x, "lambda_1", "lambda_1, nats per step", signed)]
    if run.has_spectra and df["kaplan_yorke_dimension"].notna().any():
        tables.append(_quantiles(df, x, "kaplan_yorke", "Kaplan–Yorke dimension", _dimension))
    known = df["lambda_1"].notna()
    error = float(df.loc[known, "lambda_1_se"].median())
    left_out = "" if known.all() else f"; {counted(int((~known).sum()), 'cell')} without an exponent are left out"
    residual = df["sum_rule_residual"].dropna()
    rule = (
        f" The sum of all exponents agrees with the mean of ln|det J| to {residual.max():.1e} in the worst of "
        f"{counted(len(residual), 'cell')}, {residual.median():.1e} in the median."
        if len(residual)
        else " With k < D exponents there is no sum rule to check them by."
    )
    pieces = [
        *tables,
        paragraph(
            f"Quantiles are values of cells{left_out}. The median standard error of lambda_1 is {error:.1e} nats per "
            f"step.{rule}"
        ),
    ]
    if len(df) > 1 and lyapunov_curves.default_seeds(df):
        alt = f"Exponents of single networks along {x}, and the median and quantiles of the largest over all cells."
        pieces.append(html.picture(png_of(lyapunov_curves.draw(df)), alt, f"Exponents along {x}."))
    return joined(*pieces)


def _shares_along(df: pd.DataFrame, x: str) -> Html:
    df = in_rows(df, x)
    shares = regime_shares(df, x)
    present = [regime for regime in REGIMES if (df["regime"] == regime).any()]
    chaos = phase_table(df, x).set_index(x)
    by = shares.pivot(index=x, columns="regime", values="value")
    values = thinned(by.index.to_numpy())
    rows = [
        (
            style.number(value),
            f"{chaos.loc[value, 'n_cells']:,}",
            *(percent(by.loc[value, regime]) for regime in present),
            f"{percent(chaos.loc[value, 'value'])} [{interval(chaos.loc[value])}]",
        )
        for value in values
    ]
    head = [x, "cells", *map(named, present), f"chaotic or hyperchaotic [{100 * LEVEL:g}\u00a0%]"]
    some = f", {len(values)} of its {len(by)} values" if len(values) < len(by) else ""
    return html.table(head, rows, caption=f"Shares along {x}{some}")


def _one_by_one(df: pd.DataFrame) -> Html:
    axes = table_axes(df)
    rows = []
    for _, row in df.iterrows():
        values = (style.number(row[axis]) for axis in axes)
        exponent = with_error(float(row["lambda_1"]), float(row["lambda_1_se"])) if pd.notna(row["lambda_1"]) else "–"
        period = f"{row['period']:,}" if pd.notna(row["period"]) and row["period"] > 0 else "–"
        dimension = row["kaplan_yorke_dimension"]
        known = f"{dimension:.2f}" if pd.notna(dimension) else "–"
        rows.append((named(row["regime"]), f"{row['cell_id']}", *values, exponent.replace("-", "−"), known, period))
    head = ["regime", "cell_id", *axes, "lambda_1", "dimension", "period"]
    return html.table(head, rows, caption="Cell by cell; lambda_1 in nats per step, with its standard error")


def _quantiles(df: pd.DataFrame, x: str, value: str, caption: str, told: Callable[[float], str]) -> Html:
    """Quantiles over all cells, and along an axis where there are many."""
    head = ["quantile", *("median" if quantile == 0.5 else f"{100 * quantile:g} %" for quantile in QUANTILES)]
    overall = phase_quantiles(df.assign(**{WHOLE: 0}), WHOLE, value, quantiles=QUANTILES)
    rows = [(WHOLE, *overall.iloc[0].map(told))]
    if len(df) > FEW and df[x].nunique() > 1:
        along = phase_quantiles(in_rows(df, x), x, value, quantiles=QUANTILES)
        rows += [(f"{x} = {style.number(at)}", *along.loc[at].map(told)) for at in thinned(along.index.to_numpy())]
    return html.table(head, rows, caption=caption)


def named(regime: str) -> str:
    return style.REGIME_NAMES.get(regime, regime)


def percent(share: Any) -> str:
    return "–" if np.isnan(share) else f"{100 * share:.1f} %"


def interval(row: Any) -> str:
    """The interval of a share."""
    return "–" if np.isnan(row["low"]) else f"{100 * row['low']:.1f} to {100 * row['high']:.1f} %"


def signed(value: float) -> str:
    """An exponent, to four digits behind the point."""
    if np.isinf(value):
        return "−∞" if value < 0 else "∞"
    if np.isnan(value):
        return "–"
    text = f"{value:+.4f}".replace("-", "−")
    return text if text.strip("+−0.") else "0.0000"


def _dimension(value: float) -> str:
    return "beyond k" if np.isposinf(value) else "–" if np.isnan(value) else f"{value:.2f}"


def share_of_chaos(df: pd.DataFrame) -> float:
    return float(df["regime"].isin(list(CHAOTIC_REGIMES)).mean())
