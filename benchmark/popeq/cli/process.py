"""What a command needs of its process: open streams that take every character, a home, an orderly end."""

from __future__ import annotations

import codecs
import contextlib
import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TextIO

from popeq.errors import PopeqError, UsageError
from popeq.output import say
from popeq.remarks import as_lines

#: Exit codes beside those of popeq.errors.
INTERRUPTED, UNWRITTEN = 130, 1
#: What characters become that the terminal does not have. None has a meaning in JSON or CSV.
_PLAIN = str.maketrans(
    dict.fromkeys("“”„‘’‚′", "'")
    | dict.fromkeys("─━—–−‐‑", "-")
    | dict.fromkeys("│┃", "|")
    | dict.fromkeys("┌┐└┘├┤┬┴┼", "+")
    | {"…": "...", "·": ".", "≤": "<=", "≥": ">=", "×": "x", "→": "->", "•": "*"}
)
_PLAIN_ERRORS = "popeq-plain"
#: Errors of the machine and not of the program: one line, without a traceback.
_OF_THE_MACHINE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.EBADF, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOLCK, errno.ESTALE),
)


class OutputError(PopeqError):
    """What was printed could not be written, or the machine refused something else."""

    exit_code = UNWRITTEN

    def __init__(self, error: OSError) -> None:
        what = f"{error.filename}: " if error.filename is not None else "the output cannot be written: "
        super().__init__(f"{what}{error.strerror or error}")


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """The block is a command: remarks are lines, SIGHUP and SIGTERM end it as Ctrl-C does, and an error of
    the machine is an ``OutputError``. What is missing of the standard streams and the home is replaced."""
    _open_streams()
    _have_home()
    try:
        Path.cwd()
    except OSError:
        raise UsageError("the current folder is not there any more; change into another one") from None
    with as_lines(), _ended_by_signals():
        try:
            yield
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        except OSError as error:
            if _interrupted(error):
                raise KeyboardInterrupt from None
            if error.errno == errno.ENOENT and "temporary directory" in str(error):  # tempfile's own words
                raise UsageError(f"{error.strerror}; set TMPDIR to a folder that can be written") from None
            if isinstance(error, BrokenPipeError) or error.errno not in _OF_THE_MACHINE:
                raise
            raise OutputError(error) from None


def _interrupted(error: BaseException) -> bool:
    """Whether an error came up only while the command was ending: its terminal may be gone."""
    cause = error.__context__
    return cause is not None and (isinstance(cause, KeyboardInterrupt) or _interrupted(cause))


def print_error(*lines: str) -> None:
    """Write lines to the error stream, if that can still be written."""
    with contextlib.suppress(OSError, ValueError):
        say(*lines, err=True)
        sys.stderr.flush()


def give_up_output() -> None:
    """Nobody reads the output any more, or it cannot be written: the end must not try it again."""
    with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("wb") as nothing:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                os.dup2(nothing.fileno(), stream.fileno())


def _open_streams() -> None:
    """Open what the caller closed (``<&-``), or its number would become that of some other file; and let no
    character that the terminal lacks be an error."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))
    codecs.register_error(_PLAIN_ERRORS, _plain)
    for stream, errors in ((sys.stdin, "replace"), (sys.stdout, _PLAIN_ERRORS), (sys.stderr, _PLAIN_ERRORS)):
        _configure(stream, errors)


def _configure(stream: TextIO, errors: str) -> None:
    """Change how a stream treats characters it cannot encode, unless PYTHONIOENCODING says how."""
    own = getattr(stream, "errors", None)
    if own in ("strict", "surrogateescape", "backslashreplace") and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=errors)


def _plain(error: UnicodeError) -> tuple[str, int]:
    """An error handler of codecs: what looks alike in ASCII, else ``\\uXXXX`` as in JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end].translate(_PLAIN)
    units = found.encode("utf-16-be", "surrogatepass")
    parts = [int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2)]
    return "".join(chr(u) if u < 128 else f"\\u{u:04x}" for u in parts), error.end


def _have_home() -> None:
    """Without a home folder (HOME is not set, the user is in no list) libraries would fail, or write into a
    folder ``~``: they get one in which nothing can be kept."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = os.devnull
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it says at length that it cannot write there


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGHUP (the terminal was closed) and SIGTERM end the block as Ctrl-C does, so that temporary files are
    removed and what was started ends. A signal that the caller ignores (nohup) stays ignored."""

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        for each in old:
            signal.signal(each, signal.SIG_IGN)  # it ends already
        raise KeyboardInterrupt

    old = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGHUP, signal.SIGTERM):
            if signal.getsignal(number) is signal.SIG_DFL:
                old[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
