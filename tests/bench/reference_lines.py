"""How far the reference lines are from the truth, in simulated worlds whose populations are known.

``python -m tests.bench.reference_lines`` (some minutes) prints the table of docs/boards.md: for each kind of
population, the mean line over the mean of scores that were really drawn from the population, less 1, with its
standard error. Every listener here is simulated.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import popeq
from popeq.board.reference_lines import FRESH, PANEL_SIZE, PERFECT, reference_lines
from popeq.board.scoring import Scorer
from popeq.metrics import HEADLINE
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.typing import Floats
from popeq_data.simulated_120.listeners import Panel, meanings, settings
from popeq_data.simulated_120.tables import read_sentences

Draw = Callable[[int, np.random.Generator], Floats]
CARD = """\
name = "known"
version = "1"
title = "known populations"
licence = "MIT"
citation = "-"
simulated = true
"""


def normal(sd_db: float, centres_db: float) -> Callable[[np.random.Generator], Draw]:
    """One group, at a place that is drawn for each prompt."""

    def make(rng: np.random.Generator) -> Draw:
        centre = rng.normal(0, centres_db, 2)
        return lambda n, r: centre + r.normal(0, sd_db, (n, 2))

    return make


def two_groups(rng: np.random.Generator) -> Draw:
    """Two groups 5 dB apart, the smaller of 20 to 45 % of the listeners."""
    centre, way, share = rng.normal(0, 1.5, 2), rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.45)
    step = 5 * np.array([np.cos(way), np.sin(way)])
    return lambda n, r: centre + np.where(r.random((n, 1)) < share, step, 0) + r.normal(0, 0.8, (n, 2))


def heavy(rng: np.random.Generator) -> Draw:
    """Student's t with three degrees of freedom."""
    centre = rng.normal(0, 1.5, 2)
    return lambda n, r: centre + 1.2 * r.standard_t(3, (n, 2))


def uniform(rng: np.random.Generator) -> Draw:
    """All settings of the plane with equal probability."""
    return lambda n, r: r.uniform(-6, 6, (n, 2))


WORLDS = {
    "normal, SD 0.5 dB": normal(0.5, 2.0),
    "normal, SD 1 dB": normal(1.0, 2.0),
    "normal, SD 2.3 dB": normal(2.3, 2.0),
    "normal, SD 3.2 dB": normal(3.2, 2.0),
    "normal, SD 2.3 dB, at the edge": normal(2.3, 4.5),
    "two groups": two_groups,
    "uniform": uniform,
    "heavy tails": heavy,
}

POPULATIONS = ("simulated-120", *WORLDS)


def simulated_120(panels: int = 66, first_seed: int = 5000) -> Callable[[np.random.Generator], Draw]:
    """The population behind a sentence of simulated-120, as many of its listeners as asked for.

    There are more listeners (11 a panel) than the samples of a protocol, which are drawn without replacement.
    """
    meant = meanings(read_sentences())
    points = np.concatenate([settings(meant, Panel("z", first_seed + i)) for i in range(panels)], axis=1)

    def make(rng: np.random.Generator) -> Draw:
        own = points[rng.integers(len(points))]
        return lambda n, r: r.choice(own, n, replace=False)

    return make


def biases(
    make: Callable[[np.random.Generator], Draw], listeners: int, prompts: int, seed: int = 0
) -> list[str]:
    """Bias and standard error of both lines, in words."""
    rng = np.random.default_rng([seed, listeners])
    people = [make(rng) for _ in range(prompts)]

    def drawn(p: int, n: int) -> Floats:
        return np.clip(people[p](n, rng), -6, 6)

    rows = ["prompt_id,text,category,split", "t,train,known,train"]
    answers = ["prompt_id,listener_id,x_db,y_db", "t,l0,0,0"]
    for p in range(prompts):
        rows.append(f"p{p},text {p},known,test")
        answers += [f"p{p},l{j},{x!r},{y!r}" for j, (x, y) in enumerate(drawn(p, listeners).tolist())]
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {
            "dataset.toml": CARD,
            "prompts.csv": "\n".join(rows),
            "responses.csv": "\n".join(answers),
        }.items():
            Path(folder, name).write_text(text)
        scorer = Scorer(popeq.load_dataset(folder), DEFAULT_PROTOCOL)
        lines = {line.name: line.scores[HEADLINE] for line in reference_lines(scorer)}
    index = [int(prompt_id[1:]) for prompt_id in scorer.prompt_ids]
    biases_of_lines = []
    for name, size in ((PERFECT, DEFAULT_PROTOCOL.n_samples), (FRESH, PANEL_SIZE)):
        truth = np.array(
            [
                np.mean([target.score(drawn(p, size)).values[HEADLINE] for _ in range(3)])
                for p, target in zip(index, scorer.targets, strict=True)
            ]
        )
        error = np.std(lines[name] - truth, ddof=1) / np.sqrt(prompts) / truth.mean()
        biases_of_lines.append(f"{lines[name].mean() / truth.mean() - 1:+.1%} ({error:.1%})")
    return biases_of_lines


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=600)
    parser.add_argument("--listeners", type=int, nargs="+", default=[11])
    parser.add_argument("--populations", nargs="+", choices=POPULATIONS, default=POPULATIONS)
    arguments = parser.parse_args(argv)
    print("| population | listeners | perfect predictor | fresh panel of 11 |\n|---|---|---|---|")
    for listeners in arguments.listeners:
        for name in arguments.populations:
            row = biases(
                simulated_120() if name == "simulated-120" else WORLDS[name], listeners, arguments.prompts
            )
            print(f"| {name} | {listeners} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
