"""The main job from Python: load a data set, run predictors, score, rank, compare."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from popeq.board.categories import checked_split, split_board, split_comparison
from popeq.board.comparison import Comparison, compare_entries
from popeq.board.leaderboard import Leaderboard, build
from popeq.board.scoring import PromptTable, Scorer
from popeq.board.selection import entry_of
from popeq.contract import PredictorSpec
from popeq.dataset import Dataset
from popeq.errors import UsageError
from popeq.lookup import (
    DEFAULT_DATASET,
    DEFAULT_RUNS,
    as_dataset,
    entries_of,
    load_dataset,
    pair_of,
    scorer_of,
)
from popeq.plugins import registry
from popeq.protocol import DEFAULT_PROTOCOL, Protocol
from popeq.runs.clusters import engine_of
from popeq.runs.containment import DEFAULT_CONTAINMENT, Containment
from popeq.runs.folder import Run
from popeq.runs.runner import DEFAULT_TIMEOUT_S
from popeq.runs.runner import run as _run


def run(
    predictors: str | PredictorSpec | Sequence[str | PredictorSpec],
    dataset: str | Path | Dataset = DEFAULT_DATASET,
    *,
    seeds: int | Sequence[int] = 0,
    options: Mapping[str, object] | None = None,
    runs_dir: str | Path = DEFAULT_RUNS,
    jobs: int = 1,
    engine: str = "local",
    scheduler: str | None = None,
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
    batch_size: int | None = None,
    fresh: bool = False,
    progress: bool = False,
    protocol: Protocol = DEFAULT_PROTOCOL,
    containment: Containment = DEFAULT_CONTAINMENT,
    on_run: Callable[[Run, bool], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> list[Run]:
    """Draw one run for each predictor and seed, each in a child process that never holds test responses.

    Parameters
    ----------
    predictors
        Names, as ``popeq list`` shows them, or specs.
    options
        Parameters by name; each goes to every predictor that has it.
    runs_dir
        Where run folders are; a run that is there and complete is not drawn again, a stopped one goes on.
    jobs
        Processes side by side on this machine.
    engine, scheduler
        ``local``, or a cluster: ``dask`` with its scheduler's address, ``ray`` (an address if it is not this
        machine's). ``runs_dir`` then has to be on a file system that all machines share. Never changes a
        result.
    timeout_s
        Seconds for one run; then its whole process group is killed. None: no limit.
    batch_size
        Prompts handed to ``sample`` at once; results do not depend on it.
    fresh
        Draw again even what is complete.
    containment
        Memory limit, network and environment of the predictors' processes.
    on_run
        Called as ``on_run(run, drawn)`` when a run ends.
    on_note
        Called with one line for each run that is drawn again because its code, or what its parameters name,
        changed since a run of the same predictor.

    Returns
    -------
    list of Run
        In order of predictors and seeds; look at ``run.record.status`` and ``.failures``.

    Raises
    ------
    UsageError
        For wrong names, options or numbers, before anything runs.
    """
    if isinstance(predictors, str | PredictorSpec):
        predictors = [predictors]
    loaded = as_dataset(dataset)
    with engine_of(engine, scheduler, jobs, runs_dir) as where:
        return _run(
            predictors,
            loaded,
            registry=registry(),
            dataset_name=given_name(loaded),
            seeds=_seeds(seeds),
            options=options,
            protocol=protocol,
            engine=where,
            runs_dir=runs_dir,
            timeout_s=timeout_s,
            fresh=fresh,
            progress=progress,
            containment=containment,
            on_run=on_run,
            on_note=on_note,
            **({} if batch_size is None else {"batch_size": batch_size}),
        )


def given_name(dataset: Dataset) -> str:
    """How a run finds its data set again: an installed one by name, any other by its absolute folder."""
    if dataset.folder is None:
        return dataset.name
    folder = dataset.folder.resolve()
    installed = (name for name, spec in registry().datasets.items() if spec.path.resolve() == folder)
    return next(installed, str(folder))


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    listed: Any = seeds if np.ndim(seeds) else [seeds]
    try:
        found = [operator.index(s) for s in listed]
    except TypeError:
        found = []
    if not found or min(found) < 0:
        raise UsageError(f"seeds must be whole numbers from 0, one or several, not {seeds!r}")
    return found


def score(
    predictions: Run | str | Path | ArrayLike,
    dataset: str | Path | Dataset | None = None,
    protocol: Protocol = DEFAULT_PROTOCOL,
) -> pd.DataFrame:
    """Every score and diagnostic by test prompt, one row each.

    Parameters
    ----------
    predictions
        A run, its folder, or samples (prompts, n, 2) in dB, in the order of ``dataset.test_ids``.
    dataset
        Needed for samples; for a run it defaults to the one it was made on.

    Returns
    -------
    DataFrame
        ``prompt_id, category, basis``, the four scores in dB (lower is better), ``coverage`` (share of
        responses in the predicted 80 % region), ``spread_ratio``, ``mean_shift`` (dB), ``edge_mass_gap``.

    Raises
    ------
    UsageError
        If the run is of another revision of the data set, or no data set is known.
    ValueError
        If samples have the wrong shape, are not finite or leave the box.
    """
    if isinstance(predictions, str | Path):
        predictions = Run.open(predictions)
    if isinstance(predictions, Run):
        return scored(predictions, dataset).frame
    if dataset is None:
        raise UsageError("score: samples need a data set to be scored against")
    loaded = as_dataset(dataset)
    samples = np.asarray(predictions, dtype=np.float64)
    if samples.ndim != 3 or samples.shape[0] != len(loaded.test_ids) or samples.shape[2] != 2:
        raise ValueError(f"samples must have shape ({len(loaded.test_ids)}, n, 2), not {samples.shape}")
    return Scorer(loaded, protocol).score(samples).frame


def scored(run: Run, dataset: str | Path | Dataset | None = None) -> PromptTable:
    """The table behind ``score(run)``, with what its intervals need."""
    return entry_of([run], scorer_of([run], dataset)).table


def leaderboard(
    runs: Sequence[Run | str | Path] = (),
    dataset: str | Path | Dataset | None = None,
    *,
    runs_dir: str | Path = DEFAULT_RUNS,
    by: str | None = None,
    jobs: int = 1,
    keep: bool = True,
) -> Leaderboard:
    """Rank runs of one data set revision and one protocol, every score recomputed from the predictions.

    Parameters
    ----------
    runs
        Runs, or their names: a run's folder, a folder of runs, ``FOLDER/NAME`` or ``NAME`` (the runs of the
        predictor NAME in FOLDER or in ``runs_dir``); all of ``runs_dir`` if empty.
    dataset
        Chooses among runs of several data sets, and says where a data set folder has moved to.
    by
        ``"category"`` ranks inside each category of prompts; the table then begins with that column.
    jobs
        Processes that score side by side.
    keep
        Keep the scores in the cache folder, and do not score again what was scored by the same code before.

    Returns
    -------
    Leaderboard
        ``table`` (a DataFrame with the columns ``popeq.board.leaderboard.COLUMNS``), ``pairs``, ``notes``.

    Raises
    ------
    UsageError
        If there are no runs, or some that were named are of other data set revisions or protocols. Where no
        run was named, those are left out with a line in ``notes`` instead.
    """
    split = checked_split(by)
    scorer, entries, notes = entries_of(runs, dataset, runs_dir=runs_dir, jobs=jobs, keep=keep)
    board = build(entries, scorer, notes, jobs=jobs, keep=keep)
    return split_board(board, scorer) if split else board


def compare(
    a: Run | str | Path,
    b: Run | str | Path,
    dataset: str | Path | Dataset | None = None,
    *,
    runs_dir: str | Path = DEFAULT_RUNS,
    by: str | None = None,
) -> Comparison:
    """The paired comparison of two runs for each score, and the prompts where they differ most.

    ``a`` and ``b`` are runs or their names, as for ``leaderboard``; of a named predictor every seed is taken
    and averaged prompt by prompt. ``by="category"`` splits ``metrics``.

    Raises
    ------
    UsageError
        If one is missing, unfinished or of another revision or protocol than the other.
    """
    split = checked_split(by)
    scorer, left, right = pair_of(a, b, dataset, runs_dir)
    return split_comparison(left, right, scorer) if split else compare_entries(left, right, scorer)


__all__ = [
    "DEFAULT_DATASET",
    "DEFAULT_RUNS",
    "Containment",
    "Dataset",
    "Leaderboard",
    "Run",
    "as_dataset",
    "compare",
    "entries_of",
    "leaderboard",
    "load_dataset",
    "run",
    "score",
]
