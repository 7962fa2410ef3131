"""Draw runs: every stage of every run in a child process, side by side, resumable, with progress."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from joblib import Parallel, delayed
from tqdm import tqdm

from popeq.contract import PredictorSpec
from popeq.dataset import Dataset, Stage
from popeq.errors import RunError, UsageError
from popeq.plugins import Registry
from popeq.protocol import DEFAULT_PROTOCOL, Protocol
from popeq.runs.attempt import Attempt
from popeq.runs.containment import DEFAULT_CONTAINMENT, Containment
from popeq.runs.engine import LOCAL, Engine, Task
from popeq.runs.folder import Run, find_runs
from popeq.runs.observers import Observers
from popeq.runs.plan import Plan, changed_meanwhile, create_run, make_plans, why_again
from popeq.runs.record import Failure
from popeq.runs.supervisor import Outcome

DEFAULT_TIMEOUT_S = 3600.0
DEFAULT_BATCH_SIZE = 16
#: Stages that are waited for at once; a thread each.
_MOST_THREADS = 500


def run(
    predictors: Sequence[str | PredictorSpec],
    dataset: Dataset,
    *,
    registry: Registry,
    dataset_name: str | None = None,
    seeds: Sequence[int] = (0,),
    options: Mapping[str, object] | None = None,
    protocol: Protocol = DEFAULT_PROTOCOL,
    engine: Engine = LOCAL,
    **how: Any,
) -> list[Run]:
    """Draw the runs of some predictors on one data set; ``popeq.run`` is the same with names resolved.

    ``how`` and errors as for ``draw``.
    """
    if not predictors:
        raise UsageError("name at least one predictor; 'popeq list' shows them all")
    plans = make_plans(
        registry, predictors, options or {}, dataset, dataset_name or dataset.name, protocol, seeds
    )
    return draw(plans, registry=registry, engine=engine, **how)


def draw(
    plans: Sequence[Plan],
    *,
    registry: Registry,
    engine: Engine,
    runs_dir: Path | str = "runs",
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
    batch_size: int = DEFAULT_BATCH_SIZE,
    fresh: bool = False,
    progress: bool = False,
    containment: Containment = DEFAULT_CONTAINMENT,
    on_run: Callable[[Run, bool], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> list[Run]:
    """Draw planned runs side by side, in the order of the plans.

    A run that is complete already is returned as it is; one that was stopped goes on where it was, unless
    ``fresh``. ``on_run(run, drawn)`` is called as each ends (``drawn`` is False for one that was complete).
    ``on_note(line)`` is called for each that is drawn again because its code, or what its parameters name,
    changed since a run of the same predictor; that run stays as it is.

    Raises
    ------
    UsageError
        For wrong numbers, before anything runs.
    RunError
        If another process is drawing one of the runs; the others have been drawn by then.
    KeyboardInterrupt
        After Ctrl-C or SIGTERM, when every child is dead; what was drawn is kept.
    """
    if batch_size < 1 or not (timeout_s is None or timeout_s > 0):
        raise UsageError("batch size and timeout must be positive")
    containment = containment.checked()
    runs_dir = Path(runs_dir)
    finished: dict[int, Run] = {}
    attempts: dict[int, Attempt] = {}
    locks: dict[int, FileLock] = {}
    busy: list[str] = []
    try:
        for i, plan in enumerate(plans):
            lock = _lock(plan, runs_dir)
            if lock is None:
                busy.append(f"{plan.spec.name}, seed {plan.seed}")
            else:
                locks[i] = lock
        found = [] if fresh else find_runs(runs_dir)[0]
        there = {run.record.key: run for run in found}  # newest last
        for i, lock in locks.items():
            plan, existing = plans[i], there.get(plans[i].key)
            if existing and existing.record.status == "complete":
                lock.release()
                finished[i] = existing
                if on_run:
                    on_run(existing, False)
            else:
                if on_note and not existing and (why := why_again(plan, found)):
                    on_note(f"{plan.spec.name}, seed {plan.seed}: drawn again, because {why}")
                drawn = existing or create_run(plan, runs_dir)
                drawn.partial.mkdir(exist_ok=True)
                attempts[i] = Attempt(plan, drawn, lock, timeout_s)
        observers = Observers(registry)
        _draw(attempts, finished, observers, engine, batch_size, progress, containment, on_run)
    finally:
        for lock in locks.values():
            lock.release()
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
    attempts: dict[int, Attempt],
    finished: dict[int, Run],
    observers: Observers,
    engine: Engine,
    batch_size: int,
    progress: bool,
    containment: Containment,
    on_run: Callable[[Run, bool], None] | None,
) -> None:
    total = sum(a.run.record.prompts for a in attempts.values())
    already = sum(len(a.done) for a in attempts.values())
    with (
        _cancelled_by_signals() as cancel,
        tqdm(total=total, initial=already, unit="prompt", disable=None if progress else True) as bar,
    ):

        def work(i: int, stage: Stage) -> tuple[int, Outcome]:
            attempt = attempts[i]
            if why := changed_meanwhile(attempt.plan):
                line = f"not drawn, because {why}; the same command draws the run again"
                return i, Outcome(
                    stage.name, failures=(Failure(stage=stage.name, kind="error", message=line),)
                )
            attempt.begin()
            observers.started(attempt.run.record)

            def on_prompt(prompt_id: str) -> None:
                observers.prompt_done(attempt.run.record, prompt_id)
                bar.update()

            spec, log = attempt.plan.spec, attempt.run.folder.absolute() / f"log-{stage.name}.txt"
            job = attempt.job(stage, batch_size)
            task = Task(job, log, containment, spec.needs_env, spec.wants_gpu)
            on_progress = partial(_show_progress, bar, spec.name)
            return i, engine.carry_out(task, attempt.deadline, cancel, on_prompt, on_progress)

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
        pool = Parallel(
            n_jobs=max(1, min(engine.slots, len(tasks), _MOST_THREADS)),
            backend="threading",
            return_as="generator_unordered",
            pre_dispatch="all",
        )
        for i, outcome in pool(tasks):
            attempts[i].outcomes.append(outcome)
            if attempts[i].over:
                close(i)
    if cancel.is_set():
        raise KeyboardInterrupt


def _show_progress(bar: tqdm, predictor: str, line: str) -> None:
    bar.set_postfix_str(f"{predictor}: {line}")


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
