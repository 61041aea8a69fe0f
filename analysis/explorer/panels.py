"""The figures of the page: each is made once, and shows what it is given."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from bokeh.models import (
    BasicTicker,
    ColumnDataSource,
    FixedTicker,
    Legend,
    LegendItem,
    LinearColorMapper,
    LogTickFormatter,
    Range1d,
    Span,
    TeeHead,
    Whisker,
)
from bokeh.plotting import figure
from matplotlib.colors import to_hex

from analysis import tones
from analysis.explorer.live import BLOCK_STEPS, TOLD, Along, Known
from attractor_jax.portrait import Portrait

# Pictures with fewer pixels than this are of a cycle, whose points would be lost on a screen: each is shown larger.
FEW = 600
# Outputs of y(t), exponents whose means are drawn against time, bins of y in the orbit diagram.
OUTPUTS, LINES, BINS = 160, 3, 150


def _hexes(colours: Any) -> list[str]:
    return [to_hex(colours(i / 255)) for i in range(256)]


INFERNO = _hexes(matplotlib.colormaps["inferno"])
PAPER = _hexes(matplotlib.colormaps["bone_r"])


def shown(counts: np.ndarray) -> np.ndarray:
    """Counts with the few pixels of a cycle made larger."""
    if np.count_nonzero(counts) >= FEW:
        return counts
    wide = np.pad(counts, 2)
    height, width = counts.shape
    moved = [wide[i : i + height, j : j + width] for i in range(5) for j in range(5) if (i, j) not in _CORNERS]
    return np.max(moved, axis=0)


_CORNERS = {(0, 0), (0, 4), (4, 0), (4, 4)}


def empty_plot(width: int, height: int, x: str, y: str, **more: Any) -> Any:
    """An empty plot without tools: a page is no place to get lost in."""
    ranges: dict[str, Any] = {"x_range": Range1d(start=-1, end=1), "y_range": Range1d(start=-1, end=1)} | more
    plot = figure(width=width, height=height, tools="", toolbar_location=None, margin=(0, 4, 0, 0), **ranges)
    plot.xaxis.axis_label, plot.yaxis.axis_label = x, y
    plot.yaxis.axis_label_standoff = 2
    plot.grid.visible = False
    plot.outline_line_color = None
    return plot


class PortraitPanel:
    """The density of two coordinates."""

    def __init__(self, size: int) -> None:
        self.plot = empty_plot(size, size, "x1", "x2", name="portrait")
        self.source = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        mapper = LinearColorMapper(palette=INFERNO, low=0, high=255)
        self.plot.image(
            image="image", x="x", y="y", dw="dw", dh="dh", source=self.source, color_mapper=mapper, level="image"
        )
        self.plot.background_fill_color = INFERNO[0]
        self.plot.min_border_left = 58

    def show(self, picture: Portrait) -> None:
        left, right, bottom, top = picture.extent
        tone = (tones.toned(shown(picture.counts)) * 255).round().astype(np.uint8)[::-1]
        self.source.data = {"image": [tone], "x": [left], "y": [bottom], "dw": [right - left], "dh": [top - bottom]}
        self.plot.x_range.update(start=left, end=right)
        self.plot.y_range.update(start=bottom, end=top)
        self.plot.xaxis.axis_label, self.plot.yaxis.axis_label = picture.coordinates

    def clear(self) -> None:
        self.source.data = {"image": [], "x": [], "y": [], "dw": [], "dh": []}


class OutputPanel:
    """y step by step."""

    def __init__(self, width: int, height: int) -> None:
        self.plot = empty_plot(width, height, "step", "output y", x_range=Range1d(start=-2, end=OUTPUTS + 1))
        self.source = ColumnDataSource({"step": [], "y": []})
        self.plot.line("step", "y", source=self.source, color="#9db4c8", line_width=1)
        self.plot.scatter("step", "y", source=self.source, color="#12305c", size=3)

    def show(self, outputs: np.ndarray) -> None:
        y = outputs[:OUTPUTS].astype(float)
        self.source.data = {"step": np.arange(len(y)), "y": y}
        _fit(self.plot.y_range, y)


class RunningPanel:
    """Means of the largest exponents over ever more steps, and what was known of the first when it was told."""

    def __init__(self, width: int, height: int) -> None:
        ends = Range1d(start=0.8 * BLOCK_STEPS, end=1.2 * BLOCK_STEPS * TOLD[-1])
        self.plot = empty_plot(
            width,
            height,
            "steps measured",
            "λ (nats per step)",
            x_axis_type="log",
            x_range=ends,
        )
        self.plot.xaxis.formatter = LogTickFormatter()
        _zero(self.plot)
        self.sources = [ColumnDataSource({"steps": [], "value": []}) for _ in range(LINES)]
        colours = ["#a81f38", "#e0731d", "#3f78b5"]
        self.lines = [
            LegendItem(
                label=f"λ{index}",
                renderers=[self.plot.line("steps", "value", source=source, color=colour, line_width=1.5)],
            )
            for index, source, colour in zip("₁₂₃", self.sources, colours, strict=True)
        ]
        self.errors = ColumnDataSource({"steps": [], "low": [], "high": [], "value": []})
        self.plot.add_layout(_whisker("steps", self.errors))
        self.plot.scatter("steps", "value", source=self.errors, color="#a81f38", size=4)
        legend = Legend(
            items=self.lines, orientation="horizontal", margin=0, spacing=10, glyph_width=16, glyph_height=12,
            label_height=12, label_text_font_size="11px", border_line_color=None,
        )  # fmt: skip
        self.plot.add_layout(legend, "above")

    def show(self, known: Known) -> None:
        # Some hundred points draw the same line; the first blocks are close together on a logarithmic axis.
        many = len(known.steps)
        kept = np.unique(np.geomspace(1, many, min(many, 200)).round().astype(int)) - 1
        drawn: list[np.ndarray] = []
        for n, source in enumerate(self.sources):
            there = n < known.running.shape[1]
            self.lines[n].visible = there
            value = known.running[kept, n] if there else np.array([])
            fine = np.isfinite(value)
            source.data = {"steps": known.steps[kept][: len(value)][fine], "value": value[fine]}
            drawn.append(value[fine])
        steps, value, error = known.errors[np.isfinite(known.errors).all(axis=1)].T
        self.errors.data = {"steps": steps, "value": value, "low": value - error, "high": value + error}
        _fit(self.plot.y_range, np.concatenate([*drawn, value - error, value + error, [0.0]]))


class SpectrumPanel:
    """All exponents with their standard errors."""

    def __init__(self, width: int, height: int) -> None:
        self.plot = empty_plot(width, height, "exponent i", "λᵢ (nats per step)")
        self.plot.xaxis.ticker = BasicTicker(min_interval=1, num_minor_ticks=0)
        _zero(self.plot)
        self.source = ColumnDataSource({"i": [], "value": [], "low": [], "high": [], "colour": []})
        self.plot.add_layout(_whisker("i", self.source))
        self.plot.scatter(
            "i", "value", source=self.source, color="colour", size=6, line_color="#333333", line_width=0.5
        )

    def show(self, known: Known) -> None:
        value, error = (np.asarray(known.row[name], float) for name in ("exponents", "exponents_se"))
        i = np.arange(1, len(value) + 1)
        self.plot.x_range.update(start=0.5, end=len(value) + 0.5)
        fine = np.isfinite(value)
        i, value, error = i[fine], value[fine], np.nan_to_num(error[fine])
        sure = np.where(np.abs(value) <= np.maximum(3 * error, 10 / known.steps[-1]), 0, np.sign(value)).astype(int)
        colour = np.array(["#f7f7f5", "#a81f38", "#3f78b5"])[sure]
        data = {"i": i, "value": value, "low": value - error, "high": value + error, "colour": colour}
        self.source.data = data
        _fit(self.plot.y_range, np.concatenate([value - error, value + error, [0.0]]))


class AlongPanel:
    """Outputs along an axis, a cursor at what is shown, and a mark where the origin loses stability."""

    def __init__(self, width: int, height: int) -> None:
        self.plot = empty_plot(width, height, "s", "output y", name="along")
        self.source = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        mapper = LinearColorMapper(palette=PAPER, low=0, high=255)
        self.plot.image(image="image", x="x", y="y", dw="dw", dh="dh", source=self.source, color_mapper=mapper)
        self.cursor = Span(location=0, dimension="height", line_color="#e0731d", line_width=2)
        self.critical = Span(location=None, dimension="height", line_color="#555555", line_dash="dashed")
        self.plot.add_layout(self.critical)
        self.plot.add_layout(self.cursor)

    def show(self, found: Along, label: str) -> None:
        finite = np.isfinite(found.outputs)
        y = np.where(finite, found.outputs, np.nan)
        low, high = (float(np.nanmin(y)), float(np.nanmax(y))) if finite.any() else (-1.0, 1.0)
        room = max(0.03 * (high - low), 1e-3)
        low, high = low - room, high + room
        half = float(np.diff(found.values[:2])[0]) / 2
        column = np.broadcast_to(np.arange(len(found.values)), y.shape)[finite]
        counts = np.histogram2d(
            y[finite], column, bins=[BINS, len(found.values)], range=[[low, high], [-0.5, len(found.values) - 0.5]]
        )[0]
        depth = np.where(counts > 0, 0.22 + 0.78 * np.log1p(counts) / np.log1p(len(y) / 8), 0)
        image = (np.clip(depth, 0, 1) * 255).round().astype(np.uint8)
        left, right = float(found.values[0]) - half, float(found.values[-1]) + half
        self.source.data = {"image": [image], "x": [left], "y": [low], "dw": [right - left], "dh": [high - low]}
        self.plot.x_range.update(start=left, end=right)
        self.plot.y_range.update(start=low, end=high)
        self.plot.xaxis.axis_label = label
        self.critical.location = found.critical if np.isfinite(found.critical) else None


def _fit(range_: Range1d, values: np.ndarray) -> None:
    """A range that has all these values, with a little room."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (-1.0, 1.0)
    room = max(0.07 * (high - low), 1e-6)
    range_.update(start=low - room, end=high + room)


def _zero(plot: Any) -> None:
    plot.add_layout(Span(location=0, dimension="width", line_color="#888888", line_width=1))


def _whisker(base: str, source: ColumnDataSource) -> Whisker:
    return Whisker(
        base=base,
        upper="high",
        lower="low",
        source=source,
        line_color="#333333",
        upper_head=TeeHead(size=5),
        lower_head=TeeHead(size=5),
    )


def ticked(axis: Any, labels: dict[int, str]) -> None:
    """Ticks at these places and nowhere else."""
    axis.ticker = FixedTicker(ticks=list(labels))
    axis.major_label_overrides = dict(labels)
