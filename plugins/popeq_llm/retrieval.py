"""Training prompts that are similar to a sentence, prompts that cover all others, and how both are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from popeq.contract import LabelledPrompt, Prompt
from popeq.errors import UsageError
from popeq.others_files import MOST_TABLE_BYTES, read_model
from popeq.runs.job import Labelled
from popeq.typing import Floats
from popeq_llm.encoder import Encoder

#: Similarities are rounded to this many decimals before anything is ranked or weighted with them, so that
#: the last bits of another machine's arithmetic change nothing.
DECIMALS = 6
_PROMPTS, _VECTORS = "prompts.json", "vectors.safetensors"


@dataclass(frozen=True)
class Retrieved:
    """A training prompt, and the cosine similarity of its sentence to the one asked about."""

    prompt_id: str
    similarity: float


def check_count(predictor: str, parameter: str, count: int, train: Sequence[LabelledPrompt]) -> None:
    """Raise UsageError if more prompts are asked for than the training set has."""
    if count > len(train):
        raise UsageError(
            f"{predictor}: {parameter}={count} is more than the {len(train)} training prompts; "
            f"use {len(train)} at most"
        )


class Retriever:
    """Finds training prompts by the cosine similarity of sentences; equal ones in order of prompt_id."""

    def __init__(
        self,
        train: Sequence[LabelledPrompt],
        encoder: Encoder,
        vectors: NDArray[np.float32] | None = None,
    ) -> None:
        """``vectors`` are the sentences' embeddings in the order of prompt_id, if they are known already."""
        self.train = {p.prompt.prompt_id: p for p in sorted(train, key=lambda p: p.prompt.prompt_id)}
        self._ids = list(self.train)
        self.encoder = encoder
        if vectors is None:
            vectors = encoder.encode([p.prompt.text for p in self.train.values()])
        self.vectors = vectors
        self._vectors = vectors.astype(np.float64)

    def describe(self) -> dict[str, str]:
        """What a run records of the encoder."""
        return {"encoder": self.encoder.name, "encoder_revision": self.encoder.identity}

    def nearest(self, prompts: Sequence[Prompt], k: int) -> list[tuple[Retrieved, ...]]:
        """The ``k`` most similar training prompts of each prompt, the most similar first."""
        found = []
        for vector in self.encoder.encode([p.text for p in prompts]).astype(np.float64):
            similarity = (self._vectors @ vector).round(DECIMALS)
            order = np.argsort(-similarity, kind="stable")[:k]
            found.append(tuple(Retrieved(self._ids[i], float(similarity[i])) for i in order))
        return found

    def covering(self, k: int) -> tuple[str, ...]:
        """``k`` training prompts that leave none far from all of them (farthest-point selection).

        The first is the medoid, the prompt that is most similar to all; each next one is the prompt whose
        most similar chosen one is least similar (Gonzalez 1985, a 2-approximation of the k centres).
        """
        similarity = (self._vectors @ self._vectors.T).round(DECIMALS)
        chosen = [int(np.argmax(similarity.sum(axis=1).round(DECIMALS)))]
        while len(chosen) < k:
            closest = similarity[:, chosen].max(axis=1)
            closest[chosen] = np.inf
            chosen.append(int(np.argmin(closest)))
        return tuple(self._ids[i] for i in chosen)


def typical_settings(points: Floats, count: int) -> Floats:
    """``count`` of the settings (m, 2), dB, that represent all of them; all of them if there are fewer.

    Chosen one by one, each time the setting that brings the energy distance between the chosen ones and all
    lowest (the first one is the medoid). Nothing is random, and the first few are the best few.
    """
    points = points[np.lexsort((points[:, 1], points[:, 0]))]  # so that the order of rows means nothing
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    to_all = distance.mean(axis=1)
    chosen: list[int] = []
    while len(chosen) < min(count, len(points)):
        n = len(chosen) + 1
        cross = 2.0 * (to_all[chosen].sum() + to_all) / n
        within = (distance[np.ix_(chosen, chosen)].sum() + 2.0 * distance[chosen].sum(axis=0)) / n**2
        cost = np.round(cross - within, 9)
        cost[chosen] = np.inf
        chosen.append(int(np.argmin(cost)))
    return points[chosen]


class _Kept(BaseModel):
    """A fitted retriever without its embeddings."""

    encoder: str
    prompts: list[Labelled]


def save_retriever(retriever: Retriever, folder: Path) -> None:
    """Write the training prompts with their responses (JSON) and their embeddings (safetensors)."""
    from safetensors.numpy import save_file

    kept = _Kept(encoder=retriever.encoder.identity, prompts=list(retriever.train.values()))
    (folder / _PROMPTS).write_text(kept.model_dump_json() + "\n", encoding="utf-8")
    save_file({"vectors": np.ascontiguousarray(retriever.vectors)}, folder / _VECTORS)
    (folder / _VECTORS).chmod(0o644)


def load_retriever(folder: Path, encoder: Encoder) -> Retriever:
    """Read what ``save_retriever`` has written.

    Raises UnreadableFileError, ValueError, KeyError, TypeError or OSError if it is damaged, or was made with
    another encoder.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    kept = read_model(folder / _PROMPTS, _Kept, MOST_TABLE_BYTES)
    if kept.encoder != encoder.identity:
        raise ValueError("the embeddings are another encoder's")
    try:
        vectors = load_file(folder / _VECTORS)["vectors"]
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    if len(vectors) != len(kept.prompts):
        raise ValueError("there are not as many embeddings as prompts")
    return Retriever(kept.prompts, encoder, vectors)
