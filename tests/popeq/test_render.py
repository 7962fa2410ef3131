"""Every format has the same columns and the same values."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pandas as pd
import pytest

from popeq.render import FORMATS, html_table, render

FRAME = pd.DataFrame(
    {
        "rank": pd.array([1, 2, None], dtype="Int64"),
        "predictor": ["prior", "random | odd", "[line]"],
        "reflective_kantorovich_median": [1.23456, 2.0, 0.5],
        "p_holm": [np.nan, 1e-9, 0.0213],
        "shift_low": [-np.inf, 0.25, np.nan],
    }
)
NOTES = ("a note", "another")


def test_every_format_names_every_column():
    for form in FORMATS:
        text = render(FRAME, form, NOTES)
        squeezed = text.replace("\n", "").replace(" ", "") if form == "text" else text
        for column in FRAME.columns:
            parts = column.split("_")
            assert column in text or all(part in squeezed for part in parts), (form, column)


def test_csv_and_json_keep_full_precision():
    rows = list(csv.DictReader(io.StringIO(render(FRAME, "csv", NOTES))))
    assert list(rows[0]) == list(FRAME.columns)
    assert float(rows[0]["reflective_kantorovich_median"]) == 1.23456
    parsed = json.loads(render(FRAME, "json", NOTES))
    assert parsed["notes"] == list(NOTES)
    assert parsed["rows"][0] == {
        "rank": 1,
        "predictor": "prior",
        "reflective_kantorovich_median": 1.23456,
        "p_holm": None,
        "shift_low": "-inf",
    }


def test_markdown_is_a_table_with_notes():
    lines = render(FRAME, "markdown", NOTES).splitlines()
    assert [c.strip() for c in lines[0].strip("|").split("|")] == list(FRAME.columns)
    assert "<0.0001" in lines[3]
    assert "random \\| odd" in lines[3]
    assert lines[-2:] == ["- a note", "- another"]


@pytest.mark.parametrize("width", [60, 100, 300])
def test_text_fits_the_terminal_and_repeats_the_key_columns(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    wide = pd.concat([FRAME, FRAME.iloc[:, 2:].add_prefix("other_")], axis=1)
    table = render(wide, "text")
    assert max(map(len, table.splitlines())) <= width
    assert table.count("predictor") == table.count("rank") >= 1
    assert table.count("random") == table.count("predictor")


def test_a_notebook_gets_a_table_whose_text_is_escaped():
    frame = pd.DataFrame({"predictor": ["<b>mine</b>"], "reflective_kantorovich_mean": [1.234]})
    shown = html_table(frame, ["a <script>"])
    assert "&lt;b&gt;mine&lt;/b&gt;" in shown
    assert "<b>" not in shown
    assert "<script>" not in shown
    assert "1.23" in shown
