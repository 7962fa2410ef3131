"""Files that somebody else wrote: each kind that is no plain file, or no strict JSON or TOML, is one line."""

from __future__ import annotations

import json
import os
import socket
import threading
import tracemalloc
from pathlib import Path

import pytest
from pydantic import BaseModel

from popeq.board.signed import read_board
from popeq.dataset_folder import read_dataset
from popeq.errors import PopeqError
from popeq.others_files import (
    MOST_DEPTH,
    UnreadableFileError,
    parse_json,
    parse_toml,
    read_model,
    read_plain,
    read_text,
)
from popeq.runs.card import read_card
from popeq.runs.folder import Run
from popeq.runs.job import read_report
from popeq.runs.predictions import read_predictions
from popeq.runs.record import read_record
from popeq.space import PLANE
from popeq.sweeping import read_sweep
from popeq.tuning.record import read_tuning
from popeq_audio.listening.plan import Plan

pytest.importorskip("torch", reason="language models are not installed")
from popeq_peft.records import read_record as read_member


def dataset_with(file: str):
    def read(path: Path) -> object:
        folder = path.parent / f"data-{path.name}"
        folder.mkdir()
        (folder / "dataset.toml").write_text('name = "x"\n', encoding="utf-8")
        (folder / "prompts.csv").write_text("prompt_id,text,category\n", encoding="utf-8")
        (folder / file).unlink(missing_ok=True)
        path.rename(folder / file)
        return read_dataset(folder)

    return read


def read_of_folder(name: str, read):
    def call(path: Path) -> object:
        folder = path.parent / f"folder-{path.name}"
        folder.mkdir()
        path.rename(folder / name)
        return read(folder)

    return call


#: What reads a file of somebody else's, each by its path; those that a person names may be links.
READERS = {
    "card": read_card,
    "record": read_record,
    "run": read_of_folder("run.json", Run.open),
    "board": read_of_folder("board.json", read_board),
    "tuning": read_tuning,
    "report": read_report,
    "prompts": dataset_with("prompts.csv"),
    "predictions": lambda path: read_predictions(path, ("p",), 1, PLANE),
    "sweep": read_sweep,
    "plan": Plan.read,
}
NAMED = {"predictions", "sweep", "plan"}


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link(path: Path) -> None:
    other = path.with_name("elsewhere")
    other.write_text("{}", encoding="utf-8")
    path.symlink_to(other)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize("kind", [fifo, device, link, listening])
@pytest.mark.parametrize("reader", READERS)
def test_no_reader_hangs_at_or_follows_what_is_no_plain_file(tmp_path, monkeypatch, reader, kind):
    monkeypatch.chdir(tmp_path)
    kind(Path("file"))
    with pytest.raises(PopeqError) as caught:
        READERS[reader](Path("file").absolute())
    if kind is not link or reader not in NAMED:
        assert "only plain files are read" in str(caught.value)


def test_a_record_of_a_member_that_is_a_fifo_counts_as_none(tmp_path):
    fifo(tmp_path / "popeq.json")
    assert read_member(tmp_path) is None


def test_a_link_is_followed_only_where_a_person_names_it(tmp_path):
    link(tmp_path / "link")
    assert read_plain(tmp_path / "link", 10, follow=True) == b"{}"
    with pytest.raises(
        UnreadableFileError, match=r"link: cannot be read: is a link; only plain files are read$"
    ):
        read_plain(tmp_path / "link", 10)


def test_what_is_missing_a_folder_or_not_to_be_read_says_so(tmp_path):
    with pytest.raises(UnreadableFileError, match="the file is missing") as caught:
        read_plain(tmp_path / "nothing", 10)
    assert caught.value.missing
    with pytest.raises(UnreadableFileError, match="is a folder"):
        read_plain(tmp_path, 10)
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        read_plain("a\0b", 10)
    (tmp_path / "text").write_bytes(b"ab\xff")
    with pytest.raises(UnreadableFileError, match="byte 2 is not UTF-8"):
        read_text(tmp_path / "text")


def test_size_is_bounded_also_of_a_file_that_grows_while_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 11)
    with pytest.raises(UnreadableFileError, match="has 11 bytes; 10 at most are read") as caught:
        read_plain(path, 10)
    assert caught.value.too_large
    assert read_plain(path, 11) == b"x" * 11
    true_fstat = os.fstat

    def before_it_grew(descriptor: int) -> os.stat_result:
        with path.open("ab") as stream:
            stream.write(b"y")
        status = list(true_fstat(descriptor))
        status[6] = 11
        return os.stat_result(status)

    monkeypatch.setattr(os, "fstat", before_it_grew)
    with pytest.raises(UnreadableFileError, match="has more than 11 bytes"):
        read_plain(path, 11)


def test_a_file_that_becomes_a_fifo_between_look_and_opening_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"x")
    true_open = os.open

    def exchanged(name, flags, *rest, **named):
        path.unlink()
        os.mkfifo(path)
        return true_open(name, flags, *rest, **named)

    monkeypatch.setattr(os, "open", exchanged)
    done = threading.Event()

    def read() -> None:
        with pytest.raises(UnreadableFileError, match="FIFO"):
            read_plain(path, 10)
        done.set()

    threading.Thread(target=read, daemon=True).start()
    assert done.wait(5.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' is there twice"),
        ("[" * (MOST_DEPTH + 1) + "]" * (MOST_DEPTH + 1), f"more than {MOST_DEPTH} lists or objects"),
        ("[" * 100_000 + "]" * 100_000, f"more than {MOST_DEPTH} lists or objects"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, f"more than {MOST_DEPTH} lists or objects"),
        ("[NaN]", "NaN is not a finite number"),
        ("[-Infinity]", "-Infinity is not a finite number"),
        ("[1e999]", "1e999 is not a finite number"),
        ('["\\ud800"]', "half a character"),
        ('{"\\udfff": 1}', "half a character"),
        ("1" * 5000, "digits"),
        (b"\xff", "byte 0 is not UTF-8"),
        ("{", "Expecting"),
    ],
)
def test_json_is_strict(text, says):
    with pytest.raises(ValueError, match=says) as caught:
        parse_json(text)
    assert "\n" not in str(caught.value)


def test_json_that_is_right_is_read_as_json_reads_it():
    text = '{"a": ["\\ud83d\\ude00", 1, 2.5, -1e-3, true, null, {}], "A": {"a": []}}'
    assert parse_json(text) == json.loads(text)
    assert parse_json("[NaN, Infinity]", nan=True)[1] == float("inf")
    deepest = "[" * MOST_DEPTH + "]" * MOST_DEPTH
    assert parse_json(deepest) == json.loads(deepest)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = " + "[" * 50_000 + "]" * 50_000, "lists or objects inside each other"),
        (".".join("a" * 1000) + " = 1", "lists or objects inside each other"),
        ("[" + ".".join("a" * 1000) + "]", "lists or objects inside each other"),
        ("a = 1\na = 2", "Cannot overwrite"),
        ("a = nan", "not a finite number"),
        ("a = inf", "not a finite number"),
        (b"a = '\xff'", "not UTF-8"),
    ],
)
def test_toml_is_strict(text, says):
    with pytest.raises(ValueError, match=says) as caught:
        parse_toml(text)
    assert "\n" not in str(caught.value)
    assert parse_toml("a = 1") == {"a": 1}


class Small(BaseModel, extra="forbid"):
    n: int


def test_a_model_names_the_field_that_is_wrong(tmp_path):
    path = tmp_path / "file.json"
    path.write_text('{"n": 3}', encoding="utf-8")
    assert read_model(path, Small) == Small(n=3)
    path.write_text('{"n": "three"}', encoding="utf-8")
    with pytest.raises(UnreadableFileError, match=r"file\.json: cannot be read: field n: "):
        read_model(path, Small)
    path.write_text('{"n": 1, "n": 2}', encoding="utf-8")
    with pytest.raises(UnreadableFileError, match=r"is not JSON in UTF-8: the key 'n' is there twice"):
        read_model(path, Small)


@pytest.mark.parametrize("reader", ["card", "record", "run", "board", "tuning", "report", "plan"])
def test_no_reader_takes_a_key_twice_or_nesting_without_an_end(tmp_path, reader):
    (tmp_path / "twice").write_text('{"schema_version": 1, "schema_version": 2}', encoding="utf-8")
    with pytest.raises(PopeqError, match="'schema_version' is there twice"):
        READERS[reader](tmp_path / "twice")
    (tmp_path / "deep").write_text('{"a":' * 5000 + "1" + "}" * 5000, encoding="utf-8")
    with pytest.raises(PopeqError, match="inside each other"):
        READERS[reader](tmp_path / "deep")


def test_a_deep_dataset_card_is_one_problem(tmp_path):
    path = tmp_path / "dataset.toml"
    path.write_text("a = " + "[" * 50_000 + "]" * 50_000, encoding="utf-8")
    with pytest.raises(PopeqError, match=r"dataset\.toml: is not TOML: has more than 64 lists"):
        dataset_with("dataset.toml")(path)


def test_line_ends_alone_take_a_small_multiple_of_their_size(tmp_path):
    size = 600_000
    path = tmp_path / "file.csv"
    path.write_bytes(b"\n" * size)
    tracemalloc.start()
    try:
        with pytest.raises(PopeqError, match="the file is empty"):
            read_predictions(path, tuple(f"p{i}" for i in range(10)), 1000, PLANE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * size
