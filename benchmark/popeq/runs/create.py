"""New run folders."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import itertools
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from popeq.atomic import FolderTakenError, new_folder
from popeq.runs.folder import PARTIAL, RECORD, Run
from popeq.runs.plan import Plan
from popeq.runs.record import EnvironmentRecord, RunRecord
from popeq.runs.spec import RunSpec

_PACKAGES = ("popeq", "numpy", "scipy", "POT", "pandas", "pydantic", "torch", "transformers", "peft")


def create_run(plan: Plan, runs_dir: Path, *, fresh: bool = False) -> Run:
    """A new run folder with its record and an empty folder for prompts; ``fresh``: nothing that was kept
    before now is used."""
    record = new_record(
        plan.spec,
        plan.key,
        status="unfinished",
        command=plan.command,
        prompts=len(plan.dataset.test_ids),
        cache_since=time.time() if fresh else None,
    )
    return new_run(record, runs_dir, lambda folder: (folder / PARTIAL).mkdir())


def new_record(spec: RunSpec, key: str, **fields: Any) -> RunRecord:
    """The record of a run that begins now; ``fields`` are its other fields."""
    now = datetime.datetime.now(datetime.UTC)
    return RunRecord(
        **dict(spec),
        run_id=f"{now:%Y%m%dT%H%M%SZ}-{spec.predictor.name}-{key[:8]}",
        key=key,
        started_at=now.isoformat(timespec="seconds"),
        environment=_environment(spec.predictor.source),
        **fields,
    )


def new_run(record: RunRecord, runs_dir: Path, fill: Callable[[Path], None]) -> Run:
    """A new run folder, filled by ``fill`` and with its record; its name is made unique if it is taken."""
    stem = record.run_id
    for again in itertools.count(2):
        try:
            with new_folder(runs_dir / record.run_id) as folder:
                fill(folder)
                (folder / RECORD).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
        except FolderTakenError:
            record = record.model_copy(update={"run_id": f"{stem}-{again}"})
            continue
        break
    return Run(runs_dir / record.run_id, record)


def _environment(source: str) -> EnvironmentRecord:
    """Where and with what a run is made; ``source`` is the distribution that brought its predictor."""
    packages = {}
    for name in dict.fromkeys((*_PACKAGES, source.split(" ")[0])):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            packages[name] = importlib.metadata.version(name)
    return EnvironmentRecord(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        cores=os.cpu_count() or 1,
        packages=packages,
    )
