"""The list of a folder's runs that were drawn again with the same predictions, kept beside the runs.

``reproduced.json`` lies in the folder of runs, never in a run, so that no submission brings it. Whoever may
write that folder decides what it says.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, Field

from popeq.atomic import write_text
from popeq.errors import RunError
from popeq.locks import Lock
from popeq.others_files import UnreadableFileError, read_model
from popeq.runs.folder import Run, lock_file

REPRODUCED = "reproduced.json"


class Reproduction(BaseModel, frozen=True, extra="forbid"):
    """One run that was drawn again with the same predictions."""

    run_id: str = Field(description="name of the run, for people")
    predictions_sha256: str = Field(description="SHA-256 of the run's file of predictions")
    when: str = Field(description="UTC time, ISO 8601")
    popeq: str = Field(description="version of popeq that drew it again")
    code_sha256: str = Field(description="SHA-256 of the code that drew it again, as in run.json")
    same_code: bool = Field(description="whether that is the code that run.json names")


class Reproductions(BaseModel, frozen=True, extra="forbid"):
    """What the file holds."""

    schema_version: int = Field(1, ge=1, le=1, description="version of this layout")
    runs: dict[str, Reproduction] = Field(default_factory=dict, description="by the key of the run")


def is_reproduced(run: Run) -> bool:
    """Whether the folder that a run lies in lists it, with the predictions that the run has now.

    False, without an error, if the run is not what its own key and hash say. Raises RunError if the file is
    there and broken.
    """
    if run.record.key != run.record.expected_key:
        return False
    entry = read_reproduced(run.folder.parent).runs.get(run.record.key)
    try:
        return entry is not None and entry.predictions_sha256 == run.predictions_sha256()
    except RunError:
        return False


def note_reproduced(run: Run, entry: Reproduction | None) -> None:
    """Write down that a run was reproduced; with None, that it was not, so that it is not listed any more."""
    folder = run.folder.parent
    with Lock(lock_file(folder, f"{REPRODUCED}.lock")):
        kept = {k: v for k, v in read_reproduced(folder).runs.items() if k != run.record.key}
        listed = kept | ({} if entry is None else {run.record.key: entry})
        if listed or (folder / REPRODUCED).exists():
            text = Reproductions(runs=dict(sorted(listed.items()))).model_dump_json(indent=2)
            write_text(folder / REPRODUCED, text + "\n")


def read_reproduced(folder: Path) -> Reproductions:
    """What a folder of runs lists; nothing if it has no such file. Raises RunError if that is broken."""
    path = folder / REPRODUCED
    try:
        status = path.lstat()
    except OSError:
        return Reproductions()
    return _read(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _read(path: Path, _when: int, _size: int) -> Reproductions:
    try:
        return read_model(path, Reproductions)
    except UnreadableFileError as error:
        raise RunError(f"{error}; remove it and run 'popeq verify --redraw' again") from None
