"""What a search may see of a data set: its training and validation prompts, as a data set of their own.

The test split is cut off here, before anything else of the search runs; nothing below holds a test prompt.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from popeq.dataset import Dataset
from popeq.dataset_folder import withheld_revisions
from popeq.errors import UsageError
from popeq.seeding import generator
from popeq.views import part

#: One training prompt in so many is used for validation, because the validation prompts are predicted.
_HELD_OUT = 5


def tuning_view(dataset: Dataset) -> Dataset:
    """The data set of a search: the validation prompts are what is predicted, the test prompts are gone.

    One training prompt in five, always the same, becomes a validation prompt of the view (fewer than five:
    none), so that early stopping works as in a run, and no predictor is given an answer that it is scored by.

    Raises
    ------
    UsageError
        For a data set by folds, whose every answer is a test answer, or one without validation prompts.
    """
    if dataset.by_folds:
        raise UsageError(
            f"{dataset.name}: has folds: each of its answers is a test answer once, and a setting chosen "
            "with them would have seen the test; tune on a data set with a validation split (simulated-120)"
        )
    stage = dataset.stages[0]
    if not stage.train or not stage.validation:
        which = "training" if not stage.train else "validation"
        raise UsageError(f"{dataset.name}: has no {which} prompts; popeq tune needs training and validation")
    mixed = generator("tune", "held out").permutation(stage.train).tolist()
    held = mixed[: len(mixed) // _HELD_OUT]
    splits = (
        dict.fromkeys(stage.train, "train")
        | dict.fromkeys(held, "validation")
        | dict.fromkeys(stage.validation, "test")
    )
    view = _only(dataset, splits)
    view.prompts["split"] = view.prompts["prompt_id"].map(splits)
    return view


def asking(view: Dataset, prompt_ids: Sequence[str]) -> Dataset:
    """The same view with only these prompts to predict."""
    stage = view.stages[0]
    return _only(view, {*stage.train, *stage.validation, *prompt_ids})


def _only(dataset: Dataset, prompt_ids: Iterable[str]) -> Dataset:
    name = dataset.card.name if dataset.card.name.endswith("-tuning") else f"{dataset.card.name[:54]}-tuning"
    card = dataset.card.model_copy(update={"name": name, "second_panel": None, "sealed_answers": None})
    withheld = withheld_revisions(dataset)
    return dataclasses.replace(part(dataset, prompt_ids), card=card, folder=None, view="", part_of=withheld)
