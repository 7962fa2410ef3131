"""The main job from Python: load a data set, run predictors, score, rank, compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from popeq.board.comparison import Comparison, compare_entries
from popeq.board.entries import gather, make_entries, of_dataset, usable
from popeq.board.leaderboard import Leaderboard, build
from popeq.board.scoring import Scorer
from popeq.contract import PredictorSpec
from popeq.dataset import Dataset
from popeq.dataset_folder import is_dataset_folder, read_dataset
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
    if name in known:
        return read_dataset(known[name].path)
    folder = Path(name_or_folder)
    if folder.exists() or "/" in name:
        return read_dataset(folder)
    raise UnknownNameError("data set", name, known, "(or give a folder)")


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
    given = str(loaded.folder or loaded.name) if isinstance(dataset, Dataset) else str(dataset)
    if loaded.name in registry().datasets:
        given = loaded.name
    more = {} if batch_size is None else {"batch_size": batch_size}
    return _run(
        predictors,
        loaded,
        registry=registry(),
        dataset_name=given,
        seeds=[seeds] if isinstance(seeds, int) else list(seeds),
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
) -> Leaderboard:
    """Rank runs of one data set revision and one protocol, every score recomputed from the predictions.

    Parameters
    ----------
    runs
        Runs, run folders or folders of runs; all of ``runs_dir`` if empty.
    dataset
        Chooses among runs of several data sets, and says where a data set folder has moved to.

    Returns
    -------
    Leaderboard
        ``table`` (a DataFrame with the columns ``popeq.board.leaderboard.COLUMNS``), ``pairs``, ``notes``.

    Raises
    ------
    UsageError
        If there are no runs, or some cannot stand on one board; each is named.
    """
    scorer, found = _gather(runs, dataset, runs_dir)
    complete, notes = usable(found, scorer)
    if not complete:
        raise UsageError("\n".join(["no complete run to rank", *notes]))
    return build(make_entries(complete, scorer), scorer, notes)


def compare(
    a: Run | str | Path,
    b: Run | str | Path,
    dataset: str | Path | Dataset | None = None,
    *,
    runs_dir: str | Path = DEFAULT_RUNS,
) -> Comparison:
    """The paired comparison of two runs for each score, and the prompts where they differ most.

    ``a`` and ``b`` are runs, run folders, or names of predictors that have runs in ``runs_dir``.

    Raises
    ------
    UsageError
        If one is missing, unfinished or of another revision or protocol than the other.
    """
    chosen = [_one(which, dataset, runs_dir) for which in (a, b)]
    scorer = _scorer(chosen, dataset)
    runs, notes = usable(chosen, scorer)
    if notes:
        raise UsageError("\n".join(notes))
    if len({run.record.key for run in runs}) < 2:
        raise UsageError("compare needs two different runs")
    entries = make_entries(runs, scorer)
    if len(entries) == 1:  # two seeds of one predictor
        entries = [make_entries([run], scorer)[0] for run in runs]
    by_folder = {run.folder: entry for entry in entries for run in entry.runs}
    return compare_entries(by_folder[chosen[0].folder], by_folder[chosen[1].folder], scorer)


def _gather(
    runs: Sequence[Run | str | Path], dataset: str | Path | Dataset | None, runs_dir: str | Path
) -> tuple[Scorer, list[Run]]:
    ready = [r for r in runs if isinstance(r, Run)]
    paths = [r for r in runs if not isinstance(r, Run)]
    found = ready + (gather(paths, runs_dir) if paths or not ready else [])
    loaded = None if dataset is None else dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    found = of_dataset(found, loaded.name if loaded else None)
    return _scorer(found, loaded), found


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


def _one(which: Run | str | Path, dataset: str | Path | Dataset | None, runs_dir: str | Path) -> Run:
    if isinstance(which, Run):
        return which
    if Path(which).is_dir():
        return Run.open(which)
    candidates = [r for r in gather((), runs_dir) if r.record.predictor.name == str(which)]
    if not candidates:
        names = {r.record.predictor.name for r in gather((), runs_dir)}
        raise UnknownNameError(f"run folder or predictor with a run in {runs_dir}", str(which), names)
    name = (
        None
        if dataset is None
        else dataset.name
        if isinstance(dataset, Dataset)
        else load_dataset(dataset).name
    )
    candidates = [r for r in of_dataset(candidates, name) if r.record.status == "complete"]
    if len({r.record.key for r in candidates}) > 1:
        folders = ", ".join(str(r.folder) for r in candidates)
        raise UsageError(f"{which}: has several runs; name a folder: {folders}")
    if not candidates:
        raise UsageError(f"{which}: has no complete run in {runs_dir}")
    return candidates[-1]


__all__ = [
    "DEFAULT_DATASET",
    "DEFAULT_RUNS",
    "Dataset",
    "Leaderboard",
    "Run",
    "compare",
    "is_dataset_folder",
    "leaderboard",
    "load_dataset",
    "run",
    "score",
]
