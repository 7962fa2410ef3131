"""The training examples: rewritten copies of sentences, and prompts held out to stop training."""

from __future__ import annotations

import importlib.resources
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from popeq.contract import LabelledPrompt
from popeq.typing import Floats

_SWAPPED = 0.5
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, eq=False)
class Example:
    """A sentence to train on, and its listeners' settings (m, 2), dB."""

    text: str
    responses: Floats


@dataclass(frozen=True)
class Table:
    """What ``rewriting.toml`` holds: templates, and for each word those that may replace it."""

    templates: tuple[str, ...]
    synonyms: dict[str, tuple[str, ...]]


@lru_cache(maxsize=1)
def table() -> Table:
    """The bundled table."""
    file = importlib.resources.files("popeq_peft").joinpath("rewriting.toml")
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    synonyms = {word: tuple(w for w in group if w != word) for group in content["synonyms"] for word in group}
    return Table(tuple(content["templates"]), synonyms)


def augmented(train: Sequence[LabelledPrompt], copies: int, seed: int) -> list[Example]:
    """The training prompts, then ``copies`` rewritten ones of each, different as far as the table goes."""
    examples = [Example(p.prompt.text, p.responses) for p in train]
    rng = np.random.default_rng(seed)
    for prompt in train if copies else ():
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
        choices = table().synonyms.get(match[0].lower())
        if not choices or rng.random() >= _SWAPPED:
            return match[0]
        word = choices[int(rng.integers(len(choices)))]
        return word.capitalize() if match[0][0].isupper() else word

    swapped = _WORD.sub(swap, text)
    if rng.random() < 0.2:
        return swapped
    template = table().templates[int(rng.integers(len(table().templates)))]
    return template.replace("{sentence}", swapped).replace("{Sentence}", swapped[:1].upper() + swapped[1:])


#: Fewer prompts than these say nothing about when to stop.
_FEWEST = 3


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
