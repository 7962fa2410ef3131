"""What turns hidden states into settings: pooling, and a head that gives 11 points a pass."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from popeq.space import Space

#: Bias of the points starts inside the box by this share, where tanh has a slope.
_INSIDE = 0.95


class Pooling(nn.Module):
    """Hidden states (B, T, width) with a mask (B, T) -> one vector each, (B, width).

    ``mean`` averages the tokens; ``cls`` takes the first, or in a causal model the last, the only one that
    has seen the whole sentence; ``attention`` is a trained weighted mean that starts as the plain one.
    """

    def __init__(self, kind: Literal["mean", "cls", "attention"], width: int, causal: bool) -> None:
        super().__init__()
        self.kind, self.causal = kind, causal
        if kind == "attention":
            self.score = nn.Linear(width, 1)
            nn.init.zeros_(self.score.weight)
            nn.init.zeros_(self.score.bias)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        if self.kind == "cls":
            last = mask.sum(dim=1) - 1 if self.causal else torch.zeros_like(mask[:, 0])
            return hidden[torch.arange(len(hidden), device=hidden.device), last]
        if self.kind == "mean":
            weights = mask.to(hidden.dtype)
            return (hidden * weights[..., None]).sum(dim=1) / weights.sum(dim=1, keepdim=True)
        scores: Tensor = self.score(hidden)[..., 0].masked_fill(mask == 0, -torch.inf)
        return (hidden * scores.softmax(dim=1)[..., None]).sum(dim=1)


class Dropout(nn.Module):
    """Dropout that is on in training, and in sampling wherever a generator is given (Monte-Carlo dropout)."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if self.share == 0.0 or (generator is None and not self.training):
            return x
        # Always drawn on the CPU: the same masks whatever the device.
        drawn = torch.rand(x.shape, generator=generator)
        return x * (drawn >= self.share).to(x) / (1.0 - self.share)


class Bounded(nn.Module):
    """Any numbers (..., 2) -> points inside the box, dB, by a hyperbolic tangent on each axis."""

    centre: Tensor
    half_size: Tensor

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.register_buffer("centre", torch.tensor((space.low + space.high) / 2).float(), persistent=False)
        self.register_buffer("half_size", torch.tensor(space.size / 2).float(), persistent=False)

    def forward(self, raw: Tensor) -> Tensor:
        return self.centre + self.half_size * torch.tanh(raw)

    def inverse(self, points: NDArray[np.float64]) -> Tensor:
        """Numbers that give these points; those near an edge are moved a little inside."""
        unit = (torch.as_tensor(points).float() - self.centre) / self.half_size
        return torch.atanh(unit.clamp(-_INSIDE, _INSIDE))


class PointHead(nn.Module):
    """One vector a sentence -> ``points`` settings, through a hidden layer and a bounded output.

    Parameters
    ----------
    start : (points, 2)
        What the untrained head gives whatever the sentence, dB: settings that stand for all training answers,
        so that training begins at the pooled distribution and not in the middle of the box.
    """

    def __init__(
        self, width: int, hidden: int, start: NDArray[np.float64], dropout: float, space: Space
    ) -> None:
        super().__init__()
        self.points = len(start)
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, hidden)
        self.last = nn.Linear(hidden, 2 * self.points)
        self.dropout = Dropout(dropout)
        self.bounded = Bounded(space)
        nn.init.zeros_(self.last.weight)
        self.last.bias.data = self.bounded.inverse(start).flatten()

    def forward(self, pooled: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Points (B, points, 2), dB; each row of the batch is a pass with a dropout mask of its own."""
        inner = torch.nn.functional.gelu(self.first(self.dropout(self.norm(pooled), generator)))
        raw = self.last(self.dropout(inner, generator))
        points: Tensor = self.bounded(raw.view(len(pooled), self.points, 2))
        return points
