"""``popeq new --kind llm``: what it writes keeps popeq's contract, asked of SmolLM2-135M-Instruct."""

from __future__ import annotations

import importlib

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from popeq.scaffold import write_package
from popeq.testing.checks import CHECKS
from popeq.testing.subject import Subject


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    """The predictor of a new package, imported from its source folder; it asks SmolLM2-135M-Instruct."""
    folder = tmp_path_factory.mktemp("new")
    write_package("asks-kindly", "llm", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder / "asks-kindly" / "src")
        patch.setenv(
            "PYTHONPATH", str(folder / "asks-kindly" / "src")
        )  # of the process that looks at imports
        (spec,) = importlib.import_module("asks_kindly").popeq_predictors()
        yield Subject.of(spec)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_new_package_keeps_the_contract(check, subject):
    check.run(subject)


def test_it_says_which_model_it_asks(subject):
    described = subject.fitted.describe()
    assert (described["model"], described["parameters"]) == ("SmolLM2-135M-Instruct", 134_515_008)
