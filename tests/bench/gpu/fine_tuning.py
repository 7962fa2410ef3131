"""Memory and steps per second of LoRA and prefixes on a model of Phi-3.5-mini's shape with random weights.

``python -m tests.bench.gpu.fine_tuning``, on a machine with a CUDA card; it needs no network and no weights.
Each row is a method of ``popeq_peft`` with its defaults, in bfloat16: the loss of a batch of training prompts
of simulated-120, backward, AdamW. Sentences are cut into tokens by a small tokenizer of the tests, which
needs other numbers of them than Phi's: the table says how long the rows are.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from transformers import AutoModel, AutoModelForCausalLM, Phi3Config

import popeq
from popeq.atomic import write_text
from popeq.contract import LabelledPrompt
from popeq.errors import PopeqError, UsageError
from popeq.plugins import registry
from popeq_peft.augment import augmented
from popeq_peft.backbone import Backbone, wrap
from popeq_peft.training import Task
from tests.popeq_llm.shapes import tokenizer_of

#: microsoft/Phi-3.5-mini-instruct, config.json; the other is for trying this file out.
SHAPES: dict[str, dict[str, int]] = {
    "phi-3.5-mini": {
        "vocab_size": 32064,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
    },
    "tiny": {
        "vocab_size": 4096,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
    },
}
#: Predictors; with ``gradient_checkpointing`` where that is said.
METHODS = (
    *("lora-head", "lora-head, checkpointing", "prefix-head"),
    *("lora-ntp", "lora-ntp, checkpointing", "prefix-ntp"),
)


def random_model(shape: str, device: torch.device, make: Any = AutoModelForCausalLM) -> tuple[Any, Any]:
    """A model of random weights in bfloat16, made on its device, and a tokenizer."""
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = Phi3Config(**SHAPES[shape], **ends, max_position_embeddings=4096)
    torch.manual_seed(0)
    with device:
        model = make.from_config(config, dtype=torch.bfloat16)
    return model.eval().requires_grad_(False), tokenizer_of("llama")


def task_of(
    label: str, shape: str, device: torch.device, train: Sequence[LabelledPrompt]
) -> tuple[Task, float, int]:
    """What a predictor trains, its weight decay, and the tokens of the longest row."""
    name, _, checkpointing = label.partition(", ")
    more = {"gradient_checkpointing": True} if checkpointing else {}
    spec = registry().predictor(name)
    parameters = spec.parameters(dtype="bfloat16", device=str(device), **more)  # type: ignore[call-arg]
    predictor = popeq.contract.load_object(spec.factory)(parameters, popeq.PLANE)
    made = random_model(shape, device, AutoModelForCausalLM if predictor.language else AutoModel)
    backbone = wrap(Backbone(f"random {shape}", "", "", True, *made), parameters, 0)
    member = predictor.build(backbone, train, 0)
    task = predictor.task(member, augmented(train, 0, 0), [])
    rows = getattr(task, "rows", None)
    texts = [p.prompt.text for p in train]
    tokens = max(len(r.tokens) for r in rows) if rows else backbone.tokens(texts)[0].shape[1]
    return task, parameters.weight_decay, tokens


def measure(
    label: str, shape: str, device: torch.device, train: Sequence[LabelledPrompt], steps: int
) -> dict[str, Any]:
    """Train some steps on one batch; memory that does not suffice is a row too."""
    row: dict[str, Any] = {"method": label, "prompts_a_step": len(train)}
    on_card = device.type == "cuda"
    if on_card:
        torch.cuda.reset_peak_memory_stats(device)
    try:
        task, weight_decay, row["tokens_a_row"] = task_of(label, shape, device, train)
        groups = task.groups()
        learnt = [p for g in groups for _, p in g["params"]]
        row["trained_parameters"] = sum(p.numel() for p in learnt)
        optimizer = torch.optim.AdamW(
            [{**g, "params": [p for _, p in g["params"]]} for g in groups], weight_decay=weight_decay
        )
        times = []
        for _ in range(steps + 1):  # the first warms up
            began = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            (task.loss(range(len(train))) / len(train)).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(learnt, 1.0)
            optimizer.step()
            if on_card:
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - began)
        row |= {"steps_per_s": 1 / statistics.median(times[1:]), "step_s": statistics.median(times[1:])}
    except torch.OutOfMemoryError:
        row["steps_per_s"] = row["step_s"] = None
    row["peak_memory_gib"] = (
        torch.cuda.max_memory_allocated(device) / 2**30
        if on_card
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    )
    return row


def about(shape: str, device: torch.device) -> dict[str, Any]:
    """When, where and with what."""
    on_card = device.type == "cuda"
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": torch.cuda.get_device_name(device) if on_card else "CPU (no GPU was measured)",
        "memory": "allocated on the card" if on_card else "resident, of the whole process so far",
        "shape": shape,
        "dtype": "bfloat16",
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "popeq")},
    }


def device_of(asked: str) -> torch.device:
    """The device; raises UsageError if there is no card and the CPU was not asked for."""
    if asked.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(
            "there is no CUDA card that torch can use, and this measures one; '--device cpu --shape tiny' "
            "tries the script out"
        )
    return torch.device(asked)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 2 after wrong use."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--shape", choices=SHAPES, default="phi-3.5-mini")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--steps", type=int, default=10, help="steps that are timed, after one that is not")
    parser.add_argument("--batch-size", type=int, default=10, help="prompts a step, at most 60")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--json", type=Path, help="also write the figures to a file")
    asked = parser.parse_args(arguments)
    try:
        device = device_of(asked.device)
        data = popeq.load_dataset("simulated-120")
        train = data.labelled(data.stages[0].train)[: asked.batch_size]
        rows = []
        for label in asked.methods:
            rows.append(measure(label, asked.shape, device, train, asked.steps))
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()
    except PopeqError as error:
        print(f"fine_tuning: {error}", file=sys.stderr)
        return error.exit_code
    facts = about(asked.shape, device)
    print(tabulate(rows, headers="keys", floatfmt=".3g", missingval="out of memory"))
    print("\n".join(f"{name}: {value}" for name, value in facts.items()))
    if asked.json:
        write_text(asked.json, json.dumps({**facts, "rows": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
