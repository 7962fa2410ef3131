"""What a run folder holds, looked at before anything in it is read: plain files of known names and sizes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from popeq.errors import Problem
from popeq.others_files import odd_kind
from popeq.plain_text import visible
from popeq.runs.packed import PACKED, PLAIN

#: Files that popeq reads in a run folder, with the most bytes that each may have.
SIZES = {
    "run.json": 4 << 20,
    "card.json": 1 << 16,
    PLAIN: 1 << 30,
    PACKED: 1 << 30,
    "explanations.jsonl": 1 << 30,
}
#: What a run has that somebody sends; one of the two files of predictions.
SENT = ("run.json", "card.json", PLAIN, PACKED)
#: What stays where a run was drawn; it is never read from a published folder, and never committed.
_LOCAL = ("log-", "state-")
_MOST_ENTRIES = 100


def odd_files(folder: Path, sizes: dict[str, int] = SIZES) -> list[Problem]:
    """Which of the files that popeq reads in a run folder are no plain files, or too large."""
    found = []
    for name, most_bytes in sizes.items():
        try:
            status = os.lstat(folder / name)
        except OSError:
            continue
        if wrong := _not_plain(status, most_bytes):
            found.append(Problem(name, wrong))
    return found


def foreign_files(folder: Path, allowed: Iterable[str] = SENT, *, drawn_here: bool = False) -> list[Problem]:
    """What keeps a folder from being that of a published run: it is a link, holds anything but plain files
    with the names and sizes of a run, or both files of predictions.

    With ``drawn_here`` what popeq leaves beside a run that it draws is passed over.
    """
    if folder.is_symlink() or not folder.is_dir():
        return [Problem(visible(folder.name), "is a link or no folder, where a run has a folder of its own")]
    names: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if len(names) > _MOST_ENTRIES:
                return [Problem(visible(folder.name), f"holds more than {_MOST_ENTRIES} files")]
            if not (drawn_here and entry.name.startswith(_LOCAL)):
                names.append(entry.name)
    known = {*allowed}
    wrong = [
        Problem(visible(name, 100), f"is no file of a published run, which has {', '.join(sorted(known))}")
        for name in sorted(set(names) - known)
    ]
    if {PLAIN, PACKED} <= {*names}:
        wrong.append(Problem(PLAIN, f"is there beside {PACKED}; a run has one of them"))
    return wrong + odd_files(folder)


def _not_plain(status: os.stat_result, most_bytes: int) -> str:
    """What is wrong with something in place of a plain file; empty if nothing is."""
    if reason := odd_kind(status.st_mode):
        return reason
    return f"has {status.st_size} bytes; {most_bytes} are the most" if status.st_size > most_bytes else ""
