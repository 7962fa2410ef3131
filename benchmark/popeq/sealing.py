"""Seal a data set: copy it without its test answers, and write these to a separate file."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from popeq.atomic import write_bytes
from popeq.csv_table import csv_bytes
from popeq.dataset import Dataset
from popeq.dataset_card import RESPONSE_COLUMNS
from popeq.dataset_folder import read_dataset, readme_of, with_header, write_dataset
from popeq.errors import UsageError

_SECTION = """
## Sealed answers

The responses to the test prompts are not in this folder. `dataset.toml` has the SHA-256 of the file that
holds them (`sealed_answers`), so that file cannot be changed unnoticed. `popeq run` and `popeq score`
accept predictions without it; scores need it (`--answers FILE`).
"""


def seal(dataset: Dataset, folder: Path, answers: Path) -> Dataset:
    """Write ``dataset`` into ``folder`` without its test answers and these into the new file ``answers``.

    Everything else, listeners and tracks included, is copied, except the second panel, whose answers are
    open. Returns the data set as read back from both. The original is not changed.

    Raises
    ------
    UsageError
        If the data set is a view, has folds or is sealed already, ``folder`` is not empty, or ``answers``
        exists or is inside ``folder``.
    RunError
        If the disk is full; then neither is written.
    """
    if dataset.view:
        raise UsageError(f"{dataset.name}: is a view; seal the data set that it is made from")
    if dataset.by_folds:
        raise UsageError(
            f"{dataset.name}: cannot be sealed, because it has folds: each of its answers is also a training "
            "answer; give it the column split in place of fold"
        )
    if dataset.card.sealed_answers is not None:
        raise UsageError(f"{dataset.name}: is sealed already")
    if answers.exists():
        raise UsageError(f"{answers}: already exists; give --answers a new file")
    if answers.resolve().is_relative_to(folder.resolve()):
        raise UsageError(
            f"{answers}: is inside {folder}, which everybody gets; give --answers a file outside it"
        )
    tested = dataset.responses["prompt_id"].isin(dataset.test_ids)
    content = csv_bytes(dataset.responses.loc[tested, list(RESPONSE_COLUMNS)])
    sha256 = hashlib.sha256(content).hexdigest()
    card = dataset.card.model_copy(update={"sealed_answers": sha256, "second_panel": None})
    open_part = dataclasses.replace(dataset, card=card, responses=dataset.responses[~tested])
    write_bytes(answers, content)
    try:
        header, text = readme_of(dataset)
        header.pop("configs", None)  # they name Parquet files, and CSV files are written
        write_dataset(open_part, folder, with_header(header, text + _SECTION))
    except BaseException:
        answers.unlink()
        raise
    return read_dataset(folder, answers)
