"""SHA-256 of files and folders; an unchanged large file is read once on this machine."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from popeq.caches import ContentCache
from popeq.errors import UsageError

#: Bytes from which the hash of a file is also kept on disk.
_LARGE = 32 << 20
#: A file that changed more recently than this could change again without a change of its times.
_SETTLED_NS = 2_000_000_000


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's content; raises OSError if it cannot be read.

    The hash is kept in this process, and for files of 32 MiB and more in the cache folder, by the file's
    path, inode, size and its times of change in nanoseconds.
    """
    status = path.stat()
    stamp = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < _SETTLED_NS:
        return _read(path)
    return _kept(os.path.realpath(path), stamp, status.st_size >= _LARGE)


def folder_sha256(folder: Path, endings: Iterable[str] = ()) -> str:
    """SHA-256 (hex) over the names and contents of a folder's files, those in its folders too.

    Parameters
    ----------
    folder
        Hidden files and folders (a dot in front) and ``__pycache__`` are left out.
    endings
        Only files with one of these endings, such as ``.json``; all files if empty.

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    wanted = tuple(endings)
    digest = hashlib.sha256()
    for name, file in sorted(files_below(folder)):
        if not wanted or name.endswith(wanted):
            digest.update(name.encode() + b"\0" + bytes.fromhex(file_sha256(file)))
    return digest.hexdigest()


def content_identity(path: Path | str, endings: Iterable[str] = ()) -> str | None:
    """``sha256:HEX`` of a file or (``folder_sha256``) of a folder; None if ``path`` does not exist.

    For ``Parameters.identity``. Raises UsageError if it exists and cannot be read.
    """
    place = Path(path).expanduser()
    try:
        if place.is_dir():
            return f"sha256:{folder_sha256(place, endings)}"
        return f"sha256:{file_sha256(place)}" if place.is_file() else None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None


def files_below(folder: Path) -> list[tuple[str, Path]]:
    """The relative name (with ``/``) and the path of every file below a folder, in no order.

    Hidden files, compiled Python and backup copies of editors are left out.
    """
    found = []
    seen: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        place = os.path.realpath(root)
        if place in seen:  # a link back to a folder above
            folders.clear()
            continue
        seen.add(place)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__pycache__")
        for name in names:
            path = Path(root, name)
            if not name.startswith(".") and not name.endswith((".pyc", ".pyo", "~")) and path.is_file():
                found.append((path.relative_to(folder).as_posix(), path))
    return found


def _read(path: Path | str) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@lru_cache(maxsize=16384)
def _kept(place: str, stamp: tuple[int, ...], on_disk: bool) -> str:
    if not on_disk:
        return _read(place)
    cache, question = ContentCache("hashes"), [place, *stamp]
    kept = cache.get(question)
    if isinstance(kept, str) and re.fullmatch("[0-9a-f]{64}", kept):
        return kept
    found = _read(place)
    cache.put(question, found)
    return found
