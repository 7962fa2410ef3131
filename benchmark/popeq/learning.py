"""Learning curves: predictors fitted on nested subsets of the training prompts, all tested alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field

from popeq.board.entries import make_entries
from popeq.board.scoring import Scorer
from popeq.contract import PredictorSpec
from popeq.dataset import Dataset
from popeq.defaults import DEFAULT_DATASET
from popeq.errors import UsageError
from popeq.lookup import as_dataset, view_of
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.runs.plan import Plan, checked_seeds, make_plans
from popeq.runs.reporting import Reporter
from popeq.runs.runner import draw_complete
from popeq.runs.settings import DEFAULT_SETTINGS, RunSettings
from popeq.settings import Settings
from popeq.studies.learning import Fits, learning_study
from popeq.studies.study import Study


class LearningSettings(Settings):
    """How many training prompts a learning curve's predictors are fitted on."""

    train: tuple[int, ...] = Field((), description="Numbers of training prompts, such as 60,120,300,600.")
    subsets: int = Field(3, ge=1, le=1000, description="Subsets of each number; of all prompts there is one.")


DEFAULT_LEARNING = LearningSettings()


def learn(
    predictors: str | PredictorSpec | Sequence[str | PredictorSpec],
    dataset: str | Path | Dataset = DEFAULT_DATASET,
    *,
    seeds: int | Sequence[int] = 0,
    options: Mapping[str, object] | None = None,
    curve: LearningSettings = DEFAULT_LEARNING,
    settings: RunSettings = DEFAULT_SETTINGS,
    reporter: Reporter | None = None,
    **changes: object,
) -> Study:
    """Fit predictors on subsets of the training prompts, score them on all test prompts, and compare.

    Every fit is a run of its own, of the view ``NAME@train-N-S`` of the data set; what is complete is not
    drawn again. Subsets are nested and have the categories in proportion, and the validation prompts are cut
    like the training prompts (``popeq.views``).

    Parameters
    ----------
    options
        Parameters by name; each goes to every predictor that has it.
    curve
        Numbers of training prompts and of subsets.
    settings, reporter
        As for ``popeq.run``.
    changes
        Fields of ``curve`` and of ``settings`` by name, such as ``train=(60, 120)``.

    Raises
    ------
    UsageError
        For wrong names or numbers, or a data set by folds, before anything runs.
    RunError
        If some runs failed; the same call goes on with them.
    """
    own = {name: changes.pop(name) for name in LearningSettings.model_fields if name in changes}
    curve = curve.with_changes(**own)
    settings = settings.with_changes(**changes)
    loaded = as_dataset(dataset)
    planned = learning_plans(predictors, loaded, curve, seeds, options)
    drawn = draw_complete(planned, settings, reporter, "learn")
    scorer = Scorer(loaded, DEFAULT_PROTOCOL)
    fits: dict[tuple[str, int], Fits] = {}
    for (size, _), complete in drawn.items():
        for entry in make_entries(complete, scorer, settings.jobs):
            fits.setdefault((entry.label, size), Fits(entry.seeds)).tables.append(entry.table)
    return learning_study(fits, scorer, len(loaded.stages[0].train))


def learning_plans(
    predictors: str | PredictorSpec | Sequence[str | PredictorSpec],
    dataset: Dataset,
    curve: LearningSettings,
    seeds: int | Sequence[int],
    options: Mapping[str, object] | None = None,
) -> dict[tuple[int, int], list[Plan]]:
    """The runs of a learning curve by number of training prompts and subset, each checked.

    Raises UsageError for wrong names or numbers, or a data set by folds.
    """
    if dataset.by_folds or dataset.view:
        what = "has folds" if dataset.by_folds else "is a view already"
        raise UsageError(f"learn: {dataset.name} {what}; a learning curve needs a data set with a split")
    everything = len(dataset.stages[0].train)
    sizes = sorted(set(curve.train))
    if not sizes or not 1 <= sizes[0] <= sizes[-1] <= everything:
        raise UsageError(
            f"learn: {dataset.name} has {everything} training prompts; give numbers from 1 to that"
        )
    names = [predictors] if isinstance(predictors, str | PredictorSpec) else list(predictors)
    if not names:
        raise UsageError("learn: name at least one predictor; 'popeq list' shows them all")
    planned = {}
    for size in sizes:
        for subset in range(curve.subsets if size < everything else 1):
            view = dataset if size == everything else view_of(dataset, f"train-{size}-{subset}")
            planned[size, subset] = make_plans(names, view, DEFAULT_PROTOCOL, checked_seeds(seeds), options)
    return planned
