"""The narrow block: its size, names that tell rows apart, and words that agree with the numbers."""

from __future__ import annotations

import re
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import write_small_dataset

import popeq as package
from popeq.board.glance import WIDTH, glance, verdict
from popeq.board.groupings import split_board
from popeq.board.leaderboard import build
from popeq.board.names import cut, row_names
from popeq.board.notes import Note
from popeq.lookup import entries_of

ROW = re.compile(
    r"^(?P<rank>\d+(-\d+)?) .*?(?P<mean>\d+\.\d\d) ± (?P<mean_reach>\S+) +"
    r"(?P<shift>-?\d+\.\d+) ± (?P<reach>\S+) +(?P<word>ahead|behind|level|unclear)(?P<flag> !)? +\d"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A board of 12 test prompts, of which one category has 8 and the other 4."""
    root = tmp_path_factory.mktemp("glance")
    data = write_small_dataset(root / "data", prompts=20)
    prompts = pd.read_csv(data / "prompts.csv", dtype=str)
    prompts["category"] = ["many"] * 16 + ["few"] * 4
    prompts.to_csv(data / "prompts.csv", index=False)
    package.run(["random", "prior", "static-flat", "static-best"], data, runs_dir=root / "runs", jobs=2)
    scorer, entries, notes = entries_of([root / "runs"], data)
    return scorer, entries, build(entries, scorer, notes)


def test_it_is_one_block_of_bounded_size_whatever_is_to_be_said(made):
    scorer, entries, board = made
    notes = tuple(Note("warning", f"suspicious: {'very long ' * 30}{i}") for i in range(20))
    for given_board in (board, replace(board, remarks=(*board.remarks, *notes))):
        lines = glance(given_board, scorer).split("\n")
        assert len(lines) <= len(entries) + 12
        assert max(map(len, lines)) <= WIDTH
        assert lines.count("") == 1
    assert lines[-2] == "More columns, 20 warnings: --wide."
    assert lines[-1].startswith(("Ahead of the training responses: ", "No method is ahead of "))


def test_a_note_is_whole_or_left_to_wide(made):
    scorer, entries, board = made
    note = f"suspicious: {'long ' * 30}end."
    lines = glance(replace(board, remarks=(Note("warning", note),)), scorer).split("\n")
    assert f"More columns, 1 warning: --wide. {note}" == " ".join(lines[-3:-1])
    assert len(lines) <= len(entries) + 12
    longer = replace(board, remarks=(Note("warning", f"suspicious: {'long ' * 40}end."),))
    assert glance(longer, scorer).split("\n")[-2] == "More columns, 1 warning: --wide."
    split = glance(
        replace(split_board(board, scorer, "category"), remarks=longer.remarks), scorer, "category"
    )
    assert split.split("\n")[-1] == "More columns, 1 warning: --wide."
    assert "…" not in glance(replace(board, remarks=(Note("warning", f"a b. {note}"),)), scorer)


def test_nothing_is_concluded_of_few_prompts(made, finished):
    scorer, _, board = made
    lines = glance(split_board(board, scorer, "category"), scorer, "category").split("\n")
    rows = [line.split() for line in lines[2 : lines.index("")]]
    assert len(rows) == 14
    for row in rows:
        few = row[0] == "few"
        assert ("±" in row) != few
        assert not few or not {"ahead", "behind", "level", "unclear", "inf"} & set(row)
    scorer, entries, notes = entries_of([finished.runs_dir], finished.data)
    text = glance(build(entries, scorer, notes), scorer)
    assert "4 prompts (nothing is concluded with fewer than 6)" in text
    rows = text.split("\n")[2 : text.split("\n").index("")]
    assert not re.search(r"inf\b|±|ahead|behind|level|unclear", "\n".join(rows))
    assert "is ahead of" not in text


def test_the_legend_says_what_level_is(made):
    scorer, entries, board = made
    text = glance(board, scorer)
    assert re.search(r"level: it holds 0 and is inside ± \d\.\d\d; unclear: neither\.", text)
    for against, name in ((None, "the training responses"), ("prior", "prior")):
        split = split_board(build(entries, scorer, compared_with=against), scorer, "category")
        text = " ".join(glance(split, scorer, "category").split())
        assert f"level: it holds 0 and is inside ± 5 % of the mean of {name}; unclear" in text


def agree(text: str, table: pd.DataFrame, alpha: float = 0.05) -> int:
    """Every row of a block says what the table says; how many rows there are."""
    found = [m for line in text.split("\n") if (m := ROW.match(line))]
    for m, row in zip(found, table.to_dict(orient="records"), strict=False):
        assert float(m["mean"]) == pytest.approx(row["reflective_kantorovich_mean"], abs=0.0051)
        assert float(m["shift"]) == pytest.approx(row["shift"], abs=0.0051)
        apart = abs(float(m["shift"])) > float(m["reach"])
        assert apart == (m["word"] in ("ahead", "behind"))
        if row["p_value"] == row["p_value"]:
            assert apart == (row["p_value"] < alpha)
        if apart:
            assert (float(m["shift"]) < 0) == (m["word"] == "ahead")
        first, last = row["rank"], row["rank_worst"]
        assert m["rank"] == (f"{first}" if first == last else f"{first}-{last}")
        assert bool(m["flag"]) == bool(row["flags"])
    return len(found)


def test_every_row_says_what_the_table_says(made):
    scorer, entries, board = made
    assert agree(glance(board, scorer), board.table) == len(entries)
    against = build(entries, scorer, compared_with="prior")
    text = glance(against, scorer)
    assert agree(text, against.table[against.table["predictor"] != "prior"]) == len(entries) - 1
    assert "shift: from prior." in text


def test_a_group_is_a_column(made):
    scorer, _, board = made
    lines = glance(split_board(board, scorer, "category"), scorer, "category").split("\n")
    assert lines[0].split()[0] == "category"
    assert max(map(len, lines)) <= WIDTH


def test_the_text_form_is_narrow_and_wide_has_the_rest(finished, popeq_inside):
    call = ("leaderboard", "show", finished.runs_dir, "--dataset", finished.data)
    narrow, wide = popeq_inside(*call).stdout, popeq_inside(*call, "--wide").stdout
    assert "p_wilcoxon" not in narrow
    board = package.leaderboard(runs_dir=finished.runs_dir)
    for note in board.notes:
        assert note in wide
    for column in board.table.columns:
        assert column.rsplit("_", 1)[-1] in wide


@given(st.floats(-3, 3), st.floats(0, 3), st.floats(0.01, 1))
def test_verdicts_are_of_the_interval_alone(shift, reach, level):
    word = verdict(shift - reach, shift + reach, level)
    assert (word == "ahead") == (shift + reach < 0)
    assert (word == "behind") == (shift - reach > 0)
    if word == "level":
        assert shift - reach <= 0 <= shift + reach
        assert abs(shift) + reach <= level + 1e-12
    assert verdict(float("nan"), float("nan"), level) == ""
    assert verdict(float("-inf"), float("inf"), level) == ""
    assert verdict(-level / 2, -level / 4, level) == "ahead"
    assert verdict(level / 4, level / 2, level) == "behind"


@given(st.lists(st.text("ab-", min_size=1, max_size=30), max_size=12), st.integers(8, 30))
def test_names_that_are_cut_stay_apart(names, width):
    short = cut(names, width)
    assert all(len(text) <= width for text in short)
    assert len(set(short)) == len(set(names))
    assert all(text == name for text, name in zip(short, names, strict=True) if len(name) <= width)


class Named:
    """As much of an entry as a name needs."""

    def __init__(self, name: str, label: str, model: str = "") -> None:
        self.label, self.model = label, model
        self.record = type("R", (), {"predictor": type("P", (), {"name": name})})


def test_rows_are_told_apart_by_model_then_by_what_they_differ_in():
    small, large = "smol (135M, Q4_1, aa)", "qwen (630M, Q4_K_M, bb)"
    rows = [
        Named("icl", "icl (model=smol.gguf)", small),
        Named("icl", "icl (model=qwen.gguf)", large),
        Named("ntp", "ntp (model=smol.gguf, epochs=3)", small),
        Named("ntp", "ntp (model=smol.gguf, epochs=10)", small),
        Named("knn", "knn"),
    ]
    assert row_names(rows, 40, 40) == [
        ("icl", "smol"),
        ("icl", "qwen"),
        ("ntp (epochs=3)", "smol"),
        ("ntp (epochs=10)", "smol"),
        ("knn", ""),
    ]
    twice = [
        Named("icl", "icl (model=a)", "smol (135M, Q4_1, aa)"),
        Named("icl", "icl (x)", "smol (135M, Q8_0, cc)"),
    ]
    assert len(set(row_names(twice, 12, 12))) == 2
    equal = [Named("same", "same"), Named("same", "same")]
    assert len(set(row_names(equal, 9, 9))) == 2
