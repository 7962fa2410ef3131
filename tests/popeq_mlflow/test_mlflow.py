"""Runs in MLflow's own store: what was logged is read back, and nothing that fails there harms a run."""

from __future__ import annotations

import json
import re
import sys
import time
from typing import Any

import pytest
from tests.conftest import ROOT

import popeq as package
from popeq.errors import UsageError
from popeq.installing import pip_install
from popeq.runs.folder import find_runs
from popeq.runs.record import RunRecord, migrate
from popeq_mlflow import SWITCH, tracker
from popeq_mlflow.tracking import Tracker, metrics_of, parameters_of, tags_of

GOLDEN = ROOT / "tests" / "golden" / "run-v4" / "run.json"


@pytest.fixture
def record() -> RunRecord:
    return RunRecord.model_validate(migrate(json.loads(GOLDEN.read_text(encoding="utf-8")), "golden"))


@pytest.fixture
def store(tmp_path, monkeypatch) -> dict[str, str]:
    """A store of files, and what names it; MLflow 3.17 has to be told that files are meant."""
    env = {
        "MLFLOW_TRACKING_URI": f"file:{tmp_path / 'mlruns'}",
        "MLFLOW_ALLOW_FILE_STORE": "true",
        SWITCH: "1",
    }
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return env


def logged(experiment: str = "popeq") -> list:
    from mlflow import MlflowClient

    client = MlflowClient()
    known = client.get_experiment_by_name(experiment)
    return [] if known is None else client.search_runs([known.experiment_id])


def test_a_run_is_logged_with_parameters_metrics_tags_and_status(store, popeq, small, tmp_path):
    result = popeq("run", "static-cloud", "-o", "points=22", "-o", "steps=2", "--dataset", small, env=store)
    assert (result.returncode, result.stderr) == (0, "")
    ((run,), _) = find_runs(tmp_path / "runs")
    (found,) = logged()
    assert found.info.status == "FINISHED"
    assert found.info.run_name == run.record.run_id
    params, metrics, tags = found.data.params, found.data.metrics, found.data.tags
    assert params == parameters_of(run.record)
    assert (params["predictor"], params["parameter.points"], params["seed"]) == ("static-cloud", "22", "0")
    assert params["dataset_revision"] == run.record.dataset.revision[:12]
    assert metrics == metrics_of(run.record)
    assert (metrics["prompts"], metrics["prompts_done"], metrics["wall_s"]) == (4, 4, run.record.wall_s)
    assert {name: tags[name] for name in tags if name.startswith("popeq.")} == tags_of(run.record)
    assert (tags["popeq.key"], tags["popeq.simulated"]) == (run.record.key, "true")
    assert str(tmp_path) not in json.dumps(tags) + json.dumps(params)
    page = (ROOT / "docs" / "trackers.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], names)
    names["log_scores"](run.folder)
    (found,) = logged()
    scores = package.score(run)
    assert found.data.metrics["kantorovich_mean"] == pytest.approx(scores["kantorovich"].mean())
    assert found.data.metrics["coverage_mean"] == pytest.approx(scores["coverage"].mean())


def test_every_prompt_is_counted_and_a_stopped_run_goes_on(store, record):
    from mlflow import MlflowClient

    begun = record.model_copy(update={"status": "unfinished", "prompts_done": 0})
    first = Tracker()
    first.started(begun)
    first.prompt_done(begun)
    assert [run.info.status for run in logged()] == ["RUNNING"]
    second = Tracker()
    second.started(begun.model_copy(update={"prompts_done": 1}))
    second.prompt_done(begun)
    second.finished(record.model_copy(update={"status": "complete", "prompts_done": 2}))
    (found,) = logged()
    assert found.info.status == "FINISHED"
    history = MlflowClient().get_metric_history(found.info.run_id, "prompts_done")
    assert [(metric.step, metric.value) for metric in history] == [(1, 1.0), (2, 2.0), (2, 2.0)]
    Tracker().started(begun)  # --fresh: another draw of what is finished
    assert sorted(run.info.status for run in logged()) == ["FINISHED", "RUNNING"]


@pytest.mark.parametrize(("status", "shown"), [("failed", "FAILED"), ("unfinished", "KILLED")])
def test_how_a_run_ended_is_its_status(store, record, monkeypatch, status, shown):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of my own")
    failure = {"stage": "split", "kind": "error", "message": "it broke \x1b[2J"}
    ended = RunRecord.model_validate(
        {**record.model_dump(), "status": status, "failures": [failure] if status == "failed" else []}
    )
    own = Tracker()
    own.started(record)
    own.finished(ended)
    (found,) = logged("of my own")
    assert found.info.status == shown
    assert found.data.tags.get("popeq.failure") == ("it broke \\x1b[2J" if status == "failed" else None)
    assert logged() == []


def test_nothing_is_done_unless_it_is_asked_for(popeq_started, small, monkeypatch, tmp_path):
    for value in (None, "", "0"):
        if value is None:
            monkeypatch.delenv(SWITCH, raising=False)
        else:
            monkeypatch.setenv(SWITCH, value)
        assert tracker() is None
    result = popeq_started("run", "prior", "--dataset", small, env={"MLFLOW_TRACKING_URI": "file:here"})
    assert (result.returncode, result.stderr) == (0, "")
    assert not (tmp_path / "here").exists()


def test_a_server_that_does_not_answer_costs_a_warning_and_no_time(popeq, small, tmp_path):
    env = {SWITCH: "1", "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    begun = time.monotonic()
    result = popeq("run", "prior", "--dataset", small, env=env)
    assert result.returncode == 0
    assert result.stderr.count("runs are no longer logged to MLflow") == 1
    assert time.monotonic() - begun < 60
    ((run,), _) = find_runs(tmp_path / "runs")
    assert run.record.status == "complete"


def test_the_first_failure_is_the_last_message(store, record, monkeypatch):
    own = Tracker()
    own.started(record)

    def fail(*_: object, **__: object) -> None:
        raise OSError("the disk is full\n\x1b[2J")

    monkeypatch.setattr(type(own._client), "log_batch", fail)
    with pytest.raises(UsageError, match=r"OSError: the disk is full \\x1b\[2J") as caught:
        own.prompt_done(record)
    assert "\n" not in str(caught.value)
    own.prompt_done(record)
    own.finished(record)


def test_without_mlflow_the_extra_is_named(store, record, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UsageError, match=re.escape(pip_install("mlflow"))):
        Tracker().started(record)
