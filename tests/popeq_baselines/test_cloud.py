"""static-cloud: its gradient is the derivative, it is the best constant set, and any n gives one law."""

from __future__ import annotations

import numpy as np
import pytest

import popeq
from popeq.metrics import DensitySettings, densities, grid_of, reflective_kantorovich
from popeq.seeding import generator
from popeq.space import PLANE, Space
from popeq_baselines import CloudParameters
from popeq_baselines.cloud import Cloud, gradient, headline
from popeq_baselines.simple import Best


def training_headline(points, train):
    return np.mean([reflective_kantorovich(points, p.responses) for p in train])


@pytest.fixture(scope="module")
def train():
    data = popeq.load_dataset("simulated-120")
    return data.labelled(data.stages[0].train)


@pytest.fixture(scope="module")
def cloud(train):
    fitted = Cloud(CloudParameters(), PLANE)
    fitted.fit(train, [], generator(0, "static-cloud"))
    return fitted


@pytest.mark.parametrize("space", [PLANE, Space(-2.0, 3.0, -1.0, 5.0)])
@pytest.mark.parametrize("n", [2, 7])
def test_the_gradient_of_the_density_is_its_finite_difference(n, space):
    grid, floor = grid_of(space, 24), DensitySettings().floor_db(space)
    rng = np.random.default_rng(n)
    points = space.clip(rng.normal(0, 3, (n, 2)))
    potential = rng.normal(size=grid.cells**2)
    found = gradient(points, potential, grid, floor)
    for i, j in np.ndindex(points.shape):
        step = np.zeros_like(points)
        step[i, j] = 1e-5
        up, down = (densities(points + s, grid, floor).reflective for s in (step, -step))
        assert found[i, j] == pytest.approx(potential @ (up - down) / 2e-5, abs=1e-8)


def test_the_gradient_of_the_headline_is_its_finite_difference(train):
    grid, floor = grid_of(PLANE, 24), DensitySettings().floor_db(PLANE)
    targets = [densities(p.responses, grid, floor).reflective for p in train[:4]]
    points = np.random.default_rng(3).uniform(-4, 4, (6, 2))
    found = gradient(points, headline(points, targets, grid, floor).potential, grid, floor)
    for i, j in ((0, 0), (2, 1), (5, 0)):
        step = np.zeros_like(points)
        step[i, j] = 1e-3
        up, down = (headline(points + s, targets, grid, floor).mean for s in (step, -step))
        assert found[i, j] == pytest.approx((up - down) / 2e-3, rel=0.02, abs=1e-4)


def test_no_pool_and_no_point_has_a_lower_training_headline(cloud, train):
    assert training_headline(cloud.points, train) == pytest.approx(cloud.headline_db)
    pool = np.concatenate([p.responses for p in train])
    best = Best(CloudParameters(), PLANE)
    best.fit(train, [], generator(0))
    assert cloud.headline_db < training_headline(pool, train) - 0.05
    assert cloud.headline_db < training_headline(best.point[None], train) - 0.5
    rng = np.random.default_rng(0)
    for spread in (0.1, 0.5, 2.0):
        moved = PLANE.clip(cloud.points + rng.normal(0, spread, cloud.points.shape))
        assert training_headline(moved, train) > cloud.headline_db - 0.01


def test_the_answers_of_a_single_prompt_are_kept():
    points = np.array([[-3.0, 1.0], [2.0, -4.0], [5.5, 5.5], [0.0, 0.0]])
    one = popeq.LabelledPrompt(popeq.Prompt("p", "", "c", "train"), points, ("a", "b", "c", "d"))
    found = Cloud(CloudParameters(points=4), PLANE)
    found.fit([one], [], generator(1))
    assert found.headline_db < 1e-6  # it starts there, and keeps the best


@pytest.mark.parametrize("n", [1, 37, 110, 250])
def test_any_number_of_draws_gives_one_law(cloud, n):
    prompt = popeq.Prompt("q", "warm", "colour")
    (drawn,) = cloud.sample([prompt], n, [generator(0, "q")])
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert set(counts) <= {n // 110, n // 110 + 1} - {0}
    firsts = cloud.sample([prompt] * 4000, n, [generator(i) for i in range(4000)])[:, 0]
    np.testing.assert_allclose(firsts.mean(axis=0), cloud.points.mean(axis=0), atol=0.2)
    np.testing.assert_allclose(firsts.std(axis=0), cloud.points.std(axis=0), rtol=0.05)


def test_the_same_generator_gives_the_same_cloud(train):
    clouds = []
    for _ in range(2):
        found = Cloud(CloudParameters(points=11, steps=5), PLANE)
        found.fit(train[:5], [], generator(7))
        clouds.append(found.points)
    np.testing.assert_array_equal(*clouds)
