"""Small tasks in several processes: in order, while this one goes on, given up when something fails."""

from __future__ import annotations

import operator
import tempfile
import threading
import time

import numpy as np  # noqa: F401  brings a BLAS
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from popeq.parallel import in_background, parallel_imap, parallel_map


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_order_and_what_is_shared_comes_last(jobs):
    assert parallel_map(operator.sub, [(i,) for i in range(100)], jobs, (3,)) == [i - 3 for i in range(100)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_tasks_exception_is_raised_here(jobs):
    with pytest.raises(ZeroDivisionError):
        parallel_map(operator.floordiv, [(1, 1), (1, 0)], jobs)


@pytest.mark.filterwarnings("ignore:.* tasks which were still being processed:UserWarning")
def test_what_was_begun_is_given_up_if_the_block_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def fails() -> None:
        with parallel_imap(time.sleep, [(0.0,)] + 20 * [(100.0,)], 2) as results:
            assert next(results) is None
            assert list(tmp_path.glob("popeq-*"))
            raise KeyError("of the block")

    began = time.monotonic()
    with pytest.raises(KeyError, match="of the block"):
        fails()
    assert time.monotonic() - began < 90.0
    assert not list(tmp_path.glob("popeq-*"))
    assert parallel_map(operator.neg, [(1,), (2,)], 2) == [-1, -2]


def test_aside_this_process_goes_on_until_the_result_is_asked_for():
    started, asked = threading.Event(), threading.Event()

    def work() -> bool:
        started.set()
        return asked.wait(60.0)

    with in_background(work, 2) as result:
        assert started.wait(60.0)
        asked.set()
        assert result()


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_task_has_one_blas_thread_wherever_it_runs(jobs):
    """A product of matrices by several threads differs in its last bit, and with it a score."""
    with threadpool_limits(2, user_api="blas"):
        assert parallel_map(blas_threads, [(), (), ()], jobs) == [{1}] * 3
        assert blas_threads() == {2}


def test_with_one_job_nothing_is_done_before_it_is_asked_for():
    done = []
    with in_background(lambda: done.append(1), 1) as result:
        assert not done
        result()
    assert done == [1]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_exception_aside_is_raised_where_the_result_is_asked_for(jobs):
    with in_background(lambda: 1 // 0, jobs) as result, pytest.raises(ZeroDivisionError):
        result()
