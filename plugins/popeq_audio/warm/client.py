"""The kept process of ``popeq ask --keep-warm``, seen by the command: ask it, start it, end it.

It listens on one Unix socket for each set of options, in a folder that only its owner can enter. A line is
one JSON object; nothing is ever unpickled. Light to import.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
from io import BufferedRWPair
from pathlib import Path
from typing import IO, Any

from popeq.caches import cache_folder
from popeq.errors import UsageError
from popeq_audio.asked import AskedPredictor

MOST_REQUEST_BYTES = 1 << 16
MOST_REPLY_BYTES = 1 << 24
#: Bytes that a socket's path may have (108 on Linux, 104 on macOS, with the 0 that ends it).
_MOST_PATH = 100


def socket_of(asked: AskedPredictor) -> Path:
    """Where the process for it listens, if there is one."""
    return cache_folder() / "warm" / f"{asked.key()}.sock"


def own_folder(path: Path) -> None:
    """Make the socket's folder, for its owner alone.

    Raises UsageError where that cannot be had.
    """
    folder = path.parent
    if not hasattr(socket, "AF_UNIX"):
        raise UsageError("--keep-warm needs Unix sockets, which this system does not have")
    if len(os.fsencode(path)) > _MOST_PATH:
        raise UsageError(f"--keep-warm: {path} is too long for a socket; set POPEQ_CACHE to a shorter folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--keep-warm: {folder}: cannot be made: {error.strerror}") from None
    if not is_private(folder):
        raise UsageError(f"--keep-warm: {folder}: must be yours alone; chmod 700 it, or remove it")


def is_private(folder: Path) -> bool:
    """Whether it is a real folder of this user's that no other can enter."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    mine = status.st_uid == os.getuid() and not status.st_mode & 0o077
    return mine and stat.S_ISDIR(status.st_mode)


def send_line(stream: IO[bytes] | BufferedRWPair, message: dict[str, Any]) -> None:
    """One JSON object and a newline."""
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()


def receive_line(stream: BufferedRWPair, most_bytes: int) -> dict[str, Any]:
    """One JSON object; ValueError if it is none, is cut off or is too long."""
    line = stream.readline(most_bytes)
    message = json.loads(line) if line.endswith(b"\n") else None
    if not isinstance(message, dict):
        raise ValueError("no JSON object in a whole line")
    return message


#: Longer than any question takes, so that one that hangs is not waited for for ever.
_ANSWER_S = 600.0


def ask_kept(asked: AskedPredictor, request: dict[str, Any]) -> dict[str, Any] | None:
    """The reply of the process that is kept for it; None if there is none, or it has to be made anew.

    Raises UsageError with what the process says is wrong with the question.
    """
    path = socket_of(asked)
    if not is_private(path.parent) or not path.exists():
        return None
    try:
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rwb") as stream:
            connection.settimeout(_ANSWER_S)
            connection.connect(str(path))
            send_line(stream, request)
            reply = receive_line(stream, MOST_REPLY_BYTES)
    except (OSError, ValueError):  # it has ended, or is no such process
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    if "error" in reply:
        raise UsageError(str(reply["error"]))
    return None if reply.get("stale") else reply


def end_kept(asked: AskedPredictor) -> bool:
    """End the process that is kept for it; whether there was one."""
    return ask_kept(asked, {"end": True}) is not None


def start_kept(asked: AskedPredictor, minutes: float) -> int:
    """Start a process that fits (or loads) the predictor and waits for questions; its number.

    Raises UsageError with what the predictor lacks.
    """
    own_folder(socket_of(asked))
    with subprocess.Popen(
        [sys.executable, "-m", "popeq_audio.warm.server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            send_line(process.stdin, {"asked": asked.model_dump(), "minutes": minutes})
            line = process.stdout.readline()
        except BaseException:  # Ctrl-C while it fits: it would be left behind
            process.kill()
            raise
        process.returncode = 0  # it goes on by itself: not to be waited for
    try:
        ready = json.loads(line)
    except ValueError:
        raise UsageError("--keep-warm: the process ended before it was ready; ask without it") from None
    if "error" in ready:
        raise UsageError(ready["error"])
    return process.pid
