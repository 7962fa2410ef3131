"""What ``popeq personal`` finds where the truth is known: gains, shrinkage, coverage.

``python -m tests.bench.personal`` (some minutes). Each person has an offset with the standard
deviation ``tau`` on each axis and, with ``strength``, a factor on what the sentence asks; each answer has a
deviation of its own, ``sigma``. A run predicts each prompt's population, its centre off by ``bias`` (SD over
prompts) and by ``shift`` (everywhere). What a method can gain then follows from the normal distribution.
Everybody here is simulated.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tabulate import tabulate

from popeq.space import Space
from popeq.studies.one_listener import (
    Answers,
    Drawn,
    OtherListeners,
    Population,
    Predicted,
    drawn_answers,
)
from popeq.studies.personal_scores import UNCHANGED, Cells, Targets, groups_of, personal_cells
from popeq.studies.personalisers import Known, MixedModel, spread_of

#: So large that nothing is near its edge: the closed forms are those of the whole plane.
PLANE = Space(-90.0, 90.0, -90.0, 90.0)
BETWEEN = 2.0
CHEAP = ("moved", "moved, narrowed")


@dataclass(frozen=True)
class World:
    """How people and answers vary, dB; how many people answer how many of the prompts. With ``exact`` the
    second moments of the people's offsets are those of the model in each study, so that gains vary less."""

    tau: float
    sigma: float = 1.5
    strength: float = 0.0
    bias: float = 0.0
    shift: float = 0.0
    people: int = 40
    prompts: int = 40
    each: int = 20
    samples: int = 60
    exact: bool = False

    def answers(self, rng: np.random.Generator) -> tuple[Answers, Predicted]:
        """The answers of one study, and a run that knows the population of every prompt but for its bias."""
        centre = BETWEEN * rng.standard_normal((self.prompts, 2))
        offset = self.tau * rng.standard_normal((self.people, 2))
        if self.exact and self.tau:
            offset *= self.tau / np.sqrt(np.square(offset).mean(axis=0))
        strength = self.strength * rng.standard_normal((self.people, 1))
        prompt = np.concatenate([np.sort(rng.permutation(self.prompts)[: self.each]) for _ in offset])
        person = np.repeat(np.arange(self.people), self.each)
        shared = np.bincount(prompt)[prompt] > 1  # a prompt that one person answered has no other listeners
        prompt, person = prompt[shared], person[shared]
        points = centre[prompt] * (1.0 + strength[person]) + offset[person]
        points += self.sigma * rng.standard_normal(points.shape)
        answers = Answers(
            tuple(f"l{j}" for j in range(self.people)),
            tuple(f"p{p}" for p in range(self.prompts)),
            person,
            prompt,
            points,
        )
        spread = np.sqrt(self.tau**2 + self.sigma**2 + (self.strength * centre) ** 2)
        drawn = rng.standard_normal((self.prompts, self.samples, 2))
        predicted = centre + self.shift + self.bias * rng.standard_normal(centre.shape)
        return answers, Predicted(answers, "run", predicted[:, None] + spread[:, None] * drawn)

    def moments(self) -> tuple[float, float]:
        """Second moments, dB^2, of one offset from the others' mean, and of two offsets of one person."""
        others = self.people * self.each / self.prompts - 1.0
        total = (self.tau**2 + self.sigma**2) * (1.0 + 1.0 / others)
        return total, self.tau**2 * (1.0 + 1.0 / (self.people - 1.0))

    def expected(self, k: int, *, narrowed: bool) -> float:
        """The expected energy score, dB, with k known answers, without strength and ``shift``.

        A prediction N(m + a, A^2 I) of an answer N(m, B^2 I) given everything known has the score
        ``sqrt((A^2 + B^2) pi / 2) - A sqrt(pi) / 2``: two means of Rayleigh distributions. The mean of k
        offsets has the variance ``noise`` and the covariance tau^2 with the person's own offset.
        """
        total, common = self.moments()
        noise = common + (total - common) / k if k else total
        weight = common / noise if k else 0.0
        explained = 2.0 * weight * self.tau**2 - weight**2 * noise
        spread = self.tau**2 + self.sigma**2
        left = spread + self.bias**2 - explained
        if narrowed:
            spread *= 1.0 - weight * common / total
        return float(np.sqrt((spread + left) * np.pi / 2) - np.sqrt(spread * np.pi) / 2)

    def gain(self, k: int, *, narrowed: bool) -> float:
        """The expected energy score with k known answers minus that with none, dB."""
        return self.expected(k, narrowed=narrowed) - self.expected(0, narrowed=narrowed)


def studied(
    population: Population, own: Sequence[int], methods: Sequence[str], seed: int = 0
) -> tuple[Drawn, Targets, Cells]:
    """What ``popeq personal`` scores of a population."""
    answers = population.answers
    drawn = drawn_answers(answers, np.arange(len(answers.prompts)), max(own), seed, "a world")
    groups = groups_of(answers, seed, "a world")
    (cells,) = personal_cells([population], drawn, own, groups, PLANE, methods=methods)
    people = [answers.people[j] for j in answers.person[drawn.targets]]
    return drawn, Targets(answers.prompt[drawn.targets], people), cells


def gains(
    world: World, worlds: int, own: Sequence[int], methods: Sequence[str], first: int = 0
) -> dict[tuple[str, int], list]:
    """The estimates of the gain in each of some worlds, by method and number of known answers."""
    found: dict[tuple[str, int], list] = {}
    for seed in range(first, first + worlds):
        _, run = world.answers(np.random.default_rng([seed, 7]))
        _, targets, cells = studied(run, own, methods)
        for key, cell in cells.items():
            if key[0] != UNCHANGED:
                shift = targets.mean(cell.scores - cells[UNCHANGED, 0].scores)
                found.setdefault(key, []).append(shift)
    return found


def oracle_share(world: World, worlds: int, k: int, first: int = 0) -> tuple[float, float]:
    """Gains (dB) of the mixed model with strength as fitted, and with the true variances in its place."""
    fitted, true = [], []
    for seed in range(first, first + worlds):
        answers, run = world.answers(np.random.default_rng([seed, 8]))
        drawn, targets, cells = studied(run, (k,), ("mixed, strength",))
        fitted.append(targets.mean(cells["mixed, strength", k].scores - cells[UNCHANGED, 0].scores).value)
        effects = np.diag([world.tau**2, world.tau**2, world.strength**2])
        residual = world.moments()[0] - world.tau**2
        model = MixedModel(np.ones(2), np.zeros(2), effects, residual)
        centres = run.centres()
        same = OtherListeners(answers).centres()
        known = Known(centres[drawn.targets], *drawn.centred(same, answers.points, k))
        change = model(known)
        scores = []
        for i, place in enumerate(drawn.targets):
            cloud = centres[place] + change.shift[i] + change.factor[i] * (run.cloud(place) - centres[place])
            to_answer = np.linalg.norm(cloud - answers.points[place], axis=1).mean()
            n = len(cloud)
            between = np.linalg.norm(cloud[:, None] - cloud[None], axis=2).sum() / (n * (n - 1))
            scores.append(to_answer - between / 2)
        true.append(targets.mean(np.array(scores) - cells[UNCHANGED, 0].scores).value)
    return float(np.mean(fitted)), float(np.mean(true))


def gain_table(worlds: int, people: int, first: int = 0) -> str:
    """Mean gains beside what the model says with known variances, how often the interval holds that and the
    mean of all worlds, and how often a gain is found, Markdown."""
    rows = []
    pool = {"people": people, "prompts": 60, "each": 12, "samples": 30}
    panel = {"people": people // 3, "prompts": 20, "each": 20, "samples": 30}
    if people < 15:  # the small form
        panel["people"], pool["prompts"] = people, 20
    for name, size in (
        (f"{people}, 12 of 60 prompts", pool),
        (f"{panel['people']}, all of 20 prompts", panel),
    ):
        for tau, bias, shift in (
            (0.0, 0.0, 0.0),
            (0.0, 1.0, 0.0),
            (0.0, 0.0, 1.0),
            (0.7, 0.0, 0.0),
            (0.7, 1.0, 0.0),
        ):
            world = World(tau, bias=bias, shift=shift, **size)
            found = gains(world, worlds, (1, 10), CHEAP, first)
            for (method, k), estimates in found.items():
                truth = world.gain(k, narrowed=method != "moved")
                values = np.array([e.value for e in estimates])
                low, high = np.array([e.interval() for e in estimates]).T
                holds = [np.mean((low <= at) & (at <= high)) for at in (truth, values.mean())]
                shares = [*holds, np.mean(high < 0.0)]
                shown = [f"{100 * share:.0f} %" for share in shares]
                if not tau:
                    shown[1] = ""  # most intervals are 0 exactly, as most people are not moved
                rows.append(
                    [name, f"{tau:g}", f"{bias:g}", f"{shift:g}", method, k]
                    + [f"{truth:.4f}", f"{values.mean():.4f}", f"{values.std(ddof=1) / np.sqrt(worlds):.4f}"]
                    + shown
                )
    names = ["people", "tau", "bias", "shift", "method", "own", "expected gain", "mean gain", "SE"]
    names += ["intervals hold expected", "hold mean", "gain found"]
    return tabulate(rows, names, tablefmt="github", disable_numparse=True)


def shrinkage_table(worlds: int, people: int, first: int = 0) -> str:
    """Estimated shares of the variance that people have in all answers, beside the true ones, Markdown."""
    rows = []
    for tau in (0.0, 0.7, 1.5):
        world = World(tau, people=people)
        found = []
        for seed in range(first, first + worlds):
            answers, _ = world.answers(np.random.default_rng([seed, 9]))
            offsets = answers.points - OtherListeners(answers).centres()
            kept = np.isfinite(offsets).all(axis=1)
            found.append(spread_of(offsets[kept], answers.person[kept]).common.mean())
        error = np.std(found, ddof=1) / np.sqrt(worlds)
        rows.append([f"{tau**2:.3f}", f"{world.moments()[1]:.3f}", f"{np.mean(found):.3f}", f"{error:.3f}"])
    return tabulate(rows, ["tau^2", "expected", "mean estimate", "SE"], tablefmt="github")


def strength_table(worlds: int, people: int, first: int = 0) -> str:
    """Gains of the fitted mixed model beside those of the true one, Markdown."""
    rows = []
    for tau, strength in ((0.0, 0.0), (0.7, 0.0), (0.7, 0.4), (0.0, 0.6)):
        fitted, true = oracle_share(World(tau, strength=strength, people=people), worlds, 10, first)
        rows.append([f"{tau:g}", f"{strength:g}", f"{fitted:.4f}", f"{true:.4f}"])
    return tabulate(rows, ["tau", "strength", "gain, fitted", "gain, true variances"], tablefmt="github")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=300)
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--first", type=int, default=0, help="seed of the first world")
    asked = parser.parse_args(argv)
    worlds, people, first = asked.worlds, asked.people, asked.first
    print(gain_table(worlds, people, first), flush=True)
    print("", shrinkage_table(worlds, people, first), sep="\n", flush=True)
    print("", strength_table(max(worlds // 15, 2), people, first), sep="\n")


if __name__ == "__main__":
    main()
