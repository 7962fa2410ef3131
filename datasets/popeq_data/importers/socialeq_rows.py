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

import numpy as np

from popeq.eq import GRID_HZ, log_frequency
from popeq.errors import UsageError
from popeq.installing import install_hint
from popeq.parquet_table import check_version
from popeq.typing import Floats
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

    @property
    def curve(self) -> Floats:
        """Gains at ``GRID_HZ`` (256,): linear in log-frequency between bands, flat beyond the outer ones."""
        return np.interp(log_frequency(GRID_HZ), log_frequency(self.band_hz), self.gains)


def read_csv(source: Source) -> list[Contribution]:
    """Rows of the published CSV, by position: its header names 43 of its 44 fields.

    Raises InvalidInputError with every problem, each naming row and column.
    """
    records = source.lines()
    fields = len(CSV_FIELDS) + BANDS
    line, header = next(records, (1, []))
    band_hz = tuple(_hertz(name) for name in header[3:])
    if not source.problems and (len(header) != fields - 1 or not _rising(band_hz)):
        source.problem(
            f"the header has {len(header)} names; SocialEQ's has {fields - 1}: descriptor, audio_id, "
            f"ratings_consistency and {BANDS} bands such as RSC_20Hz_band, rising",
            line,
        )
    source.check()
    rows = []
    for line, cells in records:
        if len(cells) != fields:
            message = f"has {len(cells)} fields; needs {fields}: {', '.join(CSV_FIELDS)} and {BANDS} gains"
            source.problem(message, line)
            continue
        consistency, *gains = (
            source.number(cell, line, name)
            for cell, name in zip(cells[3:], (CSV_FIELDS[3], *header[3:]), strict=True)
        )
        rows.append(Contribution(cells[0].strip(), cells[1].strip(), consistency, band_hz, tuple(gains)))
    if not rows and not source.problems:
        source.problem("has a header but no rows")
    source.check()
    return rows


def read_parquet(source: Source) -> list[Contribution]:
    """Rows of the Hugging Face layout (``seungheondoh/socialfx-original``, split ``eq``).

    Raises UsageError if pyarrow is not installed, or is so old that a file can make it run code;
    InvalidInputError with every problem, each naming row and column; row 1 is the first record.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UsageError(f"{source.file}: reading Parquet needs pyarrow{install_hint('parquet')}") from None
    check_version(pa.__version__)
    try:
        table = pq.read_table(io.BytesIO(source.content))
    except (pa.ArrowException, OSError) as error:
        source.problem(f"is not a Parquet file: {str(error).splitlines()[0]}")
        source.check()
    for name in PARQUET_COLUMNS:
        if name not in table.column_names:
            source.problem("the column is missing", column=name)
    source.check()
    records = table.select(list(PARQUET_COLUMNS)).to_pylist()
    rows = [_record(record, source, i) for i, record in enumerate(records, 1)]
    if not records:
        source.problem("has no rows")
    source.check()
    return [row for row in rows if row is not None]


def _record(record: Mapping[str, Any], source: Source, line: int) -> Contribution | None:
    known = len(source.problems)
    keys, values, extra = (
        _literal(record[name], kind, source, line, name)
        for name, kind in (("param_keys", list), ("param_values", list), ("extra", dict))
    )
    if len(source.problems) > known:
        return None
    band_hz = tuple(_hertz(str(key)) for key in keys)
    if not _rising(band_hz):
        source.problem("must name the bands by rising frequency, such as 20Hz", line, "param_keys")
    if len(values) != len(keys):
        source.problem(f"has {len(values)} values for {len(keys)} keys", line, "param_values")
    for key in ("lang", "ratings_consistency"):
        if extra.get(key) is None:
            source.problem(f"has no {key!r}", line, "extra")
    if len(source.problems) > known:
        return None
    consistency = source.number(extra["ratings_consistency"], line, "extra")
    gains = tuple(source.number(value, line, "param_values") for value in values)
    word = "" if record["text"] is None else str(record["text"]).strip()
    return Contribution(word, str(extra["lang"]).strip(), consistency, band_hz, gains)


def _literal(value: object, kind: type, source: Source, line: int, column: str) -> Any:
    """A list or dict, given as such or written out as a Python literal; never evaluated."""
    parsed = value
    if isinstance(value, str):
        try:
            parsed = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            parsed = None
    if not isinstance(parsed, kind):
        source.problem(f"is not a {kind.__name__} of literals", line, column)
    return parsed


def _hertz(name: str) -> float:
    """The frequency in a band's name, such as RSC_20Hz_band; NaN if there is none."""
    found = re.search(r"(\d+(?:\.\d+)?)\s*Hz", name, re.IGNORECASE) or re.search(r"(\d+(?:\.\d+)?)", name)
    return float(found[1]) if found else math.nan


def _rising(band_hz: Sequence[float]) -> bool:
    return len(band_hz) >= 2 and band_hz[0] > 0 and all(a < b for a, b in pairwise(band_hz))
