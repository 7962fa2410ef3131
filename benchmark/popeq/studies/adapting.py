"""The table and picture of an adaptation curve: the score by answers of the new population, and the gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from popeq.board.differences import mean_difference, mean_score
from popeq.board.scoring import PromptTable, ReferenceLine
from popeq.metrics import HEADLINE
from popeq.statistics import MeanEstimate, Panels, holm
from popeq.studies.learning import LEVEL, with_subsets
from popeq.studies.study import Study, draw_estimates
from popeq.typing import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: The tested listeners of each prompt.
Listeners = Sequence[Sequence[str]]


@dataclass(eq=False)
class Adapted:
    """A predictor fitted with one number of answers: its ``seeds``; a table of scores for each division and
    its tested ``listeners``; the number of ``answers`` that were fitted on; and the ``share`` of the new
    population's answers to a prompt that two choices of as many have in common on average."""

    seeds: str
    answers: float
    share: float
    tables: list[PromptTable] = field(default_factory=list)
    listeners: list[Listeners] = field(default_factory=list)

    @property
    def means(self) -> Floats:
        """The mean headline score of each division, (D,) dB."""
        return np.array([float(table.scores(HEADLINE).mean()) for table in self.tables])

    def pooled(self) -> tuple[ReferenceLine, Panels]:
        """The headline averaged over divisions, prompt by prompt, with the influence of everybody who was
        tested in one; and who that was."""
        names = [sorted({who for own in each for who in own}) for each in zip(*self.listeners, strict=True)]
        influence = []
        for p, union in enumerate(names):
            place, total = {who: i for i, who in enumerate(union)}, np.zeros(len(union))
            for table, listeners in zip(self.tables, self.listeners, strict=True):
                own = table.influence[HEADLINE][p]
                # A weight of 1 / m among the tested of a division is one of 1 / n among all.
                total[[place[who] for who in listeners[p]]] += own * len(union) / len(own)
            influence.append(total / len(self.tables))
        scores = np.mean([table.scores(HEADLINE) for table in self.tables], axis=0)
        return ReferenceLine("", "", {HEADLINE: scores}, {HEADLINE: influence}), Panels(names)

    def mean(self) -> MeanEstimate:
        """The mean score, dB, with its uncertainty over prompts, tested listeners and adapting ones."""
        line, panels = self.pooled()
        return with_subsets(mean_score(line, HEADLINE, panels), self.means, self.share or 1.0)

    def since(self, before: Adapted) -> MeanEstimate:
        """The mean of this minus another one with the same divisions, dB; the same prompts and people."""
        (line, panels), (other, _) = self.pooled(), before.pooled()
        difference = mean_difference(line, other, HEADLINE, panels)
        return with_subsets(difference, self.means - before.means, self.share or 1.0)


def adapting_study(
    fits: Mapping[tuple[str, int], Adapted], title: str, notes: Sequence[str], perfect: float | None = None
) -> Study:
    """The study of predictors by label and number of answers a prompt, the first being none.

    ``perfect`` is the expected score of a perfect predictor against the tested listeners, dB, if it is known.

    Notes
    -----
    A score is averaged over divisions and seeds, prompt by prompt. Its variance is that over prompts and
    tested listeners, and that of the choice of adapting listeners (``learning.with_subsets``; the variance
    between divisions, which holds a part of the tested listeners too, so that intervals are not too narrow).
    Shifts are paired: the same prompts, tested people and divisions. All shifts from no answers are one
    family for Holm's adjustment.
    """
    labels = list(dict.fromkeys(label for label, _ in fits))
    numbers = sorted({number for _, number in fits})
    means = {key: own.mean() for key, own in fits.items()}
    shifts = {(a, k): fits[a, k].since(fits[a, numbers[0]]) for a in labels for k in numbers[1:]}
    adjusted = dict(zip(shifts, holm(np.array([s.p_value for s in shifts.values()])), strict=True))
    rows = []
    for label in labels:
        for number in numbers:
            own, mean = fits[label, number], means[label, number]
            low, high = mean.interval()
            row: dict[str, object] = {"predictor": label, "answers": number, "fitted_answers": own.answers}
            row |= {f"{HEADLINE}_mean": mean.value}
            row |= {f"{HEADLINE}_mean_low": low, f"{HEADLINE}_mean_high": high}
            if shift := shifts.get((label, number)):
                low, high = shift.interval()
                row |= {"shift": shift.value, "shift_low": low, "shift_high": high}
                row |= {"p_value": shift.p_value, "p_adjusted": adjusted[label, number]}
            rows.append(row | {"divisions": len(own.tables), "seeds": own.seeds})
    columns = ["predictor", "answers", "fitted_answers"]
    columns += [HEADLINE + end for end in ("_mean", "_mean_low", "_mean_high")]
    columns += ["shift", "shift_low", "shift_high", "p_value", "p_adjusted", "divisions", "seeds"]

    def draw(axes: Axes) -> None:
        apart = np.linspace(-0.12, 0.12, len(labels)) if len(labels) > 1 else [0.0]
        for i, label in enumerate(labels):
            own = [means[label, number] for number in numbers]
            draw_estimates(axes, i, np.arange(len(numbers)) + apart[i], own, label)
        if perfect is not None:
            axes.axhline(perfect, color="0.5", linewidth=0.8, linestyle=":", label="perfect predictor")
        axes.set_xticks(range(len(numbers)), [str(number) for number in numbers])
        axes.set(xlabel="answers of the new population to each prompt", ylabel="mean headline score, dB")

    said = conclusion(shifts, adjusted)
    return Study(title, pd.DataFrame(rows, columns=columns), (*notes, said), draw, keys=2)


def conclusion(
    shifts: Mapping[tuple[str, int], MeanEstimate], adjusted: Mapping[tuple[str, int], float]
) -> str:
    """Which shifts from no answers are beyond noise by Holm's adjustment, in words; by predictor the fewest
    answers, and the most."""
    beyond: dict[str, list[int]] = {}
    for label, number in shifts:
        if adjusted[label, number] <= LEVEL:
            beyond.setdefault(label, []).append(number)
    said = []
    for label, numbers in beyond.items():
        parts, answers = [], "answers" if max(numbers) > 1 else "answer"
        for number in dict.fromkeys((min(numbers), max(numbers))):
            value = shifts[label, number].value
            parts.append(f"{abs(value):.2f} dB {'better' if value < 0 else 'worse'} with {number}")
        said.append(f"{label} is {' and '.join(parts)} {answers} a prompt than with none")
    count = np.isfinite([s.p_value for s in shifts.values()]).sum()
    return f"Beyond noise (5 % for any of {count} comparisons, Holm): {'; '.join(said) or 'nothing'}."
