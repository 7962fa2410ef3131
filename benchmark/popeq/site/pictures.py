"""Pictures of the site: intervals against the reference lines, box plots, critical differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from popeq.site.svg import dots, line, number, picture, text
from popeq.typing import Floats

_BAR_WIDTH, _BAR_HEIGHT = 190.0, 26.0
#: Characters of a name for which pictures have room.
NAME = 24


class Mark(NamedTuple):
    """A reference line as a picture draws it; ``value`` in dB."""

    css: str
    name: str
    value: float


@dataclass(frozen=True)
class Scale:
    """A linear scale from dB to picture units."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        """Round values on the scale, five to nine of them."""
        span = self.high - self.low
        step = next(s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1e9) if span / s <= 9)
        first = np.ceil(self.low / step - 1e-9)
        return [float(step * k) + 0.0 for k in np.arange(first, np.floor(self.high / step + 1e-9) + 1)]


def score_scale(highs: Sequence[float]) -> Scale:
    """The common scale of the interval bars, from 0 to just above the largest upper end."""
    finite = [h for h in highs if np.isfinite(h)]
    top = max(finite, default=1.0)
    return Scale(0.0, top * 1.03 if top > 0 else 1.0, 4.0, _BAR_WIDTH - 4.0)


def interval_bar(scale: Scale, mean: float, low: float, high: float, marks: Sequence[Mark]) -> Markup:
    """A mean with its interval against vertical reference lines."""
    middle = _BAR_HEIGHT / 2
    drawn = [line(scale(at), 0, scale(at), _BAR_HEIGHT, css) for css, _, at in marks]
    drawn.append(line(scale(low), middle, scale(high), middle, "ci"))
    drawn += [line(scale(end), middle - 4, scale(end), middle + 4, "ci") for end in (low, high)]
    drawn.append(
        Markup('<circle cx="%s" cy="%s" r="4" class="mean"/>') % (number(scale(mean)), number(middle))
    )
    title = f"mean {mean:.2f} dB, 95 % interval {low:.2f} to {high:.2f}"
    return picture(_BAR_WIDTH, _BAR_HEIGHT, drawn, title, "bar")


def bar_axis(scale: Scale) -> Markup:
    """The axis of the interval bars, for the head of their column."""
    drawn = [line(scale(scale.low), 15, scale(scale.high), 15, "axis")]
    for tick in scale.ticks:
        drawn += [line(scale(tick), 12, scale(tick), 18, "axis")]
        drawn += [text(scale(tick), 9, f"{tick:g}", "tick", "middle")]
    return picture(_BAR_WIDTH, 19, drawn, "scale in dB", "bar")


@dataclass(frozen=True)
class Box:
    """One box of a box plot: its scores by prompt, dB; ``css`` says what it is."""

    label: str
    scores: Floats
    css: str = ""


def box_plot(boxes: Sequence[Box], marks: Sequence[Mark]) -> Markup:
    """Horizontal box plots over prompts (quartiles, whiskers to 1.5 IQR, each prompt a point) against
    reference lines, as in figures 10 and 11 of the paper."""
    left, width, row = 190.0, 680.0, 38.0
    top = max(float(np.max(b.scores)) for b in boxes) * 1.04 or 1.0
    scale = Scale(0.0, top, left, width - 12.0)
    height = row * len(boxes) + 42
    drawn = []
    for tick in scale.ticks:
        drawn += [line(scale(tick), 4, scale(tick), height - 34, "gridline")]
        drawn += [text(scale(tick), height - 20, f"{tick:g}", "tick", "middle")]
    drawn += [line(scale(at), 4, scale(at), height - 34, css) for css, _, at in marks]
    for i, box in enumerate(boxes):
        drawn.append(_box(box, scale, 4 + row * (i + 0.5), left))
    drawn.append(text(width - 12, height - 4, "dB, lower is better", "tick", "end"))
    medians = "; ".join(f"{b.label}: median {np.median(b.scores):.2f} dB" for b in boxes)
    return picture(width, height, drawn, f"Box plots over prompts. {medians}", "boxes")


def _box(box: Box, scale: Scale, y: float, left: float) -> Markup:
    q1, q2, q3 = np.quantile(box.scores, [0.25, 0.5, 0.75]).tolist()
    reach = 1.5 * (q3 - q1)
    inside = box.scores[(box.scores >= q1 - reach) & (box.scores <= q3 + reach)]
    low, high = float(inside.min()), float(inside.max())
    jitter = ((np.arange(len(box.scores)) * 0.618) % 1.0 - 0.5) * 18
    points = np.stack([[scale(v) for v in box.scores.tolist()], y + jitter], axis=1)
    marks = [
        text(left - 12, y + 4, box.label, "label", "end"),
        line(scale(low), y, scale(q1), y, "whisker"),
        line(scale(q3), y, scale(high), y, "whisker"),
        Markup('<rect x="%s" y="%s" width="%s" height="20" class="box"/>')
        % (number(scale(q1)), number(y - 10), number(max(scale(q3) - scale(q1), 0.5))),
        dots(points, "point"),
        line(scale(q2), y - 10, scale(q2), y + 10, "middle"),
    ]
    return Markup('<g class="%s">%s</g>') % (f"boxed {box.css}".strip(), Markup("").join(marks))


def inseparable(order: Sequence[int], p: Floats, alpha: float) -> list[tuple[int, int]]:
    """Longest runs (first, last) of positions in ``order`` in which no pair is separated; runs of two or more
    that lie in no other. NaN (not tested) does not separate."""
    n = len(order)
    apart = p[np.ix_(order, order)] < alpha
    runs: list[tuple[int, int]] = []
    last = -1
    for first in range(n):
        end = first
        while end + 1 < n and not apart[end + 1, first : end + 1].any():
            end += 1
        if end > first and end > last:
            runs.append((first, end))
        last = max(last, end)
    return runs


def critical_difference(labels: Sequence[str], means: Sequence[float], p: Floats, alpha: float) -> Markup:
    """Mean scores (dB) on a line; a bar joins methods that no test separates (after Demsar 2006, with the
    board's own p (n, n) in place of Nemenyi's distance of ranks)."""
    order = np.argsort(means, kind="stable").tolist()
    n, width, side, row = len(order), 820.0, 240.0, 17.0
    runs = inseparable(order, p, alpha)
    low, high = means[order[0]], means[order[-1]]
    room = (high - low) * 0.03 or 0.5
    scale = Scale(low - room, high + room, side, width - side)
    below = 38 + 9.0 * len(runs)
    half = (n + 1) // 2
    height = below + row * half + 12
    drawn = [line(scale.start, 24, scale.end, 24, "axis")]
    for tick in scale.ticks:
        drawn += [line(scale(tick), 19, scale(tick), 24, "axis")]
        drawn += [text(scale(tick), 14, f"{tick:g}", "tick", "middle")]
    for k, (first, end) in enumerate(runs):
        y = 34 + 9.0 * k
        drawn.append(line(scale(means[order[first]]) - 4, y, scale(means[order[end]]) + 4, y, "clique"))
    for position, method in enumerate(order):
        on_left = position < half
        y = below + row * ((position if on_left else n - 1 - position) + 0.8)
        x, edge = scale(means[method]), side - 16 if on_left else width - side + 16
        path = f"M{number(x)} 24V{number(y)}H{number(edge)}"
        drawn.append(Markup('<path class="lead" d="%s"/>') % path)
        name = f"{labels[method]}  {means[method]:.2f}"
        drawn.append(text(edge + (-5 if on_left else 5), y + 4, name, "label", "end" if on_left else "start"))
    title = f"Critical-difference diagram: mean score of {n} methods in dB, best first on the left"
    return picture(width, height, drawn, title, "cd")
