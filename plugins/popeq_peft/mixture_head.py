"""``head-mixture``: a mixture density that departs from the pooled one as far as sentences tell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from popeq.contract import LabelledPrompt, Prompt
from popeq_llm.loading import TINY
from popeq_peft.augment import Example
from popeq_peft.backbone import Backbone
from popeq_peft.head_task import HeadMember, HeadTask
from popeq_peft.heads import Pooling
from popeq_peft.losses import ALARM_NATS, alarm_db
from popeq_peft.mixture import Mixture, MixtureHead, pooled_components
from popeq_peft.parameters import MixtureParameters
from popeq_peft.sinkhorn import sinkhorn_divergence
from popeq_peft.tuned import FineTuned

_MOST_POOLED = 2000
#: Draws from each component and blur (dB) of the Sinkhorn loss.
_DRAWS, _BLUR_DB = 3, 0.5


class HeadMixture(FineTuned[MixtureParameters, HeadMember]):
    """Trained by likelihood (or energy score), sampled exactly; the members' densities are averaged."""

    name = "head-mixture"

    def _adapts(self) -> bool:
        return self.parameters.method != "none"

    def _stand_in(self, backbone: Backbone) -> bool:
        return backbone.name == TINY  # the encoder is this method's own choice, not in place of another

    def _build(self, backbone: Backbone, train: Sequence[LabelledPrompt], seed: int) -> HeadMember:
        rng = np.random.default_rng(seed)
        pooled = np.concatenate([p.responses for p in train])
        if len(pooled) > _MOST_POOLED:
            pooled = pooled[rng.choice(len(pooled), _MOST_POOLED, replace=False)]
        return self._member_of(
            backbone, pooled_components(pooled, self.parameters.components, self.space, rng), seed
        )

    def _member_of(self, backbone: Backbone, components: Any, seed: int) -> HeadMember:
        p = self.parameters
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            pooling = Pooling(p.pooling, backbone.width, backbone.causal)
            head = MixtureHead(backbone.width, components, p.dropout, self.space)
        return HeadMember(backbone, pooling, head)

    def _task(
        self, member: HeadMember, examples: Sequence[Example], validation: Sequence[LabelledPrompt]
    ) -> HeadTask:
        p = self.parameters

        def loss(mixture: Mixture, responses: Tensor, mask: Tensor) -> Tensor:
            if p.loss == "energy":
                return mixture.energy_scores(responses, mask)
            if p.loss == "sinkhorn":
                points, weights = mixture.draws(_DRAWS)
                return sinkhorn_divergence(points, responses, mask, weights, blur=_BLUR_DB, p=1)
            weights = mask.to(responses) / mask.sum(dim=1, keepdim=True)
            return -(mixture.log_density(responses) * weights).sum(dim=1)

        def score(pooled: Tensor, responses: Tensor, mask: Tensor) -> Tensor:
            return loss(member.head(pooled), responses, mask)

        rates = (p.learning_rate, p.head_learning_rate)
        alarm = ALARM_NATS if p.loss == "nll" else alarm_db(self.space)
        return HeadTask(member, examples, validation, rates, loss, score, alarm)

    def _draw(
        self, member: HeadMember, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]
    ) -> list[NDArray[np.float64]]:
        return [
            member.head(member.alone(prompt.text)).sample(n, rng)
            for prompt, rng in zip(prompts, rngs, strict=True)
        ]

    def _write(self, member: HeadMember, folder: Path) -> None:
        member.write(folder)

    def _read(self, backbone: Backbone, folder: Path) -> HeadMember:
        count = _components_in(folder, self.parameters.components)
        blank = np.full(count, 1 / count), np.zeros((count, 2)), np.ones((count, 2))
        return self._member_of(backbone, blank, 0).read(folder)


def _components_in(folder: Path, asked: int) -> int:
    """How many components a saved head has: fewer than asked for if there were few training answers."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / "head.safetensors", "pt") as file:
            return int(file.get_slice("head.log_weights").get_shape()[0])
    except (OSError, SafetensorError):
        return asked
