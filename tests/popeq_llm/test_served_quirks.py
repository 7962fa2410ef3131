"""What servers were reported to do: each works, or fails with its true reason."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from tests.popeq_llm.fake_server import FakeServer, is_probe, serving

from popeq.contract import PredictorSpec
from popeq.errors import RunError, UsageError
from popeq.plugins import registry
from popeq.runs.plan import typed_parameters
from popeq_llm.answers import AnswerFormat, MixtureForm
from popeq_llm.models import Message
from popeq_llm.served import ServedModel
from popeq_llm.served_client import Patience

ONE = AnswerFormat()
CHATS = [(Message("system", "Answer."), Message("user", f"Sentence: number {i}")) for i in range(2)]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POPEQ_CACHE", str(tmp_path / "cache"))


class Quirky(FakeServer):
    """``refuse(body)`` gives a status and a message, or None; ``change`` changes each choice."""

    def __init__(self, refuse=lambda _body: None, change=lambda choice, _body: choice, **more):
        super().__init__(**more)
        self.refuse, self.change = refuse, change

    def answer(self, raw, body, handler):
        if refused := self.refuse(body):
            return refused[0], json.dumps({"error": {"message": refused[1]}}).encode()
        status, content = super().answer(raw, body, handler)
        if status != 200:
            return status, content
        held = json.loads(content)
        held["choices"] = [self.change(choice, body) for choice in held["choices"]]
        return status, json.dumps(held).encode()


def drawn(server, n=6, form=ONE, **more):
    settings = {"patience": Patience(3, 0.01, 5), "timeout_s": 5} | more
    model = ServedModel("fake", server.url, **settings)
    made = model.generate(CHATS, n, form, [np.random.default_rng([7, i]) for i in range(2)])
    assert [len(own) for own in made.answers] == [n, n]
    return model, made


def asked(server):
    return [body for body in server.bodies if not is_probe(body)]


def the_reason(server, **more) -> str:
    with pytest.raises(RunError) as caught:
        drawn(server, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize(
    "says",
    [
        "System role not supported",
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
        "Conversation roles must alternate; system messages are not allowed",
    ],
)
def test_a_template_without_a_system_role_gets_one_turn(status, says):
    server = Quirky(lambda b: (status, says) if b["messages"][0]["role"] == "system" else None)
    with serving(server):
        model, _ = drawn(server)
        assert {len(b["messages"]) for b in asked(server)} == {1}
        assert asked(server)[0]["messages"][0]["content"].startswith("Answer.\n\nSentence: number ")
        assert "no system role" in " ".join(model.info.notes)


def test_a_refused_temperature_is_left_out_where_it_is_one():
    says = "Unsupported parameter: 'temperature' is not supported with this model."
    with serving(Quirky(lambda b: (400, says) if "temperature" in b else None)) as server:
        model, _ = drawn(server)
        assert not any("temperature" in b for b in asked(server))
        assert "does not take: temperature" in " ".join(model.info.notes)
        reason = the_reason(server, temperature=0.7)
        assert "leave -o temperature= out" in reason


def test_of_two_fields_that_exclude_each_other_the_temperature_stays():
    says = "`temperature` and `top_p` cannot both be specified for this model"
    with serving(Quirky(lambda b: (400, says) if {"temperature", "top_p"} <= {*b} else None)) as server:
        drawn(server)
        assert all("temperature" in b and "top_p" not in b for b in asked(server))


def test_a_server_that_turns_top_k_off_by_minus_one_gets_that():
    says = "top_k must be -1 (disable), or at least 1, got 0."
    with serving(Quirky(lambda b: (400, says) if b.get("top_k") == 0 else None)) as server:
        model, _ = drawn(server)
        assert {b["top_k"] for b in asked(server)} == {-1}
        assert "does not take" not in " ".join(model.info.notes)


@pytest.mark.parametrize("status", [400, 404, 422, 500, 501])
@pytest.mark.parametrize("binds", ["response_format", ""])
def test_a_way_of_binding_that_is_refused_with_any_status_is_followed_by_the_next(status, binds):
    refused = {"grammar", "structured_outputs", "response_format"} - {binds}
    server = Quirky(lambda b: (status, "failed to parse it") if refused & {*b} else None, binds=binds)
    with serving(server):
        model, _ = drawn(server)
        assert all(bool(binds) == (binds in b) and not refused & {*b} for b in asked(server))
        assert ("JSON schema" in " ".join(model.info.notes)) == bool(binds)


def test_a_server_that_breaks_down_while_it_is_asked_what_it_can_do_is_not_said_to_refuse():
    broken = iter([False] + [True] * 20)  # the first probe alone is answered
    with serving(Quirky(lambda _b: (500, "gone") if next(broken) else None)) as server:
        assert "attempts failed, the last with status 500 (gone)" in the_reason(server)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ({"message": "model is overloaded", "code": 502}, "status 502 (model is overloaded)"),
        ({"message": "no such field", "code": 400}, "refuses the request with status 200 and an error in it"),
        ({"message": "bad key", "code": "401"}, "OPENAI_API_KEY"),
        ("plain words", "status 500 (plain words)"),
    ],
)
def test_an_error_that_comes_with_status_200_is_an_error(error, says):
    class Polite(FakeServer):
        def answer(self, raw, body, handler):
            return 200, json.dumps({"error": error}).encode()

    with serving(Polite()) as server:
        assert says in the_reason(server)


def test_an_error_in_a_choice_is_an_error_and_is_asked_again():
    times = iter(range(10**6))

    def fails_once(choice, body):
        if not is_probe(body) and next(times) == 0:
            return choice | {"error": {"message": "cut off by the provider", "code": 503}}
        return choice

    with serving(Quirky(change=fails_once)) as server:
        _, made = drawn(server)
        assert sum(made.retried) == 1
        again = drawn(server)[1]
        assert again == made, "the count is kept with the answers"


def in_parts(choice, _body):
    text = choice["message"]["content"]
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "[5.0, 5.0]"}]}
    parts = [thought, {"type": "text", "text": text[:3]}, {"type": "text", "text": text[3:]}]
    return choice | {"message": {"role": "assistant", "content": parts}}


def in_tags(choice, _body):
    text = choice["message"]["content"]
    return choice | {"message": {"content": f"<think>\nPerhaps [5.0, 5.0]?\n</think>\n\n{text}"}}


def behind_an_opened_thought(choice, _body):
    return choice | {"message": {"content": f"hm, [5.0, 5.0] </think> {choice['message']['content']}"}}


@pytest.mark.parametrize("change", [in_parts, in_tags, behind_an_opened_thought])
def test_thoughts_and_parts_are_set_apart(change):
    with serving(Quirky()) as plain:
        expected = drawn(plain)[1]
    with serving(Quirky(change=change)) as server:
        assert drawn(server)[1].answers == expected.answers


def empty(finish="stop", **message):
    def change(choice, _body):
        return choice | {"message": {"content": None, **message}, "finish_reason": finish}

    return change


@pytest.mark.parametrize(
    ("change", "reason", "advice"),
    [
        (empty("length", reasoning_content="hm"), "none were left for an answer", "-o max_tokens=2000"),
        (empty("length", content="<think>hm"), "none were left for an answer", "-o max_tokens=2000"),
        (empty("stop", reasoning="hm"), "thoughts without an answer", "-o max_tokens=2000"),
        (
            empty("stop", content=[{"type": "thinking", "thinking": "hm"}]),
            "thoughts without an answer",
            "max_tokens",
        ),
        (empty("length"), "cut off before any text", "-o max_tokens=2000"),
        (empty(refusal="I'm sorry, no."), 'refuses to answer ("I\'m sorry, no.")', "another model"),
        (
            empty(content=[{"type": "refusal", "refusal": "No."}]),
            "refuses to answer ('No.')",
            "another model",
        ),
        (empty("content_filter"), "a filter of the server", "another model"),
        (empty("tool_calls", tool_calls=[{}]), "called a tool", "another model"),
        (empty(), "nothing (finish reason 'stop')", "another model"),
    ],
)
@pytest.mark.parametrize("probes_too", [True, False])
def test_an_answer_without_text_has_its_true_reason(change, reason, advice, probes_too):
    server = Quirky(change=lambda c, b: change(c, b) if probes_too or not is_probe(b) else c)
    with serving(server):
        said = the_reason(server)
        assert reason in said
        assert advice in said


def test_more_tokens_are_given_to_a_model_that_thinks():
    def thinks(choice, body):
        return choice if body["max_tokens"] >= 2000 else empty("length", reasoning_content="hm")(choice, body)

    with serving(Quirky(change=thinks)) as server:
        assert "max_tokens" in the_reason(server)
        drawn(server, max_tokens=2000)
        assert {b["max_tokens"] for b in asked(server)} == {2000}


def test_answers_that_are_cut_off_are_counted():
    cut = iter(range(10**6))

    def cuts(choice, body):
        if is_probe(body) or next(cut) % 3:
            return choice
        return choice | {"message": {"content": "[1.0, "}, "finish_reason": "length"}

    with serving(Quirky(change=cuts)) as server:
        _, made = drawn(server, n=12)
        assert sum(made.shortened) == sum(made.rejected) > 0
        assert drawn(server, n=12)[1] == made
        counts = made.counts(0)
        assert counts["drawn"] == 12 + counts["rejected"]
        assert counts["rejected_share"] == counts["rejected"] / counts["drawn"]


def test_half_of_the_settings_are_not_thrown_away_for_a_typographic_minus():
    def prints(choice, body):
        text = choice["message"]["content"]
        return choice | {"message": {"content": text.replace("-", "\u2212")}}

    with serving(Quirky(change=prints)) as server:
        _, made = drawn(server, n=40)
        assert not any(made.rejected)
        assert 10 < sum("-" in answer.split(",")[0] for answer in made.answers[0]) < 30


def test_a_mixture_in_words_is_read_with_a_typographic_minus():
    def words(choice, body):
        return (
            choice
            if is_probe(body)
            else choice | {"message": {"content": "60% at [\u22121.5, 2.0] spread 1.2."}}
        )

    with serving(Quirky(change=words)) as server:
        _, made = drawn(server, n=2, form=MixtureForm())
        assert made.answers[0][0] == "60% at [-1.5, 2.0] spread 1.2."


def test_a_server_that_cannot_keep_up_is_to_be_asked_one_by_one():
    class OneSlot(FakeServer):
        def answer(self, raw, body, handler):
            if not is_probe(body):
                time.sleep(0.4)
            return super().answer(raw, body, handler)

    with serving(OneSlot()) as server:
        reason = the_reason(server, timeout_s=0.15, patience=Patience(2, 0.01, 5))
        assert "up to 8 requests are sent at the same time" in reason
        assert "-o concurrency=1" in reason
        alone = the_reason(server, timeout_s=0.15, patience=Patience(2, 0.01, 5), concurrency=1)
        assert "concurrency" not in alone
        assert "-o timeout_s=" in alone


def test_further_fields_go_into_every_request():
    extra = {"chat_template_kwargs": {"enable_thinking": False}, "presence_penalty": 0.5}
    with serving(Quirky()) as server:
        drawn(server, extra_body=extra)
        assert all(b.items() >= extra.items() for b in server.bodies)


def test_the_parameters_are_options_and_absent_from_what_a_run_is_where_they_are_not_given():
    spec: PredictorSpec = registry().predictor("icl-zero")
    plain = typed_parameters(spec, {"model": "openai:a"}).model_dump()
    assert not {"max_tokens", "extra_body"} & {*plain}
    given = typed_parameters(spec, {"max_tokens": "2000", "extra_body": '{"a": [1]}'})
    assert (given.max_tokens, given.extra_body) == (2000, {"a": [1]})
    for wrong in ('{"n": 2}', '{"messages": []}', "[1]", "x"):
        with pytest.raises(UsageError, match="extra_body"):
            typed_parameters(spec, {"extra_body": wrong})


def test_a_field_that_is_refused_and_named_is_left_out_and_noted():
    says = "presence_penalty: Extra inputs are not permitted"
    with serving(Quirky(lambda b: (422, says) if "presence_penalty" in b else None)) as server:
        model, _ = drawn(server)
        assert all("presence_penalty" not in b and "frequency_penalty" in b for b in asked(server))
        assert "does not take: presence_penalty" in " ".join(model.info.notes)
