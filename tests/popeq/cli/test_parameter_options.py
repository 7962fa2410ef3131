"""Options that come from parameter models, and settings that come from one object."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import termios

import pytest
from pydantic import Field
from tests.conftest import environment

import popeq as api
from popeq.plugins import registry


def parameters_of(folder):
    (record,) = folder.glob("*/run.json")
    return json.loads(record.read_text())["predictor"]["parameters"]


@pytest.mark.models
def test_an_option_is_short_for_a_parameter(popeq_inside, small, tmp_path):
    given = ("--dataset", small, "--quiet")
    for name, words in (("long", ("-o", "k=3")), ("short", ("--k", "3"))):
        done = popeq_inside("run", "knn", *given, *words, "--runs", tmp_path / name)
        assert done.returncode == 0, done.stderr
    assert parameters_of(tmp_path / "short") == parameters_of(tmp_path / "long")
    assert parameters_of(tmp_path / "short")["k"] == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "knn", "--k", "3", "-o", "k=2"), "popeq: -o k: given twice"),
        (("run", "prior", "--k", "3"), "popeq: --k: is a parameter of knn"),
        (("run", "prior", "--k", "3"), "named here: prior"),
        (("run", "knm", "--k", "3"), "no predictor is named here"),
        (("check", "prior", "--k", "3"), "popeq: --k: is a parameter of knn"),
        (("run", "knn", "--kk", "3"), "No such option '--kk'"),
        (("run", "knn", "--k", "x"), "k=x: Input should be a valid integer"),
    ],
)
def test_a_wrong_option_says_where_it_belongs(popeq_inside, words, message):
    done = popeq_inside(*words)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_help_shows_the_parameters_of_the_predictors_that_are_named(popeq_inside):
    named, nobody = popeq_inside("run", "knn", "--help").stdout, popeq_inside("run", "--help").stdout
    assert "Parameters of the predictors" in named
    assert "--k INTEGER" in named
    assert "--k INTEGER" not in nobody
    assert "--memory" in nobody


def test_a_command_has_its_own_default_of_a_setting(popeq_inside):
    assert "600.0" in popeq_inside("check", "--help").stdout
    assert "3600.0" in popeq_inside("run", "--help").stdout


class Options(api.Parameters):
    jobs: int = Field(7, description="the predictor's own number of jobs")


def test_an_option_of_the_command_stays_the_commands(popeq_inside, monkeypatch):
    spec = api.PredictorSpec("odd", "has a parameter called jobs", "nowhere:Odd", parameters=Options)
    monkeypatch.setitem(registry().predictors, "odd", spec)
    shown = popeq_inside("run", "odd", "--help").stdout
    assert shown.count("--jobs INTEGER") == 1
    assert "the predictor's own number" not in shown


class Requests(api.Parameters):
    timeout_s: float = Field(120.0, gt=0, description="seconds that a server has")


@pytest.mark.parametrize(
    ("words", "of_the_run", "of_the_predictor"),
    [(("--timeout", "900"), 900.0, {}), (("--timeout-s", "5"), 3600.0, {"timeout_s": "5"})],
)
def test_a_setting_and_a_parameter_of_one_name_stay_apart(
    popeq_inside, monkeypatch, words, of_the_run, of_the_predictor
):
    spec = api.PredictorSpec("odd", "has a parameter called timeout_s", "nowhere:Odd", parameters=Requests)
    monkeypatch.setitem(registry().predictors, "odd", spec)
    given = {}
    monkeypatch.setattr("popeq.api.run", lambda *_, **named: given.update(named) or [])
    done = popeq_inside("run", "odd", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert (given["settings"].timeout_s, given["options"]) == (of_the_run, of_the_predictor)


def on_a_terminal(*words: object) -> tuple[str, str]:
    """What the command line prints into a pipe, and what a terminal on its error stream shows."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    command = [sys.executable, "-c", "from popeq.cli import main; main()", *map(str, words)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment({"TERM": "xterm"})
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                chunk = os.read(ours, 1 << 12)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            shown += chunk
        assert process.stdout is not None
        printed = process.stdout.read()
    os.close(ours)
    assert process.returncode == 0
    return printed, shown.decode()


def test_the_bar_counts_prompts_on_a_terminal_and_results_go_to_their_pipe(small, tmp_path):
    printed, shown = on_a_terminal("run", "prior", "--dataset", small, "--runs", tmp_path / "runs")
    assert "4/4" in shown
    assert "drawn in" in printed
    assert "drawn in" not in shown


def test_a_sweep_shows_its_table_above_the_bar(small, tmp_path):
    file = tmp_path / "sweep.toml"
    file.write_text(f'datasets = ["{small}"]\n[[predictor]]\nname = "prior"\n')
    printed, shown = on_a_terminal("sweep", file, "--runs", tmp_path / "runs")
    assert "4/4" in shown
    assert "to do" in shown
    assert "done" in shown
    assert "training responses" in printed
