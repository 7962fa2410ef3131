"""The key by which kept scores are tagged: while a predictor's process runs, it is in no file.

A predictor's process has its user's rights, so it can read and write the cache folder. What it writes there
counts for nothing without a tag, and to make one it needs this key. Whoever starts such a process therefore
takes the key out of its file first and puts it back when the process and all that it started have ended;
meanwhile the key is in the memory of the process that started it. docs/containment.md says what that stops.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from popeq.caches import ContentCache, cache_folder
from popeq.others_files import UnreadableFileError, read_plain

_KEY, _LOCK = "scores.key", "scores.lock"
_BYTES = 32
#: Another process that only reads the key has the lock for less than this.
_PATIENCE_S, _POLL_S = 0.1, 0.01
_GUARD = threading.RLock()


@dataclass
class _Taken:
    """A key that is out of its file (None: another process has it), and the lock that says so to others."""

    folder: Path
    key: bytes | None
    lock: int
    users: int = 0


_taken: dict[Path, _Taken] = {}
_known: dict[Path, bytes] = {}


def tag(name: str, content: bytes) -> bytes | None:
    """The 32 bytes of the tag of a content that is kept under a name: HMAC-SHA256.

    None if there is no key to be had: the cache folder cannot be written, or a predictor's process that
    another process started is running.
    """
    key = _key(cache_folder().absolute())
    return None if key is None else hmac.digest(key, name.encode() + b"\0" + content, hashlib.sha256)


@contextlib.contextmanager
def out_of_reach() -> Iterator[None]:
    """Keep the key in the memory of this process alone while the block runs; blocks may be nested.

    Whatever lies in its file at the end is replaced, or removed if the key is not known here. While
    predictors' processes that another process started are still running, the key stays out of its file.
    """
    folder = cache_folder().absolute()
    with _GUARD:
        taken = _taken.get(folder) or _take(folder)
        if taken is not None:
            _taken[folder] = taken
            taken.users += 1
    try:
        yield
    finally:
        with _GUARD:
            if taken is not None:
                taken.users -= 1
                if not taken.users:
                    del _taken[folder]
                    _put_back(taken)


def _key(folder: Path) -> bytes | None:
    with _GUARD:
        if (key := _known.get(folder)) or folder in _taken:
            return key
        try:
            with _locked(folder) as lock:
                if _alone(lock, _PATIENCE_S):
                    key = _known[folder] = _read_or_make(folder)
        except OSError as error:
            ContentCache("scores").remark_unkept(error.strerror or str(error))
        return key


def _take(folder: Path) -> _Taken | None:
    try:
        lock = _open_lock(folder)
    except OSError:  # nothing can be kept here
        return None
    try:
        if _alone(lock, _PATIENCE_S) and folder not in _known:
            _known[folder] = _read_or_make(folder)
        fcntl.flock(lock, fcntl.LOCK_SH)
        (folder / _KEY).unlink(missing_ok=True)
    except OSError:
        os.close(lock)
        return None
    return _Taken(folder, _known.get(folder), lock)


def _put_back(taken: _Taken) -> None:
    try:
        with contextlib.suppress(OSError):
            if _alone(taken.lock, 0.0):
                _replace(taken.folder, taken.key)
    finally:
        os.close(taken.lock)


@atexit.register
def _put_back_at_exit() -> None:
    """Keys that had to stay out of their files while other processes ran predictors."""
    for folder, key in _known.items():
        with contextlib.suppress(OSError), _locked(folder) as lock:
            if _alone(lock, 0.0) and not (folder / _KEY).exists():
                _replace(folder, key)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[int]:
    lock = _open_lock(folder)
    try:
        yield lock
    finally:
        os.close(lock)


def _open_lock(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    return os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _alone(lock: int, patience_s: float) -> bool:
    """Whether nobody else has the lock, which is then this process's until it is closed."""
    end = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(_POLL_S)
        else:
            return True


def _read_or_make(folder: Path) -> bytes:
    with contextlib.suppress(UnreadableFileError):
        key = read_plain(folder / _KEY, _BYTES)
        if len(key) == _BYTES:
            return key
    key = secrets.token_bytes(_BYTES)
    _replace(folder, key)
    return key


def _replace(folder: Path, key: bytes | None) -> None:
    """Put a key into the file, whatever lies there; without a key nothing is left there."""
    place = folder / _KEY
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    if key is None:
        place.unlink(missing_ok=True)
        return
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".scores.", suffix=".key")  # readable by its owner
    try:
        os.write(descriptor, key)
        os.close(descriptor)
        Path(name).replace(place)
    except OSError:
        Path(name).unlink(missing_ok=True)
        place.unlink(missing_ok=True)
        raise
