"""A predictor's process that writes into the kept scores does not change a board."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

import popeq
from popeq import tag_key
from popeq.contract import PredictorSpec
from popeq.tag_key import out_of_reach, tag

#: It looks for the key, halves every kept score, and leaves a key of its own with tags that fit it.
FORGER = """
import hashlib, hmac, io, os, pathlib
import numpy as np
from popeq import tag_key
from popeq.caches import cache_folder

def forged(content, key, name):
    with np.load(io.BytesIO(content[32:])) as arrays:
        arrays = {n: arrays[n] for n in arrays.files}
    arrays["numbers"] = arrays["numbers"] / 2
    out = io.BytesIO()
    np.savez(out, **arrays)
    return hmac.digest(key, name.encode() + bytes(1) + out.getvalue(), hashlib.sha256) + out.getvalue()

class Forger:
    def __init__(self, parameters, space):
        pass

    def fit(self, train, validation, rng):
        folder = cache_folder()
        self.found = [p.name for p in folder.rglob("*") if p.is_file() and p.stat().st_size == 32]
        self.tag = tag_key.tag("name", b"content")
        key = os.urandom(32)
        (folder / "scores.key").write_bytes(key)
        self.changed = 0
        for path in folder.rglob("*.npz"):
            path.write_bytes(forged(path.read_bytes(), key, path.name))
            self.changed += 1

    def sample(self, prompts, n, rngs):
        return np.stack([rng.uniform(-6, 6, (n, 2)) for rng in rngs])

    def describe(self):
        return {"found": self.found, "tag": self.tag, "changed": self.changed}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POPEQ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def forger(tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a_forger.py").write_text(textwrap.dedent(FORGER))
    monkeypatch.syspath_prepend(tmp_path / "code")
    return PredictorSpec("a-forger", "forges", "a_forger:Forger")


def scores(board):
    return dict(zip(board.table["predictor"], board.table["reflective_kantorovich_mean"], strict=True))


def test_what_a_predictor_writes_into_the_kept_scores_is_not_shown(finished, forger, tmp_path, popeq_inside):
    runs = list(finished.runs.values())
    true = scores(popeq.leaderboard(runs))
    (run,) = popeq.run(forger, finished.data, runs_dir=tmp_path / "runs")
    about = run.record.predictor.described
    assert about["changed"] >= len(runs), "the attack found nothing to forge"
    assert about["found"] == []
    assert about["tag"] is None
    # Another process, which has never seen the key, shows what verifying computes.
    folders = [str(r.folder) for r in runs]
    shown = popeq_inside("leaderboard", "show", *folders, "--dataset", finished.data, "--format", "csv")
    fresh = popeq_inside(
        "leaderboard", "show", *folders, "--dataset", finished.data, "--format", "csv", "--recompute"
    )
    assert shown.stdout == fresh.stdout
    assert scores(popeq.leaderboard(runs)) == scores(popeq.leaderboard(runs, keep=False)) == true


def in_another_process(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", f"from popeq.tag_key import out_of_reach, tag\n{code}"],
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip()


def forget() -> None:
    """As if this process had just started."""
    tag_key._known.clear()


def test_the_key_is_readable_by_its_owner_alone_and_the_same_for_the_next_process(cache):
    made = tag("name", b"content")
    assert (cache / "scores.key").stat().st_mode & 0o777 == 0o600
    forget()
    assert tag("name", b"content") == made
    assert tag("other", b"content") != made
    assert tag("name", b"other") != made


def test_while_a_predictor_runs_the_key_is_in_no_file_and_what_it_leaves_is_replaced(cache):
    made, key = tag("name", b"content"), (cache / "scores.key").read_bytes()
    with out_of_reach():
        with out_of_reach():
            assert not (cache / "scores.key").exists()
        assert not (cache / "scores.key").exists(), "the inner block put it back"
        assert tag("name", b"content") == made
        (cache / "scores.key").write_bytes(os.urandom(32))
    assert (cache / "scores.key").read_bytes() == key
    with out_of_reach():
        (cache / "scores.key").mkdir()
    forget()
    assert tag("name", b"content") == made


def test_another_process_has_no_key_meanwhile_and_takes_none_that_lies_there(cache):
    made = tag("name", b"content")
    with out_of_reach():
        (cache / "scores.key").write_bytes(b"x" * 32)
        assert in_another_process("print(tag('name', b'content'))") == "None"
        code = "with out_of_reach(): print(tag('name', b'content'))"
        assert in_another_process(code) == "None"
    forget()
    assert tag("name", b"content") == made


def test_where_another_process_still_runs_predictors_the_key_is_put_back_at_the_end(cache):
    key = tag("name", b"content") and (cache / "scores.key").read_bytes()
    with tag_key._locked(cache) as other:
        tag_key.fcntl.flock(other, tag_key.fcntl.LOCK_SH)
        with out_of_reach():
            pass
        assert not (cache / "scores.key").exists()
    tag_key._put_back_at_exit()
    assert (cache / "scores.key").read_bytes() == key


def test_without_a_cache_folder_predictors_run_and_nothing_is_kept(cache):
    cache.write_text("a file")
    with out_of_reach():
        assert tag("name", b"content") is None
    assert tag("name", b"content") is None
