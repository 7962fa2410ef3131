"""``lora-head`` and ``prefix-head``: a head that gives 11 settings a pass, several passes a distribution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from popeq.contract import Prompt
from popeq.errors import UsageError
from popeq.space import Space
from popeq.typing import Floats
from popeq_llm.retrieval import typical_settings
from popeq_peft.heads import HeadMember, HeadPredictor, PointHead
from popeq_peft.losses import divergence_db, energy_scores, sinkhorn_divergence, squared_error
from popeq_peft.parameters import LoraHeadParameters, PrefixHeadParameters

PP = TypeVar("PP", bound=LoraHeadParameters | PrefixHeadParameters)
_VALIDATION_PASSES = 10


class _PointHeadPredictor(HeadPredictor[PP]):
    """Hidden states, pooled, to ``points`` settings through a bounded output.

    One pass gives ``points`` settings. Samples come from as many passes as are needed, each with a dropout
    mask of its own (Monte-Carlo dropout) and shared out among the members; no pass is used twice.
    """

    def __init__(self, parameters: PP, space: Space) -> None:
        super().__init__(parameters, space)
        if parameters.dropout == 0 and parameters.ensemble == 1:
            raise UsageError(
                f"{self.name}: without dropout and with one member each pass gives the same "
                f"{parameters.points} points; give -o dropout= or -o ensemble="
            )
        self.divergence_rise = divergence_db(space) ** 2  # both losses are in dB^2

    def start(self, responses: Floats, rng: np.random.Generator) -> Floats:
        """Settings that represent the responses, repeated where there are too few: (points, 2), dB."""
        points = self.parameters.points
        return np.resize(typical_settings(responses, points), (points, 2))

    def blank(self, weights: Mapping[str, Tensor]) -> Floats:
        return np.zeros((self.parameters.points, 2))

    def head(self, width: int, start: Floats) -> nn.Module:
        return PointHead(width, self.parameters.hidden, start, self.parameters.dropout, self.space)

    def loss(self, given: Tensor, responses: Tensor, mask: Tensor) -> Tensor:
        if self.parameters.loss == "mse":
            return squared_error(given, responses, mask)
        return sinkhorn_divergence(given, responses, mask, blur=self.parameters.blur_db)

    def score(self, head: nn.Module, pooled: Tensor, responses: Tensor, mask: Tensor) -> Tensor:
        # What a run is scored by would stop squared error before it is fitted.
        judge = squared_error if self.parameters.loss == "mse" else energy_scores
        generator = torch.Generator().manual_seed(0)
        points = head(pooled.repeat_interleave(_VALIDATION_PASSES, dim=0), generator)
        return judge(points.reshape(len(pooled), -1, 2), responses, mask)

    def draw(
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
            points = member.head(member.pooled([prompt.text]).expand(passes, -1), generator)
            flat = points.double().cpu().numpy().reshape(-1, 2)
            whole = (passes - 1) * self.parameters.points  # of the last pass a random part is enough
            drawn.append(np.concatenate([flat[:whole], rng.permutation(flat[whole:])])[:n])
        return drawn

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
