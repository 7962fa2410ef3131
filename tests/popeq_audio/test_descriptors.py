"""Descriptors of sounds whose descriptors are known; the tracks' effect is found; the twin hears it."""

from __future__ import annotations

import numpy as np
import pytest

import popeq
from popeq.eq import gain_db
from popeq_audio.descriptors import describe
from popeq_audio.filtering import filter_taps
from popeq_audio.simulated_tracks import generate


def noise(seconds=8, rate=48_000):
    return np.random.default_rng(0).normal(0, 0.1, seconds * rate)


def test_white_noise_leans_by_three_decibels_an_octave():
    found = describe(noise(), 48_000)
    octaves = np.log2(1000.0)
    assert found["tilt_db"] == pytest.approx(10 * np.log10(2) * octaves / 2, abs=0.5)
    assert found["smile_db"] == pytest.approx(0.0, abs=0.5)


def test_a_sine_is_where_it_is():
    sine = np.sin(2 * np.pi * 1000 * np.arange(96_000) / 48_000)
    found = describe(sine, 48_000)
    assert found["centroid_octaves"] == pytest.approx(np.log2(1000 / 20), abs=0.2)
    assert found["crest_db"] == pytest.approx(3.01, abs=0.01)
    assert found["band_1000_db"] == pytest.approx(0.0, abs=0.1)


def test_a_setting_moves_tilt_and_smile_by_itself():
    before = describe(noise(), 48_000)
    after = describe(np.convolve(noise(), filter_taps((3.0, -2.0), 48_000.0)[:4096])[: 8 * 48_000], 48_000)
    assert after["smile_db"] - before["smile_db"] == pytest.approx(3.0, abs=0.3)
    assert after["tilt_db"] - before["tilt_db"] == pytest.approx(-2.0, abs=0.3)
    assert gain_db((3.0, -2.0), [1000.0]).shape == (1,)


def test_level_changes_nothing_and_silence_is_refused():
    assert describe(noise() * 0.01, 48_000)["tilt_db"] == pytest.approx(describe(noise(), 48_000)["tilt_db"])
    with pytest.raises(ValueError, match="silence"):
        describe(np.zeros(48_000), 48_000)


def test_the_generator_makes_the_committed_data(tmp_path):
    generate.generate(tmp_path)
    for name in ("prompts.csv", "responses.csv", "features.csv", "dataset.toml", "README.md"):
        assert (tmp_path / name).read_text() == (generate.FOLDER / name).read_text(), name


def test_hearing_the_track_helps_where_listeners_do(tmp_path, own_cache):
    data = popeq.load_dataset("simulated-tracks")
    text, audio = popeq.run(["text-near", "text-audio-near"], data, runs_dir=tmp_path)
    assert [r.record.status for r in (text, audio)] == ["complete", "complete"]
    shift = popeq.score(audio)["reflective_kantorovich"] - popeq.score(text)["reflective_kantorovich"]
    assert shift.mean() < -0.1
    assert audio.record.predictor.described["ridge"] is not None


def test_a_data_set_without_tracks_is_refused_in_a_line(tmp_path):
    (run,) = popeq.run("text-audio-near", runs_dir=tmp_path)
    assert "has no features of its tracks" in run.record.failures[0].message
