"""Exact i.i.d. sampling of answers by multinomial splitting: every distinct prefix is evaluated once.

n samples walk down the trie together. Where they stand at a node, one multinomial draw tells how many of
them take each child; only distinct prefixes are fed to the model, all of a level in one step. The result
is n independent draws from the model constrained to the trie (at each token, the allowed ones renormalised).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from popeq_llm.tree import TreeRows
from popeq_llm.trie import Trie


@dataclass
class _Walk:
    """The samples of one context: how many ended at each answer, and where the rest stand."""

    rng: np.random.Generator
    counts: dict[int, int] = field(default_factory=dict)
    #: (node, samples there, slot of its last fed ancestor), to be fed next
    front: list[tuple[int, int, int]] = field(default_factory=list)
    #: ancestors of each fed slot, itself included
    seen: list[list[int]] = field(default_factory=list)

    def split(self, trie: Trie, node: int, samples: int, slot: int, logits: NDArray[np.float64]) -> None:
        """Send the samples at a node to its children; ``logits`` are those of the children's tokens."""
        children = trie.children[node]
        weights = np.exp(logits - logits.max())
        drawn = self.rng.multinomial(samples, weights / weights.sum())
        for child, count in zip(children, drawn.tolist(), strict=True):
            if count:
                self.arrive(trie, child, count, slot)

    def arrive(self, trie: Trie, node: int, samples: int, slot: int) -> None:
        """Samples reach a node: what follows is forced, or it has to be fed."""
        if not trie.undecided[node]:
            while trie.answer[node] < 0:
                node = trie.children[node][0]
            self.counts[trie.answer[node]] = self.counts.get(trie.answer[node], 0) + samples
        else:
            self.front.append((node, samples, slot))


@torch.inference_mode()
def split_samples(
    rows: TreeRows, trie: Trie, n: int, rngs: Sequence[np.random.Generator]
) -> list[NDArray[np.int64]]:
    """``n`` answers (indices) for each row's context, in random order; row i uses ``rngs[i]`` alone."""
    walks = [_Walk(rng) for rng in rngs]
    for r, walk in enumerate(walks):
        allowed = [trie.token[c] for c in trie.children[0]]
        walk.split(trie, 0, n, -1, rows.first[r, allowed].double().cpu().numpy())
    while any(walk.front for walk in walks):
        chains = [[_chain(trie, *entry) for entry in walk.front] for walk in walks]
        ends = max(len(row) for row in chains)
        inner = max(sum(len(nodes) - 1 for nodes, *_ in row) for row in chains)
        fed, width = rows.fed, inner + ends
        ids = torch.zeros((len(walks), width), dtype=torch.long)
        depths = torch.zeros((len(walks), width), dtype=torch.long)
        ancestors = torch.zeros((len(walks), width, fed + width), dtype=torch.bool)
        for r, (walk, row) in enumerate(zip(walks, chains, strict=True)):
            walk.seen += [[] for _ in range(width)]
            place, end = 0, inner
            for nodes, _, slot in row:
                above = walk.seen[slot] if slot >= 0 else []
                for k, node in enumerate(nodes):
                    if k == len(nodes) - 1:
                        at, end = end, end + 1
                    else:
                        at, place = place, place + 1
                    above = [*above, fed + at]
                    walk.seen[fed + at] = above
                    ids[r, at], depths[r, at] = trie.token[node], trie.depth[node] - 1
                    ancestors[r, at, above] = True
        logits = rows.feed(ids, depths, ancestors, ends)
        for r, (walk, row) in enumerate(zip(walks, chains, strict=True)):
            walk.front = []
            for e, (nodes, samples, _) in enumerate(row):
                allowed = [trie.token[c] for c in trie.children[nodes[-1]]]
                found = logits[r, e, allowed].double().cpu().numpy()
                walk.split(trie, nodes[-1], samples, fed + inner + e, found)
    return [walk.rng.permutation(np.repeat(list(walk.counts), list(walk.counts.values()))) for walk in walks]


def _chain(trie: Trie, node: int, samples: int, slot: int) -> tuple[list[int], int, int]:
    """A node with what inevitably follows, down to where answers part."""
    nodes = [node]
    while len(trie.children[nodes[-1]]) == 1:
        nodes.append(trie.children[nodes[-1]][0])
    return nodes, samples, slot
