"""Drawing answers a token at a time, many rows side by side behind one cache.

For models that refuse tree masks, for answers of several settings, for mixtures and for free text. Each row
has a noise stream of its own (Gumbel-max), so that it does not depend on which others are in its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from popeq_llm.answers import SPREADS, TENTHS, WEIGHTS, Bound, MixtureForm, number_text
from popeq_llm.phi3 import new_cache
from popeq_llm.trie import Encode, Trie, build_trie, continuations, padded

T = TypeVar("T")


class Stepping:
    """Rows of token ids, padded on the left, behind one cache."""

    def __init__(self, model: Any, contexts: Sequence[Sequence[int]]) -> None:
        self._model, self._cache = model, new_cache(model)
        self._ids = torch.from_numpy(padded([context[::-1] for context in contexts], 0)).flip(1)
        self._mask = torch.from_numpy(padded([[1] * len(context) for context in contexts], 0)).flip(1)
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
#: What ends a mixture; it is the last choice wherever another component may follow.
_STOP = "."


@cache
def segment_texts(form: Bound) -> tuple[tuple[str, ...], ...]:
    """The texts of an answer in segments, in each of them a choice; cut where tokenizers do not merge.

    Settings are cut between digits and brackets; a component of a mixture is a weight, a centre and a spread.
    A mixture ends where ``.`` is chosen, so that not every segment is used.
    """
    numbers = [number_text(t) for t in TENTHS]
    pairs = [f"{x}, {y}" for x in numbers for y in numbers]
    if isinstance(form, MixtureForm):
        first = tuple(f"{weight}%" for weight in WEIGHTS)
        centre = tuple(f" at [{pair}" for pair in pairs)
        spread = tuple(f"] spread {number_text(t)}" for t in SPREADS)
        more = (*(f"; {weight}" for weight in first), _STOP)
        return (first, *(centre, spread, more) * (form.components - 1), centre, spread, (_STOP,))
    if form.pairs == 1:
        return (tuple(f"[{pair}]" for pair in pairs),)
    first, later = tuple(f"[[{pair}" for pair in pairs), tuple(f"], [{pair}" for pair in pairs)
    return (first, *(later,) * (form.pairs - 1), ("]]",))


def answer_of(chosen: Sequence[int], form: Bound) -> str:
    """The text of an answer from its index in each segment; those behind its end count for nothing."""
    answer = ""
    for texts, index in zip(segment_texts(form), chosen, strict=False):
        answer += texts[index]
        if texts[index] == _STOP:
            break
    return answer


def answer_segments(encode: Encode, spell: Callable[[str], list[int]], before: str, form: Bound) -> Segments:
    """An answer as a row of tries, one for each of its segments.

    The tokens are those that the tokenizer itself writes. Only where it would merge across a cut are the
    later segments spelled out, a character a token.
    """
    tries: dict[tuple[str, ...], Trie] = {}
    for texts in segment_texts(form):
        if texts not in tries:
            tries[texts] = build_trie(*continuations(encode, before, texts), _last(texts))
        before += texts[0]
    first, *later = segment_texts(form)
    if any(tries[texts].healed for texts in later):
        tries |= {t: build_trie([spell(text) for text in t], last=_last(t)) for t in dict.fromkeys(later)}
    return (tries[first], *(tries[texts] for texts in later))


def _last(texts: tuple[str, ...]) -> int:
    """The index of the text that ends an answer, -1 if there is none."""
    return texts.index(_STOP) if _STOP in texts else -1


def constrained_samples(
    model: Any, segments: Segments, contexts: Sequence[Sequence[int]], seeds: Sequence[int]
) -> list[list[int]]:
    """One answer a row as the answer's index in each segment up to its end; row i draws its noise from
    ``seeds[i]`` alone.

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
            if answers[-1] == trie.last:
                break
        return answers

    return _written(model, contexts, seeds, [writer() for _ in contexts])
