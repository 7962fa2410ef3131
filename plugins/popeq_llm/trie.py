"""The answers that a tokenizer can write, as a trie of its own tokens: what decoding is constrained to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from popeq.typing import Ints

Encode = Callable[[list[str]], list[list[int]]]


@dataclass(frozen=True, eq=False)
class Trie:
    """Token sequences that share their beginnings. Node 0 is the root, parents come before children.

    ``token[v]`` leads from ``parent[v]`` to node v; ``children[v]`` are nodes, in the order of their tokens;
    ``answer[v]`` is the index of the answer that ends at leaf v, -1 elsewhere; ``leaves[a]`` is the leaf of
    answer a. ``healed`` tokens at the end of the context are not fed: the answers' own tokens begin before
    them, because the tokenizer merges across the border. ``last`` is the answer behind which nothing follows,
    in a grammar of several tries that may end early; -1 for none.
    """

    token: tuple[int, ...]
    parent: tuple[int, ...]
    children: tuple[tuple[int, ...], ...]
    answer: tuple[int, ...]
    leaves: tuple[int, ...]
    healed: int = 0
    last: int = -1

    @cached_property
    def depth(self) -> tuple[int, ...]:
        """Tokens from the root to each node."""
        depths = [0]
        for v in range(1, len(self.token)):
            depths.append(depths[self.parent[v]] + 1)
        return tuple(depths)

    def path(self, answer: int) -> list[int]:
        """The tokens of an answer."""
        tokens, node = [], self.leaves[answer]
        while node:
            tokens.append(self.token[node])
            node = self.parent[node]
        return tokens[::-1]


def build_trie(sequences: Sequence[Sequence[int]], healed: int = 0, last: int = -1) -> Trie:
    """The trie of distinct token sequences.

    Raises
    ------
    ValueError
        If one sequence begins another (or equals it): then an answer would not end where a leaf is.
    """
    token, parent, leaves = [-1], [-1], []
    below: list[dict[int, int]] = [{}]
    for sequence in sequences:
        node = 0
        for t in sequence:
            if t not in below[node]:
                below[node][t] = len(token)
                token.append(t)
                parent.append(node)
                below.append({})
            node = below[node][t]
        leaves.append(node)
    answer_of = {leaf: index for index, leaf in enumerate(leaves)}
    if len(answer_of) < len(leaves) or any(below[leaf] for leaf in leaves):
        raise ValueError("one sequence begins or repeats another")
    children = tuple(tuple(b[t] for t in sorted(b)) for b in below)
    answer = tuple(answer_of.get(v, -1) for v in range(len(token)))
    return Trie(tuple(token), tuple(parent), children, answer, tuple(leaves), healed, last)


def continuations(encode: Encode, before: str, texts: Sequence[str]) -> tuple[list[list[int]], int]:
    """The tokens of each text behind ``before``, as the tokenizer writes the two together.

    Returns
    -------
    sequences, healed
        ``healed`` tokens of ``before`` alone are replaced by the beginnings of the sequences.
    """
    alone, *together = encode([before, *(before + text for text in texts)])
    shared = common_length([alone, *together])
    return [sequence[shared:] for sequence in together], len(alone) - shared


def common_length(sequences: Sequence[Sequence[int]]) -> int:
    """How many tokens all the sequences begin with."""
    first, last = min(map(list, sequences)), max(map(list, sequences))  # what these two share, all share
    return next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last))
    )


def padded(rows: Sequence[Sequence[int]], fill: int) -> Ints:
    """Rows of different lengths as an array (rows, longest), filled up at their ends."""
    width = max(map(len, rows), default=0)
    filled = [[*row, *[fill] * (width - len(row))] for row in rows]
    return np.array(filled, dtype=np.int64).reshape(len(rows), width)
