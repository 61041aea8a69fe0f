"""How do the exponents move along an axis? Spectra of single networks, and quantiles of the largest exponent over all.

    python -m analysis.lyapunov_curves RUN [--x s] [--seed 0 --seed 7] [--where N=4] [--out FILE]

Nothing is simulated.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from analysis import captions, command, style
from analysis.phase_diagram import default_axes
from attractor_jax.axes import cluster_column, table_axes
from attractor_jax.phase import LEVEL, RESAMPLES, binned, phase_quantiles, phase_table
from attractor_jax.regimes import REGIMES

PANELS = 4
MOST_PANELS = 8


def default_seeds(df: pd.DataFrame, count: int = PANELS) -> list[int]:
    """The first few seeds (or replicates) of a table; none where it has no such column."""
    column = cluster_column(df)
    return [] if column is None else [int(seed) for seed in np.sort(df[column].unique())[:count]]


@style.styled
def draw(
    df: pd.DataFrame,
    x: str | None = None,
    seeds: Sequence[int] | None = None,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> Figure:
    """All exponents of single networks along an axis, one panel a seed, and below them the largest exponent over all
    cells.

    Args:
        df: what `read_run` gives. Empty, the figure says so.
        x: the axis; s if it varies, else the axis with most values.
        seeds: up to 8 seeds (replicates, where the system draws nothing) to show singly; the first four if None. Of
            the other axes that vary, a panel shows the largest value, of replicates the first; its title names them.
        level: of the intervals.
        resamples: of the seeds. Fewer than about 200 make ragged intervals.

    Raises:
        ValueError: an unknown axis, a seed that is not in the table, too many seeds.
    """
    if df.empty:
        return style.blank("no cells in this table")
    x = default_axes(df, x, None)[0]
    if x not in table_axes(df):
        raise ValueError(f"`x` must be one of the table's axes, {', '.join(table_axes(df))}, got {x!r}")
    cluster = cluster_column(df)
    seeds = default_seeds(df) if seeds is None else list(seeds)
    if len(seeds) > MOST_PANELS:
        raise ValueError(f"`seeds` must be at most {MOST_PANELS}, got {len(seeds)}")
    unknown = [seed for seed in seeds if cluster is None or not (df[cluster] == seed).any()]
    if unknown:
        raise ValueError(f"`seeds` must be in the table, got {unknown[0]}")

    orbits = [_one_orbit(df, x, cluster, seed) for seed in seeds if cluster != x] or [_one_orbit(df, x, None, None)]
    columns = min(2, len(orbits))
    rows = -(-len(orbits) // columns)
    figure = style.new_figure(3.9 + 1.75 * rows)
    grid = figure.add_gridspec(rows + 2, columns, height_ratios=[1.0] * rows + [1.15, 0.8])
    scale = style.Scale.of(df[x])
    floor, roof = _limits(orbits)
    panels: list[Axes] = []
    for i, (name, orbit) in enumerate(orbits):
        ax = figure.add_subplot(grid[divmod(i, columns)])
        panels.append(ax)
        _spectrum(ax, orbit, x, scale, floor)
        scale.dress(ax, "x", x, cells=True)
        ax.set_ylim(floor, roof)
        ax.set_title(name, fontsize=8.5, pad=9)
        lowest = i + columns >= len(orbits)
        ax.tick_params(labelbottom=lowest, labelleft=i % columns == 0)
        ax.set_xlabel("")
        if i % columns == 0:
            ax.set_ylabel(style.LAMBDA_I)
    _legend_of_spectra(figure, [orbit for _, orbit in orbits], x, floor)

    notes = []
    if df[x].dtype.kind == "f" and len(scale.values) > style.FINE:
        notes.append(f"Two lower panels: {len(scale.values):,} values of {x} gathered into bins.")
        df = binned(df, x)
        scale = style.Scale.of(df[x])
    middle = figure.add_subplot(grid[rows, :])
    bottom = figure.add_subplot(grid[rows + 1, :], sharex=middle)
    _quantiles(middle, df, x, scale, level, resamples)
    _share_of_chaos(bottom, df, x, scale, level, resamples)
    scale.dress(bottom, "x", x, cells=True)
    middle.tick_params(labelbottom=False)
    table = phase_table(df, x, value="lambda_1", level=level, resamples=resamples)
    captions.caption(figure, df, [x], [captions.intervals_note(df, table, level), *notes])
    return figure


def _one_orbit(df: pd.DataFrame, x: str, cluster: str | None, seed: int | None) -> tuple[str, pd.DataFrame]:
    """The title and the cells of one panel: one cell at each value of x."""
    words = []
    if cluster is not None:
        df = df[df[cluster] == seed]
        words.append(f"{cluster} {seed}")
    for axis in table_axes(df):
        if axis in (x, cluster) or df[axis].nunique() == 1:
            continue
        held = sorted(df[axis].unique())  # words among them
        chosen = held[0] if axis in ("seed", "replicate") else held[-1]
        df = df[df[axis] == chosen]
        words.append(f"{axis} = {style.number(chosen)}")
    return ", ".join(words), df.sort_values(x)


def _spectra(orbit: pd.DataFrame) -> np.ndarray:
    """The exponents of some cells, descending, as (cells, longest k); NaN where a spectrum is shorter or missing."""
    rows = [-np.sort(-np.asarray(row, float)) if np.ndim(row) == 1 else np.empty(0) for row in orbit["exponents"]]
    spectra = np.full((len(rows), max([1, *map(len, rows)])), np.nan)
    for i, row in enumerate(rows):
        spectra[i, : len(row)] = row
    return spectra


def _limits(orbits: Sequence[tuple[str, pd.DataFrame]]) -> tuple[float, float]:
    """Common limits of all panels. The deepest 2 % of the exponents do not set them: they are marked at the floor
    instead."""
    values = np.concatenate([_spectra(orbit).ravel() for _, orbit in orbits])
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return -1.0, 1.0
    low, high = float(np.quantile(values, 0.02)), float(max(values.max(), 0.0))
    room = 0.06 * max(high - low, 1e-3)
    return min(low, 0.0) - room, high + room


def _spectrum(ax: Axes, orbit: pd.DataFrame, x: str, scale: style.Scale, floor: float) -> None:
    """All exponents of one network against x, its regimes as a strip above, its failures at the floor."""
    at = scale.place(orbit[x].to_numpy())
    spectra = _spectra(orbit)
    k = spectra.shape[1]
    marker = "." if scale.kind == "even" or len(at) < 6 else ""
    ax.axhline(0, color="#666666", linewidth=0.8, zorder=1)
    for i in range(k - 1, -1, -1):
        shown = np.where(np.isfinite(spectra[:, i]), spectra[:, i], np.nan)
        ax.plot(
            at,
            shown,
            color=_shade(i, k),
            linewidth=1.5 if i == 0 else 0.8,
            marker=marker,
            markersize=4,
            zorder=4 if i == 0 else 2,
        )
    below, failed = _below(orbit, floor), _failed(orbit)
    for here, mark in ((below, "v"), (failed, "x")):
        style.mark_at_floor(ax, at[here], mark)
    # Values of a spread axis are a network's own, and the strip follows them; those of a grid keep their gaps.
    own = style.Scale(np.unique(orbit[x]), scale.kind) if len(scale.values) > style.FINE else scale
    index = np.searchsorted(own.values, orbit[x].to_numpy())
    borders = np.clip(own.edges, *scale.edges[[0, -1]])
    for left, right, regime in zip(borders[index], borders[index + 1], orbit["regime"].astype(str), strict=True):
        strip = Rectangle((left, 1.02), right - left, 0.05, **style.regime_look(regime))
        strip.set(transform=ax.get_xaxis_transform(), clip_on=False, linewidth=0)
        ax.add_patch(strip)
    critical = orbit["s_critical"].to_numpy(dtype=float, na_value=np.nan) if "s_critical" in orbit.columns else []
    low, high = scale.edges[[0, -1]]
    if x == "s" and scale.kind != "even" and len(critical) and low <= critical[0] <= high:
        ax.axvline(critical[0], color=style.INK, linewidth=0.9, linestyle=(0, (4, 2)), zorder=3)


def _shade(i: int, k: int) -> str:
    """Ink for the largest exponent, ever paler greens for the others."""
    return style.INK if i == 0 else to_hex(style.SPECTRUM(0.0 if k <= 2 else (i - 1) / (k - 2)))


def _below(orbit: pd.DataFrame, floor: float) -> np.ndarray:
    """Cells with an exponent beneath the panel's floor, -inf included."""
    return np.any(_spectra(orbit) < floor, axis=1)


def _failed(orbit: pd.DataFrame) -> np.ndarray:
    """Cells without a largest exponent."""
    return orbit["lambda_1"].isna().to_numpy(bool)


def _legend_of_spectra(figure: Figure, orbits: Sequence[pd.DataFrame], x: str, floor: float) -> None:
    together = pd.concat(orbits)
    k = _spectra(together).shape[1]
    handles: list[Line2D | Patch] = [Line2D([], [], color=style.INK, linewidth=1.5, label=r"$\lambda_1$")]
    if k > 1:
        handles.append(Line2D([], [], color=_shade(1, k), linewidth=1.0, label=r"$\lambda_2$"))
    if k > 2:
        handles.append(Line2D([], [], color=_shade(k - 1, k), linewidth=1.0, label=rf"… $\lambda_{{{k}}}$"))
    if x == "s" and "s_critical" in together.columns and together["s_critical"].notna().any():
        handles.append(Line2D([], [], color=style.INK, linewidth=0.9, linestyle=(0, (4, 2)), label="s_critical"))
    if _below(together, floor).any():
        handles.append(
            Line2D([], [], color=style.INK, marker="v", markersize=3.5, linestyle="none", label="beyond the axis")
        )
    if _failed(together).any():
        handles.append(Line2D([], [], color=style.INK, marker="x", markersize=3.5, linestyle="none", label="failed"))
    for regime in (regime for regime in REGIMES if (together["regime"] == regime).any()):
        handles.append(style.regime_patch(regime))
    figure.legend(handles=handles, loc="outside upper left", ncols=6, handlelength=1.6, columnspacing=1.4)


def _quantiles(ax: Axes, df: pd.DataFrame, x: str, scale: style.Scale, level: float, resamples: int) -> None:
    """Median of the largest exponent with its interval, and two bands of how the cells spread."""
    table = phase_table(df, x, value="lambda_1", level=level, resamples=resamples)
    spread = phase_quantiles(df, x, quantiles=(0.1, 0.25, 0.75, 0.9))
    style.median_panel(
        ax,
        scale,
        table,
        bands=[(spread[0.1], spread[0.9], "10–90 % of cells"), (spread[0.25], spread[0.75], "25–75 %")],
    )
    ax.set_ylabel(style.LAMBDA_1)


def _share_of_chaos(ax: Axes, df: pd.DataFrame, x: str, scale: style.Scale, level: float, resamples: int) -> None:
    """Share of the cells whose largest exponent is positive beyond its tolerance, with its interval."""
    table = phase_table(df, x, value="chaotic", level=level, resamples=resamples)
    at = scale.positions
    value, low, high = (table[name].to_numpy() for name in ("value", "low", "high"))
    colour = style.REGIME_COLOURS["chaotic"]
    among = (table["n_seeds"] > 1).to_numpy()
    ax.vlines(at[among], low[among], high[among], color=colour, linewidth=0.9)
    ax.plot(at, value, "o", linestyle="none" if scale.kind == "even" else "-", color=colour, markersize=2.6)
    nothing = np.isnan(value)
    handles = [
        Line2D(
            [],
            [],
            color=colour,
            marker="o",
            markersize=3,
            linewidth=0.9,
            label="share,\nwith interval" if among.any() else "share",
        )
    ]
    if nothing.any():
        style.mark_at_floor(ax, at[nothing], "x")
        handles.append(
            Line2D([], [], color=style.INK, marker="x", linestyle="none", markersize=4, label="no cell resolved")
        )
    ax.set_ylim(0, max(0.1, 1.05 * float(np.max(np.where(among, high, value)[~nothing], initial=0.0))))
    ax.set_ylabel("share with\n" + r"$\lambda_1 > 0$")
    style.legend_outside(ax, handles)


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.lyapunov_curves",
        "Draw Lyapunov exponents along an axis: single networks, and quantiles over all.",
    )
    parser.add_argument(
        "--seed", metavar="SEED", type=int, action="append",
        help=f"network (or replicate, where none is drawn) to show singly, up to {MOST_PANELS} (default: {PANELS})",
    )  # fmt: skip

    def make(df: pd.DataFrame, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        command.check_axis(df, "--x", arguments.x)
        seeds = None if arguments.seed is None else list(dict.fromkeys(arguments.seed))
        if seeds is not None:
            _check_seeds(df, seeds)
        x = default_axes(df, arguments.x, None)[0]
        words = [x] if x != default_axes(df, None, None)[0] else []
        if seeds is not None:
            words.append("seed" + "-".join(map(str, seeds)))
        return draw(df, x, seeds), words

    return command.figure_command(parser, argv, "lyapunov_curves", make)


def _check_seeds(df: pd.DataFrame, seeds: Sequence[int]) -> None:
    if len(seeds) > MOST_PANELS:
        raise command.ArgumentProblem(f"`--seed` must be given at most {MOST_PANELS} times, got {len(seeds)}")
    column = cluster_column(df)
    if column is None:
        raise command.ArgumentProblem("`--seed` must be left out: this run has neither seeds nor replicates")
    held = set(df[column].unique().tolist())
    for seed in seeds:
        if seed not in held:
            raise command.ArgumentProblem(
                f"`--seed` must be a {column} of this run ({min(held)} to {max(held)}), got {seed}"
            )


if __name__ == "__main__":
    raise SystemExit(main())
