"""Synthetic dialogues for the stand-in: worlds in which words have settings that only the context tells.

A world draws a centre for every family of words, and eleven listeners after the model of simulated-120
(strength, offset, a taste for each family, a second centre for a minority). In some worlds the words that
training prompts of simulated-120 turn on have their measured centre, to be known without context.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from popeq.seeding import generator
from popeq.typing import Floats
from popeq_data.simulated_120.listeners import (
    LISTENERS,
    LOG_AMBIGUITY,
    LOG_STRENGTH,
    MINORITY,
    MOVED_ON_DB,
    OFFSET,
    RESIDUAL,
    TASTE,
)
from popeq_data.simulated_120.tables import read_sentences, read_words
from popeq_llm.answers import TENTHS
from popeq_llm.tiny import lexicon

Kind = Literal["zero", "few", "qa"]
T = TypeVar("T")

LIMIT = 6.0
QA_SETTINGS = 11
#: Upper edges of the 121 cells of 0.1 dB; the outermost cells reach to infinity, as clipping makes them.
_EDGES = np.append((np.array(TENTHS)[:-1] + 0.5) / 10, np.inf)


@dataclass(frozen=True, eq=False)
class Law:
    """How the listeners of a world answer one sentence: a mixture of normals on the cells of 0.1 dB.

    ``weights`` (k,), ``x`` and ``y`` (k, 121): the mass of each part in each cell.
    """

    weights: Floats
    x: Floats
    y: Floats

    def first(self) -> Floats:
        """The distribution of x, (121,)."""
        return self.weights @ self.x

    def second(self, cells: NDArray[np.intp]) -> Floats:
        """The distribution of y for each given x (n,), shape (n, 121)."""
        parts = self.weights * self.x[:, cells].T
        distribution: Floats = (parts @ self.y) / parts.sum(axis=1, keepdims=True)
        return distribution


@dataclass(frozen=True, eq=False)
class Shown:
    """A sentence, settings (n, 2) of different listeners as cells 0..120, and the law behind them."""

    sentence: str
    cells: NDArray[np.intp]
    law: Law

    @property
    def points_db(self) -> Floats:
        return (self.cells + TENTHS[0]) / 10


@dataclass(frozen=True, eq=False)
class Dialogue:
    """Examples and a question whose answer is ``asked.cells``: one setting, or eleven in the QA form."""

    kind: Kind
    examples: tuple[Shown, ...]
    asked: Shown


@dataclass(frozen=True)
class Topic:
    """A word or phrase in its forms, and the family whose listeners' taste it shares."""

    forms: tuple[str, ...]
    family: str
    scene: bool


@cache
def known_words() -> dict[str, tuple[float, float]]:
    """Measured centre of the words that a training prompt of simulated-120 turns on."""
    trained = {sentence.word for sentence in read_sentences() if sentence.split == "train"}
    return {word: centre for word, centre in read_words().items() if word in trained}


@cache
def topics() -> tuple[tuple[Topic, ...], ...]:
    """All topics of the lexicon, by family."""
    families = []
    for scene, lines in ((False, lexicon.ADJECTIVES), (True, lexicon.SCENES)):
        for line in lines:
            families.append(tuple(Topic(tuple(entry.split("/")), line[0], scene) for entry in line))
    return tuple(families)


class World:
    """Centres for words, and eleven listeners. ``known``: words with a measured centre have it."""

    def __init__(self, rng: np.random.Generator, known: bool) -> None:
        self._rng = rng
        self._known = known_words() if known else {}
        self._strength = np.exp(LOG_STRENGTH * rng.normal(size=LISTENERS))
        self._offset = OFFSET * rng.normal(size=(LISTENERS, 2)) + rng.normal(0, (0.3, 0.3))
        self._minded = rng.permutation(LISTENERS)
        self._families: dict[str, tuple[Floats, Floats]] = {}
        self._centres: dict[str, Floats] = {}

    def law(self, topic: Topic, other: Topic | None = None) -> Law:
        """How the listeners answer a sentence on ``topic``; an ``other`` topic in it moves the centre."""
        rng = self._rng
        centre, taste = self._centre(topic), self._families[topic.family][1]
        if other is not None:
            centre = 0.75 * centre + 0.25 * self._centre(other)
        else:
            centre = centre + 0.35 * rng.normal(size=2)
        centres = np.repeat(centre[None], LISTENERS, axis=0)
        if rng.random() < 0.25:
            minority = self._minded[: round(LISTENERS * rng.uniform(*MINORITY))]
            centres[minority, 1] = -centre[1] - np.copysign(rng.uniform(*MOVED_ON_DB), centre[1])
        means = self._strength[:, None] * centres + self._offset + taste
        spread = RESIDUAL * np.exp(LOG_AMBIGUITY * rng.normal())
        cells = ndtr((_EDGES - means[:, :, None]) / spread[:, None])  # (listeners, 2, 121), cumulated
        mass = np.diff(cells, axis=2, prepend=0.0)
        return Law(np.full(LISTENERS, 1 / LISTENERS), mass[:, 0], mass[:, 1])

    def _centre(self, topic: Topic) -> Floats:
        rng = self._rng
        if topic.family not in self._families:
            if rng.random() < 0.2:  # an extreme request, somewhere near the edge
                centre = rng.uniform(-LIMIT, LIMIT, size=2)
                centre[rng.integers(2)] = rng.choice((-LIMIT, LIMIT))
            else:
                centre = rng.normal((0.3, -0.3), (1.8, 2.2))
            self._families[topic.family] = (centre, TASTE * rng.normal(size=(LISTENERS, 2)))
        if topic.forms[0] not in self._centres:
            near = self._families[topic.family][0] + 0.5 * rng.normal(size=2)
            self._centres[topic.forms[0]] = np.array(self._known.get(topic.forms[0], near))
        return self._centres[topic.forms[0]]


def sentence_about(topic: Topic, other: Topic | None, rng: np.random.Generator) -> str:
    """A sentence on ``topic``, and on ``other`` if given: one of the two is a scene, one a description."""
    word = _pick(topic.forms, rng)
    if other is not None:
        second = _pick(other.forms, rng)
        scene, description = (word, second) if topic.scene else (second, word)
        text = _pick(lexicon.BOTH_FRAMES, rng).format(a=description, s=scene)
    else:
        frames = lexicon.SCENE_FRAMES if topic.scene else lexicon.ADJECTIVE_FRAMES
        text = _pick(frames, rng).format(d=word, i=_pick(lexicon.INSTRUMENTS, rng))
    if rng.random() < 0.12:
        text = _pick(lexicon.OPENERS, rng) + text
    if rng.random() < 0.3 and not text.endswith("?"):
        text += _pick(lexicon.TAILS, rng)
    return text


def _pseudo_topic(rng: np.random.Generator) -> Topic:
    word = "".join(_pick(part, rng) for part in (lexicon.ONSETS, lexicon.RHYMES, lexicon.ENDINGS))
    scene = bool(rng.random() < 0.4)
    return Topic((f"the {word}" if scene else word,), word, scene)


def _shown(world: World, topic: Topic, n: int, rng: np.random.Generator) -> Shown:
    other = None
    if rng.random() < 0.12:
        while other is None or other.scene == topic.scene:
            other = _pick(_pick(topics(), rng), rng)
    sentence, law = sentence_about(topic, other, rng), world.law(topic, other)
    parts = rng.permutation(LISTENERS)[:n]  # each listener answers once
    cells = np.empty((n, 2), dtype=np.intp)
    for row, part in zip(cells, parts, strict=True):
        for axis, mass in enumerate((law.x[part], law.y[part])):
            row[axis] = min(int(np.searchsorted(np.cumsum(mass), rng.random())), len(TENTHS) - 1)
    return Shown(sentence, cells, law)


def dialogue(rng: np.random.Generator) -> Dialogue:
    """One dialogue in a world of its own."""
    kind: Kind = ("zero", "few", "qa")[int(rng.choice(3, p=(0.15, 0.55, 0.30)))]
    pseudo = rng.random() < 0.3
    world = World(rng, known=not pseudo and rng.random() < (0.8 if kind == "zero" else 0.5))
    family = _pick(topics(), rng)
    asked = _pseudo_topic(rng) if pseudo else _pick(family, rng)
    examples: list[Shown] = []
    if kind != "zero":
        count = int(rng.choice((1, 2, 3, 4, 5, 6, 8), p=(0.22, 0.2, 0.16, 0.14, 0.1, 0.1, 0.08)))
        each = int(rng.choice((1, 2, 3, 5, 8, 11), p=(0.15, 0.1, 0.15, 0.2, 0.15, 0.25)))
        topics_shown = [
            _pseudo_topic(rng) if pseudo else _pick(_pick(topics(), rng), rng) for _ in range(count)
        ]
        relation = rng.random()
        if relation < 0.6:
            topics_shown[0] = asked
        elif relation < 0.8 and not pseudo:
            topics_shown[0] = _pick(family, rng)
        if count > 2 and relation < 0.3 and not pseudo:
            topics_shown[1] = _pick(family, rng)
        examples = [_shown(world, topic, each, rng) for topic in topics_shown]
        examples = [examples[int(i)] for i in rng.permutation(count)]
    return Dialogue(kind, tuple(examples), _shown(world, asked, QA_SETTINGS if kind == "qa" else 1, rng))


def dialogues(seed: int, part: str = "train") -> Iterator[Dialogue]:
    """Dialogues without end: the same for the same seed and part, other ones for another."""
    rng = generator("popeq-tiny", part, seed)
    while True:
        yield dialogue(rng)


def _pick(options: tuple[T, ...], rng: np.random.Generator) -> T:
    return options[int(rng.integers(len(options)))]
