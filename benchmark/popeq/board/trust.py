"""How far a row can be trusted: its rung on the ladder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from popeq.errors import InvalidInputError, UsageError
from popeq.runs.card import CARD, Card, Trust, read_card
from popeq.runs.folder import RECORD, Run

#: Rungs of the ladder, best first, each in words.
LADDER: dict[Trust, str] = {
    "reproduced": "run by the maintainers from the plugin; run.json says so and its hashes agree",
    "scored": "scored here from predictions that somebody sent",
    "self-reported": "numbers that somebody states, without predictions; never ranked",
}


def card_of(folder: Path) -> Card | None:
    """The card in a run's folder, or None. Raises UsageError if it is there and wrong."""
    path = folder / CARD
    return read_card(path) if path.exists() else None


def trust_of(run: Run, card: Card | None = None) -> Trust:
    """The rung of a run: what its card says, otherwise ``reproduced`` if popeq drew it, else ``scored``.

    Predictions that were sent are never more than ``scored``, whatever a card says.
    """
    if run.record.origin == "submitted":
        return "scored"
    return "reproduced" if card is None or card.trust == "reproduced" else "scored"


def weakest(rungs: Sequence[Trust]) -> Trust:
    """The rung of a row that stands for several runs."""
    return max(rungs, key=list(LADDER).index)


@dataclass(frozen=True)
class Claim:
    """A self-reported entry: a folder with a card that claims scores, and no predictions."""

    folder: Path
    card: Card


def find_claims(root: Path, dataset_name: str) -> tuple[list[Claim], list[str]]:
    """Self-reported entries for one data set in a folder of runs, and a note for each card that is wrong."""
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
            claims.append(Claim(path.parent, card))
    return claims, notes
