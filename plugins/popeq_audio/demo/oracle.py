"""The predictors behind the page, fitted when they are first asked, and the JSON of the page."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from popeq.api import load_dataset
from popeq.contract import Prompt
from popeq.defaults import DEFAULT_DATASET
from popeq.eq import HIGH_HZ, LOW_HZ, gain_db
from popeq.errors import PopeqError, UnknownNameError
from popeq.plugins import registry
from popeq.space import Space
from popeq_audio.asking import Answer, ask
from popeq_audio.bands import band_table
from popeq_audio.checks import checked_sentence
from popeq_audio.fitted import Fitted, open_fitted
from popeq_audio.modes import density
from popeq_audio.settings import space_json
from popeq_llm.encoder import open_encoder
from popeq_llm.retrieval import Retriever

#: The page draws curves at these frequencies, Hz.
CURVE_HZ = np.geomspace(LOW_HZ, HIGH_HZ, 60)
_CELLS = 40
_GRID_DB = 6.0


def answer_json(answer: Answer) -> dict[str, Any]:
    """An answer as the page shows it: without the samples, with density (largest 1) and the fan of curves."""
    content = answer.to_json()
    del content["samples"]
    field = density(answer.samples, answer.space, _CELLS)
    fan = gain_db(answer.samples, CURVE_HZ, answer.space)
    content["density"] = np.round(field / field.max(), 4).tolist()
    content["fan"] = {
        str(p): np.round(np.percentile(fan, p, axis=0), 3).tolist() for p in (5, 25, 50, 75, 95)
    }
    return content


def plane_json(space: Space) -> dict[str, Any]:
    """The space, the bands' fixed part, and their gains over the box.

    ``most_db`` is the end of the axis of gains, and ``loudest_db`` the largest gain of any setting.
    """
    table = band_table(space)
    points = np.stack(np.meshgrid(table.x_db, table.y_db, indexing="ij"), axis=-1)
    gains = gain_db(points, CURVE_HZ, space)
    return space_json(space) | {
        "x_db": table.x_db.tolist(),
        "y_db": table.y_db.tolist(),
        "gains_db": np.round(table.gains_db, 3).tolist(),
        "bands": [{"kind": kind, "frequency_hz": f, "q": q} for kind, f, q in table.shapes],
        "curve_hz": np.round(CURVE_HZ, 2).tolist(),
        "most_db": max(_GRID_DB, _GRID_DB * float(np.ceil(np.abs(gains).max() / _GRID_DB - 1e-9))),
        "loudest_db": max(0.0, float(np.ceil(gains.max() - 1e-9))),
    }


NEAREST = 3
_REMEMBERED = 256


class Oracle:
    """Answers questions with any of ``predictors``, fitted on ``dataset``; safe to use from many threads."""

    def __init__(
        self,
        predictors: Sequence[str],
        dataset: str = DEFAULT_DATASET,
        options: Mapping[str, object] | None = None,
        seed: int = 0,
    ) -> None:
        self.predictors = tuple(dict.fromkeys(predictors))
        self.dataset = load_dataset(dataset)
        self._given, self._options, self._seed = dataset, dict(options or {}), seed
        self._fitted: dict[str, Fitted] = {}
        self._locks = {name: threading.Lock() for name in self.predictors}
        self._retriever_lock = threading.Lock()
        self._remembered = lru_cache(_REMEMBERED)(self._answer)

    def fitted(self, name: str) -> Fitted:
        """The fitted predictor; call it with its lock held, or before there are other threads."""
        if name not in self._fitted:
            fields = registry().predictor(name).parameters.model_fields
            own = {key: value for key, value in self._options.items() if key in fields}
            self._fitted[name] = open_fitted(name, self._given, own, self._seed)
        return self._fitted[name]

    def answer(self, text: str, predictor: str) -> dict[str, Any]:
        """What the page shows for a sentence.

        Raises
        ------
        UsageError
            For an unknown predictor, an empty or very long sentence, or what the predictor lacks.
        """
        if predictor not in self._locks:
            raise UnknownNameError("predictor of this page", predictor, self._locks)
        return self._remembered(predictor, checked_sentence(text))

    def _answer(self, predictor: str, text: str) -> dict[str, Any]:
        with self._locks[predictor]:
            answer = ask(self.fitted(predictor), text, seed=self._seed)
        return answer_json(answer) | {"nearest": self.nearest(text)}

    def nearest(self, text: str) -> list[dict[str, Any]]:
        """What listeners chose for the most similar known prompts; none without the sentence encoder."""
        with self._retriever_lock:
            retriever = self._retriever
            if retriever is None:
                return []
            (found,) = retriever.nearest([Prompt("asked", text, "asked")], NEAREST)
        known = [retriever.train[f.prompt_id] for f in found]
        return [
            {
                "text": k.prompt.text,
                "similarity": round(f.similarity, 3),
                "points": np.round(k.responses, 2).tolist(),
            }
            for f, k in zip(found, known, strict=True)
        ]

    @cached_property
    def _retriever(self) -> Retriever | None:
        stage = self.dataset.stages[0]
        try:
            return Retriever(self.dataset.labelled([*stage.train, *stage.validation]), open_encoder())
        except PopeqError:
            return None
