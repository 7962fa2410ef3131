"""Where stages are carried out: in processes of this machine, or by ``dask``, ``ray`` or SLURM. Never how.

Every engine runs the same ``supervise`` on the same job, so that the choice cannot change a result. On a
cluster the run's folder lies on a file system that all machines share; the files of the prompts in it say
what is left to draw, to whoever begins a stage.
"""

from __future__ import annotations

import contextlib
import math
import os
import shlex
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import popeq
from popeq.errors import UsageError
from popeq.installing import need
from popeq.runs.folder import lock_file
from popeq.runs.job import Task, read_report
from popeq.runs.plan import as_json, parse_options
from popeq.runs.settings import RunSettings
from popeq.runs.supervisor import Deadline, Outcome, supervise

#: Whether the end has been asked for.
Cancelled = Callable[[], bool]
#: What is called again and again while a stage is drawn.
Look = Callable[[], None]

_PATIENCE_S = 30.0
#: How often ray begins a stage again when the worker that had it is lost; dask has a setting of its own.
_RETRIES = 3
#: Minutes that a SLURM job has beyond the time limit of its stage, to start and to end.
_SPARE_MINUTES = 5


@dataclass(frozen=True)
class Local:
    """``slots`` processes of this machine side by side, which together use no more threads than it has."""

    slots: int = 1

    def carry_out(self, task: Task, deadline: Deadline, cancelled: Cancelled, look: Look) -> Outcome:
        """Carry out a stage and wait for its end; see ``supervise``."""
        return supervise(task, self.slots, deadline, cancelled, look)


@dataclass(frozen=True)
class Cluster:
    """Stages carried out by other machines, ``slots`` side by side.

    ``submit(task, limit_s)`` gives a cluster a stage, with the seconds that it may take from when a worker
    begins it (None: as long as it needs), and returns something with ``done()``, ``result()`` and
    ``cancel()``. After cancellation a stage has ``patience_s`` to end.
    """

    slots: int
    submit: Callable[[Task, float | None], Any]
    poll_s: float = 0.1
    patience_s: float = _PATIENCE_S

    def carry_out(self, task: Task, deadline: Deadline, cancelled: Cancelled, look: Look) -> Outcome:
        """See Local. Cancellation makes the worker end the stage; what does not end is taken back."""
        given_up_at = math.inf
        try:
            future = self.submit(task, deadline.limit_s)
            while not future.done():
                look()
                if cancelled() and given_up_at == math.inf:
                    task.cancelled.touch()
                    given_up_at = time.monotonic() + self.patience_s
                if time.monotonic() > given_up_at:
                    with contextlib.suppress(Exception):  # the cluster may be gone
                        future.cancel()
                    return Outcome(task.job.stage)
                time.sleep(self.poll_s)
            look()
            outcome: Outcome = future.result()
            return outcome
        except CancelledError:
            return Outcome(task.job.stage)
        except Exception as error:  # lost too often, or the cluster went away
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:500]
            message = f"the cluster could not carry it out: {reason}"
            return Outcome.failed(task.job.stage, "crash", message)
        finally:
            task.cancelled.unlink(missing_ok=True)


Engine = Local | Cluster


def engine_of(settings: RunSettings) -> AbstractContextManager[Engine]:
    """The engine that settings name; a cluster is left at the end.

    Raises
    ------
    UsageError
        When it is entered: for a missing package or address, no workers, workers with another popeq, or ones
        that do not see ``runs_dir``, parameters of jobs that submitit does not take, and no SLURM.
    """
    if settings.engine == "local":
        if settings.scheduler is not None:
            raise UsageError("--scheduler needs --engine dask, --engine ray or --engine slurm")
        return nullcontext(Local(settings.jobs))
    connect = {"dask": _dask, "ray": _ray, "slurm": _slurm}[settings.engine]
    return connect(settings)


@contextlib.contextmanager
def _dask(settings: RunSettings) -> Iterator[Cluster]:
    """The workers of a dask cluster. A stage whose worker is lost goes to another one."""
    if settings.scheduler is None:
        raise UsageError("--engine dask needs --scheduler ADDRESS, as 'dask scheduler' prints it")
    distributed = need("distributed", "dask")
    try:
        client = distributed.Client(settings.scheduler, timeout=_PATIENCE_S)
        client.wait_for_workers(1, timeout=_PATIENCE_S)
    except (OSError, TimeoutError, ValueError) as error:
        raise UsageError(f"no dask workers at the scheduler {settings.scheduler}: {error}") from None
    with client:
        _check(lambda token: client.run(look_from_worker, token), settings.runs_dir)
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        has_gpus = any(worker.get("resources", {}).get("GPU") for worker in workers)
        threads: Counter[str] = Counter()
        for worker in workers:
            threads[worker["host"]] += worker["nthreads"]
        share = max(threads.values())

        def submit(task: Task, limit_s: float | None) -> Any:
            resources = {"GPU": 1} if task.wants_gpu and has_gpus else None
            return client.submit(on_worker, task, share, limit_s, pure=False, resources=resources)

        yield Cluster(threads.total(), submit)


@contextlib.contextmanager
def _ray(settings: RunSettings) -> Iterator[Cluster]:
    """The machines of a ray cluster (one of this machine alone if no address is known)."""
    ray = need("ray", "ray")
    try:
        ray.init(address=settings.scheduler, log_to_driver=False, ignore_reinit_error=True)
    except (ConnectionError, ValueError) as error:
        raise UsageError(f"no ray cluster at {settings.scheduler}: {error}") from None
    try:
        look = ray.remote(look_from_worker)
        _check(lambda token: {"of ray": ray.get(look.remote(token))}, settings.runs_dir)
        cores = [n["Resources"].get("CPU", 0.0) for n in ray.nodes() if n["Alive"]]
        share = max(1, int(max(cores)))
        has_gpus = ray.cluster_resources().get("GPU", 0.0) >= 1.0
        remote = ray.remote(on_worker)

        def submit(task: Task, limit_s: float | None) -> Any:
            gpus = int(task.wants_gpu and has_gpus)
            options = remote.options(num_cpus=1, num_gpus=gpus, max_retries=_RETRIES)
            return options.remote(task, share, limit_s).future()

        yield Cluster(max(1, int(sum(cores))), submit)
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _slurm(settings: RunSettings) -> Iterator[Cluster]:
    """SLURM, one job a stage, by submitit. ``scheduler`` holds parameters of its executor, ``name=value``;
    ``cluster=local`` makes the jobs processes of this machine."""
    submitit = need("submitit", "slurm")
    words = parse_options(shlex.split(settings.scheduler or ""), "--scheduler")
    given: dict[str, Any] = {"cluster": "slurm"} | {name: as_json(text) for name, text in words.items()}
    if reserved := given.keys() & {"nodes", "tasks_per_node"}:
        raise UsageError(f"--scheduler {min(reserved)}: a stage is one task on one machine; leave it out")
    if settings.timeout_s is not None:
        given.setdefault("timeout_min", math.ceil(settings.timeout_s / 60) + _SPARE_MINUTES)
    elif "timeout_min" not in given:
        raise UsageError("--engine slurm needs a time limit: --timeout, or timeout_min in --scheduler")
    cluster, one_at_a_time = given.pop("cluster"), threading.Lock()
    folder = settings.runs_dir.absolute() / ".slurm"

    def executor(**more: object) -> Any:
        try:
            made = submitit.AutoExecutor(folder, cluster=cluster)
            made.update_parameters(**{"name": "popeq"} | more | given)
        except (AssertionError, NameError, OSError, RuntimeError, TypeError, ValueError) as error:
            raise UsageError(f"--engine slurm: {str(error).splitlines()[0]}") from None
        return made

    plain, with_gpu = executor(), executor(gpus_per_node=1)

    def submit(task: Task, limit_s: float | None) -> Any:
        with one_at_a_time:
            return (with_gpu if task.wants_gpu else plain).submit(on_worker, task, 1, limit_s)

    yield Cluster(sys.maxsize, submit, poll_s=1.0)


def look_from_worker(token: Path) -> tuple[str, bool]:
    """What a worker says of itself: its popeq's version, and whether it sees a file of the runs folder."""
    return popeq.__version__, token.exists()


def _check(ask: Callable[[Path], dict[str, tuple[str, bool]]], runs_dir: Path) -> None:
    """UsageError if a worker has another popeq, or does not see the runs folder; ``ask`` gives what each says
    of itself by its name."""
    token = lock_file(runs_dir, f"seen-from-everywhere-{os.getpid()}").absolute()
    try:
        found = ask(token)
    finally:
        token.unlink(missing_ok=True)
    for worker, (version, sees) in found.items():
        if version != popeq.__version__:
            raise UsageError(f"worker {worker} has popeq {version}, this is {popeq.__version__}")
        if not sees:
            raise UsageError(
                f"worker {worker} does not see {runs_dir}: with an engine, the runs folder has to be on a "
                "file system that every machine has at the same place"
            )


def on_worker(task: Task, slots: int, limit_s: float | None) -> Outcome:
    """What a cluster's worker does with a task: draw the prompts that nobody has drawn yet.

    After the loss of another worker that had the task, those are the ones that it did not finish. The
    machine that waits reads the run's folder, so that nothing has to be sent to it meanwhile.
    """
    job = task.job
    left = [p for p in job.prompts if not (job.partial / f"{p.prompt_id}.csv").exists()]
    if not left and job.report.is_file():
        return Outcome(job.stage, report=read_report(job.report))
    rest = replace(task, job=job.model_copy(update={"prompts": left}))
    return supervise(rest, slots, Deadline(limit_s), task.cancelled.exists, lambda: None)
