"""The script for a GPU runs: on the CPU with a tiny shape, and refuses in a line where there is no card."""

from __future__ import annotations

import json

import pytest
import torch
from tests.bench.gpu import fine_tuning
from transformers import AutoModelForCausalLM, Phi3Config


def test_it_measures_what_it_is_asked_for(tmp_path, capsys):
    file = tmp_path / "figures.json"
    chosen = ["lora-head, checkpointing", "prefix-ntp"]
    how = ["--device", "cpu", "--shape", "tiny", "--steps", "1", "--batch-size", "2"]
    assert fine_tuning.main([*how, "--json", str(file), "--methods", *chosen]) == 0
    written = json.loads(file.read_text())
    assert [row["method"] for row in written["rows"]] == chosen
    for row in written["rows"]:
        assert row["steps_per_s"] == pytest.approx(1 / row["step_s"])
        assert row["trained_parameters"] > 0
        assert row["tokens_a_row"] > 4
        assert 0 < row["peak_memory_gib"] < 64
    assert written["device"].startswith("CPU")
    assert "no GPU was measured" in capsys.readouterr().out


def test_the_shape_is_phi_3_5_minis():
    """3.82 billion parameters, as Microsoft says of it; counted without making them."""
    with torch.device("meta"):
        config = Phi3Config(**fine_tuning.SHAPES["phi-3.5-mini"])
        model = AutoModelForCausalLM.from_config(config)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(3.82e9, rel=0.002)


def test_without_a_card_it_refuses_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert fine_tuning.main([]) == 2
    err = capsys.readouterr().err
    assert err.startswith("fine_tuning: there is no CUDA card")
    assert err.count("\n") == 1
