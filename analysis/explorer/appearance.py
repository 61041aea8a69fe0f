"""How does the page look, and what does it do in the browser itself?"""

from __future__ import annotations

from bokeh.themes import Theme

THEME = Theme(
    json={
        "attrs": {
            "Axis": {
                "axis_label_text_font_style": "normal", "axis_label_text_font_size": "12px",
                "major_label_text_font_size": "11px", "axis_line_color": "#777777", "major_tick_line_color": "#777777",
                "minor_tick_line_color": None, "axis_label_text_color": "#1a1a1a",
            },
            "Title": {"text_font_size": "12px", "text_font_style": "normal"},
        }
    }
)  # fmt: skip
COMPACT = ".bk-input-group label { font-size: 12px; margin: 0 } .bk-input { font-size: 13px }"
ADDRESS = "window.history.replaceState(null, '', '?' + cb_obj.text)"
READY = "window.history.replaceState(null, '', '?' + address.text)"
DOWNLOAD = """
if (!cb_obj.text) return
const {name, kind, base64} = JSON.parse(cb_obj.text)
const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))
const link = document.createElement("a")
link.href = URL.createObjectURL(new Blob([bytes], {type: kind}))
link.download = name
link.click()
URL.revokeObjectURL(link.href)
"""

# What is said beside.
QUIET = "color: #666; font-size: 12px"
