"""Adaptation curves where the truth is known: the gain, what the intervals hold, and no difference at all.

``python -m tests.bench.adapting`` (a few minutes). In each world two populations answer prompts that
all have one centre; the new population's answers are moved by some dB. ``prior`` draws from the pool of
both, ``group-prior`` weighs the new population. What they gain with k answers follows from the share w
of the draws that are the new population's. The model column is the expected score of 110 draws of that
mixture against as many new people as are tested, by a simulation that shares nothing with the curve but the
score. For people who are far apart it is near w times the difference. Everything here is simulated.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from tabulate import tabulate

from popeq.adapted import Adaptation, adapted, sides, with_answers
from popeq.adapting import common_share
from popeq.board.scoring import Scorer, average
from popeq.contract import Parameters
from popeq.dataset import Dataset
from popeq.dataset_card import LISTENER_COLUMNS, PROMPT_COLUMNS, RESPONSE_COLUMNS, DatasetCard
from popeq.dataset_folder import write_dataset
from popeq.in_process import new_predictor
from popeq.metrics import HEADLINE, DensitySettings, Target
from popeq.plugins import registry
from popeq.protocol import PROTOCOL_1
from popeq.runs.job import for_predictor, labelled_for_predictor
from popeq.seeding import generator
from popeq.space import PLANE
from popeq.statistics import MeanEstimate, holm
from popeq.studies.adapting import Adapted
from popeq.typing import Floats

SOURCE_PROMPTS, TRAIN, TESTED = 20, 20, 12
LISTENERS = 11
CENTRE, PERSON, OWN = -1.0, 0.3, 0.5
NUMBERS, DIVISIONS, SEEDS = (0, 1, 5), 3, 1
POOLED = 60.0
PREDICTORS: dict[str, dict[str, float]] = {"prior": {}, "group-prior": {"pooled_answers": POOLED}}
CARD = DatasetCard(
    name="source", version="1", title="simulated", licence="MIT", citation="none", simulated=True
)


def people(count: int, prompts: int, moved: float, rng: np.random.Generator) -> Floats:
    """What so many people set for so many prompts, (count, prompts, 2), ``moved`` dB along the diagonal."""
    own = PERSON * rng.standard_normal((count, 1, 2)) + OWN * rng.standard_normal((count, prompts, 2))
    return PLANE.clip(CENTRE + moved / np.sqrt(2.0) + own)


def population(name: str, splits: Sequence[str], moved: float, rng: np.random.Generator) -> Dataset:
    """A data set of one population, whose people answer everything."""
    ids = [f"{name}{i:02d}" for i in range(len(splits))]
    rows = [(p, f"{name} {p}", "x", None, s, None, None, None) for p, s in zip(ids, splits, strict=True)]
    points = people(LISTENERS, len(ids), moved, rng)
    answers = [
        (p, f"{name}{j:02d}", *points[j, i].tolist()) for i, p in enumerate(ids) for j in range(LISTENERS)
    ]
    return Dataset(
        CARD.model_copy(update={"name": name}),
        pd.DataFrame(rows, columns=list(PROMPT_COLUMNS), dtype=object),
        pd.DataFrame(answers, columns=list(RESPONSE_COLUMNS)),
    )


def write(folder: Path, moved: float = 3.0) -> None:
    """Write two populations that are ``moved`` dB apart, ``source`` and ``target``, and ``both`` as groups of
    one data set."""
    rng = np.random.default_rng(9)
    splits = ["train"] * TRAIN + ["test"] * TESTED
    here, there = (population(n, splits, m, rng) for n, m in (("source", 0.0), ("target", moved)))
    alike = there.responses.assign(prompt_id=there.responses["prompt_id"].str.replace("target", "source"))
    answers = pd.concat([here.responses, alike], ignore_index=True)
    people = sorted({(who, who[:-2]) for who in answers["listener_id"]})
    listeners = pd.DataFrame(people, columns=list(LISTENER_COLUMNS), dtype=object)
    card = CARD.model_copy(update={"name": "both"})
    for made in (here, there, replace(here, card=card, responses=answers, listeners=listeners)):
        write_dataset(made, folder / made.name, f"Simulated by tests.bench.adapting, {moved:g} dB apart.\n")


def curve(
    moved: float, rng: np.random.Generator, numbers: Sequence[int] = NUMBERS
) -> dict[tuple[str, int], MeanEstimate]:
    """The shifts from no answers of one world, by predictor and number of answers."""
    source = population("s", ["train"] * SOURCE_PROMPTS + ["test"], 0.0, rng)
    target = population("t", ["train"] * TRAIN + ["test"] * TESTED, moved, rng)
    fits: dict[tuple[str, int], Adapted] = {}
    for division in range(DIVISIONS):
        scorer = None
        for number in numbers:
            how = Adaptation(number, division)
            data = adapted(source, target, how, "t")
            scorer = scorer or Scorer(data, PROTOCOL_1)
            share = common_share(target, sides(target, how), number)
            for name, options in PREDICTORS.items():
                tables = [scorer.score(drawn(name, options, data, rng)) for _ in range(SEEDS)]
                fit = fits.setdefault((name, number), Adapted("0", with_answers(data), share))
                fit.tables.append(average(tables))
                fit.listeners.append(scorer.listeners)
    return {(n, k): fits[n, k].since(fits[n, numbers[0]]) for n, k in fits if k != numbers[0]}


def drawn(name: str, options: dict[str, float], data: Dataset, rng: np.random.Generator) -> Floats:
    """Samples of a predictor that is fitted on an adapted data set, (P, n, 2) dB."""
    spec, (stage,) = registry().predictor(name), data.stages
    parameters: Parameters = spec.parameters(**options)
    predictor = new_predictor(spec, parameters, data.space)
    seed = int(rng.integers(2**31))
    predictor.fit(labelled_for_predictor(data.labelled(stage.train), spec), [], generator(seed))
    asked = for_predictor(data.unlabelled(stage.test), spec)
    return predictor.sample(asked, PROTOCOL_1.n_samples, [generator(seed, p.prompt_id) for p in asked])


def own_share(name: str, number: int) -> float:
    """The share of the draws that are the new population's, by the definition of the predictor."""
    theirs, all_of = number * TRAIN, number * TRAIN + SOURCE_PROMPTS * LISTENERS
    own = theirs / (theirs + POOLED) if name == "group-prior" and number else 0.0
    return own + (1.0 - own) * theirs / all_of


def model(moved: float, share: float, tested: int, repeats: int, rng: np.random.Generator) -> float:
    """The expected headline of draws of which a share is the new population's, against so many new people."""
    settings, scores = DensitySettings(PROTOCOL_1.grid_cells, PROTOCOL_1.bandwidth_floor), []
    for _ in range(repeats):
        new = rng.random((PROTOCOL_1.n_samples, 1)) < share
        of_both = [people(PROTOCOL_1.n_samples, 1, m, rng)[:, 0] for m in (0.0, moved)]
        points = np.where(new, of_both[1], of_both[0])
        target = Target(people(tested, 1, moved, rng)[:, 0], PLANE, settings)
        scores.append(target.score_of(target.densities_of(points), points, 0.0).values[HEADLINE])
    return float(np.mean(scores))


class Row(NamedTuple):
    """One predictor and number of answers over all worlds, dB: the mean ``shift`` with its standard error,
    what the ``model`` says, the share of intervals that hold the mean shift (the model's for no difference),
    and of worlds with a shift beyond noise by Holm's adjustment."""

    moved: float
    predictor: str
    answers: int
    shift: float
    error: float
    model: float
    coverage: float
    beyond: float


def rows(moved: float, worlds: int, repeats: int, numbers: Sequence[int] = NUMBERS) -> list[Row]:
    """The rows of one difference between the populations."""
    found = [curve(moved, np.random.default_rng([7, int(10 * moved), w]), numbers) for w in range(worlds)]
    adjusted = [holm(np.array([s.p_value for s in each.values()])) for each in found]
    rng = np.random.default_rng([8, int(10 * moved)])
    tested = LISTENERS - (LISTENERS + 1) // 2
    made = []
    for i, (name, number) in enumerate(found[0]):
        shifts = [each[name, number] for each in found]
        values = np.array([s.value for s in shifts])
        without, with_them = (
            model(moved, own_share(name, k), tested, repeats, rng) if moved else 0.0 for k in (0, number)
        )
        true = float(values.mean()) if moved else 0.0
        held = np.mean([s.interval()[0] <= true <= s.interval()[1] for s in shifts])
        beyond = np.mean([p[i] <= 0.05 for p in adjusted])
        error = float(values.std(ddof=1) / np.sqrt(worlds)) if worlds > 1 else np.nan
        made.append(
            Row(
                moved,
                name,
                number,
                float(values.mean()),
                error,
                with_them - without,
                float(held),
                float(beyond),
            )
        )
    return made


def table(worlds: int, repeats: int) -> str:
    """All rows, Markdown."""
    cells = [
        [
            f"{r.moved:g}",
            r.predictor,
            r.answers,
            f"{r.shift:.3f} ({r.error:.3f})",
            f"{r.model:.3f}",
            f"{r.shift / r.model:.2f}" if r.model else "",
            f"{100 * r.coverage:.0f} %",
            f"{100 * r.beyond:.0f} %",
        ]
        for moved in (0.0, 3.0)
        for r in rows(moved, worlds, repeats)
    ]
    names = ["difference, dB", "predictor", "answers", "mean shift (SE), dB", "model, dB", "ratio"]
    names += ["intervals that hold it", "beyond noise"]
    return tabulate(cells, names, tablefmt="github", disable_numparse=True)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=1500)
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="only write the data sets of one world")
    given = parser.parse_args(argv)
    if given.write is not None:
        write(given.write)
        return
    print(table(given.worlds, given.repeats))


if __name__ == "__main__":
    main()
