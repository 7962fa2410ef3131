"""Read a few plain columns of anybody's Parquet file as a table of text; no extension types, no pickle."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from popeq.csv_table import Row, Table
from popeq.errors import UsageError
from popeq.installing import install_hint, pip_install

#: Older ones can be made to run code by a file (CVE-2023-47248).
SAFE_PYARROW = (14, 0, 1)
_ROWS_AT_ONCE = 64

#: What a column holds.
Kind = Literal["text", "whole numbers", "numbers"]


def read_parquet(
    content: bytes,
    path: Path,
    required: Mapping[str, Kind],
    most_bytes: int,
    *,
    optional: Mapping[str, Kind] | None = None,
    others: Kind | None = None,
) -> Table:
    """The columns as text, numbers so that they read back the same; row numbers count from 1.

    Parameters
    ----------
    path
        How errors call the file.
    required, optional
        The columns that must and may be there, with what they hold.
    others
        What columns of other names hold; None: there must be no others.

    Raises UsageError if pyarrow is missing or not safe.
    """
    optional = optional or {}
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UsageError(f"{path}: Parquet needs pyarrow{install_hint('parquet')}") from None
    check_version(pyarrow.__version__)
    table = Table(path.name)
    try:
        with parquet.ParquetFile(io.BytesIO(content)) as file:
            groups = map(file.metadata.row_group, range(file.metadata.num_row_groups))
            unpacked = sum(group.total_byte_size for group in groups)
            if unpacked > most_bytes:
                table.problem(f"unpacks to {unpacked} bytes; {most_bytes} at most are read")
                return table
            if not _plain_columns(pyarrow, file.schema_arrow, table, required, optional, others):
                table.broken = True
                return table
            columns = tuple(file.schema_arrow.names)
            taken = 0
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(columns), use_threads=False):
                taken += batch.nbytes  # a value that is stored once may stand in every row
                if taken > most_bytes:
                    table.broken = True
                    table.problem(f"unpacks to more than {most_bytes} bytes, which are read at most")
                    return table
                batch.validate(full=True)
                for values in zip(*(batch.column(name).to_pylist() for name in columns), strict=True):
                    cells = {c: _text(v) for c, v in zip(columns, values, strict=True)}
                    table.rows.append(Row(len(table.rows) + 1, cells))
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError, OverflowError, TypeError) as error:
        table.broken = True
        table.problem(f"is not a Parquet file that can be read: {' '.join(str(error).split())[:200]}")
        return table
    table.columns = columns
    if not table.rows:
        table.problem("has no rows")
    return table


def check_version(version: str) -> None:
    """Raise UsageError for a pyarrow that a file could make run code."""
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if numbers < SAFE_PYARROW:
        raise UsageError(
            f"pyarrow {version} can be made to run code by a file (CVE-2023-47248); "
            f"upgrade it with: {pip_install('parquet')}"
        )


def _plain_columns(
    pyarrow: Any,
    schema: Any,
    table: Table,
    required: Mapping[str, Kind],
    optional: Mapping[str, Kind],
    others: Kind | None,
) -> bool:
    """Whether every column is there once and of a plain type; what is not becomes a problem."""
    types, known = pyarrow.types, {**optional, **required}
    for name in dict.fromkeys([*required, *schema.names]):
        found = schema.get_all_field_indices(name)
        needed = known.get(name, others)
        if needed is None:
            table.problem(f"unknown column; known columns: {', '.join(known)}", None, name)
            continue
        if len(found) != 1:
            table.problem("the column is missing" if not found else "the column is there twice", None, name)
            continue
        kind = schema.field(found[0]).type
        whole, text = types.is_integer(kind), types.is_string(kind) or types.is_large_string(kind)
        fits = {"text": text, "whole numbers": whole, "numbers": whole or types.is_floating(kind)}
        if not fits[needed]:
            table.problem(f"holds {kind}; needs {needed}", None, name)
    return not table.problems


def _text(value: object) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)
