"""Mixtures in words: read strictly, written as the model says, sampled exactly, kept by the contract."""

from __future__ import annotations

import itertools
import json
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, norm
from tests.popeq_llm.fake_server import Loopback, choices, is_probe, serving
from tests.popeq_llm.fakes import SENTENCES, FakeModel, WordEncoder, training
from tests.popeq_llm.shapes import SHAPES

from popeq.contract import Prompt
from popeq.errors import UsageError
from popeq.seeding import generator
from popeq.space import PLANE
from popeq.testing.checks import CHECKS
from popeq.testing.subject import Subject
from popeq_llm.answers import WEIGHTS, MixtureForm, mixture_text, parse_answer, parse_mixture
from popeq_llm.local import LocalModel
from popeq_llm.models import Generated, Message
from popeq_llm.parameters import VerbalParameters
from popeq_llm.served import ServedModel
from popeq_llm.served_client import Patience
from popeq_llm.served_questions import binding_fields
from popeq_llm.splitting import split_samples, vocabulary_of
from popeq_llm.token_by_token import constrained_samples, grammar_of, segment_texts
from popeq_llm.tree import TreeRows
from popeq_llm.verbal import Verbal, described, draws

FORM = MixtureForm()
TWO = "60% at [1.5, -2.0] spread 1.2; 40% at [-3.0, 0.5] spread 0.8."

tenths = st.integers(-60, 60).map(lambda t: t / 10)
mixtures = st.lists(
    st.tuples(
        st.sampled_from(WEIGHTS), tenths, tenths, st.sampled_from(FORM.numbers.spreads).map(lambda t: t / 10)
    ),
    min_size=1,
    max_size=4,
)


def pattern(form=FORM):
    schema = binding_fields("schema", form)["response_format"]["json_schema"]["schema"]
    return schema["properties"]["settings"]["items"]["pattern"]


@given(mixtures)
def test_a_mixture_reads_back(components):
    text = mixture_text(components)
    np.testing.assert_array_equal(parse_mixture(text, FORM), components)
    assert re.fullmatch(pattern(), text), "what a server is bound to is what is read"


def test_the_text_of_a_mixture():
    np.testing.assert_array_equal(parse_answer(f" {TWO}\n", FORM), [[60, 1.5, -2, 1.2], [40, -3, 0.5, 0.8]])
    assert mixture_text([[58, 1.52, -1.96, 1.24], [0.4, -0.01, 6, 0]]) == (
        "60% at [1.5, -2.0] spread 1.2; 5% at [0.0, 6.0] spread 0.1."
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        TWO[:-1],
        TWO.replace("60", "61"),
        TWO.replace("60", "0"),
        TWO.replace("60", "105"),
        TWO.replace("1.5", "6.1"),
        TWO.replace("1.5", "1.55"),
        TWO.replace("1.2", "0.0"),
        TWO.replace("1.2", "6.1"),
        TWO.replace("1.2", "-1.2"),
        TWO.replace("; ", ", "),
        TWO + TWO,
        f"Settings: {TWO}",
        "; ".join(["20% at [1.5, -2.0] spread 1.2"] * 5) + ".",
    ],
)
def test_anything_else_is_no_mixture(text):
    assert parse_mixture(text, FORM) is None
    assert not re.fullmatch(pattern(), text)


def test_fewer_components_are_a_form_of_their_own():
    assert parse_mixture(TWO, MixtureForm(1)) is None
    assert not re.fullmatch(pattern(MixtureForm(1)), TWO)
    assert len(segment_texts(MixtureForm(1))) == 4


@pytest.fixture(scope="module")
def opened(model_folders):
    made = {}

    def open_(shape):
        if shape not in made:
            made[shape] = LocalModel(str(model_folders(shape)), device="cpu", dtype="float32")
        return made[shape]

    return open_


def chat(text):
    return (Message("system", "State the mixture."), Message("user", f"Sentence: {text}"))


def rngs(n):
    return [np.random.default_rng([7, i]) for i in range(n)]


@pytest.mark.parametrize("shape", SHAPES)
def test_answers_are_mixtures_whatever_the_batch(opened, shape):
    model, asked = opened(shape), [chat("warm"), chat("bright and airy"), chat("dull")]
    together = model.generate(asked, 4, FORM, rngs(3))
    assert together.rejected == (0, 0, 0)
    found = [parse_mixture(text, FORM) for row in together.answers for text in row]
    assert all(mixture is not None for mixture in found)
    backwards = model.generate(asked[::-1], 4, FORM, rngs(3)[::-1]).answers[::-1]
    single = [model.generate([c], 4, FORM, [r]).answers[0] for c, r in zip(asked, rngs(3), strict=True)]
    assert together.answers == backwards == single


@pytest.mark.parametrize("shape", ["llama", "qwen", "gpt2"])
def test_the_tokens_are_those_that_the_tokenizer_writes(opened, shape):
    model = opened(shape)
    pieces = model.text.pieces(chat("warm"))
    (context,), grammar = model._contexts([chat("warm")], FORM)
    rng = np.random.default_rng(0)
    for components in (1, 2, 3, 4):
        text, path = "", []
        for place, texts in enumerate(segment_texts(FORM)[: 3 * components + 1]):
            ends = place == 3 * components
            index = len(texts) - 1 if ends else int(rng.integers(len(texts) - (texts[-1] == ".")))
            text, path = text + texts[index], path + grammar.tries[place].path(index)
        assert len(parse_mixture(text, FORM)) == components
        assert model.text.encode([(*pieces[:-1], pieces[-1] + text)]) == [context + path]


def test_mixtures_come_as_often_as_the_model_says(opened):
    """Against plain forward passes over every answer of a small grammar."""
    model = opened("llama")
    weights, centres, spreads = ("20%", "100%"), (" at [0.0, 1.0", " at [-1.0, 2.5"), ("] spread 0.5",)
    more = (*(f"; {w}" for w in weights), ".")
    texts = (weights, centres, spreads, more, centres, spreads, (".",))
    context = model.text.encode([model.text.pieces(chat("warm"))])[0]
    grammar = grammar_of(model._encode, model._spell, "\n", texts)
    assert not any(trie.healed for trie in grammar.tries)
    places = [tuple(range(len(choices))) for choices in texts]
    ended = itertools.product(*places[:3], [2])
    expected = {}
    for chosen in [*ended, *itertools.product(*places[:3], [0, 1], *places[4:])]:
        path = [t for trie, place in zip(grammar.tries, chosen, strict=False) for t in trie.path(place)]
        with torch.inference_mode():
            logits = model.model(torch.tensor([[*context, *path]])).logits[0].double()
        logarithm, rows = 0.0, iter(logits[len(context) - 1 :])
        for trie, place in zip(grammar.tries, chosen, strict=False):
            node = 0
            for token in trie.path(place):
                allowed = {trie.token[c]: c for c in trie.children[node]}
                logs = torch.log_softmax(next(rows)[list(allowed)], dim=0)
                logarithm += logs[list(allowed).index(token)].item()
                node = allowed[token]
        text = "".join(choices[place] for choices, place in zip(texts, chosen, strict=False))
        expected[text] = np.exp(logarithm)
    assert len(expected) == 4 + 16
    assert sum(expected.values()) == pytest.approx(1.0, abs=1e-6)
    n = 1000
    stepped = constrained_samples(model.model, grammar, [context] * n, range(n))
    vocabulary = torch.from_numpy(vocabulary_of(grammar))
    rows = TreeRows(model.model, [context], vocabulary)
    (chosen,) = split_samples(rows, grammar, n, [np.random.default_rng(1)])
    for drawn in (stepped, [grammar.text(row) for row in chosen.tolist()]):
        assert set(drawn) <= set(expected)
        counts = np.array([drawn.count(text) for text in expected])
        mean = n * np.array(list(expected.values()))
        often = mean >= 5
        assert often.sum() > 3
        observed, due = (np.append(v[often], v[~often].sum() + 1e-9) for v in (counts, mean))
        assert ((observed - due) ** 2 / due).sum() < chi2.isf(1e-6, len(due))


def mass(mixture, edges, axis):
    """The mass of a mixture between edges along an axis: Gaussians and their mirror images at both ends."""
    total = np.zeros(len(edges) - 1)
    for weight, *centre, spread in mixture:
        for k in (-2, -1, 0, 1, 2):
            for image in (centre[axis] + 24 * k, 12 - centre[axis] + 24 * k):
                total += weight * np.diff(norm.cdf(edges, image, spread))
    return total / sum(mixture[:, 0])


def test_samples_have_the_density_of_the_average_mixture():
    one = np.array([[60, 5.5, -2.0, 1.2], [60, -3.0, 0.5, 4.0]])  # weights are relative
    other = np.array([[5, -6.0, 6.0, 6.0]])
    n = 60_001
    samples = draws([one, other], n, np.random.default_rng(0))
    assert PLANE.contains(samples).all()
    edges = np.linspace(-6, 6, 25)
    for axis in (0, 1):
        due = n * (mass(one, edges, axis) + mass(other, edges, axis)) / 2
        assert due.sum() == pytest.approx(n, rel=1e-4)
        counts, _ = np.histogram(samples[:, axis], edges)
        assert ((counts - due) ** 2 / due).sum() < chi2.isf(1e-6, len(due))


@pytest.mark.parametrize("n", [1, 7, 23])
def test_every_answer_gives_as_many_samples_up_to_one(n):
    """Also where ``n`` is no multiple of the answers; each place of the sample is as likely to be of each."""
    apart = [np.array([[100.0, x, 0.0, 0.1]]) for x in (-5, -3, -1, 1, 3)]
    which = np.zeros((2000, n), dtype=int)
    for i in range(2000):
        samples = draws(apart, n, np.random.default_rng(i))
        which[i] = np.rint((samples[:, 0] + 5) / 2)
        times = np.bincount(which[i], minlength=5)
        assert times.max() - times.min() <= 1
    for place in (0, n - 1):
        share = np.bincount(which[:, place], minlength=5) / 2000
        np.testing.assert_allclose(share, 0.2, atol=5 * np.sqrt(0.16 / 2000))


def test_one_group_is_described_by_its_mean_and_spread():
    rng = np.random.default_rng(0)
    points = rng.normal([1, -2], 0.8, (11, 2))
    ((weight, x, y, spread),) = described(points)
    assert weight == 100
    np.testing.assert_allclose((x, y), points.mean(axis=0))
    assert spread == pytest.approx(np.sqrt(points.var(axis=0, ddof=1).mean()))
    np.testing.assert_array_equal(described(points[[4, 1, 3, 0, 2, 5, 6, 10, 9, 8, 7]]), described(points))
    np.testing.assert_array_equal(described(points[:1]), [[100, *points[0], 0]])
    np.testing.assert_array_equal(described(np.ones((3, 2))), [[100, 1, 1, 0]])


def test_two_groups_are_described_as_two():
    left, right = np.array([[-3.0, 0], [-4, 0], [-3.5, 1]]), np.array([[4.0, 0], [4, 1], [5, 1], [5, 0]])
    found = described(np.concatenate([left, right]))
    np.testing.assert_allclose(found[:, 0], [400 / 7, 300 / 7])
    np.testing.assert_allclose(found[:, 1:3], [right.mean(axis=0), left.mean(axis=0)])
    squares = sum(np.square(part - part.mean(axis=0)).sum() for part in (left, right))
    np.testing.assert_allclose(found[:, 3], np.sqrt(squares / (2 * 5)))
    assert parse_mixture(mixture_text(found), FORM) is not None


@pytest.fixture
def fakes(monkeypatch):
    monkeypatch.setattr("popeq_llm.icl.open_model", FakeModel)
    monkeypatch.setattr("popeq_llm.verbal.open_encoder", lambda _: WordEncoder())


def fitted(**parameters):
    predictor = Verbal(VerbalParameters(**parameters), PLANE)
    predictor.fit(training(), [], generator(0, "fit"))
    return predictor


def prompts():
    texts = ["warm and cosy", "", "{{ sentence }}", "bright like glass eyes", *map(str, range(5))]
    return [Prompt(f"q{i}", text, "colour") for i, text in enumerate(texts)]


def draw(predictor, asked, n=20, batch=100):
    parts = [asked[i : i + batch] for i in range(0, len(asked), batch)]
    return np.concatenate(
        [predictor.sample(part, n, [generator(0, p.prompt_id) for p in part]) for part in parts]
    )


def test_samples_depend_on_neither_batch_nor_order(fakes):
    together = draw(fitted(), prompts())
    assert together.shape == (9, 20, 2)
    np.testing.assert_array_equal(draw(fitted(), prompts(), batch=1), together)
    np.testing.assert_array_equal(draw(fitted(), prompts()[::-1], batch=4)[::-1], together)


def test_samples_do_not_depend_on_what_the_model_takes_from_the_generator(fakes, monkeypatch):
    first = fitted()
    expected = draw(first, prompts()[:1])
    answers = first.explain("q0")["answers"]
    monkeypatch.setattr(FakeModel, "generate", lambda *_: Generated([answers], (0,)))
    np.testing.assert_array_equal(draw(fitted(), prompts()[:1]), expected)


def test_examples_are_the_nearest_in_the_words_of_an_answer(fakes):
    predictor = fitted(examples=2, answers=3)
    draw(predictor, prompts()[3:4])
    shown = [
        f"Sentence: {SENTENCES[p.prompt.prompt_id]}\nSettings: {mixture_text(described(p.responses))}\n\n"
        for p in (training()[3], training()[2])
    ]
    (asked,) = predictor.model.chats
    assert asked[1].content.endswith("".join(shown) + "Sentence: bright like glass eyes")
    explained = json.loads(json.dumps(predictor.explain("q3")))
    assert [r["prompt_id"] for r in explained["retrieved"]] == ["t2", "t3"]
    assert explained["text"] == predictor.model.render(asked)
    assert [len(parse_mixture(text, FORM)) for text in explained["answers"]] == [2, 2, 2]
    assert predictor.describe()["encoder"] == "words"


def test_without_examples_no_encoder_is_opened(fakes, monkeypatch):
    monkeypatch.delattr("popeq_llm.verbal.open_encoder")
    predictor = fitted(examples=0)
    draw(predictor, prompts()[:1])
    assert predictor.model.chats[0][1].content == "Sentence: warm and cosy"
    assert predictor.explain("q0")["retrieved"] == []
    assert "encoder" not in predictor.describe()


def test_more_examples_than_prompts_is_one_line(fakes):
    with pytest.raises(UsageError, match="icl-verbal: examples=7 is more than the 6 training prompts"):
        fitted(examples=7)


@pytest.fixture(scope="module")
def subject(model_folders):
    options = {"model": str(model_folders("llama")), "examples": 1, "answers": 2}
    return Subject.of("icl-verbal", options)


#: All but one that starts several processes, each of which imports torch.
QUICK = [check for check in CHECKS if check.name != "hash-seed"]


@pytest.mark.parametrize("check", QUICK, ids=lambda check: check.name)
def test_it_keeps_the_contract(check, subject):
    check.run(subject)


class Stating(Loopback):
    """States a mixture that follows from the seed; the first answer of every other request is none."""

    bound = True

    def answer(self, raw, body, handler):
        number = body["seed"] % 50 / 10 + 0.1
        text = f"60% at [{number:.1f}, -2.0] spread 1.2; 40% at [0.0, {number:.1f}] spread 0.8."
        if is_probe(body):
            text = f"[{number:.1f}, 0.0]"
        if "grammar" in body or "structured_outputs" in body:
            return 400, b'{"error": {"message": "unknown field"}}'
        if "response_format" in body:
            if not self.bound:
                return 400, b'{"error": {"message": "response_format is not supported"}}'
            items = body["response_format"]["json_schema"]["schema"]["properties"]["settings"]["items"]
            assert re.fullmatch(items["pattern"], text)
            text = json.dumps({"settings": [text]})
        elif body["seed"] % 2 and not is_probe(body):
            text = "About half of them want it warmer."
        return 200, choices([text] * body.get("n", 1))


@pytest.mark.parametrize("bound", [True, False])
def test_a_served_model_states_mixtures(tmp_path, monkeypatch, bound):
    monkeypatch.setenv("POPEQ_CACHE", str(tmp_path))
    with serving(Stating()) as server:
        server.bound = bound
        model = ServedModel("fake", server.url, patience=Patience(backoff_s=0.01), timeout_s=5)
        given = model.generate([chat("warm"), chat("dull")], 4, FORM, rngs(2))
    assert all(len(parse_mixture(text, FORM)) == 2 for row in given.answers for text in row)
    assert [len(row) for row in given.answers] == [4, 4]
    assert (sum(given.rejected) == 0) == bound
