"""Studies and the regression gate from Python, on runs by their names as ``popeq.leaderboard`` has them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from popeq.board.groupings import check_split
from popeq.board.regression import DEFAULT_MARGIN_DB, Regression
from popeq.board.regression import regress as regress_runs
from popeq.board.scoring import Scorer
from popeq.board.selection import runs_of
from popeq.dataset import Dataset
from popeq.defaults import DEFAULT_DATASET, DEFAULT_RUNS
from popeq.errors import UsageError
from popeq.lookup import (
    as_dataset,
    dataset_of,
    entries_of,
    pair_of,
)
from popeq.metrics import HEADLINE
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.runs.folder import Run
from popeq.studies.ablate import ablation, edge_study
from popeq.studies.ceiling import ceiling_study
from popeq.studies.personal import DEFAULT_PERSONAL, PersonalSettings, personal_study
from popeq.studies.power import power_study
from popeq.studies.sizes import size_study
from popeq.studies.study import Study
from popeq.studies.transfer import transfer_study


def ceiling(dataset: str | Path | Dataset = DEFAULT_DATASET, *, by: str | None = None) -> Study:
    """How well a perfect predictor and a fresh panel of listeners would score on a data set.

    Estimated from disjoint halves of the listeners, with intervals; also for panels of other sizes.
    ``by`` splits the table by a grouping of the prompts (``Dataset.groupings``).

    Raises
    ------
    UsageError
        If some prompts have fewer than four listeners.
    """
    scorer = Scorer(as_dataset(dataset), DEFAULT_PROTOCOL)
    return ceiling_study(scorer, by=by)


def power(
    a: Run | str | Path,
    b: Run | str | Path,
    dataset: str | Path | Dataset | None = None,
    *,
    runs_dir: str | Path = DEFAULT_RUNS,
    by: str | None = None,
    difference: float | None = None,
) -> Study:
    """How many prompts and listeners would separate two runs with 80 % power.

    ``difference`` (dB) is the shift to find; by default the one between the two. Prompts, listeners and
    answers vary as they do in those. With ``by``, a grouping of the prompts, the table has the variance
    components of each group.

    Raises
    ------
    UsageError
        If the two are not comparable or do not differ, or there are too few prompts.
    """
    scorer, first, second = pair_of(a, b, dataset, runs_dir)
    return power_study(first, second, scorer, difference=difference, by=by)


def transfer(
    runs: Sequence[Run | str | Path] = (),
    dataset: str | Path | Dataset | None = None,
    *,
    to: str | Path | Dataset,
    runs_dir: str | Path = DEFAULT_RUNS,
    by: str | None = None,
    jobs: int = 1,
) -> Study:
    """The scores of the same predictions against the listeners of another data set, ``to``, who answered the
    same sentences. The other parameters are as for ``leaderboard``.

    Raises
    ------
    UsageError
        If the two data sets share no sentence or no plane.
    """
    scorer, entries, _ = entries_of(runs, dataset, runs_dir=runs_dir, by=by, jobs=jobs)
    return transfer_study(entries, scorer, as_dataset(to), by=by)


def ablate(
    runs: Sequence[Run | str | Path] = (),
    dataset: str | Path | Dataset | None = None,
    *,
    runs_dir: str | Path = DEFAULT_RUNS,
    by: str | None = None,
    jobs: int = 1,
    edges: bool = False,
) -> Study:
    """Each run against its own mean and median as one point: is the distribution better?

    With ``edges``, instead, the standard against the reflective density by how close the listeners are to the
    edge of the plane. The other parameters are as for ``leaderboard``.

    Raises
    ------
    UsageError
        If ``edges`` and ``by`` are both given: edges groups the prompts in its own way.
    """
    if edges and by:
        raise UsageError("ablate: edges groups the prompts by closeness to the edge; leave 'by' out")
    scorer, entries, _ = entries_of(runs, dataset, runs_dir=runs_dir, by=by, jobs=jobs)
    return edge_study(entries, scorer) if edges else ablation(entries, scorer, by=by)


def sizes(
    runs: Sequence[Run | str | Path] = (),
    dataset: str | Path | Dataset | None = None,
    *,
    runs_dir: str | Path = DEFAULT_RUNS,
    by: str | None = None,
    jobs: int = 1,
) -> Study:
    """The rows of each method by the size of the model behind them, each against the smallest.

    The parameters are as for ``leaderboard``.

    Raises
    ------
    UsageError
        If no row has a model whose size is known.
    """
    scorer, entries, _ = entries_of(runs, dataset, runs_dir=runs_dir, by=by, jobs=jobs)
    return size_study(entries, scorer, by=by)


def personal(
    runs: Sequence[Run | str | Path] = (),
    dataset: str | Path | Dataset | None = None,
    *,
    settings: PersonalSettings = DEFAULT_PERSONAL,
    runs_dir: str | Path = DEFAULT_RUNS,
    by: str | None = None,
    jobs: int = 1,
    **changes: object,
) -> Study:
    """What some of a person's own answers to other prompts are worth when that person's next answer is
    predicted: the energy score of the changed prediction minus that of the population, dB.

    The population is that of the other listeners of each prompt, and the samples of each of the ``runs``;
    without runs it is the other listeners alone.

    Parameters
    ----------
    settings, changes
        How many own answers are known and which; ``changes`` are fields of ``PersonalSettings`` by name, such
        as ``own=(1, 5)``.
    runs, dataset, runs_dir, by, jobs
        As for ``leaderboard``; without runs the data set is the default one.

    Raises
    ------
    UsageError
        If nobody answers twice, or often enough, or too few people do; if a setting is wrong.
    """
    chosen = settings.with_changes(**changes)
    if not runs:
        scorer = Scorer(as_dataset(DEFAULT_DATASET if dataset is None else dataset), DEFAULT_PROTOCOL)
        check_split(scorer.dataset, by)
        return personal_study([], scorer, chosen, by=by, jobs=jobs)
    scorer, entries, _ = entries_of(runs, dataset, runs_dir=runs_dir, by=by, jobs=jobs)
    return personal_study(entries, scorer, chosen, by=by, jobs=jobs)


def regress(
    base: Run | str | Path,
    head: Run | str | Path,
    dataset: str | Path | Dataset | None = None,
    *,
    runs_dir: str | Path = DEFAULT_RUNS,
    metric: str = HEADLINE,
    margin_db: float = DEFAULT_MARGIN_DB,
) -> Regression:
    """Whether ``head`` is worse than ``base``: the verdict, the mean loss in dB with its interval, and the
    losses of single prompts.

    ``base`` and ``head`` are runs or their names, as for ``compare``. ``margin_db`` is the loss that is
    tolerated. ``popeq.testing`` has the same as a pytest plugin.

    Raises
    ------
    NotComparableError
        If data set revision, protocol or metric differ.
    UsageError
        If a run is missing or the data set is not found.
    """
    loaded = None if dataset is None else as_dataset(dataset)
    old, new = (runs_of(side, runs_dir, loaded.name if loaded else None) for side in (base, head))
    return regress_runs(old, new, dataset_of(old, loaded), metric=metric, margin_db=margin_db)
