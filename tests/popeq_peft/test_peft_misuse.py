"""Wrong use and little data: one line that says what and what to do, or a note in the run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_fits import draw, fitted, learnable

from popeq.errors import PopeqError
from popeq.space import PLANE
from popeq_peft.heads import HeadTask


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("lora-ntp", {"model": "all-MiniLM-L6-v2"}, "is an encoder, which writes no tokens"),
        ("lora-head", {"learning_rate": 1e9, "head_learning_rate": 1e9}, "training diverged in its first"),
        ("head-mixture", {"head_learning_rate": 0.1}, "diverged in its first epoch .* lower -o"),
        ("lora-head", {"target_modules": "nonsense"}, "nonsense"),
        ("lora-head", {"dropout": 0}, "each pass gives the same 11 points"),
        ("prefix-head", {"gradient_checkpointing": True}, "gradient_checkpointing: does not work with a"),
        ("lora-head", {"adapter": "nowhere"}, "is not the folder of a trained adapter"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(name, options, says):
    with pytest.raises(PopeqError, match=says) as caught:
        fitted(name, options, train=learnable(6))
    assert "\n" not in str(caught.value)


def test_four_bits_without_bitsandbytes_or_on_another_device_are_one_line(monkeypatch):
    options = {"four_bit": True}
    monkeypatch.setattr("popeq_llm.loading.find_spec", lambda _: None)
    with pytest.raises(PopeqError, match="4-bit loading needs bitsandbytes; pip install"):
        fitted("lora-head", options, train=learnable(2))
    monkeypatch.setattr("popeq_llm.loading.find_spec", lambda name: name)
    with pytest.raises(PopeqError, match="needs a CUDA card or the CPU, not meta"):
        fitted("lora-head", options | {"device": "meta"}, train=learnable(2))


def test_a_training_that_diverges_keeps_the_last_good_adapter(tmp_path, monkeypatch):
    plain, calls = HeadTask.loss, []

    def breaks(self, items):
        calls.append(items)
        return plain(self, items) * (torch.nan if len(calls) > 5 else 1.0)  # a probe, then two an epoch

    monkeypatch.setattr(HeadTask, "loss", breaks)
    with pytest.warns(UserWarning, match="diverged in epoch 3 .* the state of epoch 2 is kept; lower"):
        predictor = fitted("head-mixture", {"ensemble": 1}, tmp_path, learnable(6))
    monkeypatch.undo()
    assert predictor.records[0].stopped == "diverged in epoch 3"
    assert predictor.notes == ["training diverged in epoch 3: the state of epoch 2 is kept"]
    two_epochs = fitted("head-mixture", {"ensemble": 1, "adapter": str(tmp_path)})
    np.testing.assert_array_equal(draw(two_epochs), draw(predictor))
    assert PLANE.contains(draw(predictor)).all()


def test_an_adapter_of_something_else_is_one_line(model_folders, tmp_path):
    options = {"model": str(model_folders("llama")), "epochs": 1}
    fitted("lora-ntp", options, tmp_path, learnable(2, listeners=2))
    other = {"model": str(model_folders("qwen")), "adapter": str(tmp_path)}
    with pytest.raises(PopeqError, match=r"was trained on .* give that one with --model"):
        fitted("lora-ntp", other)
    with pytest.raises(PopeqError, match="is one of lora-ntp, not of prefix-ntp"):
        fitted("prefix-ntp", other)


def test_without_validation_prompts_training_lasts_all_its_epochs_and_says_so(tmp_path):
    with pytest.warns(UserWarning, match="no validation prompts"):
        predictor = fitted("head-mixture", {"epochs": 2, "ensemble": 1}, tmp_path, learnable(6), ())
    assert predictor.describe()["notes"] == ["no validation prompts: training lasts all its epochs"]
    assert [t["epochs"] for t in predictor.describe()["training"]] == [2]
    kept = fitted("head-mixture", {"ensemble": 1, "adapter": str(tmp_path)})
    np.testing.assert_array_equal(draw(kept), draw(predictor), err_msg="dropout is off in sampling")


def test_without_validation_prompts_some_training_prompts_stop_training():
    with pytest.warns(UserWarning, match="no validation prompts: 4 of the 20 training prompts stop training"):
        predictor = fitted("head-mixture", {"epochs": 2, "ensemble": 1}, train=learnable(20), validation=())
    assert all("validation" in epoch for epoch in predictor.records[0].history)


@pytest.mark.parametrize("name", ["head-mixture", "lora-head"])
def test_one_training_prompt_works_and_is_noted(name):
    with pytest.warns(UserWarning, match="one training prompt"):
        predictor = fitted(name, {"ensemble": 1}, train=learnable(1), validation=learnable(2, "validation"))
    assert "one training prompt: what is learnt hardly depends on the sentence" in predictor.notes
    assert not [n for n in predictor.notes if "diverged" in n]
    samples = draw(predictor)
    assert PLANE.contains(samples).all()
    answers = learnable(1)[0].responses
    assert np.linalg.norm(samples.mean(axis=(0, 1)) - answers.mean(axis=0)) < 1.5, "near what it was taught"
