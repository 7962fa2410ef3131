"""Read the 25 columns of SAFE-DB strictly, without the personal ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from popeq.eq import GRID_HZ, biquad
from popeq.typing import Floats
from popeq_data.importers.source import Source
from popeq_data.importers.words import normalise

#: The file has no header; these names are ours. Location, age, language and hash are never read.
COLUMNS = (
    *("id", "descriptor", "address", "channels_in", "channels_out", "low_shelf_gain_db", "low_shelf_hz"),
    *("peak1_gain_db", "peak1_hz", "peak1_q", "peak2_gain_db", "peak2_hz", "peak2_q"),
    *("peak3_gain_db", "peak3_hz", "peak3_q", "high_shelf_gain_db", "high_shelf_hz"),
    *("genre", "instrument", "location", "experience", "age", "language", "hash"),
)
_EQ = range(5, 18)
_NYQUIST_HZ = biquad.SAMPLE_RATE_HZ / 2
#: The plug-in's knobs end at 12 dB; a little more is allowed for how they were written.
_MOST_GAIN_DB = 12.5
#: By the end of a column's name: what its numbers must satisfy, and the message for one that does not.
_LIMITS: dict[str, tuple[Callable[[float], bool], str]] = {
    "id": (lambda v: v >= 0 and v == int(v), "is not a whole number from 0"),
    "_gain_db": (
        lambda v: abs(v) <= _MOST_GAIN_DB,
        f"dB is beyond the plug-in's knobs, which end at {_MOST_GAIN_DB:g} dB",
    ),
    "_hz": (lambda v: 0 < v < _NYQUIST_HZ, f"Hz is not between 0 and {_NYQUIST_HZ:g} Hz"),
    "_q": (lambda v: v > 0, "is not above 0"),
}


@dataclass(frozen=True)
class SafeRow:
    """One setting: who made it has still to be recovered from ``row_id``, ``address`` and the two notes.

    ``word`` is the descriptor in its one spelling, ``raw_word`` as typed but for case and space.
    ``knobs`` are the 13 numbers of the equaliser, in the file's order.
    """

    row_id: int
    word: str
    raw_word: str
    address: str
    genre: str
    instrument: str
    knobs: tuple[float, ...]

    @property
    def largest_gain_db(self) -> float:
        """The largest gain of the five bands, up or down."""
        return max(abs(self.knobs[i]) for i in (0, 2, 5, 8, 11))


def read_rows(source: Source) -> list[SafeRow]:
    """All rows, in the file's order; InvalidInputError with every problem, each naming row and column."""
    rows: list[SafeRow] = []
    for line, cells in source.lines():
        if len(cells) != len(COLUMNS):
            message = f"has {len(cells)} columns; a SAFE-DB row has {len(COLUMNS)}, and the file no header"
            source.problem(message, line)
            continue
        row_id, *knobs = (_number(source, line, i, cells[i]) for i in (0, *_EQ))
        if math.isnan(sum((row_id, *knobs))):
            continue
        source.unique(row_id, line, "0 (id)", f"{int(row_id)}")
        rows.append(
            SafeRow(
                int(row_id),
                normalise(cells[1]),
                " ".join(cells[1].split()).casefold(),
                cells[2].strip(),
                cells[18].strip(),
                cells[19].strip(),
                tuple(knobs),
            )
        )
    if not rows and not source.problems:
        source.problem("has no rows")
    source.check()
    return rows


def _number(source: Source, line: int, index: int, cell: str) -> float:
    """The number in a cell; NaN, with a problem added, if there is none or it is impossible in its column."""
    column = f"{index} ({COLUMNS[index]})"
    value = source.number(cell, line, column)
    holds, what = next(limit for end, limit in _LIMITS.items() if COLUMNS[index].endswith(end))
    if math.isnan(value) or holds(value):
        return value
    source.problem(f"{cell.strip()} {what}", line, column)
    return math.nan


def curves(rows: list[SafeRow]) -> Floats:
    """Gain in dB of each setting's five bands together at ``GRID_HZ``, shape (len(rows), 256)."""
    k = np.array([row.knobs for row in rows], dtype=np.float64).reshape(len(rows), len(_EQ)).T
    sections = np.stack(
        [
            biquad.low_shelf(*k[0:2]),
            *(biquad.peaking(*k[i : i + 3]) for i in (2, 5, 8)),
            biquad.high_shelf(*k[11:13]),
        ],
        axis=1,
    )
    return np.asarray(biquad.gain_db(sections, GRID_HZ).sum(axis=1))
