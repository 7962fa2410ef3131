"""The regression gate as a test: what opens it, what keeps it shut, and the pytest plugin around it."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from tests.conftest import environment, write_small_dataset

import popeq
from popeq.runs.worker import ContractError
from popeq.testing.gate import GateError, Guard, pass_gate
from popeq.testing.timing import PredictorBenchmark

GUARDED = """
import pytest

@pytest.mark.popeq(predictor="prior", dataset="data", baseline="baseline", margin=0.5)
def test_prior(popeq_run):
    assert popeq_run.run.record.prompts == 24
    assert len(popeq_run.scores) == 24

@pytest.mark.popeq(predictor="static-preset", dataset="data", options={"fallback": "Bass boost"},
                   baseline="baseline", margin=0.5)
def test_worse(popeq_run):
    pass

def test_unmarked(popeq_run):
    pass

@pytest.mark.parametrize("phase", ["fit", "sample"])
def test_speed(popeq_benchmark, phase):
    popeq_benchmark("prior", dataset="data", phase=phase, rounds=3)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with a data set and the baseline of ``prior`` on it."""
    folder = tmp_path_factory.mktemp("gate")
    write_small_dataset(folder / "data", prompts=32)
    guard = Guard("prior", dataset="data", baseline="baseline")
    stored = pass_gate(guard, folder / "first", folder, update=True)
    assert stored.stored == folder / "baseline"
    assert stored.regression is None
    return folder


def test_the_same_predictor_passes_its_own_baseline(root):
    passed = pass_gate(Guard("prior", dataset="data", baseline="baseline"), root / "again", root)
    assert passed.regression.verdict == "pass"
    assert passed.regression.shift.value == 0.0


def test_a_worse_one_is_held_with_the_prompts_that_lose_most(root):
    guard = Guard("static-preset", dataset="data", baseline="baseline", options={"fallback": "Bass boost"})
    with pytest.raises(GateError, match="REGRESSED") as caught:
        pass_gate(guard, root / "worse", root)
    assert "largest losses:" in str(caught.value)
    assert "make it sound like number" in str(caught.value)


def test_what_is_undecided_is_held_unless_it_is_allowed(root):
    guard = Guard("prior", dataset="data", baseline="baseline", seeds=1, margin=0.0)
    with pytest.raises(GateError, match="INCONCLUSIVE"):
        pass_gate(guard, root / "seed", root)
    allowed = Guard(**{**vars(guard), "allow_inconclusive": True})
    assert pass_gate(allowed, root / "seed", root).regression.verdict == "inconclusive"


FAILS = """
from popeq_baselines.simple import Prior


class Fails(Prior):
    def sample(self, prompts, n, rngs):
        raise RuntimeError("not today")
"""


def test_a_run_that_fails_never_passes(root, tmp_path, monkeypatch):
    (tmp_path / "gate_fails.py").write_text(FAILS)
    monkeypatch.syspath_prepend(tmp_path)
    spec = popeq.PredictorSpec("fails", "fails", "gate_fails:Fails")
    with pytest.raises(GateError, match=r"fails: 0 of 24 prompts drawn: .*not today"):
        pass_gate(Guard(spec, dataset="data", baseline="baseline"), root / "fails", root)
    with pytest.raises(GateError, match="not today"):
        pass_gate(Guard(spec, dataset="data"), root / "fails", root)
    with pytest.raises(GateError, match="not today"):
        pass_gate(Guard(spec, dataset="data", baseline="new"), root / "fails", root, update=True)
    assert not (root / "new").exists()


def test_what_is_no_baseline_is_neither_used_nor_replaced(root):
    with pytest.raises(GateError, match="--popeq-update"):
        pass_gate(Guard("prior", dataset="data", baseline="absent"), root / "again", root)
    with pytest.raises(GateError, match="is no baseline and is not replaced"):
        pass_gate(Guard("prior", dataset="data", baseline="data"), root / "again", root, update=True)
    assert (root / "data" / "prompts.csv").exists()


def test_the_pytest_plugin_passes_fails_and_reports(root):
    (root / "test_guarded.py").write_text(GUARDED)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", "."]
    # pytest-benchmark times nothing in a worker of xdist, which it knows by the environment
    env = {key: value for key, value in environment().items() if not key.startswith("PYTEST_XDIST")}
    done = subprocess.run(
        [*command, "test_guarded.py", "--benchmark-json=speed.json"],
        cwd=root,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "3 passed" in done.stdout, done.stdout
    assert "test_worse" in done.stdout
    assert "REGRESSED" in done.stdout
    assert "popeq_run needs @pytest.mark.popeq" in done.stdout
    assert done.returncode == 1
    timed = json.loads((root / "speed.json").read_text())["benchmarks"]
    for phase, found in zip(("fit", "sample"), timed, strict=True):
        facts = {"predictor": "prior", "phase": phase, "dataset": "small (simulated)", "prompts": 24}
        assert facts.items() <= found["extra_info"].items()
        assert found["extra_info"]["samples"] == 660
        assert found["stats"]["rounds"] == 3
        assert found["stats"]["min"] > 0


class Rounds:
    """Takes the place of pytest-benchmark's fixture: does the rounds and keeps what each gave."""

    def __init__(self):
        self.extra_info, self.given = {}, []

    def pedantic(self, timed, setup, rounds, warmup_rounds, iterations):
        assert (warmup_rounds, iterations) == (1, 1)
        for _ in range(rounds):
            arguments, named = setup()
            self.given.append(timed(*arguments, **named))
        return self.given[-1]


def test_the_benchmark_times_a_new_fit_and_the_same_draw_each_round(root):
    times = Rounds()
    PredictorBenchmark(times)("prior", dataset=str(root / "data"), phase="fit", rounds=3)
    assert len({id(fitted) for fitted in times.given}) == 3
    times = Rounds()
    PredictorBenchmark(times)("prior", dataset=str(root / "data"), n=7, rounds=3)
    assert [drawn.shape for drawn in times.given] == [(24, 7, 2)] * 3
    assert np.array_equal(times.given[0], times.given[2])


def test_the_benchmark_of_what_breaks_the_contract_fails(root, monkeypatch):
    monkeypatch.setattr("popeq_baselines.simple.Prior.sample", lambda *_: [])
    with pytest.raises(ContractError, match=r"must give shape \(24, 660, 2\)"):
        PredictorBenchmark(Rounds())("prior", dataset=str(root / "data"))


def test_the_plugin_costs_nothing_until_it_is_used():
    code = (
        "import sys, popeq.pytest_plugin; print([m for m in ('numpy', 'pandas', 'ot') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
