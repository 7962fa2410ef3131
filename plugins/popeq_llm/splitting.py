"""What a model constrained to a grammar answers, every distinct prefix evaluated once, a level at a time.

Constrained: at each token, those that the grammar allows renormalised. ``split_samples`` draws n independent
answers by splitting: the samples of all contexts walk down the tries together, a decision at a time. Samples
at the same prefix share its evaluation; each then chooses its own next token, by inverting the distribution
over the allowed ones at a uniform number of its own. ``exact_answers`` gives the whole distribution of a
grammar of one trie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from popeq.typing import Floats, Ints
from popeq_llm.tree import TreeRows
from popeq_llm.trie import Grammar, Trie, padded

Path = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Radix:
    """The nodes of a trie where answers part: D decisions, the first first; C is the most children of one.

    A trie of a single answer has no decision; ``start`` then leads to its end.
    """

    #: tokens from the root to the first decision
    start: Path
    #: (D, C) each child's token, ascending; -1 where a decision has fewer than C children
    token: Ints
    #: (D, C) the decision that a child leads to, or -1 - a where it is sure to end in answer a
    target: Ints
    #: tokens from a decision to the target of each of its children, the child's own first
    paths: tuple[tuple[Path, ...], ...]


@lru_cache(maxsize=64)
def fold(trie: Trie) -> Radix:
    """Fold away every token that is forced."""
    decisions = [v for v, children in enumerate(trie.children) if len(children) > 1]
    index = {v: d for d, v in enumerate(decisions)}

    def follow(node: int) -> tuple[Path, int]:
        """The tokens from a node, its own included, to where it leads, and that."""
        path = [trie.token[node]] if node else []
        while node not in index and trie.answer[node] < 0:
            (node,) = trie.children[node]
            path.append(trie.token[node])
        return tuple(path), index[node] if node in index else -1 - trie.answer[node]

    edges = [[follow(child) for child in trie.children[v]] for v in decisions]
    return Radix(
        start=follow(0)[0],
        token=padded([[path[0] for path, _ in row] for row in edges], -1),
        target=padded([[target for _, target in row] for row in edges], 0),
        paths=tuple(tuple(path for path, _ in row) for row in edges),
    )


@lru_cache(maxsize=16)
def vocabulary_of(grammar: Grammar) -> Ints:
    """Every token that is ever chosen, ascending, (T,)."""
    chosen = [fold(trie).token.ravel() for trie in set(grammar.tries)]
    found: Ints = np.unique(np.concatenate(chosen))
    return found[found >= 0]


@dataclass(frozen=True, eq=False)
class _Level:
    """K prefixes that have been fed, those of a row side by side: ``owner`` (K,) ascending, how many tokens
    each has behind the context, which fed slots it sees (K, fed), and the logits behind it (K, T)."""

    owner: Ints
    depth: Ints
    seen: torch.Tensor
    logits: Floats


def _begin(rows: TreeRows, start: Path) -> _Level:
    """The contexts themselves, with what is forced behind them."""
    count = len(rows.lengths)
    level = _Level(
        np.arange(count),
        np.zeros(count, dtype=np.int64),
        torch.zeros((count, 0), dtype=torch.bool),
        rows.first.cpu().double().numpy(),
    )
    return _fed(rows, level, np.arange(count), [start] * count) if start else level


def _fed(rows: TreeRows, above: _Level, came: Ints, paths: Sequence[Path]) -> _Level:
    """The level below: K prefixes, each ``came`` (K,) from a prefix above by one of the K ``paths``, none of
    them empty."""
    path, length = padded(paths, 0), np.array([len(own) for own in paths])
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


def _child_logits(level: _Level, vocabulary: Ints, tokens: Ints) -> Floats:
    """Logits of some tokens (K, C) behind each prefix; -inf where a token is -1."""
    column = np.searchsorted(vocabulary, np.maximum(tokens, vocabulary[0]))
    return np.where(tokens >= 0, np.take_along_axis(level.logits, column, axis=1), -np.inf)


@torch.inference_mode()
def split_samples(
    rows: TreeRows, grammar: Grammar, n: int, rngs: Sequence[np.random.Generator]
) -> list[Ints]:
    """``n`` answers for each row's context, (n, tries) choices; row i draws from ``rngs[i]`` alone.

    ``rows`` give the logits of ``vocabulary_of(grammar)``.
    """
    tries, vocabulary, count = [fold(trie) for trie in grammar.tries], vocabulary_of(grammar), len(rngs)
    answers = np.zeros((count, n, len(tries)), dtype=np.int64)
    start, place = _onward(tries, -1)
    if place < 0:
        return list(answers)
    level = _begin(rows, start)
    # Of each prefix of the level, the trie and the decision that it has come to; of each sample, the prefix
    # that it has, or -1 at its end.
    comes = np.full((count, 2), (place, 0))
    has = np.repeat(np.arange(count)[:, None], n, axis=1)
    while True:
        tokens = _stacked([tries[t].token[d] for t, d in comes.tolist()], -1)
        target = _stacked([tries[t].target[d] for t, d in comes.tolist()], 0)
        walking = has >= 0
        prefix = has[walking]
        chosen = _chosen(_child_logits(level, vocabulary, tokens), has, rngs)
        row, sample = np.nonzero(walking)
        ended = target[prefix, chosen] < 0
        answers[row[ended], sample[ended], comes[prefix, 0][ended]] = -1 - target[prefix, chosen][ended]
        # Samples that have the same prefix and choose the same child have the same prefix again.
        edges, inverse = np.unique(prefix * tokens.shape[1] + chosen, return_inverse=True)
        parent, child = np.divmod(edges, tokens.shape[1])
        paths, below, kept = _below(grammar, comes[parent], child, target[parent, child])
        has[walking] = kept[inverse]
        if not paths:
            return list(answers)
        level = _fed(rows, level, parent[kept >= 0], paths)
        comes = np.array(below)


def _onward(tries: Sequence[Radix], place: int) -> tuple[Path, int]:
    """From the end of a trie to the first decision behind it: the tokens, and the trie that it is in; -1 if
    there is none."""
    path: Path = ()
    while (place := place + 1) < len(tries):
        path += tries[place].start
        if len(tries[place].target):
            return path, place
    return (), -1


def _chosen(logits: Floats, has: Ints, rngs: Sequence[np.random.Generator]) -> Ints:
    """Which child each sample chooses that has a prefix (``has`` (B, n), -1: none), in the order of rows."""
    # Cumulative probabilities of each prefix's children; the last of each row is exactly 1.
    total = np.exp(logits - logits.max(axis=1, keepdims=True)).cumsum(axis=1)
    chances, walking = total / total[:, -1:], has >= 0
    uniform = np.zeros(has.shape)
    for r in np.flatnonzero(walking.any(axis=1)).tolist():
        uniform[r] = rngs[r].random(has.shape[1])
    found: Ints = (chances[has[walking]] <= uniform[walking][:, None]).sum(axis=1)
    return found


def _below(
    grammar: Grammar, comes: Ints, children: Ints, targets: Ints
) -> tuple[list[Path], list[tuple[int, int]], Ints]:
    """Where edges lead, each from a decision (trie, decision) by one of its children to a target.

    The tokens of those that lead to a decision and what that is, and for every edge its place among them, or
    -1 if answers end there.
    """
    tries = [fold(trie) for trie in grammar.tries]
    paths: list[Path] = []
    below: list[tuple[int, int]] = []
    kept = np.full(len(children), -1)
    for e, (t, d) in enumerate(comes.tolist()):
        path, leads = tries[t].paths[d][children[e]], int(targets[e])
        if leads < 0:
            more, t = _onward(tries, t) if -1 - leads != grammar.stops[t] else ((), -1)
            path, leads = path + more, 0
        if t >= 0:
            kept[e] = len(paths)
            paths.append(path)
            below.append((t, leads))
    return paths, below, kept


def _stacked(rows: Sequence[Ints], fill: int) -> Ints:
    """Rows of different lengths, one below another, filled up at their ends."""
    width = max(map(len, rows))
    stacked = np.full((len(rows), width), fill)
    for own, row in zip(stacked, rows, strict=True):
        own[: len(row)] = row
    return stacked


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
def exact_answers(rows: TreeRows, grammar: Grammar) -> list[ExactAnswers]:
    """The distribution of each row's context: every decision of the grammar, which is a single trie, is
    evaluated once, level by level.

    ``rows`` give the logits of ``vocabulary_of(grammar)``.
    """
    (trie,) = grammar.tries
    radix, vocabulary, count = fold(trie), vocabulary_of(grammar), len(rows.lengths)
    answers = np.zeros((count, len(trie.leaves)))  # log-probabilities; 0 for an answer that is the only one
    if not len(radix.target):
        return [ExactAnswers(np.exp(row)) for row in answers]
    level = _begin(rows, radix.start)
    at = np.zeros(1, dtype=np.int64)  # the decisions of a level, the same for all rows; here the first
    reached = np.zeros((count, 1))  # log-probability of each of them
    while True:
        logits = _child_logits(level, vocabulary, np.tile(radix.token[at], (count, 1)))
        logs = torch.log_softmax(torch.from_numpy(logits), dim=1).numpy()
        logs = logs.reshape(count, len(at), -1) + reached[:, :, None]
        target, real = radix.target[at], radix.token[at] >= 0
        ends, inner = real & (target < 0), real & (target >= 0)
        answers[:, -1 - target[ends]] = logs[:, ends]
        reached = logs[:, inner]
        parent, child = np.nonzero(inner)
        if not len(parent):
            return [ExactAnswers(np.exp(row)) for row in answers]
        came = (np.arange(count)[:, None] * len(at) + parent).ravel()
        paths = [radix.paths[d][c] for d, c in zip(at[parent], child, strict=True)]
        level = _fed(rows, level, came, paths * count)
        at = target[inner]
