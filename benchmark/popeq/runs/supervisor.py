"""Run one job in a process group of its own, watch it, and kill the whole group when its time is up."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from popeq.runs.job import Job, Report
from popeq.runs.record import Failure

_POLL_S = 0.05


class Deadline:
    """The time limit of one run, shared by its stages; it starts to count when the first of them starts."""

    def __init__(self, limit_s: float | None) -> None:
        self.limit_s = limit_s
        self._end: float | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the clock, once."""
        with self._lock:
            if self._end is None and self.limit_s is not None:
                self._end = time.monotonic() + self.limit_s

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return self._end is not None and time.monotonic() > self._end


@dataclass(frozen=True)
class Outcome:
    """How a job ended: a report if it finished, failures of it or of single prompts, neither if cancelled."""

    stage: str
    report: Report | None = None
    failures: tuple[Failure, ...] = ()


def supervise(
    job: Job,
    log: Path,
    deadline: Deadline,
    cancel: threading.Event,
    threads: int,
    on_prompt: Callable[[str], None],
    on_progress: Callable[[str], None] | None = None,
) -> Outcome:
    """Run a job to its end, its time limit or cancellation; the worker's output goes to ``log``.

    ``on_prompt`` is called for each prompt whose file appears, ``on_progress`` with each new line of the
    predictor's ``progress.txt``. When this returns, no process of the job's
    group is left.
    """
    deadline.start()
    if cancel.is_set():
        return Outcome(job.stage)
    waiting = {p.prompt_id for p in job.prompts}
    job.report.unlink(missing_ok=True)
    job.traceback.unlink(missing_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "popeq.runs.worker"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(threads),
            start_new_session=True,
        )
        timed_out, shown = False, ""
        try:
            _send(process, job)
            while process.poll() is None:
                timed_out = deadline.passed
                if timed_out or cancel.is_set():
                    break
                _announce(waiting, job.partial, on_prompt)
                if on_progress and (line := _progress(job.state)) != shown:
                    on_progress(shown := line)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_S)
        finally:
            _kill_group(process)
    _announce(waiting, job.partial, on_prompt)
    if timed_out:
        message = f"stopped at the time limit of {deadline.limit_s:g} s"
        return Outcome(job.stage, failures=(Failure(stage=job.stage, kind="timeout", message=message),))
    report = Report.model_validate_json(job.report.read_bytes()) if job.report.exists() else None
    if report and report.kind == "done":
        lines = [f"prompt {prompt_id!r}: {line}" for prompt_id, line in report.failed.items()]
        failures = (Failure(stage=job.stage, kind="error", message=line) for line in lines)
        return Outcome(job.stage, report=report, failures=tuple(failures))
    if report and report.kind != "fitted":
        failure = Failure(
            stage=job.stage, kind=report.kind, message=report.message, detail=job.traceback.name
        )
    elif cancel.is_set():
        return Outcome(job.stage)
    else:
        failure = Failure(
            stage=job.stage, kind="crash", message=_how_it_died(process.returncode), detail=log.name
        )
    return Outcome(job.stage, failures=(failure,))


def _environment(threads: int) -> dict[str, str]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    # The parent's import path, so that a script's own predictor is found, but never the current folder:
    # a random.py that happens to lie there would break every import.
    path = os.pathsep.join(dict.fromkeys(entry for entry in sys.path if entry))
    return {
        **{name: str(threads) for name in names},
        **os.environ,
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
    }


def _send(process: subprocess.Popen[bytes], job: Job) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it died at once; its exit status tells
        process.stdin.write(job.model_dump_json().encode() + b"\n")
        process.stdin.flush()


def _announce(waiting: set[str], partial: Path, on_prompt: Callable[[str], None]) -> None:
    appeared = waiting & {path.stem for path in partial.glob("*.csv")}
    for prompt_id in sorted(appeared):
        waiting.discard(prompt_id)
        on_prompt(prompt_id)


def _progress(state: Path) -> str:
    """What the predictor says of its progress, the first line; empty if it says nothing."""
    try:
        return (state / "progress.txt").read_text(encoding="utf-8").partition("\n")[0][:120]
    except (OSError, UnicodeDecodeError):
        return ""


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left of the group, the worker's own children included."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _how_it_died(status: int) -> str:
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        return f"the predictor's process died of {name}" + (
            " (out of memory?)" if -status == signal.SIGKILL else ""
        )
    return f"the predictor's process ended with status {status} and no report"
