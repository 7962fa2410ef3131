"""Run one job in a contained process, watch it, and end it with all its children when its time is up."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from popeq.runs.containment import GIB, Contained
from popeq.runs.job import WRITE_FAILED, Job, Report
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


class Cancel(Protocol):
    """Whether somebody has asked for the end."""

    def is_set(self) -> bool:
        """Whether somebody has."""
        ...


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
    cancel: Cancel,
    env: Mapping[str, str],
    memory_bytes: int,
    on_prompt: Callable[[str], None],
    on_progress: Callable[[str], None] | None = None,
) -> Outcome:
    """Run a job to its end, a limit or cancellation; the worker's output goes to ``log``.

    ``on_prompt`` is called for each prompt whose file appears, ``on_progress`` with each new line of the
    predictor's ``progress.txt``. When this returns, no process that the job started is left.
    """
    deadline.start()
    if cancel.is_set():
        return Outcome(job.stage)
    waiting = {p.prompt_id for p in job.prompts}
    job.report.unlink(missing_ok=True)
    job.traceback.unlink(missing_ok=True)
    stopped = shown = ""
    with Contained("popeq.runs.worker", log, env, memory_bytes, paths=job.parameters.values()) as contained:
        process = contained.process
        contained.send(job.model_dump_json().encode())
        while process.poll() is None:
            if deadline.passed:
                stopped = f"the time limit of {deadline.limit_s:g} s"
            elif contained.over_memory:
                stopped = f"the memory limit of {memory_bytes / GIB:.3g} GiB"
            if stopped or cancel.is_set():
                break
            announce(waiting, job.partial, on_prompt)
            if on_progress and (line := progress(job.state)) != shown:
                on_progress(shown := line)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_S)
    announce(waiting, job.partial, on_prompt)
    if stopped:
        kind: Literal["timeout", "memory"] = "timeout" if "time" in stopped else "memory"
        failure = Failure(stage=job.stage, kind=kind, message=f"stopped at {stopped}")
        return Outcome(job.stage, failures=(failure,))
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
        told = log.name if log.exists() and log.stat().st_size else None  # a silent process leaves no log
        failure = Failure(stage=job.stage, kind="crash", message=how_it_died(process.returncode), detail=told)
    return Outcome(job.stage, failures=(failure,))


def announce(waiting: set[str], partial: Path, on_prompt: Callable[[str], None]) -> None:
    """Call ``on_prompt`` for those of ``waiting`` whose files have appeared, and take them out of it."""
    appeared = waiting & {path.stem for path in partial.glob("*.csv")}
    for prompt_id in sorted(appeared):
        waiting.discard(prompt_id)
        on_prompt(prompt_id)


def progress(state: Path) -> str:
    """What the predictor says of its progress, the first line; empty if it says nothing."""
    try:
        return (state / "progress.txt").read_text(encoding="utf-8").partition("\n")[0][:120]
    except (OSError, UnicodeDecodeError):
        return ""


def how_it_died(status: int) -> str:
    """What an exit status means, in words."""
    if status == WRITE_FAILED:
        return "what was drawn could not be written; is the disk full?"
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        return f"the predictor's process died of {name}" + (
            " (out of memory?)" if -status == signal.SIGKILL else ""
        )
    return f"the predictor's process ended with status {status} and no report"
