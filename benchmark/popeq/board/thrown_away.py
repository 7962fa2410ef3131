"""What a board says of the answers that a model gave and that are not among its samples."""

from __future__ import annotations

from collections.abc import Sequence

from popeq.board.entries import Entry

#: Share of answers from which on a row is flagged: what is left may be a part of the distribution alone.
FLAGGED = 0.05


def flags_of(entry: Entry) -> tuple[str, ...]:
    """A flag if too many answers were thrown away, or were cut off and had to be asked for again."""
    answers = entry.answers
    if answers is None or answers.rejected_share <= FLAGGED:
        return ()
    return (f"{answers.rejected_share:.1%} of its answers were thrown away",)


def notes_of(entries: Sequence[Entry]) -> tuple[list[str], list[str]]:
    """What was thrown away for each row that had anything thrown away, and warnings of those with much."""
    found = [(entry.label, a) for entry in entries if (a := entry.answers) and a.rejected]
    notes = [
        f"{label}: {a.rejected:,} of {a.drawn:,} answers ({a.rejected_share:.1%}) did not have the form that "
        f"was asked for and were thrown away ({a.shortened:,} cut off at the limit of tokens)."
        for label, a in found
    ]
    warnings = [
        f"{label}: {a.rejected_share:.1%} of its answers were thrown away, so its samples may be only a part "
        "of what the model predicts: find out what was rejected before you read its row."
        for label, a in found
        if a.rejected_share > FLAGGED
    ]
    return notes, warnings
