"""The table and picture of a learning curve, with the uncertainty that comes from the choice of prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from popeq.board.differences import mean_difference, mean_score
from popeq.board.scoring import PromptTable, Scorer, average
from popeq.metrics import HEADLINE
from popeq.statistics import MeanEstimate, holm
from popeq.studies.study import Study, draw_estimates, log_axis, simulated_note
from popeq.typing import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVEL = 0.05
_WHOLE = "With all {} training prompts there is one subset, so that interval has no part for their choice."


@dataclass(eq=False)
class Fits:
    """A predictor fitted on subsets of one size: its seeds, and a table of scores for each subset."""

    seeds: str
    tables: list[PromptTable] = field(default_factory=list)

    @property
    def means(self) -> Floats:
        """The mean headline score with each subset, (K,) dB."""
        return np.array([float(table.scores(HEADLINE).mean()) for table in self.tables])


def learning_study(fits: Mapping[tuple[str, int], Fits], scorer: Scorer, everything: int) -> Study:
    """The study of predictors, by label and number of training prompts, of ``everything`` that there are.

    Notes
    -----
    Scores are averaged over seeds and subsets, prompt by prompt; that average has the variance of every
    table, over prompts and listeners. ``with_subsets`` adds that of the choice of the training prompts.
    Differences are paired: the same subsets, prompts and listeners. Those of two predictors at one size, and
    of one predictor between the first size and the last, are one family for Holm's adjustment.
    """
    labels = list(dict.fromkeys(label for label, _ in fits))
    sizes = sorted({size for _, size in fits})
    rows, found = [], {}
    for label in labels:
        for size in sizes:
            own = fits[label, size]
            estimate = with_subsets(
                mean_score(average(own.tables), HEADLINE, scorer.panels), own.means, size / everything
            )
            found[label, size] = estimate
            low, high = estimate.interval()
            rows.append(
                {
                    "predictor": label,
                    "train": size,
                    f"{HEADLINE}_mean": estimate.value,
                    f"{HEADLINE}_mean_low": low,
                    f"{HEADLINE}_mean_high": high,
                    "sd_subsets": own.means.std(ddof=1) if len(own.tables) > 1 else np.nan,
                    "subsets": len(own.tables),
                    "seeds": own.seeds,
                }
            )
    differences: dict[tuple[str, int, str, int], MeanEstimate] = {}
    for a, b in combinations(labels, 2):
        for size in sizes:
            differences[a, size, b, size] = _difference(
                fits[a, size], fits[b, size], scorer, size / everything
            )
    if len(sizes) > 1:
        first, last = sizes[0], sizes[-1]
        for label in labels:
            pair = fits[label, last], fits[label, first]
            differences[label, last, label, first] = _difference(*pair, scorer, first / everything)
    notes = [
        f"{scorer.dataset.card.label}, {len(scorer.prompt_ids)} test prompts. Scores in dB, lower is better; "
        "95 % intervals over prompts, listeners and the choice of training prompts; sd_subsets is the "
        "standard deviation between subsets.",
        *([_WHOLE.format(everything)] if everything in sizes else []),
        conclusion(differences),
        *simulated_note(scorer),
    ]

    def draw(axes: Axes) -> None:
        shift = np.linspace(-0.02, 0.02, len(labels)) if len(labels) > 1 else [0.0]
        for i, label in enumerate(labels):
            means = [found[label, size] for size in sizes]
            draw_estimates(axes, i, np.array(sizes) * np.exp(shift[i]), means, label)
        log_axis(axes, sizes)
        axes.set(xlabel="training prompts", ylabel="mean headline score, dB")

    title = f"Learning curve: {scorer.dataset.card.label}"
    return Study(title, pd.DataFrame(rows), tuple(notes), draw, keys=2)


def with_subsets(estimate: MeanEstimate, means: Floats, share: float) -> MeanEstimate:
    """The estimate of an average over K subsets, with the variance that their choice adds.

    Parameters
    ----------
    means : (K,)
        The mean with each subset.
    share
        Size of a subset over all there is, so that two subsets have this share in common.

    Notes
    -----
    For a mean that is linear in its training prompts, two subsets with a common share r have correlation r.
    So the variance s^2 between their means estimates v (1 - r), v being that of one subset, and the average
    of K has the variance v (r + (1 - r) / K). The degrees of freedom are Satterthwaite's. With one subset, or
    all prompts, nothing is known of it and nothing is added.
    """
    count = len(means)
    if count < 2 or share >= 1.0 or not estimate.df:
        return estimate
    added = float(np.var(means, ddof=1)) / (1.0 - share) * (share + (1.0 - share) / count)
    variance = estimate.se**2 + added
    if variance == 0.0:
        return estimate
    df = variance**2 / (estimate.se**4 / estimate.df + added**2 / (count - 1))
    return replace(estimate, se=float(np.sqrt(variance)), df=float(df))


def _difference(a: Fits, b: Fits, scorer: Scorer, share: float) -> MeanEstimate:
    """The mean of ``a`` minus ``b``; where one has a single subset, it is compared with each of the other."""
    estimate = mean_difference(average(a.tables), average(b.tables), HEADLINE, scorer.panels)
    return with_subsets(estimate, a.means - b.means, share)


def conclusion(differences: Mapping[tuple[str, int, str, int], MeanEstimate]) -> str:
    """Which differences, of the first minus the second, are beyond noise by Holm's adjustment, in words."""
    p = np.array([each.p_value for each in differences.values()])
    beyond = {key for key, adjusted in zip(differences, holm(p), strict=True) if adjusted <= LEVEL}
    ahead: dict[tuple[str, str], list[int]] = {}
    changed = []
    for a, size, b, other in (key for key in differences if key in beyond):
        value = differences[a, size, b, other].value
        if a == b:
            how = "improves" if value < 0 else "gets worse"
            changed.append(f"{a} {how} by {abs(value):.2f} dB from {other} to {size} prompts")
        else:
            ahead.setdefault((a, b) if value < 0 else (b, a), []).append(size)
    lines = [
        f"{a} is ahead of {b} with {', '.join(map(str, own))} training prompts"
        for (a, b), own in ahead.items()
    ]
    found = "; ".join([*lines, *changed]) or "no difference"
    return f"Beyond noise (5 % for any of {np.isfinite(p).sum()} comparisons, Holm): {found}."
