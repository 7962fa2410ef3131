"""``text-audio-near``: responses to similar sentences, moved by how much the neighbour's track differs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from popeq.contract import LabelledPrompt, Prompt
from popeq.others_files import read_json
from popeq.typing import Floats
from popeq_audio.track_effect import TrackEffect, features_of
from popeq_llm.knn import SimilarPrompts

EFFECT = "effect.json"


class TextAudioNear(SimilarPrompts):
    """``SimilarPrompts`` with each neighbour's responses moved by the ``TrackEffect`` between the two tracks.

    ``fit`` raises UsageError if no training prompt comes with features of its track.
    """

    def fit(
        self, train: Sequence[LabelledPrompt], validation: Sequence[LabelledPrompt], rng: np.random.Generator
    ) -> None:
        """Embed the sentences, and learn how a track changes the settings chosen for one sentence."""
        super().fit(train, validation, rng)
        self.effect = TrackEffect.learn(train, self.space)

    def save(self, folder: Path) -> None:
        """Write also the effect of the tracks."""
        super().save(folder)
        content = json.dumps(asdict(self.effect), default=np.ndarray.tolist)
        (folder / EFFECT).write_text(content + "\n", encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Read what ``save`` has written."""
        super().load(folder)
        content = read_json(folder / EFFECT)
        arrays = {name: np.array(content[name], dtype=np.float64) for name in ("mean", "scale", "weights")}
        self.effect = TrackEffect(**content | arrays)

    def describe(self) -> dict[str, Any]:
        """Also how strongly the effect of the tracks was shrunk (null: no effect was found)."""
        return super().describe() | {"ridge": self.effect.ridge, "descriptors": len(self.effect.names)}

    def responses_for(self, neighbour: LabelledPrompt, prompt: Prompt) -> Floats:
        """The neighbour's responses (m, 2), dB, as they would be for the track of the prompt."""
        theirs, own = features_of(neighbour.prompt, self.space), features_of(prompt, self.space)
        if theirs is None or own is None:
            return neighbour.responses
        return neighbour.responses + (self.effect(own) - self.effect(theirs))
