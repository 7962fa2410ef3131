"""Prompts whose answers a model can learn, and predictors fitted to a few of them in this process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popeq.contract import LabelledPrompt, Prompt, load_object
from popeq.seeding import generator
from popeq.space import PLANE
from popeq_peft import popeq_predictors

SPECS = {spec.name: spec for spec in popeq_predictors()}
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


def fitted(
    name: str,
    options: dict[str, Any],
    folder: Path | None = None,
    train: Sequence[LabelledPrompt] = (),
    validation: Sequence[LabelledPrompt] | None = None,
) -> Any:
    """A predictor on the CPU; the first two prompts are the validation ones if none are given."""
    spec = SPECS[name]
    predictor = load_object(spec.factory)(
        spec.parameters(**{"device": "cpu", "dtype": "float32"} | options), PLANE
    )
    if folder is not None:
        folder.mkdir(exist_ok=True)
        predictor.use_folder(folder)
    predictor.fit(train, train[:2] if validation is None else validation, generator(3, name))
    return predictor


def draw(predictor: Any) -> NDArray[np.float64]:
    """23 settings for each of three sentences."""
    prompts = [p.prompt for p in learnable(3, "test")]
    return predictor.sample(prompts, 23, [generator(0, p.prompt_id) for p in prompts])
