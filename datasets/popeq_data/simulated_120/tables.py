"""Read the two source tables of the simulated panels: measured words and written sentences."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

TABLES = Path(__file__).parent / "tables"
WORDS, SENTENCES = TABLES / "words.csv", TABLES / "sentences.csv"

Point = tuple[float, float]
_TEXTS = ("prompt_id", "text", "category", "family", "word", "instrument", "basis", "reason", "split")


@dataclass(frozen=True)
class Sentence:
    """A prompt as it was written. If ``centre`` is None, the mean of the measured ``word`` is the centre.

    ``second_centre`` marks the prompts that a minority of the listeners understands differently.
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
    return {row["word"]: (float(row["x_db"]), float(row["y_db"])) for row in rows(path)}


def read_sentences(path: Path = SENTENCES) -> list[Sentence]:
    """The prompts, in the order of the table."""
    return [
        Sentence(
            **{name: row[name] for name in _TEXTS},
            centre=(float(row["x_db"]), float(row["y_db"])) if row["basis"] == "assumed" else None,
            second_centre=row["second_centre"] == "yes",
        )
        for row in rows(path)
    ]


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV table by column name."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
