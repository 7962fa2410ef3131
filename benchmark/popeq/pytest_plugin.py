"""pytest plugin: fixtures ``popeq_run`` and ``popeq_benchmark``; silent, and imports nothing until used."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from popeq.testing.gate import GuardedRun
    from popeq.testing.timing import PredictorBenchmark

_MARKER = (
    "popeq(predictor, dataset='simulated-1200', baseline=None, margin=0.25, metric='reflective_kantorovich', "
    "seeds=0, options=None, allow_inconclusive=False, and settings of runs such as timeout_s=3600): what the "
    "fixture popeq_run draws and compares with the baseline; the test fails if it has become worse"
)
_VERDICTS = pytest.StashKey[list[str]]()
_RUNS = pytest.StashKey[Any]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("popeq", "regression gate for popeq predictors")
    group.addoption(
        "--popeq-baseline",
        metavar="RUN",
        help="compare with this run folder (or FOLDER/NAME) in place of the markers' baselines",
    )
    group.addoption(
        "--popeq-update", action="store_true", help="store what is drawn as baselines, compare nothing"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def popeq_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> GuardedRun:
    """Draws the predictor of the test's ``popeq`` marker anew and compares it with the baseline, if there is
    one; gives ``run``, ``runs``, ``scores`` and ``regression``."""
    from popeq.errors import UsageError
    from popeq.testing.gate import GateError, Guard, pass_gate

    marker = request.node.get_closest_marker("popeq")
    if marker is None:
        pytest.fail("popeq_run needs @pytest.mark.popeq(predictor=...)", pytrace=False)
    try:
        guard = Guard.of_marker(*marker.args, **marker.kwargs)
    except (TypeError, UsageError) as error:
        pytest.fail(f"@pytest.mark.popeq: {error}; it is {_MARKER}", pytrace=False)
    config = request.config
    if given := config.getoption("--popeq-baseline"):
        guard = replace(guard, baseline=config.invocation_params.dir / given)
    stash = config.stash
    if _RUNS not in stash:  # one folder a session: what two tests ask for is drawn once
        stash[_RUNS] = tmp_path_factory.mktemp("popeq-runs")
    update = bool(config.getoption("--popeq-update"))
    try:
        passed = pass_gate(guard, stash[_RUNS], config.rootpath, update=update)
    except GateError as error:
        pytest.fail(str(error), pytrace=False)
    lines = stash.setdefault(_VERDICTS, [])
    if passed.stored:
        lines.append(f"stored as baseline: {passed.stored}")
    if passed.regression:
        lines += passed.regression.lines
    return passed


if importlib.util.find_spec("pytest_benchmark"):

    @pytest.fixture
    def popeq_benchmark(benchmark: Any) -> PredictorBenchmark:
        """Times a predictor: ``popeq_benchmark("my-predictor", phase="sample", rounds=5)``."""
        from popeq.testing.timing import PredictorBenchmark

        return PredictorBenchmark(benchmark)

else:

    @pytest.fixture
    def popeq_benchmark() -> PredictorBenchmark:
        """Says what is missing."""
        pytest.fail("popeq_benchmark needs pytest-benchmark: pip install pytest-benchmark", pytrace=False)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    lines = config.stash.get(_VERDICTS, [])
    if lines:
        terminalreporter.section("popeq")
        for line in lines:
            terminalreporter.line(line)
