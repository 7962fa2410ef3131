"""How cost grows with samples, cells, prompts, methods and jobs, each beside its floor and its peer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from timeit import default_timer
from unittest import mock

import numpy as np
import ot
from scipy.spatial.distance import cdist
from scipy.stats import bootstrap, ttest_rel

from popeq.board.scoring import PromptTable
from popeq.metrics import HEADLINE, Target, densities, grid_of, grid_transport, grid_wasserstein
from popeq.metrics.kde import Grid
from popeq.space import PLANE
from popeq.statistics import Panels, all_pairs, mean_inference
from popeq.typing import Floats
from tests.bench.ratios import Row, least_seconds, timed
from tests.bench.scoring import GRID, PROMPTS, world

#: Masses of two densities on one grid, (cells^2,) each.
Pair = tuple[Floats, Floats]
PRICED = "each arc priced once"


@lru_cache(maxsize=2)
def both_densities(prompts: int) -> list[Pair]:
    """Predicted and actual masses, the standard and the reflective ones: two pairs a prompt."""
    pairs = []
    for samples, responses in list(zip(*world(), strict=True))[:prompts]:
        a, b = densities(samples, GRID, 0.3), densities(responses, GRID, 0.3)
        pairs += [(a.standard, b.standard), (a.reflective, b.reflective)]
    return pairs


def every_arc_once(pairs: Sequence[Pair], grid: Grid) -> None:
    """Price each arc of the problems that are left after cancellation: no proof of a plan does with less."""
    for a, b in pairs:
        costs = grid.distances[np.ix_(a > b, b > a)]
        costs.min(axis=1)


def plain(pairs: Sequence[Pair], grid: Grid) -> list[float]:
    """The peer: POT on the whole grid."""
    return [float(ot.emd2(a, b, grid.distances, numItermax=10_000_000)) for a, b in pairs]


def exact(prompts: int, rounds: int) -> dict[str, float]:
    """Times of exact solutions by this process's solver, for a Row, after a check of their values."""
    pairs = both_densities(prompts)

    def ours() -> list[float]:
        return [grid_wasserstein(a, b, GRID) for a, b in pairs]

    np.testing.assert_allclose(ours(), plain(pairs, GRID), atol=1e-9)
    return timed(ours, rounds, floor=lambda: every_arc_once(pairs, GRID), peer=lambda: plain(pairs, GRID))


def distances(whole: bool) -> Iterator[Row]:
    """Both density distances of all prompts: by POT after cancellation, compiled, and within 0.5 %."""
    prompts, rounds = (PROMPTS, 3) if whole else (2, 1)
    pairs = both_densities(prompts)
    same = {"size": f"{prompts} prompts, 24 x 24", "floor": PRICED, "peer": "ot.emd2"}
    grids = f"{len(pairs)} grids"
    with mock.patch.dict(os.environ, POPEQ_SOLVER="pot"):
        by_pot = exact(prompts, rounds)
    yield Row(measurement=f"{grids}: exact, POT", **same, **by_pot, least_ratio=8.0)
    yield Row(measurement=f"{grids}: exact, compiled", **same, **exact(prompts, rounds), least_ratio=8.0)
    near = [grid_transport(a, b, GRID, 0.005) for a, b in pairs]
    known = plain(pairs, GRID)
    for found, value in zip(near, known, strict=True):
        assert abs(found.cost - value) <= found.error + 1e-9
        assert found.error <= 0.005 * found.cost
    off = np.abs(np.array([found.cost for found in near]) / known - 1)
    proven = max(found.error / found.cost for found in near)
    yield Row(
        measurement=f"{grids}: within 0.5 %",
        **same,
        **timed(
            lambda: [grid_transport(a, b, GRID, 0.005) for a, b in pairs],
            rounds,
            floor=lambda: every_arc_once(pairs, GRID),
            peer=lambda: plain(pairs, GRID),
        ),
        least_ratio=20.0,
        figure=f"off by {off.max():.2%} at most, {off.mean():.2%} on average; proven {proven:.2%}",
    )


def cells(whole: bool) -> Iterator[Row]:
    """One pair of wide densities; plain emd2 on up to 32 x 32 cells, the floor on up to 48 x 48."""
    samples, responses = (sets[1] for sets in world())
    for n in (16, 24, 32, 48, 96) if whole else (8,):
        grid = grid_of(PLANE, n)
        a, b = (densities(points, grid, 0.3).reflective for points in (samples, responses))
        for way, tolerance in (("exact", 0.0), ("within 0.5 %", 0.005)):
            yield Row(
                measurement=f"one grid: {way}",
                size=f"{n} x {n}",
                **timed(
                    lambda a=a, b=b, grid=grid, tolerance=tolerance: grid_transport(a, b, grid, tolerance),
                    3 if whole and n < 96 else 1,
                    floor=(lambda a=a, b=b, grid=grid: every_arc_once([(a, b)], grid)) if n <= 48 else None,
                    peer=(lambda a=a, b=b, grid=grid: plain([(a, b)], grid)) if n <= 32 else None,
                ),
                floor=PRICED,
                peer="ot.emd2",
            )


def samples(whole: bool) -> Iterator[Row]:
    """Four scores of one prompt; the floor is the distances between all points, which two of them need."""
    target = Target(world()[1][1])
    for n in (11, 110, 1100, 10_000) if whole else (11,):
        points = np.random.default_rng(0).uniform(-6, 6, (n, 2))
        everything = np.concatenate([points, target.responses])
        times = timed(
            lambda points=points: target.score(points),
            3 if whole else 1,
            floor=lambda everything=everything: cdist(everything, everything),
        )
        yield Row(measurement="four scores", size=f"{n} samples", **times, floor="all distances")


def prompts(whole: bool) -> Iterator[Row]:
    """All scores and diagnostics, each number of prompts in a process of its own. The claim is about memory
    and the slope of the logarithm of time over that of the number of prompts."""
    sizes, n = ((30, 300, 3000), 1000) if whole else ((2,), 11)
    taken: list[float] = []
    for size in sizes:
        code = [sys.executable, "-m", "tests.bench.memory", str(size), str(n)]
        found = json.loads(subprocess.run(code, check=True, stdout=subprocess.PIPE, text=True).stdout)
        seconds, gib = found["seconds"], found["peak_gib"]
        taken.append(seconds)
        figure, claim = f"{gib:.2f} GiB, {seconds / size * 1e3:.1f} ms a prompt", None
        if whole and size == sizes[-1]:
            slope = np.polyfit(np.log(sizes), np.log(taken), 1)[0]
            figure += f", time grows as prompts^{slope:.2f}"
            claim = ("<= 1.5 GiB, slope <= 1.1", bool(gib <= 1.5 and slope <= 1.1))
        row = {"measurement": f"scores of {n} samples each", "size": f"{size} prompts", "seconds": seconds}
        yield Row(**row, figure=figure, claim=claim)


def tables(methods: int, rng: np.random.Generator) -> list[PromptTable]:
    """Invented scores and influences of 30 prompts by 11 listeners each."""
    import pandas as pd

    made = []
    for _ in range(methods):
        frame = pd.DataFrame({name: rng.gamma(4, 0.5, 30) for name in (HEADLINE, "kantorovich")})
        influence = {name: list(rng.normal(0, 0.1, (30, 11))) for name in frame}
        made.append(PromptTable(frame, influence))
    return made


#: 30 prompts with 11 listeners of their own.
PANELS = Panels([[f"p{p}-{i}" for i in range(11)] for p in range(30)])


def intervals(whole: bool) -> Iterator[Row]:
    """Mean of both density distances with its interval over prompts and listeners, one core. The peer is
    SciPy's bootstrap over prompts alone, of one method, multiplied by the number of means."""
    for methods in (10, 30, 100, 300, 1000) if whole else (2,):
        own = tables(methods, np.random.default_rng(methods))

        def ours(own: list[PromptTable] = own) -> None:
            for t in own:
                for name in (HEADLINE, "kantorovich"):
                    mean_inference(t.scores(name), t.influence[name], PANELS).interval()

        def peer(one: PromptTable = own[0], resamples: int = 2000 if whole else 20) -> None:
            scores = one.scores(HEADLINE)
            bootstrap((scores,), np.mean, n_resamples=resamples, method="percentile", rng=1)

        seconds, one = least_seconds([ours, peer], 3 if whole else 1)
        yield Row(
            measurement="intervals of a board",
            size=f"{methods} methods",
            seconds=seconds,
            peer_s=2 * methods * one,
            peer="scipy's bootstrap, prompts only",
        )


def pairs(whole: bool) -> Iterator[Row]:
    """Mean difference of every pair of methods on 30 prompts, with the error of all pairs controlled. The
    peer is one paired t-test, multiplied by the number of pairs."""
    for methods in (10, 30, 100) if whole else (3,):
        own = tables(methods, np.random.default_rng(methods))
        scores = [t.scores(HEADLINE) for t in own]
        influence = [t.influence[HEADLINE] for t in own]

        def ours(scores: list[Floats] = scores, influence: list[list[Floats]] = influence) -> None:
            all_pairs(scores, influence, PANELS, np.random.default_rng(0))

        def peer(a: Floats = scores[0], b: Floats = scores[1]) -> None:
            ttest_rel(a, b)

        seconds, one = least_seconds([ours, peer], 3 if whole else 1)
        yield Row(
            measurement="all pairs of a board",
            size=f"{methods} methods",
            seconds=seconds,
            peer_s=methods * (methods - 1) / 2 * one,
            peer="scipy's paired t-test, prompts only, not adjusted",
        )


def jobs(whole: bool) -> Iterator[Row]:
    """A compute-bound sweep of runs of 30 prompts; the floor is the time of one job, divided by two."""
    seeds, rounds = ([0, 1, 2, 3], 400) if whole else ([0], 1)
    alone, same = swept(1, seeds, rounds)
    taken, drawn = swept(2, seeds, rounds)
    assert drawn == same
    name = f"sweep of {len(seeds)} runs"
    yield Row(measurement=name, size="1 job", seconds=alone)
    beside = {"floor_s": alone / 2, "floor": "half of 1 job", "peer_s": alone, "peer": "1 job"}
    yield Row(measurement=name, size="2 jobs", seconds=taken, **beside, least_ratio=1.7)


def swept(jobs: int, seeds: list[int], rounds: int) -> tuple[float, list[str]]:
    """Seconds of a sweep, and hashes of what its runs drew."""
    import popeq
    from tests.bench.burner import SPEC

    with tempfile.TemporaryDirectory() as folder:
        started = default_timer()
        options = {"rounds": str(rounds)}
        runs = popeq.run(SPEC, seeds=seeds, runs_dir=folder, jobs=jobs, options=options)
        seconds = default_timer() - started
        assert all(r.record.status == "complete" for r in runs), [r.record.failures for r in runs]
        return seconds, [str(r.record.predictions_sha256) for r in runs]


MEASUREMENTS = (distances, cells, samples, prompts, intervals, pairs, jobs)
