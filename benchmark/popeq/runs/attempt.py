"""One run while it is drawn: its folder and lock, the stages still open, and what is written at the end."""

from __future__ import annotations

import datetime
import shutil
import time
from functools import cached_property
from pathlib import Path

from popeq.dataset import Stage
from popeq.dataset_folder import withheld_revisions
from popeq.locks import Lock
from popeq.runs.answering import answer_record, answerers, mixed
from popeq.runs.folder import Run
from popeq.runs.job import Job, Task, for_predictor, labelled_for_predictor, read_report
from popeq.runs.plan import Plan
from popeq.runs.record import Failure, StageRecord
from popeq.runs.settings import RunSettings
from popeq.runs.supervisor import Deadline, Outcome


class Attempt:
    """One run while it is drawn: its folder, lock, deadline and the stages still open."""

    def __init__(self, plan: Plan, run: Run, lock: Lock, settings: RunSettings) -> None:
        self.plan = plan
        self.run = run
        self.lock = lock
        self.settings = settings
        self.deadline = Deadline(settings.timeout_s)
        self.started: float | None = None
        self.done = set(run.done(plan.dataset.test_ids))
        self.stages = [s for s in plan.dataset.stages if set(s.test) - self.done]
        self.outcomes: list[Outcome] = []
        #: What the workers of an attempt that was killed could still say.
        self.reports = {
            stage.name: read_report(path)
            for stage in plan.dataset.stages
            if (path := self._report(stage.name)).is_file()
        }

    def _report(self, stage: str) -> Path:
        return self.run.folder.absolute() / f"report-{stage}.json"

    @cached_property
    def _withheld(self) -> tuple[str, ...]:
        return tuple(sorted(withheld_revisions(self.plan.dataset)))

    def task(self, stage: Stage) -> Task:
        """The stage, ready to be carried out: answers of its training prompts only, and the data set by its
        name alone."""
        plan, dataset, folder = self.plan, self.plan.dataset, self.run.folder.absolute()
        named = plan.spec.dataset.model_copy(update={"given": plan.spec.dataset.name})
        model, predictor = type(plan.parameters), plan.predictor
        left = [prompt_id for prompt_id in stage.test if prompt_id not in self.done]
        job = Job(
            spec=plan.spec.model_copy(update={"dataset": named}),
            factory=predictor.factory,
            parameters_model=f"{model.__module__}:{model.__qualname__}",
            parameters=plan.parameter_values,
            extra=predictor.extra,
            space=dataset.space,
            batch_size=self.settings.batch_size,
            stage=stage.name,
            answered_by=next(iter(answerers(self.run.explained())), ""),
            cache_since=self.run.record.cache_since,
            withheld=self._withheld,
            train=labelled_for_predictor(dataset.labelled(stage.train), predictor),
            validation=labelled_for_predictor(dataset.labelled(stage.validation), predictor),
            prompts=for_predictor(dataset.unlabelled(left), predictor),
            state=folder / f"state-{stage.name}",
            partial=self.run.partial.absolute(),
            report=self._report(stage.name),
            traceback=folder / f"traceback-{stage.name}.txt",
        )
        log = folder / f"log-{stage.name}.txt"
        return Task(job, log, self.settings, predictor.needs_env, predictor.wants_gpu)

    def start(self) -> None:
        """Note when the first stage starts to work."""
        if self.started is None:
            self.started = time.monotonic()

    @property
    def over(self) -> bool:
        return len(self.outcomes) == len(self.stages)

    def finish(self) -> Run:
        """Write what became of the run: complete with its predictions, failed, or still unfinished."""
        test_ids = self.plan.dataset.test_ids
        done = self.run.done(test_ids)
        failures = [failure for o in self.outcomes for failure in o.failures]
        reports = self.reports | {o.stage: o.report for o in self.outcomes if o.report}
        reports = {name: r for name, r in reports.items() if r.kind in ("fitted", "done")}
        stages = {s.name: s for s in self.run.record.stages}
        stages |= {
            name: StageRecord(name=name, fit_s=r.fit_s, sample_s=r.sample_s, peak_memory_mb=r.peak_memory_mb)
            for name, r in reports.items()
        }
        described = next((r.described for r in reports.values()), self.run.record.predictor.described)
        explained = self.run.explained()
        who = answerers(explained)
        if len(who) > 1:
            failures.append(
                Failure(stage=self.plan.dataset.stages[0].name, kind="error", message=mixed(*who[:2]))
            )
        complete = len(done) == len(test_ids) and len(who) < 2
        sha256 = self.run.assemble(test_ids) if complete else None
        status = "complete" if complete else "failed" if failures else "unfinished"
        run = self.run.update(
            status=status,
            predictor=self.run.record.predictor.model_copy(update={"described": described}),
            prompts_done=len(done),
            finished_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            wall_s=self.run.record.wall_s + (time.monotonic() - self.started if self.started else 0.0),
            answers=answer_record(explained),
            answered_by=who[0] if len(who) == 1 else "",
            stages=[stages[s.name] for s in self.plan.dataset.stages if s.name in stages],
            failures=[] if complete else failures,
            predictions_sha256=sha256,
        )
        for report in self.run.folder.glob("report-*.json"):
            report.unlink()
        for log in self.run.folder.glob("log-*.txt"):
            if log.stat().st_size == 0:
                log.unlink()
        if complete:
            shutil.rmtree(run.partial, ignore_errors=True)
        self.lock.release()
        return run
