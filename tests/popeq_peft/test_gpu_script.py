"""The script for a GPU runs: on the CPU with a tiny shape, and refuses in a line where there is no card."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("gpu_fine_tuning", ROOT / "benchmark/gpu/fine_tuning.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_measures_what_it_is_asked_for(script, tmp_path, capsys):
    file = tmp_path / "figures.json"
    chosen = ["lora-head, checkpointing", "prefix-ntp"]
    how = ["--device", "cpu", "--shape", "tiny", "--steps", "1", "--batch-size", "2"]
    assert script.main([*how, "--json", str(file), "--methods", *chosen]) == 0
    written = json.loads(file.read_text())
    assert [row["method"] for row in written["rows"]] == chosen
    for row in written["rows"]:
        assert row["steps_per_s"] == pytest.approx(1 / row["step_s"])
        assert row["trained_parameters"] > 0
        assert row["tokens_a_row"] > 4
        assert 0 < row["peak_memory_gib"] < 64
    assert written["device"].startswith("CPU")
    assert "no GPU was measured" in capsys.readouterr().out


def test_the_shape_is_phi_3_5_minis(script):
    """3.82 billion parameters, as Microsoft says of it; counted without making them."""
    with torch.device("meta"):
        model = script.AutoModelForCausalLM.from_config(script.Phi3Config(**script.SHAPES["phi-3.5-mini"]))
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(3.82e9, rel=0.002)


def test_without_a_card_it_refuses_in_one_line(script, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert script.main([]) == 2
    err = capsys.readouterr().err
    assert err.startswith("fine_tuning: there is no CUDA card")
    assert err.count("\n") == 1
