"""Draw runs: every stage of every run in a child process, side by side, resumable, with progress."""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout
from joblib import Parallel, delayed
from tqdm import tqdm

from popeq.contract import PredictorSpec
from popeq.dataset import Dataset, Stage
from popeq.errors import RunError, UsageError
from popeq.plugins import Registry
from popeq.protocol import PROTOCOL_1, Protocol
from popeq.runs.containment import DEFAULT_CONTAINMENT, Containment
from popeq.runs.folder import Run
from popeq.runs.job import Job, LabelledMessage, PromptMessage, Report, SpaceMessage
from popeq.runs.plan import Plan, create_run, find_existing, make_plans
from popeq.runs.record import Failure, RunRecord, StageRecord
from popeq.runs.scrubbed import environment_for
from popeq.runs.supervisor import Deadline, Outcome, supervise

DEFAULT_TIMEOUT_S = 3600.0
_BATCH_SIZE = 16


class _Attempt:
    """One run while it is drawn: its folder, lock, deadline and the stages still open."""

    def __init__(self, plan: Plan, run: Run, lock: FileLock, timeout_s: float | None) -> None:
        self.plan = plan
        self.run = run
        self.lock = lock
        self.deadline = Deadline(timeout_s)
        self.started: float | None = None
        self.done = set(run.done(plan.dataset.test_ids))
        self.stages = [s for s in plan.dataset.stages if set(s.test) - self.done]
        self.outcomes: list[Outcome] = []
        self.reports = {s.name: r for s in plan.dataset.stages if (r := self._left_behind(s.name))}

    def _left_behind(self, stage: str) -> Report | None:
        """What the worker of an attempt that was killed could still say."""
        path = self._report(stage)
        return Report.model_validate_json(path.read_bytes()) if path.exists() else None

    def _report(self, stage: str) -> Path:
        return self.run.folder.absolute() / f"report-{stage}.json"

    def job(self, stage: Stage, batch_size: int) -> Job:
        """The stage as the worker gets it: answers of its training prompts only."""
        plan, dataset, folder = self.plan, self.plan.dataset, self.run.folder.absolute()
        model = type(plan.parameters)
        audio = plan.spec.wants_audio
        return Job(
            predictor=plan.spec.name,
            factory=plan.spec.factory,
            parameters_model=f"{model.__module__}:{model.__qualname__}",
            parameters=plan.parameter_values,
            extra=plan.spec.extra,
            space=SpaceMessage.of(dataset.space),
            seed=plan.seed,
            n_samples=plan.protocol.n_samples,
            batch_size=batch_size,
            stage=stage.name,
            train=[LabelledMessage.of(p, audio) for p in dataset.labelled(stage.train)],
            validation=[LabelledMessage.of(p, audio) for p in dataset.labelled(stage.validation)],
            prompts=[
                PromptMessage.of(p, audio)
                for p in dataset.unlabelled([t for t in stage.test if t not in self.done])
            ],
            state=folder / f"state-{stage.name}",
            partial=self.run.partial.absolute(),
            report=self._report(stage.name),
            traceback=folder / f"traceback-{stage.name}.txt",
        )

    def begin(self) -> None:
        """Note when the first stage starts to work."""
        if self.started is None:
            self.started = time.monotonic()

    @property
    def over(self) -> bool:
        return len(self.outcomes) == len(self.stages)

    def finish(self) -> Run:
        """Write what became of the run: complete with predictions.csv, failed, or still unfinished."""
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
        complete = len(done) == len(test_ids)
        sha256 = self.run.assemble(test_ids) if complete else None
        status = "complete" if complete else "failed" if failures else "unfinished"
        run = self.run.update(
            status=status,
            predictor=self.run.record.predictor.model_copy(update={"described": described}).model_dump(),
            prompts_done=len(done),
            finished_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            wall_s=self.run.record.wall_s + (time.monotonic() - self.started if self.started else 0.0),
            stages=[stages[s.name].model_dump() for s in self.plan.dataset.stages if s.name in stages],
            failures=[] if complete else [f.model_dump() for f in failures],
            predictions_sha256=sha256,
        )
        for report in self.run.folder.glob("report-*.json"):
            report.unlink()
        for log in self.run.folder.glob("log-*.txt"):
            if log.stat().st_size == 0:
                log.unlink()
        if complete:
            run.drop_partial()
        self.lock.release()
        return run


def run(
    predictors: Sequence[str | PredictorSpec],
    dataset: Dataset,
    *,
    registry: Registry,
    dataset_name: str | None = None,
    seeds: Sequence[int] = (0,),
    options: Mapping[str, object] | None = None,
    runs_dir: Path | str = "runs",
    jobs: int = 1,
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
    batch_size: int = _BATCH_SIZE,
    fresh: bool = False,
    progress: bool = False,
    protocol: Protocol = PROTOCOL_1,
    containment: Containment = DEFAULT_CONTAINMENT,
    on_run: Callable[[Run, bool], None] | None = None,
) -> list[Run]:
    """Draw the runs of some predictors on one data set; ``popeq.run`` is the same with names resolved.

    A run that is complete already is returned as it is; one that was stopped goes on where it was, unless
    ``fresh``. ``on_run(run, drawn)`` is called as each ends (``drawn`` is False for one that was complete).

    Raises
    ------
    UsageError
        For wrong names, options or numbers, before anything runs.
    RunError
        If another process is drawing one of the runs; the others have been drawn by then.
    KeyboardInterrupt
        After Ctrl-C or SIGTERM, when every child is dead; what was drawn is kept.
    """
    if not predictors:
        raise UsageError("name at least one predictor; 'popeq list' shows them all")
    if jobs < 1 or batch_size < 1 or not (timeout_s is None or timeout_s > 0):
        raise UsageError("jobs, batch size and timeout must be positive")
    containment = containment.checked()
    runs_dir = Path(runs_dir)
    plans = make_plans(
        registry, predictors, options or {}, dataset, dataset_name or dataset.name, protocol, seeds
    )
    finished: dict[int, Run] = {}
    attempts: dict[int, _Attempt] = {}
    busy: list[str] = []
    observers = _Observers(registry)
    try:
        for i, plan in enumerate(plans):
            lock = _lock(plan, runs_dir)
            if lock is None:
                busy.append(f"{plan.spec.name}, seed {plan.seed}")
                continue
            existing = None if fresh else find_existing(plan, runs_dir)
            if existing and existing.record.status == "complete":
                lock.release()
                finished[i] = existing
                if on_run:
                    on_run(existing, False)
            else:
                drawn = existing or create_run(plan, runs_dir)
                drawn.partial.mkdir(exist_ok=True)
                attempts[i] = _Attempt(plan, drawn, lock, timeout_s)
        _draw(attempts, finished, observers, jobs, batch_size, progress, containment, on_run)
    finally:
        for attempt in attempts.values():
            attempt.lock.release()
    if busy:
        raise RunError(
            f"another popeq process is drawing this run in {runs_dir}: {'; '.join(busy)}; wait for it"
        )
    return [finished[i] for i in range(len(plans))]


def _lock(plan: Plan, runs_dir: Path) -> FileLock | None:
    """The lock of a run, taken; None if another process holds it."""
    lock = FileLock(runs_dir / ".locks" / f"{plan.key[:16]}.lock")
    try:
        (runs_dir / ".locks").mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        return None
    except OSError as error:
        raise UsageError(f"{runs_dir}: cannot be written: {error.strerror}") from None
    return lock


def _draw(
    attempts: dict[int, _Attempt],
    finished: dict[int, Run],
    observers: _Observers,
    jobs: int,
    batch_size: int,
    progress: bool,
    containment: Containment,
    on_run: Callable[[Run, bool], None] | None,
) -> None:
    total = sum(a.run.record.prompts for a in attempts.values())
    already = sum(len(a.done) for a in attempts.values())
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with (
        _cancelled_by_signals() as cancel,
        tqdm(total=total, initial=already, unit="prompt", disable=None if progress else True) as bar,
    ):

        def work(i: int, stage: Stage) -> tuple[int, Outcome]:
            attempt = attempts[i]
            attempt.begin()
            observers.started(attempt.run.record)

            def on_prompt(prompt_id: str) -> None:
                observers.prompt_done(attempt.run.record, prompt_id)
                bar.update()

            log = attempt.run.folder / f"log-{stage.name}.txt"
            job = attempt.job(stage, batch_size)
            env = environment_for(containment, threads, attempt.plan.spec.needs_env)
            memory = containment.memory_bytes(jobs)
            on_progress = partial(_show_progress, bar, attempt.plan.spec.name)
            return i, supervise(job, log, attempt.deadline, cancel, env, memory, on_prompt, on_progress)

        def close(i: int) -> None:
            finished[i] = attempts[i].finish()
            if not cancel.is_set():
                observers.finished(finished[i].record)
                if on_run:
                    with bar.external_write_mode():
                        on_run(finished[i], True)

        for i in [i for i, a in attempts.items() if a.over]:  # every prompt was drawn before the stop
            close(i)
        tasks = [delayed(work)(i, stage) for i, a in attempts.items() for stage in a.stages]
        pool = Parallel(n_jobs=jobs, backend="threading", return_as="generator_unordered", pre_dispatch="all")
        for i, outcome in pool(tasks):
            attempts[i].outcomes.append(outcome)
            if attempts[i].over:
                close(i)
    if cancel.is_set():
        raise KeyboardInterrupt


def _show_progress(bar: tqdm, predictor: str, line: str) -> None:
    bar.set_postfix_str(f"{predictor}: {line}")


class _Observers:
    """Calls the observer hooks, one at a time; one that fails costs a warning, not the run."""

    def __init__(self, registry: Registry) -> None:
        self._hook = registry.manager.hook
        self._lock = threading.Lock()
        self._started: set[str] = set()

    def _call(self, name: str, **arguments: object) -> None:
        with self._lock:
            try:
                getattr(self._hook, name)(**arguments)
            except Exception as error:
                warnings.warn(f"a plugin's {name} failed: {type(error).__name__}: {error}", stacklevel=2)

    def started(self, record: RunRecord) -> None:
        with self._lock:
            first = record.run_id not in self._started
            self._started.add(record.run_id)
        if first:
            self._call("popeq_run_started", run=record)

    def prompt_done(self, record: RunRecord, prompt_id: str) -> None:
        self._call("popeq_prompt_done", run=record, prompt_id=prompt_id)

    def finished(self, record: RunRecord) -> None:
        self._call("popeq_run_finished", run=record)


@contextlib.contextmanager
def _cancelled_by_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that children end in order and nothing is half-written."""
    cancel = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield cancel
        return
    old = {s: signal.signal(s, lambda *_: cancel.set()) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancel
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def failures_of(runs: Sequence[Run]) -> list[tuple[Run, Failure]]:
    """Every failure of the last attempt, run by run."""
    return [(r, f) for r in runs for f in r.record.failures]
