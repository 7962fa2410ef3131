"""Copy a run into a folder of published results: verified, with its card, without this machine's folders."""

from __future__ import annotations

import shutil
from pathlib import Path

from popeq.atomic import FolderTakenError, new_folder
from popeq.board.ownership import Rows, Sent, clashes
from popeq.board.scoring import Scorer
from popeq.board.verify import Verification, examine
from popeq.dataset import Dataset
from popeq.errors import InvalidInputError, Problem, UsageError
from popeq.folder_names import without_folders
from popeq.runs.card import CARD, read_card
from popeq.runs.folder import RECORD, Run
from popeq.runs.plain_folder import odd_files
from popeq.runs.record import RunRecord

EXAMPLE_CARD = """\
{
  "authors": ["Your Name"],
  "contact": "you@example.org",
  "kind": "other",
  "model": "",
  "training_data": "what the method was trained or tuned on",
  "links": ["https://example.org/paper"]
}"""


def publish(run: Run, dataset: Dataset, card_file: Path | None, results: Path) -> tuple[Verification, Path]:
    """Copy a verified run with its card to ``results/<data set>/<run id>/``.

    Only run.json (without this machine's folders), the predictions and card.json are copied. Nothing is left
    behind if the run does not verify, or takes the key, the method or the seed of a run that is there.

    Raises
    ------
    UsageError
        If there is no card, or the run is there already.
    InvalidInputError
        With everything that keeps the run from being published.
    """
    own = run.folder / CARD
    if card_file is None and not own.is_file():
        raise UsageError(
            f"{run.folder}: has no {CARD}; write one and give it with --card, for example\n{EXAMPLE_CARD}"
        )
    if odd := odd_files(run.folder):
        raise InvalidInputError(f"{run.folder} does not verify", odd)
    card = read_card(card_file or own)
    record = portable(run.record, dataset)
    target = results / dataset.name / record.run_id
    there = Rows.read(target.parent)
    there.board.check(dataset, target.parent)
    scorer = Scorer(dataset, there.board.protocol or record.protocol)
    try:
        with new_folder(target) as folder:
            (folder / RECORD).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
            (folder / CARD).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
            if run.predictions_file.is_file():
                shutil.copyfile(run.predictions_file, folder / run.predictions_file.name)
            copy = Run(folder, record)
            others = [other for other in there.runs if other.run.folder != target]
            seen = examine(copy, scorer)
            taken = clashes(Sent(copy, card), others, there.board)
            if problems := (*_folders(record), *seen.problems, *taken):
                raise InvalidInputError(f"{run.folder} does not verify", problems)
    except FolderTakenError:
        raise UsageError(f"{target}: is there already; nothing was changed") from None
    return seen, target


def portable(record: RunRecord, dataset: Dataset) -> RunRecord:
    """The record without any folder of this machine; what identifies the run stays."""
    given = record.dataset.given
    if "/" in given or "\\" in given:
        given = dataset.name
    renamed = record.dataset.model_copy(update={"given": given})
    return record.model_copy(update={"dataset": renamed, "command": record.shown_command})


def _folders(record: RunRecord) -> list[Problem]:
    """Parameters that still hold a path of this machine: runs drawn by popeq 0.1 may have some."""
    values = record.predictor.parameters
    return [
        Problem(RECORD, "is a path of this machine; draw the run again", None, f"predictor.parameters.{name}")
        for name, value in values.items()
        if without_folders(value) != value
    ]
