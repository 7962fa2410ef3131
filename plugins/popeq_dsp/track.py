"""What a prompt says of a track: the data set's descriptors in words, with units."""

from __future__ import annotations

import re
from collections.abc import Mapping

from popeq.eq import LOW_HZ

#: Words for the descriptors that ``popeq features`` writes; ``{}`` is the value with its unit.
_WORDS = {
    "centroid_octaves": "spectral centroid at {}",
    "spread_octaves": "spread of {} around it",
    "rolloff_octaves": "85 % of the energy below {}",
    "flatness_db": "spectral flatness {}",
    "crest_db": "crest factor {}",
}
#: Those in octaves above 20 Hz, which are said in Hz.
_PLACES = ("centroid_octaves", "rolloff_octaves")
_FARTHEST_OCTAVES = 20
_BAND = re.compile(r"band_([0-9]{1,6}(?:\.[0-9]{1,6})?)_db")
_UNITS = ("dB", "Hz", "octaves", "s", "ms")


def track_in_words(features: Mapping[str, float]) -> str:
    """A line about a track with these descriptors; empty without any.

    Descriptors of ``popeq features`` have words of their own. The unit of any other is the last part of its
    name (``tilt_db``, ``attack_ms``), where that is a unit.
    """
    said = [_said(name, value) for name, value in features.items() if not _BAND.fullmatch(name)]
    bands = [(band[1], value) for name, value in features.items() if (band := _BAND.fullmatch(name))]
    if bands:
        levels = ", ".join(f"{value:.1f} at {float(hz):g} Hz" for hz, value in bands)
        said.append(f"octave bands in dB of the whole: {levels}")
    return f"The track: {'; '.join(said)}." if said else ""


def _said(name: str, value: float) -> str:
    """One descriptor."""
    if name in _PLACES and abs(value) < _FARTHEST_OCTAVES:
        return _WORDS[name].format(f"{_rounded(LOW_HZ * 2.0**value)} Hz")
    *words, last = re.split(r"[_\s]+", name)
    unit = next((unit for unit in _UNITS if words and unit.lower() == last.lower()), None)
    number = _rounded(value) if unit is None else f"{_rounded(value)} {unit}"
    if name in _WORDS:
        return _WORDS[name].format(number)
    return f"{' '.join(words if unit else [*words, last])} {number}"


def _rounded(value: float) -> str:
    """Three digits that count, without an exponent where it can be read without."""
    return f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"
