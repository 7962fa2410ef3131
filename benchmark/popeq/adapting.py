"""Adaptation curves: how many answers of a new population a method needs before it fits this population."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from popeq.adapted import Adaptation, Sides, sides, with_answers
from popeq.board.entries import make_entries
from popeq.board.reference_lines import perfect_line
from popeq.board.scoring import Scorer
from popeq.contract import PredictorSpec
from popeq.dataset import Dataset
from popeq.defaults import DEFAULT_DATASET
from popeq.errors import UsageError
from popeq.lookup import adapted_of, as_dataset
from popeq.metrics import HEADLINE
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.runs.plan import Plan, checked_seeds, make_plans
from popeq.runs.reporting import Reporter
from popeq.runs.runner import draw_complete
from popeq.runs.settings import DEFAULT_SETTINGS, RunSettings
from popeq.settings import Settings
from popeq.statistics import LEAST_PROMPTS
from popeq.studies.adapting import Adapted, adapting_study
from popeq.studies.study import Study


class AdaptingSettings(Settings):
    """How many answers of a new population predictors are adapted with, and whose they are."""

    answers: tuple[int, ...] = Field(
        (0, 1, 2, 5),
        description="Numbers of answers a prompt, such as 0,1,2,5; 0 is always among them.",
    )
    divisions: int = Field(
        4, ge=1, le=1000, description="Divisions of the new population into adapting and tested listeners."
    )
    on: Literal["others", "all"] = Field(
        "others", description="Sentences that adapting listeners answer: others than the tested ones, or all."
    )


def adapt(
    predictors: str | PredictorSpec | Sequence[str | PredictorSpec],
    dataset: str | Path | Dataset = DEFAULT_DATASET,
    *,
    to: str | Path | Dataset,
    seeds: int | Sequence[int] = 0,
    options: Mapping[str, object] | None = None,
    settings: RunSettings = DEFAULT_SETTINGS,
    reporter: Reporter | None = None,
    **changes: object,
) -> Study:
    """Fit predictors on a data set and on k answers a prompt of another population, and test them on others
    of these people.

    Every fit is a run of its own, of the data set ``A@adapt-K-D-others-B`` (``popeq.adapted``); what is
    complete is not drawn again.

    Parameters
    ----------
    dataset
        Its training answers are fitted on with every number of answers.
    to
        The new population: its test prompts are predicted, by the stages of this data set.
    options
        Parameters by name; each goes to every predictor that has it.
    settings, reporter
        As for ``popeq.run``.
    changes
        Fields of ``AdaptingSettings``, such as ``answers=(0, 5)``, ``divisions=4`` and ``on="all"``, and of
        ``settings``, by name.

    Raises
    ------
    UsageError
        For wrong names or numbers, other planes, sealed answers, or too few listeners, before anything runs.
    RunError
        If some runs failed; the same call goes on with them.
    """
    own = {name: changes.pop(name) for name in AdaptingSettings.model_fields if name in changes}
    curve = AdaptingSettings(**own)
    settings = settings.with_changes(**changes)
    source, target = as_dataset(dataset), as_dataset(to)
    planned = adapting_plans(predictors, source, target, curve, seeds, options)
    first = {division: each[0].dataset for (_, division), each in reversed(planned.items())}
    asked = set.intersection(*(set(d.test_ids) for d in first.values()))
    ids = tuple(p for p in target.test_ids if p in asked)
    if not ids:
        raise UsageError(
            f"transfer --adapt: no prompt of {target.name} is tested in each of the {len(first)} divisions; "
            "give fewer --divisions, or a data set with more answers a prompt"
        )
    drawn = draw_complete(planned, settings, reporter, "transfer --adapt")
    scorers = {division: Scorer(d, DEFAULT_PROTOCOL, ids) for division, d in first.items()}
    fits: dict[tuple[str, int], Adapted] = {}
    for (number, division), complete in drawn.items():
        fitted = with_answers(planned[number, division][0].dataset)
        for entry in make_entries(complete, scorers[division], settings.jobs):
            share = common_share(target, sides(target, _how(curve, number, division)), number)
            fit = fits.setdefault((entry.label, number), Adapted(entry.seeds, fitted, share))
            fit.tables.append(entry.table)
            fit.listeners.append(scorers[division].listeners)
    perfect = perfect_line(scorers[0], jobs=settings.jobs, keep=True)
    line = None if perfect is None else float(np.mean(perfect.scores[HEADLINE]))
    title = f"From {source.card.label} to {target.card.label}: score by answers of the new listeners"
    return adapting_study(fits, title, _notes(source, target, curve, ids, scorers, planned, line), line)


def adapting_plans(
    predictors: str | PredictorSpec | Sequence[str | PredictorSpec],
    source: Dataset,
    target: Dataset,
    curve: AdaptingSettings,
    seeds: int | Sequence[int],
    options: Mapping[str, object] | None = None,
) -> dict[tuple[int, int], list[Plan]]:
    """The runs of an adaptation curve by number of answers and division, each checked.

    Where nobody has to be divided, and all answers or none are taken, one division is all that there are.
    Raises UsageError as ``adapt`` does.
    """
    names = [predictors] if isinstance(predictors, str | PredictorSpec) else list(predictors)
    if not names:
        raise UsageError("transfer --adapt: name at least one predictor; 'popeq list' shows them all")
    numbers = sorted({0, *curve.answers})
    if numbers[0] < 0 or len(numbers) < 2:
        raise UsageError("transfer --adapt: needs numbers of answers from 1, such as 0,1,2,5")
    planned = {}
    for number in numbers:
        for division in range(curve.divisions):
            how = _how(curve, number, division)
            own = sides(target, how) if not target.sealed else None
            if division and own is not None and not own.divided and number in (0, own.most):
                break
            view = adapted_of(source, target, how)
            planned[number, division] = make_plans(
                names, view, DEFAULT_PROTOCOL, checked_seeds(seeds), options
            )
    return planned


def _how(curve: AdaptingSettings, number: int, division: int) -> Adaptation:
    return Adaptation(number, division, curve.on)


def common_share(target: Dataset, own: Sides, number: int) -> float:
    """The share of answers that two choices of so many adapting ones a prompt have in common on average."""
    prompts = set(own.adapting["prompt_id"])
    everybody = target.responses if own.divided else own.adapting
    counts = everybody[everybody["prompt_id"].isin(prompts)].groupby("prompt_id").size()
    return float(np.minimum(number / counts, 1.0).mean()) if len(counts) else 1.0


def coincidences(target: Dataset, curve: AdaptingSettings, planned: Collection[tuple[int, int]]) -> list[str]:
    """A note on numbers of answers with which two divisions have the same tested and adapting answers."""
    chosen: dict[int, list[tuple[frozenset[int], frozenset[int]]]] = {}
    for number, division in planned:
        own = sides(target, _how(curve, number, division))
        found = frozenset(own.tested.index), frozenset(own.chosen(number, division).index)
        chosen.setdefault(number, []).append(found)
    said = [
        f"{len(set(found))} of {len(found)} with {number}"
        for number, found in chosen.items()
        if len(set(found)) < len(found)
    ]
    if not said:
        return []
    return [
        f"Some divisions coincide. Different are, by answers a prompt: {', '.join(said)}. Fewer --divisions "
        "say as much."
    ]


def _notes(
    source: Dataset,
    target: Dataset,
    curve: AdaptingSettings,
    ids: Sequence[str],
    scorers: Mapping[int, Scorer],
    planned: Collection[tuple[int, int]],
    perfect: float | None,
) -> list[str]:
    """What the numbers are of, and what they cannot show."""
    divided = sides(target, _how(curve, 0, 0)).divided
    tested = [len(own) for scorer in scorers.values() for own in scorer.listeners]
    where = "other sentences than the tested ones" if curve.on == "others" else "the tested sentences too"
    apart = (
        "halves drawn again for each division, so that nobody adapts and is tested"
        if divided
        else "the people of its training prompts and those of its test prompts, who are others anyway"
    )
    left_out = len(target.test_ids) - len(ids)
    return [
        f"Fitted on the training answers of {source.card.label} and on so many answers a prompt of "
        f"{target.card.label}; tested on {len(ids)} prompts of it, {np.mean(tested):.3g} listeners each. "
        f"Scores in dB, lower is better; shift is from no answers, paired. Intervals are 95 %, over prompts, "
        "tested and adapting listeners; p_adjusted is Holm's over all shifts.",
        f"Adapting listeners answer {where}. Adapting and tested listeners are {apart}.",
        *([f"{left_out} prompts have fewer than two tested listeners in a division."] if left_out else []),
        *(["With one division intervals have no part for the choice of listeners."] * (curve.divisions == 1)),
        *coincidences(target, curve, planned),
        *([f"A perfect predictor would score about {perfect:.2f} dB."] if perfect is not None else []),
        *(
            [f"{len(ids)} prompts: nothing is concluded with fewer than {LEAST_PROMPTS}."]
            if len(ids) < LEAST_PROMPTS
            else []
        ),
        *(
            ["SIMULATED listeners; the result describes a generator, not people."]
            if source.card.simulated or target.card.simulated
            else []
        ),
    ]
