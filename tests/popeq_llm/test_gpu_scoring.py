"""The scripts for a GPU: bounds of many distances at once hold, and on the CPU a tiny shape is measured."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tests.bench.gpu import scoring_and_sampling
from tests.bench.gpu.transport_bounds import transport_bounds

from popeq.metrics import grid_of, grid_wasserstein
from popeq.space import PLANE


@pytest.fixture(scope="module")
def pairs():
    """Densities on a small grid: random, concentrated, equal but for a cell, and equal."""
    rng = np.random.default_rng(0)
    a, b = rng.dirichlet(np.full(100, 0.3), (2, 6))
    a[4], b[4] = np.eye(100)[0], np.eye(100)[99]
    b[5] = a[5]
    return a, b


@pytest.mark.parametrize(("stages", "iterations"), [(1, 1), (3, 5), (16, 100)])
def test_bounds_hold_however_far_the_iteration_has_come(pairs, stages, iterations):
    grid = grid_of(PLANE, 10)
    exact = np.array([grid_wasserstein(x, y, grid) for x, y in zip(*pairs, strict=True)])
    tensors = [torch.tensor(x, dtype=torch.float64) for x in (*pairs, grid.distances)]
    low, high = (x.numpy() for x in transport_bounds(*tensors, stages=stages, iterations=iterations, chunk=4))
    assert (low <= exact + 1e-9).all()
    assert (exact <= high + 1e-9).all()
    assert low[5] == high[5] == 0.0
    if iterations == 100:
        assert ((high - low) <= 0.01 * exact).all()


def test_the_script_measures_and_says_that_there_was_no_card(tmp_path, capsys):
    file = tmp_path / "figures.json"
    tiny = [
        "--device",
        "cpu",
        "--shape",
        "tiny",
        "--prompts",
        "1",
        "--sampled",
        "2",
        "--samples",
        "5",
        "--iterations",
        "5",
    ]
    assert scoring_and_sampling.main([*tiny, "--json", str(file)]) == 0
    figures = json.loads(file.read_text())
    (scored,) = figures["scoring"]
    assert scored["seen_error"] <= scored["proven_error"] < 0.2
    assert [row["samples_per_s"] > 0 for row in figures["sampling"]] == [True, True]
    assert figures["limit of one token a pass, tokens/s"] > 0
    assert "no GPU was measured" in capsys.readouterr().out


def test_without_a_card_it_refuses_in_a_line(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert scoring_and_sampling.main([]) == 2
    err = capsys.readouterr().err
    assert err.startswith("scoring_and_sampling: there is no CUDA card")
    assert err.count("\n") == 1
