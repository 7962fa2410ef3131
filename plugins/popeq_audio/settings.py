"""Settings of a data set's space: in words, checked against the box, and the space as plain JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from popeq.drawing import corner_texts
from popeq.eq import curves
from popeq.errors import UsageError
from popeq.space import Space


def in_words(point: Sequence[float], space: Space) -> str:
    """A setting (x, y) in dB by the names of the axes, such as ``smile +2.5 dB, tilt -1 dB``.

    It has as many decimals as the steps of the control, and two at least.
    """
    pair, decimals = curves(space), max(2, space.decimals)
    x, y = (f"{round(value, decimals) + 0.0:+g} dB" for value in point)
    return f"{pair.x.name} {x}, {pair.y.name} {y}"


def box_in_words(space: Space) -> str:
    """The box, such as ``smile from -6 to 6 dB and tilt from -6 to 6 dB``."""
    pair = curves(space)
    return (
        f"{pair.x.name} from {space.x_low_db:g} to {space.x_high_db:g} dB and "
        f"{pair.y.name} from {space.y_low_db:g} to {space.y_high_db:g} dB"
    )


def check_settings(points: Sequence[Sequence[float]], space: Space, dataset: str) -> None:
    """Raise UsageError for the first of some settings (x, y) in dB that is outside the box of a data set."""
    for x, y in points:
        if not space.contains([x, y]):
            raise UsageError(f"--at {x:g},{y:g}: is outside the box of {dataset}: {box_in_words(space)}")


def space_json(space: Space) -> dict[str, Any]:
    """The box, the step, the pair of curves and the names of axes and corners; dB throughout.

    ``offered_db`` are the first and the last setting of the control, multiples of ``step_db``.
    """
    pair = curves(space)
    offered = [[steps[0] * space.step_db, steps[-1] * space.step_db] for steps in space.steps()]
    axes = {
        name: asdict(axis)
        | {"low_db": low, "high_db": high, "offered_db": [round(bound, space.decimals) for bound in ends]}
        for name, axis, low, high, ends in zip(
            ("x", "y"), (pair.x, pair.y), space.low.tolist(), space.high.tolist(), offered, strict=True
        )
    }
    corners = [{"right": r, "top": t, "text": text} for (r, t), text in corner_texts(space).items()]
    control = {"step_db": space.step_db, "decimals": space.decimals, "curves": space.curves}
    return axes | control | {"corners": corners}
