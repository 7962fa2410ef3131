"""The predictors behind the page, fitted when they are first asked, and the JSON of the page."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from popeq.api import load_dataset
from popeq.contract import Prompt
from popeq.errors import PopeqError, UnknownNameError
from popeq.space import HIGH_HZ, LOW_HZ, Space
from popeq.typing import Floats
from popeq_audio.asking import Answer, ask
from popeq_audio.bands import BANDS, gain_table
from popeq_audio.checks import checked_sentence
from popeq_audio.filtering import curve_db
from popeq_audio.fitted import Fitted, open_fitted
from popeq_audio.modes import density

#: The page draws curves at these frequencies, Hz.
CURVE_HZ = np.geomspace(LOW_HZ, HIGH_HZ, 60)
_CELLS = 40


def density_json(points: Floats, space: Space) -> list[list[float]]:
    """Reflective density for drawing: rows of x, columns of y, its largest value 1."""
    field = density(points, space, _CELLS)
    rows: list[list[float]] = np.round(field / field.max(), 4).tolist()
    return rows


def answer_json(answer: Answer) -> dict[str, Any]:
    """An answer as the page shows it: without the samples, with density and the fan of curves."""
    content = answer.to_json()
    samples = np.array(content.pop("samples"))
    fan = curve_db(samples, CURVE_HZ)
    content["density"] = density_json(samples, answer.space)
    content["fan"] = {
        str(p): np.round(np.percentile(fan, p, axis=0), 3).tolist() for p in (5, 25, 50, 75, 95)
    }
    return content


def space_json(space: Space) -> dict[str, Any]:
    """The plane, the bands' fixed part, and their gains over the plane."""
    x, y, gains = gain_table(space)
    return {
        "x_db": x.tolist(),
        "y_db": y.tolist(),
        "gains_db": np.round(gains, 3).tolist(),
        "bands": [{"kind": kind, "frequency_hz": f, "q": q} for kind, f, q in BANDS],
        "curve_hz": np.round(CURVE_HZ, 2).tolist(),
    }


def listeners_json(prompts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What listeners chose for the nearest known prompts: text, similarity and points."""
    return [
        {"text": p["text"], "similarity": p["similarity"], "points": np.round(p["points"], 2).tolist()}
        for p in prompts
    ]


NEAREST = 3
_REMEMBERED = 256


class Oracle:
    """Answers questions with any of ``predictors``, fitted on ``dataset``; safe to use from many threads."""

    def __init__(
        self,
        predictors: Sequence[str],
        dataset: str = "simulated-120",
        options: Mapping[str, object] | None = None,
        seed: int = 0,
    ) -> None:
        self.predictors = tuple(dict.fromkeys(predictors))
        self.dataset = load_dataset(dataset)
        self._given = dataset
        self._options = dict(options or {})
        self._seed = seed
        self._locks = {name: threading.Lock() for name in self.predictors}
        self._fitted: dict[str, Fitted] = {}
        self._neighbours_lock = threading.Lock()
        self._retriever: Any = None
        self._answers: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()
        self._answers_lock = threading.Lock()

    def fitted(self, name: str) -> Fitted:
        """The fitted predictor; call it with its lock held, or before there are other threads."""
        if name not in self._fitted:
            from popeq.plugins import registry

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
        text = checked_sentence(text)
        with self._answers_lock:
            known = self._answers.get((predictor, text))
        if known is not None:
            return known
        with self._locks[predictor]:
            answer = ask(self.fitted(predictor), text, seed=self._seed)
        content = answer_json(answer) | {"nearest": self.nearest(text)}
        with self._answers_lock:
            self._answers[predictor, text] = content
            while len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)
        return content

    def nearest(self, text: str) -> list[dict[str, Any]]:
        """What listeners chose for the most similar known prompts; none without the sentence encoder."""
        from popeq_llm.encoder import open_encoder
        from popeq_llm.retrieval import Retriever

        with self._neighbours_lock:
            if self._retriever is None:
                stage = self.dataset.stages[0]
                ids = [*stage.train, *stage.validation]
                try:
                    self._retriever = Retriever(self.dataset.labelled(ids), open_encoder())
                except PopeqError:
                    self._retriever = False
            if not self._retriever:
                return []
            (found,) = self._retriever.nearest([Prompt("asked", text, "asked")], NEAREST)
        return listeners_json(
            [
                {
                    "text": self._retriever.train[f.prompt_id].prompt.text,
                    "similarity": round(f.similarity, 3),
                    "points": self._retriever.train[f.prompt_id].responses,
                }
                for f in found
            ]
        )
