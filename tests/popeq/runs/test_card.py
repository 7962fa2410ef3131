"""card.json: what a submission may say, and what is refused, all of it at once."""

from __future__ import annotations

import json

import pytest

from popeq.errors import InvalidInputError, UsageError
from popeq.runs.card import Card, read_card

GOOD = {
    "authors": ["Ana Núñez", "李 雷"],
    "contact": "ana@example.org",
    "kind": "retrieval",
    "model": "none",
    "training_data": "The training prompts of simulated-120.\nNothing else.",
    "links": ["https://example.org/paper?id=1"],
}


def card_file(tmp_path, **changes):
    path = tmp_path / "card.json"
    path.write_text(json.dumps(GOOD | changes), encoding="utf-8")
    return path


def test_a_good_card_reads_back_and_is_scored_unless_it_says_otherwise(tmp_path):
    found = read_card(card_file(tmp_path))
    assert found.authors == GOOD["authors"]
    assert found.trust == "scored"
    assert Card.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("authors", [], "at least 1 item"),
        ("authors", ["a\u202eb"], "control character U+202E"),
        ("authors", ["e\u0301"], "normal form NFC"),
        ("authors", ["two\nlines"], "one line"),
        ("contact", " ", "one line that is not blank"),
        ("links", ["javascript:alert(1)"], "http:// or https://"),
        ("links", ["https://a b"], "http:// or https://"),
        ("links", ['https://a"onerror="'], "http:// or https://"),
        ("training_data", "", "at least 1 character"),
        ("notes", "x" * 2001, "at most 2000 characters"),
        ("model_parameters", -1, "greater than or equal to 0"),
        ("trust", "sure", "'scored' or 'self-reported'"),
        ("trust", "reproduced", "no card can say 'reproduced'"),
        ("trust", "drawn", "no card can say 'drawn'"),
        ("nonsense", 1, "not permitted"),
    ],
)
def test_what_is_wrong_is_named_with_its_field(tmp_path, field, value, says):
    with pytest.raises(InvalidInputError) as caught:
        read_card(card_file(tmp_path, **{field: value}))
    (problem,) = caught.value.problems
    assert problem.column.startswith(field)
    assert says in problem.message


def test_all_problems_come_at_once(tmp_path):
    with pytest.raises(InvalidInputError) as caught:
        read_card(card_file(tmp_path, contact="", links=["ftp://x"], trust="?"))
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"\xff\xfe", "is not JSON in UTF-8"),
        (b"[" * 60_000, "is not JSON"),
        (b" " * 70_000, "65536 at most"),
    ],
)
def test_what_is_no_card_is_refused_in_one_line(tmp_path, content, says):
    path = tmp_path / "card.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"card\.json") as caught:
        read_card(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_card(tmp_path / "no.json")
