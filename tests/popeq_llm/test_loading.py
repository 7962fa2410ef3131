"""What a model may use: the precision that the processor has, and the memory that the run has left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
import torch

from popeq.runs.containment import MEMORY, memory_left
from popeq_llm.loading import load, pick_dtype


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16"])
def test_auto_is_bfloat16_where_the_processor_multiplies_it_but_not_for_training(monkeypatch, name):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {name: True})
    assert pick_dtype("auto", "cpu") == torch.bfloat16
    assert pick_dtype("auto", "cpu", trained=True) == torch.float32
    assert pick_dtype("float32", "cpu") == torch.float32
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {name: False, "avx512_f": True})
    assert pick_dtype("auto", "cpu") == torch.float32
    assert pick_dtype("auto", "cuda", trained=True) == torch.bfloat16


def test_the_memory_left_is_that_of_the_limit_where_it_is_less(monkeypatch):
    monkeypatch.delenv(MEMORY, raising=False)
    free = memory_left()
    assert free > 1 << 20
    monkeypatch.setenv(MEMORY, str(1 << 60))
    assert memory_left() > free / 2
    monkeypatch.setenv(MEMORY, "1000")
    assert memory_left() == 0


def test_a_model_in_the_hubs_cache_is_listed(tmp_path):
    (tmp_path / "models--some--own-model" / "snapshots").mkdir(parents=True)
    listed = subprocess.run(
        [sys.executable, "-c", "from popeq.cli import main; main()", "models"],
        env={**os.environ, "HF_HUB_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert [row.split()[:2] for row in listed.splitlines() if "own-model" in row] == [
        ["some/own-model", "yes"]
    ]


def test_a_folder_with_another_chat_template_is_another_model(model_folders, tmp_path):
    """Its text is in the key of kept paraphrases, and a run shows which it was."""
    copy = shutil.copytree(model_folders("llama"), tmp_path / "copy")
    known = {
        load(str(folder), None, "cpu", torch.float32).revision for folder in (model_folders("llama"), copy)
    }
    assert len(known) == 1
    (copy / "chat_template.jinja").write_text("{{ messages[-1].content }}")
    assert load(str(copy), None, "cpu", torch.float32).revision not in known
