"""Heads on a base model: pooling, a head that gives 11 points a pass, what is trained and how it is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from popeq.atomic import write_bytes
from popeq.contract import LabelledPrompt
from popeq.errors import UsageError
from popeq.space import Space
from popeq.typing import Floats
from popeq_peft.augment import Example
from popeq_peft.backbone import Backbone
from popeq_peft.losses import padded_responses

#: Bias of the points starts inside the box by this share, where tanh has a slope.
_INSIDE = 0.95
_MOST_POOLED = 2000
PoolingKind = Literal["mean", "cls", "attention"]


class Pooling(nn.Module):
    """Hidden states (B, T, width) with a mask (B, T) -> one vector each, (B, width).

    ``mean`` averages the tokens; ``cls`` takes the first, or in a causal model the last, the only one that
    has seen the whole sentence; ``attention`` is a trained weighted mean that starts as the plain one.
    """

    def __init__(self, kind: PoolingKind, width: int, causal: bool) -> None:
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

    def inverse(self, points: Floats) -> Tensor:
        """Numbers that give these points; those near an edge are moved a little inside."""
        unit = (torch.as_tensor(points).float() - self.centre) / self.half_size
        return torch.atanh(unit.clamp(-_INSIDE, _INSIDE))


class PointHead(nn.Module):
    """One vector a sentence -> ``points`` settings, through a hidden layer and a bounded output.

    Parameters
    ----------
    start : (points, 2)
        What the untrained head gives whatever the sentence, dB: settings that represent all training answers,
        so that training begins at the pooled distribution and not in the middle of the box.
    """

    def __init__(self, width: int, hidden: int, start: Floats, dropout: float, space: Space) -> None:
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


HEAD = "head.safetensors"
#: (what the head gives, responses (B, m, 2), mask (B, m)) -> one number a prompt, (B,)
Loss = Callable[[Any, Tensor, Tensor], Tensor]


class HeadMember:
    """A base model, perhaps with an adapter, a pooling and a head."""

    def __init__(self, backbone: Backbone, pooling: Pooling, head: nn.Module) -> None:
        self.backbone = backbone
        self.pooling = pooling.to(backbone.device)
        self.head = head.to(backbone.device)
        self._kept: dict[str, Tensor] = {}

    @property
    def modules(self) -> nn.ModuleDict:
        """What is trained beside the adapter."""
        return nn.ModuleDict({"pooling": self.pooling, "head": self.head})

    def train(self, mode: bool) -> None:
        """Turn what is random in training on or off."""
        self.modules.train(mode)
        self.backbone.train(mode)

    def pooled(self, texts: Sequence[str]) -> Tensor:
        """One vector a sentence, (B, width)."""
        if self.backbone.adapted is not None:
            ids, mask = self.backbone.tokens(texts)
            return self.pooling(self.backbone.hidden(ids, mask), mask)  # type: ignore[no-any-return]
        rows = [self._states(text) for text in texts]  # a base model without an adapter never changes
        hidden = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        mask = nn.utils.rnn.pad_sequence(
            [torch.ones(len(r), dtype=torch.long) for r in rows], batch_first=True
        )
        return self.pooling(hidden, mask.to(hidden.device))  # type: ignore[no-any-return]

    def alone(self, text: str) -> Tensor:
        """The vector (1, width) of a sentence that is fed by itself: no other one changes a bit of it."""
        return self.pooled([text])

    def _states(self, text: str) -> Tensor:
        if text not in self._kept:
            with torch.no_grad():
                ids, mask = self.backbone.tokens([text])
                self._kept[text] = self.backbone.hidden(ids, mask)[0]
        return self._kept[text]

    def write(self, folder: Path) -> None:
        """Adapter (peft's format) and head, as safetensors."""
        self.backbone.save(folder)
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.modules.state_dict().items()}
        write_bytes(folder / HEAD, save(tensors))

    def read(self, folder: Path) -> HeadMember:
        """Take the pooling's and the head's weights from a folder. Raises UsageError if they do not fit."""
        try:
            self.modules.load_state_dict(load_file(folder / HEAD, device=str(self.backbone.device)))
        except (OSError, SafetensorError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise UsageError(
                f"adapter {folder}: its {HEAD} does not fit: {reason}; give the parameters that it was "
                "trained with (popeq.json)"
            ) from None
        self.train(False)
        return self


def new_member(
    backbone: Backbone, pooling: PoolingKind, seed: int, head: Callable[[], nn.Module]
) -> HeadMember:
    """An untrained member, its pooling and head made by ``head`` from a seed of their own."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return HeadMember(backbone, Pooling(pooling, backbone.width, backbone.causal), head())


def pooled_responses(train: Sequence[LabelledPrompt], rng: np.random.Generator) -> Floats:
    """All training responses (m, 2), dB; a random part of them if there are more than 2,000."""
    pooled = np.concatenate([p.responses for p in train])
    if len(pooled) > _MOST_POOLED:
        pooled = pooled[rng.choice(len(pooled), _MOST_POOLED, replace=False)]
    return pooled


class HeadTask:
    """Trains a member on examples with a loss, and scores it on the validation prompts."""

    def __init__(
        self,
        member: HeadMember,
        examples: Sequence[Example],
        validation: Sequence[LabelledPrompt],
        rates: tuple[float, float],
        loss: Loss,
        score: Callable[[Tensor, Tensor, Tensor], Tensor],
        divergence_rise: float,
    ) -> None:
        self.member, self.rates, self._loss, self._score = member, rates, loss, score
        self._divergence_rise = divergence_rise
        device = member.backbone.device
        self.texts = [e.text for e in examples]
        self.responses, self.mask = (t.to(device) for t in padded_responses([e.responses for e in examples]))
        self.held = [p.prompt.text for p in validation]
        if self.held:
            points, mask = padded_responses([p.responses for p in validation])
            self.held_responses, self.held_mask = points.to(device), mask.to(device)

    @property
    def prompts(self) -> int:
        return len(self.texts)

    @property
    def divergence_rise(self) -> float:
        return self._divergence_rise

    def groups(self) -> list[dict[str, Any]]:
        """The adapter and the head, each with its learning rate."""
        adapter = [(f"adapter.{n}", p) for n, p in self.member.backbone.trained.items()]
        head = [(n, p) for n, p in self.member.modules.named_parameters() if p.requires_grad]
        groups = [{"params": adapter, "lr": self.rates[0]}, {"params": head, "lr": self.rates[1]}]
        return [g for g in groups if g["params"]]

    def loss(self, items: Sequence[int]) -> Tensor:
        """Sum of the losses of some examples."""
        self.member.train(True)
        given = self.member.head(self.member.pooled([self.texts[i] for i in items]))
        index = torch.tensor(list(items), device=self.mask.device)
        mask = self.mask[index]
        most = int(mask.sum(dim=1).max())
        return self._loss(given, self.responses[index, :most], mask[:, :most]).sum()

    def validation(self) -> float | None:
        """Mean score of the validation prompts."""
        if not self.held:
            return None
        self.rest()
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(0)  # a score of random draws: the same draws in every epoch and every run
            pooled = self.member.pooled(self.held)
            return float(self._score(pooled, self.held_responses, self.held_mask).mean())

    def rest(self) -> None:
        """Turn dropout off."""
        self.member.train(False)
