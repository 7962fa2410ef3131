"""Notes of a board: what its numbers are of, what they can show, and what may be wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from popeq.board.entries import Entry
from popeq.board.people import people_note
from popeq.board.reference import REFERENCE
from popeq.board.reference_lines import ReferenceLine
from popeq.board.scoring import Scorer
from popeq.statistics import LEAST_PROMPTS

#: Listeners a prompt for which the reference lines were validated within 5 % (docs/boards.md).
_VALIDATED_LISTENERS = 11

#: What a note is about: which data and protocol the numbers are of; how to read them; how small a difference
#: the data can show, in all and by category; what may be wrong; a run that is not on the board.
NoteKind = Literal["data", "reading", "power", "category", "warning", "left out"]


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
) -> list[Note]:
    """Every note on a board's own numbers; ``least_shift`` in dB, ``flags`` by row."""
    return [
        *_data(scorer),
        *_reading(scorer, lines, alpha),
        *_mixed_seeds(entries),
        _power(scorer, least_shift),
        *_suspicions(flags),
    ]


def _data(scorer: Scorer) -> list[Note]:
    """Which data and protocol the numbers are of."""
    card = scorer.dataset.card
    text = (
        f"{card.label} {card.version}, revision {scorer.dataset.revision[:12]}, {scorer.protocol.label}. "
        "All scores in dB, lower is better; intervals are 95 %, over prompts and listeners."
    )
    simulated = "SIMULATED listeners: a good score shows agreement with the generator, not with people."
    return [Note("data", text), *([Note("warning", simulated)] if card.simulated else [])]


def _reading(scorer: Scorer, lines: Sequence[ReferenceLine], alpha: float) -> list[Note]:
    """How the numbers are to be read."""
    notes = [people_note(scorer.dataset, scorer.prompt_ids)]
    notes.append(
        f"Shift and skill are against the {REFERENCE} themselves, all of them and not drawn: the same for "
        "every sentence and every board. Shift, interval and p are each row's own."
    )
    notes.append(
        "Ranks are the best and the worst that the tests of all pairs allow (mean difference over prompts, "
        f"step-down maximum statistic; {alpha:.0%} is the chance of any wrong separation). p_wilcoxon is the "
        "paper's signed-rank test against the reference, which holds given these listeners."
    )
    if lines:
        how = "; ".join(f"{line.name}: {line.how}" for line in lines)
        notes.append(f"In [brackets]: not predictors; finite samples never score 0 ({how}).")
    else:
        notes.append("No estimated reference lines: some prompts have fewer than four listeners.")
    fewest = min(len(t.responses) for t in scorer.targets)
    if fewest < _VALIDATED_LISTENERS and any(line.estimated for line in lines):
        notes.append(
            f"Some prompts have {fewest} listeners: estimated lines are within 5 % of the truth with "
            f"{_VALIDATED_LISTENERS} listeners and up to 14 % too low with 5."
        )
    return [Note("reading", text) for text in notes]


def _mixed_seeds(entries: Sequence[Entry]) -> list[Note]:
    """A warning if rows average different seeds."""
    seeds = {e.label: ",".join(str(r.record.seed) for r in e.runs) for e in entries}
    if len(set(seeds.values())) < 2:
        return []
    listed = "; ".join(f"{label}: {own}" for label, own in seeds.items())
    text = f"Rows are of different seeds, so the chance of a draw is averaged out in some only ({listed})."
    return [Note("warning", text)]


def _power(scorer: Scorer, least_shift: float) -> Note:
    """The least shift that these prompts and listeners can show."""
    panels = scorer.panels
    size = f"{panels.prompts} prompts and {panels.people} listeners"
    if not np.isfinite(least_shift):
        return Note(
            "power",
            f"{size}: too few prompts to tell. Nothing is concluded with fewer than {LEAST_PROMPTS} prompts "
            "or a single listener.",
        )
    return Note(
        "power",
        f"{size} can show (80 % power, 5 % level) a true shift of about {least_shift:.2f} dB for a typical "
        "row; least_shift says it of each row.",
    )


def _suspicions(flags: Mapping[str, Sequence[str]]) -> list[Note]:
    """Signs of leaked answers, by row."""
    return [
        Note("warning", f"suspicious: {label}: {flag}; check for leaked test answers.")
        for label, own in flags.items()
        for flag in own
    ]
