"""Run one job in a contained process, watch it, and end it with all its children when its time is up."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from popeq.runs.containment import GIB, Contained
from popeq.runs.job import PROGRESS, WRITE_FAILED, Job, Report, Task
from popeq.runs.record import Failure
from popeq.runs.scrubbed import environment_for
from popeq.withheld import withholding


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
    task: Task,
    slots: int,
    deadline: Deadline,
    cancel: Cancel,
    on_prompt: Callable[[str], None],
    on_progress: Callable[[str], None],
) -> Outcome:
    """Run a task on this machine to its end, a limit or cancellation, as one of ``slots`` that share it.

    ``on_prompt`` is called for each prompt whose file appears, ``on_progress`` with each new line in which
    the predictor reports its progress. When this returns, no process that the job started is left.
    """
    job, log, settings = task.job, task.log, task.settings
    deadline.start()
    if cancel.is_set():
        return Outcome(job.stage)
    env = withholding(job.withheld, environment_for(settings, threads_for(slots), task.needs_env))
    waiting = {p.prompt_id for p in job.prompts}
    job.report.unlink(missing_ok=True)
    job.traceback.unlink(missing_ok=True)
    shown = ""

    def watch() -> str:
        nonlocal shown
        announce(waiting, job.partial, on_prompt)
        if (line := progress(job.state)) != shown:
            on_progress(shown := line)
        return "timeout" if deadline.passed else "cancelled" if cancel.is_set() else ""

    memory_bytes = settings.memory_bytes(slots)
    with Contained("popeq.runs.worker", log, env, memory_bytes, paths=job.parameters.values()) as contained:
        contained.send(job.model_dump_json().encode())
        stopped = contained.wait(watch)
    announce(waiting, job.partial, on_prompt)
    if stopped == "timeout":
        return _stopped(job, "timeout", f"the time limit of {deadline.limit_s:g} s")
    if stopped == "memory":
        return _stopped(job, "memory", f"the memory limit of {memory_bytes / GIB:.3g} GiB")
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
        detail = log.name if log.exists() and log.stat().st_size else None
        message = how_it_died(contained.process.returncode)
        failure = Failure(stage=job.stage, kind="crash", message=message, detail=detail)
    return Outcome(job.stage, failures=(failure,))


def _stopped(job: Job, kind: Literal["timeout", "memory"], limit: str) -> Outcome:
    failure = Failure(stage=job.stage, kind=kind, message=f"stopped at {limit}")
    return Outcome(job.stage, failures=(failure,))


def threads_for(slots: int) -> int:
    """Threads for one of several processes side by side, so that together they do not exceed the cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // slots)


def announce(waiting: set[str], partial: Path, on_prompt: Callable[[str], None]) -> None:
    """Call ``on_prompt`` for those of ``waiting`` whose files have appeared, and take them out of it."""
    appeared = waiting & {path.stem for path in partial.glob("*.csv")}
    for prompt_id in sorted(appeared):
        waiting.discard(prompt_id)
        on_prompt(prompt_id)


def progress(state: Path) -> str:
    """What the predictor says of its progress, the first line; empty if it says nothing."""
    try:
        return (state / PROGRESS).read_text(encoding="utf-8").partition("\n")[0][:120]
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
