"""Who answers which prompt of simulated-1200, and what: 400 people of the listener model of simulated-120."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from popeq.typing import Floats
from popeq_data.simulated_120.listeners import (
    LISTENERS,
    LOG_AMBIGUITY,
    Meaning,
    answers,
    instrument_offset,
    meaning,
    normals,
    placed,
    uniforms,
)
from popeq_data.simulated_1200.tables import Sentence, read_sentences

#: The first seed that was tried.
SEED = 1200
PEOPLE = tuple(f"s{j:03d}" for j in range(1, 401))
#: The first 280 answer training and validation prompts, the others test prompts.
TRAINING_PEOPLE, TEST_PEOPLE = PEOPLE[:280], PEOPLE[280:]

#: Who answers each prompt, by prompt_id.
Panels = Mapping[str, tuple[str, ...]]


def meant(sentence: Sentence) -> Meaning:
    """What a sentence asks of everybody: the concept's centre times the strength, moved by an instrument."""
    centre = sentence.strength * np.array(sentence.concept.centre)
    if sentence.instrument:
        centre = centre + instrument_offset(sentence.instrument)
    minority = sentence.concept.concept if sentence.concept.second_centre else None
    return meaning(sentence.prompt_id, sentence.concept.family, centre, minority)


def panels(sentences: Iterable[Sentence]) -> tuple[Panels, Panels]:
    """The 11 people who answer each prompt, and the 11 others of the second panel.

    Those who have answered the fewest prompts come first, in an order drawn for each prompt; so everybody
    answers as many as anybody, or one more or less.
    """
    first: dict[str, tuple[str, ...]] = {}
    second: dict[str, tuple[str, ...]] = {}
    answered, answered_second = dict.fromkeys(PEOPLE, 0), dict.fromkeys(PEOPLE, 0)
    for sentence in sentences:
        p = sentence.prompt_id
        people = TEST_PEOPLE if sentence.split == "test" else TRAINING_PEOPLE
        first[p] = _least_used(people, answered, "panel", p)
        others = [name for name in people if name not in first[p]]
        second[p] = _least_used(others, answered_second, "second panel", p)
    return first, second


def _least_used(people: Sequence[str], answered: dict[str, int], *parts: str) -> tuple[str, ...]:
    order = dict(zip(people, uniforms(len(people), SEED, *parts).tolist(), strict=True))
    chosen = sorted(people, key=lambda name: (answered[name], order[name]))[:LISTENERS]
    for name in chosen:
        answered[name] += 1
    return tuple(sorted(chosen))


def settings(prompts: Sequence[Meaning], panel: Panels) -> Floats:
    """What the people of a panel set: (prompts, 11, 2) in dB, listeners in the order of the panel."""
    points = np.empty((len(prompts), LISTENERS, 2))
    seats: dict[str, list[tuple[int, int]]] = {}
    for i, prompt in enumerate(prompts):
        for k, name in enumerate(panel[prompt.prompt_id]):
            seats.setdefault(name, []).append((i, k))
    for name, own in seats.items():
        i, k = np.array(own).T
        points[i, k] = answers([prompts[j] for j in i], SEED, name)
    return points


def known_words(prompt_ids: Sequence[str], n: int, seed: int) -> Floats:
    """Draws of ``n`` fresh people for the concept of each prompt, (P, n, 2) dB, whatever else its sentence
    says: what a predictor could know that knows the population behind every word."""
    by_id = {sentence.prompt_id: sentence for sentence in read_sentences()}
    concepts = {by_id[p].concept.concept: by_id[p].concept for p in prompt_ids}
    drawn = {}
    for name, concept in concepts.items():
        draws = normals(10 * n, SEED, "known words", seed, name).reshape(n, 10)
        minority = name if concept.second_centre else None
        word = meaning(name, concept.family, np.array(concept.centre), minority)
        ambiguity = np.exp(LOG_AMBIGUITY * draws[:, 9]).tolist()
        drawn[name] = placed([replace(word, ambiguity=a) for a in ambiguity], draws[:, :9])
    return np.stack([drawn[by_id[p].concept.concept] for p in prompt_ids])
