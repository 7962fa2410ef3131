"""Import a prompts file and a responses file: two CSV files, and the card from the options."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from popeq.content_hash import file_sha256
from popeq.csv_table import read_table
from popeq.dataset import MOST_DB, PROMPT_COLUMNS, RESPONSE_COLUMNS, Dataset, DatasetCard, SpaceCard
from popeq.dataset_tables import read_prompts, read_responses
from popeq.errors import InvalidInputError, UsageError
from popeq.importing import ImportResult
from popeq.space import PLANE
from popeq_data.importers.assemble import Pseudonyms, sizes
from popeq_data.importers.options import CsvOptions
from popeq_data.importers.people import Divided, unseen_people

#: Large enough to read any point before it is clipped.
_ANYWHERE = SpaceCard(x_db=(-MOST_DB, MOST_DB), y_db=(-MOST_DB, MOST_DB))


def import_csv(prompts: Path, responses: Path, parameters: CsvOptions) -> ImportResult:
    """Read ``prompts.csv`` and ``responses.csv`` of any name, checked like a data set folder.

    Raises InvalidInputError with every problem of both files, each naming file, row and column, and
    UsageError for a grouping that has the name of another column.
    """
    known = parameters.model_dump(include=set(DatasetCard.model_fields))
    try:
        card = DatasetCard(**known, groupings=parameters.grouping)
    except ValidationError as error:
        raise UsageError(f"import csv: --grouping: {error.errors()[0]['msg']}") from None
    columns = (*PROMPT_COLUMNS[:3], *card.groupings)
    asked = read_table(prompts, columns, PROMPT_COLUMNS[3:], str(prompts), follow=True)
    answered = read_table(responses, RESPONSE_COLUMNS, (), str(responses), follow=True)
    prompt_rows = read_prompts(asked, card.groupings)
    frame = read_responses(answered, asked, _ANYWHERE if parameters.outside == "clip" else card.space)
    if problems := asked.problems + answered.problems:
        raise InvalidInputError(f"{prompts.name} and {responses.name} are not a data set", problems)
    points = frame[["x_db", "y_db"]].to_numpy(dtype=float)
    clipped = float(1.0 - PLANE.contains(points).mean())
    frame[["x_db", "y_db"]] = PLANE.clip(points) + 0.0
    names = Pseudonyms(parameters.salt)
    if parameters.hash_listeners:
        frame["listener_id"] = [names[listener] for listener in frame["listener_id"]]
        frame = frame.sort_values(["prompt_id", "listener_id"], ignore_index=True)
    divided = Divided(Dataset(card, prompt_rows, frame), "not asked for")
    if parameters.unseen_people:
        divided = unseen_people(divided.dataset)
    report = {
        "prompts file": prompts.name,
        "prompts SHA-256": file_sha256(prompts),
        "responses file": responses.name,
        "responses SHA-256": file_sha256(responses),
        "listener ids": f"hashed, salt {names.kind}" if parameters.hash_listeners else "as in the file",
        "unseen people": divided.how,
        **sizes(divided.dataset),
        "share of responses clipped": round(clipped, 4),
    }
    return ImportResult(divided.dataset, report)
