"""The tables of a data set as Parquet files, a folder a table and a file a split: the layout of data sets on
the Hugging Face hub.

``prompts.csv`` is ``prompts/train.parquet``, ``validation.parquet`` and ``test.parquet`` there, or
``prompts/full.parquet`` where prompts have folds; the other tables likewise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from popeq.csv_table import Row, Table, read_table
from popeq.dataset_card import SPLITS
from popeq.errors import Problem, UsageError
from popeq.installing import install_hint
from popeq.others_files import MOST_TABLE_BYTES
from popeq.parquet_table import Kind, check_version, read_parquet

SUFFIX = ".parquet"
#: The part of tables that no split divides.
FULL = "full"
#: The files of a table, by split.
PARTS = (*SPLITS, FULL)
#: What columns hold that are no text.
_KINDS: dict[str, Kind] = {"fold": "whole numbers", "x_db": "numbers", "y_db": "numbers"}


def parts_of(folder: Path, file: str) -> dict[str, Path]:
    """The Parquet files of a table by split, such as those of ``responses.csv`` in ``folder/responses``."""
    place = folder / Path(file).stem
    found = {part: place / f"{part}{SUFFIX}" for part in PARTS}
    return {part: path for part, path in found.items() if path.is_file()}


def _others_of(folder: Path, file: str) -> list[str]:
    """The names of Parquet files in the folder of a table that are not among its PARTS."""
    names = (path.name for path in (folder / Path(file).stem).glob("[!.]*"))
    known = [f"{part}{SUFFIX}" for part in PARTS]
    return sorted(name for name in names if name.lower().endswith(SUFFIX) and name not in known)


def has_table(folder: Path, file: str) -> bool:
    """Whether a data set folder has a table, as CSV or as Parquet."""
    return (folder / file).exists() or bool(parts_of(folder, file) or _others_of(folder, file))


def read_either(
    folder: Path,
    file: str,
    required: Sequence[str],
    optional: Sequence[str] | None = (),
    others: Kind = "text",
) -> Table:
    """A table of a data set folder, from its CSV file or its Parquet files.

    Columns are as for ``popeq.csv_table.read_table``; ``others`` is what columns hold that neither names.
    Rows of Parquet files are counted through all files of the table, in the order of ``PARTS``.
    """
    parts, others_there = parts_of(folder, file), _others_of(folder, file)
    if not parts and ((folder / file).exists() or not others_there):
        return read_table(folder / file, required, optional)
    table = Table(f"{Path(file).stem}/*{SUFFIX}")
    if others_there:
        table.broken = True
        *first, last = (f"{part}{SUFFIX}" for part in PARTS)
        problem = f"has a name that is not read; a table's files are {', '.join(first)} or {last}"
        table.problems.append(Problem(f"{Path(file).stem}/{others_there[0]}", problem))
        return table
    if (folder / file).exists():
        table.broken = True
        table.problem(f"is there beside {file}; remove one of them")
        return table
    for path in parts.values():
        _add(table, path, required, optional, others)
    if table.broken:
        table.rows.clear()
        table.columns = ()
    return table


def _add(
    table: Table, path: Path, required: Sequence[str], optional: Sequence[str] | None, others: Kind
) -> None:
    """Add the rows of one file, with their columns; problems name the file."""
    name = f"{path.parent.name}/{path.name}"
    one = Table(name)
    content = one.read(path)
    if not one.problems:
        one = read_parquet(
            content,
            path,
            {column: _KINDS.get(column, "text") for column in required},
            MOST_TABLE_BYTES,
            optional={column: _KINDS.get(column, "text") for column in optional or ()},
            others=others if optional is None else None,
        )
    if table.columns and one.columns and set(one.columns) != set(table.columns):
        one.problem("has other columns than the files before it")
    table.problems.extend(replace(problem, file=name) for problem in one.problems)
    table.broken = table.broken or bool(one.problems)
    table.columns = table.columns or one.columns
    for row in one.rows:
        cells = {column: cell.strip() for column, cell in row.cells.items()}
        table.rows.append(Row(len(table.rows) + 1, cells))


def write_parts(frame: pd.DataFrame, part_of: Sequence[str], folder: Path) -> dict[str, Path]:
    """Write the rows of a table into ``folder``, a Parquet file for each of the PARTS that ``part_of`` has;
    returns them. Empty cells are null.

    Raises UsageError if pyarrow is missing or not safe.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UsageError(f"Parquet needs pyarrow{install_hint('hub')}") from None
    check_version(pyarrow.__version__)
    types = {"text": pyarrow.string(), "whole numbers": pyarrow.int64(), "numbers": pyarrow.float64()}
    columns = [str(name) for name in frame.columns]
    fields = [(name, types[_kind(frame, name)]) for name in columns]
    folder.mkdir()
    written = {}
    for part in PARTS:
        rows = frame[[own == part for own in part_of]]
        if len(rows):
            values = {name: _values(rows[name]) for name in columns}
            written[part] = folder / f"{part}{SUFFIX}"
            parquet.write_table(pyarrow.table(values, schema=pyarrow.schema(fields)), written[part])
    return written


def _kind(frame: pd.DataFrame, name: str) -> Kind:
    if name in _KINDS:
        return _KINDS[name]
    return "numbers" if frame[name].dtype.kind == "f" else "text"


def _values(column: pd.Series) -> list[object]:
    return column.astype(object).where(column.notna(), None).tolist()
