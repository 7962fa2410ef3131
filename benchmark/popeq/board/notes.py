"""Notes of a board: what its numbers are of, what they can show, and what may be wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from popeq.board.entries import Entry
from popeq.board.people import people_note
from popeq.board.reference_lines import REFERENCE
from popeq.board.scoring import ReferenceLine, Scorer
from popeq.board.thrown_away import notes_of
from popeq.statistics import LEAST_PROMPTS

#: Listeners a prompt for which the reference lines were validated within 5 % (docs/boards.md).
_VALIDATED_LISTENERS = 11

#: What a note is about: which data and protocol the numbers are of; how to read them; how small a difference
#: the data can show, in all and by group; what may be wrong; a run that is not on the board.
NoteKind = Literal["data", "reading", "power", "group", "warning", "left out"]


@dataclass(frozen=True)
class Note:
    """A sentence to be read with a board, with what it is about."""

    kind: NoteKind
    text: str


def board_notes(
    scorer: Scorer,
    entries: Sequence[Entry],
    lines: Sequence[ReferenceLine],
    least_shift: float,
    flags: Mapping[str, Sequence[str]],
    alpha: float,
    compared_with: str | None = None,
) -> list[Note]:
    """Every note on a board's own numbers; ``least_shift`` in dB, ``flags`` by row; ``compared_with`` is the
    label of the row that shifts are against, if it is not the training responses."""
    card, panels = scorer.dataset.card, scorer.panels
    notes = [
        Note(
            "data",
            f"{card.label} {card.version}, revision {scorer.dataset.revision[:12]}, {scorer.protocol.label}. "
            "All scores in dB, lower is better; intervals are 95 %, over prompts and listeners.",
        )
    ]
    if card.simulated:
        text = "SIMULATED listeners: a good score shows agreement with the generator, not with people."
        notes.append(Note("warning", text))
    notes += [Note("reading", text) for text in _reading(scorer, lines, alpha, compared_with)]
    thrown_away, much = notes_of(entries)
    notes += [Note("reading", text) for text in thrown_away]
    notes += [Note("warning", text) for text in much]
    if len({e.seeds for e in entries}) > 1:
        seeds = "; ".join(f"{e.label}: {e.seeds}" for e in entries)
        text = f"Rows are of different seeds, so the chance of a draw is averaged out in some only ({seeds})."
        notes.append(Note("warning", text))
    if np.isfinite(least_shift):
        power = (
            f" can show (80 % power, 5 % level) a true shift of about {least_shift:.2f} dB for a typical "
            "row; least_shift says it of each row."
        )
    else:
        power = (
            f": too few prompts to tell. Nothing is concluded with fewer than {LEAST_PROMPTS} prompts or a "
            "single listener."
        )
    notes.append(Note("power", f"{panels.prompts} prompts and {panels.people} listeners{power}"))
    notes += [
        Note("warning", f"suspicious: {label}: {flag}; check for leaked test answers.")
        for label, own in flags.items()
        for flag in own
    ]
    return notes


def _reading(
    scorer: Scorer, lines: Sequence[ReferenceLine], alpha: float, compared_with: str | None
) -> list[str]:
    """How the numbers are to be read."""
    every = f"the {REFERENCE} themselves, all of them and not drawn"
    every += ": the same for every sentence and every board"
    shift, tested = f"Shift and skill are against {every}.", "the reference"
    if compared_with is not None:
        shift = f"Shift is against {compared_with} (negative: the row is better), skill against {every}."
        tested = compared_with
    notes = [
        people_note(scorer.dataset, scorer.prompt_ids),
        f"{shift} Shift, interval and p are each row's own.",
        "Ranks are the best and the worst that the tests of all pairs allow (mean difference over prompts, "
        f"step-down maximum statistic; {alpha:.0%} is the chance of any wrong separation). p_wilcoxon is the "
        f"paper's signed-rank test against {tested}, which holds given these listeners.",
    ]
    if lines:
        how = "; ".join(f"{line.name}: {line.how}" for line in lines)
        notes.append(f"In [brackets]: not predictors; finite samples never score 0 ({how}).")
    if not any(line.estimated for line in lines):
        notes.append("No estimated reference lines: some prompts have fewer than four listeners.")
    fewest = scorer.panels.sizes.min()
    if fewest < _VALIDATED_LISTENERS and any(line.estimated for line in lines):
        notes.append(
            f"Some prompts have {fewest} listeners: estimated lines are within 5 % of the truth with "
            f"{_VALIDATED_LISTENERS} listeners and up to 14 % too low with 5."
        )
    return notes
