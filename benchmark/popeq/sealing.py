"""Seal a data set folder: a copy without the responses to test prompts, and these in a file of their own."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from popeq.atomic import write_bytes
from popeq.csv_table import quoting
from popeq.dataset import RESPONSE_COLUMNS, Dataset
from popeq.dataset_folder import README, read_dataset, write_dataset
from popeq.errors import UsageError


def seal_dataset(folder: Path, output: Path, answers: Path) -> Dataset:
    """Write a sealed copy of a data set folder, and the responses to its test prompts to ``answers``.

    The copy names no second panel, whose responses to the same prompts would lie open. Both or neither are
    written. Returns the copy, as read back with its answers.

    Raises
    ------
    UsageError
        If the data set has folds or is sealed already, or if ``answers`` exists, or would lie inside the
        copy, or ``output`` exists and is not empty.
    InvalidInputError
        If ``folder`` is not a valid data set.
    """
    folder, output, answers = Path(folder), Path(output), Path(answers)
    dataset = read_dataset(folder)
    if dataset.by_folds:
        raise UsageError(
            f"{folder}: cannot be sealed: it has folds, so every response is also used for "
            "training; give its prompts a split"
        )
    if dataset.card.sealed_answers is not None:
        raise UsageError(f"{folder}: is sealed already")
    if answers.exists():
        raise UsageError(f"--answers {answers}: already exists; give the name of a new file")
    if not answers.parent.is_dir():
        raise UsageError(f"--answers {answers}: {answers.parent} is not a folder")
    if answers.resolve().is_relative_to(output.resolve()):
        raise UsageError(f"--answers {answers}: lies inside {output}, which is to be given away")
    tested = dataset.responses["prompt_id"].isin(dataset.test_ids)
    held = dataset.responses.loc[tested, list(RESPONSE_COLUMNS)]
    how = quoting(held.select_dtypes(exclude="number").to_numpy().flat)
    content = held.to_csv(index=False, lineterminator="\n", quoting=how).encode()
    sealed = dataclasses.replace(
        dataset,
        card=dataset.card.model_copy(
            update={"sealed_answers": hashlib.sha256(content).hexdigest(), "second_panel": None}
        ),
        responses=dataset.responses[~tested],
    )
    readme = folder / README
    write_bytes(answers, content)
    try:
        write_dataset(sealed, output, readme.read_text(encoding="utf-8") if readme.exists() else "")
        return read_dataset(output, answers)
    except BaseException:
        answers.unlink()
        raise
