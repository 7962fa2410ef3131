"""The one inference of popeq on rows: the mean over prompts of a score, or of the difference of two rows."""

from __future__ import annotations

from popeq.board.scoring import PromptTable, ReferenceLine
from popeq.statistics import MeanEstimate, Panels, mean_inference

Scores = PromptTable | ReferenceLine


def mean_score(row: Scores, name: str, panels: Panels) -> MeanEstimate:
    """The mean of a score over prompts, dB, with its uncertainty over prompts and listeners."""
    return mean_inference(*row.values(name), panels)


def mean_difference(a: Scores, b: Scores, name: str, panels: Panels) -> MeanEstimate:
    """The mean over prompts of ``a`` minus ``b``, dB, negative if ``a`` is better.

    The uncertainty is over prompts and listeners, as far as the influence of listeners on the score is known
    (not for ``sample_kantorovich``, where it is over prompts alone).
    """
    (x, by_x), (y, by_y) = a.values(name), b.values(name)
    influence = None
    if by_x is not None and by_y is not None:
        influence = [own - other for own, other in zip(by_x, by_y, strict=True)]
    return mean_inference(x - y, influence, panels)


def difference_cells(a: Scores, b: Scores, name: str, panels: Panels) -> dict[str, float]:
    """The mean difference as cells of a table: shift with its interval, p, effect size, and the least true
    shift that is found with 80 % power at the 5 % level; dB but for p and effect size."""
    shift = mean_difference(a, b, name, panels)
    low, high = shift.interval()
    return {
        "shift": shift.value,
        "shift_low": low,
        "shift_high": high,
        "p_value": shift.p_value,
        "effect_size": shift.effect_size,
        "least_shift": shift.detectable(),
    }
