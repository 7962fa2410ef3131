"""The processes that train together, one a GPU, as ``accelerate`` starts them; alone it is a team of one."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
import torch.distributed as dist


class Team:
    """A process among ``size`` processes that each take a share of every batch."""

    rank: int = 0
    size: int = 1

    def total(self, loss: float, parameters: Sequence[torch.nn.Parameter]) -> float:
        """The sum of the losses; gradients are summed in place."""
        return loss


class Distributed(Team):
    """Processes that share gradients through ``torch.distributed``."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def total(self, loss: float, parameters: Sequence[torch.nn.Parameter]) -> float:
        device = parameters[0].device
        flat = torch.cat(
            [torch.tensor([loss], device=device)]
            + [(torch.zeros_like(p) if p.grad is None else p.grad).flatten().float() for p in parameters]
        )
        dist.all_reduce(flat)
        at = 1
        for p in parameters:
            p.grad = flat[at : at + p.numel()].view_as(p).to(p.dtype)
            at += p.numel()
        return float(flat[0])


def open_team() -> Team:
    """The team that the environment names (``WORLD_SIZE``), joined through accelerate; else this process."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Team()
    from accelerate import PartialState

    PartialState(cpu=not torch.cuda.is_available())
    return Distributed()
