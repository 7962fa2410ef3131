"""What the importers of a user's own files share: the card, the prompts, the answers' box, and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from popeq.content_hash import file_sha256
from popeq.csv_table import Row, Table
from popeq.dataset import Dataset
from popeq.dataset_card import DatasetCard, SpaceCard
from popeq.eq import curves_named
from popeq.errors import UsageError
from popeq.importing import ImportResult
from popeq.space import Space
from popeq.typing import Floats
from popeq_data.importers.assemble import Pseudonyms, sizes
from popeq_data.importers.options import OwnOptions
from popeq_data.importers.outside import AXES, moved, refuse_outside
from popeq_data.importers.people import Divided, unseen_people


def card_of(options: OwnOptions, importer: str) -> DatasetCard:
    """The card that the options describe; UsageError, one line, for what cannot be."""
    box = options.box or (-6.0, 6.0)
    step = {} if options.step is None else {"step_db": options.step}
    known = options.model_dump(include=set(DatasetCard.model_fields))
    try:
        curves_named(options.curves)
        space = SpaceCard(x_db=options.box_x or box, y_db=options.box_y or box, curves=options.curves, **step)
        return DatasetCard(**known, groupings=options.grouping, space=space)
    except UsageError as error:
        raise UsageError(f"import {importer}: --curves: {error}") from None
    except ValidationError as error:
        reason = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        where = "--grouping" if "groupings" in error.errors()[0]["loc"] else "--box and --step"
        raise UsageError(f"import {importer}: {where}: {reason}") from None


def in_db(table: Table, row: Row, column: str, unit: str) -> float:
    """The gain in a cell, dB; NaN, with a problem added, if there is none."""
    value = table.number(row.cells[column], row, column)
    if unit == "dB" or np.isnan(value):
        return value
    if value <= 0:
        table.problem(f"{value:g} is not a ratio above 0", row, column)
        return float("nan")
    return float(20.0 * np.log10(value))


def finished(
    card: DatasetCard,
    prompts: pd.DataFrame,
    answers: pd.DataFrame,
    lines: Sequence[int],
    options: OwnOptions,
    files: Mapping[str, Path],
    found: Mapping[str, Any],
) -> ImportResult:
    """The data set with its report.

    Parameters
    ----------
    answers
        Columns prompt_id, listener_id, x_db and y_db: settings that may lie outside the box.
    lines
        The row of the file that each answer comes from.
    files
        The files that were read, by what they are; answers are in the last.
    found
        Further lines of the report.

    Raises UsageError for answers outside the box, unless they are to be clipped, and for people who cannot be
    divided into panels.
    """
    space = card.space.space
    points = answers[list(AXES)].to_numpy(dtype=np.float64)
    file = str(list(files.values())[-1])
    if options.outside == "refuse":
        refuse_outside(points, space, file, lines)
    answers = answers.copy()
    answers[list(AXES)] = space.clip(points) + 0.0
    names = Pseudonyms(options.salt)
    if options.hash_listeners:
        answers["listener_id"] = [names[listener] for listener in answers["listener_id"]]
        answers = answers.sort_values(["prompt_id", "listener_id"], ignore_index=True)
    divided = Divided(Dataset(card, prompts, answers), "not asked for")
    if options.unseen_people:
        divided = unseen_people(divided.dataset)
    report: dict[str, Any] = {}
    for what, path in files.items():
        report |= {f"{what} file": path.name, f"{what} SHA-256": file_sha256(path)}
    report |= {
        "unit of the gains": options.unit,
        **plane_lines(space),
        "listener ids": f"hashed, salt {names.kind}" if options.hash_listeners else "as in the file",
        "unseen people": divided.how,
        **sizes(divided.dataset),
        **moved(points, space),
        **found,
    }
    return ImportResult(divided.dataset, report)


def plane_lines(space: Space) -> dict[str, str]:
    """Lines of a report that say what the plane is."""
    return {
        "box": f"x from {space.x_low_db:g} to {space.x_high_db:g} dB, y from {space.y_low_db:g} to "
        f"{space.y_high_db:g} dB, in steps of {space.step_db:g} dB",
        "curves": space.curves,
    }


def points_frame(rows: Sequence[Row], points: Floats) -> pd.DataFrame:
    """Answers as a table, from the rows of a file and the settings (n, 2) in dB."""
    return pd.DataFrame(
        {
            "prompt_id": [row.cells["prompt_id"] for row in rows],
            "listener_id": [row.cells["listener_id"] for row in rows],
            **{name: points[:, i] for i, name in enumerate(AXES)},
        }
    )
