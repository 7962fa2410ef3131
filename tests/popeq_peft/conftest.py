"""One thread, random models of the usual shapes, and prompts whose answers a model can learn."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from popeq.contract import LabelledPrompt, Prompt

torch.set_num_threads(1)
sys.path.insert(0, str(Path(__file__).parents[1] / "popeq_llm"))


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory: pytest.TempPathFactory):
    """``model_folders("phi3")`` is the folder of a random Phi-3-shaped model."""
    from shapes import save_model

    made: dict[str, Path] = {}

    def folder(shape: str) -> Path:
        if shape not in made:
            made[shape] = save_model(shape, tmp_path_factory.mktemp("models") / shape)
        return made[shape]

    return folder


WORDS = ("warm", "bright", "dark", "thin", "loud", "soft")


def learnable(count: int, split: str = "train", seed: int = 0, listeners: int = 11) -> list[LabelledPrompt]:
    """Prompts that turn on one of six words, each with a centre of its own."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).uniform(-4, 4, (len(WORDS), 2))
    found = []
    for i in range(count):
        word = i % len(WORDS)
        points = np.clip(centres[word] + rng.normal(0, 1, (listeners, 2)), -6, 6).round(1)
        prompt = Prompt(f"{split}{i:02d}", f"make it {WORDS[word]} number {i}", "colour", split)
        found.append(LabelledPrompt(prompt, points, tuple(f"l{j}" for j in range(listeners))))
    return found
