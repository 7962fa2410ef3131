"""A predictor's process cannot load what it is tested on through popeq; anything else it can."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.conftest import write_small_dataset

import popeq as package
from popeq import dataset as data
from popeq_data.simulated_120.generate import CARD_A, panel_dataset
from popeq_data.simulated_120.listeners import PANEL_A
from popeq_data.simulated_120.tables import read_sentences

PEEKING = """
import os
import subprocess
import sys

import numpy as np
import popeq

WHAT = os.environ["POPEQ_PEEK"]
if os.environ.get("POPEQ_PEEK_WHEN") == "import" and "POPEQ_TESTED" in os.environ:
    popeq.load_dataset(WHAT)


class Peeks:
    def __init__(self, parameters, space):
        pass

    def fit(self, train, validation, rng):
        if os.environ.get("POPEQ_PEEK_WHEN") == "child":
            done = subprocess.run(
                [sys.executable, "-c", "import os, popeq; popeq.load_dataset(os.environ['POPEQ_PEEK'])"],
                capture_output=True, text=True,
            )
            if done.returncode:
                raise RuntimeError(done.stderr.strip().splitlines()[-1])
            return
        self.answers = popeq.load_dataset(WHAT)

    def sample(self, prompts, n, rngs):
        return np.zeros((len(prompts), n, 2))


@popeq.hookimpl
def popeq_predictors():
    return [popeq.PredictorSpec("peeks", "looks up the answers", "peeking:Peeks")]
"""


@pytest.fixture
def peeking(tmp_path):
    """A plugin that loads the data set POPEQ_PEEK, as an environment with it on the path."""
    site = tmp_path / "site"
    about = site / "peeking-1.dist-info"
    about.mkdir(parents=True)
    (site / "peeking.py").write_text(PEEKING)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: peeking\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[popeq]\npeeking = peeking\n")
    return {"PYTHONPATH": str(site)}


@pytest.fixture
def panels(tmp_path):
    """A data set with a second panel, and a copy of it elsewhere under another name."""
    first = write_small_dataset(tmp_path / "a")
    write_small_dataset(tmp_path / "b", seed=2, name="small-b")
    write_small_dataset(tmp_path / "elsewhere", name="other")
    with (first / "dataset.toml").open("a") as stream:
        stream.write('second_panel = "../b"\n')
    return first


@pytest.mark.parametrize("what", ["a", "b", "elsewhere"])
def test_a_plugin_that_loads_what_it_is_tested_on_fails_and_the_line_says_why(popeq, peeking, panels, what):
    env = {**peeking, "POPEQ_PEEK": str(panels.parent / what)}
    ended = popeq("run", "peeks", "--dataset", panels, env=env)
    assert ended.returncode == 1
    assert "a predictor is being tested on this data set" in ended.stdout
    assert "fit() is given the training and validation responses" in ended.stdout


@pytest.mark.parametrize("when", ["import", "child"])
def test_it_holds_while_the_module_is_imported_and_in_child_processes(popeq, peeking, panels, when):
    env = {**peeking, "POPEQ_PEEK": str(panels), "POPEQ_PEEK_WHEN": when}
    ended = popeq("run", "peeks", "--dataset", panels, env=env)
    assert ended.returncode == 1
    assert "a predictor is being tested on this data set" in ended.stdout


def test_other_data_sets_can_be_loaded(popeq, peeking, panels):
    env = {**peeking, "POPEQ_PEEK": str(write_small_dataset(panels.parent / "free", seed=9, name="free"))}
    assert popeq("run", "peeks", "--dataset", panels, env=env).returncode == 0


def test_the_bundled_set_is_kept_by_name_and_from_its_generator(monkeypatch):
    monkeypatch.setenv(data.TESTED, package.load_dataset().revision)
    with pytest.raises(data.TestedDatasetError, match=r"^simulated-120 \(simulated\): a predictor"):
        package.load_dataset("simulated-120")
    with pytest.raises(LookupError):
        panel_dataset(CARD_A, PANEL_A, read_sentences())
    assert package.load_dataset("simulated-120-b").name == "simulated-120-b"


def test_outside_of_a_run_everything_is_open():
    done = subprocess.run(
        [sys.executable, "-c", "import popeq; print(len(popeq.load_dataset().responses))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "1320"
