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
import sys
import threading
from pathlib import Path

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
        sys.addaudithook(refuse_network)
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


def refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: UsageError for a connection or a look-up that would leave this machine."""
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) and address else None
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if isinstance(host, str) and host and not is_local(host):
        raise UsageError(f"no connection to {host}: runs are offline unless asked for with --online")


def is_local(host: str) -> bool:
    """Whether a host's name or address is this machine's own."""
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return host.lower().rstrip(".") in ("localhost", "ip6-localhost", "localhost.localdomain")
    return address.is_loopback or address.is_unspecified
