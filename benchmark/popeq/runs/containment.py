"""What a predictor's process may see, use and leave behind; docs/containment.md says what this does not stop.

The process gets an environment without secrets, a working and a temporary directory of its own, a memory
limit and a log of bounded size; when it ends, whatever it started ends too.
"""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from popeq.errors import UsageError
from popeq.tag_key import out_of_reach

#: Environment variable with a word of its own for each contained process and all that descends from it.
COOKIE = "POPEQ_CONTAINED"
#: Environment variable with the bytes that a contained process and its children may have.
MEMORY = "POPEQ_MEMORY_BYTES"
#: With which the names of directories of contained processes begin.
PREFIX = "popeq-"
GIB = 1 << 30
#: Bytes of output that are kept: the beginning and the end.
LOG_HEAD, LOG_TAIL = 1 << 20, 1 << 16

_TREE_S, _POLL_S, _PATIENCE_S = 0.5, 0.05, 10.0


def memory_of_the_machine() -> int:
    """Bytes that all processes here can have: the machine's, or the control group's if that is less."""
    total = int(psutil.virtual_memory().total)
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            total = min(total, int(Path(file).read_text(encoding="ascii")))
    return total


def memory_left() -> int:
    """Bytes that this process can still have: what is free here or, in a contained process, what its limit
    leaves if that is less."""
    free = int(psutil.virtual_memory().available)
    limit = os.environ.get(MEMORY, "")
    return min(free, max(0, int(limit) - _resident(psutil.Process()))) if limit.isdigit() else free


@contextlib.contextmanager
def contained(
    module: str, log: Path, env: Mapping[str, str], memory_bytes: int, paths: Iterable[object] = ()
) -> Iterator[Contained]:
    """Run a Python module as a contained process, with ``env`` and those relative ``paths`` that exist.

    On leaving, the process and everything that descends from it is killed, its directories are removed, and
    ``log`` holds the first MiB and the last 64 KiB of its output. Meanwhile the key of kept scores is in no
    file that it could read (popeq.tag_key).
    """
    with out_of_reach(), contextlib.ExitStack() as at_the_end:
        try:
            root = Path(tempfile.mkdtemp(prefix=PREFIX))
            at_the_end.callback(shutil.rmtree, root, ignore_errors=True)
            work = root / "1" / "2" / "3" / "work"  # deep, so that ../x has a place too
            work.mkdir(parents=True)
            (root / "tmp").mkdir()
        except OSError as error:
            raise UsageError(f"no temporary directory can be made: {error.strerror}; set TMPDIR") from None
        links, cookie = frozenset(_link(paths, work, root)), uuid.uuid4().hex
        temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(root / "tmp"))
        whole = {**env, COOKIE: cookie, MEMORY: str(memory_bytes), **temporary}
        process = _started(module, work, whole)
        assert process.stdin is not None
        assert process.stdout is not None
        pump = _Pump(process.stdout, log)
        pump.start()
        try:
            yield Contained(process, memory_bytes)
        finally:
            try:
                _kill_all(process, cookie)
            finally:
                files = (p for p in work.rglob("*") if p not in links and not p.is_dir())
                left = ", ".join(sorted(str(p.relative_to(work)) for p in files)[:10])
                pump.close(f"left in the working directory and discarded: {left}" if left else "")
                with contextlib.suppress(OSError):
                    process.stdin.close()


def _started(module: str, work: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A Python process that runs a module; UsageError if this user cannot start one."""
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-X", "faulthandler", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=work,
            start_new_session=True,
        )
    except OSError as error:
        raise UsageError(
            f"{sys.executable}: cannot be started as a process for the predictor: {error.strerror}; "
            "popeq needs a Python that this user may run"
        ) from None


@dataclass
class Contained:
    """A contained process, as ``contained`` starts it, and the bytes that it may have in memory."""

    process: subprocess.Popen[bytes]
    memory_bytes: int
    _tree_at: float = 0.0
    _resident: int = 0

    @property
    def over_memory(self) -> bool:
        """Whether it and its children have more resident than they may; looks at children twice a second."""
        try:
            process = psutil.Process(self.process.pid)
            own = _resident(process)
            if own <= self.memory_bytes and time.monotonic() > self._tree_at:
                self._resident = sum(map(_resident, process.children(recursive=True)))
                self._tree_at = time.monotonic() + _TREE_S
        except psutil.Error:
            return False
        return own + self._resident > self.memory_bytes

    def wait(self, watch: Callable[[], str]) -> str:
        """Wait until it ends, or ``watch``, which is called twenty times a second, gives a reason to stop.

        Returns the reason, ``"memory"`` if the memory limit was passed, and nothing if the process ended by
        itself. It is killed when the context is left.
        """
        while self.process.poll() is None:
            if reason := "memory" if self.over_memory else watch():
                return reason
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_POLL_S)
        return ""

    def send(self, line: bytes) -> None:
        """Write a line to its input, which stays open: it dies when the input closes."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died at once; its exit status tells
            self.process.stdin.write(line + b"\n")
            self.process.stdin.flush()


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # it has ended
        return 0


def _link(values: Iterable[object], work: Path, root: Path) -> Iterator[Path]:
    """Make relative paths among a predictor's parameters mean in ``work`` what they mean to the caller."""
    for value in values:
        if not isinstance(value, str | os.PathLike) or not (text := os.fspath(value)) or len(text) > 4096:
            continue
        with contextlib.suppress(OSError, ValueError):
            here = Path(os.path.normpath(work / text))
            if Path(text).is_absolute() or not here.is_relative_to(root) or here == work:
                continue
            if Path(text).exists() and not here.exists():
                here.parent.mkdir(parents=True, exist_ok=True)
                here.symlink_to(Path(text).absolute())
                yield here


def _kill_all(process: subprocess.Popen[bytes], cookie: str) -> None:
    """Kill a process, its group, and whoever carries its cookie, which a session of its own does not shed."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    end = time.monotonic() + _PATIENCE_S
    while (found := _carriers(cookie)) and time.monotonic() < end:
        for one in found:
            with contextlib.suppress(psutil.Error):
                one.kill()
        psutil.wait_procs(found, timeout=1.0)


def _carriers(cookie: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(COOKIE) == cookie and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


class _Pump(threading.Thread):
    """Carries a process's output to a file, its middle left out if it is long; never blocks the process."""

    def __init__(self, source: IO[bytes], path: Path) -> None:
        super().__init__(daemon=True, name="popeq-log")
        self._source, self._path = source, path
        self._stop_at = math.inf
        self._tail = b""
        self._dropped = 0
        self._file: IO[bytes] | None = None

    def run(self) -> None:
        room = LOG_HEAD
        with contextlib.suppress(OSError):
            self._file = self._path.open("wb", buffering=0)
        with selectors.DefaultSelector() as selector:
            selector.register(self._source, selectors.EVENT_READ)
            while time.monotonic() < self._stop_at:
                if not selector.select(0.1):
                    continue
                chunk = os.read(self._source.fileno(), 1 << 16)
                if not chunk:
                    break
                self._write(chunk[:room])
                tail = self._tail + chunk[room:]
                self._tail = tail[-LOG_TAIL:]
                self._dropped += len(tail) - len(self._tail)
                room -= min(room, len(chunk))

    def _write(self, chunk: bytes) -> None:
        if self._file is not None and chunk:
            with contextlib.suppress(OSError):  # a full disk must not stop the process from being watched
                self._file.write(chunk)

    def close(self, note: str) -> None:
        """Take what is still in the pipe, then end, even if somebody who escaped holds it open."""
        self._stop_at = time.monotonic() + 2.0
        self.join()
        if self._dropped:
            self._write(f"\n[popeq: {self._dropped} bytes of output left out here]\n".encode())
        self._write(self._tail)
        if note:
            self._write(f"\n[popeq: {note}]\n".encode())
        if self._file is not None:
            self._file.close()
        self._source.close()
