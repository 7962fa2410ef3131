"""Hear a setting: filter an audio file with its curve, as loud as before and without clipping."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from popeq.errors import UsageError
from popeq.space import PLANE, Space
from popeq.typing import Floats
from popeq_audio.files import blocks, new_audio, open_audio, write_block
from popeq_audio.filtering import convolve, filter_taps
from popeq_audio.loudness import Measured, measure

CEILING_DBTP = -1.0


@dataclass(frozen=True)
class RenderSettings:
    """How ``render`` filters a file.

    Parameters
    ----------
    point
        Setting (x, y), dB.
    space
        What the setting means: its pair of curves.
    match
        Make the result as loud as the source (ITU-R BS.1770); without it only clipping is prevented.
    ceiling_dbtp
        Highest true peak, dBTP.
    block_frames
        Frames that are read at once; the result does not depend on it.
    """

    point: tuple[float, float]
    space: Space = PLANE
    match: bool = True
    ceiling_dbtp: float = CEILING_DBTP
    block_frames: int = 65_536


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
    settings: RenderSettings,
    progress: Callable[[int, int], None] | None = None,
) -> Rendered:
    """Filter a file with a setting's curve.

    The file is read three times in blocks (its levels, the filtered levels, the writing), so that memory does
    not grow with its length. ``progress`` is called with frames done and frames in all.

    Raises
    ------
    UsageError
        For a source that cannot be read or a target that cannot be written.
    """
    if target_path.exists() and source_path.exists() and target_path.samefile(source_path):
        raise UsageError(f"{target_path}: is the source itself; give another name")
    with open_audio(source_path) as source:
        rate, channels, done = source.samplerate, source.channels, 0
        taps = filter_taps(settings.point, rate, settings.space)

        def counted(sound: Iterable[Floats]) -> Iterator[Floats]:
            nonlocal done
            for block in sound:
                yield block
                done += len(block)
                if progress is not None:
                    progress(done, 3 * source.frames)

        def filtered() -> Iterator[Floats]:
            return counted(convolve(blocks(source, settings.block_frames), taps, channels))

        before = measure(counted(blocks(source, settings.block_frames)), rate, channels)
        after = measure(filtered(), rate, channels)
        gain, short = chosen_gain(before, after, settings.match, settings.ceiling_dbtp)
        with new_audio(target_path, source) as target:
            for block in filtered():
                write_block(target, block * 10.0 ** (gain / 20.0))
    return Rendered(before, after, gain, short)
