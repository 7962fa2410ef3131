"""Any table split by category of the prompts, with intervals, and which categories are too small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from popeq.board.comparison import Comparison, compare_entries
from popeq.board.entries import Entry
from popeq.board.leaderboard import Leaderboard, against, build, score_cells
from popeq.board.notes import Note
from popeq.board.scoring import Scorer
from popeq.errors import UsageError
from popeq.metrics import HEADLINE
from popeq.statistics import LEAST_PROMPTS


@dataclass(frozen=True)
class Group:
    """One category: its name and the positions of its prompts."""

    name: str
    keep: tuple[int, ...]

    @property
    def small(self) -> str:
        """Why nothing is concluded from the category; empty if something is."""
        if len(self.keep) >= LEAST_PROMPTS:
            return ""
        return (
            f"{self.name}: {len(self.keep)} prompt{'s' * (len(self.keep) != 1)}, too few: nothing is "
            f"concluded with fewer than {LEAST_PROMPTS}"
        )


def groups(scorer: Scorer) -> list[Group]:
    """The categories of a scorer's prompts, the largest first."""
    names = scorer.about["category"].astype(str)
    found = [Group(name, tuple(np.flatnonzero(names == name).tolist())) for name in sorted(set(names))]
    return sorted(found, key=lambda g: -len(g.keep))


def split_table(scorer: Scorer, table_of: Callable[[Group], pd.DataFrame]) -> tuple[pd.DataFrame, list[str]]:
    """One table with a first column ``category``, and a note for each category that is too small."""
    found = groups(scorer)
    tables = {group.name: table_of(group) for group in found}
    table = pd.concat(tables, names=["category"]).reset_index("category").reset_index(drop=True)
    return table, [group.small for group in found if group.small]


def headline_by_category(board: Leaderboard, scorer: Scorer) -> dict[Group, dict[str, dict[str, float]]]:
    """For each category and, by its label, each row of a board: the headline score, its intervals and the
    comparison with the reference, by the names of the board's columns."""
    found = {}
    for group in groups(scorer):
        reference, panels = board.reference.take(group.keep), scorer.only(group.keep).panels
        found[group] = {
            entry.label: score_cells(entry.table, panels, (HEADLINE,)) | against(entry, reference, panels)
            for entry in (e.take(group.keep) for e in board.entries)
        }
    return found


def boards(board: Leaderboard, scorer: Scorer) -> dict[Group, Leaderboard]:
    """A board of the same entries for each category."""
    return {
        group: build(
            [entry.take(group.keep) for entry in board.entries],
            scorer.only(group.keep),
            lines=[line.take(group.keep) for line in board.lines],
        )
        for group in groups(scorer)
    }


def checked_split(by: str | None) -> bool:
    """Whether a table is to be split; UsageError for what it cannot be split by."""
    if by not in (None, "category"):
        raise UsageError(f"a table can be split by category, not by {by!r}")
    return by is not None


def split_comparison(a: Entry, b: Entry, scorer: Scorer) -> Comparison:
    """The comparison of two entries with its metrics split by category."""
    split, notes = split_table(
        scorer,
        lambda g: compare_entries(a.take(g.keep), b.take(g.keep), scorer.only(g.keep)).metrics,
    )
    whole = compare_entries(a, b, scorer)
    return replace(whole, metrics=split, notes=(*whole.notes, *notes))


def split_board(board: Leaderboard, scorer: Scorer) -> Leaderboard:
    """The board with its table split by category: ranks, tests and intervals are those of each category."""
    found = boards(board, scorer)
    table, _ = split_table(scorer, lambda group: found[group].table)
    kept = [note for note in board.remarks if note.kind != "power"]
    notes = [Note("category", text) for group, own in found.items() if (text := _category_note(group, own))]
    return replace(board, table=table, remarks=(*kept, *notes))


def _category_note(group: Group, board: Leaderboard) -> str:
    """What a category's own board can show, in words."""
    if group.small:
        return f"{group.small}."
    shift = board.least_shift
    if not np.isfinite(shift):
        return ""
    means = board.table[f"{HEADLINE}_mean"]
    room = float(means.max() - means.min())
    wide = ", which is more than the range of all rows, so it separates none" if shift >= room else ""
    return f"{group.name}: {len(group.keep)} prompts can show a shift of about {shift:.2f} dB{wide}."
