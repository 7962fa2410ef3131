"""Tiny random models of the usual shapes, each with its kind of tokenizer, saved to a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

SHAPES = ("phi3", "llama", "qwen", "gpt2")
#: Tokens that the layers with a window see in the models below.
WINDOW = 16
_WINDOW = {"sliding_window": WINDOW, "head_dim": 16}
_MIXED = {**_WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
_LINEAR = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
_VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
#: Models of other kinds: the beginning of their classes' names, the end of the model's, and their sizes.
KINDS: dict[str, tuple[str, str, dict[str, object]]] = {
    "mistral": ("Mistral", "ForCausalLM", _WINDOW),
    "gemma3": ("Gemma3", "ForCausalLM", _MIXED | {"query_pre_attn_scalar": 16}),
    "gemma3-mm": ("Gemma3", "ForConditionalGeneration", _MIXED | {"query_pre_attn_scalar": 16}),
    "gemma4": ("Gemma4", "ForCausalLM", _MIXED | {"global_head_dim": 32, "hidden_size_per_layer_input": 0}),
    "gpt-oss": ("GptOss", "ForCausalLM", _MIXED | {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen-window": ("Qwen2", "ForCausalLM", _MIXED | {"use_sliding_window": True}),
    "gpt-neo": (
        "GPTNeo",
        "ForCausalLM",
        {"window_size": WINDOW, "attention_types": [[["global", "local"], 1]]},
    ),
    "mamba": ("Mamba", "ForCausalLM", {}),
    "qwen3-next": (
        "Qwen3Next",
        "ForCausalLM",
        _LINEAR
        | _EXPERTS
        | {
            "head_dim": 16,
            "layer_types": ["linear_attention", "full_attention"],
            "moe_intermediate_size": 32,
            "shared_expert_intermediate_size": 32,
        },
    ),
    "jamba": (
        "Jamba",
        "ForCausalLM",
        _EXPERTS | {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_dt_rank": 4},
    ),
    "rwkv": ("Rwkv", "ForCausalLM", {}),
}
_SPECIAL = ["<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<pad>"]
_TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def _corpus() -> list[str]:
    """Texts in which numbers come in clusters, so that merges such as ``-1.`` and ``.5`` are learnt."""
    rng = np.random.default_rng(0)
    pairs = [f"[{x:.1f}, {y:.1f}]" for x, y in rng.normal(0, 2, (400, 2)).clip(-6, 6)]
    return [f"Sentence: make it warmer\nSettings: {', '.join(pairs[i : i + 4])}" for i in range(0, 400, 4)]


def tokenizer_of(shape: str, vocabulary: int = 400, texts: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """phi3: metaspace with byte fallback, as SentencePiece; llama, gpt2, qwen: byte level, digits apart.

    The last three learn up to ``vocabulary`` tokens, from ``texts`` as well.
    """
    if shape == "phi3":
        tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        alphabet = [f"<0x{b:02X}>" for b in range(256)]
        trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=["<unk>", *_SPECIAL, *alphabet])
    else:
        tokenizer = Tokenizer(models.BPE())
        digits = r"\p{N}" if shape == "qwen" else r" ?\p{N}+" if shape == "gpt2" else r"\p{N}{1,3}"
        pattern = rf"[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s+"
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary, special_tokens=_SPECIAL, initial_alphabet=alphabet
        )
    tokenizer.train_from_iterator([*_corpus(), *texts], trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in _SPECIAL])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    if shape != "gpt2":  # like GPT-2's own, which has no chat template
        fast.chat_template = _TEMPLATE
    return fast


def save_model(
    shape: str, folder: Path, tokenizer: PreTrainedTokenizerFast | None = None, **sizes: float
) -> Path:
    """Write a random model and its tokenizer; its logits differ enough to tell answers apart."""
    torch.manual_seed(0)
    tokenizer = tokenizer or tokenizer_of(shape)
    vocabulary = len(tokenizer)
    common = {
        "vocab_size": vocabulary,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 16384,
        "initializer_range": 0.2,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **sizes,
    }
    if shape == "phi3":
        model = Phi3ForCausalLM(Phi3Config(**common))
    elif shape == "llama":
        model = LlamaForCausalLM(LlamaConfig(**common))
    elif shape == "qwen":
        model = Qwen2ForCausalLM(Qwen2Config(**common))
    elif shape in KINDS:
        model = _model_of(shape, common)
    else:
        model = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=vocabulary,
                n_embd=64,
                n_layer=2,
                n_head=4,
                n_positions=16384,
                initializer_range=0.2,
            )
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _model_of(kind: str, common: dict[str, float]) -> transformers.PreTrainedModel:
    name, ending, own = KINDS[kind]
    whole = getattr(transformers, f"{name}Config")
    text = getattr(transformers, f"{name}TextConfig", whole)
    known = {*vars(text()), *text.attribute_map, "attention_types"}
    config = text(**{k: v for k, v in {**common, **own}.items() if k in known})
    if ending == "ForConditionalGeneration":
        config = whole(text_config=config.to_dict(), vision_config=_VISION, mm_tokens_per_image=4)
    return getattr(transformers, name + ending)(config)
