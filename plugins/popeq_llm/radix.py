"""A trie of answers folded to its decisions, as arrays: what splitting steps through all at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from popeq.typing import Ints
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
