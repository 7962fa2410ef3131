"""Exact i.i.d. sampling of answers by splitting: every distinct prefix is evaluated once.

The samples of all contexts walk down the trie together, a decision at a time. Samples at the same prefix
share its evaluation; each then chooses its own next token, by inverting the distribution over the allowed
ones at a uniform number of its own. The result is n independent draws from the model constrained to the
trie (at each token, the allowed ones renormalised).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from popeq.typing import Floats, Ints
from popeq_llm.tree import TreeRows
from popeq_llm.trie import Trie


@dataclass(frozen=True, eq=False)
class Radix:
    """The nodes of a trie where answers part (the decisions, D of them), the first at or below the root.

    Attributes
    ----------
    vocabulary : (T,)
        Every token that is ever chosen, ascending.
    path, length : (D, L), (D,)
        Tokens from the decision above (from the root for the first, whose length may be 0) down to each
        decision, padded at the end.
    depth : (D,)
        Tokens from the root to each decision.
    column : (D, C)
        Place in ``vocabulary`` of each child's token; -1 where a decision has fewer than C children.
    target : (D, C)
        The decision that a child leads to, or -1 - a where it is sure to end in answer ``a``.
    """

    vocabulary: Ints
    path: Ints
    length: Ints
    depth: Ints
    column: Ints
    target: Ints


@lru_cache(maxsize=16)
def fold(trie: Trie) -> Radix:
    """Fold away every token that is forced. A trie of a single answer has no decision (D = 0)."""
    decisions = [v for v, children in enumerate(trie.children) if len(children) > 1]
    index = {v: d for d, v in enumerate(decisions)}
    paths: list[list[int]] = []
    for v in decisions:
        path, node = [], v
        while node and (node == v or node not in index):
            path.append(trie.token[node])
            node = trie.parent[node]
        paths.append(path[::-1])
    vocabulary = np.unique([trie.token[c] for v in decisions for c in trie.children[v]]).astype(np.int64)
    width = max((len(trie.children[v]) for v in decisions), default=0)
    column = np.full((len(decisions), width), -1)
    target = np.full((len(decisions), width), -1)
    for d, v in enumerate(decisions):
        children = trie.children[v]
        column[d, : len(children)] = np.searchsorted(vocabulary, [trie.token[c] for c in children])
        target[d, : len(children)] = [_end(trie, c, index) for c in children]
    path_tokens = np.zeros((len(decisions), max(map(len, paths), default=0)), dtype=np.int64)
    for d, tokens in enumerate(paths):
        path_tokens[d, : len(tokens)] = tokens
    length = np.array([len(tokens) for tokens in paths], dtype=np.int64)
    depth = np.array([trie.depth[v] for v in decisions], dtype=np.int64)
    return Radix(vocabulary, path_tokens, length, depth, column, target)


def _end(trie: Trie, node: int, index: dict[int, int]) -> int:
    """Where what is forced below a node leads."""
    while node not in index and trie.answer[node] < 0:
        (node,) = trie.children[node]
    return index[node] if node in index else -1 - trie.answer[node]


@torch.inference_mode()
def split_samples(rows: TreeRows, trie: Trie, n: int, rngs: Sequence[np.random.Generator]) -> list[Ints]:
    """``n`` answers (indices) for each row's context; row i draws from ``rngs[i]`` alone."""
    radix = fold(trie)
    count = len(rngs)
    if not len(radix.depth):
        return [np.zeros(n, dtype=np.int64) for _ in rngs]
    at = np.zeros((count, n), dtype=np.int64)  # the decision of each sample, or -1 - its answer
    before: Ints | None = None  # prefixes of the level above, as row * D + decision
    seen = torch.zeros((count, 0), dtype=torch.bool)  # what each of them sees of the slots fed
    came = np.zeros((count, n), dtype=np.int64)  # each sample's prefix on the level above
    while (walking := at >= 0).any():
        place = np.arange(count)[:, None] * len(radix.depth) + at
        prefixes, first, inverse = np.unique(place[walking], return_index=True, return_inverse=True)
        owner, decision = np.divmod(prefixes, len(radix.depth))
        if before is None and radix.length[0] == 0:
            logits = rows.first
        else:
            above = np.arange(count) if before is None else came[walking][first]
            logits, seen = _feed(rows, radix, owner, decision, seen[torch.from_numpy(above)])
        chances = _chances(logits.cpu().double().numpy(), radix.column[decision])
        came[walking] = inverse
        uniform = np.zeros((count, n))
        for r in np.flatnonzero(walking.any(axis=1)).tolist():
            uniform[r] = rngs[r].random(n)
        chosen = (chances[inverse] <= uniform[walking][:, None]).sum(axis=1)
        at[walking] = radix.target[decision[inverse], chosen]
        before = prefixes
    return list(-1 - at)


def _chances(logits: Floats, columns: Ints) -> Floats:
    """Cumulative probabilities of each prefix's children, (K, C); the last of each row is exactly 1."""
    own = np.where(columns >= 0, np.take_along_axis(logits, columns, axis=1), -np.inf)
    total = np.exp(own - own.max(axis=1, keepdims=True)).cumsum(axis=1)
    chances: Floats = total / total[:, -1:]
    return chances


def _feed(
    rows: TreeRows, radix: Radix, owner: Ints, decision: Ints, above: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Feed the tokens that lead to some decisions, those of a row side by side.

    Parameters
    ----------
    owner, decision : (K,)
        Row (ascending) and decision of each prefix.
    above : (K, fed) bool
        The slots that the prefix sees of those fed before.

    Returns
    -------
    logits (K, V), seen (K, fed + new)
    """
    order = np.arange(len(owner))
    start = np.searchsorted(owner, owner)  # the first prefix of the same row
    inner = radix.length[decision] - 1
    offset = inner.cumsum() - inner
    offset -= offset[start]
    lead = int((offset + inner).max())  # slots of the tokens between two decisions; those of decisions follow
    width = lead + int((order - start).max()) + 1
    prefix = np.concatenate([np.repeat(order, inner), order])
    step = np.concatenate([np.arange(inner.sum()) - np.repeat(inner.cumsum() - inner, inner), inner])
    slot = np.concatenate([np.repeat(offset, inner) + step[: inner.sum()], lead + order - start])
    place = owner[prefix], slot
    shape = (len(rows.lengths), width)
    ids, depths, of = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full(shape, -1)
    ids[place] = radix.path[decision[prefix], step]
    depths[place] = radix.depth[decision[prefix]] - radix.length[decision[prefix]] + step
    of[place] = prefix
    own = (
        (of[:, :, None] == of[:, None, :])
        & (of >= 0)[:, :, None]
        & (depths[:, None, :] <= depths[:, :, None])
    )
    sees = torch.zeros((*shape, above.shape[1] + width), dtype=torch.bool)
    sees[..., above.shape[1] :] = torch.from_numpy(own)
    sees[place[0], place[1], : above.shape[1]] = above[torch.from_numpy(prefix)]
    ends = owner, order - start
    logits = rows.feed(torch.from_numpy(ids), torch.from_numpy(depths), sees, width - lead)
    return logits[ends], sees[ends[0], lead + ends[1]]
