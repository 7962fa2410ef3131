"""Which ranks twins get: boards of 15 rows in simulated studies, of which some draw from one law.

``python -m tests.bench.ranks`` (minutes) prints the table of docs/statistics.md: five pairs of twins (one
law, other draws), three rows of other laws and two hopeless ones that predict a corner. All is simulated.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import joblib
import numpy as np

from popeq.metrics import HEADLINE
from popeq.statistics import Panels, all_pairs, rank_ranges
from tests.bench.worlds import scored, study

#: Moves of the laws from each prompt's population, (smile, tilt) in dB.
TWINS = ((0.0, 0.0), (0.8, 0.0), (0.0, 0.8), (-1.0, 0.5), (0.5, -1.2))
OTHERS = ((0.3, 0.3), (1.5, 1.0), (-0.5, -1.5))
HOPELESS = ((12.0, 12.0), (-12.0, 12.0))


def board(seed: int, prompts: int, shared: bool, samples: int) -> dict[str, float]:
    """What one board of 15 rows says of its twins, as shares of the five pairs."""
    rng = np.random.default_rng([seed, prompts, shared])
    world = study(prompts, rng, shared=shared)
    laws = [law for law in TWINS for _ in range(2)] + list(OTHERS) + list(HOPELESS)
    rows = [scored(world, law, samples, rng) for law in laws]
    scores = np.array([[s.values[HEADLINE] for s in row] for row in rows])
    influence = [[s.influence[HEADLINE] for s in row] for row in rows]
    panels = Panels(world.listeners)

    def ranks(keep: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = all_pairs(scores[keep], influence[keep], panels, np.random.default_rng(0), 1999)
        return found.p_family, *rank_ranges(found.shift, found.p_family)

    p, best, worst = ranks(slice(None))
    alone, _, _ = ranks(slice(0, 13))
    first, second = np.arange(0, 10, 2), np.arange(1, 10, 2)
    loosened = (p[:13, :13] < 0.05) & ~(alone < 0.05)
    return {
        "twins separated": float((p[first, second] < 0.05).mean()),
        "twins share a rank": float(
            (np.maximum(best[first], best[second]) <= np.minimum(worst[first], worst[second])).mean()
        ),
        "twins have the same first rank": float((best[first] == best[second]).mean()),
        "pairs that hopeless rows separated": float(loosened.sum() / 2),
        "pairs separated, of 91 with a difference or none": float((alone < 0.05).sum() / 2),
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boards", type=int, default=200, help="boards of 30 prompts; fewer of more prompts")
    parser.add_argument("--prompts", type=int, nargs="+", default=(30, 120))
    parser.add_argument("--samples", type=int, default=110)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args(argv)
    header = None
    for prompts in arguments.prompts:
        for shared in (True, False):
            boards = max(1, arguments.boards * 30 // max(prompts, 30))
            found = joblib.Parallel(n_jobs=arguments.jobs)(
                joblib.delayed(board)(s, prompts, shared, arguments.samples) for s in range(boards)
            )
            if header is None:
                header = list(found[0])
                print("| prompts | listeners | boards | " + " | ".join(header) + " |")
                print("|---" * (3 + len(header)) + "|")
            means = [np.mean([f[name] for f in found]) for name in header]
            cells = [f"{m:.1%}" if "twins" in n else f"{m:.1f}" for n, m in zip(header, means, strict=True)]
            who = "the same 11" if shared else "11 of their own"
            print(f"| {prompts} | {who} | {boards} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
