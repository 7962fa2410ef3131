"""The tables of a data set folder, checked: prompts, responses, listeners, and how they fit together."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import pandas as pd

from popeq.csv_table import Table
from popeq.dataset import LISTENER_COLUMNS, PROMPT_COLUMNS, RESPONSE_COLUMNS, SPLITS, DatasetCard

CARD, PROMPTS, RESPONSES, LISTENERS, README = (
    "dataset.toml",
    "prompts.csv",
    "responses.csv",
    "listeners.csv",
    "README.md",
)
PANEL = re.compile(r"[a-z0-9]{1,20}")
IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def read_prompts(table: Table) -> pd.DataFrame:
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


def read_responses(table: Table, card: DatasetCard | None, prompt_ids: set[str] | None) -> pd.DataFrame:
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


def check_answered(prompts: Table, answers: Table, needed: Sequence[str], *, allowed: Sequence[str]) -> None:
    """A table has rows for all prompts of the splits ``needed`` (and those without a split), and none for
    those of splits that are not ``allowed``."""
    answered = {row.cells["prompt_id"] for row in answers.rows}
    for row in prompts.rows:
        prompt_id, split = row.cells["prompt_id"], row.cells.get("split")
        if prompt_id not in answered:
            if split in needed or split not in SPLITS:
                prompts.problem(f"{prompt_id!r} has no row in {answers.file}", row, "prompt_id")
        elif split in SPLITS and split not in allowed:
            where = "only sealed answers" if split == "test" else "only answers that are not sealed"
            prompts.problem(f"{prompt_id!r} has rows in {answers.file}; a {split} prompt has {where}", row)


def check_people(prompts: pd.DataFrame, responses: Table) -> None:
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


def read_listeners(table: Table, answering: set[str], *, whole: bool) -> pd.DataFrame:
    """The listeners; ``whole`` if all that are listed must be ``answering``."""
    seen: dict[str, int] = {}
    for row in table.rows:
        listener_id = row.cells["listener_id"]
        first = seen.setdefault(listener_id, row.line)
        if first != row.line:
            table.problem(f"{listener_id!r} stands already in row {first}", row, "listener_id")
        if whole and listener_id not in answering:
            table.problem(f"{listener_id!r} is not in {RESPONSES}", row, "listener_id")
        if not row.cells["group"]:
            table.problem("is empty", row, "group")
    if table.columns:
        for listener_id in sorted(answering - set(seen)):
            table.problem(f"listener {listener_id!r} of {RESPONSES} is not listed", column="listener_id")
    records: Sequence[dict[str, str]] = [row.cells for row in table.rows]
    return pd.DataFrame(records, columns=list(LISTENER_COLUMNS), dtype=object)
