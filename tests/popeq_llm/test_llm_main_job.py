"""The predictors of this package through the command line, offline, on SmolLM2-135M-Instruct."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tests.conftest import environment
from tests.popeq_llm.real_models import open_smollm2

from popeq.runs.packed import PACKED
from popeq_llm.answers import AnswerFormat, parse_answer
from popeq_llm.models import Message

OFFLINE = {"HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="module")
def cache():
    """Variables of the commands; what they keep is what other tests keep, the converted model above all."""
    return OFFLINE


def only(folder, name):
    (found,) = folder.glob(f"*-{name}-????????")
    return found


def test_a_thousand_draws_all_parse():
    model = open_smollm2()
    chats = [
        (Message("system", "Answer with one setting."), Message("user", f"Sentence: make it {word}"))
        for word in ("warmer", "brighter", "日本語で", "")
    ]
    found = model.generate(chats, 250, AnswerFormat(), [np.random.default_rng(i) for i in range(4)])
    parsed = [parse_answer(a, AnswerFormat()) for row in found.answers for a in row]
    assert len(parsed) == 1000
    assert all(p is not None and (np.abs(p) <= 6).all() for p in parsed)
    assert found.rejected == (0, 0, 0, 0)


def test_they_run_on_a_small_set_and_the_board_names_the_model(popeq, small, tmp_path, cache):
    names = ["icl-rag-qa", "knn"]
    options = ["-o", "examples=2", "-o", "k=3", "-o", "answers=2"]
    ran = popeq("run", *names, *options, "--dataset", small, "--jobs", 2, env=cache)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    board = popeq("leaderboard", "show", "--format", "csv", env=cache)
    rows = {r["predictor"]: r for r in csv.DictReader(io.StringIO(board.stdout))}
    assert rows["icl-rag-qa"]["model"] == "SmolLM2-135M-Instruct (135M, Q4_1, b179c952)"
    assert rows["knn"]["model"] == ""
    explained = [
        json.loads(line)
        for line in (only(tmp_path / "runs", "icl-rag-qa") / "explanations.jsonl").read_text().splitlines()
    ]
    assert "make it sound like number 8" in explained[0]["text"]
    assert "list of 11 settings" in explained[0]["text"]
    assert len(explained[0]["retrieved"]) == 2
    shown = popeq("show", only(tmp_path / "runs", "knn"), env=cache)
    assert "mean rank correlation" in shown.stdout


def test_kill_9_and_resume_gives_the_same_samples(popeq, small, tmp_path, cache, model_folders):
    model = str(model_folders("llama"))
    command = ["run", "icl-zero", "--model", model, "--dataset", str(small), "--batch-size", "1"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from popeq.cli import main; main()", *command],
        cwd=tmp_path,
        env=environment(cache),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 60
    while not list(tmp_path.glob("runs/*/partial/*.csv")) and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert popeq(*command, env=cache).returncode == 0
    assert popeq(*command, "--runs", "whole", env=cache).returncode == 0
    resumed, whole = (only(tmp_path / f, "icl-zero") / PACKED for f in ("runs", "whole"))
    assert resumed.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["icl-zero", "--model", "nothing-here"], "is neither a folder or GGUF file here"),
        (["icl-rag", "-o", "examples=99"], "examples=99 is more than the 6 training prompts"),
        (["icl-zero", "--model", "openai:x"], "--base-url"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(popeq, small, cache, arguments, says):
    result = popeq("run", *arguments, "--dataset", small, env=cache)
    assert result.returncode in (1, 2)
    assert says in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr


def test_a_template_without_its_placeholder_is_refused_before_anything_runs(popeq, small, tmp_path, cache):
    (tmp_path / "t.txt").write_text("{% block user %}say something{% endblock %}")
    result = popeq("run", "icl-zero", "--template", tmp_path / "t.txt", "--dataset", small, env=cache)
    assert result.returncode == 2
    assert "does not use {{ sentence }}" in result.stderr
    assert not (tmp_path / "runs").exists()
