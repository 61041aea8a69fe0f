"""What every figure is looked at for."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.text import Text

SMALLEST = 5.9  # points; what is smaller is not read


def texts(figure: Figure) -> str:
    """All words of a figure that are to be seen."""
    return " | ".join(" ".join(text.get_text().split()) for text in figure.findobj(Text) if text.get_visible())


def caption(figure: Figure) -> str:
    return " ".join(figure.get_supxlabel().split())


def assert_whole(figure: Figure, *, smallest: float = SMALLEST, room: float = 10) -> None:
    """Nothing is clipped, no text too small, no legend on a panel, no panel squeezed, ticks that are apart."""
    width, height = figure.get_size_inches()
    drawn = figure.get_tightbbox()
    assert 0 <= drawn.x0 + 1e-6 and drawn.x1 <= width and 0 <= drawn.y0 + 1e-6 and drawn.y1 <= height, drawn
    for text in figure.findobj(Text):
        if text.get_text().strip() and text.get_visible():
            assert text.get_fontsize() >= smallest, text.get_text()
    for ax in figure.axes:
        if (legend := ax.get_legend()) is not None and ax.axison:  # else the place is its own
            assert not legend.get_window_extent().overlaps(ax.get_window_extent().padded(-1))
        for words in figure.legends:
            assert not words.get_window_extent().overlaps(ax.get_window_extent().padded(-1))
        if not ax.axison:
            continue
        if ax.collections and ax.get_label() != "<colorbar>":
            assert ax.get_window_extent().height > room
        low, high = ax.get_xlim()
        shown = [
            tick.label1.get_window_extent()
            for tick in ax.xaxis.get_major_ticks()
            if tick.label1.get_text() and tick.label1.get_visible() and low <= tick.get_loc() <= high
        ]
        for one, other in zip(shown[:-1], shown[1:], strict=True):
            assert one.x1 <= other.x0, ax.get_title(loc="left")
