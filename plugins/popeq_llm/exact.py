"""The whole predictive distribution over a trie of answers, and the log-probability of any answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from popeq.typing import Floats, Ints
from popeq_llm.tree import TreeRows
from popeq_llm.trie import Trie

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

    def draw(self, n: int, rng: np.random.Generator) -> Ints:
        """``n`` independent answers (indices), in random order."""
        counts = rng.multinomial(n, self.probability / self.probability.sum())
        return rng.permutation(np.repeat(np.arange(len(counts)), counts))


@dataclass(frozen=True, eq=False)
class _Feeding:
    """How a trie is fed: its N inner nodes in order, and what becomes of their logits."""

    ids: torch.Tensor
    depths: torch.Tensor
    #: (N, depth) slots of each node's ancestors and its own; N where there are fewer
    ancestors: torch.Tensor
    #: (N + 1, C) children of the root and of each fed node, and their tokens; -1 where there are fewer
    children: Ints
    tokens: torch.Tensor
    #: nodes of each depth and their parents, from depth 1 on
    levels: tuple[tuple[Ints, Ints], ...]
    leaves: Ints


@lru_cache(maxsize=4)
def _feeding(trie: Trie, every_token: bool) -> _Feeding:
    inner = [v for v in range(1, len(trie.token)) if trie.children[v] and (every_token or trie.undecided[v])]
    above: dict[int, list[int]] = {0: []}
    for slot, v in enumerate(inner):
        above[v] = [*above[trie.parent[v]], slot]
    deepest = max(map(len, above.values()))
    width = max(len(trie.children[v]) for v in (0, *inner))
    children = np.full((len(inner) + 1, width), -1)
    for k, v in enumerate((0, *inner)):
        children[k, : len(trie.children[v])] = trie.children[v]
    depth, parent = np.array(trie.depth), np.array(trie.parent)
    levels = [np.flatnonzero(depth == d) for d in range(1, depth.max() + 1)]
    return _Feeding(
        torch.tensor([trie.token[v] for v in inner], dtype=torch.long),
        torch.tensor([trie.depth[v] - 1 for v in inner], dtype=torch.long),
        torch.tensor([above[v] + [len(inner)] * (deepest - len(above[v])) for v in inner], dtype=torch.long),
        children,
        torch.from_numpy(np.where(children >= 0, np.array(trie.token)[children], -1)),
        tuple((nodes, parent[nodes]) for nodes in levels),
        np.array([leaf for _, leaf in sorted(trie.leaves.items())]),
    )


def inner_nodes(trie: Trie) -> int:
    """How many tokens a row is fed for the distribution over a trie."""
    return len(_feeding(trie, False).ids)


@torch.inference_mode()
def exact_answers(rows: TreeRows, trie: Trie, *, every_token: bool = False) -> list[ExactAnswers]:
    """The distribution of each row's context: every inner node of the trie is fed once, in chunks.

    Forced ends are not fed unless ``every_token``: they do not change constrained decoding, and with single
    digits they are four fifths of the nodes. ``rows`` give the logits of the whole vocabulary.
    """
    count, plan = len(rows.lengths), _feeding(trie, every_token)
    # What each token adds to its parent's log-probability; what is not fed is forced and adds nothing.
    free, held = np.zeros((2, count, len(trie.token)))
    _add(free, held, plan, slice(0, 1), rows.first[:, None])
    for start in range(0, len(plan.ids), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        ids, depths, ancestors = plan.ids[chunk], plan.depths[chunk], plan.ancestors[chunk]
        end = start + len(ids)
        sees = torch.zeros((len(ids), len(plan.ids) + 1), dtype=torch.bool)
        sees.scatter_(1, ancestors, True)
        logits = rows.feed(
            ids.expand(count, -1), depths.expand(count, -1), sees[:, :end].expand(count, -1, -1), len(ids)
        )
        _add(free, held, plan, slice(start + 1, end + 1), logits)
    for nodes, parents in plan.levels:
        free[:, nodes] += free[:, parents]
        held[:, nodes] += held[:, parents]
    return [ExactAnswers(f[plan.leaves], np.exp(h[plan.leaves])) for f, h in zip(free, held, strict=True)]


def _add(free: Floats, held: Floats, plan: _Feeding, fed: slice, logits: torch.Tensor) -> None:
    """Note the log-probability of each child's token below its parent, free and constrained.

    ``logits`` (rows, S, V) are those of the fed nodes of the slice, the root being the first.
    """
    tokens = plan.tokens[fed].to(logits.device)
    children = plan.children[fed]
    real = children >= 0
    for r, row in enumerate(logits):
        own = row.gather(1, tokens.clamp(min=0)).double().masked_fill(tokens < 0, -torch.inf)
        total = torch.logsumexp(row.double(), dim=1, keepdim=True)
        free[r, children[real]] = (own - total).cpu().numpy()[real]
        held[r, children[real]] = torch.log_softmax(own, dim=1).cpu().numpy()[real]
