"""Run one job in a contained process, watch it, and end it with all its children when its time is up."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from popeq.caches import SINCE
from popeq.others_files import UnreadableFileError, read_text
from popeq.runs.containment import GIB, contained
from popeq.runs.job import PROGRESS, WRITE_FAILED, Job, Report, Task, read_report
from popeq.runs.record import Failure, FailureKind
from popeq.runs.scrubbed import environment_for
from popeq.withheld import withholding

#: Bytes that a predictor's line on its progress takes at most.
_MOST_PROGRESS = 1 << 16


class Deadline:
    """The time limit of one run, shared by its stages; it starts to count when the first of them starts."""

    def __init__(self, limit_s: float | None) -> None:
        self.limit_s = limit_s
        self._end: float | None = None

    def start(self) -> None:
        """Start the clock, once."""
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

    @classmethod
    def failed(cls, stage: str, kind: FailureKind, message: str, detail: str | None = None) -> Outcome:
        """The outcome of a stage that failed as a whole; see ``Failure``."""
        return cls(stage, failures=(Failure(stage=stage, kind=kind, message=message, detail=detail),))


class News:
    """What is new on disk of a stage that is drawn, each time that it is called: ``on_prompt`` is called for
    each prompt whose file has appeared, ``on_progress`` with the line in which the predictor says how far its
    training is, if that is another one."""

    def __init__(
        self, job: Job, on_prompt: Callable[[str], None], on_progress: Callable[[str], None]
    ) -> None:
        self._partial, self._progress = job.partial, job.state / PROGRESS
        self._waiting = {p.prompt_id for p in job.prompts}
        self._line = ""
        self._on_prompt, self._on_progress = on_prompt, on_progress

    def __call__(self) -> None:
        appeared = self._waiting & {path.stem for path in self._partial.glob("*.csv")}
        self._waiting -= appeared
        for prompt_id in sorted(appeared):
            self._on_prompt(prompt_id)
        with contextlib.suppress(UnreadableFileError):
            line = read_text(self._progress, _MOST_PROGRESS).partition("\n")[0][:120]
            if line != self._line:
                self._line = line
                self._on_progress(line)


def supervise(
    task: Task, slots: int, deadline: Deadline, cancelled: Callable[[], bool], look: Callable[[], None]
) -> Outcome:
    """Run a task on this machine to its end, a limit or cancellation, as one of ``slots`` that share it.

    ``look`` is called while it runs and once after. When this returns, no process that the job started is
    left.
    """
    job, log, settings = task.job, task.log, task.settings
    deadline.start()
    if cancelled():
        return Outcome(job.stage)
    env = withholding(job.withheld, environment_for(settings, threads_for(slots), task.needs_env))
    if job.cache_since is not None:
        env[SINCE] = repr(job.cache_since)
    job.report.unlink(missing_ok=True)
    job.traceback.unlink(missing_ok=True)

    def watch() -> str:
        look()
        return "timeout" if deadline.passed else "cancelled" if cancelled() else ""

    memory_bytes = settings.memory_bytes(slots)
    with contained("popeq.runs.worker", log, env, memory_bytes, job.parameters.values()) as worker:
        worker.send(job.model_dump_json().encode())
        stopped = worker.wait(watch)
    look()
    if stopped == "timeout":
        return Outcome.failed(job.stage, "timeout", f"stopped at the time limit of {deadline.limit_s:g} s")
    if stopped == "memory":
        message = f"stopped at the memory limit of {memory_bytes / GIB:.3g} GiB"
        return Outcome.failed(job.stage, "memory", message)
    try:
        report = read_report(job.report) if os.path.lexists(job.report) else None
    except UnreadableFileError as error:
        return Outcome.failed(job.stage, "contract", f"its report is not one of popeq's: {error.reason}")
    if report and report.kind in ("error", "contract"):
        return Outcome.failed(job.stage, report.kind, report.message, job.traceback.name)
    if report and report.kind == "done":
        lines = [f"prompt {prompt_id!r}: {line}" for prompt_id, line in report.failed.items()]
        failures = tuple(Failure(stage=job.stage, kind="error", message=line) for line in lines)
        return Outcome(job.stage, report, failures)
    if cancelled():
        return Outcome(job.stage)
    detail = log.name if log.exists() and log.stat().st_size else None
    return Outcome.failed(job.stage, "crash", how_it_died(worker.process.returncode), detail)


def threads_for(slots: int) -> int:
    """Threads for one of several processes side by side, so that together they do not exceed the cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // slots)


def how_it_died(status: int) -> str:
    """What an exit status means, in words."""
    if status == WRITE_FAILED:
        return "what was drawn could not be written; is the disk full?"
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        hint = " (out of memory?)" if -status == signal.SIGKILL else ""
        return f"the predictor's process died of {name}{hint}"
    return f"the predictor's process ended with status {status} and no report"
