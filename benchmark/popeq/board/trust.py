"""How far a row can be trusted: its label, and claims without predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from popeq.board.reproduced import is_reproduced
from popeq.errors import InvalidInputError, UsageError
from popeq.runs.card import CARD, Card, Trust, read_card
from popeq.runs.folder import RECORD, Run

#: Labels, best first, each in words.
LABELS: dict[Trust, str] = {
    "reproduced": "drawn again by 'popeq verify --redraw', which found the same predictions",
    "drawn": "popeq ran the plugin here; nobody has drawn it again yet",
    "scored": "scored here from predictions that somebody sent",
    "self-reported": "numbers that somebody states, without predictions; never ranked",
}


def card_of(folder: Path) -> Card | None:
    """The card in a run's folder, or None. Raises UsageError if it is there and wrong."""
    path = folder / CARD
    return read_card(path) if path.exists() else None


def trust_of(run: Run, card: Card | None = None) -> Trust:
    """The label of a run, from what was done and never from what its card says.

    ``reproduced`` if the folder of runs lists it so with the predictions that it has now; ``scored`` if it
    was sent: as predictions, or as a run with a ``card``; otherwise ``drawn``.
    """
    if run.record.origin == "submitted":
        return "scored"
    if is_reproduced(run):
        return "reproduced"
    return "drawn" if card is None else "scored"


def weakest(labels: Sequence[Trust]) -> Trust:
    """The label of a row that is made of several runs."""
    return max(labels, key=list(LABELS).index)


def find_claims(root: Path, dataset_name: str) -> tuple[list[Card], list[str]]:
    """Cards of self-reported entries (folders with a claim and no predictions) for one data set in a folder
    of runs, and a note for each card that is wrong."""
    claims, notes = [], []
    for path in sorted(root.glob(f"*/{CARD}")):
        if (path.parent / RECORD).exists():
            continue
        try:
            card = read_card(path)
        except (UsageError, InvalidInputError) as error:
            notes.append(f"left out: {path}: {error}")
            continue
        if card.claim is None:
            notes.append(f"left out: {path.parent} has neither a run nor a claim")
        elif card.claim.dataset == dataset_name:
            claims.append(card)
    return claims, notes
