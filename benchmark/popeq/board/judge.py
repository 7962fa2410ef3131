"""Judge what a submission does to published boards: its runs, and what they do to the rows of others.

Before and after are folders with a folder of runs for each data set. Which data set and protocol a board has,
who owns its rows and how far they are trusted is read from before alone.
"""

from __future__ import annotations

import hashlib
import math
import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from popeq.board.entries import make_entries
from popeq.board.leaderboard import Leaderboard, build
from popeq.board.ownership import Rows, Sent, clashes
from popeq.board.row_changes import changes
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

#: Files of results whose content counts, with the most bytes that each may have.
FILES = SIZES | {BOARD: MOST_BYTES}
#: Bytes of a file that is compared by content.
_MOST_HASHED = 128 << 20
_ALIKE = "has a name that some systems take for that of another: only case, or the form of accents, differs"


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
    alike = Counter(map(_folded, old.keys() | new.keys()))
    sent: dict[str, Sent | str] = {
        name: _read(after / name) if alike[_folded(name)] == 1 else _ALIKE
        for name in touched
        if name not in taken
    }
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
    return BoardJudgement(after.name, tuple(judged), *changes(first, second))


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


def _line(error: PopeqError) -> str:
    """An error as one line of a few hundred characters."""
    return visible(str(error), 400)


def _folded(name: str) -> str:
    """What names share that some file systems take for the same one."""
    return unicodedata.normalize("NFC", name).casefold()


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
    return {name: _state(folder / name, depth=3) for name in _names(folder)}


def _state(path: Path, depth: int) -> object:
    """Kind, size and content of a file, or of everything in a folder; links are not followed."""
    status = path.lstat()
    if stat.S_ISDIR(status.st_mode) and depth:
        return {name: _state(path / name, depth - 1) for name in _names(path)}
    content = ""
    if stat.S_ISREG(status.st_mode) and status.st_size <= _MOST_HASHED:
        content = hashlib.sha256(read_plain(path, _MOST_HASHED)).hexdigest()
    return stat.S_IFMT(status.st_mode), status.st_size, content
