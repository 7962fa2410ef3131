"""Coverage of the intervals of learning curves, where the truth is known.

``python -m tests.bench.learning`` (a minute). In each world N training prompts are drawn from a population.
Each has an effect on the scores of all test prompts and one on each single test prompt, of which a method
gets the mean over its subset. The truth is the mean over all training and test prompts that there could be.
Everything here is simulated.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from tabulate import tabulate

from popeq.statistics import Panels, mean_inference
from popeq.studies.learning import with_subsets

ALL, TESTED = 600, 60
COMMON, SINGLE, OWN = 1.0, 2.0, 0.8


def world(size: int, subsets: int, rng: np.random.Generator) -> tuple[bool, bool]:
    """Whether the interval holds the truth with the part for the choice of prompts, and without it."""
    of_all = COMMON * rng.standard_normal(ALL)
    of_each = SINGLE * rng.standard_normal((ALL, TESTED))
    scores = OWN * rng.standard_normal(TESTED)
    chosen = [rng.permutation(ALL)[:size] for _ in range(subsets)]
    tables = np.array([scores + of_all[own].mean() + of_each[own].mean(axis=0) for own in chosen])
    panels = Panels([[f"l{p}"] for p in range(TESTED)])
    plain = mean_inference(tables.mean(axis=0), None, panels)
    whole = with_subsets(plain, tables.mean(axis=1), size / ALL)
    covered = [low <= 0.0 <= high for low, high in (whole.interval(), plain.interval())]
    return covered[0], covered[1]


def table(worlds: int) -> str:
    """Coverage by size and number of subsets, Markdown."""
    rows = []
    for size in (15, 60, 120, 300):
        for subsets in (2, 3, 5):
            rng = np.random.default_rng([size, subsets])
            covered = np.mean([world(size, subsets, rng) for _ in range(worlds)], axis=0)
            rows.append([f"{size} of {ALL}", subsets, *(f"{100 * share:.1f} %" for share in covered)])
    names = ["training prompts", "subsets", "coverage of 95 % intervals", "without the part for the choice"]
    return tabulate(rows, names, tablefmt="github", disable_numparse=True)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=2000)
    print(table(parser.parse_args(argv).worlds))


if __name__ == "__main__":
    main()
