"""``board.json`` beside the runs of a folder: what the people who keep the folder say of it.

A published board is signed off: the file names its data set, its protocol, and by key and predictions each
run that the maintainers took, drew or drew again. It lies in the folder of runs, never in a run, so that no
submission brings it. Whoever may write that folder decides what it says. In a folder of one's own it lists
what ``popeq verify --redraw`` has reproduced, without a data set or protocol.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, model_validator

from popeq.atomic import write_text
from popeq.dataset import Dataset
from popeq.errors import RunError, UsageError
from popeq.locks import Lock
from popeq.others_files import UnreadableFileError, read_model
from popeq.plain_text import visible
from popeq.protocol import Protocol
from popeq.runs.card import Line, Trust
from popeq.runs.folder import Run, lock_file

BOARD = "board.json"
MOST_BYTES = 16 << 20


class Reproduction(BaseModel, frozen=True, extra="forbid"):
    """A run was drawn again with the same predictions."""

    when: str = Field(description="UTC time, ISO 8601")
    popeq: str = Field(description="version of popeq that drew it again")
    code_sha256: str = Field(description="SHA-256 of the code that drew it again, as in run.json")
    same_code: bool = Field(description="whether that is the code that run.json names")


class SignedRun(BaseModel, frozen=True, extra="forbid"):
    """A run of the folder, as it was when the maintainers signed it off."""

    run_id: str = Field(description="name of its folder")
    predictions_sha256: str = Field(description="SHA-256 of its predictions as text")
    drawn: bool = Field(False, description="whether it is the maintainers' own and popeq drew it")
    reproduced: Reproduction | None = Field(None, description="how it was drawn again, if it was")

    @property
    def trust(self) -> Trust:
        """The label that this gives to the run."""
        return "reproduced" if self.reproduced else "drawn" if self.drawn else "scored"


class SignedDataset(BaseModel, frozen=True, extra="forbid"):
    """The data set of a board."""

    name: str = Field(description="name of the data set")
    revision: str = Field(description="SHA-256 over its content")


class Board(BaseModel, frozen=True, extra="forbid"):
    """What the file holds; a folder without one has the defaults."""

    schema_version: int = Field(1, ge=1, le=1, description="version of this layout")
    dataset: SignedDataset | None = Field(None, description="what all runs are of; none: not signed off")
    protocol: Protocol | None = Field(None, description="what all runs are under; none: not signed off")
    maintainers: Line = Field("the maintainers", description="who owns the runs that have no card")
    runs: dict[str, SignedRun] = Field(default_factory=dict, description="by the key of the run")

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.dataset is None) != (self.protocol is None):
            raise ValueError("names a data set and a protocol, or neither")
        return self

    @property
    def signed(self) -> bool:
        """Whether it is the board of a published folder."""
        return self.dataset is not None

    def entry(self, run: Run) -> SignedRun | None:
        """What is said of a run: None unless it lists a folder of that name with the run's key and with the
        predictions that the run has now, and that is the key of what the run's record says was run."""
        found = self.runs.get(run.record.key)
        if found is None or found.run_id != run.folder.name or run.record.key != run.record.expected_key:
            return None
        try:
            return found if found.predictions_sha256 == run.predictions_sha256() else None
        except RunError:
            return None

    def check(self, dataset: Dataset, folder: Path) -> None:
        """UsageError if a signed board is not of this data set, in this revision."""
        if self.dataset is None:
            return
        for what, own, given in (
            ("data set", self.dataset.name, dataset.name),
            ("revision", self.dataset.revision[:12], dataset.revision[:12]),
        ):
            if own != given:
                raise UsageError(f"{folder / BOARD}: is of {what} {visible(own, 100)}, not of {given}")


def read_board(folder: Path) -> Board:
    """What a folder of runs has beside them; the defaults if it has no such file.

    Raises RunError if the file is broken, or is a link or a device.
    """
    path = folder / BOARD
    try:
        status = path.lstat()
    except OSError:
        return Board()
    return _read(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _read(path: Path, _: int, __: int) -> Board:
    try:
        return read_model(path, Board, MOST_BYTES)
    except UnreadableFileError as error:
        raise RunError(str(error)) from None


def write_board(folder: Path, board: Board) -> None:
    """Write the file, with its runs sorted by name; raises RunError if that is not possible."""
    ordered = dict(sorted(board.runs.items(), key=lambda item: (item[1].run_id, item[0])))
    text = board.model_copy(update={"runs": ordered}).model_dump_json(indent=2, exclude_none=True)
    write_text(folder / BOARD, text + "\n")


def note_reproduced(run: Run, made: Reproduction | None) -> None:
    """Write down that a run was reproduced; with None, that it was not."""
    folder, key = run.folder.parent, run.record.key
    with Lock(lock_file(folder, f"{BOARD}.lock")):
        board = read_board(folder)
        listed = dict(board.runs)
        entry = board.entry(run)
        if made is not None:
            entry = entry or SignedRun(run_id=run.folder.name, predictions_sha256=run.predictions_sha256())
            listed[key] = entry.model_copy(update={"reproduced": made})
        elif entry is not None and board.signed:
            listed[key] = entry.model_copy(update={"reproduced": None})
        elif key in listed and not board.signed and listed[key].run_id == run.folder.name:
            del listed[key]
        if listed != board.runs:
            write_board(folder, board.model_copy(update={"runs": listed}))
