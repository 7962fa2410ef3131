"""How far a row can be trusted: its label, and signs that its predictor has seen the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from popeq.board.reproduced import is_reproduced
from popeq.board.scoring import Scorer
from popeq.errors import InvalidInputError, UsageError
from popeq.runs.card import CARD, Card, Trust, read_card
from popeq.runs.folder import RECORD, Run

Floats = NDArray[np.float64]

#: Labels, best first, each in words.
LADDER: dict[Trust, str] = {
    "reproduced": "drawn again by 'popeq verify --redraw', which found the same predictions",
    "drawn": "popeq ran the plugin here; nobody has drawn it again yet",
    "scored": "scored here from predictions that somebody sent",
    "self-reported": "numbers that somebody states, without predictions; never ranked",
}
#: Samples that hit a listener's very point are suspicious from this share of all samples on ...
LEAST_SHARE = 0.1
#: ... if they hit the points of their own prompt this many times as often as those of other prompts.
LEAST_RATIO = 5.0


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
    return max(labels, key=list(LADDER).index)


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


def coincidence(samples: Floats, scorer: Scorer) -> tuple[float, float]:
    """Share of samples (P, n, 2) that are exactly a listener's point: of their own prompt, and of the others.

    The second says what chance does where settings are rounded or pile up at the edges.
    """
    places, held = _answers(scorer)
    n = samples.shape[1]
    drawn = _as_numbers(samples.reshape(-1, 2))
    at = np.minimum(np.searchsorted(places, drawn), len(places) - 1)
    hits = np.flatnonzero(places[at] == drawn)
    shares = np.zeros((len(samples), held.shape[1]))
    np.add.at(shares, hits // n, held[at[hits]])
    shares /= n
    own = float(np.trace(shares)) / len(shares)
    return own, float(shares.sum() - np.trace(shares)) / max(len(shares) * (len(shares) - 1), 1)


@lru_cache(maxsize=4)
def _answers(scorer: Scorer) -> tuple[NDArray[np.complex128], NDArray[np.bool_]]:
    """The distinct points of all listeners (k,), sorted, and which prompts hold each, (k, P)."""
    sizes = [len(t.responses) for t in scorer.targets]
    answers = _as_numbers(np.concatenate([t.responses for t in scorer.targets]))
    places, which = np.unique(answers, return_inverse=True)
    held = np.zeros((len(places), len(sizes)), dtype=bool)
    held[which, np.repeat(np.arange(len(sizes)), sizes)] = True
    return places, held


def _as_numbers(points: Floats) -> NDArray[np.complex128]:
    """Points (n, 2) as one exact number each, for comparison; -0.0 is 0.0."""
    return np.asarray(points[:, 0] + 0.0 + 1j * (points[:, 1] + 0.0))


def too_good(mean_score: float, perfect: Floats | None) -> list[str]:
    """A flag, in words, if a mean headline score is below the mean of the perfect line (P,); all in dB."""
    line = np.inf if perfect is None else float(np.mean(perfect))
    if not np.isfinite(line) or mean_score >= line:
        return []
    return [f"its mean ({mean_score:.2f} dB) is below the perfect predictor's ({line:.2f} dB)"]


def copied(samples: Floats, scorer: Scorer) -> list[str]:
    """A flag, in words, if samples (P, n, 2) hit the listeners' very points more often than chance does."""
    own, others = coincidence(samples, scorer)
    if own < LEAST_SHARE or own < LEAST_RATIO * others:
        return []
    return [
        f"{own:.0%} of its samples are exactly a listener's point of their own prompt "
        f"({others:.1%} of another prompt)"
    ]
