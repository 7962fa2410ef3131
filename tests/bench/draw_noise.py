"""How much of a score is chance of the draw, by sample count: the table of docs/scores.md.

``python -m tests.bench.draw_noise PREDICTOR...`` fits each predictor once on simulated-120, then draws as a
run does, ``--blocks`` times with other generators for each sample count, and prints the standard deviation
over the draws of the mean headline score over the 30 test prompts, in dB, beside the seconds of one draw.
Each prompt is drawn with a generator of its own, so the variance of the mean is the sum of the prompts'
variances over the square of their number; taken so, 20 draws give the deviation to about 3 %. What training
adds from seed to seed is not in it. All listeners are simulated.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence

import numpy as np

import popeq
from popeq.board.scoring import Scorer
from popeq.contract import Predictor, load_object
from popeq.metrics import HEADLINE
from popeq.plugins import registry
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.runs.plan import typed_parameters
from popeq.seeding import generator

DATASET = "simulated-120"
COUNTS = (110, 220, 440, 550, 660, 770, 880, 1100)


def fitted(name: str, options: Mapping[str, str], dataset: popeq.Dataset) -> Predictor:
    """The predictor as the worker of a run would have it, after ``fit`` on the data set's split."""
    spec = registry().predictor(name)
    known = {k: v for k, v in options.items() if k in spec.parameters.model_fields}
    predictor: Predictor = load_object(spec.factory)(typed_parameters(spec, known), dataset.space)
    stage = dataset.stages[0]
    parts = (dataset.labelled(ids) for ids in (stage.train, stage.validation))
    predictor.fit(*parts, generator(0, name, "fit", stage.name))
    return predictor


def drawn(predictor: Predictor, scorer: Scorer, n: int, blocks: int) -> tuple[np.ndarray, float]:
    """Headline scores (blocks, prompts) of so many draws of ``n`` samples, dB, and seconds a draw."""
    prompts = scorer.dataset.unlabelled(scorer.prompt_ids)
    scores, seconds = np.empty((blocks, len(prompts))), 0.0
    for block in range(blocks):
        rngs = [generator("draw noise", block, n, p.prompt_id) for p in prompts]
        started = time.perf_counter()
        samples = np.asarray(predictor.sample(prompts, n, rngs), dtype=np.float64)
        seconds += time.perf_counter() - started
        scores[block] = scorer.score(samples).scores(HEADLINE)
    return scores, seconds / blocks


def deviation_of_mean(scores: np.ndarray) -> float:
    """SD over draws of the mean over prompts of scores (draws, prompts), whose prompts are independent."""
    return float(np.sqrt(scores.var(axis=0, ddof=1).sum()) / scores.shape[1])


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("predictors", nargs="+")
    parser.add_argument("--blocks", type=int, default=20, help="draws for each sample count (default 20)")
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("-o", dest="options", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args(argv)
    options = dict(option.split("=", 1) for option in arguments.options)
    scorer = Scorer(popeq.load_dataset(DATASET), DEFAULT_PROTOCOL)
    print("| predictor | samples | SD over draws, dB | mean, dB | seconds a draw |")
    print("|---|---|---|---|---|", flush=True)
    for name in arguments.predictors:
        predictor = fitted(name, options, scorer.dataset)
        for n in arguments.counts:
            scores, seconds = drawn(predictor, scorer, n, arguments.blocks)
            cells = f"{deviation_of_mean(scores):.4f} | {scores.mean():.3f} | {seconds:.2f}"
            print(f"| {name} | {n} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
