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

#: What tables can be split by.
SPLITS_BY = ("category",)


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
    found = [Group(str(name), tuple(np.flatnonzero(names == name).tolist())) for name in sorted(set(names))]
    return sorted(found, key=lambda g: -len(g.keep))


def split_table(scorer: Scorer, table_of: Callable[[Group], pd.DataFrame]) -> tuple[pd.DataFrame, list[str]]:
    """One table with a first column ``category``, and a note for each category that is too small."""
    parts, notes = [], []
    for group in groups(scorer):
        table = table_of(group)
        table.insert(0, "category", group.name)
        parts.append(table)
        notes += [group.small] if group.small else []
    return pd.concat(parts, ignore_index=True), notes


@dataclass(frozen=True, eq=False)
class Part:
    """What a category's prompts say of the rows of a board: ``cells[label]`` holds the headline score, its
    intervals and the comparison with the reference, by the names of the board's columns."""

    group: Group
    cells: dict[str, dict[str, float]]

    @property
    def least_shift(self) -> float:
        """The least true shift that the row of median uncertainty shows with 80 % power, dB."""
        return float(np.median([own["least_shift"] for own in self.cells.values()]))


def parts(board: Leaderboard, scorer: Scorer) -> list[Part]:
    """Each category's part of a board, the largest first."""
    return [_part(board, scorer.only(group.keep), group) for group in groups(scorer)]


def _part(board: Leaderboard, scorer: Scorer, group: Group) -> Part:
    reference, panels = board.reference.take(group.keep), scorer.panels
    cells = {}
    for entry in (e.take(group.keep) for e in board.entries):
        cells[entry.label] = score_cells(entry.table, panels, (HEADLINE,)) | against(entry, reference, panels)
    return Part(group, cells)


def boards(board: Leaderboard, scorer: Scorer) -> dict[str, tuple[Group, Leaderboard]]:
    """A board of the same entries for each category."""
    made = {}
    for group in groups(scorer):
        entries = [e.take(group.keep) for e in board.entries]
        lines = [line.take(group.keep) for line in board.lines]
        made[group.name] = group, build(entries, scorer.only(group.keep), lines=lines)
    return made


def checked_split(by: str | None) -> bool:
    """Whether a table is to be split; UsageError for what it cannot be split by."""
    if by is not None and by not in SPLITS_BY:
        raise UsageError(f"a table can be split by {', '.join(SPLITS_BY)}, not by {by!r}")
    return by is not None


def split_comparison(a: Entry, b: Entry, scorer: Scorer) -> Comparison:
    """The comparison of two entries with its metrics split by category."""

    def metrics(group: Group) -> pd.DataFrame:
        keep = group.keep
        return compare_entries(a.take(keep), b.take(keep), scorer.only(keep)).metrics

    split, notes = split_table(scorer, metrics)
    whole = compare_entries(a, b, scorer)
    return replace(whole, metrics=split, notes=(*whole.notes, *notes))


def split_board(board: Leaderboard, scorer: Scorer) -> Leaderboard:
    """The board with its table split by category: ranks, tests and intervals are those of each category."""
    found = boards(board, scorer)
    notes = [Note("category", text) for group, own in found.values() for text in category_notes(group, own)]
    table, _ = split_table(scorer, lambda group: found[group.name][1].table.copy())
    kept = [note for note in board.remarks if note.kind != "power"]
    return replace(board, table=table, remarks=(*kept, *notes))


def category_notes(group: Group, board: Leaderboard) -> list[str]:
    """What a category's own board can show, in words."""
    if group.small:
        return [f"{group.small}."]
    shift = board.least_shift
    if not np.isfinite(shift):
        return []
    means = board.table[f"{HEADLINE}_mean"]
    room = float(means.max() - means.min())
    wide = ", which is more than the range of all rows, so it separates none" if shift >= room else ""
    return [f"{group.name}: {len(group.keep)} prompts can show a shift of about {shift:.2f} dB{wide}."]
