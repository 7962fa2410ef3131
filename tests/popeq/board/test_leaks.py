"""Copied answers are flagged, honest rows are not, wherever the truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from tests.bench.leaks import (
    SHARES,
    World,
    committed,
    copied_shares,
    honest,
    leaked,
    real_worlds,
    rows_of,
    signs,
    simulated_worlds,
)
from tests.conftest import shared_file, write_small_dataset

import popeq
from popeq.board.leaks import (
    ALPHA,
    copied,
    copying_p,
    other_panel,
    tail_of_sum,
    too_good,
    two_panel_p,
)
from popeq.board.leaks import signs as board_signs
from popeq.board.scoring import ReferenceLine, Scorer
from popeq.metrics import HEADLINE
from popeq.protocol import DEFAULT_PROTOCOL


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    return list(simulated_worlds(3, 220))


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> dict[str, World]:
    shared_file("safe", "SAFEEqualiserUserData.csv")
    shared_file("socialeq", "eq_contributions.csv")
    return real_worlds(tmp_path_factory.mktemp("real"))


@pytest.mark.parametrize("kind", ["prior", "knn"])
@pytest.mark.parametrize("jitter_db", [0.0, 0.05, 0.2])
def test_every_mixture_is_flagged_and_no_honest_row(worlds, kind, jitter_db):
    shares = copied_shares(iter(worlds), kind, jitter_db, 220)
    assert shares == [0.0, *(1.0 for _ in SHARES)]


@pytest.mark.parametrize("kind", ["prior", "knn"])
def test_real_listeners_who_repeat_themselves_do_not_make_an_honest_row_look_copied(real, kind):
    assert set(real) == {"safe-lab", "socialeq"}
    for world in real.values():
        for jitter_db in (0.0, 0.05, 0.2):
            assert copied_shares(iter([world]), kind, jitter_db, 220) == [0.0, *(1.0 for _ in SHARES)]


def test_an_answer_that_is_a_training_answer_too_is_no_sign(worlds):
    """The predictor hits many of the tested points, all of which it was given."""
    dataset, scorer = worlds[0].tested.dataset, worlds[0].tested
    given = {tuple(p) for p in dataset.pooled(dataset.stages[0].train)}
    known = [np.array([a for a in t.responses if tuple(a) in given]) for t in scorer.targets]
    assert sum(len(k) > 0 for k in known) > 5
    rows = honest(dataset, "prior", 220, np.random.default_rng(0), 0.0)
    for row, points in zip(rows, known, strict=True):
        if len(points):
            row[:] = points[np.arange(len(row)) % len(points)]
    assert copying_p(rows, scorer) == 1.0


def test_all_tested_answers_in_one_pool_are_no_copies_of_ones_own(worlds):
    scorer, rng = worlds[0].tested, np.random.default_rng(1)
    everyones = np.concatenate([t.responses for t in scorer.targets])
    assert copied(everyones[rng.integers(len(everyones), size=(len(scorer.targets), 220))], scorer) == []


def test_honest_points_on_a_coarse_grid_are_no_copies(worlds):
    """A model that answers in whole or half dB hits rounded answers by habit."""
    world = worlds[0]
    for step in (0.1, 0.5, 1.0):
        assert copying_p(np.round(world.population[:, :220] / step) * step, world.tested) > 0.01


@pytest.mark.parametrize("alone", [False, True])
def test_settings_of_the_control_are_no_copies_where_other_folds_train(alone):
    """Answers of other folds are training answers, samples on which do not count: they show nothing."""
    data = popeq.load_dataset("simulated-120@folds-30" if alone else "simulated-tracks")
    whole, rng = Scorer(data, DEFAULT_PROTOCOL), np.random.default_rng(6)
    keep = np.arange(len(whole.prompt_ids))
    if alone:
        keep = np.array([whole.prompt_ids.index(stage.test[0]) for stage in data.stages])
    scorer = whole.only(keep)
    base = np.round(rng.uniform(-6.0, 6.0, (len(keep), 440, 2)), 1)
    assert copying_p(base, scorer) > 0.01
    for own, target in zip(base, scorer.targets, strict=True):
        own[:44] = target.responses[np.arange(44) % len(target.responses)]
    assert copying_p(base, scorer) <= ALPHA


def test_a_coarse_grid_is_no_copy_where_everybody_answers_on_it_and_other_folds_train(tmp_path):
    """Near an answer lie no other places of the grid, so that the larger radii see the place itself alone."""
    folder = write_small_dataset(tmp_path / "data", folds=True, prompts=60)
    answers = pd.read_csv(folder / "responses.csv")
    rng = np.random.default_rng(7)
    answers[["x_db", "y_db"]] = rng.integers(-23, 24, (len(answers), 2)) / 4.0
    answers.to_csv(folder / "responses.csv", index=False)
    scorer = Scorer(popeq.load_dataset(folder), DEFAULT_PROTOCOL)
    assert copying_p(rng.integers(-23, 24, (60, 440, 2)) / 4.0, scorer) > 0.01


def test_the_perfect_predictor_is_not_flagged_and_blurred_copies_are(worlds):
    for world in worlds[:2]:
        rows = {
            name: signs(world, row) for name, row in rows_of(world, 220, np.random.default_rng(0)).items()
        }
        assert not any(rows["perfect predictor"] + rows["`prior`"] + rows["`knn`"])
        for name, flags in rows.items():
            if name.startswith("100%"):
                assert flags[2], name
            if name.endswith("leaked, 0 dB"):
                assert flags[0], name


def test_no_committed_run_is_flagged():
    runs = committed()
    assert len(runs) > 30
    assert [name for name, p in runs if p <= ALPHA] == []


def test_a_flag_is_one_line_and_there_is_none_without_cause(worlds):
    dataset, scorer = worlds[1].tested.dataset, worlds[1].tested
    rng = np.random.default_rng(2)
    base = honest(dataset, "prior", 110, rng, 0.0)
    assert copied(base, scorer) == []
    (line,) = copied(leaked(base, dataset, 0.1, rng, 0.0), scorer)
    assert "own answers" in line
    assert "\n" not in line


def test_some_of_the_prompts_can_be_looked_at_alone(worlds):
    scorer, rng = worlds[0].tested, np.random.default_rng(3)
    keep = [3, 4, 9, 11, 20, 25]
    rows = leaked(honest(scorer.dataset, "prior", 110, rng, 0.0), scorer.dataset, 0.5, rng, 0.0)
    assert copying_p(rows[keep], scorer.only(keep)) <= ALPHA


def test_the_tail_is_the_binomials_where_all_chances_are_equal():
    for observed in (0, 1, 7, 12):
        assert tail_of_sum(observed, np.full(12, 0.3)) == pytest.approx(binom.sf(observed - 1, 12, 0.3))
    assert tail_of_sum(0, np.empty(0)) == 1.0


def test_the_two_panel_test_is_one_sided_and_holds_its_level_at_the_margin():
    rng = np.random.default_rng(4)
    zero = np.zeros(30)
    p = [two_panel_p(zero, rng.normal(0.2, 0.8, 30), zero, zero) for _ in range(4000)]
    for level in (0.5, 0.05, 0.01):
        assert np.mean(np.array(p) <= level) == pytest.approx(level, abs=4 * np.sqrt(level / 4000))
    better_elsewhere = two_panel_p(zero + 1, rng.normal(0, 0.8, 30), zero, zero)
    assert better_elsewhere > 0.99
    assert other_panel(zero, rng.normal(1.2, 0.8, 30), zero, zero)
    assert other_panel(zero, zero, zero, zero) == []
    assert two_panel_p(zero[:1], zero[:1] + 9, zero[:1], zero[:1]) == 1.0


def test_a_mean_is_too_good_only_far_below_the_line():
    perfect = ReferenceLine("perfect", "made up", {HEADLINE: np.full(4, 0.2)})
    assert "far below" in too_good(0.14, perfect)[0]
    assert too_good(0.16, perfect) == too_good(0.1, None) == []


def test_a_board_looks_at_the_second_panel_too():
    """On simulated-120 itself: a committed honest run has no sign, copies of all answers have two."""
    data = popeq.load_dataset("simulated-120")
    scorer, rng = Scorer(data, DEFAULT_PROTOCOL), np.random.default_rng(5)
    base = honest(data, "prior", DEFAULT_PROTOCOL.n_samples, rng, 0.0)
    assert board_signs(base, scorer.score(base), scorer) == []
    copies = leaked(base, data, 1.0, rng, 0.1)
    found = board_signs(copies, scorer.score(copies), scorer)
    assert ["own answers" in found[0], "other listeners" in found[1]] == [True, True]
