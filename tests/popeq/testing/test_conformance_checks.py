"""Each check of the conformance suite fails the predictor that breaks what it asks, and says how."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ConfigDict, Field

import popeq
from popeq.testing.checks import CHECKS, ContractBrokenError
from popeq.testing.subject import Subject

#: They look at the import of an installed plugin, which these are not.
BY_NAME = {check.name: check for check in CHECKS if check.name != "import-is-light"}


class Good:
    """A round blob about the training mean: does all that the contract asks."""

    def __init__(self, parameters, space):
        self.parameters, self.space = parameters, space

    def fit(self, train, validation, rng):
        self.centre = np.mean([p.responses.mean(axis=0) for p in train], axis=0)

    def sample(self, prompts, n, rngs):
        return self.space.clip(np.stack([rng.normal(self.centre, 2.0, (n, 2)) for rng in rngs]))


class NoSample(Good):
    sample = None


class Seeds(Good):
    def fit(self, train, validation, rng):
        super().fit(train, validation, rng)
        np.random.seed(1)  # noqa: NPY002


class Writes(Good):
    def fit(self, train, validation, rng):
        super().fit(train, validation, rng)
        train[0].responses[:] = 0.0


class NeedsValidation(Good):
    def fit(self, train, validation, rng):
        super().fit(train, validation, rng)
        self.best = validation[0]


class NeedsTwo(Good):
    def fit(self, train, validation, rng):
        super().fit(train, validation, rng)
        if len(train) < 2:
            raise RuntimeError("no spread of one prompt")


class OutOfBox(Good):
    def sample(self, prompts, n, rngs):
        return super().sample(prompts, n, rngs) + 9.0


class NaNs(Good):
    def sample(self, prompts, n, rngs):
        return super().sample(prompts, n, rngs) * np.nan


class Eleven(Good):
    """Honours no n but those that the other checks ask for."""

    def sample(self, prompts, n, rngs):
        return super().sample(prompts, min(n, 110), rngs)


class OwnChance(Good):
    def sample(self, prompts, n, rngs):
        return super().sample(prompts, n, [np.random.default_rng() for _ in rngs])


class Remembers(Good):
    """Equal at first, another after each call: a second call with equal generators shows it."""

    calls = 0

    def sample(self, prompts, n, rngs):
        self.calls += 1
        return self.space.clip(super().sample(prompts, n, rngs) * 0.5 + 0.01 * self.calls)


class FirstForAll(Good):
    def sample(self, prompts, n, rngs):
        return np.repeat(super().sample(prompts[:1], n, rngs[:1]), len(prompts), axis=0)


class English(Good):
    def sample(self, prompts, n, rngs):
        for prompt in prompts:
            prompt.text.encode("ascii")
        return super().sample(prompts, n, rngs)


class OurBox(Good):
    def sample(self, prompts, n, rngs):
        return np.clip(np.stack([rng.normal(0.0, 3.0, (n, 2)) for rng in rngs]), -6.0, 6.0)


class NoJson(Good):
    def describe(self):
        return {"model": object()}


class Loose(popeq.Parameters):
    model_config = ConfigDict(extra="ignore")


class Unsaid(popeq.Parameters):
    spread: float = 1.0


class Said(popeq.Parameters):
    spread: float = Field(1.0, description="SD, dB")


def subject(kind, parameters=Said):
    return Subject.of(
        popeq.PredictorSpec("under-test", "under test", f"{__name__}:{kind.__name__}", parameters=parameters)
    )


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_good_predictor_passes_every_check(name):
    BY_NAME[name].run(subject(Good))


@pytest.mark.parametrize(
    ("name", "kind", "came"),
    [
        ("has-the-methods", NoSample, "has no sample()"),
        ("leaves-the-process-alone", Seeds, "NumPy's global generator"),
        ("fit-leaves-inputs-alone", Writes, "the responses of 'warm-00' were changed"),
        ("fit-without-validation", NeedsValidation, "raised IndexError"),
        ("fit-on-one-prompt", NeedsTwo, "no spread of one prompt"),
        ("samples-are-valid", OutOfBox, "outside"),
        ("samples-are-valid", NaNs, "finite"),
        ("honours-n", Eleven, "1000"),
        ("same-seed-same-samples", OwnChance, "two fits and draws differ"),
        ("same-seed-same-samples", Remembers, "a second call of sample()"),
        ("order-and-batches", FirstForAll, "change with the order"),
        ("any-text", English, "japanese text"),
        ("another-box", OurBox, "outside"),
        ("says-json", NoJson, "describe"),
    ],
)
def test_a_bad_predictor_fails_the_check_that_is_for_it(name, kind, came):
    with pytest.raises(ContractBrokenError) as caught:
        BY_NAME[name].run(subject(kind))
    assert str(caught.value).startswith(BY_NAME[name].asks)
    assert came in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "came"), [(Loose, "an unknown parameter was accepted"), (Unsaid, "no description: spread")]
)
def test_parameters_that_break_the_contract_are_named(parameters, came):
    with pytest.raises(ContractBrokenError, match=came):
        BY_NAME["parameters-round-trip"].run(subject(Good, parameters))
