"""The mixture is a density on the box, its samples follow it, and its head starts at the pooled answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_fits import fitted, learnable

from popeq.metrics import energy_score
from popeq.space import PLANE, Space
from popeq_peft.mixture import NARROWEST, WIDEST, Mixture, MixtureHead, pooled_components

OTHER = Space(-3.0, 9.0, 0.0, 4.0)


def random_mixture(space, seed=0, rows=1, components=4):
    rng = np.random.default_rng(seed)
    means = rng.uniform(space.low, space.high, (rows, components, 2))
    sds = rng.uniform(NARROWEST, WIDEST, (rows, components, 2)) * space.size
    weights = rng.dirichlet(np.ones(components), rows)
    return Mixture(*(torch.as_tensor(v) for v in (np.log(weights), means, sds)), space)


@given(st.integers(0, 1000), st.sampled_from([PLANE, OTHER]))
@settings(max_examples=15)
def test_the_density_sums_to_one_on_the_box(seed, space):
    cells = 150
    axes = [
        np.linspace(lo, hi, cells + 1)[:-1] + (hi - lo) / cells / 2
        for lo, hi in zip(space.low, space.high, strict=True)
    ]
    grid = torch.as_tensor(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(1, -1, 2))
    total = (
        float(random_mixture(space, seed).log_density(grid).exp().sum()) * float(space.size.prod()) / cells**2
    )
    assert total == pytest.approx(1.0, abs=2e-3)


def test_samples_follow_the_density():
    mixture = random_mixture(PLANE, 3)
    samples = mixture.sample(40_000, np.random.default_rng(0))
    assert PLANE.contains(samples).all()
    counts, edges, _ = np.histogram2d(*samples.T, bins=8, range=[(-6, 6)] * 2)
    fine = np.linspace(-6, 6, 161)[:-1] + 12 / 320
    grid = torch.as_tensor(np.stack(np.meshgrid(fine, fine, indexing="ij"), axis=-1).reshape(1, -1, 2))
    mass = mixture.log_density(grid).exp().numpy().reshape(8, 20, 8, 20).sum(axis=(1, 3)) * (12 / 160) ** 2
    z = (counts - mass * 40_000) / np.sqrt(mass * 40_000 + 1)
    assert np.abs(z).max() < 5
    assert len(edges) == 9


@given(st.floats(-200, 200), st.floats(-200, 200))
def test_folding_stays_inside_and_keeps_what_is_inside(x, y):
    folded = OTHER.fold([[x, y]])
    assert OTHER.contains(folded).all()
    inside = OTHER.clip([[x, y]])
    np.testing.assert_allclose(OTHER.fold(inside), inside, atol=1e-9)
    np.testing.assert_allclose(OTHER.fold(2 * OTHER.high - inside), inside, atol=1e-9)


def test_energy_score_and_gradient_are_those_of_samples():
    mixture = random_mixture(PLANE, 5)
    responses = torch.as_tensor(np.random.default_rng(1).uniform(-6, 6, (1, 11, 2)))
    torch.manual_seed(0)
    found = np.mean(
        [float(mixture.energy_scores(responses, torch.ones(1, 11, dtype=bool))) for _ in range(200)]
    )
    drawn = mixture.sample(4000, np.random.default_rng(2))
    assert found == pytest.approx(energy_score(drawn, responses[0].numpy()), abs=0.05)


def test_the_untrained_head_is_the_pooled_mixture_whatever_the_sentence():
    rng = np.random.default_rng(0)
    points = PLANE.clip(np.concatenate([rng.normal(-3, 1, (200, 2)), rng.normal(3, 0.7, (100, 2))]))
    pooled = pooled_components(points, 6, PLANE, rng)
    head = MixtureHead(8, pooled, 0.3, PLANE).eval()
    a, b = head(torch.randn(2, 8)).log_density(torch.as_tensor(points[None, :50]).float().repeat(2, 1, 1))
    torch.testing.assert_close(a, b)
    samples = head(torch.randn(1, 8)).sample(4000, rng)
    np.testing.assert_allclose(samples.mean(axis=0), points.mean(axis=0), atol=0.25)
    np.testing.assert_allclose(samples.std(axis=0), points.std(axis=0), atol=0.25)


def test_more_components_than_points_are_as_many_as_points():
    weights, means, sds = pooled_components(
        np.array([[0.0, 1.0], [2.0, 3.0]]), 9, PLANE, np.random.default_rng(0)
    )
    assert len(weights) == len(means) == len(sds) == 2


@pytest.mark.parametrize("loss", ["nll", "energy", "sinkhorn"])
@pytest.mark.parametrize("method", ["none", "lora"])
def test_training_and_its_validation_scores_depend_on_the_seed_alone(loss, method):
    """Not on what was drawn from torch's own generator before, whose seed differs between processes."""
    options = {"loss": loss, "method": method, "ensemble": 1, "epochs": 3}
    histories = []
    for state in (1, 2):
        torch.manual_seed(state)
        histories.append(fitted("head-mixture", options, train=learnable(8)).records[0].history)
        assert torch.initial_seed() == state
    assert histories[0] == histories[1]
