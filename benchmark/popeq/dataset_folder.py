"""Read, check and write the folder format of data sets: dataset.toml, prompts.csv, responses.csv, README.md.

The tables are read from Parquet files just as well, in the layout of ``popeq.hub_tables``.

Every problem of every file is reported at once. A folder is written completely or not at all.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w
from pydantic import ValidationError

from popeq.atomic import new_folder
from popeq.audio_folder import read_audio, write_audio
from popeq.csv_table import Table, csv_bytes, table_of
from popeq.dataset import Dataset, no_listeners
from popeq.dataset_card import LISTENER_COLUMNS, PROMPT_COLUMNS, RESPONSE_COLUMNS, SPLITS, DatasetCard
from popeq.dataset_tables import (
    CARD,
    LISTENERS,
    PROMPTS,
    README,
    RESPONSES,
    read_listeners,
    read_prompts,
    read_responses,
)
from popeq.eq import curves_named
from popeq.errors import InvalidInputError, Problem, UsageError
from popeq.hub_tables import has_table, read_either
from popeq.others_files import MOST_TABLE_BYTES, UnreadableFileError, parse_toml, read_plain, read_text
from popeq.views import viewed
from popeq.withheld import refuse_withheld

#: What a README.md has from here on is about the layout of the hub (popeq.interchange.hub).
HUB_SECTION = "<!-- popeq data export -->"
_HEADER = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)


def is_dataset_folder(path: Path) -> bool:
    """Whether ``path`` looks like a data set, that is, holds a ``dataset.toml``."""
    return (path / CARD).is_file()


def read_card(folder: Path) -> DatasetCard:
    """The card of a data set folder, whatever its tables hold.

    Raises UsageError if ``folder`` is no data set folder, InvalidInputError with every problem of the card.
    """
    _check_folder(folder)
    problems: list[Problem] = []
    card = _read_card(folder / CARD, problems)
    if card is None:
        raise InvalidInputError(f"{folder} is not a valid data set", problems)
    return card


def _check_folder(folder: Path) -> None:
    if not is_dataset_folder(folder):
        what = "is not a data set folder" if folder.is_dir() else "is not a folder"
        raise UsageError(f"{folder}: {what}; it needs {CARD}, {PROMPTS} and {RESPONSES}")


def read_dataset(folder: Path, answers: Path | None = None) -> Dataset:
    """Read and check a data set folder, with the file of its sealed ``answers`` if that is given.

    Raises
    ------
    UsageError
        If ``folder`` is not a data set folder, ``answers`` are not those that it names, or this process runs
        a predictor that is tested on this data set.
    InvalidInputError
        With every problem of its files, each naming file, row and column.
    """
    folder = Path(folder)
    _check_folder(folder)
    problems: list[Problem] = []
    card = _read_card(folder / CARD, problems)
    groupings = () if card is None else card.groupings
    prompts_table = read_either(
        folder,
        PROMPTS,
        (*PROMPT_COLUMNS[:3], *groupings),
        None if card is None else PROMPT_COLUMNS[3:],  # a card that is broken might name any column
    )
    prompts = read_prompts(prompts_table, groupings)
    sealed = answers is not None or (card is not None and card.sealed_answers is not None)
    if sealed and "fold" in prompts_table.columns:
        message = "answers cannot be sealed where there are folds, because each is a training answer too"
        problems.append(Problem(CARD, message, column="sealed_answers"))
    responses_table = read_either(folder, RESPONSES, RESPONSE_COLUMNS)
    space = None if card is None else card.space
    responses = read_responses(
        responses_table,
        prompts_table,
        space,
        needed=SPLITS[:2] if sealed or card is None else SPLITS,  # a card that is broken might seal
        allowed=SPLITS[:2] if sealed else SPLITS,
    )
    tables = [prompts_table, responses_table]
    if answers is not None and card is not None:
        answers_table = _read_answers(answers, card, folder)
        test = SPLITS[2:]
        more = read_responses(answers_table, prompts_table, space, needed=test, allowed=test)
        responses = pd.concat([responses, more], ignore_index=True)
        tables.append(answers_table)
    listeners = no_listeners()
    if has_table(folder, LISTENERS):
        listeners_table = read_either(folder, LISTENERS, LISTENER_COLUMNS)
        whole = card is not None and (answers is not None or not sealed)
        listeners = read_listeners(listeners_table, set(responses["listener_id"]), whole=whole)
        tables.append(listeners_table)
    for table in tables:
        problems.extend(table.problems)
    known = prompts_table.rows and not prompts_table.broken
    asked = {str(a) for a in prompts["audio_id"].dropna()} if known else None
    audio = read_audio(folder, asked, problems)
    if problems or card is None:
        raise InvalidInputError(f"{folder} is not a valid data set", problems)
    dataset = Dataset(card, prompts, responses, listeners, folder, audio)
    refuse_withheld(dataset)
    return dataset


def read_second_panel(dataset: Dataset) -> Dataset | None:
    """The data set that ``dataset.toml`` names as second panel, checked; None if it names none, or for a view
    that the second panel does not have.

    Raises
    ------
    UsageError
        If it is no valid data set, has sealed answers, other test prompts or another space.
    """
    if dataset.card.second_panel is None or dataset.folder is None:
        return None
    second = read_dataset(Path(dataset.folder, dataset.card.second_panel))
    if dataset.view:
        try:
            second = viewed(second, dataset.view)
        except UsageError:  # it may have other groups of listeners, or none
            return None
        if second.test_ids != dataset.test_ids:
            return None
    wrong = ""
    if second.test_ids != dataset.test_ids or second.space != dataset.space:
        wrong = "must have the same test prompts and the same space"
    elif second.sealed:
        wrong = "has sealed answers; leave it out"
    if wrong:
        raise UsageError(f"{dataset.folder / CARD}: second_panel {dataset.card.second_panel!r} {wrong}")
    return second


def withheld_revisions(dataset: Dataset) -> frozenset[str]:
    """Revisions of the data sets that hold answers to the test prompts of this one, as far as is known: its
    own, that of its second panel, and those that it is a part of."""
    second = read_second_panel(dataset)
    return dataset.part_of | {dataset.revision, *([] if second is None else [second.revision])}


def write_dataset(dataset: Dataset, folder: Path, readme: str) -> Dataset:
    """Write a data set folder and return it as read back, so that what was written has been checked.

    Raises
    ------
    UsageError
        If ``folder`` exists and is not empty.
    InvalidInputError
        If the content is not a valid data set; nothing is left behind.
    """
    folder = Path(folder)
    check_new(folder)
    with new_folder(folder) as temporary:
        card = tomli_w.dumps(dataset.card.model_dump(mode="json", exclude_none=True))
        (temporary / CARD).write_text(card, encoding="utf-8")
        for frame, file in tables_of(dataset):
            (temporary / file).write_bytes(csv_bytes(frame))
        write_audio(dataset.audio, temporary)
        (temporary / README).write_text(readme, encoding="utf-8", newline="\n")
        read_dataset(temporary)
    return read_dataset(folder)


def check_new(folder: Path) -> None:
    """Raise UsageError if something is at the path of a folder that is to be created."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder}: already exists and is not empty; give another folder, or remove this one first"
        )


def tables_of(dataset: Dataset) -> Iterator[tuple[pd.DataFrame, str]]:
    """The tables of prompts, responses and listeners as a folder has them, each with its file's name; columns
    of prompts that no prompt uses and a table without listeners are left out."""
    used = [c for c in PROMPT_COLUMNS if c in PROMPT_COLUMNS[:3] or dataset.prompts[c].notna().any()]
    yield dataset.prompts[[*used, *dataset.card.groupings]], PROMPTS
    yield dataset.responses[list(RESPONSE_COLUMNS)], RESPONSES
    if len(dataset.listeners):
        yield dataset.listeners[list(LISTENER_COLUMNS)], LISTENERS


def readme_of(dataset: Dataset) -> tuple[dict[Any, Any], str]:
    """The header (YAML) and the text of a data set's README.md, without the section that the layout of the
    hub adds; a title if it has none. A header that is no mapping, or that cannot be read because PyYAML is
    missing, is part of the text."""
    file = None if dataset.folder is None else dataset.folder / README
    if file is None or not file.is_file():
        return {}, f"# {dataset.card.label}\n\n{dataset.card.title}.\n"
    header, text = _header_of(read_text(file))
    before, marker, _ = f"\n{text}".rpartition(f"\n{HUB_SECTION}\n")
    return header, (before if marker else text).strip("\n").rstrip() + "\n"


def _header_of(text: str) -> tuple[dict[Any, Any], str]:
    found = _HEADER.match(text)
    try:
        import yaml
    except ImportError:
        return {}, text
    try:
        header = yaml.safe_load(found[1]) if found else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}, text
    return (header, text[found.end() :]) if found and isinstance(header, dict) else ({}, text)


def with_header(header: Mapping[Any, Any], text: str) -> str:
    """The text of a README.md below its header, if that holds anything. Needs PyYAML for a header."""
    if not header:
        return text
    import yaml

    return f"---\n{yaml.safe_dump(dict(header), sort_keys=False, allow_unicode=True)}---\n\n{text}"


def _read_card(path: Path, problems: list[Problem]) -> DatasetCard | None:
    try:
        card = DatasetCard.model_validate(parse_toml(read_text(path)))
        curves_named(card.space.curves)
        return card
    except UnreadableFileError as error:
        problems.append(Problem(path.name, error.reason))
    except UsageError as error:
        problems.append(Problem(path.name, str(error), column="space.curves"))
    except ValidationError as error:
        for e in error.errors():
            key = ".".join(str(part) for part in e["loc"])
            problems.append(Problem(path.name, f"{e['msg'][0].lower()}{e['msg'][1:]}", column=key or None))
    except ValueError as error:
        problems.append(Problem(path.name, f"is not TOML: {error}"))
    return None


def _read_answers(path: Path, card: DatasetCard, folder: Path) -> Table:
    """The table of sealed answers; UsageError if it is not the file that the card names by its SHA-256."""
    if card.sealed_answers is None:
        raise UsageError(f"{folder / CARD}: has no sealed answers; leave {path} out")
    content = read_plain(path, MOST_TABLE_BYTES, follow=True)
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != card.sealed_answers:
        raise UsageError(
            f"{path}: is not the file of answers of {folder}: its SHA-256 is {sha256[:12]}..., but {CARD} "
            f"requires {card.sealed_answers[:12]}..."
        )
    return table_of(content, str(path), RESPONSE_COLUMNS)
