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

from popeq_llm.answers import TENTHS, AnswerFormat, pair_text
from popeq_llm.architecture import attention_windows, new_cache
from popeq_llm.trie import Encode, Trie, build_trie, continuations, padded

T = TypeVar("T")


#: What models call their cache, in what they return and in what they take.
_CACHES = ("past_key_values", "cache_params")


class Stepping:
    """Rows of token ids, padded on the left, behind one cache; equal ones are read once."""

    def __init__(self, model: Any, contexts: Sequence[Sequence[int]]) -> None:
        self._model = model
        #: By the model's own name for it. A model with a state makes its own, with what it has to keep.
        self._cache = {} if attention_windows(model) is None else {"past_key_values": new_cache()}
        distinct = list(dict.fromkeys(map(tuple, contexts)))
        place = {context: i for i, context in enumerate(distinct)}
        #: Of each row, its context among the distinct ones; None once they are read.
        self._rows: Tensor | None = torch.tensor([place[tuple(context)] for context in contexts])
        self._ids = torch.from_numpy(padded([context[::-1] for context in distinct], 0)).flip(1)
        self._mask = torch.from_numpy(padded([[1] * len(context) for context in distinct], 0)).flip(1)
        self._positions = (self._mask.cumsum(dim=1) - 1).clamp(min=0)

    def logits(self) -> Tensor:
        """Of each row's next token (rows, vocabulary), float32 on the CPU. To be asked for once a token."""
        device = self._model.device
        # A model of states alone has padding behind it after its first call, and takes no mask of the past.
        masked = not self._cache or "past_key_values" in self._cache
        out = self._model(
            self._ids.to(device),
            attention_mask=self._mask.to(device) if masked else None,
            position_ids=self._positions.to(device),
            use_cache=True,
            logits_to_keep=1,
            **self._cache,
        )
        if not self._cache:
            kept = {name: getattr(out, name, None) for name in _CACHES}
            self._cache = {name: value for name, value in kept.items() if value is not None}
        logits: Tensor = out.logits[:, -1].float().cpu()
        if (rows := self._rows) is not None:
            self._rows = None
            if len(rows) > len(logits):
                for kept in self._cache.values():
                    kept.reorder_cache(rows)
            logits, self._mask, self._positions = logits[rows], self._mask[rows], self._positions[rows]
        return logits

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


@cache
def segment_texts(form: AnswerFormat) -> tuple[tuple[str, ...], ...]:
    """The texts of an answer, cut between digits and brackets: in each segment a choice of one setting."""
    pairs = [pair_text(x, y, form.gains) for x in TENTHS for y in TENTHS]
    if form.pairs == 1:
        return (tuple(f"[{pair}]" for pair in pairs),)
    first, later = tuple(f"[[{pair}" for pair in pairs), tuple(f"], [{pair}" for pair in pairs)
    return (first, *(later,) * (form.pairs - 1), ("]]",))


def answer_of(chosen: Sequence[int], form: AnswerFormat) -> str:
    """The text of an answer from its index in each segment."""
    return "".join(texts[i] for texts, i in zip(segment_texts(form), chosen, strict=True))


def answer_segments(
    encode: Encode, spell: Callable[[str], list[int]], before: str, form: AnswerFormat
) -> Segments:
    """An answer as a row of tries, one for each of its segments.

    The tokens are those that the tokenizer itself writes. Only where it would merge across a cut are the
    later settings spelled out, a character a token.
    """

    def trie(before: str, texts: Sequence[str]) -> Trie:
        return build_trie(*continuations(encode, before, texts))

    texts = segment_texts(form)
    first = trie(before, texts[0])
    if form.pairs == 1:
        return (first,)
    later = [trie(before + texts[0][0], choices) for choices in (texts[1], texts[-1])]
    if any(t.healed for t in later):
        later = [build_trie([spell(text) for text in choices]) for choices in (texts[1], texts[-1])]
    middle, end = later
    return (first, *(middle,) * (form.pairs - 1), end)


def constrained_samples(
    model: Any, segments: Segments, contexts: Sequence[Sequence[int]], seeds: Sequence[int]
) -> list[list[int]]:
    """One answer a row as the answer's index in each segment; row i draws its noise from ``seeds[i]`` alone.

    ``contexts`` are the token ids of each row, without those that the first segment heals.
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
