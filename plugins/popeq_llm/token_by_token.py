"""Drawing answers a token at a time, many rows side by side behind one cache.

For models that refuse tree masks, for answers of several settings and for free text. Each row has a noise
stream of its own (Gumbel-max), so that it does not depend on which others are in its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from popeq_llm.answers import TENTHS, AnswerFormat, number_text
from popeq_llm.phi3 import new_cache
from popeq_llm.trie import Encode, Trie, answer_trie, build_trie


class Stepping:
    """Rows of token ids, padded on the left, behind one cache.

    Parameters
    ----------
    contexts
        Token ids of each row.
    """

    def __init__(self, model: Any, contexts: Sequence[Sequence[int]]) -> None:
        rows, width = len(contexts), max(map(len, contexts))
        self._model, self._cache = model, new_cache(model)
        self._ids = torch.zeros((rows, width), dtype=torch.long)
        self._mask = torch.zeros((rows, width), dtype=torch.long)
        for r, context in enumerate(contexts):
            self._ids[r, width - len(context) :] = torch.tensor(list(context))
            self._mask[r, width - len(context) :] = 1
        self._positions = (self._mask.cumsum(dim=1) - 1).clamp(min=0)

    def logits(self) -> Tensor:
        """Of each row's next token (rows, vocabulary), float32 on the CPU. To be asked for once a token."""
        device = self._model.device
        out = self._model(
            self._ids.to(device),
            attention_mask=self._mask.to(device),
            position_ids=self._positions.to(device),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return out.logits[:, -1].float().cpu()  # type: ignore[no-any-return]

    def append(self, tokens: Sequence[int]) -> None:
        """Each row's next token; any, where a row has ended."""
        self._ids = torch.tensor(tokens, dtype=torch.long)[:, None]
        self._mask = torch.cat([self._mask, torch.ones_like(self._ids)], dim=1)
        self._positions = self._positions[:, -1:] + 1


@torch.inference_mode()
def free_samples(
    model: Any,
    contexts: Sequence[Sequence[int]],
    ends: Collection[int],
    most: int,
    vocabulary: int,
    seeds: Sequence[int],
) -> list[tuple[list[int], bool]]:
    """What each row goes on with, as token ids, and whether it came to an end within ``most`` tokens.

    Row i draws its noise from ``seeds[i]`` alone.

    Parameters
    ----------
    ends
        Tokens that end a text; they are not part of it.
    vocabulary
        Tokens that the tokenizer knows: models often have logits for more.
    """
    noise = [np.random.Generator(np.random.Philox(key=seed)) for seed in seeds]
    written: list[list[int]] = [[] for _ in contexts]
    ended = [False] * len(contexts)
    rows = Stepping(model, contexts)
    for _ in range(most):
        logits = rows.logits()[:, :vocabulary].double().numpy()
        chosen = [0] * len(contexts)
        for r in (r for r, over in enumerate(ended) if not over):
            chosen[r] = int(np.argmax(logits[r] + noise[r].gumbel(size=logits.shape[1])))
            ended[r] = chosen[r] in ends
            if not ended[r]:
                written[r].append(chosen[r])
        if all(ended):
            break
        rows.append(chosen)
    return list(zip(written, ended, strict=True))


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
