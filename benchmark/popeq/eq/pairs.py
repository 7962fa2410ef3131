"""Pairs of curves that the two axes of a plane move, and the three that popeq brings.

``orthogonal``: Legendre polynomials of log-frequency. ``beosonic``: the shelves of Bang & Olufsen's published
tone control. ``shelves:LOW_HZ:HIGH_HZ``: a low and a high shelf at any two corners.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from popeq.eq import biquad
from popeq.eq.frequencies import HIGH_HZ, LOW_HZ, log_frequency
from popeq.typing import Floats

BandKind = Literal["low_shelf", "peak", "high_shelf"]
#: Sample rate of the sections of pairs that are defined by filters, Hz.
RATE_HZ = 48_000.0
_SECTIONS: dict[BandKind, Callable[..., Floats]] = {
    "low_shelf": biquad.low_shelf,
    "peak": biquad.peaking,
    "high_shelf": biquad.high_shelf,
}
#: What a setting at a corner (right, top) of the plane does.
_CORNERS = {
    (1, 1): "treble alone up",
    (1, 0): "bass alone up",
    (0, 1): "bass alone down",
    (0, 0): "treble alone down",
}


@dataclass(frozen=True)
class Section:
    """One second-order section of the RBJ cookbook: kind, centre or corner (Hz), gain (dB) and Q."""

    kind: BandKind
    frequency_hz: float
    gain_db: float
    q: float

    def coefficients(self, rate_hz: float = RATE_HZ) -> Floats:
        """b0, b1, b2, a0, a1, a2."""
        return section_coefficients(self.kind, self.gain_db, self.frequency_hz, self.q, rate_hz)


def section_coefficients(
    kind: BandKind, gain_db: ArrayLike, frequency_hz: ArrayLike, q: ArrayLike, rate_hz: float = RATE_HZ
) -> Floats:
    """Coefficients (b0, b1, b2, a0, a1, a2) of sections of one kind, shape (..., 6)."""
    return _SECTIONS[kind](gain_db, frequency_hz, q, rate_hz)


@dataclass(frozen=True)
class Axis:
    """What an axis is called, and what it does towards its low and its high end.

    ``low`` and ``high`` say which frequencies move, ``low_sound`` and ``high_sound`` how that sounds.
    """

    name: str
    low: str
    high: str
    low_sound: str
    high_sound: str


@dataclass(frozen=True)
class CurvePair:
    """A pair of curves: what settings (x, y) do.

    Parameters
    ----------
    name
        As it is in ``dataset.toml``.
    x, y
        The two axes.
    corners
        What the settings at the four corners do, by (right, top), each 0 or 1.
    curve_db
        Gains in dB, shape (..., len(f)), of settings (..., 2) in dB at frequencies f (Hz, from 20 to 20,000).
        The setting (0, 0) has the gain 0.
    linear
        Whether the curve of a sum of settings is the sum of their curves.
    sections
        The sections whose gains together are exactly the curve of a setting (2,) at 48 kHz; None if there are
        none, and an export fits five bands.
    """

    name: str
    x: Axis
    y: Axis
    corners: Mapping[tuple[int, int], str]
    curve_db: Callable[[Floats, Floats], Floats]
    linear: bool = False
    sections: Callable[[Floats], tuple[Section, ...]] | None = None


@dataclass(frozen=True)
class CurvesSpec:
    """How a plugin announces pairs of curves.

    ``factory`` names a function that returns the pair, ``"module:function"``. It is called with the numbers
    that follow the name in ``dataset.toml``, as in ``shelves:300:3000``; ``numbers`` says what each of them
    is. It raises ValueError for numbers that it cannot take.
    """

    name: str
    summary: str
    factory: str
    numbers: tuple[str, ...] = ()

    @property
    def form(self) -> str:
        """How ``dataset.toml`` names it, such as ``shelves:LOW:HIGH``."""
        return ":".join([self.name, *(number.split()[0].upper() for number in self.numbers)])


def legendre(frequency_hz: ArrayLike) -> Floats:
    """Legendre polynomials P2 (smile) and P1 (tilt) of log-frequency, shape (len(f), 2)."""
    u = log_frequency(frequency_hz)
    return np.stack([(3.0 * u**2 - 1.0) / 2.0, u], axis=-1)


@cache
def orthogonal() -> CurvePair:
    """x P2(u) + y P1(u): smile and tilt, uncorrelated over log-frequency and with the level."""

    def curve_db(points: Floats, frequency_hz: Floats) -> Floats:
        return np.asarray(points @ legendre(frequency_hz).T)

    smile = Axis(
        "smile",
        "mids up, bass and treble down",
        "bass and treble up, mids down",
        "soft, voices in front",
        "powerful",
    )
    return CurvePair("orthogonal", smile, _tilt("tilt", "warm and dark"), _CORNERS, curve_db, linear=True)


@cache
def beosonic() -> CurvePair:
    """A low shelf at 100 Hz and a high shelf at 10 kHz, Q 0.7, on the diagonals of the plane.

    The corners of the paper's box have the most that the product allows: (6, -6) is the low shelf alone with
    6 dB, (6, 6) the high shelf alone with 8 dB. The constants are those of Bang & Olufsen's public tone
    control (``bang-olufsen/create``, extension ``beosonic``).
    """
    energy = Axis(
        "energy",
        "bass and treble down",
        "bass and treble up",
        "relaxed",
        "energetic",
    )
    return _shelf_pair("beosonic", energy, _tilt("brightness", "warm"), (100.0, 10_000.0), (6.0, 8.0), 0.7)


@cache
def shelves(low_hz: float, high_hz: float) -> CurvePair:
    """A low and a high shelf at two corner frequencies, Q 0.7, on the diagonals of the plane.

    (6, -6) is the low shelf alone with 6 dB, (6, 6) the high shelf alone with 6 dB.
    """
    if not LOW_HZ <= low_hz < high_hz <= HIGH_HZ:
        raise ValueError(f"needs two frequencies from {LOW_HZ:g} to {HIGH_HZ:g} Hz, the lower first")
    smile = Axis("smile", "bass and treble down", "bass and treble up", "soft, voices in front", "powerful")
    name = f"shelves:{low_hz:g}:{high_hz:g}"
    return _shelf_pair(name, smile, _tilt("tilt", "warm and dark"), (low_hz, high_hz), (6.0, 6.0), 0.7)


def _tilt(name: str, low_sound: str) -> Axis:
    return Axis(name, "bass up, treble down", "treble up, bass down", low_sound, "bright")


def _shelf_pair(
    name: str, x: Axis, y: Axis, corner_hz: tuple[float, float], most_db: tuple[float, float], q: float
) -> CurvePair:
    """Shelves whose gains are ``most_db`` at the corners (6, -6) and (6, 6) of the paper's box."""
    low_hz, high_hz = corner_hz
    low_share, high_share = (most / 12.0 for most in most_db)

    def gains(points: Floats) -> tuple[Floats, Floats]:
        return (points[..., 0] - points[..., 1]) * low_share, (points[..., 0] + points[..., 1]) * high_share

    def curve_db(points: Floats, frequency_hz: Floats) -> Floats:
        low, high = gains(points)
        return np.asarray(
            biquad.gain_db(biquad.low_shelf(low, low_hz, q, RATE_HZ), frequency_hz, RATE_HZ)
            + biquad.gain_db(biquad.high_shelf(high, high_hz, q, RATE_HZ), frequency_hz, RATE_HZ)
        )

    def sections(point: Floats) -> tuple[Section, ...]:
        low, high = gains(np.asarray(point, dtype=np.float64))
        return (
            Section("low_shelf", low_hz, float(low), q),
            Section("high_shelf", high_hz, float(high), q),
        )

    return CurvePair(name, x, y, _CORNERS, curve_db, sections=sections)


#: The pairs that popeq brings, by name.
BUNDLED = {
    spec.name: spec
    for spec in (
        CurvesSpec(
            "orthogonal",
            "Legendre polynomials of log-frequency: smile P2 and tilt P1",
            "popeq.eq.pairs:orthogonal",
        ),
        CurvesSpec("beosonic", "Bang & Olufsen's shelves at 100 Hz and 10 kHz", "popeq.eq.pairs:beosonic"),
        CurvesSpec(
            "shelves",
            "a low and a high shelf at two corner frequencies",
            "popeq.eq.pairs:shelves",
            ("low corner in Hz", "high corner in Hz"),
        ),
    )
}
