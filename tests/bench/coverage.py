"""How often the board's intervals and tests are wrong, in simulated studies whose truth is known.

``python -m tests.bench.coverage`` (an hour) prints the table of docs/statistics.md. Two predictors draw from
each prompt's true population and move it by so many dB: by +0.4 and -0.4 dB of smile, which are equally good
(no difference), so that one is about 0.3 dB worse, or not at all, as two seeds of one method. The truth is
the mean over all simulated studies of a row. Everybody is simulated.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import joblib
import numpy as np

from popeq.board.regression import DEFAULT_MARGIN_DB
from popeq.metrics import HEADLINE
from popeq.statistics import MeanEstimate, Panels, mean_inference, signed_rank
from tests.bench.worlds import scored, study

PROMPTS = (8, 20, 30, 60, 120, 300)
#: Moves of the two predictors, (smile, tilt) in dB.
MOVES = {
    "two seeds": ((0.0, 0.0), (0.0, 0.0)),
    "none": ((0.4, 0.0), (-0.4, 0.0)),
    "0.3 dB": ((0.4, 0.0), (0.0, 1.35)),
}


class Outcome(NamedTuple):
    """One simulated study: the estimate, and the p of the signed-rank test."""

    estimate: MeanEstimate
    wilcoxon: float


def simulate(
    seed: int, prompts: int, shared: bool, moves: tuple[tuple[float, float], ...], samples: int
) -> Outcome:
    """One study of two predictors."""
    rng = np.random.default_rng([seed, prompts, shared])
    world = study(prompts, rng, shared=shared)
    a, b = (scored(world, move, samples, rng) for move in moves)
    difference = np.array([y.values[HEADLINE] - x.values[HEADLINE] for x, y in zip(a, b, strict=True)])
    influence = [y.influence[HEADLINE] - x.influence[HEADLINE] for x, y in zip(a, b, strict=True)]
    estimate = mean_inference(difference, influence, Panels(world.listeners))
    return Outcome(estimate, signed_rank(difference).p_value)


def rates(outcomes: list[Outcome]) -> dict[str, float]:
    """Shares of studies in which the 95 % interval holds the truth, the test and the signed-rank test reject
    no difference at 5 %, and the regression gate says "regressed" without a loss or passes a loss of just its
    margin; and in which it passes without a loss and finds one of two margins (the default margin)."""
    truth = float(np.mean([o.estimate.value for o in outcomes]))

    def share(hits: list[bool]) -> float:
        return float(np.mean(hits))

    ends = [o.estimate.interval() for o in outcomes]
    one_sided = [o.estimate.interval(0.9) for o in outcomes]
    return {
        "truth": truth,
        "width": float(np.mean([high - low for low, high in ends])),
        "coverage": share([low <= truth <= high for low, high in ends]),
        "significant": share([o.estimate.p_value < 0.05 for o in outcomes]),
        "signed rank": share([o.wilcoxon < 0.05 for o in outcomes]),
        "regressed at no loss": share([low > truth for low, _ in one_sided]),
        "passed at the margin": share([high < truth for _, high in one_sided]),
        "passed at no loss": share([high - truth <= DEFAULT_MARGIN_DB for _, high in one_sided]),
        "found at two margins": share([low - truth + 2 * DEFAULT_MARGIN_DB > 0 for low, _ in one_sided]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=110)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--prompts", type=int, nargs="*", default=PROMPTS)
    arguments = parser.parse_args()
    names = list(rates([simulate(0, 8, True, MOVES["none"], 11)]))
    print("| listeners | difference | prompts | studies | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 4) + "|", flush=True)
    for prompts in arguments.prompts:
        for shared in (True, False):
            for name, moves in MOVES.items():
                worlds = arguments.worlds if prompts <= 60 else 60 * arguments.worlds // prompts
                outcomes = joblib.Parallel(n_jobs=arguments.jobs)(
                    joblib.delayed(simulate)(s, prompts, shared, moves, arguments.samples)
                    for s in range(worlds)
                )
                found = rates(outcomes)
                cells = [f"{found[n]:.2f}" if n in ("truth", "width") else f"{found[n]:.1%}" for n in names]
                who = "the same 11" if shared else "11 of their own"
                print(f"| {who} | {name} | {prompts} | {worlds} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
