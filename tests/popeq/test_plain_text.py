"""What third parties write comes out as text: terminal, Markdown, CSV, JSON."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import re
import unicodedata

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from popeq.errors import Problem
from popeq.plain_text import csv_text, json_text, visible
from popeq.render import render

HOSTILE = [
    "</script><script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd",
    "-2+3+cmd",
    "\x1b[31mred\x1b[0m \x9b2J",
    "safe\u202egnp.exe\u2066",
    "a|b\n|c|d|",
    "[click](javascript:alert(1)) ![x](http://evil.example/x.png)",
    "https://evil.example www.evil.example mail@evil.example",
    "`code` *bold* _em_ ~~del~~ $x$ &lt;b&gt;",
    "zero\u200bwidth\ufeff",
    "# heading",
    "> quote",
    "1. list",
    "- item",
    "x" * 10_000,
]


@given(st.text(max_size=50))
def test_visible_text_has_no_character_that_acts(text):
    shown = visible(text)
    assert not any(unicodedata.category(c)[0] == "C" for c in shown)
    assert "\n" not in shown
    assert "\u2028" not in shown
    if text.isprintable():
        assert shown == text


def test_long_text_is_cut_and_says_so():
    assert visible("x" * 10_000, 20) == "x" * 20 + "… (10000 characters)"
    assert visible("x" * 20, 20) == "x" * 20


class Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_markdown_shows_the_text_and_nothing_else(text):
    """Rendered by a Markdown implementation with HTML, tables and links turned on, only the text is left."""
    table = render(pd.DataFrame({"name": [text], "n": [1]}), "markdown", [text])
    rendered = (
        MarkdownIt("commonmark", {"html": True, "linkify": False})
        .enable(["table", "strikethrough"])
        .render(table)
    )
    found = Tags()
    found.feed(rendered)
    assert set(found.tags) <= {"table", "thead", "tbody", "tr", "th", "td", "ul", "li", "p"}
    assert found.tags.count("td") == 2
    assert not re.search(r"(?i)(https?|mailto|javascript):(?!alert)|www\.|\w@\w", table)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_csv_holds_no_formula_and_json_is_exact(text):
    frame = pd.DataFrame({"name": [text], "value": [-1.5]})
    (row,) = csv.DictReader(io.StringIO(render(frame, "csv")))
    assert not row["name"].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert row["value"] == "-1.5"
    document = render(frame, "json", [text])
    assert json.loads(document)["rows"][0]["name"] == text
    assert not any(unicodedata.category(c)[0] == "C" for c in document.replace("\n", ""))


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_terminal_gets_printable_lines_of_bounded_length(text, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    table = render(pd.DataFrame({"name": [text], "n": [1]}), "text", [text[:50]])
    assert all(line.isprintable() for line in table.split("\n"))
    assert max(map(len, table.split("\n"))) < 200


def test_numbers_as_text_are_left_alone_in_csv():
    assert [csv_text(t) for t in ("-1.5", "+2", "-1e-3", "-x", "plain")] == [
        "-1.5",
        "+2",
        "-1e-3",
        "'-x",
        "plain",
    ]


@given(st.text())
def test_json_text_is_the_same_value_in_any_terminal(text):
    shown = json_text({"a": text})
    assert json.loads(shown) == {"a": text}
    assert shown.isascii()
    assert shown.isprintable()


def test_no_error_of_the_command_line_can_act_on_a_terminal(popeq_inside):
    output = popeq_inside("verify", "a\x1b[31mb").stderr
    assert "\x1b" not in output
    assert output == "popeq: a\\x1b[31mb: does not exist; 'popeq run' makes runs\n"


def test_a_problem_is_one_line_whatever_is_in_it():
    problem = Problem("run.json", "is \r\n\x1b[2J, not this", 3, "a\u2028b")
    assert str(problem) == "run.json, row 3, column a\\u2028b: is \\x0d \\x1b[2J, not this"
