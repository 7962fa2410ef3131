"""All pairs at once: the family-wise error, what worse rows may not change, and Holm as an upper bound."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from popeq.statistics import Panels, all_pairs, holm, mean_inference, rank_ranges, step_down

PROMPTS, PEOPLE = 30, 11
PANELS = Panels([[f"l{j}" for j in range(PEOPLE)]] * PROMPTS)


def board(rng, shifts, noise=0.4):
    """Scores (n, P) and influences of rows that share prompts and people, moved by ``shifts`` (n,)."""
    n = len(shifts)
    answers = (
        rng.standard_normal((1, PROMPTS, 1))
        + 0.3 * rng.standard_normal((n, 1, PEOPLE))
        + noise * rng.standard_normal((n, PROMPTS, 1))
        + rng.standard_normal((n, PROMPTS, PEOPLE))
        + np.asarray(shifts)[:, None, None]
    )
    scores = answers.mean(axis=2)
    return scores, [list(own) for own in answers - scores[:, :, None]]


def pairs_of(scores, influence, replicates=1999):
    return all_pairs(scores, influence, PANELS, np.random.default_rng(0), replicates)


def test_each_pair_is_the_mean_difference():
    scores, influence = board(np.random.default_rng(0), [0.0, 0.2, 0.5])
    found = pairs_of(scores, influence)
    for i in range(3):
        for j in range(3):
            if i == j:
                assert found.shift[i, i] == found.se[i, i] == 0.0
                assert np.isnan(found.p[i, i])
                assert np.isnan(found.p_family[i, i])
                continue
            moved = [a - b for a, b in zip(influence[i], influence[j], strict=True)]
            alone = mean_inference(scores[i] - scores[j], moved, PANELS)
            assert found.shift[i, j] == pytest.approx(alone.value)
            assert found.se[i, j] == pytest.approx(alone.se)
            assert found.p[i, j] == pytest.approx(alone.p_value)
            assert found.effect[i, j] == pytest.approx(alone.effect_size)


def test_the_adjusted_p_lies_between_its_own_and_holms():
    scores, influence = board(np.random.default_rng(1), [0, 0.1, 0.2, 0.4, 0.8, 1.6])
    found = pairs_of(scores, influence)
    at = np.triu_indices(6, 1)
    p, adjusted = found.p[at], found.p_family[at]
    holm = np.empty(len(p))
    order = np.argsort(p)
    holm[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    assert (adjusted >= p).all()
    assert (adjusted <= holm + 1e-12).all()
    assert (adjusted < holm - 1e-3).any(), "the joint distribution is used"
    np.testing.assert_array_equal(found.p_family, found.p_family.T)


def test_equal_rows_are_separated_on_no_more_than_one_board_in_twenty():
    rng = np.random.default_rng(2)
    boards = 300
    wrong = sum(bool(np.nanmin(pairs_of(*board(rng, [0.0] * 8), 999).p_family) < 0.05) for _ in range(boards))
    assert wrong / boards <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / boards)


def test_worse_rows_separate_nobody():
    """However many hopeless rows are added, no adjusted p of the others becomes smaller."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        scores, influence = board(rng, [0, 0.1, 0.25, 0.4, 0.5])
        alone = pairs_of(scores, influence).p_family
        more, further = board(rng, [5.0] * int(rng.integers(1, 12)))
        together = pairs_of(np.vstack([scores, more]), influence + further).p_family[:5, :5]
        at = np.triu_indices(5, 1)
        assert (together[at] >= alone[at] - 1e-12).all()
        best, worst = rank_ranges(np.zeros((5, 5)), together)
        assert best.tolist() == [1] * 5
        assert worst.tolist() == [5] * 5


def test_a_clear_difference_is_found_beside_hopeless_rows():
    scores, influence = board(np.random.default_rng(4), [0.0, 1.0] + [6.0] * 10)
    assert pairs_of(scores, influence).p_family[0, 1] < 0.01


def test_step_down_against_the_definition():
    """The largest share over steps, counted test by test; NaN is no test."""
    rng = np.random.default_rng(5)
    statistics = np.abs(rng.standard_normal((4, 400)))
    p = np.array([0.03, np.nan, 0.001, 0.2, 0.6])
    rows = {0: 0, 2: 1, 3: 2, 4: 3}
    found = step_down(p, lambda k: np.array([statistics[rows[i]] for i in k.tolist()]), 400)
    order, worst = [2, 0, 3, 4], 0.0
    for step, k in enumerate(order):
        rest = [rows[i] for i in order[step:]]
        share = (1 + (statistics[rest].max(axis=0) >= -ndtri(p[k] / 2)).sum()) / 401
        worst = max(worst, min(share, p[k] * (4 - step)))
        assert found[k] == pytest.approx(max(worst, p[k]))
    assert np.isnan(found[1])


def test_too_few_prompts_separate_nothing():
    scores = np.arange(12.0).reshape(3, 4) ** 2
    panels = Panels([["a", "b"]] * 4)
    found = all_pairs(scores, [[np.zeros(2)] * 4] * 3, panels, np.random.default_rng(0), 99)
    assert np.isnan(found.p_family).all()
    best, worst = rank_ranges(found.shift, found.p_family)
    assert best.tolist() == [1, 1, 1]
    assert worst.tolist() == [3, 3, 3]
    with pytest.raises(ValueError, match="scores must be"):
        all_pairs(scores, [[np.zeros(2)] * 4] * 2, panels, np.random.default_rng(0), 99)


def test_one_row_has_no_pairs():
    scores, influence = board(np.random.default_rng(6), [0.0])
    assert pairs_of(scores, influence).shift.tolist() == [[0.0]]


def test_a_later_step_is_never_adjusted_less_than_an_earlier_one():
    """The second test has replicates that are always 0, so that its own step alone would be significant."""
    replicates = np.array([np.full(99, 3.0), np.zeros(99)])
    found = step_down(np.array([0.04, 0.041]), lambda k: replicates[k], 99)
    assert found == pytest.approx([0.08, 0.08])


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, np.nan, 0.03, 0.005]), [0.03, 0.06, np.nan, 0.06, 0.02])
    np.testing.assert_array_equal(holm([0.9, 0.8]), [1.0, 1.0])
    assert len(holm([])) == 0
