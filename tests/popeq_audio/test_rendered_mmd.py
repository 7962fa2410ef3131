"""What ``rendered_mmd`` takes for the features of a filtered signal are those of really filtered sound."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from popeq.metrics import rendered
from popeq.metrics._track_levels import TRACK_DB
from popeq.space import Space
from popeq_audio.descriptors import describe
from popeq_audio.filtering import convolve, filter_taps
from popeq_audio.tracks import RATE_HZ, track

SCALES = np.array(list(rendered.FEATURE_SCALES.values()))
SETTINGS = [(0.0, 0.0), (4.0, -2.5), (-5.0, 1.0), (1.5, 6.0), (-6.0, -6.0)]
CURVES = ["orthogonal", "beosonic", "shelves:300:3000"]


@lru_cache(maxsize=2)
def loop(name: str) -> np.ndarray:
    """Four seconds of pink noise, or the track, as a loop (n,)."""
    if name == "synthetic track":
        return track(0).mean(axis=1)
    count = 4 * RATE_HZ
    frequency = np.fft.rfftfreq(count, 1.0 / RATE_HZ)
    phase = np.random.default_rng(0).uniform(0.0, 2.0 * np.pi, len(frequency))
    spectrum = np.exp(1j * phase) / np.sqrt(np.maximum(frequency, 1.0))
    spectrum[[0, -1]] = 0.0
    return np.fft.irfft(spectrum, count)


def energies(sound: np.ndarray) -> np.ndarray:
    """The energy of a loop in each band, (60,): each of its harmonics is shared out between two bands where
    an edge lies near it."""
    power = np.abs(np.fft.rfft(sound)) ** 2
    frequency = np.fft.rfftfreq(len(sound), 1.0 / RATE_HZ)
    ends = np.concatenate([[0.0], frequency + frequency[1] / 2.0])
    return np.diff(np.interp(rendered.BAND_EDGES_HZ, ends, np.concatenate([[0.0], np.cumsum(power)])))


def filtered(sound: np.ndarray, setting: tuple[float, float], space: Space) -> np.ndarray:
    """One turn of a loop that has been through the filter of a setting for a whole turn before."""
    taps = filter_taps(setting, RATE_HZ, space)
    twice = np.concatenate([sound, sound])[:, None]
    return np.concatenate(list(convolve([twice], taps, 1)))[len(sound) :, 0]


def test_the_committed_levels_are_those_of_the_track():
    found = energies(loop("synthetic track"))
    np.testing.assert_allclose(TRACK_DB, 10.0 * np.log10(found / found.sum()), atol=0.005 + 1e-9)


@pytest.mark.parametrize("curves", CURVES)
@pytest.mark.parametrize("signal", rendered.REFERENCE_SIGNALS)
def test_features_are_those_of_sound_that_is_really_filtered(signal, curves):
    space = Space(curves=curves)
    own = 4 * rendered.REFERENCE_SIGNALS.index(signal)
    computed = rendered.rendered_features(SETTINGS, space)[:, own : own + 4] * SCALES
    whole = energies(loop(signal)).sum()
    for setting, features in zip(SETTINGS, computed, strict=True):
        sound = filtered(loop(signal), setting, space)
        measured = rendered.features_of_energies(energies(sound) / whole)
        np.testing.assert_allclose(features, measured, atol=0.08, err_msg=f"{setting}")
        # Another implementation: 30 bands of Welch's spectrum.
        described = describe(sound, RATE_HZ)
        other = [described["centroid_octaves"], described["spread_octaves"]]
        np.testing.assert_allclose(features[1:3], other, atol=0.12, err_msg=f"{setting}")
