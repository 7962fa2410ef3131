"""For plugin authors: ``test_contract = conformance("my-predictor")`` is the conformance suite in pytest.

The same checks run as ``popeq check my-predictor``. The pytest plugin that popeq registers (fixtures
``popeq_run`` and ``popeq_benchmark``) is documented in docs/regression.md.
"""

from popeq.testing.checks import CHECKS, Check, ContractBrokenError, conformance
from popeq.testing.subject import Subject

__all__ = ["CHECKS", "Check", "ContractBrokenError", "Subject", "conformance"]
