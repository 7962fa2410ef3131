"""What is said of a track: each descriptor once, with its unit."""

from __future__ import annotations

import re

import numpy as np
import pytest

from popeq import load_dataset
from popeq.space import Space
from popeq_audio.descriptors import describe, names
from popeq_dsp.track import track_in_words


def test_every_descriptor_of_popeq_features_has_words_and_a_unit():
    rate_hz, t = 48_000, np.arange(48_000) / 48_000
    features = describe(np.sin(2 * np.pi * 1000 * t), rate_hz, Space(curves="beosonic"))
    said = track_in_words(features)
    assert list(features) == list(names(Space(curves="beosonic")))
    numbers = re.findall(r"-?[0-9.]+(?:e[-+][0-9]+)? (?:dB|Hz|octaves)\b", said)
    assert len(numbers) == 7 + 10, said
    centroid = float(re.search(r"centroid at ([0-9.]+) Hz", said)[1])
    assert centroid == pytest.approx(1000, rel=0.1)
    assert "crest factor 3.01 dB" in said
    assert "energy" in said
    assert "brightness" in said


def test_the_words_of_a_bundled_track():
    dataset = load_dataset("simulated-tracks")
    (prompt,) = dataset.unlabelled(["warm-track00"])
    assert track_in_words(prompt.audio.features) == (
        "The track: spectral centroid at 225 Hz; spread of 2.37 octaves around it; 85 % of the energy below "
        "1565 Hz; spectral flatness -9.07 dB; tilt -1.25 dB; smile -4.01 dB; crest factor 16.7 dB; octave "
        "bands in dB of the whole: -13.4 at 31.25 Hz, -5.3 at 62.5 Hz, -5.6 at 125 Hz, -9.6 at 250 Hz, -12.4 "
        "at 500 Hz, -12.5 at 1000 Hz, -13.1 at 2000 Hz, -15.2 at 4000 Hz, -14.2 at 8000 Hz, -12.5 at "
        "16000 Hz."
    )


def test_descriptors_of_other_makers_and_none():
    assert track_in_words({}) == ""
    features = {"loudness_LUFS": -14.0, "attack_ms": 12.5, "tempo": 120.0, "roughness index": 1e-7, "hz": 3.0}
    assert track_in_words(features) == (
        "The track: loudness LUFS -14; attack 12.5 ms; tempo 120; roughness index 1e-07; hz 3."
    )
    assert track_in_words({"centroid_octaves": 5000.0, "band_._db": -0.001}) == (
        "The track: spectral centroid at 5000 octaves; band . -0.001 dB."
    )
