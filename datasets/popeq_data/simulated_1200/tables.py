"""Read the two source tables of simulated-1200: concepts, and the sentences that were written for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from popeq_data.simulated_120.tables import Point, rows

TABLES = Path(__file__).parent / "tables"
CONCEPTS, SENTENCES = TABLES / "concepts.csv", TABLES / "sentences.csv"


@dataclass(frozen=True)
class Concept:
    """What sentences are about, with its centre in dB.

    ``role`` is ``seen`` if the training sentences have it; else the one split that does, ``validation`` or
    ``test``. ``second_centre`` marks the concepts that a minority of the listeners understands differently.
    ``reason`` says why an assumed centre lies where it does.
    """

    concept: str
    category: str
    family: str
    basis: str
    centre: Point
    second_centre: bool
    role: str
    reason: str


@dataclass(frozen=True)
class Sentence:
    """A prompt as it was written. ``strength`` weakens or strengthens its concept's centre; ``instrument`` is
    the one that the sentence names, or empty; ``wording`` is ``named`` if the sentence has the concept's word
    or a form of it, else ``described``."""

    prompt_id: str
    text: str
    concept: Concept
    strength: float
    instrument: str
    wording: str
    split: str

    @property
    def seen(self) -> str:
        """Whether training has the concept in other sentences: ``seen`` or ``unseen``."""
        return "seen" if self.concept.role == "seen" else "unseen"


def read_concepts(path: Path = CONCEPTS) -> dict[str, Concept]:
    """The concepts by name, in the order of the table."""
    return {
        row["concept"]: Concept(
            **{name: row[name] for name in ("concept", "category", "family", "basis", "role", "reason")},
            centre=(float(row["x_db"]), float(row["y_db"])),
            second_centre=row["second_centre"] == "yes",
        )
        for row in rows(path)
    }


def read_sentences(path: Path = SENTENCES) -> list[Sentence]:
    """The prompts, in the order of the table."""
    concepts = read_concepts()
    return [
        Sentence(
            **{name: row[name] for name in ("prompt_id", "text", "instrument", "wording", "split")},
            concept=concepts[row["concept"]],
            strength=float(row["strength"]),
        )
        for row in rows(path)
    ]
