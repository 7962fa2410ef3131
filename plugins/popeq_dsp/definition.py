"""What the equaliser of a space does, for a prompt: as code where its curves have a formula, else as a table.

The code is Python that runs, with the names of NumPy; tests hold its gains against those of ``popeq.eq``. A
pair of curves is written as code if it is the orthogonal one, or is made of second-order sections whose gains
are affine in the setting, a plugin's too. For any other the gains are tabulated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from popeq.eq import HIGH_HZ, LOW_HZ, Axis, CurvePair, Section, curves, gain_db
from popeq.eq.pairs import RATE_HZ, orthogonal
from popeq.space import Space
from popeq.typing import Floats
from popeq_llm.answers import AnswerFormat, answer_text
from popeq_llm.numbers import Numbers, numbers_of

#: Frequencies of tables, Hz.
TABLE_HZ: Floats = np.array([31.5, 63, 125, 250, 500, 1000, 2000, 4000, 8000, 16_000])
_TOLERANCE_DB = 1e-6

_LEGENDRE = f"""\
    u = 2 * log(f_hz / {LOW_HZ:g}) / log({HIGH_HZ:g} / {LOW_HZ:g}) - 1  # from -1 (bass) to 1 (treble)
    smile = (3 * u**2 - 1) / 2  # 1 at both ends, -0.5 in the middle
    tilt = u
    return x * smile + y * tilt
"""
_RESPONSE = f"""\
def response_db(b, a, f_hz):
    z = exp(-2j * pi * f_hz / {RATE_HZ:g})
    return 20 * log10(abs((b[0] + b[1] * z + b[2] * z**2) / (a[0] + a[1] * z + a[2] * z**2)))
"""
_SHELF = f"""\
def shelf(f_hz, corner_hz, gain_db, q, side):  # side: 1 for a low shelf, -1 for a high one
    k, w = 10 ** (gain_db / 40), 2 * pi * corner_hz / {RATE_HZ:g}
    c, r = side * cos(w), sqrt(k) * sin(w) / q
    b = k * (k + 1 - (k - 1) * c + r), side * 2 * k * (k - 1 - (k + 1) * c), k * (k + 1 - (k - 1) * c - r)
    a = k + 1 + (k - 1) * c + r, side * -2 * (k - 1 + (k + 1) * c), k + 1 + (k - 1) * c - r
    return response_db(b, a, f_hz)
"""
_PEAK = f"""\
def peak(f_hz, centre_hz, gain_db, q):
    k, w = 10 ** (gain_db / 40), 2 * pi * centre_hz / {RATE_HZ:g}
    alpha = sin(w) / (2 * q)
    b = 1 + alpha * k, -2 * cos(w), 1 - alpha * k
    a = 1 + alpha / k, -2 * cos(w), 1 - alpha / k
    return response_db(b, a, f_hz)
"""


def definition(space: Space) -> str:
    """The equaliser of a space with its units and limits, as a prompt has it."""
    pair = curves(space)
    if pair is orthogonal():
        return _code(space, pair, _LEGENDRE)
    sections = _affine(space, pair)
    if sections is None:
        return _table(space, pair)
    kinds = {section.kind for section, _ in sections}
    helpers = [_RESPONSE, *[_SHELF] * bool(kinds - {"peak"}), *[_PEAK] * ("peak" in kinds)]
    terms = "\n        + ".join(_term(section, weights) for section, weights in sections)
    return _code(space, pair, f"    return (\n        {terms}\n    )\n", helpers)


def _code(space: Space, pair: CurvePair, body: str, helpers: Sequence[str] = ()) -> str:
    """The function ``gain_db(f_hz, x, y)``, behind the functions that it calls."""
    said = "\n    ".join(_limits(space, pair))
    head = (
        f'def gain_db(f_hz, x, y):\n    """Gain in dB of the equaliser at the frequency f_hz, '
        f'from {LOW_HZ:g} to {HIGH_HZ:g} Hz.\n\n    {said}\n    """\n'
    )
    code = "\n".join([*helpers, head + body])
    return f"This Python function is the equaliser:\n\n{code.rstrip()}"


def _limits(space: Space, pair: CurvePair) -> list[str]:
    """A line for each axis: its name, its limits, and which frequencies it moves."""
    numbers = numbers_of(space)
    return [_axis("x", pair.x, numbers, numbers.x), _axis("y", pair.y, numbers, numbers.y)]


def _axis(letter: str, axis: Axis, numbers: Numbers, steps: range) -> str:
    low, high, step = (numbers.text(s) for s in (steps[0], steps[-1], 1))
    sides = [f"above 0 {axis.high}"] * (steps[-1] > 0) + [f"below 0 {axis.low}"] * (steps[0] < 0)
    return "; ".join([f"{letter}: {axis.name} in dB, from {low} to {high} in steps of {step}", *sides]) + "."


def _affine(space: Space, pair: CurvePair) -> list[tuple[Section, Floats]] | None:
    """The sections of a pair, each with the weights (1, x, y) of its gain in dB; None if the pair has none,
    or if kind, frequency or Q of one, or the slope of its gain, depend on the setting."""
    if pair.sections is None:
        return None
    corners = np.array([[x, y] for x in (0.0, 1.0) for y in (0.0, 1.0)])
    places = np.concatenate([corners, [[0.5, 0.5], [0.2, 0.7], [0.6, 0.1]]])
    points = space.low + places * space.size
    found = [pair.sections(point) for point in points]
    shapes = {tuple(replace(section, gain_db=0.0) for section in sections) for sections in found}
    if len(shapes) > 1:
        return None
    gains = np.array([[section.gain_db for section in sections] for sections in found])
    terms = np.column_stack([np.ones(len(points)), points])
    weights = np.linalg.lstsq(terms, gains)[0]
    if np.abs(terms @ weights - gains).max() > _TOLERANCE_DB:
        return None
    return list(zip(*shapes, weights.T, strict=True))


def _term(section: Section, weights: Floats) -> str:
    """A section as a call."""
    gain = _affine_text(weights)
    if section.kind == "peak":
        return f"peak(f_hz, {section.frequency_hz:g}, {gain}, {section.q:.4g})"
    side = 1 if section.kind == "low_shelf" else -1
    return f"shelf(f_hz, {section.frequency_hz:g}, {gain}, {section.q:.4g}, {side})"


def _affine_text(weights: Floats) -> str:
    """A gain such as ``0.5 * x - 0.5 * y``; what is 0 is left out."""
    text = ""
    for weight, name in zip(np.round(weights, 5).tolist(), ("", "x", "y"), strict=True):
        if weight:
            size = f"{abs(weight):g}"
            factor = size if not name else name if size == "1" else f"{size} * {name}"
            sign = ("- " if weight < 0 else "+ ") if text else "-" * (weight < 0)
            text += f"{' ' if text else ''}{sign}{factor}"
    return text or "0"


def _table(space: Space, pair: CurvePair) -> str:
    """The gains of some settings: per dB of each axis where curves add up, else at the ends of the axes."""
    lines = ["This is the equaliser:", "", *_limits(space, pair)]
    at = ", ".join(f"{hz:g}" for hz in TABLE_HZ)
    if pair.linear:
        lines.append(f"Gain in dB at {at} Hz, to be multiplied by x or y and added:")
        rows = {"x": np.array([1.0, 0.0]), "y": np.array([0.0, 1.0])}
    else:
        lines.append(f"Gain in dB at {at} Hz of some settings [x, y]:")
        form = AnswerFormat(space=space)
        rows = {answer_text([point], form): np.array(point) for point in _ends(space)}
    for name, point in rows.items():
        gains = ", ".join(f"{gain:+.1f}" for gain in (gain_db(point, TABLE_HZ, space) + 0.0).round(1) + 0.0)
        lines.append(f"{name}: {gains}")
    return "\n".join(lines)


def _ends(space: Space) -> list[list[float]]:
    """The settings at the ends of both axes, as near to 0 on the other axis as the box allows."""
    numbers = numbers_of(space)
    x, y = (min(steps, key=abs) for steps in (numbers.x, numbers.y))
    steps = [(numbers.x[-1], y), (numbers.x[0], y), (x, numbers.y[-1]), (x, numbers.y[0])]
    others = np.array([s for s in dict.fromkeys(steps) if any(s)], dtype=np.int64).reshape(-1, 2)
    ends: list[list[float]] = numbers.db(others).tolist()
    return ends
