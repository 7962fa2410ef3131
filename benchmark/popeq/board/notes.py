"""What a board says in words: what its numbers are, what they could have shown, and what looks wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from popeq.board.entries import Entry
from popeq.board.people import people_note
from popeq.board.reference import REFERENCE
from popeq.board.reference_lines import ReferenceLine
from popeq.board.scoring import Scorer
from popeq.statistics import LEAST_PROMPTS

#: Listeners a prompt for which the reference lines were validated within 5 % (docs/boards.md).
_VALIDATED_LISTENERS = 11


def what_it_shows(
    scorer: Scorer,
    entries: Sequence[Entry],
    lines: Sequence[ReferenceLine],
    least_shift: float,
    flags: Mapping[str, Sequence[str]],
    alpha: float,
) -> list[str]:
    """Every note that a board makes of itself."""
    return [
        *_standing(scorer, lines, alpha),
        *_mixed_seeds(entries),
        *detectable(scorer, least_shift),
        *_suspicions(flags),
    ]


def _standing(scorer: Scorer, lines: Sequence[ReferenceLine], alpha: float) -> list[str]:
    """What data, protocol and tests the numbers are of."""
    card = scorer.dataset.card
    notes = [
        f"{card.label} {card.version}, revision {scorer.dataset.revision[:12]}, {scorer.protocol.label}. "
        "All scores in dB, lower is better; intervals are 95 %, over prompts and listeners.",
    ]
    if card.simulated:
        notes.append("SIMULATED listeners: a good score shows agreement with the generator, not with people.")
    notes.append(people_note(scorer.dataset, scorer.prompt_ids))
    notes.append(
        f"Shift and skill are against the {REFERENCE} themselves, all of them and not drawn: the same for "
        "every sentence and every board. Shift, interval and p are each row's own."
    )
    notes.append(
        "Ranks are the best and the worst that the tests of all pairs allow (mean difference over prompts, "
        f"step-down maximum statistic; {alpha:.0%} is the chance of any wrong separation). p_wilcoxon is the "
        "paper's signed-rank test against the reference, which holds given these listeners."
    )
    if not lines:
        return [*notes, "No estimated reference lines: some prompts have fewer than four listeners."]
    how = "; ".join(f"{line.name}: {line.how}" for line in lines)
    notes.append(f"In [brackets]: not predictors; finite samples never score 0 ({how}).")
    fewest = min(len(t.responses) for t in scorer.targets)
    if fewest < _VALIDATED_LISTENERS and any("estimated" in line.how for line in lines):
        notes.append(
            f"Some prompts have {fewest} listeners: estimated lines are within 5 % of the truth with "
            f"{_VALIDATED_LISTENERS} listeners and up to 14 % too low with 5."
        )
    return notes


def _mixed_seeds(entries: Sequence[Entry]) -> list[str]:
    """A warning if rows average different seeds."""
    seeds = {e.label: ",".join(str(r.record.seed) for r in e.runs) for e in entries}
    if len(set(seeds.values())) < 2:
        return []
    listed = "; ".join(f"{label}: {own}" for label, own in seeds.items())
    return [f"rows are of different seeds, so luck is averaged out in some only ({listed})."]


def detectable(scorer: Scorer, least_shift: float) -> list[str]:
    """The least shift that these prompts and listeners can show, in words."""
    panels = scorer.panels
    if not np.isfinite(least_shift):
        return [
            f"{panels.prompts} prompts and {panels.people} listeners are too few to tell: nothing is "
            f"concluded with fewer than {LEAST_PROMPTS} prompts or a single listener."
        ]
    return [
        f"{panels.prompts} prompts and {panels.people} listeners can show (80 % power, 5 % level) a true "
        f"shift of about {least_shift:.2f} dB for a typical row; least_shift says it of each row."
    ]


def _suspicions(flags: Mapping[str, Sequence[str]]) -> list[str]:
    """Flags of leaked answers, by row."""
    return [
        f"suspicious: {label}: {flag}; check for leaked test answers."
        for label, own in flags.items()
        for flag in own
    ]
