"""In-context predictors show the right examples, draw from the model's answers and record what they asked."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from tests.popeq_llm.fakes import SENTENCES, FakeModel, WordEncoder, training

from popeq.contract import Predictor, Prompt, load_object
from popeq.errors import RunError, UsageError
from popeq.seeding import generator
from popeq.space import PLANE
from popeq_llm import popeq_predictors
from popeq_llm.answers import AnswerFormat, answer_text
from popeq_llm.models import Generated
from popeq_llm.retrieval import Retriever, typical_settings
from popeq_llm.templates import load_template, settings_text

SPECS = {s.name: s for s in popeq_predictors()}
ICL = ["icl-zero", "icl-static", "icl-rag", "icl-rag-qa"]
WITH_EXAMPLES = ICL[1:]
TEXTS = [
    "warm and cosy",
    "",
    "{examples} {sentence}",
    "日本語で暖かく",
    "rain " * 3000,
    "bright like ice",
] + [f"sentence number {i}" for i in range(12)]


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    """Every predictor gets a fake model and encoder."""
    monkeypatch.setattr("popeq_llm.icl.open_model", FakeModel)
    monkeypatch.setattr("popeq_llm.icl.open_encoder", lambda _: WordEncoder())


def fitted(name, **parameters):
    spec = SPECS[name]
    predictor = load_object(spec.factory)(spec.parameters(**parameters), PLANE)
    predictor.fit(training(), [], generator(0, "fit"))
    return predictor


def prompts():
    return [Prompt(f"q{i}", t, "colour") for i, t in enumerate(TEXTS)]


def draw(predictor, asked, n=20, batch=100):
    parts = [asked[i : i + batch] for i in range(0, len(asked), batch)]
    return np.concatenate(
        [predictor.sample(part, n, [generator(0, p.prompt_id) for p in part]) for part in parts]
    )


@pytest.mark.parametrize("name", ICL)
@pytest.mark.parametrize("n", [1, 1000])
def test_they_keep_the_contract(name, n):
    predictor = fitted(name)
    assert isinstance(predictor, Predictor)
    samples = draw(predictor, prompts()[:6], n)
    assert samples.shape == (6, n, 2)
    assert PLANE.contains(samples).all()


@pytest.mark.parametrize("name", ICL)
def test_samples_depend_on_neither_batch_nor_order(name):
    together = draw(fitted(name), prompts(), batch=16)
    np.testing.assert_array_equal(draw(fitted(name), prompts(), batch=1), together)
    np.testing.assert_array_equal(draw(fitted(name), prompts()[::-1], batch=5)[::-1], together)


@pytest.mark.parametrize("name", ICL[:3])
def test_samples_are_the_models_answers(name):
    predictor = fitted(name)
    samples = draw(predictor, prompts(), 30)
    for prompt, points in zip(prompts(), samples, strict=True):
        given = predictor.model.given[predictor.explain(prompt.prompt_id)["text"]]
        np.testing.assert_allclose(points, given[:, 0], atol=1e-9)


@pytest.mark.parametrize("n", [660, 30])
def test_qa_draws_all_parsed_settings_equally_often(n):
    predictor = fitted("icl-rag-qa", answers=3)
    asked = prompts()[:2]
    samples = draw(predictor, asked, n)
    for prompt, points in zip(asked, samples, strict=True):
        given = predictor.model.given[predictor.explain(prompt.prompt_id)["text"]].reshape(-1, 2).round(1)
        assert len(given) == 33
        distinct, times = np.unique(given, axis=0, return_counts=True)
        drawn, counts = np.unique(points.round(1), axis=0, return_counts=True)
        most = dict(zip(map(tuple, distinct), times * -(-n // 33), strict=True))
        assert all(count <= most[point] for point, count in zip(map(tuple, drawn), counts, strict=True))
        assert counts.sum() == n
        if n % 33 == 0:
            np.testing.assert_array_equal(counts, times * n // 33)


@pytest.mark.parametrize("n", [15, 5])
def test_qa_gives_each_setting_the_same_chance_at_each_place(monkeypatch, n):
    predictor, settings = fitted("icl-rag-qa", answers=1), np.arange(11) / 10
    answer = answer_text(np.stack([settings, -settings], axis=1), AnswerFormat(11))
    monkeypatch.setattr(
        FakeModel, "generate", lambda _, chats, *__: Generated([[answer]] * len(chats), (0,) * len(chats))
    )
    asked = prompts()[:1] * 4000
    samples = predictor.sample(asked, n, [generator("places", i) for i in range(len(asked))])
    for place in range(n):
        share = np.bincount(np.rint(10 * samples[:, place, 0]).astype(int), minlength=11) / len(asked)
        np.testing.assert_allclose(share, 1 / 11, atol=5 * np.sqrt(1 / 11 / len(asked)))


def test_qa_draws_do_not_depend_on_what_the_model_takes_from_the_generator(monkeypatch):
    """A served model that answers from its cache draws nothing; the samples are to be the same."""
    first = fitted("icl-rag-qa")
    expected = draw(first, prompts()[:1])
    answers = [a for p in first.model.given.values() for a in p.round(1)]

    def cached(self, chats, n, form, rngs):
        return Generated([[answer_text(a, form) for a in answers]], (0,))

    monkeypatch.setattr(FakeModel, "generate", cached)
    np.testing.assert_array_equal(draw(fitted("icl-rag-qa"), prompts()[:1]), expected)


def test_zero_shows_the_sentence_alone():
    predictor = fitted("icl-zero")
    draw(predictor, prompts()[:1])
    assert predictor.model.chats == [load_template("zero").chat("warm and cosy")]
    assert predictor.explain("q0")["retrieved"] == []


def test_rag_shows_the_nearest_last_with_listeners_settings():
    predictor = fitted("icl-rag", examples=2, settings_per_example=3)
    draw(predictor, [Prompt("q", "bright like glass eyes", "colour")])
    explained = predictor.explain("q")
    assert [r["prompt_id"] for r in explained["retrieved"]] == ["t2", "t3"]
    assert explained["retrieved"][0]["similarity"] > explained["retrieved"][1]["similarity"] > 0
    train = {p.prompt.prompt_id: p for p in training()}
    blocks = [
        f"Sentence: {SENTENCES[i]}\nSettings: {settings_text(typical_settings(train[i].responses, 3))}\n\n"
        for i in ("t3", "t2")
    ]
    assert predictor.model.chats[0][1].content.endswith("".join(blocks) + "Sentence: bright like glass eyes")


def test_static_shows_the_same_to_all_by_its_rule():
    predictor = fitted("icl-static", examples=3)
    draw(predictor, prompts())
    before = {c[1].content.split("Sentence: ")[0] for c in predictor.model.chats}
    assert len(before) == 1
    contents = [c[1].content for c in predictor.model.chats]
    shared = contents[0][: -len(TEXTS[0])]
    assert all(c == shared + t for c, t in zip(contents, TEXTS, strict=True))
    covering = Retriever(training(), WordEncoder()).covering(3)
    positions = [shared.index(f"Sentence: {SENTENCES[i]}\n") for i in covering]
    assert positions == sorted(positions)
    assert shared.count("Settings: ") == 3


def test_more_settings_than_listeners_shows_them_all():
    predictor = fitted("icl-rag", examples=1, settings_per_example=99)
    draw(predictor, prompts()[:1])
    assert predictor.model.chats[0][1].content.count("[") == 7


def test_qa_asks_for_eleven():
    predictor = fitted("icl-rag-qa", answers=4)
    draw(predictor, prompts()[:1])
    assert "list of 11 settings" in predictor.model.chats[0][0].content
    assert [g.shape for g in predictor.model.given.values()] == [(4, 11, 2)]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_more_examples_than_prompts_is_one_line_before_the_model_is_opened(name, monkeypatch):
    def refuse(parameters):
        raise AssertionError("opened")

    monkeypatch.setattr("popeq_llm.icl.open_model", refuse)
    with pytest.raises(UsageError, match=f"{name}: examples=7 is more than the 6 training prompts"):
        fitted(name, examples=7)


@pytest.mark.parametrize("name", ICL)
def test_a_replaced_template_is_used(name, tmp_path):
    file = tmp_path / "mine.txt"
    shown = "{% for e in examples %}({{ e.sentence }}: {{ e.settings }}){% endfor %}"
    shown = "" if name == "icl-zero" else shown
    file.write_text("{% block user %}" + shown + "What of {{ sentence }}?{% endblock %}")
    predictor = fitted(name, template=str(file))
    draw(predictor, prompts()[:1])
    (chat,) = predictor.model.chats
    assert [m.role for m in chat] == ["user"]
    assert chat[0].content.endswith("What of warm and cosy?")
    assert chat[0].content.count("(") == (0 if name == "icl-zero" else 4)
    described = predictor.describe()["template"]
    assert described == {"name": str(file), "sha256": load_template_sha(file, name)}


def load_template_sha(file, name):
    return load_template("zero" if name == "icl-zero" else "few", file).sha256


@pytest.mark.parametrize("name", ICL)
def test_what_is_recorded_is_plain_json(name):
    predictor = fitted(name)
    described = json.loads(json.dumps(predictor.describe()))
    expected = {"model": "fake", "quantisation": "Q4_1", "revision": "r1", "parameters": 7, "device": "cpu"}
    assert expected.items() <= described.items()
    assert described["dtype"] == "float32"
    assert described["notes"] == ["a note"]
    expected = {} if name == "icl-zero" else {"encoder": "words", "encoder_revision": "words"}
    assert {k: v for k, v in described.items() if k.startswith("encoder")} == expected
    predictor.model.rejected = 2
    draw(predictor, prompts()[:3])
    explained = json.loads(json.dumps(predictor.explain("q2")))
    assert explained["text"] == predictor.model.render(predictor.model.chats[2])
    assert "{examples} {sentence}" in explained["text"]
    drawn = SPECS[name].parameters().answers if name == "icl-rag-qa" else 20
    assert (explained["rejected"], explained["rejected_share"]) == (4, 4 / (4 + drawn))
    assert predictor.explain("q0")["rejected"] == 2


def test_an_answer_that_is_none_is_never_replaced(monkeypatch):
    monkeypatch.setattr(FakeModel, "generate", lambda *_: Generated([["[7.0, 0.0]"]], (0,)))
    with pytest.raises(RunError, match=r"icl-zero: fake answered '\[7\.0, 0\.0\]' to prompt 'q0'"):
        draw(fitted("icl-zero"), prompts()[:1], 1)


def test_declaring_the_plugin_is_light():
    code = (
        "import sys, popeq.contract, popeq.hookspecs; before = set(sys.modules); import popeq_llm;"
        "popeq_llm.popeq_predictors();"
        "new = {m.split('.')[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names);"
        "assert new <= {'popeq', 'popeq_llm', 'pydantic', 'pydantic_core'}, new;"
        "assert not {'popeq_llm.icl', 'popeq_llm.encoder', 'torch', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_every_predictor_says_which_extra_it_needs():
    assert list(SPECS) == [*ICL, "icl-verbal", "knn", "kernel-mixture", "kernel-ridge"]
    assert {s.extra for s in SPECS.values()} == {"llm"}
