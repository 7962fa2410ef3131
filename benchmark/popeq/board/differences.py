"""The one inference of popeq on rows: the mean over prompts of a score, or of the difference of two rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from popeq.statistics import MeanEstimate, Panels, mean_inference
from popeq.typing import Floats


class Scores(Protocol):
    """Scores by prompt of a row, or of somebody who has no row."""

    def values(self, name: str) -> tuple[Floats, Sequence[Floats] | None]:
        """One score by prompt, (P,) dB, and the influence of each prompt's listeners on it, dB; None where it
        is not known."""


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
