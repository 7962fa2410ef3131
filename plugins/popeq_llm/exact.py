"""The whole predictive distribution over a trie of answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from popeq.typing import Floats, Ints
from popeq_llm.splitting import child_logits, fold
from popeq_llm.tree import TreeRows
from popeq_llm.trie import Trie


@dataclass(frozen=True, eq=False)
class ExactAnswers:
    """One context's distribution over all answers of a trie, by answer index.

    ``probability`` is that of constrained decoding: at each token the allowed ones renormalised.
    """

    probability: Floats

    def draw(self, n: int, rng: np.random.Generator) -> Ints:
        """``n`` independent answers (indices), in random order."""
        counts = rng.multinomial(n, self.probability / self.probability.sum())
        return rng.permutation(np.repeat(np.arange(len(counts)), counts))


@torch.inference_mode()
def exact_answers(rows: TreeRows, trie: Trie) -> list[ExactAnswers]:
    """The distribution of each row's context: every decision of the trie is evaluated once, level by level.

    ``rows`` give the logits of the trie's vocabulary (``fold``).
    """
    radix, count = fold(trie), len(rows.lengths)
    answers = np.zeros((count, len(trie.leaves)))  # log-probabilities; 0 for an answer that is the only one
    level = np.arange(min(1, len(radix.depth)))  # the decisions of a level; here the first
    above, seen = np.arange(count), torch.zeros((count, 0), dtype=torch.bool)
    reached = np.zeros((count, len(level)))  # log-probability of each of them
    while len(level):
        owner, place = np.divmod(np.arange(count * len(level)), len(level))
        logits, seen = child_logits(rows, radix, owner, level[place], seen[torch.from_numpy(above)])
        logs = torch.log_softmax(torch.from_numpy(logits), dim=1).numpy()
        logs = logs.reshape(count, len(level), -1) + reached[:, :, None]
        target, real = radix.target[level], radix.column[level] >= 0
        ends, inner = real & (target < 0), real & (target >= 0)
        answers[:, -1 - target[ends]] = logs[:, ends]
        reached = logs[:, inner]
        above = (np.arange(count)[:, None] * len(level) + np.nonzero(inner)[0]).ravel()
        level = target[inner]
    return [ExactAnswers(np.exp(row)) for row in answers]
