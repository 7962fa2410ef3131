"""Read a CSV file strictly: every row keeps its line number, and every problem is collected, not raised."""

from __future__ import annotations

import csv
import difflib
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from popeq.errors import Problem


@dataclass(frozen=True)
class Row:
    """One record: its line in the file (header = 1) and its cells by column name, stripped."""

    line: int
    cells: dict[str, str]


class Table:
    """The rows of a file that could be read, and the problems that were met on the way."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.columns: tuple[str, ...] = ()
        self.rows: list[Row] = []
        self.problems: list[Problem] = []
        self.missing: frozenset[str] = frozenset()
        #: Whether rows or columns could not be told apart, so that nothing follows from what is absent.
        self.broken = False

    def problem(self, message: str, row: Row | int | None = None, column: str | None = None) -> None:
        """Note one more thing that is wrong; cells of a column that is missing anyway are not named again."""
        line = row.line if isinstance(row, Row) else row
        if isinstance(row, Row) and column in self.missing:
            return
        self.problems.append(Problem(self.file, message, line, column))

    def number(self, row: Row, column: str) -> float | None:
        """A finite number, or None with a problem noted."""
        text = row.cells[column]
        try:
            value = float(text if text.isascii() and "_" not in text else "no number as others read it")
        except ValueError:
            self.problem(f"{text!r} is not a number" if text else "is empty; needs a number", row, column)
            return None
        if not math.isfinite(value):
            self.problem(f"{text} is not a finite number", row, column)
            return None
        return value


def read_table(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> Table:
    """Read a UTF-8 CSV file with a header; unknown, missing and repeated columns are problems."""
    try:
        content = path.read_bytes()
    except OSError as error:
        table = Table(path.name)
        missing = isinstance(error, FileNotFoundError)
        table.problem("the file is missing" if missing else f"cannot be read: {error.strerror}")
        return table
    return table_of(content, path.name, required, optional)


def table_of(content: bytes, file: str, required: Sequence[str], optional: Sequence[str] = ()) -> Table:
    """``read_table`` of the content of a file."""
    table = Table(file)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        table.problem(f"byte {error.start} is not UTF-8; save the file as UTF-8", line)
        return table
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        header = [name.strip() for name in next(reader, [])]
        if not any(header):
            table.problem("the file is empty; its first line must name the columns " + ", ".join(required))
            return table
        _check_header(table, header, required, optional)
        if table.broken:
            return table
        table.columns = tuple(header)
        table.missing = frozenset(required) - set(header)
        absent = dict.fromkeys(table.missing, "")
        line = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                if len(cells) == len(header):
                    stripped = (cell.strip() for cell in cells)
                    table.rows.append(Row(line, absent | dict(zip(header, stripped, strict=True))))
                else:
                    table.broken = True
                    table.problem(f"has {len(cells)} fields where the header has {len(header)}", line)
            line = reader.line_num + 1
    except csv.Error as error:
        table.broken = True
        table.problem(f"is not CSV: {error}", line)
        return table
    if not table.rows and not table.problems:
        table.problem("has a header but no rows")
    return table


def quoting(cells: Iterable[object]) -> Literal[0, 1]:
    """How csv has to quote so that these cells are read back: it leaves a lone carriage return bare."""
    return (
        csv.QUOTE_ALL if any("\r" in cell for cell in cells if isinstance(cell, str)) else csv.QUOTE_MINIMAL
    )


def _check_header(
    table: Table, header: Sequence[str], required: Sequence[str], optional: Sequence[str]
) -> None:
    known = [*required, *optional]
    separator = next(
        (s for s in ";\t|" if len(header) == 1 and header[0].count(s) >= len(required) - 1), None
    )
    if separator:
        table.broken = True
        table.problem(f"fields are separated by {separator!r}; popeq reads commas", 1)
        return
    table.broken = len(set(header)) < len(header) or required[0] not in header
    for name in required:
        if name not in header:
            table.problem("the column is missing", 1, name)
    for name in dict.fromkeys(header):
        if header.count(name) > 1:
            table.problem("the column stands twice", 1, name)
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            offer = f"did you mean {near[0]!r}?" if near else f"known columns: {', '.join(known)}"
            table.problem(f"unknown column; {offer}", 1, name or "(no name)")
