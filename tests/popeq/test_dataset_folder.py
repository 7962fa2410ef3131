"""Reading, checking and writing data set folders: every problem at once, with file, row and column."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popeq.dataset import Dataset
from popeq.dataset_folder import read_dataset, write_dataset
from popeq.errors import InvalidInputError, UsageError
from tests.conftest import write_small_dataset


def problems(folder) -> list[str]:
    with pytest.raises(InvalidInputError) as caught:
        read_dataset(folder)
    return [str(p) for p in caught.value.problems]


def edit(path, old: str, new: str, count: int = 1) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


def test_a_split_is_one_stage_and_folds_are_tested_once_each(tmp_path):
    split = read_dataset(write_small_dataset(tmp_path / "a"))
    (stage,) = split.stages
    assert (len(stage.train), len(stage.validation), len(stage.test)) == (6, 2, 4)
    folded = read_dataset(write_small_dataset(tmp_path / "b", folds=True))
    assert [s.name for s in folded.stages] == ["fold-0", "fold-1", "fold-2"]
    tested = [p for s in folded.stages for p in s.test]
    assert sorted(tested) == sorted(folded.prompts["prompt_id"])
    for s in folded.stages:
        assert not set(s.train) & set(s.test)
        assert len(s.train) + len(s.test) == 12
        assert s.validation == ()
    assert folded.test_ids == tuple(folded.prompts["prompt_id"])


@pytest.fixture
def in_panels(tmp_path):
    """A data set whose prompts p00 to p05 are of panel a and the others of panel b, 3 folds."""
    folder = write_small_dataset(tmp_path / "in_panels", folds=True)
    prompts = pd.read_csv(folder / "prompts.csv", dtype=str)
    panel = np.where(prompts["prompt_id"] < "p06", "a", "b")
    prompts.assign(panel=panel).to_csv(folder / "prompts.csv", index=False)
    responses = pd.read_csv(folder / "responses.csv", dtype=str)
    responses["listener_id"] += np.where(responses["prompt_id"] < "p06", "", "-b")
    responses.to_csv(folder / "responses.csv", index=False)
    return folder


def test_each_panel_of_a_fold_is_tested_by_a_fit_on_the_other_panels_of_other_folds(in_panels):
    data = read_dataset(in_panels)
    assert [s.name for s in data.stages] == [f"fold-{f}-{p}" for f in range(3) for p in "ab"]
    first = data.stages[0]
    assert first.test == ("p00", "p03")
    assert first.train == ("p07", "p08", "p10", "p11")
    assert sorted(p for s in data.stages for p in s.test) == sorted(data.prompts["prompt_id"])
    edit(in_panels / "prompts.csv", ",a", ",c", count=6)
    assert read_dataset(in_panels).revision != data.revision


def test_panels_that_share_a_listener_or_leave_nothing_to_train_on_are_problems(in_panels):
    edit(in_panels / "responses.csv", "l2-b", "l2", count=1)
    (found,) = problems(in_panels)
    assert found.startswith("responses.csv")
    assert "'l2' answers panel 'b' here, panel 'a' in row 4" in found
    edit(in_panels / "prompts.csv", ",a", ",A", count=1)
    assert any("'A' is not the name of a panel" in p for p in problems(in_panels))
    edit(in_panels / "prompts.csv", ",A", ",b", count=1)
    edit(in_panels / "prompts.csv", ",a", ",b", count=5)
    assert any("no prompt of another fold and panel to train on" in p for p in problems(in_panels))
    edit(in_panels / "prompts.csv", "fold", "split")
    assert any("needs the column fold in place of split" in p for p in problems(in_panels))


def test_a_prompt_carries_no_answer_and_answers_are_read_only(small):
    data = read_dataset(small)
    prompt = data.unlabelled(["p08"])[0]
    assert prompt.text == "make it sound like number 8"
    assert not hasattr(prompt, "responses")
    with pytest.raises(ValueError, match="read-only"):
        data.points("p08")[0, 0] = 1.0


def test_the_revision_depends_on_content_alone(tmp_path):
    first = read_dataset(write_small_dataset(tmp_path / "a"))
    shuffled = write_small_dataset(tmp_path / "b", name="another-name")
    for name in ("prompts.csv", "responses.csv"):
        frame = pd.read_csv(shuffled / name, dtype=str)
        mixed = frame.sample(frac=1, random_state=0)[list(reversed(frame.columns))]
        mixed.to_csv(shuffled / name, index=False, lineterminator="\r\n")
    (shuffled / "README.md").write_text("a card")
    assert read_dataset(shuffled).revision == first.revision
    edit(shuffled / "prompts.csv", "number 3", "number three")
    assert read_dataset(shuffled).revision != first.revision
    other = write_small_dataset(tmp_path / "c")
    responses = (other / "responses.csv").read_text().splitlines()
    x = responses[1].split(",")
    x[2] = repr(float(np.nextafter(float(x[2]), 0)))
    (other / "responses.csv").write_text("\n".join([responses[0], ",".join(x), *responses[2:]]))
    assert read_dataset(other).revision != first.revision


def test_what_is_written_reads_back_the_same(small, tmp_path):
    data = read_dataset(small)
    written = write_dataset(data, tmp_path / "out", "# card\n")
    assert written.revision == data.revision
    assert (tmp_path / "out" / "README.md").read_text() == "# card\n"
    with pytest.raises(UsageError, match="already exists"):
        write_dataset(data, tmp_path / "out", "# card\n")


def test_an_invalid_data_set_leaves_nothing_behind(small, tmp_path):
    data = read_dataset(small)
    responses = data.responses.copy()
    responses.loc[0, "x_db"] = 99.0
    with pytest.raises(InvalidInputError, match="outside"):
        write_dataset(Dataset(data.card, data.prompts, responses, data.listeners), tmp_path / "out", "")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["small"]


ROWS = {
    "NaN": ("nan", "responses.csv, row 2, column x_db: nan is not a finite number"),
    "infinity": ("-inf", "responses.csv, row 2, column x_db: -inf is not a finite number"),
    "text": ("abc", "responses.csv, row 2, column x_db: 'abc' is not a number"),
    "empty": ("", "responses.csv, row 2, column x_db: is empty; needs a number"),
    "out of the box": ("6.01", "responses.csv, row 2, column x_db: 6.01 is outside [-6, 6] dB"),
}


@pytest.mark.parametrize("kind", ROWS)
def test_a_bad_number_is_named_with_row_and_column(small, kind):
    value, message = ROWS[kind]
    lines = (small / "responses.csv").read_text().splitlines()
    cells = lines[1].split(",")
    cells[2] = value
    (small / "responses.csv").write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]))
    assert problems(small) == [message]


def test_all_problems_of_all_files_come_at_once(small):
    edit(small / "prompts.csv", "p03,", "p02,")
    edit(small / "prompts.csv", "colour,validation", "colour,valid")
    edit(small / "prompts.csv", "make it sound like number 5", "")
    edit(small / "responses.csv", "p00,l0", "p00,l1")
    edit(small / "responses.csv", "p01,l2", "p99,l2")
    (small / "listeners.csv").write_text("listener_id,group\nl0,a\nl0,b\nghost,\n")
    found = problems(small)
    expected = [
        "prompts.csv, row 5, column prompt_id: 'p02' is already in row 4",
        "prompts.csv, row 7, column text: is empty",
        "prompts.csv, row 8, column split: 'valid' is not one of train, validation, test",
        "responses.csv, row 3, column listener_id: the answer of listener 'l1' to 'p00' is already in row 2",
        "responses.csv, row 9, column prompt_id: 'p99' is not in prompts.csv",
        "listeners.csv, row 3, column listener_id: 'l0' is already in row 2",
        "listeners.csv, row 4, column listener_id: 'ghost' is not in responses.csv",
        "listeners.csv, row 4, column group: is empty",
    ]
    for line in expected:
        assert line in found
    assert any("'p03' is not in prompts.csv" in p for p in found)


def test_a_prompt_without_responses_is_named(small):
    lines = (small / "responses.csv").read_text().splitlines()
    (small / "responses.csv").write_text("\n".join(line for line in lines if not line.startswith("p07,")))
    assert problems(small) == ["prompts.csv, row 9, column prompt_id: 'p07' has no row in responses.csv"]


def test_missing_unknown_and_repeated_columns(small):
    edit(small / "responses.csv", "x_db,y_db", "x_dB,y_db,y_db")
    edit(small / "prompts.csv", "category", "kategory")
    found = problems(small)
    assert "responses.csv, row 1, column x_db: the column is missing" in found
    assert "responses.csv, row 1, column x_dB: unknown column; did you mean 'x_db'?" in found
    assert "responses.csv, row 1, column y_db: the column is there twice" in found
    assert "prompts.csv, row 1, column category: the column is missing" in found


def test_a_wrong_header_does_not_hide_what_is_wrong_below(small):
    edit(small / "prompts.csv", "category", "categroy")
    edit(small / "responses.csv", "p01,l2", "p99,l2")
    found = problems(small)
    assert "prompts.csv, row 1, column category: the column is missing" in found
    assert "responses.csv, row 9, column prompt_id: 'p99' is not in prompts.csv" in found
    assert len(found) == 3


def test_another_separator_is_said_once(small):
    text = (small / "responses.csv").read_text().replace(",", ";")
    (small / "responses.csv").write_text(text)
    assert problems(small) == ["responses.csv, row 1: fields are separated by ';'; popeq reads commas"]


def test_a_file_that_breaks_off_does_not_blame_the_others(small):
    edit(small / "prompts.csv", "make it sound like number 5", '"make it sound')
    found = problems(small)
    assert len(found) == 1
    assert found[0].startswith("prompts.csv, row 7: is not CSV")


def test_a_second_panel_must_be_there_and_fit(tmp_path):
    from popeq import load_dataset

    first = write_small_dataset(tmp_path / "a")
    (first / "dataset.toml").write_text((first / "dataset.toml").read_text() + 'second_panel = "../b"\n')
    with pytest.raises(UsageError, match="is not a folder"):
        load_dataset(first)
    second = write_small_dataset(tmp_path / "b", prompts=14)
    with pytest.raises(UsageError, match=r"second_panel '\.\./b' must have the same test prompts"):
        load_dataset(first)
    write_small_dataset(second, seed=5)
    assert load_dataset(first).card.second_panel == "../b"


def test_split_and_fold_exclude_each_other(tmp_path):
    folder = write_small_dataset(tmp_path / "a", folds=True)
    edit(folder / "prompts.csv", "colour,2", "colour,two")
    assert problems(folder) == ["prompts.csv, row 4, column fold: 'two' is not a whole number from 0"]
    text = (folder / "prompts.csv").read_text().replace("category,fold", "category")
    (folder / "prompts.csv").write_text(text)
    assert any("needs exactly one of the columns split and fold" in p for p in problems(folder))


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("responses.csv", b"", "the file is empty"),
        ("responses.csv", b"prompt_id,listener_id,x_db,y_db\n", "has a header but no rows"),
        ("prompts.csv", b"\xff\xfe\x00", "byte 0 is not UTF-8; save the file as UTF-8"),
        ("prompts.csv", b'prompt_id,text,category,split\np1,"open', "is not CSV"),
        ("dataset.toml", b"name = ", "is not TOML"),
        ("dataset.toml", b"\xff", "is not UTF-8"),
        ("responses.csv", None, "the file is missing"),
    ],
)
def test_files_that_cannot_be_read(small, file, content, says):
    if content is None:
        (small / file).unlink()
    else:
        (small / file).write_bytes(content)
    assert any(p.startswith(file) and says in p for p in problems(small))


def test_the_card_is_checked_field_by_field(small):
    (small / "dataset.toml").write_text('name = "Bad Name"\nversion = "1"\ntitle = "t"\nlicense = "MIT"\n')
    found = problems(small)
    for field in ("name", "licence", "citation", "simulated", "license"):
        assert any(f"column {field}:" in p for p in found), field


def test_no_test_prompt_no_data_set(small):
    text = (small / "prompts.csv").read_text().replace(",test", ",train")
    (small / "prompts.csv").write_text(text)
    assert problems(small) == ["prompts.csv, column split: no prompt has the split 'test'"]


def test_a_row_with_too_many_fields(small):
    edit(small / "prompts.csv", "number 0", "number 0, really")
    assert "prompts.csv, row 2: has 5 fields where the header has 4" in problems(small)


def test_a_folder_that_is_no_data_set(tmp_path):
    with pytest.raises(UsageError, match="is not a data set folder; it needs"):
        read_dataset(tmp_path)
    with pytest.raises(UsageError, match="is not a folder"):
        read_dataset(tmp_path / "nowhere")


def test_a_byte_order_mark_and_blank_lines_do_no_harm(small):
    text = (small / "responses.csv").read_text().replace("\n", "\n\n", 3)
    (small / "responses.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert len(read_dataset(small).responses) == 60


def test_one_text_in_two_unicode_forms_is_one_revision(tmp_path):
    revisions = set()
    for name, word in (("a", "caf\u00e9"), ("b", "cafe\u0301")):
        folder = write_small_dataset(tmp_path / name)
        edit(folder / "prompts.csv", "number 4", word)
        revisions.add(read_dataset(folder).revision)
    assert len(revisions) == 1
