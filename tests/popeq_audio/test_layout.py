"""The speakers of a file's channels survive, and a file whose end was cut off is refused."""

from __future__ import annotations

import os
import re
import struct
import threading

import numpy as np
import pytest
import soundfile

import popeq
from popeq.errors import UsageError
from popeq_audio.files import open_audio
from popeq_audio.layout import channel_mask, set_channel_mask
from popeq_audio.listening.making import ListeningSettings, make_test, read_excerpt
from popeq_audio.rendering import RenderSettings, render

RATE = 48_000


def noise(channels, frames=RATE):
    return 0.1 * np.random.default_rng(0).normal(size=(frames, channels))


def write(path, channels, mask=None, form="WAVEX"):
    subtype = "VORBIS" if form == "OGG" else "PCM_24"
    soundfile.write(path, noise(channels), RATE, subtype=subtype, format=form)
    if mask is not None:
        set_channel_mask(path, mask)
    return path


def header(path):
    """Format tag and channel mask, read without libsndfile; no mask in a plain file."""
    content = path.read_bytes()
    place = content.index(b"fmt ") + 8
    (tag,) = struct.unpack_from("<H", content, place)
    return tag, struct.unpack_from("<I", content, place + 20)[0] if tag == 0xFFFE else None


def rendered(source, target):
    render(source, target, RenderSettings((1.0, 1.0)))
    return target


@pytest.mark.parametrize(
    ("channels", "mask"), [(1, 0x4), (2, 0x3), (3, 0x7), (4, 0x107), (6, 0x60F), (6, 0x0)]
)
def test_a_mask_survives(tmp_path, channels, mask):
    source = write(tmp_path / "in.wav", channels, mask)
    target = rendered(source, tmp_path / "out.wav")
    assert header(target) == (0xFFFE, mask)
    assert soundfile.info(target).frames == RATE
    with open_audio(target) as opened:
        assert channel_mask(opened) == mask


def test_a_plain_file_stays_plain_and_flac_says_its_speakers(tmp_path):
    assert header(rendered(write(tmp_path / "a.wav", 6, form="WAV"), tmp_path / "b.wav")) == (1, None)
    assert header(rendered(write(tmp_path / "a.flac", 2, form="FLAC"), tmp_path / "b.wav")) == (1, None)
    flac = write(tmp_path / "c.flac", 6, form="FLAC")
    assert header(rendered(flac, tmp_path / "c.wav")) == (0xFFFE, 0x3F)
    assert rendered(write(tmp_path / "d.wav", 6, 0x60F), tmp_path / "d.flac").exists()


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (
            ("in.wav", 4, 0x107),
            "out.flac",
            r"cannot say which speakers these 4 channels are for \(mask 0x107\)",
        ),
        (("in.wav", 6, 0x3F), "out.ogg", "6 channels have another order in ogg files"),
        (("in.ogg", 6, None, "OGG"), "out.wav", "6 channels have another order in ogg files"),
    ],
)
def test_what_a_format_cannot_say_is_refused(tmp_path, source, target, message):
    name, *how = source
    made = write(tmp_path / name, *how)
    with pytest.raises(UsageError, match=message):
        rendered(made, tmp_path / target)
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64", "AIFF", "AU", "FLAC", "OGG"])
def test_a_file_that_is_cut_off_is_one_line(tmp_path, form):
    source = write(tmp_path / "whole", 2, form=form)
    with open_audio(source) as opened:
        assert opened.frames > RATE / 2
    cut = tmp_path / "cut"
    cut.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(UsageError, match=r"cut: (is cut off|is broken)") as raised:
        rendered(cut, tmp_path / "out.wav")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out.wav").exists()


def test_one_missing_frame_is_enough_and_what_follows_the_sound_may_be_missing(tmp_path):
    content = write(tmp_path / "whole.wav", 2, form="WAV").read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[:-6])
    with pytest.raises(UsageError, match=r"has 1\.0 of 1\.0 seconds"), open_audio(tmp_path / "cut.wav"):
        pass
    (tmp_path / "notes.wav").write_bytes(content + b"LIST" + struct.pack("<I", 1000) + b"INFO")
    with open_audio(tmp_path / "notes.wav") as opened:
        assert opened.frames == RATE


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000])
def test_a_program_that_did_not_know_the_length_has_written_a_whole_file(tmp_path, size):
    content = bytearray(write(tmp_path / "piped.wav", 2, form="WAV").read_bytes())
    struct.pack_into("<I", content, content.index(b"data") + 4, size)
    (tmp_path / "piped.wav").write_bytes(content)
    with open_audio(tmp_path / "piped.wav") as opened:
        assert opened.frames == RATE


def test_sound_is_written_into_a_pipe_and_not_read_from_one(tmp_path):
    source, pipe, read = write(tmp_path / "in.wav", 2), tmp_path / "pipe.wav", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    rendered(source, pipe)
    reader.join(10)
    assert read == [rendered(source, tmp_path / "file.wav").read_bytes()]
    with pytest.raises(UsageError, match=re.escape("pipe.wav: is no file; a sound is read more than once")):
        rendered(pipe, tmp_path / "out.wav")


@pytest.mark.parametrize(
    ("channels", "expected"), [(1, (1, 2, None)), (2, (1, 2, None)), (6, (0xFFFE, 6, 0x60F))]
)
def test_a_listening_test_has_the_speakers_of_its_track(tmp_path, channels, expected):
    track = write(tmp_path / "track.wav", channels, 0x60F if channels == 6 else None)
    settings = ListeningSettings(points=((1.0, 1.0),), count=1, seconds=1.0)
    make_test([], [track], tmp_path / "test", settings, popeq.load_dataset("simulated-120"))
    sounds = list((tmp_path / "test").rglob("*.wav"))
    assert len(sounds) == 3
    for sound in sounds:
        tag, mask = header(sound)
        assert (tag, soundfile.info(sound).channels, mask) == expected


def test_webmushra_plays_a_mono_track_on_both_sides(tmp_path):
    excerpt = read_excerpt(write(tmp_path / "track.wav", 1), 1.0)
    assert excerpt.sound.shape == (RATE, 2)
    np.testing.assert_array_equal(excerpt.sound[:, 0], excerpt.sound[:, 1])
