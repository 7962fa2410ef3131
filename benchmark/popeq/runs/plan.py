"""From names, options and seeds to planned runs, each checked before anything is on disk."""

from __future__ import annotations

import json
import operator
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import ValidationError

from popeq.contract import Parameters, PredictorSpec
from popeq.dataset import Dataset
from popeq.errors import UnknownNameError, UsageError
from popeq.plugins import registry
from popeq.protocol import Protocol
from popeq.runs.folder import Run
from popeq.runs.identity import difference, identity_of
from popeq.runs.spec import DatasetRecord, PredictorRecord, RunSpec, plain_json


@dataclass(frozen=True)
class Plan:
    """A run that may be drawn here: what it is (``spec``), with the predictor, the typed parameters and the
    data set that are named in it."""

    spec: RunSpec
    predictor: PredictorSpec
    parameters: Parameters
    dataset: Dataset

    @cached_property
    def key(self) -> str:
        """SHA-256 (hex) over everything that the predictions depend on."""
        return self.spec.expected_key

    @property
    def label(self) -> str:
        """Predictor and seed, for messages."""
        return f"{self.predictor.name}, seed {self.spec.seed}"

    @property
    def parameter_values(self) -> dict[str, Any]:
        """Every parameter as plain JSON, paths in full."""
        return self.parameters.model_dump(mode="json")

    @property
    def command(self) -> str:
        """The command line that makes this run again."""
        return run_command(self.predictor, self.parameters, self.spec.dataset.given, self.spec.seed)


def changed_parameters(parameters: Parameters) -> dict[str, Any]:
    """The parameters that are not at their defaults, as plain JSON."""
    defaults = type(parameters).model_construct().model_dump(mode="json")
    values = parameters.model_dump(mode="json")
    return {name: value for name, value in values.items() if value != defaults.get(name)}


def run_command(predictor: PredictorSpec, parameters: Parameters, dataset: str, seed: int) -> str:
    """The command line that draws a run on the data set of this name or folder."""
    words = ["popeq", "run", predictor.name, "--dataset", dataset, "--seed", str(seed)]
    for name, value in changed_parameters(parameters).items():
        words += ["-o", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(words)


def parse_options(options: Sequence[str], flag: str = "-o") -> dict[str, str]:
    """``name=value`` words, given after ``flag``, as a dict; raises UsageError for any other form."""
    parsed: dict[str, str] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals or not name:
            raise UsageError(f"{flag} {option!r}: must have the form name=value")
        if name in parsed:
            raise UsageError(f"{flag} {name}: given twice")
        parsed[name] = value
    return parsed


def typed_parameters(spec: PredictorSpec, values: Mapping[str, object], flag: str = "-o") -> Parameters:
    """A predictor's parameters from named values; text is read as JSON where the field does not take text.

    Raises UsageError that names the parameter (after the option ``flag``), what is wrong with it, and what
    it is for.
    """
    model = spec.parameters
    try:
        return model.model_validate(values)
    except ValidationError as error:
        failed = {str(e["loc"][0]) for e in error.errors() if e["loc"]}
    read = {k: as_json(v) if k in failed else v for k, v in values.items()}
    try:
        return model.model_validate(read)
    except ValidationError as error:
        first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else "parameters"
    given = f"{flag} {name}={values.get(name)}".strip()
    message = f"{spec.name}: {given}: {first['msg']}"
    about = model.model_fields[name].description if name in model.model_fields else None
    raise UsageError(f"{message} ({about})" if about else message)


def as_json(value: object) -> object:
    """What a text says as JSON; the value itself if it is no such text."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def checked_seeds(seeds: int | Sequence[int]) -> list[int]:
    """The seeds as a list; UsageError unless they are whole numbers from 0, one or several."""
    listed: Any = seeds if np.ndim(seeds) else [seeds]
    try:
        found = [operator.index(s) for s in listed]
    except TypeError:
        found = []
    if not found or min(found) < 0:
        raise UsageError(f"seeds must be whole numbers from 0, one or several, not {seeds!r}")
    return found


def make_plans(
    predictors: Sequence[str | PredictorSpec],
    dataset: Dataset,
    protocol: Protocol,
    seeds: Sequence[int],
    options: Mapping[str, object] | None = None,
) -> list[Plan]:
    """Check every name and option before anything runs; one plan a predictor and seed.

    An option goes to every predictor that has it. Raises UsageError for unknown names, an option that no
    predictor has, and a value that a parameter does not take.
    """
    specs = [registry().predictor(p) if isinstance(p, str) else p for p in dict.fromkeys(predictors)]
    given = options or {}
    for name in given:
        if not any(name in spec.parameters.model_fields for spec in specs):
            known = {field for spec in specs for field in spec.parameters.model_fields}
            raise UnknownNameError(f"parameter of {', '.join(s.name for s in specs)}", name, known)
    plans = []
    for spec in specs:
        own = {k: v for k, v in given.items() if k in spec.parameters.model_fields}
        plans += plans_of(spec, typed_parameters(spec, own), dataset, protocol, seeds)
    return plans


def plans_of(
    predictor: PredictorSpec,
    parameters: Parameters,
    dataset: Dataset,
    protocol: Protocol,
    seeds: Sequence[int],
) -> list[Plan]:
    """One plan for each seed of a predictor. Raises UsageError if its parameters are no plain JSON, what they
    name cannot be read, or the predictor cannot be used in the data set's space."""
    check_space(predictor, parameters, dataset)
    try:
        plain_json(parameters.model_dump(mode="json"))
    except ValueError as error:
        raise UsageError(f"{predictor.name}: its parameters {error}") from None
    made, on = predictor_record(predictor, parameters), dataset_record(dataset)
    specs = [RunSpec(predictor=made, dataset=on, protocol=protocol, seed=s) for s in dict.fromkeys(seeds)]
    return [Plan(spec, predictor, parameters, dataset) for spec in specs]


def check_space(predictor: PredictorSpec, parameters: Parameters, dataset: Dataset) -> None:
    """Raise UsageError, with both names, if a predictor cannot be used in the space of a data set."""
    try:
        parameters.check_space(dataset.space)
    except UsageError as error:
        raise UsageError(f"{predictor.name} on {dataset.name}: {error}") from None


def predictor_record(predictor: PredictorSpec, parameters: Parameters) -> PredictorRecord:
    """What the record of a run says of its predictor before it has run, from what is on disk now."""
    identity = identity_of(predictor, parameters)
    return PredictorRecord(
        name=predictor.name,
        source=registry().source_of(predictor.name),
        kind=predictor.kind,
        parameters=identity.parameters,
        code=identity.code,
        identity=identity.more,
    )


def dataset_record(dataset: Dataset) -> DatasetRecord:
    """What the record of a run says of its data set."""
    return DatasetRecord(
        name=dataset.name,
        given=given_name(dataset),
        version=dataset.card.version,
        revision=dataset.revision,
        simulated=dataset.card.simulated,
    )


def given_name(dataset: Dataset) -> str:
    """How a run finds its data set again: an installed one by name, any other by its absolute folder."""
    if dataset.folder is None:
        return dataset.name
    folder = dataset.folder.resolve()
    installed = (name for name, spec in registry().datasets.items() if spec.path.resolve() == folder)
    base = next(installed, str(folder))
    return f"{base}@{dataset.view}" if dataset.view else base


def why_again(plan: Plan, runs: Sequence[Run]) -> str:
    """Why none of some runs, oldest first, is the planned one though it has the same name, parameters, data
    set, protocol and seed: what changed since the newest, in words; empty if there is none like it."""
    for run in reversed(runs):
        if run.record.origin == "drawn" and _asked(run.record) == _asked(plan.spec):
            return difference(run.record.predictor, plan.spec.predictor, run.folder.name)
    return ""


def _asked(spec: RunSpec) -> tuple[object, ...]:
    """What a user asks for: all that makes a run but code and contents."""
    made = spec.predictor
    return made.name, made.parameters, spec.seed, spec.dataset.revision, spec.protocol


def changed_meanwhile(plan: Plan) -> str:
    """What has changed on disk since the plan was made, in words; empty if nothing has."""
    now = predictor_record(plan.predictor, plan.parameters)
    if now == plan.spec.predictor:
        return ""
    return difference(plan.spec.predictor, now, "the run began") or "its parameters changed"
