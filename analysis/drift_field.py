"""Where do the loops lead? Images, orbits from corrupted ones and the drift, in the plane of two principal components.

    python -m analysis.drift_field RUN [--where seed=3] [--out FILE]

RUN is of system=continuous. Nothing is trained: the loops are those that the run keeps.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import captions, command, style
from analysis.loop_spectra import SHOWN, are_new, distinct, shown
from analysis.trained import Trained, read_trained
from attractor_jax import images

LOOPS, LATE = 20, 100
# A plane that holds less of the images' variance passes far from most of them: what the loops do to its own points says
# nothing of them, and the drift is shown at the images themselves.
TELLING = 2 / 3
GRID = 13  # arrows along an edge
MARGIN = 0.25  # beyond the images on each side, as a share of their width
KNOWN = ("bars", "bump")
CLOSED = "bars"
IMAGES, ORBITS, ARROWS = "#5aa88f", "#3f78b5", "#8a8a8a"
SPEED = style.SHARE.reversed()


@dataclass(frozen=True)
class Plane:
    """The plane of the two leading principal components of some images.

    Attributes:
        mean: of the images, where the plane's origin is.
        axes: two orthonormal directions, as rows.
        share: of the images' variance that lies in it.
    """

    mean: Float[np.ndarray, "n1"]
    axes: Float[np.ndarray, "2 n1"]
    share: float

    @classmethod
    def of(cls, cloud: Float[np.ndarray, "m n1"]) -> Plane:
        if len(np.unique(cloud, axis=0)) < 3:
            raise ValueError("`run` must keep 3 different images at least: fewer span no plane")
        mean = cloud.mean(axis=0)
        _, sizes, directions = np.linalg.svd(cloud - mean, full_matrices=False)
        whole = float(np.sum(sizes**2))
        return cls(mean, directions[:2], float(np.sum(sizes[:2] ** 2)) / whole if whole > 0 else 1.0)

    def __call__(self, states: np.ndarray) -> np.ndarray:
        """(..., n1) to (..., 2); NaN of states that diverged."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.where(np.isfinite(states).all(axis=-1, keepdims=True), (states - self.mean) @ self.axes.T, np.nan)

    def back(self, places: Float[np.ndarray, "m 2"], floor: float, ceiling: float) -> Float[np.ndarray, "m n1"]:
        """The points of the plane as states, brought into the range of the units."""
        return np.clip(self.mean + places @ self.axes, floor, ceiling)


@dataclass(frozen=True)
class Field:
    """What one loop does, in the plane.

    Attributes:
        at, arrows: where the drift is shown, and F(x) - x there.
        orbits: from the corrupted images, after 0 to 20 loops.
        speeds: |F(x) - x| / |x| at their ends.
        late: where they are after 100.
        moved, moved_speeds: the known manifold after 20 loops, and the speeds there.
    """

    at: Float[np.ndarray, "a 2"]
    arrows: Float[np.ndarray, "a 2"]
    orbits: Float[np.ndarray, "t m 2"]
    speeds: Float[np.ndarray, "m"]
    late: Float[np.ndarray, "m 2"]
    moved: Float[np.ndarray, "p 2"]
    moved_speeds: Float[np.ndarray, "p"]

    @classmethod
    def of(
        cls, network: Trained, plane: Plane, manifold: np.ndarray | None, limits: np.ndarray, *, grid: bool
    ) -> Field:
        """Args:
        manifold: samples of it, where it is known.
        limits: ((left, bottom), (right, top)) of the panel.
        grid: arrows at points of the plane, else at the images.
        """
        loop = network.loop
        if grid:
            (left, bottom), (right, top) = limits
            columns, rows = np.linspace(left, right, GRID + 2)[1:-1], np.linspace(bottom, top, GRID + 2)[1:-1]
            places = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
            states = plane.back(places, loop.floor, loop.ceiling)
        else:
            states = distinct(network.images)
        starts = network.corrupted[are_new(network.images)]
        orbit = loop.visited(starts, [*range(LOOPS + 1), LATE])
        moved = loop.visited(manifold, [LOOPS])[0] if manifold is not None else starts[:0]
        return cls(
            at=plane(states),
            arrows=plane(loop.step(states)) - plane(states),
            orbits=plane(orbit[:-1]),
            speeds=loop.speeds(orbit[-2]),
            late=plane(orbit[-1]),
            moved=plane(moved),
            moved_speeds=loop.speeds(moved),
        )


@style.styled
def draw(df: pd.DataFrame, networks: Mapping[int, Trained]) -> Figure:
    """Where the loops of one network lead after each stage of its training, a panel for each task and T.

    Args:
        df: what `read_run` gives of system `continuous`, with one value of every axis but task, T, seed, replicate.
            Empty, the figure says so.
        networks: those of `shown(df)`, by their cell_id.

    Raises:
        ValueError: another system, another axis that varies, too many values of T.
    """
    if df.empty:
        return style.blank("no cells in this table")
    rows = shown(df)
    tasks, stages = (np.sort(np.asarray(df[axis].unique())) for axis in ("task", "T"))
    name = str(rows["data"].iloc[0])
    known = next((each for each in KNOWN if images.mark(each) == name), None)
    manifold = images.load(known).manifold if known is not None else None
    seen = distinct(next(iter(networks.values())).images) if manifold is None else manifold
    plane = Plane.of(seen)
    places = plane(seen)
    low, high = places.min(axis=0), places.max(axis=0)
    limits = np.stack([low - MARGIN * (high - low), high + MARGIN * (high - low)])
    grid = plane.share >= TELLING
    found = {
        (str(row["task"]), int(row["T"])): Field.of(
            networks[int(row["cell_id"])], plane, manifold, limits, grid=grid
        )
        for _, row in rows.iterrows()
    }  # fmt: skip
    stretch = _stretch(list(found.values()), limits, grid=grid)
    norm = _norm(list(found.values()))

    # A row for each task; of a single one its stages on two rows, where they are many.
    columns = len(stages) if len(tasks) > 1 or len(stages) <= 3 else -(-len(stages) // 2)
    lines = -(-len(tasks) * len(stages) // columns)
    span = limits[1] - limits[0]
    height = 5.5 / max(columns, 2) * float(np.clip(span[1] / span[0], 0.4, 1.3))
    figure = style.new_figure((height + 0.3) * lines + 2.1)
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for ax, (task, T) in zip(panels.ravel(), [(str(task), int(T)) for task in tasks for T in stages], strict=False):
        ax.set(xlim=limits[:, 0], ylim=limits[:, 1], aspect="equal")
        ax.set_title(f"{task}, T = {T}")
        if (field := found.get((task, T))) is None:
            ax.text(0.5, 0.5, "no network", ha="center", va="center", transform=ax.transAxes)
            continue
        _panel(ax, field, places, norm, stretch, closed=known == CLOSED, dense=known is not None)
    for ax in panels.ravel()[len(tasks) * len(stages) :]:
        ax.set_axis_off()
        panels[-2, -1].tick_params(labelbottom=True)
    for ax in panels[-1]:
        ax.set_xlabel("component 1")
    for ax in panels[:, 0]:
        ax.set_ylabel("component 2")
    bar = figure.colorbar(ScalarMappable(norm, SPEED), ax=panels, pad=0.015, aspect=30, extend="both")
    style.log_ticks(bar.ax.yaxis, np.array([norm.vmin, norm.vmax], float), crowded=50)
    bar.set_label("speed |F(x) − x|/|x| per loop")
    bar.outline.set_linewidth(0.7)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    figure.legend(handles=style.by_rows(_legend(known), 3), loc="outside upper left", ncols=3)
    captions.caption(
        figure, rows, list(SHOWN), _notes(rows, found, plane, limits, stretch, known, grid=grid), orbits=False
    )
    return figure


def _stretch(fields: list[Field], limits: np.ndarray, *, grid: bool) -> float:
    """By which round number arrows are made longer, alike in all panels."""
    lengths = np.concatenate([np.hypot(*field.arrows.T) for field in fields])
    lengths = lengths[np.isfinite(lengths)]
    typical = float(np.quantile(lengths, 0.9)) if len(lengths) else 0.0
    room = float((limits[1] - limits[0]).min()) * (1.0 / GRID if grid else 0.12)
    if typical <= 0:
        return 1.0
    steps = np.array([0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100])
    return float(steps[np.searchsorted(steps, min(max(room / typical, 0.1), 100), side="right") - 1])


def _norm(fields: list[Field]) -> LogNorm:
    """One scale of speeds; what is at rest is as dark as the slowest."""
    speeds = np.concatenate([np.r_[field.speeds, field.moved_speeds] for field in fields])
    speeds = speeds[np.isfinite(speeds) & (speeds > 0)]
    low, high = np.quantile(speeds, [0.02, 0.98]) if len(speeds) else (1e-3, 1.0)
    low = max(float(low), float(high) / 1e4)
    return LogNorm(low, max(float(high), 2 * low), clip=True)


def _panel(
    ax: Axes, field: Field, places: np.ndarray, norm: LogNorm, stretch: float, *, closed: bool, dense: bool
) -> None:
    """One network: the images, the drift, orbits and their ends."""
    here = np.isfinite(field.arrows).all(axis=1)
    ax.quiver(
        *field.at[here].T, *(stretch * field.arrows[here]).T, angles="xy", scale_units="xy", scale=1, color=ARROWS,
        width=0.0045, headwidth=4, headlength=4.5, headaxislength=4, zorder=2,
    )  # fmt: skip
    if closed:
        ax.plot(*np.r_[places, places[:1]].T, color=IMAGES, linewidth=1.6, alpha=0.8, zorder=1)
    else:
        ax.plot(*places.T, "o", color=IMAGES, markersize=1.2 if dense else 2.6, markeredgewidth=0, zorder=1)
    _orbits(ax, field.orbits)
    if closed:
        ring = np.r_[field.moved, field.moved[:1]]
        segments = np.stack([ring[:-1], ring[1:]], axis=1)
        kept = np.isfinite(segments).all(axis=(1, 2))
        # Ink around it, because slow and fast are to be seen on paper and on arrows.
        ax.add_collection(LineCollection(list(segments[kept]), colors=style.INK, linewidths=3.0, zorder=4))
        ring_colours = LineCollection(list(segments[kept]), cmap=SPEED, norm=norm, linewidths=2.2, zorder=5)
        ring_colours.set_array(field.moved_speeds[kept])
        ax.add_collection(ring_colours)
    elif dense:
        ax.scatter(*field.moved.T, c=field.moved_speeds, cmap=SPEED, norm=norm, s=2, linewidths=0, zorder=4)
    known = np.isfinite(field.orbits[-1]).all(axis=1)
    ax.scatter(
        *field.orbits[-1][known].T, c=field.speeds[known], cmap=SPEED, norm=norm, s=11, linewidths=0.4,
        edgecolors=style.INK, zorder=6,
    )  # fmt: skip
    late = field.late[np.isfinite(field.late).all(axis=1)]
    ax.plot(*late.T, "x", color=style.INK, markersize=3.6, markeredgewidth=0.8, zorder=7)
    ax.spines[:].set_visible(True)


def _orbits(ax: Axes, orbits: Float[np.ndarray, "t m 2"]) -> None:
    """Lines that grow darker with time."""
    segments = np.stack([orbits[:-1], orbits[1:]], axis=2)  # (t, m, 2 ends, 2)
    steps = len(segments)
    colours = np.array([to_rgba(ORBITS, 0.12 + 0.6 * step / max(steps - 1, 1)) for step in range(steps)])
    every = np.repeat(colours, segments.shape[1], axis=0)
    flat = segments.reshape(-1, 2, 2)
    kept = np.isfinite(flat).all(axis=(1, 2))
    ax.add_collection(LineCollection(list(flat[kept]), colors=list(map(tuple, every[kept])), linewidths=0.6, zorder=3))


def _legend(known: str | None) -> list[Line2D | Patch]:
    round_: dict[str, object] = {"marker": "o", "linestyle": "none"}
    if known == CLOSED:
        first = Line2D([], [], color=IMAGES, linewidth=1.6, label="manifold of the images")
    else:
        name = "manifold of the images" if known else "held-out images"
        first = Line2D([], [], color=IMAGES, markersize=3, label=name, **round_)  # pyright: ignore[reportArgumentType]
    fill = SPEED(0.35)
    handles: list[Line2D | Patch] = [first]
    if known == CLOSED:
        handles.append(Line2D([], [], color=fill, linewidth=2.4, label=f"the same after {LOOPS} loops"))
    elif known:
        handles.append(
            Line2D(
                [], [], color=fill, marker=".", linestyle="none", markersize=3, label=f"the same after {LOOPS} loops"
            )
        )
    handles += [
        Line2D([], [], color=ORBITS, linewidth=0.9, label="orbits of corrupted images"),
        Line2D(
            [], [], marker="o", linestyle="none", color=fill, markeredgecolor=style.INK, markeredgewidth=0.4,
            markersize=4, label=f"their ends after {LOOPS} loops",
        ),
        Line2D([], [], color=style.INK, marker="x", linestyle="none", markersize=4, label=f"and after {LATE} loops"),
        Line2D([], [], color=ARROWS, marker=r"$\rightarrow$", linestyle="none", markersize=8, label="drift F(x) − x"),
    ]  # fmt: skip
    return handles


def _notes(
    rows: pd.DataFrame, found: Mapping[tuple[str, int], Field], plane: Plane, limits: np.ndarray, stretch: float,
    known: str | None, *, grid: bool,
) -> list[str]:  # fmt: skip
    what, whose = ("the manifold", "its") if known else ("the held-out images that the run keeps", "their")
    longer = "at its own length" if stretch == 1 else f"{stretch:g} times as long as it is"
    where = (
        "points of the plane (pixels within the range of the units)"
        if grid
        else "the images themselves, since the plane passes far from them"
    )
    starts = len(next(iter(found.values())).speeds)
    lines = [
        f"A projection: the plane of the two leading principal components of {what} holds {100 * plane.share:.0f} % of "
        f"{whose} variance. The network with seed {rows['seed'].iloc[0]}; orbits of {starts} images with holes.",
        f"Drift: one loop, {longer}, at {where}.",
    ]
    if known == CLOSED:
        lines.append(
            f"The manifold after {LOOPS} loops is drawn through its samples: where it runs straight, they parted."
        )
    gone = {
        time: sum(_outside(places, limits) for places in each)
        for time, each in (
            (LOOPS, [field.orbits[-1] for field in found.values()]),
            (LATE, [field.late for field in found.values()]),
        )
    }
    if any(gone.values()):
        n = starts * len(found)
        counts = " and ".join(f"{number} after {time} loops" for time, number in gone.items())
        lines.append(f"Outside the panels, of {n} orbits: {counts}.")
    return lines


def _outside(places: np.ndarray, limits: np.ndarray) -> int:
    inside = ((places >= limits[0]) & (places <= limits[1])).all(axis=1)
    return int(np.sum(~inside))


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.drift_field", "Draw where the loops of trained networks lead.", free_x=False
    )

    def make(df: pd.DataFrame, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        return draw(df, read_trained(arguments.run, shown(df))), []

    return command.figure_command(parser, argv, "drift_field", make)


if __name__ == "__main__":
    raise SystemExit(main())
