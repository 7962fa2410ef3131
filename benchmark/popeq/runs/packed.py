"""CSV files that may be compressed (.gz, .xz): unpacked piece by piece, never more than a limit at once."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from popeq.errors import UsageError

#: Bytes that a row of predictions may take, in the file and unpacked, and bytes that depend on no row.
ROW_BYTES, OTHER_BYTES = 512, 1 << 20
#: Memory that the dictionary of an .xz file may ask for; that of ``xz -9`` takes 65 MiB.
_DICTIONARY_BYTES = 128 << 20
_PIECE = 1 << 18
_GZIP, _XZ = b"\x1f\x8b", b"\xfd7zXZ\x00"
#: For digits a byte's place in a word says nothing (``pb``); a run of 300 prompts becomes 1 % smaller.
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "pb": 0}]


class PackedError(UsageError):
    """A compressed file that is not whole, or unpacks to more than may be read; says why in one line."""


def most_bytes(rows: int) -> int:
    """Bytes that a file of so many rows of predictions may take, unpacked or not."""
    return OTHER_BYTES + ROW_BYTES * rows


def pack(content: bytes) -> bytes:
    """``content`` as an .xz file."""
    return lzma.compress(content, lzma.FORMAT_XZ, filters=_FILTERS)


def unpacked(path: Path, most: int) -> bytes:
    """What a file holds, unpacked if it begins as .gz or .xz files do.

    Raises
    ------
    PackedError
        If it is damaged or unpacks to more than ``most`` bytes, of which no more are ever held in memory.
    OSError
        If it cannot be read.
    """
    pieces, size = [], 0
    for piece in _pieces(path):
        size += len(piece)
        if size > most:
            raise PackedError(f"{path}: unpacks to more than the {most} bytes that such predictions can take")
        pieces.append(piece)
    return b"".join(pieces)


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of what a file holds, unpacked: the same however it was compressed. Raises as
    ``unpacked`` does, but has no limit: a piece is held at a time."""
    digest = hashlib.sha256()
    for piece in _pieces(path):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        start = stream.read(len(_XZ))
        stream.seek(0)
        if start.startswith(_XZ):
            yield from _of_xz(stream, path)
        elif start.startswith(_GZIP):
            yield from _of_gzip(stream, path)
        else:
            while piece := stream.read(_PIECE):
                yield piece


def _of_gzip(stream: BinaryIO, path: Path) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=stream) as file:
            while piece := file.read(_PIECE):
                yield piece
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise PackedError(f"{path}: is not a whole .gz file: {error}") from None


def _of_xz(stream: BinaryIO, path: Path) -> Iterator[bytes]:
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, _DICTIONARY_BYTES)
    try:
        while not decoder.eof:
            given = stream.read(_PIECE) if decoder.needs_input else b""
            if decoder.needs_input and not given:
                raise PackedError(f"{path}: is not a whole .xz file: it ends too early")
            if piece := decoder.decompress(given, _PIECE):
                yield piece
    except (lzma.LZMAError, MemoryError) as error:
        raise PackedError(f"{path}: is not an .xz file that can be read: {error}") from None
    if decoder.unused_data or stream.read(1):
        raise PackedError(f"{path}: has bytes after the end of its .xz data")
