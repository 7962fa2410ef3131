"""``head-mixture``: a mixture of reflected Gaussians with a closed-form likelihood and exact sampling.

Its density departs from the pooled density of all training answers as far as the sentences justify it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from popeq.contract import Prompt
from popeq.space import Space
from popeq.typing import Floats
from popeq_peft.heads import Dropout, HeadMember, HeadPredictor
from popeq_peft.losses import DIVERGENCE_NATS, divergence_db, equal_weights, sinkhorn_divergence
from popeq_peft.parameters import MixtureParameters

#: Narrowest and widest component, as a share of the box; wider ones would need more than two reflections.
NARROWEST, WIDEST = 0.02, 0.3
#: Weights (K,), means and SDs (K, 2), dB.
Components: TypeAlias = tuple[Floats, Floats, Floats]


@dataclass(frozen=True, eq=False)
class Mixture:
    """``components`` reflected Gaussians a row: weights (B, K) as logarithms, means and SDs (B, K, 2), dB.

    Each axis of a component is a Gaussian whose mass beyond an edge is folded back, as the headline score
    folds its kernels, so the density is normalised on the box and has no hole at its edges.
    """

    log_weights: Tensor
    means: Tensor
    sds: Tensor
    space: Space

    def log_density(self, points: Tensor) -> Tensor:
        """Natural logarithm of the density (per dB^2) at points (B, m, 2), shape (B, m)."""
        low, high = (torch.as_tensor(v).to(points) for v in (self.space.low, self.space.high))
        size = high - low
        means, sds = self.means[:, None], self.sds[:, None]
        images = torch.stack(
            [means + 2 * k * size for k in (-1, 0, 1)] + [2 * low - means, 2 * high - means], dim=-1
        )
        z = (points[:, :, None, :, None] - images) / sds[..., None]
        axes = torch.logsumexp(-0.5 * z.square(), dim=-1) - sds.log() - 0.5 * math.log(2 * math.pi)
        return torch.logsumexp(self.log_weights[:, None] + axes.sum(dim=-1), dim=-1)

    def draws(self, each: int) -> tuple[Tensor, Tensor]:
        """``each`` draws from every component, through which gradients flow: points (B, K each, 2), dB, and
        their weights (B, K each), which are the components' shared out."""
        noise = torch.randn((*self.means.shape[:2], each, 2)).to(self.means)
        low, high = (torch.as_tensor(v).to(noise) for v in (self.space.low, self.space.high))
        u = torch.remainder((self.means[:, :, None] + self.sds[:, :, None] * noise - low) / (high - low), 2.0)
        points = low + (high - low) * torch.where(u > 1.0, 2.0 - u, u)
        weights = (self.log_weights.exp() / each).repeat_interleave(each, dim=1)
        return points.flatten(1, 2), weights

    def energy_scores(self, responses: Tensor, mask: Tensor, each: int = 8) -> Tensor:
        """The energy score (popeq.metrics) of each row against its listeners (B, m, 2), shape (B,), dB."""
        points, weights = self.draws(each)
        batch, count, _ = self.means.shape
        across = torch.einsum(
            "bi,bij,bj->b", weights, torch.cdist(points, responses), equal_weights(mask, points)
        )
        pairs = torch.cdist(points, points).view(batch, count, each, count, each).mean(dim=(2, 4))
        # Of one component's own pairs, those of a draw with itself are none: take the mean over the others.
        pairs = pairs * (1 + torch.eye(count).to(pairs) / (each - 1))
        shares = self.log_weights.exp()
        return across - torch.einsum("bk,bkl,bl->b", shares, pairs, shares) / 2

    def sample(self, n: int, rng: np.random.Generator) -> Floats:
        """``n`` independent draws from the first row, (n, 2), dB: a component each, a Gaussian, folded in."""
        weights = self.log_weights[0].detach().double().exp().cpu().numpy()
        chosen = rng.choice(len(weights), size=n, p=weights / weights.sum())
        means, sds = (v[0].detach().double().cpu().numpy()[chosen] for v in (self.means, self.sds))
        return self.space.fold(rng.normal(means, sds))


def pooled_components(points: Floats, count: int, space: Space, rng: np.random.Generator) -> Components:
    """A mixture of K = ``count`` Gaussians fitted to points (m, 2), dB, by EM.

    The centres start at points drawn far apart (k-means++). With few points, K is at most their number.
    """
    count = min(count, len(points))
    means = points[[int(rng.integers(len(points)))]]
    while len(means) < count:
        nearest = np.square(points[:, None] - means).sum(axis=2).min(axis=1) + 1e-12
        means = np.concatenate([means, points[[int(rng.choice(len(points), p=nearest / nearest.sum()))]]])
    floor = 2 * NARROWEST * space.size
    sds = np.tile(np.maximum(points.std(axis=0) / math.sqrt(count), floor), (count, 1))
    weights = np.full(count, 1.0 / count)
    for _ in range(100):
        z = (points[:, None] - means) / sds
        log_own = np.log(weights + 1e-300) - np.log(sds).sum(axis=1) - 0.5 * np.square(z).sum(axis=2)
        share = np.exp(log_own - np.logaddexp.reduce(log_own, axis=1, keepdims=True))
        mass = share.sum(axis=0) + 1e-9
        weights = (mass + 1.0) / (mass + 1.0).sum()
        means = (share.T @ points) / mass[:, None]
        spread = np.einsum("mk,mkd->kd", share, np.square(points[:, None] - means)) / mass[:, None]
        sds = np.clip(np.sqrt(spread), floor, WIDEST * space.size)
    return weights, space.clip(means), sds


class MixtureHead(nn.Module):
    """One vector a sentence -> a mixture that departs from the pooled distribution of all training answers.

    The sentence changes the components' weights and moves them together, per axis; their form is the pooled
    one. The untrained head gives the pooled distribution, and weight decay pulls towards it.
    """

    def __init__(self, width: int, pooled: Components, dropout: float, space: Space) -> None:
        super().__init__()
        weights, means, sds = (torch.as_tensor(v).float() for v in pooled)
        self.space = space
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.dropout = Dropout(dropout)
        self.departure = nn.Linear(width, len(weights) + 2, bias=False)
        nn.init.zeros_(self.departure.weight)
        self.log_weights = nn.Parameter(weights.log(), requires_grad=False)
        self.means = nn.Parameter(means, requires_grad=False)
        self.log_sds = nn.Parameter(sds.log())

    def forward(self, pooled: Tensor) -> Mixture:
        """The mixture of each row."""
        departure = self.departure(self.dropout(self.norm(pooled)))
        logits, shift = departure[:, :-2], departure[:, -2:]
        half = torch.as_tensor(self.space.size / 2).to(shift)
        means = self.means + half * torch.tanh(shift)[:, None, :]
        low, high = (torch.as_tensor(v).to(means) for v in (self.space.low, self.space.high))
        means = means.clamp(low, high)
        sds = self.log_sds.exp().expand_as(means)
        return Mixture((self.log_weights + logits).log_softmax(dim=1), means, sds, self.space)


#: Draws from each component and blur (as a share of the box) of the Sinkhorn loss.
_DRAWS, _BLUR = 3, 1.0 / 24.0


class HeadMixture(HeadPredictor[MixtureParameters]):
    """Trained by likelihood (or energy score), sampled exactly; the members' densities are averaged."""

    name = "head-mixture"

    def __init__(self, parameters: MixtureParameters, space: Space) -> None:
        super().__init__(parameters, space)
        self._blur_db = _BLUR * float(np.sqrt(space.size.prod()))
        self.divergence_rise = DIVERGENCE_NATS if parameters.loss == "nll" else divergence_db(space)

    @property
    def adapts(self) -> bool:
        return self.parameters.method != "none"

    def start(self, responses: Floats, rng: np.random.Generator) -> Components:
        return pooled_components(responses, self.parameters.components, self.space, rng)

    def blank(self, weights: Mapping[str, Tensor]) -> Components:
        count = len(weights["head.log_weights"])  # fewer than asked for if there were few training answers
        return np.full(count, 1 / count), np.zeros((count, 2)), np.ones((count, 2))

    def head(self, width: int, start: Components) -> nn.Module:
        return MixtureHead(width, start, self.parameters.dropout, self.space)

    def loss(self, given: Mixture, responses: Tensor, mask: Tensor) -> Tensor:
        if self.parameters.loss == "energy":
            return given.energy_scores(responses, mask)
        if self.parameters.loss == "sinkhorn":
            points, weights = given.draws(_DRAWS)
            return sinkhorn_divergence(points, responses, mask, weights, blur=self._blur_db, p=1)
        return -(given.log_density(responses) * equal_weights(mask, responses)).sum(dim=1)

    def draw(
        self, member: HeadMember, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]
    ) -> list[Floats]:
        return [
            member.head(member.pooled([prompt.text])).sample(n, rng)
            for prompt, rng in zip(prompts, rngs, strict=True)
        ]
