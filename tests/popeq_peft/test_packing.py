"""Packed rows give the losses of plain sequences, for every shape of model."""

from __future__ import annotations

import pytest
import torch

from popeq_peft.next_token import pack, packed_losses


def plain_loss(model, prompt, answers):
    """Mean over the answers of the negative log-likelihood, one sequence at a time."""
    total = 0.0
    for answer in answers:
        logits = model(torch.tensor([[*prompt, *answer]])).logits[0].double().log_softmax(dim=-1)
        total -= sum(float(logits[len(prompt) + i - 1, t]) for i, t in enumerate(answer))
    return total / len(answers)


@pytest.mark.parametrize("shape", ["phi3", "llama", "qwen", "gpt2"])
@torch.no_grad()
def test_packed_equals_plain(model_folders, shape):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_folders(shape)).eval()
    data = [
        ([5, 6, 7, 8, 9], [[20, 21, 3], [20, 22, 3], [20, 21, 3], [23, 3]]),
        ([5, 6], [[20, 3], [21, 22, 23, 24, 3]]),
        ([30], [[7, 3]]),
    ]
    rows = [pack(prompt, answers) for prompt, answers in data]
    found = packed_losses(model, rows, torch.float32)
    expected = [plain_loss(model, *one) for one in data]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32), rtol=1e-4, atol=1e-4)


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


def test_an_answer_that_begins_another_is_refused():
    with pytest.raises(ValueError, match="begins"):
        pack([1], [[5], [5, 6]])
