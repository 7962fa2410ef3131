"""Sweeps: predictors x parameters x data sets x seeds from one TOML file, drawn together and ranked."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from popeq.api import DEFAULT_RUNS, given_name, leaderboard, load_dataset
from popeq.board.leaderboard import Leaderboard
from popeq.contract import PredictorSpec
from popeq.dataset import Dataset
from popeq.errors import UnknownNameError, UsageError
from popeq.plugins import Registry, registry
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.runs.clusters import engine_of
from popeq.runs.containment import DEFAULT_CONTAINMENT, Containment
from popeq.runs.folder import Run
from popeq.runs.plan import Plan, typed_parameters
from popeq.runs.runner import DEFAULT_BATCH_SIZE, DEFAULT_TIMEOUT_S, draw

#: Runs that are open at once, each with a locked file.
_TOGETHER = 200


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
        ("simulated-120",), min_length=1, description="names, or folders as seen from the file"
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
        return SweepFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is no TOML: {error}") from None
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise UsageError("\n".join(lines)) from None


def expand(sweep: SweepFile, base: Path, known: Registry) -> list[Plan]:
    """Every run of a sweep, each once; ``base`` is the folder that relative data set folders start from.

    Raises UsageError for unknown names and values that a parameter does not take, before anything runs.
    """
    plans: dict[str, Plan] = {}
    for given in sweep.datasets:
        dataset = load_dataset(given if given in known.datasets else base / given)
        for wanted in sweep.predictor:
            spec = known.predictor(wanted.name)
            seeds = sweep.seeds if wanted.seeds is None else wanted.seeds
            for plan in _plans_of(spec, known.source_of(spec.name), wanted.parameters, dataset, seeds):
                plans.setdefault(plan.key, plan)
    return list(plans.values())


def _plans_of(
    spec: PredictorSpec, source: str, parameters: Mapping[str, Any], dataset: Dataset, seeds: Sequence[int]
) -> Iterator[Plan]:
    for name in parameters:
        if name not in spec.parameters.model_fields:
            raise UnknownNameError(f"parameter of {spec.name}", name, spec.parameters.model_fields)
    if any(seed < 0 for seed in seeds):
        raise UsageError(f"{spec.name}: seeds must be whole numbers from 0")
    choices = [value if isinstance(value, list) else [value] for value in parameters.values()]
    for values in itertools.product(*choices):
        typed = typed_parameters(spec, dict(zip(parameters, values, strict=True)))
        for seed in seeds:
            yield Plan(spec, source, typed, dataset, given_name(dataset), DEFAULT_PROTOCOL, seed)


def sweep(
    path: Path | str,
    *,
    runs_dir: Path | str = DEFAULT_RUNS,
    jobs: int = 1,
    engine: str = "local",
    scheduler: str | None = None,
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
    batch_size: int = DEFAULT_BATCH_SIZE,
    progress: bool = False,
    containment: Containment = DEFAULT_CONTAINMENT,
    on_plans: Callable[[Sequence[Plan]], None] | None = None,
    on_run: Callable[[Run, bool], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Swept:
    """Draw every run that a TOML file describes and that is not complete, then rank those of each data set.

    ``on_plans`` is called once, with all runs to be; the rest as for ``popeq.run``.

    Raises
    ------
    UsageError
        For anything wrong in the file, before anything runs.
    """
    plans = expand(read_sweep(path), Path(path).parent, registry())
    if on_plans:
        on_plans(plans)
    runs: list[Run] = []
    with engine_of(engine, scheduler, jobs, runs_dir) as where:
        for start in range(0, len(plans), _TOGETHER):
            runs += draw(
                plans[start : start + _TOGETHER],
                registry=registry(),
                engine=where,
                runs_dir=runs_dir,
                timeout_s=timeout_s,
                batch_size=batch_size,
                progress=progress,
                containment=containment,
                on_run=on_run,
                on_note=on_note,
            )
    boards = {}
    datasets = {plan.dataset.name: plan.dataset for plan in plans}.values()
    for dataset in datasets:
        complete = [
            run
            for run, plan in zip(runs, plans, strict=True)
            if plan.dataset is dataset and run.record.status == "complete"
        ]
        if complete and not dataset.sealed:
            boards[dataset.name] = leaderboard(complete, dataset, jobs=jobs)
    return Swept(tuple(runs), boards, tuple(d.sealed_note for d in datasets if d.sealed_note))
