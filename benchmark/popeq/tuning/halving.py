"""Which setting to try next and whether a trial goes on: optuna, asked anew from the trials so far.

Nothing is kept between questions but the trials themselves, so a search that was killed goes on exactly as
one that was not. Optuna's ``SuccessiveHalvingPruner`` (Li et al. 2020, arXiv 1810.05934, one trial at a time)
decides at each round, its TPE sampler proposes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from popeq.ranges import Choices, Range
from popeq.seeding import generator
from popeq.tuning.record import TrialRecord

_DIGITS = 3
_DRAWS = 50


def proposal(
    ranges: Mapping[str, Range], trials: Sequence[TrialRecord], seed: int, reduction: int
) -> dict[str, Any] | None:
    """The next setting, one that no trial had; None if there seems to be no other.

    Numbers have three significant digits, so that a person can type them.
    """
    tried = [t.parameters for t in trials]
    for attempt in range(_DRAWS):
        study = _study(ranges, trials, seed, reduction, attempt)
        drawn = study.ask(_distributions(ranges)).params
        found = {name: _typed(ranges[name], drawn[name]) for name in ranges}
        if found not in tried:
            return found
    return None


def goes_on(ranges: Mapping[str, Range], trials: Sequence[TrialRecord], seed: int, reduction: int) -> bool:
    """Whether the last trial is worth the next round's budget, after the rounds that it has."""
    study = _study(ranges, trials[:-1], seed, reduction)
    return not _replayed(study, ranges, trials[-1], reduction)


def within(ranges: Mapping[str, Range], values: Mapping[str, Any]) -> bool:
    """Whether a setting lies in the ranges."""
    for name, own in ranges.items():
        value = values[name]
        if isinstance(own, Choices):
            if value not in own.choices:
                return False
        elif not own.low <= value <= own.high:
            return False
    return True


def _study(
    ranges: Mapping[str, Range], trials: Sequence[TrialRecord], seed: int, reduction: int, attempt: int = 0
) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    drawn = generator("tune", seed, len(trials), attempt).integers(2**32)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=int(drawn)),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=reduction),
    )
    for trial in trials:
        _replayed(study, ranges, trial, reduction)
    return study


def _replayed(study: Any, ranges: Mapping[str, Range], trial: TrialRecord, reduction: int) -> bool:
    """Tell a study of a trial; returns whether its last round is to be the last."""
    from optuna.trial import TrialState

    study.enqueue_trial({name: trial.parameters[name] for name in ranges})
    waiting = study.ask(_distributions(ranges))
    stop = False
    for i, last in enumerate(trial.rounds):
        waiting.report(math.nan if last.score_db is None else last.score_db, step=reduction**i)
        stop = waiting.should_prune()
    if trial.state == "complete":
        study.tell(waiting, trial.rounds[-1].score_db)
    elif trial.state != "running":
        study.tell(waiting, state=TrialState.PRUNED)
    return stop


def _distributions(ranges: Mapping[str, Range]) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, Any] = {}
    for name, own in ranges.items():
        if isinstance(own, Choices):
            found[name] = CategoricalDistribution(own.choices)
        elif own.whole:
            found[name] = IntDistribution(int(own.low), int(own.high), log=own.log)
        else:
            found[name] = FloatDistribution(own.low, own.high, log=own.log)
    return found


def _typed(own: Range, value: Any) -> Any:
    if isinstance(own, Choices) or own.whole:
        return value
    return min(max(float(f"{value:.{_DIGITS}g}"), own.low), own.high)
