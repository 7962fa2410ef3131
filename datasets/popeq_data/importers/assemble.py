"""The part that all importers share: questions and answers become a data set with folds, and a report."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import pandas as pd

from popeq.dataset import Dataset
from popeq.dataset_card import LISTENER_COLUMNS, PROMPT_COLUMNS, RESPONSE_COLUMNS, DatasetCard, SpaceCard
from popeq.importing import ImportResult
from popeq.space import CURVES
from popeq_data.importers.outside import moved
from popeq_data.importers.plane import Placement
from popeq_data.importers.source import Source
from popeq_data.importers.words import prompt_ids, sentence

LICENCE = "no licence that allows redistribution was found; keep this data set to yourself"

Row = TypeVar("Row")


@dataclass(frozen=True)
class Question:
    """A prompt and its fold."""

    prompt_id: str
    text: str
    category: str
    fold: int
    audio_id: str | None = None


class Pseudonyms:
    """Keyed hashes (12 hex digits) of listeners: the same for the same listener and salt.

    Without the salt nobody can find the listener. A hash without a key would not do, because there are few
    enough network addresses to try them all.
    """

    def __init__(self, salt: str) -> None:
        self.kind = "given" if salt else "random, not kept"
        self._key = salt.encode() if salt else secrets.token_bytes(32)

    def __getitem__(self, listener: str) -> str:
        return hmac.new(self._key, listener.encode(), hashlib.sha256).hexdigest()[:12]


def round_robin(prompt_ids: Iterable[str], folds: int) -> dict[str, int]:
    """The fold of each prompt, in turn in the order of the ids: sizes differ by one at most."""
    ordered = sorted(prompt_ids)
    return {prompt_id: i % min(folds, len(ordered)) for i, prompt_id in enumerate(ordered)}


def ask_words(
    rows: Iterable[tuple[str, Row]], least: int, folds: int
) -> tuple[list[Question], list[tuple[str, Row]]]:
    """A question for each word that at least ``least`` rows have, and these rows with their prompt ids.

    ``rows`` are pairs of a word and anything that has to do with it.
    """
    by_word: dict[str, list[Row]] = {}
    for word, row in rows:
        by_word.setdefault(word, []).append(row)
    ids = prompt_ids((word for word, group in by_word.items() if len(group) >= least), "word-")
    fold = round_robin(ids.values(), folds)
    questions = [Question(p, sentence(word), "word", fold[p]) for word, p in ids.items()]
    return questions, [(prompt_id, row) for word, prompt_id in ids.items() for row in by_word[word]]


def assemble(
    card: DatasetCard,
    questions: Sequence[Question],
    answers: Sequence[tuple[str, str]],
    points: Sequence[Sequence[float]],
    groups: Mapping[str, str] | None = None,
) -> Dataset:
    """A data set with folds, sorted by ids so that the order shows nothing of who came first.

    An answer has a prompt id and a listener id in ``answers``, and (x_db, y_db) in ``points``. ``groups`` has
    the group of each listener; without it the data set lists no listeners.
    """
    prompts = [asdict(q) for q in sorted(questions, key=lambda q: q.prompt_id)]
    rows = sorted((*answer, x, y) for answer, (x, y) in zip(answers, points, strict=True))
    frame = pd.DataFrame(prompts, columns=list(PROMPT_COLUMNS), dtype=object)
    return Dataset(
        card,
        frame.where(frame.notna(), None),
        pd.DataFrame(rows, columns=list(RESPONSE_COLUMNS)),
        pd.DataFrame(sorted((groups or {}).items()), columns=list(LISTENER_COLUMNS), dtype=object),
    )


def other_curves(space: SpaceCard, before: str) -> str:
    """What a version or title adds for a pair of curves that is not the default one."""
    return "" if space.curves == CURVES else before + space.curves


def sizes(dataset: Dataset) -> dict[str, int]:
    """Numbers of responses, prompts and listeners, for a report."""
    return {
        "responses kept": len(dataset.responses),
        "prompts": len(dataset.prompts),
        "listeners": int(dataset.responses["listener_id"].nunique()),
    }


def result(
    source: Source,
    dataset: Dataset,
    placed: Placement,
    chosen: Mapping[str, Any],
    dropped: Mapping[str, int],
    found: Mapping[str, Any],
) -> ImportResult:
    """The data set with its report: ``chosen`` comes before and ``found`` after what every importer reports.

    ``dropped`` is the number of rows that were dropped for each reason.
    """
    report = {
        **source.report(),
        "licence": dataset.card.licence,
        **chosen,
        "rows dropped": {reason: count for reason, count in dropped.items() if count},
        **sizes(dataset),
        **found,
        "curves": dataset.space.curves,
        **moved(placed.rounded, dataset.space),
        "share of variance explained by the plane": round(placed.variance_explained, 4),
    }
    return ImportResult(dataset, report)
