"""llama.cpp's own server, for tests and measurements that ask it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def llama_server(program: Path, *arguments: str | Path, threads: int | None = None) -> Iterator[int]:
    """The port of a server on loopback, once it has loaded its model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # llama.cpp's threads wait for one another actively: more of them than free cores make it very slow.
    threads = threads or max(1, (os.cpu_count() or 1) // 2)
    command = [program, "--host", "127.0.0.1", "--port", str(port), "--threads", str(threads), *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 120
            while not is_up(port):
                assert process.poll() is None, f"llama-server ended with {process.returncode}: {command}"
                assert time.monotonic() < until, "llama-server does not answer"
                time.sleep(0.1)
            yield port
        finally:
            process.terminate()


def is_up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as response:
            return response.status == 200
    except OSError:
        return False
