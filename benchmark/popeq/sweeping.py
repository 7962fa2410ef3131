"""Sweeps: predictors x parameters x data sets x seeds from one TOML file, drawn together and ranked."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from popeq.api import leaderboard, load_dataset
from popeq.board.leaderboard import Leaderboard
from popeq.contract import Parameters, PredictorSpec
from popeq.defaults import DEFAULT_DATASET
from popeq.errors import UnknownNameError, UsageError
from popeq.others_files import MOST_TEXT_BYTES, parse_toml, read_plain
from popeq.plugins import registry
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.runs.folder import Run
from popeq.runs.plan import Plan, plans_of, typed_parameters
from popeq.runs.reporting import Reporter
from popeq.runs.runner import draw
from popeq.runs.settings import DEFAULT_SETTINGS, RunSettings


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SweptPredictor(_Part):
    """One ``[[predictor]]`` of the file."""

    name: str = Field(description="as 'popeq list' shows it")
    seeds: tuple[int, ...] | None = Field(None, description="in place of the sweep's")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="by name; a list holds the values to try, each with each"
    )


class SweepFile(_Part):
    """What a sweep's TOML file says."""

    datasets: tuple[str, ...] = Field(
        (DEFAULT_DATASET,), min_length=1, description="names, or folders as seen from the file"
    )
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    predictor: tuple[SweptPredictor, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Swept:
    """The runs of a sweep in the order of its file, a board for each data set that has complete ones, and a
    note on each whose test answers are sealed, which has no board."""

    runs: tuple[Run, ...]
    boards: Mapping[str, Leaderboard]
    notes: tuple[str, ...] = ()


def read_sweep(path: Path | str) -> SweepFile:
    """Read a sweep's file; raises UsageError that says what is wrong and where."""
    path = Path(path)
    try:
        content = parse_toml(read_plain(path, MOST_TEXT_BYTES, follow=True))
    except ValueError as error:
        raise UsageError(f"{path}: is no TOML: {error}") from None
    try:
        return SweepFile.model_validate(content)
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise UsageError("\n".join(lines)) from None


def expand(sweep: SweepFile, base: Path) -> list[Plan]:
    """Every run of a sweep, each once; ``base`` is the folder that relative data set folders start from.

    Raises UsageError for unknown names and values that a parameter does not take, before anything runs.
    """
    known = registry()
    plans: dict[str, Plan] = {}
    for given in sweep.datasets:
        dataset = load_dataset(given if given in known.datasets else base / given)
        for wanted in sweep.predictor:
            predictor = known.predictor(wanted.name)
            seeds = sweep.seeds if wanted.seeds is None else wanted.seeds
            if any(seed < 0 for seed in seeds):
                raise UsageError(f"{predictor.name}: seeds must be whole numbers from 0")
            for parameters in _parameters_of(predictor, wanted.parameters):
                for plan in plans_of(predictor, parameters, dataset, DEFAULT_PROTOCOL, seeds):
                    plans.setdefault(plan.key, plan)
    return list(plans.values())


def _parameters_of(predictor: PredictorSpec, values: Mapping[str, Any]) -> Iterator[Parameters]:
    for name in values:
        if name not in predictor.parameters.model_fields:
            raise UnknownNameError(f"parameter of {predictor.name}", name, predictor.parameters.model_fields)
    choices = [value if isinstance(value, list) else [value] for value in values.values()]
    for chosen in itertools.product(*choices):
        yield typed_parameters(predictor, dict(zip(values, chosen, strict=True)))


def sweep(
    path: Path | str,
    *,
    settings: RunSettings = DEFAULT_SETTINGS,
    reporter: Reporter | None = None,
    **changes: object,
) -> Swept:
    """Draw every run that a TOML file describes and that is not complete, then rank those of each data set.

    ``settings``, ``reporter`` and ``changes`` are as for ``popeq.run``.

    Raises
    ------
    UsageError
        For anything wrong in the file, before anything runs.
    """
    settings = settings.with_changes(**changes)
    plans = expand(read_sweep(path), Path(path).parent)
    runs = draw(plans, settings, reporter)
    boards = {}
    datasets = {plan.dataset.name: plan.dataset for plan in plans}.values()
    for dataset in datasets:
        complete = [
            run
            for run, plan in zip(runs, plans, strict=True)
            if plan.dataset is dataset and run.record.status == "complete"
        ]
        if complete and not dataset.sealed:
            boards[dataset.name] = leaderboard(complete, dataset, jobs=settings.jobs)
    return Swept(tuple(runs), boards, tuple(d.sealed_note for d in datasets if d.sealed_note))
