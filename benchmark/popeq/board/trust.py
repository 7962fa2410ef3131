"""How far a row can be trusted: its label, and claims without predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from popeq.board.signed import read_board
from popeq.errors import InvalidInputError, UsageError
from popeq.runs.card import CARD, Card, Trust, read_card
from popeq.runs.folder import RECORD, Run
from popeq.runs.plain_folder import odd_files

#: Labels, best first, each in words.
LABELS: dict[Trust, str] = {
    "reproduced": "drawn again by 'popeq verify --redraw', which found the same predictions",
    "drawn": "the maintainers of the board ran the plugin; nobody has drawn it again yet",
    "scored": "scored here from its predictions; who drew them, and how, is the word of who sent them",
    "self-reported": "numbers that somebody states, without predictions; never ranked",
}


def card_of(folder: Path) -> Card | None:
    """The card in a run's folder, or None. Raises UsageError if it is there and wrong."""
    path = folder / CARD
    return read_card(path) if path.exists() else None


def trust_of(run: Run) -> Trust:
    """The label of a run, from ``board.json`` in its folder of runs; ``scored`` if that does not list it.

    Nothing in the run itself gives a label.
    """
    entry = read_board(run.folder.parent).entry(run)
    return entry.trust if entry else "scored"


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
            if odd := odd_files(path.parent):
                raise InvalidInputError("wrong card", odd)
            card = read_card(path)
        except (UsageError, InvalidInputError) as error:
            notes.append(f"left out: {path}: {error}")
            continue
        if card.claim is None:
            notes.append(f"left out: {path.parent} has neither a run nor a claim")
        elif card.claim.dataset == dataset_name:
            claims.append(card)
    return claims, notes
