"""The same function on many small tasks, in several processes of this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Result = TypeVar("Result")

#: Batches that a process gets one after the other: few, since each is sent whole; enough to end together.
_BATCHES = 12


def spread(function: Callable[..., Result], tasks: Sequence[tuple[Any, ...]], jobs: int) -> list[Result]:
    """``function(*task)`` of each task, in order, in ``jobs`` processes; in this one if it is not worth it.

    What the tasks of a batch share is sent once. A task's exception is raised here.
    """
    if jobs == 1 or len(tasks) < 2:
        return [function(*task) for task in tasks]
    from joblib import Parallel, delayed, parallel_config

    with parallel_config(backend="loky", inner_max_num_threads=1):
        pool = Parallel(n_jobs=min(jobs, len(tasks)), batch_size=max(1, len(tasks) // (jobs * _BATCHES)))
        return list(pool(delayed(function)(*task) for task in tasks))
