"""Served models against a fake server that breaks down in every way it can."""

from __future__ import annotations

import io
import json
import logging
import re
import time
import traceback

import numpy as np
import pytest
from tests.popeq_llm.fake_server import (
    FAULTS,
    OPENAI_FIELDS,
    FakeServer,
    is_probe,
    refusal,
    right_answer,
    serving,
)

from popeq.errors import PopeqError, PromptsError, RunError, UsageError
from popeq_llm.answer_numbers import answer_of_json
from popeq_llm.answers import AnswerFormat, parse_answer
from popeq_llm.models import Message
from popeq_llm.served import ServedModel
from popeq_llm.served_client import Patience
from popeq_llm.served_questions import binding_fields

KEY = "sk-popeq-0123456789-never-to-be-seen"
ONE = AnswerFormat()
CHATS = [(Message("system", "Answer."), Message("user", f"Sentence: number {i}")) for i in range(3)]


@pytest.fixture(autouse=True)
def _no_key_escapes(tmp_path, monkeypatch, capfd):
    """Every test runs with a key and all logs, and fails if the key is in a log, a file or the output."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("POPEQ_CACHE", str(tmp_path / "cache"))
    logged, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(logged), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield
    root.removeHandler(handler)
    root.setLevel(level)
    assert KEY not in logged.getvalue()
    assert KEY not in "".join(capfd.readouterr())
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or KEY not in path.read_text(errors="replace"), path


def model_at(server, **more) -> ServedModel:
    settings = {"timeout_s": 5, "patience": Patience(backoff_s=0.01, longest_wait_s=5)}
    return ServedModel("fake", server.url, **(settings | more))


def limit_s(fault: str) -> float:
    """Seconds for a request: few where the server lets it wait, else enough for a busy machine."""
    return 0.3 if fault in {"slow", "drip"} else 5


def generators(chats=CHATS, seed=0):
    return [np.random.default_rng([seed, int(chat[-1].content.split()[-1])]) for chat in chats]


def expected(n, per_request, chats=CHATS):
    """What a faultless server gives: right answers in the order of the seeds that the chats draw."""
    answers = []
    for rng in generators(chats):
        given: list[str] = []
        while len(given) < n:
            count = min(n - len(given), per_request)
            if not given:
                count = min(count, max(16, per_request))
            seed = int(rng.integers(2**31))
            given += [right_answer(seed, j, 1) for j in range(count)]
        answers.append(given)
    return answers


def asked(server) -> list[dict]:
    return [body for body in server.bodies if not is_probe(body)]


def the_line(caught) -> str:
    """The error's text: one line that names the server, and no key in it or in anything behind it."""
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 600
    assert "fake at http://127.0.0.1" in line
    everything = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert KEY not in "".join(everything.format())
    error = caught.value
    while error is not None:
        assert KEY not in repr(error)
        assert isinstance(error, PopeqError), "the HTTP client's exceptions hold the request with its key"
        error = error.__cause__ or error.__context__
    return line


def test_several_choices_a_request_and_every_answer_is_the_servers():
    with serving(FakeServer()) as server:
        model = model_at(server, per_request=8)
        made = model.generate(CHATS, 20, ONE, generators())
        assert made.answers == expected(20, 8)
        assert not any(made.rejected)
        assert [b["n"] for b in asked(server)].count(8) == 6
        # one probe, one for each way to bind, and 8 + 8 + 4 for each prompt
        assert len(server.bodies) == 1 + 3 + 3 * 3
        assert server.keys == {f"Bearer {KEY}"}
        assert {b["path"] for b in server.bodies} == {"/v1/chat/completions"}
        assert KEY not in repr(model) + repr(vars(model)) + repr(vars(model._client)) + repr(model.info)
        assert KEY not in repr(vars(model._client._http))
        assert "up to 8 answers a request" in " ".join(model.info.notes)


def test_a_server_that_ignores_n_is_asked_one_by_one():
    with serving(FakeServer(honours_n=False)) as server:
        made = model_at(server).generate(CHATS, 20, ONE, generators())
        assert made.answers == expected(20, 1)
        assert len(asked(server)) == 60
        # n twice, then two single draws that differ, and three ways to bind
        assert len(server.bodies) - 60 == 2 + 2 + 3
        assert not any("n" in b for b in asked(server))


def test_equal_choices_of_one_request_are_not_used():
    class SameForEveryChoice(FakeServer):
        def answer(self, raw, body, handler):
            status, content = super().answer(raw, body, handler)
            held = json.loads(content)
            held["choices"] = held["choices"][:1] * len(held["choices"])
            return status, json.dumps(held).encode()

    with serving(SameForEveryChoice()) as server:
        made = model_at(server).generate(CHATS[:1], 20, ONE, generators(CHATS[:1]))
        assert made.answers == expected(20, 1, CHATS[:1])
        assert len(set(made.answers[0])) > 15


def test_a_server_that_does_not_sample_is_refused():
    with serving(FakeServer(samples=False, honours_n=False)) as server:
        with pytest.raises(RunError) as caught:
            model_at(server).generate(CHATS, 5, ONE, generators())
        assert "does not sample: 8 answers" in the_line(caught)
        assert "do_sample" in str(caught.value)
        assert len(server.bodies) == 10
        assert not asked(server)


@pytest.mark.parametrize("fault", [f for f in [*FAULTS, "more", "none"] if f != "429-later"])
@pytest.mark.parametrize("per_request", [1, 4])
def test_one_fault_in_three_changes_nothing(fault, per_request):
    broken = iter(range(10**6))

    def every_third(number, body):
        return None if is_probe(body) or next(broken) % 3 else fault

    with serving(FakeServer(fault=every_third)) as server:
        model = model_at(server, per_request=per_request, concurrency=3, timeout_s=limit_s(fault))
        made = model.generate(CHATS[:2], 4, ONE, generators(CHATS[:2]))
        assert made.answers == expected(4, per_request, CHATS[:2])
        assert not any(made.rejected)
        fewest = 2 * 4 // per_request
        assert fewest < len(asked(server)) <= 2 * fewest + 2


@pytest.mark.parametrize("fault", [*FAULTS, "more", "none", "301", "401", "404", "400"])
def test_a_server_that_always_fails_gives_one_line_and_few_requests(fault):
    def always(number, body):
        return None if is_probe(body) else fault

    with serving(FakeServer(fault=always)) as server:
        model = model_at(server, concurrency=2, timeout_s=limit_s(fault), patience=Patience(3, 0.01, 5))
        with pytest.raises(RunError) as caught:
            model.generate(CHATS, 4, ONE, generators())
        line = the_line(caught)
        assert re.match(r"prompt 1: fake at http://127.0.0.1:\d+/v1 \('Sentence: number 0'\): ", line)
        assert line.endswith("and 2 more prompts failed")
        assert sorted(caught.value.failures) == [0, 1, 2]
        said = {
            "429-later": "asks to wait 3600 s",
            "slow": "no answer within 0.3 s",
            "drip": "no whole answer within 0.3 s",
            "cut": "a cut connection",
            "cut-body": "a cut connection",
            "malformed": "malformed JSON",
            "html": "malformed JSON",
            "shape": "malformed JSON",
            "more": "choices where",
            "none": "choices where",
            "401": "read from the variable OPENAI_API_KEY",
            "404": "/v1",
        }
        assert said.get(fault, f"status {fault}") in line
        once = {"429-later", "301", "401", "404", "400"}
        assert len(asked(server)) <= (3 if fault in once else 3 * (3 + 2))


@pytest.mark.parametrize("fault", ["400", "500", "malformed", "cut", "more"])
def test_a_prompt_that_fails_costs_no_other_prompt(fault):
    def only_the_second(number, body):
        return fault if "number 1" in body["messages"][-1]["content"] else None

    with serving(FakeServer(fault=only_the_second)) as server:
        model = model_at(server, patience=Patience(3, 0.01, 5))
        with pytest.raises(PromptsError) as caught:
            model.generate(CHATS, 20, ONE, generators())
        assert list(caught.value.failures) == [1]
        assert "more prompt" not in the_line(caught)
        spent = len(server.bodies)
        rest = [CHATS[0], CHATS[2]]
        assert model.generate(rest, 20, ONE, generators(rest)).answers == expected(20, 16, rest)
        assert len(server.bodies) == spent  # they had been drawn and kept
        server.fault = lambda _number, _body: None
        assert model.generate(CHATS, 20, ONE, generators()).answers == expected(20, 16)
        assert len(server.bodies) == spent + 2


# Asked for every prompt it would be 90 requests, or 30 without retries; 10 and 5 on an idle machine.
@pytest.mark.parametrize(("fault", "most"), [("500", 30), ("401", 15)])
def test_a_server_that_breaks_down_for_good_is_not_asked_for_every_prompt(fault, most):
    many = [(Message("user", f"Sentence: number {i}"),) for i in range(30)]
    with serving(FakeServer(fault=lambda _k, body: None if is_probe(body) else fault)) as server:
        model = model_at(server, concurrency=2, patience=Patience(2, 0.01, 5))
        with pytest.raises(PromptsError, match="and 29 more prompts failed"):
            model.generate(many, 5, ONE, generators(many))
        assert len(asked(server)) <= most


def test_no_server_at_all_is_one_line():
    with serving(FakeServer()) as server:
        model = model_at(server, patience=Patience(2, 0.01, 5))
    with pytest.raises(RunError) as caught:
        model.generate(CHATS, 1, ONE, generators())
    assert "no connection" in the_line(caught)


def test_retry_after_is_waited_for_by_all_threads():
    times = []

    def first_says_wait(number, body):
        times.append(time.monotonic())
        return "429" if number == 1 else None

    with serving(FakeServer(fault=first_says_wait)) as server:
        model_at(server, concurrency=1, per_request=2).generate(CHATS[:1], 6, ONE, generators(CHATS[:1]))
        assert times[2] - times[1] >= 0.05


def test_a_server_that_changes_its_mind_about_n_still_completes_and_is_asked_once():
    with serving(FakeServer()) as server:
        model = model_at(server, per_request=4)
        model.generate(CHATS[:1], 4, ONE, generators(CHATS[:1], seed=9))
        server.honours_n = False
        made = model.generate(CHATS[:1], 4, ONE, generators(CHATS[:1]))
        assert len(made.answers[0]) == len(set(made.answers[0])) == 4
        before = len(asked(server))
        again = model_at(server, per_request=4).generate(CHATS[:1], 4, ONE, generators(CHATS[:1]))
        assert again == made
        assert len(asked(server)) == before


@pytest.mark.parametrize(
    "wrong",
    ["Sure! {}", "{}.", "[7.0, 1.0]", "[-6.1, 0.0]", "[1.25, 0.0]", "[1,2]", "", "[{}]", "{key} {}"],
)
def test_wrong_answers_are_counted_and_asked_again(wrong):
    with serving(FakeServer(prose=lambda seed: wrong if seed % 3 == 0 else None)) as server:
        made = model_at(server).generate(CHATS, 30, ONE, generators())
        answers = [a for per_chat in made.answers for a in per_chat]
        assert len(answers) == 90
        assert all(parse_answer(a, ONE) is not None for a in answers)
        given = {right_answer(b["seed"], j, 1) for b in asked(server) for j in range(b.get("n", 1))}
        assert set(answers) <= given
        drawn = sum(b.get("n", 1) for b in asked(server))
        assert sum(made.rejected) == drawn - 90 > 0
        spent = len(asked(server))
        assert model_at(server).generate(CHATS, 30, ONE, generators()) == made
        assert len(asked(server)) == spent


def test_a_model_that_never_answers_right_is_given_up_early_and_asked_anew_when_repaired():
    with serving(FakeServer(prose=lambda _seed: "I would say {key}\n{}")) as server:
        with pytest.raises(RunError) as caught:
            model_at(server).generate(CHATS, 110, ONE, generators())
        assert "0 of 16 answers had the form [0.0, 0.0], the last 'I would say Bearer (key)" in the_line(
            caught
        )
        assert len(asked(server)) == 3
        server.prose = lambda _seed: None
        assert model_at(server).generate(CHATS, 110, ONE, generators()).answers == expected(110, 16)


@pytest.mark.parametrize(
    ("field", "note"),
    [
        ("grammar", "bound to the form of a setting by a grammar"),
        ("structured_outputs", "bound to the form of a setting by a regular expression"),
        ("response_format", "bound to a JSON schema"),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_answers_are_bound_where_the_server_does_it(field, note, strict):
    others = {"grammar", "structured_outputs", "response_format"} - {field}
    with serving(FakeServer(binds=field, refuses=tuple(others) if strict else ())) as server:
        model = model_at(server)
        made = model.generate(CHATS, 16, ONE, generators())
        assert made.answers == expected(16, 16)
        assert all(field in b and not others & {*b} for b in asked(server))
        assert note in " ".join(model.info.notes)


@pytest.mark.parametrize("strict", [False, True])
def test_without_any_binding_the_strict_parser_reads(strict):
    fields = ("grammar", "structured_outputs", "response_format")
    with serving(FakeServer(refuses=fields if strict else ())) as server:
        made = model_at(server).generate(CHATS, 16, ONE, generators())
        assert made.answers == expected(16, 16)
        assert not any({*fields} & {*b} for b in asked(server))
        assert len(server.bodies) == 1 + 3 + 3


def allows(grammar: str):
    """A GBNF grammar without recursion as a regular expression, to be matched in full."""
    rules = dict(line.split(" ::= ") for line in grammar.splitlines())

    def expression(rule):
        parts = re.findall(r'"[^"]*"|\[[^]]*]|[a-z]+|\S', rules[rule])
        return "".join(
            re.escape(p[1:-1]) if p[0] == '"' and len(p) > 3 else
            f"(?:{re.escape(p[1:-1])})" if p[0] == '"' else
            f"(?:{expression(p)})" if p in rules else p
            for p in parts
        )  # fmt: skip

    return re.compile(expression("root"))


@pytest.mark.parametrize("pairs", [1, 3])
def test_grammar_and_regular_expression_allow_the_very_answers(pairs):
    form = AnswerFormat(pairs)
    bound = {binding: binding_fields(binding, form) for binding in ("grammar", "regex")}
    patterns = [
        allows(bound["grammar"]["grammar"]),
        re.compile(bound["regex"]["structured_outputs"]["regex"]),
    ]
    numbers = [f"{t / 10:.1f}" for t in range(-70, 71)] + ["-0.0", "+1.0", "01.0", "1", "1.00", ".5", ""]
    for x, y in [(x, y) for number in numbers for x, y in ((number, "0.0"), ("-6.0", number))]:
        one = f"[{x}, {y}]"
        text = one if pairs == 1 else f"[[1.0, -1.0], {one}, [0.3, 6.0]]"
        right = parse_answer(text, form) is not None and "-0.0" not in text
        assert [bool(p.fullmatch(text)) for p in patterns] == [right, right], text
    settings = ["[0.1, -0.1]"] * (pairs + 1)
    for count in (pairs - 1, pairs + 1):
        for text in (", ".join(settings[:count]), f"[{', '.join(settings[:count])}]"):
            assert not any(p.fullmatch(text) for p in patterns), text


def test_the_schemas_pattern_is_the_answer_format():
    schema = binding_fields("schema", ONE)["response_format"]["json_schema"]["schema"]
    pattern = schema["properties"]["settings"]["items"]["pattern"]
    for tenths in range(-61, 62):
        text = f"[{tenths / 10:.1f}, 0.0]"
        right = parse_answer(text, ONE) is not None and "-0.0" not in text
        assert bool(re.search(pattern, text)) == right, text
    two = AnswerFormat(2)
    assert answer_of_json('{"settings": ["[1.0, 2.0]", "[0.0, -1.0]"]}', two) == "[[1.0, 2.0], [0.0, -1.0]]"
    for wrong in ('{"settings": ["[1.0, 2.0]"]}', '{"settings": [1, 2]}', "[]", "{", '{"a": []}', "[[1.0]]"):
        assert answer_of_json(wrong, two) is None


SAMPLING = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0, "repetition_penalty": 1.0}
SAMPLING |= {"presence_penalty": 0.0, "frequency_penalty": 0.0}


def test_fields_that_turn_off_a_servers_own_narrowing_are_sent():
    with serving(FakeServer()) as server:
        model = model_at(server, temperature=0.7)
        model.generate(CHATS, 4, ONE, generators())
        assert all(b.items() >= {**SAMPLING, "temperature": 0.7}.items() for b in server.bodies)
        assert "does not take" not in " ".join(model.info.notes)


@pytest.mark.parametrize("names_fields", [True, False])
@pytest.mark.parametrize("more", [(), ("n",)])
def test_a_server_of_openais_fields_alone_gets_no_others_and_the_run_says_so(names_fields, more):
    server = FakeServer(strict=True, names_fields=names_fields, binds="response_format", refuses=more)
    with serving(server):
        model = model_at(server)
        made = model.generate(CHATS, 16, ONE, generators())
        assert made.answers == expected(16, 1 if more else 16)
        assert all(set(b) - {"path"} <= OPENAI_FIELDS and b["top_p"] == 1 for b in asked(server))
        assert "response_format" in asked(server)[0]
        note = "the server does not take: top_k, min_p, repeat_penalty, repetition_penalty; its own defaults"
        assert note in " ".join(model.info.notes)


def test_one_field_that_is_refused_costs_no_other():
    with serving(FakeServer(refuses=("min_p",))) as server:
        model_at(server).generate(CHATS, 4, ONE, generators())
        assert all({*SAMPLING} - {*b} == {"min_p"} for b in asked(server))
    with serving(FakeServer(refuses=("n",), names_fields=False)) as server:
        model_at(server).generate(CHATS, 4, ONE, generators())
        assert all({*SAMPLING} <= {*b} and "n" not in b for b in asked(server))


def test_a_server_that_gives_fewer_choices_at_once_is_asked_for_as_many():
    class FourAtOnce(FakeServer):
        def answer(self, raw, body, handler):
            if body.get("n", 1) > 4:
                return refusal("Field 'n': Value must be between 1 <= value <= 4")
            return super().answer(raw, body, handler)

    with serving(FourAtOnce()) as server:
        made = model_at(server).generate(CHATS, 20, ONE, generators())
        assert made.answers == expected(20, 4)
        assert {b["n"] for b in asked(server)} == {4}


@pytest.mark.parametrize("name", ["max_tokens", "seed", "n"])
def test_fields_that_a_server_refuses_are_left_out(name):
    field = "max_tokens, use max_completion_tokens" if name == "max_tokens" else name

    class Picky(FakeServer):
        def answer(self, raw, body, handler):
            if name in body:
                return refusal(f"Unsupported parameter: {field}")
            return super().answer(raw, body, handler)

    with serving(Picky()) as server:
        model = model_at(server, concurrency=1)
        made = model.generate(CHATS, 4, ONE, generators())
        assert all(len(a) == 4 for a in made.answers)
        assert not any(name in b for b in asked(server))
        spent = len(asked(server))
        assert model_at(server).generate(CHATS, 4, ONE, generators()) == made
        assert len(asked(server)) == spent
        model.generate(CHATS, 4, ONE, generators(seed=1))  # another seed is never the same answers
        assert len(asked(server)) > spent


def test_batch_order_and_concurrency_change_nothing(tmp_path, monkeypatch):
    with serving(FakeServer(prose=lambda seed: "no" if seed % 5 == 0 else None)) as server:
        made = []
        for k, (order, concurrency) in enumerate([((0, 1, 2), 1), ((2, 0, 1), 8), ((1, 2, 0), 3)]):
            chats = [CHATS[i] for i in order]
            monkeypatch.setenv("POPEQ_CACHE", str(tmp_path / str(k)))
            model = model_at(server, concurrency=concurrency)
            answers = model.generate(chats, 12, ONE, generators(chats)).answers
            made.append([answers[order.index(i)] for i in range(3)])
        assert made[0] == made[1] == made[2]


def test_concurrency_is_a_limit():
    with serving(FakeServer(honours_n=False)) as server:
        model_at(server, concurrency=2).generate(CHATS, 10, ONE, generators())
        assert server.most_at_once <= 2


def test_a_run_that_was_cut_short_pays_nothing_twice(tmp_path):
    def dies(number, body):
        return "401" if number >= 7 + 16 else None  # 7 probes

    with serving(FakeServer(honours_n=False, fault=dies)) as server:
        with pytest.raises(RunError):
            model_at(server).generate(CHATS, 20, ONE, generators())
        paid = [json.dumps(b, sort_keys=True) for b in asked(server)[:16]]
        server.fault = lambda _number, _body: None
        first = len(server.bodies)
        made = model_at(server).generate(CHATS, 20, ONE, generators())
        assert made.answers == expected(20, 1)
        later = [json.dumps(b, sort_keys=True) for b in server.bodies[first:] if not is_probe(b)]
        assert len(later) == 60 - 16
        assert not set(paid) & set(later)
    assert model_at(server).generate(CHATS, 20, ONE, generators()) == made  # the server is gone
    for path in (tmp_path / "cache").rglob("*.json"):
        path.write_text("{")
    with pytest.raises(RunError):
        model_at(server, patience=Patience(1)).generate(CHATS, 20, ONE, generators())


def test_what_cannot_be_done_says_what_to_do(tmp_path, monkeypatch):
    model = ServedModel("fake", "http://127.0.0.1:9/v1/")
    assert model.base_url == "http://127.0.0.1:9/v1"
    assert json.loads(model.render(CHATS[0]))[1] == {"content": "Sentence: number 0", "role": "user"}
    for url in (None, "", "127.0.0.1:80", "ftp://x/v1", f"http://u:{KEY}@x/v1", f"http://x/v1?key={KEY}"):
        with pytest.raises(UsageError) as caught:
            ServedModel("fake", url)
        assert KEY not in str(caught.value)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("POPEQ_CACHE", str(tmp_path / "file"))
    with serving(FakeServer()) as server, pytest.raises(UsageError, match="set POPEQ_CACHE"):
        model_at(server).generate(CHATS, 1, ONE, generators())
    monkeypatch.setenv("OPENAI_API_KEY", "sk-ümlaut\nsecond")
    with pytest.raises(UsageError, match="set it again"):
        model.generate(CHATS, 1, ONE, generators())
