"""Who answers at a server: part of what its answers are kept by, and held against every answer."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from tests.popeq_llm.fake_server import FakeServer, is_probe, right_answer, serving

from popeq.caches import asking_again
from popeq.errors import ChangedError
from popeq_llm.answers import AnswerFormat, FreeText
from popeq_llm.models import Message
from popeq_llm.served import ServedModel
from popeq_llm.served_client import Patience
from popeq_llm.served_reply import Source, listing_of, read_reply

ONE = AnswerFormat()
CHATS = [(Message("system", "Answer."), Message("user", f"Sentence: number {i}")) for i in range(2)]
FIRST = {"model": "weights-1", "system_fingerprint": "fp_1"}
SECOND = {"model": "weights-2", "system_fingerprint": "fp_2"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POPEQ_CACHE", str(tmp_path / "cache"))


class Shifted(FakeServer):
    """Answers that depend on who is said to answer."""

    def answer(self, raw, body, handler):
        status, content = super().answer(raw, body, handler)
        held = json.loads(content)
        shift = 1000 * [FIRST, SECOND].index(self.says) if self.says else 0
        if not is_probe(body):
            for j, choice in enumerate(held["choices"]):
                choice["message"]["content"] = right_answer(body["seed"] + shift, j, 1)
        return status, json.dumps(held).encode()


def model_at(server, **more) -> ServedModel:
    return ServedModel("fake", server.url, patience=Patience(2, 0.01, 5), **more)


def drawn(model, chats=CHATS, form=ONE, n=6):
    return model.generate(chats, n, form, [np.random.default_rng([7, i]) for i in range(len(chats))]).answers


def asked(server):
    return [body for body in server.bodies if not is_probe(body)]


@pytest.mark.parametrize("changed", [{"model": "weights-2"}, {"system_fingerprint": "fp_2"}])
def test_other_weights_behind_a_name_are_asked_and_each_keeps_its_own_answers(changed):
    with serving(FakeServer(says=FIRST)) as server:
        first = model_at(server)
        drawn(first)
        assert first.info.answered_by == "weights-1, system_fingerprint fp_1"
        paid = len(asked(server))
        drawn(model_at(server))
        assert len(asked(server)) == paid, "the same answers"
        server.says = FIRST | changed
        second = model_at(server)
        drawn(second)
        assert len(asked(server)) == 2 * paid, "another answers"
        assert second.info.answered_by != first.info.answered_by
        server.says = FIRST
        drawn(model_at(server))
        assert len(asked(server)) == 2 * paid, "the first's answers are still there"


def test_what_a_server_can_do_is_found_out_again_when_another_model_answers():
    with serving(FakeServer(says=FIRST, binds="response_format")) as server:
        drawn(model_at(server))
        server.says, server.binds = SECOND, ""
        second = model_at(server)
        drawn(second)
        assert "read by the strict parser" in " ".join(second.info.notes)


def test_a_change_in_the_middle_ends_everything_with_one_line_and_mixes_nothing():
    with serving(Shifted(says=FIRST)) as server:
        model = model_at(server)
        before = drawn(model, CHATS[:1])
        server.says = SECOND
        with pytest.raises(ChangedError) as caught:
            drawn(model)
        line = str(caught.value)
        assert re.match(
            r"fake at http://127\.0\.0\.1:\d+/v1: another model answers than before: the server said", line
        )
        assert "weights-1, system_fingerprint fp_1" in line
        assert "weights-2, system_fingerprint fp_2" in line
        assert "--fresh" in line
        assert "\n" not in line
        second = drawn(model_at(server))
        assert second[0] != before[0]
        server.says = FIRST
        assert drawn(model_at(server), CHATS[:1]) == before, "nothing of the second is kept for the first"


def test_a_server_that_says_nothing_of_itself_is_noted():
    with serving(FakeServer()) as server:
        model = model_at(server)
        drawn(model)
        assert "--fresh asks again" in " ".join(model.info.notes)
        server.says = FIRST
        named = model_at(server)
        drawn(named)
        assert "--fresh" not in " ".join(named.info.notes)


@pytest.mark.parametrize("form", [ONE, FreeText(16)], ids=["setting", "text"])
def test_fresh_asks_again_once(form):
    with serving(FakeServer(says=FIRST)) as server:
        drawn(model_at(server), form=form)
        paid = len(asked(server))
        with asking_again():
            model = model_at(server)
        drawn(model, form=form)
        assert len(asked(server)) == 2 * paid
        drawn(model, form=form)
        assert len(asked(server)) == 2 * paid, "what is asked since then is kept"
        drawn(model_at(server), form=form)
        assert len(asked(server)) == 2 * paid


def test_what_an_answer_depends_on_is_part_of_its_key():
    with serving(FakeServer(says=FIRST)) as server:
        paid = 0
        for more in ({}, {"temperature": 0.9}, {"max_tokens": 500}, {"extra_body": {"top_k": 5}}):
            drawn(model_at(server, **more))
            assert len(asked(server)) > paid
            paid = len(asked(server))
        assert asked(server)[-1]["top_k"] == 5


def test_a_list_of_models_counts_by_weights_and_not_by_times():
    def listed(**more):
        return json.dumps({"data": [{"id": "a.gguf", "created": 1, **more}, {"id": "b"}]}).encode()

    sized = listing_of(listed(meta={"n_params": 5}), "a.gguf")
    assert re.fullmatch("[0-9a-f]{8}", sized)
    assert listing_of(listed(meta={"n_params": 5}, created=2, permission=[3]), "a.gguf") == sized
    assert listing_of(listed(meta={"n_params": 6}), "a.gguf") != sized
    for nothing in (listed(), b"", b"[]", b"{", b'{"data": 3}', b'{"data": [3]}', b'{"data": []}'):
        assert listing_of(nothing, "a.gguf") == ""


def test_a_servers_list_of_models_is_part_of_who_answers():
    class Lists(FakeServer):
        size = 1

    with serving(Lists(says={"model": "fake"})) as server:

        def do_get(handler):
            content = json.dumps({"data": [{"id": "fake", "meta": {"size": server.size}}]}).encode()
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)

        server._server.RequestHandlerClass.do_GET = do_get
        drawn(model_at(server))
        paid = len(asked(server))
        drawn(model_at(server))
        assert len(asked(server)) == paid
        server.size = 2
        other = model_at(server)
        drawn(other)
        assert len(asked(server)) == 2 * paid
        assert "listed as" in other.info.answered_by


def test_no_folder_of_the_servers_machine_is_shown():
    one, other = Source("/srv/a/model.gguf"), Source("/srv/b/model.gguf")
    assert str(one).startswith("model.gguf (path ")
    assert "/srv" not in str(one)
    assert str(one) != str(other)
    reply = read_reply(b'{"choices": [], "model": "a\\u001b[0m", "system_fingerprint": 3}')
    assert reply.source == Source("a [0m", "")
