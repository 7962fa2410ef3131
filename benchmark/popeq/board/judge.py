"""Judge what a submission does to published boards: its runs, and what they do to the rows of others.

Before and after are folders with a folder of runs for each data set. Which data set and protocol a board has,
who owns its rows and how far they are trusted is read from before alone.
"""

from __future__ import annotations

import hashlib
import math
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from popeq.board.entries import Entry, make_entries, row_of_record
from popeq.board.leaderboard import ALPHA, Leaderboard, build
from popeq.board.ownership import Rows, Sent, clashes
from popeq.board.scoring import Scorer
from popeq.board.selection import comparable
from popeq.board.signed import BOARD, MOST_BYTES
from popeq.board.trust import card_of
from popeq.board.verify import examine
from popeq.dataset import Dataset
from popeq.errors import PopeqError
from popeq.lookup import checked_board, installed_dataset
from popeq.metrics import HEADLINE
from popeq.others_files import read_plain
from popeq.plain_text import visible
from popeq.runs.card import CARD
from popeq.runs.folder import RECORD, Run
from popeq.runs.packed import PACKED, PLAIN
from popeq.runs.plain_folder import SIZES, foreign_files

#: Columns of a row that no row of anybody else may change.
OWN_COLUMNS = (
    *(f"{HEADLINE}_{end}" for end in ("mean", "median", "mean_low", "mean_high")),
    *("shift", "shift_low", "shift_high", "p_value", "skill", "least_shift", "effect_size", "p_wilcoxon"),
    *("coverage", "time_s", "kind", "model", "trust", "flags", "seeds", "parameters"),
    *("kantorovich_mean", "kantorovich_median", "sample_kantorovich_mean", "energy_score_mean"),
)
#: Files of results whose content counts, with the most bytes that each may have.
FILES = SIZES | {BOARD: MOST_BYTES}
#: More new rows than this in one submission are for a maintainer to decide.
MOST_NEW_ROWS = 5
#: Entries of a folder that are looked at, and bytes of a file that is compared by content.
_MOST_ENTRIES, _MOST_HASHED = 10_000, 128 << 20


@dataclass(frozen=True)
class RunJudgement:
    """A run folder that the submission has: why it is ``refused``, or its means in dB and what looks odd."""

    name: str
    refused: tuple[str, ...]
    flags: tuple[str, ...] = ()
    mean_db: float = math.nan


@dataclass(frozen=True)
class BoardJudgement:
    """A board that the submission changes: its runs; ``changed``, what it does to rows that are not its own;
    the rows that are ``new``; and the ``ranks`` of others in which these are counted. A rank counts the rows
    that are significantly better, so that a good new row moves some without changing the others' order."""

    name: str
    runs: tuple[RunJudgement, ...]
    changed: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    ranks: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is refused, and nothing of anybody else changes."""
        return not self.changed and not any(run.refused for run in self.runs)


@dataclass(frozen=True)
class Judgement:
    """What a submission does, board by board."""

    boards: tuple[BoardJudgement, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is refused, and nothing of anybody else changes."""
        return all(board.ok for board in self.boards)


def judge(
    before: Path, after: Path, *, dataset_of: Callable[[str], Dataset] = installed_dataset, jobs: int = 1
) -> Judgement:
    """Judge the difference of two folders of results; ``dataset_of`` gives the data set of a name.

    Raises nothing for what is in ``after``, whatever it is.
    """
    names = sorted({*_names(before), *_names(after)})
    found = [_board(before / name, after / name, dataset_of, jobs) for name in names]
    return Judgement(tuple(board for board in found if board.runs))


def _board(before: Path, after: Path, dataset_of: Callable[[str], Dataset], jobs: int) -> BoardJudgement:
    """The judgement of one data set's folder; without runs if nothing changes."""
    old, new = _entries(before), _entries(after)
    touched = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    if not touched:
        return BoardJudgement(after.name, ())
    taken = [name for name in touched if name in old]
    refused = [
        RunJudgement(name, ("changes or removes what is published; make a new run",)) for name in taken
    ]
    if BOARD in taken:  # runs are read with what lies beside them
        why = f"is not looked at, because {BOARD} changes"
        return BoardJudgement(
            after.name, (*refused, *(RunJudgement(name, (why,)) for name in touched if name not in taken))
        )
    try:
        board = checked_board(before)
        if board.dataset is None or board.protocol is None:
            raise PopeqError(f"no board with a {BOARD} is published there")
        dataset = dataset_of(board.dataset.name)
        board.check(dataset, before)
        scorer = Scorer(dataset, board.protocol)
        there = Rows.read(before)
    except PopeqError as error:
        why = f"the published board cannot be built: {_line(error)}"
        rest = [RunJudgement(name, (why,)) for name in touched if name not in taken]
        return BoardJudgement(after.name, (*refused, *rest))
    sent: dict[str, Sent | str] = {name: _read(after / name) for name in touched if name not in taken}
    runs = [each for each in sent.values() if isinstance(each, Sent)]
    judged = [*refused]
    for name, one in sent.items():
        if isinstance(one, str):
            judged.append(RunJudgement(name, (one,)))
            continue
        others = [*there.runs, *(other for other in runs if other is not one)]
        wrong = clashes(one, others, board)
        seen = examine(one.run, scorer)
        lines, mean = tuple(map(str, (*wrong, *seen.problems))), seen.scores.get(f"{HEADLINE}_mean", math.nan)
        judged.append(RunJudgement(name, lines, seen.flags, mean))
    if any(run.refused for run in judged):
        return BoardJudgement(after.name, tuple(judged))
    own = [each.run for each in there.runs]
    try:
        first = _built(own, scorer, jobs)
        second = _built([*own, *(each.run for each in runs)], scorer, jobs)
    except PopeqError as error:
        return BoardJudgement(after.name, tuple(judged), (f"the board cannot be built: {_line(error)}",))
    return BoardJudgement(after.name, tuple(judged), *_compared(first, second))


def _read(folder: Path) -> Sent | str:
    """A run that is sent, with its card, or why it is none."""
    if odd := foreign_files(folder):
        return "; ".join(map(str, odd))
    names = {path.name for path in folder.iterdir()}
    if not {RECORD, CARD} <= names or not names & {PACKED, PLAIN}:
        return f"is no run made by 'popeq submit', which has {RECORD}, its predictions and {CARD}"
    try:
        run = Run.open(folder)
        card = card_of(folder)
    except PopeqError as error:
        return _line(error)
    if run.record.run_id != folder.name:
        return f"its {RECORD} is of a run with another name"
    if not run.predictions_file.is_file():
        return f"has no {run.predictions_file.name}, as a run under its protocol has"
    return Sent(run, card)


def _built(runs: Sequence[Run], scorer: Scorer, jobs: int) -> Leaderboard:
    """The board of all of these runs; PopeqError if one is left out."""
    whole, notes = comparable(runs, scorer, strict=True)
    for note in notes:
        raise PopeqError(note.text)
    return build(make_entries(whole, scorer, jobs), scorer, jobs=jobs, keep=True)


def _compared(first: Leaderboard, second: Leaderboard) -> tuple[tuple[str, ...], ...]:
    """What a second board changes in the rows of a first one, the ranks among these included; its new rows;
    and the ranks that change because new rows are counted in them."""
    old, new = _by_row(first), _by_row(second)
    changed = [line for row in old for line in _row_changes(old[row], new.get(row))]
    added = [_place(new[row]) for row in new if row not in old]
    if len(added) > MOST_NEW_ROWS:
        changed.append(
            f"{len(added)} new rows at once: all rows are tested together, so they widen every rank"
        )
    ranks = [
        f"{_label(old[row])}: {_rank(old[row])} -> {_rank(new[row])}"
        for row in old
        if row in new and _rank(old[row]) != _rank(new[row])
    ]
    return (*changed, *_separations(first, second, list(old))), tuple(added), tuple(ranks)


@dataclass(frozen=True, eq=False)
class _Row:
    """A row of a board: its entry, its place in the table and its cells."""

    entry: Entry
    place: int
    cells: Mapping[str, object]


def _by_row(board: Leaderboard) -> dict[str, _Row]:
    cells: list[Any] = board.table.to_dict(orient="records")
    return {
        row_of_record(entry.record): _Row(entry, place, cells[place])
        for place, entry in enumerate(board.entries)
    }


def _row_changes(old: _Row, new: _Row | None) -> list[str]:
    """What becomes of a row, a line each."""
    label = _label(old)
    if new is None:
        return [f"{label}: its row is gone"]
    runs = {run.folder.name for run in new.entry.runs} ^ {run.folder.name for run in old.entry.runs}
    if runs:
        names, means = visible(", ".join(sorted(runs)), 200), f"{old.entry.mean:.4f} -> {new.entry.mean:.4f}"
        return [
            f"{label}: {names} would be averaged into it ({means} dB); a card does not prove who sent it, "
            "so ask the owner"
        ]
    found = [f"{label}: would be called {_label(new)}"] if old.entry.label != new.entry.label else []
    return found + [
        f"{label}: {name} {visible(f'{old.cells[name]} -> {new.cells[name]}', 200)}"
        for name in OWN_COLUMNS
        if not _same(old.cells[name], new.cells[name])
    ]


def _separations(first: Leaderboard, second: Leaderboard, rows: Sequence[str]) -> list[str]:
    """Pairs of a first board's rows that differ significantly on one of two boards only: all pairs are tested
    together, so that a new row can change a rank among the others."""
    old, new = _by_row(first), _by_row(second)
    found = []
    for i, a in enumerate(rows):
        for b in rows[i + 1 :]:
            if a not in new or b not in new:
                continue
            was = bool(first.pairs.p[old[a].place, old[b].place] < ALPHA)
            now = bool(second.pairs.p[new[a].place, new[b].place] < ALPHA)
            if was != now:
                how = "differ significantly" if now else "do not differ significantly any more"
                found.append(
                    f"{_label(old[a])} and {_label(old[b])}: {how}, as more rows are tested together; "
                    "a maintainer decides"
                )
    return found


def _same(a: object, b: object) -> bool:
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


def _label(row: _Row) -> str:
    return visible(row.entry.label, 100)


def _rank(row: _Row) -> str:
    return f"{row.cells['rank']} to {row.cells['rank_worst']}"


def _place(row: _Row) -> str:
    shift = float(str(row.cells["shift"]))
    return f"{_label(row)}: rank {_rank(row)}, {row.entry.mean:.2f} dB, shift {shift:+.2f} dB"


def _line(error: PopeqError) -> str:
    """An error as one line of a few hundred characters."""
    return visible(str(error), 400)


def _names(results: Path) -> list[str]:
    """The folders of results, and whatever else lies there."""
    return [entry.name for entry in os.scandir(results)] if results.is_dir() else []


def _entries(folder: Path) -> dict[str, object]:
    """What lies in a folder of runs, by name: kind, size and content of each, nothing followed.

    A folder that is itself something else is one nameless entry.
    """
    try:
        status = folder.lstat()
    except OSError:
        return {}
    if not stat.S_ISDIR(status.st_mode):
        return {"": _state(folder, depth=0)}
    return {name: _state(folder / name, depth=3) for name in _names(folder)[:_MOST_ENTRIES]}


def _state(path: Path, depth: int) -> object:
    """Kind, size and content of a file, or of everything in a folder; links are not followed."""
    status = path.lstat()
    if stat.S_ISDIR(status.st_mode) and depth:
        return {name: _state(path / name, depth - 1) for name in _names(path)[:_MOST_ENTRIES]}
    content = ""
    if stat.S_ISREG(status.st_mode) and status.st_size <= _MOST_HASHED:
        content = hashlib.sha256(read_plain(path, _MOST_HASHED)).hexdigest()
    return stat.S_IFMT(status.st_mode), status.st_size, content
