"""knn draws the neighbours' own responses, with the weights it says, whatever the batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.popeq_llm.fakes import WordEncoder, labelled, training

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
    predictor = fitted(train, k=2, similarity_temperature=0.5, prior_similarity=-1)
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
    chosen = {"prior_similarity": -1.0}
    assert predictor.describe() == {"encoder": "words", "encoder_revision": "words", "chosen": chosen}


def test_one_neighbour_gives_its_responses_alone():
    predictor = fitted(k=1, prior_similarity=-1, similarity_temperature=0.01)
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


def test_the_prior_is_one_more_neighbour():
    train = [labelled("a", "x x y", [[0, 0], [1, 1]]), labelled("b", "x z z", [[5, 5]])]
    predictor = fitted(train, k=1, similarity_temperature=0.5, prior_similarity=0.6)
    samples = draw(predictor, [Prompt("q", "x x", "colour")], 20_000)[0]
    near = 2 / np.sqrt(5)
    own = 1 / (1 + np.exp((0.6 - near) / 0.5))
    assert predictor.explain("q")["retrieved"][0]["weight"] == pytest.approx(own, abs=0.005)
    # The pool has three responses, each with a third of the prior's weight.
    assert np.mean((samples == (5, 5)).all(axis=1)) == pytest.approx((1 - own) / 3, abs=0.02)
    assert np.mean((samples == (0, 0)).all(axis=1)) == pytest.approx(own / 2 + (1 - own) / 3, abs=0.02)


def colours(places, frames, seed):
    """Prompts that say a colour, answered around its place."""
    rng = np.random.default_rng(seed)
    return [
        labelled(f"{colour}{i}", f"{frame} {colour}", rng.normal(place, 1.0, (9, 2)))
        for colour, place in places.items()
        for i, frame in enumerate(frames)
    ]


PLACES = {"warm": (3, -3), "bright": (-3, 3), "dark": (-3, -3)}
FRAMES = ["make it", "a bit more", "we want", "please give us"]


def chosen(train, held):
    predictor = NearestPrompts(KnnParameters(k=2), PLANE)
    predictor.fit(train, held, generator(0))
    return predictor, predictor.describe()["chosen"]["prior_similarity"]


def test_the_priors_similarity_is_chosen_on_the_validation_prompts(tmp_path):
    train = colours(PLACES, FRAMES, 0)
    _, low = chosen(train, colours(PLACES, ["now", "for us"], 1))
    others = {"warm": (-3, 3), "bright": (-3, -3), "dark": (3, -3)}
    predictor, high = chosen(train, colours(others, ["now", "for us"], 1))
    assert low <= 0.4 < 0.7 <= high
    predictor.save(tmp_path)
    again = NearestPrompts(KnnParameters(k=2), PLANE)
    again.load(tmp_path)
    assert again.describe() == predictor.describe()
    np.testing.assert_array_equal(draw(again, prompts()), draw(predictor, prompts()))


def test_without_validation_each_training_prompt_is_predicted_without_itself():
    """Were its own answers among the neighbours', both worlds would choose no prior."""
    rng = np.random.default_rng(4)
    by_colour = [
        labelled(f"{colour}{i}", f"{colour} {colour}-{i}", rng.normal(place, 1.0, (9, 2)))
        for colour, place in PLACES.items()
        for i in range(4)
    ]
    random = [
        labelled(p.prompt.prompt_id, p.prompt.text, rng.uniform(-5, 5, 2) + rng.normal(0, 0.3, (9, 2)))
        for p in by_colour
    ]
    _, low = chosen(by_colour, [])
    _, high = chosen(random, [])
    assert low <= 0.4 < high


def test_one_prompt_without_validation_is_its_own_answer():
    predictor = NearestPrompts(KnnParameters(k=1), PLANE)
    predictor.fit(training()[:1], [], generator(0))
    assert predictor.describe()["chosen"] == {"prior_similarity": -1.0}
