"""Training prompts that are kept from training to stop it, where there is no validation split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from popeq.contract import LabelledPrompt

#: Fewer prompts than these say nothing about when to stop.
_FEWEST = 3


def hold_out(
    train: Sequence[LabelledPrompt], share: float, rng: np.random.Generator
) -> tuple[list[LabelledPrompt], list[LabelledPrompt]]:
    """Prompts to train on, and a share of them that stops training: none where that is fewer than three."""
    count = round(share * len(train))
    if count < _FEWEST:
        return list(train), []
    held = set(rng.choice(len(train), count, replace=False).tolist())
    return (
        [p for i, p in enumerate(train) if i not in held],
        [p for i, p in enumerate(train) if i in held],
    )
