"""The whole predictive distribution over a trie of answers, and the log-probability of any answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from popeq_llm.tree import TreeRows
from popeq_llm.trie import Trie

Floats = NDArray[np.float64]
_CHUNK = 512


@dataclass(frozen=True, eq=False)
class ExactAnswers:
    """One context's distribution over all answers of a trie, by answer index.

    ``log_probability`` is the model's own (natural log, unconstrained), ``probability`` that of constrained
    decoding: at each token the allowed ones renormalised. The tokens at an answer's end that its beginning
    forces are left out of the former unless all were fed.
    """

    log_probability: Floats
    probability: Floats

    @property
    def parse_rate(self) -> float:
        """Share of unconstrained answers that would have been valid (as far as tokens were fed)."""
        return float(np.exp(self.log_probability).sum())

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """``n`` independent answers (indices), in random order."""
        counts = rng.multinomial(n, self.probability / self.probability.sum())
        return rng.permutation(np.repeat(np.arange(len(counts)), counts))


@torch.inference_mode()
def exact_answers(rows: TreeRows, trie: Trie, *, every_token: bool = False) -> list[ExactAnswers]:
    """The distribution of each row's context: every inner node of the trie is fed once, in chunks.

    Forced ends are not fed unless ``every_token``: they do not change constrained decoding, and with single
    digits they are four fifths of the nodes.
    """
    count = len(rows.lengths)
    free = np.zeros((count, len(trie.token)))
    held = np.zeros((count, len(trie.token)))
    for r in range(count):
        _pass_on(trie, 0, rows.first[r], free[r], held[r])
    inner = [v for v in range(1, len(trie.token)) if trie.children[v] and (every_token or trie.undecided[v])]
    above: dict[int, list[int]] = {0: []}
    for start in range(0, len(inner), _CHUNK):
        chunk = inner[start : start + _CHUNK]
        ancestors = torch.zeros((len(chunk), start + len(chunk)), dtype=torch.bool)
        for i, v in enumerate(chunk):
            above[v] = [*above[trie.parent[v]], start + i]
            ancestors[i, above[v]] = True
        ids = torch.tensor([[trie.token[v] for v in chunk]]).expand(count, -1)
        at = torch.tensor([[trie.depth[v] - 1 for v in chunk]]).expand(count, -1)
        logits = rows.feed(ids, at, ancestors.expand(count, -1, -1), len(chunk))
        for r in range(count):
            for i, v in enumerate(chunk):
                _pass_on(trie, v, logits[r, i], free[r], held[r])
    fed = {0, *inner}
    for v in range(1, len(trie.token)):  # what was not fed is forced: probability 1 below its parent
        if trie.parent[v] not in fed:
            free[:, v], held[:, v] = free[:, trie.parent[v]], held[:, trie.parent[v]]
    leaves = [leaf for _, leaf in sorted(trie.leaves.items())]
    return [ExactAnswers(free[r, leaves], np.exp(held[r, leaves])) for r in range(count)]


def _pass_on(trie: Trie, node: int, logits: torch.Tensor, free: Floats, held: Floats) -> None:
    """Add each child's token to the log-probability of the node, free and constrained."""
    children = list(trie.children[node])
    own = logits[[trie.token[c] for c in children]].double()
    total = torch.logsumexp(logits.double(), dim=0)
    free[children] = free[node] + (own - total).cpu().numpy()
    held[children] = held[node] + torch.log_softmax(own, dim=0).cpu().numpy()
