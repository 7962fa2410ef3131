"""How cost grows with samples, cells, prompts, methods and jobs, each beside its floor and its peer.

Each test measures its floor and its peer next to itself and leaves them in ``extra_info`` for the table:
``row, size, floor_s, floor, peer_s, peer, target`` (a word, a number), ``figure`` for other units.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import lru_cache

import numpy as np
import ot
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import bootstrap, ttest_rel

from popeq.board.scoring import PromptTable
from popeq.metrics import (
    HEADLINE,
    Target,
    densities,
    grid_of,
    grid_transport,
    grid_wasserstein,
    sample_kantorovich,
)
from popeq.metrics.solver import load_solver
from popeq.space import PLANE
from popeq.statistics import Panels, all_pairs, mean_inference
from tests.bench.test_bench import GRID, LISTENERS, world

pytestmark = pytest.mark.bench


def best(function, rounds=3):
    """Least seconds of several calls."""
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        function()
        taken.append(time.perf_counter() - started)
    return min(taken)


def measured(benchmark, function, rounds=3, **told):
    """Time a function, its ``floor`` and its ``peer`` (called) in turn; the rest goes to the table."""
    for which in ("floor", "peer"):
        if callable(told.get(f"{which}_s")):
            told[f"{which}_s"] = best(told[f"{which}_s"], rounds)
    benchmark.extra_info.update(told)
    return benchmark.pedantic(function, rounds=rounds, warmup_rounds=1)


@lru_cache(maxsize=1)
def both_densities():
    """Predicted and actual masses of 30 prompts, the standard and the reflective ones: 60 pairs."""
    pairs = []
    for samples, responses in zip(*world(), strict=True):
        a, b = densities(samples, GRID, 0.3), densities(responses, GRID, 0.3)
        pairs += [(a.standard, b.standard), (a.reflective, b.reflective)]
    return pairs


def every_arc_once(pairs, grid):
    """Price each arc of the problems that are left after cancellation: no proof of a plan does with less."""
    for a, b in pairs:
        costs = grid.distances[np.ix_(a > b, b > a)]
        costs.min(axis=1)


def plain(pairs, grid):
    return [ot.emd2(a, b, grid.distances, numItermax=10_000_000) for a, b in pairs]


def by_pot(pairs, grid):
    solver = load_solver("pot")
    return [solver.grid_transport(a, b, grid, 0.0).cost for a, b in pairs]


WAYS = {
    "exact, POT": (by_pot, 1e-9, 8.0),
    "exact, compiled": (lambda pairs, grid: [grid_wasserstein(a, b, grid) for a, b in pairs], 1e-9, 8.0),
    "within 0.5 %": (lambda pairs, grid: [grid_transport(a, b, grid, 0.005) for a, b in pairs], None, 20.0),
}


@lru_cache(maxsize=1)
def plain_60():
    """What plain emd2 finds on the 60 grids, and its least seconds."""
    pairs = both_densities()
    _ = GRID.distances
    found = plain(pairs, GRID)
    return found, best(lambda: plain(pairs, GRID), 2)


@pytest.mark.parametrize("way", WAYS)
def test_both_distances_of_30_prompts(benchmark, way):
    assert load_solver() is load_solver("compiled")
    pairs = both_densities()
    exact, plain_s = plain_60()
    solve, tolerance, times = WAYS[way]
    found = measured(
        benchmark,
        lambda: solve(pairs, GRID),
        row=f"60 grids: {way}",
        size="30 prompts, 24 x 24",
        floor_s=lambda: every_arc_once(pairs, GRID),
        floor="each arc priced once",
        peer_s=plain_s,
        peer="ot.emd2",
        target=("times", times),
    )
    if tolerance:
        np.testing.assert_allclose(found, exact, atol=tolerance)
        return
    for near, value in zip(found, exact, strict=True):
        assert abs(near.cost - value) <= near.error + 1e-9
        assert near.error <= 0.005 * near.cost
    off = np.abs(np.array([near.cost for near in found]) / exact - 1)
    benchmark.extra_info["figure"] = (
        f"off by {off.max():.2%} at most, {off.mean():.2%} on average; "
        f"proven {max(near.error / near.cost for near in found):.2%}"
    )


@pytest.mark.parametrize("way", ["exact", "within 0.5 %"])
@pytest.mark.parametrize("cells", [16, 24, 32, 48, 96])
def test_cells(benchmark, cells, way):
    """One pair of wide densities; plain emd2 on up to 32 x 32 cells."""
    samples, responses = world()
    grid = grid_of(PLANE, cells)
    pair = densities(samples[1], grid, 0.3).reflective, densities(responses[1], grid, 0.3).reflective
    tolerance = 0.0 if way == "exact" else 0.005
    known = cells <= 48
    measured(
        benchmark,
        lambda: grid_transport(*pair, grid, tolerance),
        rounds=1 if cells == 96 else 3,
        row=f"one grid: {way}",
        size=f"{cells} x {cells}",
        floor_s=(lambda: every_arc_once([pair], grid)) if known else None,
        floor="each arc priced once",
        peer_s=best(lambda: plain([pair], grid), 1) if cells <= 32 else None,
        peer="ot.emd2",
    )


@pytest.mark.parametrize("samples", [11, 110, 1100, 10_000])
def test_samples(benchmark, samples):
    """Four scores of one prompt; the floor is the distances between all points, which two of them need."""
    points = np.random.default_rng(0).uniform(-6, 6, (samples, 2))
    target = Target(world()[1][1])
    everything = np.concatenate([points, target.responses])
    measured(
        benchmark,
        lambda: target.score(points),
        row="four scores",
        size=f"{samples} samples",
        floor_s=lambda: cdist(everything, everything),
        floor="all distances",
    )


def test_sample_kantorovich_of_protocol_1(benchmark):
    from scipy.stats import wasserstein_distance_nd

    samples, responses = world()
    found = measured(
        benchmark,
        lambda: sample_kantorovich(samples[0], responses[0]),
        row="sample_kantorovich",
        size=f"{LISTENERS} x {len(samples[0])}",
        floor_s=lambda: cdist(samples[0], responses[0]),
        floor="all distances",
        peer_s=lambda: wasserstein_distance_nd(samples[0], responses[0]),
        peer="scipy",
        target=("times", 20.0),
    )
    assert found == pytest.approx(wasserstein_distance_nd(samples[0], responses[0]), abs=1e-7)


@lru_cache(maxsize=8)
def scored_apart(prompts):
    """Seconds and peak GiB of a process that scores 1,000 samples for so many prompts."""
    code = [sys.executable, "-m", "tests.bench.memory", str(prompts), "1000"]
    return json.loads(subprocess.run(code, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("prompts", [30, 300, 3000])
def test_prompts(benchmark, prompts):
    """All scores and diagnostics; memory and the slope of log time over log prompts are the targets."""
    found = benchmark.pedantic(lambda: scored_apart(prompts), rounds=1)
    told = {"row": "scores of 1,000 samples each", "size": f"{prompts} prompts", "seconds": found["seconds"]}
    told["figure"] = f"{found['peak_gib']:.2f} GiB, {found['seconds'] / prompts * 1e3:.1f} ms a prompt"
    if prompts == 3000:
        sizes = [30, 300, 3000]
        slope = np.polyfit(np.log(sizes), [np.log(scored_apart(p)["seconds"]) for p in sizes], 1)[0]
        told["figure"] += f", time grows as prompts^{slope:.2f}"
        told["target"] = (
            "figure",
            bool(found["peak_gib"] <= 1.5 and slope <= 1.1),
            "<= 1.5 GiB, slope <= 1.1",
        )
    benchmark.extra_info.update(told)


@lru_cache(maxsize=4)
def tables(methods):
    """Made-up scores and influences of 30 prompts by 11 listeners each."""
    import pandas as pd

    rng = np.random.default_rng(methods)
    made = []
    for _ in range(methods):
        frame = pd.DataFrame({name: rng.gamma(4, 0.5, 30) for name in (HEADLINE, "kantorovich")})
        influence = {name: list(rng.normal(0, 0.1, (30, 11))) for name in frame}
        made.append(PromptTable(frame, influence))
    return made


#: 30 prompts with 11 listeners of their own.
PANELS = Panels([[f"p{p}-{i}" for i in range(11)] for p in range(30)])


@pytest.mark.parametrize("methods", [10, 30, 100, 300, 1000])
def test_intervals(benchmark, methods):
    """Mean of both density distances with its interval over prompts and listeners, one core."""

    def intervals(own):
        return [
            mean_inference(t.scores(name), t.influence[name], PANELS).interval()
            for t in own
            for name in (HEADLINE, "kantorovich")
        ]

    def peer():
        """SciPy's bootstrap over prompts alone; scaled to the number of methods."""
        scores = tables(methods)[0].scores(HEADLINE)
        bootstrap((scores,), np.mean, n_resamples=2000, method="percentile", rng=1)

    measured(
        benchmark,
        lambda: intervals(tables(methods)),
        rounds=1 if methods > 100 else 2,
        row="intervals of a board",
        size=f"{methods} methods",
        peer_s=2 * methods * best(peer),
        peer="scipy's bootstrap, prompts only",
    )


@pytest.mark.parametrize("methods", [10, 30, 100])
def test_all_pairs(benchmark, methods):
    """Mean difference of every pair of methods on 30 prompts, with the error over all pairs held."""
    own = tables(methods)
    scores = [t.scores(HEADLINE) for t in own]
    influence = [t.influence[HEADLINE] for t in own]
    pairs = methods * (methods - 1) / 2
    measured(
        benchmark,
        lambda: all_pairs(scores, influence, PANELS, np.random.default_rng(0)),
        rounds=1,
        row="all pairs of a board",
        size=f"{methods} methods",
        peer_s=pairs * best(lambda: ttest_rel(scores[0], scores[1]).pvalue),
        peer="scipy's paired t-test, prompts only, not adjusted",
    )


@pytest.mark.parametrize("jobs", [1, 2])
def test_jobs(benchmark, jobs):
    """A compute-bound sweep: four runs of 30 prompts; ideal is the time of one job, divided."""
    seconds, drawn = swept(jobs)
    assert benchmark.pedantic(lambda: None, rounds=1) is None
    told = {"row": "sweep of four runs", "size": f"{jobs} jobs", "seconds": seconds}
    if jobs == 2:
        alone, same = swept(1)
        assert drawn == same
        told |= {"peer_s": alone, "peer": "1 job", "floor_s": alone / 2, "floor": "half of 1 job"}
        told["target"] = ("times", 1.7)
    benchmark.extra_info.update(told)


@lru_cache(maxsize=2)
def swept(jobs):
    import tempfile

    import popeq
    from tests.bench.burner import SPEC

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        runs = popeq.run(SPEC, seeds=[0, 1, 2, 3], runs_dir=folder, jobs=jobs)
        seconds = time.perf_counter() - started
        assert all(r.record.status == "complete" for r in runs), [r.record.failures for r in runs]
        return seconds, [r.record.predictions_sha256 for r in runs]
