"""Read the two source tables of the simulated panels: measured words and written sentences."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

TABLES = Path(__file__).parent / "tables"
WORDS, SENTENCES = TABLES / "words.csv", TABLES / "sentences.csv"

Point = tuple[float, float]


@dataclass(frozen=True)
class Sentence:
    """A prompt as it was written. ``centre`` is set where it is assumed; else the measured ``word`` gives it.

    ``second_centre`` marks the prompts on which a minority of the listeners means something else.
    """

    prompt_id: str
    text: str
    category: str
    family: str
    word: str
    instrument: str
    basis: str
    centre: Point | None
    reason: str
    second_centre: bool
    split: str


def read_words(path: Path = WORDS) -> dict[str, Point]:
    """Shrunk mean setting (x_db, y_db) of each measured word."""
    return {row["word"]: (float(row["x_db"]), float(row["y_db"])) for row in _rows(path)}


def read_sentences(path: Path = SENTENCES) -> list[Sentence]:
    """The prompts, in the order of the table."""
    return [
        Sentence(
            prompt_id=row["prompt_id"],
            text=row["text"],
            category=row["category"],
            family=row["family"],
            word=row["word"],
            instrument=row["instrument"],
            basis=row["basis"],
            centre=(float(row["x_db"]), float(row["y_db"])) if row["basis"] == "assumed" else None,
            reason=row["reason"],
            second_centre=row["second_centre"] == "yes",
            split=row["split"],
        )
        for row in _rows(path)
    ]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
