"""The regression gate as a test: draw a predictor now, compare it with a stored run, or store it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

import popeq.api as api
from popeq.atomic import new_folder
from popeq.board.publishing import portable
from popeq.board.regression import DEFAULT_MARGIN_DB, Regression, regress
from popeq.board.selection import runs_of
from popeq.contract import PredictorSpec
from popeq.dataset import Dataset
from popeq.defaults import DEFAULT_DATASET
from popeq.errors import PopeqError, UsageError
from popeq.metrics import HEADLINE
from popeq.runs.folder import RECORD, Run
from popeq.runs.settings import DEFAULT_SETTINGS, RunSettings


class GateError(Exception):
    """A test of a predictor fails; the message says why."""


@dataclass(frozen=True)
class Guard:
    """What ``@pytest.mark.popeq(...)`` says. ``baseline``: a run folder, a folder of runs (one a seed) or
    ``FOLDER/NAME``; relative paths start at pytest's root. ``seeds`` are averaged prompt by prompt."""

    predictor: str | PredictorSpec
    dataset: str = DEFAULT_DATASET
    baseline: str | Path | None = None
    margin: float = DEFAULT_MARGIN_DB
    metric: str = HEADLINE
    seeds: int | Sequence[int] = 0
    options: Mapping[str, object] | None = None
    allow_inconclusive: bool = False
    settings: RunSettings = DEFAULT_SETTINGS

    @classmethod
    def of_marker(cls, *args: Any, **given: Any) -> Guard:
        """From what the marker says: fields of this class and of ``RunSettings``, by name.

        Raises TypeError for any other name, UsageError for a value that a setting does not take.
        """
        changes = {name: given.pop(name) for name in RunSettings.model_fields if name in given}
        guard = cls(*args, **given)
        return replace(guard, settings=guard.settings.with_changes(**changes))


@dataclass(frozen=True, eq=False)
class GuardedRun:
    """What the fixture ``popeq_run`` gives: the runs just drawn, one a seed, their data set, and the verdict
    (None if there was nothing to compare with)."""

    runs: tuple[Run, ...]
    dataset: Dataset
    regression: Regression | None = None
    stored: Path | None = None

    @property
    def run(self) -> Run:
        """The run of the first seed."""
        return self.runs[0]

    @property
    def scores(self) -> pd.DataFrame:
        """Scores of the first seed by prompt, as ``popeq.score`` gives them."""
        return api.score(self.run, self.dataset)


def pass_gate(guard: Guard, runs_dir: Path, root: Path, *, update: bool = False) -> GuardedRun:
    """Draw the predictor into ``runs_dir`` and compare it with its baseline, or, with ``update``, store it.

    Raises GateError if a run fails, no prompt is scored, the baseline is missing or not comparable, or the
    verdict is regressed or inconclusive.
    """
    try:
        folder = root / guard.dataset
        dataset = api.load_dataset(folder if folder.is_dir() else guard.dataset)
        runs = api.run(
            guard.predictor,
            dataset,
            seeds=guard.seeds,
            options=guard.options,
            settings=guard.settings,
            runs_dir=runs_dir,
        )
        _all_scored(runs)
        if update:
            if guard.baseline is None:
                raise GateError("--popeq-update: neither the marker nor --popeq-baseline names a baseline")
            return GuardedRun(tuple(runs), dataset, stored=store(runs, dataset, root / guard.baseline))
        if guard.baseline is None:
            return GuardedRun(tuple(runs), dataset)
        base = runs_of(root / guard.baseline, runs_dir, dataset.name)
        found = regress(base, runs, dataset, metric=guard.metric, margin_db=guard.margin)
    except PopeqError as error:
        raise GateError(f"{error}\n(a new baseline is stored with --popeq-update)") from None
    if found.verdict == "regressed" or (found.verdict == "inconclusive" and not guard.allow_inconclusive):
        listed = [
            f"  {r.prompt_id}: {r.base:.2f} -> {r.head:.2f} dB ({r.difference:+.2f})  {r.text}"
            for r in found.prompts.head(5).itertuples()
        ]
        raise GateError("\n".join([*found.lines, "  largest losses:", *listed]))
    return GuardedRun(tuple(runs), dataset, found)


def _all_scored(runs: Sequence[Run]) -> None:
    for run in runs:
        record = run.record
        if record.status != "complete":
            why = "; ".join(f"{f.stage}: {f.kind}: {f.message}" for f in record.failures)
            raise GateError(
                f"{record.predictor.name}: {record.prompts_done} of {record.prompts} prompts drawn: {why}"
            )
        if record.prompts == 0:
            raise GateError(f"{record.predictor.name}: no prompt was scored")


def store(runs: Sequence[Run], dataset: Dataset, baseline: Path) -> Path:
    """Put runs in the place of a baseline: the folder itself for one, ``seed-N`` below it for several.

    Raises UsageError if there is something else than a baseline at that place.
    """
    if baseline.exists() and not _is_baseline(baseline):
        raise UsageError(f"{baseline}: is no baseline and is not replaced")
    with new_folder(baseline, replace=True) as new:
        for run in runs:
            folder = new if len(runs) == 1 else new / f"seed-{run.record.seed}"
            folder.mkdir(exist_ok=True)
            record = portable(run.record, dataset).model_dump_json(indent=2) + "\n"
            (folder / RECORD).write_text(record, encoding="utf-8")
            shutil.copyfile(run.predictions_file, folder / run.predictions_file.name)
    return baseline


def _is_baseline(folder: Path) -> bool:
    inside = [p for p in folder.iterdir() if not p.name.startswith(".")] if folder.is_dir() else []
    return (folder / RECORD).is_file() or all((p / RECORD).is_file() for p in inside)
