"""Samples per second of the ways to draw 110 settings for 30 prompts with one shared set of examples.

Every way draws from the same model and the same chats, in one run; the peers are Hugging Face's ``generate``,
told to write as many tokens as the longest setting has, and spared the mask that keeps ours valid. Two
models: the stand-in, whose tokenizer writes a setting in two tokens, and a random one of the same shape and
size whose tokenizer writes it a character a token, as most do. The random one is nearly flat over settings:
samples share as few beginnings as they can, which is the hardest case for splitting.
"""

from __future__ import annotations

import copy
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.bench

PROMPTS, SAMPLES = 30, 110
#: How many prompts (and samples of each) a slow way draws; samples per second are compared.
SHARE = {
    ("generate", "stand-in"): (3, 8),
    ("generate", "digits"): (2, 5),
    ("num_return_sequences", "stand-in"): (2, SAMPLES),
    ("num_return_sequences", "digits"): (1, SAMPLES),
    ("shared_prefix", "stand-in"): (6, SAMPLES),
    ("shared_prefix", "digits"): (1, SAMPLES),
    ("exact", "digits"): (4, SAMPLES),
}
WHOLE = (PROMPTS, SAMPLES)
MODELS = ("stand-in", "digits")


@dataclass(frozen=True, eq=False)
class World:
    """A model, the chats of ``icl-static`` and their tokens, and how many tokens the longest setting has."""

    model: object
    chats: list
    ids: list[list[int]]
    longest: int


@lru_cache(maxsize=2)
def world(name: str) -> World:
    import torch

    import popeq
    from popeq_llm.answers import AnswerFormat
    from popeq_llm.local import LocalModel
    from popeq_llm.retrieval import typical_settings
    from popeq_llm.templates import load_template
    from tests.popeq_llm.shapes import save_model, tokenizer_of

    torch.set_num_threads(1)
    data = popeq.load_dataset("simulated-120")
    train = data.labelled(data.stages[0].train)[:4]
    examples = [(p.prompt.text, typical_settings(p.responses, 11)) for p in train]
    template = load_template("few", None)
    chats = [template.chat(p.text, examples) for p in data.unlabelled(data.test_ids)]
    model = LocalModel(device="cpu")
    if name == "digits":
        held = model.model.config
        same = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
        sizes = {key: getattr(held, key) for key in (*same, "num_key_value_heads", "max_position_embeddings")}
        tokenizer = tokenizer_of("qwen", held.vocab_size, [m.content for chat in chats for m in chat])
        with tempfile.TemporaryDirectory() as folder:
            save_model("phi3", Path(folder), tokenizer, **sizes, initializer_range=0.02)
            model = LocalModel(folder, device="cpu")
    _, (trie,) = model._contexts(chats[:1], AnswerFormat())
    ids = model.text.encode([model.text.pieces(chat) for chat in chats])
    return World(model, chats, ids, max(trie.depth))


def ours(name, decode):
    from popeq_llm.answers import AnswerFormat

    here = world(name)
    here.model.decode = decode
    prompts, samples = SHARE.get((decode, name), WHOLE)
    rngs = [np.random.default_rng(i) for i in range(prompts)]
    return here.model.generate(here.chats[:prompts], samples, AnswerFormat(), rngs).answers


def generate(name, ids, samples=1, **options):
    """The texts that Hugging Face's own sampling writes behind a chat."""
    import torch

    here = world(name)
    found = here.model.model.generate(
        torch.tensor([ids] * (samples if "past_key_values" in options else 1)),
        max_new_tokens=here.longest,
        do_sample=True,
        num_return_sequences=1 if "past_key_values" in options else samples,
        **options,
    )
    return here.model.tokenizer.batch_decode(found[:, len(ids) :], skip_special_tokens=True)


def plain_generate(name):
    """One call a sample."""
    prompts, samples = SHARE["generate", name]
    return [[generate(name, ids)[0] for _ in range(samples)] for ids in world(name).ids[:prompts]]


def num_return_sequences(name):
    """One call a prompt for all its samples."""
    prompts, samples = SHARE["num_return_sequences", name]
    return [generate(name, ids, samples) for ids in world(name).ids[:prompts]]


def shared_prefix(name):
    """The shared beginning computed once, then one call a prompt on a copy of its cache."""
    import torch
    from transformers import DynamicCache

    from popeq_llm.trie import common_length

    here = world(name)
    cache = DynamicCache()
    with torch.inference_mode():
        shared = torch.tensor([here.ids[0][: common_length(here.ids)]])
        here.model.model(shared, past_key_values=cache, use_cache=True, logits_to_keep=1)
    texts = []
    for ids in here.ids[: SHARE["shared_prefix", name][0]]:
        mine = copy.deepcopy(cache)
        mine.batch_repeat_interleave(SAMPLES)
        texts.append(generate(name, ids, SAMPLES, past_key_values=mine))
    return texts


WAYS = {
    "split": lambda name: ours(name, "split"),
    "exact": lambda name: ours(name, "exact"),
    "generate": plain_generate,
    "num_return_sequences": num_return_sequences,
    "shared_prefix": shared_prefix,
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("way", WAYS)
def test_sampling(benchmark, name, way):
    from popeq_llm.answers import AnswerFormat, parse_answer

    prompts, samples = SHARE.get((way, name), WHOLE)
    world(name)
    answers = benchmark.pedantic(lambda: WAYS[way](name), rounds=3, warmup_rounds=1)
    assert [len(row) for row in answers] == [samples] * prompts
    valid = np.mean([parse_answer(text, AnswerFormat()) is not None for row in answers for text in row])
    distinct = np.mean([len(set(row)) for row in answers])
    benchmark.extra_info |= {"samples": prompts * samples, "valid": float(valid), "distinct": float(distinct)}
    benchmark.extra_info["tokens"] = world(name).longest
