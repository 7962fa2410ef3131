"""What a model constrained to a grammar answers, every distinct prefix evaluated once, a level at a time.

A grammar is a row of tries, each a choice (a setting, say); an answer chooses once in each. Constrained: at
each token, the allowed ones renormalised. ``split_samples`` draws n independent answers by splitting: the
samples of all contexts walk down the tries together, a decision at a time. Samples at the same prefix share
its evaluation; each then chooses its own next token, by inverting the distribution over the allowed ones at a
uniform number of its own. ``exact_answers`` gives the whole distribution of a grammar of one trie.
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
    """The nodes of some tries, one behind another, where answers part: the D decisions, the first one first.

    C is the most children that a decision has. A child that leads to the end of the answer has no path.
    """

    #: (T,) every token that is ever chosen, ascending
    vocabulary: Ints
    #: tokens from the context to the first decision
    start: tuple[int, ...]
    #: (D, C) place in ``vocabulary`` of each child's token; -1 where there are fewer than C children
    column: Ints
    #: (D, C) the decision that a child leads to, -1 for none
    target: Ints
    #: (D, C, L) tokens from a decision to the next one, padded, the child's own first, and (D, C) how many
    path: Ints
    length: Ints
    #: (D, C) which answer of its trie a child decides, -1 for none yet, and (D,) the trie of a decision
    answer: Ints
    trie: Ints


@lru_cache(maxsize=16)
def fold(tries: tuple[Trie, ...]) -> Radix:
    """Fold away every token that is forced. A grammar of a single answer has no decision (D = 0)."""
    nodes = [
        (t, v) for t, trie in enumerate(tries) for v, below in enumerate(trie.children) if len(below) > 1
    ]
    index = {node: d for d, node in enumerate(nodes)}
    children = [[tries[t].token[c] for c in tries[t].children[v]] for t, v in nodes]
    vocabulary = np.array(sorted({token for row in children for token in row}), dtype=np.int64)

    def follow(t: int, v: int) -> tuple[list[int], int, int]:
        """From a node: the tokens to the next decision, that decision, the answer of trie t on the way."""
        path: list[int] = []
        answer = -1
        while True:
            if tries[t].answer[v] >= 0:
                answer = tries[t].answer[v] if answer < 0 else answer
                t, v = t + 1, 0
                if t == len(tries):
                    return [], -1, answer
            if (t, v) in index:
                return path, index[t, v], answer
            (v,) = tries[t].children[v]
            path.append(tries[t].token[v])

    edges = [[follow(t, child) for child in tries[t].children[v]] for t, v in nodes]
    paths = [
        [[token, *path] if target >= 0 else [] for token, (path, target, _) in zip(row, found, strict=True)]
        for row, found in zip(children, edges, strict=True)
    ]
    most = max((len(row) for row in children), default=0)
    flat = [path for row in paths for path in (*row, *[[]] * (most - len(row)))]
    long = padded(flat, 0)
    return Radix(
        vocabulary,
        start=tuple(follow(0, 0)[0]) if nodes else (),
        column=padded([np.searchsorted(vocabulary, row).tolist() for row in children], -1),
        target=padded([[target for _, target, _ in row] for row in edges], -1),
        path=long.reshape(len(nodes), most, -1) if nodes else long.reshape(0, 0, 0),
        length=padded([[len(path) for path in row] for row in paths], 0),
        answer=padded([[answer for _, _, answer in row] for row in edges], -1),
        trie=np.array([t for t, _ in nodes], dtype=np.int64),
    )


@dataclass(frozen=True, eq=False)
class _Level:
    """K prefixes that have been fed, those of a row side by side: ``owner`` (K,) ascending, how many tokens
    each has behind the context, which fed slots it sees (K, fed), and the logits behind it (K, T)."""

    owner: Ints
    depth: Ints
    seen: torch.Tensor
    logits: Floats


def _begin(rows: TreeRows, radix: Radix) -> _Level:
    """The contexts themselves, with what is forced behind them."""
    count = len(rows.lengths)
    level = _Level(
        np.arange(count),
        np.zeros(count, dtype=np.int64),
        torch.zeros((count, 0), dtype=torch.bool),
        rows.first.cpu().double().numpy(),
    )
    if not radix.start:
        return level
    path = np.tile(np.array(radix.start), (count, 1))
    return _fed(rows, level, np.arange(count), path, np.full(count, len(radix.start)))


def _fed(rows: TreeRows, above: _Level, came: Ints, path: Ints, length: Ints) -> _Level:
    """The level below: K prefixes, each ``came`` (K,) from a prefix above by ``length`` (K,) >= 1 tokens of
    ``path`` (K, L)."""
    owner, order = above.owner[came], np.arange(len(came))
    start = np.searchsorted(owner, owner)  # the first prefix of the same row
    begin = length.cumsum() - length
    prefix = np.repeat(order, length)  # of each token, and which token of it
    step = np.arange(len(prefix)) - begin[prefix]
    # The last tokens of all prefixes, those whose logits are wanted, follow the other tokens of all.
    offset = begin - order
    offset -= offset[start]
    lead = int((offset + length - 1).max())
    end = lead + order - start
    place = owner[prefix], np.where(step == length[prefix] - 1, end[prefix], offset[prefix] + step)
    width = int(end.max()) + 1
    shape = (len(rows.lengths), width)
    ids, depths, of = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full(shape, -1)
    ids[place] = path[prefix, step]
    depths[place] = above.depth[came][prefix] + step
    of[place] = prefix
    own = (
        (of[:, :, None] == of[:, None, :])
        & (of >= 0)[:, :, None]
        & (depths[:, None, :] <= depths[:, :, None])
    )
    known = above.seen.shape[1]
    sees = torch.zeros((*shape, known + width), dtype=torch.bool)
    sees[..., known:] = torch.from_numpy(own)
    sees[(*place, slice(known))] = above.seen[torch.from_numpy(came[prefix])]
    logits = rows.feed(torch.from_numpy(ids), torch.from_numpy(depths), sees, width - lead)
    found = logits[owner, order - start].cpu().double().numpy()
    return _Level(owner, above.depth[came] + length, sees[owner, end], found)


def _child_logits(level: _Level, radix: Radix, decision: Ints) -> Floats:
    """Logits of the children (K, C) of the decision that each prefix has come to; -inf where it has fewer."""
    column = radix.column[decision]
    return np.where(column >= 0, np.take_along_axis(level.logits, column, axis=1), -np.inf)


@torch.inference_mode()
def split_samples(
    rows: TreeRows, tries: tuple[Trie, ...], n: int, rngs: Sequence[np.random.Generator]
) -> list[Ints]:
    """``n`` answers for each row's context, (n, len(tries)) indices; row i draws from ``rngs[i]`` alone.

    ``rows`` give the logits of ``fold(tries).vocabulary``.
    """
    radix, count = fold(tries), len(rngs)
    answers = np.zeros((count, n, len(tries)), dtype=np.int64)
    # The decision of each sample, -1 at its end, and which prefix of the level it has.
    at = np.full((count, n), 0 if len(radix.trie) else -1)
    has = np.repeat(np.arange(count)[:, None], n, axis=1)
    level = _begin(rows, radix) if len(radix.trie) else None
    while level is not None:
        walking = at >= 0
        prefix = np.zeros(len(level.owner), dtype=np.int64)
        prefix[has[walking]] = at[walking]
        logits = _child_logits(level, radix, prefix)
        # Cumulative probabilities of each prefix's children; the last of each row is exactly 1.
        total = np.exp(logits - logits.max(axis=1, keepdims=True)).cumsum(axis=1)
        chances = total / total[:, -1:]
        uniform = np.zeros((count, n))
        for r in np.flatnonzero(walking.any(axis=1)).tolist():
            uniform[r] = rngs[r].random(n)
        chosen = (chances[has[walking]] <= uniform[walking][:, None]).sum(axis=1)
        decision = at[walking]
        decided = radix.answer[decision, chosen]
        row, sample = np.nonzero(walking)
        answers[row, sample, radix.trie[decision]] = np.where(
            decided >= 0, decided, answers[row, sample, radix.trie[decision]]
        )
        at[walking] = radix.target[decision, chosen]
        on = radix.target[decision, chosen] >= 0
        if not on.any():
            break
        # Samples that have the same prefix and choose the same child have the same prefix again.
        places = has[walking][on] * radix.column.shape[1] + chosen[on]
        _, first, inverse = np.unique(places, return_index=True, return_inverse=True)
        came, d, c = has[walking][on][first], decision[on][first], chosen[on][first]
        has[at >= 0] = inverse
        level = _fed(rows, level, came, radix.path[d, c], radix.length[d, c])
    return list(answers)


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

    ``rows`` give the logits of ``fold((trie,)).vocabulary``.
    """
    radix, count = fold((trie,)), len(rows.lengths)
    answers = np.zeros((count, len(trie.leaves)))  # log-probabilities; 0 for an answer that is the only one
    at = np.arange(min(1, len(radix.trie)))  # the decisions of a level, the same for all rows; here the first
    level = _begin(rows, radix) if len(at) else None
    reached = np.zeros((count, len(at)))  # log-probability of each of them
    while level is not None and len(at):
        logits = _child_logits(level, radix, np.tile(at, count))
        logs = torch.log_softmax(torch.from_numpy(logits), dim=1).numpy()
        logs = logs.reshape(count, len(at), -1) + reached[:, :, None]
        ends, inner = radix.answer[at] >= 0, radix.target[at] >= 0
        answers[:, radix.answer[at][ends]] = logs[:, ends]
        reached = logs[:, inner]
        parent, child = np.nonzero(inner)
        if len(parent):
            came = (np.arange(count)[:, None] * len(at) + parent).ravel()
            path, length = radix.path[at][parent, child], radix.length[at][parent, child]
            level = _fed(rows, level, came, np.tile(path, (count, 1)), np.tile(length, count))
        at = radix.target[at][parent, child]
    return [ExactAnswers(np.exp(row)) for row in answers]
