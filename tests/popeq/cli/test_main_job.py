"""The main job on the bundled data set: what make demo does, and what its table must say."""

from __future__ import annotations

import csv
import io
import json

import pytest
from tests import preloaded
from tests.conftest import environment

NAMES = ["random", "prior", "static-flat", "static-best", "static-preset"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")

    def call(*arguments):
        return preloaded.run(arguments, folder, environment({"COLUMNS": "160"}))

    ran = call("run", *NAMES, "--jobs", "2")
    assert ran.returncode == 0, ran.stderr
    return call


def test_prior_is_ahead_and_the_lines_stand_below_every_row(demo):
    board = demo("leaderboard", "show", "--format", "csv")
    assert board.returncode == 0, board.stderr
    rows = {r["predictor"]: r for r in csv.DictReader(io.StringIO(board.stdout))}
    mean = {n: float(r["reflective_kantorovich_mean"]) for n, r in rows.items()}
    assert all(mean["prior"] < mean[n] for n in NAMES if n != "prior"), mean
    assert rows["prior"]["rank"] == "1"
    for line in ("[knows the words]", "[perfect predictor]", "[fresh panel of 11]"):
        assert all(mean[line] < mean[n] for n in NAMES), mean
    assert mean["[perfect predictor]"] < mean["[fresh panel of 11]"]
    assert {r["dataset"] for r in rows.values()} == {"simulated-1200 (simulated)"}
    assert "SIMULATED listeners" in board.stderr
    assert "measured with simulated-1200-b (simulated)" in board.stderr


def test_compare_prints_every_metric_and_the_prompts_that_differ_most(demo):
    shown = demo("compare", "prior", "static-flat")
    assert shown.returncode == 0, shown.stderr
    for metric in ("reflective_kantorovich", "kantorovich", "sample_kantorovich", "energy_score"):
        assert metric in shown.stdout
    parsed = json.loads(demo("compare", "prior", "static-flat", "--format", "json", "--prompts", "3").stdout)
    assert len(parsed["prompts"]) == 3
    headline = parsed["metrics"][0]
    assert headline["shift"] < 0
    assert headline["a_better"] + headline["b_better"] + headline["equal"] == 300
