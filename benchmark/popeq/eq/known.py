"""Find a pair of curves by its name, bundled or a plugin's, and the curves of settings."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from popeq.contract import load_object
from popeq.eq.frequencies import HIGH_HZ, LOW_HZ
from popeq.eq.pairs import BUNDLED, CurvePair
from popeq.errors import UnknownNameError, UsageError
from popeq.space import PLANE, Space
from popeq.typing import Floats

_NUMBER = re.compile(r"\d{1,6}(\.\d{1,6})?")


def curves(space: Space = PLANE) -> CurvePair:
    """The pair of curves that a space's axes move; UsageError if no plugin brings it."""
    return curves_named(space.curves)


@cache
def curves_named(text: str) -> CurvePair:
    """The pair that ``text`` names: a name alone, or with numbers, as in ``shelves:300:3000``.

    Raises
    ------
    UnknownNameError
        If no pair has this name.
    UsageError
        If it needs other numbers.
    """
    name, *numbers = text.split(":")
    spec = BUNDLED.get(name)
    if spec is None:
        from popeq.plugins import registry

        known = registry().curves
        if name not in known:
            raise UnknownNameError("pair of curves", name, known, "('popeq list' shows them all)")
        spec = known[name]
    if len(numbers) != len(spec.numbers):
        what = ", ".join(spec.numbers) or "no numbers"
        raise UsageError(f"curves {text!r}: {name} takes {what} after its name; write {spec.form!r}")
    for number in numbers:
        if not _NUMBER.fullmatch(number):
            raise UsageError(f"curves {text!r}: {number!r} is not a number such as 300 or 62.5")
    try:
        pair: CurvePair = load_object(spec.factory)(*map(float, numbers))
    except ValueError as error:
        raise UsageError(f"curves {text!r}: {error}") from None
    return pair


def gain_db(points: ArrayLike, frequency_hz: ArrayLike, space: Space = PLANE) -> Floats:
    """Gain in dB of settings (..., 2) at each frequency (n,) in Hz, shape (..., n).

    Below 20 Hz and above 20 kHz, where a setting says nothing, the curve goes on level.
    """
    frequency = np.clip(np.asarray(frequency_hz, dtype=np.float64), LOW_HZ, HIGH_HZ)
    return curves(space).curve_db(np.asarray(points, dtype=np.float64), frequency)
