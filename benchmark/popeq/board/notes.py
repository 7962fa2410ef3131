"""What a board says in words: what its numbers are, what they could have shown, and what looks wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from popeq.board.entries import Entry
from popeq.board.reference_lines import ReferenceLine
from popeq.board.scoring import PromptTable, Scorer
from popeq.metrics import HEADLINE
from popeq.statistics import contradictions, detectable_shift

Floats = NDArray[np.float64]


def standing(scorer: Scorer, lines: Sequence[ReferenceLine], reference: str, alpha: float) -> list[str]:
    """What data, protocol and tests the numbers are of."""
    card = scorer.dataset.card
    notes = [
        f"{card.label} {card.version}, revision {scorer.dataset.revision[:12]}, {scorer.protocol.label}. "
        "All scores in dB, lower is better; intervals are 95 %.",
    ]
    if card.simulated:
        notes.append("SIMULATED listeners: a good score shows agreement with the generator, not with people.")
    if lines:
        how = "; ".join(f"{line.name}: {line.how}" for line in lines)
        notes.append(f"In [brackets]: reference lines, not predictors; finite samples never score 0 ({how}).")
        notes.append("Intervals resample prompts and listeners.")
    notes.append(
        f"Ranks: Benjamini-Hochberg over all pairs at {alpha:g}; p_holm: Holm over the rows against "
        f"{reference}."
    )
    if not lines:
        notes.append("No reference lines: some prompts have fewer than four listeners.")
    return notes


def mixed_seeds(entries: Sequence[Entry]) -> list[str]:
    """A warning if rows average different seeds."""
    seeds = {e.label: ",".join(str(r.record.seed) for r in e.runs) for e in entries}
    if len(set(seeds.values())) < 2:
        return []
    listed = "; ".join(f"{label}: {own}" for label, own in seeds.items())
    return [f"rows are of different seeds, so luck is averaged out in some only ({listed})."]


def least_shift(entries: Sequence[Entry], reference: PromptTable) -> float | None:
    """The least true shift against the reference that these prompts show with 80 % power, dB, for a row of
    median spread; infinite if they are too few, None if there is no other row."""
    base = reference.scores(HEADLINE)
    spreads = [
        float(np.std(e.table.scores(HEADLINE) - base, ddof=1))
        for e in entries
        if e.table is not reference and len(base) > 1
    ]
    if not spreads:
        return None if len(base) > 1 else float("inf")
    return detectable_shift(float(np.median(spreads)), len(base))


def detectable(prompts: int, shift: float | None, reference: str) -> list[str]:
    """``least_shift`` in words."""
    if shift is None:
        return []
    if not np.isfinite(shift):
        return [f"{prompts} prompts are too few for the paired test to show any difference at the 5 % level."]
    return [
        f"{prompts} prompts can show (80 % power, 5 % level) a true shift against {reference} of about "
        f"{shift:.2f} dB; smaller differences stay undecided."
    ]


def disagreements(
    labels: Sequence[str], medians: Floats, q: Floats, shift: Floats, alpha: float
) -> list[str]:
    """Pairs that the sort and the paired test put in opposite orders."""
    return [
        f"sort and test disagree: {labels[i]} stands before {labels[j]} by the median, but the "
        f"paired test finds {labels[j]} better (q = {q[i, j]:.2g})."
        for i, j in contradictions(medians, q, shift, alpha=alpha)
    ]


def suspicions(flags: Mapping[str, Sequence[str]]) -> list[str]:
    """Flags of leaked answers, by row."""
    return [
        f"suspicious: {label}: {flag}; check for leaked test answers."
        for label, own in flags.items()
        for flag in own
    ]
