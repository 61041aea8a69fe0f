"""The page itself: what stands where, and who is told when something changes.

Everything that computes runs beside the event loop, newest request first: the page answers while JAX compiles.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from html import escape
from typing import Any

import pandas as pd
from bokeh.document import Document
from bokeh.events import DoubleTap, Tap
from bokeh.layouts import column, row
from bokeh.models import Button, CustomJS, Div, Select, UIElement

from analysis.cells import finding
from analysis.explorer import keep, live
from analysis.explorer.appearance import ADDRESS, COMPACT, DOWNLOAD, QUIET, READY, THEME
from analysis.explorer.asked import (
    Asked,
    axis_label,
    first_axes,
    named,
    read_axes,
    read_choice,
    slider_ends,
    swept_axis,
)
from analysis.explorer.controls import RED, AxisControl
from analysis.explorer.panels import AlongPanel, OutputPanel, PortraitPanel, RunningPanel, SpectrumPanel, shown
from analysis.explorer.requests import Requests, Wanted
from analysis.explorer.run_panel import WIDTH, RunPanel
from analysis.explorer.workplace import Workplace
from attractor_jax.portrait import Portrait, coordinate_names
from attractor_jax.systems import REGISTRY, get
from sweeps.arguments import ArgumentProblem

# Seconds that a new shape must be looked at before anything but its first picture is compiled.
PASSING = 0.5
PORTRAIT, BESIDE, HEIGHT = 436, 396, 164
# The order of the fields: what is turned most stands first, and parameters of other systems before the initial state.
FIELDS = {"seed": 0, "s": 1, "N": 2, "D": 3, "replicate": 9}


class Page:
    """One page that somebody looks at."""

    def __init__(self, document: Document, place: Workplace, given: Mapping[str, str]) -> None:
        self.document, self.place = document, place
        self.requests = Requests(document, place.pool, self._failed)
        self.picture: Portrait | None = None
        self.along: tuple[Any, ...] = ()
        self.notes: list[str] = []
        name = str(place.df["system"].iloc[0]) if place.df is not None and len(place.df) else "uniform"
        if place.df is None and "system" in given:
            try:
                name = read_choice("system", given["system"], _systems())
            except ArgumentProblem as problem:
                self.notes.append(str(problem))
        self.system = get(name)
        self.asked = Asked(name, first_axes(self.system), ("x1", "x2"))
        self._make()
        self._restore(dict(given))
        document.theme = THEME
        document.title = "attractor_jax"
        document.js_on_event("document_ready", CustomJS(args={"address": self.address}, code=READY))
        document.add_root(self.layout)
        document.on_session_destroyed(lambda _: self.requests.stop())

    # What stands where

    def _make(self) -> None:
        right = self._right()
        self.layout = row(self._left(), right, margin=(4, 0, 0, 4))
        for model in self.layout.references():
            if isinstance(model, UIElement) and model.name:
                model.html_id = model.name

    def _left(self) -> Any:
        """The run's diagram and list, if there is a run, and everything that can be turned."""
        self.note = Div(text="", width=WIDTH, visible=False, name="note")
        heading = f"<b>attractor_jax</b> {escape(self.place.run)}"
        left: list[Any] = [Div(text=heading, width=WIDTH, margin=(2, 0, 0, 4)), self.note]
        self.run: RunPanel | None = None
        if self.place.df is not None:
            self.run = RunPanel(self.place.df, self._chosen, self._turned_diagram)
            left.append(self.run.layout)
        else:
            system = Select(title="system", options=_systems(), value=self.system.name, width=190, name="system")
            system.js_on_change("value", CustomJS(code="window.location.search = '?system=' + cb_obj.value"))
            left.append(system)
        surprise = Button(label="surprise me", width=150, height=28, margin=(2, 8, 0, 4), name="surprise")
        surprise.on_click(self._surprise)
        self.controls: dict[str, AxisControl] = {}
        for axis in sorted(self.system.axes, key=lambda axis: FIELDS.get(axis.name, 4)):
            control = AxisControl(self.system, axis, self.asked.axes[axis.name], WIDTH, self._turned)
            self.controls[axis.name] = control
            left += control.elements(surprise if axis.name == "seed" else None)
        if "seed" not in self.controls:
            left.append(surprise)
        keeping: list[Any] = [Div(text="save", width=60, margin=(8, 0, 0, 4))]
        for label, keep_it in (
            ("PNG", self._keep_picture), ("experiment", self._keep_experiment), ("Python", self._keep_python),
        ):  # fmt: skip
            button = Button(label=label, width=104, height=28, margin=(2, 3, 0, 3), name=f"save_{label}")
            button.on_click(keep_it)
            keeping.append(button)
        hint = f"Click the orbit diagram to move {swept_axis(self.system).name}."
        hint += " Dashed: s_critical." if self.system.name == "uniform" else ""
        left += [row(*keeping), Div(text=f'<span style="{QUIET}">{hint}</span>', width=WIDTH, margin=(6, 0, 0, 4))]
        return column(*left, width=WIDTH + 10)

    def _right(self) -> Any:
        """What is seen and known of the network."""
        self.portrait = PortraitPanel(PORTRAIT)
        self.outputs = OutputPanel(BESIDE, HEIGHT - 28)
        self.running = RunningPanel(BESIDE, HEIGHT)
        self.spectrum = SpectrumPanel(BESIDE, HEIGHT)
        self.orbits = AlongPanel(PORTRAIT + BESIDE, 250)
        self.orbits.plot.on_event(Tap, self._tapped)
        self.orbits.plot.on_event(DoubleTap, self._tapped)
        self.across, self.up = (
            Select(title=title, options=[], width=92, stylesheets=[COMPACT], margin=(0, 6, 0, 6), name=name)
            for title, name in (("portrait across", "across"), ("up", "up"))
        )
        for select in (self.across, self.up):
            select.on_change("value", self._turned_portrait)
        self.words = Div(text="", width=BESIDE - 8, height=70, margin=(0, 0, 0, 8), name="words")
        self.state = Div(text="", width=200, margin=(16, 0, 0, 4), name="state")
        self.address = Div(text="", visible=False, name="address")
        self.address.js_on_change("text", CustomJS(code=ADDRESS))
        self.file = Div(text="", visible=False, name="file")
        self.file.js_on_change("text", CustomJS(code=DOWNLOAD))
        seen = column(row(self.across, self.up, self.state), self.portrait.plot)
        told = column(self.words, self.running.plot, self.spectrum.plot, self.outputs.plot)
        return column(row(seen, told), self.orbits.plot, self.address, self.file)

    def _restore(self, given: dict[str, str]) -> None:
        """Show what an address says. What it says wrongly gets a red line, and all else is shown."""
        if self.run is not None:
            self.notes += self.run.restore(given)  # a cell chooses its network
        words = read_axes(self.system, given)
        axes = {**self.asked.axes, **words.values}
        there = self._names(replace(self.asked, axes=axes))
        coordinates = tuple(there[:2])
        for i, name in enumerate(("across", "up")):
            if name in given:
                try:
                    chosen = read_choice(name, given[name], there)
                    coordinates = (chosen, *coordinates[1:]) if i == 0 else (coordinates[0], chosen)
                except ArgumentProblem as problem:
                    self.notes.append(str(problem))
        if len(set(coordinates)) < 2:
            coordinates = tuple(there[:2])
        cell = self.asked.cell if axes == dict(self.asked.axes) else None
        self.ask(replace(self.asked, axes=axes, coordinates=coordinates, cell=cell))
        for name, (text, problem) in words.refused.items():
            self.controls[name].refuse(text, problem)
        self.note.text = f'<span role="alert" style="color: {RED}">{escape("; ".join(self.notes))}</span>'
        self.note.visible = bool(self.notes)

    # What a person does

    def ask(self, asked: Asked) -> None:
        """Show another network, or the same in another way: everything on the page follows."""
        names = self._names(asked)
        if any(name not in names for name in asked.coordinates) or len(asked.coordinates) < 2:
            asked = replace(asked, coordinates=tuple(names[:2]))
        self.asked = asked
        for name, control in self.controls.items():
            control.set(asked.axes[name])
        for select, name in zip((self.across, self.up), asked.coordinates, strict=False):
            select.remove_on_change("value", self._turned_portrait)  # the first of two is no choice of a person
            select.update(options=names, value=name)
            select.on_change("value", self._turned_portrait)
        if self.run is not None:
            self.run.follow(asked)
        self._changed()
        self._compute()

    def _changed(self) -> None:
        """The address says what the page shows."""
        if self.run is not None:
            run = self.run
            self.asked = replace(self.asked, x=run.x.value, y=run.y.value, measure=run.measure.value)
        self.address.text = self.asked.address
        self.orbits.cursor.location = float(self.asked.axes[swept_axis(self.system).name])

    def _names(self, asked: Asked) -> list[str]:
        cell = asked.network
        return list(coordinate_names(cell.map, len(cell.state)))

    def _turned(self, name: str, value: float) -> None:
        self.ask(replace(self.asked, axes={**self.asked.axes, name: value}, cell=None, dtype="float64"))

    def _chosen(self, row: pd.Series) -> None:
        axes = {axis.name: axis.kind(row[axis.name]) for axis in self.system.axes}
        cell = int(row["cell_id"])
        if cell != self.asked.cell or axes != dict(self.asked.axes):
            self.ask(replace(self.asked, axes=axes, cell=cell, dtype=str(row["dtype"])))

    def _turned_diagram(self) -> None:
        if self.run is not None:
            self.run.follow(self.asked)
        self._changed()

    def _turned_portrait(self, _: str, __: str, ___: str) -> None:
        coordinates = self.across.value, self.up.value
        if coordinates == self.asked.coordinates:
            return
        if coordinates[0] == coordinates[1]:  # the two change places
            coordinates = self.asked.coordinates[::-1]
        self.ask(replace(self.asked, coordinates=coordinates))

    def _tapped(self, event: Any) -> None:
        axis = swept_axis(self.system)
        low, high = slider_ends(self.system, axis, self.asked.axes[axis.name])
        if event.x is not None:
            self._turned(axis.name, float(f"{min(max(event.x, low), high):.4g}"))

    def _surprise(self) -> None:
        asked, wanted = self.asked, self._begin("looking for one")
        self.requests.submit(wanted, lambda: self._find(asked, wanted))

    def _keep_picture(self) -> None:
        if self.picture is not None:
            about = {"Title": self.asked.network.name, "Software": "attractor_jax", "Source": "?" + self.asked.address}
            self._download("png", "image/png", keep.png(shown(self.picture.counts), about))

    def _keep_experiment(self) -> None:
        self._download("yaml", "text/yaml", keep.experiment(self.asked).encode())

    def _keep_python(self) -> None:
        self._download("py", "text/x-python", keep.python(self.asked).encode())

    def _download(self, suffix: str, kind: str, content: bytes) -> None:
        told = {
            "name": f"{named(self.asked.axes)}.{suffix}",
            "kind": kind,
            "base64": base64.b64encode(content).decode(),
        }
        self.file.text = ""
        self.file.text = json.dumps(told)

    # What is computed

    def _begin(self, what: str) -> Wanted:
        self.state.text = f'<span style="{QUIET}">{what} …</span>'
        return self.requests.begin()

    def _compute(self) -> None:
        asked, wanted = self.asked, self._begin("iterating")
        self.requests.submit(wanted, lambda: self._look(asked, wanted))

    def _look(self, asked: Asked, wanted: Wanted) -> None:
        cell = asked.network
        seen = live.glance(cell, asked.coordinates)
        self.requests.tell(wanted, lambda: self._show_first(seen))
        shape = (
            asked.system,
            asked.dtype,
            asked.coordinates,
            cell.state.shape,
            getattr(cell.map, "gains", cell.state).shape,
        )
        if shape not in self.place.compiled:
            # What follows compiles for seconds, and cannot be stopped: not for a shape that is only passed through.
            time.sleep(PASSING)
        self.requests.submit(wanted, lambda: self._measure(asked, wanted))
        axis = swept_axis(self.system)
        low, high = slider_ends(self.system, axis, asked.axes[axis.name])
        same = (asked.system, asked.dtype, low, high, *((k, v) for k, v in asked.axes.items() if k != axis.name))
        if same != self.along and wanted():
            found = live.along(cell, axis.name, low, high)
            self.requests.tell(wanted, lambda: self._show_along(same, found))
        if not wanted():
            return
        for picture in live.portraits(cell, seen, wanted, devices=self.place.devices):
            self.requests.tell(wanted, lambda picture=picture: self._show_picture(picture))
            self.place.compiled.add(shape)
        self.requests.tell(wanted, lambda: setattr(self.state, "text", self._told_points()))

    def _measure(self, asked: Asked, wanted: Wanted) -> None:
        for known in live.exponents(asked.network):
            if not wanted():
                return
            self.requests.tell(wanted, lambda known=known: self._show_known(asked, known))

    def _find(self, asked: Asked, wanted: Wanted) -> None:
        axis = swept_axis(self.system)
        low, high = slider_ends(self.system, axis, asked.axes[axis.name])
        axes = live.surprise(asked.network, axis.name, low, high, wanted)
        found = replace(asked, axes=axes, cell=None, dtype="float64")
        self.requests.tell(wanted, lambda: self.ask(found))

    # What is shown

    def _show_first(self, seen: live.Glance) -> None:
        self.outputs.show(seen.outputs)
        if seen.picture is None:
            self.picture = None
            self.portrait.clear()
        else:
            self._show_picture(seen.picture)

    def _show_picture(self, picture: Portrait) -> None:
        self.picture = picture
        self.portrait.show(picture)
        self.state.text = self._told_points()

    def _told_points(self) -> str:
        points = f"{self.picture.points:,} points" if self.picture is not None else "one coordinate: no portrait"
        return f'<span style="{QUIET}">{points}</span>'

    def _show_along(self, same: tuple[Any, ...], found: live.Along) -> None:
        self.along = same
        self.orbits.show(found, axis_label(swept_axis(self.system)))

    def _show_known(self, asked: Asked, known: live.Known) -> None:
        self.running.show(known)
        self.spectrum.show(known)
        told = f"after {known.steps[-1]:,} steps" + ("" if known.finished else " …")
        if not known.row["settled"] and known.row["regime"] != "diverged":
            told += ", whose halves disagree: it was a transient, or still is one"
        if asked.cell is not None and self.place.df is not None:
            row = self.place.df[self.place.df["cell_id"] == asked.cell].iloc[0]
            told += f"; in the run: {str(row['regime']).replace('_', ' ')} after {row['steps']:,}"
        words = f'<b>{escape(finding(known.row))}</b><br><span style="color: #555">{escape(told)}</span>'
        self.words.text = f'<div style="font-size: 13px; line-height: 1.25">{words}</div>'

    def _failed(self, said: str) -> None:
        self.picture = None
        self.portrait.clear()
        self.state.text = ""
        self.words.text = f'<span role="alert" style="color: {RED}">Cannot be shown: {escape(said)}</span>'


def _systems() -> list[Any]:
    """Those whose networks can be drawn at once."""
    return [name for name in REGISTRY if not get(name).trained]


def open_page(document: Document, place: Workplace) -> Page:
    """A page for a new visitor, as the address that was opened says."""
    request: Any = getattr(document.session_context, "request", None)
    arguments = request.arguments if request is not None else {}
    given = {name: values[-1].decode(errors="replace") for name, values in arguments.items() if values}
    return Page(document, place, given)
