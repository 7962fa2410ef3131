"""Responses to prompts with similar sentences; its twin also moves them by what the tracks differ in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popeq.contract import LabelledPrompt, Prompt
from popeq.errors import UsageError
from popeq.space import Space
from popeq.typing import Floats
from popeq_audio.parameters import NeighbourParameters
from popeq_audio.track_effect import TrackEffect, features_of
from popeq_llm.encoder import open_encoder
from popeq_llm.knn import neighbour_weights, weighted_draws
from popeq_llm.retrieval import Retrieved, Retriever
from popeq_llm.retrieval_state import load_retriever, save_retriever

EFFECT = "effect.json"


class TextNear:
    """Draws from the responses of the most similar prompts, weighted by a softmax of similarity."""

    def __init__(self, parameters: NeighbourParameters, space: Space) -> None:
        self.parameters = parameters
        self.space = space
        self._found: dict[str, tuple[Retrieved, ...]] = {}

    def fit(
        self,
        train: Sequence[LabelledPrompt],
        validation: Sequence[LabelledPrompt],
        rng: np.random.Generator,
    ) -> None:
        """Embed the training sentences."""
        self.retriever = Retriever(train, open_encoder(self.parameters.encoder))

    def save(self, folder: Path) -> None:
        """Keep the prompts and embeddings."""
        save_retriever(self.retriever, folder)

    def load(self, folder: Path) -> None:
        """What ``save`` kept."""
        self.retriever = load_retriever(folder, open_encoder(self.parameters.encoder))

    def sample(
        self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]
    ) -> NDArray[np.float64]:
        """Independent draws from the weighted responses."""
        k = min(self.parameters.k, len(self.retriever.train))
        samples = []
        for prompt, found, rng in zip(prompts, self.retriever.nearest(prompts, k), rngs, strict=True):
            self._found[prompt.prompt_id] = found
            responses = [self._moved(self.retriever.train[f.prompt_id], prompt) for f in found]
            weights = neighbour_weights([f.similarity for f in found], self.parameters.similarity_temperature)
            samples.append(weighted_draws(responses, weights, n, rng))
        return self.space.clip(np.stack(samples))

    def describe(self) -> dict[str, Any]:
        """The encoder; there is no language model."""
        return dict(self.retriever.describe())

    def explain(self, prompt_id: str) -> Mapping[str, Any]:
        """Which prompts lent their responses."""
        return {
            "retrieved": [
                {"prompt_id": f.prompt_id, "similarity": f.similarity} for f in self._found[prompt_id]
            ]
        }

    def _moved(self, neighbour: LabelledPrompt, prompt: Prompt) -> Floats:
        """The neighbour's responses as they would be for the prompt's track: here, as they are."""
        return neighbour.responses


class TextAudioNear(TextNear):
    """The same, each neighbour's responses moved by ``TrackEffect``: by how much its track is another.

    Raises UsageError in ``fit`` if no training prompt comes with features of its track.
    """

    def fit(
        self,
        train: Sequence[LabelledPrompt],
        validation: Sequence[LabelledPrompt],
        rng: np.random.Generator,
    ) -> None:
        """Embed the sentences, and learn what a track does to the settings chosen for one sentence."""
        super().fit(train, validation, rng)
        if all(features_of(p.prompt) is None for p in train):
            raise UsageError(
                "text-audio-near: the data set says nothing of its tracks; put them in its folder audio/ and "
                "run 'popeq features FOLDER', or use text-near"
            )
        self.effect = TrackEffect.learn(train)

    def save(self, folder: Path) -> None:
        """Also the tracks' effect."""
        super().save(folder)
        (folder / EFFECT).write_text(json.dumps(self.effect.to_json()) + "\n", encoding="utf-8")

    def load(self, folder: Path) -> None:
        """What ``save`` kept."""
        super().load(folder)
        self.effect = TrackEffect.from_json(json.loads((folder / EFFECT).read_text(encoding="utf-8")))

    def describe(self) -> dict[str, Any]:
        """Also how strongly the tracks' effect was shrunk (null: no effect was found)."""
        return super().describe() | {"ridge": self.effect.ridge, "descriptors": len(self.effect.names)}

    def _moved(self, neighbour: LabelledPrompt, prompt: Prompt) -> Floats:
        there, here = features_of(neighbour.prompt), features_of(prompt)
        if there is None or here is None:
            return neighbour.responses
        return neighbour.responses + (self.effect(here) - self.effect(there))
