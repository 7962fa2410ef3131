"""Read CSV files as spreadsheets write them: semicolons, decimal commas, UTF-16.

The files of a data set folder are read by ``popeq.csv_table`` alone, in one form; these are files of people's
own that are imported. What could be read in two ways is refused.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from popeq.csv_table import Decimal, Row, Table, table_of
from popeq.errors import UsageError

SEPARATORS = (",", ";", "\t", "|")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
#: A number with a mark in it, and one whose marks may also divide thousands: 1,234 but not 0,234 or 1,23.
_MARKED = re.compile(r"[+-]?\d*([.,])\d*([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")


def read_foreign(
    path: Path, required: Sequence[str], optional: Sequence[str] | None = (), decimal: Decimal | None = None
) -> Table:
    """Read a table as ``csv_table.read_table`` does, with any of ``SEPARATORS`` and in UTF-8 or UTF-16.

    Problems name the file as ``path`` does. ``decimal`` is what the user says of the file;
    ``recognise_decimal`` looks for the mark.

    Raises UsageError for a file that is no text, or has commas between fields and in numbers.
    """
    table = Table(str(path))
    content = as_utf8(table.read(path, follow=True), table.file)
    if table.problems:
        return table
    separator = separator_of(content, required)
    found = table_of(content, table.file, required, optional, separator)
    if decimal == "," == separator and found.broken and found.columns:
        raise UsageError(
            f"{path}: {found.problems[0].message}: commas separate both fields and decimals; save it with "
            "semicolons between fields, or with quotes around numbers"
        )
    return found


def as_utf8(content: bytes, file: str) -> bytes:
    """The content of a text file as UTF-8: unchanged, or converted from UTF-16 with a byte order mark.

    Raises UsageError, one line that says what to do, for UTF-16 without the mark or with an error in it, and
    for a workbook.
    """
    if content.startswith(b"PK\x03\x04"):
        raise UsageError(f"{file}: is a workbook or an archive, not CSV; save the sheet as CSV UTF-8")
    if content.startswith(_UTF_16):
        try:
            content = content.decode("utf-16").encode()
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{file}: byte {error.start} is not UTF-16, as the first bytes say; save the file as UTF-8"
            ) from None
    if content.removeprefix(b"\xef\xbb\xbf")[:4].lower() == b"sep=":
        raise UsageError(f"{file}: begins with a spreadsheet's line 'sep='; delete that line")
    if b"\0" in content:
        raise UsageError(
            f"{file}: has zero bytes, as UTF-16 without a byte order mark has; save the file as UTF-8"
        )
    return content


def separator_of(content: bytes, names: Iterable[str]) -> str:
    """The separator that finds most of these names of columns in the header; a comma if none does better."""
    text = content.decode("utf-8-sig", errors="replace").lstrip("\r\n")
    known = set(names)

    def found(separator: str) -> int:
        try:
            header = next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
        except csv.Error:
            return 0
        return len(known & {name.strip() for name in header})

    return max(SEPARATORS, key=found)


def recognise_decimal(table: Table, cells: Iterable[tuple[Row | int, str]], decimal: Decimal | None) -> None:
    """Set ``table.decimal`` to ``decimal``, or without it to the only mark that its numbers can have.

    ``cells`` are the row and text of each number. A point in a file with commas between fields is a decimal
    point. Elsewhere a mark that always has one to three digits before and three after it may divide
    thousands.

    Raises UsageError, which names the option, if both marks occur or one may be either.
    """
    if decimal is not None:
        table.decimal = decimal
        return
    marked: dict[str, tuple[int, str]] = {}
    certain = False
    for row, cell in cells:
        if found := _MARKED.fullmatch(cell.strip()):
            marked.setdefault(found[1], (row.line if isinstance(row, Row) else row, cell.strip()))
            certain |= not _THOUSANDS.fullmatch(cell.strip())
    if len(marked) == 2:
        (point, first), (comma, second) = marked["."], marked[","]
        raise UsageError(
            f"{table.file}: has {first!r} in row {point} and {second!r} in row {comma}; write all with "
            "one decimal mark, and say which by --decimal"
        )
    for mark, (line, text) in marked.items():
        if not certain and (mark, table.separator) != (".", ","):
            whole, part = text.split(mark)
            raise UsageError(
                f"{table.file}: {text!r} in row {line} can be {whole}.{part} or {whole}{part}; "
                f"give --decimal {mark} for the first, or write {whole}{part} for the second"
            )
        table.decimal = "," if mark == "," else "."
