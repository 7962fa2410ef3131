"""Simulated studies with known truth: prompts, people and the populations that answers are drawn from.

The listener model is that of simulated-120 (``popeq_data.simulated_120.listeners``), with prompts of random
centres in place of sentences. Everybody here is simulated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtri

from popeq.metrics import HEADLINE, DensitySettings, PromptScores, Target
from popeq.metrics.kde import Densities
from popeq.space import PLANE
from popeq_data.simulated_120 import listeners as model

#: Standard deviation of the prompts' centres in dB (smile, tilt), and how many families they fall into.
BETWEEN, FAMILIES = np.array([1.7, 2.2]), 40
SECOND_CENTRES = 0.25
SETTINGS = DensitySettings()


@dataclass(frozen=True, eq=False)
class World:
    """One study: ``answers`` (P, m, 2) dB by ``listeners`` (P names of m people), and for each prompt
    ``population`` (P, N, 2): settings of N other people of the population."""

    answers: np.ndarray
    listeners: list[list[str]]
    population: np.ndarray

    @cached_property
    def targets(self) -> list[Target]:
        return [Target(points, PLANE, SETTINGS) for points in self.answers]


def study(
    prompts: int, rng: np.random.Generator, *, shared: bool, people: int = 11, population: int = 400
) -> World:
    """A study of random prompts that the same people answer (``shared``), or other people each prompt."""
    centre = BETWEEN * rng.standard_normal((prompts, 2))
    moved_on = np.copysign(rng.uniform(*model.MOVED_ON_DB, prompts), centre[:, 1])
    second = np.stack([centre[:, 0], -centre[:, 1] - moved_on], axis=1)
    has_second = rng.random(prompts) < SECOND_CENTRES
    share = np.where(has_second, rng.uniform(*model.MINORITY, prompts), 0.0)
    family = rng.integers(FAMILIES, size=prompts)
    ambiguity = np.exp(model.LOG_AMBIGUITY * rng.standard_normal(prompts))
    asked = 1 if shared else prompts
    # (groups of people, people, ...): one group for all prompts, or one for each.
    mine = _points(centre, second, share, family, ambiguity, asked, people, rng)
    others = _points(centre, second, share, family, ambiguity, prompts, population, rng)
    names = [[f"{0 if shared else p}-{j}" for j in range(people)] for p in range(prompts)]
    return World(mine, names, others)


def _points(centre, second, share, family, ambiguity, groups, people, rng) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Settings (P, people, 2) dB of a group of people for all prompts, or of one group for each."""
    prompts = len(centre)
    group = np.zeros(prompts, dtype=int) if groups == 1 else np.arange(prompts)
    strength = np.exp(model.LOG_STRENGTH * rng.standard_normal((groups, people)))
    offset = model.OFFSET * rng.standard_normal((groups, people, 2))
    minded = rng.standard_normal((groups, people))
    families = FAMILIES if groups == 1 else 1
    taste = model.TASTE * rng.standard_normal((groups, families, people, 2))
    own_taste = taste[group, family if groups == 1 else 0]
    moment = model.PERSON * minded[group] + model.MOMENT * rng.standard_normal((prompts, people))
    in_minority = moment < ndtri(share)[:, None]
    meant = np.where(in_minority[:, :, None], second[:, None], centre[:, None])
    residual = model.RESIDUAL * ambiguity[:, None, None] * rng.standard_normal((prompts, people, 2))
    points = strength[group][:, :, None] * meant + offset[group] + own_taste + residual
    return np.round(PLANE.clip(points), 1) + 0.0


def headline_scored(  # type: ignore[no-untyped-def]
    world: World, move, samples: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The headline of ``scored`` alone, at a third of its cost: values (P,) and influences (P, m), dB."""
    values, influences = [], []
    for target, points in zip(world.targets, _drawn(world, move, samples, rng), strict=True):
        # Nothing is moved between equal densities, so that only the reflective transport is solved.
        predicted = Densities(target.densities.standard, target.densities_of(points).reflective)
        found = target.score_of(predicted, points, 0.0)
        values.append(found.values[HEADLINE])
        influences.append(found.influence[HEADLINE])
    return np.array(values), np.array(influences)


def scored(world: World, move, samples: int, rng: np.random.Generator) -> list[PromptScores]:  # type: ignore[no-untyped-def]
    """Scores of a predictor that draws from each prompt's population and moves it by ``move`` (2,) dB."""
    drawn = _drawn(world, move, samples, rng)
    return [target.score(points) for target, points in zip(world.targets, drawn, strict=True)]


def _drawn(world: World, move, samples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:  # type: ignore[no-untyped-def]
    for crowd in world.population:
        points = crowd[rng.integers(len(crowd), size=samples)]
        yield PLANE.clip(points + np.asarray(move))
