"""Means over prompts and listeners: against SciPy, by hand, and against worlds whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from popeq.statistics import LEAST_PROMPTS, MeanEstimate, Panels, mean_inference


def own_listeners(prompts, people=3):
    return Panels([[f"{p}-{j}" for j in range(people)] for p in range(prompts)])


def shared_listeners(prompts, people=11):
    return Panels([[f"l{j}" for j in range(people)]] * prompts)


def linear_world(rng, prompts, people, sds, *, shared=True):
    """Answers (P, m) of a world without interaction by design: prompt, listener and answer effects."""
    prompt, listener, answer = sds
    return (
        prompt * rng.standard_normal((prompts, 1))
        + listener * rng.standard_normal((1 if shared else prompts, people))
        + answer * rng.standard_normal((prompts, people))
    )


def estimate(answers, panels):
    scores = answers.mean(axis=1)
    return mean_inference(scores, list(answers - scores[:, None]), panels)


def test_with_listeners_of_their_own_it_is_the_paired_t_test():
    rng = np.random.default_rng(0)
    answers = linear_world(rng, 20, 3, (1, 1, 1), shared=False) + 0.4
    found, peer = estimate(answers, own_listeners(20)), ttest_1samp(answers.mean(axis=1), 0.0)
    assert found.p_value == pytest.approx(peer.pvalue, rel=1e-9)
    assert found.interval() == pytest.approx(tuple(peer.confidence_interval()), rel=1e-7)
    assert (found.df, found.se_people) == (19, 0.0)
    assert found.effect_size == pytest.approx(answers.mean() / answers.mean(axis=1).std(ddof=1))


def test_without_influence_the_listeners_are_given():
    scores = np.random.default_rng(1).normal(0.3, 1, 12)
    found = mean_inference(scores, None, shared_listeners(12))
    assert found.p_value == pytest.approx(ttest_1samp(scores, 0.0).pvalue, rel=1e-9)


def test_the_variance_by_hand_of_two_shared_listeners():
    """Six prompts, two people: V_people and V_answers added up from what each answer adds; 6/5 because
    what the two have in common on all prompts is missing from the variance over prompts, 2/1 as in a
    jackknife of two people."""
    answers = np.random.default_rng(2).normal(0, 1, (6, 2))
    scores = answers.mean(axis=1)
    adds = (answers - scores[:, None]) / (6 * 2) * math.sqrt(2)
    people, single = np.square(adds.sum(axis=0)).sum(), np.square(adds).sum()
    found = estimate(answers, shared_listeners(6, 2))
    between = 6 / 5 * 2 / 1 * max(people - single, 0.0)
    assert found.se_people == pytest.approx(math.sqrt(between))
    assert found.se == pytest.approx(math.sqrt(scores.var(ddof=1) / 6 + between))
    assert found.df == 1


@pytest.mark.parametrize(("prompts", "pool"), [(8, 11), (30, 11), (30, 40), (60, 120)])
def test_the_variance_is_that_of_the_world(prompts, pool):
    """Prompts, people and answers vary by 0.5, 0.4 and 0.8: V is what their means really vary by, whether the
    same 11 answer all prompts or 11 of a pool each."""
    rng = np.random.default_rng(pool)
    who = np.array([rng.permutation(pool)[:11] for _ in range(prompts)])
    panels = Panels([[str(j) for j in own] for own in who])
    answered = np.bincount(who.ravel(), minlength=pool)
    weight = np.square(answered / (11 * prompts)).sum()
    truth = 0.5**2 / prompts + 0.4**2 * weight + 0.8**2 / (prompts * 11)
    found = []
    for _ in range(1200):
        answers = 0.4 * rng.standard_normal(pool)[who] + 0.5 * rng.standard_normal((prompts, 1))
        found.append(estimate(answers + 0.8 * rng.standard_normal((prompts, 11)), panels))
    # It is never taken for negative what varies by person, so it errs on the large side.
    assert 0.98 * truth < np.mean([f.se**2 for f in found]) < 1.3 * truth
    assert np.var([f.value for f in found]) == pytest.approx(truth, rel=0.15)


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
@pytest.mark.parametrize("sds", [(0.5, 0.5, 1.0), (0.3, 1.0, 0.5), (0.1, 0.1, 1.5), (1.0, 0.0, 0.5)])
@pytest.mark.parametrize("prompts", [8, 30, 120])
def test_intervals_cover_between_93_and_985_percent(prompts, sds, shared):
    rng = np.random.default_rng(prompts)
    worlds, people = 700, 11
    panels = (shared_listeners if shared else own_listeners)(prompts, people)
    found = [estimate(linear_world(rng, prompts, people, sds, shared=shared), panels) for _ in range(worlds)]
    covered = np.mean([low <= 0.0 <= high for low, high in (f.interval() for f in found)])
    error = 3 * math.sqrt(0.05 * 0.95 / worlds)
    assert 0.93 - error / 2 <= covered <= 0.985 + error / 2
    assert np.mean([f.p_value < 0.05 for f in found]) == pytest.approx(1 - covered)


@given(
    st.lists(st.floats(-9, 9, width=32), min_size=LEAST_PROMPTS, max_size=12),
    st.floats(-9, 9, width=32),
    st.integers(0, 999),
)
def test_laws_of_sign_order_and_shift(scores, shift, seed):
    rng = np.random.default_rng(seed)
    prompts = len(scores)
    listeners = [[f"l{j}" for j in range(4)]] * prompts
    influence = list(rng.normal(0, 1, (prompts, 4)))
    found = mean_inference(scores, influence, Panels(listeners))
    flipped = mean_inference(np.negative(scores), [-i for i in influence], Panels(listeners))
    assert (flipped.value, flipped.se) == pytest.approx((-found.value, found.se))
    moved = mean_inference(np.add(scores, shift), [i + 5.0 for i in influence], Panels(listeners))
    assert (moved.value, moved.se) == pytest.approx((found.value + shift, found.se), abs=1e-6)
    order = rng.permutation(prompts)
    again = mean_inference(np.array(scores)[order], [influence[p] for p in order], Panels(listeners))
    assert (again.value, again.se) == pytest.approx((found.value, found.se), abs=1e-9)


@given(st.lists(st.floats(-2, 2, width=32), min_size=LEAST_PROMPTS, max_size=12), st.integers(0, 99))
def test_interval_and_p_never_disagree(scores, seed):
    rng = np.random.default_rng(seed)
    influence = list(rng.normal(0, 1, (len(scores), 3)))
    found = mean_inference(scores, influence, shared_listeners(len(scores), 3))
    low, high = found.interval()
    if found.se > 0 and abs(found.p_value - 0.05) > 1e-9:
        assert (found.p_value < 0.05) == (low > 0 or high < 0)


def test_float_noise_is_no_difference():
    noise = 1e-12 * np.random.default_rng(0).uniform(0.5, 1.0, 30)
    found = mean_inference(noise, [np.zeros(11)] * 30, shared_listeners(30))
    assert (found.value, found.se, found.p_value, found.effect_size) == (0.0, 0.0, 1.0, 0.0)


def test_nothing_is_concluded_from_too_few():
    for prompts, people in ((LEAST_PROMPTS - 1, 11), (30, 1)):
        scores = np.linspace(1.0, 2.0, prompts)
        found = mean_inference(scores, [np.zeros(people)] * prompts, shared_listeners(prompts, people))
        assert found.interval() == (-math.inf, math.inf)
        assert math.isnan(found.p_value)
        assert found.detectable() == math.inf


def test_the_least_difference_is_found_with_the_power_asked_for():
    rng = np.random.default_rng(5)
    sds, prompts = (0.5, 0.2, 0.8), 30
    panels = shared_listeners(prompts)
    true_se = math.sqrt(sds[0] ** 2 / 30 + sds[1] ** 2 / 11 + sds[2] ** 2 / 330)
    shift = MeanEstimate(0.0, true_se, 10, 1.0).detectable()
    found = [
        estimate(shift + linear_world(rng, prompts, 11, sds), panels).p_value < 0.05 for _ in range(1500)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(
    ("scores", "influence", "says"),
    [
        ([1.0] * 5, [[0.0, 0.0]] * 6, "6 numbers"),
        ([1.0] * 5 + [np.nan], [[0.0, 0.0]] * 6, "finite"),
        ([1.0] * 6, [[0.0, 0.0]] * 5 + [[0.0]], "one number for each listener"),
        ([1.0] * 6, [[0.0, 0.0]] * 5, "one number for each listener"),
        ([1.0] * 6, [[0.0, np.inf]] * 6, "finite"),
    ],
)
def test_what_does_not_fit_is_refused(scores, influence, says):
    with pytest.raises(ValueError, match=says):
        mean_inference(scores, influence, shared_listeners(6, 2))


def test_panels_and_levels_are_checked():
    for listeners in ([], [["a"], []]):
        with pytest.raises(ValueError, match="need at least one prompt"):
            Panels(listeners)
    with pytest.raises(ValueError, match="level"):
        MeanEstimate(0.0, 1.0, 5, 1.0).interval(1.0)
    with pytest.raises(ValueError, match="alpha and power"):
        MeanEstimate(0.0, 1.0, 5, 1.0).detectable(power=0.0)
