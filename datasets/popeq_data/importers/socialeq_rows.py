"""Read SocialEQ contributions from either of their two layouts, strictly."""

from __future__ import annotations

import ast
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from popeq.errors import Problem, UsageError
from popeq_data.importers.source import Source

BANDS = 40
#: The header has a name too few: the language, second in every row, has none.
CSV_FIELDS = ("word", "language", "audio id", "ratings consistency")
PARQUET_COLUMNS = ("text", "param_keys", "param_values", "extra")


@dataclass(frozen=True)
class Contribution:
    """One person's curve for a word: relative ``gains`` at ``band_hz``, rising."""

    word: str
    language: str
    consistency: float
    band_hz: tuple[float, ...]
    gains: tuple[float, ...]


def read_csv(source: Source) -> list[Contribution]:
    """Rows of the published CSV, by position: its header names 43 of its 44 fields.

    Raises
    ------
    InvalidInputError
        With every problem, each naming row and column.
    """
    records = source.records()
    fields = len(CSV_FIELDS) + BANDS
    line, header = next(records, (1, []))
    band_hz = tuple(_hertz(name) for name in header[3:])
    if len(header) != fields - 1 or not _rising(band_hz):
        message = (
            f"the header has {len(header)} names; SocialEQ's has {fields - 1}: descriptor, audio_id, "
            f"ratings_consistency and {BANDS} bands such as RSC_20Hz_band, rising"
        )
        raise source.invalid([Problem(source.name, message, line)])
    problems: list[Problem] = []
    rows = []
    for line, cells in records:
        if len(cells) != fields:
            message = f"has {len(cells)} fields; needs {fields}: {', '.join(CSV_FIELDS)} and {BANDS} gains"
            problems.append(Problem(source.name, message, line))
            continue
        numbers = [
            _number(cell, name, source, line, problems)
            for cell, name in zip(cells[3:], (CSV_FIELDS[3], *header[3:]), strict=True)
        ]
        word, language = cells[0].strip(), cells[1].strip()
        rows.append(Contribution(word, language, numbers[0], band_hz, tuple(numbers[1:])))
    if not rows and not problems:
        problems.append(Problem(source.name, "has a header but no rows"))
    if problems:
        raise source.invalid(problems)
    return rows


def read_parquet(source: Source) -> list[Contribution]:
    """Rows of the Hugging Face layout (``seungheondoh/socialfx-original``, split ``eq``).

    Raises
    ------
    UsageError
        If pyarrow is not installed.
    InvalidInputError
        With every problem, each naming row and column; row 1 is the first record.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UsageError(
            f"{source.name}: reading Parquet needs pyarrow; run: pip install 'popeq[parquet]'"
        ) from None
    try:
        table = pq.read_table(io.BytesIO(source.data))
    except (pa.ArrowException, OSError) as error:
        message = f"is not a Parquet file: {str(error).splitlines()[0]}"
        raise source.invalid([Problem(source.name, message)]) from None
    problems = [
        Problem(source.name, "the column is missing", column=name)
        for name in PARQUET_COLUMNS
        if name not in table.column_names
    ]
    if problems:
        raise source.invalid(problems)
    records = table.select(list(PARQUET_COLUMNS)).to_pylist()
    rows = [_record(record, source, i, problems) for i, record in enumerate(records, 1)]
    if not records:
        problems.append(Problem(source.name, "has no rows"))
    if problems:
        raise source.invalid(problems)
    return [row for row in rows if row is not None]


def _record(
    record: Mapping[str, Any], source: Source, line: int, problems: list[Problem]
) -> Contribution | None:
    known = len(problems)
    keys, values, extra = (
        _literal(record[name], kind, name, source, line, problems)
        for name, kind in (("param_keys", list), ("param_values", list), ("extra", dict))
    )
    if len(problems) > known:
        return None
    band_hz = tuple(_hertz(str(key)) for key in keys)
    if not _rising(band_hz):
        message = "must name the bands by rising frequency, such as 20Hz"
        problems.append(Problem(source.name, message, line, "param_keys"))
    if len(values) != len(keys):
        message = f"has {len(values)} values for {len(keys)} keys"
        problems.append(Problem(source.name, message, line, "param_values"))
    for key in ("lang", "ratings_consistency"):
        if extra.get(key) is None:
            problems.append(Problem(source.name, f"has no {key!r}", line, "extra"))
    if len(problems) > known:
        return None
    consistency = _number(extra["ratings_consistency"], "extra", source, line, problems)
    gains = tuple(_number(value, "param_values", source, line, problems) for value in values)
    word = "" if record["text"] is None else str(record["text"]).strip()
    return Contribution(word, str(extra["lang"]).strip(), consistency, band_hz, gains)


def _literal(value: object, kind: type, name: str, source: Source, line: int, problems: list[Problem]) -> Any:
    """A list or dict, given as such or written out as a Python literal; never evaluated."""
    parsed = value
    if isinstance(value, str):
        try:
            parsed = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            parsed = None
    if not isinstance(parsed, kind):
        problems.append(Problem(source.name, f"is not a {kind.__name__} of literals", line, name))
        return kind()
    return parsed


def _number(value: object, column: str, source: Source, line: int, problems: list[Problem]) -> float:
    """A finite number; NaN, with a problem noted, for anything else."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        problems.append(Problem(source.name, f"{value!r} is not a finite number", line, column))
        return math.nan
    return number


def _hertz(name: str) -> float:
    """The frequency in a band's name, such as RSC_20Hz_band; NaN if there is none."""
    found = re.search(r"(\d+(?:\.\d+)?)\s*Hz", name, re.IGNORECASE) or re.search(r"\d+(?:\.\d+)?", name)
    return float(found[1] if found and found.re.groups else found[0]) if found else math.nan


def _rising(band_hz: Sequence[float]) -> bool:
    return len(band_hz) >= 2 and band_hz[0] > 0 and all(a < b for a, b in pairwise(band_hz))
