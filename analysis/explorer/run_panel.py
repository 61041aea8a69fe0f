"""The run's side of the page: its phase diagram, the networks under a click, and a field for a cell's number."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from bokeh import layouts
from bokeh.events import DoubleTap, Tap
from bokeh.models import ColumnDataSource, DataTable, Div, Select, TableColumn, TextInput

from analysis.cells import concise
from analysis.explorer.asked import Asked, read_choice
from analysis.explorer.controls import BESIDE, Complaint
from analysis.explorer.panels import empty_plot, ticked
from analysis.explorer.plane import MEASURES, POOLED, Plane, choices, labels, usual_axes
from analysis.style import number
from attractor_jax.axes import table_axes, varied_axes
from sweeps.arguments import ArgumentProblem

# Networks that a list holds; what lies under one point of a large run is counted, and the first of it listed.
LISTED = 400
WIDTH = 418


class RunPanel:
    """Diagram, list and field.

    Args:
        df: a classified table, which may be empty.
        chosen: called with a row of it.
        turned: called when another axis or measure is shown.
    """

    def __init__(self, df: pd.DataFrame, chosen: Callable[[pd.Series], None], turned: Callable[[], None]) -> None:
        # Manifests travel with a table, and pandas copies them at every selection.
        self.df = df.copy(deep=False)
        self.df.attrs = {"axes": table_axes(df)} if len(df) else {}
        self.chosen, self.turned = chosen, turned
        across, up = choices(df)
        x, y = usual_axes(df) if len(df) else ("", "")
        self.x = Select(title="across", options=across, value=x, width=110, name="x")
        self.y = Select(title="up", options=up, value=y, width=110, name="y")
        self.measure = Select(title="colour", options=list(MEASURES.items()), value="regime", width=178, name="measure")
        for select in (self.x, self.y, self.measure):
            select.on_change("value", self._turn)
        self.plot = empty_plot(WIDTH, 262, "", "", name="diagram")
        self.plot.min_border_left = 44
        self.source = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self.plot.image_rgba(image="image", x="x", y="y", dw="dw", dh="dh", source=self.source)
        self.mark = ColumnDataSource({"x": [], "y": []})
        # Ink within white: to be seen on every colour.
        for colour, width in (("#ffffff", 4), ("#1a1a1a", 2)):
            self.plot.rect(
                "x", "y", 1, 1, source=self.mark, fill_alpha=0, line_color=colour, line_width=width, line_join="round"
            )
        # Two quick clicks are one double tap, and no tap at all.
        self.plot.on_event(Tap, self._tapped)
        self.plot.on_event(DoubleTap, self._tapped)
        self.legend = Div(text="", width=WIDTH, margin=(0, 0, 0, 4))
        self.heading = Div(text=self._heading(), width=WIDTH, margin=(2, 0, 0, 4), name="heading")
        self.rows = ColumnDataSource({name: [] for name in ("cell_id", *self._shown, "regime", "lambda_1")})
        columns = [TableColumn(field="cell_id", title="cell", width=44)]
        columns += [TableColumn(field=axis, title=axis, width=48) for axis in self._shown]
        columns += [TableColumn(field="regime", title="regime", width=104)]
        columns += [TableColumn(field="lambda_1", title="λ₁ (nats/step)", width=176)]
        self.table = DataTable(
            source=self.rows, columns=columns, index_position=None, width=WIDTH, height=134, row_height=21,
            autosize_mode="none", fit_columns=True, sortable=False, reorderable=False, margin=(0, 0, 0, 4), name="list",
        )  # fmt: skip
        self.rows.selected.on_change("indices", self._picked)
        self.field = TextInput(
            title="cell", value="", width=190, placeholder="cell_id", stylesheets=[BESIDE], margin=(1, 8, 1, 4),
            name="field_cell",
        )  # fmt: skip
        self.field.on_change("value", self._typed)
        self.complaint = Complaint(WIDTH)
        self.cells = df.iloc[:0]
        self.layout = layouts.column(
            layouts.row(self.x, self.y, self.measure), self.plot, self.legend, self.heading, self.table,
            layouts.row(self.field), self.complaint.line,
        )  # fmt: skip
        self._draw()

    @property
    def plane(self) -> Plane:
        """The diagram as it is chosen now."""
        return Plane(self.df, self.x.value, self.y.value, self.measure.value)

    def restore(self, given: dict[str, str]) -> list[str]:
        """Choose what an address says; what it says that there is not, in words."""
        problems = []
        for name, select in (("x", self.x), ("y", self.y), ("measure", self.measure)):
            there = [str(option[0] if isinstance(option, tuple) else option) for option in select.options]
            if name in given:
                try:
                    select.value = read_choice(name, given[name], there)
                except ArgumentProblem as problem:
                    problems.append(str(problem))
        if "cell" in given:
            self.field.value = given["cell"]
        return problems

    def follow(self, asked: Asked) -> None:
        """Mark the cell that the page shows now; none if it is no longer one of the run."""
        row = self._row(asked.cell) if asked.cell is not None else None
        if row is not None or not self.complaint.line.visible:
            self.complaint.say(self.field, "")
            self.field.value = "" if row is None else str(asked.cell)
        column, line = self.plane.place(row) if row is not None else (0, 0)
        self.mark.data = {"x": [], "y": []} if row is None else {"x": [column], "y": [line]}
        if row is not None and asked.cell not in self.cells["cell_id"].to_numpy():
            self._list(self.plane.under(column, line))
        # The table takes the keyboard to itself whenever a row is selected for it: words say which one is shown.
        if len(self.cells):
            self.heading.text = self._listed() + ("" if row is None else f"; cell {asked.cell} is shown")

    def _row(self, cell: int) -> pd.Series | None:
        here = self.df[self.df["cell_id"] == cell] if len(self.df) else self.df
        return here.iloc[0] if len(here) else None

    @property
    def _shown(self) -> list[str]:
        """Axes that the list has a column for."""
        return (varied_axes(self.df) or table_axes(self.df)[-1:]) if len(self.df) else []

    def _heading(self) -> str:
        return "Click the diagram: the networks there are listed here." if len(self.df) else "No cells in this run."

    def _draw(self) -> None:
        if self.df.empty:
            return
        plane = self.plane
        image = plane.image
        height, width = image.shape
        self.source.data = {"image": [image], "x": [-0.5], "y": [-0.5], "dw": [width], "dh": [height]}
        self.plot.x_range.update(start=-0.5, end=width - 0.5)
        self.plot.y_range.update(start=-0.5, end=height - 0.5)
        ticked(self.plot.xaxis[0], labels(plane.across))
        ticked(self.plot.yaxis[0], labels(plane.up) if plane.y != POOLED else {})
        self.plot.xaxis.axis_label, self.plot.yaxis.axis_label = plane.x, plane.y if plane.y != POOLED else ""
        colours = "".join(
            f'<span style="white-space: nowrap; margin-right: 9px"><span style="display: inline-block; width: 11px; '
            f'height: 11px; border: 1px solid #777; background: {colour}; vertical-align: -1px"></span> '
            f"{escape(name)}</span>"
            for colour, name in plane.legend
        )
        self.legend.text = f'<div style="font-size: 12px; line-height: 1.35">{colours}</div>'

    def _turn(self, _: str, __: str, ___: str) -> None:
        if self.x.value == self.y.value:  # a diagonal says nothing: all of the other axes together say something
            self.y.value = POOLED
            return
        self._draw()
        # What was listed lay under a point of another diagram.
        self.cells, self.heading.text = self.df.iloc[:0], self._heading()
        self.rows.data = {str(name): [] for name in self.rows.data}
        self.turned()

    def _tapped(self, event: Any) -> None:
        if self.df.empty or event.x is None or event.y is None:
            return
        cells = self.plane.under(event.x, event.y)
        if cells.empty:
            return
        self._list(cells)
        column, line = self.plane.place(cells.iloc[0])
        self.mark.data = {"x": [column], "y": [line]}
        if len(cells) == 1:
            self.rows.selected.indices = [0]

    def _list(self, cells: pd.DataFrame) -> None:
        """These networks, and none of them chosen."""
        self.cells = cells
        if self.rows.selected.indices:
            self.rows.selected.indices = []
        told = cells.head(LISTED)
        data: dict[str, Any] = {"cell_id": told["cell_id"].to_numpy()}
        data |= {axis: [number(value) for value in told[axis]] for axis in self._shown}
        data["regime"] = [str(regime).replace("_", " ") for regime in told["regime"]]
        data["lambda_1"] = [
            concise(value, error) if np.isfinite(value) else str(value)
            for value, error in zip(told["lambda_1"].astype(float), told["lambda_1_se"].astype(float), strict=True)
        ]
        self.rows.data = data
        self.heading.text = self._listed()

    def _listed(self) -> str:
        more = f", the first {LISTED} of which are listed" if len(self.cells) > LISTED else ""
        return escape(self.plane.named(self.cells) + more)

    def _picked(self, _: str, __: list[int], indices: list[int]) -> None:
        if indices and indices[0] < len(self.cells):
            self.chosen(self.cells.iloc[indices[0]])

    def _typed(self, _: str, __: str, text: str) -> None:
        if not text.strip():
            self.complaint.say(self.field, "")
            return
        row = self._row(int(text)) if text.strip().isascii() and text.strip().isdigit() else None
        if row is None:
            low, high = (self.df["cell_id"].min(), self.df["cell_id"].max()) if len(self.df) else (0, 0)
            self.complaint.say(
                self.field, f"`cell` must be the number of a cell of this run ({low} to {high}), got {text!r}"
            )
            return
        self.complaint.say(self.field, "")
        self.chosen(row)
