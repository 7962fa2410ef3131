"""The gate: its verdicts, its exit codes, and that it is rarely wrong."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from scipy.stats import ttest_1samp
from tests.conftest import environment

from popeq.board.regression import DEFAULT_MARGIN_DB, judge
from popeq.statistics import Panels, mean_inference


def shift_of(differences):
    """The mean difference of prompts with listeners of their own."""
    return mean_inference(differences, None, Panels([["a", "b"]] * len(differences)))


def test_the_interval_decides():
    rng = np.random.default_rng(1)
    d = rng.normal(0, 0.3, 30)
    d -= d.mean()
    half = shift_of(d).interval()[1]
    assert half == pytest.approx(ttest_1samp(d, 0.0).confidence_interval(0.95).high)
    assert judge(shift_of(d), margin_db=half + 0.01) == "pass"
    assert judge(shift_of(d), margin_db=half - 0.01) == "inconclusive"
    assert judge(shift_of(d + half + 0.1), margin_db=0.05) == "regressed"
    assert judge(shift_of(d + half + 0.1), margin_db=2 * half + 0.2) == "pass", "worse, but tolerated"
    assert judge(shift_of(d - 1), margin_db=0.0) == "pass"


def test_equal_is_a_pass_and_too_few_is_no_verdict():
    assert judge(shift_of(np.zeros(30))) == "pass"
    assert judge(shift_of(np.full(5, 9.0))) == "inconclusive"
    assert judge(shift_of(np.full(6, 9.0))) == "regressed"
    for margin in (-0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="margin"):
            judge(shift_of(np.zeros(30)), margin)


@pytest.mark.parametrize("spread", [0.28, 0.75])
def test_false_alarms_are_rare_and_losses_found(spread):
    """The spreads are those that tests/bench/regression_margin.py measured on simulated-120."""
    rng = np.random.default_rng(7)
    worlds = rng.normal(0, spread, (800, 30))
    false_regressed = sum(judge(shift_of(d)) == "regressed" for d in worlds)
    found = sum(judge(shift_of(d + 2 * DEFAULT_MARGIN_DB)) == "regressed" for d in worlds)
    missed = sum(judge(shift_of(d + 2 * DEFAULT_MARGIN_DB)) == "pass" for d in worlds)
    assert false_regressed / 800 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 800)
    assert found / 800 >= 0.80
    assert missed / 800 <= 0.01


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of two predictors on simulated-120 in a folder ``runs``."""
    import subprocess
    import sys

    folder = tmp_path_factory.mktemp("gate")
    program = [sys.executable, "-c", "from popeq.cli import main; main()"]
    for words in (["prior", "--seed", "0", "--seed", "1"], ["static-flat"]):
        subprocess.run(
            [*program, "run", *words, "--dataset", "simulated-120", "--quiet"],
            cwd=folder,
            env=environment(),
            check=True,
        )
    return folder / "runs"


def run_of(runs, name, seed=0):
    return next(
        p for p in runs.glob(f"*-{name}-*") if json.loads((p / "run.json").read_text())["seed"] == seed
    )


def test_pass_regressed_and_inconclusive_by_exit_code(popeq_inside, runs):
    same = popeq_inside("regress", run_of(runs, "prior"), run_of(runs, "prior", 1))
    assert (same.returncode, same.stdout.split(":")[0]) == (0, "PASS")
    worse = popeq_inside("regress", "prior", "static-flat", "--runs", runs)
    assert (worse.returncode, worse.stdout.split(":")[0]) == (1, "REGRESSED")
    assert "seed 0,1" in worse.stdout
    assert "Largest losses" in worse.stdout
    strict = popeq_inside(
        "regress", run_of(runs, "prior"), run_of(runs, "prior", 1), "--margin", 0.01, "--json"
    )
    assert strict.returncode == 2
    found = json.loads(strict.stdout)
    assert found["verdict"] == "inconclusive"
    assert found["low_db"] <= 0 < 0.01 < found["high_db"]
    assert found["prompts"] == 30
    assert len(found["worst"]) == 5


def test_sides_are_named_in_every_way(popeq_inside, runs):
    named = popeq_inside("regress", f"{runs}/prior", run_of(runs, "static-flat"), "--metric", "energy_score")
    assert named.returncode == 1, named.stderr
    assert "energy_score on 30 prompts of simulated-120 (simulated)" in named.stdout


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r["dataset"].update(revision="0" * 64), "revision 000000000000"),
        (lambda r: r["protocol"].update(n_samples=11), "custom protocol"),
        (lambda r: r["protocol"]["metrics"].update(energy_score=2), "this popeq computes"),
        (lambda r: r.update(status="failed", prompts_done=3), "is failed, 3 of 30 prompts"),
        (lambda r: r.update(predictions_sha256="0" * 64), "SHA-256 differs"),
    ],
)
def test_what_cannot_be_compared_ends_with_3(popeq_inside, runs, tmp_path, change, says):
    other = shutil.copytree(run_of(runs, "prior"), tmp_path / "other")
    record = json.loads((other / "run.json").read_text())
    change(record)
    (other / "run.json").write_text(json.dumps(record))
    result = popeq_inside("regress", run_of(runs, "static-flat"), other)
    assert result.returncode == 3
    assert says in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere", "prior"], "no run folder, folder of runs or predictor with a run in"),
        (["prior", "prior", "--metric", "nonsense"], "no score is called 'nonsense'"),
        (["prior"], "Missing argument 'HEAD'"),
        (["prior", "prior", "--margin", "-1"], "not in the range"),
        (["prior", "prior", "--dataset", "simulated-120-b"], "no run is of the data set 'simulated-120-b'"),
    ],
)
def test_wrong_use_is_3_not_2(popeq_inside, runs, arguments, says):
    result = popeq_inside("regress", *arguments, "--runs", runs)
    assert result.returncode == 3
    assert says in result.stderr
