"""The responses to the most similar training sentences, weighted: what retrieval alone can do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from popeq.contract import LabelledPrompt, Prompt
from popeq.others_files import read_json
from popeq.space import Space
from popeq.typing import Floats
from popeq_llm.encoder import open_encoder
from popeq_llm.model_selection import ValidationSet, systematic_draws
from popeq_llm.parameters import KnnParameters, SimilarParameters
from popeq_llm.retrieval import (
    DECIMALS,
    Retrieved,
    Retriever,
    check_count,
    load_retriever,
    save_retriever,
)

#: Of the prior, to choose from; with the first it has no weight.
NO_PRIOR, PRIOR_SIMILARITIES = -1.0, (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
_CHOSEN = "knn.json"


class SimilarPrompts:
    """Draws from the responses of the ``k`` most similar training prompts, of all of them if there are fewer.

    Prompt j has the weight exp(s_j / t) over the sum of the k, s being cosine similarity and t the parameter
    ``similarity_temperature``; each of its responses has an equal part of that.
    """

    def __init__(self, parameters: SimilarParameters, space: Space) -> None:
        self.parameters, self.space = parameters, space
        self._retrieved: dict[str, tuple[Retrieved, ...]] = {}

    def fit(
        self, train: Sequence[LabelledPrompt], validation: Sequence[LabelledPrompt], rng: np.random.Generator
    ) -> None:
        """Embed the training sentences."""
        self.retriever = Retriever(train, open_encoder(self.parameters.encoder))

    def save(self, folder: Path) -> None:
        """Write the training prompts and their embeddings into a folder."""
        save_retriever(self.retriever, folder)

    def load(self, folder: Path) -> None:
        """Read what ``save`` has written; ValueError if it was made with another encoder."""
        self.retriever = load_retriever(folder, open_encoder(self.parameters.encoder))

    def sample(self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]) -> Floats:
        """Independent draws (len(prompts), n, 2), dB, from the weighted responses."""
        samples = []
        nearest = self.retriever.nearest(prompts, self.parameters.k)
        for prompt, found, rng in zip(prompts, nearest, rngs, strict=True):
            self._retrieved[prompt.prompt_id] = found
            samples.append(weighted_draws(self._responses(found, prompt), self._weights(found), n, rng))
        return self.space.clip(np.stack(samples))

    def responses_for(self, neighbour: LabelledPrompt, prompt: Prompt) -> Floats:
        """The responses (m, 2), dB, that a neighbour contributes to a prompt: here its own, unchanged."""
        return neighbour.responses

    def describe(self) -> dict[str, Any]:
        """The encoder; there is no language model."""
        return dict(self.retriever.describe())

    def explain(self, prompt_id: str) -> Mapping[str, Any]:
        """The prompts whose responses a sampled prompt was given, with their similarities and weights."""
        found = self._retrieved[prompt_id]
        return {
            "retrieved": [
                {"prompt_id": f.prompt_id, "similarity": f.similarity, "weight": round(float(w), 6)}
                for f, w in zip(found, self._weights(found), strict=False)  # the prior has the last weight
            ]
        }

    def _responses(self, found: Sequence[Retrieved], prompt: Prompt) -> list[Floats]:
        return [self.responses_for(self.retriever.train[f.prompt_id], prompt) for f in found]

    def _weights(self, found: Sequence[Retrieved]) -> Floats:
        return neighbour_weights([f.similarity for f in found], self.parameters.similarity_temperature)


class NearestPrompts(SimilarPrompts):
    """``knn``: the same, and all training responses together as one more neighbour, of ``prior_similarity``,
    so that a sentence with no similar prompt gets the distribution over all sentences.

    ``fit`` raises UsageError if there are fewer than ``k`` training prompts.
    """

    parameters: KnnParameters

    def fit(
        self, train: Sequence[LabelledPrompt], validation: Sequence[LabelledPrompt], rng: np.random.Generator
    ) -> None:
        """Embed the training sentences, and choose the prior's similarity if it is not given: by the score of
        the validation prompts, or of each training prompt without itself if there are none."""
        check_count("knn", "k", self.parameters.k, train)
        super().fit(train, validation, rng)
        self._pool()
        given = self.parameters.prior_similarity
        self.prior_similarity = self._chosen(validation) if given is None else given

    def save(self, folder: Path) -> None:
        """Write also what was chosen."""
        super().save(folder)
        (folder / _CHOSEN).write_text(json.dumps(self.prior_similarity) + "\n", encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Read what ``save`` has written; ValueError if it was made with another encoder."""
        super().load(folder)
        self._pool()
        self.prior_similarity = float(read_json(folder / _CHOSEN))

    def describe(self) -> dict[str, Any]:
        """Also what was chosen."""
        return super().describe() | {"chosen": {"prior_similarity": self.prior_similarity}}

    def _pool(self) -> None:
        self.pool = np.concatenate([p.responses for p in self.retriever.train.values()])

    def _chosen(self, validation: Sequence[LabelledPrompt]) -> float:
        prompts = list(validation or self.retriever.train.values())
        found = self.retriever.nearest([p.prompt for p in prompts], self.parameters.k + (not validation))
        if not validation:
            found = [
                tuple(f for f in own if f.prompt_id != p.prompt.prompt_id)[: self.parameters.k]
                for own, p in zip(found, prompts, strict=True)
            ]
        if not all(found):
            return NO_PRIOR
        held_out = ValidationSet(prompts, self.space)
        scores = {}
        for prior in (NO_PRIOR, *PRIOR_SIMILARITIES):
            drawn = []
            for own in found:
                sets = [*(self.retriever.train[f.prompt_id].responses for f in own), self.pool]
                shares = response_shares(sets, self._weights_of(own, prior))
                drawn.append(np.concatenate(sets)[systematic_draws(shares)])
            scores[prior] = float(held_out.scores(drawn).mean())
        return min(scores, key=lambda prior: round(scores[prior], DECIMALS))

    def _responses(self, found: Sequence[Retrieved], prompt: Prompt) -> list[Floats]:
        return [*super()._responses(found, prompt), self.pool]

    def _weights(self, found: Sequence[Retrieved]) -> Floats:
        return self._weights_of(found, self.prior_similarity)

    def _weights_of(self, found: Sequence[Retrieved], prior: float) -> Floats:
        similarity = [*(f.similarity for f in found), prior if prior > NO_PRIOR else -np.inf]
        return neighbour_weights(similarity, self.parameters.similarity_temperature)


def neighbour_weights(similarity: Sequence[float], temperature: float) -> Floats:
    """Softmax of similarities (k,) over a temperature; sums to one however small that is."""
    s = np.asarray(similarity, dtype=np.float64)
    with np.errstate(over="ignore"):
        weights = np.exp((s - s.max()) / temperature)
    return np.asarray(weights / weights.sum())


def weighted_draws(responses: Sequence[Floats], weights: Floats, n: int, rng: np.random.Generator) -> Floats:
    """``n`` draws (n, 2), dB: a set of responses (m_i, 2) by its weight, then one of the set, all alike."""
    each = response_shares(responses, weights)
    return np.concatenate(responses)[rng.choice(len(each), size=n, p=each)]


def response_shares(responses: Sequence[Floats], weights: Floats) -> Floats:
    """The share of each response of several sets (m_i, 2) by their weights, (sum of m_i,)."""
    return np.concatenate([np.full(len(r), w / len(r)) for w, r in zip(weights, responses, strict=True)])
