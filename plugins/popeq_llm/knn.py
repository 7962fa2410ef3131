"""The responses to the most similar training sentences, weighted: what retrieval alone can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popeq.contract import LabelledPrompt, Prompt
from popeq.space import Space
from popeq_llm.encoder import open_encoder
from popeq_llm.parameters import KnnParameters
from popeq_llm.retrieval import Retrieved, Retriever, check_count
from popeq_llm.retrieval_state import load_retriever, save_retriever


class NearestPrompts:
    """Draws from the responses of the ``k`` nearest training prompts.

    Prompt j has the weight exp(s_j / t) over the sum of the k, s being cosine similarity and t the parameter
    ``similarity_temperature``; each of its responses has an equal part of that.
    """

    def __init__(self, parameters: KnnParameters, space: Space) -> None:
        self.parameters = parameters
        self._found: dict[str, tuple[Retrieved, ...]] = {}

    def fit(
        self,
        train: Sequence[LabelledPrompt],
        validation: Sequence[LabelledPrompt],
        rng: np.random.Generator,
    ) -> None:
        """Embed the training sentences. Raises UsageError if there are fewer than ``k``."""
        check_count("knn", "k", self.parameters.k, train)
        self.retriever = Retriever(train, open_encoder(self.parameters.encoder))

    def save(self, folder: Path) -> None:
        """Keep the training prompts and their embeddings."""
        save_retriever(self.retriever, folder)

    def load(self, folder: Path) -> None:
        """What ``save`` kept; ValueError if it is another encoder's."""
        self.retriever = load_retriever(folder, open_encoder(self.parameters.encoder))

    def sample(
        self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]
    ) -> NDArray[np.float64]:
        """Independent draws from the weighted responses."""
        samples = []
        nearest = self.retriever.nearest(prompts, self.parameters.k)
        for prompt, found, rng in zip(prompts, nearest, rngs, strict=True):
            self._found[prompt.prompt_id] = found
            responses = [self.retriever.train[f.prompt_id].responses for f in found]
            weights = neighbour_weights([f.similarity for f in found], self.parameters.similarity_temperature)
            samples.append(weighted_draws(responses, weights, n, rng))
        return np.stack(samples)

    def describe(self) -> dict[str, Any]:
        """The encoder; there is no language model."""
        return dict(self.retriever.describe())

    def explain(self, prompt_id: str) -> Mapping[str, Any]:
        """Which prompts lent their responses to a prompt that has been sampled, and with which weights."""
        found = self._found[prompt_id]
        weights = neighbour_weights([f.similarity for f in found], self.parameters.similarity_temperature)
        return {
            "retrieved": [
                {"prompt_id": f.prompt_id, "similarity": f.similarity, "weight": round(float(w), 6)}
                for f, w in zip(found, weights, strict=True)
            ]
        }


def neighbour_weights(similarity: Sequence[float], temperature: float) -> NDArray[np.float64]:
    """Softmax of similarities (k,) over a temperature; sums to one however small that is."""
    s = np.asarray(similarity, dtype=np.float64)
    with np.errstate(over="ignore"):
        weights = np.exp((s - s.max()) / temperature)
    return np.asarray(weights / weights.sum())


def weighted_draws(
    responses: Sequence[NDArray[np.float64]],
    weights: NDArray[np.float64],
    n: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """``n`` draws (n, 2), dB: a set of responses (m_i, 2) by its weight, then one of the set, all alike."""
    each = np.concatenate([np.full(len(r), w / len(r)) for w, r in zip(weights, responses, strict=True)])
    return np.concatenate(responses)[rng.choice(len(each), size=n, p=each)]
