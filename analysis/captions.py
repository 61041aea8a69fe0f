"""What stands under a figure: what was held fixed, pooled, measured, and what failed."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.style import WIDTH, number
from attractor_jax.axes import cluster_column, table_axes


def caption(figure: Figure, df: pd.DataFrame, shown: list[str], notes: list[str], *, orbits: bool = True) -> None:
    """The lines under a figure: what was held fixed, what was pooled, how many cells, how long, what failed; then
    `notes`.

    Args:
        orbits: the figure shows what was measured along the orbits of the cells: for how long is of interest.
    """
    lines = [_cells_line(df, shown), *([_measurement_line(df)] if orbits else []), *notes]
    letters = int(118 * figure.get_figwidth() / WIDTH)
    wrapped = [line for text in lines if text for line in textwrap.wrap(text, letters, break_long_words=False)]
    figure.supxlabel("\n".join(wrapped), x=0.01, ha="left", fontsize=7.5, color="#333333", linespacing=1.35)


def _cells_line(df: pd.DataFrame, shown: list[str]) -> str:
    fixed, pooled = [], []
    resampled = cluster_column(df)
    for axis in table_axes(df):
        values = np.sort(df[axis].unique())
        if axis in shown or (axis == resampled and len(values) > 1):
            continue
        if len(values) == 1:
            fixed.append(f"{axis} = {number(values[0])}")
        else:
            few = ", ".join(number(value) for value in values)
            many = f"{len(values)} values of {axis} from {number(values[0])} to {number(values[-1])}"
            pooled.append(f"{axis} = {few}" if len(values) <= 8 and values.dtype.kind != "f" else many)
    row = "cell" if "dtype" in df.columns else "network"
    counted = f"{len(df):,} {row if len(df) == 1 else row + 's'}"
    if resampled is not None and (n := df[resampled].nunique()) > 1:
        low, high = df[resampled].min(), df[resampled].max()
        counted += f", {n:,} {resampled}s ({low}–{high})"
    systems = f"System {', '.join(map(str, df['system'].unique()))}" if "system" in df.columns else ""
    parts = [systems, ", ".join(fixed), counted, f"Pooled over {'; '.join(pooled)}" if pooled else ""]
    for run in df.attrs.get("runs", ()):
        if (here := len(run.get("provenance", ()))) < run.get("parts", 0):
            parts.append(f"The run is not complete: {here} of {run['parts']} parts")
    return ". ".join(part for part in parts if part) + "."


def _measurement_line(df: pd.DataFrame) -> str:
    if "steps" not in df.columns:  # a table of networks: what was planned for their cells
        planned = [{**run["measure"], "dtype": run["dtype"]} for run in df.attrs.get("runs", ()) if "measure" in run]
        return " ".join(
            dict.fromkeys(
                f"{run['steps']:,} steps measured after {run['transient']:,}"
                + (f", up to {most:,} where that was not enough" if (most := run.get("max_steps")) else "")
                + f", {run['dtype']}."
                for run in planned
            )
        )
    dtypes = ", ".join(map(str, df["dtype"].unique()))
    line = f"{_span(df['steps'])} steps measured after {_span(df['transient'])}, {dtypes}."
    failed = df["status"][~df["status"].isin(["ok", "superstable"])].astype(str)
    if len(failed):
        kinds = ", ".join(f"{count:,} {status}" for status, count in failed.value_counts().items())
        line += f" Not resolved: {kinds} ({100 * len(failed) / len(df):.3g} % of cells)."
    flagged = int(df["spectrum_flagged"].sum()) if "spectrum_flagged" in df.columns else 0
    if flagged:
        line += f" {flagged:,} spectra with untrustworthy last exponents."
    return line


def intervals_note(df: pd.DataFrame, table: pd.DataFrame, level: float) -> str:
    """What the caption says of the intervals in a `phase_table`."""
    among = cluster_column(df) or "cell"
    if (table["n_seeds"] == 1).all():
        return f"No intervals: one {among} at each point."
    return f"Intervals: {100 * level:g} %, bootstrapped over {among}s; Wilson's where all agree."


def censored_note(table: pd.DataFrame) -> str:
    """What the caption says of the censored cells in a `phase_table` of dimensions."""
    censored = int(table["n_censored"].sum())
    return (
        f"{censored:,} cells have a dimension beyond their exponents: the median ranks them on top." if censored else ""
    )


def _span(column: pd.Series) -> str:
    low, high = int(column.min()), int(column.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
