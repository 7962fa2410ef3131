"""The stand-in without transformers gives what transformers gives."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from popeq_llm.answers import AnswerFormat
from popeq_llm.architecture import new_cache
from popeq_llm.chat_text import ChatText
from popeq_llm.loading import load, load_stand_in, tiny_folder
from popeq_llm.local import LocalModel
from popeq_llm.models import Message
from popeq_llm.phi3 import Phi3

CHAT = (
    Message("system", "You set a two-band equaliser."),
    Message("user", "make it warmer <|end|> now\n"),
    Message("assistant", "[1.2, -0.4]"),
    Message("user", "späte Nacht ☂"),
)


@pytest.fixture(scope="module")
def both():
    return load("popeq-tiny", None, "cpu", torch.float32), load_stand_in("cpu", torch.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_logits_are_transformers_bit_by_bit(dtype):
    theirs, ours = (
        f(*a)[0] for f, a in ((load, ("popeq-tiny", None, "cpu", dtype)), (load_stand_in, ("cpu", dtype)))
    )
    ids = torch.randint(1536, (3, 60), generator=torch.Generator().manual_seed(0))
    assert torch.equal(theirs(ids).logits, ours(ids).logits)
    assert torch.equal(theirs.base_model(ids).last_hidden_state, ours.base_model(ids).last_hidden_state)


@torch.inference_mode()
def test_a_shared_beginning_and_branches_behind_it(both):
    rng = torch.Generator().manual_seed(1)
    start, branches = (torch.randint(1536, shape, generator=rng) for shape in ((1, 40), (3, 5)))
    mask = torch.zeros(3, 1, 5, 45).masked_fill(
        torch.rand((3, 1, 5, 45), generator=rng) < 0.3, torch.finfo(torch.float32).min
    )
    positions = 40 + torch.tensor([[0, 1, 1, 2, 2]]).expand(3, -1)
    found = []
    for model, _, _ in both:
        cache = new_cache(model)
        model(start, past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(3)
        options = {"attention_mask": mask, "position_ids": positions, "past_key_values": cache}
        found.append(model(branches, use_cache=True, **options).logits)
    assert torch.equal(*found)


@torch.inference_mode()
def test_rows_padded_on_the_left_step_by_step(both):
    rng = torch.Generator().manual_seed(2)
    caches = [new_cache(model) for model, _, _ in both]
    whole = torch.ones((3, 25), dtype=torch.long)
    whole[0, :7] = whole[2, :1] = 0
    for first, end in ((0, 20), (20, 21), (21, 22), (22, 25)):
        mask = whole[:, :end]
        options = {
            "attention_mask": mask,
            "position_ids": (mask.cumsum(dim=1) - 1).clamp(min=0)[:, first:],
            "use_cache": True,
            "logits_to_keep": 1,
        }
        ids = torch.randint(1536, (3, end - first), generator=rng)
        theirs, ours = (
            model(ids, past_key_values=cache, **options).logits
            for (model, _, _), cache in zip(both, caches, strict=True)
        )
        assert ours.shape == (3, 1, 1536)
        # A product of few rows may be summed in another order when its weights lie elsewhere in memory.
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_the_same_text_tokens_and_control_tokens(both):
    theirs, ours = (ChatText(tokenizer, "popeq-tiny") for _, tokenizer, _ in both)
    assert ours.pieces(CHAT) == theirs.pieces(CHAT)
    assert ours.control == theirs.control
    texts = [ours.pieces(CHAT), ours.pieces(CHAT[1:2])]
    assert ours.encode(texts) == theirs.encode(texts)
    ids = ours.encode(texts)[0]
    (_, a, _), (_, b, _) = both
    assert (len(a), a.get_vocab(), a.unk_token_id, a.bos_token) == (
        len(b),
        b.get_vocab(),
        b.unk_token_id,
        b.bos_token,
    )
    for skip in (False, True):
        assert a.decode(ids, skip_special_tokens=skip) == b.decode(ids, skip_special_tokens=skip)


def test_the_same_settings_are_drawn_and_recorded(both):
    theirs, ours = (LocalModel("popeq-tiny", device="cpu", loaded=loaded) for loaded in both)
    assert ours.info == theirs.info
    for pairs in (1, 3):
        drawn = [
            model.generate([CHAT], 20, AnswerFormat(pairs), [np.random.default_rng(0)])
            for model in (theirs, ours)
        ]
        assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    "changed",
    [{"model_type": "llama"}, {"num_key_value_heads": 2}, {"sliding_window": 64}, {"hidden_act": "gelu"}],
)
def test_another_kind_of_model_is_refused(tmp_path, changed):
    folder = shutil.copytree(tiny_folder(), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changed}))
    with pytest.raises(ValueError, match="is not a Phi-3 with plain rotary positions"):
        Phi3(folder, torch.float32)


def test_loading_leaves_random_numbers_alone():
    before = torch.random.get_rng_state()
    load_stand_in("cpu", torch.float32)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_neither_transformers_nor_a_compiler_is_imported():
    code = (
        "import sys; from popeq_llm.local import LocalModel; LocalModel(device='cpu'); "
        "sys.exit(', '.join({'transformers', 'torch._dynamo', 'sympy'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stderr.strip(), done.returncode) == ("", 0)
