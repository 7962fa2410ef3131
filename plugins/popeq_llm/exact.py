"""The whole predictive distribution over a trie of answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from popeq.typing import Floats, Ints
from popeq_llm.tree import TreeRows
from popeq_llm.trie import Trie, padded


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


@dataclass(frozen=True, eq=False)
class _Feeding:
    """How a trie is fed: its N undecided nodes in order, and whose log-probabilities their logits give."""

    ids: torch.Tensor
    depths: torch.Tensor
    #: (N, depth) slots of each node's ancestors and its own; N where there are fewer
    ancestors: torch.Tensor
    #: (N + 1, C) children of the root and of each fed node, and their tokens; -1 where there are fewer
    children: Ints
    tokens: torch.Tensor


@lru_cache(maxsize=4)
def _feeding(trie: Trie) -> _Feeding:
    fed = [v for v in range(1, len(trie.token)) if trie.undecided[v]]
    above: dict[int, list[int]] = {0: []}
    for slot, v in enumerate(fed):
        above[v] = [*above[trie.parent[v]], slot]
    children = padded([trie.children[v] for v in (0, *fed)], -1)
    return _Feeding(
        ids=torch.tensor([trie.token[v] for v in fed], dtype=torch.long),
        depths=torch.tensor([trie.depth[v] - 1 for v in fed], dtype=torch.long),
        ancestors=torch.from_numpy(padded([above[v] for v in fed], len(fed))),
        children=children,
        tokens=torch.from_numpy(np.where(children >= 0, np.array(trie.token)[children], -1)),
    )


def fed_nodes(trie: Trie) -> int:
    """How many tokens a row is fed for the distribution over a trie."""
    return len(_feeding(trie).ids)


@torch.inference_mode()
def exact_answers(rows: TreeRows, trie: Trie, *, chunk: int = 512) -> list[ExactAnswers]:
    """The distribution of each row's context: every undecided node is fed once, ``chunk`` nodes at a time.

    Forced ends are not fed: they do not change constrained decoding, and with single digits they are four
    fifths of the nodes. ``rows`` give the logits of the whole vocabulary.
    """
    count, plan = len(rows.lengths), _feeding(trie)
    # What each token adds to its parent's log-probability: nothing where it is forced.
    logs = np.zeros((count, len(trie.token)))
    _add(logs, plan, slice(0, 1), rows.first[:, None])
    for start in range(0, len(plan.ids), chunk):
        end = min(start + chunk, len(plan.ids))
        ids, depths = plan.ids[start:end], plan.depths[start:end]
        sees = torch.zeros((len(ids), len(plan.ids) + 1), dtype=torch.bool)
        sees.scatter_(1, plan.ancestors[start:end], True)
        logits = rows.feed(
            ids.expand(count, -1), depths.expand(count, -1), sees[:, :end].expand(count, -1, -1), len(ids)
        )
        _add(logs, plan, slice(start + 1, end + 1), logits)
    depth, parent = np.array(trie.depth), np.array(trie.parent)
    for level in range(1, depth.max() + 1):
        nodes = np.flatnonzero(depth == level)
        logs[:, nodes] += logs[:, parent[nodes]]
    return [ExactAnswers(np.exp(row[list(trie.leaves)])) for row in logs]


def _add(logs: Floats, plan: _Feeding, fed: slice, logits: torch.Tensor) -> None:
    """Note the log-probability of each child below its parent, from the parents' logits (rows, S, V)."""
    tokens = plan.tokens[fed].to(logits.device)
    real = plan.children[fed] >= 0
    children = plan.children[fed][real]
    for r, row in enumerate(logits):
        own = row.gather(1, tokens.clamp(min=0)).double().masked_fill(tokens < 0, -torch.inf)
        logs[r, children] = torch.log_softmax(own, dim=1).cpu().numpy()[real]
