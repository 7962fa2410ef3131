"""Keep a fitted Retriever on disk: prompts and responses as JSON, embeddings as safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from popeq.contract import Audio, LabelledPrompt, Prompt
from popeq_llm.encoder import Encoder
from popeq_llm.retrieval import Retriever

PROMPTS, VECTORS = "prompts.json", "vectors.safetensors"


def save_retriever(retriever: Retriever, folder: Path) -> None:
    """Write the training prompts and their embeddings into a folder."""
    from safetensors.numpy import save_file

    content = {"encoder": retriever.encoder.identity, "prompts": [_told(p) for p in retriever.train.values()]}
    (folder / PROMPTS).write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
    save_file({"vectors": np.ascontiguousarray(retriever.vectors)}, folder / VECTORS)
    (folder / VECTORS).chmod(0o644)


def load_retriever(folder: Path, encoder: Encoder) -> Retriever:
    """What ``save_retriever`` wrote.

    Raises
    ------
    ValueError, KeyError, OSError
        If it is broken, or of another encoder.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    content = json.loads((folder / PROMPTS).read_text(encoding="utf-8"))
    if content["encoder"] != encoder.identity:
        raise ValueError("the embeddings are another encoder's")
    train = [_labelled(p) for p in content["prompts"]]
    try:
        vectors = load_file(folder / VECTORS)["vectors"]
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    if len(vectors) != len(train):
        raise ValueError("there are not as many embeddings as prompts")
    return Retriever(train, encoder, vectors)


def _told(labelled: LabelledPrompt) -> dict[str, Any]:
    prompt = labelled.prompt
    return {
        "prompt_id": prompt.prompt_id,
        "text": prompt.text,
        "category": prompt.category,
        "split": prompt.split,
        "audio_id": prompt.audio_id,
        "features": None if prompt.audio is None else dict(prompt.audio.features),
        "responses": labelled.responses.tolist(),
        "listeners": list(labelled.listeners),
    }


def _labelled(told: Mapping[str, Any]) -> LabelledPrompt:
    audio = None if told["features"] is None else Audio(told["features"])
    prompt = Prompt(told["prompt_id"], told["text"], told["category"], told["split"], told["audio_id"], audio)
    points = np.array(told["responses"], dtype=np.float64).reshape(-1, 2)
    points.setflags(write=False)
    return LabelledPrompt(prompt, points, tuple(told["listeners"]))
