"""Time a predictor's fit or sample with pytest-benchmark: fixed rounds, a fresh start for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import popeq.api as api
from popeq import __version__
from popeq.contract import Predictor
from popeq.dataset import Dataset
from popeq.defaults import DEFAULT_DATASET
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.runs.worker import check_samples
from popeq.seeding import generator
from popeq.testing.subject import Subject


class PredictorBenchmark:
    """What the fixture ``popeq_benchmark`` gives; call it once a test."""

    def __init__(self, benchmark: Any) -> None:
        self._benchmark = benchmark

    def __call__(
        self,
        predictor: str,
        *,
        phase: Literal["fit", "sample"] = "sample",
        dataset: str | Dataset = DEFAULT_DATASET,
        options: Mapping[str, object] | None = None,
        n: int = DEFAULT_PROTOCOL.n_samples,
        rounds: int = 5,
        warmup_rounds: int = 1,
    ) -> None:
        """Time ``fit`` on the training prompts, or ``sample`` of ``n`` settings for all test prompts at once.

        It runs in this process, with the first stage of the data set. Each round of ``fit`` has a new
        instance; each round of ``sample`` has new generators, so that all rounds draw the same.
        """
        data = api.as_dataset(dataset)
        subject, stage = Subject.of(predictor, options, data.space), data.stages[0]
        train, validation = data.labelled(stage.train), data.labelled(stage.validation)
        prompts = data.unlabelled(stage.test)
        rounds_of = {"rounds": rounds, "warmup_rounds": warmup_rounds, "iterations": 1}
        self._benchmark.extra_info |= {
            "predictor": predictor,
            "phase": phase,
            "dataset": data.card.label,
            "revision": data.revision[:12],
            "prompts": len(prompts),
            "samples": n,
            "popeq": __version__,
        }

        def fit(instance: Predictor) -> Predictor:
            instance.fit(train, validation, generator(0, predictor, "fit", stage.name))
            return instance

        if phase == "fit":
            self._benchmark.pedantic(fit, setup=lambda: ((subject.fresh(),), {}), **rounds_of)
            return
        fitted = fit(subject.fresh())

        def setup() -> tuple[tuple[Any, ...], dict[str, Any]]:
            return (prompts, n, subject.generators(prompts)), {}

        drawn = self._benchmark.pedantic(fitted.sample, setup=setup, **rounds_of)
        check_samples(drawn, prompts, n, data.space)
