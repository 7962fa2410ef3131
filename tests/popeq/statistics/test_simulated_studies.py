"""The simulations behind docs/statistics.md in a small form: real scores in studies whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from tests.bench.coverage import MOVES, rates, simulate
from tests.bench.ranks import board
from tests.bench.worlds import study


def test_prompts_that_share_listeners_are_no_independent_evidence():
    """Two equally good predictors, 60 prompts, the same 11 people: the signed rank is wrong far too often."""
    found = rates([simulate(seed, 60, True, MOVES["none, other errors"], 22) for seed in range(30)])
    assert abs(found["truth"]) < 0.15
    assert found["signed rank"] >= 0.15
    assert found["significant"] <= found["signed rank"] / 2
    assert found["coverage"] >= 0.85


def test_the_world_is_that_of_the_bundled_set():
    """Spread inside a prompt and share at the edge as SIMULATION says of simulated-120 (2.4, 2.7; 13 %)."""
    rng = np.random.default_rng(0)
    world = study(400, rng, shared=False)
    spread = world.answers.std(axis=1, ddof=1).mean(axis=0)
    assert spread == pytest.approx([2.4, 2.7], abs=0.35)
    assert np.mean(np.any(np.abs(world.answers) >= 6, axis=2)) == pytest.approx(0.13, abs=0.06)
    shared = study(30, rng, shared=True)
    assert len({name for names in shared.listeners for name in names}) == 11


def test_hopeless_rows_separate_nobody_on_a_board_of_real_scores():
    for seed in range(2):
        found = board(seed, 12, True, 22)
        assert found["pairs that hopeless rows separated"] == 0.0
        assert found["twins share a rank"] == 1.0
