"""The predictors to beat do what their one line says."""

from __future__ import annotations

import csv
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from popeq.contract import LabelledPrompt, Parameters, Predictor, Prompt, load_object
from popeq.eq import GRID_HZ, project
from popeq.plugins import registry
from popeq.seeding import generator
from popeq.space import PLANE, Space
from popeq_baselines import PresetName, PresetParameters
from popeq_baselines.simple import Preset, geometric_median, presets

BASELINES = ("random", "prior", "static-flat", "static-best", "static-cloud", "static-preset")


def training(seed=0, prompts=6, listeners=5):
    rng = np.random.default_rng(seed)
    return [
        LabelledPrompt(
            Prompt(f"t{i}", f"text {i}", "colour", "train"),
            PLANE.clip(rng.normal(1, 2, (listeners, 2))).round(1),
            tuple(f"l{j}" for j in range(listeners)),
        )
        for i in range(prompts)
    ]


def fitted(name, space=PLANE):
    spec = registry().predictor(name)
    predictor = load_object(spec.factory)(spec.parameters(), space)
    predictor.fit(training(), [], generator(0, name, "fit"))
    return predictor


def draw(predictor, texts, n):
    prompts = [Prompt(f"q{i}", t, "colour") for i, t in enumerate(texts)]
    return predictor.sample(prompts, n, [generator(0, p.prompt_id) for p in prompts])


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("n", [1, 1000])
def test_every_baseline_keeps_the_contract(name, n):
    predictor = fitted(name)
    assert isinstance(predictor, Predictor)
    samples = draw(predictor, ["warm", "", "x" * 5000, "日本語で暖かく"], n)
    assert samples.shape == (4, n, 2)
    assert PLANE.contains(samples).all()
    np.testing.assert_array_equal(samples[2:3], draw_third(predictor, n))


def draw_third(predictor, n):
    return predictor.sample([Prompt("q2", "x" * 5000, "colour")], n, [generator(0, "q2")])


def test_random_fills_the_box_whatever_the_box():
    box = Space(-1.0, 3.0, 0.0, 2.0)
    samples = draw(fitted("random", box), ["warm"], 20_000)[0]
    np.testing.assert_allclose(samples.mean(axis=0), [1.0, 1.0], atol=0.05)
    np.testing.assert_allclose(samples.var(axis=0), [16 / 12, 4 / 12], rtol=0.05)


def test_prior_draws_training_points_in_their_proportions():
    pool = np.concatenate([p.responses for p in training()])
    samples = draw(fitted("prior"), ["warm"], 20_000)[0]
    assert {tuple(s) for s in samples} == {tuple(p) for p in pool}
    np.testing.assert_allclose(samples.mean(axis=0), pool.mean(axis=0), atol=0.06)


def test_flat_is_flat():
    assert not draw(fitted("static-flat"), ["as much bass as it can do"], 3).any()


def test_best_has_the_least_mean_training_distance():
    point = draw(fitted("static-best"), ["warm"], 1)[0, 0]

    def cost(c):
        return np.mean([np.linalg.norm(p.responses - c, axis=1).mean() for p in training()])

    rng = np.random.default_rng(1)
    assert all(
        cost(point) <= cost(point + rng.normal(0, s, 2)) + 1e-12 for s in (1e-4, 0.1, 1.0) for _ in range(50)
    )


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(0, 10))
def test_geometric_median_of_anything(seed, n, copies):
    rng = np.random.default_rng(seed)
    points = np.concatenate([rng.normal(0, 3, (n, 2)).round(1), np.tile(rng.normal(0, 3, 2), (copies, 1))])
    weights = rng.uniform(0.1, 1, len(points))

    def cost(c):
        return float(weights @ np.linalg.norm(points - c, axis=1))

    found = geometric_median(points, weights)
    start = points[np.argmin([cost(p) for p in points])]
    best = minimize(cost, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    assert cost(found) <= min(best.fun, cost(start)) + 1e-6


def test_presets_are_chosen_by_keyword_and_are_where_their_name_says():
    preset = Preset(PresetParameters(), PLANE)
    assert preset.choose("More BASS, please!") == "Bass boost"
    assert preset.choose("bring the vocals forward in this podcast") == "Spoken word"
    assert preset.choose("xyzzy") == "Flat"
    assert Preset(PresetParameters(fallback="Rock"), PLANE).choose("xyzzy") == "Rock"
    points = {name: project(curve, GRID_HZ) for name, (_, curve) in presets().items()}
    assert not points["Flat"].any()
    assert points["Bass boost"][1] < -2
    assert points["Treble boost"][1] > 2
    assert points["Loudness"][0] > 3
    np.testing.assert_allclose(points["Bass boost"], -points["Bass cut"], atol=0.01)
    assert tuple(presets()) == get_args(PresetName)
    with pytest.raises(ValueError, match="Input should be 'Flat'"):
        PresetParameters(fallback="Nope")


def test_no_keyword_belongs_to_two_presets_and_every_row_is_whole():
    from importlib.resources import files

    rows = list(csv.reader(files("popeq_baselines").joinpath("presets.csv").read_text().splitlines()))
    assert {len(r) for r in rows} == {12}
    words = [w for r in rows[1:] for w in r[1].split()]
    assert len(words) == len(set(words))


def test_parameters_refuse_what_they_do_not_know():
    with pytest.raises(ValueError, match="Extra inputs"):
        Parameters(nonsense=1)
