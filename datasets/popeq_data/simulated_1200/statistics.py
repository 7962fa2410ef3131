"""Measure simulated-1200 beside simulated-120's targets and real listeners.

``python -m popeq_data.simulated_1200.statistics`` prints the table that its card carries.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from popeq.typing import Floats
from popeq_data.simulated_120.listeners import PANEL_A
from popeq_data.simulated_120.statistics import (
    REPEATS,
    STATISTICS,
    draws_from,
    mean_w1,
    spread,
    uniform_points,
)
from popeq_data.simulated_120.statistics import measure as measure_120
from popeq_data.simulated_1200.people import meant, panels, settings
from popeq_data.simulated_1200.tables import read_sentences


@cache
def measure() -> tuple[float, ...]:
    """The value of each of ``STATISTICS``, in their order: distances of the test prompts, the rest of all."""
    sentences = read_sentences()
    prompts = [meant(s) for s in sentences]
    first, second = panels(sentences)
    points = settings(prompts, first)
    tested = np.array([s.split == "test" for s in sentences])
    test = points[tested]
    other = settings([p for p, t in zip(prompts, tested, strict=True) if t], second)
    pool = points[[s.split == "train" for s in sentences]].reshape(-1, 2)
    indices = range(len(test))
    return (
        mean_w1(test, [[own] for own in other]),
        mean_w1(test, [[test[(i + step) % len(test)] for step in range(1, 1 + REPEATS)] for i in indices]),
        mean_w1(test, [draws_from(pool, i) for i in indices]),
        mean_w1(test, [uniform_points(i) for i in indices]),
        *spread(points, [p.family for p in prompts], [first[p.prompt_id] for p in prompts]),
    )


def shares() -> tuple[Floats, Floats, Floats]:
    """Shares of the variance of all responses, each (x, y): between concepts, between sentences of one
    concept, and inside a prompt; components of a nested random model, without the noise of 11 answers."""
    sentences = read_sentences()
    points = settings([meant(s) for s in sentences], panels(sentences)[0])
    inside = points.var(axis=1, ddof=1).mean(axis=0)
    means = points.mean(axis=1)
    by_concept: dict[str, list[Floats]] = {}
    for sentence, mean in zip(sentences, means, strict=True):
        by_concept.setdefault(sentence.concept.concept, []).append(mean)
    groups = [np.array(own) for own in by_concept.values()]
    freedom = sum(len(g) - 1 for g in groups)
    among = np.sum([((g - g.mean(axis=0)) ** 2).sum(axis=0) for g in groups], axis=0) / freedom
    sentence = among - inside / points.shape[1]
    sizes = np.array([len(g) for g in groups])
    centre = means.mean(axis=0)
    squares = np.sum([n * (g.mean(axis=0) - centre) ** 2 for n, g in zip(sizes, groups, strict=True)], axis=0)
    typical = (sizes.sum() - (sizes**2).sum() / sizes.sum()) / (len(groups) - 1)
    concept = (squares / (len(groups) - 1) - among) / typical
    total = concept + sentence + inside
    return concept / total, sentence / total, inside / total


def table() -> str:
    """Markdown table of this set, of simulated-120, of the targets and of real listeners, and the shares."""
    lines = [
        "| statistic (dB; W1 at 11 points against 11) | simulated-1200 | simulated-120 | target | SocialEQ "
        "| SAFE |",
        "|---|---|---|---|---|---|",
    ]
    for statistic, own, small in zip(STATISTICS, measure(), measure_120(PANEL_A), strict=True):
        numbers = f"{own:.2f} | {small:.2f} | {statistic.target:.2f}"
        lines.append(f"| {statistic.name} | {numbers} | {statistic.socialeq} | {statistic.safe} |")
    named = zip(("concepts", "sentences of one concept", "answers to one sentence"), shares(), strict=True)
    parts = [f"between {name} {x:.2f}, {y:.2f}" for name, (x, y) in named]
    lines += ["", f"Shares of the variance of smile and tilt: {'; '.join(parts)}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
