"""Heads on a base model: pooling, a head that gives 11 points a pass, what is trained and how it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

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
from popeq_peft.backbone import Backbone, padded
from popeq_peft.parameters import LoraHeadParameters, MixtureParameters, PrefixHeadParameters
from popeq_peft.tuned import FineTuned, Member

#: The points start inside this share of the box, where the hyperbolic tangent has a slope.
_INSIDE = 0.95
_MOST_POOLED = 2000
HP = TypeVar("HP", bound=LoraHeadParameters | PrefixHeadParameters | MixtureParameters)


def padded_responses(responses: Sequence[Floats]) -> tuple[Tensor, Tensor]:
    """Point sets of different sizes as (B, most, 2), dB, and a mask (B, most) that says what is a point."""
    points, mask = padded([torch.tensor(r, dtype=torch.float32) for r in responses])
    return points, mask.bool()


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


class PointHead(nn.Module):
    """One vector a sentence -> ``points`` settings, through a hidden layer and a hyperbolic tangent on each
    axis that keeps them inside the box.

    Parameters
    ----------
    start : (points, 2)
        What the untrained head gives whatever the sentence, dB: settings that represent all training answers,
        so that training begins at the pooled distribution and not in the middle of the box. Those near an
        edge are moved a little inside.
    """

    centre: Tensor
    half_size: Tensor

    def __init__(self, width: int, hidden: int, start: Floats, dropout: float, space: Space) -> None:
        super().__init__()
        self.points = len(start)
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, hidden)
        self.last = nn.Linear(hidden, 2 * self.points)
        self.dropout = Dropout(dropout)
        self.register_buffer("centre", torch.tensor((space.low + space.high) / 2).float(), persistent=False)
        self.register_buffer("half_size", torch.tensor(space.size / 2).float(), persistent=False)
        unit = (torch.as_tensor(start).float() - self.centre) / self.half_size
        nn.init.zeros_(self.last.weight)
        self.last.bias.data = torch.atanh(unit.clamp(-_INSIDE, _INSIDE)).flatten()

    def forward(self, pooled: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Points (B, points, 2), dB; each row of the batch is a pass with a dropout mask of its own."""
        inner = torch.nn.functional.gelu(self.first(self.dropout(self.norm(pooled), generator)))
        raw = self.last(self.dropout(inner, generator)).view(len(pooled), self.points, 2)
        return self.centre + self.half_size * torch.tanh(raw)


HEAD = "head.safetensors"


class HeadMember(Member):
    """A base model, perhaps with an adapter, a pooling and a head."""

    def __init__(self, backbone: Backbone, pooling: Pooling, head: nn.Module) -> None:
        super().__init__(backbone)
        self.pooling = pooling.to(backbone.device)
        self.head = head.to(backbone.device)
        #: What is trained beside the adapter.
        self.modules = nn.ModuleDict({"pooling": self.pooling, "head": self.head})
        self._kept: dict[str, Tensor] = {}

    def train(self, mode: bool) -> None:
        self.modules.train(mode)
        super().train(mode)

    def pooled(self, texts: Sequence[str]) -> Tensor:
        """One vector a sentence, (B, width). Of a sentence that is given by itself, no other one changes a
        bit."""
        if self.backbone.adapted is not None:
            ids, mask = self.backbone.tokens(texts)
            hidden = self.backbone.hidden(ids, mask)
        else:  # a base model without an adapter never changes
            hidden, mask = padded([self._states(text) for text in texts])
        vectors: Tensor = self.pooling(hidden, mask)
        return vectors

    def _states(self, text: str) -> Tensor:
        if text not in self._kept:
            with torch.no_grad():
                self._kept[text] = self.backbone.hidden(*self.backbone.tokens([text]))[0]
        return self._kept[text]

    def write(self, folder: Path) -> None:
        super().write(folder)
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.modules.state_dict().items()}
        write_bytes(folder / HEAD, save(tensors))


class HeadPredictor(FineTuned[HP, HeadMember]):
    """A base model whose pooled hidden states go through a head.

    A subclass says where the untrained head starts (``start``), what the head is (``head``), and by what it
    is trained and judged (``loss``, ``score``, ``divergence_rise``).
    """

    #: Rise of the loss by which training has diverged, in its unit.
    divergence_rise: float

    def start(self, responses: Floats, rng: np.random.Generator) -> Any:
        """What the untrained head gives, from training responses (m, 2), dB."""
        raise NotImplementedError

    def blank(self, weights: Mapping[str, Tensor]) -> Any:
        """A start of the shape that saved weights have."""
        raise NotImplementedError

    def head(self, width: int, start: Any) -> nn.Module:
        """The head on vectors of a width, its random weights drawn from torch's generator."""
        raise NotImplementedError

    def loss(self, given: Any, responses: Tensor, mask: Tensor) -> Tensor:
        """One number a prompt, (B,), for what the head gives and responses (B, m, 2), mask (B, m)."""
        raise NotImplementedError

    def score(self, head: nn.Module, pooled: Tensor, responses: Tensor, mask: Tensor) -> Tensor:
        """What stops training: one number a prompt, (B,), for vectors (B, width) that the head is given."""
        return self.loss(head(pooled), responses, mask)

    def build(self, backbone: Backbone, train: Sequence[LabelledPrompt], seed: int) -> HeadMember:
        rng = np.random.default_rng(seed)
        responses = np.concatenate([p.responses for p in train])
        if len(responses) > _MOST_POOLED:
            responses = responses[rng.choice(len(responses), _MOST_POOLED, replace=False)]
        return self._member_of(backbone, self.start(responses, rng), seed)

    def _member_of(self, backbone: Backbone, start: Any, seed: int) -> HeadMember:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            pooling = Pooling(self.parameters.pooling, backbone.width, backbone.causal)
            return HeadMember(backbone, pooling, self.head(backbone.width, start))

    def read(self, backbone: Backbone, folder: Path) -> HeadMember:
        try:
            weights = load_file(folder / HEAD, device=str(backbone.device))
            member = self._member_of(backbone, self.blank(weights), 0)
            member.modules.load_state_dict(weights)
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise UsageError(
                f"adapter {folder}: its {HEAD} does not fit: {reason}; give the parameters that it was "
                "trained with (popeq.json)"
            ) from None
        return member

    def task(
        self, member: HeadMember, examples: Sequence[Example], validation: Sequence[LabelledPrompt]
    ) -> HeadTask:
        return HeadTask(self, member, examples, validation)


class HeadTask:
    """Trains a member on examples with its predictor's loss, and scores it on the validation prompts."""

    def __init__(
        self,
        predictor: HeadPredictor[Any],
        member: HeadMember,
        examples: Sequence[Example],
        validation: Sequence[LabelledPrompt],
    ) -> None:
        self.predictor, self.member = predictor, member
        self.prompts, self.divergence_rise = len(examples), predictor.divergence_rise
        device = member.backbone.device
        self.texts = [e.text for e in examples]
        self.responses, self.mask = (t.to(device) for t in padded_responses([e.responses for e in examples]))
        self.held = [p.prompt.text for p in validation]
        if self.held:
            points, mask = padded_responses([p.responses for p in validation])
            self.held_responses, self.held_mask = points.to(device), mask.to(device)

    def groups(self) -> list[dict[str, Any]]:
        """The adapter and the head, each with its learning rate."""
        p = self.predictor.parameters
        head = [(n, w) for n, w in self.member.modules.named_parameters() if w.requires_grad]
        groups = [self.member.backbone.group(p.learning_rate), {"params": head, "lr": p.head_learning_rate}]
        return [g for g in groups if g["params"]]

    def loss(self, items: Sequence[int]) -> Tensor:
        """Sum of the losses of some examples."""
        self.member.train(True)
        given = self.member.head(self.member.pooled([self.texts[i] for i in items]))
        index = torch.tensor(list(items), device=self.mask.device)
        mask = self.mask[index]
        most = int(mask.sum(dim=1).max())
        return self.predictor.loss(given, self.responses[index, :most], mask[:, :most]).sum()

    def validation(self) -> float | None:
        """Mean score of the validation prompts."""
        if not self.held:
            return None
        self.member.train(False)
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(0)  # a score of random draws: the same draws in every epoch and every run
            pooled = self.member.pooled(self.held)
            scores = self.predictor.score(self.member.head, pooled, self.held_responses, self.held_mask)
            return float(scores.mean())
