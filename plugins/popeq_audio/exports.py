"""A setting as a file for the equalisers that people have.

Every format gets the same bands and preamp (``popeq_audio.bands``), but ``csv``, which holds the curve
itself, and ``fir.wav``, an impulse response for a convolver that has the curve exactly.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import wavfile

from popeq.atomic import write_bytes
from popeq.eq import gain_db
from popeq.errors import UnknownNameError, UsageError
from popeq.space import PLANE, Space
from popeq_audio.bands import RATE_HZ, BandFit, fit_bands, response_db
from popeq_audio.filtering import filter_taps
from popeq_audio.settings import in_words

#: The export that is an impulse response.
FIR = "fir.wav"
#: Versions of CamillaDSP that take the keys that are written.
CAMILLADSP = "3 and 4"
#: What EasyEffects 7 takes at most; version 8 takes 36 dB.
_EASYEFFECTS_DB = 35.0
#: The frequencies of the csv export, Hz: 12 to the octave.
CSV_HZ = 20.0 * 2.0 ** (np.arange(120) / 12.0)


def equalizer_apo(fit: BandFit) -> str:
    """Equalizer APO: a text to include from config.txt."""
    kinds = {"low_shelf": "LSC", "peak": "PK", "high_shelf": "HSC"}
    filters = [
        f"Filter {i}: ON {kinds[b.kind]} Fc {b.frequency_hz:.10g} Hz Gain {b.gain_db:.3f} dB Q {b.q:.5g}"
        for i, b in enumerate(fit.bands, 1)
    ]
    return _lines([f"# {_about(fit)}", f"Preamp: {fit.preamp_db:.2f} dB", *filters])


def camilladsp(fit: BandFit) -> str:
    """CamillaDSP 3 and 4: filters and a pipeline for two channels, without devices.

    Version 2 and earlier had ``channel`` in place of ``channels`` in a step of the pipeline.
    """
    kinds = {"low_shelf": "Lowshelf", "peak": "Peaking", "high_shelf": "Highshelf"}
    lines = [f"# {_about(fit)}", f"# For CamillaDSP {CAMILLADSP}; to be run it needs your own 'devices'."]
    lines += ["filters:", "  preamp:", "    type: Gain", "    parameters:"]
    lines += [f"      gain: {fit.preamp_db:.2f}", "      inverted: false"]
    for i, band in enumerate(fit.bands, 1):
        lines += [f"  band{i}:", "    type: Biquad", "    parameters:", f"      type: {kinds[band.kind]}"]
        lines += [f"      freq: {band.frequency_hz:.3f}", f"      gain: {band.gain_db:.3f}"]
        lines += [f"      q: {band.q:.4f}"]
    names = ", ".join(["preamp", *(f"band{i}" for i, _ in enumerate(fit.bands, 1))])
    lines += ["pipeline:", "  - type: Filter", "    channels: [0, 1]", f"    names: [{names}]"]
    return _lines(lines)


def easyeffects(fit: BandFit) -> str:
    """EasyEffects 7 and 8: an output preset whose equaliser runs in the mode of RBJ's sections.

    Raises UsageError for gains beyond what EasyEffects takes.
    """
    largest = max(abs(gain) for gain in (fit.preamp_db, *(band.gain_db for band in fit.bands)))
    if largest > _EASYEFFECTS_DB:
        raise UsageError(
            f"easyeffects: takes gains of at most {_EASYEFFECTS_DB:g} dB, and the setting "
            f"{in_words(fit.point, fit.space)} needs {largest:.1f} dB; export fir.wav for a convolver"
        )
    kinds = {"low_shelf": "Lo-shelf", "peak": "Bell", "high_shelf": "Hi-shelf"}
    bands = {
        f"band{i}": {
            "frequency": band.frequency_hz,
            "gain": band.gain_db,
            "mode": "APO (DR)",
            "mute": False,
            "q": band.q,
            "slope": "x1",
            "solo": False,
            "type": kinds[band.kind],
            "width": 4.0,
        }
        for i, band in enumerate(fit.bands)
    }
    equalizer = {
        "balance": 0.0,
        "bypass": False,
        "input-gain": fit.preamp_db,
        "left": bands,
        "mode": "IIR",
        "num-bands": len(fit.bands),
        "output-gain": 0.0,
        "pitch-left": 0.0,
        "pitch-right": 0.0,
        "right": bands,
        "split-channels": False,
    }
    preset = {"output": {"blocklist": [], "equalizer#0": equalizer, "plugins_order": ["equalizer#0"]}}
    return json.dumps(preset, indent=4) + "\n"


def peace(fit: BandFit) -> str:
    """Peace, the window of Equalizer APO: a .peace file.

    Its filters are numbers: 14 and 15 are the shelves with a Q around their centre (LSC and HSC of Equalizer
    APO, as here); 16 and 17 would take the frequency for that of the corner.
    """
    kinds = {"low_shelf": 14, "peak": 0, "high_shelf": 15}
    lines = []
    for section, key, values in (
        ("Frequencies", "Frequency", [f"{b.frequency_hz:.10g}" for b in fit.bands]),
        ("Gains", "Gain", [f"{b.gain_db:.3f}" for b in fit.bands]),
        ("Qualities", "Quality", [f"{b.q:.5g}" for b in fit.bands]),
        ("Filters", "Filter", [str(kinds[b.kind]) for b in fit.bands]),
    ):
        lines += [f"[{section}]", *(f"{key}{i}={value}" for i, value in enumerate(values, 1))]
    lines += ["[General]", f"PreAmp={fit.preamp_db:.2f}"]
    return _lines([*lines, "[Speakers]", "SpeakerId0=0", "SpeakerTargets0=all", "SpeakerName0=All"])


def curve_csv(fit: BandFit) -> str:
    """The curve and what the bands make of it, in dB, without the preamp."""
    exact, made = gain_db(fit.point, CSV_HZ, fit.space), response_db(fit.bands, CSV_HZ)
    rows = [f"{f:.2f},{c:.3f},{m:.3f}" for f, c, m in zip(CSV_HZ, exact + 0.0, made + 0.0, strict=True)]
    return _lines(["frequency_hz,gain_db,bands_db", *rows])


@dataclass(frozen=True)
class Fir:
    """What a convolver takes: sample rate (Hz) and channels, each with the same impulse response."""

    rate_hz: int = int(RATE_HZ)
    channels: int = 1


DEFAULT_FIR = Fir()


def fir_wav(fit: BandFit, fir: Fir = DEFAULT_FIR) -> bytes:
    """Minimum-phase impulse response, 32-bit float, its largest gain 0 dB."""
    taps = filter_taps(fit.point, fir.rate_hz, fit.space)
    largest = np.abs(np.fft.rfft(taps, 4 * len(taps))).max()
    sound = np.repeat((taps / max(1.0, largest))[:, None], fir.channels, axis=1)
    stream = io.BytesIO()
    wavfile.write(stream, fir.rate_hz, sound.astype(np.float32))
    return stream.getvalue()


@dataclass(frozen=True)
class Format:
    """One export: how its files end, how they are made, and where a file ``{name}`` goes, to be printed."""

    suffix: str
    make: Callable[[BandFit], str | bytes]
    place: str


FORMATS: dict[str, Format] = {
    "equalizer-apo": Format(
        ".txt", equalizer_apo, r"EqualizerAPO\config, and 'Include: {name}' in config.txt"
    ),
    "camilladsp": Format(".yml", camilladsp, f"beside your 'devices', for CamillaDSP {CAMILLADSP}"),
    "easyeffects": Format(
        ".json",
        easyeffects,
        "EasyEffects 8: ~/.local/share/easyeffects/output, 7: ~/.config/easyeffects/output",
    ),
    "peaceparams": Format(".peace", peace, r"EqualizerAPO\config, then chosen in Peace"),
    "csv": Format(".csv", curve_csv, "a table of the curve"),
    FIR: Format(".wav", fir_wav, "a convolver"),
}


def export(
    point: tuple[float, float], form: str, path: Path, space: Space = PLANE, fir: Fir = DEFAULT_FIR
) -> BandFit:
    """Write a setting (x, y) in dB of ``space`` in one of ``FORMATS``; ``fir`` is for ``fir.wav`` alone.

    Raises
    ------
    UnknownNameError
        For another format.
    UsageError
        If the format has no such gains.
    RunError
        If the file cannot be written, as ``popeq.atomic`` says it.
    """
    if form not in FORMATS:
        raise UnknownNameError("export format", form, FORMATS)
    fit = fit_bands(point, space)
    made = fir_wav(fit, fir) if form == FIR else FORMATS[form].make(fit)
    write_bytes(path, made if isinstance(made, bytes) else made.encode())
    return fit


def _lines(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def _about(fit: BandFit) -> str:
    return f"popeq: setting {in_words(fit.point, fit.space)} ({fit.space.curves}); {fit.in_words}"
