"""A target in a process of its own, whose peak of memory is then not that of what makes the inputs.

``python -m tests.fuzz.apart TARGET DESCRIPTOR`` answers each input that comes from there.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import traceback
import warnings
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from tests.fuzz.targets import ground

#: Seconds of the processor that one input may take, and seconds that the process may wait for anything else.
LIMIT_S = 20.0
_ROOT = Path(__file__).resolve().parents[2]
_ANSWERS = {b"taken": True, b"refused": False}


class Apart:
    """The target of a name in another process, until it is closed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._begin()

    def _begin(self) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            words = [sys.executable, "-m", "tests.fuzz.apart", self._name, str(theirs.fileno())]
            self._process = subprocess.Popen(words, cwd=_ROOT, pass_fds=[theirs.fileno()])

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def close(self) -> None:
        """End the process: at its next input, or by force where it does not come to that."""
        self._connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(LIMIT_S)
        self._process.kill()
        self._process.wait()

    def check(self, content: bytes) -> bool:
        """Whether the target takes an input; raises AssertionError where it raises, and where the process
        ends or does not answer in time, after which another process begins."""
        try:
            self._connection.send_bytes(content)
            answer = self._connection.recv_bytes() if self._in_time() else b"no answer in time"
        except (EOFError, OSError, psutil.Error):
            answer = b"the process ended"
        if answer not in _ANSWERS:
            self._process.kill()
            self.close()
            self._begin()
            raise AssertionError(answer.decode())
        return _ANSWERS[answer]

    def _in_time(self) -> bool:
        """Whether there is an answer before the limit: on a busy machine time alone says nothing."""
        begun = last = self._used_s()
        while not self._connection.poll(LIMIT_S):
            now = self._used_s()
            if now == last or now - begun > LIMIT_S:
                return False
            last = now
        return True

    def _used_s(self) -> float:
        """Seconds that the process has had a processor."""
        used = psutil.Process(self.pid).cpu_times()
        return used.user + used.system

    def peak_mib(self) -> float:
        """The most memory that the process has had, MiB (resident); NaN where the system is not Linux.

        What ``getrusage`` says of a child also counts the process that it was forked from.
        """
        status = Path(f"/proc/{self.pid}/status")
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text() if status.exists() else "", re.MULTILINE)
        return int(found[1]) / 1024 if found else float("nan")


def main(name: str, descriptor: int) -> None:
    """Answer every input until there are no more."""
    warnings.simplefilter("error")
    with ground() as place, Connection(descriptor) as inputs, contextlib.suppress(EOFError):
        (target,) = [t for t in place.targets() if t.name == name]
        while True:
            content = inputs.recv_bytes()
            try:
                answer = b"taken" if target.check(content) else b"refused"
            except Exception:  # whatever the target raised is the answer
                answer = traceback.format_exc().encode("ascii", "backslashreplace")
            inputs.send_bytes(answer)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
