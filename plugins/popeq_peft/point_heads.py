"""``lora-head`` and ``prefix-head``: a head that gives 11 settings a pass, several passes a distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from popeq.contract import LabelledPrompt, Prompt
from popeq.errors import UsageError
from popeq.space import Space
from popeq.typing import Floats
from popeq_llm.retrieval import typical_settings
from popeq_peft.augment import Example
from popeq_peft.backbone import Backbone
from popeq_peft.heads import HeadMember, HeadTask, PointHead, new_member, pooled_responses
from popeq_peft.losses import divergence_db, energy_scores, sinkhorn_divergence, squared_error
from popeq_peft.parameters import LoraHeadParameters, PrefixHeadParameters
from popeq_peft.tuned import FineTuned

HP = TypeVar("HP", bound=LoraHeadParameters | PrefixHeadParameters)
_VALIDATION_PASSES = 10


class _PointHeadPredictor(FineTuned[HP, HeadMember], Generic[HP]):
    """Hidden states, pooled, to ``points`` settings through a bounded output.

    One pass gives ``points`` settings. Samples come from as many passes as are needed, each with a dropout
    mask of its own (Monte-Carlo dropout) and shared out among the members; no pass is used twice.
    """

    def __init__(self, parameters: HP, space: Space) -> None:
        super().__init__(parameters, space)
        if parameters.dropout == 0 and parameters.ensemble == 1:
            raise UsageError(
                f"{self.name}: without dropout and with one member each pass gives the same "
                f"{parameters.points} points; give -o dropout= or -o ensemble="
            )

    def _build(self, backbone: Backbone, train: Sequence[LabelledPrompt], seed: int) -> HeadMember:
        pooled = pooled_responses(train, np.random.default_rng(seed))
        start = typical_settings(pooled, self.parameters.points)
        missing = self.parameters.points - len(start)
        return self._member_of(
            backbone, np.concatenate([start, start[np.arange(missing) % len(start)]]), seed
        )

    def _member_of(self, backbone: Backbone, start: Floats, seed: int) -> HeadMember:
        p = self.parameters
        return new_member(
            backbone,
            p.pooling,
            seed,
            lambda: PointHead(backbone.width, p.hidden, start, p.dropout, self.space),
        )

    def _task(
        self, member: HeadMember, examples: Sequence[Example], validation: Sequence[LabelledPrompt]
    ) -> HeadTask:
        p = self.parameters

        def loss(points: Tensor, responses: Tensor, mask: Tensor) -> Tensor:
            if p.loss == "mse":
                return squared_error(points, responses, mask)
            return sinkhorn_divergence(points, responses, mask, blur=p.blur_db)

        # What a run is scored by would stop squared error before it is fitted.
        judge = squared_error if p.loss == "mse" else energy_scores

        def score(pooled: Tensor, responses: Tensor, mask: Tensor) -> Tensor:
            generator = torch.Generator().manual_seed(0)
            points = member.head(pooled.repeat_interleave(_VALIDATION_PASSES, dim=0), generator)
            return judge(points.reshape(len(pooled), -1, 2), responses, mask)

        rates = (p.learning_rate, p.head_learning_rate)
        divergence_rise = divergence_db(self.space) ** 2  # both losses are in dB^2
        return HeadTask(member, examples, validation, rates, loss, score, divergence_rise)

    def _draw(
        self, member: HeadMember, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]
    ) -> list[Floats]:
        drawn = []
        passes = math.ceil(n / self.parameters.points)
        if passes > 1 and self.parameters.dropout == 0:
            raise UsageError(
                f"{self.name}: without dropout a member's passes are all the same; its share of the samples "
                f"needs {passes}: give -o dropout=, or -o ensemble={passes * len(self.members)}"
            )
        for prompt, rng in zip(prompts, rngs, strict=True):
            generator = torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))
            points = member.head(member.alone(prompt.text).expand(passes, -1), generator)
            flat = points.double().cpu().numpy().reshape(-1, 2)
            whole = (passes - 1) * self.parameters.points  # of the last pass a random part is enough
            drawn.append(np.concatenate([flat[:whole], rng.permutation(flat[whole:])])[:n])
        return drawn

    def _write(self, member: HeadMember, folder: Path) -> None:
        member.write(folder)

    def _read(self, backbone: Backbone, folder: Path) -> HeadMember:
        return self._member_of(backbone, np.zeros((self.parameters.points, 2)), 0).read(folder)

    def describe(self) -> dict[str, Any]:
        """Also how samples are made."""
        p = self.parameters
        return super().describe() | {
            "sampling": f"{p.points} settings a pass, dropout {p.dropout:g} in each, {p.ensemble} member(s)"
        }


class LoraHead(_PointHeadPredictor[LoraHeadParameters]):
    """With LoRA."""

    name = "lora-head"


class PrefixHead(_PointHeadPredictor[PrefixHeadParameters]):
    """With a trained prefix."""

    name = "prefix-head"
