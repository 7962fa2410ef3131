"""A predictor that is fitted and ready to be asked, kept in the cache folder by what its fit depends on."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from popeq.atomic import new_folder
from popeq.caches import ContentCache, asking_again
from popeq.contract import Describes, Predictor, Resumable, Saves
from popeq.defaults import DEFAULT_DATASET
from popeq.errors import PopeqError
from popeq.in_process import new_predictor, training_data
from popeq.lookup import load_dataset
from popeq.others_files import UnreadableFileError
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.runs.plan import Plan, make_plans
from popeq.seeding import generator

_SCHEMA = 2


@dataclass(frozen=True)
class Fitted:
    """A fitted predictor with its plan; ``how`` is ``fitted``, or ``loaded`` if an earlier fit was read."""

    plan: Plan
    predictor: Predictor
    how: str

    @cached_property
    def about(self) -> dict[str, Any]:
        """The origin of every answer: predictor, parameters, model, data set and the plan's key."""
        described = self.predictor.describe() if isinstance(self.predictor, Describes) else {}
        return {
            "predictor": self.plan.predictor.name,
            "parameters": self.plan.parameter_values,
            "model": described.get("model"),
            "dataset": self.plan.dataset.name,
            "simulated": self.plan.dataset.card.simulated,
            "key": self.plan.key,
        }


def open_fitted(
    name: str,
    dataset: str | Path = DEFAULT_DATASET,
    options: Mapping[str, object] | None = None,
    seed: int = 0,
    fresh: bool = False,
) -> Fitted:
    """Fit a predictor on the training and validation prompts of a data set, or load the fit kept before.

    On a data set with folds it is fitted on all prompts. A predictor that ``Saves`` is kept below
    ``<cache>/fitted``; one that is ``Resumable`` gets a folder there in which it keeps its own state. A fit
    that cannot be read is made again, and so is every fit with ``fresh``, whose model is asked again too
    where its answers are kept.

    Raises
    ------
    UsageError
        For unknown names or wrong options, and for what the predictor itself refuses.
    """
    loaded = load_dataset(dataset)
    (plan,) = make_plans([name], loaded, DEFAULT_PROTOCOL, [seed], options)
    stage = "all" if loaded.by_folds else "split"
    cache = ContentCache("fitted", ending="")
    state = cache.path([plan.key, stage, _SCHEMA])
    if not fresh and (kept := _read(plan, state)):
        return Fitted(plan, kept, "loaded")
    with asking_again() if fresh else nullcontext():
        predictor = new_predictor(plan.predictor, plan.parameters, loaded.space)
        if isinstance(predictor, Resumable):
            _use_folder(predictor, state, fresh, cache)
        train, validation = training_data(loaded, plan.predictor)
        predictor.fit(train, validation, generator(seed, plan.predictor.name, "fit", "ask"))
    if isinstance(predictor, Saves):
        _write(predictor, state, cache)
    return Fitted(plan, predictor, "fitted")


def _read(plan: Plan, state: Path) -> Predictor | None:
    """The predictor that ``_write`` kept; None if there is none, or it is damaged."""
    if not state.is_dir():
        return None
    predictor = new_predictor(plan.predictor, plan.parameters, plan.dataset.space)
    if not isinstance(predictor, Saves):
        return None
    try:
        predictor.load(state)
    except (UnreadableFileError, OSError, ValueError, KeyError, TypeError):
        return None
    return predictor


def _use_folder(predictor: Resumable, state: Path, fresh: bool, cache: ContentCache) -> None:
    """Give a folder for its state to a predictor that trains, where one can be made."""
    if fresh:
        shutil.rmtree(state, ignore_errors=True)
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        cache.remark_unkept(error.strerror or str(error))
    else:
        predictor.use_folder(state)


def _write(predictor: Saves, state: Path, cache: ContentCache) -> None:
    """Keep a fit; where the cache cannot be written, the next question costs another fit."""
    shutil.rmtree(state, ignore_errors=True)
    try:
        with new_folder(state) as temporary:
            predictor.save(temporary)
    except (OSError, PopeqError) as error:
        cache.remark_unkept(str(error))
