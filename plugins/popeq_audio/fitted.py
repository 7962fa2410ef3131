"""A predictor that is fitted and ready to be asked, kept on disk by the hash of what it depends on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from popeq.atomic import new_folder
from popeq.caches import cache_folder
from popeq.contract import (
    Describes,
    LabelledPrompt,
    Predictor,
    PredictorSpec,
    Resumable,
    Saves,
    install_hint,
    load_object,
)
from popeq.dataset import Dataset
from popeq.errors import PopeqError, UsageError
from popeq.lookup import load_dataset
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.runs.job import labelled_for_predictor
from popeq.runs.plan import Plan, make_plans
from popeq.seeding import generator

RECORD, STATE = "fitted.json", "state"
_SCHEMA = 1


@dataclass(frozen=True)
class Fitted:
    """A fitted predictor, the data it was fitted on, and how it came about: ``fitted`` or ``loaded``."""

    plan: Plan
    predictor: Predictor
    how: str

    @property
    def spec(self) -> PredictorSpec:
        return self.plan.predictor

    @property
    def dataset(self) -> Dataset:
        return self.plan.dataset

    @cached_property
    def about(self) -> dict[str, Any]:
        """What every answer says of where it comes from."""
        described = self.predictor.describe() if isinstance(self.predictor, Describes) else {}
        return {
            "predictor": self.spec.name,
            "parameters": self.plan.parameter_values,
            "model": described.get("model"),
            "stand_in": bool(described.get("stand_in", False)),
            "dataset": self.dataset.name,
            "simulated": self.dataset.card.simulated,
            "key": self.plan.key,
        }


def open_fitted(
    name: str,
    dataset: str | Path = "simulated-120",
    options: Mapping[str, object] | None = None,
    seed: int = 0,
    fresh: bool = False,
) -> Fitted:
    """Fit a predictor on the training and validation prompts of a data set, or load the fit kept before.

    With folds it is fitted on all prompts. A fit is kept in ``<cache>/fitted/<key>`` as JSON and safetensors
    if the predictor can ``save`` it, or takes up itself what it left in a folder (``use_folder``); one that
    cannot be read is made again.

    Raises
    ------
    UsageError
        For unknown names or wrong options, or whatever the predictor says it lacks.
    """
    loaded = load_dataset(dataset)
    (plan,) = make_plans([name], loaded, DEFAULT_PROTOCOL, [seed], options)
    folder = _folder(plan)
    if not fresh:
        kept = _kept(plan, folder)
        if kept is not None:
            return Fitted(plan, kept, "loaded")
    predictor = _new(plan)
    if isinstance(predictor, Resumable):
        _lend(predictor, folder / STATE, fresh)
    train, validation = _stage(loaded, plan.predictor.wants_audio)
    predictor.fit(train, validation, generator(seed, plan.predictor.name, "fit", "ask"))
    if isinstance(predictor, Saves):
        _keep(plan, predictor, folder)
    return Fitted(plan, predictor, "fitted")


def _stage(dataset: Dataset, wants_audio: bool) -> tuple[list[LabelledPrompt], list[LabelledPrompt]]:
    """What a run's own worker would be given: no test answers where there is a split."""
    if dataset.by_folds:
        ids: tuple[list[str], list[str]] = (sorted(dataset.prompts["prompt_id"]), [])
    else:
        stage = dataset.stages[0]
        ids = (list(stage.train), list(stage.validation))
    train, validation = (labelled_for_predictor(dataset.labelled(part), wants_audio) for part in ids)
    return train, validation


def _new(plan: Plan) -> Predictor:
    try:
        factory = load_object(plan.predictor.factory)
    except ImportError as error:
        hint = install_hint(plan.predictor.extra)
        raise UsageError(f"{plan.predictor.name}: cannot be loaded: {error}{hint}") from None
    predictor: Predictor = factory(plan.parameters, plan.dataset.space)
    return predictor


def _folder(plan: Plan) -> Path:
    stage = "all" if plan.dataset.by_folds else "split"
    key = hashlib.sha256(json.dumps([plan.key, stage, _SCHEMA]).encode()).hexdigest()
    return cache_folder() / "fitted" / key[:24]


def _kept(plan: Plan, folder: Path) -> Predictor | None:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("key") != plan.key or record.get("schema") != _SCHEMA:
        return None
    predictor = _new(plan)
    if not isinstance(predictor, Saves):
        return None
    try:
        predictor.load(folder / STATE)
    except (OSError, ValueError, KeyError, TypeError):  # broken or of another version: fit again
        return None
    return predictor


def _lend(predictor: Resumable, folder: Path, fresh: bool) -> None:
    """Let a predictor that trains keep its state in a folder, where that can be made."""
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    predictor.use_folder(folder)


def _keep(plan: Plan, predictor: Saves, folder: Path) -> None:
    record = {
        "schema": _SCHEMA,
        "key": plan.key,
        "predictor": plan.predictor.name,
        "source": plan.spec.predictor.source,
        "parameters": plan.parameter_values,
        "dataset": plan.dataset.name,
        "revision": plan.dataset.revision,
    }
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with new_folder(folder) as temporary:
            (temporary / STATE).mkdir()
            predictor.save(temporary / STATE)
            (temporary / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    except (OSError, PopeqError):  # a cache that cannot be written costs time, not the answer
        return
