"""Small SVG marks: everything is coloured by the page's style sheet, so one picture serves light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from markupsafe import Markup

from popeq.drawing import corner_texts
from popeq.metrics import DensitySettings, densities, grid_of
from popeq.plain_text import visible
from popeq.space import Space
from popeq.typing import Floats

#: Side of a plane picture in its own units.
SIDE = 240
#: Room for the numbers of the axes, and for points at an edge.
_LEFT, _BELOW, _EDGE = 34, 22, 4
#: Probability inside each drawn region, the outermost first.
REGIONS = (0.95, 0.8, 0.6, 0.4, 0.2)


def number(value: float) -> str:
    """A coordinate with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0").replace("-0.0", "0")


def text(x: float, y: float, content: str, css: str, anchor: str = "start") -> Markup:
    """A text mark; ``content`` may be anybody's and comes out as text, not as markup."""
    return Markup('<text x="%s" y="%s" class="%s" text-anchor="%s">%s</text>') % (
        number(x),
        number(y),
        css,
        anchor,
        visible(content),
    )


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> Markup:
    """A straight line."""
    ends = (number(v) for v in (x1, y1, x2, y2))
    return Markup('<line x1="%s" y1="%s" x2="%s" y2="%s" class="%s"/>') % (*ends, css)


def picture(
    width: float,
    height: float,
    marks: Sequence[Markup],
    title: str,
    css: str,
    left: float = 0,
    top: float = 0,
) -> Markup:
    """An SVG picture with an accessible name, whose corner is at (``left``, ``top``)."""
    return Markup('<svg class="%s" viewBox="%s %s %s %s" role="img" aria-label="%s">%s</svg>') % (
        css,
        number(left),
        number(top),
        number(width),
        number(height),
        visible(title),
        Markup("").join(marks),
    )


def dots(points: Floats, css: str) -> Markup:
    """Points (n, 2) in picture units as one path of round caps."""
    rounded = np.rint(points).astype(int)
    return Markup('<path class="%s" d="%s"/>') % (
        css,
        "M%d %dh0" * len(rounded) % tuple(rounded.ravel().tolist()),
    )


def _in_picture(points: Floats, space: Space) -> Floats:
    """Points (n, 2), dB, in picture units: x to the right, y up."""
    share = (points - space.low) / space.size
    return np.stack([share[:, 0] * SIDE, (1.0 - share[:, 1]) * SIDE], axis=1)


def density_of(points: Floats, space: Space, settings: DensitySettings) -> Floats:
    """Cell masses (cells, cells) of the reflective density of points (n, 2), x first."""
    mass = densities(points, grid_of(space, settings.cells), settings.floor_db(space)).reflective
    return mass.reshape(settings.cells, settings.cells)


def regions(mass: Floats) -> Markup:
    """The smallest regions that hold REGIONS of a density, stacked, from cell masses (cells, cells)."""
    from contourpy import contour_generator

    cells = len(mass)
    ordered = np.sort(mass, axis=None)[::-1]
    held = np.cumsum(ordered)
    # A ring at the edge with the nearest cell's mass and one just outside with none: loops close at the box.
    padded = np.zeros((cells + 4, cells + 4))
    padded[2:-2, 2:-2] = mass
    padded[1:-1, 1], padded[1:-1, -2] = padded[1:-1, 2], padded[1:-1, -3]
    padded[1, 1:-1], padded[-2, 1:-1] = padded[2, 1:-1], padded[-3, 1:-1]
    drawer = contour_generator(*_corners(cells), padded.T)
    levels = ordered[np.minimum(np.searchsorted(held, REGIONS), len(held) - 1)].tolist()
    paths = ["".join(_loop(np.asarray(loop)) for loop in drawer.lines(level)) for level in levels]
    return Markup("".join(f'<path class="hdr" d="{path}"/>' for path in paths))


@lru_cache(maxsize=4)
def _corners(cells: int) -> tuple[Floats, Floats]:
    """The places of the numbers that ``regions`` draws, x and y (cells + 4, cells + 4) in picture units."""
    axis = np.concatenate([[-1e-3, 0.0], np.arange(cells) + 0.5, [cells, cells + 1e-3]]) * (SIDE / cells)
    x, y = np.meshgrid(axis, SIDE - axis)
    return x, y


def _loop(points: Floats) -> str:
    """A closed loop in relative whole units; steps that round to nothing are left out."""
    rounded = np.minimum(np.maximum(np.rint(points), 0), SIDE).astype(int)
    steps = rounded[1:] - rounded[:-1]
    steps = steps[(steps[:, 0] != 0) | (steps[:, 1] != 0)]
    if len(steps) < 2:
        return ""
    moves = " %d,%d" * (len(steps) - 1) % tuple(steps[:-1].ravel().tolist())
    moves = moves[1:].replace(",-", "-").replace(",", " ")
    return f"M{rounded[0, 0]} {rounded[0, 1]}l{moves}z"


def plane_picture(
    space: Space, mass: Floats, listeners: Floats, samples: Floats | None, title: str
) -> Markup:
    """A density, the listeners' points, and a predictor's samples or else the names of the corners."""
    zero_x, zero_y = _in_picture(np.zeros((1, 2)), space)[0]
    marks = [
        Markup('<rect class="box" width="%d" height="%d"/>') % (SIDE, SIDE),
        regions(mass),
    ]
    if 0 < zero_x < SIDE:
        marks.append(line(zero_x, 0, zero_x, SIDE, "zero"))
    if 0 < zero_y < SIDE:
        marks.append(line(0, zero_y, SIDE, zero_y, "zero"))
    if samples is not None:
        marks.append(dots(_in_picture(samples, space), "samples"))
    else:
        for (right, top), name in corner_texts(space).items():
            x, y = (SIDE - 5, 12) if right else (5, 12)
            marks.append(text(x, y if top else SIDE - 6, name, "corner", "end" if right else "start"))
    chosen = _in_picture(listeners, space)
    marks += [dots(chosen, "ring"), dots(chosen, "listeners"), *_axis_numbers(space)]
    return picture(SIDE + _LEFT + _EDGE, SIDE + _BELOW + _EDGE, marks, title, "plane", -_LEFT, -_EDGE)


def _axis_numbers(space: Space) -> list[Markup]:
    """The numbers of both axes in dB, beside the box, and between them which axis it is."""
    marks = []
    low, high = space.low.tolist(), space.high.tolist()
    for value in _ticks(low[0], high[0]):
        x, _ = _in_picture(np.array([[value, low[1]]]), space)[0]
        anchor = "start" if value == low[0] else "end" if value == high[0] else "middle"
        marks.append(text(x, SIDE + 17, f"{value:g}", "tick", anchor))
    for value in _ticks(low[1], high[1]):
        _, y = _in_picture(np.array([[low[0], value]]), space)[0]
        at = y + (14 if value == high[1] else 0 if value == low[1] else 5)
        marks.append(text(-5, at, f"{value:g}", "tick", "end"))
    marks.append(text(0.75 * SIDE, SIDE + 17, "x", "tick", "middle"))
    marks.append(text(-5, 0.25 * SIDE + 5, "y", "tick", "end"))
    return marks


def _ticks(low: float, high: float) -> list[float]:
    """The ends of an axis, and 0 or else the middle, if that is not near an end."""
    middle = 0.0 if low < 0 < high else (low + high) / 2
    return [low, middle, high] if min(middle - low, high - middle) > (high - low) / 6 else [low, high]
