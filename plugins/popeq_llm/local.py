"""Any Hugging Face causal model as a LanguageModel whose every answer is valid."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from popeq.errors import RunError, UsageError
from popeq_llm.answers import AnswerFormat
from popeq_llm.constrained import Segments, answer_of, answer_segments, constrained_samples
from popeq_llm.exact import ExactAnswers, exact_answers
from popeq_llm.loading import TINY, free_memory, load, pick_device, pick_dtype
from popeq_llm.models import Chat, Generated, ModelInfo
from popeq_llm.splitting import split_samples
from popeq_llm.tree import TreeRows, takes_trees
from popeq_llm.trie import build_trie, continuations

Decode = Literal["auto", "split", "exact", "generate"]
T = TypeVar("T")

#: Characters of the end of a chat that the tokens of an answer can depend on.
_TAIL = 48
_MOST_ROWS = 64
_NODES = 600


class LocalModel:
    """A causal model on this machine.

    Parameters
    ----------
    name
        ``popeq-tiny``, a folder, or a hub name.
    decode
        How single settings are drawn: ``split`` (multinomial splitting over the trie of answers), ``exact``
        (the whole distribution, then draws from it), ``generate`` (token by token), or ``auto``: split where
        the model takes tree masks, else generate.
    loaded
        Model, tokenizer and revision, where they are loaded already (a fine-tuned one, say).
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
        loaded = loaded or load(name, revision, chosen, pick_dtype(dtype, chosen))
        self.model, self.tokenizer, found = loaded
        notes = []
        if not getattr(self.tokenizer, "chat_template", None):
            notes.append(
                f"{name} has no chat template: a plain one is used, with the turns one below another"
            )
        self._trees = decode != "generate" and takes_trees(self.model, len(self.tokenizer))
        if decode in ("split", "exact") and not self._trees:
            raise UsageError(f"--decode {decode}: {name} does not take tree masks; use --decode generate")
        if decode == "auto" and not self._trees:
            notes.append(f"{name} does not take tree masks: settings are drawn token by token")
        self.decode: Decode = ("split" if self._trees else "generate") if decode == "auto" else decode
        self._info = ModelInfo(
            name=name,
            revision=found,
            stand_in=name == TINY,
            parameters=sum(p.numel() for p in self.model.parameters()),
            device=chosen,
            dtype=str(self.model.dtype).removeprefix("torch."),
            notes=tuple(notes),
        )
        self._segments = lru_cache(maxsize=8)(self._build_segments)

    @property
    def info(self) -> ModelInfo:
        return self._info

    def render(self, chat: Chat) -> str:
        """The text that the model continues, through its own chat template where it has one."""
        turns = [{"role": m.role, "content": m.content} for m in chat]
        if not getattr(self.tokenizer, "chat_template", None):
            body = "\n\n".join(m.content for m in chat)
            return f"{self.tokenizer.bos_token or ''}{body}\n\nAnswer:\n"
        try:
            text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        except Exception as error:
            if not turns or turns[0]["role"] != "system":
                raise
            # Templates without a system role refuse it: put it before the first turn.
            merged = [
                {"role": "user", "content": f"{turns[0]['content']}\n\n{turns[1]['content']}"},
                *turns[2:],
            ]
            try:
                text = self.tokenizer.apply_chat_template(merged, tokenize=False, add_generation_prompt=True)
            except Exception:
                raise UsageError(f"--model {self._info.name}: its chat template fails: {error}") from None
        return str(text)

    def generate(
        self, chats: Sequence[Chat], n: int, form: AnswerFormat, rngs: Sequence[np.random.Generator]
    ) -> Generated:
        """``n`` answers to each chat; none is ever invalid, so none is rejected."""
        if form.pairs == 1 and self.decode != "generate":
            chosen = self._single(chats, n, rngs)
        else:
            chosen = self._token_by_token(chats, n, form, rngs)
        return Generated([[answer_of(c, form) for c in row] for row in chosen])

    def exact(self, chats: Sequence[Chat], *, every_token: bool = False) -> list[ExactAnswers]:
        """Each chat's whole distribution over the 121 x 121 settings; (x_i, y_j) has index 121 i + j."""

        def work(part: Sequence[int]) -> list[ExactAnswers]:
            contexts, (trie,) = self._contexts([chats[i] for i in part], AnswerFormat())
            return exact_answers(TreeRows(self.model, contexts), trie, every_token=every_token)

        return self._in_batches(range(len(chats)), 1, work)

    @torch.inference_mode()
    def score(self, chats: Sequence[Chat], answers: Sequence[Sequence[str]]) -> list[NDArray[np.float64]]:
        """Log-probability of each answer to its chat: one pass a chat, shared beginnings evaluated once."""
        scores = []
        for chat, given in zip(chats, answers, strict=True):
            text = self.render(chat)
            sequences, healed = continuations(self._encode, text, list(given))
            ids = self._encode([text])[0]
            rows = TreeRows(self.model, [ids[: len(ids) - healed]])
            scores.append(exact_answers(rows, build_trie(sequences), every_token=True)[0].log_probability)
        return scores

    def _single(
        self, chats: Sequence[Chat], n: int, rngs: Sequence[np.random.Generator]
    ) -> list[list[list[int]]]:
        if self.decode == "exact":
            drawn = [e.draw(n, rng) for e, rng in zip(self.exact(chats), rngs, strict=True)]
        else:

            def work(part: Sequence[int]) -> list[NDArray[np.int64]]:
                contexts, (trie,) = self._contexts([chats[i] for i in part], AnswerFormat())
                return split_samples(TreeRows(self.model, contexts), trie, n, [rngs[i] for i in part])

            drawn = self._in_batches(range(len(chats)), self._rows(chats), work)
        return [[[int(i)] for i in row] for row in drawn]

    def _token_by_token(
        self, chats: Sequence[Chat], n: int, form: AnswerFormat, rngs: Sequence[np.random.Generator]
    ) -> list[list[list[int]]]:
        contexts, segments = self._contexts(chats, form)
        rows = [(i, int(seed)) for i, rng in enumerate(rngs) for seed in rng.integers(2**63 - 1, size=n)]

        def work(part: Sequence[tuple[int, int]]) -> list[list[int]]:
            return constrained_samples(
                self.model, [contexts[i] for i, _ in part], segments, [seed for _, seed in part]
            )

        flat = self._in_batches(rows, self._rows(chats), work)
        return [flat[i * n : (i + 1) * n] for i in range(len(chats))]

    def _encode(self, texts: list[str]) -> list[list[int]]:
        found: list[list[int]] = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        return found

    def _spell(self, text: str) -> list[int]:
        """One token a character: its own, or that of its byte."""
        vocabulary = self.tokenizer.get_vocab()
        spelled = []
        for character in text:
            own = ("▁", "Ġ") if character == " " else (character,)
            names = [name for name in (*own, f"<0x{ord(character):02X}>") if name in vocabulary]
            if not names:
                raise UsageError(
                    f"--model {self._info.name}: its tokenizer has no token for {character!r}, so it "
                    "cannot list several settings in one answer"
                )
            spelled.append(vocabulary[names[0]])
        return spelled

    def _build_segments(self, tail: str, form: AnswerFormat) -> Segments:
        return answer_segments(self._encode, self._spell, tail, form)

    def _contexts(self, chats: Sequence[Chat], form: AnswerFormat) -> tuple[list[list[int]], Segments]:
        """Token ids of each chat, and the tries that go on from where they end."""
        texts = [self.render(chat) for chat in chats]
        tails = {text[-_TAIL:] for text in texts}
        segments = self._segments(min(tails), form)
        probe = answer_of([0] * form.pairs, form)
        contexts = []
        for text, (ids, whole) in zip(texts, self._pairs(texts, probe), strict=True):
            kept = ids[: len(ids) - segments[0].healed]
            if whole[: len(kept)] != kept:
                raise UsageError(
                    f"--model {self._info.name}: its tokenizer merges the answer into the chat "
                    f"({text[-20:]!r}); use another chat template"
                )
            contexts.append(kept)
        return contexts, segments

    def _pairs(self, texts: list[str], probe: str) -> list[tuple[list[int], list[int]]]:
        return list(zip(self._encode(texts), self._encode([t + probe for t in texts]), strict=True))

    def _rows(self, chats: Sequence[Chat]) -> int:
        """Rows that fit in half of the free memory, from the size of the cache and of the mask."""
        config = self.model.config
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        tokens = max(len(self.render(c)) for c in chats) // 2 + _NODES
        per_token = 2 * config.num_hidden_layers * heads * width * self.model.dtype.itemsize
        row = tokens * per_token + 4 * _NODES * (tokens + len(self.tokenizer))
        return int(np.clip(free_memory(self._info.device) // 2 // row, 1, _MOST_ROWS))

    def _in_batches(
        self, items: Sequence[Any], size: int, work: Callable[[Sequence[Any]], list[T]]
    ) -> list[T]:
        """Work through items; where memory runs out, halve the batch, say so, and go on."""
        done: list[T] = []
        while len(done) < len(items):
            try:
                done += work(items[len(done) : len(done) + size])
            except torch.OutOfMemoryError:
                if size == 1:
                    raise RunError(
                        f"{self._info.name}: out of memory on {self._info.device} with a single row; use a "
                        "shorter template, fewer examples, --dtype bfloat16 or another device"
                    ) from None
                size = max(1, size // 2)
                warnings.warn(f"{self._info.name}: out of memory, batch halved to {size}", stacklevel=2)
        return done
