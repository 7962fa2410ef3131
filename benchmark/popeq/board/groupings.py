"""Any table split by a grouping of the prompts, or of the listeners, with intervals and too small groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from popeq.board.comparison import Comparison, compare_entries
from popeq.board.entries import Entry, scored_by
from popeq.board.leaderboard import Leaderboard, against, build, score_cells
from popeq.board.notes import Note
from popeq.board.rendered import has_rendered, with_rendered
from popeq.board.scoring import Scorer
from popeq.dataset import Dataset
from popeq.errors import UsageError
from popeq.metrics import HEADLINE
from popeq.statistics import LEAST_PROMPTS
from popeq.views import LEAST_OF_GROUP, check_group, viewed

#: What splits tables by the groups of listeners: the first means a grouping of the prompts where the data set
#: has one of that name, the second never does.
BY_LISTENERS = ("group", "listeners.group")


@dataclass(frozen=True)
class Group:
    """One group of prompts, or of listeners: its name and the positions of its prompts. A group of listeners
    has a scorer of its own (``of_listeners``), which scores these prompts against its answers alone."""

    name: str
    keep: tuple[int, ...]
    of_listeners: Scorer | None = field(default=None, compare=False, repr=False)

    def scorer(self, whole: Scorer) -> Scorer:
        """The part of a scorer, the one that was split, that is this group's."""
        return whole.only(self.keep) if self.of_listeners is None else self.of_listeners

    def entry(self, entry: Entry, whole: Scorer, jobs: int = 1, *, keep: bool = True) -> Entry:
        """A row of the scorer that was split, with its scores on this group."""
        if self.of_listeners is None:
            return entry.take(self.keep)
        scored = scored_by(entry, self.of_listeners, whole.dataset, jobs, keep=keep)
        if not has_rendered([entry]):
            return scored
        return with_rendered([scored], self.of_listeners, whole.dataset, jobs=jobs, keep=keep)[0]

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
    if of_listeners(dataset, by):
        check_group(dataset, None)
        if dataset.group:
            raise UsageError(
                f"{dataset.name}: is tested on one group of listeners, so there is nothing to split"
            )
        return
    lacks = ", because some tested prompts have none" if by in ("basis", *dataset.card.groupings) else ""
    *others, last = dataset.groupings
    known = f"{', '.join(others)} or {last}" if others else last
    raise UsageError(f"{dataset.name}: tables can be split by {known}, not by {by!r}{lacks}")


def of_listeners(dataset: Dataset, by: str) -> bool:
    """Whether a name splits the tables of a data set by the groups of its listeners, not of its prompts."""
    return by in BY_LISTENERS and by not in dataset.card.groupings


def groups(scorer: Scorer, by: str, least: int = LEAST_OF_GROUP) -> list[Group]:
    """The groups of a scorer's prompts or of its listeners, the largest first.

    A group of listeners has the prompts with at least ``least`` of its answers; one without any is left out.
    Raises UsageError if there is no such grouping.
    """
    check_split(scorer.dataset, by)
    if of_listeners(scorer.dataset, by):
        made = [_group_of_listeners(scorer, name, least) for name in scorer.dataset.listener_groups]
        return sorted((g for g in made if g), key=lambda g: -len(g.keep))
    names = scorer.about[by].astype(str)
    found = [Group(name, tuple(np.flatnonzero(names == name).tolist())) for name in sorted(set(names))]
    return sorted(found, key=lambda g: -len(g.keep))


def _group_of_listeners(scorer: Scorer, name: str, least: int) -> Group | None:
    answers = [
        sum(scorer.dataset.group_of.get(who) == name for who in listeners) for listeners in scorer.listeners
    ]
    keep = tuple(i for i, count in enumerate(answers) if count >= max(least, LEAST_OF_GROUP))
    if not keep:
        return None
    view = viewed(scorer.dataset, f"group-{name}")
    return Group(name, keep, Scorer(view, scorer.protocol, tuple(scorer.prompt_ids[i] for i in keep)))


def listener_notes(scorer: Scorer, by: str, found: Sequence[Group], least: int = LEAST_OF_GROUP) -> list[str]:
    """Notes on what a table by groups of listeners leaves out; none for a grouping of the prompts, but where
    it has the name by which other data sets are split by listeners."""
    dataset, prompts = scorer.dataset, len(scorer.prompt_ids)
    if not of_listeners(dataset, by):
        also = by in BY_LISTENERS and dataset.listener_groups
        other = BY_LISTENERS[1]
        return [f"{by} is a column of this data set's prompts; {other} splits by listeners."] if also else []
    sizes = {group.name: len(group.keep) for group in found}
    counts = [
        f"{name} {sizes.get(name, 0)} of {prompts} prompts ({who} listeners)"
        for name, who in Counter(dataset.group_of.values()).most_common()
    ]
    return [
        "The same samples, scored against the answers of each group of listeners alone. Scores against fewer "
        "answers are higher, so compare rows within a group. "
        f"Prompts with at least {least} answers of the group: "
        f"{', '.join(counts)}."
    ]


def split_table(
    scorer: Scorer, by: str, table_of: Callable[[Group], pd.DataFrame], least: int = LEAST_OF_GROUP
) -> tuple[pd.DataFrame, list[str]]:
    """One table whose first column has the grouping's name, and notes on what is left out or too small.

    Raises
    ------
    UsageError
        If the data set has no such grouping, no group of listeners has a prompt with ``least`` answers, or
        the table has another column of that name.
    """
    found = groups(scorer, by, least)
    if not found:
        raise UsageError(
            f"{scorer.dataset.name}: no group of listeners has {least} answers to a tested prompt"
        )
    tables = [table_of(group) for group in found]
    if by in tables[0]:
        raise UsageError(
            f"{scorer.dataset.name}: this table has a column {by!r} of its own, so it cannot be split by a "
            "grouping of that name; give the grouping another name in the data set"
        )
    table = pd.concat(tables, keys=[group.name for group in found], names=[by])
    notes = [*listener_notes(scorer, by, found, least), *(group.small for group in found if group.small)]
    return table.reset_index(by).reset_index(drop=True), notes


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


def boards(
    board: Leaderboard, scorer: Scorer, by: str, *, jobs: int = 1, keep: bool = False
) -> dict[Group, Leaderboard]:
    """A board of the same entries for each group; ``jobs`` processes score against groups of listeners."""
    return {
        group: build(
            [group.entry(entry, scorer, jobs, keep=keep) for entry in board.entries],
            group.scorer(scorer),
            lines=None if group.of_listeners else [line.take(group.keep) for line in board.lines],
            compared_with=board.compared_with,
            jobs=jobs,
            keep=keep,
        )
        for group in groups(scorer, by)
    }


def split_comparison(a: Entry, b: Entry, scorer: Scorer, by: str) -> Comparison:
    """The comparison of two entries with its metrics split by a grouping."""
    split, notes = split_table(
        scorer,
        by,
        lambda g: compare_entries(g.entry(a, scorer), g.entry(b, scorer), g.scorer(scorer)).metrics,
    )
    whole = compare_entries(a, b, scorer)
    return replace(whole, metrics=split, notes=(*whole.notes, *notes))


def split_board(
    board: Leaderboard, scorer: Scorer, by: str, *, jobs: int = 1, keep: bool = False
) -> Leaderboard:
    """The board with its table split by a grouping: ranks, tests and intervals are those of each group."""
    found = boards(board, scorer, by, jobs=jobs, keep=keep)
    table, _ = split_table(scorer, by, lambda group: found[group].table)
    kept = [note for note in board.remarks if note.kind != "power"]
    texts = [*listener_notes(scorer, by, list(found)), *(_group_note(g, own) for g, own in found.items())]
    return replace(board, table=table, remarks=(*kept, *(Note("group", text) for text in texts if text)))


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
