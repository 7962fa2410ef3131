"""The predictions of a run folder as text, which they are before they are compressed."""

from __future__ import annotations

from pathlib import Path

from popeq.runs.folder import PREDICTIONS
from popeq.runs.packed import pack, unpacked


def text_of(folder: Path) -> str:
    """What a run's predictions say."""
    return unpacked(folder / PREDICTIONS, 1 << 30).decode()


def store(folder: Path, text: str) -> None:
    """Put other predictions in their place; run.json stays as it is."""
    (folder / PREDICTIONS).write_bytes(pack(text.encode()))
