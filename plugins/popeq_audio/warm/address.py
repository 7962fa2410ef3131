"""Where a kept process listens, and the lines it is spoken to in; light to import.

One Unix socket for each way of asking, in a folder that nobody but its owner can enter. A line is one JSON
object; nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import stat
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from popeq import __version__
from popeq.caches import cache_folder
from popeq.errors import UsageError

MOST_REQUEST_BYTES = 1 << 16
MOST_REPLY_BYTES = 1 << 24
#: Bytes that a socket's path may have (108 on Linux, 104 on macOS, with the 0 that ends it).
_MOST_PATH = 100


class Which(BaseModel):
    """Whom ``popeq ask`` asks: its options, as they were given."""

    model_config = ConfigDict(frozen=True)

    predictor: str
    dataset: str
    options: tuple[str, ...]
    model: str | None
    seed: int

    def paths(self) -> list[Path]:
        """Files and folders that the options name: what they hold may change."""
        values = [self.dataset, self.model or "", *(o.partition("=")[2] for o in self.options)]
        return [Path(v).expanduser().resolve() for v in values if v and Path(v).expanduser().exists()]

    def key(self) -> str:
        """Changes with the options, what they name from here, the program and its version."""
        parts = [self.model_dump(), sorted(map(str, self.paths())), __version__, sys.executable]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def socket_of(which: Which) -> Path:
    """Where the process for it listens, if there is one."""
    return cache_folder() / "warm" / f"{which.key()}.sock"


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


def send_line(connection: socket.socket, message: dict[str, Any]) -> None:
    """One JSON object and a newline."""
    connection.sendall(json.dumps(message).encode() + b"\n")


def receive_line(connection: socket.socket, most_bytes: int) -> dict[str, Any]:
    """One JSON object; ValueError if it is none, is cut off or is too long."""
    read = b""
    while not read.endswith(b"\n"):
        part = connection.recv(1 << 16)
        read += part
        if not part or len(read) > most_bytes:
            raise ValueError("no whole line")
    message = json.loads(read)
    if not isinstance(message, dict):
        raise ValueError("no JSON object")
    return message
