"""Divide listeners into two panels, so that nobody is tested by a fit on his or her own answers.

Each prompt becomes two, one for the answers of each panel. Every answer is still tested once, by a fit on the
other panel's answers to the prompts of the other folds.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import NamedTuple

import pandas as pd

from popeq.board.people import seen_answers
from popeq.dataset import Dataset
from popeq.dataset_card import PROMPT_COLUMNS
from popeq.dividing import PANELS, divide
from popeq.errors import UsageError


class Divided(NamedTuple):
    """The data set, a description of ``how`` it was made, and the number of responses ``dropped``."""

    dataset: Dataset
    how: str
    dropped: int = 0


def unseen_people(dataset: Dataset, least: int = 1, again: int = 0) -> Divided:
    """The data set with its listeners divided into two panels.

    ``least`` is the number of answers that a prompt of a panel needs; the answers of smaller ones are dropped
    and counted. Another number for ``again`` gives another division. A data set whose tested people are
    unseen already is returned unchanged.

    Raises UsageError if the data set has a split or panels, or a fold would have nothing to train on.
    """
    if not seen_answers(dataset, dataset.test_ids)[1]:
        return Divided(dataset, "nobody who is tested is among the training answers, so nothing was changed")
    if not dataset.by_folds or dataset.by_panels:
        has = "panels already" if dataset.by_panels else "a split"
        raise UsageError(
            f"--unseen-people: the prompts have {has}; it needs the column fold and no column panel"
        )
    panel_of = divide(dataset, again)
    responses = dataset.responses.copy()
    panel = responses["listener_id"].map(panel_of)
    responses["prompt_id"] = responses["prompt_id"] + "." + panel
    size = responses.groupby("prompt_id")["prompt_id"].transform("size")
    kept = responses[size >= least].sort_values(["prompt_id", "listener_id"], ignore_index=True)
    ids, people = dataset.prompts["prompt_id"], dataset.listeners["listener_id"]
    prompts = pd.concat([dataset.prompts.assign(prompt_id=ids + f".{p}", panel=p) for p in PANELS])
    prompts = prompts[prompts["prompt_id"].isin(kept["prompt_id"])]
    prompts = prompts[[*PROMPT_COLUMNS, *dataset.card.groupings]]
    divided = dataclasses.replace(
        dataset,
        prompts=prompts.sort_values("prompt_id", ignore_index=True),
        responses=kept,
        listeners=dataset.listeners[people.isin(kept["listener_id"])].reset_index(drop=True),
    )
    if not divided.stages or not all(stage.train for stage in divided.stages):
        raise UsageError(
            "--unseen-people: too few answers: a fold would have no answer of other people to train on; "
            "give more prompts that several listeners answer"
        )
    sizes = Counter(panel_of[who] for who in kept["listener_id"].unique())
    how = "divided into " + " and ".join(f"panel {p} ({sizes[p]} listeners)" for p in PANELS)
    return Divided(divided, how, len(responses) - len(kept))
