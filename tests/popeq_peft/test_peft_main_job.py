"""A run that is killed goes on to the same samples; what it trained is used again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from small_fits import SPECS
from tests.conftest import environment

import popeq as api
from popeq.contract import load_object
from popeq.runs.folder import kept_to
from popeq.runs.packed import PACKED
from popeq.runs.predictions import read_predictions
from popeq.seeding import generator

OFFLINE = {"HF_HUB_OFFLINE": "1"}


@pytest.mark.parametrize(
    ("name", "epochs", "model"),
    [
        ("lora-head", 8, ("all-MiniLM-L6-v2", 22_713_216, None)),
        ("lora-ntp", 2, ("SmolLM2-135M-Instruct", 134_515_008, "Q4_1")),
    ],
)
def test_kill_9_while_training_goes_on_to_the_same_samples(popeq, small, tmp_path, name, epochs, model):
    given = {"device": "cpu", "epochs": epochs, "patience": 8, "threads": 1}
    options = [part for k, v in given.items() for part in ("-o", f"{k}={v}")]
    command = ["run", name, "--dataset", str(small), *options]
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
    (run,) = (tmp_path / "runs").glob(f"*-{name}-*")
    assert not (run / PACKED).exists()
    assert list(run.glob("state-split/*.training")), "killed while it trained"
    assert popeq(*command, env=OFFLINE).returncode == 0
    described = json.loads((run / "run.json").read_text())["predictor"]["described"]
    assert (described["model"], described["parameters"], described.get("quantisation") or None) == model
    assert described["training"][0]["epochs"] == epochs
    assert f"epoch {epochs}/{epochs}, loss" in (run / "state-split" / "progress.txt").read_text()

    dataset = api.load_dataset(str(small))
    (stage,) = dataset.stages
    ids = list(stage.test)
    resumed = read_predictions(run / PACKED, ids, 660, dataset.space)
    kept = (
        [] if name == "lora-ntp" else [given | {"adapter": str(run / "state-split")}]
    )  # SmolLM2 loads slowly
    for again in (given, *kept):
        predictor = load_object(SPECS[name].factory)(SPECS[name].parameters(**again), dataset.space)
        predictor.fit(
            dataset.labelled(stage.train),
            dataset.labelled(stage.validation),
            generator(0, name, "fit", "split"),
        )
        rngs = [generator(0, name, "sample", i) for i in ids]
        again = predictor.sample(dataset.unlabelled(ids), 660, rngs)
        np.testing.assert_array_equal(kept_to(again, 2, dataset.space), resumed)
