"""The conformance suite as pytest tests, one for each check."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from popeq.contract import PredictorSpec
from popeq.testing.checks import CHECKS, Check, ContractBrokenError
from popeq.testing.subject import Subject


def conformance(predictor: str | PredictorSpec, **options: object) -> Callable[[Check], None]:
    """A test function, parametrised over the checks; assign it to a name that begins with ``test_``.

    ``options`` are the predictor's parameters, as ``popeq run -o`` takes them.
    """
    import pytest

    @cache
    def subject() -> Subject:
        return Subject.of(predictor, options)

    @pytest.mark.parametrize("check", CHECKS, ids=[check.name for check in CHECKS])
    def test_contract(check: Check) -> None:
        try:
            check.run(subject())
        except ContractBrokenError as broken:
            pytest.fail(str(broken), pytrace=broken.__cause__ is not None)

    return test_contract
