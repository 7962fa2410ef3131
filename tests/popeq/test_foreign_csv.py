"""Files as spreadsheets write them: separators, decimal marks and encodings, and what is refused."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popeq.errors import UsageError
from popeq.foreign_csv import read_foreign, recognise_decimal

COLUMNS = ("id", "x")


def numbers(path, text, decimal=None, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    table = read_foreign(path, COLUMNS, (), decimal)
    recognise_decimal(table, [(row, row.cells["x"]) for row in table.rows], decimal)
    found = [table.number(row.cells["x"], row, "x") for row in table.rows]
    return found if not table.problems else [str(p) for p in table.problems]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mine.csv"


@pytest.mark.parametrize(
    ("text", "decimal", "found"),
    [
        ("id,x\na,1.5\nb,-2\n", None, [1.5, -2.0]),
        ("id;x\na;1,5\nb;-2\n", None, [1.5, -2.0]),
        ("id\tx\na\t1,25\nb\t+2,\n", None, [1.25, 2.0]),
        ("id|x\na|,5\n", None, [0.5]),
        ('id,x\na,"1,5"\n', None, [1.5]),
        ("id;x\na;1.5e-1\n", None, [0.15]),
        ("id;x\na;1\nb;2\n", None, [1.0, 2.0]),
        ("id,x\na,1.250\n", None, [1.25]),
        ("id;x\na;1,250\nb;0,125\n", None, [1.25, 0.125]),
        ("id;x\na;1,250\n", ",", [1.25]),
        ("id;x\na;1.250\n", ".", [1.25]),
    ],
)
def test_what_can_be_read_in_one_way_is(path, text, decimal, found):
    assert numbers(path, text, decimal) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id;x\na;1,250\nb;7\n", "'1,250' in row 2 can be 1.250 or 1250; give --decimal , for the first"),
        ("id;x\na;1.250\n", "'1.250' in row 2 can be 1.250 or 1250; give --decimal . for the first"),
        ("id;x\na;1,5\nb;2.5\n", "has '2.5' in row 3 and '1,5' in row 2; write all with one decimal mark"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused_with_the_option(path, text, message):
    with pytest.raises(UsageError) as caught:
        numbers(path, text)
    assert message in str(caught.value)
    assert "--decimal" in str(caught.value)


def test_a_mark_that_is_not_the_one_given_is_a_problem(path):
    (problem,) = numbers(path, "id;x\na;1.5\n", ",")
    assert "row 2, column x: '1.5' is not a number with a decimal comma" in problem
    (problem,) = numbers(path, "id;x\na;1,5\n", ".")
    assert "'1,5' is not a number" in problem
    (problem,) = numbers(path, "id;x\na;1.234,5\n", None)
    assert "'1.234,5' is not a number" in problem


def test_commas_cannot_separate_fields_and_decimals(path):
    with pytest.raises(UsageError, match=r"row 2|save it with semicolons between fields"):
        numbers(path, "id,x\na,1,5\n", ",")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [";", "\t"])
def test_encodings_of_spreadsheets(path, encoding, separator):
    text = f"id{separator}x\r\nwärmer{separator}1,5\r\n"
    assert numbers(path, text, encoding=encoding) == [1.5]
    assert read_foreign(path, COLUMNS).rows[0].cells["id"] == "wärmer"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id;x\na;1\n".encode("utf-16-le"), "zero bytes, as UTF-16 without a byte order mark"),
        (b"\xef\xbb\xbfsep=;\r\nid;x\r\n", "begins with a spreadsheet's line 'sep='; delete that line"),
        ("sep=;\r\nid;x\r\n".encode("utf-16"), "begins with a spreadsheet's line 'sep='; delete that line"),
        (b"\xff\xfea\x00b", "byte 4 is not UTF-16"),
        (b"PK\x03\x04 xl/workbook.xml", "is a workbook or an archive, not CSV; save the sheet as CSV UTF-8"),
    ],
)
def test_what_is_no_table_of_text_is_one_line_that_says_what_to_do(path, content, message):
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_foreign(path, COLUMNS)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_encodings_are_a_problem_of_their_row(path):
    path.write_bytes("id;x\nwärmer;1\n".encode("latin-1"))
    (problem,) = read_foreign(path, COLUMNS).problems
    assert "row 2: byte 6 is not UTF-8; save the file as UTF-8" in str(problem)


@given(
    head=st.sampled_from(
        [b"", b"id,x\n", b"id;x\n", b"\xef\xbb\xbfid\tx\n", b"\xff\xfe", b"\xfe\xff", b'"id']
    ),
    rest=st.binary(max_size=40) | st.text('a1,;.\t"-\n', max_size=40).map(str.encode),
    decimal=st.sampled_from([None, ".", ","]),
)
@settings(max_examples=200)
def test_any_bytes_are_a_table_or_a_line(tmp_path_factory, head, rest, decimal):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(head + rest)
    with contextlib.suppress(UsageError):
        table = read_foreign(path, COLUMNS, (), decimal)
        recognise_decimal(table, [(row, row.cells["x"]) for row in table.rows], decimal)
        found = [table.number(row.cells["x"], row, "x") for row in table.rows]
        assert np.isfinite(found).all() or table.problems
