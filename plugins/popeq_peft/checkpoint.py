"""What training keeps between epochs, in one safetensors file that is whole or not there. Never pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from popeq.atomic import write_bytes


@dataclass
class Progress:
    """Where training stands after some epochs.

    ``now`` and ``best`` hold what is trained, by name; ``optimizer`` AdamW's moments; ``history`` one entry
    an epoch; ``fingerprint`` everything that training depends on, so that no other one's state is taken up.
    """

    fingerprint: str
    now: dict[str, Tensor]
    best: dict[str, Tensor]
    optimizer: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    stopped: str = ""


def write_progress(path: Path, progress: Progress) -> None:
    """Replace the file in one step."""
    tensors: dict[str, Tensor] = {}
    for part in ("now", "best", "optimizer"):
        for name, tensor in getattr(progress, part).items():
            tensors[f"{part}:{name}"] = tensor.detach().cpu().contiguous().clone()
    content = {k: getattr(progress, k) for k in ("fingerprint", "history", "best_epoch", "stopped")}
    write_bytes(path, save(tensors, {"progress": json.dumps(content)}))


def read_progress(path: Path, fingerprint: str) -> Progress | None:
    """What is in the file; None if there is none, it is broken, or it belongs to another training."""
    try:
        content = path.read_bytes()
        tensors = load(content)
        length = int.from_bytes(content[:8], "little")
        entry: dict[str, Any] = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["progress"])
    except (OSError, ValueError, KeyError, SafetensorError):
        return None
    if entry.pop("fingerprint", None) != fingerprint:
        return None
    parts: dict[str, dict[str, Tensor]] = {"now": {}, "best": {}, "optimizer": {}}
    for key, tensor in tensors.items():
        part, _, name = key.partition(":")
        parts[part][name] = tensor
    return Progress(fingerprint, parts["now"], parts["best"], parts["optimizer"], **entry)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimizer's state as flat names: ``INDEX.KEY``."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{key}": torch.as_tensor(value) for i, own in state.items() for key, value in own.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what ``optimizer_tensors`` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
