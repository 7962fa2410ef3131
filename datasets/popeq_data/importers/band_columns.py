"""What the columns of a file of equaliser settings are: graphic bands, tone controls or parametric filters.

The header says it: ``60``, ``60 Hz``, ``1k``, ``1.5 kHz`` and ``gain_60hz_db`` are graphic bands;
``bass_100hz``, ``mid_1khz`` and ``treble_10khz`` are tone controls; ``kind_1``, ``frequency_1``, ``gain_1``
and ``q_1`` are the first parametric filter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from popeq.eq import HIGH_HZ, LOW_HZ
from popeq.eq.pairs import BandKind
from popeq.errors import UsageError

Layout = Literal["graphic bands", "tone controls", "parametric filters"]
KINDS = get_args(BandKind)
#: The parts of a parametric filter, as its columns name them.
PARTS = ("kind", "frequency", "gain", "q")
_TONE: dict[str, BandKind] = {"bass": "low_shelf", "mid": "peak", "treble": "high_shelf"}
_UNIT = r"(?:[ _]*[(\[]?(?P<unit>db|ratio)[)\]]?)?"
_BAND = re.compile(
    r"(?:(?P<what>gain|band|bass|mid|treble)[ _]*)?(?P<number>\d+([.,]\d+)?)[ _]*(?P<hz>khz|hz|k)?" + _UNIT,
    re.I,
)
_FILTER = re.compile(r"(?P<part>kind|frequency|gain|q)[ _]*(?P<number>\d{1,2})(?:[ _]*hz)?" + _UNIT, re.I)
_FORMS = (
    "name graphic bands by their frequency (60, 60 Hz, 1k, 1.5 kHz, gain_60hz_db), tone controls bass_100hz, "
    "mid_1khz and treble_10khz, parametric filters kind_1, frequency_1, gain_1 and q_1"
)


@dataclass(frozen=True)
class Band:
    """A column of gains at one frequency; tone controls have a kind of section."""

    column: str
    frequency_hz: float
    kind: BandKind | None = None


@dataclass(frozen=True)
class Columns:
    """What a header holds: the layout, its ``bands`` in rising order, or the ``filters``, each with its four
    columns by part (``PARTS``)."""

    layout: Layout
    bands: tuple[Band, ...] = ()
    filters: tuple[dict[str, str], ...] = ()

    @property
    def numbers(self) -> list[str]:
        """The columns that hold numbers."""
        named = [f[part] for f in self.filters for part in PARTS[1:]]
        return [band.column for band in self.bands] + named


def read_columns(names: Sequence[str], file: str, unit: str) -> Columns:
    """What these columns are; ``unit`` is that of the gains, "dB" or "ratio".

    Raises UsageError, one line, for a column that is none of these or names another unit, a single band,
    bands that do not rise or repeat, a frequency outside the audible range, and a filter without one of its
    columns.
    """
    filters = {name: match for name in names if (match := _FILTER.fullmatch(name))}
    if any(match["part"].lower() == "kind" for match in filters.values()):
        for name in names:
            if name not in filters:
                raise UsageError(f"{file}, column {name}: belongs to no parametric filter; {_FORMS}")
        _check_units({name: match["unit"] for name, match in filters.items()}, file, unit)
        return Columns("parametric filters", filters=_filters(filters, file))
    found = {name: _BAND.fullmatch(name) for name in names}
    bands = [_band(name, match, file) for name, match in found.items()]
    _check_units({name: match["unit"] for name, match in found.items() if match}, file, unit)
    if len(bands) < 2:
        what = f"a single band, {bands[0].column!r}" if bands else "no band"
        raise UsageError(f"{file}: has {what}; a curve needs two bands or more; {_FORMS}")
    for a, b in pairwise(bands):
        if a.frequency_hz >= b.frequency_hz:
            raise UsageError(
                f"{file}: the bands are not ascending: {b.column!r} follows {a.column!r}; put them "
                "in the order of their frequencies, each once"
            )
    tones = [band.kind for band in bands if band.kind]
    if tones and (len(tones) < len(bands) or len(set(tones)) < len(tones)):
        raise UsageError(
            f"{file}: tone controls are bass, mid and treble, each once and with no other band beside them"
        )
    return Columns("tone controls" if tones else "graphic bands", tuple(bands))


def _band(name: str, match: re.Match[str] | None, file: str) -> Band:
    if match is None:
        tone = name.split("_")[0].split(" ")[0].casefold()
        if tone in _TONE:
            raise UsageError(f"{file}, column {name}: has no frequency; write {tone}_100hz, say")
        raise UsageError(f"{file}, column {name}: is no band; {_FORMS}")
    number = match["number"]
    if "," in number and len(number.split(",")[1]) == 3:
        raise UsageError(
            f"{file}, column {name}: {number} can be two frequencies; write it without the comma"
        )
    hz = float(number.replace(",", ".")) * (1000.0 if (match["hz"] or "").lower().startswith("k") else 1.0)
    if not LOW_HZ <= hz <= HIGH_HZ:
        raise UsageError(
            f"{file}, column {name}: {hz:g} Hz is outside the audible range, {LOW_HZ:g} to {HIGH_HZ:g} Hz; "
            "leave the band out, or correct its frequency (plain numbers are Hz)"
        )
    return Band(name, hz, _TONE.get((match["what"] or "").lower()))


def _check_units(units: dict[str, str | None], file: str, unit: str) -> None:
    """Every unit that a column names is that of the gains."""
    named = {name: own.lower() for name, own in units.items() if own}
    if len(set(named.values())) > 1:
        db, ratio = (next(n for n, own in named.items() if own == u) for u in ("db", "ratio"))
        raise UsageError(
            f"{file}: mixed units: column {db!r} is in dB, {ratio!r} a ratio; convert one of them"
        )
    for name, own in named.items():
        if own != unit.lower():
            right = "dB" if own == "db" else "ratio"
            raise UsageError(f"{file}: mixed units: column {name!r} is in {right}; give --unit {right}")


def _filters(columns: dict[str, re.Match[str]], file: str) -> tuple[dict[str, str], ...]:
    by_number: dict[int, dict[str, str]] = {}
    for name, match in columns.items():
        own = by_number.setdefault(int(match["number"]), {})
        if match["part"].lower() in own:
            raise UsageError(f"{file}, column {name}: filter {match['number']} has this column twice")
        own[match["part"].lower()] = name
    for number, own in sorted(by_number.items()):
        if missing := [f"{part}_{number}" for part in PARTS if part not in own]:
            raise UsageError(f"{file}: filter {number} has no column {', '.join(missing)}")
    return tuple(own for _, own in sorted(by_number.items()))
