"""On the paper's plane every text is what it was when the committed boards were drawn."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from tests.popeq_llm.fakes import FakeModel, WordEncoder, training

from popeq.contract import Prompt, load_object
from popeq.seeding import generator
from popeq.space import Space
from popeq_llm import popeq_predictors
from popeq_llm.answers import AnswerFormat, MixtureForm, answer_text, mixture_text, parse_answer
from popeq_llm.served_questions import binding_fields
from popeq_llm.templates import load_template
from popeq_llm.token_by_token import segment_texts

FORMS = {
    "one": AnswerFormat(),
    "eleven": AnswerFormat(11),
    "gains": AnswerFormat(gains=True),
    "mixture": MixtureForm(),
}
#: Half-way points too, whose rounding is a promise like the texts.
POINTS = np.array([[1.0, -2.04], [-0.04, 6.0], [0.15, 0.25], [2.35, -5.95], [-6.0, 0.05], [-0.35, -0.45]])
EXAMPLES = [("warm", POINTS), ("cold", POINTS[:1])]

CHATS = {
    "zero": ("33285ea982d4", "6cf79ddf5f5f", "cdf1adec225b", "db6d55cfaf51", "54834a31dd6d"),
    "few": ("87416194bb3d", "dbf4daa09be7", "f212dda8f6ae", "9eec6c25c9b8", "e5870b4bc33b"),
    "qa": ("c9483beb80c6", "50e710013ea6", "c5bc30394627", "5149a84454fd", "933e4e8cbe9a"),
    "verbal": ("83ab9d8523e1", "dc6d2546933e", "2bc6c3f5dce8", "7d70f15afac7", "450f02713449"),
}
TEMPLATES = {
    "zero": ("b03f666d294c", "38e7fe777b0d", "145d8dc29c9e", "8644ffe2a91a", "63e1e27549b6"),
    "few": ("3b650d3280ef", "ef3468f869e5", "997c9a020812", "e5c7f73afdba", "d4d98b90b92e"),
    "qa": ("b971af6c3dbf", "a721a5055cdf", "56de6b834427", "b3c04ccbcac8", "3028de35ee19"),
}
WORDINGS = ("axes", "engineer", "corners", "gains", "worked")
SEGMENTS = {
    "one": "c90b4640a770",
    "eleven": "66d398c8d239",
    "gains": "0b10e53fb621",
    "mixture": "a16c60a1ea4c",
}
BINDING = {
    "one": ("f8d3148a42c6", "b5b0c8af1e85", "af3a7c045f05"),
    "eleven": ("6cb9cd741add", "1aef473f825d", "9f4a5d672b4c"),
    "mixture": ("61bf31bede01", "7cd8e433fea5", "ab912b3762a1"),
}


def digest(value):
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()[:12]


@pytest.mark.parametrize("kind", CHATS)
def test_chats_of_every_wording(kind):
    shown = [(text, mixture_text([[60, *p[0], 1.25], [40, *p[0], 0.04]])) for text, p in EXAMPLES]
    examples = {"zero": [], "few": EXAMPLES, "qa": EXAMPLES, "verbal": shown}[kind]
    found = tuple(
        digest([[m.role, m.content] for m in load_template(kind, wording=name).chat("dull", examples)])
        for name in WORDINGS
    )
    assert found == CHATS[kind]


@pytest.mark.parametrize("kind", TEMPLATES)
def test_identities_of_templates_that_runs_have_recorded(kind):
    assert tuple(load_template(kind, wording=name).sha256[:12] for name in WORDINGS) == TEMPLATES[kind]


@pytest.mark.parametrize("name", FORMS)
def test_all_answers_that_local_models_can_give(name):
    assert digest(segment_texts(FORMS[name])) == SEGMENTS[name]


@pytest.mark.parametrize("name", BINDING)
def test_what_servers_are_bound_to(name):
    fields = [binding_fields(binding, FORMS[name]) for binding in ("grammar", "regex", "schema")]
    assert tuple(map(digest, fields)) == BINDING[name]


def test_settings_as_texts_and_back():
    plane, gains = AnswerFormat(6), AnswerFormat(6, gains=True)
    text = answer_text(POINTS, plane)
    assert text == "[[1.0, -2.0], [0.0, 6.0], [0.2, 0.2], [2.4, -6.0], [-6.0, 0.0], [-0.4, -0.4]]"
    as_gains = answer_text(POINTS, gains)
    assert as_gains == "[[3.0, -1.0], [-6.0, 6.0], [0.0, 0.4], [8.4, -3.6], [-6.0, -6.0], [0.0, -0.8]]"
    for found in (parse_answer(text, plane), parse_answer(as_gains, gains)):
        assert found.tolist() == json.loads(text)
        assert not np.signbit(found[found == 0]).any()
    assert parse_answer("[-0.0, 0.0]", AnswerFormat()).tolist() == [[0.0, 0.0]]


SAMPLES = {
    "icl-zero": "477571ca7ced",
    "icl-static": "87f3f362b005",
    "icl-rag": "a01a940e930a",
    "icl-rag-qa": "75f215519c1b",
    "icl-verbal": "890d1174abf1",
}


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_of_predictors_that_ask(name, monkeypatch):
    monkeypatch.setattr("popeq_llm.icl.open_model", FakeModel)
    monkeypatch.setattr("popeq_llm.icl.open_encoder", lambda _: WordEncoder())
    monkeypatch.setattr("popeq_llm.verbal.open_encoder", lambda _: WordEncoder())
    (spec,) = (s for s in popeq_predictors() if s.name == name)
    predictor = load_object(spec.factory)(spec.parameters(), Space())
    predictor.fit(training(), [], generator(0, "fit"))
    asked = [Prompt(f"q{i}", text, "colour") for i, text in enumerate(("warm and cosy", "", "bright"))]
    samples = predictor.sample(asked, 40, [generator(0, p.prompt_id) for p in asked])
    assert digest(samples.tolist()) == SAMPLES[name]
