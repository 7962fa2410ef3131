"""The conformance suite: what the contract asks of a predictor, one check each."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from popeq.contract import LabelledPrompt, Parameters, Prompt
from popeq.errors import UsageError
from popeq.runs.worker import ContractError, description_of, explanation_of
from popeq.seeding import generator
from popeq.space import Space
from popeq.testing.hash_seed import HASH_SEEDS, drawn_with_hash_seed
from popeq.testing.imports import heavy_or_online
from popeq.testing.subject import Subject


class ContractBrokenError(AssertionError):
    """A predictor does not do what the contract asks: says what is asked and what came back."""


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
        except _CameBackError as came:
            raise ContractBrokenError(f"{self.asks}; {came}") from None
        except ContractError as error:
            raise ContractBrokenError(f"{self.asks}; {error}") from None
        except (Exception, SystemExit) as error:
            message = " ".join(str(error).split())
            raise ContractBrokenError(f"{self.asks}; raised {type(error).__name__}: {message}") from error


class _CameBackError(Exception):
    """What came back instead."""


def _must(good: bool, came: str) -> None:
    if not good:
        raise _CameBackError(came)


def _import_is_light(subject: Subject) -> None:
    for found in heavy_or_online(subject.spec):
        raise _CameBackError(found)


def _parameters_round_trip(subject: Subject) -> None:
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
        raise _CameBackError("an unknown parameter was accepted; keep extra='forbid'")
    unsaid = [name for name, field in model.model_fields.items() if not field.description]
    _must(not unsaid, f"no description: {', '.join(unsaid)}")


def _has_the_methods(subject: Subject) -> None:
    predictor = subject.fresh()
    for method in ("fit", "sample"):
        _must(callable(getattr(predictor, method, None)), f"{subject.spec.factory} has no {method}()")


def _leaves_its_inputs_alone(subject: Subject) -> None:
    train, validation, prompts = subject.train, subject.validation, subject.prompts
    rng = generator(0, subject.spec.name, "fit", "split")
    predictor = subject.fresh()
    predictor.fit(train, validation, rng)  # as they are: what it does to the lists is seen too
    for what, given, made in (
        ("train", train, subject.train),
        ("validation", validation, subject.validation),
    ):
        _must(len(given) == len(made), f"{what} had {len(made)} prompts and has {len(given)} after fit()")
        for after, before in zip(given, made, strict=True):
            _must(_written(after) == _written(before), f"{what}: {before.prompt.prompt_id!r} was changed")
    rngs = [generator(0, subject.spec.name, "sample", p.prompt_id) for p in prompts]
    count = len(rngs)
    predictor.sample(prompts, 7, rngs)
    _must(len(rngs) == count, "the list of generators was changed by sample()")
    _must([repr(p) for p in prompts] == [repr(p) for p in subject.prompts], "sample() changed its prompts")


def _written(labelled: object) -> str:
    """A labelled prompt in full, to be compared with another."""
    if not isinstance(labelled, LabelledPrompt):
        return repr(labelled)
    return repr((labelled.prompt, np.asarray(labelled.responses).tolist(), labelled.listeners))


def _fits_without_validation(subject: Subject) -> None:
    subject.draw(subject.fit(subject.fresh(), subject.train, []))


def _fits_on_one_prompt(subject: Subject) -> None:
    one = subject.train[0]
    few = LabelledPrompt(one.prompt, one.responses[:1].copy(), one.listeners[:1])
    subject.draw(subject.fit(subject.fresh(), [few], []))


def _shape_bounds_finite(subject: Subject) -> None:
    subject.draw(subject.fitted, n=110)


def _honours_n(subject: Subject) -> None:
    for n in (1, 1000):
        subject.draw(subject.fitted, subject.prompts[:1], n=n)


def _same_seed_same_samples(subject: Subject) -> None:
    one = subject.draw(subject.fitted)
    other = subject.draw(subject.fit(subject.fresh(), subject.train, subject.validation))
    _must(np.array_equal(one, other), f"two fits and draws differ by up to {np.abs(one - other).max():g} dB")
    again = subject.draw(subject.fitted)
    _must(np.array_equal(one, again), "a second call of sample() with equal generators gave other samples")


def _hash_seed(subject: Subject) -> None:
    own = subject.draw(subject.fitted)
    for seed in HASH_SEEDS:
        other = drawn_with_hash_seed(subject, seed)
        gap = np.abs(own - other).max()
        _must(
            np.array_equal(own, other),
            f"a process with PYTHONHASHSEED={seed} draws samples that differ by up to {gap:g} dB; "
            "sort what comes from a set, and use hashlib in place of hash()",
        )


def _order_and_batches(subject: Subject) -> None:
    prompts = subject.prompts
    together = subject.draw(subject.fitted)
    backwards = subject.draw(subject.fitted, prompts[::-1])[::-1]
    _must(np.array_equal(together, backwards), "the samples change with the order of the prompts")
    alone = np.concatenate([subject.draw(subject.fitted, [p]) for p in prompts])
    _must(
        np.array_equal(together, alone),
        "a prompt alone gets other samples than in a batch; use rngs[i] for prompts[i] and nothing else",
    )


def _any_text(subject: Subject) -> None:
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
            raise _CameBackError(f"{name} text {text[:30]!r}: {type(error).__name__}: {shown}") from error


def _stays_in_another_box(subject: Subject) -> None:
    box = Space(-2.0, 3.0, -1.0, 2.0)
    inside = [LabelledPrompt(p.prompt, box.clip(p.responses), p.listeners) for p in subject.train]
    try:
        predictor = subject.fit(subject.fresh(box), inside)
    except UsageError:
        return  # says that it cannot, which is an answer
    subject.draw(predictor, space=box)


def _leaves_the_process_alone(subject: Subject) -> None:
    before = _process_state()
    subject.draw(subject.fit(subject.fresh()))
    for what, was, now in zip(_STATE, before, _process_state(), strict=True):
        _must(was == now, f"{what} changed")


_STATE = (
    "NumPy's global generator (np.random.seed or np.random.rand; use the rng that you are given)",
    "the generator of the module random (use the rng that you are given)",
    "NumPy's error handling (np.seterr)",
    "NumPy's print options",
    "the function np.random.default_rng",
    "the working directory",
    "the content of the working directory",
)


def _process_state() -> tuple[str, ...]:
    here = Path.cwd()
    return (
        repr([np.asarray(part).tolist() for part in np.random.get_state(legacy=True)]),  # noqa: NPY002
        repr(random.getstate()),
        repr(np.geterr()),
        repr(np.get_printoptions()),
        repr(np.random.default_rng),
        str(here),
        repr(sorted(os.listdir(here))),  # noqa: PTH208
    )


def _says_json(subject: Subject) -> None:
    description_of(subject.fitted)
    subject.draw(subject.fitted)
    for prompt in subject.prompts:
        explanation_of(subject.fitted, prompt.prompt_id)


_ASKED: dict[str, tuple[str, Callable[[Subject], None]]] = {
    "import-is-light": (
        "importing the plugin must load no torch, open no connection and take less than 2 s",
        _import_is_light,
    ),
    "parameters-round-trip": (
        "parameters must survive JSON, each with a description",
        _parameters_round_trip,
    ),
    "has-the-methods": ("Class(parameters, space) must have fit() and sample()", _has_the_methods),
    # Before anything else is fitted, so that what it does once is seen too.
    "leaves-the-process-alone": ("global state and files must stay as they are", _leaves_the_process_alone),
    "leaves-inputs-alone": (
        "fit() and sample() must not change what they are given",
        _leaves_its_inputs_alone,
    ),
    "fit-without-validation": ("fit() must take an empty validation set", _fits_without_validation),
    "fit-on-one-prompt": ("fit() must take a single prompt with a single listener", _fits_on_one_prompt),
    "samples-are-valid": (
        "sample() must give (prompts, n, 2), finite and in the box",
        _shape_bounds_finite,
    ),
    "honours-n": ("sample() must give as many samples as asked for, 1 or 1000", _honours_n),
    "same-seed-same-samples": ("equal generators must give equal samples", _same_seed_same_samples),
    "hash-seed": ("samples must not depend on the seed of Python's hash()", _hash_seed),
    "order-and-batches": ("samples must not depend on order or batch", _order_and_batches),
    "any-text": ("sample() must answer empty, very long and non-English prompts", _any_text),
    "another-box": (
        "samples must stay in the space of the data set, or a UsageError must say why they cannot",
        _stays_in_another_box,
    ),
    "says-json": ("describe() and explain(), if there, must give plain JSON values", _says_json),
}
CHECKS = tuple(Check(name, asks, look) for name, (asks, look) in _ASKED.items())
