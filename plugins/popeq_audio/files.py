"""Audio files through soundfile: opened, described and written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from popeq.errors import UsageError
from popeq.typing import Floats
from popeq_audio.checks import need

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
        If there is no such file, it is no audio that can be read, is empty or has too many channels.
    """
    soundfile = need("soundfile", "audio")
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
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
        yield source


def blocks(source: Any, frames: int) -> Iterator[Floats]:
    """The sound from the beginning, (n, channels) at a time; UsageError where it is broken."""
    soundfile = need("soundfile", "audio")
    source.seek(0)
    while True:
        try:
            block = source.read(frames, dtype="float64", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise UsageError(f"{source.name}: is broken at {source.tell()}: {error.error_string}") from None
        if not len(block):
            return
        if not np.isfinite(block).all():
            raise UsageError(f"{source.name}: holds samples that are not finite numbers")
        yield block


def read_start(path: Path, most_s: float, *, mono: bool = False) -> tuple[Floats, int]:
    """The first ``most_s`` seconds of a file and its rate, Hz. Raises as ``open_audio``.

    The sound is (n, channels), or (n,) with ``mono``, which takes the mean of the channels.
    """
    with open_audio(path) as source:
        most = int(most_s * source.samplerate)
        parts, taken = [], 0
        for block in blocks(source, 1 << 16):
            part = block[: most - taken]
            parts.append(part.mean(axis=1) if mono else part)
            taken += len(part)
            if taken >= most:
                break
        return np.concatenate(parts), int(source.samplerate)


class Writer:
    """Writes frames to an open soundfile in pieces that every encoder takes."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def write(self, frames: Floats) -> None:
        """Append frames (n, channels)."""
        for start in range(0, len(frames), _FRAMES):
            self._target.write(frames[start : start + _FRAMES])


def check_target(path: Path) -> None:
    """Raise UsageError if no sound can be written under this name."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: can be written as {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: cannot be written: {path.parent} is no folder")


@contextlib.contextmanager
def new_audio(path: Path, rate_hz: int, channels: int, frames: int, subtype: str | None) -> Iterator[Writer]:
    """A file that is there when the block succeeds, and is not when it fails.

    ``subtype`` is the source's sample type: it is kept if it holds at least 24 bits, else 24 bits are
    written, so that no rounding is added.

    Raises UsageError for another ending, or a place that cannot be written.
    """
    soundfile = need("soundfile", "audio")
    check_target(path)
    form, fallback = FORMATS[path.suffix.lower()]
    chosen = subtype if subtype in _KEPT[form] else fallback
    if form == "WAV" and frames * channels * 8 > _MOST_WAV_BYTES:
        form = "RF64"  # a plain WAV file ends at 4 GB
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
        os.close(descriptor)
        temporary = Path(name)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        with soundfile.SoundFile(temporary, "w", rate_hz, channels, chosen, format=form) as target:
            yield Writer(target)
        temporary.chmod(0o644)
        temporary.replace(path)
    except soundfile.LibsndfileError as error:
        raise UsageError(
            f"{path}: cannot be written as {form} ({channels} channels, {rate_hz} Hz): {error.error_string}"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
