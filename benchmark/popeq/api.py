"""The main job from Python: load a data set, run predictors, score, rank, compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from popeq.board.comparison import Comparison, compare_entries
from popeq.board.groupings import split_board, split_comparison
from popeq.board.leaderboard import Leaderboard, build
from popeq.board.scoring import PromptTable, Scorer
from popeq.board.selection import entry_of
from popeq.contract import PredictorSpec
from popeq.dataset import Dataset
from popeq.defaults import DEFAULT_DATASET, DEFAULT_RUNS
from popeq.errors import UsageError
from popeq.lookup import (
    as_dataset,
    entries_of,
    load_dataset,
    pair_of,
    scorer_of,
)
from popeq.protocol import DEFAULT_PROTOCOL, Protocol
from popeq.runs.folder import Run
from popeq.runs.plan import checked_seeds, make_plans
from popeq.runs.reporting import Reporter
from popeq.runs.runner import draw
from popeq.runs.settings import DEFAULT_SETTINGS, RunSettings


def run(
    predictors: str | PredictorSpec | Sequence[str | PredictorSpec],
    dataset: str | Path | Dataset = DEFAULT_DATASET,
    *,
    seeds: int | Sequence[int] = 0,
    options: Mapping[str, object] | None = None,
    protocol: Protocol = DEFAULT_PROTOCOL,
    settings: RunSettings = DEFAULT_SETTINGS,
    reporter: Reporter | None = None,
    **changes: object,
) -> list[Run]:
    """Draw one run for each predictor and seed, each in a child process that never holds test responses.

    A run that is in ``settings.runs_dir`` and complete is not drawn again; one that was stopped goes on.

    Parameters
    ----------
    predictors
        Names, as ``popeq list`` shows them, or specs.
    options
        Parameters by name; each goes to every predictor that has it.
    settings
        How the runs are carried out; never changes a result.
    reporter
        Is called while runs are drawn, such as a ``popeq.ProgressBar()``.
    changes
        Fields of ``settings`` by name, such as ``jobs=2`` or ``runs_dir="here"``.

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
    if not predictors:
        raise UsageError("name at least one predictor; 'popeq list' shows them all")
    changed = settings.with_changes(**changes)
    plans = make_plans(predictors, as_dataset(dataset), protocol, checked_seeds(seeds), options)
    return draw(plans, changed, reporter)


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
    against: str | None = None,
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
        Chooses among runs of several data sets, and says where a data set folder has moved to. By default
        that of a signed board (``board.json``), else the one that all runs name. The protocol is that of a
        signed board, else the newest published one that a run is under.
    by
        Ranks inside each group of prompts: ``"category"``, ``"basis"`` or another of ``Dataset.groupings``;
        or against the answers of each group of listeners alone: ``"group"`` (``"listeners.group"`` where the
        prompts have a grouping of that name). The table then begins with that column.
    against
        The row that shifts are against, by its label, or by its predictor if that has one row; by default
        they are against the training responses.
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
        If there are no runs, the data set has no grouping ``by``, there is not one row ``against``, all runs
        are of other data set revisions or protocols (if some are, they are left out with a line in
        ``notes``), or a signed folder holds a run that takes what belongs to another or to no one.
    """
    scorer, entries, notes = entries_of(runs, dataset, runs_dir=runs_dir, by=by, jobs=jobs, keep=keep)
    board = build(entries, scorer, notes, compared_with=against, jobs=jobs, keep=keep)
    return split_board(board, scorer, by, jobs=jobs, keep=keep) if by else board


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
    and averaged prompt by prompt. ``by``, a grouping as for ``leaderboard``, splits ``metrics``.

    Raises
    ------
    UsageError
        If one is missing, unfinished or of another revision or protocol than the other, or the data set has
        no grouping ``by``.
    """
    scorer, left, right = pair_of(a, b, dataset, runs_dir)
    return split_comparison(left, right, scorer, by) if by else compare_entries(left, right, scorer)


__all__ = [
    "Dataset",
    "Leaderboard",
    "Run",
    "RunSettings",
    "as_dataset",
    "compare",
    "entries_of",
    "leaderboard",
    "load_dataset",
    "run",
    "score",
]
