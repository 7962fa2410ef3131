"""What ``popeq ask`` does with a kept process: ask it, start it, end it. Light to import."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from typing import Any

from popeq.errors import UsageError
from popeq_audio.warm.address import (
    MOST_REPLY_BYTES,
    Which,
    is_private,
    own_folder,
    receive_line,
    send_line,
    socket_of,
)

#: Longer than any question takes, so that one that hangs is not waited for for ever.
_ANSWER_S = 600.0


def ask_kept(which: Which, request: dict[str, Any]) -> dict[str, Any] | None:
    """The reply of the process that is kept for it; None if there is none, or it has to be made anew.

    Raises UsageError with what the process says is wrong with the question.
    """
    path = socket_of(which)
    if not path.exists() or not is_private(path.parent):
        return None
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ANSWER_S)
            connection.connect(str(path))
            send_line(connection, request)
            reply = receive_line(connection, MOST_REPLY_BYTES)
    except (OSError, ValueError):  # it has ended, or is no such process
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    if "error" in reply:
        raise UsageError(str(reply["error"]))
    return None if reply.get("stale") else reply


def end_kept(which: Which) -> bool:
    """End the process that is kept for it; whether there was one."""
    return ask_kept(which, {"end": True}) is not None


def start_kept(which: Which, minutes: float, fresh: bool) -> int:
    """Start a process that fits (or loads) the predictor and waits for questions; its number.

    Raises UsageError with what the predictor lacks.
    """
    own_folder(socket_of(which))
    job = {"which": which.model_dump(), "minutes": minutes, "fresh": fresh}
    with subprocess.Popen(
        [sys.executable, "-m", "popeq_audio.warm.server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.close()
            told = process.stdout.readline()
        except BaseException:  # Ctrl-C while it fits: it would be left behind
            process.kill()
            raise
        process.returncode = 0  # it goes on by itself: not to be waited for
    try:
        ready = json.loads(told)
    except ValueError:
        raise UsageError("--keep-warm: the process ended before it was ready; ask without it") from None
    if "error" in ready:
        raise UsageError(ready["error"])
    return process.pid
