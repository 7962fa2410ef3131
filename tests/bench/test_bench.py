"""Timings beside their peers, in one run: ``make bench``. Ratios are printed by ``tests.bench.ratios``.

A test named ``test_THING[ours]`` is compared with ``test_THING[peer]``; both must give the same value.
"""

from __future__ import annotations

import subprocess
import sys
from functools import lru_cache

import numpy as np
import ot
import pytest
from scipy.stats import gaussian_kde, wasserstein_distance_nd, wilcoxon

from popeq.metrics import Target, densities, grid_of, grid_wasserstein, sample_kantorovich
from popeq.space import PLANE
from popeq.statistics import signed_rank

pytestmark = pytest.mark.bench
GRID = grid_of(PLANE, 24)
PROMPTS, SAMPLES, LISTENERS = 30, 110, 11


@lru_cache(maxsize=1)
def world():
    """30 prompts like real ones: uniform, pooled, constant and good predictions in turn, 11 listeners."""
    rng = np.random.default_rng(0)
    spread, between = np.array([2.4, 2.7]), np.array([1.7, 2.2])
    samples, responses = [], []
    for p in range(PROMPTS):
        centre = rng.normal(0, 1, 2) * between
        responses.append(PLANE.clip(centre + rng.normal(0, 1, (LISTENERS, 2)) * spread).round(1))
        samples.append(
            [
                rng.uniform(-6, 6, (SAMPLES, 2)),
                PLANE.clip(rng.normal(0, 1, (SAMPLES, 2)) * np.hypot(spread, between)),
                np.zeros((SAMPLES, 2)),
                PLANE.clip(centre + rng.normal(0, 1, (SAMPLES, 2)) * spread),
            ][p % 4]
        )
    return samples, responses


@lru_cache(maxsize=1)
def masses():
    samples, responses = world()
    return [
        (densities(s, GRID, 0.3).reflective, densities(r, GRID, 0.3).reflective)
        for s, r in zip(samples, responses, strict=True)
    ]


def hard_masses():
    """The pairs whose solution takes long: both densities wide."""
    return [pair for p, pair in enumerate(masses()) if p % 4 != 2]


def plain(pairs):
    return [ot.emd2(a, b, GRID.distances, numItermax=10_000_000) for a, b in pairs]


def ours(pairs):
    return [grid_wasserstein(a, b, GRID) for a, b in pairs]


def test_four_scores_of_30_prompts(benchmark):
    samples, responses = world()
    _ = GRID.distances

    def score():
        return [Target(r).score(s) for s, r in zip(samples, responses, strict=True)]

    assert len(benchmark(score)) == PROMPTS


@pytest.mark.parametrize("who", ["ours", "peer"])
@pytest.mark.parametrize("pairs", ["all", "hard"])
def test_grid_solve(benchmark, pairs, who):
    chosen = masses() if pairs == "all" else hard_masses()
    found = benchmark.pedantic(ours if who == "ours" else plain, (chosen,), rounds=3, warmup_rounds=1)
    np.testing.assert_allclose(found, ours(chosen), atol=1e-9)


@pytest.mark.parametrize("who", ["ours", "peer"])
def test_sample_kantorovich(benchmark, who):
    samples, responses = world()
    score = sample_kantorovich if who == "ours" else wasserstein_distance_nd
    found = benchmark.pedantic(score, (samples[0], responses[0]), rounds=5, warmup_rounds=1)
    assert found == pytest.approx(sample_kantorovich(samples[0], responses[0]), abs=1e-7)


@pytest.mark.parametrize("who", ["ours", "peer"])
def test_both_kernel_densities(benchmark, who):
    """The peer gives the standard density alone."""
    samples, _ = world()

    def peer():
        density = gaussian_kde(samples[0].T)(GRID.centres.T)
        return density / density.sum()

    found = benchmark(lambda: densities(samples[0], GRID, 0.0)) if who == "ours" else benchmark(peer)
    np.testing.assert_allclose(found[0] if who == "ours" else found, peer(), atol=1e-12)


@pytest.mark.parametrize("who", ["ours", "peer"])
def test_signed_rank_of_30_prompts(benchmark, who):
    d = np.random.default_rng(1).normal(0.3, 1, PROMPTS)
    found = benchmark(
        (lambda: signed_rank(d).p_value) if who == "ours" else (lambda: wilcoxon(d, method="exact").pvalue)
    )
    assert found == pytest.approx(wilcoxon(d, method="exact").pvalue)


@pytest.mark.parametrize(
    "code",
    ["import popeq", "from popeq.cli import main; main(['list'])", "pass"],
    ids=["import", "list", "python"],
)
def test_start(benchmark, code):
    def start():
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    benchmark.pedantic(start, rounds=7, warmup_rounds=1)
