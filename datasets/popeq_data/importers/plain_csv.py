"""Import somebody's own prompts and responses: two CSV files and what the card should say."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import tempfile
from pathlib import Path

import tomli_w

from popeq.dataset import Dataset, DatasetCard
from popeq.dataset_folder import read_dataset
from popeq.dataset_tables import CARD, PROMPTS, RESPONSES
from popeq.errors import InvalidInputError, Problem
from popeq.importing import ImportResult
from popeq.space import PLANE
from popeq_data.importers.assemble import Pseudonyms
from popeq_data.importers.options import CsvOptions
from popeq_data.importers.people import Dealt, unseen_people

#: Wide enough to read any point before it is clipped.
_ANYWHERE = {"x_db": [-1e9, 1e9], "y_db": [-1e9, 1e9]}
_BOX = {"x_db": [PLANE.x_low_db, PLANE.x_high_db], "y_db": [PLANE.y_low_db, PLANE.y_high_db]}


def import_csv(prompts: Path, responses: Path, parameters: CsvOptions) -> ImportResult:
    """Read ``prompts.csv`` and ``responses.csv`` of any name, checked like a data set folder.

    Raises
    ------
    InvalidInputError
        With every problem of both files, each naming file, row and column.
    """
    card = DatasetCard(
        name=parameters.name,
        version=parameters.version,
        title=parameters.title,
        licence=parameters.licence,
        citation=parameters.citation,
        simulated=parameters.simulated,
        second_panel=None,
    )
    found = _read(card, Path(prompts), Path(responses), clip=parameters.outside == "clip")
    frame = found.responses.copy()
    points = frame[["x_db", "y_db"]].to_numpy(dtype=float)
    clipped = float(1.0 - PLANE.contains(points).mean())
    frame[["x_db", "y_db"]] = PLANE.clip(points) + 0.0
    names = Pseudonyms(parameters.salt)
    if parameters.hash_listeners:
        frame["listener_id"] = [names[listener] for listener in frame["listener_id"]]
        frame = frame.sort_values(["prompt_id", "listener_id"], ignore_index=True)
    dataset = dataclasses.replace(found, card=card, responses=frame, folder=None)
    dealt = unseen_people(dataset) if parameters.unseen_people else Dealt(dataset, "not asked for")
    made = dealt.dataset
    report = {
        "prompts file": prompts.name,
        "prompts SHA-256": _sha256(prompts),
        "responses file": responses.name,
        "responses SHA-256": _sha256(responses),
        "listener ids": f"hashed, salt {names.kind}" if parameters.hash_listeners else "as in the file",
        "unseen people": dealt.how,
        "responses kept": len(made.responses),
        "prompts": len(made.prompts),
        "listeners": int(frame["listener_id"].nunique()),
        "share of responses clipped": round(clipped, 4),
    }
    return ImportResult(made, report)


def _read(card: DatasetCard, prompts: Path, responses: Path, *, clip: bool) -> Dataset:
    """Lay the files out as a folder and read that, so that one set of checks holds for every data set."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        content = card.model_dump(exclude_none=True)
        content["space"] = _ANYWHERE if clip else _BOX
        (folder / CARD).write_text(tomli_w.dumps(content), encoding="utf-8")
        for source, target in ((prompts, PROMPTS), (responses, RESPONSES)):
            _copy(source, folder / target)
        try:
            return read_dataset(folder)
        except InvalidInputError as error:
            theirs = {PROMPTS: str(prompts), RESPONSES: str(responses)}
            problems = [dataclasses.replace(p, file=theirs.get(p.file, p.file)) for p in error.problems]
            raise InvalidInputError(
                f"{prompts.name} and {responses.name} are no data set", problems
            ) from None


def _copy(source: Path, target: Path) -> None:
    """Copy a file; one that is not there stays missing, and the reader says so."""
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError:
        return
    except OSError as error:
        why = "is a folder; give the file itself" if source.is_dir() else f"cannot be read: {error.strerror}"
        raise InvalidInputError(f"{source.name} is no data", [Problem(str(source), why)]) from None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
