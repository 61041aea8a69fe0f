"""What a person turns: a field and a slider for every axis of the system, and a red line where a number will not do."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from bokeh.layouts import row
from bokeh.models import Div, Slider, TextInput, UIElement

from analysis.explorer.asked import read_axis, slider_ends
from attractor_jax.systems import Axis, System
from sweeps.arguments import ArgumentProblem

RED = "#b00020"
# The name of a field stands before it, not above: five of them fit under a diagram.
BESIDE = f"""
.bk-input-group {{ flex-direction: row; align-items: center; gap: 6px; }}
.bk-input-group label {{ min-width: 58px; margin: 0; }}
.bk-input-group label, .bk-input {{ font-size: 13px; }}
.bk-input {{ height: 26px; padding: 2px 6px; }}
.bk-input:focus-visible {{ outline: 2px solid #3f78b5; }}
:host(.bad) .bk-input {{ border-color: {RED}; box-shadow: 0 0 0 1px {RED}; }}
"""


class Complaint:
    """The red line under a field."""

    def __init__(self, width: int) -> None:
        self.line = Div(text="", visible=False, width=width, margin=(0, 0, 2, 4))

    def say(self, field: TextInput, problem: str) -> None:
        """Show what is wrong with a field, or nothing if nothing is."""
        field.css_classes = ["bad"] if problem else []
        self.line.text = f'<span role="alert" style="color: {RED}; font-size: 12px">{escape(problem)}</span>'
        self.line.visible = bool(problem)


class AxisControl:
    """Field and slider of one axis, which always agree.

    Args:
        changed: called with the axis' name and a number that will do, never with another.
    """

    def __init__(
        self, system: System, axis: Axis, value: float, width: int, changed: Callable[[str, float], None]
    ) -> None:
        self.system, self.axis, self.changed = system, axis, changed
        self.value = value
        self.field = TextInput(
            title=axis.name, value=_text(value), width=190, margin=(1, 8, 1, 4),
            stylesheets=[BESIDE], name=f"field_{axis.name}",
        )  # fmt: skip
        self.complaint = Complaint(width)
        self.slider: Slider | None = None
        if axis.name != "seed":
            low, high = slider_ends(system, axis, value)
            step = 1 if axis.kind is int else float(f"{(high - low) / 400:.1g}")
            self.slider = Slider(
                start=low, end=high, value=value, step=step, show_value=False, width=width - 230, margin=(6, 8, 1, 4),
                title="", bar_color="#a9cbe3", name=f"slider_{axis.name}",
            )  # fmt: skip
            # A new N or D compiles: only where the slider comes to rest.
            self.slider.on_change("value_throttled" if axis.static else "value", self._moved)
        self.field.on_change("value", self._typed)

    def elements(self, beside: UIElement | None = None) -> list[UIElement]:
        """A row, and the red line under it."""
        second = self.slider or beside
        return [row(self.field, second) if second else row(self.field), self.complaint.line]

    def set(self, value: float) -> None:
        """Show this number, and nothing wrong."""
        self.value = value
        self.complaint.say(self.field, "")
        self.field.value = _text(value)
        if self.slider is not None:
            low, high = slider_ends(self.system, self.axis, value)
            self.slider.update(start=low, end=high, value=value)

    def refuse(self, text: str, problem: str) -> None:
        """Show what was given, and why it will not do."""
        self.field.value = text
        self.complaint.say(self.field, problem)

    def _typed(self, _: str, __: str, text: str) -> None:
        try:
            value = read_axis(self.axis, text)
        except ArgumentProblem as problem:
            self.complaint.say(self.field, str(problem))
            return
        self.complaint.say(self.field, "")
        if value != self.value and _text(self.value) != text:
            self.changed(self.axis.name, value)

    def _moved(self, _: str, __: float, given: float) -> None:
        value = self.axis.kind(round(given, 10))
        if abs(value - self.value) > 1e-9 * max(1.0, abs(self.value)):
            self.changed(self.axis.name, value)


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.10g}"
