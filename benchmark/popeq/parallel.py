"""The same function on many small tasks, in several processes of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

Result = TypeVar("Result")

#: Batches that a process gets one after the other: enough to end together, within 1 % of its time.
_BATCHES = 100


def spread(
    function: Callable[..., Result], tasks: Sequence[tuple[Any, ...]], jobs: int, shared: tuple[Any, ...] = ()
) -> list[Result]:
    """``function(*task, *shared)`` of each task, in order, in ``jobs`` processes; in this one if it is not
    worth it. What is shared is read once by each process. A task's exception is raised here."""
    with begun(function, tasks, jobs, shared) as results:
        return list(results)


@contextmanager
def begun(
    function: Callable[..., Result], tasks: Sequence[tuple[Any, ...]], jobs: int, shared: tuple[Any, ...] = ()
) -> Iterator[Iterator[Result]]:
    """As ``spread``, but the other processes work while this one goes on, until it asks for results; what is
    not asked for by the end is given up."""
    if jobs == 1 or len(tasks) < 2:
        yield (function(*task, *shared) for task in tasks)
        return
    import joblib

    with TemporaryDirectory(prefix="popeq-") as folder:
        file = str(Path(folder, "shared"))
        joblib.dump(shared, file)
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            size = max(1, len(tasks) // (jobs * _BATCHES))
            pool = joblib.Parallel(n_jobs=min(jobs, len(tasks)), batch_size=size, return_as="generator")
            results = pool(joblib.delayed(_with_shared)(function, task, file) for task in tasks)
        with closing(results):
            yield results


@contextmanager
def in_background(function: Callable[[], Result], jobs: int) -> Iterator[Callable[[], Result]]:
    """The result of a call, for when it is asked for: until then this process goes on, as fast as before if
    the call leaves its work to other processes. With one job the call is made when its result is asked for.

    An error in the block is raised when the call has ended.
    """
    if jobs == 1:
        yield function
        return
    with ThreadPoolExecutor(max_workers=1) as thread:
        yield thread.submit(function).result


def _with_shared(function: Callable[..., Result], task: tuple[Any, ...], file: str) -> Result:
    return function(*task, *_read(file))


@lru_cache(maxsize=1)
def _read(file: str) -> tuple[Any, ...]:
    import joblib

    shared: tuple[Any, ...] = joblib.load(file)
    return shared
