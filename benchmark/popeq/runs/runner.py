"""Draw runs: every stage of every run in a child process, side by side, resumable."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

from joblib import Parallel, delayed

from popeq.dataset import Stage
from popeq.errors import RunError
from popeq.locks import Lock
from popeq.runs.attempt import Attempt
from popeq.runs.create import create_run
from popeq.runs.engine import Engine, engine_of
from popeq.runs.folder import Run, find_runs, lock_file
from popeq.runs.observers import Observers
from popeq.runs.plan import Plan, changed_meanwhile, why_again
from popeq.runs.reporting import Reporter
from popeq.runs.settings import RunSettings
from popeq.runs.supervisor import News, Outcome
from popeq.tag_key import out_of_reach

K = TypeVar("K", bound=Hashable)

#: Stages that are waited for at once; a thread each.
_MOST_THREADS = 500
#: Runs that are open at once, each with a locked file.
_MOST_OPEN = 200


def draw(plans: Sequence[Plan], settings: RunSettings, reporter: Reporter | None = None) -> list[Run]:
    """Draw planned runs side by side; they come in the order of the plans.

    A run that is complete already is returned as it is; one that was stopped goes on where it was, unless
    ``settings.fresh``.

    Raises
    ------
    UsageError
        For a variable of ``pass_env`` that is not set, a cluster that cannot be used, or a folder that cannot
        be written, before anything runs.
    RunError
        If another process is drawing one of the runs; the others have been drawn by then.
    KeyboardInterrupt
        After Ctrl-C, SIGTERM or SIGHUP, when every child is dead; what was drawn is kept.
    """
    settings = settings.checked()
    watching = reporter or Reporter()
    watching.planned(plans)
    runs: list[Run] = []
    try:
        with out_of_reach(), engine_of(settings) as engine:
            for start in range(0, len(plans), _MOST_OPEN):
                runs += _draw_open(plans[start : start + _MOST_OPEN], engine, settings, watching)
    finally:
        watching.close()
    return runs


def draw_complete(
    planned: Mapping[K, Sequence[Plan]], settings: RunSettings, reporter: Reporter | None, command: str
) -> dict[K, list[Run]]:
    """The runs of each group of plans, all drawn side by side as by ``draw``.

    Raises RunError, which begins with ``command``, if one of them is not complete.
    """
    plans = [plan for own in planned.values() for plan in own]
    runs = iter(draw(plans, settings, reporter))
    drawn = {place: [next(runs) for _ in own] for place, own in planned.items()}
    failed = [run for own in drawn.values() for run in own if run.record.status != "complete"]
    if failed:
        raise RunError(
            f"{command}: {len(failed)} of {len(plans)} runs are not complete, such as {failed[0].folder}; "
            "the same command goes on"
        )
    return drawn


def _draw_open(plans: Sequence[Plan], engine: Engine, settings: RunSettings, reporter: Reporter) -> list[Run]:
    finished: dict[int, Run] = {}
    attempts: dict[int, Attempt] = {}
    locks: dict[int, Lock] = {}
    busy: list[str] = []
    runs_dir = settings.runs_dir
    with contextlib.ExitStack() as at_the_end:
        for i, plan in enumerate(plans):
            try:
                lock = Lock(lock_file(runs_dir, f"{plan.key[:16]}.lock"), wait=False)
            except BlockingIOError:
                busy.append(plan.label)
            else:
                at_the_end.callback(lock.release)
                locks[i] = lock
        found = [] if settings.fresh else find_runs(runs_dir)[0]
        there = {run.record.key: run for run in found}  # newest last
        for i, lock in locks.items():
            plan, existing = plans[i], there.get(plans[i].key)
            if existing and existing.record.status == "complete":
                lock.release()
                finished[i] = existing
                reporter.ended(existing, False)
                continue
            if not existing and (why := why_again(plan, found)):
                reporter.remark(f"{plan.label}: drawn again, because {why}")
            run = existing or create_run(plan, runs_dir, fresh=settings.fresh)
            run.partial.mkdir(exist_ok=True)
            attempts[i] = Attempt(plan, run, lock, settings)
        finished |= _carried_out(attempts, engine, reporter)
    if busy:
        raise RunError(
            f"another popeq process is drawing this run in {runs_dir}: {'; '.join(busy)}; wait for it"
        )
    return [finished[i] for i in range(len(plans))]


def _carried_out(attempts: dict[int, Attempt], engine: Engine, reporter: Reporter) -> dict[int, Run]:
    """The runs of all attempts, when every stage has ended."""
    finished: dict[int, Run] = {}
    observers = Observers(reporter)
    reporter.started(
        sum(a.run.record.prompts for a in attempts.values()), sum(len(a.done) for a in attempts.values())
    )
    with _cancelled_by_signals() as cancel:

        def work(i: int, stage: Stage) -> tuple[int, Outcome]:
            attempt = attempts[i]
            if why := changed_meanwhile(attempt.plan):
                line = f"not drawn, because {why}; the same command draws the run again"
                return i, Outcome.failed(stage.name, "error", line)
            attempt.start()
            record, task = attempt.run.record, attempt.task(stage)
            observers.started(record)
            look = News(task.job, partial(observers.prompt_done, record), partial(observers.progress, record))
            return i, engine.carry_out(task, attempt.deadline, cancel.is_set, look)

        def close(i: int) -> None:
            finished[i] = attempts[i].finish()
            if not cancel.is_set():
                observers.finished(finished[i])

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
    return finished


@contextlib.contextmanager
def _cancelled_by_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM and SIGHUP set, so that children end in order and nothing is
    half-written. SIGHUP stays ignored if it was, as by nohup."""
    cancel = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield cancel
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    old = {number: signal.signal(number, lambda *_: cancel.set()) for number in numbers}
    try:
        yield cancel
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
