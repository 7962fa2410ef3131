"""Scores in batches and sampled tokens per second on a CUDA card, beside the card's own limit.

``python -m tests.bench.gpu.scoring_and_sampling``; it needs no network and no weights. Scoring: proven bounds
of the Kantorovich distance of many prompts at once (``transport_bounds``) against popeq's exact solver on one
core. Sampling: 110 settings for 30 prompts by ``popeq_llm`` and by ``generate``, from a model of
Phi-3.5-mini's shape with random weights; the limit of any way that evaluates tokens one by one is the card's
bandwidth (measured by a copy) over the bytes of the weights.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).parent))

import popeq
from popeq.atomic import write_text
from popeq.errors import PopeqError
from popeq.metrics import DensitySettings, grid_of, grid_wasserstein
from popeq.metrics.kde import densities
from popeq.space import PLANE
from popeq_llm.answers import AnswerFormat
from popeq_llm.loading import Loaded
from popeq_llm.local import LocalModel
from popeq_llm.retrieval import typical_settings
from popeq_llm.templates import load_template
from tests.bench.gpu.fine_tuning import SHAPES, about, device_of, random_model
from tests.bench.gpu.transport_bounds import transport_bounds


def timed(function: Callable[[], Any], device: torch.device, rounds: int = 3) -> tuple[float, Any]:
    """Least seconds of some rounds after one that warms up, and the last result."""
    best, found = float("inf"), function()
    for _ in range(rounds):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        began = time.perf_counter()
        found = function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - began)
    return best, found


def pairs_of(prompts: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both densities of predictions and of simulated listeners, (2 prompts, cells^2) each, and distances."""
    rng, settings = np.random.default_rng(0), DensitySettings()
    grid, floor = grid_of(PLANE, settings.cells), settings.floor_db(PLANE)
    a, b = [], []
    for _ in range(prompts):
        centre = rng.normal(0, 2, 2)
        listeners = np.clip(centre + rng.normal(0, 2, (11, 2)), -6, 6)
        drawn = np.clip(centre + rng.normal(0, 1.5, 2) + rng.normal(0, 2.5, (110, 2)), -6, 6)
        a += densities(listeners, grid, floor)
        b += densities(drawn, grid, floor)
    return np.array(a), np.array(b), grid.distances


def scoring(device: torch.device, sizes: Sequence[int], iterations: int) -> list[dict[str, Any]]:
    """Milliseconds a prompt (two distances) of both ways, the largest proven error and the true one."""
    rows = []
    for prompts in sizes:
        a, b, distances = pairs_of(prompts)
        grid = grid_of(PLANE, DensitySettings().cells)
        exact_s, exact = timed(
            lambda a=a, b=b, grid=grid: [grid_wasserstein(x, y, grid) for x, y in zip(a, b, strict=True)],
            torch.device("cpu"),
            1,
        )
        there = [torch.tensor(x, dtype=torch.float64, device=device) for x in (a, b, distances)]
        batch_s, (low, high) = timed(
            lambda there=there: transport_bounds(*there, iterations=iterations), device
        )
        low, high = low.cpu().numpy(), high.cpu().numpy()
        middle = (low + high) / 2
        rows.append(
            {
                "prompts": prompts,
                "exact_cpu_ms": 1e3 * exact_s / prompts,
                "batched_ms": 1e3 * batch_s / prompts,
                "times_faster": exact_s / batch_s,
                "proven_error": float(((high - low) / 2 / middle).max()),
                "seen_error": float(np.abs(middle / np.array(exact) - 1).max()),
            }
        )
    return rows


def bandwidth(device: torch.device) -> float:
    """Bytes a second that the device reads, by copying within it."""
    size = 2**30 if device.type == "cuda" else 2**26
    source, target = (torch.zeros(size, dtype=torch.uint8, device=device) for _ in range(2))
    seconds, _ = timed(lambda: target.copy_(source), device)
    return 2 * size / seconds


def sampling(
    shape: str, device: torch.device, prompts: int, samples: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Samples and tokens a second of both ways, and the limit."""
    model, tokenizer = random_model(shape, device)
    local = LocalModel(device=str(device), loaded=Loaded(model, tokenizer, "random", ""))
    data = popeq.load_dataset("simulated-120")
    examples = [
        (p.prompt.text, typical_settings(p.responses, 11)) for p in data.labelled(data.stages[0].train)[:4]
    ]
    template = load_template("few", None)
    chats = [template.chat(p.text, examples) for p in data.unlabelled(data.test_ids)[:prompts]]
    ids = local.text.encode([local.text.pieces(chat) for chat in chats])
    longest = max(len(local.tokenizer(text).input_ids) for text in ("[-5.9, -5.9]", "[5.9, 5.9]"))

    def split() -> Any:
        rngs = [np.random.default_rng(i) for i in range(prompts)]
        return local.generate(chats, samples, AnswerFormat(), rngs)

    def generate() -> Any:
        for own in ids:
            with torch.inference_mode():
                model.generate(
                    torch.tensor([own], device=device),
                    max_new_tokens=longest,
                    min_new_tokens=longest,
                    do_sample=True,
                    num_return_sequences=samples,
                )

    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    speed = bandwidth(device)
    rows = []
    for name, function in (("popeq, splitting", split), ("generate, num_return_sequences", generate)):
        seconds, _ = timed(function, device, 1)
        drawn = prompts * samples / seconds
        rows.append(
            {"way": name, "samples_per_s": drawn, "tokens_per_s": drawn * longest, "seconds": seconds}
        )
    facts = {
        "weights, GiB": weights / 2**30,
        "bandwidth, GB/s": speed / 1e9,
        "limit of one token a pass, tokens/s": speed / weights,
        "tokens a setting": longest,
    }
    return rows, facts


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; 2 after wrong use."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--shape", choices=SHAPES, default="phi-3.5-mini")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--prompts", type=int, nargs="+", default=[30, 300, 3000], help="sizes of batches")
    parser.add_argument("--iterations", type=int, default=100, help="of the batched solver, a stage")
    parser.add_argument("--sampled", type=int, default=30, help="prompts that settings are drawn for")
    parser.add_argument("--samples", type=int, default=110)
    parser.add_argument("--json", type=Path, help="also write the figures to a file")
    asked = parser.parse_args(arguments)
    try:
        device = device_of(asked.device)
        scored = scoring(device, asked.prompts, asked.iterations)
        drawn, limits = sampling(asked.shape, device, asked.sampled, asked.samples)
    except PopeqError as error:
        print(f"scoring_and_sampling: {error}", file=sys.stderr)
        return error.exit_code
    facts = {**about(asked.shape, device), **limits}
    for rows in (scored, drawn):
        print(tabulate(rows, headers="keys", floatfmt=".3g"), end="\n\n")
    print("\n".join(f"{name}: {value}" for name, value in facts.items()))
    if asked.json:
        content = {**facts, "scoring": scored, "sampling": drawn}
        write_text(asked.json, json.dumps(content, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
