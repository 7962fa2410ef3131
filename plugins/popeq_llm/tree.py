"""Feed trees of tokens to a causal model: contexts once, then any number of branches in one row.

A row holds one context and, behind it, tokens whose mask shows them the context and their own ancestors
only, at the positions they would have in a plain sequence. Each distinct prefix is evaluated once.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from popeq_llm.architecture import additive_masks, attention_windows, new_cache, prefix_tokens, short_window
from popeq_llm.token_by_token import Stepping
from popeq_llm.trie import common_length, padded


class Head:
    """Runs a causal model in two steps, states and logits.

    ``plain`` is the result of ``has_plain_head`` for the model; if it has none, its states are its logits
    themselves. ``vocabulary`` (T,): the tokens whose logits are wanted, in this order; all V if None.
    """

    def __init__(self, model: Any, plain: bool, vocabulary: Tensor | None = None) -> None:
        self._model = model
        self._plain = plain
        self._vocabulary = slice(None) if vocabulary is None else vocabulary.to(model.device)
        if plain:
            head = model.get_output_embeddings()
            self._weight = head.weight[self._vocabulary]
            self._bias = None if head.bias is None else head.bias[self._vocabulary]

    def states(self, ids: Tensor, **options: Any) -> Tensor:
        """What ``logits`` needs of each slot, (rows, S, width); ``options`` as of the model's forward."""
        if self._plain:
            states: Tensor = self._model.base_model(ids, **options).last_hidden_state
            return states
        logits: Tensor = self._model(ids, **options).logits
        return logits[..., self._vocabulary]

    def logits(self, states: Tensor) -> Tensor:
        """Logits of the wanted tokens, float32."""
        if self._plain:
            states = nn.functional.linear(states, self._weight, self._bias)
        return states.float()


@torch.inference_mode()
def has_plain_head(model: Any) -> bool:
    """Whether the model's logits are a linear map of its last states and nothing more (no cap, no scale)."""
    ids = torch.arange(1, 9, device=model.device)[None]
    seen: list[Tensor] = []
    try:
        head = model.get_output_embeddings()
        with head.register_forward_hook(lambda _, given, out: seen.extend((given[0], out))):
            logits = model(ids, use_cache=False).logits
        states = model.base_model(ids, use_cache=False).last_hidden_state
    except (TypeError, ValueError, RuntimeError, AttributeError):
        return False
    return (
        type(head) is nn.Linear
        and len(seen) == 2
        and torch.equal(seen[1], logits.to(seen[1].dtype))
        and seen[0].dtype == states.dtype  # Mamba's states may be finer than its weights
        and torch.allclose(seen[0], states, rtol=1e-3, atol=1e-5)
    )


@dataclass(frozen=True)
class Prefix:
    """Tokens that contexts begin with, and a cache of one row that holds them."""

    ids: tuple[int, ...]
    cache: Any

    @classmethod
    @torch.inference_mode()
    def of(cls, model: Any, ids: Sequence[int], *, plain_head: bool) -> Prefix:
        """Feed the tokens, at least one, to a model."""
        cache = new_cache()
        head = Head(model, plain_head, torch.zeros(1, dtype=torch.long))
        head.states(torch.tensor([list(ids)], device=model.device), past_key_values=cache, use_cache=True)
        return cls(tuple(ids), cache)

    def begins(self, contexts: Sequence[Sequence[int]]) -> bool:
        """Whether every context begins with it and goes on."""
        size = len(self.ids)
        return all(len(c) > size and tuple(c[:size]) == self.ids for c in contexts)


class TreeRows:
    """A batch of contexts in a model's cache, and the branches fed behind them so far.

    The causal ``model`` takes 4-D attention masks. ``contexts`` are the token ids of each row, none empty.
    What a ``prefix`` that begins all of them holds is not computed again; without one, what they share is
    computed once. ``vocabulary`` and ``plain_head`` are those of ``Head``.
    """

    def __init__(
        self,
        model: Any,
        contexts: Sequence[Sequence[int]],
        vocabulary: Tensor | None = None,
        *,
        plain_head: bool = False,
        prefix: Prefix | None = None,
    ) -> None:
        self.model = model
        self.device = model.device
        self.lengths = [len(c) for c in contexts]
        self._head = Head(model, plain_head, vocabulary)
        self._starts = torch.tensor(self.lengths, device=self.device)
        rows = len(contexts)
        if prefix is None and rows > 1 and (size := min(common_length(contexts), min(self.lengths) - 1)):
            prefix = Prefix.of(model, contexts[0][:size], plain_head=plain_head)
        shared = 0 if prefix is None else len(prefix.ids)
        self.cache = new_cache() if prefix is None else copy.deepcopy(prefix.cache)
        if shared and rows > 1:
            self.cache.batch_repeat_interleave(rows)
        ids = torch.from_numpy(padded([c[shared:] for c in contexts], 0)).to(self.device)
        slots = torch.arange(max(self.lengths), device=self.device)
        #: Which slots of the cache a row's branches may look at: its own context, no padding.
        self.context = slots < self._starts[:, None]
        visible = self.context[:, None, :] & (slots <= slots[shared:, None])
        #: The position of each slot of the cache, (rows, fed). That of padding is the last token's, so that a
        #: window shows it some of the context: a softmax over nothing would be NaN.
        self._positions = torch.minimum(slots, self._starts[:, None] - 1)
        states = self._forward(ids, visible, self._positions[:, shared:])
        last = (torch.arange(rows, device=self.device), self._starts - shared - 1)
        #: Logits of the first token behind each context, (rows, T).
        self.first = self._head.logits(states[last])

    def feed(self, ids: Tensor, depths: Tensor, ancestors: Tensor, keep: int) -> Tensor:
        """Feed S more slots a row and return the logits of the last ``keep`` of them, (rows, keep, T).

        ``ids`` and ``depths`` (rows, S): tokens, and how many tokens behind the context each is (the first is
        0). ``ancestors`` (rows, S, fed + S): which branch slots each may look at, itself included.
        """
        visible = torch.cat(
            [self.context[:, None, :].expand(-1, ids.shape[1], -1), ancestors.to(self.device)], dim=2
        )
        positions = self._starts[:, None] + depths.to(self.device)
        self._positions = torch.cat([self._positions, positions], dim=1)
        states = self._forward(ids.to(self.device), visible, positions)
        return self._head.logits(states[:, -keep:])

    def _forward(self, ids: Tensor, visible: Tensor, positions: Tensor) -> Tensor:
        return self._head.states(
            ids,
            attention_mask=additive_masks(self.model, visible, positions, self._positions),
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
        )


#: Tokens of the window while a model is checked: fewer than those of either context.
_WINDOW = 4
#: How far off a model may be in float32, and at most, as a part of the largest logit.
_EXACT, _MOST = 0.005, 0.25


@torch.inference_mode()
def takes_trees(model: Any, vocabulary: int) -> bool:
    """Whether the model, given 4-D masks, scores branches as it scores plain sequences.

    It may be off by 0.5 % of the largest logit. In half precision, which on a GPU is less exact, it may be
    off by 2 %, or by three times as much as the model's own two ways (a sequence at once, and token by
    token), up to 25 %.
    """
    if attention_windows(model) is None:
        return False
    contexts, branches = _probe(vocabulary)
    (a, b), rows = branches, len(contexts)
    ids = torch.tensor([[a[0], b[0], a[1], b[1]]]).expand(rows, -1)
    depths = torch.tensor([[0, 0, 1, 1]]).expand(rows, -1)
    ancestors = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1]], dtype=torch.bool)
    try:
        with short_window(model, _WINDOW + prefix_tokens(model)):
            plain = _plain(model, contexts, branches)
            noise = _distance(_stepped(model, contexts, branches), plain)
            found = TreeRows(model, contexts).feed(ids, depths, ancestors.expand(rows, -1, -1), 2)
    except Exception:  # a model's own code can raise anything at what it does not know
        return False
    share = _EXACT if model.dtype == torch.float32 else min(_MOST, max(0.02, 3.0 * noise))
    return _distance(torch.stack([found[0, 0], found[1, 1]]), plain) <= share


@torch.inference_mode()
def takes_steps(model: Any, vocabulary: int) -> bool:
    """Whether the model, fed token by token behind its own cache, scores sequences as it scores each at once:
    within 0.5 % of the largest logit, 25 % in half precision. They have different lengths, some are equal."""
    contexts, branches = _probe(vocabulary)
    try:
        with short_window(model, _WINDOW):
            twice = _stepped(model, contexts * 2, branches * 2)
            off = _distance(twice, _plain(model, contexts, branches).repeat(2, 1))
    except Exception:  # a model's own code can raise anything at what it does not know
        return False
    return off <= (_EXACT if model.dtype == torch.float32 else _MOST)


def _probe(vocabulary: int) -> tuple[list[list[int]], list[list[int]]]:
    """Two contexts of different lengths that begin alike, and a branch of two tokens for each."""
    rng = torch.Generator().manual_seed(0)
    draw = torch.randint(min(vocabulary, 1000), (18,), generator=rng).tolist()
    return [draw[:12], [*draw[:4], *draw[12:14]]], [draw[14:16], draw[16:]]


def _plain(model: Any, contexts: list[list[int]], branches: list[list[int]]) -> Tensor:
    """Logits behind each context and its branch, each sequence at once and by itself."""
    sequences = [c + b for c, b in zip(contexts, branches, strict=True)]
    return torch.stack(
        [model(torch.tensor([s], device=model.device)).logits[0, -1].float() for s in sequences]
    )


def _stepped(model: Any, contexts: list[list[int]], branches: list[list[int]]) -> Tensor:
    """The same, side by side and token by token."""
    steps = Stepping(model, contexts)
    for tokens in zip(*branches, strict=True):
        steps.logits()
        steps.append(tokens)
    return steps.logits()


def _distance(found: Tensor, plain: Tensor) -> float:
    """The largest difference, as a part of the largest logit."""
    scale = plain.abs().max().item() or 1.0
    return (found.to(plain.device) - plain).abs().max().item() / scale
