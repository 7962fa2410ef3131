"""``rendered_mmd``: the value by its definition, without bias, with the influence of each listener."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popeq.metrics import rendered, rendered_features, rendered_mmd, rendered_mmd_batch
from popeq.space import PLANE, Space

points = st.lists(st.tuples(*[st.floats(-6, 6)] * 2), min_size=2, max_size=9).map(np.array)


def by_definition(x: np.ndarray, y: np.ndarray, space: Space, weights: np.ndarray | None = None) -> float:
    """The sums over pairs, written out; each listener may have another weight."""
    f, g = rendered_features(x, space), rendered_features(y, space)
    w = np.ones(len(y)) if weights is None else weights

    def kernel(a, b):
        return math.exp(-math.dist(a, b) / 2.0)

    n, m = range(len(x)), range(len(y))
    within_x = sum(kernel(f[i], f[k]) for i in n for k in n if i != k) / (len(x) * (len(x) - 1))
    pairs = [(j, k) for j in m for k in m if j != k]
    within_y = sum(w[j] * w[k] * kernel(g[j], g[k]) for j, k in pairs) / sum(w[j] * w[k] for j, k in pairs)
    between = sum(w[j] * kernel(f[i], g[j]) for i in n for j in m) / (len(x) * w.sum())
    return within_x + within_y - 2.0 * between


@given(x=points, y=points, curves=st.sampled_from(["orthogonal", "beosonic"]))
@settings(max_examples=40)
def test_it_is_its_definition_and_symmetric(x, y, curves):
    space = Space(curves=curves)
    value = rendered_mmd(x, y, space)
    assert value == pytest.approx(by_definition(x, y, space), abs=1e-10)
    assert value == pytest.approx(rendered_mmd(y, x, space), abs=1e-10)
    assert value == pytest.approx(rendered_mmd(x[::-1], y[::-1], space), abs=1e-10)


def test_many_samples_are_summed_in_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-6, 6, (50, 2)), rng.uniform(-6, 6, (11, 2))
    whole = rendered_mmd(x, y)
    for block in (7, 49, 50):
        monkeypatch.setattr(rendered, "_BLOCK", block)
        assert rendered_mmd(x, y) == pytest.approx(whole, abs=1e-12)


@given(x=points, y=points)
@settings(max_examples=25)
def test_the_influence_is_the_derivative_by_the_weights_of_listeners(x, y):
    """As for the other scores: a listener's weight, of a sum of 1, moves the score by its influence."""
    m, step = len(y), 1e-6
    found = rendered.RenderedTarget(y).score(x).influence
    slopes = []
    for j in range(m):
        up, down = np.full(m, 1.0 / m), np.full(m, 1.0 / m)
        up[j], down[j] = up[j] + step, down[j] - step
        slopes.append((by_definition(x, y, PLANE, up) - by_definition(x, y, PLANE, down)) / (2.0 * step))
    np.testing.assert_allclose(found, np.array(slopes) - np.mean(slopes), atol=1e-6)
    assert abs(found.sum()) < 1e-10


def test_two_panels_of_one_population_have_0_on_average_and_shifted_ones_more():
    rng = np.random.default_rng(5)

    def panel(people: int, shift: float) -> np.ndarray:
        centre = np.where(rng.random(people) < 0.3, -3.0, 2.0)[:, None]
        return PLANE.clip(centre + shift + rng.normal(0.0, 1.5, (people, 2)))

    def z(shift: float, biased: float = 0.0) -> float:
        values = np.array([rendered_mmd(panel(11, shift), panel(7, 0.0)) for _ in range(1500)]) + biased
        return float(values.mean() / (values.std(ddof=1) / np.sqrt(len(values))))

    assert abs(z(0.0)) < 2.0
    assert z(1.0) > 4.0
    # With i = j among the pairs the mean would be off by the diagonal's share, about (1 - k) / m.
    assert abs(z(0.0, biased=0.7 / 11 + 0.7 / 7)) > 20.0


def test_a_flat_setting_leaves_pink_noise_as_it_is():
    level, centroid, bandwidth, flatness = (
        rendered_features([[0.0, 0.0]])[0, :4] * list(rendered.FEATURE_SCALES.values())
    ).tolist()
    octaves = math.log2(1000.0)
    assert (level, flatness) == pytest.approx((0.0, 0.0), abs=1e-12)
    assert centroid == pytest.approx(octaves / 2.0)
    assert bandwidth == pytest.approx(octaves / math.sqrt(12.0), rel=1e-3)


def test_tilt_moves_the_centroid_and_smile_the_bandwidth():
    flat, bright, smile = rendered_features([[0, 0], [0, 3], [3, 0]]) * np.tile([1, 1, 0.5, 1], 2)
    assert bright[1] > flat[1] + 0.5
    assert bright[5] > flat[5] + 0.5
    assert smile[2] > flat[2] + 0.2
    assert smile[6] > flat[6] + 0.2


def test_a_batch_is_the_prompts_one_by_one():
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-6, 6, (3, 8, 2)), [rng.uniform(-6, 6, (m, 2)) for m in (2, 5, 3)]
    assert rendered_mmd_batch(x, y).tolist() == [rendered_mmd(a, b) for a, b in zip(x, y, strict=True)]


@pytest.mark.parametrize(
    ("x", "y", "match"),
    [
        ([[0, 0]], [[0, 0], [1, 1]], "at least two samples"),
        ([[0, 0], [1, 1]], [[0, 0]], "at least two responses"),
        ([[0, 0], [7, 1]], [[0, 0], [1, 1]], "inside the box"),
        ([[0, 0], [1, 1]], [[0, math.nan], [1, 1]], "finite"),
    ],
)
def test_too_few_or_wrong_points_are_refused(x, y, match):
    with pytest.raises(ValueError, match=match):
        rendered_mmd(x, y)


def test_version_1_keeps_its_values():
    """Another value for these points is another version (``popeq.protocol.SECONDARY_METRIC_VERSIONS``)."""
    x = [[0, 0], [1.5, -2], [-3, 4], [5.5, 6]]
    y = [[-1, 0.5], [2, 2], [-6, -6]]
    found = [rendered_mmd(x, y, Space(curves=c)) for c in ("orthogonal", "beosonic", "shelves:300:3000")]
    assert found == pytest.approx(GOLDEN, abs=1e-9)


GOLDEN = [-0.1401806400, -0.0886863435, -0.0975041861]
