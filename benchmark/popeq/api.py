"""The main job from Python: load a data set, run predictors, score, rank, compare."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from popeq.board.categories import checked_split, split_board, split_comparison
from popeq.board.comparison import Comparison, compare_entries
from popeq.board.entries import Entry, gather, make_entries, of_dataset, usable
from popeq.board.leaderboard import Leaderboard, build
from popeq.board.scoring import Scorer
from popeq.board.trust import find_claims
from popeq.contract import PredictorSpec
from popeq.dataset import Dataset
from popeq.dataset_folder import read_dataset, read_second_panel
from popeq.errors import UnknownNameError, UsageError
from popeq.plugins import registry
from popeq.protocol import PROTOCOL_1, Protocol
from popeq.runs.folder import Run
from popeq.runs.runner import DEFAULT_TIMEOUT_S
from popeq.runs.runner import run as _run

DEFAULT_DATASET = "simulated-120"
DEFAULT_RUNS = "runs"


def load_dataset(name_or_folder: str | Path = DEFAULT_DATASET) -> Dataset:
    """A data set by the name a plugin gives it, or by its folder.

    Raises
    ------
    UnknownNameError
        If it is neither; offers near names.
    InvalidInputError
        With every problem of the folder's files.
    """
    name = str(name_or_folder)
    known = registry().datasets
    folder = known[name].path if name in known else Path(name_or_folder)
    if name not in known and not folder.exists() and "/" not in name:
        raise UnknownNameError("data set", name, known, "(or give a folder)")
    dataset = read_dataset(folder)
    read_second_panel(dataset)
    return dataset


def run(
    predictors: str | PredictorSpec | Sequence[str | PredictorSpec],
    dataset: str | Path | Dataset = DEFAULT_DATASET,
    *,
    seeds: int | Sequence[int] = 0,
    options: Mapping[str, object] | None = None,
    runs_dir: str | Path = DEFAULT_RUNS,
    jobs: int = 1,
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
    batch_size: int | None = None,
    fresh: bool = False,
    progress: bool = False,
    protocol: Protocol = PROTOCOL_1,
    on_run: Callable[[Run, bool], None] | None = None,
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
        Processes side by side.
    timeout_s
        Seconds for one run; then its whole process group is killed. None: no limit.
    batch_size
        Prompts handed to ``sample`` at once; results do not depend on it.
    fresh
        Draw again even what is complete.
    on_run
        Called as ``on_run(run, drawn)`` when a run ends.

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
    loaded = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    more = {} if batch_size is None else {"batch_size": batch_size}
    return _run(
        predictors,
        loaded,
        registry=registry(),
        dataset_name=_given(loaded),
        seeds=_seeds(seeds),
        options=options,
        runs_dir=runs_dir,
        jobs=jobs,
        timeout_s=timeout_s,
        fresh=fresh,
        progress=progress,
        protocol=protocol,
        on_run=on_run,
        **more,
    )


def _given(dataset: Dataset) -> str:
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
    protocol: Protocol = PROTOCOL_1,
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
        scorer = _scorer([predictions], dataset)
        runs, notes = usable([predictions], scorer)
        if not runs:
            raise UsageError(notes[0])
        return make_entries(runs, scorer)[0].table.frame
    if dataset is None:
        raise UsageError("score: samples need a data set to be scored against")
    loaded = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    samples = np.asarray(predictions, dtype=np.float64)
    if samples.ndim != 3 or samples.shape[0] != len(loaded.test_ids) or samples.shape[2] != 2:
        raise ValueError(f"samples must have shape ({len(loaded.test_ids)}, n, 2), not {samples.shape}")
    return Scorer(loaded, protocol).score(samples).frame


def leaderboard(
    runs: Sequence[Run | str | Path] = (),
    dataset: str | Path | Dataset | None = None,
    *,
    runs_dir: str | Path = DEFAULT_RUNS,
    by: str | None = None,
    jobs: int = 1,
) -> Leaderboard:
    """Rank runs of one data set revision and one protocol, every score recomputed from the predictions.

    Parameters
    ----------
    runs
        Runs, run folders or folders of runs; all of ``runs_dir`` if empty.
    dataset
        Chooses among runs of several data sets, and says where a data set folder has moved to.
    by
        ``"category"`` ranks inside each category of prompts; the table then begins with that column.
    jobs
        Processes that score side by side.

    Returns
    -------
    Leaderboard
        ``table`` (a DataFrame with the columns ``popeq.board.leaderboard.COLUMNS``), ``pairs``, ``notes``.

    Raises
    ------
    UsageError
        If there are no runs, or some that were named cannot stand on one board; each is named. Runs that were
        only found in ``runs_dir`` are left out by name in ``notes`` instead.
    """
    split = checked_split(by)
    scorer, entries, notes = entries_of(runs, dataset, runs_dir=runs_dir, jobs=jobs)
    board = build(entries, scorer, notes)
    return split_board(board, scorer) if split else board


def entries_of(
    runs: Sequence[Run | str | Path] = (),
    dataset: str | Path | Dataset | None = None,
    *,
    runs_dir: str | Path = DEFAULT_RUNS,
    jobs: int = 1,
) -> tuple[Scorer, list[Entry], list[str]]:
    """What a board is made of: the scorer, one scored entry a row, and notes on runs left out.

    Parameters and errors as for ``leaderboard``.
    """
    scorer, found, unread = _gather(runs, dataset, runs_dir)
    complete, notes = usable(found, scorer, named=bool(runs))
    notes = [*unread, *notes]
    if not complete:
        raise UsageError("\n".join(["no complete run to rank", *notes]))
    return scorer, make_entries(complete, scorer, jobs), notes


def build_site(
    runs: Sequence[Run | str | Path],
    output: str | Path,
    dataset: str | Path | Dataset | None = None,
    *,
    runs_dir: str | Path = DEFAULT_RUNS,
    jobs: int = 1,
) -> Path:
    """Write the board of ``runs`` as a static site to the folder ``output``; parameters as ``leaderboard``.

    Raises
    ------
    UsageError
        As ``leaderboard``, or if ``output`` holds something that is not a site.
    """
    from popeq.site.build import build_site as write

    scorer, entries, notes = entries_of(runs, dataset, runs_dir=runs_dir, jobs=jobs)
    claims, wrong = [], []
    for folder in [r for r in runs if not isinstance(r, Run)] or [runs_dir]:
        found, told = find_claims(Path(folder), scorer.dataset.name)
        claims, wrong = claims + found, wrong + told
    return write(build(entries, scorer, [*notes, *wrong]), scorer, Path(output), claims, jobs)


def compare(
    a: Run | str | Path,
    b: Run | str | Path,
    dataset: str | Path | Dataset | None = None,
    *,
    runs_dir: str | Path = DEFAULT_RUNS,
    by: str | None = None,
) -> Comparison:
    """The paired comparison of two runs for each score, and the prompts where they differ most.

    ``a`` and ``b`` are runs, run folders, or names of predictors that have runs in ``runs_dir``; of a named
    predictor every seed is taken and averaged prompt by prompt. ``by="category"`` splits ``metrics``.

    Raises
    ------
    UsageError
        If one is missing, unfinished or of another revision or protocol than the other.
    """
    split = checked_split(by)
    sides = [_side(which, dataset, runs_dir) for which in (a, b)]
    scorer = _scorer([*sides[0], *sides[1]], dataset)
    entries = []
    for side in sides:
        runs, notes = usable(side, scorer)
        if notes:
            raise UsageError("\n".join(notes))
        entries.append(make_entries(runs, scorer)[0])
    if {r.folder.resolve() for r in sides[0]} == {r.folder.resolve() for r in sides[1]}:
        raise UsageError("compare needs two different runs")
    left, right = entries
    return split_comparison(left, right, scorer) if split else compare_entries(left, right, scorer)


def _gather(
    runs: Sequence[Run | str | Path], dataset: str | Path | Dataset | None, runs_dir: str | Path
) -> tuple[Scorer, list[Run], list[str]]:
    ready = [r for r in runs if isinstance(r, Run)]
    paths = [r for r in runs if not isinstance(r, Run)]
    scanned, notes = gather(paths, runs_dir) if paths or not ready else ([], [])
    found = ready + scanned
    loaded = None if dataset is None else dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    found = of_dataset(found, loaded.name if loaded else None)
    return _scorer(found, loaded), found, notes


def _scorer(runs: Sequence[Run], dataset: str | Path | Dataset | None) -> Scorer:
    if dataset is None:
        record = runs[0].record.dataset
        try:
            dataset = load_dataset(record.given)
        except UsageError as error:
            raise UsageError(
                f"the data set {record.name!r} of {runs[0].folder} is not at {record.given!r}; "
                f"give its folder with --dataset ({error})"
            ) from None
    loaded = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    return Scorer(loaded, runs[0].record.protocol)


def _side(which: Run | str | Path, dataset: str | Path | Dataset | None, runs_dir: str | Path) -> list[Run]:
    """The runs that one side of a comparison names: one, or every seed of a predictor."""
    if isinstance(which, Run):
        return [which]
    if Path(which).is_dir():
        return [Run.open(which)]
    found, _ = gather((), runs_dir)
    own = [r for r in found if r.record.predictor.name == str(which)]
    if not own:
        names = {r.record.predictor.name for r in found}
        raise UnknownNameError(f"run folder or predictor with a run in {runs_dir}", str(which), names)
    loaded = None if dataset is None else dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    own = [r for r in of_dataset(own, loaded.name if loaded else None) if r.record.status == "complete"]
    if not own:
        raise UsageError(f"{which}: has no complete run in {runs_dir}")
    if len({json.dumps(r.record.predictor.parameters, sort_keys=True) for r in own}) > 1:
        folders = ", ".join(str(r.folder) for r in own)
        raise UsageError(f"{which}: has runs with different parameters; name a folder: {folders}")
    return own


__all__ = [
    "DEFAULT_DATASET",
    "DEFAULT_RUNS",
    "Dataset",
    "Leaderboard",
    "Run",
    "compare",
    "leaderboard",
    "load_dataset",
    "run",
    "score",
]
