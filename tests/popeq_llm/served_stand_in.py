"""A Phi-3-shaped model whose weights are written by hand to answer with random settings, to be served."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, Phi3Config, Phi3ForCausalLM, PreTrainedTokenizerFast

from popeq.space import PLANE
from popeq_llm.numbers import numbers_of

#: Share of answers that go on after their end, and are wrong.
WRONG = 0.15
_SPECIAL = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
_TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@torch.no_grad()
def save_stand_in(folder: Path) -> Path:
    """Its layers add nothing, so the last token decides: the turn's start gives a token ``[x,``, that gives
    a token `` y]``, and that the end, or (in ``WRONG`` of the answers) another `` y]``."""
    texts = sorted(pre_tokenizers.ByteLevel.alphabet())
    numbers = numbers_of(PLANE)
    lefts = [f"[{numbers.text(x)}," for x in numbers.x]
    rights = [f"\u0120{numbers.text(y)}]" for y in numbers.y]  # a space, in byte-level spelling
    vocabulary = {token: i for i, token in enumerate(_SPECIAL + texts + lefts + rights)}
    bytewise = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bytewise.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bytewise,
        eos_token=_SPECIAL[0],
        pad_token=_SPECIAL[0],
        additional_special_tokens=_SPECIAL[1:],
    )
    tokenizer.chat_template = _TEMPLATE
    width = 16
    model = Phi3ForCausalLM(
        Phi3Config(
            vocab_size=len(vocabulary),
            hidden_size=width,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=2048,
            original_max_position_embeddings=2048,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=0,
            tie_word_embeddings=False,
        )
    )
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    left, right = slice(-2 * len(lefts), -len(lefts)), slice(-len(lefts), None)
    embedding, head = model.model.embed_tokens.weight, model.lm_head.weight
    embedding.zero_()
    embedding[:, 3] = 1.0
    for place, tokens in enumerate((vocabulary["<|assistant|>"], left, right)):
        embedding[tokens] = torch.eye(width)[place]
    head.zero_()
    sure = 30 / math.sqrt(width)  # the normalised state is sqrt(width) long
    head[left, 0] = head[right, 1] = head[0, 2] = sure
    head[right, 2] = sure + math.log(WRONG / (1 - WRONG) / len(lefts)) / math.sqrt(width)
    model.generation_config = GenerationConfig(do_sample=True, eos_token_id=0, pad_token_id=0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def without_sampling(folder: Path, copy: Path) -> Path:
    """The same model with a generation_config that does not say do_sample."""
    copy.mkdir()
    for path in folder.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    settings = json.loads((folder / "generation_config.json").read_text())
    (copy / "generation_config.json").write_text(json.dumps({**settings, "do_sample": False}))
    return copy
