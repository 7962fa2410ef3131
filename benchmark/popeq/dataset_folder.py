"""Read, check and write the folder format of data sets: dataset.toml, prompts.csv, responses.csv, README.md.

Every problem of every file is reported at once; a folder is written whole or not at all.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import tomli_w
from pydantic import ValidationError

from popeq.atomic import new_folder
from popeq.audio_folder import read_audio, write_audio
from popeq.csv_table import Table, quoting, read_table
from popeq.dataset import LISTENER_COLUMNS, PROMPT_COLUMNS, RESPONSE_COLUMNS, SPLITS, Dataset, DatasetCard
from popeq.errors import InvalidInputError, Problem, UsageError

CARD, PROMPTS, RESPONSES, LISTENERS, README = (
    "dataset.toml",
    "prompts.csv",
    "responses.csv",
    "listeners.csv",
    "README.md",
)
PANEL = re.compile(r"[a-z0-9]{1,20}")
IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def is_dataset_folder(path: Path) -> bool:
    """Whether ``path`` looks like a data set, that is, holds a ``dataset.toml``."""
    return (path / CARD).is_file()


def read_dataset(folder: Path) -> Dataset:
    """Read and check a data set folder.

    Raises
    ------
    UsageError
        If ``folder`` is not a data set folder.
    InvalidInputError
        With every problem of its files, each naming file, row and column.
    """
    folder = Path(folder)
    if not is_dataset_folder(folder):
        what = "is not a data set folder" if folder.is_dir() else "is not a folder"
        raise UsageError(f"{folder}: {what}; it needs {CARD}, {PROMPTS} and {RESPONSES}")
    problems: list[Problem] = []
    card = _read_card(folder / CARD, problems)
    prompts_table = read_table(folder / PROMPTS, ("prompt_id", "text", "category"), PROMPT_COLUMNS[3:])
    prompts = _read_prompts(prompts_table)
    responses_table = read_table(folder / RESPONSES, RESPONSE_COLUMNS)
    known = None if prompts_table.broken or not prompts_table.rows else set(prompts["prompt_id"])
    responses = _read_responses(responses_table, card, known)
    if responses_table.rows and not responses_table.broken:
        _check_answered(prompts_table, responses_table)
    if known is not None and "panel" in prompts_table.columns:
        _check_people(prompts, responses_table)
    listeners = pd.DataFrame(columns=list(LISTENER_COLUMNS), dtype=object)
    tables = [prompts_table, responses_table]
    if (folder / LISTENERS).exists():
        listeners_table = read_table(folder / LISTENERS, LISTENER_COLUMNS)
        listeners = _read_listeners(listeners_table, set(responses["listener_id"]))
        tables.append(listeners_table)
    for table in tables:
        problems.extend(table.problems)
    asked = {str(a) for a in prompts["audio_id"].dropna()} if known is not None else None
    audio = read_audio(folder, asked, problems)
    if problems or card is None:
        raise InvalidInputError(f"{folder} is not a valid data set", problems)
    return Dataset(card, prompts, responses, listeners, folder, audio)


def read_second_panel(dataset: Dataset) -> Dataset | None:
    """The data set that ``dataset.toml`` names as second panel, checked; None if it names none.

    Raises
    ------
    UsageError
        If it is no valid data set, or has other test prompts or another space.
    """
    if dataset.card.second_panel is None or dataset.folder is None:
        return None
    second = read_dataset(Path(dataset.folder, dataset.card.second_panel))
    if second.test_ids != dataset.test_ids or second.space != dataset.space:
        raise UsageError(
            f"{dataset.folder / CARD}: second_panel {dataset.card.second_panel!r} must have the same test "
            "prompts and the same space"
        )
    return second


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
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: already exists; give -o a new folder, or remove that one first")
    with new_folder(folder) as temporary:
        card = dataset.card.model_dump(exclude_none=True)
        card["space"] = {k: list(v) if isinstance(v, tuple) else v for k, v in card["space"].items()}
        (temporary / CARD).write_text(tomli_w.dumps(card), encoding="utf-8")
        used = [c for c in PROMPT_COLUMNS if c in PROMPT_COLUMNS[:3] or dataset.prompts[c].notna().any()]
        for frame, file in (
            (dataset.prompts[used], PROMPTS),
            (dataset.responses[list(RESPONSE_COLUMNS)], RESPONSES),
            (dataset.listeners[list(LISTENER_COLUMNS)], LISTENERS),
        ):
            if len(frame) or file != LISTENERS:
                how = quoting(frame.select_dtypes(exclude="number").to_numpy().flat)
                frame.to_csv(temporary / file, index=False, lineterminator="\n", quoting=how)
        write_audio(dataset.audio, temporary)
        (temporary / README).write_text(readme, encoding="utf-8", newline="\n")
        read_dataset(temporary)
    return read_dataset(folder)


def _read_card(path: Path, problems: list[Problem]) -> DatasetCard | None:
    try:
        return DatasetCard.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except UnicodeDecodeError as error:
        problems.append(Problem(path.name, f"byte {error.start} is not UTF-8; save the file as UTF-8"))
    except tomllib.TOMLDecodeError as error:
        problems.append(Problem(path.name, f"is not TOML: {error}"))
    except ValidationError as error:
        for e in error.errors():
            key = ".".join(str(part) for part in e["loc"])
            problems.append(Problem(path.name, f"{e['msg'][0].lower()}{e['msg'][1:]}", column=key or None))
    return None


def _read_prompts(table: Table) -> pd.DataFrame:
    seen: dict[str, int] = {}
    records = []
    columns = set(table.columns)
    if table.columns and len(columns & {"split", "fold"}) != 1:
        table.problem("needs exactly one of the columns split and fold", 1)
    if "panel" in columns and "fold" not in columns:
        table.problem("needs the column fold in place of split", 1, "panel")
    for row in table.rows:
        cells = row.cells
        prompt_id = cells["prompt_id"]
        if not IDENTIFIER.fullmatch(prompt_id):
            table.problem(
                f"{prompt_id!r} is not an identifier (letters, digits, '.', '_' and '-', up to 100)",
                row,
                "prompt_id",
            )
        first = seen.setdefault(prompt_id.casefold(), row.line)
        if first != row.line:
            table.problem(f"{prompt_id!r} stands already in row {first}", row, "prompt_id")
        for column in ("text", "category"):
            if not cells[column]:
                table.problem("is empty", row, column)
        record: dict[str, object] = {c: cells.get(c) or None for c in PROMPT_COLUMNS}
        record["text"] = unicodedata.normalize("NFC", cells["text"])
        if "split" in columns and cells["split"] not in SPLITS:
            table.problem(f"{cells['split']!r} is not one of {', '.join(SPLITS)}", row, "split")
        if "fold" in columns:
            if re.fullmatch(r"\d{1,6}", cells["fold"]):
                record["fold"] = int(cells["fold"])
            else:
                table.problem(f"{cells['fold']!r} is not a whole number from 0", row, "fold")
        if "panel" in columns and not PANEL.fullmatch(cells["panel"]):
            message = f"{cells['panel']!r} is no panel (small letters and digits, up to 20)"
            table.problem(message, row, "panel")
        records.append(record)
    prompts = pd.DataFrame(records, columns=list(PROMPT_COLUMNS), dtype=object)
    if not table.problems:
        if "split" in columns:
            for name in ("train", "test"):
                if not (prompts["split"] == name).any():
                    table.problem(f"no prompt has the split {name!r}", column="split")
        elif prompts["fold"].nunique() < 2:
            table.problem("needs at least two different folds", column="fold")
        elif "panel" in columns:
            for fold, panel in sorted(set(zip(prompts["fold"], prompts["panel"], strict=True))):
                if not ((prompts["fold"] != fold) & (prompts["panel"] != panel)).any():
                    what = "has no prompt of another fold and panel to train on"
                    table.problem(f"fold {fold} of panel {panel!r} {what}", column="panel")
    return prompts


def _read_responses(table: Table, card: DatasetCard | None, prompt_ids: set[str] | None) -> pd.DataFrame:
    seen: dict[tuple[str, str], int] = {}
    records = []
    for row in table.rows:
        prompt_id, listener_id = row.cells["prompt_id"], row.cells["listener_id"]
        if prompt_ids is not None and prompt_id not in prompt_ids:
            table.problem(f"{prompt_id!r} is not in {PROMPTS}", row, "prompt_id")
        if not listener_id:
            table.problem("is empty", row, "listener_id")
        first = seen.setdefault((prompt_id, listener_id), row.line)
        if first != row.line:
            table.problem(
                f"listener {listener_id!r} answers {prompt_id!r} already in row {first}", row, "listener_id"
            )
        point = [table.number(row, c) for c in ("x_db", "y_db")]
        if card is not None:
            for column, value, (low, high) in zip(
                ("x_db", "y_db"), point, (card.space.x_db, card.space.y_db), strict=True
            ):
                if value is not None and not low <= value <= high:
                    table.problem(f"{value:g} is outside [{low:g}, {high:g}] dB", row, column)
        records.append((prompt_id, listener_id, *point))
    frame = pd.DataFrame(records, columns=list(RESPONSE_COLUMNS))
    return frame.astype({"x_db": float, "y_db": float})


def _check_answered(prompts: Table, responses: Table) -> None:
    answered = {row.cells["prompt_id"] for row in responses.rows}
    for row in prompts.rows:
        if row.cells["prompt_id"] not in answered:
            prompts.problem(f"{row.cells['prompt_id']!r} has no row in {RESPONSES}", row, "prompt_id")


def _check_people(prompts: pd.DataFrame, responses: Table) -> None:
    """Each listener answers prompts of one panel only."""
    panel_of = dict(zip(prompts["prompt_id"], prompts["panel"], strict=True))
    first: dict[str, tuple[str, int]] = {}
    for row in responses.rows:
        panel, listener_id = panel_of.get(row.cells["prompt_id"]), row.cells["listener_id"]
        if panel is None:
            continue
        other, line = first.setdefault(listener_id, (panel, row.line))
        if other != panel:
            message = (
                f"listener {listener_id!r} answers panel {panel!r} here and panel {other!r} in row {line}; "
                "panels have no listener in common"
            )
            responses.problem(message, row, "listener_id")


def _read_listeners(table: Table, answering: set[str]) -> pd.DataFrame:
    seen: dict[str, int] = {}
    for row in table.rows:
        listener_id = row.cells["listener_id"]
        first = seen.setdefault(listener_id, row.line)
        if first != row.line:
            table.problem(f"{listener_id!r} stands already in row {first}", row, "listener_id")
        if listener_id not in answering:
            table.problem(f"{listener_id!r} is not in {RESPONSES}", row, "listener_id")
        if not row.cells["group"]:
            table.problem("is empty", row, "group")
    if table.columns:
        for listener_id in sorted(answering - set(seen)):
            table.problem(f"listener {listener_id!r} of {RESPONSES} is not listed", column="listener_id")
    records: Sequence[dict[str, str]] = [row.cells for row in table.rows]
    return pd.DataFrame(records, columns=list(LISTENER_COLUMNS), dtype=object)
