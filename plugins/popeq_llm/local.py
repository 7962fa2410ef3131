"""Any Hugging Face causal model as a LanguageModel whose every setting is valid."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache, partial
from typing import Any, Literal, TypeVar

import numpy as np
import torch

from popeq.errors import RunError, UsageError
from popeq.typing import Ints
from popeq_llm.answers import AnswerFormat, Bound, Form, FreeText, MixtureForm, whole_lines
from popeq_llm.chat_text import ChatText
from popeq_llm.loading import TINY, free_memory, load, load_stand_in, pick_device, pick_dtype
from popeq_llm.models import Chat, Generated, ModelInfo
from popeq_llm.splitting import ExactAnswers, exact_answers, fold, split_samples
from popeq_llm.token_by_token import (
    Segments,
    answer_of,
    answer_segments,
    constrained_samples,
    free_samples,
    segment_texts,
)
from popeq_llm.tree import TreeRows, has_plain_head, takes_trees

Decode = Literal["auto", "split", "exact", "generate"]
T = TypeVar("T")

#: Characters of the end of a chat that the tokens of an answer can depend on.
_TAIL = 48
_MOST_ROWS = 64
_NODES = 600
#: Tokens fed at once for whole distributions.
_MOST_FED = 4096


class LocalModel:
    """A causal model on this machine: ``popeq-tiny``, a folder, or a hub name.

    ``decode`` is how single settings are drawn: ``split`` (multinomial splitting over the trie of answers),
    ``exact`` (the whole distribution, then draws from it), ``generate`` (token by token), or ``auto``: split
    where the model takes tree masks, else generate. ``loaded`` are model, tokenizer and revision, where they
    are loaded already (a fine-tuned one, say).
    """

    def __init__(
        self,
        name: str = TINY,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        decode: Decode = "auto",
        loaded: tuple[Any, Any, str] | None = None,
    ) -> None:
        chosen = pick_device(device)
        if loaded is None:
            kind = pick_dtype(dtype, chosen)
            loaded = load_stand_in(chosen, kind) if name == TINY else load(name, revision, chosen, kind)
        self.model, self.tokenizer, found = loaded
        self.text = ChatText(self.tokenizer, name)
        notes = []
        if not self.text.has_template:
            notes.append(
                f"{name} has no chat template: a plain one is used, with the turns one below another"
            )
        trees = decode != "generate" and takes_trees(self.model, len(self.tokenizer))
        if decode in ("split", "exact") and not trees:
            raise UsageError(f"--decode {decode}: {name} does not take tree masks; use --decode generate")
        if decode == "auto" and not trees:
            notes.append(f"{name} does not take tree masks: settings are drawn token by token")
        self.decode: Decode = ("split" if trees else "generate") if decode == "auto" else decode
        self._tree_rows = partial(TreeRows, self.model, plain_head=has_plain_head(self.model))
        self.info = ModelInfo(
            name=name,
            revision=found,
            stand_in=name == TINY,
            parameters=sum(p.numel() for p in self.model.parameters()),
            device=chosen,
            dtype=str(self.model.dtype).removeprefix("torch."),
            notes=tuple(notes),
        )
        self._segments = lru_cache(maxsize=8)(partial(answer_segments, self._encode, self._spell))

    def render(self, chat: Chat) -> str:
        """The text that the model continues, through its own chat template where it has one."""
        return self.text.render(chat)

    def generate(
        self, chats: Sequence[Chat], n: int, form: Form, rngs: Sequence[np.random.Generator]
    ) -> Generated:
        """``n`` answers to each chat; none is ever invalid, so none is rejected. A free text ends at the
        first control token; it may be empty."""
        if isinstance(form, FreeText):
            answers = self._free(chats, n, form, rngs)
        elif isinstance(form, MixtureForm) or form.pairs > 1 or self.decode == "generate":
            contexts, segments = self._contexts(chats, form)
            draw = partial(constrained_samples, self.model, segments)
            drawn = self._by_seed(contexts, n, rngs, len(self.tokenizer), draw)
            answers = [[answer_of(chosen, form) for chosen in row] for row in drawn]
        else:
            if self.decode == "exact":
                single = [law.draw(n, rng) for law, rng in zip(self.exact(chats), rngs, strict=True)]
            else:
                single = self._split(chats, n, rngs)
            answers = [[answer_of([index], form) for index in row.tolist()] for row in single]
        return Generated(answers, (0,) * len(chats))

    def exact(self, chats: Sequence[Chat]) -> list[ExactAnswers]:
        """Each chat's whole distribution over the 121 x 121 settings; (x_i, y_j) has index 121 i + j."""
        contexts, (trie,) = self._contexts(chats, AnswerFormat())
        radix = fold(trie)
        vocabulary = torch.from_numpy(radix.vocabulary)
        rows = min(self._rows(contexts, len(vocabulary)), _MOST_FED // radix.length.sum())

        def work(part: Sequence[list[int]]) -> list[ExactAnswers]:
            return exact_answers(self._tree_rows(part, vocabulary), trie)

        return self._in_batches(contexts, max(1, rows), work)

    def _split(self, chats: Sequence[Chat], n: int, rngs: Sequence[np.random.Generator]) -> list[Ints]:
        contexts, (trie,) = self._contexts(chats, AnswerFormat())
        vocabulary = torch.from_numpy(fold(trie).vocabulary)

        def work(contexts: list[list[int]], seeds: list[int]) -> list[Ints]:
            rows = self._tree_rows(contexts, vocabulary)
            # Made anew, so that a batch that runs out of memory draws the same when it is halved.
            return split_samples(rows, trie, n, [np.random.default_rng(seed) for seed in seeds])

        return [row for (row,) in self._by_seed(contexts, 1, rngs, len(vocabulary), work)]

    def _free(
        self, chats: Sequence[Chat], n: int, form: FreeText, rngs: Sequence[np.random.Generator]
    ) -> list[list[str]]:
        own = self.model.generation_config.eos_token_id
        ends = {*self.text.control.values(), *(own if isinstance(own, list) else [own])}
        known = len(self.tokenizer)

        def work(contexts: list[list[int]], seeds: list[int]) -> list[str]:
            return [
                whole_lines(self.tokenizer.decode(ids, skip_special_tokens=True), ended=ended)
                for ids, ended in free_samples(self.model, contexts, ends, form.tokens, known, seeds)
            ]

        contexts = self.text.encode([self.text.pieces(chat) for chat in chats])
        return self._by_seed(contexts, n, rngs, known, work)

    def _encode(self, texts: list[str]) -> list[list[int]]:
        return self.text.encode([(text,) for text in texts])

    def _spell(self, text: str) -> list[int]:
        return [self._character(character) for character in text]

    def _character(self, character: str) -> int:
        """The token of a character of an answer: its own, or that of its byte."""
        own = ("▁", "Ġ") if character == " " else (character,)
        for name in (*own, f"<0x{ord(character):02X}>"):
            if name in self._vocabulary:
                return self._vocabulary[name]
        raise UsageError(
            f"--model {self.info.name}: its tokenizer has no token for {character!r}, so it cannot write an "
            "answer of several parts"
        )

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        return dict(self.tokenizer.get_vocab())

    def _contexts(self, chats: Sequence[Chat], form: Bound) -> tuple[list[list[int]], Segments]:
        """Token ids of each chat, and the tries that go on from where they end.

        The tries depend on the text behind the last turn alone, so that they are made once; each chat is
        encoded together with an answer, which has to end as they say.
        """
        texts = [self.text.pieces(chat) for chat in chats]
        end = texts[0][-1] if len(texts[0]) > 1 else ""
        segments = self._segments(end if end.strip() else self.render(chats[0])[-_TAIL:], form)
        path, answer = segments[0].path(0), segment_texts(form)[0][0]
        contexts = []
        encoded = self.text.encode([(*pieces[:-1], pieces[-1] + answer) for pieces in texts])
        for pieces, ids in zip(texts, encoded, strict=True):
            if ids[-len(path) :] != path or len(ids) == len(path):
                raise UsageError(
                    f"--model {self.info.name}: its tokenizer merges the answer into the chat "
                    f"({''.join(pieces)[-20:]!r}); use another chat template"
                )
            contexts.append(ids[: -len(path)])
        return contexts, segments

    def _rows(self, contexts: Sequence[list[int]], vocabulary: int) -> int:
        """Rows that fit in half of the free memory, from the size of cache, mask and logits."""
        config = self.model.config
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        tokens = max(map(len, contexts)) + _NODES
        per_token = 2 * config.num_hidden_layers * heads * width * self.model.dtype.itemsize
        row = tokens * per_token + 4 * _NODES * (tokens + vocabulary)
        return int(np.clip(free_memory(self.info.device) // 2 // row, 1, _MOST_ROWS))

    def _by_seed(
        self,
        contexts: Sequence[list[int]],
        n: int,
        rngs: Sequence[np.random.Generator],
        vocabulary: int,
        work: Callable[[list[list[int]], list[int]], list[T]],
    ) -> list[list[T]]:
        """``n`` results of ``work(contexts, seeds)`` for each context, every one with a seed of its own."""
        rows = [
            (context, int(seed))
            for context, rng in zip(contexts, rngs, strict=True)
            for seed in rng.integers(2**63 - 1, size=n)
        ]

        def batch(part: Sequence[tuple[list[int], int]]) -> list[T]:
            return work([context for context, _ in part], [seed for _, seed in part])

        flat = self._in_batches(rows, self._rows(contexts, vocabulary), batch)
        return [flat[i : i + n] for i in range(0, len(flat), n)]

    def _in_batches(
        self, items: Sequence[Any], size: int, work: Callable[[Sequence[Any]], list[T]]
    ) -> list[T]:
        """Work through items; where memory runs out, halve the batch, say so, and go on."""
        done: list[T] = []
        size = min(size, len(items))
        while len(done) < len(items):
            try:
                done += work(items[len(done) : len(done) + size])
            except torch.OutOfMemoryError:
                if size == 1:
                    raise RunError(
                        f"{self.info.name}: out of memory on {self.info.device} with a single row; use a "
                        "shorter template, fewer examples, --dtype bfloat16 or another device"
                    ) from None
                size = max(1, size // 2)
                warnings.warn(f"{self.info.name}: out of memory, batch halved to {size}", stacklevel=2)
        return done
