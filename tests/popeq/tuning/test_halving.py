"""What to try next and what goes on: against optuna's own loop, and whatever was stopped in between."""

from __future__ import annotations

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popeq.ranges import Choices, Interval
from popeq.tuning.halving import goes_on, proposal, within
from popeq.tuning.record import RoundRecord, TrialRecord

RANGES = {
    "rate": Interval(low=1e-3, high=1.0, log=True),
    "size": Interval(low=1, high=9, whole=True),
    "pooling": Choices(choices=["mean", "cls", None]),
}
SETTING = {"rate": 0.1, "size": 3, "pooling": "mean"}


def one_round(score, budget=1):
    return RoundRecord(
        budget=budget,
        scores={},
        score_db=score,
        median_db=score,
        fit_s=0,
        sample_s=0,
        wall_s=0,
        peak_memory_mb=0,
    )


def searched(scores, reduction, rounds=3):
    """The trials of a search in which trial i has ``scores[i]`` at its rounds."""
    trials = []
    for i, own in enumerate(scores):
        trial = TrialRecord(parameters=SETTING | {"rate": 0.001 * (i + 1)})
        for k in range(rounds):
            trial = trial.model_copy(update={"rounds": [*trial.rounds, one_round(own[k])]})
            if k == rounds - 1:
                trial = trial.model_copy(update={"state": "complete"})
            elif not goes_on(RANGES, [*trials, trial], 0, reduction):
                trial = trial.model_copy(update={"state": "stopped"})
                break
        trials.append(trial)
    return trials


@settings(max_examples=15)
@given(
    st.lists(st.lists(st.integers(0, 50), min_size=3, max_size=3), min_size=1, max_size=12),
    st.sampled_from([2, 3]),
)
def test_the_same_trials_go_on_as_in_optunas_own_loop(scores, reduction):
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial):
        for k, score in enumerate(scores[trial.number]):
            trial.report(score, step=reduction**k)
            if trial.should_prune() and k < 2:
                raise optuna.TrialPruned
        return score

    study = optuna.create_study(
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=reduction)
    )
    study.optimize(objective, n_trials=len(scores))
    theirs = [(t.state.name, len(t.intermediate_values)) for t in study.trials]
    names = {"complete": "COMPLETE", "stopped": "PRUNED"}
    ours = [(names[t.state], len(t.rounds)) for t in searched(scores, reduction)]
    assert ours == theirs


def test_a_clear_ranking_is_halved_at_every_round():
    scores = [[float(i)] * 3 for i in range(27)]  # the best comes first: nothing after it is promoted
    assert [len(t.rounds) for t in searched(scores, 3)] == [3] + [1] * 26
    worst_first = [[float(-i)] * 3 for i in range(27)]  # each is the best so far: all go on
    assert {len(t.rounds) for t in searched(worst_first, 3)} == {3}


def test_proposals_lie_in_the_ranges_depend_on_the_trials_alone_and_do_not_repeat():
    trials = searched([[5, 5, 5], [4, 4, 4], [6, 6, 6]], 3)
    first = proposal(RANGES, trials, 7, 3)
    assert first == proposal(RANGES, trials, 7, 3)
    assert first != proposal(RANGES, trials, 8, 3)
    assert within(RANGES, first)
    assert first["rate"] == float(f"{first['rate']:.3g}")
    assert isinstance(first["size"], int)
    two = {"on": Choices(choices=[True, False])}
    tried = [TrialRecord(parameters={"on": True}, state="complete", rounds=[one_round(1.0)])]
    assert proposal(two, tried, 0, 3) == {"on": False}
    both = [*tried, TrialRecord(parameters={"on": False}, state="complete", rounds=[one_round(2.0)])]
    assert proposal(two, both, 0, 3) is None


def test_it_learns_where_the_good_ones_are_from_failures_and_stopped_trials_too():
    ranges = {"rate": Interval(low=0.0, high=1.0)}
    trials = []
    for i in range(40):
        rate = i / 40
        state = "failed" if rate > 0.8 else "complete" if i % 2 else "stopped"
        score = None if state == "failed" else abs(rate - 0.3)
        kept = 3 if state == "complete" else 1
        own = {"parameters": {"rate": rate}, "state": state, "rounds": [one_round(score)] * kept}
        trials.append(TrialRecord(**own))
    found = [proposal(ranges, trials, seed, 3)["rate"] for seed in range(12)]
    assert sum(abs(rate - 0.3) < 0.1 for rate in found) >= 6  # by chance it would be 2 or 3
    assert max(found) < 0.8


@pytest.mark.parametrize(("value", "inside"), [(0.001, True), (1.0, True), (1.01, False)])
def test_ends_lie_within(value, inside):
    assert within(RANGES, SETTING | {"rate": value}) is inside
    assert not within(RANGES, SETTING | {"pooling": "max"})
