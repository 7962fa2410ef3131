"""The committed set of 1,200 prompts: what its card promises, and that it can be made again."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from popeq.dataset_folder import read_dataset
from popeq_data.simulated_120.listeners import MINORITY
from popeq_data.simulated_120.statistics import STATISTICS
from popeq_data.simulated_120.tables import read_words
from popeq_data.simulated_1200 import generate
from popeq_data.simulated_1200.people import TEST_PEOPLE, TRAINING_PEOPLE, known_words, meant
from popeq_data.simulated_1200.statistics import measure, shares
from popeq_data.simulated_1200.tables import read_concepts, read_sentences
from popeq_llm.encoder import open_encoder

PACKAGE = Path(generate.__file__).parent
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def sentences():
    return read_sentences()


@pytest.fixture(scope="module")
def panels():
    return [read_dataset(PACKAGE / name) for name in ("data", "panel_b")]


@pytest.fixture(scope="module")
def embeddings(sentences):
    return open_encoder().encode([s.text for s in sentences]).astype(np.float64)


def words_of(text):
    return set(re.findall(r"[a-z']+", text.casefold()))


def test_sizes_splits_and_concepts(sentences, panels):
    assert Counter(s.split for s in sentences) == {"train": 600, "validation": 300, "test": 300}
    for split in SPLITS[1:]:
        assert Counter(s.seen for s in sentences if s.split == split) == {"seen": 150, "unseen": 150}
    by_split = {split: {s.concept.concept for s in sentences if s.split == split} for split in SPLITS}
    for s in sentences:
        trained = s.concept.concept in by_split["train"]
        assert s.seen == ("seen" if trained else "unseen")
        if not trained:
            assert [split for split in SPLITS if s.concept.concept in by_split[split]] == [s.split]
    sizes = Counter(s.concept.concept for s in sentences)
    assert set(sizes) == set(read_concepts())
    assert 4 <= min(sizes.values()) <= max(sizes.values()) <= 14
    wording = Counter(s.wording for s in sentences)
    assert 0.2 < wording["described"] / 1200 < 0.3
    card = (PACKAGE / "data" / "README.md").read_text(encoding="utf-8")
    counted = Counter((s.concept.category, s.split) for s in sentences)
    for category, n in Counter(c.category for c in read_concepts().values()).items():
        cells = " / ".join(str(counted[category, split]) for split in SPLITS)
        assert f"| {category} | {n} | {cells} |" in card
    for dataset in panels:
        prompts = dataset.prompts.set_index("prompt_id")
        for s in sentences:
            assert prompts.loc[s.prompt_id, "wording"] == s.wording
            assert prompts.loc[s.prompt_id, "seen"] == (None if s.split == "train" else s.seen)


def test_centres_are_measured_or_have_a_reason(sentences):
    words = read_words()
    concepts = read_concepts()
    assert {name for name, c in concepts.items() if c.basis == "crowd"} == set(words)
    for name, concept in concepts.items():
        if concept.basis == "crowd":
            assert concept.centre == words[name]
        else:
            assert concept.reason, name
    assert sum(c.second_centre for c in concepts.values()) == 40
    assert all(0.6 <= s.strength <= 1.6 for s in sentences)
    for s in sentences:
        found = meant(s)
        assert (found.share > 0) == s.concept.second_centre
        assert not found.share or MINORITY[0] <= found.share <= MINORITY[1]


def test_a_sentence_that_names_its_concept_has_a_form_of_a_word_of_it(sentences):
    """At least in nine of ten: 'heat' for hot, or 'mum's asleep' for asleep, share no four letters."""
    named = [s for s in sentences if s.wording == "named"]
    parts = [{w[:4] for w in words_of(s.concept.concept) if len(w) > 2} for s in named]
    found = [any(p in s.text.casefold() for p in own) for s, own in zip(named, parts, strict=True)]
    assert np.mean(found) > 0.9


@pytest.mark.models
def test_no_test_sentence_nearly_repeats_another(sentences, embeddings):
    texts = [s.text.casefold() for s in sentences]
    assert len(set(texts)) == 1200
    assert all(3 <= len(t.split()) <= 25 for t in texts)
    words = [words_of(t) for t in texts]
    similarity = embeddings @ embeddings.T
    tested = [i for i, s in enumerate(sentences) if s.split == "test"]
    others = [i for i, s in enumerate(sentences) if s.split != "test"]
    for i in tested:
        for j in others:
            same = sentences[i].concept == sentences[j].concept
            assert similarity[i, j] < (0.85 if same else 0.95), (texts[i], texts[j])
            assert len(words[i] & words[j]) <= 0.6 * len(words[i] | words[j]), (texts[i], texts[j])


def test_tested_people_never_answer_training_prompts(sentences, panels):
    split = {s.prompt_id: s.split for s in sentences}
    asked = [
        {name: set(rows) for name, rows in d.responses.groupby("prompt_id")["listener_id"]} for d in panels
    ]
    for own in asked:
        answers = Counter(name for people in own.values() for name in people)
        for p, people in own.items():
            assert len(people) == 11
            assert people <= set(TEST_PEOPLE if split[p] == "test" else TRAINING_PEOPLE)
        assert {answers[name] for name in TEST_PEOPLE} == {27, 28}
        assert {answers[name] for name in TRAINING_PEOPLE} == {35, 36}
    assert all(not asked[0][p] & asked[1][p] for p in split)
    tested = [asked[0][p] for p in split if split[p] == "test"]
    shared = [len(a & b) for i, a in enumerate(tested) for b in tested[:i]]
    assert np.mean(shared) < 1.1
    assert max(shared) <= 6


@pytest.mark.parametrize("index", range(len(STATISTICS)), ids=[s.name for s in STATISTICS])
def test_the_statistics_are_near_their_targets(index):
    statistic = STATISTICS[index]
    assert measure()[index] == pytest.approx(statistic.target, abs=statistic.tolerance)


def test_the_shares_of_variance_add_up_to_one():
    parts = np.array(shares())
    np.testing.assert_allclose(parts.sum(axis=0), 1.0)
    assert (parts[0] > 0.25).all()


@pytest.mark.models
def test_the_card_says_how_much_a_ridge_regression_reads(sentences, embeddings):
    centres = np.array([meant(s).centre for s in sentences])
    split = np.array([s.split for s in sentences])
    seen = np.array([s.seen == "seen" for s in sentences])
    train = split == "train"
    mean, centre = embeddings[train].mean(axis=0), centres[train].mean(axis=0)
    x, y = embeddings[train] - mean, centres[train] - centre

    def explained(penalty, rows):
        slopes = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
        off = (embeddings[rows] - mean) @ slopes + centre - centres[rows]
        return 1.0 - (off**2).sum(axis=0) / ((centres[rows] - centre) ** 2).sum(axis=0)

    penalties = (0.3, 1, 2, 3, 5, 10, 20)
    best = max(penalties, key=lambda p: explained(p, split == "validation").mean())
    card = " ".join((PACKAGE / "data" / "README.md").read_text(encoding="utf-8").split())
    found = [explained(best, (split == "test") & rows) for rows in (seen, ~seen)]
    said = [f"{x:.2f}, {y:.2f}" for x, y in found]
    assert f"seen concepts {said[0]}; unseen concepts {said[1]}" in card
    assert f"validation ({best})" in card


def test_known_words_are_the_population_of_a_concept(sentences, panels):
    """They are one draw for all sentences of a concept, and nearer to its answers than the pool is."""
    tested = [s for s in sentences if s.split == "test"][:40]
    ids = [s.prompt_id for s in tested]
    drawn = known_words(ids, 200, 0)
    assert drawn.shape == (40, 200, 2)
    assert np.abs(drawn).max() <= 6
    np.testing.assert_array_equal(known_words(ids[:3], 200, 0), drawn[:3])
    assert (known_words(ids[:3], 200, 1) != drawn[:3]).any()
    same = {s.concept.concept: i for i, s in enumerate(tested)}
    for i, s in enumerate(tested):
        np.testing.assert_array_equal(drawn[i], drawn[same[s.concept.concept]])
    data = panels[0]
    means = np.array([data.points(p).mean(axis=0) for p in ids])
    train = data.pooled(data.stages[0].train).mean(axis=0)
    off = np.linalg.norm(drawn.mean(axis=1) - means, axis=1).mean()
    assert off < 0.6 * np.linalg.norm(train - means, axis=1).mean()
