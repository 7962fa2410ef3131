"""Samples per second of the ways to draw 110 settings for 30 prompts with one shared set of examples.

``make bench`` runs it with the stand-in; every way draws from the same model and the same chats.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

pytestmark = pytest.mark.bench

PROMPTS, SAMPLES = 30, 110
#: How many prompts (and samples of each) a slow peer draws; samples per second are compared.
SHARE = {"generate": (3, 8), "num_return_sequences": (2, SAMPLES), "shared_prefix": (6, SAMPLES)}


@lru_cache(maxsize=1)
def world():
    """The stand-in, the chats of ``icl-static`` and what a plain loop needs of them."""
    import torch

    import popeq
    from popeq_llm.local import LocalModel
    from popeq_llm.retrieval import typical_settings
    from popeq_llm.templates import load_template

    torch.set_num_threads(1)
    data = popeq.load_dataset("simulated-120")
    train = data.labelled(data.stages[0].train)[:4]
    examples = [(p.prompt.text, typical_settings(p.responses, 11)) for p in train]
    template = load_template("few", None)
    chats = [template.chat(p.text, examples) for p in data.unlabelled(data.test_ids)]
    return LocalModel(device="cpu"), chats


def rngs(n=PROMPTS):
    return [np.random.default_rng(i) for i in range(n)]


def ours(decode):
    from popeq_llm.answers import AnswerFormat

    model, chats = world()
    model.decode = decode
    found = model.generate(chats, SAMPLES, AnswerFormat(), rngs())
    assert sum(map(len, found.answers)) == PROMPTS * SAMPLES


def plain_generate():
    """One call of Hugging Face's ``generate`` a sample."""
    model, chats = world()
    prompts, samples = SHARE["generate"]
    for chat in chats[:prompts]:
        inputs = model.tokenizer(model.render(chat), return_tensors="pt", add_special_tokens=False)
        for _ in range(samples):
            model.model.generate(**inputs, max_new_tokens=4, do_sample=True)


def num_return_sequences():
    """One call a prompt for all its samples."""
    model, chats = world()
    prompts, samples = SHARE["num_return_sequences"]
    for chat in chats[:prompts]:
        inputs = model.tokenizer(model.render(chat), return_tensors="pt", add_special_tokens=False)
        model.model.generate(**inputs, max_new_tokens=4, do_sample=True, num_return_sequences=samples)


def shared_prefix():
    """The shared beginning computed once, then one call a prompt on a copy of its cache."""
    import copy

    import torch
    from transformers import DynamicCache

    from popeq_llm.trie import common_length

    model, chats = world()
    ids = [model.tokenizer(model.render(c), add_special_tokens=False)["input_ids"] for c in chats]
    shared = common_length(ids)
    cache = DynamicCache()
    with torch.inference_mode():
        model.model(torch.tensor([ids[0][:shared]]), past_key_values=cache, use_cache=True)
    for own in ids[: SHARE["shared_prefix"][0]]:
        mine = copy.deepcopy(cache)
        mine.batch_repeat_interleave(SAMPLES)
        model.model.generate(
            torch.tensor([own] * SAMPLES), past_key_values=mine, max_new_tokens=4, do_sample=True
        )


WAYS = {
    "split": lambda: ours("split"),
    "exact": lambda: ours("exact"),
    "generate": plain_generate,
    "num_return_sequences": num_return_sequences,
    "shared_prefix": shared_prefix,
}


@pytest.mark.parametrize("way", WAYS)
def test_sampling(benchmark, way):
    prompts, samples = SHARE.get(way, (PROMPTS, SAMPLES))
    benchmark.extra_info["samples"] = prompts * samples
    world()
    benchmark.pedantic(WAYS[way], rounds=2, warmup_rounds=1)
