"""Energy scores of predictions for one person, by method and by how many own answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from popeq.errors import UsageError
from popeq.metrics import energy_score
from popeq.parallel import parallel_map
from popeq.seeding import generator
from popeq.space import Space
from popeq.statistics import Family, MeanEstimate, Panels, family, mean_inference
from popeq.studies.one_listener import Answers, Drawn, OtherListeners, Population
from popeq.studies.personalisers import METHODS, Known, Others
from popeq.typing import Floats, Ints

#: Groups of people: what a method knows of how people differ is estimated on the other groups.
GROUPS = 5
#: The name of the population as it is, in tables.
UNCHANGED = "population"


class Cell(NamedTuple):
    """Energy scores (T,), dB, of one method with one number of known answers, one for each target, and the
    share (T,) of the samples that were moved out of the box and put on its edge."""

    scores: Floats
    edge: Floats


#: Cells by method and number of known answers; the population is ``(UNCHANGED, 0)``.
Cells = dict[tuple[str, int], Cell]


def groups_of(answers: Answers, seed: int, name: str) -> Ints:
    """The group (people,) of each person. Raises UsageError if too few people answered twice."""
    repeats = answers.of_people(np.ones(len(answers.person))) > 1
    if repeats.sum() < GROUPS:
        raise UsageError(
            f"{name}: {int(repeats.sum())} people have two answers or more to the tested prompts; popeq "
            f"personal needs {GROUPS}: how people differ is estimated on others than the one predicted"
        )
    # Those who repeat are divided among themselves, so that each group leaves some.
    order = generator("personal", "groups", seed).permutation(len(answers.people))
    order = order[np.argsort(~repeats[order], kind="stable")]
    group = np.empty(len(order), dtype=np.int64)
    group[order] = np.arange(len(order)) % GROUPS
    return group


def personal_cells(
    populations: Sequence[Population],
    drawn: Drawn,
    own: Sequence[int],
    groups: Ints,
    space: Space,
    jobs: int = 1,
    methods: Sequence[str] = tuple(METHODS),
) -> list[Cells]:
    """The cells of each population with ``own`` numbers of known answers; ``groups`` are those of people.

    What a person differs in is measured from the other listeners' answers to the same prompts, whatever the
    population, so that no error which a run makes for everybody is learnt from a person's answers.
    """
    tasks = [(population,) for population in populations]
    return parallel_map(_cells, tasks, jobs, (drawn, tuple(own), groups, space, tuple(methods)))


def _cells(
    population: Population,
    drawn: Drawn,
    own: tuple[int, ...],
    groups: Ints,
    space: Space,
    methods: tuple[str, ...],
) -> Cells:
    answers, same = population.answers, OtherListeners(population.answers)
    own_centres, centres = population.centres()[drawn.targets], same.centres()
    people = groups[answers.person]
    everyone = np.arange(len(drawn.targets))
    clouds = [population.cloud(place) for place in drawn.targets]
    wanted = answers.points[drawn.targets]
    cells = {(UNCHANGED, 0): _cell(clouds, wanted, space)}
    shifts = {(m, k): np.zeros((len(clouds), 2)) for m in methods for k in own if k}
    factors = {key: np.ones((len(clouds), 2)) for key in shifts}
    for group in np.unique(people[drawn.targets]):
        at = everyone[people[drawn.targets] == group]
        part = Drawn(drawn.targets[at], drawn.known[at], 0)
        others = _others(same, people == group)
        for name in methods:
            method = METHODS[name](others)
            for k in (k for k in own if k):
                known = Known(own_centres[at], *part.centred(centres, answers.points, k))
                shifts[name, k][at], factors[name, k][at] = method(known)
    for key in shifts:
        changes = zip(clouds, own_centres, shifts[key], factors[key], strict=True)
        changed = [c + shift + factor * (points - c) for points, c, shift, factor in changes]
        cells[key] = _cell(changed, wanted, space)
    return cells


def _others(same: OtherListeners, hidden: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Others:
    """The answers that are not hidden, from centres that no hidden answer is part of."""
    answers, centres = same.answers, same.centres(hidden)
    kept = ~hidden & np.isfinite(centres).all(axis=1)
    return Others(centres[kept], answers.points[kept] - centres[kept], answers.person[kept])


def _cell(clouds: Sequence[Floats], wanted: Floats, space: Space) -> Cell:
    """Scores of clouds of points (n, 2), dB, against one answer each; what is out of the box is put on its
    edge."""
    scores, edge = np.empty(len(clouds)), np.empty(len(clouds))
    for i, (points, answer) in enumerate(zip(clouds, wanted, strict=True)):
        edge[i] = 1.0 - space.contains(points).mean()
        scores[i] = energy_score(space.clip(points), answer[None], space)
    return Cell(scores, edge)


def average_cells(cells: Sequence[Cells]) -> Cells:
    """The mean of several seeds, target by target."""
    return {
        key: Cell(*(np.mean([getattr(each[key], name) for each in cells], axis=0) for name in Cell._fields))
        for key in cells[0]
    }


class Targets:
    """Which prompt and which person the T values of a cell belong to: ``prompt`` (T,), ``people`` T names."""

    def __init__(self, prompt: Ints, people: Sequence[str]) -> None:
        self.prompt, self.people = prompt, np.array(people, dtype=object)
        self._order = np.argsort(prompt, kind="stable")
        self._starts = np.flatnonzero(np.diff(prompt[self._order], prepend=-1))[1:]
        self.panels = Panels([own.tolist() for own in np.split(self.people[self._order], self._starts)])

    def by_prompt(self, values: Floats) -> tuple[Floats, list[Floats]]:
        """The means (P,) of values (T,), dB, over each prompt's people, and how much each person is off."""
        each = np.split(values[self._order], self._starts)
        means = np.array([own.mean() for own in each])
        return means, [own - mean for own, mean in zip(each, means, strict=True)]

    def mean(self, values: Floats) -> MeanEstimate:
        """The mean over prompts of ``by_prompt``, dB, with its uncertainty over prompts and people."""
        return mean_inference(*self.by_prompt(values), self.panels)

    def family(self, differences: Sequence[Floats]) -> Family:
        """The same means of several differences (T,), dB, adjusted for each other."""
        means, influence = zip(*map(self.by_prompt, differences), strict=True)
        return family(np.array(means), influence, self.panels, generator("personal", "family"))
