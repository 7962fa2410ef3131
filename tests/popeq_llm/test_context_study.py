"""The study of contexts: what its rules choose, that words are held out, that no test prompt takes part."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from fakes import WordEncoder  # noqa: E402

from popeq_data.simulated_120.tables import read_sentences  # noqa: E402
from popeq_llm.tiny import context_rules as rules  # noqa: E402
from popeq_llm.tiny import context_study  # noqa: E402

TO = np.array([0.2, 0.9, 0.5, 0.8, 0.1])
#: 1 and 3 are alike; 4 is like none.
AMONG = np.array(
    [
        [1.0, 0.3, 0.4, 0.3, 0.0],
        [0.3, 1.0, 0.5, 0.9, 0.1],
        [0.4, 0.5, 1.0, 0.4, 0.1],
        [0.3, 0.9, 0.4, 1.0, 0.1],
        [0.0, 0.1, 0.1, 0.1, 1.0],
    ]
)


def chosen(rule):
    ((weight, context),) = rule(TO, AMONG)
    assert weight == 1.0
    return context


def test_the_rules_choose_what_they_say_the_best_last():
    assert chosen(rules.nearest(3, 5)) == [(2, 5), (3, 5), (1, 5)]
    assert [i for i, _ in chosen(rules.marginal(2, 1))] == [2, 1]
    assert [i for i, _ in chosen(rules.covering(2, 1, near=1))] == [4, 1]
    assert [i for i, _ in chosen(rules.covering(2, 1))] == [4, 1]
    assert [i for i, _ in chosen(rules.threshold(5, 1))] == [3, 1]
    counts = [n for _, n in chosen(rules.allotted(3, 12))]
    assert counts == sorted(counts)
    assert counts[0] == 1


def test_weights_of_a_mixture_sum_to_one():
    parts = rules.mixed(rules.nearest(1, 11), rules.nearest(2, 11))(TO, AMONG)
    assert parts == [(0.5, [(1, 11)]), (0.5, [(3, 11), (1, 11)])]
    weights, contexts = zip(*rules.one_by_one(3, 0.05)(TO, AMONG), strict=True)
    assert sum(weights) == pytest.approx(1)
    assert contexts == ([(1, 11)], [(3, 11)], [(2, 11)])
    assert weights[0] > weights[1] > weights[2]


@pytest.fixture(scope="module")
def study():
    return context_study.Study(1, encoder=WordEncoder())


def test_the_word_is_held_out_and_no_test_prompt_takes_part(study):
    sentences = {s.prompt_id: s for s in read_sentences()}
    by_text = {s.text: s for s in sentences.values()}
    assert len(study.queries) == 90
    assert {sentences[q.prompt_id].split for q in study.queries} == {"train", "validation"}
    assert {by_text[text].split for text, _ in study.train} == {"train"}
    for query in study.queries:
        shown = {by_text[study.train[k][0]].word for k in query.candidates}
        assert sentences[query.prompt_id].word not in shown
        assert len(query.candidates) >= 55


def test_a_rule_is_asked_and_scored(study):
    study.queries = study.queries[:2]
    scores, tokens = study.scores(rules.rules()["mixture of 2 x (1 x 11)"])
    alone, fewer = study.scores(rules.nearest(1, 11))
    assert scores.shape == alone.shape == (2,)
    assert (scores > 0).all()
    assert (scores < 8).all()
    assert tokens > 1.5 * fewer
