"""Write files and folders that are complete or absent: temporary name, fsync, rename, fsync of the folder."""

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
    """A file or a non-empty folder already exists at the path of a new folder."""


def _fsync(path: Path) -> None:
    """Make the renames inside a folder, or the content of a file, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def new_file(path: Path, suffix: str = ".tmp") -> Iterator[Path]:
    """Yield a temporary file that replaces ``path`` if the block succeeds, and is removed if it fails.

    The temporary file is in the same folder, its name begins with a dot and ends with ``suffix``.

    Raises
    ------
    RunError
        If the file cannot be written, for example because the disk is full. The old file is unchanged.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=suffix)
    except OSError as error:
        raise _unwritable(path, error) from None
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        _fsync(temporary)
        temporary.replace(path)
        _fsync(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, replacing an old one in a single step. Raises RunError as ``new_file`` does."""
    with new_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8 with the line ends that it has; otherwise as ``write_bytes``."""
    write_bytes(path, text.encode("utf-8"))


def _unwritable(path: Path, error: OSError) -> RunError:
    hint = "; free some disk space, then run the same command again" if error.errno in _FULL else ""
    return RunError(f"{path}: cannot be written: {error.strerror or error}{hint}")


@contextlib.contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``path`` if the block succeeds, and is removed if it fails.

    ``path`` must not exist or must be an empty folder, unless ``replace`` is true: then the new folder takes
    the place of the old one. Of several processes that create the same folder at once, one succeeds.

    Raises
    ------
    FolderTakenError
        If something exists at ``path`` at the end of the block.
    UsageError
        If the temporary folder cannot be created.
    RunError
        If writing into it fails, for example because the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be created: {error.strerror}") from None
    old = temporary.with_suffix(".old")
    try:
        yield temporary
        temporary.chmod(0o755)
        for file in temporary.rglob("*"):
            _fsync(file)
        if replace and path.exists():
            path.rename(old)
        try:
            temporary.rename(path)
        except OSError as error:
            if old.exists():
                old.rename(path)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise FolderTakenError(f"{path}: already exists") from None
            raise
        _fsync(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
