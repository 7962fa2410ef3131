"""Read SAFE-DB's 25 columns strictly, and let the personal ones go at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from popeq.eq import biquad
from popeq.errors import Problem
from popeq_data.importers.plane import GRID_HZ
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
    """All rows of the file, in its order.

    Raises
    ------
    InvalidInputError
        With every problem, each naming row and column.
    """
    problems: list[Problem] = []
    rows: list[SafeRow] = []
    seen: dict[int, int] = {}
    for line, cells in source.records():
        if len(cells) != len(COLUMNS):
            message = f"has {len(cells)} columns; a SAFE-DB row has {len(COLUMNS)}, and the file no header"
            problems.append(Problem(source.name, message, line))
            continue
        found = [_check(cells[i], COLUMNS[i]) for i in (0, *_EQ)]
        wrong = [
            Problem(source.name, check, line, f"{i} ({COLUMNS[i]})")
            for i, check in zip((0, *_EQ), found, strict=True)
            if isinstance(check, str)
        ]
        problems.extend(wrong)
        if wrong:
            continue
        row_id, *knobs = (value for value in found if not isinstance(value, str))
        first = seen.setdefault(int(row_id), line)
        if first != line:
            problems.append(
                Problem(source.name, f"{int(row_id)} stands already in row {first}", line, "0 (id)")
            )
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
    if not rows and not problems:
        problems.append(Problem(source.name, "has no rows"))
    if problems:
        raise source.invalid(problems)
    return rows


#: The plug-in's knobs end at 12 dB; a little room for how they were written.
_MOST_GAIN_DB = 12.5


def _check(text: str, column: str) -> float | str:
    """The number, or what is wrong with it."""
    try:
        value = float(text)
    except ValueError:
        return f"{text!r} is not a number" if text.strip() else "is empty; needs a number"
    if not math.isfinite(value):
        return f"{text.strip()} is not a finite number"
    if column == "id" and (value < 0 or value != int(value)):
        return f"{text.strip()} is not a whole number from 0"
    if column.endswith("_gain_db") and abs(value) > _MOST_GAIN_DB:
        return f"{text.strip()} dB is beyond the plug-in's knobs, which end at {_MOST_GAIN_DB:g} dB"
    if column.endswith("_hz") and not 0 < value < _NYQUIST_HZ:
        return f"{text.strip()} Hz is not between 0 and {_NYQUIST_HZ:g} Hz"
    if column.endswith("_q") and value <= 0:
        return f"{text.strip()} is not above 0"
    return value


def curves(rows: list[SafeRow]) -> NDArray[np.float64]:
    """Gain in dB of each setting's five bands together at ``GRID_HZ``, shape (len(rows), 256)."""
    k = np.array([row.knobs for row in rows], dtype=np.float64).reshape(len(rows), len(_EQ)).T
    sections = np.stack(
        [
            biquad.low_shelf(k[0], k[1]),
            biquad.peaking(k[2], k[3], k[4]),
            biquad.peaking(k[5], k[6], k[7]),
            biquad.peaking(k[8], k[9], k[10]),
            biquad.high_shelf(k[11], k[12]),
        ],
        axis=1,
    )
    total: NDArray[np.float64] = biquad.gain_db(sections, GRID_HZ).sum(axis=1)
    return total
