"""The training examples: rewritten copies of sentences, and prompts held out to stop training."""

from __future__ import annotations

import importlib.resources
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from popeq.contract import LabelledPrompt
from popeq.typing import Floats

_TABLE = tomllib.loads(importlib.resources.files("popeq_peft").joinpath("rewriting.toml").read_text("utf-8"))
#: Sentences with a gap for the training sentence.
TEMPLATES: list[str] = _TABLE["templates"]
#: For each word those that may replace it.
SYNONYMS: dict[str, list[str]] = {
    word: [other for other in group if other != word] for group in _TABLE["synonyms"] for word in group
}
_SWAPPED = 0.5
_WORD = re.compile(r"[^\W\d_]+")
#: Fewer prompts than these say nothing about when to stop.
_FEWEST = 3


@dataclass(frozen=True, eq=False)
class Example:
    """A sentence to train on, and its listeners' settings (m, 2), dB."""

    text: str
    responses: Floats


def augmented(train: Sequence[LabelledPrompt], copies: int, seed: int) -> list[Example]:
    """The training prompts, then ``copies`` rewritten ones of each, different as far as the table goes."""
    examples = [Example(p.prompt.text, p.responses) for p in train]
    rng = np.random.default_rng(seed)
    for prompt in train:
        seen = {prompt.prompt.text}
        for _ in range(copies):
            for _ in range(10):
                text = rewritten(prompt.prompt.text, rng)
                if text not in seen:
                    break
            seen.add(text)
            examples.append(Example(text, prompt.responses))
    return examples


def rewritten(text: str, rng: np.random.Generator) -> str:
    """One rewriting of a sentence: some words swapped, and in four of five cases a template around it."""

    def swap(match: re.Match[str]) -> str:
        choices = SYNONYMS.get(match[0].lower())
        if not choices or rng.random() >= _SWAPPED:
            return match[0]
        word = choices[int(rng.integers(len(choices)))]
        return word.capitalize() if match[0][0].isupper() else word

    swapped = _WORD.sub(swap, text)
    if rng.random() < 0.2:
        return swapped
    template = TEMPLATES[int(rng.integers(len(TEMPLATES)))]
    return template.replace("{sentence}", swapped).replace("{Sentence}", swapped[:1].upper() + swapped[1:])


def hold_out(
    train: Sequence[LabelledPrompt], share: float, rng: np.random.Generator
) -> tuple[list[LabelledPrompt], list[LabelledPrompt]]:
    """Prompts to train on, and a share of them that stops training: none where that is fewer than three."""
    count = round(share * len(train))
    if count < _FEWEST:
        return list(train), []
    held = set(rng.choice(len(train), count, replace=False).tolist())
    return (
        [p for i, p in enumerate(train) if i not in held],
        [p for i, p in enumerate(train) if i in held],
    )
