"""Runs of the command line in a fork of a process that has imported everything already.

A process of its own for each call, as for a person, without the seconds that it takes to import pandas,
SciPy, POT and Numba. What is about starting itself has to run ``python -c`` instead.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.preloaded_modules"])
_PATH = tuple(sys.path)  # before any test puts plugins on it


def run(
    arguments: Sequence[str], cwd: Path, env: Mapping[str, str], timeout_s: float = 120
) -> subprocess.CompletedProcess[str]:
    """What ``python -c 'from popeq.cli import main; main()' ARGUMENTS`` does and prints."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        words = (list(arguments), str(cwd), dict(env), str(out), str(err), _PATH)
        process = FORKS.Process(target=_call, args=words)
        process.start()
        assert process.pid
        process.join(timeout_s)
        over = process.exitcode is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the idle workers of a pool
        process.kill()
        process.join()
        if not over:
            raise subprocess.TimeoutExpired(list(arguments), timeout_s)
        return subprocess.CompletedProcess(arguments, process.exitcode, out.read_text(), err.read_text())


def _call(
    arguments: list[str], cwd: str, env: dict[str, str], out: str, err: str, path: tuple[str, ...]
) -> None:
    for number, target in ((1, out), (2, err)):
        with Path(target).open("wb") as file:
            os.dup2(file.fileno(), number)
    os.setpgid(0, 0)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    own = [entry for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:] = [*own, *(entry for entry in path if entry not in own)]
    sys.argv = ["-c", *arguments]
    from popeq.cli import main

    status: object = 0
    try:
        main()
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 1)  # an ordinary end waits for a pool's idle workers
