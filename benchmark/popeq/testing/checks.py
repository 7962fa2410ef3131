"""The conformance suite: what the contract asks of a predictor, one check each."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from popeq.contract import LabelledPrompt, Parameters, PredictorSpec, Prompt
from popeq.errors import UsageError
from popeq.runs.worker import ContractError, description_of, explanation_of
from popeq.space import PLANE, Space
from popeq.testing.causes import Cause, cause_of
from popeq.testing.hash_seed import HASH_SEEDS, drawn_with_hash_seed
from popeq.testing.imports import heavy_or_online
from popeq.testing.subject import Subject


class ContractBrokenError(AssertionError):
    """A predictor does not do what the contract asks: says what is asked, what came back and where; ``kind``
    is equal for failures of one cause."""

    def __init__(self, asks: str, cause: Cause) -> None:
        super().__init__(f"{asks}; {cause.came}" + (f" ({cause.where})" if cause.where else ""))
        self.kind = cause.kind


@dataclass(frozen=True)
class Check:
    """One thing that the contract asks: ``name``, ``asks`` (a sentence), and the function that looks."""

    name: str
    asks: str
    look: Callable[[Subject], None]

    def run(self, subject: Subject) -> None:
        """Raises ContractBrokenError with what is asked and what came back."""
        try:
            self.look(subject)
        except ContractError as error:
            raise ContractBrokenError(self.asks, cause_of(error, subject.spec)) from None
        except (Exception, SystemExit) as error:
            raise ContractBrokenError(self.asks, cause_of(error, subject.spec)) from error


_checks: list[Check] = []


def _check(asks: str) -> Callable[[Callable[[Subject], None]], None]:
    """Make a function a check; its name is that of the function."""

    def add(look: Callable[[Subject], None]) -> None:
        _checks.append(Check(look.__name__.replace("_", "-"), asks, look))

    return add


def _must(good: bool, came: str) -> None:
    if not good:
        raise ContractError(came)


@_check("importing the plugin must load no torch, open no connection and take less than 2 s")
def import_is_light(subject: Subject) -> None:
    for found in heavy_or_online(subject.spec):
        raise ContractError(found)


@_check("parameters must survive JSON, each with a description")
def parameters_round_trip(subject: Subject) -> None:
    model, own = subject.spec.parameters, subject.parameters
    _must(issubclass(model, Parameters), f"{model.__name__} is no popeq.Parameters")
    stored = json.loads(json.dumps(own.model_dump(mode="json"), allow_nan=False))
    again = model.model_validate(stored)
    _must(again == own, f"{own!r} came back as {again!r}")
    try:
        model.model_validate({**stored, "popeq_unknown": 1})
    except ValueError:
        pass
    else:
        raise ContractError("an unknown parameter was accepted; keep extra='forbid'")
    unsaid = [name for name, field in model.model_fields.items() if not field.description]
    _must(not unsaid, f"no description: {', '.join(unsaid)}")


@_check("Class(parameters, space) must have fit() and sample()")
def has_the_methods(subject: Subject) -> None:
    predictor = subject.fresh()
    for method in ("fit", "sample"):
        _must(callable(getattr(predictor, method, None)), f"{subject.spec.factory} has no {method}()")


@_check("global state and files must stay as they are")
def leaves_the_process_alone(subject: Subject) -> None:
    """Comes before anything else is fitted, so that what a predictor does once is seen too."""
    before = _process_state()
    subject.draw(subject.fit(subject.fresh()))
    now = _process_state()
    for what, was in before.items():
        _must(was == now[what], f"{what} changed")


def _process_state() -> dict[str, str]:
    here = Path.cwd()
    legacy = np.random.get_state(legacy=True)  # noqa: NPY002
    return {
        "NumPy's global generator (np.random.seed or np.random.rand; use the rng that you are given)": repr(
            [np.asarray(part).tolist() for part in legacy]
        ),
        "the generator of the module random (use the rng that you are given)": repr(random.getstate()),
        "NumPy's error handling (np.seterr)": repr(np.geterr()),
        "NumPy's print options": repr(np.get_printoptions()),
        "the function np.random.default_rng": repr(np.random.default_rng),
        "the working directory": str(here),
        "the content of the working directory": repr(sorted(os.listdir(here))),  # noqa: PTH208
    }


@_check("fit() and sample() must not change what they are given")
def leaves_inputs_alone(subject: Subject) -> None:
    train, validation, prompts = subject.train, subject.validation, subject.prompts
    predictor = subject.fit(subject.fresh(), train, validation)
    for what, given, made in (
        ("train", train, subject.train),
        ("validation", validation, subject.validation),
    ):
        _must(len(given) == len(made), f"{what} had {len(made)} prompts and has {len(given)} after fit()")
        for after, before in zip(given, made, strict=True):
            _must(_written(after) == _written(before), f"{what}: {before.prompt.prompt_id!r} was changed")
    rngs = subject.generators(prompts)
    predictor.sample(prompts, 7, rngs)
    _must(len(rngs) == len(subject.prompts), "the list of generators was changed by sample()")
    _must([repr(p) for p in prompts] == [repr(p) for p in subject.prompts], "sample() changed its prompts")


def _written(labelled: object) -> str:
    """A labelled prompt in full, to be compared with another."""
    if not isinstance(labelled, LabelledPrompt):
        return repr(labelled)
    points = np.asarray(labelled.responses).tolist()
    return repr((labelled.prompt, points, labelled.listeners, labelled.groups))


@_check("fit() must take an empty validation set")
def fit_without_validation(subject: Subject) -> None:
    subject.draw(subject.fit(subject.fresh()))


@_check("fit() must take a single prompt with a single listener")
def fit_on_one_prompt(subject: Subject) -> None:
    one = subject.train[0]
    few = replace(
        one,
        responses=one.responses[:1].copy(),
        listeners=one.listeners[:1],
        groups=one.groups and one.groups[:1],
    )
    subject.draw(subject.fit(subject.fresh(), [few]))


@_check("sample() must give (prompts, n, 2), finite and in the box")
def samples_are_valid(subject: Subject) -> None:
    subject.draw(subject.fitted, n=110)


@_check("sample() must give as many samples as asked for, 1 or 1000")
def honours_n(subject: Subject) -> None:
    for n in (1, 1000):
        subject.draw(subject.fitted, subject.prompts[:1], n=n)


@_check("equal generators must give equal samples")
def same_seed_same_samples(subject: Subject) -> None:
    one = subject.draw(subject.fitted)
    other = subject.draw(subject.fit(subject.fresh(), subject.train, subject.validation))
    _must(np.array_equal(one, other), f"two fits and draws differ by up to {np.abs(one - other).max():g} dB")
    again = subject.draw(subject.fitted)
    _must(np.array_equal(one, again), "a second call of sample() with equal generators gave other samples")


@_check("samples must not depend on the seed of Python's hash()")
def hash_seed(subject: Subject) -> None:
    own = subject.draw(subject.fitted)
    for seed in HASH_SEEDS:
        other = drawn_with_hash_seed(subject, seed)
        gap = np.abs(own - other).max()
        _must(
            np.array_equal(own, other),
            f"a process with PYTHONHASHSEED={seed} draws samples that differ by up to {gap:g} dB; "
            "sort what comes from a set, and use hashlib in place of hash()",
        )


@_check("samples must not depend on order or batch")
def order_and_batches(subject: Subject) -> None:
    prompts = subject.prompts
    together = subject.draw(subject.fitted)
    backwards = subject.draw(subject.fitted, prompts[::-1])[::-1]
    _must(np.array_equal(together, backwards), "the samples change with the order of the prompts")
    alone = np.concatenate([subject.draw(subject.fitted, [p]) for p in prompts])
    _must(
        np.array_equal(together, alone),
        "a prompt alone gets other samples than in a batch; use rngs[i] for prompts[i] and nothing else",
    )


@_check("sample() must answer empty, very long and non-English prompts")
def any_text(subject: Subject) -> None:
    texts = {
        "empty": "",
        "long": "brighter and warmer and " * 400,
        "japanese": "夜のドライブに合う、あたたかい音にして",
        "arabic": "اجعل الصوت أكثر دفئًا",
        "emoji": "🔥🎧 more bass 🎧🔥",
        "odd": "tab\tnew\nline {curly} <|end|> %s \\ \u0000",
    }
    for name, text in texts.items():
        try:
            subject.draw(subject.fitted, [Prompt(f"text-{name}", text, "sound descriptor")])
        except Exception as error:
            shown = " ".join(str(error).split())
            raise ContractError(f"{name} text {text[:30]!r}: {type(error).__name__}: {shown}") from error


@_check("samples must stay in the space of the data set, or a UsageError must say why they cannot")
def another_box(subject: Subject) -> None:
    """Of other sides, without the middle, with a coarser step and other curves than the paper's."""
    there = replace(subject, space=Space(1.0, 10.0, -3.0, 3.0, 0.5, "beosonic"))
    try:
        there.parameters.check_space(there.space)
        predictor = there.fit(there.fresh())
    except UsageError:
        return  # says that it cannot, which is an answer
    there.draw(predictor)


@_check("describe() and explain(), if there, must give plain JSON values")
def says_json(subject: Subject) -> None:
    description_of(subject.fitted)
    subject.draw(subject.fitted)
    for prompt in subject.prompts:
        explanation_of(subject.fitted, prompt.prompt_id)


CHECKS = tuple(_checks)


def conformance(
    predictor: str | PredictorSpec, /, *, space: Space = PLANE, **options: object
) -> Callable[[Check], None]:
    """A test function, parametrised over the checks; assign it to a name that begins with ``test_``.

    ``space`` is that of the data set in which it is checked. ``options`` are the predictor's parameters, as
    ``popeq run -o`` takes them.
    """
    import pytest

    @cache
    def subject() -> Subject:
        return Subject.of(predictor, options, space)

    @pytest.mark.parametrize("check", CHECKS, ids=[check.name for check in CHECKS])
    def test_contract(check: Check) -> None:
        try:
            check.run(subject())
        except ContractBrokenError as broken:
            pytest.fail(str(broken), pytrace=broken.__cause__ is not None)

    return test_contract
