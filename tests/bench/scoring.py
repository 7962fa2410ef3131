"""The scores and the start of the command line, beside their peers. Both sides must give the same value."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import gaussian_kde, wasserstein_distance_nd, wilcoxon
from sklearn.metrics.pairwise import euclidean_distances

from popeq.metrics import Target, densities, grid_of, rendered_features, rendered_mmd, sample_kantorovich
from popeq.protocol import PROTOCOL_2
from popeq.space import PLANE
from popeq.statistics import signed_rank
from popeq.typing import Floats
from tests.bench.ratios import Row, timed

GRID = grid_of(PLANE, 24)
PROMPTS, SAMPLES, LISTENERS = 30, 110, 11


@lru_cache(maxsize=1)
def world() -> tuple[list[Floats], list[Floats]]:
    """Samples (110, 2) and responses (11, 2), dB, of 30 prompts like real ones: uniform, pooled, constant
    and good predictions in turn."""
    rng = np.random.default_rng(0)
    within, between = np.array([2.4, 2.7]), np.array([1.7, 2.2])
    samples, responses = [], []
    for p in range(PROMPTS):
        centre = rng.normal(0, 1, 2) * between
        responses.append(PLANE.clip(centre + rng.normal(0, 1, (LISTENERS, 2)) * within).round(1))
        samples.append(
            [
                rng.uniform(-6, 6, (SAMPLES, 2)),
                PLANE.clip(rng.normal(0, 1, (SAMPLES, 2)) * np.hypot(within, between)),
                np.zeros((SAMPLES, 2)),
                PLANE.clip(centre + rng.normal(0, 1, (SAMPLES, 2)) * within),
            ][p % 4]
        )
    return samples, responses


def four_scores(whole: bool) -> Iterator[Row]:
    """All scores of a board."""
    prompts = PROMPTS if whole else 2
    pairs = list(zip(*world(), strict=True))[:prompts]
    times = timed(lambda: [Target(r).score(s) for s, r in pairs], 3 if whole else 1)
    yield Row(measurement="four scores", size=f"{prompts} prompts", **times, most_s=1.0)


def raw_points(whole: bool) -> Iterator[Row]:
    """The distance between the raw points."""
    samples, responses = (sets[0] for sets in world())
    assert abs(sample_kantorovich(samples, responses) - wasserstein_distance_nd(samples, responses)) < 1e-7
    yield Row(
        measurement="sample_kantorovich",
        size=f"{LISTENERS} x {SAMPLES}",
        **timed(
            lambda: sample_kantorovich(samples, responses),
            5 if whole else 1,
            floor=lambda: cdist(samples, responses),
            peer=lambda: wasserstein_distance_nd(samples, responses),
        ),
        floor="all distances",
        peer="scipy",
        least_ratio=20.0,
    )


def rendered(whole: bool) -> Iterator[Row]:
    """``rendered_mmd`` at the protocol's sample count; the peer makes every kernel at once."""
    rng = np.random.default_rng(2)
    prompts = PROMPTS if whole else 2
    samples = PLANE.clip(rng.normal(0.0, 2.4, (prompts, PROTOCOL_2.n_samples, 2))).round(2)
    responses = world()[1][:prompts]

    def peer() -> list[float]:
        found = []
        for s, r in zip(samples, responses, strict=True):
            n = len(s)
            features = rendered_features(np.concatenate([s, r]))
            kernel = np.exp(-euclidean_distances(features) / 2.0)
            own, listeners = kernel[:n, :n], kernel[n:, n:]
            within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (own, listeners)]
            found.append(float(sum(within) - 2.0 * kernel[:n, n:].mean()))
        return found

    def ours() -> list[float]:
        return [rendered_mmd(s, r) for s, r in zip(samples, responses, strict=True)]

    np.testing.assert_allclose(ours(), peer(), atol=1e-6)
    yield Row(
        measurement="rendered_mmd",
        size=f"{prompts} prompts, {LISTENERS} x {PROTOCOL_2.n_samples}",
        **timed(ours, 5 if whole else 1, peer=peer),
        peer="scikit-learn's euclidean_distances",
        most_s=PROMPTS / 50.0,
    )


def kernel_densities(whole: bool) -> Iterator[Row]:
    """The standard and the reflective density; the peer gives the standard one alone."""
    samples = world()[0][0]

    def peer() -> Floats:
        density = gaussian_kde(samples.T)(GRID.centres.T)
        return np.asarray(density / density.sum())

    np.testing.assert_allclose(densities(samples, GRID, 0.0).standard, peer(), atol=1e-12)
    yield Row(
        measurement="both kernel densities",
        size=f"{SAMPLES} samples",
        **timed(lambda: densities(samples, GRID, 0.0), 50 if whole else 1, peer=peer),
        peer="scipy's gaussian_kde",
    )


def exact_signed_rank(whole: bool) -> Iterator[Row]:
    """The signed-rank test without a normal approximation."""
    d = np.random.default_rng(1).normal(0.3, 1, PROMPTS)

    def peer() -> float:
        return float(wilcoxon(d, method="exact").pvalue)

    np.testing.assert_allclose(signed_rank(d).p_value, peer())
    times = timed(lambda: signed_rank(d), 50 if whole else 1, peer=peer)
    yield Row(measurement="signed rank", size=f"{PROMPTS} prompts", **times, peer="scipy's wilcoxon")


STARTS = {
    "python": ("pass", None),
    "import popeq": ("import popeq", 0.4),
    "popeq list": ("from popeq.cli import main; main(['list'])", 0.8),
}


def start(whole: bool) -> Iterator[Row]:
    """New processes."""
    for size, (code, most_s) in STARTS.items():

        def run(code: str = code) -> None:
            subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

        yield Row(measurement="start", size=size, **timed(run, 7 if whole else 1), most_s=most_s)


MEASUREMENTS = (four_scores, raw_points, rendered, kernel_densities, exact_signed_rank, start)
