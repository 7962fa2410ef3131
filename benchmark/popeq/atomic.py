"""Write files and folders that are complete or absent: temporary name, fsync, rename, fsync of the folder.

Every file that popeq writes for somebody goes through ``new_file``: symbolic links are followed, an old file
keeps its mode, a new one has the mode that the umask says, and devices and pipes are written through.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from popeq.errors import RunError, UsageError

_FULL = (errno.ENOSPC, errno.EDQUOT)
#: What is wrong with a path, and not with the disk behind it: wrong use.
_WRONG_PATH = (
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO, errno.EBADF, errno.EINVAL),
)
#: Where the open files of a process are, by their numbers.
_DESCRIPTORS = re.compile(r"/dev/fd|/proc/(\d+)(?:/task/\d+)?/fd")
_MOST_LINKS = 40


class FolderTakenError(UsageError):
    """A file or a non-empty folder already exists at the path of a new folder."""


class UnwritableError(RunError):
    """A file cannot be written: exit code 2 if its path is wrong, 1 if the disk is full or broken."""

    def __init__(self, path: Path, error: OSError) -> None:
        reason, folder = error.strerror or str(error), Path(os.path.realpath(path)).parent
        if error.errno in _WRONG_PATH:
            self.exit_code = UsageError.exit_code
            if not _is_folder(folder):
                reason = f"there is no folder {folder}"
            elif not os.access(folder, os.W_OK):
                reason = f"the folder {folder} cannot be written ({reason})"
        hint = "; free some disk space, then run the same command again" if error.errno in _FULL else ""
        super().__init__(f"{path}: cannot be written: {reason}{hint}")


@contextlib.contextmanager
def new_file(path: Path, suffix: str = ".tmp") -> Iterator[Path]:
    """Yield a temporary file that takes the place of ``path`` if the block succeeds; removed if it fails.

    The temporary file is in the folder of the file that ``path`` leads to, its name begins with a dot and
    ends with ``suffix``. Where ``path`` is a device, a pipe or an open file of this process (such as
    ``/dev/stdout``), it is in the system's temporary folder, and its content is written through at the end.

    Raises
    ------
    UnwritableError
        If the file cannot be written, for example because the disk is full. The old file is unchanged.
    """
    try:
        old = _status(path)
        through = _descriptor(path) is not None or (old is not None and not stat.S_ISREG(old.st_mode))
        place = path if through else Path(os.path.realpath(path))
        if old is not None and stat.S_ISDIR(old.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if old is not None and not through and not os.access(place, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        folder = Path(tempfile.gettempdir()) if through else place.parent
        temporary = _beside(folder / place.name, suffix)
        mode = 0o666 if old is None else 0o600  # less the umask; that of the old file comes at the end
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    except OSError as error:
        raise UnwritableError(path, error) from None
    try:
        yield temporary
        if through:
            _write_through(temporary, path)
        else:
            if old is not None:
                _give_mode_of(old, temporary)
            _fsync(temporary)
            temporary.replace(place)
            _fsync_folder(place.parent)
    except OSError as error:
        raise UnwritableError(path, error) from None
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, replacing an old one in a single step. Raises UnwritableError as ``new_file`` does."""
    with new_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8 with the line ends that it has; otherwise as ``write_bytes``."""
    write_bytes(path, text.encode("utf-8"))


@contextlib.contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``path`` if the block succeeds, and is removed if it fails.

    ``path`` must not exist or must be an empty folder, unless ``replace`` is true: then the new folder takes
    the place of the old one. Either keeps its mode, and a symbolic link to it stays. All else in the new
    folder has the mode that the umask says. Of several processes that create the same folder at once, one
    succeeds.

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
        place = Path(os.path.realpath(path))
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = _beside(place, ".tmp")
        temporary.mkdir()
    except OSError as error:
        raise UsageError(f"{path}: cannot be created: {error.strerror}") from None
    old = temporary.with_suffix(".old")
    try:
        yield temporary
        mode = stat.S_IMODE(temporary.stat().st_mode)
        for file in temporary.rglob("*"):
            with contextlib.suppress(PermissionError):  # a file system without modes
                file.chmod(mode if file.is_dir() else mode & 0o666)  # libraries make some files private
            _fsync(file)
        if place.is_dir():
            _give_mode_of(place.stat(), temporary)
        if replace and place.exists():
            place.rename(old)
        try:
            temporary.rename(place)
        except OSError as error:
            if old.exists():
                old.rename(place)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise FolderTakenError(f"{path}: already exists") from None
            raise
        _fsync_folder(place.parent)
    except OSError as error:
        raise UnwritableError(path, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _beside(place: Path, ending: str) -> Path:
    """A name in the same folder that nothing has; short, however long the given one is."""
    return place.with_name(f".{place.name[:40]}.{secrets.token_hex(4)}{ending}")


def _status(path: Path) -> os.stat_result | None:
    """What is at a path, links followed; None if there is nothing."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _is_folder(path: Path) -> bool:
    """Whether there is a folder that this process can see."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _descriptor(path: Path) -> int | None:
    """The number of the open file of this process that a path such as ``/dev/stdout`` names; None for others.

    To replace or to open again the file behind it would lose what was and will be written to it.
    """
    place = path
    for _ in range(_MOST_LINKS):
        folder = os.path.realpath(place.parent)
        found = _DESCRIPTORS.fullmatch(folder)
        if found and place.name.isdigit():
            return int(place.name) if found[1] in (None, str(os.getpid())) else None
        here = Path(folder, place.name)
        if not here.is_symlink():
            return None
        place = Path(folder, here.readlink())
    return None


def _write_through(source: Path, path: Path) -> None:
    """Copy a file's content to a device, a pipe or an open file of this process."""
    number = _descriptor(path)
    for stream in (sys.stdout, sys.stderr):
        if number is not None and stream is not None:
            stream.flush()
    opened = os.open(path, os.O_WRONLY | os.O_NOCTTY) if number is None else os.dup(number)
    with os.fdopen(opened, "wb") as target, source.open("rb") as content:
        shutil.copyfileobj(content, target)


def _give_mode_of(old: os.stat_result, path: Path) -> None:
    """Give a new file or folder the owner and the mode of the old one, as far as the file system lets us."""
    new = path.stat()
    with contextlib.suppress(PermissionError):
        if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
            os.chown(path, old.st_uid, old.st_gid)
    with contextlib.suppress(PermissionError):
        path.chmod(stat.S_IMODE(old.st_mode))


def _fsync(path: Path) -> None:
    """Make the content of a file, or the renames inside a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fsync_folder(path: Path) -> None:
    """As ``_fsync``, where the file system can do that with folders and lets us open them."""
    try:
        _fsync(path)
    except OSError as error:
        if error.errno in (*_FULL, errno.EIO):
            raise
