"""Whom the rows of a folder of runs belong to, and what a run may therefore not be.

A method is a predictor's name with its parameters. It belongs to whoever the card of its first run names;
runs without a card belong to the maintainers of a signed board. What ``board.json`` lists was there first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from popeq.board.entries import make_of
from popeq.board.signed import BOARD, Board, read_board
from popeq.board.trust import card_of
from popeq.errors import PopeqError, Problem
from popeq.plain_text import visible
from popeq.runs.card import CARD, Card
from popeq.runs.folder import RECORD, Run, find_runs
from popeq.runs.plain_folder import SENT, foreign_files

_NAME = 100  # characters of somebody's text in a message


@dataclass(frozen=True, eq=False)
class Sent:
    """A run with its card, if that is there and can be read."""

    run: Run
    card: Card | None

    @classmethod
    def of(cls, run: Run) -> Sent:
        """A run with the card in its folder."""
        try:
            return cls(run, card_of(run.folder))
        except PopeqError:  # verification says what is wrong with it
            return cls(run, None)

    @cached_property
    def method(self) -> tuple[str, Mapping[str, object]]:
        """What belongs to somebody: a name, in any case of letters, and parameters, where 3 equals 3.0."""
        made = self.run.record.predictor
        return made.name.casefold(), made.parameters

    @cached_property
    def owner(self) -> tuple[tuple[str, ...], str] | None:
        """Authors and contact of the card; None for the maintainers."""
        if self.card is None:
            return None
        return tuple(sorted(a.casefold() for a in self.card.authors)), self.card.contact.casefold()

    def owner_in_words(self, board: Board) -> str:
        """The owner, as messages name it."""
        if self.card is None:
            return visible(board.maintainers, _NAME)
        return visible(f"{', '.join(self.card.authors)} <{self.card.contact}>", _NAME)


def clashes(one: Sent, others: Sequence[Sent], board: Board) -> list[Problem]:
    """What a run takes from others that were there first: their key, their method, or their seed.

    In a folder that nobody has signed off, runs without cards are one's own, and may be drawn twice.
    """
    found = [
        (rank, Problem(RECORD, message, None, column))
        for other in others
        if board.signed or one.card or other.card
        for rank, column, message in [_clash(one, other, board)]
        if message
    ]
    return [problem for _, problem in sorted(found, key=lambda each: each[0])[:1]]


def _clash(one: Sent, other: Sent, board: Board) -> tuple[int, str, str]:
    """How much a run takes from another (0 most), the field, and in words, empty for nothing."""
    record, own = one.run.record, other.run.record
    name, called = visible(other.run.folder.name, _NAME), visible(record.predictor.name, _NAME)
    if {record.key, record.expected_key} & {own.key, own.expected_key}:
        return 0, "key", f"is that of {name}, which is there already"
    if other.method == one.method and other.owner != one.owner:
        owner = other.owner_in_words(board)
        message = f"{called} with these parameters is a method of {owner} ({name}); give yours another name"
        return 1, "predictor", message
    if other.method[0] == one.method[0] and own.predictor.name != record.predictor.name:
        written = visible(own.predictor.name, _NAME)
        return (
            2,
            "predictor",
            f"{called} is written {written} here ({name}); write it so or rename yours",
        )
    same = other.method == one.method and own.origin == record.origin and make_of(own) == make_of(record)
    if same and own.seed == record.seed:
        return 3, "seed", f"{own.seed} of {called} is there already ({name})"
    return 4, "", ""


@dataclass(frozen=True, eq=False)
class Rows:
    """The runs of a folder with their cards and with what is beside them; ``unread`` says which runs cannot
    be read."""

    folder: Path
    board: Board
    runs: tuple[Sent, ...]
    unread: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Rows:
        """Everything in a folder of runs; raises RunError if its ``board.json`` is broken."""
        board = read_board(folder)
        runs, unread = find_runs(folder)
        return cls(folder, board, tuple(map(Sent.of, runs)), tuple(unread))

    @cached_property
    def _listed(self) -> frozenset[Path]:
        return frozenset(sent.run.folder for sent in self.runs if self.board.entry(sent.run) is not None)

    def problems(self, run: Run) -> list[Problem]:
        """What a run of the folder takes from others there, and in a signed folder everything that its own
        folder may not hold."""
        one = Sent.of(run)
        listed = run.folder in self._listed
        found = []
        if self.board.signed:
            allowed = (*SENT, "explanations.jsonl") if listed and one.card is None else SENT
            found += foreign_files(run.folder, allowed, drawn_here=listed and one.card is None)
            if one.card is None and not listed:
                message = f"is missing, and {BOARD} does not list the run as one of the maintainers'"
                found.append(Problem(CARD, message))
        others = [
            other
            for other in self.runs
            if other.run.folder != run.folder and (not listed or other.run.folder in self._listed)
        ]
        return found + clashes(one, others, self.board)

    def strays(self) -> list[Problem]:
        """What lies in a signed folder beside the runs and does not belong there."""
        if not self.board.signed:
            return []
        known = {BOARD, ".locks", *(sent.run.folder.name for sent in self.runs)}
        return [
            Problem(visible(path.name, _NAME), f"is no run; a published folder has runs and {BOARD} only")
            for path in sorted(self.folder.iterdir())
            if path.name not in known and not os.path.lexists(path / CARD)
            if not os.path.lexists(path / RECORD) and not path.name.endswith(".tmp")
        ]

    def all_problems(self) -> list[Problem]:
        """Those of every run, each with the run's name, the strays, and what cannot be read."""
        unread = [Problem(self.folder.name, why) for why in self.unread]
        return [*unread, *self.strays()] + [
            Problem(f"{sent.run.folder.name}/{problem.file}", problem.message, None, problem.column)
            for sent in self.runs
            for problem in self.problems(sent.run)
        ]
