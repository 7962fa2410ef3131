"""Several processes that train together give what one gives; what goes wrong in one of them is one line."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from small_fits import fitted, learnable

import popeq_peft.launch
import popeq_peft.rank
from popeq.errors import RunError, UsageError
from popeq.space import PLANE
from popeq_peft.launch import RankJob
from popeq_peft.next_token import LoraNextToken
from popeq_peft.parameters import LoraHeadParameters, LoraNextTokenParameters


def parameters(folder, **more):
    how = {"model": str(folder), "epochs": 2, "batch_size": 4, "device": "cpu"}
    return LoraNextTokenParameters(**how | more)


def test_two_processes_train_what_one_trains(model_folders, tmp_path):
    """Gradients are summed in another order, so the weights agree to rounding and no further."""
    train, validation = learnable(7), learnable(2, "validation", seed=1)
    predictors = {}
    for name, launcher in (("one", None), ("two", "accelerate:2")):
        predictor = LoraNextToken(parameters(model_folders("phi3"), launcher=launcher), PLANE)
        (tmp_path / name).mkdir()
        predictor.use_folder(tmp_path / name)
        predictor.fit(train, validation, np.random.default_rng(3))
        predictors[name] = predictor
    one, two = (load_file(tmp_path / n / "member-0" / "adapter_model.safetensors") for n in ("one", "two"))
    assert one.keys() == two.keys()
    assert max(float(t.abs().max()) for n, t in one.items() if "lora_B" in n) > 1e-3  # B starts at zero
    for name, weights in one.items():
        torch.testing.assert_close(two[name], weights, rtol=1e-3, atol=1e-6)
    losses = [[e["loss"] for e in p.records[0].history] for p in predictors.values()]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    processes = predictors["two"].describe()["processes"]
    assert [p["rank"] for p in processes] == [0, 1]
    assert all(100 < p["peak_memory_mb"] < 10_000 and p["gpu_memory_mb"] is None for p in processes)
    assert "processes" not in predictors["one"].describe()
    rngs = [np.random.default_rng(i) for i in range(2)]
    assert predictors["two"].sample([p.prompt for p in validation], 5, rngs).shape == (2, 5, 2)


def test_the_launcher_is_a_part_of_a_run_only_where_it_is_asked_for(monkeypatch):
    assert "launcher" not in LoraHeadParameters().model_dump()
    assert LoraHeadParameters(launcher="accelerate:3").model_dump()["launcher"] == "accelerate:3"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert LoraHeadParameters(launcher="accelerate").launcher == "accelerate:4"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert LoraHeadParameters(launcher="accelerate").launcher == "accelerate:2"
    for wrong in ("accelerate:1", "accelerate:", "accelerate:x", "mpi", ""):
        with pytest.raises(ValidationError, match="must be accelerate or accelerate:N, N at least 2"):
            LoraHeadParameters(launcher=wrong)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda:1", "with --launcher it must be auto, cpu or cuda"),
        ("auto", "this machine has 1 CUDA card.s. for 2 processes"),
    ],
)
def test_devices_that_cannot_be_shared_out_are_refused(monkeypatch, device, message):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match=message):
        fitted("lora-head", {"launcher": "accelerate:2", "device": device}, None, learnable(5))


LEAVES_A_LINE = """
import pathlib, sys
pathlib.Path(sys.argv[1]).with_name("error.txt").write_text("no")
sys.exit(1)
"""


@pytest.mark.parametrize(
    ("code", "message"),
    [(LEAVES_A_LINE, "^no$"), ("exit(7)", "^the 2 training processes ended with status 7$")],
)
def test_what_a_process_leaves_is_what_is_said(monkeypatch, code, message):
    def command(count, job):
        return [sys.executable, "-c", code, str(job)]

    monkeypatch.setattr(popeq_peft.launch, "_command", command)
    with pytest.raises(RunError, match=message):
        fitted("lora-head", {"launcher": "accelerate:2"}, None, learnable(5))


def test_a_process_leaves_its_error_as_one_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(popeq_peft.rank, "_die_with_parent", lambda _: None)
    job = RankJob(
        predictor="lora-ntp",
        parameters=parameters(tmp_path / "nowhere").model_dump(mode="json"),
        space=PLANE,
        seeds=[1, 2],
        train=learnable(2),
        validation=[],
        state=tmp_path,
        cpu=True,
    )
    file = tmp_path / "job.json"
    file.write_text(job.model_dump_json())
    assert popeq_peft.rank.main(file) == 1
    assert (tmp_path / "error.txt").read_text().count("\n") == 0
    assert "nowhere" in (tmp_path / "error.txt").read_text()
    assert capsys.readouterr().err == ""  # an expected error has no traceback
    file.write_text(job.model_copy(update={"predictor": "nothing"}).model_dump_json())
    assert popeq_peft.rank.main(file) == 1
    assert (tmp_path / "error.txt").read_text().startswith("KeyError: ")
    assert "Traceback" in capsys.readouterr().err
