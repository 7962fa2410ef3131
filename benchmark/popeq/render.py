"""Write a table as text for a terminal, Markdown, CSV or JSON, always with the same columns."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from typing import Literal, get_args

import pandas as pd
from markupsafe import escape
from pandas.api.types import is_numeric_dtype
from tabulate import tabulate

from popeq.plain_text import csv_text, json_text, markdown_line, markdown_text, visible

Format = Literal["text", "markdown", "csv", "json"]
FORMATS: tuple[str, ...] = get_args(Format)

#: Longest text in a cell of a text or Markdown table; CSV and JSON have all of it.
_LONGEST = 120


def render(frame: pd.DataFrame, form: Format, notes: Sequence[str] = (), keys: int = 2) -> str:
    """A table in one of FORMATS, without a final newline.

    Text is divided into blocks of columns that fit the terminal; each block begins with the first ``keys``
    columns. CSV has the rows only, without the notes. Strings are shown as text in each format
    (popeq.plain_text); text and Markdown cut cells at 120 characters.
    """
    if form == "csv":
        safe = frame.copy()
        for name in safe.select_dtypes(exclude="number"):
            safe[name] = [csv_text(v) if isinstance(v, str) else v for v in safe[name]]
        return safe.to_csv(index=False, lineterminator="\n").rstrip("\n")
    if form == "json":
        records = frame.astype(object).to_dict(orient="records")
        rows = [{str(k): _plain(v) for k, v in row.items()} for row in records]
        content = {"notes": list(notes), "rows": rows}
        return json_text(content, indent=2)
    cells = _cells(frame)
    if form == "markdown":
        align = ["right" if is_numeric_dtype(frame[name]) else "left" for name in frame.columns]
        table = tabulate(
            [[markdown_text(cell) for cell in row] for row in cells],
            [str(c) for c in frame.columns],
            tablefmt="pipe",
            colalign=align,
            disable_numparse=True,
        )
        return "\n".join([table, *([""] if notes else []), *(f"- {markdown_line(note)}" for note in notes)])
    width = shutil.get_terminal_size((120, 24)).columns
    return "\n".join([_blocks(frame, cells, keys, width), *([""] if notes else []), *map(visible, notes)])


def html_table(frame: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    """A table as HTML for a notebook, numbers as in text, with notes below it; all text is escaped."""
    shown = pd.DataFrame(_cells(frame), columns=list(frame.columns))
    lines = "".join(f"<li>{escape(visible(note))}</li>" for note in notes)
    table: str = shown.to_html(index=False, border=0)
    return table + (f"<ul>{lines}</ul>" if lines else "")


def _cells(frame: pd.DataFrame) -> list[list[str]]:
    """Every cell as text, row by row."""
    rows = frame.astype(object).itertuples(index=False, name=None)
    return [[_cell(name, value) for name, value in zip(frame.columns, row, strict=True)] for row in rows]


def _plain(value: object) -> object:
    if value is None or value is pd.NA:
        return None
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return value if math.isfinite(value) else str(value)  # JSON has no infinity
    return value.item() if hasattr(value, "item") else value


def _cell(name: object, value: object) -> str:
    plain = _plain(value)
    if plain is None:
        return ""
    if not isinstance(plain, float):
        return visible(str(plain), _LONGEST)
    if str(name).startswith(("p_", "q_")):
        return "<0.0001" if plain < 1e-4 else f"{plain:.2g}"
    if str(name).startswith("rendered_mmd"):
        return f"{plain:.4f}"
    return f"{plain:.1f}" if name == "time_s" else f"{plain:.2f}"


def _blocks(frame: pd.DataFrame, cells: list[list[str]], keys: int, width: int) -> str:
    """Aligned columns, names broken at underscores, in blocks that fit the width."""
    columns = [
        _column(str(name), [row[i] for row in cells], is_numeric_dtype(frame.iloc[:, i]))
        for i, name in enumerate(frame.columns)
    ]
    height = max(len(lines) for lines in columns) - len(cells)
    columns = [[" " * len(c[0])] * (height + len(cells) - len(c)) + c for c in columns]
    blocks: list[list[list[str]]] = [columns[:keys]]
    for column in columns[keys:]:
        used = sum(len(c[0]) + 2 for c in blocks[-1])
        if len(blocks[-1]) > keys and used + len(column[0]) > width:
            blocks.append(columns[:keys])
        blocks[-1] = [*blocks[-1], column]
    texts = []
    for block in blocks:
        lines = ["  ".join(parts).rstrip() for parts in zip(*block, strict=True)]
        lines.insert(height, "  ".join("-" * len(c[0]) for c in block))
        texts.append("\n".join(lines).lstrip("\n"))
    return "\n\n".join(texts)


def _column(name: str, cells: list[str], right: bool) -> list[str]:
    """Header lines and cells of one column, padded to one width."""
    parts = name.replace("_", "_\n").split("\n") if len(name) > 9 else [name]
    width = max(map(len, [*parts, *cells]))
    return [line.rjust(width) if right else line.ljust(width) for line in [*parts, *cells]]
