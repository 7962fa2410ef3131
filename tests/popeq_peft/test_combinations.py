"""{LoRA, prefix} x {head, next token} x every shape of model: train, save, load again, same samples.

All are loaded again in one fresh process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from small_fits import draw, fitted, learnable
from tests.conftest import environment

from popeq.seeding import generator
from popeq.space import PLANE

SHAPES = ("phi3", "llama", "qwen")
HEADS = [(name, model) for name in ("lora-head", "prefix-head") for model in ("all-MiniLM-L6-v2", *SHAPES)]
NEXT = [(name, model) for name in ("lora-ntp", "prefix-ntp") for model in SHAPES]
MORE = [("head-mixture", "all-MiniLM-L6-v2"), ("head-mixture", "llama")]

AGAIN = """
import json, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from small_fits import draw, fitted
for line in sys.stdin:
    name, options, file = json.loads(line)
    np.save(file, draw(fitted(name, options)))
"""


def options_of(name, model, model_folders):
    options = {"model": str(model_folders(model)) if model in SHAPES else model, "device": "cpu", "epochs": 1}
    if name == "head-mixture":
        options |= {"ensemble": 2, "method": "lora" if model in SHAPES else "none"}
    return options


def test_every_combination_trains_saves_and_loads_to_the_same_samples(model_folders, tmp_path):
    train = learnable(6, listeners=4)
    jobs, expected = [], []
    for name, model in (*HEADS, *NEXT, *MORE):
        folder = tmp_path / f"{name}-{model}"
        folder.mkdir()
        options = options_of(name, model, model_folders)
        predictor = fitted(name, options, folder, train)
        expected.append(draw(predictor))
        assert PLANE.contains(expected[-1]).all()
        assert not list(folder.glob("*.training")), "checkpoints go when training is over"
        jobs.append([name, {**options, "adapter": str(folder)}, str(folder / "again.npy")])
    lines = "\n".join(json.dumps(job) for job in jobs)
    folders = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", AGAIN, folders],
        input=lines,
        text=True,
        env=environment({"PYTHONPATH": folders}),
        capture_output=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for (name, _, file), own in zip(jobs, expected, strict=True):
        np.testing.assert_array_equal(np.load(file), own, err_msg=f"{name}: {file}")


@pytest.mark.parametrize("name", ["lora-ntp", "prefix-ntp", "lora-head", "prefix-head"])
def test_plain_peft_loads_an_adapter_and_gives_the_same_states(model_folders, tmp_path, name):
    import torch
    from peft import PeftModel
    from transformers import AutoModel, AutoModelForCausalLM

    options = options_of(name, "llama", model_folders) | {"learning_rate": 0.1}
    predictor = fitted(name, options, tmp_path, learnable(6, listeners=4))
    folder = tmp_path / "member-0"
    assert load_file(folder / "adapter_model.safetensors")
    auto = AutoModelForCausalLM if "ntp" in name else AutoModel
    plain = PeftModel.from_pretrained(auto.from_pretrained(options["model"]), str(folder)).eval()
    ids, mask = torch.tensor([[5, 9, 3, 7]]), torch.ones((1, 4), dtype=torch.long)
    given = plain(input_ids=ids, attention_mask=mask)
    backbone = predictor.members[0].backbone
    backbone.train(False)
    with torch.no_grad():
        from popeq_peft.backbone import caller

        own = caller(backbone)(ids, attention_mask=mask)
    key = "logits" if "ntp" in name else "last_hidden_state"
    torch.testing.assert_close(own[key], given[key], rtol=1e-4, atol=1e-4)
    card = (folder / "README.md").read_text()
    assert "base_model:" in card
    assert name in card


@pytest.mark.parametrize("name", ["lora-ntp", "prefix-ntp"])
def test_an_adapter_over_a_gguf_file_names_it_and_loads_in_plain_peft_over_the_same_weights(tmp_path, name):
    """SmolLM2-135M-Instruct: the card names the quantised base."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from popeq_llm.gguf import converted
    from popeq_llm.known import DEFAULT_MODEL, packaged_file

    predictor = fitted(name, {"epochs": 1, "batch_size": 2}, tmp_path, learnable(2, listeners=3))
    assert PLANE.contains(draw(predictor)).all()
    card = (tmp_path / "member-0" / "README.md").read_text()
    assert "base_model: HuggingFaceTB/SmolLM2-135M-Instruct" in card
    assert "Q4_1 weights of the GGUF file whose SHA-256 begins with b179c9523d0e6a0f" in card
    assert f"popeq models --convert {DEFAULT_MODEL}" in card
    assert str(tmp_path) not in card
    folder = converted(packaged_file(DEFAULT_MODEL), torch.float32).folder
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), tmp_path / "member-0")
    from popeq_peft.backbone import caller

    ids, mask = torch.tensor([[5, 9, 3, 7]]), torch.ones((1, 4), dtype=torch.long)
    with torch.no_grad():
        own = caller(predictor.members[0].backbone)(ids, attention_mask=mask).logits
        torch.testing.assert_close(
            own, plain.eval()(input_ids=ids, attention_mask=mask).logits, atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("name", ["lora-head", "prefix-head", "head-mixture", "lora-ntp", "prefix-ntp"])
def test_samples_depend_on_neither_batch_nor_order(name, model_folders):
    options = {"epochs": 1, "device": "cpu"}
    if "ntp" in name:
        options["model"] = str(model_folders("llama"))
    predictor = fitted(name, options, train=learnable(6, listeners=4))
    prompts = [p.prompt for p in learnable(4, "test")]

    def drawn(asked):
        return predictor.sample(asked, 30, [generator(0, p.prompt_id) for p in asked])

    together = drawn(prompts)
    np.testing.assert_array_equal(drawn(prompts[::-1])[::-1], together)
    np.testing.assert_array_equal(np.concatenate([drawn([p]) for p in prompts]), together)
    assert len(np.unique(together[0], axis=0)) > 11 or "ntp" in name, "never one set of 11 repeated"


def test_checkpointing_changes_nothing_for_lora(model_folders):
    options = options_of("lora-head", "llama", model_folders)
    train = learnable(6, listeners=4)
    plain = draw(fitted("lora-head", options, train=train))
    saving = draw(fitted("lora-head", options | {"gradient_checkpointing": True}, train=train))
    np.testing.assert_allclose(saving, plain, atol=1e-4)
