"""Hear a setting: filter an audio file with its curve, as loud as before and without clipping."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from popeq.typing import Floats
from popeq_audio.files import blocks, new_audio, open_audio
from popeq_audio.filtering import Convolver, filter_taps
from popeq_audio.loudness import LoudnessMeter, TruePeakMeter

CEILING_DBTP = -1.0
BLOCK_FRAMES = 65_536


@dataclass(frozen=True)
class Measured:
    """Loudness (LUFS; -inf if there is none) and true peak (dBTP) of a sound."""

    loudness_lufs: float
    true_peak_dbtp: float


@dataclass(frozen=True)
class Rendered:
    """What was done: levels of the source and of the filtered sound, the gain given to it, and by how much
    it is quieter than the source because it would have clipped (0: equally loud)."""

    source: Measured
    filtered: Measured
    gain_db: float
    short_db: float

    @property
    def loudness_lufs(self) -> float:
        """Loudness of what was written."""
        return self.filtered.loudness_lufs + self.gain_db

    @property
    def true_peak_dbtp(self) -> float:
        """True peak of what was written."""
        return self.filtered.true_peak_dbtp + self.gain_db


def levels(sound: Floats, rate_hz: int) -> Measured:
    """Levels of a whole sound, (n, channels)."""
    meters = _Meters(rate_hz, sound.shape[1])
    meters.add(sound)
    return meters.measured()


def measure(
    source: Any, point: ArrayLike, block_frames: int, progress: Callable[[int], None]
) -> tuple[Measured, Measured]:
    """Levels of an open file, and of it filtered; ``progress`` gets the number of frames of each block."""
    meters = [_Meters(source.samplerate, source.channels) for _ in range(2)]
    for block in blocks(source, block_frames):
        meters[0].add(block)
        progress(len(block))
    for block in filtered(source, point, block_frames):
        meters[1].add(block)
        progress(len(block))
    return meters[0].measured(), meters[1].measured()


class _Meters:
    def __init__(self, rate_hz: int, channels: int) -> None:
        self._loudness = LoudnessMeter(rate_hz, channels)
        self._peak = TruePeakMeter(channels)

    def add(self, block: Floats) -> None:
        self._loudness.add(block)
        self._peak.add(block)

    def measured(self) -> Measured:
        peak = self._peak.peak()
        return Measured(self._loudness.integrated(), 20.0 * math.log10(peak) if peak > 0 else -math.inf)


def filtered(source: Any, point: ArrayLike, block_frames: int = BLOCK_FRAMES) -> Iterator[Floats]:
    """The sound of an open file with the setting's curve, as many frames as it has."""
    convolver = Convolver(filter_taps(point, source.samplerate), source.channels)
    for block in blocks(source, block_frames):
        yield convolver.process(block)
    yield convolver.flush()


def chosen_gain(source: Measured, made: Measured, match: bool, ceiling_dbtp: float) -> tuple[float, float]:
    """Gain (dB) that makes ``made`` as loud as ``source``, and how far it stays below that to be safe.

    The true peak is kept under the ceiling, or under the source's own peak where that is higher already (but
    under 0 dBTP), so that a sound which is not changed is not made quieter.
    """
    wanted = 0.0
    if match and math.isfinite(source.loudness_lufs) and math.isfinite(made.loudness_lufs):
        wanted = source.loudness_lufs - made.loudness_lufs
    ceiling = max(ceiling_dbtp, min(source.true_peak_dbtp, 0.0))
    gain = min(wanted, ceiling - made.true_peak_dbtp) if math.isfinite(made.true_peak_dbtp) else wanted
    return gain, wanted - gain


def render(
    source_path: Path,
    target_path: Path,
    point: ArrayLike,
    *,
    match: bool = True,
    ceiling_dbtp: float = CEILING_DBTP,
    lower_db: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
) -> Rendered:
    """Filter a file with a setting's curve.

    The file is read three times in blocks (its levels, the filtered levels, the writing), so that memory does
    not grow with its length; the result does not depend on the blocks.

    Parameters
    ----------
    point
        Setting (x, y), dB.
    match
        Make the result as loud as the source (ITU-R BS.1770); without it only clipping is prevented.
    ceiling_dbtp
        Highest true peak.
    lower_db
        Make it quieter by so much, for a set of files that are to be equally loud.
    progress
        Called with frames done and frames in all.

    Raises
    ------
    UsageError
        For a source that cannot be read or a target that cannot be written.
    """
    if target_path.exists() and source_path.exists() and target_path.samefile(source_path):
        from popeq.errors import UsageError

        raise UsageError(f"{target_path}: is the source itself; give another name")
    with open_audio(source_path) as source:
        done, total = 0, 3 * source.frames

        def add_done(frames: int) -> None:
            nonlocal done
            done += frames
            if progress is not None:
                progress(done, total)

        before, after = measure(source, point, BLOCK_FRAMES, add_done)
        gain, short = chosen_gain(before, after, match, ceiling_dbtp)
        gain -= lower_db
        factor = 10.0 ** (gain / 20.0)
        with new_audio(
            target_path, source.samplerate, source.channels, source.frames, source.subtype
        ) as target:
            for block in filtered(source, point):
                target.write(block * factor)
                add_done(len(block))
    return Rendered(before, after, gain, short)
