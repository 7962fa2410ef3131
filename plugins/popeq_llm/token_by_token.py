"""Drawing answers a token at a time, many rows side by side behind one cache.

For models that refuse tree masks, for answers of several settings and for free text. Each row has a noise
stream of its own (Gumbel-max), so that it does not depend on which others are in its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from popeq_llm.answers import TENTHS, AnswerFormat, number_text
from popeq_llm.phi3 import new_cache
from popeq_llm.trie import Encode, Trie, build_trie, continuations

T = TypeVar("T")


class Stepping:
    """Rows of token ids, padded on the left, behind one cache."""

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


#: What writes a row: it gives the tokens that may come next, as an index into all of them, and is sent the
#: place of the chosen one among those; what it returns is the row's result.
Writer = Generator[slice | list[int], int, T]


@torch.inference_mode()
def _written(
    model: Any, contexts: Sequence[Sequence[int]], seeds: Sequence[int], writers: Sequence[Writer[T]]
) -> list[T]:
    """Let a writer go on from each context; row i draws its noise from ``seeds[i]`` alone."""
    noise = [np.random.Generator(np.random.Philox(key=seed)) for seed in seeds]
    allowed = {r: next(writer) for r, writer in enumerate(writers)}
    results: dict[int, T] = {}
    rows = Stepping(model, contexts)
    while True:
        logits = rows.logits()
        tokens, every = [0] * len(writers), np.arange(logits.shape[1])
        for r, choices in list(allowed.items()):
            own = logits[r, choices].double().numpy()
            chosen = int(np.argmax(own + noise[r].gumbel(size=len(own))))
            tokens[r] = int(every[choices][chosen])
            try:
                allowed[r] = writers[r].send(chosen)
            except StopIteration as end:
                results[r] = end.value
                del allowed[r]
        if not allowed:
            return [results[r] for r in range(len(writers))]
        rows.append(tokens)


def free_samples(
    model: Any,
    contexts: Sequence[Sequence[int]],
    ends: Collection[int],
    most: int,
    vocabulary: int,
    seeds: Sequence[int],
) -> list[tuple[list[int], bool]]:
    """What each row goes on with, as token ids, and whether it came to an end within ``most`` tokens.

    Row i draws its noise from ``seeds[i]`` alone. Tokens in ``ends`` end a text and are not part of it.
    ``vocabulary``: tokens that the tokenizer knows; models often have logits for more.
    """

    def writer() -> Writer[tuple[list[int], bool]]:
        ids: list[int] = []
        while len(ids) < most:
            token = yield slice(vocabulary)
            if token in ends:
                return ids, True
            ids.append(token)
        return ids, False

    return _written(model, contexts, seeds, [writer() for _ in contexts])


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

    def trie(before: str, texts: Sequence[str]) -> Trie:
        return build_trie(*continuations(encode, before, texts))

    pairs = answer_texts()
    if form.pairs == 1:
        return (trie(before, [f"[{pair}]" for pair in pairs]),)
    opened = f"{before}[[{pairs[0]}"
    first = trie(before, [f"[[{pair}" for pair in pairs])
    later = [f"], [{pair}" for pair in pairs]
    middle, end = trie(opened, later), trie(opened, ["]]"])
    if middle.healed or end.healed:
        middle, end = build_trie([spell(text) for text in later]), build_trie([spell("]]")])
    return (first, *(middle,) * (form.pairs - 1), end)


def first_text(form: AnswerFormat) -> str:
    """The text of the first segment's first choice."""
    return f"[{answer_texts()[0]}]" if form.pairs == 1 else f"[[{answer_texts()[0]}"


def constrained_samples(
    model: Any, contexts: Sequence[Sequence[int]], segments: Segments, seeds: Sequence[int]
) -> list[list[int]]:
    """One answer a row as the answer's index in each segment; row i draws its noise from ``seeds[i]`` alone.

    ``contexts`` are the token ids of each row, what the first segment heals already taken off.
    """

    def writer() -> Writer[list[int]]:
        answers = []
        for trie in segments:
            node = 0
            while trie.children[node]:
                children = trie.children[node]
                node = children[(yield [trie.token[c] for c in children])]
            answers.append(trie.answer[node])
        return answers

    return _written(model, contexts, seeds, [writer() for _ in contexts])


def answer_of(chosen: Sequence[int], form: AnswerFormat) -> str:
    """The text of an answer from the indices that ``constrained_samples`` gives."""
    pairs = answer_texts()
    inner = [f"[{pairs[i]}]" for i in chosen[: form.pairs]]
    return inner[0] if form.pairs == 1 else f"[{', '.join(inner)}]"
