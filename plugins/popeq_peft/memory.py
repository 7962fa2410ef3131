"""Memory that a process which trains has taken on its card."""

from __future__ import annotations

import torch


def most_on_card_mb() -> float | None:
    """What this process has had allocated on its CUDA card at most, MiB; None if it uses none."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return None
    return round(torch.cuda.max_memory_allocated() / 2**20, 1)
