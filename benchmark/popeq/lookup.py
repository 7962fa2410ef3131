"""From names and folders that a person gives to data sets, runs, scorers and the entries of a board."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from popeq.board.current import current
from popeq.board.entries import Entry, gather, make_entries, of_dataset, usable
from popeq.board.scoring import Scorer
from popeq.contract import DatasetSpec
from popeq.dataset import Dataset
from popeq.dataset_folder import read_dataset, read_second_panel
from popeq.errors import UnknownNameError, UsageError
from popeq.plugins import registry
from popeq.protocol import Protocol, newest
from popeq.runs.folder import Run

DEFAULT_DATASET = "simulated-120"
DEFAULT_RUNS = "runs"


def load_dataset(
    name_or_folder: str | Path = DEFAULT_DATASET, *, answers: str | Path | None = None
) -> Dataset:
    """A data set by the name a plugin gives it, or by its folder; with ``answers``, the file of its sealed
    test answers.

    Raises
    ------
    UnknownNameError
        If it is neither; offers near names.
    UsageError
        If ``answers`` are not the file that the data set names, or this is the process of a predictor that is
        tested on it.
    InvalidInputError
        With every problem of the folder's files.
    """
    name = str(name_or_folder)
    known = registry().datasets
    folder = known[name].path if name in known else Path(name_or_folder)
    if name not in known and not folder.exists() and "/" not in name:
        raise UnknownNameError("data set", name, known, "(or give a folder)")
    dataset = read_dataset(folder, None if answers is None else Path(answers))
    read_second_panel(dataset)
    return dataset


def list_datasets() -> list[DatasetSpec]:
    """What plugins bring, sorted by name; ``load_dataset(spec.name)`` loads one."""
    return [spec for _, spec in sorted(registry().datasets.items())]


def as_dataset(dataset: str | Path | Dataset) -> Dataset:
    """The data set itself, if it is not one yet: loaded."""
    return dataset if isinstance(dataset, Dataset) else load_dataset(dataset)


def entries_of(
    runs: Sequence[Run | str | Path] = (),
    dataset: str | Path | Dataset | None = None,
    *,
    runs_dir: str | Path = DEFAULT_RUNS,
    jobs: int = 1,
    keep: bool = True,
) -> tuple[Scorer, list[Entry], list[str]]:
    """What a board is made of: the scorer, one scored entry a row, and notes on runs left out.

    Parameters and errors as for ``leaderboard``.
    """
    scorer, found, unread = gather_runs(runs, dataset, runs_dir)
    complete, notes = usable(found, scorer, named=bool(runs))
    notes = [*unread, *notes]
    if not runs:
        complete, older = current(complete)
        notes += older
    if not complete:
        raise UsageError("\n".join(["no complete run to rank", *notes]))
    return scorer, make_entries(complete, scorer, jobs, keep=keep), notes


def gather_runs(
    runs: Sequence[Run | str | Path], dataset: str | Path | Dataset | None, runs_dir: str | Path
) -> tuple[Scorer, list[Run], list[str]]:
    ready = [r for r in runs if isinstance(r, Run)]
    paths = [r for r in runs if not isinstance(r, Run)]
    scanned, notes = gather(paths, runs_dir) if paths or not ready else ([], [])
    found = ready + scanned
    loaded = None if dataset is None else as_dataset(dataset)
    found = of_dataset(found, loaded.name if loaded else None)
    return scorer_of(found, loaded, None if runs else _newest(found)), found, notes


def _newest(runs: Sequence[Run]) -> Protocol:
    """The newest protocol of runs that nobody named: of the complete ones, if there are any."""
    complete = [run for run in runs if run.record.status == "complete"]
    return newest(run.record.protocol for run in complete or runs)


def scorer_of(
    runs: Sequence[Run], dataset: str | Path | Dataset | None, protocol: Protocol | None = None
) -> Scorer:
    """A scorer for runs under a protocol; by default that of the first of them."""
    if dataset is None:
        record = runs[0].record.dataset
        try:
            dataset = load_dataset(record.given)
        except UsageError as error:
            raise UsageError(
                f"the data set {record.name!r} of {runs[0].folder} is not at {record.given!r}; "
                f"give its folder with --dataset ({error})"
            ) from None
    return Scorer(as_dataset(dataset), protocol or runs[0].record.protocol)


def side_of(which: Run | str | Path, dataset: str | Path | Dataset | None, runs_dir: str | Path) -> list[Run]:
    """The runs that one side of a comparison names: one, or every seed of a predictor under its newest
    protocol."""
    if isinstance(which, Run):
        return [which]
    if Path(which).is_dir():
        return [Run.open(which)]
    found, _ = gather((), runs_dir)
    own = [r for r in found if r.record.predictor.name == str(which)]
    if not own:
        names = {r.record.predictor.name for r in found}
        raise UnknownNameError(f"run folder or predictor with a run in {runs_dir}", str(which), names)
    loaded = None if dataset is None else as_dataset(dataset)
    own = [r for r in of_dataset(own, loaded.name if loaded else None) if r.record.status == "complete"]
    if not own:
        raise UsageError(f"{which}: has no complete run in {runs_dir}")
    protocol = _newest(own)
    own, _ = current([r for r in own if r.record.protocol == protocol])
    if len({json.dumps(r.record.predictor.parameters, sort_keys=True) for r in own}) > 1:
        folders = ", ".join(str(r.folder) for r in own)
        raise UsageError(f"{which}: has runs with different parameters; name a folder: {folders}")
    return own


def pair_of(
    a: Run | str | Path, b: Run | str | Path, dataset: str | Path | Dataset | None, runs_dir: str | Path
) -> tuple[Scorer, Entry, Entry]:
    """The scorer and the entries of two runs, run folders or predictors; errors as for ``compare``."""
    sides = [side_of(which, dataset, runs_dir) for which in (a, b)]
    scorer = scorer_of([*sides[0], *sides[1]], dataset)
    entries = []
    for side in sides:
        runs, notes = usable(side, scorer)
        if notes:
            raise UsageError("\n".join(notes))
        entries.append(make_entries(runs, scorer)[0])
    if {r.folder.resolve() for r in sides[0]} == {r.folder.resolve() for r in sides[1]}:
        raise UsageError("two different runs are needed, not one twice")
    return scorer, entries[0], entries[1]
