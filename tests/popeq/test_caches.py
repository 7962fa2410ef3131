"""A cache gives back what it was given, or nothing: never another question's answer, never a traceback."""

from __future__ import annotations

import json
import os
import time

import pytest

from popeq.caches import SINCE, ContentCache, asking_again
from popeq.errors import UsageError

QUESTION = {"model": "m", "text": "日本語 \udcff", "parts": [1, 2.5, None]}


def test_an_answer_is_found_by_an_equal_question_alone(tmp_path):
    cache = ContentCache("kind", folder=tmp_path)
    assert cache.get(QUESTION) is None
    cache.put(QUESTION, ["a", None, 0.1])
    assert ContentCache("kind", folder=tmp_path).get(dict(reversed(QUESTION.items()))) == ["a", None, 0.1]
    assert cache.get(QUESTION | {"model": "n"}) is None
    assert ContentCache("other", folder=tmp_path).get(QUESTION) is None
    path = cache.path(QUESTION)
    assert path.parent == tmp_path / "kind" / path.name[:2]
    assert (path.suffix, len(path.stem)) == (".json", 64)
    cache.put(("a", 1), "a tuple is a list in JSON")
    assert cache.get(["a", 1]) == "a tuple is a list in JSON"
    cache.forget(QUESTION)
    cache.forget(QUESTION)
    assert cache.get(QUESTION) is None


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b"[1]", b"[" * 100_000, "other"])
def test_a_damaged_entry_is_absent_and_is_replaced(tmp_path, damage):
    cache = ContentCache("kind", folder=tmp_path)
    cache.put(QUESTION, 1)
    entry = json.dumps({"question": "another", "answer": 2}).encode()
    cache.path(QUESTION).write_bytes(entry if damage == "other" else damage)
    assert cache.get(QUESTION) is None
    cache.put(QUESTION, 3)
    assert cache.get(QUESTION) == 3
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [cache.path(QUESTION).name]


def test_a_folder_that_cannot_be_written_keeps_nothing_unless_that_is_required(tmp_path):
    (tmp_path / "file").write_text("")
    cache = ContentCache("kind", folder=tmp_path / "file")
    cache.put(QUESTION, 1)
    assert cache.get(QUESTION) is None
    assert ContentCache.write(cache.path(QUESTION), b"x") != ""
    with pytest.raises(UsageError, match=r"cannot write the cache in .*; set POPEQ_CACHE"):
        cache.put(QUESTION, 1, required=True)


def test_what_was_kept_before_is_absent_for_caches_that_ask_again(tmp_path):
    before = ContentCache("kind", folder=tmp_path)
    before.put(QUESTION, 1)
    with asking_again():
        fresh = ContentCache("kind", folder=tmp_path)
    assert fresh.get(QUESTION) is None
    assert before.get(QUESTION) == ContentCache("kind", folder=tmp_path).get(QUESTION) == 1
    fresh.put(QUESTION, 2)
    os.utime(fresh.path(QUESTION), (time.time() + 1, time.time() + 1))  # clocks of files may be coarse
    assert fresh.get(QUESTION) == 2
    assert SINCE not in os.environ
