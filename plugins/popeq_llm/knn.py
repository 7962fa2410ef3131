"""The responses to the most similar training sentences, weighted: what retrieval alone can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from popeq.contract import LabelledPrompt, Prompt
from popeq.space import Space
from popeq.typing import Floats
from popeq_llm.encoder import open_encoder
from popeq_llm.parameters import KnnParameters
from popeq_llm.retrieval import Retrieved, Retriever, check_count, load_retriever, save_retriever


class SimilarPrompts:
    """Draws from the responses of the ``k`` most similar training prompts, of all of them if there are fewer.

    Prompt j has the weight exp(s_j / t) over the sum of the k, s being cosine similarity and t the parameter
    ``similarity_temperature``; each of its responses has an equal part of that.
    """

    def __init__(self, parameters: KnnParameters, space: Space) -> None:
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
            responses = [self.responses_for(self.retriever.train[f.prompt_id], prompt) for f in found]
            samples.append(weighted_draws(responses, self._weights(found), n, rng))
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
                for f, w in zip(found, self._weights(found), strict=True)
            ]
        }

    def _weights(self, found: Sequence[Retrieved]) -> Floats:
        return neighbour_weights([f.similarity for f in found], self.parameters.similarity_temperature)


class NearestPrompts(SimilarPrompts):
    """``knn``: the same, but ``fit`` raises UsageError if there are fewer than ``k`` training prompts."""

    def fit(
        self, train: Sequence[LabelledPrompt], validation: Sequence[LabelledPrompt], rng: np.random.Generator
    ) -> None:
        """Embed the training sentences."""
        check_count("knn", "k", self.parameters.k, train)
        super().fit(train, validation, rng)


def neighbour_weights(similarity: Sequence[float], temperature: float) -> Floats:
    """Softmax of similarities (k,) over a temperature; sums to one however small that is."""
    s = np.asarray(similarity, dtype=np.float64)
    with np.errstate(over="ignore"):
        weights = np.exp((s - s.max()) / temperature)
    return np.asarray(weights / weights.sum())


def weighted_draws(responses: Sequence[Floats], weights: Floats, n: int, rng: np.random.Generator) -> Floats:
    """``n`` draws (n, 2), dB: a set of responses (m_i, 2) by its weight, then one of the set, all alike."""
    each = np.concatenate([np.full(len(r), w / len(r)) for w, r in zip(weights, responses, strict=True)])
    return np.concatenate(responses)[rng.choice(len(each), size=n, p=each)]
