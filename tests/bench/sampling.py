"""Settings per second of the ways to draw 110 settings for 30 prompts with one shared set of examples.

Every way draws from the same weights and the same chats. The peers call ``generate`` of Hugging Face's own
model, ask for as many tokens as the longest setting has, and are spared the mask that keeps popeq's settings
valid. There are two models, both of which write a setting a character a token: SmolLM2-135M-Instruct, and a
random one of 1 M parameters. The random one is nearly flat over settings: samples share as few beginnings as
they can, which is the hardest case for splitting. Both are run in float32 by one thread. Where
``POPEQ_LLAMA_SERVER`` names a llama.cpp server, it is asked for the same settings of SmolLM2, as popeq asks
servers: bound by a grammar, the weights as the GGUF file holds them, one thread, four requests at a time.
"""

from __future__ import annotations

import copy
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.ratios import Row, least_seconds

PROMPTS, SAMPLES = 30, 110
#: How many prompts, and samples of each, a slow way draws; its time is multiplied to that of all.
SHARE = {
    ("generate", "smollm2"): (1, 3),
    ("generate", "digits"): (2, 5),
    ("num_return_sequences", "smollm2"): (1, 8),
    ("num_return_sequences", "digits"): (1, SAMPLES),
    ("shared_prefix", "smollm2"): (1, 16),
    ("split", "smollm2"): (6, SAMPLES),
    ("exact", "smollm2"): (1, SAMPLES),
    ("llama_cpp", "smollm2"): (1, SAMPLES),
    ("shared_prefix", "digits"): (1, SAMPLES),
    ("exact", "digits"): (4, SAMPLES),
}
#: Of the random model.
SIZES = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}
#: How many times as long as splitting each peer takes at least, with either model.
LEAST_RATIO = {"generate": 40.0, "num_return_sequences": 8.0, "shared_prefix": 3.0}


@dataclass(frozen=True, eq=False)
class World:
    """A model, Hugging Face's model of the same weights and its tokenizer, the chats of ``icl-static`` and
    their tokens, how many tokens the longest setting has, and the port of a llama.cpp server; 0 if there is
    none."""

    model: Any
    peer: Any
    tokenizer: Any
    chats: list[Any]
    ids: list[list[int]]
    longest: int
    port: int = 0


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
    if name == "smollm2":
        model = LocalModel(device="cpu", dtype="float32")
    else:
        tokenizer = tokenizer_of("qwen", 1024, [m.content for chat in chats for m in chat])
        with tempfile.TemporaryDirectory() as folder:
            save_model("phi3", Path(folder), tokenizer, **SIZES, initializer_range=0.02)
            model = LocalModel(folder, device="cpu", dtype="float32")
    model.share(chats[:2])
    _, grammar = model._contexts(chats[:1], AnswerFormat())
    ids = model.text.encode([model.text.pieces(chat) for chat in chats])
    return World(model, model.model, model.tokenizer, chats, ids, max(grammar.tries[0].depth))


def ours(here: World, decode: str, prompts: int, samples: int) -> list[list[str]]:
    from popeq_llm.answers import AnswerFormat

    here.model.decode = decode
    rngs = [np.random.default_rng(i) for i in range(prompts)]
    return [
        list(row) for row in here.model.generate(here.chats[:prompts], samples, AnswerFormat(), rngs).answers
    ]


def generate(here: World, ids: list[int], samples: int = 1, **options: Any) -> list[str]:
    """The texts that Hugging Face's own sampling writes behind a chat."""
    import torch

    found = here.peer.generate(
        torch.tensor([ids] * (samples if "past_key_values" in options else 1)),
        max_new_tokens=here.longest,
        do_sample=True,
        num_return_sequences=1 if "past_key_values" in options else samples,
        **options,
    )
    return [here.tokenizer.decode(row, skip_special_tokens=True) for row in found[:, len(ids) :]]


def one_call_a_setting(here: World, prompts: int, samples: int) -> list[list[str]]:
    return [[generate(here, ids)[0] for _ in range(samples)] for ids in here.ids[:prompts]]


def one_call_a_prompt(here: World, prompts: int, samples: int) -> list[list[str]]:
    return [generate(here, ids, samples) for ids in here.ids[:prompts]]


def shared_prefix(here: World, prompts: int, samples: int) -> list[list[str]]:
    """The shared beginning computed once, then one call a prompt on a copy of its cache."""
    import torch
    from transformers import DynamicCache

    from popeq_llm.trie import common_length

    cache = DynamicCache()
    with torch.inference_mode():
        shared = torch.tensor([here.ids[0][: common_length(here.ids)]])
        here.peer(shared, past_key_values=cache, use_cache=True, logits_to_keep=1)
    texts = []
    for ids in here.ids[:prompts]:
        mine = copy.deepcopy(cache)
        mine.batch_repeat_interleave(samples)
        texts.append(generate(here, ids, samples, past_key_values=mine))
    return texts


def llama_cpp(here: World, prompts: int, samples: int) -> list[list[str]]:
    """Settings from llama.cpp's server. Its seeds are new in every call, because answers are cached."""
    from popeq_llm.answers import AnswerFormat
    from popeq_llm.served import ServedModel

    served = ServedModel("SmolLM2", f"http://127.0.0.1:{here.port}/v1", concurrency=4)
    rngs = list(np.random.default_rng(time.time_ns()).spawn(prompts))
    return [list(row) for row in served.generate(here.chats[:prompts], samples, AnswerFormat(), rngs).answers]


WAYS: dict[str, Callable[[World, int, int], list[list[str]]]] = {
    "split": lambda here, prompts, samples: ours(here, "split", prompts, samples),
    "exact": lambda here, prompts, samples: ours(here, "exact", prompts, samples),
    "generate": one_call_a_setting,
    "num_return_sequences": one_call_a_prompt,
    "shared_prefix": shared_prefix,
    "llama_cpp": llama_cpp,
}


def draws(name: str, whole: bool, port: int = 0) -> Iterator[Row]:
    """Splitting beside every other way, with one model."""
    from popeq_llm.answers import AnswerFormat, parse_answer

    here = replace(world(name), port=port)
    ways = [way for way in WAYS if whole or (way, name) != ("exact", "smollm2")]
    ways = [way for way in ways if here.port or way != "llama_cpp"]
    sizes = {way: SHARE.get((way, name), (PROMPTS, SAMPLES)) if whole else (1, 2) for way in ways}
    drawn: dict[str, list[list[str]]] = {}

    def call(way: str) -> None:
        drawn[way] = WAYS[way](here, *sizes[way])

    times = least_seconds([lambda way=way: call(way) for way in ways], 3 if whole else 1)
    all_prompts, all_samples = sizes["split"]
    for (way, (prompts, samples)), seconds in zip(sizes.items(), times, strict=True):
        answers = drawn[way]
        assert [len(row) for row in answers] == [samples] * prompts
        valid = np.mean([parse_answer(text, AnswerFormat()) is not None for row in answers for text in row])
        distinct = np.mean([len(set(row)) for row in answers])
        beside = {} if way == "split" else {
            "peer": way,
            "peer_s": seconds * all_prompts * all_samples / (prompts * samples),
        }  # fmt: skip
        yield Row(
            measurement="settings by splitting",
            size=f"{name}, {all_prompts} x {all_samples}",
            seconds=times[0],
            **beside,
            least_ratio=LEAST_RATIO.get(way),
            figure=f"{way}: {prompts * samples / seconds:.1f} settings a second, {valid:.1%} valid, "
            f"{distinct:.1f} different ones a prompt, of up to {here.longest} tokens",
        )


def sampling_of_a_language_model(whole: bool) -> Iterator[Row]:
    """SmolLM2-135M-Instruct."""
    program = os.environ.get("POPEQ_LLAMA_SERVER")
    if not program:
        yield from draws("smollm2", whole)
        return
    from popeq_llm.known import DEFAULT_MODEL
    from popeq_llm.weights import place_of
    from tests.popeq_llm.llama_server import llama_server

    file = place_of(DEFAULT_MODEL).path
    assert file is not None
    with llama_server(Path(program), "--model", file, threads=1) as port:
        yield from draws("smollm2", whole, port)


def sampling_of_a_random_model(whole: bool) -> Iterator[Row]:
    """Of 1 M parameters."""
    yield from draws("digits", whole)


MEASUREMENTS = (sampling_of_a_language_model, sampling_of_a_random_model)
