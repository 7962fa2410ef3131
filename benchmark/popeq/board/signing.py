"""The maintainers sign off a folder of runs: its data set, its protocol, and each run as it is now."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from popeq.board.ownership import Rows, Sent
from popeq.board.scoring import Scorer
from popeq.board.signed import BOARD, Board, SignedDataset, SignedRun, write_board
from popeq.board.verify import sound_samples
from popeq.dataset import Dataset
from popeq.errors import InvalidInputError, Problem, UsageError
from popeq.locks import Lock
from popeq.protocol import Protocol
from popeq.runs.folder import lock_file


def sign(folder: Path, dataset: Dataset, protocol: Protocol, maintainers: str | None = None) -> Board:
    """Write ``board.json`` beside the runs of a folder, and return what it says.

    Runs with a card are listed as sent by its authors, those without one as drawn by the maintainers, whose
    name is kept from the file that is there unless it is given. What is listed as reproduced stays so while
    its predictions are the same. Scores are not computed: ``popeq verify`` does that.

    Raises
    ------
    InvalidInputError
        With everything that is wrong: a run that is not of this data set and protocol or not what its hashes
        say, two runs of one key or of one seed of a method, a method with two owners, other files.
    UsageError
        If there are no runs, or the maintainers' name is not one clean line.
    """
    try:
        Board.model_validate({} if maintainers is None else {"maintainers": maintainers})
    except ValidationError as error:
        raise UsageError(f"--owner: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    with Lock(lock_file(folder, f"{BOARD}.lock")):
        there = Rows.read(folder)
        if not there.runs and not there.unread:
            raise UsageError(f"{folder}: holds no runs")
        old = there.board
        listed = {sent.run.record.key: _signed(sent, old) for sent in there.runs}
        board = Board(
            dataset=SignedDataset(name=dataset.name, revision=dataset.revision),
            protocol=protocol,
            maintainers=old.maintainers if maintainers is None else maintainers,
            runs=listed,
        )
        scorer = Scorer(dataset, protocol)
        wrong = Rows(folder, board, there.runs, there.unread).all_problems()
        for sent in there.runs:
            problems, _, _ = sound_samples(sent.run, scorer)
            name = sent.run.folder.name
            wrong += [Problem(f"{name}/{p.file}", p.message, p.row, p.column) for p in problems]
        if wrong:
            raise InvalidInputError(f"{folder}: cannot be signed off", wrong)
        write_board(folder, board)
    return board


def _signed(sent: Sent, old: Board) -> SignedRun:
    """What is written down of a run."""
    record, before = sent.run.record, old.entry(sent.run)
    return SignedRun(
        run_id=sent.run.folder.name,
        predictions_sha256=record.predictions_sha256 or "",
        drawn=sent.card is None and record.origin == "drawn",
        reproduced=before.reproduced if before else None,
    )
