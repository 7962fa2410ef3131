"""Laws and independent oracles of the four scores."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import ot
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import pdist
from scipy.stats import gaussian_kde, multivariate_normal, wasserstein_distance_nd

from popeq import metrics
from popeq.metrics import (
    SCORES,
    DensitySettings,
    Target,
    energy_score,
    grid_transport,
    grid_wasserstein,
    kantorovich,
    point_wasserstein,
    reflective_kantorovich,
    sample_kantorovich,
)
from popeq.metrics.kde import bandwidth, densities, grid_of, summed_kernels, unnormalised_densities
from popeq.metrics.scores import mean_distance
from popeq.space import PLANE, Space

DISTANCES = (kantorovich, reflective_kantorovich, sample_kantorovich)
COARSE = DensitySettings(cells=12)
GRID = grid_of(PLANE, 12)


def distance(score, a, b):
    """A distance on a coarse grid, to keep the laws quick."""
    return score(a, b) if score is sample_kantorovich else score(a, b, settings=COARSE)


def points(low=-6.0, high=6.0, least=1, most=12):
    value = st.floats(low, high, allow_nan=False, width=32).map(lambda v: round(v, 2))
    return st.integers(least, most).flatmap(lambda n: arrays(np.float64, (n, 2), elements=value))


@pytest.mark.parametrize("score", DISTANCES)
@given(a=points())
def test_identity(score, a):
    assert distance(score, a, a) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("score", DISTANCES)
@given(a=points(), b=points())
def test_symmetry_and_sign(score, a, b):
    forth, back = distance(score, a, b), distance(score, b, a)
    assert forth >= 0
    assert forth == pytest.approx(back, abs=1e-9)


@pytest.mark.parametrize("score", DISTANCES)
@settings(max_examples=60)
@given(a=points(), b=points(), c=points())
def test_triangle_inequality(score, a, b, c):
    assert distance(score, a, c) <= distance(score, a, b) + distance(score, b, c) + 1e-9


@pytest.mark.parametrize("score", [*DISTANCES, energy_score])
@given(a=points(least=2), b=points(least=2), seed=st.integers(0, 2**31))
def test_order_of_points_does_not_matter(score, a, b, seed):
    rng = np.random.default_rng(seed)
    assert score(rng.permutation(a), rng.permutation(b)) == pytest.approx(score(a, b), abs=1e-9)


@given(a=points(), b=points(), times=st.integers(2, 4))
def test_repeating_every_point_does_not_change_the_sample_distance(a, b, times):
    repeated = sample_kantorovich(np.repeat(a, times, axis=0), b)
    assert repeated == pytest.approx(sample_kantorovich(a, b), abs=1e-9)


@pytest.mark.parametrize("by_numpy", [False, True])
@given(
    a=points(most=30),
    slope=st.floats(-0.999, 0.999),
    spread=st.tuples(st.floats(0.05, 3.0), st.floats(0.05, 3.0)),
)
def test_kernels_summed_as_a_product_are_those_summed_one_by_one(by_numpy, a, slope, spread):
    covariance = np.outer(spread, spread) * np.array([[1.0, slope], [slope, 1.0]])
    ghosts = (5, 9)
    with pytest.MonkeyPatch.context() as patch:
        if by_numpy:
            patch.setenv("POPEQ_SOLVER", "pot")
        found = summed_kernels(a, GRID, covariance, ghosts)
    apart = multivariate_normal(np.zeros(2), covariance)
    x, y = np.meshgrid(GRID.axis(0, 5), GRID.axis(1, 9), indexing="ij")
    places = np.stack([x, y], axis=-1)
    plain = sum(apart.pdf(places - point) for point in a) * GRID.step.prod()
    np.testing.assert_allclose(found, plain, rtol=1e-9, atol=1e-12)


def test_kernels_without_a_width_are_an_error():
    line = np.linspace(-3, 3, 7)[:, None] * [1.0, 1.0]
    with pytest.raises(ValueError, match="no width along one direction"):
        densities(line, GRID, 0.0)


def test_a_grid_sent_to_a_process_is_the_one_it_has():
    grid = grid_of(PLANE, 12)
    assert grid.distances.nbytes > 100_000
    sent = pickle.dumps(grid)
    assert len(sent) < 1000
    assert pickle.loads(sent) is grid


@given(a=points(), times=st.integers(2, 4))
def test_repeating_every_point_does_not_change_the_densities_at_equal_bandwidth(a, times):
    covariance = bandwidth(a, 0.3)
    once = densities(a, GRID, 0.3, covariance)
    often = densities(np.repeat(a, times, axis=0), GRID, 0.3, covariance)
    np.testing.assert_allclose(once.standard, often.standard, atol=1e-12)
    np.testing.assert_allclose(once.reflective, often.reflective, atol=1e-12)


@settings(max_examples=30)
@given(
    a=points(-0.5, 0.5, least=2, most=8),
    cells=st.tuples(st.integers(-2, 2), st.integers(-2, 2)),
)
def test_moving_everything_by_whole_cells_costs_that_distance_far_from_the_edges(a, cells):
    a = a * 0.4  # narrow: the kernels end long before the edges
    move = np.array(cells) * 0.5
    for score in DISTANCES:
        assert score(a, a + move) == pytest.approx(np.hypot(*move), abs=1e-6)


@pytest.mark.parametrize("shift", [0.13, 0.37, 0.71, 1.9])
def test_moving_by_any_distance_costs_it_up_to_the_grid(shift):
    a = np.random.default_rng(3).normal(0, 0.5, (60, 2))
    move = shift * np.array([0.6, 0.8])
    assert sample_kantorovich(a, a + move) == pytest.approx(shift, abs=1e-9)
    for score in (kantorovich, reflective_kantorovich):
        assert score(a, a + move) == pytest.approx(shift, rel=0.02)


@given(a=points(-1.0, 1.0, least=3))
def test_far_from_the_edges_reflection_changes_nothing(a):
    a = a * 0.5
    found = densities(a, grid_of(PLANE, 24), 0.3)
    np.testing.assert_allclose(found.reflective, found.standard, atol=1e-5)


@given(a=points())
@example(a=np.array([[6.0, 6.0]]))
@example(a=np.array([[-6.0, 6.0], [6.0, -6.0]]))
def test_reflection_keeps_all_the_mass(a):
    grid = grid_of(PLANE, 24)
    raw = unnormalised_densities(a, grid, bandwidth(a, 0.3))
    # the midpoint rule on the narrowest legal kernel (0.3 dB SD, 0.5 dB cells) is off by less than 0.4 %
    assert raw.reflective.sum() == pytest.approx(1.0, abs=4e-3)
    assert raw.standard.sum() <= raw.reflective.sum() + 1e-12
    wide = unnormalised_densities(a, grid, bandwidth(a, 0.3) + np.eye(2))
    assert wide.reflective.sum() == pytest.approx(1.0, abs=1e-6)


def test_reflection_of_a_tilted_kernel_mirrors_it():
    """Brute force: drop many normal draws around a corner and fold them back by hand."""
    rng = np.random.default_rng(0)
    centre, covariance = np.array([[5.2, -5.5]]), np.array([[1.5, 0.9], [0.9, 1.2]])
    draws = rng.multivariate_normal(centre[0], covariance, 2_000_000)
    for _ in range(3):
        draws = np.where(draws > 6, 12 - draws, draws)
        draws = np.where(draws < -6, -12 - draws, draws)
    counted, *_ = np.histogram2d(*draws.T, bins=24, range=[[-6, 6], [-6, 6]])
    found = densities(centre, grid_of(PLANE, 24), 0.3, covariance).reflective.reshape(24, 24)
    assert np.abs(counted / counted.sum() - found).sum() < 0.02


def test_reflection_has_the_smaller_error_at_the_edge_for_a_truncated_normal():
    """Half-normal along x at the edge: its true cell masses are known."""
    from scipy.stats import norm

    rng = np.random.default_rng(5)
    edges = np.linspace(-6, 6, 25)
    along_x = np.diff(norm.cdf(edges, 6, 2)) / (norm.cdf(6, 6, 2) - norm.cdf(-6, 6, 2))
    along_y = np.diff(norm.cdf(edges, 0, 1.5)) / (norm.cdf(6, 0, 1.5) - norm.cdf(-6, 0, 1.5))
    truth = np.outer(along_x, along_y).ravel()
    grid = grid_of(PLANE, 24)
    distance, at_edge = [], []
    for _ in range(20):
        draws = np.stack([6 - np.abs(rng.normal(0, 2, 200)), rng.normal(0, 1.5, 200)], axis=1)
        found = densities(PLANE.clip(draws), grid, 0.3)
        distance.append([grid_wasserstein(masses, truth, grid) for masses in found])
        at_edge.append([masses.reshape(24, 24)[-1].sum() for masses in found])
    standard, reflective = np.mean(distance, axis=0)
    assert reflective < 0.85 * standard
    standard_bias, reflective_bias = np.abs(np.mean(at_edge, axis=0) - along_x[-1]) / along_x[-1]
    assert standard_bias > 0.25  # the standard density loses mass over the edge
    assert reflective_bias < 0.1


def test_the_standard_density_is_that_of_scipy_without_a_floor():
    a = np.random.default_rng(2).normal(0, 1.5, (40, 2))
    grid = grid_of(PLANE, 24)
    theirs = gaussian_kde(a.T, bw_method="scott")(grid.centres.T)
    ours = densities(a, grid, 0.0).standard
    np.testing.assert_allclose(ours, theirs / theirs.sum(), atol=1e-12)


@settings(max_examples=25)
@given(a=points(most=7), b=points(most=7))
def test_sample_distance_equals_scipys_linear_programme(a, b):
    assert sample_kantorovich(a, b) == pytest.approx(wasserstein_distance_nd(a, b), abs=1e-7)


def test_sample_distance_in_one_dimension_is_the_area_between_the_quantile_functions():
    from scipy.stats import wasserstein_distance

    rng = np.random.default_rng(8)
    x, y = rng.uniform(-6, 6, 9), rng.uniform(-6, 6, 6)
    flat = sample_kantorovich(np.stack([x, 0 * x], 1), np.stack([y, 0 * y], 1))
    assert flat == pytest.approx(wasserstein_distance(x, y), abs=1e-9)


@settings(max_examples=25)
@given(a=points(most=20), b=points(most=20))
def test_grid_distance_equals_dense_optimal_transport_without_shortcuts(a, b):
    one, other = densities(a, GRID, 0.3), densities(b, GRID, 0.3)
    for p, q in zip(one, other, strict=True):
        dense = ot.emd2(p, q, GRID.distances, numItermax=10_000_000)
        assert grid_wasserstein(p, q, GRID) == pytest.approx(dense, abs=1e-9)


def test_scores_on_the_protocol_grid_equal_dense_optimal_transport():
    rng = np.random.default_rng(4)
    a, b = rng.uniform(-6, 6, (110, 2)), PLANE.clip(rng.normal(2, 2, (11, 2)))
    grid = grid_of(PLANE, 24)
    for score, kind in ((kantorovich, 0), (reflective_kantorovich, 1)):
        dense = ot.emd2(
            densities(a, grid, 0.3)[kind],
            densities(b, grid, 0.3)[kind],
            grid.distances,
            numItermax=10_000_000,
        )
        assert score(a, b) == pytest.approx(dense, abs=1e-9)


@settings(max_examples=40)
@given(a=points(most=15), b=points(most=15))
def test_the_potential_proves_the_cost(a, b):
    """Weak duality: no 1-Lipschitz function does better than the cost, and this one reaches it."""
    p, q = densities(a, GRID, 0.3).reflective, densities(b, GRID, 0.3).reflective
    cost, potential, _ = grid_transport(p, q, GRID)
    steepness = np.abs(potential[:, None] - potential[None, :]) - GRID.distances
    assert steepness.max() <= 1e-9
    assert potential @ (p - q) == pytest.approx(cost, abs=1e-9)


def test_the_protocol_grid_is_fine_enough():
    rng = np.random.default_rng(6)
    for _ in range(4):
        a = PLANE.clip(rng.normal(rng.normal(0, 2, 2), 2.4, (110, 2)))
        b = PLANE.clip(rng.normal(rng.normal(0, 2, 2), 2.4, (11, 2)))
        fine = reflective_kantorovich(a, b, settings=DensitySettings(cells=48))
        assert reflective_kantorovich(a, b) == pytest.approx(fine, rel=0.004)


@given(a=points(least=2), b=points())
def test_energy_score_by_its_definition(a, b):
    cross = np.mean([np.linalg.norm(x - y) for x in a for y in b])
    n = len(a)
    inner = sum(np.linalg.norm(a[i] - a[k]) for i in range(n) for k in range(n) if i != k)
    assert energy_score(a, b) == pytest.approx(cross - inner / (2 * n * (n - 1)), abs=1e-9)


def test_energy_score_is_unbiased_and_proper():
    """Its mean does not depend on the number of samples, and the truth has the least expected score."""
    rng = np.random.default_rng(7)

    def mean_score(spread, n, repeats=4000):
        scores = [
            energy_score(rng.normal(0, spread, (n, 2)).clip(-6, 6), rng.normal(0, 1, (3, 2)).clip(-6, 6))
            for _ in range(repeats)
        ]
        return np.mean(scores), np.std(scores) / np.sqrt(repeats)

    (few, few_error), (many, many_error) = mean_score(1.0, 2), mean_score(1.0, 30)
    assert abs(few - many) < 4 * np.hypot(few_error, many_error)
    for wrong in (0.4, 1.8):
        score, error = mean_score(wrong, 30)
        assert score > many + 2 * np.hypot(error, many_error)


def test_one_repeated_point_is_legal_and_costs_the_mean_distance():
    rng = np.random.default_rng(9)
    here, listeners = np.tile([1.0, -2.0], (110, 1)), rng.uniform(-6, 6, (11, 2))
    expected = np.linalg.norm(listeners - [1.0, -2.0], axis=1).mean()
    assert sample_kantorovich(here, listeners) == pytest.approx(expected, abs=1e-9)
    assert np.isfinite(reflective_kantorovich(here, listeners))


def test_a_pass_over_all_scores_gives_the_single_functions_values():
    rng = np.random.default_rng(10)
    a, b = rng.uniform(-6, 6, (110, 2)), PLANE.clip(rng.normal(3, 2, (11, 2)))
    scored = Target(b).score(a)
    assert tuple(scored.values) == SCORES
    for name, value in scored.values.items():
        assert value == pytest.approx(getattr(metrics, name)(a, b), abs=1e-12)


@pytest.mark.parametrize("name", ["reflective_kantorovich", "kantorovich"])
def test_a_listeners_influence_is_the_derivative_of_the_score(name):
    """Finite differences: give one listener a little more weight in the density, at fixed bandwidth."""
    from popeq.metrics.kde import kernel_masses

    rng = np.random.default_rng(11)
    a, b = PLANE.clip(rng.normal(0, 3, (110, 2))), PLANE.clip(rng.normal(1.5, 2, (7, 2)))
    grid = grid_of(PLANE, 24)
    kind = "reflective" if name.startswith("reflective") else "standard"
    predicted = getattr(densities(a, grid, 0.3), kind)
    kernels = getattr(kernel_masses(b, grid, 0.3), kind)
    influence = Target(b).score(a).influence[name]
    assert influence.sum() == pytest.approx(0.0, abs=1e-9)

    def weighted(weights):
        mass = weights @ kernels
        return grid_wasserstein(predicted, mass / mass.sum(), grid)

    step = 1e-4
    for j in range(len(b)):
        up, down = np.full(7, 1 / 7), np.full(7, 1 / 7)
        up[j] += step
        down[j] -= step
        slope = (weighted(up / up.sum()) - weighted(down / down.sum())) / (2 * step)
        assert influence[j] == pytest.approx(slope, abs=0.02)


@pytest.mark.parametrize("name", SCORES)
def test_the_batch_form_is_the_single_form_prompt_by_prompt(name):
    rng = np.random.default_rng(12)
    samples = rng.uniform(-6, 6, (3, 20, 2))
    responses = [rng.uniform(-6, 6, (m, 2)) for m in (3, 5, 11)]
    single, batch = getattr(metrics, name), getattr(metrics, f"{name}_batch")
    expected = [single(s, r) for s, r in zip(samples, responses, strict=True)]
    np.testing.assert_allclose(batch(samples, responses), expected, atol=1e-12)
    with pytest.raises(ValueError, match="3 prompts"):
        batch(samples[:2], responses)


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (np.zeros((0, 2)), "shape"),
        (np.zeros((4, 3)), "shape"),
        (np.array([[np.nan, 0.0]]), "finite"),
        (np.array([[np.inf, 0.0]]), "finite"),
        (np.array([[6.01, 0.0]]), "inside the box"),
    ],
)
def test_bad_points_are_refused(name, bad, says):
    score, good = getattr(metrics, name), np.zeros((3, 2))
    with pytest.raises(ValueError, match=says):
        score(bad, good)
    with pytest.raises(ValueError, match=says):
        score(good, bad)


def test_another_box_scales_the_scores():
    rng = np.random.default_rng(13)
    a, b = rng.uniform(-6, 6, (30, 2)), rng.uniform(-6, 6, (9, 2))
    for factor in (0.01, 2.0, 100.0):
        box = Space(-6 * factor, 6 * factor, -6 * factor, 6 * factor)
        for score in DISTANCES:
            assert score(factor * a, factor * b, box) == pytest.approx(factor * score(a, b), rel=1e-6)


@pytest.mark.parametrize("box", [Space(), Space(-60, 60, -60, 60), Space(0, 1, -3, 3), Space(-24, 24, -2, 2)])
def test_a_repeated_point_that_moves_costs_the_way_in_any_box(box):
    for axis in (0, 1):
        here = (box.low + box.high) / 2
        move = np.eye(2)[axis] * box.size[axis] / 12  # two cells
        for score in DISTANCES:
            cost = score(np.tile(here, (20, 1)), np.tile(here + move, (11, 1)), box)
            assert cost == pytest.approx(move.sum(), rel=0.01)


def test_every_public_metric_says_its_shapes():
    for name in metrics.__all__:
        thing = getattr(metrics, name)
        if inspect.isfunction(thing):
            assert thing.__doc__, name


def test_point_distance_of_equal_sizes_is_an_assignment():
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    rng = np.random.default_rng(14)
    a, b = rng.uniform(-6, 6, (11, 2)), rng.uniform(-6, 6, (11, 2))
    cost = cdist(a, b)
    assert point_wasserstein(a, b) == pytest.approx(cost[linear_sum_assignment(cost)].mean(), abs=1e-9)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 300), step=st.sampled_from([0.0, 0.01, 3.0]))
def test_the_mean_distance_of_pairs_is_that_of_scipy(seed, n, step):
    """Also of points that repeat, and whatever the order of the array."""
    points = np.random.default_rng(seed).uniform(-6, 6, (2, n))
    points = (np.round(points / step) * step if step else points).T
    expected = float(pdist(points).mean()) if n > 1 else 0.0
    assert mean_distance(points) == pytest.approx(expected, rel=1e-13, abs=1e-13)
