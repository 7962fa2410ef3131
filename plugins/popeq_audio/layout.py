"""Which speakers the channels of a file are for, and that it is as long as it says itself.

soundfile does not give either, but libsndfile's report of a file (``extra_info``) does.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

from popeq.errors import UsageError

#: The speakers of the channels of a FLAC file by their number (RFC 9639, 9.1.3), as the mask of a WAV file.
_FLAC_MASKS = {3: 0x7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x70F, 8: 0x63F}
#: Surround speakers at the side count as those behind: formats differ in the name alone.
_BACK, _SIDE = 0x30, 0x600
_MASK = re.compile(r"^\s*Channel Mask\s*: 0x([0-9A-Fa-f]+)", re.MULTILINE)
_BYTES = re.compile(r"^\s*(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_FRAMES = re.compile(r"frame count (\d+) does not match value from 'ds64' chunk of (\d+)")
_NO_LAST_PAGE = "Last page lacks an end-of-stream bit"
#: Sizes from here on say that the program which wrote the file, such as into a pipe, did not know its length.
_UNKNOWN_BYTES = 0x7FFF0000
_HEADER_BYTES = 4096


def check_whole(path: Path, source: Any) -> None:
    """Raise UsageError if an open file has less sound than it says, because its end was cut off."""
    report, frames = source.extra_info, None
    if found := _BYTES.search(report):
        said, there = int(found[1]), int(found[2])
        if there < said < _UNKNOWN_BYTES and there:
            frames = said * source.frames // there
    elif found := _FRAMES.search(report):
        frames = int(found[2])
    if frames is not None and frames > source.frames:
        raise UsageError(
            f"{path}: is cut off: it has {source.frames / source.samplerate:.1f} of "
            f"{frames / source.samplerate:.1f} seconds; copy or download it again"
        )
    if _NO_LAST_PAGE in report:
        raise UsageError(f"{path}: is cut off: its last page is missing; copy or download it again")


def channel_mask(source: Any) -> int | None:
    """The speakers of an open file's channels as in WAVEFORMATEXTENSIBLE (0: it says that they have none);
    None if it does not say, or is a mono or stereo file without a mask."""
    found = _MASK.search(source.extra_info)
    if found:
        return int(found[1], 16)
    return _FLAC_MASKS.get(source.channels) if source.format == "FLAC" else None


def check_layout(path: Path, source: Any, form: str) -> None:
    """Raise UsageError if a file of this format cannot say which channel is which as the open one does."""
    if source.channels <= 2 or form == source.format:
        return
    if "OGG" in (form, source.format):  # Vorbis has an order of its own, and libsndfile does not reorder
        raise UsageError(
            f"{path}: {source.channels} channels have another order in ogg files than in others; "
            f"give it the ending of {source.name}"
        )
    mask = channel_mask(source)
    if form == "FLAC" and mask and _behind(mask) != _behind(_FLAC_MASKS[source.channels]):
        raise UsageError(
            f"{path}: a flac file cannot say which speakers these {source.channels} channels are for (mask "
            f"{mask:#x}); write a .wav file"
        )


def _behind(mask: int) -> int:
    return mask & ~_SIDE | _BACK if mask & _SIDE and not mask & _BACK else mask


def set_channel_mask(path: Path, mask: int) -> None:
    """Write the mask into the header of a WAVEX or RF64 file: libsndfile writes one of its own."""
    with path.open("r+b") as file:
        header = file.read(_HEADER_BYTES)
        place = header.index(b"fmt ") + 8
        (tag,) = struct.unpack_from("<H", header, place)
        if tag != 0xFFFE:
            raise ValueError(f"{path}: is not WAVEFORMATEXTENSIBLE")
        file.seek(place + 20)
        file.write(struct.pack("<I", mask))
