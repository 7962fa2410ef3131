"""Locks between processes, on files; on a file system that has none popeq works without, with a remark."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from popeq.errors import UsageError
from popeq.remarks import remark

#: What a file system without locks answers.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_BUSY = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK)


class Lock:
    """An exclusive lock (flock) on a file, which is made if it is missing and stays. It is held from when the
    object is made to ``release``, the end of a ``with`` block or the end of the process.

    Parameters
    ----------
    path
        The file; its folder exists.
    wait
        Whether to wait while another process holds the lock.

    Raises
    ------
    BlockingIOError
        If another process holds the lock, without ``wait``.
    UsageError
        If the file cannot be opened.
    """

    def __init__(self, path: Path, *, wait: bool = True) -> None:
        self._descriptor: int | None = _opened(path)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                remark(
                    f"{path.parent}: is on a file system without locks: run one popeq command in it at a time"
                )
                return
            self.release()
            if error.errno in _BUSY:
                raise BlockingIOError(error.errno, error.strerror, str(path)) from None
            raise UsageError(f"{path}: cannot be locked: {error.strerror}") from None
        except BaseException:  # Ctrl-C while it waits
            self.release()
            raise

    def release(self) -> None:
        """Let another process have the lock; nothing if it is released already."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _opened(path: Path) -> int:
    try:
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:  # another user's file in a folder that is shared
            return os.open(path, os.O_RDONLY)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
