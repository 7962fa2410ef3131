"""Data sets, scorers and scored entries, from the names and folders that a person gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from popeq.adapted import Adaptation, adapted, split_adapted
from popeq.board.entries import Entry, make_entries
from popeq.board.groupings import check_split
from popeq.board.notes import Note
from popeq.board.ownership import Rows
from popeq.board.scoring import Scorer
from popeq.board.selection import (
    comparable,
    current,
    entry_of,
    gather,
    newest_protocol,
    of_dataset,
    runs_of,
)
from popeq.board.signed import BOARD, Board, read_board
from popeq.contract import DatasetSpec
from popeq.dataset import Dataset
from popeq.dataset_folder import read_dataset, read_second_panel, withheld_revisions
from popeq.defaults import DEFAULT_DATASET, DEFAULT_RUNS
from popeq.errors import InvalidInputError, UnknownNameError, UsageError
from popeq.plugins import registry
from popeq.protocol import Protocol
from popeq.runs.folder import Run
from popeq.runs.plan import given_name
from popeq.views import split_name, viewed


def load_dataset(
    name_or_folder: str | Path = DEFAULT_DATASET, *, answers: str | Path | None = None
) -> Dataset:
    """A data set by the name a plugin gives it, or by its folder; with ``answers``, the file of its sealed
    test answers. ``NAME@folds-5`` and others are views of it (docs/data-sets.md).

    Raises
    ------
    UnknownNameError
        If it is neither; offers near names.
    UsageError
        If ``answers`` are not the file that the data set names, or this is the process of a predictor that is
        tested on it.
    InvalidInputError
        With every problem of the folder's files.
    """
    name, view = str(name_or_folder), ""
    known = registry().datasets
    if name not in known and not Path(name).exists():
        if found := split_adapted(name):
            if answers is not None:
                raise UsageError(f"{name}: --answers cannot be given for a pair of data sets")
            return adapted_of(load_dataset(found.source), load_dataset(found.target), found.how)
        name, view = split_name(name)
    folder = known[name].path if name in known else Path(name)
    if name not in known and not folder.exists() and "/" not in name:
        raise UnknownNameError("data set", name, known, "(or give a folder)")
    dataset = read_dataset(folder, None if answers is None else Path(answers))
    dataset = view_of(dataset, view) if view else dataset
    read_second_panel(dataset)
    return dataset


def installed_dataset(name: str) -> Dataset:
    """A data set, or a view of one, that a plugin has under exactly this name; never a folder.

    For names from files of others. Raises UnknownNameError if no plugin has it.
    """
    known, found = registry().datasets, split_adapted(name)
    parts = [found.source, found.target] if found and name not in known else [name]
    if not all(part in known or split_name(part)[0] in known for part in parts):
        raise UnknownNameError("installed data set", name, known, "(give its folder with --dataset)")
    return load_dataset(name)


def view_of(dataset: Dataset, view: str) -> Dataset:
    """The view of a data set, such as ``folds-5``; its answers are withheld from a predictor that runs on it.

    Raises UsageError if there is no such view (``popeq.views``).
    """
    return replace(viewed(dataset, view), part_of=withheld_revisions(dataset))


def adapted_of(source: Dataset, target: Dataset, how: Adaptation) -> Dataset:
    """The source with a few answers of the target's listeners, tested on others of them (``popeq.adapted``);
    the answers of both are withheld from a predictor that runs on it."""
    made = adapted(source, target, how, given_name(target))
    return replace(made, part_of=withheld_revisions(source) | withheld_revisions(target))


def view_named(dataset: Dataset, name: str) -> Dataset:
    """The view of a data set that has this name; the data set itself if it is no view's name."""
    base, view = split_name(name)
    of_this = bool(view) and base == dataset.name and not split_adapted(name)
    return view_of(dataset, view) if of_this else dataset


def list_datasets() -> list[DatasetSpec]:
    """What plugins bring, sorted by name; ``load_dataset(spec.name)`` loads one."""
    return [spec for _, spec in sorted(registry().datasets.items())]


def as_dataset(dataset: str | Path | Dataset) -> Dataset:
    """The data set itself, if it is not one yet: loaded."""
    return dataset if isinstance(dataset, Dataset) else load_dataset(dataset)


def entries_of(
    runs: Sequence[Run | str | Path] = (),
    dataset: str | Path | Dataset | None = None,
    *,
    protocol: Protocol | None = None,
    runs_dir: str | Path = DEFAULT_RUNS,
    by: str | None = None,
    jobs: int = 1,
    keep: bool = True,
) -> tuple[Scorer, list[Entry], list[Note]]:
    """What a board is made of: the scorer, one scored entry a row, and notes on runs left out.

    Parameters and errors as for ``leaderboard``.
    """
    found, notes = gather(runs, runs_dir)
    loaded = None if dataset is None else as_dataset(dataset)
    found = of_dataset(found, loaded.name if loaded else None)
    signed = [board for board in map(checked_board, folders_of(found)) if board.signed]
    given = protocol or next((board.protocol for board in signed), None)
    scorer = Scorer(dataset_of(found, loaded), given or newest_protocol(found))
    check_split(scorer.dataset, by)
    complete, left_out = comparable(found, scorer)
    notes += left_out
    if not runs:
        complete, older = current(complete)
        notes += older
    if not complete:
        raise UsageError("\n".join(["no complete run to rank", *(note.text for note in notes)]))
    return scorer, make_entries(complete, scorer, jobs, keep=keep), notes


def folders_of(runs: Sequence[Run]) -> list[Path]:
    """The folders of runs that some runs lie in, each once."""
    return list(dict.fromkeys(run.folder.parent for run in runs))


def checked_board(folder: Path) -> Board:
    """What is beside the runs of a folder. Raises InvalidInputError if the board is signed off and something
    in the folder is not as it says, or takes what belongs to another run."""
    board = read_board(folder)
    if board.signed and (problems := Rows.read(folder).all_problems()):
        raise InvalidInputError(f"{folder}: is not the board that {BOARD} describes", problems)
    return board


def dataset_of(runs: Sequence[Run], dataset: str | Path | Dataset | None) -> Dataset:
    """The data set that is given; or else of a signed board; or else the one that all of the runs name.

    Raises UsageError if that is none, is not here, or is of another revision than a signed board.
    """
    boards = [(folder, board) for folder in folders_of(runs) if (board := read_board(folder)).signed]
    if dataset is not None:
        chosen = as_dataset(dataset)
    elif boards:
        assert boards[0][1].dataset
        chosen = installed_dataset(boards[0][1].dataset.name)
    else:
        chosen = _dataset_of_all(runs)
    for folder, board in boards:
        board.check(chosen, folder)
    return chosen


def _dataset_of_all(runs: Sequence[Run]) -> Dataset:
    record = runs[0].record.dataset
    several = len({run.record.dataset.revision for run in runs}) > 1
    try:
        # No run chooses for the others.
        return installed_dataset(record.name) if several else load_dataset(record.given)
    except UsageError as error:
        if several:
            raise UsageError(
                f"these runs are of several revisions of {record.name!r}; give one with --dataset ({error})"
            ) from None
        raise UsageError(
            f"the data set {record.name!r} of {runs[0].folder} is not at {record.given!r}; "
            f"give its folder with --dataset ({error})"
        ) from None


def scorer_of(
    runs: Sequence[Run], dataset: str | Path | Dataset | None, protocol: Protocol | None = None
) -> Scorer:
    """A scorer for runs under a protocol; by default that of the first of them."""
    return Scorer(dataset_of(runs, dataset), protocol or runs[0].record.protocol)


def pair_of(
    a: Run | str | Path, b: Run | str | Path, dataset: str | Path | Dataset | None, runs_dir: str | Path
) -> tuple[Scorer, Entry, Entry]:
    """The scorer and the entries of the two sides of a comparison; errors as for ``compare``."""
    loaded = None if dataset is None else as_dataset(dataset)
    left, right = (runs_of(name, runs_dir, loaded.name if loaded else None) for name in (a, b))
    if {r.folder.resolve() for r in left} == {r.folder.resolve() for r in right}:
        raise UsageError("two different runs are needed, not one twice")
    scorer = scorer_of(left, loaded)
    return scorer, entry_of(left, scorer), entry_of(right, scorer)
