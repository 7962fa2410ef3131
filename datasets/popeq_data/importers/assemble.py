"""Make a data set of prompts and answers: the format's columns, folds, and listeners without a name."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popeq.contract import Prompt
from popeq.dataset import LISTENER_COLUMNS, PROMPT_COLUMNS, RESPONSE_COLUMNS, Dataset, DatasetCard


@dataclass(frozen=True)
class Answer:
    """One listener's point (x_db, y_db) for one prompt."""

    prompt_id: str
    listener_id: str
    point: NDArray[np.float64]


class Pseudonyms:
    """Keyed hashes of listeners: the same listener has one, and without the salt nobody can go back.

    An unkeyed hash would not do: there are few enough addresses to try them all.
    """

    def __init__(self, salt: str) -> None:
        self.kind = "given" if salt else "random, not kept"
        self._key = salt.encode() if salt else secrets.token_bytes(32)

    def __getitem__(self, listener: str) -> str:
        return hmac.new(self._key, listener.encode(), hashlib.sha256).hexdigest()[:12]


def round_robin(prompt_ids: Sequence[str], folds: int) -> dict[str, int]:
    """Deal prompts out in the order of their ids: folds differ by at most one prompt, and none is empty."""
    count = min(folds, len(prompt_ids))
    return {prompt_id: i % count for i, prompt_id in enumerate(sorted(prompt_ids))}


def assemble(
    card: DatasetCard,
    prompts: Sequence[Prompt],
    folds: Mapping[str, int],
    answers: Sequence[Answer],
    groups: Mapping[str, str] | None = None,
) -> Dataset:
    """A data set with folds, everything sorted by ids so that no order tells who came first.

    ``groups`` names the group of each listener; without it the data set lists no listeners.
    """
    records = [
        {
            "prompt_id": p.prompt_id,
            "text": p.text,
            "category": p.category,
            "basis": None,
            "split": None,
            "fold": folds[p.prompt_id],
            "audio_id": p.audio_id,
        }
        for p in sorted(prompts, key=lambda p: p.prompt_id)
    ]
    rows = sorted((a.prompt_id, a.listener_id, float(a.point[0]), float(a.point[1])) for a in answers)
    return Dataset(
        card,
        pd.DataFrame(records, columns=list(PROMPT_COLUMNS), dtype=object),
        pd.DataFrame(rows, columns=list(RESPONSE_COLUMNS)),
        pd.DataFrame(sorted((groups or {}).items()), columns=list(LISTENER_COLUMNS), dtype=object),
    )
