"""Answers outside the box of a data set: refused, or moved to its edge and counted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from popeq.errors import UsageError
from popeq.space import Space
from popeq.typing import Floats

AXES = ("x_db", "y_db")
SHARE = "share of responses clipped"


def refuse_outside(points: Floats, space: Space, file: str, lines: Sequence[int]) -> None:
    """Raise UsageError if points (n, 2) in dB lie outside the box: how many, the farthest, what to do.

    ``lines`` are the rows of the file that the points come from.
    """
    beyond = np.abs(points - space.clip(points))
    out = beyond.any(axis=1)
    if not out.any():
        return
    row, axis = divmod(int(beyond.argmax()), len(AXES))
    counts = " and ".join(f"{int((beyond[:, i] > 0).sum())} on {name}" for i, name in enumerate(AXES))
    far = f"{points[row, axis]:g} of {AXES[axis]} in row {lines[row]}"
    raise UsageError(
        f"{file}: {out.mean():.1%} of the responses ({int(out.sum())} of {len(points)}) are outside the box "
        f"{_shown(space)}, {counts}; the farthest is {far}; "
        f"give {holding(points, space)} to keep them all, or --outside clip to move them to its edge"
    )


def moved(points: Floats, space: Space) -> dict[str, object]:
    """Lines of a report on points (n, 2) in dB that the box moves: their share, and by how much on each
    axis."""
    beyond = np.abs(points - space.clip(points))
    report: dict[str, object] = {SHARE: round(float(beyond.any(axis=1).mean()), 4)}
    if by_axis := {
        name: f"{int((far > 0).sum())} of {len(far)}, by {far[far > 0].mean():.3g} dB on average and "
        f"{far.max():.3g} dB at most"
        for name, far in zip(AXES, beyond.T, strict=True)
        if far.any()
    }:
        report["responses moved to the edge of the box"] = by_axis
    return report


def holding(points: Floats, space: Space) -> str:
    """The options for a box that holds points (n, 2) in dB and the present box: whole multiples of its step,
    alike on both axes and symmetric where the present one is."""
    unit = space.step_db * max(1, round(1.0 / space.step_db))
    low, high = np.minimum(points.min(axis=0), space.low), np.maximum(points.max(axis=0), space.high)
    if (space.low == -space.high).all():
        high = np.maximum(high, -low)
        low = -high
    if space.low[0] == space.low[1] and space.high[0] == space.high[1]:
        low, high = np.full(2, low.min()), np.full(2, high.max())
    bounds = [
        f"{_multiple(math.floor(a / unit), unit)},{_multiple(math.ceil(b / unit), unit)}"
        for a, b in zip(low, high, strict=True)
    ]
    return f"--box {bounds[0]}" if bounds[0] == bounds[1] else f"--box-x {bounds[0]} --box-y {bounds[1]}"


def _multiple(count: int, unit: float) -> str:
    return f"{round(count * unit, 6):.10g}"


def _shown(space: Space) -> str:
    return f"[{space.x_low_db:g}, {space.x_high_db:g}] x [{space.y_low_db:g}, {space.y_high_db:g}] dB"
