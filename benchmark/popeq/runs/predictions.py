"""Predictions from a file, CSV or Parquet: read strictly, every problem with its row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from popeq.csv_table import MOST_DIGITS, Row, Table, table_of
from popeq.errors import InvalidInputError, UsageError
from popeq.others_files import UnreadableFileError, read_plain
from popeq.parquet_table import Kind, read_parquet
from popeq.runs.packed import unpack
from popeq.space import Space

PREDICTION_COLUMNS = ("prompt_id", "sample", "x_db", "y_db")
_KINDS: Mapping[str, Kind] = dict(
    zip(PREDICTION_COLUMNS, ("text", "whole numbers", "numbers", "numbers"), strict=True)
)
#: Bytes that a row may take, in the file and unpacked, and bytes that do not depend on the rows.
_ROW_BYTES, _OTHER_BYTES = 512, 1 << 20
_WHOLE = re.compile(r"0|[1-9][0-9]{0,8}")
_PARQUET = b"PAR1"
_OF_NUMBERS = frozenset("0123456789+-.eE,")
#: Rows from which half of them must be there for each one that lacks to be looked for.
_MANY_ROWS = 1_000_000


def most_bytes(n: int, prompts: int) -> int:
    """Bytes that predictions of ``n`` samples of so many prompts take at most."""
    return _OTHER_BYTES + _ROW_BYTES * n * prompts


def read_predictions(path: Path, prompt_ids: Sequence[str], n: int, space: Space) -> NDArray[np.float64]:
    """Samples (len(prompt_ids), n, 2), dB, exactly as the file has them; nothing is clipped or filled in.

    Parameters
    ----------
    path
        A CSV file with the columns ``prompt_id, sample, x_db, y_db``, plain or compressed by bzip2 or gzip,
        or a Parquet file with the same; rows in any order. ``sample`` counts from 0 to n - 1 for each prompt.

    Raises
    ------
    UsageError
        If there is no such file, or it is too large to be one, or Parquet cannot be read here.
    InvalidInputError
        With everything that is wrong. Rows of a CSV file are its lines, the header being row 1; rows of a
        Parquet file are counted from 1.
    """
    path = Path(path)
    most = most_bytes(n, len(prompt_ids))
    try:
        content = read_plain(path, most, follow=True)
    except UnreadableFileError as error:
        if not error.too_large:
            raise
        raise UsageError(f"{error}; {n} samples of {len(prompt_ids)} prompts do not take more") from None
    if content.startswith(_PARQUET) or path.suffix.lower() in (".parquet", ".pq"):
        table = read_parquet(content, path, _KINDS, most)
    else:
        table = prediction_table(unpack(content, path, most), path.name, n * len(prompt_ids))
    asked = f"{len(prompt_ids)} prompts with {n} samples each"
    return points_of(table, prompt_ids, n, space, f"{path} cannot be scored ({asked} are asked for)")


def prediction_table(content: bytes, file: str, asked: int) -> Table:
    """The table in the text of predictions of which ``asked`` rows are asked for; of a file with far more
    rows no more are read than can be named."""
    return table_of(content, file, PREDICTION_COLUMNS, most_rows=2 * asked + 100)


def points_of(
    table: Table, prompt_ids: Sequence[str], n: int, space: Space, wrong: str
) -> NDArray[np.float64]:
    """The samples (len(prompt_ids), n, 2), dB, in a table.

    Raises InvalidInputError, which begins with ``wrong``, with everything that is wrong in it.
    """
    asked = n * len(prompt_ids)
    if asked > _MANY_ROWS and 2 * len(table.rows) < asked:  # memory in proportion to what there is
        table.problem(f"has {len(table.rows)} rows; {asked} are asked for")
        raise InvalidInputError(wrong, table.problems)
    place = {p: i for i, p in enumerate(prompt_ids)}
    points = np.full((len(prompt_ids), n, 2), np.nan)
    first = np.zeros((len(prompt_ids), n), dtype=np.int64)
    unknown: dict[str, list[Row]] = {}
    for row in table.rows:
        prompt, sample = place.get(row.cells["prompt_id"]), _sample(table, row, n)
        point = np.array([table.number(row.cells[c], row, c) for c in ("x_db", "y_db")])
        if np.isfinite(point).all() and not space.contains(point):
            box = f"{space.low.tolist()}..{space.high.tolist()}"
            table.problem(f"({point[0]:g}, {point[1]:g}) dB is outside the box {box}", row)
        if prompt is None:
            unknown.setdefault(row.cells["prompt_id"], []).append(row)
        elif sample is not None:
            if before := first[prompt, sample]:
                message = f"sample {sample} of {row.cells['prompt_id']!r} is already in row {before}"
                table.problem(message, row, "sample")
            first[prompt, sample] = before or row.line
            points[prompt, sample] = point
    if "prompt_id" not in table.missing:
        for prompt_id, rows in unknown.items():
            message = f"{prompt_id!r} is not to be predicted in this data set ({len(rows)} row(s))"
            table.problem(message, rows[0], "prompt_id")
    if table.rows and not table.broken and not table.missing & {"prompt_id", "sample"}:
        for prompt_id, lines in zip(prompt_ids, first, strict=True):
            lacking = np.flatnonzero(lines == 0)
            if len(lacking):
                table.problem(f"prompt {prompt_id!r} lacks {_listed(lacking, n)}")
    if table.problems:
        raise InvalidInputError(wrong, table.problems)
    return points


def _sample(table: Table, row: Row, n: int) -> int | None:
    text = row.cells["sample"]
    if _WHOLE.fullmatch(text) and int(text) < n:
        return int(text)
    table.problem(f"{text!r} is not a whole number from 0 to {n - 1}", row, "sample")
    return None


def _listed(lacking: NDArray[np.int64], n: int) -> str:
    if len(lacking) == n:
        return "all its samples"
    shown = ", ".join(str(i) for i in lacking[:5])
    more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
    return f"sample{'s' if len(lacking) > 1 else ''} {shown}{more}"


def as_written(content: bytes, prompt_ids: tuple[str, ...], n: int) -> NDArray[np.float64] | None:
    """The samples (len(prompt_ids), n, 2), dB, if the rows have the form and the order in which a run writes
    them, else None: fast, and what it reads ``points_of`` reads the same."""
    least = n * sum(len(prompt_id) + len(",0,0,0") for prompt_id in prompt_ids)
    if len(content) < least or content.count(b"\n") != n * len(prompt_ids) + 1:
        return None  # before anything is made that takes more memory than the file
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    header, *rows = text.split("\n")
    starts = _starts(prompt_ids, n)
    if header != ",".join(PREDICTION_COLUMNS) or len(rows) != len(starts) + 1 or rows.pop():
        return None
    if "\r" in text or not all(map(str.startswith, rows, starts)):  # csv ends rows at a lone \r too
        return None
    points = list(map(str.removeprefix, rows, starts))
    if set(map(str.count, points, repeat(","))) != {1}:
        return None
    numerals = ",".join(points)
    # float() takes more than other programs do.
    if not set(numerals) <= _OF_NUMBERS or max(map(len, points)) > MOST_DIGITS:
        return None
    try:
        numbers = list(map(float, numerals.split(",")))
    except ValueError:
        return None
    return np.array(numbers).reshape(len(prompt_ids), n, 2)


@lru_cache(maxsize=4)
def _starts(prompt_ids: tuple[str, ...], n: int) -> list[str]:
    """What comes before the points in each row that a run writes."""
    return [f"{p},{i}," for p in prompt_ids for i in range(n)]
