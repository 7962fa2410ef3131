"""Predictions as a small file: CSV text, compressed by bzip2 from protocol 2 on.

``pandas.read_csv(file)`` reads both. Hashes are of the text, so that they do not depend on a compressor.
"""

from __future__ import annotations

import bz2
import zlib
from pathlib import Path
from typing import Any

from popeq.errors import UsageError
from popeq.protocol import Protocol

PLAIN, PACKED = "predictions.csv", "predictions.csv.bz2"
_BZIP2, _GZIP = b"BZh", b"\x1f\x8b"


def name_for(protocol: Protocol) -> str:
    """The name of a run's predictions under a protocol: compressed where it says how many decimals."""
    return PLAIN if protocol.decimals is None else PACKED


def pack(text: str, name: str) -> bytes:
    """The content of the file of that name."""
    content = text.encode("utf-8")
    return bz2.compress(content) if name == PACKED else content


def unpack(content: bytes, path: Path, most: int) -> bytes:
    """The text of a file, as bytes: decompressed if it is bzip2 or gzip, else as it is.

    Raises
    ------
    UsageError
        If it is damaged, or holds more than ``most`` bytes; no more than that is ever unpacked.
    """
    if not content.startswith((_BZIP2, _GZIP)):
        return content
    zipped = content.startswith(_BZIP2)
    decoder: Any = bz2.BZ2Decompressor() if zipped else zlib.decompressobj(wbits=31)
    try:
        unpacked: bytes = decoder.decompress(content, most + 1)
    except (OSError, ValueError, zlib.error) as error:
        raise UsageError(f"{path}: is damaged: {error}") from None
    if len(unpacked) > most:
        raise UsageError(f"{path}: unpacks to more than the {most} bytes that it may have")
    if not decoder.eof or decoder.unused_data:
        raise UsageError(f"{path}: is damaged: {'more follows' if decoder.eof else 'it ends too early'}")
    return unpacked
