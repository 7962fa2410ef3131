"""Views of data sets by name, such as ``NAME@folds-5``: other folds, fewer training prompts, one group."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from popeq.dataset import Dataset
from popeq.dataset_card import LISTENER_COLUMNS
from popeq.dataset_tables import LISTENERS
from popeq.errors import UsageError
from popeq.seeding import generator

FORMS = (
    "NAME@folds-5 (five folds in place of the split), NAME@train-60-0 (subset 0 of 60 training prompts), "
    "NAME@group-G (tested on the listeners of group G) and NAME@only-G (no answers but theirs)"
)
#: Answers of a group that a prompt needs to be scored against it.
LEAST_OF_GROUP = 2
_FOLDS = re.compile(r"folds-([1-9]\d{0,5})")
_TRAIN = re.compile(r"train-([1-9]\d{0,5})-(\d{1,3})")
_GROUP = re.compile(r"(group|only)-(.+)", re.DOTALL)


def split_name(name: str) -> tuple[str, str]:
    """The name or folder of a data set and its view, the text after the last ``@``, empty without one."""
    base, _, view = name.rpartition("@")
    return (base, view) if base else (name, "")


def viewed(dataset: Dataset, view: str) -> Dataset:
    """The view of a data set.

    ``folds-K``: the same prompts in K folds, assigned in turn in the order of the prompts, so that each is
    tested once. ``train-N-S``: N of the training prompts, and as large a share of the validation prompts;
    for one number S smaller subsets are parts of the larger ones, and each has the categories in proportion.
    ``group-G``: the answers of the listeners of group G alone are tested, where a prompt has at least
    ``LEAST_OF_GROUP`` of them; all answers are trained on, and a predictor that wants it is given the group.
    ``only-G``: no answers but those of the listeners of group G, in training and test.
    The view keeps the folder of the data set, and the other prompts are gone from it.

    Raises
    ------
    UsageError
        If there is no such view of this data set.
    """
    if dataset.view:
        raise UsageError(f"{dataset.name}@{view}: a view of a view cannot be made")
    if found := _FOLDS.fullmatch(view):
        made = _in_folds(dataset, int(found[1]))
    elif found := _TRAIN.fullmatch(view):
        made = _with_training(dataset, int(found[1]), int(found[2]))
    elif found := _GROUP.fullmatch(view):
        check_group(dataset, found[2], view)
        made = (_tested_on if found[1] == "group" else _only)(dataset, found[2])
    else:
        raise UsageError(f"{dataset.name}@{view}: there is no such view; there are {FORMS}")
    card = made.card.model_copy(update={"name": f"{dataset.name}@{view}"})
    return replace(made, card=card, view=view)


def _in_folds(dataset: Dataset, folds: int) -> Dataset:
    prompts = dataset.prompts
    if dataset.card.sealed_answers is not None or dataset.by_panels:
        what = "sealed test answers" if not dataset.by_panels else "panels"
        raise UsageError(f"{dataset.name}@folds-{folds}: a data set with {what} cannot be put in folds")
    if not 2 <= folds <= len(prompts):
        raise UsageError(f"{dataset.name}@folds-{folds}: there can be 2 to {len(prompts)} folds")
    return replace(
        dataset, prompts=prompts.assign(split=None, fold=(np.arange(len(prompts)) % folds).astype(object))
    )


def _with_training(dataset: Dataset, size: int, subset: int) -> Dataset:
    if dataset.by_folds:
        raise UsageError(
            f"{dataset.name}@train-{size}-{subset}: needs a data set with a split, not with folds"
        )
    (stage,) = dataset.stages
    if size > len(stage.train):
        raise UsageError(
            f"{dataset.name}@train-{size}-{subset}: there are {len(stage.train)} training prompts, not {size}"
        )
    kept = set(stage.test)
    if stage.validation:
        share = round(len(stage.validation) * size / len(stage.train))
        kept.update(_in_order(dataset, stage.validation, subset, "validation")[: max(share, 1)])
    kept.update(_in_order(dataset, stage.train, subset, "train")[:size])
    return part(dataset, kept)


def check_group(dataset: Dataset, group: str | None, view: str = "") -> None:
    """UsageError if a data set has no groups of listeners, or not this one; None is any."""
    name = f"{dataset.name}@{view}" if view else dataset.name
    if not dataset.listener_groups:
        raise UsageError(
            f"{name}: the data set does not say which group its listeners are in; add {LISTENERS}, with the "
            f"columns {' and '.join(LISTENER_COLUMNS)}, to its folder (docs/data-sets.md)"
        )
    if group is not None and group not in dataset.listener_groups:
        raise UsageError(
            f"{name}: no listener is in group {group!r}; there are {', '.join(dataset.listener_groups)}"
        )
    if dataset.sealed:
        raise UsageError(f"{name}: the test answers are sealed, so the groups' are not known; give --answers")


def _tested_on(dataset: Dataset, group: str) -> Dataset:
    own = dataset.responses[dataset.responses["listener_id"].map(dataset.group_of) == group]
    counts = own.groupby("prompt_id").size()
    enough = set(counts.index[counts >= LEAST_OF_GROUP])
    stages = [replace(s, test=tuple(p for p in s.test if p in enough)) for s in dataset.stages]
    if not any(s.test for s in stages):
        raise UsageError(
            f"{dataset.name}@group-{group}: no tested prompt has {LEAST_OF_GROUP} answers of this group; "
            f"name another of the groups ({', '.join(dataset.listener_groups)})"
        )
    return replace(dataset, group=group, own_stages=tuple(s for s in stages if s.test))


def _only(dataset: Dataset, group: str) -> Dataset:
    own = dataset.responses[dataset.responses["listener_id"].map(dataset.group_of) == group]
    made = part(replace(dataset, responses=own.reset_index(drop=True)), set(own["prompt_id"]))
    if not all(s.train and s.test for s in made.stages) or (made.by_folds and len(made.stages) < 2):
        raise UsageError(
            f"{dataset.name}@only-{group}: this group has no answers to train on, or none to be tested on"
        )
    return made


def _in_order(dataset: Dataset, prompt_ids: Sequence[str], subset: int, split: str) -> list[str]:
    """The prompts in an order whose every beginning has the categories in proportion."""
    rng = generator("subset of prompts", split, subset)
    ids = np.array(prompt_ids)[rng.permutation(len(prompt_ids))]
    names = np.array([p.category for p in dataset.unlabelled(ids.tolist())])
    place = np.empty(len(ids))
    for name in np.unique(names):
        own = np.flatnonzero(names == name)
        place[own] = (np.arange(len(own)) + 0.5) / len(own)
    return [str(p) for p in ids[np.argsort(place, kind="stable")]]


def part(dataset: Dataset, prompt_ids: Iterable[str]) -> Dataset:
    """The data set with some of its prompts only, and what belongs to them."""
    kept = list(prompt_ids)
    prompts = dataset.prompts[dataset.prompts["prompt_id"].isin(kept)].reset_index(drop=True)
    responses = dataset.responses[dataset.responses["prompt_id"].isin(kept)].reset_index(drop=True)
    people = dataset.listeners["listener_id"].isin(responses["listener_id"])
    tracks = set(prompts["audio_id"].dropna())
    return replace(
        dataset,
        prompts=prompts,
        responses=responses,
        listeners=dataset.listeners[people].reset_index(drop=True),
        audio={name: track for name, track in dataset.audio.items() if name in tracks},
    )
