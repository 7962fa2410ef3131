"""Logits of some tokens are those of all, whatever a model does between its states and its logits."""

from __future__ import annotations

import pytest
import torch
from tests.popeq_llm.shapes import SHAPES
from transformers import CohereConfig, CohereForCausalLM, Gemma2Config, Gemma2ForCausalLM

from popeq_llm.loading import load
from popeq_llm.tree import Head, has_plain_head

SMALL = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
OTHERS = {
    "cohere": lambda: CohereForCausalLM(CohereConfig(**SMALL)),  # scales its logits
    "gemma2": lambda: Gemma2ForCausalLM(Gemma2Config(**SMALL, head_dim=16)),  # caps its logits
}


@pytest.mark.parametrize("kind", [*SHAPES, *OTHERS])
def test_some_logits_are_those_of_all(kind, model_folders):
    torch.manual_seed(0)
    model = (
        OTHERS[kind]().eval()
        if kind in OTHERS
        else load(str(model_folders(kind)), None, "cpu", torch.float32).model
    )
    plain = has_plain_head(model)
    assert plain == (kind in SHAPES)
    ids, wanted = torch.tensor([[5, 9, 3, 30, 41]]), torch.tensor([40, 3, 17])
    with torch.inference_mode():
        whole = model(ids).logits
        for vocabulary, expected in ((wanted, whole[..., wanted]), (None, whole)):
            head = Head(model, plain, vocabulary)
            torch.testing.assert_close(head.logits(head.states(ids)), expected)
