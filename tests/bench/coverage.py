"""How often the board's intervals and tests are wrong, in simulated studies whose truth is known.

``python -m tests.bench.coverage`` (an hour and a half on two cores) prints the tables of docs/statistics.md
and docs/regression.md. Two predictors draw from each prompt's true population and move it by so many dB: by
+0.4 and -0.4 dB of smile, which are equally good (no difference), so that one is about 0.3 dB worse, or not
at all, as two seeds of one method. The truth is the mean over all simulated studies of a row. Everybody is
simulated. With ``--keep FOLDER`` what was simulated is kept there, and the next start goes on from it.
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np

from popeq.board.regression import DEFAULT_MARGIN_DB, judge
from popeq.statistics import MeanEstimate, Panels, mean_inference, signed_rank
from tests.bench.worlds import headline_scored, study

PROMPTS = (8, 20, 30, 60, 120, 300)
#: Moves of the two predictors, (smile, tilt) in dB.
MOVES = {
    "none, two seeds": ((0.0, 0.0), (0.0, 0.0)),
    "none, other errors": ((0.4, 0.0), (-0.4, 0.0)),
    "0.35 dB": ((0.4, 0.0), (0.0, 1.35)),
}


class Outcome(NamedTuple):
    """One simulated study: the estimate, and the p of the signed-rank test."""

    estimate: MeanEstimate
    wilcoxon: float


def simulate(
    seed: int, prompts: int, shared: bool, moves: Sequence[tuple[float, float]], samples: int
) -> Outcome:
    """One study of two predictors."""
    rng = np.random.default_rng([seed, prompts, shared])
    world = study(prompts, rng, shared=shared)
    (a, influence_a), (b, influence_b) = (headline_scored(world, move, samples, rng) for move in moves)
    estimate = mean_inference(b - a, list(influence_b - influence_a), Panels(world.listeners))
    return Outcome(estimate, signed_rank(b - a).p_value)


def rates(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Shares of studies in which the 95 % interval holds the truth, the test and the signed-rank test reject
    no difference at 5 %; and of the verdicts of the regression gate at its default margin: "regressed" and
    "pass" had there been no loss, "pass" had there been a loss of just the margin, and "regressed" at one of
    two margins."""
    truth = float(np.mean([o.estimate.value for o in outcomes]))

    def share(hits: list[bool]) -> float:
        return float(np.mean(hits))

    def verdicts(loss: float, verdict: str) -> float:
        moved = (replace(o.estimate, value=o.estimate.value - truth + loss) for o in outcomes)
        return share([judge(shift) == verdict for shift in moved])

    ends = [o.estimate.interval() for o in outcomes]
    return {
        "truth": truth,
        "width": float(np.mean([high - low for low, high in ends])),
        "coverage": share([low <= truth <= high for low, high in ends]),
        "significant": share([o.estimate.p_value < 0.05 for o in outcomes]),
        "signed rank": share([o.wilcoxon < 0.05 for o in outcomes]),
        "regressed at no loss": verdicts(0.0, "regressed"),
        "passed at the margin": verdicts(DEFAULT_MARGIN_DB, "pass"),
        "passed at no loss": verdicts(0.0, "pass"),
        "found at two margins": verdicts(2.0 * DEFAULT_MARGIN_DB, "regressed"),
    }


class Cell(NamedTuple):
    """Studies of one size: who answers, what is compared."""

    prompts: int
    shared: bool
    name: str

    def more(self, kept: list[Outcome], studies: int, samples: int, jobs: int) -> list[Outcome]:
        """So many studies, of which some are there."""
        found = joblib.Parallel(n_jobs=jobs)(
            joblib.delayed(simulate)(seed, self.prompts, self.shared, MOVES[self.name], samples)
            for seed in range(len(kept), studies)
        )
        return [*kept, *found]


def tables(outcomes: dict[Cell, list[Outcome]]) -> str:
    """The tables of docs/statistics.md and docs/regression.md."""
    found = {cell: rates(own) for cell, own in outcomes.items()}
    lines = [
        "| listeners | true difference | prompts | studies | width, dB | coverage | called different "
        "| by the signed rank |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cell, own in found.items():
        shares = (f"{own[name]:.1%}" for name in ("coverage", "significant", "signed rank"))
        start = [_who(cell), cell.name, str(cell.prompts), str(len(outcomes[cell])), f"{own['width']:.2f}"]
        lines.append(_row([*start, *shares]))
    verdicts = [name for name in next(iter(found.values())) if " at " in name]
    lines += ["", _row(["listeners", "true difference", "prompts", "studies", *verdicts])]
    lines.append("|---" * (4 + len(verdicts)) + "|")
    for cell, own in found.items():
        start = [_who(cell), cell.name, str(cell.prompts), str(len(outcomes[cell]))]
        lines.append(_row([*start, *(f"{own[name]:.1%}" for name in verdicts)]))
    return "\n".join(lines)


def _who(cell: Cell) -> str:
    return "the same 11" if cell.shared else "11 of their own"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=2000, help="studies of each row")
    parser.add_argument("--samples", type=int, default=110)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--prompts", type=int, nargs="*", default=PROMPTS)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args(argv)
    cells = [Cell(*each) for each in product(arguments.prompts, (True, False), MOVES)]
    outcomes: dict[Cell, list[Outcome]] = {cell: [] for cell in cells}
    kept = arguments.keep / f"outcomes-{arguments.samples}.pickle" if arguments.keep else None
    if kept and kept.is_file():
        outcomes |= pickle.loads(kept.read_bytes())
    for studies in [*range(100, arguments.worlds, 100), arguments.worlds]:
        for cell in cells:
            if len(outcomes[cell]) >= studies:
                continue
            outcomes[cell] = cell.more(outcomes[cell], studies, arguments.samples, arguments.jobs)
            if kept:
                kept.parent.mkdir(parents=True, exist_ok=True)
                part = kept.with_suffix(".part")
                part.write_bytes(pickle.dumps(outcomes))
                part.replace(kept)
    print(tables({cell: outcomes[cell] for cell in cells}))


if __name__ == "__main__":
    main()
