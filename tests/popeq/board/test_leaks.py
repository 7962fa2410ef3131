"""Leaked answers are flagged, honest predictors are not: the small form of tests/bench/leaks.py."""

from __future__ import annotations

import numpy as np
import pytest
from tests.bench.leaks import by_prior, leaked, panel_p, panels
from tests.conftest import ROOT, shared_file

import popeq
from popeq.board.leaks import ALPHA, copying_p, signs, too_good, two_panel_p
from popeq.board.scoring import Scorer
from popeq.protocol import DEFAULT_PROTOCOL, PROTOCOL_1
from popeq.runs.folder import find_runs


@pytest.fixture(scope="module")
def scorer():
    return Scorer(popeq.load_dataset(), DEFAULT_PROTOCOL)


@pytest.fixture(scope="module")
def honest(scorer):
    return by_prior(scorer, np.random.default_rng(0))


@pytest.mark.parametrize("noise_db", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.25, 0.1])
def test_a_mixture_with_leaked_answers_is_flagged(scorer, honest, share, noise_db):
    samples = leaked(honest, scorer, share, noise_db, np.random.default_rng(1))
    assert copying_p(samples, scorer) <= ALPHA


def test_answers_are_found_at_110_samples_with_every_digit_too(scorer):
    first = Scorer(scorer.dataset, PROTOCOL_1)
    rng = np.random.default_rng(2)
    samples = by_prior(first, rng)[:, :110] + 1e-5
    assert copying_p(samples, first) > 0.01
    for own, target in zip(samples, first.targets, strict=True):
        own[:11] = target.responses[rng.integers(11, size=11)]
    assert copying_p(samples, first) <= ALPHA


def test_no_honest_row_of_the_committed_board_is_flagged(scorer):
    data = scorer.dataset
    runs = find_runs(ROOT / "leaderboard/results/simulated-120")[0]
    assert len(runs) >= 45
    for run in runs:
        own = Scorer(data, run.record.protocol) if run.record.protocol != scorer.protocol else scorer
        samples = run.samples(data.test_ids, data.space)
        assert copying_p(samples, own) > 0.01, run.folder.name
        if run.record.seed == 0:
            assert panel_p(samples, own) > 0.01, run.folder.name


def test_a_perfect_predictor_is_not_flagged():
    for tested, samples in panels(8):
        assert copying_p(samples, tested) > 0.01


def test_a_second_panel_sees_whole_leaks(scorer, honest):
    rng = np.random.default_rng(3)
    assert panel_p(honest, scorer) > 0.1
    for share in (1.0, 0.5):
        samples = leaked(honest, scorer, share, 0.1, rng)
        table = scorer.score(samples)
        assert panel_p(samples, scorer) <= ALPHA
        assert any("other listeners" in flag for flag in signs(samples, table, scorer))
    assert two_panel_p(np.ones(9), np.ones(9), np.ones(9), np.ones(9)) == 1.0
    assert two_panel_p(np.ones(9), np.full(9, 3.0), np.ones(9), np.ones(9)) == 0.0
    assert two_panel_p(np.ones(1), np.ones(1), np.ones(1), np.ones(1)) == 1.0


def test_honest_knn_inside_a_real_laboratory_is_not_flagged(popeq_inside, tmp_path):
    """The same people repeat their settings in training prompts, which knn copies."""
    path = shared_file("safe", "SAFEEqualiserUserData.csv")
    assert popeq_inside("data", "import", "safe", path, "-o", "lab").returncode == 0
    assert popeq_inside("run", "knn", "prior", "--dataset", "lab", "--quiet").returncode == 0
    data = popeq.load_dataset(tmp_path / "lab")
    tested = Scorer(data, DEFAULT_PROTOCOL)
    for run in find_runs(tmp_path / "runs")[0]:
        samples = run.samples(data.test_ids, data.space)
        assert copying_p(samples, tested) > 0.01, run.record.predictor.name
        assert copying_p(leaked(samples, tested, 0.1, 0.0, np.random.default_rng(4)), tested) <= ALPHA


def test_a_mean_far_below_the_perfect_line_is_flagged():
    assert "below the perfect" in too_good(0.1, np.full(4, 0.2))[0]
    assert too_good(0.19, np.full(4, 0.2)) == too_good(0.1, None) == []
