"""A cache gives back what it was given, or nothing: never another question's answer, never a traceback."""

from __future__ import annotations

import json
import os
import time
import warnings

import pytest

from popeq.caches import NOWHERE, SINCE, ContentCache, asking_again, cache_folder
from popeq.errors import UsageError
from popeq.remarks import Remark

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
    with pytest.warns(Remark, match="nothing is kept for the next command"):
        cache.put(QUESTION, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.put([1], 1)  # it has been said
    assert cache.get(QUESTION) is None
    cache.forget(QUESTION)
    with pytest.raises(UsageError, match=r"cannot write the cache in .*; set POPEQ_CACHE"):
        cache.put(QUESTION, 1, required=True)


def test_without_a_home_there_is_no_cache_and_one_remark(tmp_path, monkeypatch):
    def nobody(_):
        raise KeyError

    for name in ("HOME", "POPEQ_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.setattr("popeq.remarks._said", set())
    with pytest.warns(Remark, match="there is no home folder; set POPEQ_CACHE"):
        assert cache_folder() == NOWHERE
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache = ContentCache("kind")
        cache.put(QUESTION, 1)
    assert cache.get(QUESTION) is None
    with pytest.raises(UsageError, match="cannot write the cache"):
        cache.put(QUESTION, 1, required=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "popeq"


def test_a_cache_folder_that_cannot_be_made_is_none_and_one_that_is_there_is_read(tmp_path, monkeypatch):
    place = tmp_path / "home" / ".cache"
    monkeypatch.setenv("POPEQ_CACHE", str(place))
    assert cache_folder() == place
    ContentCache("kind").put(QUESTION, 1)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everything
    assert ContentCache("kind").get(QUESTION) == 1
    monkeypatch.setenv("POPEQ_CACHE", str(tmp_path / "another"))
    with pytest.warns(Remark, match="another cannot be made; set POPEQ_CACHE"):
        assert cache_folder() == NOWHERE


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
