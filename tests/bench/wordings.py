"""Which way of asking a language model for a setting gives the best scores, on validation or test prompts.

``python -m tests.bench.wordings MODEL ... [--dataset NAME] [--split test] [--method icl-zero ...]`` prints a
table of the headline score (dB), mean and median over the prompts of the split. docs/language-models.md holds
what was seen. Bundled data sets are simulated.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import get_args

import numpy as np
from tabulate import tabulate

import popeq
from popeq.contract import load_object
from popeq.dataset import Dataset
from popeq.plugins import registry
from popeq.seeding import generator
from popeq_llm.known import WordingName
from popeq_llm.model_selection import ValidationSet

SAMPLES = 110


def scores(method: str, model: str, wording: str, dataset: Dataset, split: str) -> np.ndarray:
    """Headline scores, dB, of the prompts of a split, over all folds of the data set."""
    spec = registry().predictors[method]
    found = []
    for stage in dataset.stages:
        ids = stage.validation if split == "validation" else stage.test
        predictor = load_object(spec.factory)(spec.parameters(model=model, wording=wording), dataset.space)
        predictor.fit(dataset.labelled(stage.train), [], np.random.default_rng(0))
        rngs = [generator(0, method, prompt_id) for prompt_id in ids]
        drawn = predictor.sample(dataset.unlabelled(ids), SAMPLES, rngs)
        found.append(ValidationSet(dataset.labelled(ids), dataset.space).scores(list(drawn)))
    return np.concatenate(found)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--dataset", default="simulated-120")
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--method", action="append", choices=("icl-zero", "icl-static", "icl-rag"))
    parser.add_argument("--wording", action="append", choices=get_args(WordingName))
    given = parser.parse_args(argv)
    dataset, rows = popeq.load_dataset(given.dataset), []
    for model in given.models:
        for method in given.method or ["icl-zero"]:
            for wording in given.wording or get_args(WordingName):
                began = time.perf_counter()
                found = scores(method, model, wording, dataset, given.split)
                seconds = time.perf_counter() - began
                rows.append(
                    [model.rpartition("/")[2], method, wording, found.mean(), np.median(found), seconds]
                )
                print(*rows[-1], flush=True)
    names = ["model", "method", "wording", "mean", "median", "seconds"]
    print(tabulate(rows, names, tablefmt="github", floatfmt=".2f"))


if __name__ == "__main__":
    main()
