"""Files and folders that are whole or not there: temporary name, fsync, rename, fsync of the folder."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from popeq.errors import RunError, UsageError

_FULL = (errno.ENOSPC, errno.EDQUOT)


class FolderTakenError(UsageError):
    """There is a folder, or a file, where a new folder should be."""


def fsync_folder(folder: Path) -> None:
    """Make renames inside ``folder`` durable."""
    _fsync(folder)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file with plain newlines, replacing an old one in a single step.

    Raises RunError if it cannot be written, for example because the disk is full; the old one stays.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, replacing an old one in a single step; raises as ``write_text`` does."""
    temporary: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), 0o644)
            os.fsync(stream.fileno())
        temporary.replace(path)
        fsync_folder(path.parent)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(path, error) from None
        raise


def _unwritable(path: Path, error: OSError) -> RunError:
    hint = "; make room, then give the same command again" if error.errno in _FULL else ""
    return RunError(f"{path}: cannot be written: {error.strerror or error}{hint}")


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a temporary folder that becomes ``path`` if the block succeeds and vanishes if it does not.

    ``path`` must not exist, or be an empty folder; of several processes that make it at once, one succeeds.

    Raises
    ------
    FolderTakenError
        If there is something at ``path`` by the end.
    UsageError
        If it cannot be made.
    RunError
        If writing into it fails, for example because the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be made: {error.strerror}") from None
    try:
        yield temporary
        temporary.chmod(0o755)
        for file in temporary.rglob("*"):
            _fsync(file)
        try:
            temporary.rename(path)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise FolderTakenError(f"{path}: already exists") from None
            raise
        fsync_folder(path.parent)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise _unwritable(path, error) from None
        raise
