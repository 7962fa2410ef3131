"""The processes that train together, as ``accelerate`` starts them, one a GPU; and what each of them uses."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor


def most_on_card_mb() -> float | None:
    """What this process has had allocated on its CUDA card at most, MiB; None if it uses none."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return None
    return round(torch.cuda.max_memory_allocated() / 2**20, 1)


T = TypeVar("T")


class Team:
    """A process among ``size`` processes that each take a share of every batch."""

    rank: int = 0
    size: int = 1

    def total(self, loss: float, parameters: Sequence[torch.nn.Parameter]) -> float:
        """The sum of the losses; gradients are summed in place."""
        return loss

    def agreed(self, task: T) -> T:
        """The task, with judgements that all processes share."""
        return task


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

    def agreed(self, task: T) -> T:
        agreed: Any = _Agreed(task)
        return agreed  # type: ignore[no-any-return]


class _Agreed:
    """A task whose scores are those of the first process: were they rounded otherwise elsewhere, processes
    could stop in different epochs and wait for each other for ever."""

    def __init__(self, task: Any) -> None:
        self._task = task

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def loss(self, items: Sequence[int]) -> Tensor:
        """The task's own in training; where no gradient is wanted, the first process's."""
        loss: Tensor = self._task.loss(items)
        if not torch.is_grad_enabled():
            dist.broadcast(loss, src=0)
        return loss

    def validation(self) -> float | None:
        """The first process's."""
        score = self._task.validation()
        if score is None:
            return None
        parameter = self._task.groups()[0]["params"][0][1]
        shared = torch.tensor([score], dtype=torch.float64, device=parameter.device)
        dist.broadcast(shared, src=0)
        return float(shared)


def open_team(*, cpu: bool) -> Team:
    """The team that the environment names (``WORLD_SIZE``), joined through accelerate; else this process.

    ``cpu``: train on the CPU although there may be cards.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Team()
    from accelerate import PartialState

    PartialState(cpu=cpu)
    return Distributed()
