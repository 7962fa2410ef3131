"""Measure a panel: how far its listeners, its prompts and its pool lie apart, beside what real listeners did.

``python -m popeq_data.simulated_120.statistics`` prints the table that the two cards carry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from popeq.space import PLANE
from popeq.typing import Floats
from popeq_data.simulated_120.listeners import (
    LISTENERS,
    PANEL_A,
    PANEL_B,
    Panel,
    meanings,
    settings,
    uniforms,
)
from popeq_data.simulated_120.tables import read_sentences

STATISTICS_SEED = 9448
#: Fresh panels, or draws from the pool or the plane, that every prompt is compared with.
REPEATS = 20


@dataclass(frozen=True)
class Statistic:
    """One line of the table: what it should be near, how near, and what real listeners gave (text)."""

    name: str
    target: float
    tolerance: float
    socialeq: str = ""
    safe: str = ""


#: Targets are the values of the prototype that was calibrated on SocialEQ and SAFE. Tolerances are a fifth of
#: a distance, 0.08 of a share, and 0.12 of a correlation, about as far as the real ones are from the targets.
STATISTICS = (
    Statistic("W1 between two panels of one prompt", 2.25, 0.45, "2.39", "1.80"),
    Statistic("W1 between prompts", 3.78, 0.76, "4.02", "3.94 (other word)"),
    Statistic("W1 to the pooled responses", 3.36, 0.67, "3.26", "2.67"),
    Statistic("W1 to uniform", 3.65, 0.73, "3.61", "3.66"),
    Statistic("SD inside a prompt, x", 2.4, 0.48, "2.3", "2.0"),
    Statistic("SD inside a prompt, y", 2.7, 0.54, "2.9", "1.9"),
    Statistic("share of variance between prompts, x", 0.35, 0.08, "0.34"),
    Statistic("share of variance between prompts, y", 0.36, 0.08, "0.35"),
    Statistic("listener correlation within a family, x", 0.54, 0.12, "", "0.48"),
    Statistic("listener correlation within a family, y", 0.43, 0.12, "", "0.56"),
    Statistic("share with the opposite tilt of their prompt's mean", 0.28, 0.08, "0.24", "0.04 to 0.25"),
    Statistic("share on the edge", 0.13, 0.08, "0.005", "0.045"),
)


def w1(a: Floats, b: Floats) -> float:
    """Exact Wasserstein-1 in dB between equally many points (n, 2): the cheapest one-to-one assignment."""
    cost = cdist(a, b)
    return float(cost[linear_sum_assignment(cost)].mean())


@cache
def measure(panel: Panel) -> tuple[float, ...]:
    """The value of each of ``STATISTICS`` for one panel, in their order."""
    prompts = meanings(read_sentences())
    points = settings(prompts, panel)
    seeds = range(STATISTICS_SEED + 1, STATISTICS_SEED + 1 + REPEATS)
    fresh = [settings(prompts, Panel("f", seed, panel.shift)) for seed in seeds]
    listeners = [panel.listener_ids] * len(prompts)
    return (
        mean_w1(points, [[other[p] for other in fresh] for p in range(len(prompts))]),
        float(np.mean([w1(a, b) for a, b in combinations(points, 2)])),
        mean_w1(points, [draws_from(points.reshape(-1, 2), p) for p in range(len(prompts))]),
        mean_w1(points, [uniform_points(p) for p in range(len(prompts))]),
        *spread(points, [p.family for p in prompts], listeners),
    )


def spread(points: Floats, families: Sequence[str], listeners: Sequence[Sequence[str]]) -> tuple[float, ...]:
    """The statistics of single points (prompts, m, 2), by listeners (prompts, m): from the spread inside a
    prompt to the share on the edge."""
    residuals = points - points.mean(axis=1, keepdims=True)
    inside = np.sqrt((residuals**2).sum(axis=(0, 1)) / (points.shape[0] * (points.shape[1] - 1)))
    opposite = np.sign(points[..., 1]) != np.sign(points.mean(axis=1, keepdims=True)[..., 1])
    on_edge = ((points == PLANE.low) | (points == PLANE.high)).any(axis=-1)
    return (
        *inside.tolist(),
        *share_between(points).tolist(),
        *family_correlation(residuals, families, listeners).tolist(),
        float(opposite.mean()),
        float(on_edge.mean()),
    )


def share_between(points: Floats) -> Floats:
    """Share of the sum of squares of (prompts, listeners, 2) that lies between prompts, (x, y)."""
    within = ((points - points.mean(axis=1, keepdims=True)) ** 2).sum(axis=(0, 1))
    total = ((points - points.mean(axis=(0, 1))) ** 2).sum(axis=(0, 1))
    return np.asarray(1.0 - within / total)


def family_correlation(
    residuals: Floats, families: Sequence[str], listeners: Sequence[Sequence[str]]
) -> Floats:
    """Mean over pairs of prompts of one family of the correlation across the listeners of both, (x, y).

    ``residuals`` (prompts, m, 2) are about each prompt's mean, ``listeners`` (prompts, m) who gave them. Each
    product of a listener's two residuals is over the root mean squares of the two prompts; pairs of prompts
    count by their common listeners. Where all agree the correlation is 0.
    """
    norm = np.sqrt((residuals**2).mean(axis=1, keepdims=True))
    scaled = residuals / np.where(norm > 0, norm, 1.0)
    seats = [{name: k for k, name in enumerate(own)} for own in listeners]
    products = [
        scaled[i, seats[i][name]] * scaled[j, seats[j][name]]
        for i, j in combinations(range(len(families)), 2)
        if families[i] == families[j]
        for name in seats[i].keys() & seats[j].keys()
    ]
    return np.asarray(np.mean(products, axis=0))


def mean_w1(points: Floats, others: Sequence[Iterable[Floats]]) -> float:
    """Mean W1 of the answers to each prompt, (prompts, m, 2), to all the other sets of points for it."""
    return float(np.mean([w1(a, b) for a, sets in zip(points, others, strict=True) for b in sets]))


def draws_from(pool: Floats, p: int) -> Iterator[Floats]:
    """As many answers as a panel's, drawn ``REPEATS`` times for prompt ``p`` from a pool (n, 2)."""
    for repeat in range(REPEATS):
        order = np.argsort(uniforms(len(pool), STATISTICS_SEED, "pool", p, repeat), kind="stable")
        yield pool[order[:LISTENERS]]


def uniform_points(p: int) -> Floats:
    """As many points of the plane as a panel has, ``REPEATS`` times for prompt ``p``."""
    shape = (REPEATS, LISTENERS, 2)
    draws = uniforms(int(np.prod(shape)), STATISTICS_SEED, "uniform", p).reshape(shape)
    return np.asarray(PLANE.low + PLANE.size * draws)


def table() -> str:
    """Markdown table of both panels, the prototype and the real listeners, and how the panels differ."""
    measured = [measure(panel) for panel in (PANEL_A, PANEL_B)]
    lines = [
        "| statistic (dB; W1 at 11 points against 11) | panel A | panel B | prototype | SocialEQ | SAFE |",
        "|---|---|---|---|---|---|",
    ]
    for statistic, a, b in zip(STATISTICS, *measured, strict=True):
        numbers = f"{a:.2f} | {b:.2f} | {statistic.target:.2f}"
        lines.append(f"| {statistic.name} | {numbers} | {statistic.socialeq} | {statistic.safe} |")
    prompts = meanings(read_sentences())
    panel_a, panel_b = (settings(prompts, panel) for panel in (PANEL_A, PANEL_B))
    shift = np.round((panel_b - panel_a).mean(axis=(0, 1)), 2) + 0.0
    apart = np.mean([w1(a, b) for a, b in zip(panel_a, panel_b, strict=True)])
    lines += [
        "",
        f"Panel B against panel A: W1 between their answers to one prompt {apart:.2f} dB; mean of B minus "
        f"mean of A {shift[0]:+.2f} dB smile, {shift[1]:+.2f} dB tilt.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
