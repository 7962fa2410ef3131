"""knn draws the neighbours' own responses, with the weights it says, whatever the batch."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import WordEncoder, labelled, training
from hypothesis import given
from hypothesis import strategies as st

from popeq.contract import Predictor, Prompt
from popeq.errors import UsageError
from popeq.seeding import generator
from popeq.space import PLANE
from popeq_llm.knn import NearestPrompts, neighbour_weights
from popeq_llm.parameters import KnnParameters

TEXTS = ["warm and soft", "", "bright {examples}", "日本語で暖かく", "rain " * 3000, "party"]


@pytest.fixture(autouse=True)
def encoder(monkeypatch):
    monkeypatch.setattr("popeq_llm.knn.open_encoder", lambda _: WordEncoder())


def fitted(train=None, **parameters):
    predictor = NearestPrompts(KnnParameters(**{"k": 4} | parameters), PLANE)
    predictor.fit(train or training(), [], generator(0))
    return predictor


def prompts():
    return [Prompt(f"q{i}", t, "colour") for i, t in enumerate(TEXTS)]


def draw(predictor, asked, n=50):
    return predictor.sample(asked, n, [generator(0, p.prompt_id) for p in asked])


@pytest.mark.parametrize("n", [1, 1000])
def test_it_keeps_the_contract(n):
    samples = draw(fitted(), prompts(), n)
    assert isinstance(fitted(), Predictor)
    assert samples.shape == (6, n, 2)
    assert PLANE.contains(samples).all()


def test_samples_depend_on_neither_batch_nor_order():
    together = draw(fitted(), prompts())
    np.testing.assert_array_equal(draw(fitted(), prompts()[::-1])[::-1], together)
    one_by_one = fitted()
    np.testing.assert_array_equal(np.concatenate([draw(one_by_one, [p]) for p in prompts()]), together)
    np.testing.assert_array_equal(draw(fitted(training()[::-1]), prompts()), together)


def test_draws_follow_the_weights():
    train = [labelled("a", "x x y", [[0, 0], [1, 1]]), labelled("b", "x z z", [[5, 5]])]
    predictor = fitted(train, k=2, similarity_temperature=0.5)
    asked = [Prompt("q", "x x", "colour")]
    samples = draw(predictor, asked, 20_000)[0]
    near, far = 2 / np.sqrt(5), 1 / np.sqrt(5)
    weight = 1 / (1 + np.exp((far - near) / 0.5))
    for point, share in (((0, 0), weight / 2), ((1, 1), weight / 2), ((5, 5), 1 - weight)):
        assert np.mean((samples == point).all(axis=1)) == pytest.approx(share, abs=0.02)
    shown = predictor.explain("q")["retrieved"]
    assert [t["prompt_id"] for t in shown] == ["a", "b"]
    assert shown[0]["weight"] == pytest.approx(weight, abs=0.005)
    assert shown[0]["similarity"] == pytest.approx(near, abs=0.005)
    assert predictor.describe() == {"encoder": "words", "encoder_revision": "words"}


def test_one_neighbour_gives_its_responses_alone():
    predictor = fitted(k=1)
    own = {tuple(p) for p in training()[0].responses}
    assert {tuple(p) for p in draw(predictor, prompts()[:1], 500)[0]} == own


def test_more_neighbours_than_prompts():
    with pytest.raises(UsageError, match="knn: k=7 is more than the 6 training prompts"):
        fitted(k=7)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=9), st.floats(1e-9, 1e9))
def test_weights_are_a_softmax(similarity, temperature):
    weights = neighbour_weights(similarity, temperature)
    assert weights.sum() == pytest.approx(1.0)
    assert (np.diff(weights[np.argsort(similarity)]) >= -1e-12).all()
    if temperature > 0.1:
        direct = np.exp(np.array(similarity) / temperature)
        np.testing.assert_allclose(weights, direct / direct.sum(), rtol=1e-6)
