"""The fine-tuned predictors through the command line: stops, adapters used again, wrong use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from tests.conftest import environment, write_small_dataset

OFFLINE = {"HF_HUB_OFFLINE": "1"}
MEAN = ["-o", "device=cpu"]


def only(folder, name):
    (found,) = folder.glob(f"*-{name}-????????")
    return found


def test_kill_9_while_training_goes_on_to_the_same_samples(popeq, small, tmp_path):
    command = ["run", "lora-head", "--dataset", str(small), *MEAN, "-o", "epochs=12", "-o", "patience=12"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from popeq.cli import main; main()", *command],
        cwd=tmp_path,
        env=environment(OFFLINE),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 120
    while not list(tmp_path.glob("runs/*/state-split/*.training")) and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    stopped = only(tmp_path / "runs", "lora-head")
    assert not (stopped / "predictions.csv").exists()
    assert popeq(*command, env=OFFLINE).returncode == 0
    assert popeq(*command, "--runs", "whole", env=OFFLINE).returncode == 0
    resumed, whole = (only(tmp_path / f, "lora-head") for f in ("runs", "whole"))
    assert (resumed / "predictions.csv").read_bytes() == (whole / "predictions.csv").read_bytes()
    told = json.loads((resumed / "run.json").read_text())["predictor"]["described"]
    assert told["model"] == "all-MiniLM-L6-v2"
    assert told["stand_in"] is True
    assert told["training"][0]["epochs"] == 12
    assert "epoch 12/12, loss" in (resumed / "state-split" / "progress.txt").read_text()

    adapter = resumed / "state-split"
    again = popeq("run", "lora-head", "--dataset", small, *MEAN, "-o", f"adapter={adapter}", env=OFFLINE)
    assert again.returncode == 0, again.stdout
    used = [
        r
        for r in (tmp_path / "runs").glob("*-lora-head-*")
        if json.loads((r / "run.json").read_text())["predictor"]["parameters"]["adapter"]
    ]
    assert (used[0] / "predictions.csv").read_bytes() == (resumed / "predictions.csv").read_bytes()
    other = popeq("run", "prefix-head", "--dataset", small, "-o", f"adapter={adapter}", env=OFFLINE)
    assert other.returncode == 1
    assert "is one of lora-head, not of prefix-head" in other.stdout


def test_an_adapter_of_another_base_model_is_one_line(popeq, small, tmp_path, model_folders):
    base = ["--dataset", small, *MEAN, "-o", "epochs=1", "--model"]
    assert popeq("run", "lora-ntp", *base, model_folders("llama"), env=OFFLINE).returncode == 0
    adapter = only(tmp_path / "runs", "lora-ntp") / "state-split"
    result = popeq("run", "lora-ntp", *base, model_folders("qwen"), "-o", f"adapter={adapter}", env=OFFLINE)
    assert result.returncode == 1
    assert "was trained on" in result.stdout
    assert "give that one with --model" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


def test_folds_have_no_validation_and_the_run_says_so(popeq, tmp_path):
    folder = write_small_dataset(tmp_path / "folds", folds=True)
    ran = popeq("run", "head-mixture", "--dataset", folder, "-o", "epochs=2", "-o", "ensemble=1", env=OFFLINE)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    run = only(tmp_path / "runs", "head-mixture")
    notes = json.loads((run / "run.json").read_text())["predictor"]["described"]["notes"]
    assert notes == ["no validation prompts: training does not stop early, but after 2 epochs"]
    assert {f.name for f in run.glob("state-*")} == {"state-fold-0", "state-fold-1", "state-fold-2"}


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["lora-ntp", "--model", "all-MiniLM-L6-v2"], 1, "is an encoder, which writes no tokens"),
        (
            ["lora-head", "-o", "learning_rate=1e9", "-o", "head_learning_rate=1e9"],
            1,
            "training diverged in its",
        ),
        (["lora-head", "-o", "four_bit=true"], 1, "needs bitsandbytes"),
        (["lora-head", "-o", "target_modules=nonsense"], 1, "nonsense"),
        (["lora-head", "-o", "dropout=0"], 1, "each pass gives the same 11 points"),
        (["prefix-head", "-o", "gradient_checkpointing=true"], 1, "does not work with a prefix"),
        (["lora-head", "-o", "adapter=nowhere"], 2, "is not the folder of a trained adapter"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(popeq, small, arguments, status, says):
    result = popeq("run", *arguments, "--dataset", small, env=OFFLINE)
    assert result.returncode == status
    assert says in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr


def test_one_training_prompt_works_and_is_noted():
    from conftest import learnable
    from popeq.seeding import generator
    from popeq.space import PLANE
    from popeq_peft.mixture_head import HeadMixture
    from popeq_peft.parameters import MixtureParameters

    predictor = HeadMixture(MixtureParameters(ensemble=1, epochs=2, device="cpu"), PLANE)
    with pytest.warns(UserWarning, match="one training prompt"):
        predictor.fit(learnable(1), learnable(2, "validation"), generator(0))
    assert "one training prompt: what is learnt hardly depends on the sentence" in predictor.notes
    prompt = learnable(1, "test")[0].prompt
    assert PLANE.contains(predictor.sample([prompt], 50, [generator(1)])).all()
