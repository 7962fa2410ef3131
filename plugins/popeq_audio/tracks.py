"""Synthetic music to try and test with: loops of bass, plucked strings, drums and a pad, mixed differently.

Nobody's recording is in this project; these tracks are computed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import signal

from popeq.seeding import generator
from popeq.typing import Floats

RATE_HZ = 48_000
SECONDS = 8.0
_CHORDS = ((0, 3, 7), (-4, 0, 3), (-7, -4, 0), (-2, 2, 5))
_PEAK = 10.0 ** (-3.0 / 20.0)


def track(number: int, rate_hz: int = RATE_HZ, seconds: float = SECONDS) -> Floats:
    """Track ``number``: a loop of four bars, stereo (n, 2), its peak at -3 dBFS; always the same."""
    rng = generator("popeq tracks", number)
    n = round(seconds * rate_hz)
    levels_db = rng.uniform([-14, -10, -12, -16, -14], [2, 0, 2, 2, 0])
    root = 110.0 * 2.0 ** (rng.integers(-3, 4) / 12.0)
    beat = n / 16.0
    parts = [
        _bass(n, rate_hz, root / 2.0, beat),
        _strings(n, rate_hz, root * 2.0, beat, rng),
        _kick(n, rate_hz, beat),
        _hats(n, rate_hz, beat, rng),
        _pad(n, rate_hz, root, rng),
    ]
    mix = sum(10.0 ** (level / 20.0) * part for level, part in zip(levels_db, parts, strict=True))
    sound = np.asarray(mix)
    return np.asarray(sound * (_PEAK / np.abs(sound).max()))


def _add(into: Floats, start: float, sound: Floats) -> None:
    """Add a sound, its end going on at the loop's beginning."""
    index = (round(start) + np.arange(len(sound))) % len(into)
    np.add.at(into, index, sound)


def _repeated(n: int, beat: float, sounds: Sequence[Floats]) -> Floats:
    """Mono sounds in the middle, spread evenly over the loop of 16 beats, (n, 2)."""
    out = np.zeros(n)
    for i, sound in enumerate(sounds):
        _add(out, i * beat * 16 / len(sounds), sound)
    out = out / np.sqrt(np.mean(out**2))
    return np.stack([out, out], axis=1)


def _bass(n: int, rate_hz: int, root_hz: float, beat: float) -> Floats:
    t = np.arange(round(0.9 * beat)) / rate_hz
    tones = []
    for i in range(16):
        pitch = root_hz * 2.0 ** (_CHORDS[i // 4][0] / 12.0)
        tone = sum(np.sin(2 * np.pi * k * pitch * t) / k**1.5 for k in range(1, 6))
        tones.append(tone * np.minimum(1.0, t / 0.01) * np.exp(-t / 0.35))
    return _repeated(n, beat, tones)


def _pluck(rate_hz: int, pitch_hz: float, rng: np.random.Generator) -> Floats:
    """A plucked string after Karplus & Strong (1983): a burst of noise that goes round in a damped delay."""
    period = max(2, round(rate_hz / pitch_hz))
    burst = np.zeros(round(1.2 * rate_hz))
    burst[:period] = rng.uniform(-1, 1, period)
    feedback = np.zeros(period + 2)
    feedback[0], feedback[period], feedback[period + 1] = 1.0, -0.4975, -0.4975
    string: Floats = signal.lfilter([1.0], feedback, burst)
    return string


def _strings(n: int, rate_hz: int, root_hz: float, beat: float, rng: np.random.Generator) -> Floats:
    out = np.zeros((n, 2))
    for i in range(32):
        step = _CHORDS[i // 8][int(rng.integers(3))] + 12 * int(rng.integers(2))
        string = _pluck(rate_hz, root_hz * 2.0 ** (step / 12.0), rng)
        pan = rng.uniform(0.2, 0.8)
        for channel, gain in enumerate((np.sqrt(1 - pan), np.sqrt(pan))):
            _add(out[:, channel], i * beat / 2.0, gain * string)
    return np.asarray(out / np.sqrt(np.mean(out**2)))


def _kick(n: int, rate_hz: int, beat: float) -> Floats:
    t = np.arange(round(0.35 * rate_hz)) / rate_hz
    drum = np.sin(2 * np.pi * (48.0 * t + 2.5 * (1.0 - np.exp(-t / 0.03)))) * np.exp(-t / 0.1)
    return _repeated(n, beat, [drum] * 16)


def _hats(n: int, rate_hz: int, beat: float, rng: np.random.Generator) -> Floats:
    t = np.arange(round(0.12 * rate_hz)) / rate_hz
    high = signal.butter(4, 6000.0, "highpass", fs=rate_hz, output="sos")
    noises = [signal.sosfilt(high, rng.normal(size=len(t))) for _ in range(32)]
    fades = [np.exp(-t / 0.03), np.exp(-t / 0.015)]
    return _repeated(n, beat, [noise * fades[i % 2] for i, noise in enumerate(noises)])


def _pad(n: int, rate_hz: int, root_hz: float, rng: np.random.Generator) -> Floats:
    out = np.zeros((n, 2))
    bar = n / 4.0
    t = np.arange(round(bar)) / rate_hz
    low = signal.butter(2, 2500.0, "lowpass", fs=rate_hz, output="sos")
    for i, chord in enumerate(_CHORDS):
        for step in chord:
            for channel in range(2):
                pitch = root_hz * 2.0 ** (step / 12.0) * (1.0 + 0.002 * rng.normal())
                wave = signal.sosfilt(low, signal.sawtooth(2 * np.pi * pitch * t + rng.uniform(0, 6.28)))
                _add(out[:, channel], i * bar, wave * np.sin(np.pi * np.arange(len(t)) / len(t)) ** 0.5)
    return np.asarray(out / np.sqrt(np.mean(out**2)))
