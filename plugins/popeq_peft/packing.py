"""Prompts with all their answers packed into rows: answers are branches of one tree behind the prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from popeq_llm.trie import build_trie


@dataclass(frozen=True)
class Packed:
    """One prompt and its answers. Slots ``start`` and on hold a node of the answers' trie each.

    ``tokens`` (T,) and ``positions`` (T,); ``sees[i]`` are the branch slots (from ``start``) that slot
    ``start + i`` sees, itself included; edge k says that ``target[k]`` follows the slot ``parent[k]``
    (``start - 1`` is the prompt's last token) in ``count[k]`` answers.
    """

    tokens: tuple[int, ...]
    positions: tuple[int, ...]
    start: int
    sees: tuple[tuple[int, ...], ...]
    parent: tuple[int, ...]
    target: tuple[int, ...]
    count: tuple[int, ...]
    answers: int


def pack(prompt: Sequence[int], answers: Sequence[Sequence[int]]) -> Packed:
    """Every distinct prefix of the answers stands once, however many answers share it.

    ``prompt`` holds at least one token; no answer may begin another (end them with a token of their own).
    """
    counts = Counter(tuple(a) for a in answers)
    trie = build_trie(list(counts))
    passed = [0] * len(trie.token)
    for index, answer in enumerate(counts):
        node = trie.leaves[index]
        while node:
            passed[node] += counts[answer]
            node = trie.parent[node]
    slot: dict[int, int] = {0: len(prompt) - 1}
    tokens, positions = list(prompt), list(range(len(prompt)))
    above: dict[int, tuple[int, ...]] = {0: ()}
    sees, parent, target, count = [], [], [], []
    for node in range(1, len(trie.token)):
        parent.append(slot[trie.parent[node]])
        target.append(trie.token[node])
        count.append(passed[node])
        if trie.children[node]:  # a last token predicts nothing
            slot[node] = len(tokens)
            above[node] = (*above[trie.parent[node]], len(tokens) - len(prompt))
            sees.append(above[node])
            tokens.append(trie.token[node])
            positions.append(len(prompt) + trie.depth[node] - 1)
    return Packed(
        tuple(tokens),
        tuple(positions),
        len(prompt),
        tuple(sees),
        tuple(parent),
        tuple(target),
        tuple(count),
        len(answers),
    )


def packed_losses(model: Any, rows: Sequence[Packed], dtype: torch.dtype) -> Tensor:
    """Mean negative log-likelihood (nats) of a prompt's answers, for each row, (B,).

    Prompts are padded on the left, so that all rows' answers begin in one slot and only logits from there on
    are computed. ``model`` takes additive 4-D masks.
    """
    begin = max(row.start for row in rows)
    width = begin + max(len(row.tokens) - row.start for row in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    positions = torch.zeros((len(rows), width), dtype=torch.long)
    visible = torch.eye(width, dtype=torch.bool).repeat(len(rows), 1, 1)
    for r, row in enumerate(rows):
        left, end = begin - row.start, begin + len(row.tokens) - row.start
        ids[r, left:end] = torch.tensor(row.tokens)
        positions[r, left:end] = torch.tensor(row.positions)
        visible[r, left:begin, left:begin] = torch.ones((row.start, row.start), dtype=torch.bool).tril()
        visible[r, begin:end, left:begin] = True
        for i, seen in enumerate(row.sees):
            visible[r, begin + i, [begin + s for s in seen]] = True
    mask = torch.zeros(visible.shape, dtype=dtype).masked_fill_(~visible, torch.finfo(dtype).min)
    out = model(
        ids.to(model.device),
        attention_mask=mask[:, None].to(model.device),
        position_ids=positions.to(model.device),
        use_cache=False,
        logits_to_keep=width - begin + 1,
    )
    log_p = out.logits.float().log_softmax(dim=-1)
    losses = []
    for r, row in enumerate(rows):
        at = torch.tensor([p - row.start + 1 for p in row.parent], device=log_p.device)
        counts = torch.tensor(row.count, dtype=torch.float32, device=log_p.device)
        found = log_p[r, at, torch.tensor(row.target, device=log_p.device)]
        losses.append(-(found * counts).sum() / row.answers)
    return torch.stack(losses)
