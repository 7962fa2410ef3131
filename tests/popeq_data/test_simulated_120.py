"""The committed simulated panels: what they promise, that they keep it, and that they can be made again."""

from __future__ import annotations

import csv
import difflib
import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from popeq.dataset_folder import read_dataset
from popeq_data.simulated_120 import generate, make_words
from popeq_data.simulated_120.listeners import PANEL_A, PANEL_B, Panel, meanings, settings
from popeq_data.simulated_120.statistics import STATISTICS, measure, share_between, w1
from popeq_data.simulated_120.tables import SENTENCES, WORDS, read_sentences, read_words
from popeq_data.simulated_1200 import generate as generate_1200

PACKAGE = Path(generate.__file__).parent
SPLITS = ("train", "validation", "test")
COUNTS = {
    "sound descriptor": (18, 9, 9),
    "instrument or voice": (12, 6, 6),
    "mood": (10, 5, 5),
    "place": (7, 3, 4),
    "social occasion": (7, 4, 3),
    "extreme request": (6, 3, 3),
}
SPLIT_WORDS = {"soft", "soothing", "calm", "cool", "cold", "happy", "warm"}


@pytest.fixture(scope="module")
def sentences():
    return read_sentences()


@pytest.fixture(scope="module")
def panels():
    return [read_dataset(PACKAGE / name) for name in ("data", "panel_b")]


def points(dataset):
    """Responses as (prompts, listeners, 2), prompts in file order."""
    return np.stack([dataset.points(p) for p in dataset.prompts["prompt_id"]])


@pytest.mark.parametrize("made_by", [generate, generate_1200], ids=lambda module: module.__package__)
def test_the_committed_files_are_what_the_generator_writes(made_by, tmp_path):
    package = Path(made_by.__file__).parent
    assert made_by.main(["-o", str(tmp_path)]) == 0
    written = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    committed = sorted(p for name in ("data", "panel_b") for p in (package / name).rglob("*"))
    assert written == [p.relative_to(package) for p in committed]
    for name in written:
        assert (tmp_path / name).read_bytes() == (package / name).read_bytes(), name


def test_the_word_table_follows_from_the_contributions(socialeq_csv, tmp_path):
    out = tmp_path / "words.csv"
    assert make_words.main([str(socialeq_csv), "-o", str(out)]) == 0
    assert out.read_bytes() == WORDS.read_bytes()


def test_a_wrong_source_of_words_is_one_clear_line(tmp_path, capsys):
    assert make_words.main([str(tmp_path / "none.csv")]) == 2
    assert "the file is missing" in capsys.readouterr().err


def test_no_curve_and_no_listener_is_committed():
    with WORDS.open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == ["word", "n", "x_db", "y_db", "source"]
    assert len(rows) == len(read_words()) == 47
    assert all(int(row[1]) >= 4 for row in rows)


def test_both_panels_load_and_say_what_they_are(panels):
    a, b = panels
    assert (a.card.name, b.card.name) == ("simulated-120", "simulated-120-b")
    assert a.card.simulated
    assert b.card.simulated
    assert a.folder is not None
    assert read_dataset(a.folder / a.card.second_panel).revision == b.revision
    assert a.prompts.equals(b.prompts)
    for dataset, letter in zip(panels, "ab", strict=True):
        assert len(dataset.responses) == 1320
        assert set(dataset.responses["listener_id"]) == {f"{letter}{j:02d}" for j in range(1, 12)}
        assert set(dataset.responses.groupby("prompt_id").size()) == {11}
        readme = (dataset.folder / "README.md").read_text(encoding="utf-8")
        assert "SIMULATED" in readme.splitlines()[0]


def test_counts_by_category_split_and_basis(sentences, panels):
    counted = Counter((s.category, s.split) for s in sentences)
    for category, expected in COUNTS.items():
        assert tuple(counted[category, split] for split in SPLITS) == expected
    assert Counter(s.split for s in sentences) == {"train": 60, "validation": 30, "test": 30}
    assert set(panels[0].prompts["category"]) == set(COUNTS)
    basis = Counter((s.category, s.basis) for s in sentences)
    assert basis["sound descriptor", "crowd"] + basis["instrument or voice", "crowd"] == 60
    assert Counter(s.basis for s in sentences) == {"crowd": 76, "assumed": 44}
    assert 36 <= len({s.family for s in sentences}) <= 44


def test_centres_come_from_words_or_have_a_reason(sentences):
    words = read_words()
    for s in sentences:
        if s.basis == "crowd":
            assert s.word in words, s.prompt_id
            assert not s.reason
            assert re.search(rf"\b{s.word[:4]}", s.text), s.prompt_id
        else:
            assert s.centre is not None
            assert s.reason, s.prompt_id
        assert bool(s.instrument) == (s.category == "instrument or voice")
        if s.category == "extreme request":
            assert max(map(abs, s.centre)) >= 6


def test_two_centres_only_where_real_listeners_split(sentences):
    split = [s for s in sentences if s.second_centre]
    assert len(split) == 30
    assert {s.family for s in split} == SPLIT_WORDS
    assert all(s.word in SPLIT_WORDS for s in split if s.basis == "crowd")
    for meaning in meanings(split):
        assert 0.2 <= meaning.share <= 0.45
        assert meaning.second[0] == meaning.centre[0]
        assert meaning.second[1] * meaning.centre[1] < 0
        assert 1.2 <= abs(meaning.second[1]) - abs(meaning.centre[1]) <= 1.8


def test_half_of_the_test_prompts_turn_on_an_unseen_word(sentences):
    train = [s for s in sentences if s.split == "train"]
    heard = {token for s in train for token in re.findall(r"[a-z]+", s.text.casefold())}
    seen = heard | {s.word for s in train}
    forms = ("", "s", "r", "er", "ly", "n", "en")
    unseen = [s for s in sentences if s.split == "test" and not any(s.word + form in seen for form in forms)]
    assert len(unseen) == 22
    assert sum(s.basis == "crowd" for s in unseen) >= 10


def test_texts_are_all_different(sentences):
    texts = [s.text.casefold() for s in sentences]
    assert len(set(texts)) == 120
    for a, b in combinations(texts, 2):
        assert difflib.SequenceMatcher(None, a, b).ratio() <= 0.85, (a, b)


def test_identifiers_say_category_and_word(sentences):
    for s in sentences:
        assert re.fullmatch(r"(sound|instrument|mood|place|social|extreme)-[a-z]+-\d\d", s.prompt_id)
        assert s.prompt_id.split("-")[0] == s.category.split()[0]
        assert s.prompt_id.split("-")[1] == s.word


@pytest.mark.parametrize("name", ["data", "panel_b"])
def test_numbers_are_tenths_without_a_signed_zero(name):
    text = (PACKAGE / name / "responses.csv").read_text(encoding="utf-8")
    assert not re.search(r",-0\.0(,|$)", text, re.MULTILINE)
    assert all(re.fullmatch(r"[^,]+,[ab]\d\d(,-?\d\.\d){2}", line) for line in text.splitlines()[1:])
    assert "/" not in SENTENCES.read_text(encoding="utf-8")


@pytest.mark.parametrize("index", range(len(STATISTICS)), ids=[s.name for s in STATISTICS])
def test_panel_a_has_the_statistics_of_the_prototype(index):
    statistic = STATISTICS[index]
    assert measure(PANEL_A)[index] == pytest.approx(statistic.target, abs=statistic.tolerance)


def test_panel_a_has_the_first_seed_within_tolerance():
    target = [s.target + s.tolerance for s in STATISTICS if s.name.startswith("share of variance")]
    for seed in range(2601, PANEL_A.seed):
        assert (share_between(settings(meanings(read_sentences()), Panel("a", seed))) > target).any()


def test_panel_b_is_another_panel_of_a_shifted_taste(panels, sentences):
    a, b = (points(dataset) for dataset in panels)
    assert np.mean([w1(p, q) for p, q in zip(a, b, strict=True)]) > 1.5
    means = [p.mean(axis=0) for p in (a, b)]
    difference = means[1].mean(axis=0) - means[0].mean(axis=0)
    error = np.sqrt(sum(m.var(axis=0, ddof=1) / len(m) for m in means))
    assert (np.abs(difference - PANEL_B.shift) < 2 * error).all()
    # The same eleven people without the shift: all of it arrives but for the clipping.
    unshifted = settings(meanings(sentences), Panel(PANEL_B.letter, PANEL_B.seed))
    arrived = (b - unshifted).mean(axis=(0, 1)) / PANEL_B.shift
    assert ((arrived > 0.8) & (arrived < 1.02)).all()


def test_draws_of_a_prompt_do_not_depend_on_the_others(sentences):
    everything = settings(meanings(sentences), PANEL_A)
    np.testing.assert_array_equal(settings(meanings(sentences[7:9]), PANEL_A), everything[7:9])
