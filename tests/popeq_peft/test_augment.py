"""Rewritten sentences keep their answers, differ, repeat by seed, and the table is in form."""

from __future__ import annotations

import numpy as np
from small_fits import learnable

from popeq_peft.augment import SYNONYMS, TEMPLATES, augmented, rewritten


def test_the_table_is_in_form():
    assert len(set(TEMPLATES)) == len(TEMPLATES) >= 10
    for template in TEMPLATES:
        assert template.count("{sentence}") + template.count("{Sentence}") == 1
    assert all(word == word.strip().lower() for word in SYNONYMS)
    assert all(others and word not in others for word, others in SYNONYMS.items())


def test_copies_keep_their_answers_and_repeat():
    train = learnable(6)
    examples = augmented(train, 3, seed=1)
    assert [e.text for e in examples[:6]] == [p.prompt.text for p in train]
    assert len(examples) == 24
    for i, prompt in enumerate(train):
        own = [e for e in examples if e.responses is prompt.responses]
        assert len({e.text for e in own}) == 4, i
    assert [e.text for e in augmented(train, 3, seed=1)] == [e.text for e in examples]
    assert [e.text for e in augmented(train, 3, seed=2)] != [e.text for e in examples]
    assert len(augmented(train, 0, seed=1)) == 6


def test_words_are_swapped_whole_and_keep_their_capital():
    seen = {rewritten("Warm songs, for warmth", np.random.default_rng(i)) for i in range(200)}
    assert any("Cosy songs" in s for s in seen)
    assert all("cosyth" not in s for s in seen)
