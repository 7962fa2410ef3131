"""Drawing answers a token at a time, many rows side by side behind one cache.

For models that refuse tree masks, and for free text. Each row has a noise stream of its own (Gumbel-max), so
that it does not depend on which others are in its batch. The grammar of answers is here as well.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from popeq_llm.answers import MOST_AT_ONCE, WEIGHTS, Bound, MixtureForm, pair_text
from popeq_llm.architecture import attention_windows, new_cache
from popeq_llm.trie import STOP, Encode, Grammar, Trie, build_trie, continuations, padded

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


@cache
def segment_texts(form: Bound) -> tuple[tuple[str, ...], ...]:
    """The texts of an answer in segments, in each of them a choice; cut where tokenizers do not merge.

    Settings are cut between digits and brackets, and between x and y where there are more than
    ``MOST_AT_ONCE``; a component of a mixture is a weight, a centre and a spread.
    A mixture ends where ``.`` is chosen, so that not every segment is used.
    """
    if isinstance(form, MixtureForm):
        numbers = form.numbers
        first = tuple(f"{weight}%" for weight in WEIGHTS)
        spread = tuple(f"] spread {numbers.text(steps)}" for steps in numbers.spreads)
        component, more = (*_setting(form, " at ["), spread), (*(f"; {weight}" for weight in first), STOP)
        return (first, *(*component, more) * (form.components - 1), *component, (STOP,))
    if form.pairs == 1:
        return _setting(form, "[", "]")
    return (*_setting(form, "[["), *_setting(form, "], [") * (form.pairs - 1), ("]]",))


def _setting(form: Bound, before: str, after: str = "") -> tuple[tuple[str, ...], ...]:
    """A setting with a text before and after it: in one segment, or in two where there are many settings."""
    numbers = form.numbers
    if form.gains or numbers.count <= MOST_AT_ONCE:
        return (tuple(f"{before}{pair_text(x, y, form)}{after}" for x in numbers.x for y in numbers.y),)
    x = tuple(f"{before}{numbers.text(steps)}" for steps in numbers.x)
    return x, tuple(f", {numbers.text(steps)}{after}" for steps in numbers.y)


def grammar_of(
    encode: Encode, spell: Callable[[str], list[int]], before: str, texts: tuple[tuple[str, ...], ...]
) -> Grammar:
    """The grammar of an answer behind ``before``, a trie for each of its segments ``texts``.

    The tokens are those that the tokenizer itself writes. Only where it would merge across a cut are the
    later segments spelled out, a character a token.
    """
    tries: dict[tuple[str, ...], Trie] = {}
    for choices in texts:
        if choices not in tries:
            tries[choices] = build_trie(*continuations(encode, before, choices))
        before += choices[0]
    later = texts[1:]
    if any(tries[choices].healed for choices in later):
        tries |= {choices: build_trie([spell(text) for text in choices]) for choices in {*later}}
    return Grammar(tuple(tries[choices] for choices in texts), texts)


def constrained_samples(
    model: Any, grammar: Grammar, contexts: Sequence[Sequence[int]], seeds: Sequence[int]
) -> list[str]:
    """One answer a row; row i draws its noise from ``seeds[i]`` alone.

    ``contexts`` are the token ids of each row, without those that the first trie heals.
    """

    def writer() -> Writer[str]:
        chosen: list[int] = []
        for trie, last in zip(grammar.tries, grammar.stops, strict=True):
            node = 0
            while trie.children[node]:
                children = trie.children[node]
                node = children[(yield [trie.token[c] for c in children])]
            chosen.append(trie.answer[node])
            if chosen[-1] == last:
                break
        return grammar.text(chosen)

    return _written(model, contexts, seeds, [writer() for _ in contexts])
