"""Protocol 2 draws enough samples that a board's mean hardly depends on the seed: the small form of
``python -m tests.bench.draw_noise``."""

from __future__ import annotations

import numpy as np
import pytest
from tests.bench.draw_noise import DATASET, deviation_of_mean, drawn, fitted

import popeq
from popeq.board.scoring import Scorer
from popeq.protocol import PROTOCOL_1, PROTOCOL_2

MOST_DB = 0.02


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(popeq.load_dataset(DATASET), PROTOCOL_2)


def test_the_deviation_of_a_mean_is_found_where_it_is_known():
    scores = np.random.default_rng(0).normal(2.0, 0.3, (400, 30))
    assert deviation_of_mean(scores) == pytest.approx(0.3 / np.sqrt(30), rel=0.02)
    assert deviation_of_mean(scores) == pytest.approx(scores.mean(axis=1).std(ddof=1), rel=0.15)


@pytest.mark.parametrize("name", ["random", "prior"])
def test_protocol_2_leaves_little_chance_where_protocol_1_did_not(name, scorer):
    """The widest predictors; eight draws give their deviation to about 5 %."""
    predictor = fitted(name, {}, scorer.dataset)
    before, now = (
        deviation_of_mean(drawn(predictor, scorer, protocol.n_samples, 8)[0])
        for protocol in (PROTOCOL_1, PROTOCOL_2)
    )
    assert now <= MOST_DB * 1.1
    assert before > 2 * MOST_DB
