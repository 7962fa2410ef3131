"""Free text through the models' one protocol: sampled as the model says, repeatable, whole lines only."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.popeq_llm.fake_server import Loopback, choices, is_probe, right_answer, serving

from popeq.errors import PromptsError
from popeq_llm.answers import FreeText, whole_lines
from popeq_llm.local import LocalModel
from popeq_llm.models import Message
from popeq_llm.served import ServedModel
from popeq_llm.served_client import Patience
from popeq_llm.token_by_token import free_samples

CHATS = [(Message("system", "Rewrite."), Message("user", f"Sentence {i}")) for i in range(3)]


def generators(seed=0):
    return [np.random.default_rng([seed, i]) for i in range(len(CHATS))]


def test_a_text_that_was_cut_loses_its_last_line():
    assert whole_lines(" one\ntwo\n", ended=True) == "one\ntwo"
    assert whole_lines("one\ntwo\nthr", ended=False) == "one\ntwo"
    assert whole_lines("one", ended=False) == ""


def test_tokens_come_as_often_as_the_model_says(model_folders):
    model = LocalModel(str(model_folders("llama")), device="cpu", dtype="float32").model
    context = [5, 9, 3, 7]
    with torch.no_grad():
        logits = model(torch.tensor([context])).logits[0, -1, :200].double()
    expected = torch.softmax(logits, 0).numpy()
    drawn = free_samples(model, [context] * 800, {-1}, 1, 200, range(800))
    assert all(len(ids) == 1 and not ended for ids, ended in drawn)
    seen = np.bincount([ids[0] for ids, _ in drawn], minlength=200) / 800
    distance = 0.5 * np.abs(seen - expected).sum()
    noise = 0.5 * np.sqrt(2 / np.pi * expected * (1 - expected) / 800).sum()
    assert distance < 1.5 * noise
    most = int(expected.argmax())
    ended = free_samples(model, [context] * 50, {most}, 4, 200, range(50))
    assert any(over for _, over in ended)
    assert all(most not in ids and (over or len(ids) == 4) for ids, over in ended)


def test_local_texts_depend_on_neither_batch_nor_order(model_folders):
    model = LocalModel(str(model_folders("phi3")), device="cpu", dtype="float32")
    form = FreeText(12)
    together = model.generate(CHATS, 2, form, generators())
    assert together.rejected == (0, 0, 0)
    alone = [model.generate([c], 2, form, [g]).answers[0] for c, g in zip(CHATS, generators(), strict=True)]
    assert alone == together.answers
    other = model.generate(CHATS, 2, form, generators(1)).answers
    assert other != together.answers or not any(t for row in other for t in row)


class Writer(Loopback):
    """Writes two lines that follow from the seed, or nothing, cut off where a test asks for it."""

    finish, empty = "stop", False

    def answer(self, raw, body, handler):
        if is_probe(body):
            return 200, choices([right_answer(body["seed"], j, 5) for j in range(body.get("n", 1))])
        assert "response_format" not in body
        text = "" if self.empty else f"{body['messages'][-1]['content']} so\nseed {body['seed']}"
        return 200, choices([text]).replace(b'"stop"', f'"{self.finish}"'.encode())


def model_at(server):
    return ServedModel("fake", server.url, patience=Patience(backoff_s=0.01), timeout_s=5)


def test_served_texts_are_cached_retried_and_cut_to_whole_lines(tmp_path, monkeypatch):
    monkeypatch.setenv("POPEQ_CACHE", str(tmp_path))
    with serving(Writer(fault=lambda k, _body: "500" if k % 3 == 2 else None)) as server:
        model = model_at(server)
        first = model.generate(CHATS, 1, FreeText(30), generators()).answers
        assert [row[0].splitlines()[0] for row in first] == [f"Sentence {i} so" for i in range(3)]
        assert {b["max_tokens"] for b in server.bodies if not is_probe(b)} == {30}
        before = sum(not is_probe(body) for body in server.bodies)
        assert model_at(server).generate(CHATS, 1, FreeText(30), generators()).answers == first
        after = sum(not is_probe(body) for body in server.bodies)
        assert after == before, "answered from the cache"
        server.finish = "length"
        cut = model.generate(CHATS, 1, FreeText(31), generators()).answers
        assert cut == [[f"Sentence {i} so"] for i in range(3)]


def test_a_server_that_writes_nothing_is_one_line_and_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setenv("POPEQ_CACHE", str(tmp_path))
    with serving(Writer()) as server:
        server.empty = True
        with pytest.raises(PromptsError, match="0 of 16 answers had the form of a text, the last") as caught:
            model_at(server).generate(CHATS[:1], 1, FreeText(), generators()[:1])
        assert "\n" not in str(caught.value)
        server.empty = False
        assert model_at(server).generate(CHATS[:1], 1, FreeText(), generators()[:1]).answers[0][0]
