"""kernel-ridge and kernel-mixture: what they draw, what they choose, and on whose answers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge as ScikitRidge
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from tests.popeq_llm.fakes import WordEncoder, labelled

from popeq.contract import Predictor, Prompt
from popeq.metrics import HEADLINE, DensitySettings, Target
from popeq.seeding import generator
from popeq.space import PLANE
from popeq_llm.kernel import PRIOR, Hyperparameters, KernelMixture, KernelRidge, Ridge, weights_of
from popeq_llm.parameters import KernelMixtureParameters, KernelRidgeParameters
from popeq_llm.similarity import Similarity

COLOURS = ("warm", "bright", "dark", "soft")
FRAMES = ("make it {}", "a {} sound please", "more {} now", "{} but not too much", "we want it {}")


@pytest.fixture(autouse=True)
def encoder(monkeypatch):
    monkeypatch.setattr("popeq_llm.kernel.open_encoder", lambda _: WordEncoder())


def world(places, seed=0, listeners=11):
    """Prompts that say a colour in several frames, answered around the colour's place."""
    rng = np.random.default_rng(seed)
    return [
        labelled(
            f"{colour}-{i}", frame.format(colour), PLANE.clip(rng.normal(places[colour], 1.0, (listeners, 2)))
        )
        for colour in COLOURS
        for i, frame in enumerate(FRAMES)
    ]


FAR = {"warm": (3, -3), "bright": (-3, 3), "dark": (-3, -3), "soft": (3, 3)}
SAME = dict.fromkeys(COLOURS, (0, 0))


def fitted(cls=KernelMixture, places=FAR, validation=True, **parameters):
    kind = KernelMixtureParameters if cls is KernelMixture else KernelRidgeParameters
    predictor = cls(kind(**parameters), PLANE)
    prompts = world(places)
    held = [p for p in prompts if p.prompt.prompt_id.endswith("4")] if validation else []
    predictor.fit([p for p in prompts if p not in held], held, generator(0))
    return predictor


def draw(predictor, texts, n=400):
    prompts = [Prompt(f"q{i}", text, "colour") for i, text in enumerate(texts)]
    return predictor.sample(prompts, n, [generator(0, p.prompt_id) for p in prompts])


@pytest.mark.parametrize("cls", [KernelMixture, KernelRidge])
@pytest.mark.parametrize("validation", [True, False])
def test_it_reads_the_word_and_keeps_the_spread(cls, validation):
    predictor = fitted(cls, validation=validation)
    assert isinstance(predictor, Predictor)
    samples = draw(predictor, ["could you make this warm", "something bright"])
    assert samples.shape == (2, 400, 2)
    assert PLANE.contains(samples).all()
    for own, colour in zip(samples, ("warm", "bright"), strict=True):
        assert np.linalg.norm(own.mean(axis=0) - FAR[colour]) < 2.0
        assert ((own.std(axis=0) > 0.6) & (own.std(axis=0) < 2.2)).all()
    assert predictor.chosen != PRIOR


@pytest.mark.parametrize("cls", [KernelMixture, KernelRidge])
@pytest.mark.parametrize("validation", [True, False])
def test_where_words_say_nothing_it_is_the_pool(cls, validation):
    """The best of the search is better by chance, by less than the standard error of its gain."""
    predictor = fitted(cls, SAME, validation)
    assert predictor.chosen == PRIOR
    samples = draw(predictor, ["make it warm"], 3000)[0]
    pool = {tuple(p) for p in predictor.pool}
    assert {tuple(p) for p in samples} == pool


@pytest.mark.parametrize("cls", [KernelMixture, KernelRidge])
def test_samples_depend_on_neither_batch_nor_order_of_training(cls):
    texts = ["warm", "", "日本語で暖かく", "bright " * 500, "{dark}"]
    together = draw(fitted(cls), texts)
    one = fitted(cls)
    alone = [one.sample([Prompt(f"q{i}", t, "c")], 400, [generator(0, f"q{i}")]) for i, t in enumerate(texts)]
    np.testing.assert_array_equal(np.concatenate(alone), together)
    prompts = world(FAR)
    backwards = cls(KernelMixtureParameters() if cls is KernelMixture else KernelRidgeParameters(), PLANE)
    held = [p for p in prompts if p.prompt.prompt_id.endswith("4")]
    backwards.fit([p for p in prompts if p not in held][::-1], held, generator(1))
    np.testing.assert_array_equal(draw(backwards, texts), together)


def test_what_is_given_is_kept_and_its_weights_are_those_that_are_said():
    predictor = fitted(lexical=0.0, similarity_temperature=0.2, prior_similarity=0.5, shift=0.0, ridge=1.0)
    assert predictor.chosen == Hyperparameters(0.0, 0.2, 0.5, 0.0, 1.0)
    samples = draw(predictor, ["make it warm"], 20_000)[0]
    similarity, _ = predictor.similarity.to(["make it warm"])
    weight = np.exp((similarity[0] - 0.5) / 0.2) + 1 / 16
    weight /= weight.sum()
    for i in (0, 7, 15):
        own = {tuple(p) for p in predictor.train[i].responses}
        share = np.mean([tuple(p) in own for p in samples])
        assert share == pytest.approx(weight[i], abs=0.012)
    shown = predictor.explain("q0")["retrieved"]
    order = np.argsort(-weight, kind="stable")[:3]
    assert [r["prompt_id"] for r in shown] == [predictor.prompt_ids[i] for i in order]
    assert [r["weight"] for r in shown] == pytest.approx(weight[order], abs=1e-4)


def test_the_reported_score_is_the_boards_on_the_validation_prompts():
    predictor = fitted(similarity_temperature=0.05, prior_similarity=0.4, shift=0.6, ridge=0.3, lexical=0.5)
    held = [p for p in world(FAR) if p.prompt.prompt_id.endswith("4")]
    prompts = [p.prompt for p in held]
    samples = predictor.sample(prompts, 660, [generator(0, p.prompt_id) for p in prompts])
    targets = [Target(p.responses, PLANE, DensitySettings()) for p in held]
    scores = [t.score(s).values[HEADLINE] for t, s in zip(targets, samples, strict=True)]
    assert predictor.headline_db == pytest.approx(np.mean(scores), abs=0.1)
    assert predictor.describe()["choosing_headline_db"] == pytest.approx(predictor.headline_db, abs=1e-4)


def test_the_search_never_ends_above_a_setting_that_it_tried():
    best = fitted()
    for changes in ({"shift": 0.0}, {"similarity_temperature": 0.2}, {"lexical": 0.0, "ridge": 10.0}):
        given = best.chosen._asdict() | changes
        assert best.headline_db <= fitted(**given).headline_db + 1e-9


@pytest.mark.parametrize("ridge", [0.1, 3.0])
def test_the_regression_is_scikit_learns_and_leaving_out_is_refitting(ridge):
    prompts = world(FAR)
    similarity = Similarity([p.prompt.text for p in prompts], WordEncoder())
    meaning, words = similarity.to([p.prompt.text for p in prompts])
    means = np.array([p.responses.mean(axis=0) for p in prompts])
    own = Ridge(0.5 * meaning + 0.5 * words, means, ridge)
    kernel = np.exp((0.5 * meaning + 0.5 * words - 1) / 0.5)
    oracle = ScikitRidge(alpha=ridge, kernel="precomputed")
    centred = means - own.centre
    np.testing.assert_allclose(
        own.fitted, oracle.fit(kernel, centred).predict(kernel) + own.centre, atol=2e-6
    )
    # The centre stays that of all prompts, as in the closed form.
    refitted = cross_val_predict(oracle, kernel, centred, cv=LeaveOneOut()) + own.centre
    np.testing.assert_allclose(own.left_out, refitted, atol=2e-6)


def test_words_count_by_how_rare_they_are():
    similarity = Similarity(["make it warm", "make it bright", "make it warmer"], WordEncoder())
    _, words = similarity.to(["make it warm", "make it", "warmth"])
    assert words[0, 0] == pytest.approx(1.0)
    assert words[0, 2] > 3 * words[0, 1]
    assert words[1].max() == pytest.approx(0.0, abs=0.2)
    assert words[2, 0] > 0.3
    assert words[2, 1] == 0.0


def test_weights_are_finite_at_any_temperature():
    for temperature in (1e-9, 0.05, np.inf):
        weights = weights_of(
            np.array([[0.9, 0.2, -0.1]]), Hyperparameters(similarity_temperature=temperature)
        )
        assert np.isfinite(weights).all()
        assert (weights > 0).all()
    np.testing.assert_allclose(weights, weights[0, 0])


@pytest.mark.parametrize("cls", [KernelMixture, KernelRidge])
def test_a_fit_that_is_kept_draws_the_same(cls, tmp_path):
    predictor = fitted(cls)
    predictor.save(tmp_path)
    again = cls(predictor.parameters, PLANE)
    again.load(tmp_path)
    np.testing.assert_array_equal(draw(again, ["warm", "dark"]), draw(predictor, ["warm", "dark"]))
    assert again.describe() == predictor.describe()


def test_a_fit_of_another_encoder_is_refused(tmp_path, monkeypatch):
    fitted().save(tmp_path)

    class Other(WordEncoder):
        identity = "other words"

    monkeypatch.setattr("popeq_llm.kernel.open_encoder", lambda _: Other())
    with pytest.raises(ValueError, match="another encoder"):
        KernelMixture(KernelMixtureParameters(), PLANE).load(tmp_path)


def test_one_training_prompt_is_enough(tmp_path):
    predictor = KernelMixture(KernelMixtureParameters(), PLANE)
    predictor.fit(world(FAR)[:1], [], generator(0))
    own = {tuple(p) for p in world(FAR)[0].responses}
    assert {tuple(p) for p in draw(predictor, ["anything"])[0]} <= own
    predictor.save(tmp_path)
    predictor.load(tmp_path)
    assert predictor.describe()["choosing_headline_db"] is None
