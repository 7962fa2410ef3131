"""The sounds of a trial: every setting and the anchor on one track, equally loud and none clipped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from popeq.errors import UsageError
from popeq.typing import Floats
from popeq_audio.files import blocks, open_audio
from popeq_audio.filtering import Convolver, filter_taps, minimum_phase
from popeq_audio.loudness import LoudnessMeter, TruePeakMeter
from popeq_audio.needs import need
from popeq_audio.rendering import CEILING_DBTP

ANCHOR_HZ, ANCHOR_STOP_HZ, ANCHOR_STOP_DB = 3500.0, 4000.0, -60.0
_FADE_S = 0.02


def read_excerpt(path: Path, seconds: float) -> tuple[Floats, int]:
    """The first seconds of a file, (n, channels), with short fades, and its rate.

    Raises UsageError if it cannot be read or is too short to have a loudness.
    """
    with open_audio(path) as source:
        rate, most = int(source.samplerate), int(seconds * source.samplerate)
        parts, taken = [], 0
        for block in blocks(source, 1 << 16):
            parts.append(block[: most - taken])
            taken += len(parts[-1])
            if taken >= most:
                break
    sound = np.concatenate(parts)
    if len(sound) < 0.5 * rate:
        raise UsageError(f"{path}: is shorter than half a second")
    fade = round(_FADE_S * rate)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / fade)
    sound[:fade] *= ramp[:, None]
    sound[-fade:] *= ramp[::-1, None]
    return sound, rate


def with_setting(sound: Floats, rate_hz: int, point: tuple[float, float]) -> Floats:
    """The sound with a setting's curve."""
    return _convolved(sound, filter_taps(point, rate_hz))


def anchor(sound: Floats, rate_hz: int) -> Floats:
    """The low anchor of ITU-R BS.1534: low-passed at 3.5 kHz."""

    def gain_db(frequency_hz: Floats) -> Floats:
        return np.interp(frequency_hz, [ANCHOR_HZ, ANCHOR_STOP_HZ], [0.0, ANCHOR_STOP_DB])

    return _convolved(sound, minimum_phase(gain_db, rate_hz))


def _convolved(sound: Floats, taps: Floats) -> Floats:
    convolver = Convolver(taps, sound.shape[1])
    return np.concatenate([convolver.process(sound), convolver.flush()])


def loudness(sound: Floats, rate_hz: int) -> float:
    """Integrated loudness, LUFS."""
    meter = LoudnessMeter(rate_hz, sound.shape[1])
    meter.add(sound)
    return meter.integrated()


def equally_loud(
    sounds: Mapping[str, Floats], rate_hz: int, wanted_lufs: float
) -> tuple[dict[str, Floats], float]:
    """The sounds at one loudness: that which is wanted, or as much lower as the worst of them needs in order
    to stay under the ceiling. Raises UsageError for silence."""
    measured = {}
    for name, sound in sounds.items():
        meter = TruePeakMeter(sound.shape[1])
        meter.add(sound)
        measured[name] = (loudness(sound, rate_hz), 20.0 * math.log10(max(meter.peak(), 1e-9)))
        if not math.isfinite(measured[name][0]):
            raise UsageError(f"{name}: is too quiet to have a loudness")
    highest = min(CEILING_DBTP - peak + lufs for lufs, peak in measured.values())
    target = min(wanted_lufs, highest)
    made = {name: s * 10.0 ** ((target - measured[name][0]) / 20.0) for name, s in sounds.items()}
    return made, target


def write(sound: Floats, rate_hz: int, path: Path) -> None:
    """As a 16-bit WAV file, which every browser decodes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    need("soundfile", "audio").write(path, sound, rate_hz, subtype="PCM_16")
