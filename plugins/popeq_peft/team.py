"""The processes that train together, as ``accelerate`` starts them, one a GPU; and what each of them uses."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist


def most_on_card_mb() -> float | None:
    """What this process has had allocated on its CUDA card at most, MiB; None if it uses none."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return None
    return round(torch.cuda.max_memory_allocated() / 2**20, 1)


@dataclass(frozen=True)
class Team:
    """This process, ``rank`` among ``size`` that each take a share of every batch; ``device`` is its own."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    def total(self, loss: float, parameters: Sequence[torch.nn.Parameter]) -> float:
        """The sum of the processes' losses; gradients are summed in place."""
        if self.size == 1:
            return loss
        flat = torch.cat(
            [torch.tensor([loss], device=self.device)]
            + [(torch.zeros_like(p) if p.grad is None else p.grad).flatten().float() for p in parameters]
        )
        dist.all_reduce(flat)
        summed, *gradients = torch.split(flat, [1, *(p.numel() for p in parameters)])
        for p, gradient in zip(parameters, gradients, strict=True):
            p.grad = gradient.view_as(p).to(p.dtype)
        return float(summed)

    def agreed(self, score: float) -> float:
        """The first process's score. Processes that judge by scores which were rounded differently could stop
        in different epochs, and would then wait for each other without end."""
        if self.size == 1:
            return score
        shared = torch.tensor([score], dtype=torch.float64, device=self.device)
        dist.broadcast(shared, src=0)
        return float(shared)


#: A process that trains without others.
ALONE = Team()


def open_team(*, cpu: bool) -> Team:
    """The team that the environment names (``WORLD_SIZE``), joined through accelerate; else this process.

    ``cpu``: train on the CPU although there may be cards.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ALONE
    from accelerate import PartialState

    state = PartialState(cpu=cpu)
    return Team(dist.get_rank(), dist.get_world_size(), str(state.device))
