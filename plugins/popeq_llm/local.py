"""Any Hugging Face causal model as a LanguageModel whose every setting is valid."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache, partial
from typing import Any, Literal, TypeGuard, TypeVar

import numpy as np
import torch

from popeq.errors import RunError, UsageError
from popeq.typing import Ints
from popeq_llm.answers import MOST_AT_ONCE, AnswerFormat, Bound, Form, FreeText, whole_lines
from popeq_llm.architecture import check_length, text_config, values_per_token
from popeq_llm.chat_text import ChatText
from popeq_llm.known import DEFAULT_MODEL
from popeq_llm.loading import Loaded, free_memory, load, pick_device, pick_dtype
from popeq_llm.models import Chat, Generated, ModelInfo
from popeq_llm.splitting import ExactAnswers, exact_answers, split_samples, vocabulary_of
from popeq_llm.token_by_token import constrained_samples, free_samples, grammar_of, segment_texts
from popeq_llm.tree import Prefix, TreeRows, has_plain_head, takes_steps, takes_trees
from popeq_llm.trie import Grammar, common_length

Decode = Literal["auto", "split", "exact", "generate"]
T = TypeVar("T")

#: Characters of the end of a chat that the tokens of an answer can depend on.
_TAIL = 48
_MOST_ROWS = 64
#: Tokens that the samples of a chat add to its context, about.
_NODES = 600
#: Tokens fed at once for whole distributions.
_MOST_FED = 4096
_ONE = AnswerFormat()


def _has_one_choice(form: Bound) -> TypeGuard[AnswerFormat]:
    """Whether an answer is one choice, between not too many for its whole distribution."""
    return isinstance(form, AnswerFormat) and form.pairs == 1 and form.numbers.count <= MOST_AT_ONCE


class LocalModel:
    """A causal model on this machine: a packaged one, a GGUF file, a folder, or a hub name.

    ``decode`` is how settings are drawn: ``split`` (multinomial splitting over the tries of answers),
    ``exact`` (the whole distribution of a single setting, then draws from it; several are split, and a plane
    of more than ``MOST_AT_ONCE`` settings is),
    ``generate`` (token by token), or ``auto``: split where the model takes tree masks, else generate.
    ``loaded`` is the model where it is loaded already (a fine-tuned one, say); ``report`` is called with a
    line before what takes long.
    """

    def __init__(
        self,
        name: str = DEFAULT_MODEL,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        decode: Decode = "auto",
        loaded: Loaded | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        chosen = pick_device(device)
        loaded = loaded or load(name, revision, chosen, pick_dtype(dtype, chosen), report=report)
        self.model, self.tokenizer, name = loaded.model, loaded.tokenizer, loaded.name
        self._report = report
        self.text = ChatText(self.tokenizer, name)
        notes = []
        if not self.text.has_template:
            notes.append(
                f"{name} has no chat template: a plain one is used, with the turns one below another"
            )
        notes += filter(None, [self.text.note()])
        trees = decode != "generate" and takes_trees(self.model, len(self.tokenizer))
        if decode in ("split", "exact") and not trees:
            raise UsageError(f"--decode {decode}: {name} does not take tree masks; use --decode generate")
        if not trees and not takes_steps(self.model, len(self.tokenizer)):
            raise UsageError(
                f"--model {name}: a {type(self.model).__name__} cannot be fed answers token by token (popeq "
                "compares that with its plain logits when it loads a model); use another model"
            )
        if decode == "auto" and not trees:
            notes.append(f"{name} does not take tree masks: settings are drawn token by token")
        self.decode: Decode = ("split" if trees else "generate") if decode == "auto" else decode
        self._plain_head = has_plain_head(self.model)
        self._prefix: Prefix | None = None
        self.info = ModelInfo(
            name=name,
            revision=loaded.revision,
            quantisation=loaded.quantisation,
            parameters=sum(p.numel() for p in self.model.parameters()),
            device=chosen,
            dtype=str(self.model.dtype).removeprefix("torch."),
            notes=tuple(notes),
        )
        self._grammar = lru_cache(maxsize=8)(partial(grammar_of, self._encode, self._spell))

    def render(self, chat: Chat) -> str:
        """The text that the model continues, through its own chat template where it has one."""
        return self.text.render(chat)

    def share(self, chats: Sequence[Chat]) -> None:
        """Keep what these chats, at least two, begin with: it is computed once for all chats that do.

        What is kept depends on these alone, so that no answer depends on which chats were asked before.
        Raises UsageError if they are longer than the model's context.
        """
        if self.decode == "generate":
            return
        ids = self.text.encode([self.text.pieces(chat) for chat in chats])
        check_length(self.info.name, self.model, ids, 1)
        # The last token may change with what follows it.
        if (size := common_length(ids) - 1) > 0:
            self._prefix = Prefix.of(self.model, ids[0][:size], plain_head=self._plain_head)

    def generate(
        self, chats: Sequence[Chat], n: int, form: Form, rngs: Sequence[np.random.Generator]
    ) -> Generated:
        """``n`` answers to each chat; none is ever invalid, so none is rejected. A free text ends at the
        first control token; it may be empty."""
        if isinstance(form, FreeText):
            answers = self._free(chats, n, form, rngs)
        elif self.decode == "generate":
            contexts, grammar = self._contexts(chats, form)
            draw = partial(constrained_samples, self.model, grammar)
            size = self._rows(contexts, len(self.tokenizer))
            answers = self._by_seed(contexts, n, rngs, size, draw)
        elif self.decode == "exact" and _has_one_choice(form):
            (texts,) = segment_texts(form)
            laws = self.exact(chats, form)
            answers = [[texts[i] for i in law.draw(n, rng)] for law, rng in zip(laws, rngs, strict=True)]
        else:
            answers = self._split(chats, n, form, rngs)
        return Generated(answers, (0,) * len(chats))

    def exact(self, chats: Sequence[Chat], form: AnswerFormat = _ONE) -> list[ExactAnswers]:
        """Each chat's whole distribution over the settings, at most ``MOST_AT_ONCE`` of them: of the paper's
        plane 121 x 121, (x_i, y_j) with the index 121 i + j."""
        contexts, grammar = self._contexts(chats, form)
        vocabulary = torch.from_numpy(vocabulary_of(grammar))
        nodes = len(grammar.tries[0].token) - len(grammar.tries[0].leaves)
        rows = min(self._trees(contexts, len(vocabulary)), _MOST_FED // nodes)

        def work(part: Sequence[list[int]]) -> list[ExactAnswers]:
            return exact_answers(self._tree_rows(part, vocabulary), grammar)

        return self._in_batches(contexts, max(1, rows), work)

    def _split(
        self, chats: Sequence[Chat], n: int, form: Bound, rngs: Sequence[np.random.Generator]
    ) -> list[list[str]]:
        contexts, grammar = self._contexts(chats, form)
        vocabulary = torch.from_numpy(vocabulary_of(grammar))

        def work(contexts: list[list[int]], seeds: list[int]) -> list[Ints]:
            rows = self._tree_rows(contexts, vocabulary)
            # Made anew, so that a batch that runs out of memory draws the same when it is halved.
            return split_samples(rows, grammar, n, [np.random.default_rng(seed) for seed in seeds])

        drawn = self._by_seed(contexts, 1, rngs, self._trees(contexts, len(vocabulary)), work)
        return [[grammar.text(chosen) for chosen in row.tolist()] for (row,) in drawn]

    def _tree_rows(self, contexts: Sequence[list[int]], vocabulary: torch.Tensor) -> TreeRows:
        prefix = self._prefix if self._prefix is not None and self._prefix.begins(contexts) else None
        return TreeRows(self.model, contexts, vocabulary, plain_head=self._plain_head, prefix=prefix)

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
        check_length(self.info.name, self.model, contexts, form.tokens)
        return self._by_seed(contexts, n, rngs, self._rows(contexts, known), work)

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

    def _contexts(self, chats: Sequence[Chat], form: Bound) -> tuple[list[list[int]], Grammar]:
        """Token ids of each chat, and the tries that go on from where they end.

        The tries depend on the text behind the last turn alone, so that they are made once; each chat is
        encoded together with an answer, which has to end as they say.
        """
        texts = [self.text.pieces(chat) for chat in chats]
        end = texts[0][-1] if len(texts[0]) > 1 else ""
        grammar = self._grammar(end if end.strip() else self.render(chats[0])[-_TAIL:], segment_texts(form))
        path, answer = grammar.tries[0].path(0), grammar.texts[0][0]
        contexts = []
        encoded = self.text.encode([(*pieces[:-1], pieces[-1] + answer) for pieces in texts])
        for pieces, ids in zip(texts, encoded, strict=True):
            if ids[-len(path) :] != path or len(ids) == len(path):
                raise UsageError(
                    f"--model {self.info.name}: its tokenizer merges the answer into the chat "
                    f"({''.join(pieces)[-20:]!r}); use another chat template"
                )
            contexts.append(ids[: -len(path)])
        check_length(self.info.name, self.model, contexts, sum(max(trie.depth) for trie in grammar.tries))
        return contexts, grammar

    def _rows(self, contexts: Sequence[list[int]], vocabulary: int) -> int:
        """Rows that fit in half of the free memory, from the size of the cache (which is copied as it grows),
        of masks and scores and of logits."""
        longest = max(map(len, contexts))
        tokens = longest + _NODES
        per_token = values_per_token(self.model) * self.model.dtype.itemsize
        scores = (getattr(text_config(self.model), "num_attention_heads", None) or 1) * tokens * longest
        row = 2 * tokens * per_token + 4 * scores + 4 * _NODES * (tokens + vocabulary)
        return int(np.clip(free_memory(self.info.device) // 2 // row, 1, _MOST_ROWS))

    def _trees(self, contexts: Sequence[list[int]], vocabulary: int) -> int:
        """Trees at once. On the CPU one fills the processor, and no prompt's last bits depend on others."""
        return 1 if self.info.device == "cpu" else self._rows(contexts, vocabulary)

    def _by_seed(
        self,
        contexts: Sequence[list[int]],
        n: int,
        rngs: Sequence[np.random.Generator],
        size: int,
        work: Callable[[list[list[int]], list[int]], list[T]],
    ) -> list[list[T]]:
        """``n`` results of ``work(contexts, seeds)`` for each context, each with a seed of its own; up to
        ``size`` rows at once."""
        rows = [
            (context, int(seed))
            for context, rng in zip(contexts, rngs, strict=True)
            for seed in rng.integers(2**63 - 1, size=n)
        ]

        def batch(part: Sequence[tuple[list[int], int]]) -> list[T]:
            return work([context for context, _ in part], [seed for _, seed in part])

        flat = self._in_batches(rows, size, batch)
        return [flat[i : i + n] for i in range(0, len(flat), n)]

    def _in_batches(
        self, items: Sequence[Any], size: int, work: Callable[[Sequence[Any]], list[T]]
    ) -> list[T]:
        """Work through items; where memory runs out, halve the batch, say so, and go on."""
        done: list[T] = []
        size = min(size, len(items))
        while len(done) < len(items):
            if done:
                self._report(f"{self.info.name}: {len(done)} of {len(items)} of this batch")
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
