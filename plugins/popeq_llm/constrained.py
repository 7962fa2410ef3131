"""Token-by-token decoding that can only write valid answers, many samples side by side.

For models that refuse tree masks, and for answers of several settings. Each sample has a noise stream of
its own (Gumbel-max), so it does not depend on which others are in its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch

from popeq_llm.answers import TENTHS, AnswerFormat, number_text
from popeq_llm.stepping import Stepping
from popeq_llm.trie import Encode, Trie, answer_trie, build_trie

Segments = tuple[Trie, ...]
Spell = Callable[[str], list[int]]


@cache
def answer_texts() -> tuple[str, ...]:
    """Every ``x, y`` that an answer may hold, brackets left out."""
    numbers = [number_text(t) for t in TENTHS]
    return tuple(f"{x}, {y}" for x in numbers for y in numbers)


def answer_segments(encode: Encode, spell: Spell, before: str, form: AnswerFormat) -> Segments:
    """An answer as a row of tries, each with a choice of one setting, cut between digits and brackets.

    The tokens are those that the tokenizer itself writes. Only where it would merge across a cut are the
    later settings spelled out, a character a token.
    """
    pairs = answer_texts()
    if form.pairs == 1:
        return (answer_trie(encode, before, [f"[{pair}]" for pair in pairs]),)
    opened = f"{before}[[{pairs[0]}"
    first = answer_trie(encode, before, [f"[[{pair}" for pair in pairs])
    later = [f"], [{pair}" for pair in pairs]
    middle, end = answer_trie(encode, opened, later), answer_trie(encode, opened, ["]]"])
    if middle.healed or end.healed:
        middle, end = build_trie([spell(text) for text in later]), build_trie([spell("]]")])
    return (first, *(middle,) * (form.pairs - 1), end)


def first_text(form: AnswerFormat) -> str:
    """The text of the first segment's first choice."""
    return f"[{answer_texts()[0]}]" if form.pairs == 1 else f"[[{answer_texts()[0]}"


@torch.inference_mode()
def constrained_samples(
    model: Any, contexts: Sequence[Sequence[int]], segments: Segments, seeds: Sequence[int]
) -> list[list[int]]:
    """One answer a row as the answer's index in each segment; row i draws its noise from ``seeds[i]`` alone.

    Parameters
    ----------
    contexts
        Token ids of each row, what the first segment heals already taken off.
    """
    noise = [np.random.Generator(np.random.Philox(key=seed)) for seed in seeds]
    state = [(0, 0)] * len(contexts)
    chosen: list[list[int]] = [[] for _ in contexts]
    rows = Stepping(model, contexts)
    while any(segment < len(segments) for segment, _ in state):
        logits = rows.logits()
        tokens = [0] * len(contexts)
        for r, (segment, node) in enumerate(state):
            if segment == len(segments):
                continue
            trie = segments[segment]
            children = list(trie.children[node])
            own = logits[r, [trie.token[c] for c in children]].double().numpy()
            node = children[int(np.argmax(own + noise[r].gumbel(size=len(children))))]
            tokens[r] = trie.token[node]
            if trie.answer[node] >= 0:
                chosen[r].append(trie.answer[node])
                segment, node = segment + 1, 0
            state[r] = (segment, node)
        rows.append(tokens)
    return chosen


def answer_of(chosen: Sequence[int], form: AnswerFormat) -> str:
    """The text of an answer from the indices that ``constrained_samples`` gives."""
    pairs = answer_texts()
    inner = [f"[{pairs[i]}]" for i in chosen[: form.pairs]]
    return inner[0] if form.pairs == 1 else f"[{', '.join(inner)}]"
