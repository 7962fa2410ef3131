"""Check the tables of a data set folder: prompts, responses, listeners, and whether they fit together."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

import pandas as pd

from popeq.csv_table import Table
from popeq.dataset_card import LISTENER_COLUMNS, PROMPT_COLUMNS, RESPONSE_COLUMNS, SPLITS, SpaceCard

CARD, README = "dataset.toml", "README.md"
PROMPTS, RESPONSES, LISTENERS = "prompts.csv", "responses.csv", "listeners.csv"
PANEL = re.compile(r"[a-z0-9]{1,20}")
IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FOLD = re.compile(r"\d{1,6}")


def read_prompts(table: Table, groupings: Sequence[str] = ()) -> pd.DataFrame:
    """The prompts, one row each, with the columns ``PROMPT_COLUMNS`` and ``groupings``; problems are added to
    ``table``."""
    columns = set(table.columns)
    if columns and len(columns & {"split", "fold"}) != 1:
        table.problem("needs exactly one of the columns split and fold", 1)
    if "panel" in columns and "fold" not in columns:
        table.problem("needs the column fold in place of split", 1, "panel")
    allowed: dict[str, tuple[Callable[[str], object], str]] = {
        "prompt_id": (IDENTIFIER.fullmatch, "an identifier (letters, digits, '.', '_' and '-', up to 100)"),
        "split": (SPLITS.__contains__, f"one of {', '.join(SPLITS)}"),
        "fold": (_FOLD.fullmatch, "a whole number from 0"),
        "panel": (PANEL.fullmatch, "the name of a panel (small letters and digits, up to 20)"),
    }
    records, names = [], [*PROMPT_COLUMNS, *groupings]
    for row in table.rows:
        cells = row.cells
        for column, (fits, what) in allowed.items():
            if column in cells and not fits(cells[column]):
                table.problem(f"{cells[column]!r} is not {what}", row, column)
        table.unique(cells["prompt_id"].casefold(), row, "prompt_id", repr(cells["prompt_id"]))
        table.filled(row, "text", "category")
        if cells.get("split", "test") == "test":
            table.filled(row, *groupings)
        record: dict[str, object] = {c: cells.get(c) or None for c in names}
        record["text"] = unicodedata.normalize("NFC", cells["text"])
        if _FOLD.fullmatch(cells.get("fold", "")):
            record["fold"] = int(cells["fold"])
        records.append(record)
    prompts = pd.DataFrame(records, columns=names, dtype=object)
    if not table.problems:
        _check_parts(table, prompts)
    return prompts


def _check_parts(table: Table, prompts: pd.DataFrame) -> None:
    """There is something to train on and something to test."""
    if "split" in table.columns:
        for name in ("train", "test"):
            if not (prompts["split"] == name).any():
                table.problem(f"no prompt has the split {name!r}", column="split")
    elif prompts["fold"].nunique() < 2:
        table.problem("needs at least two different folds", column="fold")
    elif "panel" in table.columns:
        for fold, panel in sorted(set(zip(prompts["fold"], prompts["panel"], strict=True))):
            if not ((prompts["fold"] != fold) & (prompts["panel"] != panel)).any():
                what = "has no prompt of another fold and panel to train on"
                table.problem(f"fold {fold} of panel {panel!r} {what}", column="panel")


def read_responses(
    table: Table,
    prompts: Table,
    space: SpaceCard | None,
    *,
    needed: Sequence[str] = SPLITS,
    allowed: Sequence[str] = SPLITS,
) -> pd.DataFrame:
    """The responses, one row each, with the columns ``RESPONSE_COLUMNS``; problems are added to the tables.

    Parameters
    ----------
    space
        The box that the points must be in; None if it is not known.
    needed, allowed
        Splits whose prompts must have a response, and splits whose prompts may have one. Prompts of folds
        must have one.
    """
    read_answers(table, prompts, needed=needed, allowed=allowed)
    bounds = {} if space is None else {"x_db": space.x_db, "y_db": space.y_db}
    records = []
    for row in table.rows:
        point = {column: table.number(row.cells[column], row, column) for column in ("x_db", "y_db")}
        for column, (low, high) in bounds.items():
            if point[column] < low or point[column] > high:
                table.problem(f"{point[column]:g} is outside [{low:g}, {high:g}] dB", row, column)
        records.append((row.cells["prompt_id"], row.cells["listener_id"], *point.values()))
    frame = pd.DataFrame(records, columns=list(RESPONSE_COLUMNS))
    return frame.astype({"x_db": float, "y_db": float})


def read_answers(
    table: Table, prompts: Table, *, needed: Sequence[str] = SPLITS, allowed: Sequence[str] = SPLITS
) -> None:
    """Check who answers what in a table with the columns prompt_id and listener_id; problems are added to the
    tables. ``needed`` and ``allowed`` are those of ``read_responses``."""
    panel_of = {} if prompts.broken else {r.cells["prompt_id"]: r.cells.get("panel") for r in prompts.rows}
    panels: dict[str, tuple[str, int]] = {}
    for row in table.rows:
        prompt_id, listener_id = row.cells["prompt_id"], row.cells["listener_id"]
        if panel_of and prompt_id not in panel_of:
            table.problem(f"{prompt_id!r} is not in {prompts.file}", row, "prompt_id")
        table.filled(row, "listener_id")
        what = f"the answer of listener {listener_id!r} to {prompt_id!r}"
        table.unique((prompt_id, listener_id), row, "listener_id", what)
        if panel := panel_of.get(prompt_id):
            other, line = panels.setdefault(listener_id, (panel, row.line))
            if other != panel:
                message = (
                    f"listener {listener_id!r} answers panel {panel!r} here, panel {other!r} in row {line}; "
                    "panels have no listener in common"
                )
                table.problem(message, row, "listener_id")
    if table.rows and not table.broken:
        _check_answered(prompts, table, needed, allowed)


def _check_answered(prompts: Table, answers: Table, needed: Sequence[str], allowed: Sequence[str]) -> None:
    answered = {row.cells["prompt_id"] for row in answers.rows}
    for row in prompts.rows:
        prompt_id, split = row.cells["prompt_id"], row.cells.get("split")
        if prompt_id not in answered:
            if split in needed or split not in SPLITS:
                prompts.problem(f"{prompt_id!r} has no row in {answers.file}", row, "prompt_id")
        elif split in SPLITS and split not in allowed:
            where = "only sealed answers" if split == "test" else "only answers that are not sealed"
            prompts.problem(f"{prompt_id!r} has rows in {answers.file}; a {split} prompt has {where}", row)


def read_listeners(table: Table, answering: set[str], *, whole: bool) -> pd.DataFrame:
    """The listeners, one row each, with the columns ``LISTENER_COLUMNS``; problems are added to ``table``.

    All listeners that are ``answering`` must be listed, and no others if ``whole`` is true.
    """
    for row in table.rows:
        listener_id = row.cells["listener_id"]
        table.unique(listener_id, row, "listener_id", repr(listener_id))
        if whole and listener_id not in answering:
            table.problem(f"{listener_id!r} is not in {RESPONSES}", row, "listener_id")
        table.filled(row, "group")
    if table.columns:
        for listener_id in sorted(answering - {row.cells["listener_id"] for row in table.rows}):
            table.problem(f"listener {listener_id!r} of {RESPONSES} is not listed", column="listener_id")
    return pd.DataFrame([row.cells for row in table.rows], columns=list(LISTENER_COLUMNS), dtype=object)
