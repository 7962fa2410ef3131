"""A predictor in this process, without a run: for a notebook, a demonstration, a test of an idea."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from popeq.contract import (
    LabelledPrompt,
    Parameters,
    Predictor,
    PredictorSpec,
    Prompt,
    load_object,
)
from popeq.dataset import Dataset
from popeq.defaults import DEFAULT_DATASET
from popeq.errors import UsageError
from popeq.installing import install_hint
from popeq.lookup import as_dataset
from popeq.plugins import registry
from popeq.runs.job import for_predictor, labelled_for_predictor
from popeq.runs.plan import typed_parameters
from popeq.runs.worker import check_samples
from popeq.seeding import generator
from popeq.space import PLANE, Space
from popeq.typing import Floats


class LoadedPredictor:
    """A predictor with its parameters. ``fit`` it, then ``sample``; nothing is contained, limited or kept.

    ``predictor`` is the plugin's own object, None before ``fit``. A ``seed`` gives the same fit and, for the
    prompts of a data set, the same samples as a run with that seed has before it rounds them.
    """

    def __init__(self, spec: PredictorSpec, parameters: dict[str, object], seed: int = 0) -> None:
        self.spec, self.seed = spec, seed
        self.parameters = typed_parameters(spec, parameters, flag="")
        self.predictor: Predictor | None = None
        self.space = PLANE

    def __repr__(self) -> str:
        values = "".join(f", {name}={value!r}" for name, value in self.parameters)
        fitted = "fitted" if self.predictor else "not fitted"
        return f"<{self.spec.name}{values} ({fitted})>"

    def fit(self, data: str | Path | Dataset | Sequence[LabelledPrompt] = DEFAULT_DATASET) -> LoadedPredictor:
        """Learn from the training and validation prompts of a data set, or from labelled prompts; itself.

        With folds it learns from all prompts of the data set; test prompts of a split are never given.

        Raises
        ------
        UsageError
            For an unknown data set, or a predictor that cannot be loaded or fitted.
        """
        train, validation, self.space = self._parts(data)
        predictor = new_predictor(self.spec, self.parameters, self.space)
        predictor.fit(train, validation, generator(self.seed, self.spec.name, "fit", "split"))
        self.predictor = predictor
        return self

    def sample(self, prompts: Sequence[str | Prompt], n: int = 110) -> Floats:
        """Draw ``n`` settings for each sentence or prompt: (len(prompts), n, 2), dB, inside the space.

        A sentence's draws depend on the seed, the predictor and the sentence alone.

        Raises
        ------
        UsageError
            If it is not fitted, there is no prompt or something else than prompts, or ``n`` is below 1.
        ContractError
            If the predictor gives back what the contract does not allow.
        """
        if self.predictor is None:
            raise UsageError(f"{self.spec.name}: is not fitted; call fit() first")
        texts = () if isinstance(prompts, str) else prompts
        if not len(texts) or not all(isinstance(p, str | Prompt) for p in texts) or n < 1:
            raise UsageError("sample() takes a list of at least one sentence or prompt, and n from 1")
        asked = for_predictor(
            (Prompt(p, p, "asked") if isinstance(p, str) else p for p in prompts), self.spec
        )
        rngs = [generator(self.seed, self.spec.name, "sample", p.prompt_id) for p in asked]
        return check_samples(self.predictor.sample(asked, n, rngs), asked, n, self.space)

    def _parts(
        self, data: str | Path | Dataset | Sequence[LabelledPrompt]
    ) -> tuple[list[LabelledPrompt], list[LabelledPrompt], Space]:
        if isinstance(data, str | Path | Dataset):
            dataset = as_dataset(data)
            return *training_data(dataset, self.spec), dataset.space
        if not len(data):
            raise UsageError("fit() needs at least one labelled prompt")
        return labelled_for_predictor(data, self.spec), [], PLANE


def training_data(dataset: Dataset, spec: PredictorSpec) -> tuple[list[LabelledPrompt], list[LabelledPrompt]]:
    """Training and validation prompts as a run's worker gets them: no test answers where there is a split.

    With folds, which have no test prompts of their own, all prompts are training prompts.
    """
    stage = dataset.stages[0]
    ids = (stage.train, stage.validation)
    if dataset.by_folds:
        ids = (tuple(sorted(dataset.prompts["prompt_id"])), ())
    train, validation = (labelled_for_predictor(dataset.labelled(part), spec) for part in ids)
    return train, validation


def new_predictor(spec: PredictorSpec, parameters: Parameters, space: Space) -> Predictor:
    """A predictor that is not fitted. Raises UsageError if it cannot be used in the space, or its module
    cannot be imported."""
    parameters.check_space(space)
    try:
        factory = load_object(spec.factory)
    except ImportError as error:
        raise UsageError(f"{spec.name}: cannot be loaded: {error}{install_hint(spec.extra)}") from None
    predictor: Predictor = factory(parameters, space)
    return predictor


def load_predictor(name: str | PredictorSpec, *, seed: int = 0, **parameters: object) -> LoadedPredictor:
    """A predictor in this process: ``popeq.load_predictor("knn", k=4).fit(data).sample(["make it warm"])``.

    ``parameters`` are the predictor's own, by name, as ``popeq run -o`` takes them.

    Raises
    ------
    UnknownNameError
        For a name that no plugin brings; offers near names.
    UsageError
        For a parameter that it does not have, or a value that a parameter does not take.
    """
    spec = registry().predictor(name) if isinstance(name, str) else name
    return LoadedPredictor(spec, parameters, seed)


def list_predictors() -> list[PredictorSpec]:
    """What plugins bring, sorted by name; ``spec.parameters.model_fields`` has the parameters of each."""
    return [spec for _, spec in sorted(registry().predictors.items())]
