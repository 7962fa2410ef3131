"""Ways to choose the examples that stand beside a sentence, compared by ``context_study``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from popeq.typing import Floats
from popeq_llm.knn import neighbour_weights

#: Candidates (as positions) and how many settings of each, the last one next to the question.
Context = list[tuple[int, int]]
#: From the similarity of the query to each candidate (n,) and that among candidates (n, n) to contexts with
#: their weights; an answer is drawn with one of them.
Rule = Callable[[Floats, Floats], list[tuple[float, Context]]]

TEMPERATURE = 0.05


def ranked(ranks: Sequence[int], each: int) -> Rule:
    """The candidates with these ranks in similarity, ascending; 0 is the nearest."""

    def rule(to: Floats, _: Floats) -> list[tuple[float, Context]]:
        order = np.argsort(-to, kind="stable")
        return [(1.0, [(int(order[r]), each) for r in reversed(ranks)])]

    return rule


def nearest(k: int, each: int) -> Rule:
    """What ``icl-rag`` does."""
    return ranked(range(k), each)


def marginal(k: int, each: int, share: float = 0.5) -> Rule:
    """Maximal marginal relevance: near to the query, and not like what is chosen already."""

    def rule(to: Floats, among: Floats) -> list[tuple[float, Context]]:
        chosen = [int(np.argmax(to))]
        while len(chosen) < k:
            gain = share * to - (1 - share) * among[:, chosen].max(axis=1)
            gain[chosen] = -np.inf
            chosen.append(int(np.argmax(gain)))
        return [(1.0, [(i, each) for i in reversed(chosen)])]

    return rule


def covering(k: int, each: int, near: int = 0) -> Rule:
    """``near`` nearest ones, and others that leave no candidate far from all: ``icl-static`` if none."""

    def rule(to: Floats, among: Floats) -> list[tuple[float, Context]]:
        chosen = [int(i) for i in np.argsort(-to, kind="stable")[:near]]
        chosen = chosen or [int(np.argmax(among.sum(axis=1)))]
        while len(chosen) < k:
            closest = among[:, chosen].max(axis=1)
            closest[chosen] = np.inf
            chosen.append(int(np.argmin(closest)))
        return [(1.0, [(i, each) for i in reversed(chosen)])]

    return rule


def threshold(most: int, each: int, share: float = 0.7) -> Rule:
    """As many as have ``share`` of the highest similarity, 2 at least."""

    def rule(to: Floats, among: Floats) -> list[tuple[float, Context]]:
        k = int(np.clip((to >= share * to.max()).sum(), 2, most))
        return nearest(k, each)(to, among)

    return rule


def allotted(k: int, settings: int) -> Rule:
    """The nearest, the nearer with more settings (softmax of similarity), 1 to 11 each."""

    def rule(to: Floats, _: Floats) -> list[tuple[float, Context]]:
        order = np.argsort(-to, kind="stable")[:k]
        weights = neighbour_weights(to[order].tolist(), TEMPERATURE)
        each = np.clip(np.round(settings * weights), 1, 11).astype(int)
        return [(1.0, [(int(i), int(n)) for i, n in zip(order[::-1], each[::-1], strict=True)])]

    return rule


def mixed(*parts: Rule) -> Rule:
    """Each answer with one of several contexts, all alike: a mixture of what they predict."""

    def rule(to: Floats, among: Floats) -> list[tuple[float, Context]]:
        return [(weight / len(parts), context) for part in parts for weight, context in part(to, among)]

    return rule


def one_by_one(k: int, temperature: float) -> Rule:
    """Each answer with one of the nearest alone, by a softmax of similarity (REPLUG, arXiv 2301.12652)."""

    def rule(to: Floats, _: Floats) -> list[tuple[float, Context]]:
        order = np.argsort(-to, kind="stable")[:k]
        weights = neighbour_weights(to[order].tolist(), temperature)
        return [(float(w), [(int(i), 11)]) for i, w in zip(order, weights, strict=True)]

    return rule


def rules() -> dict[str, Rule]:
    """All that were compared."""
    sizes = [(1, 11), (2, 11), (4, 11), (8, 11), (4, 5), (8, 5), (8, 3), (12, 3), (12, 2)]
    sizes += [(16, 2), (16, 1), (24, 1), (16, 5), (24, 3)]
    found = {f"nearest {k} x {each}": nearest(k, each) for k, each in sizes}
    for k, each in ((4, 11), (8, 5), (8, 11)):
        found[f"marginal relevance {k} x {each}"] = marginal(k, each)
        found[f"half nearest, half covering {k} x {each}"] = covering(k, each, near=k // 2)
        found[f"covering only {k} x {each}"] = covering(k, each)
    found["nearest above 0.7 of the highest, 2 to 8 x 11"] = threshold(8, 11)
    found["nearest 8, 44 settings by similarity"] = allotted(8, 44)
    for count in (2, 4, 8):
        found[f"mixture of {count} x (1 x 11)"] = mixed(*(ranked([r], 11) for r in range(count)))
    for count in (4, 8):
        for temperature in (0.05, 0.15):
            found[f"mixture of {count} x (1 x 11), softmax {temperature}"] = one_by_one(count, temperature)
    for count in (2, 4):
        pairs = (ranked([2 * r, 2 * r + 1], 11) for r in range(count))
        found[f"mixture of {count} x (2 x 11)"] = mixed(*pairs)
    found["mixture of 2 x (4 x 11)"] = mixed(ranked([0, 2, 4, 6], 11), ranked([1, 3, 5, 7], 11))
    found["mixture of 1, 2 and 4 x 11"] = mixed(*(nearest(k, 11) for k in (1, 2, 4)))
    return found
