"""Where does training succeed, over two learning rates? An image of a run, or a strip of ever narrower ones.

    python -m analysis.trainability RUN [RUN ...] [--where seed=0] [--out FILE]

Further runs are zooms, in any order (python -m sweeps.zoom RUN makes them): each panel has a rectangle where the next
one lies. Dimensions of the boundary stand below a panel whose run has them (python -m sweeps.basins RUN). Nothing is
simulated.
"""

from __future__ import annotations

import argparse
import string
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FixedFormatter, FixedLocator, LogLocator, MaxNLocator, NullLocator

from analysis import captions, command, style
from attractor_jax.axes import varied_axes
from attractor_jax.config import EVERYTHING

ACROSS, UP = "lr", "lr_hidden"
LABELS = {ACROSS: "learning rate of the output layer, lr", UP: "learning rate of the hidden layer, lr_hidden"}
MOST_PANELS = 12

# Next to the boundary one map is darkest and the other lightest, so that it is seen in a grey print, and by everybody.
FELL = LinearSegmentedColormap.from_list("fell", ["#eef5fa", "#a9cbe3", "#3f78b5", "#12305c"])
GREW = LinearSegmentedColormap.from_list("grew", ["#fdf0c4", "#f5c277", "#e0731d", "#a81f38", "#3b0f30"])
# Mean growth of a loss, nats a step, below which all have the lightest colour.
SLOWEST = 1e-3
# Share of a value from which on ticks are told as differences from one of them.
CLOSE = 1e-6
# A dimension from which on a boundary is as good as noise.
NOISE = 1.95


@dataclass(frozen=True)
class Picture:
    """What one panel shows.

    Attributes:
        edges: decimal logarithms of the borders of pixels, along the bottom and along the side.
        fell: (rows, columns), the loss over the loss before the first step; NaN where it did not fall.
        grew: (rows, columns), mean growth of a loss that did not fall, nats a step, to its end or to its overflow.
        cells: that there are.
        overflowed: of them.
    """

    edges: tuple[np.ndarray, np.ndarray]
    fell: np.ndarray
    grew: np.ndarray
    cells: int
    overflowed: int

    @property
    def size(self) -> float:
        """Decades squared."""
        return float(np.prod([edges[-1] - edges[0] for edges in self.edges]))

    def holds(self, other: Picture) -> bool:
        """Does the other lie within this one? Where windows meet the border, to half a pixel of this one."""
        slack = [(edges[1] - edges[0]) / 2 for edges in self.edges]
        pairs = zip(self.edges, other.edges, slack, strict=True)
        return all(a[0] - by <= b[0] and b[-1] <= a[-1] + by for a, b, by in pairs)


@style.styled
def draw(
    runs: pd.DataFrame | Sequence[pd.DataFrame], boundaries: Sequence[pd.DataFrame | None] | None = None
) -> Figure:
    """A panel a run, the widest first.

    Args:
        runs: what `read_run` gives, of one run or of several, of a system with the axes lr and lr_hidden. Empty, the
            figure says so.
        boundaries: of each run its table boundary.parquet, or None.

    Raises:
        ValueError: another system's table, more than one image in it, an image that does not lie within the one
            before, too many.
    """
    tables = [runs] if isinstance(runs, pd.DataFrame) else list(runs)
    told = list(boundaries) if boundaries is not None else [None] * len(tables)
    if not tables or any(df.empty for df in tables):
        return style.blank("no cells in this table")
    if len(tables) > MOST_PANELS:
        raise ValueError(f"`run` must be at most {MOST_PANELS} runs to one figure, got {len(tables)}")
    pictures = [picture(df) for df in tables]
    order = sorted(range(len(tables)), key=lambda i: -pictures[i].size)
    tables, told = [tables[i] for i in order], [told[i] for i in order]
    pictures = [pictures[i] for i in order]
    for outer, inner in zip(pictures[:-1], pictures[1:], strict=True):
        if not outer.holds(inner):
            raise ValueError(
                f"`run` must be zooms, each within the one before: {_where(inner)} is not in {_where(outer)}"
            )
    columns = min(2, len(pictures))
    rows = -(-len(pictures) // columns)
    side = 5.2 if columns == 1 else 2.75
    figure = style.new_figure(rows * (side + 0.85) + 2.1)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    norms = _norms(pictures)
    letters = string.ascii_lowercase if len(pictures) > 1 else [""]
    for i, (ax, shown, boundary, letter) in enumerate(zip(grid, pictures, told, letters, strict=False)):
        _panel(ax, shown, norms)
        _dress(ax, shown, boundary, side_label=i % columns == 0)
        times = "" if i == 0 else f"{np.sqrt(pictures[i - 1].size / shown.size):.3g} times {letters[i - 1]}"
        share = 100 * np.isfinite(shown.fell).sum() / shown.cells
        ax.set_title("  ".join(word for word in (letter, times, f"{share:.3g} % trained") if word))
        if i + 1 < len(pictures):
            _mark(ax, pictures[i + 1])
    for ax in grid[len(pictures) :]:
        ax.set_axis_off()
    _bars(figure, list(grid), norms, pictures)
    captions.caption(figure, tables[0], [ACROSS, UP], _notes(tables, pictures, told))
    return figure


def picture(df: pd.DataFrame) -> Picture:
    """The image of a table.

    Raises:
        ValueError: it has none, or several.
    """
    from attractor_jax.trainings import trained
    from sweeps.boundary import first_loss

    if missing := [axis for axis in (ACROSS, UP) if axis not in df.columns]:
        raise ValueError(f"`run` must be of a system with the axes {ACROSS} and {UP}, got one without {missing[0]}")
    for axis in (ACROSS, UP):
        if df[axis].nunique() < 2:
            value = style.number(df[axis].iloc[0])
            raise ValueError(f"`run` must have at least 2 values of {axis} to show a plane, got {value} alone")
    if several := [axis for axis in varied_axes(df) if axis not in (ACROSS, UP)]:
        raise ValueError(f"`where` must leave one image, got several along {', '.join(several)}")
    before, loss = first_loss(df), df["train_loss"].to_numpy(float)
    label = trained(df, before)
    steps = (df["transient"] + df["steps"]).to_numpy(float) + _align(df)
    overflow = np.log(np.finfo(str(df["dtype"].iloc[0])).max)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        fall = loss / before
        grown = np.where(label == 0, np.log(loss / before) / steps, (overflow - np.log(before)) / _lost_at(df, steps))
    values = [np.sort(df[axis].unique().astype(float)) for axis in (ACROSS, UP)]
    column, row = (
        np.searchsorted(each, df[axis].to_numpy(float)) for each, axis in zip(values, (ACROSS, UP), strict=True)
    )
    fell, grew = (np.full((len(values[1]), len(values[0])), np.nan) for _ in range(2))
    fell[row, column] = np.where(label == 1, fall, np.nan)
    grew[row, column] = np.where(label == 1, np.nan, np.maximum(grown, 0))
    return Picture((_edges(values[0]), _edges(values[1])), fell, grew, len(df), int((label == -1).sum()))


def _align(df: pd.DataFrame) -> int:
    """Steps between transient and measurement, which stand in no column."""
    runs = df.attrs.get("runs", ())
    return int(runs[0]["measure"]["align"]) if runs and "measure" in runs[0] else 0


def _lost_at(df: pd.DataFrame, steps: np.ndarray) -> np.ndarray:
    """The step of the first value that is not finite; the last where the loss alone is not."""
    at = df["diverged_at"].to_numpy(float)
    return np.maximum(np.where(np.isnan(at), steps, at), 1)


def _edges(values: np.ndarray) -> np.ndarray:
    at = np.log10(values)
    inner = (at[:-1] + at[1:]) / 2
    return np.r_[2 * at[0] - inner[0], inner, 2 * at[-1] - inner[-1]]


def _where(shown: Picture) -> str:
    spans = zip((ACROSS, UP), shown.edges, strict=True)
    return ", ".join(f"{axis} {10 ** edges[0]:.4g} to {10 ** edges[-1]:.4g}" for axis, edges in spans)


def _norms(pictures: Sequence[Picture]) -> tuple[Normalize, Normalize]:
    """One scale for all panels. A hundredth of the pixels at the far ends does not set it."""
    fell = np.concatenate([shown.fell[np.isfinite(shown.fell)] for shown in pictures])
    grew = np.concatenate([shown.grew[np.isfinite(shown.grew)] for shown in pictures])
    least = float(np.quantile(fell, 0.01)) if len(fell) else 0.1
    most = float(np.quantile(grew, 0.99)) if len(grew) else 1.0
    return LogNorm(np.clip(least, 1e-12, 0.9), 1), LogNorm(SLOWEST, max(most, 10 * SLOWEST))


def _panel(ax: Axes, shown: Picture, norms: tuple[Normalize, Normalize]) -> None:
    ax.set_facecolor(style.NO_VALUE)
    for values, colours, norm in ((shown.fell, FELL, norms[0]), (np.maximum(shown.grew, SLOWEST), GREW, norms[1])):
        masked = np.ma.array(values, mask=np.isnan(values))
        ax.pcolormesh(*shown.edges, masked, cmap=colours, norm=norm, rasterized=True)
    ax.spines[:].set_visible(True)
    ax.set_box_aspect(1)


def _mark(ax: Axes, inner: Picture) -> None:
    """A rectangle where the next panel lies, seen on light and on dark."""
    (left, right), (low, high) = (edges[[0, -1]] for edges in inner.edges)
    for width, colour in ((2.6, "white"), (1.1, style.INK)):
        ax.add_patch(Rectangle((left, low), right - left, high - low, fill=False, edgecolor=colour, linewidth=width))


def _dress(ax: Axes, shown: Picture, boundary: pd.DataFrame | None, *, side_label: bool) -> None:
    """Ticks at round learning rates, though the axes are logarithms, and what is known of the boundary."""
    found = _dimensions(boundary)
    for axis, name, edges in ((ax.xaxis, ACROSS, shown.edges[0]), (ax.yaxis, UP, shown.edges[1])):
        ticks, base = _ticks(10 ** edges[0], 10 ** edges[-1])
        axis.set_major_locator(FixedLocator([float(np.log10(tick)) for tick in ticks]))
        axis.set_major_formatter(FixedFormatter(_names(ticks, base)))
        axis.set_minor_locator(NullLocator())
        less = f" \N{MINUS SIGN} {base:.10g}" if base else ""
        label = LABELS[name] + less if side_label or name == ACROSS or base else ""
        axis.set_label_text(f"{label}\n{found}" if name == ACROSS and found else label)
    ax.set_xlim(shown.edges[0][0], shown.edges[0][-1])
    ax.set_ylim(shown.edges[1][0], shown.edges[1][-1])


def _ticks(low: float, high: float) -> tuple[np.ndarray, float]:
    """Round values between two, and what is taken off them for their names."""
    if high / low > 5:
        ticks = np.asarray(LogLocator(10, subs=(1.0,) if high / low > 30 else (1.0, 2.0, 5.0)).tick_values(low, high))
    else:
        ticks = np.asarray(MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(low, high))
    ticks = ticks[(ticks >= low) & (ticks <= high)]
    close = len(ticks) > 1 and high / low - 1 < CLOSE
    return ticks, float(ticks[len(ticks) // 2]) if close else 0.0


def _names(ticks: np.ndarray, base: float) -> list[str]:
    if base:
        return [f"{tick - base:.1g}".replace("-", "\N{MINUS SIGN}") for tick in ticks]
    step = float(np.min(np.diff(ticks))) if len(ticks) > 1 else 1.0
    decimals = max(0, int(np.ceil(-np.log10(step) - 1e-6)))
    wide = len(ticks) > 1 and ticks[-1] / ticks[0] > 5
    return [f"{tick:g}" if wide else f"{tick:.{decimals}f}" for tick in ticks]


def _dimensions(boundary: pd.DataFrame | None) -> str:
    """What the boundary's table says of its dimension, in words."""
    if boundary is None or not len(boundary):
        return ""
    words = []
    by_method = boundary.drop_duplicates("method").set_index("method")
    for method, name in (("box_dimension", "by boxes"), ("uncertainty_dimension", "by uncertainty")):
        if method not in by_method.index:
            continue
        value, error = (float(by_method.loc[method, key]) for key in ("value", "standard_error"))  # pyright: ignore[reportArgumentType]
        words.append(f"{value:.2f} ± {max(error, 0.005):.2f} {name}" if np.isfinite(value) else f"none {name}")
    return "dimension of the boundary\n" + ", ".join(words) if words else ""


def _bars(figure: Figure, panels: list[Axes], norms: tuple[Normalize, Normalize], pictures: Sequence[Picture]) -> None:
    """The two scales, one below the other; a side that no pixel is on has none."""
    sides = (
        (GREW, norms[1], "not trained: mean growth of the loss (nats per step)", [p.grew for p in pictures], "both"),
        (FELL, norms[0], "trained: loss at the end / loss before the first step", [p.fell for p in pictures], "min"),
    )
    for colours, norm, name, values, extend in sides:
        if not any(np.isfinite(each).any() for each in values):
            continue
        bar = figure.colorbar(
            ScalarMappable(norm, colours), ax=panels, location="bottom", aspect=45, pad=0.02, shrink=0.8, extend=extend
        )
        bar.set_label(name)
        bar.outline.set_linewidth(0.7)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
        low, high = float(norm.vmin or SLOWEST), float(norm.vmax or 1.0)
        few = high / low < 50
        ticks = np.asarray(LogLocator(10, subs=tuple(range(1, 10)) if few else (1.0,)).tick_values(low, high))
        ticks = ticks[(ticks >= low) & (ticks <= high * (1 + 1e-9))]
        bar.set_ticks(ticks.tolist(), labels=[f"{tick:g}" for tick in ticks])
        bar.ax.xaxis.set_minor_locator(NullLocator())
    if any((np.isnan(p.fell) & np.isnan(p.grew)).any() for p in pictures):
        patch = Patch(facecolor=style.NO_VALUE, edgecolor="#555555", linewidth=0.4, label="no cell")
        figure.legend(handles=[patch], loc="outside upper right")


def _notes(
    tables: Sequence[pd.DataFrame], pictures: Sequence[Picture], boundaries: Sequence[pd.DataFrame | None]
) -> list[str]:
    cells, lost = (sum(getattr(shown, name) for shown in pictures) for name in ("cells", "overflowed"))
    fell = sum(int(np.isfinite(shown.fell).sum()) for shown in pictures)
    of = f"Of all {len(tables)} panels' {cells:,} trainings" if len(tables) > 1 else f"Of {cells:,} trainings"
    notes = [
        "Blue: the loss is lower than before the first step. Yellow to dark red: it is not, and this was its mean "
        "growth to the last step, or to the one at which it, or a parameter, overflowed. "
        f"{of}, {fell:,} are trained, {lost:,} overflowed, {cells - fell - lost:,} did neither."
    ]
    if any(_dimensions(boundary) for boundary in boundaries):
        notes.append(
            "Dimensions are of the boundary between trained and not, with standard errors: by counting boxes of "
            "pixels, and by simulating random points again with others beside them."
        )
    notes.append(
        "After more steps the boundary lies elsewhere. One image proves no fractal; a dimension that stays the same "
        f"from zoom to zoom speaks for one, and near {NOISE:g} it is that of noise."
    )
    return notes


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (0, 1 for a bad run, 2 for bad arguments)."""
    parser = command.FigureParser(
        "python -m analysis.trainability", "Draw where training succeeds over two learning rates.", free_x=False
    )
    parser.add_argument("zooms", metavar="RUN", type=Path, nargs="*", help="further runs, each within another")

    def make(df: pd.DataFrame, arguments: argparse.Namespace) -> tuple[Figure, list[str]]:
        from attractor_jax import backend

        backend.start(EVERYTHING)
        runs = [arguments.run, *arguments.zooms]
        tables = [df, *(_read(run, arguments.where) for run in arguments.zooms)]
        for run, table in zip(runs, tables, strict=True):
            try:
                picture(table)
            except ValueError as problem:
                if "`where`" in str(problem):
                    raise command.ArgumentProblem(str(problem).replace("`where`", "`--where`")) from problem
                raise command.RunProblem(str(problem).replace("`run`", str(run))) from problem
        try:
            return draw(tables, [boundary_of(run) for run in runs]), ["zoom"] * (len(runs) > 1)
        except ValueError as problem:
            raise command.RunProblem(str(problem).replace("`run`", "the runs")) from problem

    return command.figure_command(parser, argv, "trainability", make)


def _read(run: Path, where: list[str]) -> pd.DataFrame:
    """The cells of a further run."""
    from attractor_jax.parts import TableError
    from attractor_jax.reading import read_run
    from sweeps.arguments import read_assignments

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a run is not complete stands in the caption
        df = read_run(run)
    if df.empty:
        raise TableError(f"{run} has no finished cells yet")
    return command.selected(df, read_assignments("--where", where))


def boundary_of(run: Path) -> pd.DataFrame | None:
    """RUN/boundary.parquet, if it is there."""
    path = run / "boundary.parquet"
    return pd.read_parquet(path) if path.exists() else None


if __name__ == "__main__":
    raise SystemExit(main())
