"""Retrieval finds the nearest, breaks ties by name, covers the training set and can be diagnosed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.popeq_llm.fakes import SENTENCES, WordEncoder, labelled, training

from popeq.contract import Prompt
from popeq.errors import UsageError
from popeq.metrics import point_wasserstein
from popeq_llm.retrieval import Retriever, check_count, typical_settings


def ask(text):
    return [Prompt("q", text, "colour")]


def test_the_nearest_come_first_with_their_similarity():
    (found,) = Retriever(training(), WordEncoder()).nearest(ask("bright like glass please"), 3)
    assert [r.prompt_id for r in found[:2]] == ["t2", "t3"]
    assert found[0].similarity > found[1].similarity > found[2].similarity
    assert found[0].similarity == pytest.approx(3 / np.sqrt(12), abs=0.01)


def test_ties_go_by_prompt_id_whatever_the_order():
    train = [labelled(i, "same words", [[0, 0]]) for i in ("c", "a", "b")]
    for order in itertools.permutations(train):
        retriever = Retriever(order, WordEncoder())
        assert [r.prompt_id for r in retriever.nearest(ask("same words"), 2)[0]] == ["a", "b"]
        assert retriever.covering(2) == ("a", "b")


def test_a_prompt_finds_the_same_alone_and_among_others():
    retriever = Retriever(training(), WordEncoder())
    prompts = [Prompt(f"q{i}", t, "colour") for i, t in enumerate(SENTENCES.values())]
    together = retriever.nearest(prompts, 4)
    assert [retriever.nearest([p], 4)[0] for p in prompts] == together
    assert retriever.nearest(prompts[::-1], 4)[::-1] == together


def test_covering_takes_the_medoid_then_the_farthest():
    train = [
        labelled("a", "x x x y", [[0, 0]]),
        labelled("b", "x x y", [[0, 0]]),
        labelled("c", "x x x", [[0, 0]]),
        labelled("d", "z", [[0, 0]]),
        labelled("e", "w", [[0, 0]]),
    ]
    retriever = Retriever(train, WordEncoder())
    assert retriever.covering(3) == ("a", "d", "e")
    assert sorted(retriever.covering(5)) == list("abcde")


def test_more_than_the_training_set_is_one_line():
    check_count("knn", "k", 6, training())
    with pytest.raises(UsageError, match=r"knn: k=7 is more than the 6 training prompts; use 6 at most"):
        check_count("knn", "k", 7, training())


points = st.lists(st.tuples(st.integers(-60, 60), st.integers(-60, 60)), min_size=1, max_size=12)


@given(points, st.integers(1, 14), st.randoms())
def test_typical_settings_are_listeners_own_and_do_not_depend_on_row_order(rows, count, random):
    rows = np.array(rows) / 10
    chosen = typical_settings(rows, count)
    assert len(chosen) == min(count, len(rows))
    left = rows.tolist()
    for point in chosen.tolist():
        left.remove(point)  # each is there, and as often
    shuffled = rows.tolist()
    random.shuffle(shuffled)
    np.testing.assert_array_equal(typical_settings(np.array(shuffled), count), chosen)


def test_typical_settings_follow_the_definition():
    rows = np.random.default_rng(5).integers(-60, 61, (9, 2)) / 10

    def energy(chosen):
        def mean(a, b):
            return np.mean([np.linalg.norm(x - y) for x in a for y in b])

        return 2 * mean(chosen, rows) - mean(chosen, chosen)

    chosen = typical_settings(rows, 5)
    for n in range(5):
        candidates = [r for r in rows if not any((r == c).all() for c in chosen[:n])]
        best = min(energy([*chosen[:n], c]) for c in candidates)
        assert energy(chosen[: n + 1]) == pytest.approx(best, abs=1e-6)


def test_typical_settings_are_closer_than_random_ones():
    rng = np.random.default_rng(0)
    ours, theirs = [], []
    for _ in range(30):
        rows = rng.normal(0, 2, (11, 2))
        ours.append(point_wasserstein(typical_settings(rows, 5), rows))
        theirs.append(point_wasserstein(rng.choice(rows, 5, replace=False), rows))
    assert np.mean(ours) < 0.9 * np.mean(theirs)
