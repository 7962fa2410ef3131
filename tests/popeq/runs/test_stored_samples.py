"""A run's predictions are read by a fast reader that knows one form, or by the strict one for any file."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from popeq.csv_table import table_of
from popeq.errors import InvalidInputError
from popeq.runs.predictions import PREDICTION_COLUMNS, as_written, points_of
from popeq.space import PLANE

IDS, N = ("p1", "02"), 3
ROWS = [[p, str(i), f"{0.1 * i:.17g}", f"{-1 / (i + 3)!r}"] for p in IDS for i in range(N)]


def file_of(rows, header=PREDICTION_COLUMNS) -> bytes:
    return "".join(",".join(row) + "\n" for row in [header, *rows]).encode()


def fast(content: bytes):
    return as_written(content, IDS, N)


def strict(content: bytes):
    return points_of(table_of(content, "file", PREDICTION_COLUMNS), IDS, N, PLANE, "wrong")


@given(seed=st.integers(0, 2**32 - 1), form=st.sampled_from([".17g", ".25f", ".1f", ".3e"]))
def test_what_a_run_writes_is_read_fast_to_the_last_bit(seed, form):
    points = np.random.default_rng(seed).uniform(-6, 6, (len(ROWS), 2))
    content = file_of([[*r[:2], *(format(v, form) for v in p)] for r, p in zip(ROWS, points, strict=True)])
    assert np.array_equal(fast(content), strict(content))


CELLS = [
    "",
    "1e-3",
    " 1.5",
    "True",
    "1_0",
    "0x1",
    "nan",
    "1,5",
    "00",
    "p1",
    "-0",
    '"2"',
    "1e400",
    "1.5\x00",
    "1" * 65,
    "\uff11",
    "inf",
    "1.5\r",
    "1.5\n",
    "١",
]


@given(
    row=st.integers(0, 5),
    column=st.integers(0, 3),
    cell=st.one_of(st.sampled_from(CELLS), st.text(max_size=3)),
)
def test_what_the_fast_takes_the_long_one_reads_the_same(row, column, cell):
    rows = [list(r) for r in ROWS]
    rows[row][column] = cell
    content = file_of(rows)
    short = fast(content)
    if short is None or not PLANE.contains(short).all():
        return
    assert np.array_equal(short, strict(content))


@pytest.mark.parametrize(
    "content",
    [
        file_of(ROWS[::-1]),
        file_of(ROWS[:-1]),
        file_of([*ROWS, ROWS[0]]),
        file_of(ROWS, ("prompt_id", "sample", "y_db", "x_db")),
        file_of([["p1", *r[1:]] for r in ROWS]),
        file_of(ROWS).replace(b"\n", b"\r\n"),
        file_of(ROWS) + b"\xff\n",
        file_of(ROWS).removesuffix(b"\n"),
        file_of([[*ROWS[0][:3]], [*ROWS[1], "1"], *ROWS[2:]]),
    ],
)
def test_another_order_or_form_of_rows_is_left_to_the_strict(content):
    assert fast(content) is None


@pytest.mark.parametrize("cell", ["1_0", "\uff11", "\u0661", " 1", "0." + "0" * 63, "nan"])
def test_the_fast_one_takes_only_plain_numbers(cell):
    assert fast(file_of([[*ROWS[0][:2], cell, "0"], *ROWS[1:]])) is None


def test_line_ends_alone_are_seen_before_memory_is_taken():
    """As many line ends as there are rows: what is made of them would be many times the file."""
    many = 200_000
    content = b"\n" * (2 * many + 1)
    tracemalloc.start()
    try:
        assert as_written(content, IDS, many) is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < len(content)


def test_another_order_of_rows_is_still_read():
    assert np.array_equal(strict(file_of(ROWS[::-1])), strict(file_of(ROWS)))
    with pytest.raises(InvalidInputError, match="p1"):
        strict(file_of(ROWS[1:]))
