"""Analyse a listening test: does the distance predict what listeners prefer? Make a data set of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from popeq.dataset import Dataset
from popeq.dataset_card import DatasetCard
from popeq.dataset_folder import write_dataset
from popeq.errors import UsageError
from popeq.statistics import Panels, mean_inference
from popeq_audio.listening.plan import REFERENCE, Condition, Plan
from popeq_audio.listening.results import Rating
from popeq_data.importers.assemble import Pseudonyms, Question, assemble, round_robin

Measure = Literal["kantorovich", "setting_distance"]
MEASURES: dict[Measure, str] = {
    "kantorovich": "reflective Kantorovich distance of the predictor on the prompt",
    "setting_distance": "mean distance from the setting heard to the listeners' settings",
}
_HIDDEN = Condition(name=REFERENCE, method="hidden reference")
#: BS.1534-3: a listener who rates the hidden reference under 90 in more than 15 % of trials is left out.
_REFERENCE_SCORE, _MOST_MISSED = 90.0, 0.15


@dataclass(frozen=True)
class Association:
    """Mean rank correlation (Kendall's tau-b) between nearness and preference, -1 to 1, and its 95 % interval
    over other listeners and other trials. Above 0: what is nearer is preferred. ``judgements`` is the number
    of listener-trials it is the mean of; without any, the numbers are NaN."""

    tau: float
    low: float
    high: float
    trials: int
    listeners: int
    judgements: int


def screened(ratings: Sequence[Rating]) -> tuple[list[Rating], dict[str, float]]:
    """Ratings of the listeners who recognise the hidden reference, and the others with the share they missed.

    Listeners who never rated a hidden reference (a preference test has none) are kept.
    """
    missed: dict[str, list[bool]] = defaultdict(list)
    for rating in ratings:
        if rating.condition is None:
            missed[rating.listener].append(rating.score < _REFERENCE_SCORE)
    out = {name: float(np.mean(m)) for name, m in missed.items() if np.mean(m) > _MOST_MISSED}
    return [r for r in ratings if r.listener not in out], out


def association(ratings: Sequence[Rating], measure: Measure) -> Association:
    """How well a distance ranks the sounds of a trial as its listeners do.

    For each listener and trial, Kendall's tau-b between minus the distance and the score over the sounds that
    have both; a listener who scores all alike says nothing. Means inside a trial, then over trials, so that
    no trial counts more for having more listeners. The interval is over trials and people
    (``popeq.statistics.mean_inference``); with few of either it is infinite.
    """
    taus = _taus(ratings, measure)
    if not taus:
        return Association(np.nan, np.nan, np.nan, 0, 0, 0)
    listeners = [tuple(own) for own in taus.values()]
    values = [np.array(list(own.values())) for own in taus.values()]
    panels = Panels(listeners)
    tau = mean_inference([v.mean() for v in values], values, panels)
    low, high = tau.interval()
    return Association(tau.value, low, high, len(taus), panels.people, sum(map(len, values)))


def _taus(ratings: Sequence[Rating], measure: Measure) -> dict[str, dict[str, float]]:
    """Rank correlation by trial and listener."""
    judged: dict[str, dict[str, float]] = defaultdict(dict)
    rows = _table(ratings).dropna(subset=[measure])
    for (trial, listener), own in rows.groupby(["trial", "listener"], sort=False):
        if own[measure].nunique() > 1 and own["score"].nunique() > 1:
            judged[str(trial)][str(listener)] = float(kendalltau(-own[measure], own["score"]).statistic)
    return dict(sorted(judged.items()))


def _table(ratings: Sequence[Rating]) -> pd.DataFrame:
    """A row a rating, with its condition; the hidden reference has neither setting nor distances."""
    rows = [
        {"listener": r.listener, "trial": r.trial.trial_id, "prompt_id": r.trial.prompt_id, "score": r.score}
        | (r.condition or _HIDDEN).model_dump()
        for r in ratings
    ]
    columns = ["listener", "trial", "prompt_id", "score", *Condition.model_fields]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys((*MEASURES, "x_db", "y_db"), float))


def by_method(ratings: Sequence[Rating]) -> pd.DataFrame:
    """Mean score of each method: first over the listeners of a trial, then over trials."""
    trials = _table(ratings).groupby(["method", "trial"])[["score", *MEASURES]].mean()
    methods = trials.groupby("method")
    means = methods.mean()
    means.insert(1, "trials", methods.size())
    return means.sort_values("score", ascending=False).reset_index()


def chosen_settings(ratings: Sequence[Rating]) -> Mapping[tuple[str, str], tuple[float, float]]:
    """The setting (x, y) in dB that each listener rated best for each prompt, by (prompt_id, listener).

    Only settings that the test offered count: neither the hidden reference, which its page gives away as
    the reference, nor the anchor, which is no setting. Of several best ones the one whose name comes first
    is taken: names are drawn at random, so no method gains by it.
    """
    person = ["prompt_id", "listener"]
    offered = _table(ratings).dropna(subset=["x_db", "y_db"]).groupby([*person, "name"], as_index=False)
    totals = offered.agg({"score": "sum", "x_db": "last", "y_db": "last"})
    best = totals.sort_values("score", ascending=False, kind="stable").drop_duplicates(person).sort_index()
    return {(p, who): (x, y) for p, who, _, _, x, y in best.itertuples(index=False)}


FOLDS = 5


def to_dataset(ratings: Sequence[Rating], plan: Plan, folder: Path, simulated: bool | None = None) -> Dataset:
    """Write a data set folder with folds; listeners become keyed hashes.

    ``simulated`` says whether the answers are simulated; by default they are if the plan's listeners are.
    Prompts for which the test offered fewer than two settings are left out: nobody could choose.

    Raises
    ------
    UsageError
        If fewer than two prompts are left, or the folder is not empty.
    """
    offered = plan.offered
    chosen = {key: at for key, at in chosen_settings(ratings).items() if len(offered[key[0]]) >= 2}
    answered = {prompt_id for prompt_id, _ in chosen}
    folds = round_robin(answered, FOLDS)
    questions = {
        t.prompt_id: Question(t.prompt_id, t.text, "listening test", folds[t.prompt_id], t.track)
        for t in plan.trials
        if t.prompt_id in answered
    }
    if len(questions) < 2:
        raise UsageError(
            f"no data set can be made: {len(questions)} prompt(s) have answers and two or more settings to "
            "choose from besides reference and anchor; a data set needs two: export with more RUNs or --at"
        )
    names = Pseudonyms("")
    answers = [(prompt_id, names[listener]) for prompt_id, listener in chosen]
    source = f"{plan.dataset} (simulated)" if plan.simulated else plan.dataset
    card = DatasetCard(
        name=f"{plan.test_id.lower()}-chosen",
        version="1",
        title=f"the best-liked of the settings offered in listening test {plan.plan_id}, made from {source}",
        licence="not said",
        citation="not said",
        simulated=plan.simulated if simulated is None else simulated,
        space=plan.space,
    )
    readme = (
        f"# {card.label}\n\nEach listener's setting is the best-liked of the few that the test "
        f"{plan.plan_id} offered for the prompt (prompts of {source}), so it has no more points than there "
        "were settings. The hidden reference and the anchor are no answers. Listeners are hashed; the salt "
        f"was not kept.\n\n{'**Simulated**: no real listener.' if card.simulated else 'Real listeners.'}\n"
    )
    dataset = assemble(card, list(questions.values()), answers, list(chosen.values()))
    return write_dataset(dataset, folder, readme)
