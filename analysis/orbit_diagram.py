"""Where does the orbit of one network go as its parameter is moved? The orbit (bifurcation) diagram: density of the
output y, largest exponent and regimes along an axis, up and down.

    python -m analysis.orbit_diagram [--system uniform] [--seed 70] [--N 4] [--D 16] [--low 0.2] [--high 4] [--out FILE]

It simulates, in about 15 seconds: this is a figure of a single network, and of no run.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from analysis import captions, command, style
from analysis.orbit_request import Asked, of_options, parser, read
from attractor_jax.config import EVERYTHING, ConfigError
from attractor_jax.defaults import ZERO_FLOOR
from attractor_jax.regimes import REGIMES

if TYPE_CHECKING:  # a slip on the command line does not wait for jax
    from attractor_jax.branches import OrbitDensity

# What one way visits alone is green or magenta; printed over each other they make ink. Apart in lightness, and for all
# kinds of colour-blindness.
UP_COLOUR, DOWN_COLOUR = "#00a077", "#b8147a"
INK_OF_FIXED = "#0b1230"
MARKED = "#ececec"

# Share of a column's steps in one bin, from white to full colour; the faintest that is seen at all is PALEST.
SHARES = (1e-4, 5e-2)
PALEST = 0.08

# A bin with at least this share is a point of a cycle; how deep the rim around it is printed.
POINT, RIM = 0.015, 0.4

MOST_TOLD = 4  # intervals in the caption
NUMBERED = 0.028  # share of the axis that a cycle must hold before its period is written into the strip


@style.styled
def draw(
    orbits: OrbitDensity,
    *,
    label: str | None = None,
    notes: Sequence[str] = (),
) -> Figure:
    """Density of y against the axis, lambda_1 under it, and the regimes as strips at the foot.

    Args:
        orbits: what `orbit_density` gives.
        label: of the axis.
        notes: lines of the caption, after what was held fixed, measured, and where the two ways disagree.
    """
    axis = orbits.axis
    tables = {way: orbits.table(way) for way in orbits.branches}
    figure = style.new_figure(6.3 if len(tables) > 1 else 6.0)
    rows = GridSpec(4, 1, figure, height_ratios=[0.85, 3.3, 1.05, 0.17 * len(tables)])
    density = figure.add_subplot(rows[1])
    exponent = figure.add_subplot(rows[2], sharex=density)
    strip = figure.add_subplot(rows[3], sharex=density)
    half = np.diff(orbits.values[[0, -1]])[0] / (len(orbits.values) - 1) / 2
    density.set_xlim(orbits.values[0] - half, orbits.values[-1] + half)

    differ, mirror = orbits.hysteresis(), orbits.mirrored()
    _image(density, orbits, differ)
    _exponents(exponent, orbits.values, tables, differ)
    _strips(strip, orbits.values, tables)
    marks = _marks(density, exponent, orbits.values, differ, mirror)
    together = pd.concat(list(tables.values()), ignore_index=True)
    together["system"] = orbits.system
    together.attrs["axes"] = list(orbits.axes)
    marks += _critical(density, exponent, axis, tables)
    _ramps(figure.add_subplot(rows[0].subgridspec(1, 2, width_ratios=[1.0, 2.4])[0]), list(tables))
    _legend(figure, together, marks)

    density.set_ylabel("output y")
    exponent.set_ylabel(style.LAMBDA_1)
    strip.set_xlabel(label or style.axis_label(axis))
    density.tick_params(labelbottom=False)
    exponent.tick_params(labelbottom=False)
    figure.align_ylabels([density, exponent])
    captions.caption(figure, together, [axis], [_values_note(orbits, together), *notes, _ways_note(orbits, axis)])
    return figure


def _colours(ways: Sequence[str]) -> dict[str, np.ndarray]:
    one = {"up": UP_COLOUR, "down": DOWN_COLOUR, "fixed": INK_OF_FIXED}
    return {way: np.array(to_rgb(one[way])) for way in ways}


def _depth(shares: np.ndarray) -> np.ndarray:
    """How deep a share of the steps is printed, 0 to 1, on a logarithmic scale."""
    norm = LogNorm(*SHARES, clip=True)
    return np.where(shares > 0, PALEST + (1 - PALEST) * np.asarray(norm(np.maximum(shares, SHARES[0]))), 0.0)


def _wide_enough(shares: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """Depths (values, bins) with a paler rim around the points of a cycle, whose lines would else be as thin as a bin:
    legible on a screen, and lost in print.
    """
    rim = np.pad(np.where(shares > POINT, RIM * depths, 0.0), ((0, 0), (1, 1)))
    return np.maximum(depths, np.maximum(rim[:, :-2], rim[:, 2:]))


def _printed(depths: Mapping[str, np.ndarray], paper: np.ndarray) -> np.ndarray:
    """Inks of these depths over each other on a paper (..., 3), each taking its share of the light that is left."""
    light = paper
    for way, colour in _colours(list(depths)).items():
        light = light * (1 - depths[way][..., None] * (1 - colour))
    return light


def _image(ax: Axes, orbits: OrbitDensity, differ: np.ndarray) -> None:
    depths = {}
    for way, branch in orbits.branches.items():
        shares = branch.counts / np.maximum(branch.counts.sum(axis=1, keepdims=True), 1)
        depths[way] = _wide_enough(shares, _depth(shares)).T
    shape = next(iter(depths.values())).shape
    paper = np.where(differ[None, :, None], np.array(to_rgb(MARKED)), 1.0) * np.ones((*shape, 1))
    bottom, top = float(orbits.edges[0]), float(orbits.edges[-1])
    ax.imshow(
        _printed(depths, paper),
        extent=(*ax.get_xlim(), bottom, top),
        origin="lower",
        aspect="auto",
        interpolation="antialiased",
        zorder=0,
    )
    seen = np.flatnonzero(np.any([branch.counts.any(axis=0) for branch in orbits.branches.values()], axis=0))
    if len(seen):
        bottom, top = float(orbits.edges[seen[0]]), float(orbits.edges[seen[-1] + 1])
    room = 0.02 * (top - bottom)
    ax.set_ylim(bottom - room, top + room)


def _exponents(ax: Axes, values: np.ndarray, tables: Mapping[str, pd.DataFrame], differ: np.ndarray) -> None:
    """lambda_1 of each way, in ink where they agree. Superstable cycles reach down to minus infinity: the panel does
    not.
    """
    found = {way: table["lambda_1"].to_numpy(float) for way, table in tables.items()}
    every = np.concatenate(list(found.values()))
    every = every[np.isfinite(every)]
    roof = max(float(every.max(initial=0.0)), 0.05)
    floor = min(max(float(np.quantile(every, 0.02)) if len(every) else -1.0, -1.6 * roof), -0.25 * roof)
    room = 0.08 * (roof - floor)
    ax.set_ylim(floor - room, roof + room)
    ax.axhline(0, color="#666666", linewidth=0.8, zorder=1)
    colours = _colours(list(tables))
    agree = ~(differ | np.r_[differ[1:], False] | np.r_[False, differ[:-1]]) | (len(tables) == 1)
    for way, exponents in reversed(found.items()):
        shown = np.maximum(exponents, floor - 2 * room)  # minus infinity is no place for a line
        if len(tables) > 1:
            ax.plot(values, shown, color=colours[way], linewidth=0.9, zorder=3)
        ax.plot(values, np.where(agree, shown, np.nan), color=style.INK, linewidth=0.9, zorder=4)


def _strips(ax: Axes, values: np.ndarray, tables: Mapping[str, pd.DataFrame]) -> None:
    """The regime at every value, a row a way; periods where there is room for them."""
    low, high = ax.get_xlim()
    borders = np.linspace(low, high, len(values) + 1)
    for row, table in enumerate(list(tables.values())[::-1]):
        regime = table["regime"].astype(str).to_numpy()
        period = np.where(regime == "periodic", table["period"].to_numpy(int), 0)
        change = np.flatnonzero((regime[1:] != regime[:-1]) | (period[1:] != period[:-1])) + 1
        for first, last in zip(np.r_[0, change], np.r_[change, len(values)], strict=True):
            left, right = float(borders[first]), float(borders[last])
            look = {**style.regime_look(str(regime[first])), "linewidth": 0}
            ax.add_patch(Rectangle((left, row + 0.06), right - left, 0.88, **look))
            if period[first] and right - left > NUMBERED * (high - low):
                ax.text((left + right) / 2, row + 0.47, str(period[first]), ha="center", va="center", fontsize=7)
    ax.set_ylim(0, len(tables))
    ax.set_yticks(np.arange(len(tables)) + 0.5, list(tables)[::-1] if len(tables) > 1 else ["regime"])
    ax.tick_params(axis="y", length=0, pad=3)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)


def _marks(
    density: Axes, exponent: Axes, values: np.ndarray, differ: np.ndarray, mirror: np.ndarray
) -> list[Patch | Line2D]:
    """Bars over the intervals on which the two ways are on different attractors, or on mirror images of one."""
    from attractor_jax.branches import intervals

    half = (values[1] - values[0]) / 2
    handles: list[Patch | Line2D] = []
    for flags, colour, name in (
        (differ, style.INK, "hysteresis"),
        (mirror, style.FAINT, "mirror images"),
    ):
        for left, right in intervals(values, flags):
            place = (left - half, 1.012), right - left + 2 * half, 0.016
            bar = Rectangle(*place, facecolor=colour, linewidth=0, transform=density.get_xaxis_transform())
            bar.set_clip_on(False)
            density.add_patch(bar)
            for ax in (density, exponent) if flags is differ else ():
                ax.axvspan(left - half, right + half, color=MARKED, linewidth=0, zorder=-1)
        if flags.any():
            handles.append(Line2D([], [], color=colour, linewidth=2.4, solid_capstyle="butt", label=name))
    return handles


def _critical(density: Axes, exponent: Axes, axis: str, tables: Mapping[str, pd.DataFrame]) -> list[Patch | Line2D]:
    """A line where the origin loses stability, if that is known and in sight."""
    table = next(iter(tables.values()))
    if axis != "s" or "s_critical" not in table.columns:
        return []
    critical = float(pd.to_numeric(table["s_critical"], errors="coerce").iloc[0])
    low, high = density.get_xlim()
    if not low < critical < high:
        return []
    dashed: dict[str, Any] = {"color": style.INK, "linewidth": 0.8, "linestyle": (0, (4, 2))}
    for ax in (density, exponent):
        ax.axvline(critical, zorder=2, **dashed)
    return [Line2D([], [], label=f"s_critical = {critical:.4g}", **dashed)]


def _ramps(ax: Axes, ways: list[str]) -> None:
    """The scale of the density: what each way prints alone, and both over each other."""
    shares = np.geomspace(*SHARES, 256)[None]
    names = [*ways, "both"] if len(ways) > 1 else ["fixed"]
    strips = []
    for name in reversed(names):
        depths = {way: _depth(shares) if name in (way, "both") else np.zeros_like(shares) for way in ways}
        strips.append(_printed(depths, np.ones((*shares.shape, 3))))
    exponents = np.log10(SHARES)
    ax.imshow(
        np.concatenate(strips), extent=(*exponents, 0, len(names)), aspect="auto", origin="lower",
        interpolation="nearest",
    )  # fmt: skip
    for line in range(1, len(names)):
        ax.axhline(line, color="white", linewidth=1.0)
    ticks = np.arange(np.ceil(exponents[0]), exponents[1])
    ax.set_xticks(ticks, [f"{100 * 10.0**tick:g} %" for tick in ticks])
    ax.set_yticks(np.arange(len(names)) + 0.5, list(reversed(names)) if len(ways) > 1 else [""])
    ax.tick_params(axis="both", length=0, pad=2)
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    ax.set_xlabel("share of the steps in a bin of y", fontsize=8)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _legend(figure: Figure, together: pd.DataFrame, marks: list[Patch | Line2D]) -> None:
    """Everything else that needs a name, beside the scale: its row is high enough for three lines."""
    present = [style.regime_patch(regime) for regime in REGIMES if (together["regime"] == regime).any()]
    handles = [*present, *marks]
    legend = figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.375, 0.994),
        borderaxespad=0,
        ncols=-(-len(handles) // 3),
        handlelength=1.6,
        columnspacing=1.4,
        labelspacing=0.45,
    )
    legend.set_in_layout(False)


def _values_note(orbits: OrbitDensity, together: pd.DataFrame) -> str:
    """How fine the picture is."""
    zero = ZERO_FLOOR / together["steps"].min()
    return (
        f"{len(orbits.values):,} values of {orbits.axis}; {together['steps'].max():,} further steps counted into "
        f"{len(orbits.edges) - 1:,} bins of y. |λ₁| below {zero:.2g} nats per step or 3 standard errors counts as zero."
    )


def _ways_note(orbits: OrbitDensity, axis: str) -> str:
    from attractor_jax.branches import CONSECUTIVE, intervals

    if len(orbits.branches) == 1:
        return ""
    told = []
    for flags, what in (
        (orbits.hysteresis(), "Up and down are on different attractors"),
        (orbits.mirrored(), "They are on mirror images (y for −y) of one attractor"),
    ):
        found = sorted(intervals(orbits.values, flags), key=lambda ends: ends[0] - ends[1])
        if found:
            widest = ", ".join(
                f"{low:.4g}–{high:.4g}" if low < high else f"{low:.4g}" for low, high in sorted(found[:MOST_TOLD])
            )
            more = f" and {len(found) - MOST_TOLD} narrower ones" if len(found) > MOST_TOLD else ""
            told.append(f"{what} at {axis} = {widest}{more}.")
    return " ".join(told) or f"Nowhere are up and down on different attractors for {CONSECUTIVE} values in turn."


# The command


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a picture that cannot be computed or written, 2 for bad
    arguments)."""
    try:
        asked = read(parser().parse_args(argv))
    except command.ArgumentProblem as problem:
        return command.refuse(problem, 2)
    try:
        figure, told = _drawn(asked)
        command.save_figure(figure, asked.out, title=f"orbit diagram of {asked.system.name}", runs=[told])
    except ConfigError as problem:
        return command.refuse(of_options(problem), 2)
    except OSError as problem:
        return command.refuse(problem, 1)
    except KeyboardInterrupt:
        print("stopped: no picture was written", file=sys.stderr)
        return 130
    print(asked.out)
    return 0


def _drawn(asked: Asked) -> tuple[Figure, dict[str, Any]]:
    """The figure and its provenance."""
    from attractor_jax import backend

    devices = backend.start(EVERYTHING)
    from attractor_jax.density import orbit_density
    from attractor_jax.provenance import commit

    orbits = orbit_density(
        asked.system.name, asked.axis, asked.values, at=asked.at, start=asked.start, devices=devices, **asked.lengths
    )
    carried = f"Each value begins where its neighbour ended, after {asked.lengths['carry_steps']:,} steps there."
    fixed = "Each value begins at the standard first state."
    figure = draw(orbits, label=asked.label, notes=[carried if asked.start == "carried" else fixed])
    low, high = asked.values[[0, -1]]
    return figure, {
        "system": asked.system.name,
        "axis": {asked.axis: {"start": low, "stop": high, "num": len(asked.values)}},
        "at": asked.at,
        "start": asked.start,
        **asked.lengths,
        "jaxlib": version("jaxlib"),
        "device": devices[0].device_kind,
        "commit": commit(),
    }


if __name__ == "__main__":
    raise SystemExit(main())
