"""The training prior of a group of listeners, shrunk towards that of all listeners."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from popeq.contract import LabelledPrompt, Prompt
from popeq.space import Space
from popeq.typing import Floats
from popeq_groups import GroupPriorParameters


class GroupPrior:
    """What listeners of a group choose when nobody says anything, whatever the sentence.

    A draw is one of the training responses of the group with the chance ``own = m / (m + pooled_answers)``, m
    being the number of these responses, and one of all training responses otherwise. For no group, and for a
    data set without groups, all draws are from all responses, as those of ``prior``.
    """

    def __init__(self, parameters: GroupPriorParameters, space: Space) -> None:
        self.parameters = parameters
        self.pool = np.empty((0, 2))
        self.pools: dict[str, Floats] = {}

    def fit(
        self, train: Sequence[LabelledPrompt], validation: Sequence[LabelledPrompt], rng: np.random.Generator
    ) -> None:
        """Pool the responses, of all and of each group; every response counts the same."""
        self.pool = np.concatenate([p.responses for p in train])
        groups = np.concatenate([np.array(p.groups or [""] * len(p.responses), dtype=object) for p in train])
        self.pools = {name: self.pool[groups == name] for name in sorted(set(groups))}

    def own_share(self, group: str | None) -> float:
        """The chance that a draw for a group is one of its own responses."""
        size = len(self.pools.get(group or "", ())) if group is not None else 0
        return size / (size + self.parameters.pooled_answers) if size else 0.0

    def sample(self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]) -> Floats:
        """Independent draws (len(prompts), n, 2), dB."""
        return np.stack([self._draws(p.group, n, rng) for p, rng in zip(prompts, rngs, strict=True)])

    def _draws(self, group: str | None, n: int, rng: np.random.Generator) -> Floats:
        drawn = self.pool[rng.integers(len(self.pool), size=n)]
        share = self.own_share(group)
        if share:
            own = self.pools[group or ""]
            mine = rng.random(n) < share
            drawn = np.where(mine[:, None], own[rng.integers(len(own), size=n)], drawn)
        return drawn

    def describe(self) -> dict[str, object]:
        """The number of training responses of each group that there is."""
        return {"group_responses": {name: len(own) for name, own in self.pools.items() if name}}
