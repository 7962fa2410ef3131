"""Packed rows give the losses of plain sequences, for every shape of model."""

from __future__ import annotations

import pytest
import torch
from small_fits import draw, fitted, learnable

from popeq.space import PLANE
from popeq_llm.tree import TreeRows
from popeq_peft.backbone import open_backbone, wrap
from popeq_peft.next_token import Writer, pack, packed_losses
from popeq_peft.parameters import LoraNextTokenParameters, PrefixNextTokenParameters


def plain_loss(model, prompt, answers):
    """Mean over the answers of the negative log-likelihood, one sequence at a time."""
    total = 0.0
    for answer in answers:
        logits = model(torch.tensor([[*prompt, *answer]])).logits[0].double().log_softmax(dim=-1)
        total -= sum(float(logits[len(prompt) + i - 1, t]) for i, t in enumerate(answer))
    return total / len(answers)


@pytest.mark.parametrize(
    "shape", ["phi3", "llama", "qwen", "gpt2", "mistral", "gemma3", "gemma3-mm", "gpt-oss"]
)
@torch.no_grad()
def test_packed_equals_plain(model_folders, shape):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_folders(shape)).eval()
    data = [
        ([5, 6, 7, 8, 9], [[20, 21, 3], [20, 22, 3], [20, 21, 3], [23, 3]]),
        ([5, 6], [[20, 3], [21, 22, 23, 24, 3]]),
        ([30], [[7, 3]]),
        (list(range(40, 90)), [[20, 21, 22, 3], [20, 23, 3]]),  # longer than a window
    ]
    together = [([*range(40, 40 + n), n], data[i][1]) for i, n in enumerate((9, 7, 8))]
    for some in (data, together, together[:1]):  # of the second, what all begin with is computed once
        found = packed_losses(model, [pack(prompt, answers) for prompt, answers in some])
        expected = [plain_loss(model, *one) for one in some]
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", ["llama", "mistral", "gemma3"])
@torch.no_grad()
def test_a_trained_prefix_is_seen_as_tokens_before_the_prompt(model_folders, shape):
    """By peft's own forward, a sequence at a time; with a window, some tokens see a part of it or nothing."""
    parameters = PrefixNextTokenParameters(model=str(model_folders(shape)), device="cpu", virtual_tokens=8)
    backbone = wrap(open_backbone(parameters, language=True), parameters, seed=0)
    for name, parameter in backbone.adapted.named_parameters():
        if "prompt_encoder" in name:
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    backbone.adapted.eval()
    writer = Writer(backbone)
    data = [
        ([5, 6, 7, 8, 9], [[20, 21, 3], [20, 22, 3]]),
        ([5, *range(40, 60)], [[20, 21, 22, 3], [23, 3]]),
    ]

    def plain(ids):
        return backbone.adapted(input_ids=ids, attention_mask=torch.ones_like(ids))

    found = packed_losses(writer.model, [pack(prompt, answers) for prompt, answers in data])
    expected = torch.tensor([plain_loss(plain, *one) for one in data], dtype=torch.float32)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    without = torch.tensor([plain_loss(backbone.adapted.get_base_model(), *one) for one in data])
    assert (without - expected).abs()[0] > 1e-2
    rows = TreeRows(writer.model, [prompt for prompt, _ in data])
    for first, (prompt, _) in zip(rows.first, data, strict=True):
        torch.testing.assert_close(first, plain(torch.tensor([prompt])).logits[0, -1], rtol=1e-3, atol=1e-4)


def test_a_nested_text_config_trains_and_draws(model_folders, tmp_path):
    """Gemma 3 with its vision tower: heads on its states, and answers as text."""
    options = {"model": str(model_folders("gemma3-mm")), "epochs": 1, "batch_size": 2}
    for name in ("lora-head", "lora-ntp"):
        predictor = fitted(name, options, tmp_path / name, learnable(4))
        assert PLANE.contains(draw(predictor)).all()
        assert predictor.records[0].trained_parameters > 0


def test_every_shared_beginning_is_there_once():
    row = pack([1, 2], [[5, 6, 9], [5, 7, 9], [5, 6, 9]])
    assert row.tokens == (1, 2, 5, 6, 7)
    assert row.positions == (0, 1, 2, 3, 3)
    assert row.sees == ((0,), (0, 1), (0, 2))
    assert dict(zip(zip(row.parent, row.target, strict=True), row.count, strict=True)) == {
        (1, 5): 3,
        (2, 6): 2,
        (2, 7): 1,
        (3, 9): 2,
        (4, 9): 1,
    }


def test_gradients_pass_through_what_prompts_share(model_folders):
    """They are those of the prompts one at a time, whose beginnings are then computed each for itself."""
    parameters = LoraNextTokenParameters(model=str(model_folders("llama")), device="cpu")
    writer = Writer(wrap(open_backbone(parameters, language=True), parameters, seed=0))
    rows = [pack([5, 6, 7, 8, last], [[20, 21, 3], [20, last, 3]]) for last in (30, 31, 32)]
    adapter = [p for _, p in writer.backbone.group(1.0)["params"]]
    for name, parameter in writer.backbone.group(1.0)["params"]:
        if "lora_B" in name:
            parameter.data.normal_(generator=torch.Generator().manual_seed(1))
    found = torch.autograd.grad(writer.losses(rows).sum(), adapter)
    alone = torch.autograd.grad(sum(writer.losses([row]).sum() for row in rows), adapter)
    torch.testing.assert_close(found, alone, rtol=1e-3, atol=1e-5)
    assert all(gradient.abs().max() > 0 for gradient in found)


def test_checkpointing_changes_nothing_where_prompts_share(model_folders):
    """Activations are computed again then, and transformers keeps no cache that could be shared."""
    found = []
    for saving in (False, True):
        given = {"model": str(model_folders("llama")), "device": "cpu", "gradient_checkpointing": saving}
        parameters = LoraNextTokenParameters(**given)
        writer = Writer(wrap(open_backbone(parameters, language=True), parameters, seed=0))
        writer.train(True)
        adapter = [p for _, p in writer.backbone.group(1.0)["params"]]
        losses = writer.losses([pack([5, 6, 7, 8, last], [[20, 21, 3], [20, last, 3]]) for last in (30, 31)])
        found.append((losses.detach(), *torch.autograd.grad(losses.sum(), adapter)))
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-5)


def test_an_answer_that_begins_another_is_refused():
    with pytest.raises(ValueError, match="begins"):
        pack([1], [[5], [5, 6]])
