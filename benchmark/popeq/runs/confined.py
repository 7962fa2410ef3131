"""What a contained process does to itself before it runs anybody's code.

A courtesy to the machine, not a wall: code that means harm can undo all of it (docs/containment.md).
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from popeq.errors import UsageError
from popeq.runs.containment import PREFIX
from popeq.runs.scrubbed import OFFLINE


def receive_job() -> bytes:
    """Confine this process and read its job, a line on its input. From then on it dies, with its group, when
    the input closes. Raises EOFError if no line comes.

    Confined is: no core files, first to go when memory is short, no network if offline, and an input that
    neither the predictor nor its children can read.
    """
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # Linux only: the kernel takes this process before any other
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    control = os.dup(0)  # not inheritable
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    if os.environ.get(OFFLINE) == "1":
        sys.addaudithook(offline_guard(tempfile.gettempdir(), Path.cwd()))
    line = bytearray()
    while not line.endswith(b"\n"):
        chunk = os.read(control, 1 << 20)
        if not chunk:
            raise EOFError("no job came")
        line += chunk
    own = Path(os.environ.get("TMPDIR", "")).parent
    threading.Thread(target=_die_with_parent, args=(control, own), daemon=True).start()
    return bytes(line)


def _die_with_parent(control: int, own: Path) -> None:
    """Wait until the input closes; then nobody is left to remove this process's directories ``own``."""
    while os.read(control, 4096):
        pass
    if own.name.startswith(PREFIX):
        shutil.rmtree(own, ignore_errors=True)
    os.killpg(os.getpgrp(), signal.SIGKILL)


_Hook = Callable[[str, tuple[Any, ...]], None]
#: Kinds of sockets that stay on this machine, or whose addresses are looked at.
_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
_TYPES = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET)
_CONNECTS = ("socket.connect", "socket.sendto", "socket.sendmsg")
_LOOKS_UP = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
#: Where this machine's own resolver would carry questions out.
_DNS_PORTS = (53, 853, 5353, 5355)
_FLAGS = getattr(socket, "SOCK_CLOEXEC", 0) | getattr(socket, "SOCK_NONBLOCK", 0)


def offline_guard(*own: str | Path) -> _Hook:
    """An audit hook that raises UsageError for sockets, connections and look-ups that leave this machine.

    ``own`` are the process's own folders: sockets in them may be connected to, those of other processes not.
    """
    folders = tuple(os.path.realpath(folder) + os.sep for folder in own)

    def refuse(what: object) -> NoReturn:
        shown = what.decode("utf-8", "replace") if isinstance(what, bytes) else what
        raise UsageError(f"no connection to {shown}: runs are offline unless asked for with --online")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not event.startswith("socket."):
            return
        if event == "socket.__new__":
            _, family, kind, _ = arguments
            if family not in (-1, *_FAMILIES) or (kind != -1 and kind & ~_FLAGS not in _TYPES):
                refuse("a socket of this kind")
        elif event in _CONNECTS:
            address = arguments[1]
            if isinstance(address, str | bytes):
                if not _is_below(address, folders):
                    refuse(f"the socket {os.fsdecode(address)!r} of another process")
            elif isinstance(address, tuple) and address:
                host, port = address[0], address[1] if len(address) > 1 else None
                if not is_local(host) or port in _DNS_PORTS:
                    refuse(host)
        elif event in _LOOKS_UP and arguments[0] and not is_local(arguments[0]):
            refuse(arguments[0])
        elif event == "socket.getnameinfo" and not is_local(arguments[0][0]):
            refuse(arguments[0][0])

    return hook


def _is_below(address: str | bytes, folders: tuple[str, ...]) -> bool:
    """Whether the address of a Unix socket is a path below folders; abstract ones are in no folder."""
    path = os.fsdecode(address)
    return bool(path) and path[0] != "\0" and os.path.realpath(path).startswith(folders)


def is_local(host: object) -> bool:
    """Whether a host's name or address is this machine's own; the empty one is."""
    if isinstance(host, bytes | bytearray):
        host = host.decode("ascii", "replace")
    if not isinstance(host, str):
        return False
    if not host:
        return True
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return host.lower().rstrip(".") in ("localhost", "ip6-localhost", "localhost.localdomain")
    inner = getattr(address, "ipv4_mapped", None) or address
    return bool(inner.is_loopback or inner.is_unspecified)
