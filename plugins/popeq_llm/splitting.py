"""What a model constrained to a trie answers, every distinct prefix evaluated once, a level at a time.

Constrained: at each token, the allowed ones renormalised. ``split_samples`` draws n independent answers by
splitting: the samples of all contexts walk down the trie together, a decision at a time. Samples at the same
prefix share its evaluation; each then chooses its own next token, by inverting the distribution over the
allowed ones at a uniform number of its own. ``exact_answers`` gives the whole distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from popeq.typing import Floats, Ints
from popeq_llm.tree import TreeRows
from popeq_llm.trie import Trie, padded


@dataclass(frozen=True, eq=False)
class Radix:
    """The nodes of a trie where answers part (the decisions, D of them), the first at or below the root."""

    #: (T,) every token that is ever chosen, ascending
    vocabulary: Ints
    #: (D, L) tokens from the decision above (from the root for the first) down to each decision, padded, and
    #: (D,) how many they are: 0 if the first decision is the root
    path: Ints
    length: Ints
    #: (D,) tokens from the root to each decision
    depth: Ints
    #: (D, C) place in ``vocabulary`` of each child's token; -1 where a decision has fewer than C children
    column: Ints
    #: (D, C) the decision that a child leads to, or -1 - a where it is sure to end in answer ``a``
    target: Ints


@lru_cache(maxsize=16)
def fold(trie: Trie) -> Radix:
    """Fold away every token that is forced. A trie of a single answer has no decision (D = 0)."""
    decisions = [v for v, children in enumerate(trie.children) if len(children) > 1]
    index = {v: d for d, v in enumerate(decisions)}
    tokens = [[trie.token[c] for c in trie.children[v]] for v in decisions]
    vocabulary = np.array(sorted({t for row in tokens for t in row}), dtype=np.int64)
    paths: list[list[int]] = [[] for _ in decisions]

    def target(node: int) -> int:
        """Where a node leads; what lies between is the path of the decision that is reached."""
        path = [trie.token[node]] if node else []
        while node not in index and trie.answer[node] < 0:
            (node,) = trie.children[node]
            path.append(trie.token[node])
        if node not in index:
            return -1 - trie.answer[node]
        paths[index[node]] = path
        return index[node]

    target(0)
    targets = [[target(c) for c in trie.children[v]] for v in decisions]
    return Radix(
        vocabulary,
        path=padded(paths, 0),
        length=np.array([len(path) for path in paths], dtype=np.int64),
        depth=np.array([trie.depth[v] for v in decisions], dtype=np.int64),
        column=padded([np.searchsorted(vocabulary, row).tolist() for row in tokens], -1),
        target=padded(targets, -1),
    )


@torch.inference_mode()
def split_samples(rows: TreeRows, trie: Trie, n: int, rngs: Sequence[np.random.Generator]) -> list[Ints]:
    """``n`` answers (indices) for each row's context; row i draws from ``rngs[i]`` alone."""
    radix = fold(trie)
    count = len(rngs)
    # The decision of each sample, or -1 - its answer.
    at = np.full((count, n), 0 if len(radix.depth) else -1)
    # The place of each sample's prefix among those of the level above, and the slots that each of those sees.
    came, seen = np.repeat(np.arange(count)[:, None], n, axis=1), torch.zeros((count, 0), dtype=torch.bool)
    while (walking := at >= 0).any():
        place = np.arange(count)[:, None] * len(radix.depth) + at
        prefixes, first, inverse = np.unique(place[walking], return_index=True, return_inverse=True)
        owner, decision = np.divmod(prefixes, len(radix.depth))
        above = torch.from_numpy(came[walking][first])
        logits, seen = _child_logits(rows, radix, owner, decision, seen[above])
        # Cumulative probabilities of each prefix's children; the last of each row is exactly 1.
        total = np.exp(logits - logits.max(axis=1, keepdims=True)).cumsum(axis=1)
        chances = total / total[:, -1:]
        came[walking] = inverse
        uniform = np.zeros((count, n))
        for r in np.flatnonzero(walking.any(axis=1)).tolist():
            uniform[r] = rngs[r].random(n)
        chosen = (chances[inverse] <= uniform[walking][:, None]).sum(axis=1)
        at[walking] = radix.target[decision[inverse], chosen]
    return list(-1 - at)


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
        logits, seen = _child_logits(rows, radix, owner, level[place], seen[torch.from_numpy(above)])
        logs = torch.log_softmax(torch.from_numpy(logits), dim=1).numpy()
        logs = logs.reshape(count, len(level), -1) + reached[:, :, None]
        target, real = radix.target[level], radix.column[level] >= 0
        ends, inner = real & (target < 0), real & (target >= 0)
        answers[:, -1 - target[ends]] = logs[:, ends]
        reached = logs[:, inner]
        above = (np.arange(count)[:, None] * len(level) + np.nonzero(inner)[0]).ravel()
        level = target[inner]
    return [ExactAnswers(np.exp(row)) for row in answers]


def _child_logits(
    rows: TreeRows, radix: Radix, owner: Ints, decision: Ints, above: torch.Tensor
) -> tuple[Floats, torch.Tensor]:
    """Logits of the children of some decisions, whose prefixes are fed, those of a row side by side.

    ``owner`` (ascending) and ``decision`` are those of each of the K prefixes; ``above`` (K, fed) says which
    slots it sees of those fed before. Gives logits (K, C), -inf where there are fewer children, and which
    slots each prefix sees now (K, fed + new).
    """
    logits, seen = rows.first, above
    if radix.length[decision[0]] > 0:  # else it is the root
        logits, seen = _feed(rows, radix, owner, decision, above)
    column = radix.column[decision]
    found = np.take_along_axis(logits.cpu().double().numpy(), column, axis=1)
    return np.where(column >= 0, found, -np.inf), seen


def _feed(
    rows: TreeRows, radix: Radix, owner: Ints, decision: Ints, above: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """As ``_child_logits``, but all logits (K, T): feed the tokens that lead to some decisions."""
    order, length = np.arange(len(owner)), radix.length[decision]
    start = np.searchsorted(owner, owner)  # the first prefix of the same row
    begin = length.cumsum() - length
    prefix = np.repeat(order, length)  # of each token, and which token of it
    step = np.arange(len(prefix)) - begin[prefix]
    # The last tokens of all prefixes, those of decisions, follow the other tokens of all.
    offset = begin - order
    offset -= offset[start]
    lead = int((offset + length - 1).max())
    end = lead + order - start
    place = owner[prefix], np.where(step == length[prefix] - 1, end[prefix], offset[prefix] + step)
    width = int(end.max()) + 1
    shape = (len(rows.lengths), width)
    ids, depths, of = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full(shape, -1)
    ids[place] = radix.path[decision[prefix], step]
    depths[place] = (radix.depth[decision] - length)[prefix] + step
    of[place] = prefix
    own = (
        (of[:, :, None] == of[:, None, :])
        & (of >= 0)[:, :, None]
        & (depths[:, None, :] <= depths[:, :, None])
    )
    sees = torch.zeros((*shape, above.shape[1] + width), dtype=torch.bool)
    sees[..., above.shape[1] :] = torch.from_numpy(own)
    sees[(*place, slice(above.shape[1]))] = above[torch.from_numpy(prefix)]
    logits = rows.feed(torch.from_numpy(ids), torch.from_numpy(depths), sees, width - lead)
    return logits[owner, order - start], sees[owner, end]
