"""The same function on many small tasks, in several processes of this machine."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from popeq.activity import counted

Result = TypeVar("Result")

#: Batches that a process gets one after the other: enough to end together, within 1 % of its time.
_BATCHES = 100


def one_blas_thread() -> threadpool_limits:
    """In this block BLAS has one thread, as in every process that is started here: a product of matrices by
    several threads differs in its last bit, and with it a score."""
    return threadpool_limits(1, user_api="blas")


def parallel_map(
    function: Callable[..., Result],
    tasks: Sequence[tuple[Any, ...]],
    jobs: int,
    shared: tuple[Any, ...] = (),
    *,
    what: str = "",
) -> list[Result]:
    """``function(*task, *shared)`` of each task, in order, in ``jobs`` processes; in this one if it is not
    worth it. What is shared is read once by each process. A task's exception is raised here. ``what`` is
    what the terminal shows meanwhile, such as ``scoring runs``."""
    with parallel_imap(function, tasks, jobs, shared) as results:
        return list(counted(results, what, len(tasks)))


@contextmanager
def parallel_imap(
    function: Callable[..., Result], tasks: Sequence[tuple[Any, ...]], jobs: int, shared: tuple[Any, ...] = ()
) -> Iterator[Iterator[Result]]:
    """As ``parallel_map``, but the other processes work while this one goes on, until it asks for results;
    what is not asked for by the end is given up."""
    if jobs == 1 or len(tasks) < 2:
        with one_blas_thread():
            yield (function(*task, *shared) for task in tasks)
        return
    import joblib

    # loky ends a worker whose memory has grown, and starts another one: nothing is lost.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
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
