"""Engines: a real dask cluster on this machine loses a worker in the middle of a sweep; what is refused."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tests.conftest import environment, write_small_dataset

from popeq.errors import UsageError
from popeq.runs.clusters import engine_of
from popeq.runs.engine import Local
from popeq.runs.packed import PACKED
from popeq.runs.settings import RunSettings
from popeq.runs.supervisor import threads_for

SWEEP = """\
datasets = ["folded"]
seeds = [0, 1]

[[predictor]]
name = "example-slow"
parameters = { pause_s = 0.15 }

[[predictor]]
name = "example-blob"
seeds = [5]
"""
RUNS, SLOW_RUNS, PROMPTS = 3, 2, 12


@pytest.fixture
def folder(tmp_path):
    """A folder with a sweep on a data set of three folds."""
    write_small_dataset(tmp_path / "folded", folds=True, name="folded")
    (tmp_path / "sweep.toml").write_text(SWEEP)
    return tmp_path


@pytest.fixture
def cluster(tmp_path, example_plugin):
    """A scheduler's address, its two worker processes and the file where drawn prompts are noted."""
    drawn = tmp_path / "drawn"
    env = environment({"PYTHONPATH": str(example_plugin), "POPEQ_EXAMPLE_DRAWN": str(drawn)})
    env |= {
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
        "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "0",
    }
    address_file = tmp_path / "scheduler.json"
    quiet = {"cwd": tmp_path, "env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "dask"]
    scheduler = subprocess.Popen(
        [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        + ["--no-show", "--scheduler-file", str(address_file)],
        **quiet,
    )
    workers = [
        subprocess.Popen(
            [*dask, "worker", "--scheduler-file", str(address_file), "--nthreads", "1"]
            + ["--no-nanny", "--no-dashboard", "--host", "127.0.0.1", "--name", f"worker-{i}"]
            + ["--local-directory", str(tmp_path / f"worker-{i}")],
            **quiet,
        )
        for i in range(2)
    ]
    try:
        end = time.monotonic() + 60
        while not address_file.exists() and time.monotonic() < end:
            time.sleep(0.05)
        yield json.loads(address_file.read_text())["address"], workers, drawn
    finally:
        for process in (*workers, scheduler):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


def predictions(runs: Path) -> dict[str, bytes]:
    """Predictions of each complete run, by key."""
    found = {}
    for path in runs.glob("*/run.json"):
        record = json.loads(path.read_text())
        assert record["status"] == "complete"
        found[record["key"]] = (path.parent / PACKED).read_bytes()
    return found


def drawn_prompts(runs: Path) -> int:
    return sum(1 for _ in runs.glob("*/partial/*.csv"))


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


def test_a_dask_sweep_stopped_and_then_robbed_of_a_worker_ends_like_a_sequential_one(
    popeq, folder, cluster, example_plugin
):
    """Ctrl-C stops the workers too; the same command goes on; kill -9 of a worker in the middle costs the
    prompt that it was drawing."""
    address, workers, drawn = cluster
    runs, plugin = folder / "far", {"PYTHONPATH": str(example_plugin)}
    command = ["sweep", "sweep.toml", "--engine", "dask", "--scheduler", address]
    command += ["--batch-size", "1", "--runs", "far"]

    def start():
        return subprocess.Popen(
            [sys.executable, "-c", "from popeq.cli import main; main()", *command],
            cwd=folder,
            env=environment(plugin),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def working():
        return [w for w in workers if psutil.Process(w.pid).children()]

    first = start()
    wait_for(lambda: drawn_prompts(runs) >= 2)
    first.send_signal(signal.SIGINT)
    _, told = first.communicate(timeout=60)
    assert first.returncode == 130, told
    assert not working()
    before = drawn_prompts(runs)
    assert 2 <= before < RUNS * PROMPTS
    assert not list(runs.glob("*/cancel-*"))

    second = start()
    wait_for(lambda: drawn_prompts(runs) >= before + 3 and working())
    victim = working()[0]
    children = psutil.Process(victim.pid).children(recursive=True)
    victim.send_signal(signal.SIGKILL)
    _, told = second.communicate(timeout=120)
    assert second.returncode == 0, told
    assert not [c for c in children if c.is_running() and c.status() != psutil.STATUS_ZOMBIE]

    sequential = popeq("sweep", "sweep.toml", "--runs", "near", env=plugin)
    assert sequential.returncode == 0, sequential.stderr
    assert len(predictions(folder / "near")) == RUNS
    assert predictions(runs) == predictions(folder / "near")
    # Two workers stopped, one lost: no more than one prompt each was drawn twice.
    assert len(drawn.read_text().split()) <= SLOW_RUNS * PROMPTS + 3


def test_engines_that_cannot_work_are_refused(tmp_path):
    for name, scheduler, message in (
        ("dask", None, "needs --scheduler"),
        ("local", "tcp://127.0.0.1:1", "needs --engine"),
        ("dask", "nonsense://", "no dask workers"),
    ):
        settings = RunSettings(engine=name, scheduler=scheduler, runs_dir=tmp_path)
        with pytest.raises(UsageError, match=message), engine_of(settings):
            pass


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"engine": "slurm"}, "engine=slurm: .*'local', 'dask' or 'ray'"),
        ({"jobs": 0}, "jobs=0: .* equal to 1"),
        ({"job": 2}, "did you mean 'jobs'"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(wrong, message):
    with pytest.raises(UsageError, match=message):
        RunSettings().with_changes(**wrong)


def test_jobs_share_the_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert [threads_for(n) for n in (1, 2, 3, 8, 20)] == [8, 4, 2, 1, 1]
    assert Local(3).slots == 3
