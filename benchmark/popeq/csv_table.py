"""Read a CSV file strictly: each row keeps its line number, and problems are collected in place of raised.

pandas gives up at the first problem and does not keep line numbers, so the reader is popeq's own.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

from popeq.errors import Problem
from popeq.others_files import MOST_TABLE_BYTES, UnreadableFileError, read_plain

#: A number as every program reads it, and the most characters that one may have.
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
MOST_DIGITS = 64
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf(?:inity)?)", re.IGNORECASE)
#: Columns that a table may have.
_MOST_COLUMNS = 2000

#: The mark before the decimals of a number.
Decimal = Literal[".", ","]


@dataclass(frozen=True)
class Row:
    """One record: its line in the file (header = 1) and its cells by column name, stripped."""

    line: int
    cells: dict[str, str]


@dataclass
class Table:
    """The rows of a file that could be read, and the problems found in it; ``broken`` if rows or columns
    could not be separated, so that nothing follows from what is absent. ``decimal`` is the mark in its
    numbers, ``separator`` the character between its fields."""

    file: str
    columns: tuple[str, ...] = ()
    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    missing: frozenset[str] = frozenset()
    broken: bool = False
    decimal: Decimal = "."
    separator: str = ","
    _first: dict[tuple[str, Hashable], int] = field(default_factory=dict)

    def problem(self, message: str, row: Row | int | None = None, column: str | None = None) -> None:
        """Add a problem, unless it is about a cell of a column that has been reported as missing."""
        line = row.line if isinstance(row, Row) else row
        if isinstance(row, Row) and column in self.missing:
            return
        self.problems.append(Problem(self.file, message, line, column))

    def number(self, cell: object, row: Row | int, column: str) -> float:
        """The finite number in a cell; NaN, with a problem added, if there is none."""
        text = str(cell).strip()
        message = f"{text[:80]!r} is not a number" if text else "is empty; needs a number"
        if self.decimal == "," and "." in text:
            message, text = f"{message} with a decimal comma", ""
        elif self.decimal == ",":
            text = text.replace(",", ".")
        # float() also accepts digits of other scripts and 1_000, which other programs do not read.
        if len(text) > MOST_DIGITS:
            message = f"has {len(text)} characters; a number has {MOST_DIGITS} at most"
        elif NUMBER.fullmatch(text):
            value = float(text)
            if math.isfinite(value):
                return value
            message = f"{text} is not a finite number"
        elif _NOT_FINITE.fullmatch(text):
            message = f"{text} is not a finite number"
        self.problem(message, row, column)
        return math.nan

    def filled(self, row: Row, *columns: str) -> None:
        """Add a problem for each of the columns that is empty in this row."""
        for column in columns:
            if not row.cells[column]:
                self.problem("is empty", row, column)

    def unique(self, key: Hashable, row: Row | int, column: str, what: str) -> None:
        """Add a problem if an earlier row had the same ``key``; ``what`` names it in the message."""
        line = row.line if isinstance(row, Row) else row
        first = self._first.setdefault((column, key), line)
        if first != line:
            self.problem(f"{what} is already in row {first}", row, column)

    def read(self, path: Path, *, follow: bool = False) -> bytes:
        """The content of a plain file; empty, with a problem added, if it cannot be read. ``follow`` is that
        of ``popeq.others_files.read_plain``."""
        try:
            return read_plain(path, MOST_TABLE_BYTES, follow=follow)
        except UnreadableFileError as error:
            self.problem(error.reason)
        return b""

    def records(self, content: bytes, *, strict: bool = True) -> Iterator[tuple[int, list[str]]]:
        """Line number and cells of each CSV record that is not blank; ends at the first that is not CSV."""
        line = 1
        try:
            text = io.StringIO(content.decode("utf-8-sig"), newline="")
            reader = csv.reader(text, strict=strict, delimiter=self.separator)
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield line, cells
                line = reader.line_num + 1
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            self.problem(f"byte {error.start} is not UTF-8; save the file as UTF-8", line)
            self.broken = True
        except csv.Error as error:
            self.problem(f"is not CSV: {error}", line)
            self.broken = True


def read_table(
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] | None = (),
    file: str = "",
    *,
    follow: bool = False,
) -> Table:
    """Read a UTF-8 CSV file with a header. Unknown, missing and repeated columns are problems of the table.

    With None for ``optional`` every column that has a name is known. ``file`` is how problems name the file,
    by default the last name of ``path``; ``follow`` is as for ``popeq.others_files.read_plain``.
    """
    table = Table(file or path.name)
    content = table.read(path, follow=follow)
    return table if table.problems else table_of(content, table.file, required, optional)


def table_of(
    content: bytes,
    file: str,
    required: Sequence[str],
    optional: Sequence[str] | None = (),
    separator: str = ",",
    most_rows: float = math.inf,
) -> Table:
    """The table in the content of a file, as ``read_table`` reads it; more than ``most_rows`` are a problem
    and are not read."""
    table = Table(file, separator=separator)
    records = table.records(content)
    header = [name.strip() for name in next(records, (1, []))[1]]
    if not header:
        if not table.problems:
            table.problem("the file is empty; its first line must name the columns " + ", ".join(required))
        return table
    others = filter(None, header) if optional is None else optional
    _check_header(table, header, required, list(dict.fromkeys([*required, *others])))
    if table.broken:
        return table
    table.columns = tuple(header)
    table.missing = frozenset(required) - set(header)
    absent = dict.fromkeys(table.missing, "")
    for line, cells in records:
        if len(table.rows) + len(table.problems) >= most_rows:
            table.broken = True
            table.problem(f"has more than {most_rows} rows", line)
            break
        if len(cells) == len(header):
            stripped = (cell.strip() for cell in cells)
            table.rows.append(Row(line, absent | dict(zip(header, stripped, strict=True))))
        else:
            table.broken = True
            table.problem(f"has {len(cells)} fields where the header has {len(header)}", line)
    if not table.rows and not table.problems:
        table.problem("has a header but no rows")
    return table


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """A table as a UTF-8 CSV file that ``read_table`` reads back the same."""
    texts = [*frame.columns, *frame.select_dtypes(exclude="number").to_numpy().flat]
    # csv leaves a lone carriage return bare unless everything is quoted.
    bare = any("\r" in text for text in texts if isinstance(text, str))
    quoting: Literal[0, 1] = csv.QUOTE_ALL if bare else csv.QUOTE_MINIMAL
    return frame.to_csv(index=False, lineterminator="\n", quoting=quoting).encode()


def _check_header(table: Table, header: Sequence[str], required: Sequence[str], known: Sequence[str]) -> None:
    if len(header) > _MOST_COLUMNS:
        table.broken = True
        table.problem(f"has {len(header)} columns; {_MOST_COLUMNS} at most are read", 1)
        return
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
    for name, times in Counter(header).items():
        if times > 1:
            table.problem("the column is there twice", 1, name)
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            offer = f"did you mean {near[0]!r}?" if near else f"known columns: {', '.join(known)}"
            table.problem(f"unknown column; {offer}", 1, name or "(no name)")
