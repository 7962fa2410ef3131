"""Prompts, grammars and answers of language models follow the data set's box, step and curves."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_served import allows
from tests.conftest import write_small_dataset
from tests.popeq_llm.real_models import open_smollm2

from popeq import SearchSettings, load_dataset, load_predictor
from popeq.errors import UsageError
from popeq.plugins import registry
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.runs.plan import make_plans
from popeq.space import PLANE, Space
from popeq.tuning.planning import plan_search
from popeq_dsp.predictor import dsp_template
from popeq_llm import local, token_by_token
from popeq_llm.answers import AnswerFormat, MixtureForm, answer_text, mixture_text, parse_answer
from popeq_llm.local import LocalModel
from popeq_llm.models import Message
from popeq_llm.numbers import numbers_of
from popeq_llm.patterns import number_pattern
from popeq_llm.served_questions import Question, binding_fields
from popeq_llm.served_reply import Source
from popeq_llm.templates import load_template
from popeq_llm.token_by_token import segment_texts
from popeq_llm.wordings import wording_names, wording_of

WIDE = Space(-12.0, 12.0, -12.0, 12.0, 0.5)
ODD = Space(0.0, 10.0, -3.0, 3.0, 0.5, "beosonic")
WHOLE = Space(-3.0, 9.0, 2.0, 5.0, 1.0)
SPACES = (
    WIDE,
    ODD,
    WHOLE,
    Space(-3.0, 3.0, -1.0, 1.0, 0.25, "shelves:300:3000"),
    Space(-0.3, 0.45, 0.1, 0.2),
)


@st.composite
def spaces(draw):
    step = draw(st.sampled_from([0.05, 0.1, 0.25, 0.3, 0.5, 1.0, 1 / 3, 2.0]))
    x, y = (sorted(draw(st.lists(st.integers(-13, 25), min_size=2, max_size=2))) for _ in "xy")
    assume(x[0] < x[1] and y[0] < y[1])
    return Space(x[0] * step, x[1] * step, y[0] * step, y[1] * step, step)


@settings(max_examples=60)
@given(spaces(), st.booleans())
def test_every_setting_has_a_text_of_its_own_and_is_read_back(space, gains):
    form, numbers = AnswerFormat(gains=gains, space=space), numbers_of(space)
    (texts,) = segment_texts(form)
    points = np.array([parse_answer(text, form)[0] for text in texts])
    assert len(set(texts)) == len(texts) == len(numbers.x) * len(numbers.y)
    assert space.contains(points).all()
    np.testing.assert_array_equal(space.nearest(points), points)
    assert [answer_text([point], form) for point in points] == list(texts)
    for number in re.findall(r"-?[0-9.]+", "".join(texts)):
        assert len(number.partition(".")[2]) == space.decimals


@settings(max_examples=60)
@given(spaces())
def test_what_servers_are_bound_to_are_these_texts(space):
    numbers = numbers_of(space)
    texts = list(map(numbers.text, numbers.x))
    pattern = number_pattern(texts)
    beyond = [numbers.text(s) for s in range(numbers.x[0] - 30, numbers.x[-1] + 30)]
    regex, grammar = re.compile(pattern.regex), allows(f"root ::= {pattern.grammar}")
    for text in (*beyond, *(f"-{text}" for text in texts), "", "-", *(text[:-1] for text in texts)):
        assert bool(regex.fullmatch(text)) == bool(grammar.fullmatch(text)) == (text in texts), text


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("make", [AnswerFormat, lambda space: AnswerFormat(3, space=space), MixtureForm])
def test_grammar_and_regular_expression_of_whole_answers(space, make):
    form, rng = (
        (make(space=space) if make is not MixtureForm else MixtureForm(space=space)),
        np.random.default_rng(0),
    )
    grammar = allows(binding_fields("grammar", form)["grammar"])
    regex = re.compile(binding_fields("regex", form)["structured_outputs"]["regex"])
    for _ in range(20):
        points = rng.uniform(space.low, space.high, (form.pairs, 2))
        if isinstance(form, MixtureForm):
            points = np.array([[60, *points[0], rng.uniform(0, 5)], [40, *points[0], 0.1]])
        text = answer_text(points, form)
        assert parse_answer(text, form) is not None
        assert regex.fullmatch(text)
        assert grammar.fullmatch(text)


def test_numbers_have_the_decimals_of_the_step():
    assert answer_text([[3.2, -0.6]], AnswerFormat(space=WIDE)) == "[3.0, -0.5]"
    assert answer_text([[3.2, -0.6]], AnswerFormat(space=WHOLE)) == "[3, 2]"
    assert mixture_text([[60, 3.2, 2.6, 0.2], [40, 9, 9, 99]], MixtureForm(space=WHOLE)) == (
        "60% at [3, 3] spread 1; 40% at [9, 5] spread 6."
    )
    for wrong in ("[3.25, 0.0]", "[3.1, 0.0]", "[12.5, 0.0]", "[3, 0]"):
        assert parse_answer(wrong, AnswerFormat(space=WIDE)) is None
    assert parse_answer("[-1.0, 0.0]", AnswerFormat(space=ODD)) is None


def test_spreads_are_those_of_the_box():
    for space, low, high in ((PLANE, 0.1, 6.0), (WIDE, 0.5, 12.0), (ODD, 0.5, 5.0)):
        spreads = numbers_of(space).spreads
        assert (spreads[0] * space.step_db, spreads[-1] * space.step_db) == pytest.approx((low, high))


def test_the_words_are_those_of_the_curves_and_of_the_box():
    assert wording_of("corners", ODD).meaning == (
        "x is between 0.0 and 10.0, y between -3.0 and 3.0, both in steps of 0.5. [0.0, 0.0] changes "
        "nothing. [0.0, 3.0] is bright: treble up, bass down. [0.0, -3.0] is warm: bass up, treble down. "
        "[10.0, 0.0] is energetic: bass and treble up. [3.0, 3.0] is treble alone up; [3.0, -3.0] is bass "
        "alone up."
    )
    assert wording_of("axes", ODD).meaning == (
        "x is the energy: above 0 is energetic (bass and treble up). y is the brightness: above 0 is bright "
        "(treble up, bass down), below 0 is warm (bass up, treble down). x is between 0.0 and 10.0, y "
        "between -3.0 and 3.0, both in steps of 0.5."
    )
    assert wording_of("corners", WHOLE).meaning == (
        "x is between -3 and 9, y between 2 and 5, both without decimals. [0, 5] is bright: treble up, bass "
        "down. A higher x is more powerful: bass and treble up, mids down. [5, 5] is treble alone up; "
        "[-3, 3] is bass alone down."
    )
    assert "x is fullness: above 0 is more bass" in wording_of("engineer", WIDE).meaning
    assert "[-5.0, 0.5]" in wording_of("worked", WIDE).meaning
    assert '"as bright as possible" is [0, 5]' in wording_of("worked", WHOLE).meaning
    assert '"as bright as possible" is [0.0, 3.0]' in wording_of("worked", ODD).meaning
    assert "gains in dB between -24.0 and 24.0 in steps of 0.5" in wording_of("gains", WIDE).meaning
    asymmetric = wording_of("gains", Space(0.0, 10.0, -3.0, 2.0)).meaning
    assert asymmetric.startswith(
        "Bass is a gain in dB between -2.0 and 13.0, treble one between -3.0 and 12.0, both with one "
        "decimal: above 0 is more of it"
    )


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", wording_names())
def test_settings_that_a_wording_or_a_template_names_are_offered(space, name):
    if name == "gains":
        return
    one, mixture = AnswerFormat(space=space), MixtureForm(space=space)
    for kind in ("zero", "few", "qa", "verbal"):
        system, *_ = load_template(kind, wording=name, space=space).chat(
            "dull", [("warm", np.array([[1.0, -2.0]]))]
        )
        named = re.findall(r"\[-?[0-9][^]]*\]", system.content)
        assert named or (name != "worked" and kind != "verbal")
        assert all(parse_answer(text, one) is not None for text in named)
        if kind == "verbal":
            (shown,) = re.findall(r'in the form "([^"]*)"', system.content)
            assert parse_answer(shown, mixture) is not None


def test_the_wording_of_gains_is_about_one_pair_of_curves():
    with pytest.raises(
        UsageError, match="describes the curves 'orthogonal', and this data set has 'beosonic'"
    ):
        load_template("zero", wording="gains", space=ODD)


@pytest.fixture
def data(tmp_path):
    folder = write_small_dataset(tmp_path / "small")
    card = (folder / "dataset.toml").read_text()

    def data(space):
        (folder / "dataset.toml").write_text(f"{card}\n[space]\n{space}\n")
        return load_dataset(folder)

    return data


@pytest.fixture
def planned(data):
    def plan(name, space, **options):
        return make_plans([name], data(space), DEFAULT_PROTOCOL, [0], options)

    return plan


def test_what_a_space_cannot_have_is_refused_by_a_search_and_in_this_process_too(data):
    spec, beosonic = registry().predictor("icl-rag"), data('curves = "beosonic"')
    with pytest.raises(UsageError, match="icl-rag on small: -o wording=gains: describes the curves"):
        plan_search(spec, beosonic, "small", {"wording": "gains"}, SearchSettings())
    with pytest.raises(UsageError, match="-o wording=gains: describes the curves"):
        load_predictor("icl-rag", wording="gains").fit(beosonic)


@pytest.mark.parametrize("name", ["icl-zero", "icl-rag-qa", "icl-verbal", "icl-dsp", "lora-ntp"])
def test_what_a_space_cannot_have_is_refused_when_a_run_is_planned(planned, name):
    fine = r"small: step_db 0.0001 of \[space\] in dataset.toml is too fine .* offers 14,400,240,001 settings"
    with pytest.raises(UsageError, match=f"{name} on {fine}") as caught:
        planned(name, "step_db = 0.0001")
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=f"{name} on small: -o wording=gains: describes the curves"):
        planned(name, 'curves = "beosonic"', wording="gains")
    with pytest.raises(UsageError, match=r"1,442,401 settings.*bass and treble.*or another wording"):
        planned("icl-zero", "x_db = [-12, 12]\ny_db = [-12, 12]\nstep_db = 0.02", wording="gains")
    assert planned(name, 'x_db = [-12, 12]\ny_db = [-7, 6]\nstep_db = 0.5\ncurves = "beosonic"')


def test_settings_as_gains_are_refused_when_planned_where_they_cannot_be_read(planned):
    served = {"model": "openai:x", "base_url": "http://localhost:1/v1"}
    with pytest.raises(UsageError, match="icl-zero on small: -o wording=gains: served models write x and y"):
        planned("icl-zero", "step_db = 0.1", wording="gains", **served)
    with pytest.raises(
        UsageError, match="icl-verbal on small: -o wording=gains: icl-verbal describes x and y"
    ):
        planned("icl-verbal", "step_db = 0.1", wording="gains")


CHAT = (Message("system", "Answer with settings."), Message("user", "Sentence: make it warm"))


@pytest.mark.parametrize("shape", ["phi3", "llama", "qwen", "gpt2"])
def test_x_and_y_one_after_the_other_are_drawn_like_both_at_once(model_folders, monkeypatch, shape):
    """Where a tokenizer writes both alike, the very answers are the same."""
    model = LocalModel(str(model_folders(shape)), device="cpu", dtype="float32")
    forms = (AnswerFormat(space=WIDE), AnswerFormat(2, space=WIDE), MixtureForm(2, space=WIDE))

    def answers():
        return [model.generate([CHAT], 20, form, [np.random.default_rng(1)]).answers for form in forms]

    at_once = answers()
    monkeypatch.setattr(token_by_token, "MOST_AT_ONCE", 0)
    monkeypatch.setattr(local, "segment_texts", segment_texts.__wrapped__)
    assert len(segment_texts.__wrapped__(forms[0])) == 2
    found = answers()
    if shape == "phi3":  # its tokenizer merges y with what is before it, so y is spelled out
        rows = zip(found, forms, strict=True)
        assert all(parse_answer(text, form) is not None for ((row,), form) in rows for text in row)
    else:
        assert found == at_once


def test_a_fine_step_in_a_wide_box_is_a_trie_for_each_number(model_folders):
    fine = AnswerFormat(space=Space(-12.0, 12.0, -12.0, 12.0, 0.01))
    assert [len(texts) for texts in segment_texts(fine)] == [2401, 2401]
    for decode in ("split", "exact", "generate"):
        model = LocalModel(str(model_folders("llama")), device="cpu", dtype="float32", decode=decode)
        (answers,) = model.generate([CHAT], 5, fine, [np.random.default_rng(0)]).answers
        assert all(parse_answer(text, fine) is not None for text in answers)


def test_the_cache_of_served_answers_knows_the_space():
    body = {"messages": []}
    keys = [
        Question(body, "http://h", Source(), 1, 0, AnswerFormat(space=space), 1).key
        for space in (PLANE, WIDE, Space(-12.0, 12.0, -12.0, 12.0, 1.0))
    ]
    assert set(keys[0]) == {"kind", "base_url", "source", "body", "seed", "sample", "pairs"}, (
        "what was paid for is kept"
    )
    assert keys[0] != keys[1] != keys[2]


@pytest.mark.parametrize("space", [WIDE, ODD])
@pytest.mark.parametrize("template_of", [partial(load_template, "zero"), dsp_template], ids=["zero", "dsp"])
def test_smollm2_answers_with_settings_of_the_box(space, template_of):
    form = AnswerFormat(space=space)
    chat = template_of(space=space).chat("as bright as it gets")
    (answers,) = open_smollm2().generate([chat], 20, form, [np.random.default_rng(0)]).answers
    points = np.concatenate([parse_answer(text, form) for text in answers])
    np.testing.assert_array_equal(space.nearest(points), points)
    assert len(np.unique(points, axis=0)) > 3
