"""Whether the texts of a picture can be read: none cut off, none over another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox


def _of_axis(axis: Axis) -> Iterator[Text]:
    low, high = sorted(axis.get_view_interval())
    slack = 1e-9 * (high - low)
    yield axis.label
    for tick in axis.get_major_ticks():
        if low - slack <= tick.get_loc() <= high + slack:
            yield tick.label1


def texts(figure: Figure) -> list[tuple[str, Bbox]]:
    """What is written on a figure, and where in pixels."""
    figure.draw_without_rendering()
    found = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for axes in figure.axes:
        legend = axes.get_legend()
        found += [axes.title, *axes.texts, *(legend.get_texts() if legend else ())]
        found += [*_of_axis(axes.xaxis), *_of_axis(axes.yaxis)]
    shown = [t for t in found if t.get_visible() and t.get_text().strip()]
    return [(t.get_text(), Text.get_window_extent(t)) for t in shown]  # an annotation's own has its line too


def problems(figure: Figure) -> list[str]:
    """Texts that are cut off or that overlap, in words."""
    placed = texts(figure)
    width, height = figure.bbox.width, figure.bbox.height
    found = [
        f"cut off: {name!r} at {box.extents.round(1).tolist()} of {width:g} x {height:g}"
        for name, box in placed
        if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1
    ]
    for (one, a), (other, b) in combinations(placed, 2):
        wide = min(a.x1, b.x1) - max(a.x0, b.x0)
        high = min(a.y1, b.y1) - max(a.y0, b.y0)
        if wide > 1 and high > 1:
            found.append(f"{one!r} is over {other!r}")
    return found
