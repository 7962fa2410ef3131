"""Import a prompts file and a responses file: two CSV files, and the card from the options."""

from __future__ import annotations

from pathlib import Path

from popeq.dataset_card import MOST_DB, PROMPT_COLUMNS, RESPONSE_COLUMNS, SpaceCard
from popeq.dataset_tables import read_prompts, read_responses
from popeq.errors import InvalidInputError
from popeq.foreign_csv import read_foreign, recognise_decimal
from popeq.importing import ImportResult
from popeq_data.importers.options import CsvOptions
from popeq_data.importers.outside import AXES
from popeq_data.importers.own import card_of, finished, in_db

#: Large enough to read any point before it is held against the box.
_ANYWHERE = SpaceCard(x_db=(-MOST_DB, MOST_DB), y_db=(-MOST_DB, MOST_DB))


def import_csv(prompts: Path, responses: Path, parameters: CsvOptions) -> ImportResult:
    """Read ``prompts.csv`` and ``responses.csv`` of any name, checked like a data set folder.

    Raises
    ------
    InvalidInputError
        With every problem of both files, each naming file, row and column.
    UsageError
        For options that do not fit together, a file that could be read in two ways, and points outside the
        box that are not to be clipped.
    """
    card = card_of(parameters, "csv")
    columns = (*PROMPT_COLUMNS[:3], *card.groupings)
    asked = read_foreign(prompts, columns, PROMPT_COLUMNS[3:])
    answered = read_foreign(responses, RESPONSE_COLUMNS, (), parameters.decimal)
    cells = [(row, row.cells[name]) for row in answered.rows for name in AXES]
    recognise_decimal(answered, cells, parameters.decimal)
    prompt_rows = read_prompts(asked, card.groupings)
    frame = read_responses(answered, asked, _ANYWHERE)
    if parameters.unit != "dB" and not answered.problems:
        for name in AXES:
            frame[name] = [in_db(answered, row, name, parameters.unit) for row in answered.rows]
    if problems := asked.problems + answered.problems:
        raise InvalidInputError(f"{prompts.name} and {responses.name} are not a data set", problems)
    lines = [row.line for row in answered.rows]
    files = {"prompts": prompts, "responses": responses}
    return finished(card, prompt_rows, frame, lines, parameters, files, {})
