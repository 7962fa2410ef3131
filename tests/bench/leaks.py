"""How many leaks, and how many honest rows, are flagged where the truth is known.

``python -m tests.bench.leaks`` (about five minutes) prints the tables of docs/boards.md, "Leaks". Panels of
simulated-120 are drawn for every row; the real data sets are imported from their published files, where
these lie in ``../shared/data``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

import popeq
from popeq.board.leaks import ALPHA, copying_p, too_good, two_panel_p
from popeq.board.scoring import PromptTable, Scorer
from popeq.dataset import Dataset
from popeq.dataset_folder import write_dataset
from popeq.metrics import HEADLINE
from popeq.plugins import registry
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.runs.folder import find_runs
from popeq.typing import Floats
from popeq_data.simulated_120.generate import CARD_A, panel_dataset
from popeq_data.simulated_120.listeners import Panel, meanings, settings
from popeq_data.simulated_120.tables import read_sentences
from tests.conftest import ROOT, SHARED

SHARES = (1.0, 0.5, 0.25, 0.1)
JITTERS_DB = (0.0, 0.05, 0.2)
BLURS_DB = (0.0, 0.5, 1.0)
COMMITTED = ROOT / "leaderboard" / "results" / "simulated-120"
REAL = {"safe": "safe/SAFEEqualiserUserData.csv", "socialeq": "socialeq/eq_contributions.csv"}


@dataclass(frozen=True, eq=False)
class World:
    """A data set whose panel was drawn, the same prompts with another panel, and samples (P, n, 2), dB, of
    the population itself; the last two are None for real listeners."""

    tested: Scorer
    other: Scorer | None = None
    population: Floats | None = None

    def headlines(self, samples: Floats) -> list[Floats]:
        """Scores (P,) of samples (P, n, 2) against both panels, dB."""
        assert self.other is not None
        return [panel.score(samples).scores(HEADLINE) for panel in (self.tested, self.other)]

    @cached_property
    def reference(self) -> list[Floats]:
        """Scores of the training responses against both panels, (P,) each, dB."""
        dataset = self.tested.dataset
        pool = dataset.pooled(dataset.stages[0].train)
        return self.headlines(np.broadcast_to(pool, (len(dataset.test_ids), *pool.shape)))

    @cached_property
    def perfect(self) -> PromptTable:
        """Scores of the population itself."""
        assert self.population is not None
        return self.tested.score(self.population)


def stored(samples: Floats, dataset: Dataset) -> Floats:
    """Samples inside the box and rounded to 0.01 dB, as runs may keep them."""
    return np.round(dataset.space.clip(samples), 2)


def simulated_worlds(count: int, samples: int, first_seed: int = 9000) -> Iterator[World]:
    """Worlds of simulated-120: two new panels of 11 for each, of a population of ``samples`` listeners."""
    sentences = read_sentences()
    meant = meanings(sentences)
    people = [settings(meant, Panel("z", 7000 + i)) for i in range(-(-samples // 11))]
    population = np.concatenate(people, axis=1)[:, :samples]
    place = {sentence.prompt_id: i for i, sentence in enumerate(sentences)}
    card = CARD_A.model_copy(update={"second_panel": None})
    for k in range(count):
        a, b = (
            panel_dataset(card, Panel(c, first_seed + 500 * j + k), sentences) for j, c in enumerate("ab")
        )
        own = np.stack([population[place[p]] for p in a.test_ids])
        yield World(Scorer(a, DEFAULT_PROTOCOL), Scorer(b, DEFAULT_PROTOCOL), stored(own, a))


def honest(dataset: Dataset, kind: str, samples: int, rng: np.random.Generator, jitter_db: float) -> Floats:
    """``prior``: draws from all training responses; ``knn``: from those of the five training prompts whose
    listeners' means are nearest to the tested prompt's, which is better than any retrieval can do."""
    drawn = {}
    for stage in dataset.stages:
        train = dataset.labelled(stage.train)
        centres = np.stack([p.responses.mean(axis=0) for p in train])
        for prompt_id in stage.test:
            distance = np.linalg.norm(centres - dataset.points(prompt_id).mean(axis=0), axis=1)
            chosen = range(len(train)) if kind == "prior" else np.argsort(distance)[:5]
            pool = np.concatenate([train[i].responses for i in chosen])
            drawn[prompt_id] = pool[rng.integers(len(pool), size=samples)]
    points = np.stack([drawn[p] for p in dataset.test_ids])
    return stored(points + rng.normal(0, jitter_db, points.shape), dataset)


def leaked(
    base: Floats, dataset: Dataset, share: float, rng: np.random.Generator, jitter_db: float
) -> Floats:
    """``base`` with a share of the samples replaced by the prompts' own answers, plus noise of that SD."""
    mixed = base.copy()
    for own, prompt_id in zip(mixed, dataset.test_ids, strict=True):
        answers = dataset.points(prompt_id)
        taken = rng.random(len(own)) < share
        picked = answers[rng.integers(len(answers), size=int(taken.sum()))]
        own[taken] = picked + rng.normal(0, jitter_db, picked.shape)
    return stored(mixed, dataset)


def real_worlds(folder: Path, published: Path = SHARED) -> dict[str, World]:
    """The published listening data, imported into a folder; those that are there."""
    worlds = {}
    for name, file in REAL.items():
        if (published / file).exists():
            spec = registry().importers[name]
            dataset = spec.load()(published / file, spec.parameters()).dataset
            worlds[dataset.name] = World(Scorer(write_dataset(dataset, folder / name, ""), DEFAULT_PROTOCOL))
    return worlds


def copied_shares(worlds: Iterator[World], kind: str, jitter_db: float, samples: int) -> list[float]:
    """Share of rows that the test for copied answers flags: of honest ones, then for each of SHARES."""
    flagged = []
    for k, world in enumerate(worlds):
        rng, dataset = np.random.default_rng([k, int(100 * jitter_db)]), world.tested.dataset
        rows = [honest(dataset, kind, samples, rng, jitter_db)]
        rows += [leaked(honest(dataset, kind, samples, rng, 0.0), dataset, s, rng, jitter_db) for s in SHARES]
        flagged.append([copying_p(row, world.tested) <= ALPHA for row in rows])
    return np.mean(flagged, axis=0).tolist()


def signs(world: World, samples: Floats) -> tuple[bool, bool, bool]:
    """Whether each sign flags a row: copied points, the other panel, a mean far below the perfect one's."""
    row = world.headlines(samples)
    return (
        copying_p(samples, world.tested) <= ALPHA,
        two_panel_p(*row, *world.reference) <= ALPHA,
        bool(too_good(float(row[0].mean()), world.perfect)),
    )


def rows_of(world: World, samples: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Samples of honest rows and of blurred copies in one world, by what they are."""
    assert world.population is not None
    dataset = world.tested.dataset
    prior, knn = (honest(dataset, kind, samples, rng, 0.0) for kind in ("prior", "knn"))
    rows = {"perfect predictor": world.population, "`prior`": prior, "`knn`": knn}
    for share in (1.0, 0.5):
        for blur in BLURS_DB:
            rows[f"{share:.0%} leaked, {blur:g} dB"] = leaked(prior, dataset, share, rng, blur)
    return rows


def committed(folder: Path = COMMITTED) -> list[tuple[str, float]]:
    """Each committed run's name and its p-value of copying."""
    runs = find_runs(folder)[0]
    scorer = Scorer(popeq.load_dataset("simulated-120"), DEFAULT_PROTOCOL)
    ids, space = scorer.dataset.test_ids, scorer.dataset.space
    return [(r.folder.name, copying_p(r.samples(ids, space), scorer)) for r in runs]


def percent(values: list[float]) -> str:
    return " | ".join(f"{value:.0%}" for value in values)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--panels", type=int, default=40, help="redrawn panels, and draws on real data")
    parser.add_argument("--samples", type=int, default=440, help="samples a prompt")
    parser.add_argument("--runs", type=Path, default=COMMITTED, help="runs of a board of simulated-120")
    parser.add_argument("--real", type=Path, default=SHARED, help="folder of the published listening data")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        sources: dict[str, Callable[[], Iterator[World]]] = {
            "simulated-120, new panels": lambda: simulated_worlds(asked.panels, asked.samples)
        }
        for name, world in real_worlds(Path(folder), asked.real).items():
            sources[name] = lambda world=world: iter([world] * asked.panels)
        heads = ("data", "rest", "jitter", "honest", *(f"{share:.0%}" for share in SHARES))
        print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
        for name, worlds in sources.items():
            for kind in ("prior", "knn"):
                for jitter in JITTERS_DB:
                    shares = copied_shares(worlds(), kind, jitter, asked.samples)
                    print(f"| {name} | {kind} | {jitter:g} dB | {percent(shares)} |", flush=True)
    print("\n| row | copied | other panel | too good |\n|---|---|---|---|")
    found: dict[str, list[tuple[bool, bool, bool]]] = {}
    for k, world in enumerate(simulated_worlds(asked.panels, asked.samples)):
        for name, row in rows_of(world, asked.samples, np.random.default_rng(k)).items():
            found.setdefault(name, []).append(signs(world, row))
    for name, flags in found.items():
        print(f"| {name} | {percent(np.mean(flags, axis=0).tolist())} |", flush=True)
    board = committed(asked.runs)
    print(f"\ncommitted board: {sum(p <= ALPHA for _, p in board)} of {len(board)} runs flagged as copied, "
          f"smallest p {min(p for _, p in board):.2g}")  # fmt: skip


if __name__ == "__main__":
    main()
