"""Audio files through soundfile: opened, described and written whole or not at all."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from popeq.atomic import new_file
from popeq.errors import UsageError
from popeq.installing import need
from popeq.typing import Floats
from popeq_audio.layout import channel_mask, check_layout, check_whole, set_channel_mask

MOST_CHANNELS = 8
#: What each ending is written as: format, and the sample type where the source's own does not fit.
FORMATS = {".wav": ("WAV", "PCM_24"), ".flac": ("FLAC", "PCM_24"), ".ogg": ("OGG", "VORBIS")}
_KEPT = {"WAV": {"PCM_24", "PCM_32", "FLOAT", "DOUBLE"}, "FLAC": {"PCM_24"}, "OGG": {"VORBIS"}}
_MOST_WAV_BYTES = 4_000_000_000
_FRAMES = 32_768  # libsndfile's Vorbis encoder overflows its stack when given much more at once


@contextlib.contextmanager
def open_audio(path: Path) -> Iterator[Any]:
    """A soundfile to read from.

    Raises
    ------
    UsageError
        If there is no such file, it is no audio that can be read, is empty or cut off, or has too many
        channels.
    """
    soundfile = need("soundfile", "audio")
    if not path.is_file():
        what = "is no file; a sound is read more than once" if path.exists() else "there is no such file"
        raise UsageError(f"{path}: {what}")
    try:
        source = soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        raise UsageError(
            f"{path}: cannot be read as audio (wav, flac or ogg): {error.error_string}"
        ) from None
    with source:
        if source.channels > MOST_CHANNELS:
            raise UsageError(f"{path}: has {source.channels} channels; {MOST_CHANNELS} at most")
        if source.frames <= 0:
            raise UsageError(f"{path}: holds no sound")
        check_whole(path, source)
        yield source


def blocks(source: Any, frames: int) -> Iterator[Floats]:
    """The sound from the beginning, (n, channels) at a time; UsageError where it is broken."""
    soundfile = need("soundfile", "audio")
    source.seek(0)
    done = 0
    while True:
        try:
            block = source.read(frames, dtype="float64", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise UsageError(f"{source.name}: is broken at {source.tell()}: {error.error_string}") from None
        done += len(block)
        if not len(block):
            if source.format == "FLAC" and done < source.frames:
                raise UsageError(f"{source.name}: is cut off: it has {done} of {source.frames} frames")
            return
        if not np.isfinite(block).all():
            raise UsageError(f"{source.name}: holds samples that are not finite numbers")
        yield block


def read_mono(path: Path, most_s: int = 600) -> tuple[Floats, int]:
    """The mean of the channels (n,) and the rate, of the first ``most_s`` seconds."""
    with open_audio(path) as source:
        seconds = itertools.islice(blocks(source, source.samplerate), most_s)
        return np.concatenate([block.mean(axis=1) for block in seconds]), source.samplerate


def write_block(target: Any, frames: Floats) -> None:
    """Append frames (n, channels) to an open soundfile, in pieces that every encoder takes."""
    for start in range(0, len(frames), _FRAMES):
        target.write(frames[start : start + _FRAMES])


def write_sound(path: Path, sound: Floats, rate_hz: int, mask: int | None) -> None:
    """Write a sound (n, channels) as a 16-bit WAV file, which every browser decodes, into a new folder.

    ``mask``: the speakers of its channels, as from ``channel_mask``.
    """
    form = "WAV" if mask is None else "WAVEX"
    need("soundfile", "audio").write(path, sound, rate_hz, subtype="PCM_16", format=form)
    if mask is not None:
        set_channel_mask(path, mask)


def check_target(path: Path, source: Any) -> None:
    """Raise UsageError if no sound like the open ``source`` can be written under this name."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: can be written as {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: cannot be written: {path.parent} is no folder")
    check_layout(path, source, FORMATS[path.suffix.lower()][0])


@contextlib.contextmanager
def new_audio(path: Path, source: Any) -> Iterator[Any]:
    """A soundfile to write to, like the open ``source``, that is there when the block succeeds.

    The source's sample type is kept if it holds at least 24 bits, else 24 bits are written, so that no
    rounding is added. What the source says of the speakers of its channels is kept too.

    Raises UsageError for another ending, or channels that the format cannot describe, and UnwritableError for
    a place that cannot be written.
    """
    soundfile = need("soundfile", "audio")
    check_target(path, source)
    form, fallback = FORMATS[path.suffix.lower()]
    chosen = source.subtype if source.subtype in _KEPT[form] else fallback
    rate_hz, channels = source.samplerate, source.channels
    mask = channel_mask(source) if form == "WAV" else None
    if mask is not None:
        form = "WAVEX"
    if form in ("WAV", "WAVEX") and source.frames * channels * 8 > _MOST_WAV_BYTES:
        form = "RF64"  # a plain WAV file ends at 4 GB
    try:
        with new_file(path, path.suffix) as temporary:
            with soundfile.SoundFile(temporary, "w", rate_hz, channels, chosen, format=form) as target:
                yield target
            if mask is not None:
                set_channel_mask(temporary, mask)
    except soundfile.LibsndfileError as error:
        raise UsageError(
            f"{path}: cannot be written as {form} ({channels} channels, {rate_hz} Hz): {error.error_string}"
        ) from None
