"""The engines ``dask`` and ``ray``: stages carried out by the workers of a cluster."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import popeq
from popeq.errors import UsageError
from popeq.runs.engine import Engine, Local, OnProgress, OnPrompt, on_worker
from popeq.runs.job import Task
from popeq.runs.record import Failure
from popeq.runs.settings import RunSettings
from popeq.runs.supervisor import Deadline, Outcome, announce, progress

_POLL_S = 0.1
_PATIENCE_S = 30.0
#: How often ray begins a stage again when the worker that had it is lost; dask has a setting of its own.
_RETRIES = 3


@contextlib.contextmanager
def engine_of(settings: RunSettings) -> Iterator[Engine]:
    """The engine that settings name; a cluster is left at the end.

    Raises
    ------
    UsageError
        For a missing package or address, no workers, workers with another popeq, or ones that do not see
        ``runs_dir``.
    """
    name, scheduler, runs_dir = settings.engine, settings.scheduler, settings.runs_dir
    if name == "local":
        if scheduler is not None:
            raise UsageError("--scheduler needs --engine dask or --engine ray")
        yield Local(settings.jobs)
        return
    if name == "dask" and scheduler is None:
        raise UsageError("--engine dask needs --scheduler ADDRESS, as 'dask scheduler' prints it")
    cluster = Dask(str(scheduler), runs_dir) if name == "dask" else Ray(scheduler, runs_dir)
    try:
        yield cluster
    finally:
        cluster.close()


def look(token: Path) -> tuple[str, bool]:
    """What a worker says of itself: its popeq's version, and whether it sees a file of the runs folder."""
    return popeq.__version__, token.exists()


def _check(found: dict[str, tuple[str, bool]], runs_dir: Path) -> None:
    """UsageError if a worker has another popeq, or does not see the runs folder."""
    for worker, (version, sees) in found.items():
        if version != popeq.__version__:
            raise UsageError(f"worker {worker} has popeq {version}, this is {popeq.__version__}")
        if not sees:
            raise UsageError(
                f"worker {worker} does not see {runs_dir}: with an engine, the runs folder has to be on a "
                "file system that every machine has at the same place"
            )


def _wait(
    task: Task,
    done: Callable[[], bool],
    result: Callable[[], Outcome],
    cancel: threading.Event,
    on_prompt: OnPrompt,
    on_progress: OnProgress,
) -> Outcome:
    """Tell of prompts and progress as files appear until the task is over, which cancellation makes soon."""
    waiting = {p.prompt_id for p in task.job.prompts}
    asked_at: float | None = None
    shown = ""
    try:
        while not done():
            announce(waiting, task.job.partial, on_prompt)
            if (line := progress(task.job.state)) != shown:
                on_progress(shown := line)
            if cancel.is_set() and asked_at is None:
                task.cancelled.touch()
                asked_at = time.monotonic()
            if asked_at is not None and time.monotonic() > asked_at + _PATIENCE_S:
                return Outcome(task.job.stage)
            time.sleep(_POLL_S)
        announce(waiting, task.job.partial, on_prompt)
        return result()
    except CancelledError:
        return Outcome(task.job.stage)
    finally:
        task.cancelled.unlink(missing_ok=True)


def _lost(task: Task, error: Exception) -> Outcome:
    message = f"the cluster could not carry it out: {type(error).__name__}: {error}"
    return Outcome(task.job.stage, failures=(Failure(stage=task.job.stage, kind="crash", message=message),))


class Dask:
    """The workers of a dask cluster. A stage whose worker is lost goes to another one."""

    def __init__(self, scheduler: str, runs_dir: Path) -> None:
        try:
            from distributed import Client
        except ImportError:
            raise UsageError("the engine dask needs: pip install 'popeq[dask]'") from None
        try:
            connect: Any = Client
            self.client = connect(scheduler, timeout=_PATIENCE_S)
            self.client.wait_for_workers(1, timeout=_PATIENCE_S)
        except (OSError, TimeoutError, ValueError) as error:
            raise UsageError(f"no dask workers at the scheduler {scheduler}: {error}") from None
        with _token(runs_dir) as token:
            _check(self.client.run(look, token), runs_dir)
        workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        hosts: dict[str, int] = {}
        for worker in workers:
            hosts[worker["host"]] = hosts.get(worker["host"], 0) + worker["nthreads"]
        self.slots = sum(hosts.values())
        self._share = max(hosts.values())
        self._gpus = any(worker.get("resources", {}).get("GPU") for worker in workers)

    def carry_out(
        self,
        task: Task,
        deadline: Deadline,
        cancel: threading.Event,
        on_prompt: OnPrompt,
        on_progress: OnProgress,
    ) -> Outcome:
        """See Engine. The time limit is for each stage, from when a worker begins it."""
        future = self.client.submit(
            on_worker,
            task,
            self._share,
            deadline.limit_s,
            pure=False,
            resources={"GPU": 1} if task.wants_gpu and self._gpus else None,
        )
        try:
            return _wait(task, future.done, future.result, cancel, on_prompt, on_progress)
        except Exception as error:  # lost too often, or the scheduler went away
            return _lost(task, error)
        finally:
            future.release()

    def close(self) -> None:
        """Leave the cluster; it goes on."""
        self.client.close()


class Ray:
    """The machines of a ray cluster (one of this machine alone if no address is known)."""

    def __init__(self, address: str | None, runs_dir: Path) -> None:
        try:
            import ray
        except ImportError:
            raise UsageError("the engine ray needs: pip install 'popeq[ray]'") from None
        self.ray: Any = ray
        try:
            ray.init(address=address, log_to_driver=False, ignore_reinit_error=True)
        except (ConnectionError, ValueError) as error:
            raise UsageError(f"no ray cluster at {address}: {error}") from None
        with _token(runs_dir) as token:
            _check({"of ray": ray.get(ray.remote(look).remote(token))}, runs_dir)
        machines = [n["Resources"].get("CPU", 0.0) for n in ray.nodes() if n["Alive"]]
        self.slots, self._share = max(1, int(sum(machines))), max(1, int(max(machines)))
        self._gpus = ray.cluster_resources().get("GPU", 0.0) >= 1.0
        self._task: Any = ray.remote(on_worker)

    def carry_out(
        self,
        task: Task,
        deadline: Deadline,
        cancel: threading.Event,
        on_prompt: OnPrompt,
        on_progress: OnProgress,
    ) -> Outcome:
        """See Engine. The time limit is for each stage, from when a worker begins it."""
        gpus = 1 if task.wants_gpu and self._gpus else 0
        options = self._task.options(num_cpus=1, num_gpus=gpus, max_retries=_RETRIES)
        reference = options.remote(task, self._share, deadline.limit_s)

        def done() -> bool:
            return bool(self.ray.wait([reference], timeout=0)[0])

        try:
            return _wait(task, done, lambda: self.ray.get(reference), cancel, on_prompt, on_progress)
        except Exception as error:
            return _lost(task, error)

    def close(self) -> None:
        """Leave the cluster; it goes on, unless it was begun here."""
        self.ray.shutdown()


@contextlib.contextmanager
def _token(runs_dir: Path) -> Iterator[Path]:
    """A file in the runs folder for as long as workers are asked whether they see it."""
    path = runs_dir.absolute() / ".locks" / f"seen-from-everywhere-{os.getpid()}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise UsageError(f"{runs_dir}: cannot be written: {error.strerror}") from None
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
