"""Any table split by a grouping of the prompts, with intervals, and which groups are too small."""

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
from popeq.dataset import Dataset
from popeq.errors import UsageError
from popeq.metrics import HEADLINE
from popeq.statistics import LEAST_PROMPTS


@dataclass(frozen=True)
class Group:
    """One group of prompts: its name and the positions of its prompts."""

    name: str
    keep: tuple[int, ...]

    @property
    def small(self) -> str:
        """Why nothing is concluded from the group; empty if something is."""
        if len(self.keep) >= LEAST_PROMPTS:
            return ""
        return (
            f"{self.name}: {len(self.keep)} prompt{'s' * (len(self.keep) != 1)}, too few: nothing is "
            f"concluded with fewer than {LEAST_PROMPTS}"
        )


def check_split(dataset: Dataset, by: str | None) -> None:
    """UsageError if tables of a data set cannot be split by a grouping; None is no split."""
    if by is None or by in dataset.groupings:
        return
    lacks = ", because some tested prompts have none" if by in ("basis", *dataset.card.groupings) else ""
    *others, last = dataset.groupings
    known = f"{', '.join(others)} or {last}" if others else last
    raise UsageError(f"{dataset.name}: tables can be split by {known}, not by {by!r}{lacks}")


def groups(scorer: Scorer, by: str) -> list[Group]:
    """The groups of a scorer's prompts, the largest first; UsageError if there is no such grouping."""
    check_split(scorer.dataset, by)
    names = scorer.about[by].astype(str)
    found = [Group(name, tuple(np.flatnonzero(names == name).tolist())) for name in sorted(set(names))]
    return sorted(found, key=lambda g: -len(g.keep))


def split_table(
    scorer: Scorer, by: str, table_of: Callable[[Group], pd.DataFrame]
) -> tuple[pd.DataFrame, list[str]]:
    """One table whose first column has the grouping's name, and a note for each group that is too small.

    Raises
    ------
    UsageError
        If the data set has no such grouping, or the table has another column of that name.
    """
    found = groups(scorer, by)
    tables = [table_of(group) for group in found]
    if by in tables[0]:
        raise UsageError(
            f"{scorer.dataset.name}: this table has a column {by!r} of its own, so it cannot be split by a "
            "grouping of that name; give the grouping another name in the data set"
        )
    table = pd.concat(tables, keys=[group.name for group in found], names=[by])
    return table.reset_index(by).reset_index(drop=True), [group.small for group in found if group.small]


def headline_by(board: Leaderboard, scorer: Scorer, by: str) -> dict[Group, dict[str, dict[str, float]]]:
    """For each group and, by its label, each row of a board: the headline score, its intervals and the
    comparison with the reference, by the names of the board's columns."""
    found = {}
    for group in groups(scorer, by):
        reference, panels = board.reference.take(group.keep), scorer.only(group.keep).panels
        found[group] = {
            entry.label: score_cells(entry.table, panels, (HEADLINE,)) | against(entry, reference, panels)
            for entry in (e.take(group.keep) for e in board.entries)
        }
    return found


def boards(board: Leaderboard, scorer: Scorer, by: str) -> dict[Group, Leaderboard]:
    """A board of the same entries for each group."""
    return {
        group: build(
            [entry.take(group.keep) for entry in board.entries],
            scorer.only(group.keep),
            lines=[line.take(group.keep) for line in board.lines],
            compared_with=board.compared_with,
        )
        for group in groups(scorer, by)
    }


def split_comparison(a: Entry, b: Entry, scorer: Scorer, by: str) -> Comparison:
    """The comparison of two entries with its metrics split by a grouping."""
    split, notes = split_table(
        scorer,
        by,
        lambda g: compare_entries(a.take(g.keep), b.take(g.keep), scorer.only(g.keep)).metrics,
    )
    whole = compare_entries(a, b, scorer)
    return replace(whole, metrics=split, notes=(*whole.notes, *notes))


def split_board(board: Leaderboard, scorer: Scorer, by: str) -> Leaderboard:
    """The board with its table split by a grouping: ranks, tests and intervals are those of each group."""
    found = boards(board, scorer, by)
    table, _ = split_table(scorer, by, lambda group: found[group].table)
    kept = [note for note in board.remarks if note.kind != "power"]
    notes = [Note("group", text) for group, own in found.items() if (text := _group_note(group, own))]
    return replace(board, table=table, remarks=(*kept, *notes))


def _group_note(group: Group, board: Leaderboard) -> str:
    """What a group's own board can show, in words."""
    if group.small:
        return f"{group.small}."
    shift = board.least_shift
    if not np.isfinite(shift):
        return ""
    means = board.table[f"{HEADLINE}_mean"]
    room = float(means.max() - means.min())
    wide = ", which is more than the range of all rows, so it separates none" if shift >= room else ""
    return f"{group.name}: {len(group.keep)} prompts can show a shift of about {shift:.2f} dB{wide}."
