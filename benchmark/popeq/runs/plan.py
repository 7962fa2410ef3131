"""From names, options and seeds to runs on disk: new ones, ones to go on with, ones that are done."""

from __future__ import annotations

import datetime
import itertools
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from popeq.atomic import FolderTakenError, new_folder
from popeq.contract import Parameters, PredictorSpec
from popeq.dataset import Dataset
from popeq.errors import UnknownNameError, UsageError
from popeq.plugins import Registry
from popeq.protocol import Protocol
from popeq.runs.folder import PARTIAL, RECORD, Run
from popeq.runs.identity import Identity, difference, identity_of
from popeq.runs.provenance import environment
from popeq.runs.record import DatasetRecord, PredictorRecord, RunRecord, identity_key, plain_json


@dataclass(frozen=True)
class Plan:
    """What one run is to be, before anything is on disk."""

    spec: PredictorSpec
    source: str
    parameters: Parameters
    dataset: Dataset
    dataset_name: str
    protocol: Protocol
    seed: int

    @property
    def parameter_values(self) -> dict[str, Any]:
        return self.parameters.model_dump(mode="json")

    @cached_property
    def identity(self) -> Identity:
        """The code, and what the parameters name, as they were when this was first asked for."""
        return identity_of(self.spec, self.parameters)

    @cached_property
    def key(self) -> str:
        """SHA-256 over everything that the predictions depend on."""
        return identity_key(
            self.spec.name,
            self.source,
            self.identity.parameters,
            self.dataset.name,
            self.dataset.revision,
            self.protocol,
            self.seed,
            self.identity.code,
            self.identity.more,
        )

    @property
    def predictor_record(self) -> PredictorRecord:
        """What the record of the run says of its predictor before it has run."""
        return PredictorRecord(
            name=self.spec.name,
            source=self.source,
            kind=self.spec.kind,
            parameters=self.identity.parameters,
            code=self.identity.code,
            identity=self.identity.more,
        )

    @property
    def command(self) -> str:
        """The command line that makes this run again."""
        words = ["popeq", "run", self.spec.name, "--dataset", self.dataset_name, "--seed", str(self.seed)]
        defaults = type(self.parameters).model_construct().model_dump(mode="json")
        for name, value in self.parameter_values.items():
            if value != defaults.get(name):
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
    read = {k: _as_json(v) if k in failed else v for k, v in values.items()}
    try:
        return model.model_validate(read)
    except ValidationError as error:
        first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else "parameters"
    message = f"{spec.name}: {flag} {name}={values.get(name)}: {first['msg']}"
    about = model.model_fields[name].description if name in model.model_fields else None
    raise UsageError(f"{message} ({about})" if about else message)


def _as_json(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def make_plans(
    registry: Registry,
    predictors: Sequence[str | PredictorSpec],
    options: Mapping[str, object],
    dataset: Dataset,
    dataset_name: str,
    protocol: Protocol,
    seeds: Sequence[int],
) -> list[Plan]:
    """Check every name and option before anything runs; one plan a predictor and seed.

    An option goes to every predictor that has it; one that no predictor has is an error.
    """
    specs = [registry.predictor(p) if isinstance(p, str) else p for p in dict.fromkeys(predictors)]
    for name in options:
        if not any(name in spec.parameters.model_fields for spec in specs):
            known = {field for spec in specs for field in spec.parameters.model_fields}
            raise UnknownNameError(f"parameter of {', '.join(s.name for s in specs)}", name, known)
    plans = []
    for spec in specs:
        own = {k: v for k, v in options.items() if k in spec.parameters.model_fields}
        parameters = typed_parameters(spec, own)
        try:
            plain_json(parameters.model_dump(mode="json"))
        except ValueError as error:
            raise UsageError(f"{spec.name}: its parameters {error}") from None
        source = registry.source_of(spec.name)
        for seed in dict.fromkeys(seeds):
            plans.append(Plan(spec, source, parameters, dataset, dataset_name, protocol, seed))
            _ = plans[-1].key  # what cannot be read is said before anything runs
    return plans


def why_again(plan: Plan, runs: Sequence[Run]) -> str:
    """Why none of some runs, oldest first, is the planned one though it has the same name, parameters, data
    set, protocol and seed: what changed since the newest, in words; empty if there is none like it."""
    own = plan.predictor_record
    for run in reversed(runs):
        record, made = run.record, run.record.predictor
        if (made.name, made.parameters, record.seed) == (own.name, own.parameters, plan.seed) and (
            record.origin,
            record.dataset.revision,
            record.protocol,
        ) == ("drawn", plan.dataset.revision, plan.protocol):
            return difference(made, own, run.folder.name)
    return ""


def changed_meanwhile(plan: Plan) -> str:
    """What has changed on disk since the plan was made, in words; empty if nothing has."""
    now = identity_of(plan.spec, plan.parameters)
    if now == plan.identity:
        return ""
    own = plan.predictor_record
    later = own.model_copy(update={"code": now.code, "identity": now.more})
    return difference(own, later, "the run began") or "its parameters changed"


def create_run(plan: Plan, runs_dir: Path) -> Run:
    """A new run folder with its record and an empty folder for prompts."""
    now = datetime.datetime.now(datetime.UTC)
    card = plan.dataset.card
    record = RunRecord(
        run_id=f"{now:%Y%m%dT%H%M%SZ}-{plan.spec.name}-{plan.key[:8]}",
        key=plan.key,
        status="unfinished",
        predictor=plan.predictor_record,
        dataset=DatasetRecord(
            name=card.name,
            given=plan.dataset_name,
            version=card.version,
            revision=plan.dataset.revision,
            simulated=card.simulated,
        ),
        protocol=plan.protocol,
        seed=plan.seed,
        command=plan.command,
        started_at=now.isoformat(timespec="seconds"),
        prompts=len(plan.dataset.test_ids),
        environment=environment(plan.source),
    )
    return new_run(record, runs_dir, lambda folder: (folder / PARTIAL).mkdir())


def new_run(record: RunRecord, runs_dir: Path, fill: Callable[[Path], None]) -> Run:
    """A new run folder, filled by ``fill`` and with its record; its name is made unique if it is taken."""
    stem = record.run_id
    for again in itertools.count(2):
        try:
            with new_folder(runs_dir / record.run_id) as folder:
                fill(folder)
                (folder / RECORD).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
        except FolderTakenError:
            record = record.model_copy(update={"run_id": f"{stem}-{again}"})
            continue
        break
    return Run(runs_dir / record.run_id, record)
