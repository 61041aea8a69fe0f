"""By which route does every network go from its fixed point to chaos? Regimes along the swept axis, a row a network.

    python -m analysis.routes RUN [--sort chaos|critical] [--where N=4] [--out FILE]

Nothing is simulated. Where the run has a table of transitions, the onset of chaos is marked.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from analysis import captions, command, style
from analysis.groups import Group, group_axes, groups
from attractor_jax.axes import table_axes, varied_axes
from attractor_jax.regimes import CHAOTIC_REGIMES, REGIMES

MOST_PANELS = 6
ABREAST = 3
SORTS = ("chaos", "critical")
FINE = 400  # columns of an image whose networks have values of their own
MISSING_HATCH = "....."


@style.styled
def draw(df: pd.DataFrame, transitions: pd.DataFrame | None = None, *, sort: str | None = None) -> Figure:
    """The regimes of every network along the last axis: one thin row a network, one panel a group (N and D, say).

    Args:
        df: what `read_run` gives. Empty, the figure says so.
        transitions: what `read_run(..., table="transitions")` gives, of the same networks: where chaos begins. None,
            and that is not marked.
        sort: rows by where chaos begins ("chaos") or by s_critical ("critical"), from the bottom up; networks without
            stand on top, by the other. None: by the onset of chaos where it is known.

    Raises:
        ValueError: another `sort`, or more than six groups.
    """
    if sort not in (None, *SORTS):
        raise ValueError(f"`sort` must be one of {', '.join(SORTS)}, got {sort!r}")
    if df.empty:
        return style.blank("no cells in this table")
    *network_axes, x = table_axes(df)
    networks = _networks(df, transitions, network_axes, x)
    if sort is None:
        sort = "critical" if networks["chaos"].isna().all() and networks["critical"].notna().any() else "chaos"
    keys = ["critical", "chaos", "first_chaotic"] if sort == "critical" else ["chaos", "first_chaotic", "critical"]
    if networks["chaos"].notna().any():
        keys.remove("first_chaotic")  # on the grid alone, and lasting or not
    networks = networks.sort_values([*keys, *network_axes], na_position="last", ignore_index=True)

    axes = group_axes(df, x)
    panels = groups(networks, axes)
    if len(panels) > MOST_PANELS:
        raise ValueError(f"`df` must have at most {MOST_PANELS} groups of {', '.join(axes)}, got {len(panels)}")
    abreast = _abreast(networks, axes, len(panels))
    rows = -(-len(panels) // abreast)
    figure = style.new_figure(1.5 + (2.6 if rows > 1 else 3.4) * rows)
    placed = figure.subplots(rows, abreast, squeeze=False)
    scale = style.Scale.of(df[x])
    image, edges = _image(df, networks, network_axes, x, scale)
    for i, ax in enumerate(placed.flat):
        if i >= len(panels):
            ax.remove()
            continue
        _panel(ax, panels[i], image, edges, scale)
        scale.dress(ax, "x", x, cells=True)
        ax.set_xlim(edges[0], edges[-1])
        lowest = i + abreast >= len(panels)
        ax.tick_params(labelbottom=lowest)
        if not lowest:
            ax.set_xlabel("")
        if i % abreast == 0:
            ax.set_ylabel(f"networks, by {'s_critical' if sort == 'critical' else 'onset of chaos'}", labelpad=2)
    handles = _legend(image, networks, scale, edges)
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), handlelength=1.3, columnspacing=1.1)
    notes = _notes(networks, image, x, scale, edges, transitions)
    captions.caption(figure, df, [x, *varied_axes(df)], notes)
    return figure


def _networks(df: pd.DataFrame, transitions: pd.DataFrame | None, network_axes: list[str], x: str) -> pd.DataFrame:
    """One row a network: its axes, `critical`, `chaos` and `windows` (NaN where not known or not there), and the first
    value at which its cell is chaotic."""
    networks = df.drop_duplicates(network_axes) if network_axes else df.iloc[:1]
    networks = networks[network_axes].reset_index(drop=True)
    for name in ("critical", "chaos", "windows"):
        networks[name] = np.nan
    for table in (df, transitions):
        if table is None:
            continue
        rows = _rows_of(networks, table, network_axes)
        for name, column in (("critical", "s_critical"), ("chaos", f"{x}_chaos"), ("windows", "n_windows")):
            if column in table.columns and (name != "critical" or x == "s"):
                found = table[column].to_numpy(dtype=float, na_value=np.nan)[rows]
                networks[name] = np.where(rows >= 0, found, networks[name])
    chaotic = df[df["regime"].isin(list(CHAOTIC_REGIMES))].sort_values(x)
    rows = _rows_of(networks, chaotic, network_axes)
    networks["first_chaotic"] = np.append(chaotic[x].to_numpy(float), np.nan)[rows]
    return networks


def _rows_of(networks: pd.DataFrame, table: pd.DataFrame, network_axes: list[str]) -> np.ndarray:
    """The first row of each network in a table, -1 where it is not there."""
    if not network_axes:
        return np.full(len(networks), 0 if len(table) else -1)
    first = table[network_axes].assign(row=np.arange(len(table))).drop_duplicates(network_axes)
    return networks[network_axes].merge(first, how="left", on=network_axes)["row"].fillna(-1).to_numpy(int)


def _image(
    df: pd.DataFrame, networks: pd.DataFrame, network_axes: list[str], x: str, scale: style.Scale
) -> tuple[np.ndarray, np.ndarray]:
    """Codes of regimes, (networks, columns), -1 where there is no cell; and the columns' edges.

    Columns are the values of the axis, unless networks have values of their own: then each column has the nearest one.
    """
    if network_axes:
        place = networks[network_axes].assign(row=np.arange(len(networks)))
        row = df[network_axes].merge(place, how="left", on=network_axes)["row"].to_numpy(int)
    else:
        row = np.zeros(len(df), int)
    codes = df["regime"].cat.codes.to_numpy()
    values = df[x].to_numpy()
    if len(scale.values) <= style.FINE or 2 * len(df) > len(networks) * len(scale.values):
        image = np.full((len(networks), len(scale.values)), -1)
        image[row, np.searchsorted(scale.values, values)] = codes
        return image, scale.edges
    scaled = np.log if scale.kind == "log" else np.asarray
    edges = np.linspace(scaled(scale.values[0]), scaled(scale.values[-1]), FINE + 1)
    middle = (edges[:-1] + edges[1:]) / 2
    image = np.empty((len(networks), FINE), int)
    order = np.lexsort((values, row))
    starts = np.searchsorted(row[order], np.arange(len(networks) + 1))
    for i in range(len(networks)):
        mine = order[starts[i] : starts[i + 1]]
        at = scaled(values[mine])
        image[i] = codes[mine][np.searchsorted((at[:-1] + at[1:]) / 2, middle)]
    return image, np.exp(edges) if scale.kind == "log" else edges


def _abreast(networks: pd.DataFrame, axes: list[str], n_panels: int) -> int:
    """Panels in a row: one for each value of the last axis that tells groups apart, where the page has room."""
    if len(axes) > 1 and (n := networks[axes[-1]].nunique()) <= ABREAST and n_panels % n == 0:
        return n
    return min(ABREAST, n_panels)


def _panel(ax: Axes, group: Group, image: np.ndarray, edges: np.ndarray, scale: style.Scale) -> None:
    mine = image[group.rows.index]
    n = len(mine)
    ax.patch.set(facecolor="white", edgecolor=style.FAINT, hatch=MISSING_HATCH)
    colours = ListedColormap([style.REGIME_COLOURS[regime] for regime in REGIMES])
    ax.pcolormesh(edges, np.arange(n + 1), np.ma.masked_less(mine, 0), cmap=colours, vmin=-0.5, vmax=len(REGIMES) - 0.5)
    ax.spines[:].set_visible(True)
    ax.set_ylim(0, n)
    ax.yaxis.set_major_locator(FixedLocator([0.5, n - 0.5] if n > 1 else [0.5]))
    ax.yaxis.set_major_formatter(FixedFormatter(["1", str(n)]))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_title(group.name)
    chaos = group.rows["chaos"].to_numpy()
    if group.rows["windows"].notna().any():
        ax.set_title(f"chaos: {np.isfinite(chaos).sum():,} of {n:,}", loc="right", fontsize=7.5, color="#333333")
    if scale.kind == "even":
        return
    critical = group.rows["critical"].to_numpy()
    at = np.flatnonzero(_within(critical, edges))
    ax.vlines(critical[at], at, at + 1, color="white", linewidth=2.4, zorder=3)
    ax.vlines(critical[at], at, at + 1, color=style.INK, linewidth=1.3, zorder=4)
    at = np.flatnonzero(_within(chaos, edges))
    ax.plot(chaos[at], at + 0.5, **_chaos_mark(n))


def _chaos_mark(n: int) -> dict:
    size = float(np.clip(150 / n, 1.8, 4.5))
    return {
        "marker": "o", "linestyle": "none", "markersize": size, "markerfacecolor": "white",
        "markeredgecolor": style.INK, "markeredgewidth": 0.4, "zorder": 5,
    }  # fmt: skip


def _within(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return (values >= edges[0]) & (values <= edges[-1])


def _legend(image: np.ndarray, networks: pd.DataFrame, scale: style.Scale, edges: np.ndarray) -> list[Patch | Line2D]:
    """Regimes that are there, in their plain colours as in the image, and the marks."""
    handles: list[Patch | Line2D] = []
    for code, regime in enumerate(REGIMES):
        if (image == code).any():
            look = {"facecolor": style.REGIME_COLOURS[regime], "edgecolor": "#555555", "linewidth": 0.4}
            handles.append(Patch(label=style.REGIME_NAMES.get(regime, regime), **look))
    if (image < 0).any():
        handles.append(
            Patch(facecolor="white", edgecolor=style.FAINT, hatch=MISSING_HATCH, linewidth=0.4, label="no cell")
        )
    tick = {"color": style.INK, "marker": "|", "markersize": 8, "markeredgewidth": 1.3, "linestyle": "none"}
    if scale.kind != "even":
        if _within(networks["critical"].to_numpy(), edges).any():
            handles.append(Line2D([], [], **{**tick, "label": "s_critical"}))
        if _within(networks["chaos"].to_numpy(), edges).any():
            handles.append(Line2D([], [], **{**_chaos_mark(1), "label": "chaos begins"}))
    return handles


def _notes(
    networks: pd.DataFrame,
    image: np.ndarray,
    x: str,
    scale: style.Scale,
    edges: np.ndarray,
    transitions: pd.DataFrame | None,
) -> list[str]:
    n = len(networks)
    notes = []
    critical = networks["critical"].to_numpy()
    known = critical[~np.isnan(critical)]
    if len(known) and scale.kind != "even":
        words = []
        for count, place in (
            (int(np.sum(known < edges[0])), "before the axis begins"),
            (int(np.sum((known > edges[-1]) & np.isfinite(known))), "beyond its end"),
            (int(np.sum(np.isinf(known))), "never"),
        ):
            words += [f"{count:,} {place}"] if count else []
        told = f"The origin loses stability at s_critical (black) in {len(known):,} networks"
        notes.append(f"{told}; not drawn: {', '.join(words)}." if words else f"{told}.")
    if not networks["windows"].notna().any():
        why = "there is no table of transitions" if transitions is None else "the table of transitions has none of them"
        notes.append(f"The onset of chaos is not marked: {why}.")
    else:
        runs = transitions.attrs.get("runs", ()) if transitions is not None else ()
        settings = next((run["transitions"] for run in runs if run.get("transitions")), None)
        lasting = f" that holds on {settings['consecutive']} values of {x} in turn" if settings else ""
        chaotic = networks["chaos"].notna()
        windows = networks.loc[chaotic, "windows"]
        broken = int((windows > 0).sum())
        order = f"; beyond its onset {broken:,} of them have windows of order, {int(windows.sum()):,} in all"
        notes.append(
            f"{chaotic.sum():,} of {n:,} networks reach chaos{lasting}"
            f"{' (circles)' if chaotic.any() else ''}{order if broken else ''}."
        )
    missing = int((image < 0).sum())
    if missing:
        notes.append(f"{missing:,} of {image.size:,} cells are not in the table.")
    return notes


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.routes", "Draw the regimes of every network along the swept axis.", free_x=False
    )
    parser.add_argument(
        "--sort", choices=SORTS, help="rows by the onset of chaos or by s_critical (default: chaos, where it is known)"
    )

    def make(df: pd.DataFrame, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        axes = group_axes(df, table_axes(df)[-1])
        if (n := len(groups(df, axes))) > MOST_PANELS:
            must = f"leave at most {MOST_PANELS} groups of {', '.join(axes)}, one a panel"
            raise command.ArgumentProblem(f"`--where` must {must}, got {n}")
        transitions = command.further_table(arguments.run, "transitions")
        return draw(df, transitions, sort=arguments.sort), [] if arguments.sort is None else [arguments.sort]

    return command.figure_command(parser, argv, "routes", make)


if __name__ == "__main__":
    raise SystemExit(main())
