"""Reference lines: the expected scores of a perfect predictor and of a fresh panel of listeners.

A score against few listeners is never 0, not even for the population itself. The distance of two halves of a
prompt's listeners can be measured (``popeq.board.split_half``). Its ratio to the distance of larger groups is
taken from pseudo-populations, one for each prompt, in which both distances can be drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from popeq.board import kept_scores
from popeq.board.scoring import Scorer
from popeq.board.split_half import DISTANCES, pseudo_panels, ratios_to, split_half
from popeq.metrics import SCORES
from popeq.typing import Floats

PANEL_SIZE = 11
#: Two disjoint halves of two listeners each are the least that says how far groups are apart.
LEAST_LISTENERS = 4
PERFECT, FRESH = "perfect predictor", f"fresh panel of {PANEL_SIZE}"
ESTIMATED = "estimated from disjoint halves of the listeners"


@dataclass(frozen=True, eq=False)
class ReferenceLine:
    """Expected scores by prompt of what has no row: ``scores[name]`` (P,), dB; in words, ``how`` they were
    obtained; ``influence[name][p]`` (m_p,) of each listener on them, dB, as for a row; whether they are
    ``estimated``."""

    name: str
    how: str
    scores: Mapping[str, Floats]
    influence: Mapping[str, Sequence[Floats]] = field(default_factory=dict)
    estimated: bool = False

    def values(self, name: str) -> tuple[Floats, Sequence[Floats] | None]:
        """One score by prompt, (P,) dB, and the influence of the listeners on it."""
        return self.scores[name], self.influence.get(name)

    def take(self, keep: Sequence[int]) -> ReferenceLine:
        """The line on some of the prompts, by position."""
        return replace(
            self,
            scores={name: own[list(keep)] for name, own in self.scores.items()},
            influence={name: [own[i] for i in keep] for name, own in self.influence.items()},
        )


def reference_lines(
    scorer: Scorer, *, second: bool = True, jobs: int = 1, keep: bool = False
) -> list[ReferenceLine]:
    """The perfect predictor and the fresh panel of 11, for the density distances.

    The fresh panel is measured where the data set brings a second panel. Both are missing (an empty list)
    where prompts have fewer than four listeners, because then there are no two disjoint groups.
    Without ``second`` the second panel is not looked at, and the perfect line comes first. Prompts are
    measured in ``jobs`` processes. With ``keep``, lines that were estimated here before by the same code are
    not estimated again.
    """
    other = scorer.second_panel if second else None
    lines = []
    if min(len(t.responses) for t in scorer.targets) >= LEAST_LISTENERS:
        lines.append(_kept_line(scorer, PERFECT, scorer.protocol.n_samples, jobs, keep))
        if other is None:
            lines.append(_kept_line(scorer, FRESH, PANEL_SIZE, jobs, keep))
    if other is not None:
        scored = [t.score(other.points(p)) for t, p in zip(scorer.targets, scorer.prompt_ids, strict=True)]
        lines.append(
            ReferenceLine(
                FRESH,
                f"measured with {other.card.label}, revision {other.revision[:12]}",
                {name: np.array([s.values[name] for s in scored]) for name in SCORES},
                {name: [s.influence[name] for s in scored] for name in scored[0].influence},
            )
        )
    return lines


def _kept_line(scorer: Scorer, name: str, drawn: int, jobs: int, keep: bool) -> ReferenceLine:
    place = kept_scores.place_of(f"reference line: {drawn} drawn, {pseudo_panels()}", scorer)
    found = kept_scores.read_numbers(place, scorer, DISTANCES) if keep else None
    if found is not None:
        return ReferenceLine(name, ESTIMATED, found.scores, found.influence, True)
    line = estimated_line(scorer, name, drawn, jobs=jobs)
    if keep:
        influence = {d: list(line.influence[d]) for d in DISTANCES}
        numbers = kept_scores.Numbers({d: line.scores[d] for d in DISTANCES}, influence, [])
        kept_scores.write_numbers(place, numbers)
    return line


def estimated_line(
    scorer: Scorer, name: str, drawn: int, panel: int | None = None, *, jobs: int = 1
) -> ReferenceLine:
    """Expected scores of ``drawn`` points of the population against ``panel`` other listeners of it.

    Parameters
    ----------
    panel
        Size of the panel that is scored against; by default that of each prompt.

    Notes
    -----
    ``E W1(drawn, panel) = E W1(half, half) * ratio``: the first factor is measured without bias on disjoint
    halves of each prompt's listeners, and carries the spread. The ratio is that of the same two distances in
    pseudo-populations; it does not depend on the scale, and little on the shape. By simulation with known
    populations the mean line was within 5 % of the truth at 11 listeners, and up to 14 % under at 5
    (docs/boards.md).
    """
    halves = split_half(scorer, jobs)
    sizes = np.array([len(t.responses) for t in scorer.targets])
    ratios = ratios_to(scorer, drawn, panel, jobs)
    smooth = {key: _smoothed(sizes, own[:, 0], own[:, 1]) for key, own in ratios.items()}
    return ReferenceLine(
        name,
        ESTIMATED,
        {key: own.distance * smooth[key] for key, own in halves.items()},
        {
            key: [effect * ratio for effect, ratio in zip(own.influence, smooth[key], strict=True)]
            for key, own in halves.items()
        },
        True,
    )


def _smoothed(sizes: NDArray[np.int64], wanted: Floats, half: Floats) -> Floats:
    """Ratio of wanted to half distances by prompt: one value for each panel size if they are few, else a
    parabola in the logarithm of the size, because a single prompt's ratio is mostly noise."""
    known = half > 0
    if not known.any():
        return np.ones(len(sizes))
    distinct = np.unique(sizes[known])
    if len(distinct) == 1:
        return np.full(len(sizes), wanted[known].sum() / half[known].sum())
    x = np.log(sizes)
    logs = np.log(np.maximum(wanted[known], 1e-12) / half[known])
    degree = min(2, len(distinct) - 1)
    return np.exp(np.polyval(np.polyfit(x[known] - x.mean(), logs, degree), x - x.mean()))
