"""Where stages are carried out: in processes of this machine, or on a cluster (``runs.clusters``). Never how.

Every engine runs the same ``supervise`` on the same job, so that the choice cannot change a result. On a
cluster the run's folder lies on a file system that all machines share; the files of the prompts in it say
what is left to draw, to whoever begins a stage.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from popeq.runs.job import Report, Task
from popeq.runs.supervisor import Deadline, Outcome, supervise

OnPrompt = Callable[[str], None]
OnProgress = Callable[[str], None]


class Engine(Protocol):
    """Carries out stages; ``slots`` is how many side by side."""

    slots: int

    def carry_out(
        self,
        task: Task,
        deadline: Deadline,
        cancel: threading.Event,
        on_prompt: OnPrompt,
        on_progress: OnProgress,
    ) -> Outcome:
        """Carry out a stage and wait for its end; ``on_prompt`` is called for each prompt drawn, and
        ``on_progress`` with each line in which the predictor says how far it is."""
        ...


class Local:
    """``jobs`` processes of this machine side by side, which together use no more threads than it has."""

    def __init__(self, jobs: int = 1) -> None:
        self.slots = jobs

    def carry_out(
        self,
        task: Task,
        deadline: Deadline,
        cancel: threading.Event,
        on_prompt: OnPrompt,
        on_progress: OnProgress,
    ) -> Outcome:
        """See Engine."""
        return supervise(task, self.slots, deadline, cancel, on_prompt, on_progress)


class _Flag:
    """An event that a file sets."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def is_set(self) -> bool:
        return self.path.exists()


def on_worker(task: Task, slots: int, limit_s: float | None) -> Outcome:
    """What a cluster's worker does with a task: draw the prompts that nobody has drawn yet.

    After the loss of another worker that had the task, those are the ones that it did not finish.
    """
    job = task.job
    left = [p for p in job.prompts if not (job.partial / f"{p.prompt_id}.csv").exists()]
    if not left and job.report.exists():
        return Outcome(job.stage, report=Report.model_validate_json(job.report.read_bytes()))
    rest = replace(task, job=job.model_copy(update={"prompts": left}))
    return supervise(rest, slots, Deadline(limit_s), _Flag(task.cancelled), _ignore, _ignore)


def _ignore(_: str) -> None:
    """On a cluster it is the machine that waits which reads the run's folder."""
