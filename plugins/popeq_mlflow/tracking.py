"""What is logged of a run, and the connection to MLflow: after its first failure nothing more is sent."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from popeq.errors import UsageError
from popeq.folder_names import without_folders
from popeq.installing import install_hint
from popeq.plain_text import json_text, visible
from popeq.runs.record import RunRecord

#: The tag by which a run is found again.
KEY = "popeq.key"
_STATUS = {"complete": "FINISHED", "failed": "FAILED", "unfinished": "KILLED"}
_MOST = 500
#: Set before MLflow is imported, where they are not set: a server that does not answer must not hold up a run
#: for minutes, and nothing is sent to anybody but the tracker.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def parameters_of(run: RunRecord) -> dict[str, str]:
    """The parameters that MLflow shows of a run: data set, protocol, seed and the predictor's own."""
    made = run.predictor
    values: dict[str, Any] = {
        "predictor": made.name,
        "dataset": run.dataset.name,
        "dataset_revision": run.dataset.revision[:12],
        "protocol": run.protocol.label,
        "seed": run.seed,
        **{f"parameter.{name}": without_folders(value) for name, value in made.parameters.items()},
    }
    return {name: _text(value) for name, value in values.items()}


def tags_of(run: RunRecord) -> dict[str, str]:
    """The tags of a run: what identifies it, and what it was drawn with."""
    made = run.predictor
    tags: dict[str, Any] = {
        KEY: run.key,
        "popeq.run_id": run.run_id,
        "popeq.origin": run.origin,
        "popeq.simulated": "true" if run.dataset.simulated else "false",
        "popeq.command": run.shown_command,
        "popeq.source": made.source,
        "popeq.kind": made.kind,
        "popeq.code_sha256": made.code.sha256 if made.code else "",
        "popeq.model": run.model,
        "popeq.dataset_revision": run.dataset.revision,
        "popeq.failure": run.failures[0].message if run.failures else "",
    }
    return {name: _text(value) for name, value in tags.items() if value}


def metrics_of(run: RunRecord) -> dict[str, float]:
    """The numbers of a run that has ended; scores are no part of its record."""
    found = {"prompts": float(run.prompts), "prompts_done": float(run.prompts_done), "wall_s": run.wall_s}
    if run.stages:
        found["fit_s"] = sum(stage.fit_s for stage in run.stages)
        found["sample_s"] = sum(stage.sample_s for stage in run.stages)
        found["peak_memory_mb"] = max(stage.peak_memory_mb for stage in run.stages)
    if run.answers:
        found |= {f"answers_{name}": float(value) for name, value in run.answers.model_dump().items()}
    return found


class Tracker:
    """Sends runs to the tracking server or folder that MLFLOW_TRACKING_URI names, in the experiment that
    MLFLOW_EXPERIMENT_NAME names, ``popeq`` by default."""

    def __init__(self) -> None:
        self._client: Any = None
        self._experiment = ""
        self._runs: dict[str, str] = {}
        self._done: dict[str, int] = {}
        self._failed = False

    def started(self, run: RunRecord) -> None:
        """Create a run of MLflow, or go on with the unfinished one of the same key."""

        def send() -> None:
            client = self._connected()
            known = client.search_runs(
                [self._experiment], filter_string=f"tags.`{KEY}` = '{run.key}'", max_results=50
            )
            open_ones = [found for found in known if found.info.status != "FINISHED"]
            if open_ones:
                self._runs[run.key] = open_ones[0].info.run_id
                client.update_run(self._runs[run.key], status="RUNNING")
            else:
                made = client.create_run(self._experiment, run_name=run.run_id)
                self._runs[run.key] = made.info.run_id
            self._done[run.key] = run.prompts_done
            self._log(run.key, {}, parameters_of(run), tags_of(run))

        self._carefully(send)

    def prompt_done(self, run: RunRecord) -> None:
        """Log how many prompts are done."""

        def send() -> None:
            self._done[run.key] += 1
            self._log(run.key, {"prompts_done": float(self._done[run.key])}, step=self._done[run.key])

        if run.key in self._runs:
            self._carefully(send)

    def finished(self, run: RunRecord) -> None:
        """Log the numbers and the status of the end."""

        def send() -> None:
            self._log(run.key, metrics_of(run), {}, tags_of(run), step=run.prompts_done)
            self._connected().set_terminated(self._runs.pop(run.key), _STATUS[run.status])

        if run.key in self._runs:
            self._carefully(send)

    def _carefully(self, send: Callable[[], None]) -> None:
        """Send something. A failure is raised once, which popeq makes a warning, and ends the tracking."""
        if self._failed:
            return
        try:
            send()
        except Exception as error:
            self._failed = True
            line = visible(" ".join(str(error).split()), _MOST)
            raise UsageError(f"runs are no longer logged to MLflow: {type(error).__name__}: {line}") from None

    def _connected(self) -> Any:
        """The client of MLflow, connected when it is first needed."""
        if self._client is None:
            for name, value in _DEFAULTS.items():
                os.environ.setdefault(name, value)
            try:
                from mlflow import MlflowClient
            except ImportError:
                raise UsageError(f"MLflow is not installed{install_hint('mlflow')}") from None
            client = MlflowClient()
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "popeq"
            known = client.get_experiment_by_name(name)
            self._experiment = known.experiment_id if known else client.create_experiment(name)
            self._client = client
        return self._client

    def _log(
        self,
        key: str,
        metrics: Mapping[str, float],
        parameters: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        step: int = 0,
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        now = int(1000 * time.time())
        self._connected().log_batch(
            self._runs[key],
            metrics=[Metric(name, value, now, step) for name, value in metrics.items()],
            params=[Param(name, value) for name, value in (parameters or {}).items()],
            tags=[RunTag(name, value) for name, value in (tags or {}).items()],
        )


def _text(value: object) -> str:
    return visible(value if isinstance(value, str) else json_text(value), _MOST)
