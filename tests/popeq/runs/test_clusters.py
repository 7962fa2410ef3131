"""Engines: dask on this machine loses a worker in a sweep; SLURM's jobs as processes of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import submitit
from tests.conftest import environment, write_small_dataset

from popeq.dataset_folder import read_dataset
from popeq.errors import UsageError
from popeq.protocol import PROTOCOL_2
from popeq.runs.attempt import Attempt
from popeq.runs.create import create_run
from popeq.runs.engine import Cluster, Local, engine_of
from popeq.runs.packed import PACKED
from popeq.runs.plan import make_plans
from popeq.runs.settings import RunSettings
from popeq.runs.supervisor import Deadline, Outcome, threads_for

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


@pytest.fixture
def start(tmp_path, example_plugin):
    """The command line with the example plugin, in a process that goes on."""

    def call(*arguments: object, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", "from popeq.cli import main; main()", *map(str, arguments)],
            cwd=tmp_path,
            env=environment({"PYTHONPATH": str(example_plugin), **(env or {})}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    return call


def stop(process: subprocess.Popen[str]) -> None:
    """Ctrl-C."""
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors


def test_a_dask_sweep_that_is_stopped_and_then_loses_a_worker_ends_like_one_on_this_machine(
    popeq, folder, cluster, start, example_plugin
):
    """Ctrl-C stops the workers too; the same command goes on; kill -9 of a worker in the middle costs the
    prompt that it was drawing."""
    address, workers, drawn = cluster
    runs, plugin = folder / "far", {"PYTHONPATH": str(example_plugin)}
    command = ["sweep", "sweep.toml", "--engine", "dask", "--scheduler", address]
    command += ["--batch-size", "1", "--runs", "far"]

    def working():
        return [w for w in workers if psutil.Process(w.pid).children()]

    first = start(*command)
    wait_for(lambda: drawn_prompts(runs) >= 2)
    stop(first)
    assert not working()
    before = drawn_prompts(runs)
    assert 2 <= before < RUNS * PROMPTS
    assert not list(runs.glob("*/cancel-*"))

    second = start(*command)
    wait_for(lambda: drawn_prompts(runs) >= before + 3 and working())
    victim = working()[0]
    children = psutil.Process(victim.pid).children(recursive=True)
    victim.send_signal(signal.SIGKILL)
    _, errors = second.communicate(timeout=120)
    assert second.returncode == 0, errors
    assert not [c for c in children if c.is_running() and c.status() != psutil.STATUS_ZOMBIE]

    near = popeq("sweep", "sweep.toml", "--runs", "near", "--jobs", "2", env=plugin)
    assert near.returncode == 0, near.stderr
    assert len(predictions(folder / "near")) == RUNS
    assert predictions(runs) == predictions(folder / "near")
    # Two workers stopped, one lost: no more than one prompt each was drawn twice.
    assert len(drawn.read_text().split()) <= SLOW_RUNS * PROMPTS + 3


LOCAL_JOBS = ("--engine", "slurm", "--scheduler", "cluster=local")


def test_jobs_of_slurm_draw_what_this_machine_draws(popeq, small, tmp_path):
    command = ("run", "random", "static-best", "--dataset", small)
    far = popeq(*command, "--runs", "far", *LOCAL_JOBS)
    assert far.returncode == 0, far.stderr
    assert popeq(*command, "--runs", "near").returncode == 0
    assert len(predictions(tmp_path / "near")) == 2
    assert predictions(tmp_path / "far") == predictions(tmp_path / "near")
    assert len(list(tmp_path.glob("far/.slurm/*_submitted.pkl"))) == 2, "one job a stage"


def test_a_cancelled_run_of_slurm_leaves_no_process_and_goes_on_elsewhere(
    start, popeq, tmp_path, example_plugin
):
    def left():
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("POPEQ_EXAMPLE_DRAWN") == str(tmp_path / "drawn"):
                    yield process

    data, runs = write_small_dataset(tmp_path / "data", prompts=24), tmp_path / "runs"
    env = {"PYTHONPATH": str(example_plugin), "POPEQ_EXAMPLE_DRAWN": str(tmp_path / "drawn")}
    command = ("run", "example-slow", "--dataset", data, "--batch-size", "1", "-o", "pause_s=0.2")
    process = start(*command, *LOCAL_JOBS, env=env)
    wait_for(lambda: drawn_prompts(runs) >= 1)
    assert list(left())
    stop(process)
    wait_for(lambda: not list(left()), 20)
    assert 1 <= drawn_prompts(runs) < 16
    assert not list(runs.glob("*/cancel-*"))
    assert popeq(*command, env=env).returncode == 0
    assert popeq(*command[:-1], "pause_s=0", "--runs", "whole", env=env).returncode == 0
    assert [*predictions(runs).values()] == [*predictions(tmp_path / "whole").values()]


@pytest.fixture
def task(small, tmp_path):
    """A stage, ready to be carried out."""
    (plan,) = make_plans(["prior"], read_dataset(small), PROTOCOL_2, [0])
    attempt = Attempt(plan, create_run(plan, tmp_path / "runs"), None, RunSettings())
    return attempt.task(attempt.stages[0])


def test_jobs_ask_slurm_for_what_they_need(task, tmp_path, monkeypatch):
    """Programs of SLURM's names stand in for it: sbatch takes the script and answers with a number."""
    (tmp_path / "bin").mkdir()
    for name, answer in (("srun", ""), ("sbatch", "Submitted batch job $RANDOM")):
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\necho {answer}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    asked = "slurm_partition=long cpus_per_task=8"
    settings = RunSettings(engine="slurm", scheduler=asked, timeout_s=90.0, runs_dir=tmp_path / "runs")
    with engine_of(settings) as engine:
        for wants_gpu in (False, True):
            job = engine.submit(replace(task, wants_gpu=wants_gpu), 90.0)
            lines = job.paths.submission_file.read_text().splitlines()
            assert ("#SBATCH --gpus-per-node=1" in lines) == wants_gpu
            wanted = {"time=7", "partition=long", "cpus-per-task=8", "job-name=popeq", "nodes=1"}
            assert {f"#SBATCH --{w}" for w in wanted} <= set(lines)


@pytest.fixture
def takes_interrupts():
    """A program that a shell starts in the background ignores SIGINT, with which submitit cancels a local
    job, and so do its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("takes_interrupts")
def test_a_job_that_does_not_end_when_it_is_asked_to_is_cancelled(task, tmp_path):
    executor = submitit.LocalExecutor(tmp_path / "jobs")
    jobs = []

    def submit(task, limit_s):
        jobs.append(executor.submit(time.sleep, 600))
        return jobs[0]

    outcome = Cluster(1, submit, patience_s=0.5).carry_out(task, Deadline(9.0), lambda: True, lambda: None)
    assert outcome == Outcome(task.job.stage)
    wait_for(jobs[0].done, 60)
    assert not task.cancelled.exists()


def test_a_job_that_is_lost_fails_in_one_line(task, tmp_path):
    def submit(task, limit_s):
        raise OSError("no such queue\nat all")

    outcome = Cluster(1, submit).carry_out(task, Deadline(9.0), lambda: False, lambda: None)
    (failure,) = outcome.failures
    assert failure.kind == "crash"
    assert failure.message == "the cluster could not carry it out: OSError: no such queue at all"


def test_engines_that_cannot_work_are_refused(tmp_path):
    for name, scheduler, message in (
        ("dask", None, "needs --scheduler"),
        ("local", "tcp://127.0.0.1:1", "needs --engine"),
        ("dask", "nonsense://", "no dask workers"),
        ("slurm", None, "^--engine slurm: Could not detect .srun."),
        ("slurm", "partition", "^--scheduler 'partition': must have the form name=value"),
        ("slurm", "cluster=local nodes=2", "^--scheduler nodes: a stage is one task on one machine"),
        ("slurm", "cluster=local parts=gpu", "^--engine slurm: Parameter 'parts' need"),
        ("slurm", "cluster=local timeout_min=long", "^--engine slurm: Parameter .timeout_min. expected"),
        ("slurm", "cluster=elsewhere", "^--engine slurm: AutoExecutor doesn't know"),
    ):
        settings = RunSettings(engine=name, scheduler=scheduler, runs_dir=tmp_path)
        with pytest.raises(UsageError, match=message) as refused, engine_of(settings):
            pass
        assert "\n" not in str(refused.value)
    settings = RunSettings(engine="slurm", scheduler="cluster=local", timeout_s=None, runs_dir=tmp_path)
    with pytest.raises(UsageError, match="needs a time limit"), engine_of(settings):
        pass
    limited = settings.with_changes(scheduler="cluster=local timeout_min=9 slurm_partition=gpu")
    with engine_of(limited) as engine:
        assert isinstance(engine, Cluster)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"engine": "pbs"}, "^engine=pbs: .*'local', 'dask', 'ray' or 'slurm'"),
        ({"jobs": 0}, "^jobs=0: .* equal to 1 .Processes side by side"),
        ({"job": 2}, "did you mean 'jobs'"),
    ],
)
def test_a_wrong_setting_is_refused_by_name_in_one_line(wrong, message):
    for make in (RunSettings, RunSettings().with_changes):
        with pytest.raises(UsageError, match=message) as refused:
            make(**wrong)
        assert "\n" not in str(refused.value)


def test_jobs_share_the_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert [threads_for(n) for n in (1, 2, 3, 8, 20)] == [8, 4, 2, 1, 1]
    assert Local(3).slots == 3
