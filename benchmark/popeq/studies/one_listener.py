"""Who answered which tested prompt, which of a person's own answers are known, and what a population is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from popeq.dataset import Dataset
from popeq.errors import UsageError
from popeq.plain_text import same_sentence
from popeq.seeding import generator
from popeq.typing import Floats, Ints

#: Name of the population that is made of the other listeners' answers to a prompt.
OTHERS = "[other listeners]"
#: Samples of a run that stand for it: the fair estimator of the energy score has no bias with any number.
SAMPLES = 110


@dataclass(frozen=True, eq=False)
class Answers:
    """Every answer to some prompts, U in all: ``person`` (U,) and ``prompt`` (U,) are positions in ``people``
    and ``prompts``, ``points`` (U, 2) are the settings in dB."""

    people: tuple[str, ...]
    prompts: tuple[str, ...]
    person: Ints
    prompt: Ints
    points: Floats

    def of_people(self, sums: Floats) -> Floats:
        """Sums (U, ...) of all answers of each person, (people, ...)."""
        return _summed(sums, self.person, len(self.people))

    def of_prompts(self, sums: Floats) -> Floats:
        """Sums (U, ...) of all answers to each prompt, (P, ...)."""
        return _summed(sums, self.prompt, len(self.prompts))


def _summed(values: Floats, place: Ints, length: int) -> Floats:
    total = np.zeros((length, *values.shape[1:]))
    np.add.at(total, place, values)
    return total


def answers_of(dataset: Dataset, prompt_ids: Sequence[str]) -> Answers:
    """The tested answers to some prompts; those to a prompt that one person alone answered are left out,
    because it has no other listeners. SealedError if the answers are not here."""
    prompts = dataset.tested(prompt_ids)
    kept = [(p, own) for p, own in enumerate(prompts) if len(own.listeners) > 1]
    names = np.array([name for _, own in kept for name in own.listeners], dtype=object)
    people, person = np.unique(names, return_inverse=True)
    return Answers(
        tuple(people.tolist()),
        tuple(prompt_ids),
        person.astype(np.int64),
        np.repeat([p for p, _ in kept], [len(own.listeners) for _, own in kept]).astype(np.int64),
        np.concatenate([own.responses for _, own in kept]) if kept else np.zeros((0, 2)),
    )


def kinds_of(dataset: Dataset, prompt_ids: Sequence[str], other: str) -> Ints:
    """A number (P,) for each prompt: prompts of one number are not "other" prompts to each other.

    ``other`` is ``prompt`` (another sentence or another track), ``text`` (another sentence) or a grouping of
    the data set (another group). Raises UsageError for anything else.
    """
    if other not in ("prompt", "text", *dataset.groupings):
        known = ", ".join(("prompt", "text", *dataset.groupings))
        raise UsageError(f"{dataset.name}: other prompts can differ by {known}, not by {other!r}")
    rows = dataset.prompts.set_index("prompt_id").loc[list(prompt_ids)]
    texts = [same_sentence(text) for text in rows["text"]]
    if other == "prompt":
        kinds: list[object] = list(zip(texts, [track or "" for track in rows["audio_id"]], strict=True))
    else:
        kinds = [*texts] if other == "text" else [*rows[other].astype(str)]
    numbers = {kind: i for i, kind in enumerate(dict.fromkeys(kinds))}
    return np.array([numbers[kind] for kind in kinds], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Drawn:
    """The answers that are predicted, ``targets`` (T,), and for each the person's own answers to other
    prompts that are known, ``known`` (T, k), in the order in which they become known; positions in
    ``Answers``. ``left_out`` answers are of people who have fewer."""

    targets: Ints
    known: Ints
    left_out: int

    def centred(self, centres: Floats, points: Floats, k: int) -> tuple[Floats, Floats]:
        """Centres (T, k, 2) of the first k known answers and how far the answers are from them, dB."""
        first = self.known[:, :k]
        return centres[first], points[first] - centres[first]


def drawn_answers(answers: Answers, kinds: Ints, k: int, seed: int, name: str) -> Drawn:
    """For every answer of a person with k others to prompts of other kinds, k of those, in random order.

    The order depends on the seed, the person and the prompt alone, so that the first answers of a longer list
    are those of a shorter one.

    Raises
    ------
    UsageError
        If nobody answered two prompts, or nobody has k answers to other prompts; names the data set.
    """
    repeats = answers.of_people(np.ones(len(answers.person)))
    if not (repeats > 1).any():
        raise UsageError(
            f"{name}: each listener id has a single answer to the tested prompts, so there is nothing to "
            "learn of one listener; take a data set whose ids repeat, such as simulated-1200"
        )
    own = [np.flatnonzero(answers.person == j) for j in range(len(answers.people))]
    targets, known, most = [], [], 0
    for place, (j, p) in enumerate(zip(answers.person, answers.prompt, strict=True)):
        others = own[j][kinds[answers.prompt[own[j]]] != kinds[p]]
        most = max(most, len(others))
        if len(others) >= k:
            rng = generator("personal", seed, answers.people[j], answers.prompts[p])
            targets.append(place)
            known.append(rng.permutation(others)[:k])
    if not targets:
        raise UsageError(
            f"{name}: nobody has {k} answers to other prompts; the most that anybody has is {most}; give "
            "smaller numbers, or count more prompts as other ones"
        )
    found = np.array(known, dtype=np.int64).reshape(len(targets), k)
    return Drawn(np.array(targets, dtype=np.int64), found, len(answers.person) - len(targets))


class Population(Protocol):
    """What a prediction for one person starts from: a distribution for each answer of ``Answers``."""

    @property
    def label(self) -> str: ...

    @property
    def answers(self) -> Answers: ...

    def centres(self) -> Floats:
        """The mean (U, 2), dB, of the population of each answer, the answer itself never part of it."""
        ...

    def cloud(self, place: int) -> Floats:
        """Points (n, 2), dB, of the population of one answer."""
        ...


@dataclass(frozen=True, eq=False)
class OtherListeners:
    """The answers of the other listeners to the same prompt."""

    answers: Answers
    label: str = OTHERS

    def centres(self, hidden: NDArray[np.bool_] | None = None) -> Floats:
        """As ``Population.centres``; without the ``hidden`` (U,) answers, NaN where nothing is left."""
        answers = self.answers
        seen = np.ones(len(answers.person)) if hidden is None else (~hidden).astype(np.float64)
        points = answers.points * seen[:, None]
        counts = answers.of_prompts(seen)[answers.prompt] - seen
        sums = answers.of_prompts(points)[answers.prompt] - points
        left = np.where(counts > 0.0, counts, np.nan)
        return np.asarray(sums / left[:, None])

    def cloud(self, place: int) -> Floats:
        """As ``Population.cloud``."""
        same = self._of_prompt[self.answers.prompt[place]]
        return np.asarray(self.answers.points[same[same != place]])

    @cached_property
    def _of_prompt(self) -> list[NDArray[np.intp]]:
        return [np.flatnonzero(self.answers.prompt == p) for p in range(len(self.answers.prompts))]


@dataclass(frozen=True, eq=False)
class Predicted:
    """The samples (P, n, 2), dB, of a run, in the order of ``answers.prompts``: the same for all people."""

    answers: Answers
    label: str
    samples: Floats

    def centres(self) -> Floats:
        """As ``Population.centres``: no answer to the prompt is part of a run's samples."""
        return np.asarray(self.samples.mean(axis=1)[self.answers.prompt])

    def cloud(self, place: int) -> Floats:
        """As ``Population.cloud``: ``SAMPLES`` of the run's samples, the same for all people."""
        return self._points[int(self.answers.prompt[place])]

    @cached_property
    def _points(self) -> list[Floats]:
        n = self.samples.shape[1]
        if n <= SAMPLES:
            return list(self.samples)
        chosen = (generator("personal", "samples", p).choice(n, SAMPLES, False) for p in self.answers.prompts)
        return [own[which] for own, which in zip(self.samples, chosen, strict=True)]
