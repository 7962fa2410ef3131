"""A board as Markdown with its main columns, kept between two marks in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from popeq.atomic import write_text
from popeq.board.leaderboard import Leaderboard
from popeq.errors import UsageError
from popeq.metrics import HEADLINE
from popeq.render import render

#: Column of the Markdown table, and the board's column, or both ends of a range, behind it.
_COLUMNS = {
    "rank": ("rank", "rank_worst"),
    "method": "predictor",
    "kind": "kind",
    "model": "model",
    "score": f"{HEADLINE}_mean",
    "95 %": (f"{HEADLINE}_mean_low", f"{HEADLINE}_mean_high"),
    "median": f"{HEADLINE}_median",
    "shift": "shift",
    "shift, 95 %": ("shift_low", "shift_high"),
    "p_value": "p_value",
    "skill": "skill",
    "least shift": "least_shift",
    "p_wilcoxon": "p_wilcoxon",
    "standard KDE": "kantorovich_mean",
    "energy": "energy_score_mean",
    "trust": "trust",
    "seeds": "seeds",
}


def markdown(board: Leaderboard) -> str:
    """The main columns and the notes as Markdown."""
    table = board.table
    made: dict[str, object] = {}
    for name, source in _COLUMNS.items():
        if isinstance(source, str):
            made[name] = table[source]
        else:
            made[name] = [_range(*ends) for ends in table[list(source)].itertuples(index=False)]
    return render(pd.DataFrame(made), "markdown", board.notes)


def _range(low: Any, high: Any) -> str:
    """Both ends of a range of ranks (one if they are equal) or of an interval; empty if there is none."""
    if pd.isna(low):
        return ""
    if isinstance(low, float):
        return f"{low:.2f} to {high:.2f}"
    return f"{low}" if low == high else f"{low} to {high}"


def marks(dataset: str) -> tuple[str, str]:
    """The lines before and after a data set's board."""
    return f"<!-- board of {dataset}: made by popeq, do not edit -->", f"<!-- end of {dataset} -->"


def insert(board: Leaderboard, path: Path) -> None:
    """Replace the text between the marks of the board's data set.

    Raises
    ------
    UsageError
        If the file cannot be read or has no such marks.
    """
    dataset = board.entries[0].record.dataset.name
    begin, end = marks(dataset)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise UsageError(f"{path}: needs the lines '{begin}' and '{end}', each once")
    before, after = text[: text.index(begin) + len(begin)], text[text.index(end) :]
    write_text(path, f"{before}\n{markdown(board)}\n{after}")
