"""Each check of the conformance suite fails the predictor that breaks what it asks, and says how."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys

import numpy as np
import pytest
from pydantic import ConfigDict, Field
from tests.conftest import ROOT, environment

import popeq
from popeq.space import PLANE
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


class WritesAll(Good):
    """Overwrites everything at every fit, so that two fits on the same arrays look alike."""

    def fit(self, train, validation, rng):
        super().fit(train, validation, rng)
        for prompt in train:
            prompt.responses.setflags(write=True)
            prompt.responses[:] = 0.0


class Shortens(Good):
    def fit(self, train, validation, rng):
        super().fit(train, validation, rng)
        del train[3:]


class Turns(Good):
    def fit(self, train, validation, rng):
        super().fit(train, validation, rng)
        validation.reverse()


class Renames(Good):
    def fit(self, train, validation, rng):
        super().fit(train, validation, rng)
        object.__setattr__(train[1], "listeners", ("nobody",))


class Empties(Good):
    def sample(self, prompts, n, rngs):
        drawn = super().sample(prompts, n, rngs)
        object.__setattr__(prompts[0], "text", "")
        return drawn


class Hashes(Good):
    """Draws by the order of a set of words."""

    def fit(self, train, validation, rng):
        words = {word for p in train for word in p.prompt.text.split()}
        self.centre = rng.normal(0, 0.1, (2, len(words))) @ [len(word) for word in words]


class FailsElsewhere(Good):
    def fit(self, train, validation, rng):
        super().fit(train, validation, rng)
        if os.environ.get("PYTHONHASHSEED") == "2":
            sys.exit("not in that process")


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


def subject(kind, parameters=Said, space=PLANE):
    factory = f"{__name__}:{kind.__name__}"
    spec = popeq.PredictorSpec("under-test", "under test", factory, parameters=parameters)
    return Subject.of(spec, space=space)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_good_predictor_passes_every_check_in_any_space(name):
    space = popeq.Space(-24.0, 12.0, 1.0, 4.0, 0.5, "beosonic")
    examined = subject(Good, space=space)
    assert space.contains(np.concatenate([p.responses for p in examined.train])).all()
    BY_NAME[name].run(examined)


@pytest.mark.parametrize(
    ("name", "kind", "came"),
    [
        ("has-the-methods", NoSample, "has no sample()"),
        ("leaves-the-process-alone", Seeds, "NumPy's global generator"),
        ("leaves-inputs-alone", Writes, "train: 'warm-00' was changed"),
        ("leaves-inputs-alone", WritesAll, "train: 'warm-00' was changed"),
        ("leaves-inputs-alone", Shortens, "train had 8 prompts and has 3 after fit()"),
        ("leaves-inputs-alone", Turns, "validation: 'warm-08' was changed"),
        ("leaves-inputs-alone", Renames, "train: 'warm-01' was changed"),
        ("leaves-inputs-alone", Empties, "sample() changed its prompts"),
        ("hash-seed", Hashes, "a process with PYTHONHASHSEED=1 draws samples that differ"),
        ("hash-seed", FailsElsewhere, "with PYTHONHASHSEED=2: SystemExit: not in that process"),
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


def test_a_fit_that_overwrites_is_found_after_all_the_checks_before(tmp_path):
    """One subject for all checks, in their order, as ``popeq check`` has it."""
    shared = subject(WritesAll)
    broken = {}
    for name, check in BY_NAME.items():
        try:
            check.run(shared)
        except ContractBrokenError as error:
            broken[name] = str(error)
    assert list(broken) == ["leaves-inputs-alone"]


class Breaks(Good):
    def fit(self, train, validation, rng):
        return np.concatenate([p.prompt.text for p in train])


class Flat(Good):
    def sample(self, prompts, n, rngs):
        return super().sample(prompts, n, rngs)[..., 0]


@pytest.mark.parametrize(
    ("kind", "where"), [(Breaks, "return np.concatenate("), (Flat, "def sample(self, prompts, n, rngs)")]
)
def test_one_cause_has_one_name_and_the_line_in_the_plugin(kind, where):
    shared, causes = subject(kind), {}
    for check in BY_NAME.values():
        try:
            check.run(shared)
        except ContractBrokenError as error:
            causes.setdefault(error.kind, []).append(str(error))
    (said,) = causes.values()
    assert len(said) >= 10
    source, first = inspect.getsourcelines(kind)
    line = first + next(i for i, text in enumerate(source) if where in text)
    assert all(f"test_conformance_checks.py:{line}, in " in text for text in said)


def test_popeq_check_says_one_cause_once(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", "from popeq.cli import main; main()", "check", "zoo-fit-raises"],
        env=environment({"PYTHONPATH": str(ROOT / "tests" / "zoo_plugin"), "POPEQ_ZOO": str(tmp_path)}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 1
    assert result.stdout.count("KeyError") == result.stdout.count("animals.py:35, in fit()") == 1
    assert result.stdout.count("FAILED: the same cause as leaves-the-process-alone") == 11


@pytest.mark.parametrize(
    ("animal", "check"), [("overwriter", "leaves-inputs-alone"), ("hasher", "hash-seed")]
)
def test_popeq_check_finds_it_in_an_installed_plugin(animal, check, tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", "from popeq.cli import main; main()", "check", f"zoo-{animal}"],
        env=environment({"PYTHONPATH": str(ROOT / "tests" / "zoo_plugin"), "POPEQ_ZOO": str(tmp_path)}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    failed = [line.split()[1] for line in result.stdout.splitlines() if "FAILED" in line]
    assert failed == [check], result.stdout + result.stderr
    assert result.returncode != 0


def test_runs_of_a_predictor_that_hashes_are_alike_all_the_same(tmp_path):
    spec = popeq.PredictorSpec("hashes", "draws by the order of a set", f"{__name__}:Hashes")
    data = popeq.load_dataset("simulated-120")
    drawn = [
        popeq.run([spec], data, runs_dir=tmp_path / name)[0].samples(data.test_ids)
        for name in ("a", "b", "c")
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0], drawn[2])


@pytest.mark.parametrize(
    ("parameters", "came"), [(Loose, "an unknown parameter was accepted"), (Unsaid, "no description: spread")]
)
def test_parameters_that_break_the_contract_are_named(parameters, came):
    with pytest.raises(ContractBrokenError, match=came):
        BY_NAME["parameters-round-trip"].run(subject(Good, parameters))
